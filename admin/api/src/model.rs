//! What the API shows and takes, as JSON. Made from provisioning's types, never the other way but for requests.

use jiff::Timestamp;
use provost_provision::{AddressInfo, HistoryEntry, PersonDetail, PersonSummary, RecordError, VacationChange};
use provost_store::{QueueRow, QueuedRecipient as Waiting, Snapshot};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A person in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonItem {
    /// provostPersonId: it never changes.
    id: String,
    /// Login name (`uid`).
    uid: String,
    /// Name as it is shown: given name and family name.
    display_name: String,
    /// Primary address.
    mail: String,
    /// student, faculty, staff, alum, ...
    affiliation: String,
    /// active, suspended, ...
    state: String,
}

impl From<PersonSummary> for PersonItem {
    fn from(summary: PersonSummary) -> Self {
        let PersonSummary { id, uid, display_name, mail, affiliation, state } = summary;
        Self { id, uid, display_name, mail, affiliation, state }
    }
}

/// People found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeopleFound {
    /// Sorted by name.
    pub(crate) people: Vec<PersonItem>,
    /// Whether there are more than `limit`.
    pub(crate) more: bool,
}

/// One address of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddressItem {
    /// The address, `local@domain`.
    address: String,
    /// primary, alias, retained, or quarantined: taken away and nobody else's yet.
    kind: String,
    /// Since when the address is given, or in quarantine, RFC 3339.
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
    /// The primary one first.
    pub(crate) addresses: Vec<AddressItem>,
}

/// An address to give.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAddress {
    /// `local@domain` of a domain that is served here.
    #[schema(pattern = "^[^@ ]+@[^@ ]+$", max_length = 320)]
    pub(crate) address: String,
}

/// A vacation rule. It answers from `start` to the end of `end`, once per sender within `interval_days`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VacationBody {
    /// First day; without one it begins now.
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<jiff::civil::Date>,
    /// Last day, to its end; without one it has no end.
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
    /// Days between two replies to one sender; without it 7.
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
    /// imap, pop3, submission.
    protocol: String,
    /// RFC 3339, UTC.
    at: String,
}

/// What the store knows of a mailbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailboxFacts {
    /// Octets of all messages.
    octets_used: u64,
    /// Octets allowed to this person in particular; `null` is what the site allows to everybody.
    quota_octets: Option<u64>,
    /// Messages in all folders.
    messages: u64,
    /// The last login by each protocol.
    last_logins: Vec<LastLogin>,
}

impl MailboxFacts {
    pub(crate) fn new(snapshot: &Snapshot, quota_octets: Option<u64>) -> Self {
        let login = |(protocol, at): &(String, i64)| LastLogin { protocol: protocol.clone(), at: rfc3339(*at) };
        Self {
            octets_used: snapshot.octets,
            quota_octets,
            messages: snapshot.mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum(),
            last_logins: snapshot.last_logins.iter().map(login).collect(),
        }
    }
}

/// All that is known of one person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonBody {
    /// provostPersonId: it never changes.
    id: String,
    /// Login name (`uid`).
    uid: String,
    /// Name as it is shown: given name and family name.
    display_name: String,
    /// Primary address.
    mail: String,
    /// student, faculty, staff, alum, ...
    affiliation: String,
    /// active, suspended, ...
    state: String,
    /// DN of the entry.
    dn: String,
    /// Key of the account in the store.
    #[schema(value_type = String, format = "uuid")]
    entry_uuid: Uuid,
    /// Version of the entry, also as ETag: for `If-Match`.
    version: String,
    /// Given name.
    given_name: String,
    /// Family name.
    family_name: String,
    /// Where the person is known from: `registrar:12345`.
    sources: Vec<String>,
    /// Programme or unit.
    program: Option<String>,
    /// First day, YYYY-MM-DD.
    start_date: Option<String>,
    /// Last day, YYYY-MM-DD.
    end_date: Option<String>,
    /// Whether a password is set.
    has_password: bool,
    /// The primary one first.
    addresses: Vec<AddressItem>,
    /// The vacation rule when one is set.
    vacation: Option<VacationBody>,
    /// When the entry was made, RFC 3339.
    created: Option<String>,
    /// When the entry was last changed, RFC 3339.
    modified: Option<String>,
    /// `null` while the store cannot say.
    mailbox: Option<MailboxFacts>,
    /// Id of the audit record of this look.
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
            addresses: detail.addresses.into_iter().map(Into::into).collect(),
            vacation: detail.vacation.map(Into::into),
            created: detail.created,
            modified: detail.modified,
            mailbox,
            audit_id,
        }
    }
}

