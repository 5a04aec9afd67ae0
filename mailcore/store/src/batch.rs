//! The one door for writes: a batch goes in, numbered effects come out, whole or not at all.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    AccountId, Flags, MailboxId, MailboxInfo, MailboxName, MessageMeta, Modseq, Outgoing, SpecialUse, Token, Uid,
    UidSet, UidValidity,
};

/// How long a batch id is remembered, seconds: longer than a sending queue tries again (RFC 5321 §4.5.4.1: 4-5 days).
pub(crate) const REMEMBERED_SECONDS: i64 = 7 * 86_400;
/// Largest message unless configured, octets: what other universities' servers take.
pub(crate) const MESSAGE_OCTETS_MAX: u64 = 50 * 1024 * 1024;

/// Idempotency key. The engine remembers it for seven days: the same id again returns the first effect and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchId(pub Uuid);

/// A change to one account.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `Some` for whatever may be tried again after an unknown outcome (deliveries). `None` is not remembered.
    pub id: Option<BatchId>,
    /// The account that is changed; no batch spans two.
    pub account: AccountId,
    /// The time of the change: seconds since 1970 (seeds UIDVALIDITY, expires handles).
    pub now: i64,
    /// All must hold, or nothing happens.
    pub require: Vec<Require>,
    /// In order; later ones see the effects of earlier ones. All get the same modseq.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Makes an account that was never written, and nothing else.
    pub(crate) fn first(account: AccountId) -> Self {
        Self { id: None, account, now: machine_time(), require: Vec::new(), ops: Vec::new() }
    }
}

/// Seconds since 1970: only to seed the UIDVALIDITY of an account that is looked at before it was ever written.
fn machine_time() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A condition of a batch.
#[derive(Clone, Debug)]
pub enum Require {
    /// The account's octets plus what the batch appends stay within this.
    QuotaOctets(u64),
    /// The mailbox still exists.
    Mailbox(MailboxId),
    /// The lease is in force, and this is its epoch; else [`ApplyError::Fenced`]. Checked as part of the commit.
    Lease {
        /// What was leased.
        name: String,
        /// [`Lease::epoch`](crate::Lease::epoch) of the holder.
        epoch: u64,
    },
    /// Nothing happened to the account since this moment; else [`ApplyError::Conflict`].
    Unchanged(Token),
    /// Every message that the batch stores flags of, copies or moves is there; else [`ApplyError::Conflict`].
    Present,
}

