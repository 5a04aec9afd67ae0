//! Dates as people write them in files.

use jiff::civil::Date;

/// Reads a date of the form `YYYY-MM-DD`; `None` for any other text, and for a day that does not exist.
pub fn parse_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if shape { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_and_nonexistent_days_are_refused() {
        for bad in ["", "2026-7-1", "20260701", "2026-13-01", "2026-02-30", "01/07/2026", "2026-07-01T00", "２026-07-1"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
