//! State that the nodes of a site share besides mail and directory: audit, jobs, uploaded files, web sessions, counts
//! of failed sign-ins, tokens.
//!
//! A record has a key in a named space, and a version that each write changes: nodes agree by compare and set. Log
//! entries are only ever added. A list of changes is applied as a whole or not at all, and is durable when
//! [`StateStore::change`] resolves `Ok`. Time is an argument: engines have no clock.

use bytes::Bytes;
use jiff::Timestamp;

use crate::{BoxFuture, StoreError};

/// Longest key or subject, octets: several times as long as a DN or a digest.
pub const STATE_KEY_OCTETS_MAX: usize = 1024;
/// Largest value of any space and entry of any log, octets. Larger content is stored in pieces.
pub const STATE_VALUE_OCTETS_MAX: usize = 1024 * 1024;
/// Maximum number of changes in one list: enough for a file of 64 MiB in pieces of 1 MiB, and its description.
pub const STATE_CHANGES_MAX: usize = 80;
/// Maximum number of records or entries in one read; a caller reads on after the last one.
pub const STATE_READ_MAX: usize = 1000;

/// A kind of record and its bounds: a constant of the room that owns the records.
#[derive(Debug, PartialEq, Eq)]
pub struct StateSpace {
    /// The name, unique among all spaces; stored in the database.
    pub name: &'static str,
    /// Maximum number of records at once, expired ones not counted.
    pub records_max: usize,
    /// Largest value, octets; at most [`STATE_VALUE_OCTETS_MAX`].
    pub octets_max: usize,
    /// What happens to a new record in a full space.
    pub when_full: WhenFull,
}

/// What happens to a new record in a full space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The record is refused with [`StateError::Full`].
    Refuse,
    /// The least recently written record is removed.
    RemoveOldest,
}

/// A log and its bound: a constant of the room that owns the entries. Entries are never removed.
#[derive(Debug, PartialEq, Eq)]
pub struct StateLog {
    /// The name, unique among all logs; stored in the database.
    pub name: &'static str,
    /// Largest entry, octets; at most [`STATE_VALUE_OCTETS_MAX`].
    pub octets_max: usize,
}

/// The version of a record: different for every write of this engine, also after a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateVersion(pub(crate) u64);

impl From<u64> for StateVersion {
    /// Converts the number that [`StateStore::change`] returned for a put.
    fn from(version: u64) -> Self {
        Self(version)
    }
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// The key within the space.
    pub key: String,
    /// The version, which [`ChangeCondition::Version`] compares with.
    pub version: StateVersion,
    /// When the record expires; `None` is never.
    pub expires: Option<Timestamp>,
    /// The value, opaque to the engine.
    pub value: Bytes,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The sequence number: ascending in the order of commits, with gaps.
    pub sequence: u64,
    /// The subject, which [`StateStore::entries`] can select.
    pub subject: String,
    /// The value, opaque to the engine.
    pub value: Bytes,
}

/// The condition of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCondition {
    /// No condition: the last write wins.
    Any,
    /// The record must be absent or expired.
    Absent,
    /// The record must have this version and not be expired.
    Version(StateVersion),
}

/// One change of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// Creates or replaces a record.
    Put {
        /// The space of the record.
        space: &'static StateSpace,
        /// The key within the space.
        key: String,
        /// What must hold of the present record; else no change of the list is made.
        expect: ChangeCondition,
        /// The new value.
        value: Bytes,
        /// When the record expires; `None` is never.
        expires: Option<Timestamp>,
    },
    /// Removes a record. Removing an absent one is not an error under [`ChangeCondition::Any`].
    Remove {
        /// The space of the record.
        space: &'static StateSpace,
        /// The key within the space.
        key: String,
        /// What must hold of the present record; else no change of the list is made.
        expect: ChangeCondition,
    },
    /// Adds an entry at the end of a log.
    Append {
        /// The log that grows.
        log: &'static StateLog,
        /// What the entry is about; [`StateStore::entries`] can select entries by subject.
        subject: String,
        /// The content of the entry.
        value: Bytes,
    },
}

