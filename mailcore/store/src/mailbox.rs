//! Accounts, mailboxes, messages: their numbers and names.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account: the person's entryUUID. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub Uuid);

/// A mailbox within its account. Never reused; survives RENAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailboxId(pub u64);

/// A message's number within one mailbox and one UIDVALIDITY.
///
/// RFC 3501 §2.3.1.1: strictly ascending, never zero, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uid(pub NonZeroU32);

/// RFC 3501 §2.3.1.1; from a counter of the account that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UidValidity(pub NonZeroU32);

/// RFC 7162: of a message or mailbox; one per batch and account, growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Modseq(pub u64);

/// A mailbox name: UTF-8, `/` between levels, `INBOX` in capitals. At most 255 octets a name, 16 levels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailboxName(Box<str>);

impl MailboxName {
    /// Hierarchy separator.
    pub const SEPARATOR: char = '/';

    /// Checks and normalises: INBOX in any case becomes `INBOX` (also as first level), no empty level, no control
    /// characters, `*` or `%`. `None` when it cannot be a name.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!("H4")
    }

    /// The inbox.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the inbox itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// Whether it stands below `parent`.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_prefix(&*parent.0).is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }
}

/// RFC 6154.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Drafts`
    Drafts,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// `\Junk`
    Junk,
    /// `\Archive`
    Archive,
}

/// System flags (RFC 3501 §2.3.2). `\Recent` is not kept: the first session that sees a message tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flag {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Draft`
    Draft,
}

/// A keyword: an IMAP atom, at most 64 octets, compared without case. At most 64 in one mailbox's messages' sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// Checks that it is an atom; `None` when not.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!("H4")
    }

    /// As first written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The flags of one message: system flags as bits, keywords sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    bits: u8,
    keywords: Vec<Keyword>,
}

impl Flags {
    /// None set.
    pub fn none() -> Self {
        Self::default()
    }
    /// Whether a system flag is set.
    pub fn has(&self, flag: Flag) -> bool {
        self.bits & Self::bit(flag) != 0
    }
    /// Sets a system flag.
    pub fn insert(&mut self, flag: Flag) {
        self.bits |= Self::bit(flag);
    }
    /// Clears a system flag.
    pub fn remove(&mut self, flag: Flag) {
        self.bits &= !Self::bit(flag);
    }
    /// Sets a keyword.
    pub fn insert_keyword(&mut self, keyword: Keyword) {
        if !self.has_keyword(keyword.as_str()) {
            self.keywords.push(keyword);
            self.keywords.sort();
        }
    }
    /// Clears a keyword.
    pub fn remove_keyword(&mut self, keyword: &str) {
        self.keywords.retain(|k| !k.as_str().eq_ignore_ascii_case(keyword));
    }
    /// Whether a keyword is set, ignoring case.
    pub fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|k| k.as_str().eq_ignore_ascii_case(keyword))
    }
    /// The system flags that are set.
    pub fn system(&self) -> impl Iterator<Item = Flag> + '_ {
        [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft].into_iter().filter(|f| self.has(*f))
    }
    /// The keywords that are set.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }
    fn bit(flag: Flag) -> u8 {
        1 << (flag as u8)
    }
}

/// Where a body lies in its engine. Opaque to everything above. Immutable once written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// Which account's shard or pack (engine-defined).
    pub container: u64,
    /// Where in it (engine-defined).
    pub offset: u64,
    /// Octets.
    pub octets: u64,
}

/// What is known of one message without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMeta {
    /// In its mailbox.
    pub uid: Uid,
    /// Of its last change.
    pub modseq: Modseq,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date: i64,
    /// RFC822.SIZE in octets.
    pub octets: u64,
    /// Its body.
    pub blob: BlobRef,
}

/// One mailbox of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxInfo {
    /// Its key.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// RFC 6154.
    pub special_use: Option<SpecialUse>,
    /// LSUB.
    pub subscribed: bool,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// UIDNEXT: the next one given, never lower than any given before.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ.
    pub highest_modseq: Modseq,
    /// Messages in it.
    pub messages: u32,
    /// Those without `\Seen`.
    pub unseen: u32,
    /// Octets of all.
    pub octets: u64,
    /// Messages with a UID at or above this one have not been told as `\Recent` yet.
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
}

impl Snapshot {
    /// By name.
    pub fn mailbox(&self, name: &MailboxName) -> Option<&MailboxInfo> {
        self.mailboxes.iter().find(|m| m.name == *name)
    }
    /// By key.
    pub fn mailbox_by_id(&self, id: MailboxId) -> Option<&MailboxInfo> {
        self.mailboxes.iter().find(|m| m.id == id)
    }
}

/// What has happened in one mailbox after a modseq. After zero: everything that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The mailbox as it is now, of the same moment.
    pub info: MailboxInfo,
    /// Added or changed, ascending UID.
    pub messages: Vec<MessageMeta>,
    /// Gone, ascending UID.
    pub expunged: Vec<Uid>,
}

/// Ascending, disjoint ranges of UIDs, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// From single UIDs in any order.
    pub fn from_uids(uids: impl IntoIterator<Item = Uid>) -> Self {
        let _ = uids.into_iter();
        todo!("H4")
    }
    /// Whether it holds `uid`.
    pub fn contains(&self, uid: Uid) -> bool {
        let _ = uid;
        todo!("H4")
    }
    /// The ranges.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
