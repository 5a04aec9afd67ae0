//! Copies the write-ahead logs into the databases, mostly without delaying the committers.
//!
//! A checkpoint by the committer would stall its callers for hundreds of scattered writes and a sync. Instead a thread
//! copies most of the log while the committer continues to append. The committer then copies the small rest, and only
//! after that SQLite restarts the log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::schema;

/// Changed rows after which a checkpoint is due. Most rows add at most one page of 4 KiB to the log, so the log then
/// has about 16 MiB. A start after a crash reads that in some tens of milliseconds. With inline bodies, the log is a
/// few times as large.
const ROWS_DUE: u64 = 4_000;
/// Changed rows after which the committer copies the whole log itself, because the thread cannot keep up.
const ROWS_OVERDUE: u64 = 8 * ROWS_DUE;

/// A request to copy the log of one database. `is_done` is set after the attempt, also after a failed one.
struct CheckpointRequest {
    database: PathBuf,
    is_done: Arc<AtomicBool>,
}

/// The checkpoint thread for all databases of a store.
pub(super) struct Checkpointer {
    requests: Option<mpsc::Sender<CheckpointRequest>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start() -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(move || run_checkpoints(&inbox))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Returns the handle for one database, which its committer holds.
    pub(super) fn log_of(&self, database: PathBuf) -> CheckpointLog {
        CheckpointLog {
            database,
            requests: self.requests.clone(),
            is_done: Arc::default(),
            is_requested: false,
            copied_at: 0,
            pages: 0,
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the checkpoint thread had ended by a panic");
        }
    }
}

fn run_checkpoints(inbox: &mpsc::Receiver<CheckpointRequest>) {
    let mut connections = HashMap::new();
    while let Ok(CheckpointRequest { database, is_done }) = inbox.recv() {
        if !connections.contains_key(&database) {
            match schema::connect(&database, schema::CHECKPOINT_CACHE_KIB) {
                Ok(connection) => drop(connections.insert(database.clone(), connection)),
                Err(error) => tracing::warn!(%error, "a checkpoint cannot open the database"),
            }
        }
        if let Some(connection) = connections.get(&database) {
            checkpoint(connection);
        }
        is_done.store(true, Ordering::Release);
    }
}

/// Runs a PASSIVE checkpoint, which never waits for readers or the writer.
fn checkpoint(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "checkpoint failed");
    }
}

/// One database's log, as its committer sees it: counts changes, and requests and completes checkpoints.
pub(super) struct CheckpointLog {
    database: PathBuf,
    requests: Option<mpsc::Sender<CheckpointRequest>>,
    is_done: Arc<AtomicBool>,
    is_requested: bool,
    /// The count of changes when the committer last copied the log.
    copied_at: u64,
    /// Changed pages that SQLite does not count as changed rows.
    pages: u64,
}

impl CheckpointLog {
    /// Requests a copy when one is due, and copies the rest once the thread is done. Called after each commit.
    pub(super) fn committed(&mut self, connection: &Connection) {
        let rows = self.changes(connection).saturating_sub(self.copied_at);
        let ready = self.is_requested && self.is_done.swap(false, Ordering::Acquire);
        if ready || rows > ROWS_OVERDUE {
            self.is_requested &= !ready;
            self.copy_rest(connection);
        } else if !self.is_requested && rows > ROWS_DUE {
            let request = CheckpointRequest { database: self.database.clone(), is_done: Arc::clone(&self.is_done) };
            self.is_requested = self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        }
    }

    /// Copies what is left in the log. Called when no job waits.
    pub(super) fn idle(&mut self, connection: &Connection) {
        if self.changes(connection) > self.copied_at {
            self.copy_rest(connection);
        }
    }

    fn copy_rest(&mut self, connection: &Connection) {
        checkpoint(connection);
        self.copied_at = self.changes(connection);
    }

    /// Counts changed pages that SQLite does not report as changed rows.
    pub(super) fn count_pages(&mut self, pages: u64) {
        self.pages += pages;
    }

    /// Returns the changed rows and pages since the connection was opened.
    fn changes(&self, connection: &Connection) -> u64 {
        connection.total_changes() + self.pages
    }
}