/// Why a list of changes was not applied, or nothing was read. After [`StateError::Unavailable`], the list may have
/// been applied nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A record is not as expected: read it again and decide anew.
    #[error("changed meanwhile")]
    Conflict,
    /// The space is full.
    #[error("no room for another record of {0}")]
    Full(&'static str),
    /// A key, a subject, a value or the list exceeds its bound.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// The store cannot do this now. The list may have been applied nevertheless: a repetition cannot apply it twice if
    /// one of its conditions is not [`ChangeCondition::Any`].
    #[error("state unavailable: {0}")]
    Unavailable(String),
    /// The stored data is damaged.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged(what),
            other => Self::Unavailable(other.into_reason()),
        }
    }
}

/// The interface of an engine, shared as `Arc<dyn StateStore>`.
pub trait StateStore: Send + Sync + 'static {
    /// Applies all changes or none; durable when it resolves `Ok`. Later changes of the list see earlier ones. Returns
    /// the version of each put and the sequence of each append, zero for a removal.
    fn change(&self, changes: Vec<StateChange>, now: Timestamp) -> BoxFuture<'_, Result<Vec<u64>, StateError>>;

    /// Returns a record that has not expired at `now`.
    fn record(
        &self,
        space: &'static StateSpace,
        key: &str,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<StateRecord>, StateError>>;

    /// Returns records that have not expired at `now`, in ascending order of keys after `after`, at most `limit` (and
    /// [`STATE_READ_MAX`]).
    fn records(
        &self,
        space: &'static StateSpace,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<StateRecord>, StateError>>;

    /// Returns entries of a log, of one subject or of all, newest first, with sequences below `before`, at most `limit`
    /// (and [`STATE_READ_MAX`]).
    fn entries(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>>;

    /// Returns entries of a log, of one subject or of all, oldest first, with sequences above `after`, at most `limit`
    /// (and [`STATE_READ_MAX`]). A later read never returns an entry with a lower sequence than one that was returned:
    /// the last sequence is a cursor.
    fn entries_after(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>>;
}

impl StateChange {
    /// Makes a change that creates or replaces a record.
    pub fn put(
        space: &'static StateSpace,
        key: impl Into<String>,
        expect: ChangeCondition,
        value: impl Into<Bytes>,
        expires: Option<Timestamp>,
    ) -> Self {
        Self::Put { space, key: key.into(), expect, value: value.into(), expires }
    }

    /// Makes a change that removes a record.
    pub fn remove(space: &'static StateSpace, key: impl Into<String>, expect: ChangeCondition) -> Self {
        Self::Remove { space, key: key.into(), expect }
    }

    /// Makes a change that adds an entry to a log.
    pub fn append(log: &'static StateLog, subject: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Append { log, subject: subject.into(), value: value.into() }
    }

    /// Returns the octets of the key or subject, and of the value.
    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Remove { key, .. } => key.len(),
            Self::Append { subject, value, .. } => subject.len() + value.len(),
        }
    }

    fn check(&self) -> Result<(), StateError> {
        let (key, value, limit) = match self {
            Self::Put { space, key, value, .. } => (key, value.len(), space.octets_max),
            Self::Remove { key, .. } => (key, 0, 0),
            Self::Append { log, subject, value } => (subject, value.len(), log.octets_max),
        };
        if key.len() > STATE_KEY_OCTETS_MAX {
            return Err(StateError::TooLarge("the key or subject"));
        }
        if value > limit.min(STATE_VALUE_OCTETS_MAX) {
            return Err(StateError::TooLarge("the value"));
        }
        Ok(())
    }
}

/// Checks the bounds, before an engine sees the changes.
pub(crate) fn check(changes: &[StateChange]) -> Result<(), StateError> {
    if changes.len() > STATE_CHANGES_MAX {
        return Err(StateError::TooLarge("the list of changes"));
    }
    changes.iter().try_for_each(StateChange::check)
}
