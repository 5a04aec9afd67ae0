//! Accounts, mailboxes, messages: what is known of them.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BodyId, Flags, MailboxName, Token, Uid, UidValidity};

/// An account: the person's entryUUID. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub Uuid);

/// A mailbox within its account. Never reused; survives RENAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailboxId(pub u64);

/// RFC 7162: of a message or mailbox; one per batch and account, growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Modseq(pub u64);

/// What a mailbox is for (RFC 6154 §2): at most one mailbox of an account has each use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Drafts`: messages that are being written.
    Drafts,
    /// `\Sent`: copies of what was sent.
    Sent,
    /// `\Trash`: deleted messages.
    Trash,
    /// `\Junk`: spam, and what delivery puts into quarantine.
    Junk,
    /// `\Archive`: messages put aside.
    Archive,
}

/// What is known of one message without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMeta {
    /// In its mailbox.
    pub uid: Uid,
    /// Of its last change.
    pub modseq: Modseq,
    /// System flags and keywords, as they are now.
    pub flags: Flags,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date: i64,
    /// RFC822.SIZE in octets.
    pub octets: u64,
    /// Key of the message's octets: see [`MessageStore::body`](crate::MessageStore::body).
    pub body: BodyId,
}

/// One mailbox of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxInfo {
    /// Key that stays when the mailbox is renamed.
    pub id: MailboxId,
    /// Full name, from the top of the hierarchy.
    pub name: MailboxName,
    /// Use that LIST reports (RFC 6154); `None` for most.
    pub special_use: Option<SpecialUse>,
    /// Whether LSUB lists the name.
    pub subscribed: bool,
    /// UIDVALIDITY (RFC 3501 §2.3.1.1): grows when a mailbox of this name is made anew.
    pub uid_validity: UidValidity,
    /// UIDNEXT: the next one given, never lower than any given before.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1): modseq of the last change in it.
    pub highest_modseq: Modseq,
    /// Messages in it.
    pub messages: u32,
    /// Those without `\Seen`.
    pub unseen: u32,
    /// Octets of all.
    pub octets: u64,
    /// Messages with a UID at or above this one have not been reported as `\Recent` yet.
    pub recent_from: Uid,
}

/// An account at one moment. An account that was never written has the mailboxes that a first write would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Sorted by name, INBOX first.
    pub mailboxes: Vec<MailboxInfo>,
    /// Names subscribed without a mailbox of that name (RFC 3501 §6.3.9).
    pub subscribed_only: Vec<MailboxName>,
    /// Octets of all messages.
    pub octets: u64,
    /// Last login per protocol name, seconds since 1970; for the help desk.
    pub last_logins: Vec<(String, i64)>,
    /// The moment: a later read that gives it as `at_least` sees at least this.
    pub token: Token,
}

impl Snapshot {
    /// The mailbox of this name; `None` when there is none.
    pub fn mailbox(&self, name: &MailboxName) -> Option<&MailboxInfo> {
        self.mailboxes.iter().find(|m| m.name == *name)
    }
}

/// The part of a body of `octets` that a range asks for, cut at its end.
pub(crate) fn clip(range: Option<Range<u64>>, octets: u64) -> Range<u64> {
    let range = range.unwrap_or(0..octets);
    let start = range.start.min(octets);
    start..range.end.min(octets).max(start)
}
