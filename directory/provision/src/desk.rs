//! The operations layer: search, vacation, aliases, passwords, imports. CLI, REST and web share this one set of
//! operations.
//!
//! Each operation checks what its principal may do; a refusal is audited. A change of a person reads the entry from the
//! writable provider and is recorded in the audit before it is tried. It writes on condition that the entry has not
//! changed since that read. The interfaces reach the directory and the audit only through this layer.

mod account;
mod activation;
mod address;
mod address_end;
mod alumni;
mod audit_export;
mod detail;
mod explain;
mod forwarding;
mod group;
mod guard;
mod import;
mod lifecycle;
mod list;
mod login;
mod messages;
mod notice;
mod password;
mod permit;
mod policy;
mod purge;
mod quota;
mod registry;
mod role_address;
mod setting;
mod simulation;
mod source_profile;
mod suspension;
mod target;
mod token_owner;
mod undo;
mod vacation;
mod webhook;

pub use activation::{
    ActivatedPerson, ActivationCandidates, ActivationLetter, ActivationSelection, Invitee, SentActivation,
};
pub use audit_export::{AuditPage, AuditSelection};
pub use forwarding::ForwardingChange;
pub(crate) use group::GROUP_MEMBERS_MAX;
pub use group::{GROUPS_LISTED_MAX, GroupDetail, GroupMember, GroupRules, GroupSummary, MEMBERS_SHOWN_MAX};
pub use guard::{KeptPlanUseError, PlanApproval};
pub use import::{ImportError, ImportOptions, PlannedImport};
pub use lifecycle::PersonTimeline;
pub use list::{ListedPage, PEOPLE_PAGE_MAX};
pub use messages::NamedPerson;
pub use notice::{AnnouncedLoss, NoticesSent, OBJECTION_CHARS_MAX, Objection, PersonNotice};
pub use password::StoredPassword;
pub(crate) use password::generate_code;
pub use purge::PurgeOutcome;
pub use quota::{DatedValue, QuotaChange};
pub use role_address::RoleAddress;
pub(crate) use role_address::ensure_roles;
pub use setting::StatedSetting;
pub use simulation::{SimulatedFeed, SimulationReport};
pub use suspension::LockRequest;
pub use target::{ChangeTarget, ExpectedVersion};
pub use undo::{BatchSummary, UndoError};

use std::sync::Arc;

use provost_client::{Directory, DirectoryError, LdapSearch, Scope};
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::audit::{ChangeOutcome, VIEW_PERSON};
use crate::manual_origin::ManualOrigin;
use crate::outbox::MailOutbox;
use crate::person_lock::PersonLock;
use crate::recorded_change::recorded_modifications;
use crate::{Actor, Audit, HistoryEntry, Journals, Permission, Principal, SettingsSource, fold_name, tree};

/// Longest key of a person, octets: that of an address with the longest local part and the longest domain (RFC 5321
/// §4.5.3.1: 64 + 1 + 255).
const KEY_OCTETS_MAX: usize = 320;
/// Maximum number of words of a search, which bounds its filter: each word adds up to nine conditions. Further words
/// are ignored.
const SEARCH_WORDS_MAX: usize = 6;
/// Longest word of a search, in characters; the rest is cut.
const SEARCH_WORD_CHARS_MAX: usize = 64;
/// Longest reason of an operation, in characters.
const REASON_CHARS_MAX: usize = 200;
/// Maximum number of records that one history returns, whatever the caller asks for.
pub const HISTORY_MAX: usize = 1000;
/// Maximum number of people that one search returns, whatever the caller asks for.
pub const SEARCH_RESULTS_MAX: usize = 500;

/// The purpose of a read, which decides the servers that may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadPurpose {
    /// To show the result: while the provider does not answer, a replica's state is better than none.
    Show,
    /// For a change, which only the provider's state may decide.
    Change,
}

/// A person in a list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonSummary {
    /// Key that stays the same when name, login or address change (provostPersonId).
    pub id: String,
    /// Login name (uid).
    pub uid: String,
    /// Name as it is shown (displayName).
    pub display_name: String,
    /// Primary address (mail).
    pub mail: String,
    /// Primary affiliation, in eduPerson's spelling (eduPersonPrimaryAffiliation).
    pub affiliation: String,
    /// `active`, `suspended` or `closed` (provostState).
    pub state: String,
}

