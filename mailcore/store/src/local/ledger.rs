//! A database and its packs, committed together: bodies first, then the rows that name them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::checkpoint::{Checkpointer, Log};
use super::committer::Failure;
use super::pack::PackWriter;
use super::{make_folder, schema, unavailable};
use crate::StoreError;

/// What a committer thread writes to.
pub(super) struct Ledger {
    pub(super) connection: Connection,
    pub(super) pack: PackWriter,
    log: Log,
}

/// The database of a shard or queue folder.
pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("meta.sqlite")
}

impl Ledger {
    pub(super) fn open(folder: &Path, tables: &str, checkpointer: &Checkpointer) -> Result<Self, StoreError> {
        make_folder(folder).map_err(unavailable)?;
        let path = database(folder);
        let connection = schema::connect(&path, schema::COMMITTER_CACHE_KIB)?;
        schema::create(&connection, tables)?;
        let pack = PackWriter::open(folder).map_err(unavailable)?;
        Ok(Self { connection, pack, log: checkpointer.log_of(path) })
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.pack.begin().map_err(not_done)?;
        self.run("BEGIN IMMEDIATE").map_err(not_done)
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
