//! Conversion between the days that people state and the moments that the directory holds.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_entry::time::{format_generalized, parse_generalized};

/// The first second of a day in `zone` as GeneralizedTime; `None` for a day that cannot be represented.
pub(crate) fn day_begins(zone: &TimeZone, date: Date) -> Option<String> {
    Some(format_generalized(zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?))
}

/// The last second of a day in `zone` as GeneralizedTime; `None` for a day that cannot be represented.
pub(crate) fn day_ends(zone: &TimeZone, date: Date) -> Option<String> {
    // Where clocks go back at midnight, 23:59:59 occurs twice: the later one ends the day.
    Some(format_generalized(zone.to_ambiguous_timestamp(date.at(23, 59, 59, 0)).later().ok()?))
}

/// The last second of the day in `zone` that is `days` days after the day of `from`, as GeneralizedTime; `None` for a
/// day that cannot be represented.
pub(crate) fn last_second(from: Timestamp, days: u32, zone: &TimeZone) -> Option<String> {
    day_ends(zone, zone.to_datetime(provost_policy::days_after(from, days, zone)?).date())
}

/// The first second of the day of a moment; the moment itself where the zone has no such second.
pub(crate) fn first_second(at: Timestamp, zone: &TimeZone) -> Timestamp {
    let day = zone.to_datetime(at).date();
    zone.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or(at)
}

/// The day in `zone` at a GeneralizedTime; `None` for text that is not a GeneralizedTime.
pub(crate) fn day_of(zone: &TimeZone, time: &str) -> Option<Date> {
    Some(zone.to_datetime(parse_generalized(time)?).date())
}

/// Converts a GeneralizedTime to RFC 3339; `None` for text that is not a GeneralizedTime.
pub(crate) fn rfc3339(time: &str) -> Option<String> {
    parse_generalized(time).map(|time: Timestamp| time.to_string())
}

#[cfg(test)]
mod tests {
    use provost_source::parse_date;

    use super::*;

    #[test]
    fn days_begin_and_end_by_the_clocks_of_the_zone() {
        for (zone, day, begins, ends) in [
            ("America/Toronto", "2026-07-01", "20260701040000Z", "20260702035959Z"),
            ("America/Toronto", "2026-12-24", "20261224050000Z", "20261225045959Z"),
            ("Europe/Paris", "2026-07-01", "20260630220000Z", "20260701215959Z"),
            ("UTC", "2026-12-24", "20261224000000Z", "20261224235959Z"),
            // Clocks go back from 24:00 to 23:00, and forward from 24:00 to 1:00.
            ("America/Santiago", "2024-04-06", "20240406030000Z", "20240407035959Z"),
            ("America/Santiago", "2024-09-08", "20240908040000Z", "20240909025959Z"),
        ] {
            let (zone, day) = (TimeZone::get(zone).unwrap(), parse_date(day).unwrap());
            assert_eq!(
                (day_begins(&zone, day).as_deref(), day_ends(&zone, day).as_deref()),
                (Some(begins), Some(ends))
            );
            assert_eq!((day_of(&zone, begins), day_of(&zone, ends)), (Some(day), Some(day)));
        }
    }
}
