//! Batches, the only way to change an account's mail: a batch is applied as a whole or not at all, and returns one
//! effect per op.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    AccountId, Flags, MailboxId, MailboxInfo, MailboxName, MessageMeta, Modseq, NewMessage, ReadToken, SpecialUse, Uid,
    UidSet, UidValidity,
};

/// How long the ids of applied batches and of finished queue messages are kept: longer than most sending queues retry
/// (RFC 5321 §4.5.4.1: at least 4-5 days).
pub(crate) const REMEMBERED: Duration = Duration::from_hours(7 * 24);
/// Default size limit of a message, octets; a common limit at universities.
pub(crate) const MESSAGE_OCTETS_MAX: u64 = 50 * 1024 * 1024;

/// Idempotency key within an account. For at least seven days after a batch was applied, another batch with the same
/// id changes nothing and returns the first result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchId(Uuid);

impl BatchId {
    /// Makes the key of a batch.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the uuid.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

/// A change to one account.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `Some` for batches that may be repeated after an unknown outcome (deliveries). Without an id, a repetition is
    /// applied again.
    pub id: Option<BatchId>,
    /// The account that is changed; a batch never spans two.
    pub account: AccountId,
    /// The time of the change. New mailboxes take their UIDVALIDITY from this time, and it decides which records of
    /// replies and which batch ids have expired.
    pub now: Timestamp,
    /// Conditions that must all hold, or nothing is changed.
    pub require: Vec<BatchCondition>,
    /// The changes in order; later ones see the effects of earlier ones. All get the same modseq, except those of
    /// [`Op::Restore`].
    pub ops: Vec<Op>,
}

impl Batch {
    /// Returns a batch that only creates an account, for a read that comes before the first write. A read has no `now`,
    /// so the machine's time seeds UIDVALIDITY.
    pub(crate) fn first(account: AccountId) -> Self {
        Self { id: None, account, now: Timestamp::now(), require: Vec::new(), ops: Vec::new() }
    }
}

/// A condition of a batch.
#[derive(Clone, Debug)]
pub enum BatchCondition {
    /// The account's octets, with those that the batch appends, restores or copies, must not exceed this, else
    /// [`BatchError::OverQuota`]. A batch that adds no octets is always allowed.
    QuotaOctets(u64),
    /// The mailbox must still exist, else [`BatchError::NoMailbox`].
    Mailbox(MailboxId),
    /// The lease must be in force with this epoch, else [`BatchError::Fenced`]. No other holder gets the lease before
    /// the commit.
    Lease {
        /// The name of the lease.
        name: String,
        /// The holder's [`Lease::epoch`](crate::Lease::epoch).
        epoch: u64,
    },
    /// The account must be unchanged since this moment, else [`BatchError::Conflict`].
    Unchanged(ReadToken),
    /// Every message that the batch copies or moves, or whose flags it changes, must exist, else
    /// [`BatchError::Conflict`].
    Present,
}

