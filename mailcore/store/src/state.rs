//! What the nodes of a site share beside mail and directory: audit, jobs, plans, web sessions, sign-in counts, tokens.
//!
//! Records stand in a named space, under a key, with a version that each write changes: compare and set is how two nodes
//! agree. Entries of a log are only ever added. A list of changes is applied whole or not at all, and is durable when
//! it resolves `Ok`. Time is an argument: an engine has no clock.

use bytes::Bytes;

use crate::{BoxFuture, StoreError};

/// Longest key or subject, in octets: a DN or a digest fits many times.
pub const STATE_KEY_OCTETS_MAX: usize = 1024;
/// Largest value of any space and entry of any log, in octets. What is larger is kept in pieces.
pub const STATE_VALUE_OCTETS_MAX: usize = 1024 * 1024;
/// Most changes in one list: a file of 64 MiB in pieces of 1 MiB, and what describes it.
pub const STATE_CHANGES_MAX: usize = 80;
/// Most records or entries that one read returns.
pub const STATE_READ_MAX: usize = 1000;

/// A kind of record and its bounds. A constant of the room that owns the records.
#[derive(Debug, PartialEq, Eq)]
pub struct StateSpace {
    /// Unique among all spaces; stands in the database.
    pub name: &'static str,
    /// Most records at once, expired ones not counted.
    pub records_max: usize,
    /// Largest value, in octets; at most [`STATE_VALUE_OCTETS_MAX`].
    pub octets_max: usize,
    /// What a new record meets in a full space.
    pub when_full: WhenFull,
}

/// What a new record meets in a full space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused with [`StateError::Full`].
    Refuse,
    /// The record that was not written for the longest time makes room.
    RemoveOldest,
}

/// A log and its bound. A constant of the room that owns the entries. Nothing removes an entry.
#[derive(Debug, PartialEq, Eq)]
pub struct StateLog {
    /// Unique among all logs; stands in the database.
    pub name: &'static str,
    /// Largest entry, in octets; at most [`STATE_VALUE_OCTETS_MAX`].
    pub octets_max: usize,
}

/// The version of a record: differs from that of every other write of this engine, also after a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateVersion(pub(crate) u64);

impl From<u64> for StateVersion {
    /// From what [`StateStore::change`] returned for a put.
    fn from(version: u64) -> Self {
        Self(version)
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// Its key within the space.
    pub key: String,
    /// Name it in [`Expect::Version`] to change exactly what was read.
    pub version: StateVersion,
    /// Seconds since 1970 from which it counts as absent; `None` is never.
    pub expires: Option<i64>,
    /// What its owner put there.
    pub value: Bytes,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Ascending in the order of commits, with gaps.
    pub sequence: u64,
    /// What it is about, for [`StateStore::entries`].
    pub subject: String,
    /// What its owner put there.
    pub value: Bytes,
}

/// What must be so for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the last write wins.
    Any,
    /// There is no such record, or it has expired.
    Absent,
    /// The record has this version and has not expired.
    Version(StateVersion),
}

/// One change of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// Makes or replaces a record.
    Put {
        /// Where.
        space: &'static StateSpace,
        /// Key within the space.
        key: String,
        /// Condition.
        expect: Expect,
        /// The whole new value.
        value: Bytes,
        /// Seconds since 1970 from which it counts as absent.
        expires: Option<i64>,
    },
    /// Removes a record; removing none is no error under [`Expect::Any`].
    Remove {
        /// Where.
        space: &'static StateSpace,
        /// Key within the space.
        key: String,
        /// Condition.
        expect: Expect,
    },
    /// Adds an entry at the end of a log.
    Append {
        /// To which log.
        log: &'static StateLog,
        /// What it is about.
        subject: String,
        /// The entry.
        value: Bytes,
    },
}

/// Why nothing of a list of changes was applied, or nothing read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A record is not as the change expects: read again, decide again.
    #[error("changed meanwhile")]
    Conflict,
    /// The space has all the records it may have.
    #[error("no room for another record of {0}")]
    Full(&'static str),
    /// A key, a value or the list is larger than it may be.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Cannot be done now. After a change it may have been done: its conditions make asking again safe.
    #[error("state unavailable: {0}")]
    Unavailable(String),
    /// What was stored cannot be read.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged(what),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The border to the engine. Shared as `Arc<dyn StateStore>`.
pub trait StateStore: Send + Sync + 'static {
    /// Applies all changes or none; durable when it resolves `Ok`. Later changes of the list see earlier ones. Returns
    /// the version of each put and the sequence of each append, zero for a removal. `now` is in seconds since 1970.
    fn change(&self, changes: Vec<StateChange>, now: i64) -> BoxFuture<'_, Result<Vec<u64>, StateError>>;

    /// A record that has not expired at `now`.
    fn record(
        &self,
        space: &'static StateSpace,
        key: &str,
        now: i64,
    ) -> BoxFuture<'_, Result<Option<StateRecord>, StateError>>;

    /// Records that have not expired at `now`, ascending by key from behind `after`, at most `most` (and
    /// [`STATE_READ_MAX`]).
    fn records(
        &self,
        space: &'static StateSpace,
        after: Option<&str>,
        most: usize,
        now: i64,
    ) -> BoxFuture<'_, Result<Vec<StateRecord>, StateError>>;

    /// Entries of a log, of one subject or of all, newest first from before the sequence `before`, at most `most` (and
    /// [`STATE_READ_MAX`]).
    fn entries(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        before: Option<u64>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>>;
}

impl StateChange {
    /// Makes or replaces a record.
    pub fn put(
        space: &'static StateSpace,
        key: impl Into<String>,
        expect: Expect,
        value: impl Into<Bytes>,
        expires: Option<i64>,
    ) -> Self {
        Self::Put { space, key: key.into(), expect, value: value.into(), expires }
    }

    /// Removes a record.
    pub fn remove(space: &'static StateSpace, key: impl Into<String>, expect: Expect) -> Self {
        Self::Remove { space, key: key.into(), expect }
    }

    /// Adds an entry to a log.
    pub fn append(log: &'static StateLog, subject: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Append { log, subject: subject.into(), value: value.into() }
    }

    /// Octets that it brings.
    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Remove { key, .. } => key.len(),
            Self::Append { subject, value, .. } => subject.len() + value.len(),
        }
    }

    fn check(&self) -> Result<(), StateError> {
        let (key, value, most) = match self {
            Self::Put { space, key, value, .. } => (key, value.len(), space.octets_max),
            Self::Remove { key, .. } => (key, 0, 0),
            Self::Append { log, subject, value } => (subject, value.len(), log.octets_max),
        };
        if key.len() > STATE_KEY_OCTETS_MAX {
            return Err(StateError::TooLarge("the key"));
        }
        if value > most.min(STATE_VALUE_OCTETS_MAX) {
            return Err(StateError::TooLarge("the value"));
        }
        Ok(())
    }
}

/// Refuses what is beyond the bounds, before any engine looks at it.
pub(crate) fn check(changes: &[StateChange]) -> Result<(), StateError> {
    if changes.len() > STATE_CHANGES_MAX {
        return Err(StateError::TooLarge("the list of changes"));
    }
    changes.iter().try_for_each(StateChange::check)
}