/// One address of a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AddressInfo {
    /// Address in full, with its domain.
    pub address: String,
    /// primary, alias, retained, or quarantined: taken from its owner and not yet free for another person.
    pub kind: String,
    /// Start of the ownership, RFC 3339; in quarantine, of that of the former owner.
    pub since: Option<String>,
    /// End of the quarantine, RFC 3339.
    pub until: Option<String>,
}

/// A vacation rule, with days and texts as a person states them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VacationChange {
    /// First day, `YYYY-MM-DD`, from midnight in the site's time zone; `None` begins now.
    pub start: Option<jiff::civil::Date>,
    /// Last day, `YYYY-MM-DD`, inclusive; `None` has no end.
    pub end: Option<jiff::civil::Date>,
    /// Subject in French.
    pub subject_fr: Option<String>,
    /// Subject in English.
    pub subject_en: Option<String>,
    /// Text in French.
    pub text_fr: Option<String>,
    /// Text in English.
    pub text_en: Option<String>,
    /// Days between two replies to one sender (1 to 365); `None` means 7.
    pub interval_days: Option<u16>,
}

/// What the help desk sees of one person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PersonDetail {
    /// The part that a search also returns.
    #[serde(flatten)]
    pub summary: PersonSummary,
    /// DN of the person's entry.
    pub dn: String,
    /// entryUUID: the account key in the store.
    pub entry_uuid: uuid::Uuid,
    /// entryCSN: the version of what was read, for conditional writes.
    pub version: String,
    /// Given name (givenName).
    pub given_name: String,
    /// Family name (sn).
    pub family_name: String,
    /// Source ids (`registrar:12345`).
    pub sources: Vec<String>,
    /// Values of `provostRole`: helpdesk, postmaster, ...
    pub roles: Vec<String>,
    /// Programme of study, as the source names it.
    pub program: Option<String>,
    /// First day of the affiliation, RFC 3339 date.
    pub start_date: Option<String>,
    /// Last day of the affiliation, RFC 3339 date.
    pub end_date: Option<String>,
    /// Whether the entry has a password.
    pub has_password: bool,
    /// State of the password and of an activation link.
    pub credential: CredentialDetail,
    /// Quota in octets, where the entry states one.
    pub quota_octets: Option<u64>,
    /// Addresses, primary first.
    pub addresses: Vec<AddressInfo>,
    /// Vacation rule; `None` when it is off.
    pub vacation: Option<VacationChange>,
    /// Forwarding; `None` without one.
    pub forwarding: Option<ForwardingChange>,
    /// The entry's own quota or quota class; `None` when that of the affiliation holds.
    pub quota: Option<QuotaChange>,
    /// Locks, also those that have ended or not begun.
    pub locks: Vec<PersonLock>,
    /// What the state of the account forbids: values of `provostRestriction`.
    pub restrictions: Vec<String>,
    /// What was set by hand, and therefore stays when files and policies say otherwise.
    pub set_by_hand: Vec<ManualOrigin>,
    /// What the person has said against changes that were announced to them.
    pub objections: Vec<Objection>,
    /// Creation time of the entry, RFC 3339.
    pub created: Option<String>,
    /// Time of the entry's last change, RFC 3339.
    pub modified: Option<String>,
    /// Id of the audit record of this view.
    pub audit_id: String,
}