/// One change to an account. Its doc names the [`Effect`] where that is not `Done`.
#[derive(Clone, Debug)]
pub enum Op {
    /// RFC 3501 §6.3.3. Makes missing parents too. Effect::Mailbox.
    CreateMailbox {
        /// Full name, from the top of the hierarchy.
        name: MailboxName,
        /// RFC 6154 CREATE-SPECIAL-USE.
        special_use: Option<SpecialUse>,
    },
    /// RFC 3501 §6.3.4. INBOX is refused; children stay. Its messages' tombstones go with it.
    DeleteMailbox {
        /// Full name of the mailbox to delete.
        name: MailboxName,
    },
    /// RFC 3501 §6.3.5. Children move along; renaming INBOX moves its messages to the new mailbox and leaves it empty.
    RenameMailbox {
        /// Name that it has now: NoMailbox when there is none.
        from: MailboxName,
        /// Name that it gets: MailboxExists when that is taken.
        to: MailboxName,
    },
    /// RFC 3501 §6.3.6, §6.3.7. The mailbox need not exist.
    Subscribe {
        /// Name to subscribe or unsubscribe, whether or not the mailbox exists.
        name: MailboxName,
        /// On or off.
        on: bool,
    },
    /// A new message. Effect::Appended. The body is durable before the batch is.
    Append {
        /// Where; made when it is one of the default mailboxes or `create`.
        mailbox: MailboxName,
        /// Make the mailbox when it is missing (Sieve fileinto :create); else Precondition(NoMailbox).
        create: bool,
        /// The whole message, CRLF line ends.
        body: Bytes,
        /// System flags and keywords that the message has from the start.
        flags: Flags,
        /// INTERNALDATE, seconds since 1970.
        internal_date: i64,
    },
    /// RFC 3501 §6.4.6, RFC 7162 §3.1.3. Effect::Stored.
    Store {
        /// Mailbox that holds the messages.
        mailbox: MailboxId,
        /// Which; those that are not there are passed over.
        uids: UidSet,
        /// How their flags change (RFC 3501 §6.4.6).
        change: FlagChange,
        /// Messages changed after this are left alone and listed.
        unchanged_since: Option<Modseq>,
    },
    /// RFC 3501 §6.4.7. Bodies are shared. Effect::Copied.
    Copy {
        /// Mailbox that the messages are copied out of.
        from: MailboxId,
        /// Which; those that are not there are passed over.
        uids: UidSet,
        /// To; must exist: Precondition(NoMailbox) (TRYCREATE).
        to: MailboxName,
    },
    /// RFC 6851. As Copy and Expunge of the same, at once. Effect::Copied.
    Move {
        /// Mailbox that the messages leave.
        from: MailboxId,
        /// UIDs to move; those that are not there are passed over.
        uids: UidSet,
        /// Target; must exist: NoMailbox (TRYCREATE).
        to: MailboxName,
    },
    /// Takes messages away for good. Effect::Expunged.
    Expunge {
        /// Mailbox that the messages are taken out of.
        mailbox: MailboxId,
        /// Which of them; `None` is all.
        uids: Option<UidSet>,
        /// Only those with `\Deleted` (RFC 3501 EXPUNGE); POP3 says no.
        only_deleted: bool,
    },
    /// Messages below this UID were reported as `\Recent` to one session (RFC 3501 §2.3.2).
    ClearRecent {
        /// Mailbox whose `\Recent` mark moves on.
        mailbox: MailboxId,
        /// recent_from becomes this (never lower).
        up_to: Uid,
    },
    /// Remembers that `handle` has answered `correspondent` (RFC 5230 §4.2). Effect::Remembered(true) when it was not
    /// remembered or has expired: then `reply` goes into the queue as well. Remembered(false) when it still is, and nothing
    /// changes.
    RememberReply {
        /// Which vacation rule.
        handle: String,
        /// Address that is answered, in the normalised form of the caller: compared octet for octet.
        correspondent: String,
        /// Until when, seconds since 1970.
        until: i64,
        /// Message to send when the answer is new; `None` only remembers.
        reply: Option<Box<Outgoing>>,
    },
    /// Puts a message into the queue, so that it is durable exactly when the rest of the batch is. One with an id that came
    /// in before changes nothing. Counts for no quota.
    Enqueue(Box<Outgoing>),
    /// Import: a mailbox with the numbers that it had elsewhere. Effect::Mailbox.
    ///
    /// Missing: made, with its missing parents. There, and no message ever was in it: takes UIDVALIDITY and use over. There
    /// with the same UIDVALIDITY: only UIDNEXT is raised. Refused when a client could take another message for one that
    /// it knows: there with another UIDVALIDITY and UIDs given; or a UIDVALIDITY not above that of every mailbox of this
    /// account that was deleted or renamed after it had given UIDs.
    RestoreMailbox {
        /// Full name, from the top of the hierarchy.
        name: MailboxName,
        /// Its UIDVALIDITY there.
        uid_validity: UidValidity,
        /// UIDNEXT there: lower UIDs are not given to new messages here. Never lowers what is here.
        uid_next: Uid,
        /// RFC 6154. The use moves here from a mailbox that never held a message.
        special_use: Option<SpecialUse>,
        /// Whether the name is subscribed.
        subscribed: bool,
    },
    /// Import: a message with the numbers that it had elsewhere. Effect::Appended.
    ///
    /// Messages come in ascending UID. Refused when the UID is not above every UID that was ever a message in this mailbox
    /// (RFC 3501 §2.3.1.1: ascending, never reused), or the modseq is zero or too great.
    /// [`Which::ChangedSince`](crate::Which::ChangedSince) goes by the modseq given here, so a session that has the mailbox
    /// open meanwhile does not learn of the message: import before anybody logs in.
    Restore {
        /// Where; it must exist.
        mailbox: MailboxName,
        /// The UID to keep.
        uid: Uid,
        /// The modseq to keep; the account's modseqs go on above it.
        modseq: Modseq,
        /// System flags and keywords that it had there.
        flags: Flags,
        /// INTERNALDATE, seconds since 1970.
        internal_date: i64,
        /// The whole message, CRLF line ends.
        body: Bytes,
    },
    /// Takes the account away with all that it has, without a trace. Alone in its batch, which needs no id: again, it makes
    /// no difference. An id is never given to another person, so nothing is kept to tell later messages apart.
    DeleteAccount,
}

