//! Dates of header fields (RFC 5322 §3.3, §4.3).

use jiff::ZonedDateTime;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use crate::tokens::without_comments;

/// Longest date value, octets; the rest is ignored.
const DATE_OCTETS_MAX: usize = 1_024;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Zone names of RFC 5322 §4.3 obs-zone, hours east of UTC. All other names count as UTC, as their meaning is unknown.
const ZONES: [(&str, i8); 8] =
    [("EDT", -4), ("EST", -5), ("CDT", -5), ("CST", -6), ("MDT", -6), ("MST", -7), ("PDT", -7), ("PST", -8)];

/// A date as its sender wrote it, with its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentDate {
    local: DateTime,
    offset: Offset,
}

impl SentDate {
    /// Parses the value of a `Date` field, or the text after the last `;` of a trace field. Comments are dropped, the
    /// day of the week is not checked, and a missing time or zone means midnight UTC. `None` when the text is not a
    /// date.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = without_comments(value.get(..DATE_OCTETS_MAX).unwrap_or(value));
        let text = String::from_utf8_lossy(text.rsplit(|octet| *octet == b';').next()?);
        let mut words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let mut word = words.next()?;
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) && month(word).is_none() {
            word = words.next()?;
        }
        // Some senders use the order of asctime (`Jan 2 10:00:00 2007`).
        let (day, name) = match month(word) {
            Some(month) => (words.next()?, month),
            None => (word, month(words.next()?)?),
        };
        let next = words.next()?;
        let (year, clock) = if next.contains(':') { (words.next()?, Some(next)) } else { (next, words.next()) };
        let date = Date::new(full_year(year)?, name, number(day)?).ok()?;
        let time = clock.map_or(Some(Time::midnight()), time)?;
        Some(Self { local: date.to_datetime(time), offset: words.next().map_or(Some(Offset::UTC), zone)? })
    }

    /// Returns the day in the sender's zone (RFC 3501 §6.4.4 SENTON).
    pub fn day(&self) -> Date {
        self.local.date()
    }

    /// Returns seconds since 1970; `None` outside the range of a timestamp.
    pub fn seconds(&self) -> Option<i64> {
        self.offset.to_timestamp(self.local).ok().map(|at| at.as_second())
    }

    /// Returns the moment in the sender's zone.
    pub fn zoned(&self) -> Option<ZonedDateTime> {
        Some(self.offset.to_timestamp(self.local).ok()?.to_zoned_datetime(TimeZone::fixed(self.offset)))
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Compares the first three letters, since senders also write `February`.
fn month(name: &str) -> Option<i8> {
    let head = name.get(..3)?;
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(head))?;
    i8::try_from(at + 1).ok()
}

/// Reads a year; two and three digits as in RFC 5322 §4.3.
fn full_year(digits: &str) -> Option<i16> {
    let year: i16 = number(digits).filter(|_| digits.len() <= 4)?;
    Some(match year {
        0..=49 if digits.len() <= 2 => year + 2000,
        50..=999 => year + 1900,
        _ => year,
    })
}

fn time(clock: &str) -> Option<Time> {
    let mut fields = clock.split(':');
    let (hour, minute, second) = (number(fields.next()?)?, number(fields.next()?)?, fields.next().unwrap_or("0"));
    // A leap second becomes the second before it.
    Time::new(hour, minute, number::<i8>(second)?.min(59), 0).ok()
}

/// Reads `+hhmm` or a zone name. `None` for a malformed numeric zone.
fn zone(word: &str) -> Option<Offset> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => {
            let hours = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map_or(0, |(_, hours)| *hours);
            return Some(Offset::constant(hours));
        }
    };
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    let (hours, minutes): (i32, i32) = (number(hours)?, number(minutes)?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().filter(|_| minutes < 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5322 §3.3, §4.3, appendix A.5.
    #[test]
    fn reads_dates() {
        for (text, day, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21", 880_127_706),
            ("1 Jul 03 10:52:37 +0200", "2003-07-01", 1_057_049_557),
            ("Thu, 3 February 2022 00:00", "2022-02-03", 1_643_846_400),
            ("3 Feb 2022", "2022-02-03", 1_643_846_400),
            ("2 Jan 2024 10:00:00 +0000 (added by x, y)", "2024-01-02", 1_704_189_600),
            ("Thu,\t13\t(a, b) Feb 1969 23:32 -0330 (Newfoundland (Time))", "1969-02-13", -27_723_480),
            ("from a by b; Tue, 02 Jan 2007 03:04:05 -0500 (EST; x)", "2007-01-02", 1_167_725_045),
            ("Tue Jan  2 03:04:05 2007", "2007-01-02", 1_167_707_045),
            ("2 Jan 2007 03:04:05 EST", "2007-01-02", 1_167_725_045),
            ("2 Jan 2007 03:04:05 X", "2007-01-02", 1_167_707_045),
            ("2 Jan 2007 03:04:60 GMT", "2007-01-02", 1_167_707_099),
            ("1 Jan 100 00:00 +0000", "2000-01-01", 946_684_800),
        ] {
            let date = SentDate::parse(text.as_bytes()).expect(text);
            assert_eq!((date.day().to_string().as_str(), date.seconds()), (day, Some(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            ";",
            "yesterday",
            "nonsense words here",
            "32 Jan 2007 00:00:00 +0000",
            "1 Jan 2007 24:00:00 +0000",
            "1 Jan 2007 00:00:00 +00",
            "1 Jan 2007 00:00:00 +9900",
            "1 Jan 20070 00:00:00 +0000",
            "Jan 2007",
            "Tue",
        ] {
            assert_eq!(SentDate::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn keeps_the_senders_zone() {
        let date = SentDate::parse(b"Sun, 1 Feb 2026 23:00:00 -0800").unwrap();
        assert_eq!(date.day().to_string(), "2026-02-01");
        assert_eq!(date.zoned().unwrap().strftime("%H:%M %z").to_string(), "23:00 -0800");
    }

    proptest! {
        #[test]
        fn any_value_is_read(text in "[a-zA-Z0-9 ,:;+()-]{0,50}") {
            if let Some(date) = SentDate::parse(text.as_bytes()) {
                let _ = (date.seconds(), date.zoned());
            }
        }
    }
}