/// What the help desk sees of a person's password and activation link.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CredentialDetail {
    /// `none`, `set`, `must-change` or `expired`.
    pub state: &'static str,
    /// When the password was set, RFC 3339; `None` without a password, and when its time is unknown.
    pub since: Option<String>,
    /// When the activation link ends, RFC 3339; `None` without one that can still be used.
    pub link_until: Option<String>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No person or address matches.
    #[error("not found: {0}")]
    NotFound(String),
    /// The key matches more than one person: two have this name, or the login of one is the number of another.
    #[error("'{key}' matches more than one person; use one of these keys: {}", keys.join(", "))]
    Ambiguous {
        /// The key as the caller gave it.
        key: String,
        /// For two of these people, a source id, address or provostPersonId to use instead.
        keys: Vec<String>,
    },
    /// An input field breaks a rule.
    #[error("{field}: {rule}")]
    Invalid {
        /// Name of the input field.
        field: &'static str,
        /// The rule that the input breaks.
        rule: String,
    },
    /// No setting has the given name.
    #[error("no setting is named '{0}'")]
    UnknownSetting(String),
    /// The directory states no value for the setting.
    #[error("the directory states no value for '{0}'")]
    NotStated(&'static str),
    /// Another entry has the address, or another person has its local part as login.
    #[error("{0} is in use")]
    InUse(String),
    /// The address was recently taken from its owner: no other person can have it yet.
    #[error("{address} is in quarantine{}", until.as_deref().map(|until| format!(" until {until}")).unwrap_or_default())]
    Quarantined {
        /// The address in full.
        address: String,
        /// End of the quarantine, RFC 3339; `None` when the entry states none.
        until: Option<String>,
    },
    /// The entry changed while the operation was under way, and was not written.
    #[error("the entry changed meanwhile; read it again")]
    Stale,
    /// The entry's version is not one that the caller expects, and the entry was not written. Holds the present
    /// version, or `newer than` the version that was read.
    #[error("the entry was changed since it was read: its version is now {0:?}")]
    VersionMismatch(String),
    /// The principal may not perform this operation, or not on this person.
    #[error("not allowed: {0}")]
    NotAllowed(Permission),
    /// The principal, whose name in the audit this is, made the plan that only a second person may approve.
    #[error("{0} made this plan: a second person must override the guard")]
    OwnPlan(String),
    /// The directory refused a request, or returned an entry that cannot be used; the reason.
    #[error("{0}")]
    Refused(String),
    /// The directory is unavailable. A later attempt may work. A change of several entries may have been made in part.
    #[error("{0}")]
    Unavailable(String),
    /// The audit is unavailable, so nothing was changed or shown. A later attempt may work.
    #[error("{0}")]
    AuditUnavailable(String),
    /// A write got no answer from the directory: the change may have been made.
    #[error("{0}")]
    OutcomeUnknown(String),
}

/// The operations on one directory. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    directory: Directory,
    /// Returns the site's settings at the moment of each operation.
    settings: SettingsSource,
    audit: Audit,
    /// Records each write of an import.
    journals: Journals,
    /// Takes the mails that operations send; `None` when mails cannot be sent.
    outbox: Option<Arc<dyn MailOutbox>>,
}

/// A person as read before a change.
struct CurrentPerson {
    entry: Entry,
    /// Whether the caller named versions: a concurrent change is then reported as a version mismatch.
    is_expected: bool,
}

impl CurrentPerson {
    fn dn(&self) -> &Dn {
        &self.entry.dn
    }

    fn csn(&self) -> Option<&str> {
        self.entry.first(attr::ENTRY_CSN)
    }

    fn entry_uuid(&self) -> Option<Uuid> {
        self.entry.first(attr::ENTRY_UUID).and_then(|id| id.parse().ok())
    }

    fn roles(&self) -> impl Iterator<Item = &str> {
        self.entry.texts(attr::PROVOST_ROLE)
    }

    /// Turns a stale entry into a version mismatch when the caller named versions. The write asserts the entryCSN that
    /// was compared with these versions, so a stale entry means that another writer has changed the entry since.
    fn lost_race(&self, error: DeskError) -> DeskError {
        match error {
            DeskError::Stale if self.is_expected => {
                DeskError::VersionMismatch(format!("newer than {}", self.csn().unwrap_or_default()))
            }
            error => error,
        }
    }
}

impl Desk {
    /// Operations on `directory` that follow `settings`. Views and changes are recorded in `audit`, the writes of an
    /// import also in `journals`.
    pub fn new(directory: Directory, settings: impl Into<SettingsSource>, audit: Audit, journals: Journals) -> Self {
        Self { directory, settings: settings.into(), audit, journals, outbox: None }
    }

