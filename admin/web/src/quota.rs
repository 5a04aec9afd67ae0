//! The quota: setting a class, clearing it, and the part of the person's page that shows it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use provost_provision::{DeskError, QuotaChange};
use serde::{Deserialize, Serialize};

use crate::calendar::day;
use crate::change::{change_and_return, redirect_with_flash, run_to_end};
use crate::form::{NoFields, SessionForm};
use crate::form_field::{FormField, SentForm, day_text, form_field, read_day};
use crate::language::Language;
use crate::page::desk_failure;
use crate::person_page::{FormProblems, octets, show_mistakes};
use crate::rule;
use crate::web::Web;

/// The form as it was sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QuotaForm {
    quota_class: String,
    quota_until: String,
}

/// Sets the quota class. A form with a mistake is shown again, with a message at the wrong field.
pub(crate) async fn set(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<QuotaForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let language = signed_in.visitor.language;
    let mistake = async |fields, problem| {
        let problems = FormProblems { quota: Some((fields, vec![problem])), ..FormProblems::default() };
        show_mistakes(&web, &signed_in, &id, problems).await
    };
    let Ok(until) = read_day(&fields.quota_until) else {
        return Ok(mistake(fields, ("quota_until", language.text("error.date", &[]))).await);
    };
    let change = QuotaChange { class: Some(fields.quota_class.clone()), octets: None, until };
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.set_quota(&principal, &key, change, Timestamp::now()).await };
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(redirect_with_flash(&web, &signed_in, &id, "quota.saved", String::new()).await),
        Err(DeskError::Invalid { field, rule }) => {
            let field = if field == "until" { "quota_until" } else { "quota_class" };
            Ok(mistake(fields, (field, rule::in_words(&rule, language))).await)
        }
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

/// Clears the person's own quota: policies, files and the affiliation decide again.
pub(crate) async fn clear(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.clear_quota(&principal, &key, Timestamp::now()).await };
    change_and_return(&web, &signed_in, &id, change, ("quota.cleared", |_| String::new())).await
}

/// The quota on the person's page, and the form of its class.
#[derive(Serialize)]
pub(crate) struct QuotaSection {
    /// Whether the entry has a quota or a class of its own.
    is_set: bool,
    /// Whether the form is unfolded, because it was sent with a mistake.
    is_open: bool,
    summary: String,
    /// The classes of the setting `quota-classes`.
    options: Vec<ClassOption>,
    class: FormField,
    until: FormField,
}

#[derive(Serialize)]
struct ClassOption {
    class: String,
    label: String,
    is_selected: bool,
}

impl QuotaSection {
    /// `classes` is the setting `quota-classes`: octets by class, `None` for no bound.
    pub(crate) fn new(
        set: Option<&QuotaChange>,
        sent: Option<&SentForm<QuotaForm>>,
        classes: &BTreeMap<String, Option<u64>>,
        today: Date,
        language: Language,
    ) -> Self {
        let stored = || QuotaForm {
            quota_class: set.and_then(|change| change.class.clone()).unwrap_or_default(),
            quota_until: day_text(set.and_then(|change| change.until)),
        };
        let form = sent.map_or_else(stored, |(form, _)| form.clone());
        let option = |(class, bound): (&String, &Option<u64>)| ClassOption {
            class: class.clone(),
            label: format!("{class} ({})", bound_text(*bound, language)),
            is_selected: class.eq_ignore_ascii_case(form.quota_class.trim()),
        };
        Self {
            is_set: set.is_some(),
            is_open: sent.is_some(),
            summary: summary(set, classes, today, language),
            options: classes.iter().map(option).collect(),
            class: form_field(sent, "quota_class", form.quota_class),
            until: form_field(sent, "quota_until", form.quota_until),
        }
    }
}

fn bound_text(bound: Option<u64>, language: Language) -> String {
    bound.map_or_else(|| language.text("quota.no_bound", &[]), |bound| octets(bound, language))
}

/// Where the person's quota comes from, and until when.
fn summary(
    set: Option<&QuotaChange>,
    classes: &BTreeMap<String, Option<u64>>,
    today: Date,
    language: Language,
) -> String {
    let Some(change) = set else { return language.text("quota.of_affiliation", &[]) };
    let what = match (change.octets, change.class.as_deref().unwrap_or_default()) {
        (Some(bound), _) => language.text("quota.own", &[("octets", &octets(bound, language))]),
        (None, class) => match classes.get(&class.to_ascii_lowercase()) {
            Some(bound) => {
                language.text("quota.of_class", &[("class", class), ("octets", &bound_text(*bound, language))])
            }
            None => language.text("quota.unknown_class", &[("class", class)]),
        },
    };
    match change.until.map(|until| day(until, language)) {
        None => what,
        Some(end) if change.holds_on(today) => language.text("quota.until", &[("what", &what), ("end", &end)]),
        Some(end) => language.text("quota.over", &[("what", &what), ("end", &end)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> BTreeMap<String, Option<u64>> {
        BTreeMap::from([("research".to_owned(), Some(5_000_000_000)), ("staff".to_owned(), None)])
    }

    #[test]
    fn the_source_of_the_quota_is_named() {
        let today = "2027-01-05".parse().unwrap();
        let of = |class: Option<&str>, octets, until: &str| QuotaChange {
            class: class.map(str::to_owned),
            octets,
            until: until.parse().ok(),
        };
        for (change, text) in [
            (None, "By affiliation."),
            (Some(of(Some("research"), None, "")), "Class research (5.0 GB)."),
            (Some(of(Some("staff"), None, "")), "Class staff (no bound)."),
            (Some(of(Some("research"), Some(1_000_000), "")), "Own quota: 1.0 MB."),
            (
                Some(of(Some("research"), None, "2027-01-05")),
                "Class research (5.0 GB). Up to and including January 5, 2027.",
            ),
            (
                Some(of(Some("research"), None, "2027-01-04")),
                "Class research (5.0 GB). Over, last day January 4, 2027: the affiliation decides.",
            ),
            (Some(of(Some("gone"), None, "")), "Class gone, which the settings do not have: the affiliation decides."),
        ] {
            assert_eq!(summary(change.as_ref(), &classes(), today, Language::English), text);
        }
    }

    #[test]
    fn the_form_offers_the_classes_of_the_settings() {
        let today = "2027-01-05".parse().unwrap();
        let change = QuotaChange { class: Some("research".into()), ..QuotaChange::default() };
        let section = QuotaSection::new(Some(&change), None, &classes(), today, Language::English);
        let options: Vec<_> =
            section.options.iter().map(|option| (option.label.as_str(), option.is_selected)).collect();
        assert_eq!(options, [("research (5.0 GB)", true), ("staff (no bound)", false)]);
    }
}
