//! The forwarding: setting it, clearing it, and the part of the person's page that shows it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use provost_provision::{DeskError, ForwardingChange, Permission};
use serde::{Deserialize, Serialize};

use crate::calendar::period;
use crate::change::{change_and_return, redirect_with_flash, run_to_end};
use crate::form::{NoFields, SessionForm};
use crate::form_field::{FieldProblem, FormField, SentForm, day_text, form_field, read_day};
use crate::language::Language;
use crate::page::{desk_failure, page};
use crate::person_link::person_url;
use crate::person_page::{FormProblems, show_mistakes};
use crate::rule;
use crate::signed_in::SignedIn;
use crate::web::Web;

/// The form as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ForwardingForm {
    /// One address on each line.
    forward_to: String,
    forward_start: String,
    forward_end: String,
    /// Blank when the box is not checked.
    keep_copy: String,
}

impl ForwardingForm {
    /// The forwarding that the form states, or the fields that cannot be read.
    fn read(&self, language: Language) -> Result<ForwardingChange, Vec<FieldProblem>> {
        let day = |field, text| read_day(text).map_err(|()| (field, language.text("error.date", &[])));
        match (day("forward_start", &self.forward_start), day("forward_end", &self.forward_end)) {
            (Ok(start), Ok(end)) => {
                let to = self.forward_to.lines().map(str::trim).filter(|line| !line.is_empty());
                let keep_copy = !self.keep_copy.is_empty();
                Ok(ForwardingChange { to: to.map(str::to_owned).collect(), start, end, keep_copy })
            }
            (start, end) => Err([start.err(), end.err()].into_iter().flatten().collect()),
        }
    }
}

impl From<&ForwardingChange> for ForwardingForm {
    fn from(change: &ForwardingChange) -> Self {
        Self {
            forward_to: change.to.join("\n"),
            forward_start: day_text(change.start),
            forward_end: day_text(change.end),
            keep_copy: if change.keep_copy { "yes".to_owned() } else { String::new() },
        }
    }
}

/// The field of the form that the desk calls `name`.
fn field_of(name: &str) -> &'static str {
    match name {
        "start" => "forward_start",
        "end" => "forward_end",
        _ => "forward_to",
    }
}

/// Sets the forwarding. A form with mistakes is shown again, with a message at each wrong field.
pub(crate) async fn set(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<ForwardingForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let language = signed_in.visitor.language;
    let mistakes = async |fields, wrong| {
        let problems = FormProblems { forwarding: Some((fields, wrong)), ..FormProblems::default() };
        show_mistakes(&web, &signed_in, &id, problems).await
    };
    let change = match fields.read(language) {
        Ok(change) => change,
        Err(wrong) => return Ok(mistakes(fields, wrong).await),
    };
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.set_forwarding(&principal, &key, change, Timestamp::now()).await };
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(redirect_with_flash(&web, &signed_in, &id, "forwarding.saved", String::new()).await),
        Err(DeskError::Invalid { field, rule }) => {
            Ok(mistakes(fields, vec![(field_of(field), rule::in_words(&rule, language))]).await)
        }
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

#[derive(Serialize)]
struct ForwardingClearPage {
    url: String,
    name: String,
    addresses: Vec<String>,
}

/// Asks for confirmation before the forwarding is cleared.
pub(crate) async fn confirm_clear(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let (visitor, principal, desk) = (&signed_in.visitor, &signed_in.user.principal, &web.services.desk);
    let failed = |error: &DeskError| desk_failure(visitor, error);
    let person = desk.person(principal, &id).await.map_err(|error| failed(&error))?;
    desk.permit_for(principal, Permission::SetForwarding, &person).await.map_err(|error| failed(&error))?;
    let addresses = person.forwarding.map(|forwarding| forwarding.to).unwrap_or_default();
    let body = ForwardingClearPage { url: person_url(&id), name: person.summary.display_name, addresses };
    Ok(page(visitor, StatusCode::OK, "forwarding_clear", &body))
}

/// Clears the forwarding, if one is set.
pub(crate) async fn clear(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.clear_forwarding(&principal, &key, Timestamp::now()).await };
    change_and_return(&web, &signed_in, &id, change, ("forwarding.cleared", |_| String::new())).await
}

