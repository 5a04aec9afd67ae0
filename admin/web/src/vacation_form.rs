//! The form of a vacation reply: its fields as sent, and the vacation rule that they state.

use provost_provision::VacationChange;
use serde::Deserialize;

use crate::form_field::{FieldProblem, day_text, read_day};
use crate::language::Language;

/// Days between two replies to one sender. The desk has the same bounds; RFC 5230 §4.1 lets a site set both.
const INTERVAL_DAYS: std::ops::RangeInclusive<u16> = 1..=365;

/// The fields as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct VacationForm {
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) subject_fr: String,
    pub(crate) subject_en: String,
    pub(crate) text_fr: String,
    pub(crate) text_en: String,
    pub(crate) interval_days: String,
}

impl VacationForm {
    /// The vacation rule that the form states, or every mistake that shows without asking the desk, in `language`.
    pub(crate) fn read(&self, language: Language) -> Result<VacationChange, Vec<FieldProblem>> {
        let mut mistakes = Vec::new();
        let mut wrong = |field: &'static str, key: &str| mistakes.push((field, language.text(key, &[])));
        let start = read_day(&self.start).unwrap_or_else(|()| {
            wrong("start", "error.date");
            None
        });
        let end = read_day(&self.end).unwrap_or_else(|()| {
            wrong("end", "error.date");
            None
        });
        if start.is_some_and(|start| end.is_some_and(|end| end < start)) {
            wrong("end", "error.vacation_order");
        }
        let interval_days = match self.interval_days.trim() {
            "" => None,
            text => text.parse::<u16>().ok().filter(|days| INTERVAL_DAYS.contains(days)).or_else(|| {
                wrong("interval_days", "error.interval");
                None
            }),
        };
        let (text_fr, text_en) = (text(&self.text_fr), text(&self.text_en));
        if text_fr.is_none() && text_en.is_none() {
            wrong("text_fr", "error.vacation_text");
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (subject_fr, subject_en) = (text(&self.subject_fr), text(&self.subject_en));
        Ok(VacationChange { start, end, subject_fr, subject_en, text_fr, text_en, interval_days })
    }
}

impl From<&VacationChange> for VacationForm {
    fn from(change: &VacationChange) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            start: day_text(change.start),
            end: day_text(change.end),
            subject_fr: text(&change.subject_fr),
            subject_en: text(&change.subject_en),
            text_fr: text(&change.text_fr),
            text_en: text(&change.text_en),
            interval_days: change.interval_days.map_or(String::new(), |days| days.to_string()),
        }
    }
}

/// `None` when blank. Browsers send CRLF line ends in forms; the directory holds LF.
fn text(text: &str) -> Option<String> {
    let text = text.replace("\r\n", "\n").trim_end().to_owned();
    (!text.trim().is_empty()).then_some(text)
}

/// The field of this form that the desk calls `name`; `None` if the form has none.
pub(crate) fn field_of(name: &str) -> Option<&'static str> {
    ["start", "end", "subject_fr", "subject_en", "text_fr", "text_en", "interval_days"]
        .into_iter()
        .find(|field| *field == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(start: &str, end: &str, days: &str, text_fr: &str) -> VacationForm {
        VacationForm {
            start: start.into(),
            end: end.into(),
            interval_days: days.into(),
            text_fr: text_fr.into(),
            ..VacationForm::default()
        }
    }

    #[test]
    fn reads_a_form_or_names_its_wrong_fields() {
        let wrong = |form: VacationForm| -> Vec<&str> {
            form.read(Language::English).err().unwrap_or_default().into_iter().map(|(field, _)| field).collect()
        };
        assert!(wrong(fields("", "", "", "Absent")).is_empty());
        assert!(wrong(fields("2026-12-24", "2026-12-24", "365", "Absent")).is_empty());
        assert_eq!(wrong(fields("24.12.2026", "x", "0", "")), ["start", "end", "interval_days", "text_fr"]);
        assert_eq!(wrong(fields("2026-12-24", "2026-12-23", "366", "a")), ["end", "interval_days"]);
        assert_eq!(wrong(fields("2026-02-30", "", "7", " \r\n ")), ["start", "text_fr"]);
    }

    #[test]
    fn line_ends_become_lf_and_a_rule_fills_the_form() {
        let change = fields("2026-12-24", "", "", "un\r\ndeux\r\n").read(Language::French).unwrap();
        assert_eq!(change.text_fr.as_deref(), Some("un\ndeux"));
        let again = VacationForm::from(&change);
        assert_eq!((again.start.as_str(), again.end.as_str(), again.text_fr.as_str()), ("2026-12-24", "", "un\ndeux"));
    }

    proptest::proptest! {
        #[test]
        fn no_form_makes_the_reader_panic(start in ".{0,20}", days in ".{0,8}", text in ".{0,40}") {
            let _ = fields(&start, &start, &days, &text).read(Language::French);
        }
    }
}