/// What was changed about a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonHistory {
    /// Key of the person, which never changes.
    pub(crate) id: String,
    /// Changes that were made or tried, newest first.
    pub(crate) changes: Vec<HistoryChange>,
}

/// A change of a person, made or tried.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryChange {
    /// Id of the audit record.
    id: String,
    /// When it was begun: RFC 3339, UTC.
    at: String,
    /// Who: `cli:helen`, `token:registrar`, a login.
    actor: String,
    /// The face that was used: cli, api, web.
    via: String,
    /// `person.rename`, `address.add`, `password.reset`, ...
    action: String,
    /// Of an import: the row that asked for it.
    import: Option<ImportRow>,
    /// Values before and after; never a password.
    values: Vec<ValueChange>,
    /// Whether an import set an initial password.
    password_set: bool,
    /// `not_done`, `partly` or `unknown`; `null` when it was done.
    outcome: Option<String>,
    /// Why it was not.
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
    /// The change in words.
    what: String,
    /// Why it was wanted, in words.
    reason: String,
}

/// One attribute before and after.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueChange {
    /// The address whose entry it is, where it is not the person's own entry.
    address: Option<String>,
    /// Name of the attribute.
    attribute: String,
    /// Values before; none of what is new.
    before: Vec<String>,
    /// Values after; none of what was taken away.
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
    /// Id of its audit record, also in `X-Audit-Id`.
    pub(crate) audit_id: String,
}

/// A password to set; without one it is generated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PasswordBody {
    /// The new password.
    #[schema(min_length = 8, max_length = 512, format = Password)]
    pub(crate) password: Option<String>,
}

/// A password that was set.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordReset {
    /// The generated password: shown this once. Absent when the request stated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Id of the audit record, also in `X-Audit-Id`.
    pub(crate) audit_id: String,
}

/// A row that is left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedRow {
    /// Line in the file, from one.
    line: u64,
    /// Column name as in the header.
    column: String,
    /// The rule that was broken.
    rule: String,
}

impl From<&RecordError> for RejectedRow {
    fn from(error: &RecordError) -> Self {
        Self { line: error.line, column: error.column.clone(), rule: error.rule.clone() }
    }
}

/// A message that waits in the queue for one destination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedMessage {
    /// The message's key. A message for several destinations is in the list once for each.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Domain of the recipients; empty for `postmaster` of this host.
    destination: String,
    /// Reverse-path; `null` is `<>`, a bounce.
    reverse_path: Option<String>,
    /// Recipients still to do. Empty when the message's row cannot be read.
    recipients: Vec<QueuedRecipient>,
    /// How often it was tried.
    attempts: u32,
    /// RFC 3339, UTC.
    queued_at: String,
    /// RFC 3339, UTC.
    due_at: String,
    /// While it is being tried: when it is tried again at the latest, should the node end in the middle. RFC 3339, UTC.
    held_until: Option<String>,
    /// Octets of the message.
    octets: u64,
    /// Why it was set aside and is not tried any more.
    set_aside: Option<String>,
}

/// A recipient that is still to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuedRecipient {
    /// Address of the recipient.
    address: String,
    /// What the peer said last.
    last_error: Option<String>,
}

impl From<QueueRow> for QueuedMessage {
    fn from(row: QueueRow) -> Self {
        let recipient = |waiting: Waiting| QueuedRecipient {
            address: waiting.recipient.path.to_string(),
            last_error: waiting.last_error,
        };
        Self {
            id: row.id.0,
            destination: row.destination.as_str().to_owned(),
            reverse_path: row.reverse_path.map(|path| path.to_string()),
            recipients: row.recipients.into_iter().map(recipient).collect(),
            attempts: row.attempts,
            queued_at: rfc3339(row.queued_at),
            due_at: rfc3339(row.due_at),
            held_until: row.held_until.map(rfc3339),
            octets: row.octets,
            set_aside: row.set_aside,
        }
    }
}

/// Seconds since 1970 as RFC 3339; the number itself when no calendar has such a moment.
fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
