//! Reads: the selection of messages and of their columns.

use std::ops::BitOr;

use provost_message::Derived;
use serde::{Deserialize, Serialize};

use crate::{MailboxInfo, MessageMeta, Modseq, StoreError, Uid, UidSet};

/// A moment in an account's history: the state after the batch with this modseq.
///
/// A read with a token answers from that state or a later one, or is unavailable. A client thus always sees what it saw
/// before, also at another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReadToken(Modseq);

impl ReadToken {
    /// Makes the token of the state after the batch with this modseq.
    pub const fn new(modseq: Modseq) -> Self {
        Self(modseq)
    }

    /// Returns the modseq.
    pub const fn get(self) -> Modseq {
        self.0
    }
}

impl ReadToken {
    /// Fails with [`StoreError::Unavailable`] when the account's state `now` is older than this token.
    pub(crate) fn reached_by(self, now: Self) -> Result<(), StoreError> {
        match now >= self {
            true => Ok(()),
            false => Err(StoreError::Unavailable(
                "this node's copy of the account is older than the state that the caller has seen".into(),
            )),
        }
    }
}

/// A selection of messages in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageSelection {
    /// The messages in the set that exist.
    Uids(UidSet),
    /// Messages with a greater modseq (RFC 7162 §3.1.4.1), and UIDs expunged after it (§3.2.6). With [`Modseq::ZERO`]:
    /// all messages, and no expunged UIDs.
    ChangedSince(Modseq),
    /// At most this many messages, those with the highest UIDs.
    Last(u32),
}

impl MessageSelection {
    /// Selects all messages of the mailbox.
    pub fn all() -> Self {
        Self::ChangedSince(Modseq::ZERO)
    }
}

/// A set of columns derived from the body of a message (see [`Derived`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Columns(u8);

impl Columns {
    /// No columns, only [`MessageMeta`].
    pub const NONE: Self = Self(0);
    /// The date of sending, [`Derived::sent`].
    pub const SENT: Self = Self(1);
    /// The fields of IMAP ENVELOPE, [`Derived::envelope`].
    pub const ENVELOPE: Self = Self(1 << 1);
    /// The MIME structure, [`Derived::structure`].
    pub const STRUCTURE: Self = Self(1 << 2);
    /// The first words of the text, [`Derived::preview`].
    pub const PREVIEW: Self = Self(1 << 3);
    /// The keys that join messages to threads, [`Derived::thread`].
    pub const THREAD: Self = Self(1 << 4);
    /// The header fields that clients often fetch, [`Derived::fields`].
    pub const FIELDS: Self = Self(1 << 5);

    /// Whether the set contains all of `other`.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns the columns of this set; the others are empty.
    pub(crate) fn pick(self, all: &Derived) -> Derived {
        let mut picked = Derived::default();
        if self.has(Self::SENT) {
            picked.sent = all.sent;
        }
        if self.has(Self::ENVELOPE) {
            picked.envelope.clone_from(&all.envelope);
        }
        if self.has(Self::STRUCTURE) {
            picked.structure.clone_from(&all.structure);
        }
        if self.has(Self::PREVIEW) {
            picked.preview.clone_from(&all.preview);
        }
        if self.has(Self::THREAD) {
            picked.thread.clone_from(&all.thread);
        }
        if self.has(Self::FIELDS) {
            picked.fields.clone_from(&all.fields);
        }
        picked
    }
}

impl BitOr for Columns {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One message of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// UID, flags, dates and size; always read.
    pub meta: MessageMeta,
    /// The selected columns, the others empty; `None` when none was selected. If a selected column that holds encoded
    /// data is empty, that data was not kept (see [`Derived`]): the caller must read the body.
    pub derived: Option<Box<Derived>>,
}

/// The result of a read, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The mailbox at the moment of the read.
    pub info: MailboxInfo,
    /// The selected messages, in ascending order of UID.
    pub rows: Vec<MessageRow>,
    /// UIDs expunged after the modseq of [`MessageSelection::ChangedSince`], ascending; empty for other reads.
    pub expunged: Vec<Uid>,
    /// The moment of the read.
    pub token: ReadToken,
}
