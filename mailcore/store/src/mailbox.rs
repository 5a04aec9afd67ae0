//! Metadata of accounts, mailboxes and messages.

use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BodyId, Flags, MailboxName, ReadToken, Uid, UidValidity};

/// An account id: the person's entryUUID, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(Uuid);

impl AccountId {
    /// Makes the id of the person with this entryUUID.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the uuid.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

/// A mailbox key within its account. Never reused; unchanged by RENAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailboxId(u64);

impl MailboxId {
    /// Makes the key of a mailbox.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A modseq (RFC 7162 §3.1). Each batch of an account gets a greater one; an imported message keeps its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Modseq(u64);

impl Modseq {
    /// The modseq before the first change.
    pub const ZERO: Self = Self(0);

    /// Makes a modseq.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A special use (RFC 6154 §2). Only CREATE can give one use to a second mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Drafts`: unfinished messages.
    Drafts,
    /// `\Sent`: copies of sent messages.
    Sent,
    /// `\Trash`: deleted messages.
    Trash,
    /// `\Junk`: spam, and messages in quarantine.
    Junk,
    /// `\Archive`: archived messages.
    Archive,
}

/// The metadata of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMeta {
    /// The UID in its mailbox.
    pub uid: Uid,
    /// The modseq of its last change.
    pub modseq: Modseq,
    /// The present system flags and keywords.
    pub flags: Flags,
    /// INTERNALDATE.
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub internal_date: Timestamp,
    /// RFC822.SIZE, octets.
    pub octets: u64,
    /// The id of its body: see [`MessageStore::body`](crate::MessageStore::body).
    pub body: BodyId,
}

/// The metadata of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxInfo {
    /// The key, which a rename does not change.
    pub id: MailboxId,
    /// The full name, from the top of the hierarchy.
    pub name: MailboxName,
    /// The special use that LIST reports (RFC 6154); `None` for most.
    pub special_use: Option<SpecialUse>,
    /// Whether the name is subscribed (RFC 3501 §6.3.6).
    pub subscribed: bool,
    /// UIDVALIDITY (RFC 3501 §2.3.1.1): greater when a mailbox of this name is recreated.
    pub uid_validity: UidValidity,
    /// UIDNEXT: the next UID to assign, which never decreases under one UIDVALIDITY.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1): the modseq of the batch that last changed a message here, or else created the
    /// mailbox.
    pub highest_modseq: Modseq,
    /// Number of messages.
    pub messages: u32,
    /// Number of messages without `\Seen`.
    pub unseen: u32,
    /// Octets of all messages.
    pub octets: u64,
    /// Messages with a UID at or above this one were not reported as `\Recent` yet.
    pub recent_from: Uid,
}

/// An account at one moment. An account that was never written has the default mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The mailboxes, sorted by name, INBOX first.
    pub mailboxes: Vec<MailboxInfo>,
    /// Subscribed names without a mailbox (RFC 3501 §6.3.9).
    pub subscribed_only: Vec<MailboxName>,
    /// Octets of all messages.
    pub octets: u64,
    /// The last login of each protocol, by its name; for the help desk.
    pub last_logins: Vec<(String, Timestamp)>,
    /// The token of this state: a read with it as `at_least` sees this state or a later one.
    pub token: ReadToken,
}

impl AccountSnapshot {
    /// Returns the mailbox of this name; `None` when there is none.
    pub fn mailbox(&self, name: &MailboxName) -> Option<&MailboxInfo> {
        self.mailboxes.iter().find(|m| m.name == *name)
    }
}

/// Returns the part of a body of `octets` that a range selects, cut at the end of the body.
pub(crate) fn clip(range: Option<Range<u64>>, octets: u64) -> Range<u64> {
    let range = range.unwrap_or(0..octets);
    let start = range.start.min(octets);
    start..range.end.min(octets).max(start)
}
