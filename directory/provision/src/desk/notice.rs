//! Notices: mails, at the days that a policy states, before a change that takes something away; and the objections of
//! those who got one.
//!
//! A mail is kept in the outbox before its record is written, and is sent only if the entry has that record. So each
//! notice goes out once, whatever is interrupted between the two.

use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{Address, AttributeDescription, Entry, Filter, Modification};
use provost_lifecycle::{Decision, DueNotice, SentNotice, decide, due_notice};
use provost_schema::attr;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::activation::person_id;
use super::{CurrentPerson, Desk, DeskError, ReadPurpose};
use crate::activation::{ActivationCode, CodeUse};
use crate::lifecycle::{LifecycleRules, NoticeMail, lifecycle_facts, losses};
use crate::outbox::{MailCondition, MailOutbox, OutgoingMail};
use crate::person_mail::shown_name;
use crate::policy_documents::read_policies;
use crate::{Actor, Permission, Principal, ProvisionSettings};

/// People who get a notice in one run; the others get theirs in the next one.
const PEOPLE_MAX: usize = 5_000;
/// How long the record of a sent notice is kept after its change.
const RECORD_DAYS: i64 = 400;
/// Longest reason of an objection, in characters.
pub const OBJECTION_CHARS_MAX: usize = 500;
/// What a notice needs of a person besides the facts of the lifecycle.
const MORE_ATTRIBUTES: [&str; 5] =
    [attr::PROVOST_PERSON_ID, attr::DISPLAY_NAME, attr::CN, attr::PREFERRED_LANGUAGE, attr::PROVOST_PRIVATE_MAIL];

/// A person to whom a notice is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonNotice {
    /// The person's primary address.
    pub person: String,
    /// The change that is announced, its moment, and the days before it.
    pub notice: DueNotice,
}

/// What one run of notices did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NoticesSent {
    /// People who got a notice.
    pub people: usize,
    /// Mails that were handed to the outbox: up to two for a person.
    pub mails: usize,
    /// People whose notice was not sent, with the reason. The next run tries again.
    pub failed: Vec<(String, String)>,
    /// People whose notice waits for the next run, because this one had enough.
    pub left: usize,
}

/// What a notice has announced, for the page on which the person may object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedLoss {
    /// Name of the person.
    pub name: String,
    /// Primary address (mail).
    pub mail: String,
    /// When it happens.
    pub at: Timestamp,
    /// What is taken away, in French and in English.
    pub losses: [Vec<&'static str>; 2],
    /// What the person has said against it already.
    pub objection: Option<String>,
}

/// What a person says against an announced change: a value of provostObjection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// The change, as [`DueNotice::event`] names it.
    pub event: String,
    /// When it was said.
    pub since: Timestamp,
    /// The person's words.
    pub reason: String,
}

impl Objection {
    /// Reads `EVENT SINCE REASON`; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let (event, since, reason) = (parts.next()?, parse_generalized(parts.next()?)?, parts.next()?);
        Some(Self { event: event.to_owned(), since, reason: reason.to_owned() })
    }

    fn value(&self) -> String {
        format!("{} {} {}", self.event, format_generalized(self.since), self.reason)
    }
}

/// A person to whom a notice is due, with what the mail needs.
struct DuePerson {
    entry: Entry,
    decision: Decision,
    notice: DueNotice,
}

/// Keeps the people to whom a notice is due.
struct DuePeople {
    rules: LifecycleRules,
    due: Vec<DuePerson>,
}

impl Extend<Entry> for DuePeople {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        let rules = &self.rules;
        let due = entries.into_iter().filter_map(|entry| due_person(rules, entry));
        self.due.extend(due);
    }
}

