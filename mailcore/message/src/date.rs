//! Dates of header fields (RFC 5322 §3.3, §4.3).

use jiff::Timestamp;
use jiff::ZonedDateTime;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use crate::tokens::without_comments;

/// Longest date value, octets; the rest is ignored.
const DATE_OCTETS_MAX: usize = 1_024;
/// Number of words after day and month that are read: more than year, time and zone take.
const WORDS_MAX: usize = 8;
/// The year must be among this many words after day and month: at most the time and the zone come before it.
const YEAR_WORDS_MAX: usize = 3;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Zone names of RFC 5322 §4.3 obs-zone, hours east of UTC. Every other name counts as UTC.
const ZONES: [(&str, i8); 8] =
    [("EDT", -4), ("EST", -5), ("CDT", -5), ("CST", -6), ("MDT", -6), ("MST", -7), ("PDT", -7), ("PST", -8)];

/// A date as its sender wrote it, with its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentDate {
    local: DateTime,
    offset: Offset,
}

impl SentDate {
    /// Parses the value of a `Date` field, or the text after the last `;` of a trace field. Comments are dropped, and
    /// the day of the week is not checked. A missing or malformed time becomes midnight; a missing or malformed zone
    /// becomes UTC. `None` when there is no valid date.
    ///
    /// Also reads forms outside RFC 5322 that senders use: `2-Jan-2024`, `2024-01-02T10:00:00Z` (RFC 3339), the orders
    /// of asctime and of date(1), `10.00.00` for a time, a zone without a space before it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = without_comments(value.get(..DATE_OCTETS_MAX).unwrap_or(value));
        let text = String::from_utf8_lossy(text.rsplit(|octet| *octet == b';').next()?);
        let mut words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let mut word = words.next()?;
        if is_weekday(word, words.clone()) {
            word = words.next()?;
        }
        let (date, rest) = match joined_date(word) {
            Some((date, clock)) => (date, clock.into_iter().chain(words).collect()),
            None => spaced_date(word, &mut words)?,
        };
        let (clock, offset) = clock_and_zone(&rest);
        Some(Self { local: date.to_datetime(clock), offset })
    }

    /// Returns the day in the sender's zone (RFC 3501 §6.4.4 SENTON).
    pub fn day(&self) -> Date {
        self.local.date()
    }

    /// Returns the moment; `None` outside the range of a timestamp.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.offset.to_timestamp(self.local).ok()
    }

    /// Returns the moment in the sender's zone.
    pub fn zoned(&self) -> Option<ZonedDateTime> {
        Some(self.offset.to_timestamp(self.local).ok()?.to_zoned_datetime(TimeZone::fixed(self.offset)))
    }
}

/// Whether `word` is the day of the week before the date in `rest`. A French `Mar` before a date with a month is Tuesday.
fn is_weekday<'t>(word: &str, mut rest: impl Iterator<Item = &'t str>) -> bool {
    if !word.starts_with(|c: char| c.is_alphabetic()) {
        return false;
    }
    let first = rest.next();
    let begins_date = |day| joined_date(day).is_some() || rest.next().is_some_and(|name| month(name).is_some());
    month(word).is_none() || first.is_some_and(begins_date)
}

/// Reads a date in one word: `2-Jan-2024`, `2/Jan/2024`, `2024-01-02`. Returns it with the time that follows a `T`
/// (RFC 3339 §5.6).
fn joined_date(word: &str) -> Option<(Date, Option<&str>)> {
    let mut fields = word.splitn(3, ['-', '/']);
    let (first, middle, last) = (fields.next()?, fields.next()?, fields.next()?);
    if let Some(name) = month(middle) {
        return Some((Date::new(full_year(last)?, name, number(first)?).ok()?, None));
    }
    let (day, clock) = match last.split_once(['T', 't']) {
        Some((day, clock)) => (day, Some(clock)),
        None => (last, None),
    };
    let year = number(first).filter(|_| first.len() == 4)?;
    Some((Date::new(year, number(middle)?, number(day)?).ok()?, clock))
}

/// Reads a date that begins with `word`: `2 Jan 2024 ..`, `Jan 2 .. 2024`. Returns the date and the words after day and
/// month, without the year.
fn spaced_date<'t>(word: &str, words: &mut impl Iterator<Item = &'t str>) -> Option<(Date, Vec<&'t str>)> {
    // Some senders use the order of asctime (`Jan 2 10:00:00 2007`) or of date(1), which has the zone before the year.
    let (day, name) = match month(word) {
        Some(month) => (words.next()?, month),
        None => (word, month(words.next()?)?),
    };
    let mut rest: Vec<&str> = words.take(WORDS_MAX).collect();
    let year = rest.iter().take(YEAR_WORDS_MAX).position(|word| full_year(word).is_some())?;
    let year = full_year(rest.remove(year))?;
    Some((Date::new(year, name, number(day)?).ok()?, rest))
}

/// Reads time and zone, in one word or in two. What is missing or malformed counts as midnight or UTC.
fn clock_and_zone(words: &[&str]) -> (Time, Offset) {
    let clock = words.first().copied().unwrap_or_default();
    let end = clock.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(clock.len());
    let (clock, glued) = clock.split_at(end);
    let named = words.get(1).copied().unwrap_or_default();
    let word = if glued.is_empty() { named } else { glued };
    (time(clock).unwrap_or(Time::midnight()), zone(word).unwrap_or(Offset::UTC))
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Returns the number of a month. Only the first three letters count, since senders also write `February`.
fn month(name: &str) -> Option<i8> {
    let head = name.get(..3)?;
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(head))?;
    i8::try_from(at + 1).ok()
}