/// The forwarding on the person's page, and its form.
#[derive(Serialize)]
pub(crate) struct ForwardingSection {
    is_set: bool,
    /// Whether the form is unfolded, because it was sent with mistakes.
    is_open: bool,
    /// Whether mail is forwarded today, and until when.
    pub(crate) summary: String,
    /// The CSS class that colours the summary.
    pub(crate) level: &'static str,
    addresses: Vec<String>,
    /// Whether the mailbox gets a copy, in words; `None` without a forwarding.
    copy: Option<String>,
    to: FormField,
    start: FormField,
    end: FormField,
    keep_copy: bool,
}

impl ForwardingSection {
    pub(crate) fn new(
        set: Option<&ForwardingChange>,
        sent: Option<&SentForm<ForwardingForm>>,
        today: Date,
        language: Language,
    ) -> Self {
        // Without a forwarding, the box for the copy is checked: no message can then be lost at the other address.
        let unset = || ForwardingForm::from(&ForwardingChange { keep_copy: true, ..ForwardingChange::default() });
        let stored = || set.map_or_else(unset, ForwardingForm::from);
        let form = sent.map_or_else(stored, |(form, _)| form.clone());
        let dates = set.map(|change| (change.start, change.end));
        let (summary, level) = period("forwarding", dates, today, language);
        let copy_key = |change: &ForwardingChange| {
            if change.keep_copy { "forwarding.with_copy" } else { "forwarding.without_copy" }
        };
        Self {
            is_set: set.is_some(),
            is_open: sent.is_some(),
            summary,
            level,
            addresses: set.map(|change| change.to.clone()).unwrap_or_default(),
            copy: set.map(|change| language.text(copy_key(change), &[])),
            to: form_field(sent, "forward_to", form.forward_to),
            start: form_field(sent, "forward_start", form.forward_start),
            end: form_field(sent, "forward_end", form.forward_end),
            keep_copy: !form.keep_copy.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(to: &str, start: &str, end: &str, keep_copy: &str) -> ForwardingForm {
        ForwardingForm {
            forward_to: to.into(),
            forward_start: start.into(),
            forward_end: end.into(),
            keep_copy: keep_copy.into(),
        }
    }

    #[test]
    fn a_form_is_read_line_by_line_or_its_wrong_fields_are_named() {
        let change = form(" a@example.net\r\n\r\nb@example.net ", "", "2027-01-31", "yes").read(Language::English);
        let change = change.unwrap();
        assert_eq!(change.to, ["a@example.net", "b@example.net"]);
        assert_eq!((change.start, change.end, change.keep_copy), (None, "2027-01-31".parse().ok(), true));
        let again = ForwardingForm::from(&change);
        assert_eq!(again, form("a@example.net\nb@example.net", "", "2027-01-31", "yes"));
        assert!(!form("a@example.net", "", "", "").read(Language::English).unwrap().keep_copy);
        for (start, end, fields) in [
            ("tomorrow", "", vec!["forward_start"]),
            ("2027-02-30", "31.12.2027", vec!["forward_start", "forward_end"]),
        ] {
            let wrong = form("a@example.net", start, end, "").read(Language::French).unwrap_err();
            assert_eq!(wrong.into_iter().map(|(field, _)| field).collect::<Vec<_>>(), fields);
        }
    }

    #[test]
    fn a_copy_is_kept_unless_the_form_says_otherwise() {
        let today = "2027-01-05".parse().unwrap();
        let section = |set: Option<&ForwardingChange>, sent: Option<&SentForm<ForwardingForm>>| {
            ForwardingSection::new(set, sent, today, Language::English)
        };
        let away = ForwardingChange { to: vec!["a@example.net".into()], ..ForwardingChange::default() };
        assert!(section(None, None).keep_copy);
        assert!(!section(Some(&away), None).keep_copy);
        let sent = (form("x", "", "", ""), vec![("forward_to", "wrong".to_owned())]);
        let again = section(None, Some(&sent));
        assert!(!again.keep_copy && again.is_open && again.to.error.as_deref() == Some("wrong"));
        assert_eq!(section(Some(&away), None).summary, "On, without an end");
    }

    proptest::proptest! {
        #[test]
        fn no_form_makes_the_reader_panic(to in ".{0,40}", start in ".{0,20}", end in ".{0,20}") {
            let _ = form(&to, &start, &end, "").read(Language::French);
        }
    }
}
