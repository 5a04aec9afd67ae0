//! Date parts (RFC 5260 §4.2).

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};

/// A date part (RFC 5260 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Year,
    Month,
    Day,
    Date,
    Julian,
    Hour,
    Minute,
    Second,
    Time,
    Iso8601,
    Std11,
    Zone,
    Weekday,
}

impl DatePart {
    /// Parses the name of a date part, ignoring case; `None` when there is no such part.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Self::Year,
            "month" => Self::Month,
            "day" => Self::Day,
            "date" => Self::Date,
            "julian" => Self::Julian,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "time" => Self::Time,
            "iso8601" => Self::Iso8601,
            "std11" => Self::Std11,
            "zone" => Self::Zone,
            "weekday" => Self::Weekday,
            _ => return None,
        })
    }

    /// Formats this part of a moment.
    pub(crate) fn of(self, moment: &ZonedDateTime) -> String {
        let format = match self {
            Self::Year => "%Y",
            Self::Month => "%m",
            Self::Day => "%d",
            Self::Date => "%Y-%m-%d",
            Self::Julian => return modified_julian_day(moment.date()).to_string(),
            Self::Hour => "%H",
            Self::Minute => "%M",
            Self::Second => "%S",
            Self::Time => "%H:%M:%S",
            // RFC 3339 §5.6 allows Z and +00:00 for UTC. With one form, the strings of one zone sort in order of time.
            Self::Iso8601 if moment.offset().seconds() == 0 => "%Y-%m-%dT%H:%M:%SZ",
            Self::Iso8601 => "%Y-%m-%dT%H:%M:%S%:z",
            Self::Std11 => "%a, %d %b %Y %H:%M:%S %z",
            Self::Zone => "%z",
            Self::Weekday => "%w",
        };
        moment.strftime(format).to_string()
    }
}

/// Returns the Modified Julian Day: days since 17 November 1858 (RFC 5260 §4.2).
fn modified_julian_day(date: Date) -> i64 {
    /// The Modified Julian Day of 1970-01-01.
    const UNIX_EPOCH_MJD: i64 = 40_587;
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    let midnight = date.to_zoned_datetime(TimeZone::UTC).map(|z| z.timestamp().as_second()).unwrap_or_default();
    midnight.div_euclid(DAY_SECONDS) + UNIX_EPOCH_MJD
}

/// Parses `"+hhmm"` or `"-hhmm"` (RFC 5260 §4.1); returns seconds east of UTC.
pub(crate) fn zone(text: &str) -> Option<i32> {
    let (sign, digits) = text.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Converts a moment to the zone `seconds` east of UTC. Every result of [`zone`] is a valid offset; another one that is
/// out of range becomes UTC.
pub(crate) fn in_zone(moment: Timestamp, seconds: i32) -> ZonedDateTime {
    let offset = Offset::from_seconds(seconds).unwrap_or(Offset::UTC);
    moment.to_zoned_datetime(TimeZone::fixed(offset))
}

#[cfg(test)]
mod tests {
    use provost_message::SentDate;

    use super::*;

    fn header_date(value: &str) -> Option<ZonedDateTime> {
        SentDate::parse(value.as_bytes())?.zoned()
    }

    /// RFC 5260 §4.2.
    #[test]
    fn parts() {
        let moment = header_date("from a by b; Tue, 02 Jan 2007 03:04:05 -0500 (EST)").unwrap();
        for (name, expected) in [
            ("year", "2007"),
            ("month", "01"),
            ("day", "02"),
            ("date", "2007-01-02"),
            ("julian", "54102"),
            ("hour", "03"),
            ("minute", "04"),
            ("second", "05"),
            ("time", "03:04:05"),
            ("iso8601", "2007-01-02T03:04:05-05:00"),
            ("std11", "Tue, 02 Jan 2007 03:04:05 -0500"),
            ("zone", "-0500"),
            ("Weekday", "2"),
        ] {
            assert_eq!(DatePart::parse(name).unwrap().of(&moment), expected, "{name}");
        }
        assert_eq!(DatePart::parse("century"), None);
        let utc = in_zone(moment.timestamp(), 0);
        assert_eq!(DatePart::Iso8601.of(&utc), "2007-01-02T08:04:05Z");
        assert_eq!(DatePart::Zone.of(&utc), "+0000");
        assert_eq!(DatePart::Weekday.of(&header_date("7 Jan 2007 00:00:00 +0000").unwrap()), "0");
    }

    #[test]
    fn zones() {
        for (text, expected) in [
            ("+0000", Some(0)),
            ("-0500", Some(-18_000)),
            ("+0530", Some(19_800)),
            ("0500", None),
            ("+5", None),
            ("+2400", None),
            ("+0060", None),
            ("+05:0", None),
            ("é000", None),
            ("", None),
        ] {
            assert_eq!(zone(text), expected, "{text}");
        }
    }
}