    /// The same operations, which send their mails through `outbox`.
    pub fn with_outbox(self, outbox: Arc<dyn MailOutbox>) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// People whose name, login, address, number or source id matches each word of `text`, case ignored, sorted by
    /// name. When more than `limit` or [`SEARCH_RESULTS_MAX`] people match, the directory decides which of them are
    /// returned.
    ///
    /// Logins and addresses are folded names, so a word without accents finds the accented name. A search without words
    /// finds no person.
    pub async fn search(
        &self,
        principal: &Principal,
        text: &str,
        limit: usize,
    ) -> Result<Vec<PersonSummary>, DeskError> {
        self.permit(principal, Permission::SearchPeople).await?;
        let words: Vec<String> = text
            .split_whitespace()
            .take(SEARCH_WORDS_MAX)
            // Compose letters and marks, as in stored names: a keyboard or a copied text may send them separately.
            .map(|word| word.nfc().take(SEARCH_WORD_CHARS_MAX).collect())
            .collect();
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut all = vec![Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)];
        let domain = self.settings.get().domain;
        all.extend(words.iter().map(|word| word_filter(word, &domain)));
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::And(all),
            attributes: detail::SUMMARY_ATTRIBUTES.iter().map(|name| (*name).to_owned()).collect(),
            limit: Some(limit.min(SEARCH_RESULTS_MAX)),
        };
        let mut people: Vec<PersonSummary> = self.directory.search(search).await?.iter().map(detail::summary).collect();
        people.sort_by_cached_key(|person| (sort_key(&person.display_name), person.uid.clone()));
        Ok(people)
    }

    /// One person by provostPersonId, login, address, source id (`registrar:12345` or bare `12345`) or full name. The
    /// view is audited; when it cannot be, the person is not returned. A principal who may view only their own entry
    /// gets it without what the help desk, files and policies have written about them.
    pub async fn person(&self, principal: &Principal, key: &str) -> Result<PersonDetail, DeskError> {
        let found = self.target(principal, Permission::ViewPerson, &key.into()).await?;
        let addresses = self.addresses_of(found.dn(), ReadPurpose::Show).await?;
        let mut detail = {
            let settings = self.settings.get();
            detail::detail(&found.entry, &addresses, &settings.time_zone, &settings.passwords)?
        };
        if !principal.may(Permission::ViewPerson) {
            detail = detail::for_oneself(detail);
        }
        let audit_id = self.audit.record(principal.actor(), VIEW_PERSON, &detail.dn, serde_json::json!({})).await;
        detail.audit_id =
            audit_id.map_err(|error| DeskError::AuditUnavailable(format!("the access cannot be audited: {error}")))?;
        Ok(detail)
    }

    /// The last audit records about a person, newest first and without the views: at most `limit` and
    /// [`HISTORY_MAX`]. A change that did not succeed completely has its outcome. Refused to a principal who may view
    /// only their own entry: the records name those who have changed it.
    pub async fn history(
        &self,
        principal: &Principal,
        person: &PersonDetail,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, DeskError> {
        self.permit(principal, Permission::ViewPerson).await?;
        let records = self.audit.history(&person.dn, limit.min(HISTORY_MAX)).await;
        let records =
            records.map_err(|error| DeskError::AuditUnavailable(format!("the audit cannot be read: {error}")))?;
        Ok(records.into_iter().map(HistoryEntry::from).collect())
    }

    /// Reads the one person that a key names. A full name is tried last.
    async fn find(&self, key: &str, purpose: ReadPurpose) -> Result<CurrentPerson, DeskError> {
        let key = key.trim();
        if key.is_empty() || key.len() > KEY_OCTETS_MAX {
            return Err(DeskError::Invalid { field: "person", rule: format!("1 to {KEY_OCTETS_MAX} octets") });
        }
        let mut unavailable = None;
        for filter in key_filters(key) {
            let (mut people, fault) = self.people(filter, &["*", "+"], Some(2), purpose).await?;
            unavailable = unavailable.or(fault);
            match (people.pop(), people.is_empty()) {
                (Some(entry), true) => return Ok(CurrentPerson { entry, is_expected: false }),
                (Some(last), false) => {
                    people.push(last);
                    let keys = people.iter().filter_map(|person| exact_key(person, key)).collect();
                    return Err(DeskError::Ambiguous { key: key.to_owned(), keys });
                }
                (None, _) => {}
            }
        }
        // If the provider did not answer, report that: the person may exist there.
        unavailable.map_or_else(|| Err(DeskError::NotFound(key.to_owned())), |error| Err(error.into()))
    }

    /// People who match `filter`. When a replica answers in place of the provider, also returns the provider's error.
    async fn people(
        &self,
        filter: Filter,
        attributes: &[&str],
        limit: Option<usize>,
        purpose: ReadPurpose,
    ) -> Result<(Vec<Entry>, Option<DirectoryError>), DeskError> {
        let account = Filter::equal(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT);
        let search = LdapSearch {
            base: tree::people(self.directory.suffix()),
            scope: Scope::One,
            filter: Filter::And(vec![account, filter]),
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            limit,
        };
        self.read_for(purpose, search).await
    }

    /// Searches the servers that `purpose` allows. When a replica answers in place of the provider, also returns the
    /// provider's error.
    async fn read_for(
        &self,
        purpose: ReadPurpose,
        search: LdapSearch,
    ) -> Result<(Vec<Entry>, Option<DirectoryError>), DeskError> {
        Ok(match purpose {
            ReadPurpose::Show => self.directory.search_newest(search).await?,
            ReadPurpose::Change => (self.directory.search_provider(search).await?, None),
        })
    }

    /// Records a change, then modifies the person as read. Returns the audit id. The record states each changed
    /// attribute before and after as `values`, besides the `detail` for people.
    async fn change(
        &self,
        actor: &Actor,
        action: &str,
        person: &CurrentPerson,
        changes: Vec<Modification>,
        mut detail: Value,
    ) -> Result<String, DeskError> {
        if let Some(fields) = detail.as_object_mut() {
            fields.insert("values".to_owned(), recorded_modifications(&person.entry, &changes));
        }
        let audited_change = self.announce(actor, action, person.dn(), detail).await?;
        let conditions = tree::unchanged_since(person.csn());
        let result = self.directory.modify(person.dn(), changes, conditions).await.map(drop);
        self.conclude(audited_change, result).await.map_err(|error| person.lost_race(error))
    }

    /// Records a change before it is tried; when the record cannot be written, the change must not be tried.
    async fn announce<'a>(
        &self,
        actor: &'a Actor,
        action: &str,
        subject: &'a Dn,
        detail: Value,
    ) -> Result<AnnouncedChange<'a>, DeskError> {
        let audit_id = self.audit.record(actor, action, subject.as_str(), detail).await;
        let not_audited = |error| {
            DeskError::AuditUnavailable(format!("nothing was changed, because the audit cannot be written: {error}"))
        };
        Ok(AnnouncedChange { id: audit_id.map_err(not_audited)?, actor, subject, is_begun: false })
    }

    /// Records the outcome of a change unless it succeeded completely. Returns the audit id of the change.
    async fn conclude(
        &self,
        change: AnnouncedChange<'_>,
        result: Result<(), DirectoryError>,
    ) -> Result<String, DeskError> {
        let Err(error) = result else { return Ok(change.id) };
        let outcome = match &error {
            DirectoryError::Unknown(_) => ChangeOutcome::Unknown,
            _ if change.is_begun => ChangeOutcome::Partly,
            _ => ChangeOutcome::NotDone,
        };
        self.audit.note_outcome(change.actor, &change.id, change.subject.as_str(), outcome, &error.to_string()).await;
        Err(error.into())
    }

    /// Records that a change failed because its address could not be assigned: not done, or unknown when the
    /// directory's answer was lost. Returns the reason.
    async fn not_assigned(&self, change: AnnouncedChange<'_>, error: DeskError) -> DeskError {
        let outcome = match &error {
            // The address may have been assigned although the answer was lost.
            DeskError::Unavailable(_) | DeskError::OutcomeUnknown(_) => ChangeOutcome::Unknown,
            _ => ChangeOutcome::NotDone,
        };
        self.audit.note_outcome(change.actor, &change.id, change.subject.as_str(), outcome, &error.to_string()).await;
        error
    }
}

