//! Locks: setting one, releasing it, and the part of the person's page that shows them.

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::{Timestamp, ZonedDateTime};
use provost_provision::{Desk, DeskError, LockRequest, PersonLock};
use serde::{Deserialize, Serialize};

use crate::calendar::moment;
use crate::change::{change_and_return, redirect_with_flash, run_to_end};
use crate::form::SessionForm;
use crate::form_field::{FieldProblem, FormField, SentForm, form_field, read_day};
use crate::language::Language;
use crate::page::desk_failure;
use crate::person_page::{FormProblems, show_mistakes};
use crate::rule;
use crate::web::Web;

/// The form of a new lock, as it was sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LockForm {
    lock: String,
    lock_reason: String,
    lock_owner: String,
    lock_until: String,
}

impl LockForm {
    /// The lock that the form states, or the field that cannot be read.
    fn read(&self, desk: &Desk, language: Language) -> Result<LockRequest, FieldProblem> {
        let day = read_day(&self.lock_until).map_err(|()| ("lock_until", language.text("error.date", &[])))?;
        let until = match day.map(|day| desk.last_second_of(day)).transpose() {
            Ok(until) => until,
            Err(DeskError::Invalid { rule, .. }) => return Err(("lock_until", rule::in_words(&rule, language))),
            Err(error) => return Err(("lock_until", error.to_string())),
        };
        let owner = Some(self.lock_owner.trim()).filter(|owner| !owner.is_empty()).map(str::to_owned);
        Ok(LockRequest { name: self.lock.trim().to_owned(), owner, reason: self.lock_reason.clone(), until })
    }
}

/// The field of the form that the desk calls `name`.
fn field_of(name: &str) -> &'static str {
    match name {
        "reason" => "lock_reason",
        "owner" => "lock_owner",
        "until" => "lock_until",
        _ => "lock",
    }
}

/// Suspends the person by a lock. A form with a mistake is shown again, with a message at the wrong field.
pub(crate) async fn suspend(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<LockForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let language = signed_in.visitor.language;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let mistake = async |fields, problem| {
        let problems = FormProblems { lock: Some((fields, vec![problem])), ..FormProblems::default() };
        show_mistakes(&web, &signed_in, &id, problems).await
    };
    let request = match fields.read(&desk, language) {
        Ok(request) => request,
        Err(problem) => return Ok(mistake(fields, problem).await),
    };
    let name = request.name.clone();
    let change = async move { desk.suspend(&principal, &key, request, Timestamp::now()).await };
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(redirect_with_flash(&web, &signed_in, &id, "locks.added", name).await),
        Err(DeskError::Invalid { field, rule }) => {
            Ok(mistake(fields, (field_of(field), rule::in_words(&rule, language))).await)
        }
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

#[derive(Deserialize)]
pub(crate) struct ReleaseForm {
    #[serde(default)]
    lock: String,
}

/// Releases one lock; the others stay.
pub(crate) async fn release(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<ReleaseForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let (desk, principal) = (web.services.desk.clone(), signed_in.principal());
    let (key, name) = (id.clone(), fields.lock.clone());
    let change = async move { desk.release_lock(&principal, &key, &name, Timestamp::now()).await };
    change_and_return(&web, &signed_in, &id, change, ("locks.released", |_| fields.lock)).await
}

/// The locks on the person's page, and the form of a new one.
#[derive(Serialize)]
pub(crate) struct LocksSection {
    rows: Vec<LockRow>,
    /// Whether the form is unfolded, because it was sent with a mistake.
    is_open: bool,
    lock: FormField,
    reason: FormField,
    owner: FormField,
    until: FormField,
}

#[derive(Serialize)]
struct LockRow {
    name: String,
    owner: String,
    reason: String,
    since: String,
    until: String,
    state: String,
    /// The CSS class that colours the state.
    level: &'static str,
}

impl LocksSection {
    pub(crate) fn new(
        locks: &[PersonLock],
        sent: Option<&SentForm<LockForm>>,
        now: &ZonedDateTime,
        language: Language,
    ) -> Self {
        let form = sent.map(|(form, _)| form.clone()).unwrap_or_default();
        Self {
            rows: locks.iter().map(|lock| LockRow::new(lock, now, language)).collect(),
            is_open: sent.is_some(),
            lock: form_field(sent, "lock", form.lock),
            reason: form_field(sent, "lock_reason", form.lock_reason),
            owner: form_field(sent, "lock_owner", form.lock_owner),
            until: form_field(sent, "lock_until", form.lock_until),
        }
    }
}

impl LockRow {
    fn new(lock: &PersonLock, now: &ZonedDateTime, language: Language) -> Self {
        let time = |time: Option<Timestamp>, key| {
            time.map_or_else(|| language.text(key, &[]), |time| moment(&time.to_string(), now, language))
        };
        let (key, level) = if lock.stands { ("locks.stands", "bad") } else { ("locks.does_not_stand", "") };
        Self {
            name: lock.name.clone(),
            owner: lock.owner.clone(),
            reason: lock.reason.clone(),
            since: time(lock.since, "person.none"),
            until: time(lock.until, "locks.no_end"),
            state: language.text(key, &[]),
            level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_described_by_words_and_not_only_by_a_colour() {
        let now = "2027-01-05T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let lock = |until: Option<&str>, stands| PersonLock {
            name: "abuse".into(),
            since: "2027-01-05T08:30:00Z".parse().ok(),
            until: until.and_then(|until| until.parse().ok()),
            owner: "helen".into(),
            reason: "spam".into(),
            stands,
        };
        for (lock, until, state, level) in [
            (lock(None, true), "until it is released", "In force", "bad"),
            (lock(Some("2027-01-31T23:59:59Z"), true), "January 31, 2027 at 23:59", "In force", "bad"),
            (lock(Some("2027-01-04T23:59:59Z"), false), "yesterday at 23:59", "Not in force now", ""),
        ] {
            let row = LockRow::new(&lock, &now, Language::English);
            assert_eq!((row.until.as_str(), row.state.as_str(), row.level), (until, state, level));
            assert_eq!(row.since, "today at 8:30");
        }
    }

    #[test]
    fn each_field_of_a_request_has_one_in_the_form() {
        for (name, field) in
            [("lock", "lock"), ("reason", "lock_reason"), ("owner", "lock_owner"), ("until", "lock_until")]
        {
            assert_eq!(field_of(name), field);
        }
    }
}
