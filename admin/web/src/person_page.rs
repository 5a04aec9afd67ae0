//! The page of one person: their data, mailbox and history, and the forms for changes.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use jiff::{Timestamp, ZonedDateTime};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::{
    CredentialDetail, Desk, HistoryEntry, Permission, PersonDetail, Principal, VacationChange, ValueChange,
};
use provost_store::{AccountId, AccountSnapshot};
use provost_view::{SharedSettings, VACATION_INTERVAL_DAYS};
use serde::Serialize;

use crate::by_hand::ByHandRow;
use crate::calendar::{day_of, moment, period};
use crate::form_field::{FormField, SentForm, form_field};
use crate::forwarding::{ForwardingForm, ForwardingSection};
use crate::language::Language;
use crate::locks::{LockForm, LocksSection};
use crate::page::{desk_failure, page};
use crate::people::can_be_removed;
use crate::person_link::{person_url, state_level};
use crate::quota::{QuotaForm, QuotaSection};
use crate::signed_in::SignedIn;
use crate::vacation_form::VacationForm;
use crate::web::Web;

/// Maximum number of audit records that the page shows.
const HISTORY_MAX: usize = 10;
/// Percentage of its quota from which a mailbox counts as nearly full.
const NEARLY_FULL_PERCENT: u128 = 90;

/// The mistakes of a form that was sent, which the page shows at the fields.
#[derive(Default)]
pub(crate) struct FormProblems {
    /// The address as sent, and the message.
    pub(crate) alias: Option<(String, String)>,
    pub(crate) vacation: Option<SentForm<VacationForm>>,
    pub(crate) lock: Option<SentForm<LockForm>>,
    pub(crate) forwarding: Option<SentForm<ForwardingForm>>,
    pub(crate) quota: Option<SentForm<QuotaForm>>,
}

#[derive(Serialize)]
struct PersonPage {
    person: PersonData,
    errors: Vec<ErrorLink>,
    alias: FormField,
    mailbox: Option<MailboxData>,
    vacation: VacationData,
    locks: LocksSection,
    forwarding: ForwardingSection,
    quota: QuotaSection,
    by_hand: Vec<ByHandRow>,
    /// `None` when the audit cannot be read.
    history: Option<HistoryData>,
}

#[derive(Serialize)]
struct PersonData {
    url: String,
    name: String,
    mail: String,
    affiliation: String,
    program: Option<String>,
    can: ShownForms,
    glance: Vec<GlanceLine>,
    facts: Vec<LabelledText>,
    addresses: Vec<AddressRow>,
}

/// The forms that the page shows. The operations check the permission again.
#[derive(Serialize)]
struct ShownForms {
    reset: bool,
    activation: bool,
    vacation: bool,
    addresses: bool,
    suspend: bool,
    forwarding: bool,
    quota: bool,
    any: bool,
}

impl ShownForms {
    /// The forms of changes that `principal` may make on the person.
    fn allowed(detail: &PersonDetail, principal: &Principal) -> Self {
        let may = |operation| may_on(detail, principal, operation);
        // The page of the reset opens only for users who may reset any person's password, not only their own.
        let reset = principal.may(Permission::ResetPassword) && may(Permission::ResetPassword);
        let activation = may(Permission::SendActivation) && (!detail.has_password || reset);
        let (vacation, addresses) = (may(Permission::SetVacation), may(Permission::ChangeAddresses));
        let (suspend, forwarding) = (may(Permission::SuspendPerson), may(Permission::SetForwarding));
        let quota = may(Permission::SetQuota);
        let any = reset || activation || vacation || addresses || suspend || forwarding || quota;
        Self { reset, activation, vacation, addresses, suspend, forwarding, quota, any }
    }
}

/// Whether `principal` may perform an operation on the person. Only what the page shows depends on it.
fn may_on(detail: &PersonDetail, principal: &Principal, operation: Permission) -> bool {
    principal.may_on(operation, Some(detail.entry_uuid), detail.roles.iter().map(String::as_str))
}

#[derive(Serialize)]
struct LabelledText {
    label: String,
    value: String,
}