/// A change that is in the audit and may have been done in part.
struct AnnouncedChange<'a> {
    id: String,
    actor: &'a Actor,
    subject: &'a Dn,
    /// Whether one of several entries has been written.
    is_begun: bool,
}

/// A key that names only this person when `key` also names another one: the source id when `key` is the person's
/// number; otherwise the primary address, or the provostPersonId of a person without one.
fn exact_key(person: &Entry, key: &str) -> Option<String> {
    let is_number = person.texts(attr::EMPLOYEE_NUMBER).any(|number| number.eq_ignore_ascii_case(key));
    let source = person.first(attr::PROVOST_SOURCE_ID).filter(|_| is_number);
    source.or_else(|| person.first(attr::MAIL)).or_else(|| person.first(attr::PROVOST_PERSON_ID)).map(str::to_owned)
}

/// Filters for what a key may name, in the order in which they are tried. Login and number are searched together: when
/// one person's login is another's number, only the caller can choose between them.
fn key_filters(key: &str) -> Vec<Filter> {
    let equal = |name| Filter::equal(name, key);
    // A registrar's number or a source id may have the shape of any other key, so no shape excludes them.
    let number = Filter::Or(vec![equal(attr::EMPLOYEE_NUMBER), equal(attr::PROVOST_SOURCE_ID)]);
    if let Ok(id) = Uuid::parse_str(key) {
        return vec![Filter::equal(attr::PROVOST_PERSON_ID, id.to_string()), number];
    }
    if key.contains('@') {
        let address = Address::parse(key).ok().map(|address| {
            let equal = |name| Filter::equal(name, address.as_str());
            Filter::Or(vec![equal(attr::MAIL_LOCAL_ADDRESS), equal(attr::MAIL)])
        });
        return address.into_iter().chain([number]).collect();
    }
    if key.contains(':') {
        return vec![equal(attr::PROVOST_SOURCE_ID), number];
    }
    vec![Filter::Or(vec![equal(attr::UID), number]), equal(attr::CN)]
}

