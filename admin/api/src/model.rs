//! JSON forms of the API's answers and requests. Answers are made from the types of `provost_provision`, and requests
//! are converted to them.

use jiff::Timestamp;
use provost_provision::{
    AddressInfo, CredentialDetail, HistoryEntry, Objection, PersonDetail, PersonSummary, RecordError, Severity,
    VacationChange,
};
use provost_store::{AccountSnapshot, QueueRow, QueuedRecipient as Waiting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model_access::{ForwardingBody, LockBody, ManualOriginBody, QuotaBody};

/// A person in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonItem {
    /// provostPersonId: it never changes.
    id: String,
    /// Login name (`uid`).
    uid: String,
    /// Name as it is shown (`displayName`).
    display_name: String,
    /// Primary address (`mail`).
    mail: String,
    /// Affiliation: student, faculty, staff, alum, ...
    affiliation: String,
    /// State of the account: active, suspended, ...
    state: String,
}

impl From<PersonSummary> for PersonItem {
    fn from(summary: PersonSummary) -> Self {
        let PersonSummary { id, uid, display_name, mail, affiliation, state } = summary;
        Self { id, uid, display_name, mail, affiliation, state }
    }
}

/// People that match a search.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeopleFound {
    /// The people, sorted by name.
    pub(crate) people: Vec<PersonItem>,
    /// Whether more than `limit` people match.
    pub(crate) more: bool,
}

/// One address of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddressItem {
    /// The address, `local@domain`.
    address: String,
    /// Kind of the address: `primary`, `alias`, `retained` (a former primary address that still reaches the person),
    /// `quarantined` (taken from the person and not yet free for another person), ...
    kind: String,
    /// Start of the ownership, RFC 3339; in quarantine, of that of the former owner.
    since: Option<String>,
    /// End of the quarantine, RFC 3339.
    until: Option<String>,
}

impl From<AddressInfo> for AddressItem {
    fn from(info: AddressInfo) -> Self {
        let AddressInfo { address, kind, since, until } = info;
        Self { address, kind, since, until }
    }
}

/// All addresses of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Addresses {
    /// The addresses, the primary one first.
    pub(crate) addresses: Vec<AddressItem>,
}

/// An address to give to a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAddress {
    /// `local@domain`, with a served domain.
    #[schema(pattern = "^[^@ ]+@[^@ ]+$", max_length = 320)]
    pub(crate) address: String,
    /// When the alias ends: it then receives nothing, and goes into quarantine. Without it, the alias has no end.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

/// A vacation rule. It answers from `start` to the end of `end`, once per sender within `interval_days`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VacationBody {
    /// First day; without it, the rule applies at once.
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<jiff::civil::Date>,
    /// Last day, inclusive; without it, the rule has no end.
    #[schema(value_type = Option<String>, format = Date)]
    end: Option<jiff::civil::Date>,
    /// Subject in French.
    subject_fr: Option<String>,
    /// Subject in English.
    subject_en: Option<String>,
    /// Text in French.
    text_fr: Option<String>,
    /// Text in English.
    text_en: Option<String>,
    /// Days between two replies to one sender; 7 by default.
    #[schema(minimum = 1, maximum = 365)]
    interval_days: Option<u16>,
}

impl From<VacationBody> for VacationChange {
    fn from(body: VacationBody) -> Self {
        let VacationBody { start, end, subject_fr, subject_en, text_fr, text_en, interval_days } = body;
        Self { start, end, subject_fr, subject_en, text_fr, text_en, interval_days }
    }
}

impl From<VacationChange> for VacationBody {
    fn from(change: VacationChange) -> Self {
        let VacationChange { start, end, subject_fr, subject_en, text_fr, text_en, interval_days } = change;
        Self { start, end, subject_fr, subject_en, text_fr, text_en, interval_days }
    }
}

/// The last login by one protocol.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastLogin {
    /// Protocol of the login: imap, pop3, submission.
    protocol: String,
    /// Time of the login: RFC 3339, UTC.
    at: String,
}

/// Facts of the store about the account of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailboxFacts {
    /// Octets of all messages.
    octets_used: u64,
    /// Octets allowed to this person in particular; `null` when a quota of the shared settings applies.
    quota_octets: Option<u64>,
    /// Messages in all mailboxes.
    messages: u64,
    /// The last login by each protocol.
    last_logins: Vec<LastLogin>,
}

impl MailboxFacts {
    pub(crate) fn new(snapshot: &AccountSnapshot, quota_octets: Option<u64>) -> Self {
        let login = |(protocol, at): &(String, Timestamp)| LastLogin { protocol: protocol.clone(), at: at.to_string() };
        Self {
            octets_used: snapshot.octets,
            quota_octets,
            messages: snapshot.mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum(),
            last_logins: snapshot.last_logins.iter().map(login).collect(),
        }
    }
}

