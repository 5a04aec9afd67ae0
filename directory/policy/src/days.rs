//! Days of a site: the same time of day, some days later or earlier by the clocks of its zone.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The same time of day `days` days after `from` in `zone`; `None` for a moment that cannot be represented.
pub fn days_after(from: Timestamp, days: u32, zone: &TimeZone) -> Option<Timestamp> {
    let span = Span::new().try_days(i64::from(days)).ok()?;
    zone.to_timestamp(zone.to_datetime(from).checked_add(span).ok()?).ok()
}

/// The same time of day `days` days before `until` in `zone`; `None` for a moment that cannot be represented.
pub fn days_before(until: Timestamp, days: u32, zone: &TimeZone) -> Option<Timestamp> {
    let span = Span::new().try_days(i64::from(days)).ok()?;
    zone.to_timestamp(zone.to_datetime(until).checked_sub(span).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_keep_the_time_of_day_when_clocks_change() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let (summer, winter) = ("2026-09-01T03:59:59Z".parse().unwrap(), "2026-11-30T04:59:59Z".parse().unwrap());
        assert_eq!(days_after(summer, 90, &zone), Some(winter));
        assert_eq!(days_before(winter, 90, &zone), Some(summer));
        assert_eq!(days_after(Timestamp::MAX, 1, &zone), None);
        assert_eq!(days_before(Timestamp::MIN, 1, &zone), None);
    }
}
