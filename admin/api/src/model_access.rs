//! JSON forms of what a person may do and where their mail goes.

use jiff::Timestamp;
use jiff::civil::Date;
use provost_provision::{ForwardingChange, LockRequest, ManualOrigin, PersonLock, QuotaChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lock to set on a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLock {
    /// Name of the lock, such as `abuse`; a person has each name once.
    #[schema(pattern = "^[a-z][a-z0-9-]*$", max_length = 64)]
    lock: String,
    /// Why; the audit and the person's page show it.
    #[schema(pattern = r"\S", max_length = 200)]
    reason: String,
    /// Who is responsible for it, in one word; the caller by default.
    #[serde(default)]
    #[schema(pattern = r"^\S+$", max_length = 64)]
    owner: Option<String>,
    /// When the lock ends by itself; without it, the lock stands until it is released.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

impl From<NewLock> for LockRequest {
    fn from(body: NewLock) -> Self {
        let NewLock { lock, reason, owner, until } = body;
        Self { name: lock, owner, reason, until }
    }
}

/// The reason of a change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeReason {
    /// Why; the audit shows it.
    #[schema(pattern = r"\S", max_length = 200)]
    pub(crate) reason: String,
}

/// An account that was given back to the lifecycle.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Restored {
    /// The state that the person's policy asks for, which the account now has.
    pub(crate) state: String,
    /// Id of the audit record.
    pub(crate) audit_id: String,
}

/// A lock of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LockBody {
    /// Name of the lock.
    lock: String,
    /// Since when it stands, RFC 3339.
    since: Option<String>,
    /// When it ends by itself, RFC 3339; `null` stands until it is released.
    until: Option<String>,
    /// Who is responsible for it.
    owner: String,
    /// Why it was set.
    reason: String,
    /// Whether it stands now.
    stands: bool,
}

impl From<PersonLock> for LockBody {
    fn from(lock: PersonLock) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let PersonLock { name, since, until, owner, reason, stands } = lock;
        Self { lock: name, since: text(since), until: text(until), owner, reason, stands }
    }
}

/// A value that was set by hand, which files and policies do not change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManualOriginBody {
    /// The attribute; of attributes that belong together, the chief one.
    attribute: String,
    /// When it was set, RFC 3339.
    since: Option<String>,
    /// When files and policies decide again, RFC 3339; `null` is never.
    until: Option<String>,
    /// Who set it.
    actor: String,
}

impl From<ManualOrigin> for ManualOriginBody {
    fn from(origin: ManualOrigin) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let ManualOrigin { attribute, since, until, actor } = origin;
        Self { attribute, since: text(since), until: text(until), actor }
    }
}

/// A forwarding. Mail goes on from `start` to the end of `end`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardingBody {
    /// The addresses to which mail goes on.
    #[schema(min_items = 1, max_items = 10)]
    to: Vec<String>,
    /// First day; without it, the forwarding begins at once.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    start: Option<Date>,
    /// Last day, inclusive; without it, the forwarding has no end.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    end: Option<Date>,
    /// Whether the mailbox gets a copy of each message.
    #[serde(default)]
    keep_copy: bool,
}

impl From<ForwardingBody> for ForwardingChange {
    fn from(body: ForwardingBody) -> Self {
        let ForwardingBody { to, start, end, keep_copy } = body;
        Self { to, start, end, keep_copy }
    }
}

impl From<ForwardingChange> for ForwardingBody {
    fn from(change: ForwardingChange) -> Self {
        let ForwardingChange { to, start, end, keep_copy } = change;
        Self { to, start, end, keep_copy }
    }
}

/// A person's own quota: either a class or octets.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuotaBody {
    /// Quota class, as the setting `quota-classes` names it.
    #[schema(pattern = "^[A-Za-z0-9-]+$", max_length = 64)]
    class: Option<String>,
    /// Octets; goes before a class.
    #[schema(minimum = 1, maximum = 1_125_899_906_842_624_u64)]
    octets: Option<u64>,
    /// Last day, inclusive; without it, the quota has no end.
    #[schema(value_type = Option<String>, format = Date)]
    until: Option<Date>,
}

impl From<QuotaBody> for QuotaChange {
    fn from(body: QuotaBody) -> Self {
        let QuotaBody { class, octets, until } = body;
        Self { class, octets, until }
    }
}

impl From<QuotaChange> for QuotaBody {
    fn from(change: QuotaChange) -> Self {
        let QuotaChange { class, octets, until } = change;
        Self { class, octets, until }
    }
}
