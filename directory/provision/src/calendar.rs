//! Days as people state them, and the moments that the directory holds.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::time::{generalized, parse_generalized};

/// The site's time zone: a day of a vacation or of an enrolment begins and ends there.
const SITE_TIME_ZONE: &str = "America/Toronto";
/// The same as a rule, for a machine without a time zone database.
const SITE_TIME_ZONE_RULE: &str = "EST5EDT,M3.2.0,M11.1.0";

/// The site's clock.
pub fn site_time_zone() -> TimeZone {
    TimeZone::get(SITE_TIME_ZONE).or_else(|_| TimeZone::posix(SITE_TIME_ZONE_RULE)).unwrap_or(TimeZone::UTC)
}

/// The first moment of a day as GeneralizedTime; `None` beyond the years that can be represented.
pub(crate) fn day_begins(date: Date) -> Option<String> {
    day_begins_in(&site_time_zone(), date)
}

/// The first moment of a day of that time zone as GeneralizedTime; `None` beyond the years that can be represented.
pub(crate) fn day_begins_in(zone: &TimeZone, date: Date) -> Option<String> {
    Some(generalized(zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?))
}

/// The last second of a day as GeneralizedTime; `None` beyond the years that can be represented.
pub(crate) fn day_ends(date: Date) -> Option<String> {
    day_ends_in(&site_time_zone(), date)
}

/// The last second of a day of that time zone as GeneralizedTime; `None` beyond the years that can be represented.
pub(crate) fn day_ends_in(zone: &TimeZone, date: Date) -> Option<String> {
    Some(generalized(zone.to_timestamp(date.at(23, 59, 59, 0)).ok()?))
}

/// The site's day at a GeneralizedTime; `None` when it is none.
pub(crate) fn day_of(time: &str) -> Option<Date> {
    Some(site_time_zone().to_datetime(parse_generalized(time)?).date())
}

/// A GeneralizedTime as RFC 3339; `None` when it is none.
pub(crate) fn rfc3339(time: &str) -> Option<String> {
    parse_generalized(time).map(|time: Timestamp| time.to_string())
}

/// Reads `YYYY-MM-DD` and nothing else.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if shape { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_at_the_site() {
        let date = parse_date("2026-07-01").unwrap();
        assert_eq!(day_begins(date).as_deref(), Some("20260701040000Z"));
        assert_eq!(day_ends(date).as_deref(), Some("20260702035959Z"));
        let winter = parse_date("2026-12-24").unwrap();
        assert_eq!(day_begins(winter).as_deref(), Some("20261224050000Z"));
        for day in [date, winter] {
            assert_eq!(day_of(&day_begins(day).unwrap()), Some(day));
            assert_eq!(day_of(&day_ends(day).unwrap()), Some(day));
        }
    }

    #[test]
    fn dates_have_one_form() {
        for bad in ["", "2026-7-1", "20260701", "2026-13-01", "2026-02-30", "01/07/2026", "2026-07-01T00", "２026-07-1"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