/// One change to an account. The effect is `Done` unless the op names another [`OpEffect`].
#[derive(Clone, Debug)]
pub enum Op {
    /// Creates a mailbox and its missing parents (RFC 3501 §6.3.3). Returns [`OpEffect::Mailbox`].
    CreateMailbox {
        /// The full name, from the top of the hierarchy.
        name: MailboxName,
        /// The special use to assign (RFC 6154 CREATE-SPECIAL-USE).
        special_use: Option<SpecialUse>,
    },
    /// Deletes a mailbox with its messages and its records of expunged UIDs (RFC 3501 §6.3.4). INBOX is refused;
    /// children stay.
    DeleteMailbox {
        /// The full name of the mailbox.
        name: MailboxName,
    },
    /// Renames a mailbox with its children (RFC 3501 §6.3.5). Renaming INBOX moves its messages to a new mailbox and
    /// leaves it empty.
    RenameMailbox {
        /// The present name; NoMailbox when no mailbox has this name or one below it.
        from: MailboxName,
        /// The new name; MailboxExists when it is taken.
        to: MailboxName,
    },
    /// Changes a subscription (RFC 3501 §6.3.6, §6.3.7). The mailbox need not exist.
    Subscribe {
        /// The full name, from the top of the hierarchy.
        name: MailboxName,
        /// True subscribes the name, false unsubscribes it.
        on: bool,
    },
    /// Adds a new message. Returns [`OpEffect::Appended`]. The body is durable no later than the batch.
    Append {
        /// The mailbox. A missing one is created when its name is a default one, or with `create`.
        mailbox: MailboxName,
        /// Whether to create a missing mailbox (Sieve fileinto :create); otherwise the result is NoMailbox.
        create: bool,
        /// The whole message, with CRLF line ends.
        body: Bytes,
        /// The system flags and keywords to begin with.
        flags: Flags,
        /// INTERNALDATE.
        internal_date: Timestamp,
    },
    /// Changes flags (RFC 3501 §6.4.6, RFC 7162 §3.1.3). Returns [`OpEffect::Stored`].
    Store {
        /// The mailbox of the messages.
        mailbox: MailboxId,
        /// The messages; missing ones are skipped.
        uids: UidSet,
        /// The change of the flags (RFC 3501 §6.4.6).
        change: FlagChange,
        /// Messages changed after this modseq are left as they are, and listed in the effect.
        unchanged_since: Option<Modseq>,
    },
    /// Copies messages; the copies share the bodies (RFC 3501 §6.4.7). Returns [`OpEffect::Copied`].
    Copy {
        /// The mailbox to copy from.
        from: MailboxId,
        /// The messages; missing ones are skipped.
        uids: UidSet,
        /// The mailbox to copy to, which must exist: NoMailbox otherwise (TRYCREATE).
        to: MailboxName,
    },
    /// Moves messages: copies and expunges them in one step (RFC 6851). Returns [`OpEffect::Copied`].
    Move {
        /// The mailbox to move from.
        from: MailboxId,
        /// The messages; missing ones are skipped.
        uids: UidSet,
        /// The mailbox to move to, which must exist: NoMailbox otherwise (TRYCREATE).
        to: MailboxName,
    },
    /// Removes messages permanently. Returns [`OpEffect::Expunged`].
    Expunge {
        /// The mailbox of the messages.
        mailbox: MailboxId,
        /// The messages; `None` is all.
        uids: Option<UidSet>,
        /// Whether to remove only those with `\Deleted`, as RFC 3501 EXPUNGE does and POP3 does not.
        only_deleted: bool,
    },
    /// Records that messages below this UID were reported as `\Recent` to one session (RFC 3501 §2.3.2).
    ClearRecent {
        /// The mailbox of the messages.
        mailbox: MailboxId,
        /// The new [`MailboxInfo::recent_from`], at most UIDNEXT. A UID below the present one changes nothing.
        up_to: Uid,
    },
    /// Records that `handle` has answered `correspondent` (RFC 5230 §4.2). Returns [`OpEffect::Remembered`] with true
    /// when the record is new or the old one has expired; `reply` then goes into the queue. Returns false while the old
    /// record is valid, and for a new correspondent when the account has as many valid records as the store keeps.
    RememberReply {
        /// The handle of the vacation rule.
        handle: String,
        /// The address that is answered, normalised by the caller: compared octet for octet.
        correspondent: String,
        /// When the record expires.
        until: Timestamp,
        /// The reply to send when the record is new; `None` sends nothing.
        reply: Option<Box<NewMessage>>,
    },
    /// Puts a message into the queue, durable together with the rest of the batch. Changes nothing when the queue knows
    /// the [`NewMessage::id`]. Does not count towards the quota.
    Enqueue(Box<NewMessage>),
    /// Imports a mailbox with the numbers that it had at another server. Returns [`OpEffect::Mailbox`].
    ///
    /// A missing mailbox is created, with its missing parents. An existing mailbox that has this UIDVALIDITY keeps both
    /// the number and its messages. An existing mailbox with another UIDVALIDITY takes over the new one if it never had
    /// a message.
    ///
    /// Refused when a client could take one message for another:
    ///
    /// * The existing mailbox has another UIDVALIDITY and has had messages.
    /// * The mailbox would get a UIDVALIDITY that is not above those of all mailboxes of this account that were deleted
    ///   or renamed after they had a message.
    RestoreMailbox {
        /// The full name, from the top of the hierarchy.
        name: MailboxName,
        /// UIDVALIDITY at the other server.
        uid_validity: UidValidity,
        /// UIDNEXT at the other server: lower UIDs are not assigned to new messages here. Never lowers UIDNEXT while
        /// UIDVALIDITY stays the same.
        uid_next: Uid,
        /// The special use (RFC 6154). If another mailbox with this use has ever had a message, that mailbox keeps the
        /// use and this one does not get it. Otherwise the other mailbox loses it. `None` changes nothing.
        special_use: Option<SpecialUse>,
        /// True subscribes the name, false unsubscribes it.
        subscribed: bool,
    },
    /// Imports a message with the numbers that it had at another server. Returns [`OpEffect::Appended`].
    ///
    /// Messages must come in ascending order of UID. Refused when the UID is not above every UID that a message in this
    /// mailbox ever had (RFC 3501 §2.3.1.1: ascending, never reused) or is [`Uid::LAST`], or when the modseq is zero or
    /// above 2^62. [`MessageSelection::ChangedSince`](crate::MessageSelection::ChangedSince) compares the modseq given
    /// here, so a session that has the mailbox open may not notice the message: import before the person logs in.
    Restore {
        /// The mailbox, which must exist.
        mailbox: MailboxName,
        /// The UID to keep.
        uid: Uid,
        /// The modseq to keep; the account's modseqs continue above it.
        modseq: Modseq,
        /// The system flags and keywords of the message.
        flags: Flags,
        /// INTERNALDATE.
        internal_date: Timestamp,
        /// The whole message, with CRLF line ends.
        body: Bytes,
    },
    /// Deletes the account with all its data. Must be the only op of its batch. Needs no batch id, because repeating it
    /// changes nothing. The store keeps no record of the deleted account, because account ids are never reused.
    DeleteAccount,
}

