//! A shared state that fails on request, and an audit that cannot be read.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use provost_provision::{AuditLog, AuditRecord};
use provost_store::{
    BoxFuture, LogEntry, MemoryState, StateChange, StateError, StateLog, StateRecord, StateSpace, StateStore,
};

/// A state in memory. On request, each read of a single record fails, or each change.
#[derive(Default)]
pub(crate) struct FaultyState {
    state: MemoryState,
    pub(crate) reads_fail: AtomicBool,
    pub(crate) writes_fail: AtomicBool,
}

fn unavailable<'a, T>() -> BoxFuture<'a, Result<T, StateError>> {
    Box::pin(async { Err(StateError::Unavailable("a fault of the test".into())) })
}

impl StateStore for FaultyState {
    fn change(&self, changes: Vec<StateChange>, now: Timestamp) -> BoxFuture<'_, Result<Vec<u64>, StateError>> {
        if self.writes_fail.load(Ordering::Relaxed) { unavailable() } else { self.state.change(changes, now) }
    }

    fn record(
        &self,
        space: &'static StateSpace,
        key: &str,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<StateRecord>, StateError>> {
        if self.reads_fail.load(Ordering::Relaxed) { unavailable() } else { self.state.record(space, key, now) }
    }

    fn records(
        &self,
        space: &'static StateSpace,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<StateRecord>, StateError>> {
        self.state.records(space, after, limit, now)
    }

    fn entries(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        self.state.entries(log, subject, before, limit)
    }

    fn entries_after(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        self.state.entries_after(log, subject, after, limit)
    }
}

/// An audit that accepts every record and cannot be read.
pub(crate) struct UnreadableAudit;

impl AuditLog for UnreadableAudit {
    fn append(&self, _: &AuditRecord) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn newest(&self, _: Option<&str>, _: Option<u64>, _: usize) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        Box::pin(async { Err(io::Error::other("a fault of the test")) })
    }

    fn oldest(&self, _: Option<&str>, _: u64, _: usize) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        Box::pin(async { Err(io::Error::other("a fault of the test")) })
    }

    fn subjects_of(&self, _: &str, _: usize) -> BoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(async { Err(io::Error::other("a fault of the test")) })
    }
}