impl Op {
    /// The body that the op brings into the account.
    pub fn body(&self) -> Option<&Bytes> {
        match self {
            Self::Append { body, .. } | Self::Restore { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The message that the op sends out, or may.
    pub fn outgoing(&self) -> Option<&Outgoing> {
        match self {
            Self::Enqueue(outgoing) => Some(outgoing),
            Self::RememberReply { reply, .. } => reply.as_deref(),
            _ => None,
        }
    }
}

/// RFC 3501 STORE.
#[derive(Clone, Debug)]
pub enum FlagChange {
    /// `FLAGS`: exactly these, all others go.
    Replace(Flags),
    /// `+FLAGS`: these as well.
    Add(Flags),
    /// `-FLAGS`: all but these.
    Remove(Flags),
}

/// What came of one op, in the order of the ops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing to report.
    Done,
    /// The mailbox made.
    Mailbox(Box<MailboxInfo>),
    /// Where the message went: mailbox, its UIDVALIDITY (as number), the UID.
    Appended {
        /// Mailbox that the message is in now.
        mailbox: MailboxId,
        /// UIDVALIDITY of that mailbox (RFC 3501 §2.3.1.1).
        uid_validity: UidValidity,
        /// UID that the message got there.
        uid: Uid,
    },
    /// Messages as they are now (only those that were in the set), and those left alone by `unchanged_since`.
    Stored {
        /// Changed or already so.
        messages: Vec<MessageMeta>,
        /// UIDs that changed after `unchanged_since`, and stay as they are (RFC 7162 §3.1.3, MODIFIED).
        modified: Vec<Uid>,
    },
    /// UIDs there and here, pairwise.
    Copied {
        /// Mailbox that the copies are in.
        mailbox: MailboxId,
        /// UIDVALIDITY of the target mailbox (RFC 4315 COPYUID).
        uid_validity: UidValidity,
        /// (source UID, target UID), ascending.
        uids: Vec<(Uid, Uid)>,
    },
    /// UIDs that were taken away.
    Expunged(Vec<Uid>),
    /// Whether the answer was new, so that a reply went out: see [`Op::RememberReply`].
    Remembered(bool),
}

/// A batch that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The modseq that everything in it got, apart from what [`Op::Restore`] was given.
    pub modseq: Modseq,
    /// One per op.
    pub effects: Vec<Effect>,
}

impl Applied {
    /// The moment after the batch: a later read that gives it as `at_least` sees its effects.
    pub fn token(&self) -> Token {
        Token(self.modseq)
    }
}

/// Why a batch did not happen (or may have).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A mailbox of the batch does not exist.
    #[error("no such mailbox: {0}")]
    NoMailbox(String),
    /// A mailbox of that name exists.
    #[error("the mailbox exists already: {0}")]
    MailboxExists(String),
    /// The account would be over its quota.
    #[error("over quota")]
    OverQuota,
    /// A required lease has ended: the caller is no longer the one to do this.
    #[error("the lease has ended")]
    Fenced,
    /// The account is not as the batch requires: read it again and decide anew.
    #[error("changed meanwhile: {0}")]
    Conflict(String),
    /// Not possible for this mailbox (DELETE INBOX), or a bound of the store (mailboxes, keywords, message size).
    #[error("{0}")]
    Refused(String),
    /// It may or may not be committed: try again with the same id.
    #[error("outcome unknown")]
    Unknown,
    /// Cannot be done now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such mailbox or message (any more).
    #[error("no such mailbox or message")]
    Gone,
    /// Cannot be done now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was stored cannot be read: a checksum or a record is wrong. Counted, never served.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<StoreError> for ApplyError {
    /// What a batch needs to read and cannot, is for later: a change never answers from a damaged row.
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
