//! A database and its packs, committed together: bodies first, then the rows that name them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use provost_message::Derived;
use rusqlite::{Connection, ErrorCode};

use super::bodies::{self, Incoming};
use super::checkpoint::{Checkpointer, Log};
use super::committer::Failure;
use super::pack::PackWriter;
use super::schema::{self, Tables};
use super::{make_folder, unavailable};
use crate::StoreError;

/// What a committer thread writes to.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) pack: PackWriter,
    incoming: Incoming,
    log: Log,
}

/// How far a transaction had come when something began that may be taken back alone.
pub(super) struct Mark {
    placed: usize,
    incoming: bodies::Mark,
}

/// The database of a shard or queue folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("meta.sqlite")
}

impl Database {
    pub(super) fn open(folder: &Path, tables: &Tables, checkpointer: &Checkpointer) -> Result<Self, StoreError> {
        make_folder(folder).map_err(unavailable)?;
        let path = path(folder);
        let connection = schema::connect(&path, schema::COMMITTER_CACHE_KIB)?;
        schema::create(&connection, tables)?;
        let pack = PackWriter::open(folder).map_err(unavailable)?;
        Ok(Self { connection, pack, incoming: Incoming::default(), log: checkpointer.log_of(path) })
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.pack.begin().map_err(not_done)?;
        self.incoming.begin();
        self.run("BEGIN IMMEDIATE").map_err(not_done)
    }

    /// Begins a part that may be taken back alone.
    pub(super) fn begin_part(&mut self) -> rusqlite::Result<Mark> {
        self.run("SAVEPOINT one")?;
        Ok(Mark { placed: self.pack.mark(), incoming: self.incoming.mark() })
    }

    /// Ends a part: keeps it, or takes it back.
    pub(super) fn end_part(&mut self, mark: Mark, keep: bool) -> rusqlite::Result<()> {
        if !keep {
            self.pack.take_back(mark.placed);
            self.incoming.take_back(mark.incoming);
            self.run("ROLLBACK TO one")?;
        }
        self.run("RELEASE one")
    }

    /// Keeps a body with one reference more, and what was derived from it. The number of its row.
    pub(super) fn keep_body(&mut self, body: &Bytes, derived: Option<&Derived>) -> Result<u64, StoreError> {
        self.incoming.keep(&self.connection, &mut self.pack, body, derived)
    }

    /// Whether a change inside the transaction can be taken back alone: SQLite ends the whole transaction itself after
    /// some errors (disk full, I/O).
    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        if let Err(error) = self.pack.flush() {
            self.roll_back();
            return Err(not_done(error));
        }
        let committed = self.run("COMMIT");
        if committed.is_err() {
            self.roll_back();
        }
        match committed {
            Ok(()) => Ok(()),
            Err(rusqlite::Error::SqliteFailure(cause, why))
                if matches!(cause.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy) =>
            {
                Err(Failure::NotDone(why.unwrap_or_else(|| cause.to_string())))
            }
            // A commit record may have reached the disk although its sync failed: a restart would find it.
            Err(error) => {
                tracing::error!(%error, "commit of unknown outcome");
                Err(Failure::Unknown)
            }
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.pack.forget();
        self.incoming.forget();
        if self.in_transaction()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::error!(%error, "rollback");
        }
    }

    /// Runs statements that return nothing, prepared once.
    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// After a commit, when the callers have been answered.
    pub(super) fn committed(&mut self) {
        self.log.committed(&self.connection);
    }

    pub(super) fn idle(&mut self) {
        self.log.idle(&self.connection);
    }
}

fn not_done(error: impl std::fmt::Display) -> Failure {
    Failure::NotDone(error.to_string())
}