/// One line of the summary at the head of the page.
#[derive(Serialize)]
struct GlanceLine {
    label: String,
    value: String,
    /// The CSS class that colours the value; empty for none.
    level: &'static str,
    /// Whether people who may view nobody else see the line.
    #[serde(skip)]
    is_on_own_page: bool,
}

/// Subject and text of a vacation reply in one language.
#[derive(Serialize)]
struct ShownText {
    label: String,
    lang: &'static str,
    subject: Option<String>,
    text: Option<String>,
}

#[derive(Serialize)]
struct ErrorLink {
    field: String,
    label: String,
    text: String,
}

#[derive(Serialize)]
struct AddressRow {
    address: String,
    kind: String,
    since: String,
    /// The end of the quarantine, if the address is in one.
    until: Option<String>,
    remove_url: Option<String>,
}

#[derive(Serialize)]
struct MailboxData {
    octets: u64,
    quota_octets: Option<u64>,
    /// Octets above which the bar changes its colour.
    quota_high: u64,
    quota_text: String,
    /// The line for the summary, and the CSS class of its colour.
    #[serde(skip)]
    glance: (String, &'static str),
    logins: Vec<LoginLine>,
}

#[derive(Serialize)]
struct LoginLine {
    protocol: String,
    at: String,
    at_iso: String,
}

#[derive(Serialize)]
struct VacationData {
    is_set: bool,
    /// Whether the form is unfolded, because it was sent with mistakes.
    is_open: bool,
    summary: String,
    level: &'static str,
    /// How often one sender gets a reply.
    rhythm: Option<String>,
    texts: Vec<ShownText>,
    start: FormField,
    end: FormField,
    subject_fr: FormField,
    subject_en: FormField,
    text_fr: FormField,
    text_en: FormField,
    interval_days: FormField,
}

#[derive(Serialize)]
struct HistoryData {
    lines: Vec<HistoryLine>,
}

#[derive(Serialize)]
struct HistoryLine {
    at: String,
    at_iso: String,
    actor: String,
    via: String,
    action: String,
    id: String,
    /// The outcome, unless the operation succeeded completely.
    outcome: Option<String>,
    /// One text for each changed attribute, for a first password and for the row of an import.
    details: Vec<String>,
}

/// Shows the page of a person again after a form was sent with mistakes.
pub(crate) async fn show_mistakes(web: &Web, signed_in: &SignedIn, id: &str, mistakes: FormProblems) -> Response {
    show(web, signed_in, id, mistakes, StatusCode::UNPROCESSABLE_ENTITY).await
}

/// Shows the page of a person, with `mistakes` of a form that was just sent. Reading the person audits the view. People
/// who may view nobody else get a page with only what is theirs to see and change.
pub(crate) async fn show(
    web: &Web,
    signed_in: &SignedIn,
    id: &str,
    mistakes: FormProblems,
    status: StatusCode,
) -> Response {
    let visitor = &signed_in.visitor;
    let desk = &web.services.desk;
    let principal = &signed_in.user.principal;
    let detail = match desk.person(principal, id).await {
        Ok(detail) => detail,
        Err(error) => return desk_failure(visitor, &error),
    };
    let is_own_page = signed_in.user.sees_only_own_page();
    let history = if is_own_page { None } else { history_of(desk, principal, &detail).await };
    let snapshot = web.services.store.snapshot(AccountId::new(detail.entry_uuid), None).await.inspect_err(|error| {
        tracing::warn!(%error, account = %detail.entry_uuid, "the mailbox cannot be read");
    });
    let language = visitor.language;
    let directory = web.services.view.snapshot();
    let settings = directory.settings();
    let now = &Timestamp::now().to_zoned_datetime(settings.time_zone.clone());
    let today = now.date();
    let mailbox =
        snapshot.ok().map(|snapshot| mailbox_data(&snapshot, quota_of(&detail, settings, today), now, language));
    let vacation = vacation_data(detail.vacation.as_ref(), &mistakes, today, language);
    let forwarding = ForwardingSection::new(detail.forwarding.as_ref(), mistakes.forwarding.as_ref(), today, language);
    let mut glance = glance(&detail, mailbox.as_ref(), &vacation, &forwarding, now, language);
    glance.retain(|line| !is_own_page || line.is_on_own_page);
    let history_lines = |entries: Vec<HistoryEntry>| HistoryData {
        lines: entries.into_iter().map(|entry| history_line(entry, now, language)).collect(),
    };
    let quota = mistakes.quota.as_ref();
    let may = |operation| may_on(&detail, principal, operation);
    let body = PersonPage {
        history: history.map(history_lines),
        errors: error_links(&mistakes, language),
        alias: alias_field(&mistakes),
        person: person_data(&detail, ShownForms::allowed(&detail, principal), glance, now, language),
        locks: LocksSection::new(&detail.locks, mistakes.lock.as_ref(), now, language),
        quota: QuotaSection::new(detail.quota.as_ref(), quota, &settings.quota_classes, today, language),
        by_hand: detail.set_by_hand.iter().map(|origin| ByHandRow::new(origin, may, now, language)).collect(),
        forwarding,
        mailbox,
        vacation,
    };
    // The language switch must lead back to this page. After a form was sent, `here` is not the path of this page.
    let mut visitor = visitor.clone();
    visitor.here = person_url(id);
    page(&visitor, status, if is_own_page { "own" } else { "person" }, &body)
}

/// The last changes of the person; `None` when the audit cannot be read.
async fn history_of(desk: &Desk, principal: &Principal, detail: &PersonDetail) -> Option<Vec<HistoryEntry>> {
    let history = desk.history(principal, detail, HISTORY_MAX).await;
    history.inspect_err(|error| tracing::warn!(%error, "the history cannot be read")).ok()
}

/// The quota that holds for the person today, in octets; `None` is unlimited.
fn quota_of(detail: &PersonDetail, settings: &SharedSettings, today: Date) -> Option<u64> {
    let own = detail.quota.as_ref().filter(|quota| quota.holds_on(today));
    let class = own.and_then(|quota| quota.class.as_deref()).map(str::to_ascii_lowercase);
    let affiliation = detail.summary.affiliation.to_ascii_lowercase();
    settings.quota(own.and_then(|quota| quota.octets), class.as_deref(), &affiliation)
}

/// The summary at the head of the page, for a clerk who has the person on the phone.
fn glance(
    detail: &PersonDetail,
    mailbox: Option<&MailboxData>,
    vacation: &VacationData,
    forwarding: &ForwardingSection,
    now: &ZonedDateTime,
    language: Language,
) -> Vec<GlanceLine> {
    let state = &detail.summary.state;
    let password = credential(&detail.credential, now, language);
    let text = |key: &str| language.text(key, &[]);
    let (used, fullness) =
        mailbox.map_or_else(|| (text("glance.unavailable"), "warn"), |mailbox| mailbox.glance.clone());
    let last_login = match mailbox.map(|mailbox| mailbox.logins.first()) {
        Some(Some(login)) => format!("{}, {}", login.at, login.protocol),
        Some(None) => text("glance.never"),
        None => text("glance.unavailable"),
    };
    let lines = [
        ("glance.state", language.name("state", state), state_level(state)),
        ("glance.password", password.0, password.1),
        ("glance.vacation", vacation.summary.clone(), vacation.level),
        ("glance.forwarding", forwarding.summary.clone(), forwarding.level),
        ("glance.mailbox", used, fullness),
        ("glance.last_login", last_login, ""),
    ];
    let said = detail.objections.iter().map(|objection| {
        let day = moment(&objection.since.to_string(), now, language);
        ("glance.objection", format!("{} ({day})", objection.reason), "warn")
    });
    let standing: Vec<&str> = detail.locks.iter().filter(|lock| lock.stands).map(|lock| lock.name.as_str()).collect();
    let locks = (!standing.is_empty()).then(|| ("glance.locks", standing.join(", "), "bad"));
    let lines = lines.into_iter().chain(locks).chain(said);
    let on_own_page = ["glance.state", "glance.vacation", "glance.forwarding", "glance.mailbox"];
    let line =
        |(key, value, level)| GlanceLine { label: text(key), value, level, is_on_own_page: on_own_page.contains(&key) };
    lines.map(line).collect()
}

/// The state of the password and of a link, with the CSS class of its colour.
fn credential(credential: &CredentialDetail, now: &ZonedDateTime, language: Language) -> (String, &'static str) {
    let (state, level) = (
        language.name("credential", credential.state),
        match credential.state {
            "set" => "",
            "none" if credential.link_until.is_none() => "bad",
            _ => "warn",
        },
    );
    match &credential.link_until {
        Some(until) => {
            let day = moment(until, now, language);
            (language.text("credential.link_until", &[("state", &state), ("day", &day)]), level)
        }
        None => (state, level),
    }
}

fn person_data(
    detail: &PersonDetail,
    can: ShownForms,
    glance: Vec<GlanceLine>,
    now: &ZonedDateTime,
    language: Language,
) -> PersonData {
    let summary = &detail.summary;
    let url = person_url(&summary.id);
    let none = || language.text("person.none", &[]);
    let date = |text: &Option<String>| text.as_deref().map_or_else(none, |text| day_of(text, language));
    let moment = |text: &Option<String>| text.as_deref().map_or_else(none, |text| moment(text, now, language));
    let facts = [
        ("person.uid", summary.uid.clone()),
        ("person.start_date", date(&detail.start_date)),
        ("person.end_date", date(&detail.end_date)),
        ("person.sources", if detail.sources.is_empty() { none() } else { detail.sources.join(", ") }),
        ("person.created", moment(&detail.created)),
        ("person.modified", moment(&detail.modified)),
        ("person.id", summary.id.clone()),
    ];
    let address = |info: &provost_provision::AddressInfo| AddressRow {
        kind: language.name("kind", &info.kind),
        since: moment(&info.since),
        until: info.until.as_ref().map(|_| moment(&info.until)),
        remove_url: can_be_removed(info).then(|| {
            format!("{url}/addresses/remove?address={}", utf8_percent_encode(&info.address, NON_ALPHANUMERIC))
        }),
        address: info.address.clone(),
    };
    PersonData {
        name: summary.display_name.clone(),
        mail: summary.mail.clone(),
        affiliation: language.name("affiliation", &summary.affiliation),
        program: detail.program.clone(),
        can,
        glance,
        facts: facts.into_iter().map(|(key, value)| LabelledText { label: language.text(key, &[]), value }).collect(),
        addresses: detail.addresses.iter().map(address).collect(),
        url,
    }
}

fn alias_field(mistakes: &FormProblems) -> FormField {
    let (value, error) = mistakes.alias.clone().map_or((String::new(), None), |(value, error)| (value, Some(error)));
    FormField { value, error }
}

/// Links from the top of the page to each field with a mistake.
fn error_links(mistakes: &FormProblems, language: Language) -> Vec<ErrorLink> {
    let link = |field: &str, key: &str, text: &str| ErrorLink {
        field: field.to_owned(),
        label: language.text(key, &[]),
        text: text.to_owned(),
    };
    let alias = mistakes.alias.iter().map(|(_, text)| link("address", "addresses.new", text));
    let vacation = mistakes.vacation.iter().flat_map(|(_, wrong)| wrong);
    let lock = mistakes.lock.iter().flat_map(|(_, wrong)| wrong);
    let forwarding = mistakes.forwarding.iter().flat_map(|(_, wrong)| wrong);
    let quota = mistakes.quota.iter().flat_map(|(_, wrong)| wrong);
    let wrong = vacation.chain(lock).chain(forwarding).chain(quota);
    alias.chain(wrong.map(|(field, text)| link(field, label_key(field), text))).collect()
}

/// The key of the label of a field.
fn label_key(field: &str) -> &'static str {
    match field {
        "start" => "vacation.start",
        "end" => "vacation.end",
        "subject_fr" => "vacation.subject_fr",
        "subject_en" => "vacation.subject_en",
        "text_en" => "vacation.text_en",
        "interval_days" => "vacation.interval",
        "lock" => "locks.name",
        "lock_reason" => "locks.reason",
        "lock_owner" => "locks.owner",
        "lock_until" => "locks.until",
        "forward_to" => "forwarding.to",
        "forward_start" => "forwarding.start",
        "forward_end" => "forwarding.end",
        "quota_class" => "quota.class",
        "quota_until" => "quota.end",
        _ => "vacation.text_fr",
    }
}

