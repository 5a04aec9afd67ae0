//! A database and its packs, committed together: bodies first, then the rows that refer to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use provost_message::Derived;
use rusqlite::{Connection, ErrorCode};

use super::bodies::{self, BodyDestination, IncomingBodies, record_pack};
use super::checkpoint::{CheckpointLog, Checkpointer};
use super::committer::CommitFailure;
use super::fault::{storage, unavailable};
use super::folder::make_folder;
use super::pack::{PackNumbers, PackWriter};
use super::schema::{self, SchemaTables};
use crate::StoreError;

/// The files that a committer thread writes.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) pack: PackWriter,
    /// Numbers of the folder's packs, shared with the writer of the upkeep.
    pub(super) numbers: Arc<PackNumbers>,
    incoming: IncomingBodies,
    /// The open pack, once table `pack` lists it.
    recorded_pack: Option<u32>,
    /// Whether messages entered the queue in this transaction.
    pub(super) arrived: bool,
    log: CheckpointLog,
}

/// The state of a transaction at one point: shows whether anything was written since, and what to roll back.
#[derive(PartialEq, Eq)]
pub(super) struct Savepoint {
    /// Rows changed since the database was opened.
    changes: u64,
    placed: usize,
    incoming: bodies::BodySavepoint,
}

/// Returns the path of the database in the folder of a shard, or of the queue of a format 1 store.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("meta.sqlite")
}

impl Database {
    pub(super) fn open(
        folder: &Path,
        tables: &SchemaTables,
        pack_octets_max: u64,
        checkpointer: &Checkpointer,
    ) -> Result<Self, StoreError> {
        make_folder(folder).map_err(unavailable)?;
        let path = path(folder);
        let connection = schema::connect(&path, schema::COMMITTER_CACHE_KIB)?;
        schema::create(&connection, tables)?;
        schema::sync_earlier_commits(&connection, folder)?;
        let known = tables.lists_packs.then(|| known_packs(&connection)).transpose().map_err(storage)?;
        let numbers = Arc::new(PackNumbers::of(folder, known.as_deref()).map_err(unavailable)?);
        let mut pack = PackWriter::new(folder, &numbers, pack_octets_max);
        pack.resume().map_err(unavailable)?;
        let (incoming, log) = (IncomingBodies::default(), checkpointer.log_of(path));
        Ok(Self { connection, pack, numbers, incoming, recorded_pack: None, arrived: false, log })
    }

    /// Begins the transaction of a group whose bodies go to `destination`.
    pub(super) fn begin(&mut self, destination: BodyDestination) -> Result<(), CommitFailure> {
        match destination {
            BodyDestination::Pack => self.pack.begin().map_err(not_done)?,
            BodyDestination::Inline => self.pack.close_if_full(),
        }
        self.incoming.begin(destination);
        self.arrived = false;
        self.execute("BEGIN IMMEDIATE").map_err(not_done)
    }

    /// Adds the open pack to table `pack`, which lists the packs that this database made. Part of the transaction with
    /// the first row that refers to the pack.
    pub(super) fn record_pack(&mut self) -> Result<(), CommitFailure> {
        let number = self.pack.number();
        if number.is_some() && number != self.recorded_pack {
            let recorded = record_pack(&self.connection, number.unwrap_or_default());
            recorded.map_err(|error| CommitFailure::NotDone(error.into_reason()))?;
            self.recorded_pack = number;
        }
        Ok(())
    }

    /// Begins a part that may be rolled back alone.
    pub(super) fn begin_part(&mut self) -> rusqlite::Result<Savepoint> {
        self.execute("SAVEPOINT one")?;
        Ok(self.mark())
    }

    /// Returns the present state of the transaction.
    pub(super) fn mark(&self) -> Savepoint {
        Savepoint { changes: self.connection.total_changes(), placed: self.pack.mark(), incoming: self.incoming.mark() }
    }

    /// Whether nothing was written since the mark and the transaction still exists.
    pub(super) fn is_at(&self, mark: &Savepoint) -> bool {
        self.in_transaction() && self.mark() == *mark
    }

    /// Ends a part: keeps it, or rolls it back.
    pub(super) fn end_part(&mut self, mark: Savepoint, keep: bool) -> rusqlite::Result<()> {
        if !keep {
            self.pack.take_back(mark.placed);
            self.incoming.take_back(mark.incoming);
            self.execute("ROLLBACK TO one")?;
        }
        self.execute("RELEASE one")
    }

    /// Stores a body with one more reference, and its derived columns. Returns the number of its row.
    pub(super) fn keep_body(&mut self, body: &Bytes, derived: Option<&Derived>) -> Result<u64, StoreError> {
        self.incoming.store_body(&self.connection, &mut self.pack, body, derived)
    }

    /// Whether the transaction still exists: after some errors (disk full, I/O) SQLite rolls it back.
    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitFailure> {
        if let Err(error) = self.pack.flush() {
            self.roll_back();
            return Err(not_done(error));
        }
        let committed = self.execute("COMMIT");
        if committed.is_err() {
            self.roll_back();
        }
        match committed {
            Ok(()) => Ok(()),
            Err(rusqlite::Error::SqliteFailure(cause, why))
                if matches!(cause.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy) =>
            {
                Err(CommitFailure::NotDone(why.unwrap_or_else(|| cause.to_string())))
            }
            // The commit record may be on disk although its sync failed: a restart would find it.
            Err(error) => {
                tracing::error!(%error, "a commit failed half-way: a restart may find it done");
                Err(CommitFailure::Unknown)
            }
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.pack.drop_unwritten();
        self.incoming.drop_reserved();
        self.recorded_pack = None;
        if self.in_transaction()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
    }

    /// Runs a prepared statement that returns no rows.
    pub(super) fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Requests or completes a checkpoint when one is due. Called after a commit, once the callers are answered.
    pub(super) fn committed(&mut self) {
        self.log.committed(&self.connection);
    }

    /// Counts changed pages that SQLite does not report as changed rows, so that the next checkpoint is due in time.
    pub(super) fn note_pages(&mut self, pages: u64) {
        self.log.count_pages(pages);
    }

    pub(super) fn idle(&mut self) {
        self.log.idle(&self.connection);
    }
}

/// Returns the packs that a database has made.
pub(super) fn known_packs(connection: &Connection) -> rusqlite::Result<Vec<u32>> {
    let mut statement = connection.prepare_cached("SELECT number FROM pack")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn not_done(error: impl std::fmt::Display) -> CommitFailure {
    CommitFailure::NotDone(error.to_string())
}
