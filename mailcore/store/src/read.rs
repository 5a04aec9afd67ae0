//! Reads: which messages of a mailbox, and which columns of them.

use std::ops::BitOr;

use provost_message::Derived;
use serde::{Deserialize, Serialize};

use crate::{MailboxInfo, MessageMeta, Modseq, StoreError, Uid, UidSet};

/// A moment in an account's history: the state after the batch with this modseq.
///
/// A read that is given a token answers from that state or a later one, or not at all (unavailable): what a client was
/// told once, it sees again, also at another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token(pub Modseq);

impl Token {
    /// Unavailable when an account's state is older than this.
    pub(crate) fn reached_by(self, now: Self) -> Result<(), StoreError> {
        match now >= self {
            true => Ok(()),
            false => Err(StoreError::Unavailable("the account is not as new as that yet".into())),
        }
    }
}

/// Which messages of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those in the set that are there.
    Uids(UidSet),
    /// Those with a greater modseq, and the UIDs expunged after it (RFC 7162 §3.2.6). After `Modseq(0)`: all that are
    /// there, and no expunged ones.
    ChangedSince(Modseq),
    /// Those with the highest UIDs, at most this many.
    Last(u32),
}

impl Which {
    /// All messages of the mailbox.
    pub fn all() -> Self {
        Self::ChangedSince(Modseq(0))
    }
}

/// A set of columns that were derived from the message when it came in (see [`Derived`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Columns(u8);

impl Columns {
    /// Nothing but [`MessageMeta`].
    pub const NONE: Self = Self(0);
    /// [`Derived::sent`].
    pub const SENT: Self = Self(1);
    /// [`Derived::envelope`].
    pub const ENVELOPE: Self = Self(1 << 1);
    /// [`Derived::structure`].
    pub const STRUCTURE: Self = Self(1 << 2);
    /// [`Derived::preview`].
    pub const PREVIEW: Self = Self(1 << 3);
    /// [`Derived::thread`].
    pub const THREAD: Self = Self(1 << 4);
    /// [`Derived::fields`].
    pub const FIELDS: Self = Self(1 << 5);

    /// Whether all of `other` are in the set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no column is asked for.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// What is asked for of a whole set of columns.
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
pub struct Row {
    /// What is known without the body.
    pub meta: MessageMeta,
    /// The columns asked for, the others empty; `None` when none was. A column that is empty although it was asked for is
    /// not kept: the body has to be read.
    pub derived: Option<Box<Derived>>,
}

/// What a read found, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The mailbox.
    pub info: MailboxInfo,
    /// Its messages, ascending UID.
    pub rows: Vec<Row>,
    /// Expunged after the modseq of [`Which::ChangedSince`], ascending; empty for other reads.
    pub expunged: Vec<Uid>,
    /// The moment.
    pub token: Token,
}
