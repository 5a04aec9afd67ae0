//! The page of one person: all that is known, and the forms.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::{AuditRecord, DeskError, PersonDetail, VacationChange};
use provost_store::{AccountId, Snapshot};
use serde::Serialize;

use crate::Web;
use crate::language::Language;
use crate::officer::SignedIn;
use crate::page::{desk_failure, page};
use crate::people::person_url;
use crate::vacation::{FieldMistake, VacationForm};

/// Audit records that the page shows.
const HISTORY_MAX: usize = 10;
/// Days between two replies when the rule states none (RFC 5230 §4.1).
const INTERVAL_DAYS_DEFAULT: u16 = 7;

/// What was wrong with a form, to be shown at its fields.
#[derive(Default)]
pub(crate) struct Mistakes {
    /// The address as it was sent, and the words.
    pub(crate) alias: Option<(String, String)>,
    /// The form as it was sent, and the words for its fields.
    pub(crate) vacation: Option<(VacationForm, Vec<FieldMistake>)>,
}

#[derive(Serialize)]
struct PersonPage {
    person: PersonView,
    errors: Vec<ErrorLink>,
    alias: Field,
    mailbox: Option<MailboxView>,
    vacation: VacationView,
    history: Vec<HistoryLine>,
}

#[derive(Serialize)]
struct PersonView {
    url: String,
    name: String,
    can_change: bool,
    facts: Vec<Labelled>,
    addresses: Vec<AddressRow>,
}

#[derive(Serialize)]
struct Labelled {
    label: String,
    value: String,
}

#[derive(Serialize)]
struct ErrorLink {
    field: String,
    label: String,
    text: String,
}

/// A field of a form: its value and, when it is wrong, why.
#[derive(Serialize)]
struct Field {
    value: String,
    error: Option<String>,
}

#[derive(Serialize)]
struct AddressRow {
    address: String,
    kind: String,
    since: String,
    remove_url: Option<String>,
}

#[derive(Serialize)]
struct MailboxView {
    octets: u64,
    quota_octets: Option<u64>,
    quota_high: u64,
    quota_text: String,
    logins: Vec<LoginLine>,
}

#[derive(Serialize)]
struct LoginLine {
    protocol: String,
    at: String,
    at_iso: String,
}

#[derive(Serialize)]
struct VacationView {
    is_set: bool,
    summary: String,
    shown: Vec<Labelled>,
    start: Field,
    end: Field,
    subject_fr: Field,
    subject_en: Field,
    text_fr: Field,
    text_en: Field,
    interval_days: Field,
}

#[derive(Serialize)]
struct HistoryLine {
    at: String,
    at_iso: String,
    actor: String,
    via: String,
    action: String,
    id: String,
}

/// Reads, audits the look, and shows.
pub(crate) async fn show(
    web: &Web,
    signed_in: &SignedIn,
    id: &str,
    mistakes: Mistakes,
    status: StatusCode,
) -> Response {
    let visitor = &signed_in.visitor;
    let desk = &web.site.desk;
    let detail = match desk.person(id).await {
        Ok(detail) => detail,
        Err(error) => return desk_failure(web, visitor, &error),
    };
    let looked = desk.audit.note(&signed_in.officer.actor(), "person.view", &detail.dn, serde_json::json!({})).await;
    if let Err(error) = looked {
        // A look that nobody would know of is not given.
        return desk_failure(web, visitor, &DeskError::Unavailable(format!("audit: {error}")));
    }
    let history = desk.audit.about(&detail.dn, HISTORY_MAX).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the history cannot be read");
        Vec::new()
    });
    let snapshot = web.site.store.snapshot(AccountId(detail.entry_uuid)).await.inspect_err(|error| {
        tracing::warn!(%error, account = %detail.entry_uuid, "no mailbox facts");
    });
    let can_change = signed_in.officer.may_change();
    let language = visitor.language;
    let quota = detail.quota_octets.or(web.site.default_quota);
    let body = PersonPage {
        mailbox: snapshot.ok().map(|snapshot| mailbox_view(&snapshot, quota, language)),
        history: history.into_iter().map(|record| history_line(record, language)).collect(),
        errors: error_links(&mistakes, language),
        alias: alias_field(&mistakes),
        vacation: vacation_view(detail.vacation.as_ref(), &mistakes, language),
        person: person_view(&detail, can_change, language),
    };
    // The page may answer a form: the language switch must lead to the page itself.
    let mut visitor = visitor.clone();
    visitor.here = person_url(id);
    page(web, &visitor, status, "person", &body)
}

