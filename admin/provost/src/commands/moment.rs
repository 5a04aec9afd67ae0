//! Days and times in arguments.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A day, or an exact time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A day of the site's time zone.
    Day(Date),
    /// RFC 3339.
    Time(Timestamp),
}

/// Reads `2026-09-01` or `2026-09-01T08:30:00Z`.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse() {
        return Ok(Moment::Time(time));
    }
    let day = text.parse().map(Moment::Day);
    day.map_err(|_| "a day (2026-09-01) or a time (2026-09-01T08:30:00Z)".to_owned())
}

impl Moment {
    /// The time, or the beginning of the day.
    pub(crate) fn beginning(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Time(time) => time,
            Self::Day(day) => zone.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN),
        }
    }

    /// The time, or the end of the day: the beginning of the next one.
    pub(crate) fn end(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Time(time) => time,
            Self::Day(day) => day.tomorrow().map_or(Timestamp::MAX, |day| Self::Day(day).beginning(zone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_site() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let day = parse("2026-07-01").unwrap();
        assert_eq!(day.beginning(&zone).to_string(), "2026-07-01T04:00:00Z");
        assert_eq!(day.end(&zone).to_string(), "2026-07-02T04:00:00Z");
        let time = parse("2026-07-01T10:00:00+02:00").unwrap();
        assert_eq!(time.end(&zone).to_string(), "2026-07-01T08:00:00Z");
        for bad in ["", "yesterday", "2026-13-01", "01/07/2026"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