impl Op {
    /// Returns the body that the op adds to the account.
    pub fn body(&self) -> Option<&Bytes> {
        match self {
            Self::Append { body, .. } | Self::Restore { body, .. } => Some(body),
            _ => None,
        }
    }

    /// Returns the message that the op queues, or may queue.
    pub fn outgoing(&self) -> Option<&NewMessage> {
        match self {
            Self::Enqueue(outgoing) => Some(outgoing),
            Self::RememberReply { reply, .. } => reply.as_deref(),
            _ => None,
        }
    }
}

/// A change of flags (RFC 3501 §6.4.6).
#[derive(Clone, Debug)]
pub enum FlagChange {
    /// `FLAGS`: set exactly these.
    Replace(Flags),
    /// `+FLAGS`: add these.
    Add(Flags),
    /// `-FLAGS`: remove these.
    Remove(Flags),
}

/// The effect of one op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpEffect {
    /// Nothing to report.
    Done,
    /// The mailbox that was created or restored.
    Mailbox(Box<MailboxInfo>),
    /// Where the new message is.
    Appended {
        /// The mailbox of the message.
        mailbox: MailboxId,
        /// UIDVALIDITY of that mailbox (RFC 3501 §2.3.1.1).
        uid_validity: UidValidity,
        /// The UID of the message.
        uid: Uid,
    },
    /// The messages after a change of flags, and those that `unchanged_since` excluded.
    Stored {
        /// Messages that were changed, or had the flags already.
        messages: Vec<MessageMeta>,
        /// UIDs of messages that changed after `unchanged_since`, and were left as they are (RFC 7162 §3.1.3,
        /// MODIFIED).
        modified: Vec<Uid>,
    },
    /// The UIDs of copied or moved messages, old and new.
    Copied {
        /// The target mailbox.
        mailbox: MailboxId,
        /// UIDVALIDITY of the target mailbox (RFC 4315 §3, COPYUID).
        uid_validity: UidValidity,
        /// Pairs of source UID and target UID, ascending.
        uids: Vec<(Uid, Uid)>,
    },
    /// The UIDs of the removed messages, ascending.
    Expunged(Vec<Uid>),
    /// Whether the op made a record and queued its reply, if it has one: see [`Op::RememberReply`].
    Remembered(bool),
}

