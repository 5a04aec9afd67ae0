//! Activation: a one-time link, mailed to the private address or printed on a letter, with which a person sets the
//! first password.
//!
//! The entry holds only a digest of the code and its end. A new code replaces an earlier one, so that at most one works.

use jiff::{SignedDuration, Timestamp};
use provost_client::{LdapSearch, Scope};
use provost_credential::{ACTIVATION, Secret};
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{Address, AttributeDescription, Entry, Filter, Modification};
use provost_lifecycle::AccountState;
use provost_schema::{attr, class};
use serde_json::json;
use uuid::Uuid;

use super::password::{ChosenBy, has_password};
use super::{ChangeTarget, CurrentPerson, Desk, DeskError, ReadPurpose};
use crate::activation::{ActivationCode, CodeUse, InvitationMail};
use crate::outbox::{MailCondition, OutgoingMail};
use crate::person_mail::{language, shown_name};
use crate::{Actor, Permission, Principal, ProvisionSettings, tree};

/// States in which an account may be activated: the others forbid login, or have a password.
const ACTIVATED_STATES: [AccountState; 6] = [
    AccountState::Staged,
    AccountState::Invited,
    AccountState::Active,
    AccountState::Grace,
    AccountState::Alumni,
    AccountState::Closing,
];
/// Longest batch id that is searched for, octets.
const BATCH_OCTETS_MAX: usize = 128;

/// A mail with a link that was handed to the queue.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SentActivation {
    /// provostPersonId of the person.
    pub id: String,
    /// The private address to which the mail goes.
    pub to: String,
    /// When the link ends, RFC 3339.
    pub until: String,
    /// Id of the audit record.
    pub audit_id: String,
}

/// What a printed letter needs. The code is nowhere else.
#[derive(Clone, Debug)]
pub struct ActivationLetter {
    /// Name of the person.
    pub name: String,
    /// Login name (uid).
    pub uid: String,
    /// Primary address (mail).
    pub mail: String,
    /// `fr` or `en`; `None` when the directory states neither.
    pub language: Option<&'static str>,
    /// The code, which the person types.
    pub code: Secret,
    /// When the code ends.
    pub until: Timestamp,
    /// Id of the audit record.
    pub audit_id: String,
}

/// Whom a bulk operation concerns. People who have a password are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivationSelection {
    /// The people whom this batch wrote last.
    Batch(String),
    /// The people in state `invited`.
    Invited,
    /// Everyone who may log in.
    WithoutPassword,
}

/// The people that a selection found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationCandidates {
    /// provostPersonId of each person who has no password and no link that still works.
    pub people: Vec<String>,
    /// provostPersonId of each person who has a link that still works.
    pub with_link: Vec<String>,
}

/// The person of a valid link, as the page shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitee {
    /// Name of the person.
    pub name: String,
    /// Login name (uid).
    pub uid: String,
    /// Primary address (mail).
    pub mail: String,
}

/// A person who has set the first password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivatedPerson {
    /// Login name (uid).
    pub uid: String,
    /// Primary address (mail).
    pub mail: String,
    /// Id of the audit record.
    pub audit_id: String,
}

impl Desk {
    /// Mails a new link to the person's private address; earlier links and letters end. The mail is sent once, also
    /// after an interruption: it is kept before the link is written, and sent only if the entry has that link.
    pub async fn send_activation(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
    ) -> Result<SentActivation, DeskError> {
        let person = self.person_to_activate(principal, &target.into()).await?;
        let outbox = self.outbox.as_ref();
        let outbox = outbox.ok_or_else(|| DeskError::Unavailable("mails cannot be sent from here".to_owned()))?;
        let settings = self.settings.get();
        let url = settings.web_url.as_deref().ok_or_else(no_web_url)?;
        let to = private_address(&person.entry)?;
        let (now, id) = (Timestamp::now(), person_id(&person.entry)?);
        let link = NewLink::make(id, &settings, now);
        let mail = InvitationMail {
            entry: &person.entry,
            to: &to,
            link: &format!("{url}/activate/{}", link.code.token()),
            until: link.until,
            settings: &settings,
            now,
        };
        let message = mail.build().map_err(|error| DeskError::Refused(format!("the mail cannot be made: {error}")))?;
        let mail_id = Uuid::new_v4();
        let outgoing = OutgoingMail {
            id: mail_id,
            from: format!("postmaster@{}", settings.domain),
            to: to.to_string(),
            message,
            condition: Some(MailCondition {
                dn: person.dn().as_str().to_owned(),
                attribute: attr::PROVOST_ACTIVATION.to_owned(),
                value: link.value(),
            }),
        };
        let kept = outbox.put(outgoing).await;
        kept.map_err(|error| DeskError::Unavailable(format!("the mail cannot be kept, so no link was made: {error}")))?;
        let until = link.until.to_string();
        let detail = json!({ "to": to, "until": until });
        let changed =
            self.change(principal.actor(), "activation.send", &person, link.changes(&person.entry, now), detail).await;
        if let Err(error) = &changed
            && !matches!(error, DeskError::OutcomeUnknown(_))
            && let Err(error) = outbox.remove(mail_id).await
        {
            tracing::debug!(%error, "a mail whose link was not made stays until its condition fails");
        }
        Ok(SentActivation { id: id.to_string(), to: to.to_string(), until, audit_id: changed? })
    }