/// Reads a year; two and three digits as in RFC 5322 §4.3.
fn full_year(digits: &str) -> Option<i16> {
    let year: i16 = number(digits).filter(|_| digits.len() <= 4)?;
    Some(match year {
        _ if digits.len() == 4 => year,
        0..=49 if digits.len() <= 2 => year + 2000,
        _ => year + 1900,
    })
}

fn time(clock: &str) -> Option<Time> {
    let mut fields = clock.split([':', '.']);
    let (hour, minute, second) = (number(fields.next()?)?, number(fields.next()?)?, fields.next().unwrap_or("0"));
    // A second above 59, as of a leap second, becomes 59.
    Time::new(hour, minute, number::<i8>(second)?.min(59), 0).ok()
}

/// Reads `+hhmm`, `+hh:mm`, `GMT+hhmm` or a zone name. `None` for a malformed numeric zone.
fn zone(word: &str) -> Option<Offset> {
    let sign_at = word.find(['+', '-']).filter(|at| word.get(..*at).is_some_and(is_universal));
    let Some((sign, digits)) = sign_at.and_then(|at| word.get(at..)?.split_at_checked(1)) else {
        let hours = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map_or(0, |(_, hours)| *hours);
        return Some(Offset::constant(hours));
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes: i32 = if minutes.is_empty() { 0 } else { number(minutes).filter(|_| minutes.len() == 2)? };
    let seconds = number::<i32>(hours)? * 3600 + minutes * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok().filter(|_| minutes < 60)
}

/// Whether `name` may stand before the sign of a zone: nothing, or a name of UTC.
fn is_universal(name: &str) -> bool {
    ["", "GMT", "UTC", "UT"].iter().any(|known| known.eq_ignore_ascii_case(name))
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
            ("1 Jan 049 00:00 +0000", "1949-01-01", -662_688_000),
            ("Mar, 2 Jan 2024 10:00:00 +0000", "2024-01-02", 1_704_189_600),
            ("Mar, 2-Jan-2024 10:00:00 +0000", "2024-01-02", 1_704_189_600),
            ("Mar 2 10:00:00 2024", "2024-03-02", 1_709_373_600),
            // Forms outside the standard that senders use.
            ("2-Jan-2024", "2024-01-02", 1_704_153_600),
            ("Tue, 2-Jan-24 10:00:00 +0100", "2024-01-02", 1_704_186_000),
            ("2/Jan/2024 10:00:00", "2024-01-02", 1_704_189_600),
            ("2024-01-02T10:00:00Z", "2024-01-02", 1_704_189_600),
            ("2024-01-02T10:00:00.123+01:00", "2024-01-02", 1_704_186_000),
            ("2024-01-02t10:00z", "2024-01-02", 1_704_189_600),
            ("2024-01-02 10:00:00 +0100", "2024-01-02", 1_704_186_000),
            ("2024-01-02", "2024-01-02", 1_704_153_600),
            ("Tue 2 Jan 2024 10:00:00+0100", "2024-01-02", 1_704_186_000),
            ("2 Jan 2024 10.00.00 +0100", "2024-01-02", 1_704_186_000),
            ("2 Jan 2024 10:00:00 GMT+0100", "2024-01-02", 1_704_186_000),
            ("2 Jan 2024 10:00:00 +01:00", "2024-01-02", 1_704_186_000),
            ("Tue Jan  2 10:00:00 EST 2024", "2024-01-02", 1_704_207_600),
            ("Tue Jan  2 10:00:00 2024 +0100", "2024-01-02", 1_704_186_000),
            ("Tue,2 Jan 2024 10:00 \"GMT\"", "2024-01-02", 1_704_189_600),
            ("January 2, 2024 10:00", "2024-01-02", 1_704_189_600),
            // An invalid time or zone does not make the day invalid.
            ("2 Jan 2024 24:00:00 +0000", "2024-01-02", 1_704_153_600),
            ("2 Jan 2024 10:00:00 +00", "2024-01-02", 1_704_189_600),
            ("2 Jan 2024 10:00:00 +9900", "2024-01-02", 1_704_189_600),
            ("2 Jan 2024 at noon", "2024-01-02", 1_704_153_600),
        ] {
            let date = SentDate::parse(text.as_bytes()).expect(text);
            assert_eq!(
                (date.day().to_string().as_str(), date.timestamp().map(Timestamp::as_second)),
                (day, Some(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_text_without_a_date() {
        for text in [
            "",
            ";",
            "yesterday",
            "nonsense words here",
            "32 Jan 2007 00:00:00 +0000",
            "1 Jan 20070 00:00:00 +0000",
            "Jan 2007",
            "2-Foo-2024",
            "2024-13-02T10:00:00Z",
            "24-01-02",
            "01/02/2024",
            "2 Jan 10:00:00",
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
        fn any_value_is_parsed_without_panic(text in "[a-zA-Z0-9 ,:;./+()é-]{0,50}") {
            if let Some(date) = SentDate::parse(text.as_bytes()) {
                let _ = (date.timestamp(), date.zoned());
            }
        }

        #[test]
        fn any_near_date_is_parsed_without_panic(text in "(Tue, )?[0-9]{1,4}[-/ ](Jan|[0-9]{1,2})[-/ ][0-9]{1,4}[T ][0-9:.é]{0,9}[ +Z-]{0,2}[0-9:]{0,6}") {
            if let Some(date) = SentDate::parse(text.as_bytes()) {
                let _ = (date.timestamp(), date.zoned());
            }
        }
    }
}