/// The notice that is due to a person. Only what a run of the lifecycle has written is announced: a run that the guard
/// holds back sends no mails either.
fn due_person(rules: &LifecycleRules, entry: Entry) -> Option<DuePerson> {
    let facts = lifecycle_facts(&entry, rules.now);
    let decision = decide(&facts, &rules.policies, rules.now, &rules.zone)?;
    let until = entry.first(attr::PROVOST_STATE_UNTIL).and_then(parse_generalized);
    let next = entry.first(attr::PROVOST_NEXT_STATE);
    if until != decision.until || next != decision.next.map(provost_lifecycle::AccountState::name) {
        return None;
    }
    let notice = due_notice(&decision, &facts, &rules.policies, rules.now, &rules.zone)?;
    Some(DuePerson { entry, decision, notice })
}

impl Desk {
    /// The notices that are due at `now`. Writes and sends nothing.
    pub async fn due_notices(&self, principal: &Principal, now: Timestamp) -> Result<Vec<PersonNotice>, DeskError> {
        self.permit(principal, Permission::RunLifecycle).await?;
        let due = self.due_people(now).await?;
        let shown = |due: DuePerson| PersonNotice {
            person: due.entry.first(attr::MAIL).unwrap_or_else(|| due.entry.dn.as_str()).to_owned(),
            notice: due.notice,
        };
        Ok(due.into_iter().map(shown).collect())
    }

    /// Sends the notices that are due at `now`, to the account's own address and to the private one, each once. A person
    /// whose notice fails does not keep the others from theirs.
    pub async fn send_notices(&self, principal: &Principal, now: Timestamp) -> Result<NoticesSent, DeskError> {
        self.permit(principal, Permission::RunLifecycle).await?;
        let outbox = self.outbox.clone();
        let outbox = outbox.ok_or_else(|| DeskError::Unavailable("mails cannot be sent from here".to_owned()))?;
        let (due, settings) = (self.due_people(now).await?, self.settings.get());
        let mut sent = NoticesSent { left: due.len().saturating_sub(PEOPLE_MAX), ..NoticesSent::default() };
        for person in due.into_iter().take(PEOPLE_MAX) {
            let name = person.entry.dn.as_str().to_owned();
            match self.send_notice(principal.actor(), &*outbox, person, &settings, now).await {
                Ok(mails) => {
                    sent.people += 1;
                    sent.mails += mails;
                }
                Err(error @ (DeskError::Unavailable(_) | DeskError::AuditUnavailable(_))) => return Err(error),
                Err(error) => sent.failed.push((name, error.to_string())),
            }
        }
        Ok(sent)
    }

    /// Keeps the mails to one person, then writes the record that lets them go. Returns the number of mails.
    async fn send_notice(
        &self,
        actor: &Actor,
        outbox: &dyn MailOutbox,
        due: DuePerson,
        settings: &ProvisionSettings,
        now: Timestamp,
    ) -> Result<usize, DeskError> {
        let addresses = addresses(&due);
        if addresses.is_empty() {
            return Err(DeskError::Refused("the person has no address to which a notice can go".to_owned()));
        }
        let code = ActivationCode::new(person_id(&due.entry)?);
        let link = settings.web_url.as_ref().map(|url| format!("{url}/notice/{}", code.token()));
        let digest = link.as_ref().map(|_| code.digest(CodeUse::Objection).as_str().to_owned());
        let record = SentNotice { link: digest, ..due.notice.sent(now) };
        let mut kept = Vec::new();
        for to in &addresses {
            let mail = NoticeMail {
                entry: &due.entry,
                to,
                notice: &due.notice,
                decision: &due.decision,
                link: link.as_deref(),
                settings,
                now,
            };
            let message = mail.build();
            let message = message.map_err(|error| DeskError::Refused(format!("the mail cannot be made: {error}")))?;
            let id = Uuid::new_v4();
            let condition = MailCondition {
                dn: due.entry.dn.as_str().to_owned(),
                attribute: attr::PROVOST_NOTICE.to_owned(),
                value: record.to_string(),
            };
            let from = format!("postmaster@{}", settings.domain);
            let mail = OutgoingMail { id, from, to: to.to_string(), message, condition: Some(condition) };
            outbox
                .put(mail)
                .await
                .map_err(|error| DeskError::Unavailable(format!("the mail cannot be kept: {error}")))?;
            kept.push(id);
        }
        let detail = json!({ "event": record.event, "days": record.days, "to": addresses });
        let changes = record_changes(&due.entry, &record, now);
        let person = CurrentPerson { entry: due.entry, is_expected: false };
        match self.change(actor, "notice.send", &person, changes, detail).await {
            // The outcome is unknown: the condition of the mails decides.
            Ok(_) | Err(DeskError::OutcomeUnknown(_)) => Ok(kept.len()),
            Err(error) => {
                for id in kept {
                    if let Err(error) = outbox.remove(id).await {
                        tracing::debug!(%error, "a mail without a record stays until its condition fails");
                    }
                }
                Err(error)
            }
        }
    }