/// The result of an applied batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The modseq of all its changes, except those of [`Op::Restore`].
    pub modseq: Modseq,
    /// One effect per op, in the order of the ops.
    pub effects: Vec<OpEffect>,
}

impl Applied {
    /// Returns the token of the state after the batch: a read with this token as `at_least` sees the effects.
    pub fn token(&self) -> ReadToken {
        ReadToken::new(self.modseq)
    }
}

/// Why a batch was not applied, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A mailbox of the batch does not exist.
    #[error("no such mailbox: {0}")]
    NoMailbox(String),
    /// A mailbox of that name exists.
    #[error("the mailbox exists already: {0}")]
    MailboxExists(String),
    /// The account would exceed its quota.
    #[error("over quota")]
    OverQuota,
    /// A required lease has ended: the caller must not do this any more.
    #[error("the lease has ended")]
    Fenced,
    /// The account is not in the required state: read it again and decide anew.
    #[error("changed meanwhile: {0}")]
    Conflict(String),
    /// Not possible for this mailbox (DELETE INBOX, an import that would use a number twice), or beyond a bound of the
    /// store, such as the number of mailboxes or the size of a message.
    #[error("{0}")]
    Refused(String),
    /// The batch may or may not be committed: repeat it with the same id.
    #[error("outcome unknown")]
    Unknown,
    /// The store cannot do this now; a retry may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// Why a read, or a change of the queue, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The mailbox, message or queue row does not exist, or no longer exists.
    #[error("no such mailbox, message or queue row")]
    Gone,
    /// The store cannot do this now; a retry may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The stored data is damaged: a checksum, row or file is wrong or missing. [`StoreError::damaged`] counts and logs
    /// the damage.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Makes the error for stored data that differs from what was written or cannot be read; counts and logs it. The
    /// engines call it, and so does a caller of a store who finds that a body is shorter than its recorded size.
    pub fn damaged(what: impl Into<String>) -> Self {
        let what = what.into();
        metrics::counter!("provost_store_damaged_total").increment(1);
        tracing::error!(what, "store damaged");
        Self::Damaged(what)
    }

    /// Returns the text for an `Unavailable` error made from this one. Leaves out the prefix "store unavailable: ",
    /// because the new error has its own.
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Unavailable(why) => why,
            other => other.to_string(),
        }
    }
}

impl From<StoreError> for BatchError {
    /// Every error becomes unavailable, damage too: after a repair, a retry may succeed.
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into_reason())
    }
}

/// Converts the error of [`Batch::first`] for the read that needed the batch.
pub(crate) fn first_batch_failed(error: BatchError) -> StoreError {
    match error {
        BatchError::Unavailable(why) => StoreError::Unavailable(why),
        other => StoreError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeaseError, StateError};

    #[test]
    fn a_converted_error_says_unavailable_once() {
        let full = || StoreError::Unavailable("disk full".into());
        assert_eq!(BatchError::from(full()).to_string(), "store unavailable: disk full");
        assert_eq!(LeaseError::from(full()).to_string(), "store unavailable: disk full");
        assert_eq!(StateError::from(full()).to_string(), "state unavailable: disk full");
        assert_eq!(first_batch_failed(full().into()), full());
    }
}