/// The reason that an operation records, with single spaces: 1 to [`REASON_CHARS_MAX`] characters.
fn checked_reason(reason: &str) -> Result<String, DeskError> {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_too_long = reason.chars().count() > REASON_CHARS_MAX;
    if reason.is_empty() || is_too_long || reason.chars().any(char::is_control) {
        let rule = format!("1 to {REASON_CHARS_MAX} characters that say why");
        return Err(DeskError::Invalid { field: "reason", rule });
    }
    Ok(reason)
}

/// Sort key of names in a list: word by word, by letters without marks. Ángel sorts before Zoé, and Ann Zed before
/// Anna Abe.
fn sort_key(name: &str) -> String {
    name.split_whitespace().map(fold_name).collect::<Vec<_>>().join(" ")
}

/// Matches one word of a search: anywhere in names, logins and the local part of a primary address of `domain`; at the
/// beginning of numbers, source ids and primary addresses; as the whole of an alias.
fn word_filter(word: &str, domain: &str) -> Filter {
    let substring = |name, initial: Option<&str>, any: Option<&str>| Filter::Substring {
        attribute: AttributeDescription::of(name),
        initial: initial.map(Into::into),
        any: any.map(Into::into).into_iter().collect(),
        last: None,
    };
    let mut either = vec![
        substring(attr::CN, None, Some(word)),
        substring(attr::DISPLAY_NAME, None, Some(word)),
        substring(attr::EMPLOYEE_NUMBER, Some(word), None),
        substring(attr::PROVOST_SOURCE_ID, Some(word), None),
    ];
    let folded = fold_name(word);
    if !folded.is_empty() {
        either.push(substring(attr::UID, None, Some(&folded)));
        // A login stays when a name changes, but the primary address follows. Match only up to the @: otherwise the
        // letters of the domain would find every person.
        either.push(Filter::Substring {
            attribute: AttributeDescription::of(attr::MAIL),
            initial: None,
            any: vec![folded.as_str().into()],
            last: Some(format!("@{domain}").into_bytes()),
        });
    }
    // Also match a login or an address as typed: folding has removed its dot and @.
    if word.is_ascii() {
        either.push(substring(attr::UID, Some(word), None));
        either.push(substring(attr::MAIL, Some(word), None));
        either.push(Filter::equal(attr::MAIL_LOCAL_ADDRESS, word));
    }
    Filter::Or(either)
}

impl From<DirectoryError> for DeskError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NoSuchObject(what) => Self::NotFound(what),
            DirectoryError::AlreadyExists(what) => Self::InUse(what),
            DirectoryError::AssertionFailed => Self::Stale,
            error @ DirectoryError::Unavailable(_) => Self::Unavailable(error.to_string()),
            error @ DirectoryError::Unknown(_) => Self::OutcomeUnknown(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_audit_is_not_reported_as_one_of_the_directory() {
        let directory = DeskError::from(DirectoryError::Unavailable("no route".to_owned()));
        assert_eq!(directory.to_string(), "the directory is unavailable: no route");
        let audit = DeskError::AuditUnavailable("the audit cannot be read: disk full".to_owned());
        assert_eq!(audit.to_string(), "the audit cannot be read: disk full");
    }

    #[test]
    fn lists_are_sorted_word_by_word() {
        let mut names = ["Zoé Roy", "Anna Abe", "Ann Zed", "Ángel Roy", "ann  abe", "Ann-Lise Abe"];
        names.sort_by_cached_key(|name| sort_key(name));
        assert_eq!(names, ["Ángel Roy", "ann  abe", "Ann Zed", "Ann-Lise Abe", "Anna Abe", "Zoé Roy"]);
    }
}