    async fn due_people(&self, now: Timestamp) -> Result<Vec<DuePerson>, DeskError> {
        let (policies, zone) = (Arc::new(read_policies(&self.directory).await?), self.settings.get().time_zone);
        let begin = || DuePeople {
            rules: LifecycleRules { policies: Arc::clone(&policies), zone: zone.clone(), now },
            due: Vec::new(),
        };
        let mut search = self.lifecycle_search();
        search.filter = Filter::And(vec![search.filter, Filter::present(attr::PROVOST_STATE_UNTIL)]);
        search.attributes.extend(MORE_ATTRIBUTES.map(str::to_owned));
        match self.directory.collect_provider(search, begin).await {
            Ok(found) => Ok(found.due),
            Err(provost_client::DirectoryError::NoSuchObject(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the notice with this link has announced; `None` for a link that does not work, or no more.
    pub async fn announced_loss(&self, token: &str, now: Timestamp) -> Result<Option<AnnouncedLoss>, DeskError> {
        Ok(self.announced(token, ReadPurpose::Show, now).await?.map(|(person, decision, event)| {
            let objections = objections(&person.entry);
            AnnouncedLoss {
                name: shown_name(&person.entry),
                mail: person.entry.first(attr::MAIL).unwrap_or_default().to_owned(),
                at: decision.until.unwrap_or(now),
                losses: ["fr", "en"].map(|language| losses(&decision, language)),
                objection: objections.into_iter().find(|said| said.event == event).map(|said| said.reason),
            }
        }))
    }

    /// Records what a person says against an announced change; it replaces what they said before. Returns the audit id,
    /// or `None` for a link that does not work. Who may extend the phase decides.
    pub async fn object(&self, token: &str, reason: &str, now: Timestamp) -> Result<Option<String>, DeskError> {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if reason.is_empty() || reason.chars().count() > OBJECTION_CHARS_MAX || reason.chars().any(char::is_control) {
            let rule = format!("1 to {OBJECTION_CHARS_MAX} characters");
            return Err(DeskError::Invalid { field: "reason", rule });
        }
        let Some((person, _, event)) = self.announced(token, ReadPurpose::Change, now).await? else { return Ok(None) };
        let objection = Objection { event, since: now, reason };
        let others = person.entry.texts(attr::PROVOST_OBJECTION).filter(|value| {
            Objection::parse(value).is_some_and(|held| held.event != objection.event && is_recent(&held.event, now))
        });
        let values = others.map(str::to_owned).chain([objection.value()]).map(String::into_bytes).collect();
        let changes = vec![Modification::replace(AttributeDescription::of(attr::PROVOST_OBJECTION), values)];
        let actor = Actor { name: person.entry.first(attr::UID).unwrap_or_default().to_owned(), via: "web" };
        let detail = json!({ "event": objection.event, "reason": objection.reason });
        self.change(&actor, "notice.object", &person, changes, detail).await.map(Some)
    }

    /// The person of a link whose change is still to come, with the decision and the name of the change.
    async fn announced(
        &self,
        token: &str,
        purpose: ReadPurpose,
        now: Timestamp,
    ) -> Result<Option<(CurrentPerson, Decision, String)>, DeskError> {
        let Some(code) = ActivationCode::parse(token) else { return Ok(None) };
        let id = Filter::equal(attr::PROVOST_PERSON_ID, code.person().to_string());
        let (mut people, fault) = self.people(id, &["*", "+"], Some(1), purpose).await?;
        let Some(entry) = people.pop() else { return fault.map_or(Ok(None), |error| Err(error.into())) };
        let (policies, zone) = (read_policies(&self.directory).await?, self.settings.get().time_zone);
        let facts = lifecycle_facts(&entry, now);
        let Some(decision) = decide(&facts, &policies, now, &zone) else { return Ok(None) };
        let (Some(next), Some(at)) = (decision.next, decision.until) else { return Ok(None) };
        let (event, digest) = (DueNotice { next, at, days: 0 }.event(), code.digest(CodeUse::Objection));
        let is_theirs = |notice: &SentNotice| {
            notice.event == event && notice.link.as_deref().is_some_and(|held| digest.matches(held))
        };
        let is_announced = facts.notices.iter().any(is_theirs);
        Ok(is_announced.then_some((CurrentPerson { entry, is_expected: false }, decision, event)))
    }
}

/// What a person has said against changes that were announced to them.
pub(super) fn objections(entry: &Entry) -> Vec<Objection> {
    entry.texts(attr::PROVOST_OBJECTION).filter_map(Objection::parse).collect()
}

/// The account's own address, unless it gets no mail, and the private one.
fn addresses(due: &DuePerson) -> Vec<Address> {
    let receives = !due.decision.restrictions.contains(&"no-receive");
    let own = due.entry.first(attr::MAIL).filter(|_| receives);
    let mut found: Vec<Address> = Vec::new();
    for text in own.into_iter().chain(due.entry.first(attr::PROVOST_PRIVATE_MAIL)) {
        found.extend(Address::parse(text).ok().filter(|address| !found.contains(address)));
    }
    found
}

/// The record joins those of the same change; records of changes long past are dropped.
fn record_changes(entry: &Entry, record: &SentNotice, now: Timestamp) -> Vec<Modification> {
    let kept = entry.texts(attr::PROVOST_NOTICE).filter(|value| {
        SentNotice::parse(value).is_some_and(|sent| sent.event == record.event || is_recent(&sent.event, now))
    });
    let values = kept.map(str::to_owned).chain([record.to_string()]).map(String::into_bytes).collect();
    vec![Modification::replace(AttributeDescription::of(attr::PROVOST_NOTICE), values)]
}

/// Whether the day of a change, `closing@20270301`, is not long past.
fn is_recent(event: &str, now: Timestamp) -> bool {
    let day = event.split_once('@').and_then(|(_, day)| parse_generalized(&format!("{day}000000Z")));
    let kept = jiff::SignedDuration::from_hours(24 * RECORD_DAYS);
    day.is_some_and(|day| now.duration_since(day) < kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objections_are_read_as_they_are_written() {
        let objection = Objection {
            event: "closing@20270301".to_owned(),
            since: "2027-02-01T10:00:00Z".parse().unwrap(),
            reason: "my thesis is late".to_owned(),
        };
        assert_eq!(Objection::parse(&objection.value()), Some(objection));
        for bad in ["", "x", "closing@20270301 yesterday late", "closing@20270301 20270201100000Z"] {
            assert_eq!(Objection::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn records_of_changes_long_past_are_dropped() {
        let now = "2027-02-25T12:00:00Z".parse().unwrap();
        let entry = Entry::new(provost_entry::Dn::root())
            .with(attr::PROVOST_NOTICE, "closing@20270302 7 20270223120000Z")
            .with(attr::PROVOST_NOTICE, "closing@20240302 1 20240301120000Z")
            .with(attr::PROVOST_NOTICE, "damaged");
        let record = SentNotice { event: "closing@20270302".to_owned(), days: 1, sent: now, link: None };
        let changes = record_changes(&entry, &record, now);
        let expect = ["closing@20270302 7 20270223120000Z", "closing@20270302 1 20270225120000Z"];
        let values: Vec<String> =
            changes[0].values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        assert_eq!(values, expect);
    }
}