fn vacation_data(
    set: Option<&VacationChange>,
    mistakes: &FormProblems,
    today: Date,
    language: Language,
) -> VacationData {
    let form = mistakes
        .vacation
        .as_ref()
        .map_or_else(|| set.map(VacationForm::from).unwrap_or_default(), |(form, _)| form.clone());
    let field = |name: &str, value: String| form_field(mistakes.vacation.as_ref(), name, value);
    let (summary, level) = period("vacation", set.map(|change| (change.start, change.end)), today, language);
    VacationData {
        is_set: set.is_some(),
        is_open: mistakes.vacation.is_some(),
        summary,
        level,
        rhythm: set.map(|change| rhythm(change, language)),
        texts: set.map(|change| reply_texts(change, language)).unwrap_or_default(),
        start: field("start", form.start),
        end: field("end", form.end),
        subject_fr: field("subject_fr", form.subject_fr),
        subject_en: field("subject_en", form.subject_en),
        text_fr: field("text_fr", form.text_fr),
        text_en: field("text_en", form.text_en),
        interval_days: field("interval_days", form.interval_days),
    }
}

/// Subject and text of a vacation rule, for each language that has one of them.
fn reply_texts(change: &VacationChange, language: Language) -> Vec<ShownText> {
    let texts = [
        ("vacation.french", "fr", &change.subject_fr, &change.text_fr),
        ("vacation.english", "en", &change.subject_en, &change.text_en),
    ];
    texts
        .into_iter()
        .filter(|(_, _, subject, text)| subject.is_some() || text.is_some())
        .map(|(key, lang, subject, text)| ShownText {
            label: language.text(key, &[]),
            lang,
            subject: subject.clone(),
            text: text.clone(),
        })
        .collect()
}

