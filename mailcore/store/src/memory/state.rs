//! Shared state in memory: the reference model for the other engines, also used by tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use crate::state::{STATE_READ_MAX, check};
use crate::time::whole_second;
use crate::{
    BoxFuture, ChangeCondition, LogEntry, StateChange, StateError, StateLog, StateRecord, StateSpace, StateStore,
    StateVersion, WhenFull,
};

/// A [`StateStore`] in memory: its records and log entries are lost when the process ends.
#[derive(Default)]
pub struct MemoryState {
    rows: Mutex<StateRows>,
}

#[derive(Clone, Default)]
struct StateRows {
    last: u64,
    records: BTreeMap<(&'static str, String), StateRecord>,
    entries: Vec<(&'static str, LogEntry)>,
}

impl MemoryState {
    fn rows(&self) -> MutexGuard<'_, StateRows> {
        // Changes are applied to a copy, so the data is whole even after a panic under the lock.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_now(&self, changes: Vec<StateChange>, now: Timestamp) -> Result<Vec<u64>, StateError> {
        check(&changes)?;
        let mut rows = self.rows();
        let mut copy = rows.clone();
        let made = changes.into_iter().map(|change| copy.apply(change, now)).collect::<Result<Vec<_>, _>>()?;
        *rows = copy;
        Ok(made)
    }
}

impl StateRows {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn apply(&mut self, change: StateChange, now: Timestamp) -> Result<u64, StateError> {
        match change {
            StateChange::Put { space, key, expect, value, expires } => {
                self.check_expected(space, &key, expect, now)?;
                self.put(space, key, value, expires, now)
            }
            StateChange::Remove { space, key, expect } => {
                self.check_expected(space, &key, expect, now)?;
                self.records.remove(&(space.name, key));
                Ok(0)
            }
            StateChange::Append { log, subject, value } => {
                let sequence = self.next();
                self.entries.push((log.name, LogEntry { sequence, subject, value }));
                Ok(sequence)
            }
        }
    }

    fn live(&self, space: &'static StateSpace, key: &str, now: Timestamp) -> Option<&StateRecord> {
        let record = self.records.get(&(space.name, key.to_owned()))?;
        record.expires.is_none_or(|expires| expires > now).then_some(record)
    }

    /// Fails with [`StateError::Conflict`] when the record does not meet the condition.
    fn check_expected(
        &self,
        space: &'static StateSpace,
        key: &str,
        expect: ChangeCondition,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let version = self.live(space, key, now).map(|record| record.version);
        let holds = match expect {
            ChangeCondition::Any => true,
            ChangeCondition::Absent => version.is_none(),
            ChangeCondition::Version(expected) => version == Some(expected),
        };
        if holds { Ok(()) } else { Err(StateError::Conflict) }
    }

    fn put(
        &mut self,
        space: &'static StateSpace,
        key: String,
        value: Bytes,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, StateError> {
        if self.live(space, &key, now).is_none() {
            self.make_room(space, now)?;
        }
        let version = self.next();
        let expires = expires.map(whole_second);
        let record = StateRecord { key: key.clone(), version: StateVersion(version), expires, value };
        self.records.insert((space.name, key), record);
        Ok(version)
    }

    fn make_room(&mut self, space: &'static StateSpace, now: Timestamp) -> Result<(), StateError> {
        let is_live = |record: &StateRecord| record.expires.is_none_or(|expires| expires > now);
        self.records.retain(|(name, _), record| *name != space.name || is_live(record));
        let all = self.records.iter().filter(|((name, _), _)| *name == space.name);
        if all.clone().count() < space.records_max {
            return Ok(());
        }
        let oldest = all.min_by_key(|(_, record)| record.version).map(|(key, _)| key.clone());
        match (space.when_full, oldest) {
            (WhenFull::RemoveOldest, Some(oldest)) => {
                self.records.remove(&oldest);
                Ok(())
            }
            _ => Err(StateError::Full(space.name)),
        }
    }
}

impl StateStore for MemoryState {
    fn change(&self, changes: Vec<StateChange>, now: Timestamp) -> BoxFuture<'_, Result<Vec<u64>, StateError>> {
        Box::pin(std::future::ready(self.change_now(changes, now)))
    }

    fn record(
        &self,
        space: &'static StateSpace,
        key: &str,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<StateRecord>, StateError>> {
        Box::pin(std::future::ready(Ok(self.rows().live(space, key, now).cloned())))
    }

    fn records(
        &self,
        space: &'static StateSpace,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<StateRecord>, StateError>> {
        let rows = self.rows();
        let all = rows.records.iter().filter(|((name, key), record)| {
            *name == space.name
                && after.is_none_or(|after| key.as_str() > after)
                && record.expires.is_none_or(|expires| expires > now)
        });
        let found = all.map(|(_, record)| record.clone()).take(limit.min(STATE_READ_MAX)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn entries(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        let rows = self.rows();
        let all = rows.entries.iter().rev().filter(|(name, entry)| {
            *name == log.name
                && subject.is_none_or(|subject| entry.subject == subject)
                && before.is_none_or(|before| entry.sequence < before)
        });
        let found = all.map(|(_, entry)| entry.clone()).take(limit.min(STATE_READ_MAX)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn entries_after(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        let rows = self.rows();
        let all = rows.entries.iter().filter(|(name, entry)| {
            *name == log.name && subject.is_none_or(|subject| entry.subject == subject) && entry.sequence > after
        });
        let found = all.map(|(_, entry)| entry.clone()).take(limit.min(STATE_READ_MAX)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}
