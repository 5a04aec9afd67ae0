//! The tables of the databases, and how the databases are opened.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::fault::{damaged, storage, unavailable, written_by_newer};
use super::folder::sync_folder;
use crate::StoreError;

/// Page cache of a committer's connection, KiB.
pub(super) const COMMITTER_CACHE_KIB: i64 = 2048;
/// Page cache of a reading connection, KiB; small, because the system caches the file.
pub(super) const READER_CACHE_KIB: i64 = 512;
/// Page cache of a checkpoint's connection, KiB. Small, because a checkpoint bypasses it.
pub(super) const CHECKPOINT_CACHE_KIB: i64 = 64;
/// Prepared statements kept per connection: more than a connection uses.
const STATEMENTS: usize = 128;
/// Size to which the log file is truncated when it restarts after a burst, octets: twice what it usually holds when a
/// checkpoint is due.
const LOG_OCTETS_KEPT: i64 = 32 * 1024 * 1024;
/// Longest wait for a lock that another connection of this process holds, milliseconds.
const BUSY_MS: i64 = 5_000;

/// The tables of one kind of database, and their version, stored in its `user_version`.
pub(super) struct SchemaTables {
    pub(super) version: i64,
    pub(super) sql: &'static [&'static str],
    /// Whether table `pack` lists the packs that the database has made.
    pub(super) lists_packs: bool,
}

/// The tables of a shard.
///
/// Version 3 has the columns of version 2, but `account.modseq` and `account.octets` may be out of date: most batches
/// write only the rows of mailboxes. The modseq of an account is the highest of its row and its mailboxes, and its
/// octets are the sum over its mailboxes.
///
/// Mailboxes, messages and the other tables with a column `account` refer to an account by `account.no`, not by its
/// UUID. Their keys begin with that column, so that the rows of an account are adjacent. `message.born` is the modseq of
/// the batch that added the message. It ascends with the UID, so a read of changes finds new messages at the end of the
/// mailbox, and `message_changed` lists only messages whose flags have changed since. Body numbers ascend in order of
/// arrival, so that a delivery to any account writes to the end of `body` and `derived`. These two are separate, so that
/// reference counts and places of all bodies can be read without text columns. `pack` lists the pack files that this
/// database has made; others are never removed. `counter` holds the first body number that is not reserved, the number
/// of starts, and the position of the walk that derives columns (`upkeep::derive`).
///
/// `body.at` is the offset of the body within the file of `body.pack`, octets; both are null for a body in `inline`. In
/// all other tables `at` is a time, Unix seconds: of the batch, of the last login, or of the end of a queued message.
pub(super) const SHARD: SchemaTables =
    SchemaTables { version: 3, sql: &[KEPT_FROM_1, NEW_IN_2[0], NEW_IN_2[1]], lists_packs: true };

/// Tables that have not changed since version 1.
const KEPT_FROM_1: &str = "
CREATE TABLE subscription (account INTEGER PRIMARY KEY, names TEXT NOT NULL) STRICT;
CREATE TABLE gone (account INTEGER NOT NULL, mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,
  PRIMARY KEY (account, mailbox, modseq, uid)) STRICT, WITHOUT ROWID;
CREATE TABLE batch (account INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL, applied BLOB NOT NULL,
  PRIMARY KEY (account, id)) STRICT, WITHOUT ROWID;
CREATE TABLE reply (account INTEGER NOT NULL, handle TEXT NOT NULL, correspondent TEXT NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (account, handle, correspondent)) STRICT, WITHOUT ROWID;
CREATE TABLE login (uuid BLOB NOT NULL, protocol TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (uuid, protocol)) STRICT, WITHOUT ROWID;
";