/// One person, from the directory and the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonBody {
    /// provostPersonId: it never changes.
    id: String,
    /// Login name (`uid`).
    uid: String,
    /// Name as it is shown (`displayName`).
    display_name: String,
    /// Primary address (`mail`).
    mail: String,
    /// Affiliation: student, faculty, staff, alum, ...
    affiliation: String,
    /// State of the account: active, suspended, ...
    state: String,
    /// DN of the entry.
    dn: String,
    /// Key of the account in the store.
    #[schema(value_type = String, format = "uuid")]
    entry_uuid: Uuid,
    /// Version of the entry, also as ETag: for `If-Match`.
    version: String,
    /// Given name (`givenName`).
    given_name: String,
    /// Family name (`sn`).
    family_name: String,
    /// Source ids of the person: `registrar:12345`.
    sources: Vec<String>,
    /// Programme of study or organisational unit.
    program: Option<String>,
    /// First day of the affiliation, YYYY-MM-DD.
    start_date: Option<String>,
    /// Last day of the affiliation, YYYY-MM-DD.
    end_date: Option<String>,
    /// Whether the entry has a password.
    has_password: bool,
    /// State of the password and of an activation link.
    credential: CredentialBody,
    /// The addresses, the primary one first.
    addresses: Vec<AddressItem>,
    /// The vacation rule; `null` when there is none.
    vacation: Option<VacationBody>,
    /// The forwarding; `null` when there is none.
    forwarding: Option<ForwardingBody>,
    /// The person's own quota or quota class; `null` when that of the affiliation holds.
    quota: Option<QuotaBody>,
    /// The locks, also those that have ended or not begun.
    locks: Vec<LockBody>,
    /// What the state of the account forbids: `no-login`, `no-send`, `read-only`, `no-receive`, `forward-only`.
    restrictions: Vec<String>,
    /// What was set by hand, which files and policies do not change.
    set_by_hand: Vec<ManualOriginBody>,
    /// What the person has said against changes that were announced to them.
    objections: Vec<ObjectionBody>,
    /// Creation time of the entry, RFC 3339.
    created: Option<String>,
    /// Time of the entry's last change, RFC 3339.
    modified: Option<String>,
    /// Facts about the account; `null` while the store is unavailable.
    mailbox: Option<MailboxFacts>,
    /// Id of the audit record of this view.
    audit_id: String,
}

impl PersonBody {
    pub(crate) fn new(detail: PersonDetail, mailbox: Option<MailboxFacts>, audit_id: String) -> Self {
        let PersonSummary { id, uid, display_name, mail, affiliation, state } = detail.summary;
        Self {
            id,
            uid,
            display_name,
            mail,
            affiliation,
            state,
            dn: detail.dn,
            entry_uuid: detail.entry_uuid,
            version: detail.version,
            given_name: detail.given_name,
            family_name: detail.family_name,
            sources: detail.sources,
            program: detail.program,
            start_date: detail.start_date,
            end_date: detail.end_date,
            has_password: detail.has_password,
            credential: detail.credential.into(),
            addresses: detail.addresses.into_iter().map(Into::into).collect(),
            vacation: detail.vacation.map(Into::into),
            forwarding: detail.forwarding.map(Into::into),
            quota: detail.quota.map(Into::into),
            locks: detail.locks.into_iter().map(Into::into).collect(),
            restrictions: detail.restrictions,
            set_by_hand: detail.set_by_hand.into_iter().map(Into::into).collect(),
            objections: detail.objections.into_iter().map(Into::into).collect(),
            created: detail.created,
            modified: detail.modified,
            mailbox,
            audit_id,
        }
    }
}

/// What a person says against an announced change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObjectionBody {
    /// The change: the state that begins and its day, as in `closing@20270301`.
    event: String,
    /// When it was said, RFC 3339.
    since: String,
    /// The person's words.
    reason: String,
}

impl From<Objection> for ObjectionBody {
    fn from(objection: Objection) -> Self {
        Self { event: objection.event, since: objection.since.to_string(), reason: objection.reason }
    }
}

/// The changes of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonHistory {
    /// provostPersonId of the person: it never changes.
    pub(crate) id: String,
    /// Changes that were made or tried, newest first.
    pub(crate) changes: Vec<HistoryChange>,
}

/// A change of a person, made or tried.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryChange {
    /// Id of the audit record.
    id: String,
    /// Time at which the change was begun: RFC 3339, UTC.
    at: String,
    /// The actor: `cli:helen`, `token:registrar`, or a login.
    actor: String,
    /// The interface that was used: cli, api, web.
    via: String,
    /// `person.rename`, `address.add`, `password.reset`, ...
    action: String,
    /// For an import: the row that asked for the change.
    import: Option<ImportRow>,
    /// Values before and after; never a password.
    values: Vec<ValueChange>,
    /// Whether an import set an initial password.
    password_set: bool,
    /// `not_done`, `partly` or `unknown`; `null` when the change succeeded completely.
    outcome: Option<String>,
    /// The reason for the outcome, when there is one.
    outcome_reason: Option<String>,
}

/// A row of a registrar's file that asked for a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportRow {
    /// Name of the source.
    source: String,
    /// Line of the file.
    row: u64,
    /// Id of the batch.
    batch: String,
    /// Description of the change.
    what: String,
    /// Description of the reason for the change.
    reason: String,
}

