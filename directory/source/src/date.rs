//! Dates as people write them in files.

use jiff::civil::Date;

/// Form of the dates of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateFormat {
    /// `2026-09-01` (RFC 3339 §5.6).
    #[default]
    Iso,
    /// `20260901`.
    Basic,
    /// `2026/09/01`.
    YearSlash,
    /// `01/09/2026`: the day comes first.
    DaySlash,
    /// `09/01/2026`: the month comes first.
    MonthSlash,
    /// `01.09.2026`.
    DayDot,
    /// `01-09-2026`.
    DayDash,
}

impl DateFormat {
    /// All forms with their names in profiles.
    pub(crate) const NAMES: [(Self, &'static str); 7] = [
        (Self::Iso, "YYYY-MM-DD"),
        (Self::Basic, "YYYYMMDD"),
        (Self::YearSlash, "YYYY/MM/DD"),
        (Self::DaySlash, "DD/MM/YYYY"),
        (Self::MonthSlash, "MM/DD/YYYY"),
        (Self::DayDot, "DD.MM.YYYY"),
        (Self::DayDash, "DD-MM-YYYY"),
    ];

    /// Name of the form, such as `YYYY-MM-DD`.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(form, _)| *form == self).map_or("", |(_, name)| name)
    }

    /// Reads a date of this form, with each digit written; `None` for any other text, and for a day that does not
    /// exist.
    pub fn parse(self, text: &str) -> Option<Date> {
        let (mut year, mut month, mut day) = (0, 0, 0);
        let form = self.as_str();
        if form.len() != text.len() {
            return None;
        }
        for (form, octet) in form.bytes().zip(text.bytes()) {
            let digit = |number: i16| octet.is_ascii_digit().then(|| number * 10 + i16::from(octet - b'0'));
            match form {
                b'Y' => year = digit(year)?,
                b'M' => month = digit(month)?,
                b'D' => day = digit(day)?,
                separator if separator == octet => {}
                _ => return None,
            }
        }
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    }
}

/// Reads a date of the form `YYYY-MM-DD`; `None` for any other text, and for a day that does not exist.
pub fn parse_date(text: &str) -> Option<Date> {
    DateFormat::Iso.parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_by_its_own_rule() {
        let day = Date::constant(2026, 9, 1);
        for (form, text) in [
            (DateFormat::Iso, "2026-09-01"),
            (DateFormat::Basic, "20260901"),
            (DateFormat::YearSlash, "2026/09/01"),
            (DateFormat::DaySlash, "01/09/2026"),
            (DateFormat::MonthSlash, "09/01/2026"),
            (DateFormat::DayDot, "01.09.2026"),
            (DateFormat::DayDash, "01-09-2026"),
        ] {
            assert_eq!(form.parse(text), Some(day), "{text}");
            let others = DateFormat::NAMES.iter().filter(|(other, _)| *other != form);
            for (other, _) in others {
                assert_ne!(other.parse(text), Some(day), "{other:?} {text}");
            }
        }
    }

    #[test]
    fn other_forms_and_nonexistent_days_are_refused() {
        for bad in ["", "2026-7-1", "20260701", "2026-13-01", "2026-02-30", "01/07/2026", "2026-07-01T00", "２026-07-1"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
