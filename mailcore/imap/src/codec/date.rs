//! Dates in the form of RFC 3501 §9 (`date`, `date-time`).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(name: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i8::try_from(at + 1).ok()
}

/// Reads `date`, such as `1-Feb-1994`; `None` when there is no such day.
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

/// Reads `date-time` without its quotes: `17-Jul-1996 02:44:25 -0700`, days below 10 with a leading space.
pub(crate) fn parse_date_time(text: &str) -> Option<Timestamp> {
    let mut words = text.trim_start_matches(' ').split(' ');
    let (date, time, zone) = (parse_date(words.next()?)?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let mut fields = time.split(':');
    let (hour, minute, second) = (fields.next()?, fields.next()?, fields.next()?);
    // A leap second becomes the second before it.
    let second = number::<i8>(second)?.min(59);
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()?;
    offset(zone)?.to_timestamp(at).ok()
}

fn offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    let minutes = number::<i32>(minutes).filter(|minutes| *minutes < 60)?;
    Offset::from_seconds(sign * (number::<i32>(hours)? * 3600 + minutes * 60)).ok()
}

/// The day in UTC.
pub(crate) fn utc_date(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

/// Writes `date-time` in UTC, without its quotes.
pub(crate) fn format_date_time(at: Timestamp) -> String {
    let at = Offset::UTC.to_datetime(at);
    let name = usize::try_from(at.month() - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or("Jan");
    let (day, year) = (at.day(), at.year());
    format!("{day:2}-{name}-{year:04} {:02}:{:02}:{:02} +0000", at.hour(), at.minute(), at.second())
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
            ("17-Jul-1996 02:44:25 +0060", None),
            ("17-Jul-96 02:44:25 +0700", None),
        ] {
            assert_eq!(parse_date_time(text).map(Timestamp::as_second), seconds, "{text}");
        }
        assert_eq!(format_date_time(Timestamp::from_second(837_596_665).unwrap()), "17-Jul-1996 09:44:25 +0000");
        assert_eq!(format_date_time(Timestamp::UNIX_EPOCH), " 1-Jan-1970 00:00:00 +0000");
    }
}