/// How often the rule replies to one sender.
fn rhythm(change: &VacationChange, language: Language) -> String {
    let days = change.interval_days.unwrap_or(VACATION_INTERVAL_DAYS);
    let key = if days == 1 { "vacation.rhythm_one" } else { "vacation.rhythm_many" };
    language.text(key, &[("days", &days.to_string())])
}

/// A line that says how full a mailbox is, and the CSS class of its colour.
fn fullness(used: u64, quota: Option<u64>, language: Language) -> (String, &'static str) {
    let Some(quota) = quota else { return (octets(used, language), "") };
    let (key, level) = match percent(used, quota) {
        100.. => ("glance.full", "bad"),
        NEARLY_FULL_PERCENT.. => ("glance.nearly_full", "warn"),
        _ => ("glance.used_of", ""),
    };
    (language.text(key, &[("used", &octets(used, language)), ("quota", &octets(quota, language))]), level)
}

fn percent(used: u64, quota: u64) -> u128 {
    u128::from(used) * 100 / u128::from(quota.max(1))
}

fn mailbox_data(
    snapshot: &AccountSnapshot,
    quota: Option<u64>,
    now: &ZonedDateTime,
    language: Language,
) -> MailboxData {
    let count = snapshot.mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum::<u64>().to_string();
    let used = octets(snapshot.octets, language);
    let quota_text = match quota {
        Some(quota) => {
            let percent = percent(snapshot.octets, quota).to_string();
            let quota = octets(quota, language);
            language.text(
                "mailbox.used_of",
                &[("used", &used), ("quota", &quota), ("percent", &percent), ("count", &count)],
            )
        }
        None => language.text("mailbox.used", &[("used", &used), ("count", &count)]),
    };
    let login = |(protocol, at): &(String, Timestamp)| {
        let iso = at.to_string();
        LoginLine { protocol: language.name("protocol", protocol), at: moment(&iso, now, language), at_iso: iso }
    };
    let mut logins: Vec<_> = snapshot.last_logins.iter().collect();
    logins.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    MailboxData {
        octets: snapshot.octets,
        quota_octets: quota,
        quota_high: quota.unwrap_or(0) / 10 * 9,
        quota_text,
        glance: fullness(snapshot.octets, quota, language),
        logins: logins.into_iter().map(login).collect(),
    }
}

