//! Dates as RFC 3501 §9 (`date`, `date-time`) and RFC 5322 §3.3 write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(name: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i8::try_from(at + 1).ok()
}

/// `date`: `1-Feb-1994`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let mut fields = text.splitn(3, '-');
    let (day, name, year) = (fields.next()?, fields.next()?, fields.next()?);
    if day.len() > 2 || year.len() != 4 {
        return None;
    }
    Date::new(number(year)?, month(name)?, number(day)?).ok()
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// `date-time` without its quotes: `17-Jul-1996 02:44:25 -0700`, a leading space for one-digit days. Seconds since 1970.
pub(crate) fn parse_date_time(text: &str) -> Option<i64> {
    let mut words = text.trim_start_matches(' ').split(' ');
    let (date, time, zone) = (parse_date(words.next()?)?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let mut fields = time.split(':');
    let (hour, minute, second) = (fields.next()?, fields.next()?, fields.next()?);
    // A leap second is told as the one before it.
    let second = number::<i8>(second)?.min(59);
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()?;
    Some(offset(zone)?.to_timestamp(at).ok()?.as_second())
}

fn offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    Offset::from_seconds(sign * (number::<i32>(hours)? * 3600 + number::<i32>(minutes)? * 60)).ok()
}

/// The UTC day of a moment.
pub(crate) fn utc_date(seconds: i64) -> Date {
    utc(seconds).date()
}

fn utc(seconds: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// `date-time` without its quotes, in UTC.
pub(crate) fn format_date_time(seconds: i64) -> String {
    let at = utc(seconds);
    let name = usize::try_from(at.month() - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or("Jan");
    let (day, year) = (at.day(), at.year());
    format!("{day:2}-{name}-{year:04} {:02}:{:02}:{:02} +0000", at.hour(), at.minute(), at.second())
}

/// The day in a `Date` field as its sender wrote it, without time and zone (RFC 3501 §6.4.4 SENTON): `None` when it
/// cannot be read.
pub(crate) fn sent_date(field: &str) -> Option<Date> {
    let text = field.split_once(',').map_or(field, |(_, date)| date);
    let mut words = text.split_ascii_whitespace();
    let (day, name, year) = (words.next()?, words.next()?, words.next()?);
    let year: i16 = number(year).filter(|_| year.len() <= 4)?;
    // RFC 5322 §4.3: two-digit years of the obsolete syntax.
    let year = match year {
        0..=49 => year + 2000,
        50..=999 => year + 1900,
        _ => year,
    };
    Date::new(year, month(name.get(..3)?)?, number(day)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §9 `date-time`.
    #[test]
    fn date_times() {
        for (text, seconds) in [
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            (" 1-Jan-1970 00:00:00 +0000", Some(0)),
            ("01-Jan-1970 01:00:00 +0100", Some(0)),
            ("30-Feb-1996 02:44:25 -0700", None),
            ("17-Jul-1996 02:44:25", None),
            ("17-Jul-1996 24:44:25 +0000", None),
            ("17-Jul-1996 02:44:25 0700", None),
            ("17-Jul-96 02:44:25 +0700", None),
        ] {
            assert_eq!(parse_date_time(text), seconds, "{text}");
        }
        assert_eq!(format_date_time(837_596_665), "17-Jul-1996 09:44:25 +0000");
        assert_eq!(format_date_time(0), " 1-Jan-1970 00:00:00 +0000");
    }

    /// RFC 5322 §3.3, §4.3.
    #[test]
    fn sent_dates() {
        for (text, expect) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", Some((1997, 11, 21))),
            ("1 Jul 03 10:52:37 +0200", Some((2003, 7, 1))),
            ("Thu, 3 February 2022 00:00", Some((2022, 2, 3))),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(sent_date(text).map(|date| (date.year(), date.month(), date.day())), expect, "{text}");
        }
    }
}
