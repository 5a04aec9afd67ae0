//! The academic calendar: the days on which terms begin each year.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Maximum number of terms a year.
const TERMS_MAX: usize = 12;

/// The days on which terms begin, the same every year: `01-10 05-01 09-01`. Sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(Vec<(i8, i8)>);

impl Terms {
    /// Reads the days, each as `MM-DD`; the error is the broken rule. 29 February is refused: most years lack it.
    pub fn parse<'a>(days: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut starts = Vec::new();
        for text in days {
            let is_shaped = text.len() == 5;
            let date: Option<Date> = format!("2001-{text}").parse().ok().filter(|_| is_shaped);
            let date = date.ok_or_else(|| format!("'{text}' is not a day of every year; write it as 09-01"))?;
            starts.push((date.month(), date.day()));
        }
        starts.sort_unstable();
        starts.dedup();
        if (1..=TERMS_MAX).contains(&starts.len()) {
            Ok(Self(starts))
        } else {
            Err(format!("{} terms a year; 1 to {TERMS_MAX} are allowed", starts.len()))
        }
    }

    /// The end of the `count`-th whole term that begins after `from`: the first moment of the term that follows.
    /// `None` for a moment that cannot be represented.
    pub fn end_of(&self, count: u16, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let first_year = zone.to_datetime(from).year();
        let starts = (first_year..).flat_map(|year| self.0.iter().map(move |(month, day)| (year, *month, *day)));
        let mut following = 0;
        for (year, month, day) in starts {
            let start = zone.to_timestamp(Date::new(year, month, day).ok()?.at(0, 0, 0, 0)).ok()?;
            if start > from {
                if following == count {
                    return Some(start);
                }
                following += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_counts_only_when_it_begins_after_the_departure() {
        let terms = Terms::parse(["09-01", "01-10"].into_iter()).unwrap();
        for (from, count, end) in [
            ("2026-05-31T23:59:59Z", 1, "2027-01-10T00:00:00Z"),
            ("2026-05-31T23:59:59Z", 6, "2029-09-01T00:00:00Z"),
            ("2026-09-01T00:00:00Z", 1, "2027-09-01T00:00:00Z"),
            ("2026-12-31T00:00:00Z", 0, "2027-01-10T00:00:00Z"),
        ] {
            let end: Timestamp = end.parse().unwrap();
            assert_eq!(terms.end_of(count, from.parse().unwrap(), &TimeZone::UTC), Some(end), "{from} {count}");
        }
        assert_eq!(terms.end_of(u16::MAX, "9990-01-01T00:00:00Z".parse().unwrap(), &TimeZone::UTC), None);
    }

    #[test]
    fn days_that_some_years_lack_are_refused() {
        for bad in ["02-29", "13-01", "9-1", "09-31", "", "x"] {
            assert!(Terms::parse([bad].into_iter()).is_err(), "{bad}");
        }
        assert!(Terms::parse(std::iter::empty()).is_err());
    }
}