fn history_line(entry: HistoryEntry, now: &ZonedDateTime, language: Language) -> HistoryLine {
    let mut details: Vec<String> = entry.changes.iter().map(|change| change_words(change, language)).collect();
    if entry.password_set {
        details.push(language.text("history.password_set", &[]));
    }
    if let Some(import) = &entry.import {
        let row = import.row.to_string();
        let values = [("row", row.as_str()), ("source", &import.source), ("batch", &import.batch)];
        details.push(language.text("history.by_import", &values));
    }
    let reason = entry.outcome_reason.unwrap_or_default();
    let outcome =
        entry.outcome.map(|outcome| language.text(&format!("history.outcome.{outcome}"), &[("reason", &reason)]));
    HistoryLine {
        at: moment(&entry.at, now, language),
        at_iso: entry.at,
        actor: entry.actor,
        via: entry.via,
        action: language.name("action", &entry.action),
        id: entry.id,
        outcome,
        details,
    }
}

/// One changed attribute: its name, and its values before and after.
fn change_words(change: &ValueChange, language: Language) -> String {
    let name = language.name("attribute", &change.attribute);
    let name = change.address.as_ref().map_or(name.clone(), |address| format!("{name} ({address})"));
    let (before, after) = (change.before.join(", "), change.after.join(", "));
    let key = match (before.is_empty(), after.is_empty()) {
        (true, _) => "history.added",
        (false, true) => "history.removed",
        (false, false) => "history.change",
    };
    language.text(key, &[("name", &name), ("before", &before), ("after", &after)])
}

