//! Fields of forms: their values as sent, and the mistakes in them.

use jiff::civil::Date;
use serde::Serialize;

/// A field and its error text.
pub(crate) type FieldProblem = (&'static str, String);

/// A form as it was sent, and the messages for its fields.
pub(crate) type SentForm<T> = (T, Vec<FieldProblem>);

/// A form field: its value and, when the value is wrong, the reason.
#[derive(Serialize)]
pub(crate) struct FormField {
    pub(crate) value: String,
    pub(crate) error: Option<String>,
}

/// The field `name` with `value`, and the message for it if the form was sent with a mistake there.
pub(crate) fn form_field<T>(sent: Option<&SentForm<T>>, name: &str, value: String) -> FormField {
    let wrong = sent.into_iter().flat_map(|(_, wrong)| wrong).find(|(field, _)| *field == name);
    FormField { value, error: wrong.map(|(_, text)| text.clone()) }
}

/// The day that a field states; `None` when it is blank.
pub(crate) fn read_day(text: &str) -> Result<Option<Date>, ()> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| ()),
    }
}

/// The text of a field for a day.
pub(crate) fn day_text(day: Option<Date>) -> String {
    day.map_or_else(String::new, |day| day.to_string())
}