    /// Makes a new code for a printed letter; earlier links and letters end.
    pub async fn activation_letter(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
    ) -> Result<ActivationLetter, DeskError> {
        let person = self.person_to_activate(principal, &target.into()).await?;
        let settings = self.settings.get();
        settings.web_url.as_deref().ok_or_else(no_web_url)?;
        let now = Timestamp::now();
        let link = NewLink::make(person_id(&person.entry)?, &settings, now);
        let detail = json!({ "until": link.until.to_string() });
        let changes = link.changes(&person.entry, now);
        let audit_id = self.change(principal.actor(), "activation.print", &person, changes, detail).await?;
        let text = |name: &str| person.entry.first(name).unwrap_or_default().to_owned();
        Ok(ActivationLetter {
            name: shown_name(&person.entry),
            uid: text(attr::UID),
            mail: text(attr::MAIL),
            language: language(&person.entry),
            until: link.until,
            code: link.code.into_secret(),
            audit_id,
        })
    }

    /// The people of a selection who have no password, in no particular order.
    pub async fn activation_candidates(
        &self,
        principal: &Principal,
        selection: &ActivationSelection,
    ) -> Result<ActivationCandidates, DeskError> {
        self.permit(principal, Permission::SendActivation).await?;
        let states = |states: &[AccountState]| {
            Filter::Or(states.iter().map(|state| Filter::equal(attr::PROVOST_STATE, state.name())).collect())
        };
        let selected = match selection {
            ActivationSelection::Batch(batch) if !(1..=BATCH_OCTETS_MAX).contains(&batch.len()) => {
                let rule = format!("1 to {BATCH_OCTETS_MAX} octets");
                return Err(DeskError::Invalid { field: "batch", rule });
            }
            ActivationSelection::Batch(batch) => {
                Filter::And(vec![Filter::equal(attr::PROVOST_LAST_BATCH, batch.as_str()), states(&ACTIVATED_STATES)])
            }
            ActivationSelection::Invited => states(&[AccountState::Invited]),
            ActivationSelection::WithoutPassword => states(&ACTIVATED_STATES),
        };
        let without = Filter::Not(Box::new(Filter::present(attr::USER_PASSWORD)));
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::And(vec![Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT), selected, without]),
            attributes: [attr::PROVOST_PERSON_ID, attr::PROVOST_ACTIVATION].map(str::to_owned).to_vec(),
            limit: None,
        };
        let (entries, _) = self.read_for(ReadPurpose::Change, search).await?;
        let (mut found, now) = (ActivationCandidates::default(), Timestamp::now());
        for entry in &entries {
            let Some(id) = entry.first(attr::PROVOST_PERSON_ID) else { continue };
            let has_link = link_end(entry).is_some_and(|end| end > now);
            let list = if has_link { &mut found.with_link } else { &mut found.people };
            list.push(id.to_owned());
        }
        Ok(found)
    }

    /// The person of a link; `None` for any link that does not work, whatever the reason.
    pub async fn invitee(&self, token: &str) -> Result<Option<Invitee>, DeskError> {
        let Some(code) = ActivationCode::parse(token) else { return Ok(None) };
        let Some(person) = self.activated_person(&code, ReadPurpose::Show).await? else { return Ok(None) };
        let text = |name: &str| person.entry.first(name).unwrap_or_default().to_owned();
        Ok(Some(Invitee { name: shown_name(&person.entry), uid: text(attr::UID), mail: text(attr::MAIL) }))
    }

    /// The token of the link that a login and the code of a letter make; `None` when they name no link. The answer does
    /// not show whether the code is right.
    pub async fn activation_token(&self, login: &str, code: &str) -> Result<Option<String>, DeskError> {
        let found = match self.find(login, ReadPurpose::Show).await {
            Ok(found) => found,
            Err(DeskError::NotFound(_) | DeskError::Ambiguous { .. } | DeskError::Invalid { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(ActivationCode::typed(person_id(&found.entry)?, code).map(|code| code.token()))
    }

    /// Sets the password of the person whose link `token` is, and ends the link. `None` for a link that does not work.
    pub async fn activate(&self, token: &str, password: &Secret) -> Result<Option<ActivatedPerson>, DeskError> {
        let Some(code) = ActivationCode::parse(token) else { return Ok(None) };
        let Some(person) = self.activated_person(&code, ReadPurpose::Change).await? else { return Ok(None) };
        let (_, changes) = self.password_changes(&person, password, ChosenBy::Oneself, Timestamp::now()).await?;
        let text = |name: &str| person.entry.first(name).unwrap_or_default().to_owned();
        let (uid, mail) = (text(attr::UID), text(attr::MAIL));
        let actor = Actor { name: uid.clone(), via: "web" };
        let detail = json!({ "had_one": has_password(&person.entry) });
        // The write asserts the entryCSN that was read with the link, so of two uses at once only one succeeds.
        match self.change(&actor, "activation.use", &person, changes, detail).await {
            Ok(audit_id) => Ok(Some(ActivatedPerson { uid, mail, audit_id })),
            Err(error) => Err(error),
        }
    }

    /// The person of a code, if the code is theirs, has not ended, and their state permits a login.
    async fn activated_person(
        &self,
        code: &ActivationCode,
        purpose: ReadPurpose,
    ) -> Result<Option<CurrentPerson>, DeskError> {
        let id = Filter::equal(attr::PROVOST_PERSON_ID, code.person().to_string());
        let (mut people, fault) = self.people(id, &["*", "+"], Some(1), purpose).await?;
        let Some(entry) = people.pop() else { return fault.map_or(Ok(None), |error| Err(error.into())) };
        let digest = code.digest(CodeUse::Activation);
        let now = Timestamp::now();
        let is_theirs = entry.texts(attr::PROVOST_ACTIVATION).any(|value| {
            let link = value.split_once(' ');
            link.is_some_and(|(held, end)| digest.matches(held) && parse_generalized(end).is_some_and(|end| end > now))
        });
        Ok((is_theirs && may_be_activated(&entry)).then_some(CurrentPerson { entry, is_expected: false }))
    }

    /// Reads the person to whom a link is given. A link changes the password, so it takes the right to reset one that
    /// exists.
    async fn person_to_activate(
        &self,
        principal: &Principal,
        target: &ChangeTarget<'_>,
    ) -> Result<CurrentPerson, DeskError> {
        let person = self.target(principal, Permission::SendActivation, target).await?;
        if has_password(&person.entry) {
            let (dn, id) = (person.dn().as_str(), person.entry_uuid());
            self.permit_on(principal, Permission::ResetPassword, dn, id, person.roles()).await?;
        }
        if may_be_activated(&person.entry) {
            return Ok(person);
        }
        let state = person.entry.first(attr::PROVOST_STATE).unwrap_or_default();
        let rule = format!("the account is {state}: it has no login");
        Err(DeskError::Invalid { field: "person", rule })
    }
}

/// A link that is about to be written.
struct NewLink {
    code: ActivationCode,
    until: Timestamp,
}

impl NewLink {
    fn make(id: Uuid, settings: &ProvisionSettings, now: Timestamp) -> Self {
        let days = SignedDuration::from_hours(24 * i64::from(settings.passwords.activation_days));
        Self { code: ActivationCode::new(id), until: now.saturating_add(days).unwrap_or(Timestamp::MAX) }
    }

    /// The value of provostActivation.
    fn value(&self) -> String {
        format!("{} {}", self.code.digest(CodeUse::Activation).as_str(), format_generalized(self.until))
    }

    /// The changes of the person's entry. Without a password, the account is invited from now on.
    fn changes(&self, entry: &Entry, now: Timestamp) -> Vec<Modification> {
        let replace = |name: &'static str, value: String| {
            Modification::replace(AttributeDescription::of(name), vec![value.into_bytes()])
        };
        let mut changes = vec![replace(attr::PROVOST_ACTIVATION, self.value())];
        if !has_password(entry) {
            changes.push(replace(attr::PROVOST_CREDENTIAL_STATE, ACTIVATION.to_owned()));
            let active = AccountState::Active.name();
            if entry.first(attr::PROVOST_STATE).is_some_and(|state| state.eq_ignore_ascii_case(active)) {
                changes.push(replace(attr::PROVOST_STATE, AccountState::Invited.name().to_owned()));
                changes.push(replace(attr::PROVOST_STATE_SINCE, format_generalized(now)));
            }
        }
        changes
    }
}

/// The end of the link in an entry; `None` without one.
pub(super) fn link_end(entry: &Entry) -> Option<Timestamp> {
    let (_, end) = entry.first(attr::PROVOST_ACTIVATION)?.split_once(' ')?;
    parse_generalized(end)
}

fn may_be_activated(entry: &Entry) -> bool {
    let state = entry.first(attr::PROVOST_STATE).unwrap_or(AccountState::Active.name());
    ACTIVATED_STATES.iter().any(|known| state.eq_ignore_ascii_case(known.name()))
}

pub(super) fn person_id(entry: &Entry) -> Result<Uuid, DeskError> {
    let id = entry.first(attr::PROVOST_PERSON_ID).and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| DeskError::Refused(format!("{} has no provostPersonId that is a UUID", entry.dn)))
}

pub(super) fn private_address(entry: &Entry) -> Result<Address, DeskError> {
    let address = entry.first(attr::PROVOST_PRIVATE_MAIL).and_then(|text| Address::parse(text).ok());
    let rule = "the person has no private address: print a letter instead";
    address.ok_or_else(|| DeskError::Invalid { field: "private_email", rule: rule.to_owned() })
}

pub(super) fn no_web_url() -> DeskError {
    DeskError::Refused(
        "the setting web-url is not stated, so a link would lead nowhere: \
         provost settings set web-url https://ADDRESS-OF-THE-PAGES"
            .to_owned(),
    )
}