/// A number of octets as text: from 1,000 on in kB, MB or GB with one decimal, not rounded up.
pub(crate) fn octets(octets: u64, language: Language) -> String {
    let (key, unit) = match octets {
        0..1_000 => return language.text("size.b", &[("n", &octets.to_string())]),
        1_000..1_000_000 => ("size.kb", 1_000),
        1_000_000..1_000_000_000 => ("size.mb", 1_000_000),
        _ => ("size.gb", 1_000_000_000),
    };
    let tenths = octets / (unit / 10);
    let point = if language == Language::French { ',' } else { '.' };
    language.text(key, &[("n", &format!("{}{point}{}", tenths / 10, tenths % 10))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_one_decimal() {
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
    fn the_use_of_the_quota_is_described() {
        let snapshot = |octets| AccountSnapshot {
            mailboxes: Vec::new(),
            subscribed_only: Vec::new(),
            octets,
            last_logins: Vec::new(),
            token: provost_store::ReadToken::default(),
        };
        let text = |octets, quota| {
            mailbox_data(
                &snapshot(octets),
                quota,
                &Timestamp::UNIX_EPOCH.to_zoned_datetime(jiff::tz::TimeZone::UTC),
                Language::English,
            )
            .quota_text
        };
        assert_eq!(text(500, Some(1000)), "500 bytes of 1.0 kB used (50 %). Messages: 0.");
        assert_eq!(text(500, Some(0)), "500 bytes of 0 bytes used (50000 %). Messages: 0.");
        assert_eq!(text(500, None), "500 bytes used, no quota. Messages: 0.");
    }

    #[test]
    fn a_nearly_full_mailbox_is_coloured() {
        for (used, quota, text, level) in [
            (1_500_000, None, "1.5 MB", ""),
            (899, Some(1000), "899 bytes of 1.0 kB", ""),
            (900, Some(1000), "900 bytes of 1.0 kB: nearly full", "warn"),
            (1000, Some(1000), "1.0 kB of 1.0 kB: full", "bad"),
        ] {
            assert_eq!(fullness(used, quota, Language::English), (text.to_owned(), level));
        }
    }
}