fn person_view(detail: &PersonDetail, can_change: bool, language: Language) -> PersonView {
    let summary = &detail.summary;
    let url = person_url(&summary.id);
    let none = || language.say("person.none", &[]);
    let text = |text: &Option<String>| text.clone().unwrap_or_else(none);
    let moment = |text: &Option<String>| text.as_deref().map_or_else(none, moment);
    let password = if detail.has_password { "person.has_password_yes" } else { "person.has_password_no" };
    let facts = [
        ("person.state", language.name("state", &summary.state)),
        ("person.uid", summary.uid.clone()),
        ("person.mail", summary.mail.clone()),
        ("person.affiliation", language.name("affiliation", &summary.affiliation)),
        ("person.program", text(&detail.program)),
        ("person.start_date", text(&detail.start_date)),
        ("person.end_date", text(&detail.end_date)),
        ("person.sources", if detail.sources.is_empty() { none() } else { detail.sources.join(", ") }),
        ("person.has_password", language.say(password, &[])),
        ("person.created", moment(&detail.created)),
        ("person.modified", moment(&detail.modified)),
        ("person.id", summary.id.clone()),
    ];
    let address = |info: &provost_provision::AddressInfo| AddressRow {
        kind: language.name("kind", &info.kind),
        since: moment(&info.since),
        remove_url: (info.kind != "primary").then(|| {
            format!("{url}/addresses/remove?address={}", utf8_percent_encode(&info.address, NON_ALPHANUMERIC))
        }),
        address: info.address.clone(),
    };
    PersonView {
        name: summary.display_name.clone(),
        can_change,
        facts: facts.into_iter().map(|(key, value)| Labelled { label: language.say(key, &[]), value }).collect(),
        addresses: detail.addresses.iter().map(address).collect(),
        url,
    }
}

fn alias_field(mistakes: &Mistakes) -> Field {
    let (value, error) = mistakes.alias.clone().map_or((String::new(), None), |(value, error)| (value, Some(error)));
    Field { value, error }
}

/// Links from the top of the page to each field that is wrong.
fn error_links(mistakes: &Mistakes, language: Language) -> Vec<ErrorLink> {
    let link = |field: &str, key: &str, text: &str| ErrorLink {
        field: field.to_owned(),
        label: language.say(key, &[]),
        text: text.to_owned(),
    };
    let alias = mistakes.alias.iter().map(|(_, text)| link("address", "addresses.new", text));
    let vacation = mistakes.vacation.iter().flat_map(|(_, wrong)| wrong).map(|(field, text)| {
        let name = if *field == "interval_days" { "interval" } else { field };
        link(field, &format!("vacation.{name}"), text)
    });
    alias.chain(vacation).collect()
}

fn vacation_view(set: Option<&VacationChange>, mistakes: &Mistakes, language: Language) -> VacationView {
    let form = mistakes
        .vacation
        .as_ref()
        .map_or_else(|| set.map(VacationForm::from).unwrap_or_default(), |(form, _)| form.clone());
    let field = |name: &str, value: String| {
        let wrong = mistakes.vacation.iter().flat_map(|(_, wrong)| wrong).find(|(field, _)| *field == name);
        Field { value, error: wrong.map(|(_, text)| text.clone()) }
    };
    let texts = |change: &VacationChange| {
        let pairs = [
            ("vacation.subject_fr", change.subject_fr.clone()),
            ("vacation.text_fr", change.text_fr.clone()),
            ("vacation.subject_en", change.subject_en.clone()),
            ("vacation.text_en", change.text_en.clone()),
        ];
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some(Labelled { label: language.say(key, &[]), value: value? }))
            .collect()
    };
    VacationView {
        is_set: set.is_some(),
        summary: vacation_summary(set, language),
        shown: set.map(texts).unwrap_or_default(),
        start: field("start", form.start),
        end: field("end", form.end),
        subject_fr: field("subject_fr", form.subject_fr),
        subject_en: field("subject_en", form.subject_en),
        text_fr: field("text_fr", form.text_fr),
        text_en: field("text_en", form.text_en),
        interval_days: field("interval_days", form.interval_days),
    }
}