/// One attribute before and after.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueChange {
    /// The address whose entry has the attribute; `null` for the person's own entry.
    address: Option<String>,
    /// Name of the attribute.
    attribute: String,
    /// Values before; empty for what was added.
    before: Vec<String>,
    /// Values after; empty for what was removed.
    after: Vec<String>,
}

impl From<HistoryEntry> for HistoryChange {
    fn from(entry: HistoryEntry) -> Self {
        let row = |import: provost_provision::ImportRow| {
            let provost_provision::ImportRow { source, row, batch, what, reason } = import;
            ImportRow { source, row, batch, what, reason }
        };
        let value = |change: provost_provision::ValueChange| {
            let provost_provision::ValueChange { address, attribute, before, after } = change;
            ValueChange { address, attribute, before, after }
        };
        Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor,
            via: entry.via,
            action: entry.action,
            import: entry.import.map(row),
            values: entry.changes.into_iter().map(value).collect(),
            password_set: entry.password_set,
            outcome: entry.outcome,
            outcome_reason: entry.outcome_reason,
        }
    }
}

/// A change that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// Id of the change's audit record, also in `X-Audit-Id`.
    pub(crate) audit_id: String,
}

/// A password to set; without one, a password is generated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PasswordBody {
    /// The new password: at least 8 characters, at most 512 octets.
    #[schema(min_length = 8, max_length = 512, format = Password)]
    pub(crate) password: Option<String>,
}

/// State of a person's password and activation link.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CredentialBody {
    /// `none`, `set`, `must-change` (somebody else has chosen the password) or `expired`.
    #[schema(example = "must-change")]
    state: &'static str,
    /// When the password was set, RFC 3339; null without a password, and when its time is unknown.
    since: Option<String>,
    /// When the activation link ends, RFC 3339; null without one that can still be used.
    link_until: Option<String>,
}

impl From<CredentialDetail> for CredentialBody {
    fn from(detail: CredentialDetail) -> Self {
        Self { state: detail.state, since: detail.since, link_until: detail.link_until }
    }
}

/// An activation link that was mailed. The link itself is only in the mail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActivationSent {
    /// The private address to which the mail goes.
    pub(crate) to: String,
    /// When the link ends, RFC 3339.
    pub(crate) until: String,
    /// Id of the audit record, also in `X-Audit-Id`.
    pub(crate) audit_id: String,
}

/// Result of setting a password.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordReset {
    /// The generated password, which only this reply shows. Absent when the request stated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Id of the audit record, also in `X-Audit-Id`.
    pub(crate) audit_id: String,
}

/// One problem of a row that the import leaves out, or of a field that it ignores.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedRow {
    /// Line in the file, from one.
    line: u64,
    /// Column name as in the header.
    column: String,
    /// Id of the broken rule, such as `name.entity`.
    rule: String,
    /// `error` when the row is left out, `warning` when only the field is.
    severity: &'static str,
    /// The broken rule in words.
    words: String,
}

impl From<&RecordError> for RejectedRow {
    fn from(error: &RecordError) -> Self {
        let severity = match error.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            line: error.line,
            column: error.column.clone(),
            rule: error.rule.to_string(),
            severity,
            words: error.words.clone(),
        }
    }
}

/// A message that waits in the queue for one destination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedMessage {
    /// Key of the message. A message with several destinations has a row for each.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Domain of the recipients; empty for `postmaster` of this host.
    destination: String,
    /// Reverse-path; `null` for `<>`, as in a report, or when the message's row cannot be read.
    reverse_path: Option<String>,
    /// Recipients that are not settled yet. Empty when the message's row cannot be read.
    recipients: Vec<QueuedRecipient>,
    /// Number of attempts so far, a running one included.
    attempts: u32,
    /// Time at which the message entered the queue: RFC 3339, UTC.
    queued_at: String,
    /// Time of the next attempt: RFC 3339, UTC.
    due_at: String,
    /// End of the claim of the node that is trying to send the message. If that node stops, another attempt may begin
    /// after this time. `null` when no node has the message. RFC 3339, UTC.
    held_until: Option<String>,
    /// Octets of the message.
    octets: u64,
    /// Reason why the message was set aside and is not tried again.
    set_aside: Option<String>,
}

/// A recipient that is not settled yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedRecipient {
    /// Address of the recipient.
    address: String,
    /// Last reply of the peer, or last error, for this recipient.
    last_error: Option<String>,
}

impl From<QueueRow> for QueuedMessage {
    fn from(row: QueueRow) -> Self {
        let recipient = |waiting: Waiting| QueuedRecipient {
            address: waiting.recipient.path.to_string(),
            last_error: waiting.last_error,
        };
        Self {
            id: row.id.get(),
            destination: row.destination.as_str().to_owned(),
            reverse_path: row.reverse_path.map(|path| path.to_string()),
            recipients: row.recipients.into_iter().map(recipient).collect(),
            attempts: row.attempts,
            queued_at: row.queued_at.to_string(),
            due_at: row.due_at.to_string(),
            held_until: row.held_until.map(|until| until.to_string()),
            octets: row.octets,
            set_aside: row.set_aside,
        }
    }
}
