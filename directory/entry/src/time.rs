//! GeneralizedTime (RFC 4517 §3.3.13): `20260831235959Z`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Writes `YYYYMMDDHHMMSSZ`; a fraction of a second is cut off.
pub fn format_generalized(time: Timestamp) -> String {
    time.strftime("%Y%m%d%H%M%SZ").to_string()
}

/// Parses `YYYYMMDDHH[MM[SS]][(.|,)fraction]Z`; `None` for any other text. The fraction belongs to the last unit
/// given: that of an hour or minute is rounded to seconds, that of a second is cut off. Offsets other than `Z` are not
/// supported: OpenLDAP, 389-DS and the embedded server write none.
pub fn parse_generalized(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (digits, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(digits) || !are_digits(fraction) || !matches!(digits.len(), 10 | 12 | 14) {
        return None;
    }
    let field = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<i16>().ok());
    let civil = DateTime::new(
        field(0, 4)?,
        field(4, 6)? as i8,
        field(6, 8)? as i8,
        field(8, 10)? as i8,
        field(10, 12)? as i8,
        // A leap second becomes the last second of its minute.
        field(12, 14).filter(|second| *second <= 60)?.min(59) as i8,
        0,
    );
    let unit = match digits.len() {
        10 => SignedDuration::from_hours(1),
        12 => SignedDuration::from_mins(1),
        _ => SignedDuration::ZERO,
    };
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let rest = SignedDuration::from_secs((unit.as_secs_f64() * fraction).round() as i64);
    TimeZone::UTC.to_timestamp(civil.ok()?).ok()?.checked_add(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let time = parse_generalized("20260831235959Z").unwrap();
        assert_eq!(format_generalized(time), "20260831235959Z");
        for (text, expected) in [
            ("2026083123Z", "20260831230000Z"),
            ("2026083123.5Z", "20260831233000Z"),
            ("202608312315,25Z", "20260831231515Z"),
            ("20261231235959.999Z", "20261231235959Z"),
            ("20261231235960,5Z", "20261231235959Z"),
        ] {
            assert_eq!(format_generalized(parse_generalized(text).unwrap()), expected, "{text}");
        }
        for bad in [
            "",
            "20260831235959",
            "20261331000000Z",
            "2026083123595+Z",
            "20260831235959+0200",
            "20260831235959.Z",
            "20260831235959.xZ",
            "20260831235959.1.2Z",
            "20260831235961Z",
        ] {
            assert_eq!(parse_generalized(bad), None, "{bad}");
        }
    }
}