fn vacation_summary(set: Option<&VacationChange>, language: Language) -> String {
    let Some(change) = set else { return language.say("vacation.off", &[]) };
    let day = |date: Option<jiff::civil::Date>, open: &str| {
        date.map_or_else(|| language.say(open, &[]), |date| date.to_string())
    };
    let (start, end) = (day(change.start, "vacation.open_start"), day(change.end, "vacation.open_end"));
    let days = change.interval_days.unwrap_or(INTERVAL_DAYS_DEFAULT).to_string();
    language.say("vacation.on", &[("start", &start), ("end", &end), ("days", &days)])
}

fn mailbox_view(snapshot: &Snapshot, quota: Option<u64>, language: Language) -> MailboxView {
    let count = snapshot.mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum::<u64>().to_string();
    let used = octets(snapshot.octets, language);
    let quota_text = match quota {
        Some(quota) => {
            let percent = (u128::from(snapshot.octets) * 100 / u128::from(quota.max(1))).to_string();
            let quota = octets(quota, language);
            language
                .say("mailbox.used_of", &[("used", &used), ("quota", &quota), ("percent", &percent), ("count", &count)])
        }
        None => language.say("mailbox.used", &[("used", &used), ("count", &count)]),
    };
    let login = |(protocol, at): &(String, i64)| {
        let iso = Timestamp::from_second(*at).map_or_else(|_| at.to_string(), |time| time.to_string());
        LoginLine { protocol: protocol.clone(), at: moment(&iso), at_iso: iso }
    };
    MailboxView {
        octets: snapshot.octets,
        quota_octets: quota,
        // Where the bar warns: nine tenths. The text says the same in numbers.
        quota_high: quota.unwrap_or(0) / 10 * 9,
        quota_text,
        logins: snapshot.last_logins.iter().map(login).collect(),
    }
}

fn history_line(record: AuditRecord, language: Language) -> HistoryLine {
    HistoryLine {
        at: moment(&record.at),
        at_iso: record.at,
        actor: record.actor,
        via: record.via,
        action: language.name("action", &record.action),
        id: record.id,
    }
}

/// An RFC 3339 moment in the site's time zone, for people; what is no moment stays as it is.
fn moment(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Octets for people, in powers of a thousand, one decimal.
fn octets(octets: u64, language: Language) -> String {
    let (key, unit) = match octets {
        0..1_000 => return language.say("size.b", &[("n", &octets.to_string())]),
        1_000..1_000_000 => ("size.kb", 1_000),
        1_000_000..1_000_000_000 => ("size.mb", 1_000_000),
        _ => ("size.gb", 1_000_000_000),
    };
    let tenths = octets / (unit / 10);
    let point = if language == Language::French { ',' } else { '.' };
    language.say(key, &[("n", &format!("{}{point}{}", tenths / 10, tenths % 10))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (n, english, french) in [
            (0, "0 bytes", "0 octets"),
            (999, "999 bytes", "999 octets"),
            (10_240, "10.2 kB", "10,2 ko"),
            (1_500_000, "1.5 MB", "1,5 Mo"),
            (5_368_709_120, "5.3 GB", "5,3 Go"),
            (u64::MAX, "18446744073.7 GB", "18446744073,7 Go"),
        ] {
            assert_eq!(
                (octets(n, Language::English).as_str(), octets(n, Language::French).as_str()),
                (english, french)
            );
        }
    }

    #[test]
    fn the_quota_is_told_in_words() {
        let snapshot =
            |octets| Snapshot { mailboxes: Vec::new(), subscribed_only: Vec::new(), octets, last_logins: Vec::new() };
        let text = |octets, quota| mailbox_view(&snapshot(octets), quota, Language::English).quota_text;
        assert_eq!(text(500, Some(1000)), "500 bytes of 1.0 kB used (50 %). Messages: 0.");
        assert_eq!(text(500, Some(0)), "500 bytes of 0 bytes used (50000 %). Messages: 0.");
        assert_eq!(text(500, None), "500 bytes used, no quota. Messages: 0.");
    }
}