/// Tables that version 2 added or replaced.
pub(super) const NEW_IN_2: [&str; 2] = ["
CREATE TABLE account (no INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE, modseq INTEGER NOT NULL, octets INTEGER NOT NULL,
  mailbox_last INTEGER NOT NULL, uid_validity_last INTEGER NOT NULL, uid_validity_retired INTEGER NOT NULL) STRICT;
CREATE TABLE mailbox (account INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, special_use INTEGER,
  uid_validity INTEGER NOT NULL, uid_last INTEGER NOT NULL, uid_used INTEGER NOT NULL, shares_validity INTEGER NOT NULL,
  highest_modseq INTEGER NOT NULL, messages INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL,
  octets INTEGER NOT NULL, recent_from INTEGER NOT NULL, keywords TEXT NOT NULL,
  PRIMARY KEY (account, id)) STRICT, WITHOUT ROWID;
CREATE TABLE message (account INTEGER NOT NULL, mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, born INTEGER NOT NULL,
  modseq INTEGER NOT NULL, flags BLOB NOT NULL, internal_date INTEGER NOT NULL, octets INTEGER NOT NULL,
  body INTEGER NOT NULL, PRIMARY KEY (account, mailbox, uid)) STRICT, WITHOUT ROWID;
CREATE INDEX message_changed ON message (account, mailbox, modseq) WHERE modseq > born;
CREATE TABLE body (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, octets INTEGER NOT NULL, pack INTEGER, at INTEGER) STRICT;
CREATE INDEX body_garbage ON body (id) WHERE refs = 0;
CREATE TABLE inline (body INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE derived (body INTEGER PRIMARY KEY, version INTEGER NOT NULL, sent INTEGER, envelope BLOB NOT NULL,
  structure BLOB NOT NULL, preview TEXT NOT NULL, thread BLOB NOT NULL, fields BLOB NOT NULL) STRICT;
CREATE TABLE pack (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('body', 1), ('start', 0);
", QUEUE];

/// The tables of the queue.
///
/// `outgoing.attempts` counts how often the row was taken, and so numbers the current attempt. A worker holds a row while
/// `lease_until` is later than now; zero means that no worker holds it. `unsettled` counts how often the row was taken
/// since the last recorded outcome. `finished` keeps the ids of messages whose rows are gone, for
/// [`REMEMBERED`](crate::batch::REMEMBERED), so that none is queued again in that time. `outgoing_due` covers all
/// columns that decide whether a row can be taken: rows of a destination that already has as many running attempts as
/// it may have are skipped without being read.
const QUEUE: &str = "
CREATE TABLE outgoing (no INTEGER PRIMARY KEY, message BLOB NOT NULL, destination TEXT NOT NULL, queued_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL, attempts INTEGER NOT NULL, unsettled INTEGER NOT NULL, lease_until INTEGER NOT NULL,
  set_aside TEXT, octets INTEGER NOT NULL, body INTEGER NOT NULL, envelope BLOB NOT NULL,
  UNIQUE (message, destination)) STRICT;
CREATE INDEX outgoing_due ON outgoing (due_at, message, destination, lease_until) WHERE set_aside IS NULL;
CREATE INDEX outgoing_queued ON outgoing (queued_at, message, destination);
CREATE TABLE finished (message BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX finished_at ON finished (at);
";

/// Opens a database for writing; creates a missing file.
pub(super) fn connect(path: &Path, cache_kib: i64) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(storage)?;
    tune(&connection, cache_kib).map_err(storage)?;
    let durable = |connection: &Connection| {
        // Lets free pages be returned to the disk. Only effective before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        let mode = use_log(connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_OCTETS_KEPT, |_| Ok(()))?;
        Ok(mode)
    };
    require_log(&durable(&connection).map_err(storage)?)?;
    Ok(connection)
}

/// Asks for a write-ahead log, and returns the journal mode that is then in force.
///
/// SQLite returns the new mode as the row of the statement before it commits the change. A disk fault that keeps the old
/// mode is reported only when the statement is stepped to its end, so the rows are read to the end. The old mode, a
/// rollback journal, must not be used: a commit is durable only once the removal of the journal file is durable, and
/// SQLite does not sync this removal.
pub(super) fn use_log(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
    while rows.next()?.is_some() {}
    Ok(mode)
}

/// Unavailable when the database has a journal mode other than the log.
pub(super) fn require_log(mode: &str) -> Result<(), StoreError> {
    match mode {
        "wal" => Ok(()),
        other => Err(unavailable(format!("the database has journal mode {other}, not wal"))),
    }
}

/// Syncs the commits that an earlier process left, before anything is answered from them.
///
/// A process that was killed between a write to the log and its sync leaves a commit that SQLite treats as durable, and
/// SQLite ignores errors when it syncs the folder that holds the log.
pub(super) fn sync_earlier_commits(connection: &Connection, folder: &Path) -> Result<(), StoreError> {
    // A checkpoint syncs the log first, then what it copies.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(storage)?;
    sync_folder(folder).map_err(unavailable)
}

/// Opens an existing database for reading.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(storage)?;
    tune(&connection, READER_CACHE_KIB).map_err(storage)?;
    Ok(connection)
}

fn tune(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update_and_check(None, "busy_timeout", BUSY_MS, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_row)
}

/// Accepts a pragma that some builds of SQLite do not answer.
fn no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    }
}

/// Returns the version of a database's tables; zero without tables.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(storage)
}

/// Creates the tables in a new database. Unavailable when a newer Provost wrote the database; damaged when its tables
/// have an older version, because the format file says that they were upgraded.
pub(super) fn create(connection: &Connection, tables: &SchemaTables) -> Result<(), StoreError> {
    let SchemaTables { version: wanted, sql, .. } = tables;
    match version(connection)? {
        0 => {
            let sql = sql.concat();
            connection.execute_batch(&format!("BEGIN;{sql}PRAGMA user_version={wanted};COMMIT;")).map_err(storage)
        }
        found if found == *wanted => Ok(()),
        found if found > *wanted => {
            Err(written_by_newer(&format!("{}: the tables", connection.path().unwrap_or_default()), found, *wanted))
        }
        found => Err(damaged(format!("the tables have version {found} and were not upgraded to version {wanted}"))),
    }
}
