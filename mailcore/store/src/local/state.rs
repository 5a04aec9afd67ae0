//! Shared state of one machine: `FOLDER/state.sqlite`, a separate database.
//!
//! It is outside of the store's exclusive lock, so that commands on this machine can write audit entries and tokens
//! whether or not a node runs. SQLite's own locks separate the processes. Each list of changes is applied within one
//! transaction, so compare and set holds between processes too. Within a process, all waiting lists share one sync.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::committer::{CommitFailure, Committer, ReplySender, Worker, wait_for_reply};
use super::fault::{damaged, storage, unavailable, written_by_newer};
use super::folder::{make_folder, sync_folder};
use super::reader::Readers;
use super::rows::{SecondColumn, optional_time};
use super::schema;
use crate::state::{STATE_READ_MAX, check};
use crate::{
    BoxFuture, ChangeCondition, LogEntry, StateChange, StateError, StateLog, StateRecord, StateSpace, StateStore,
    StateVersion, StoreError, WhenFull,
};

/// Name of the database in the store's folder.
const FILE: &str = "state.sqlite";
/// Longest wait for another process, milliseconds: time for a slow disk to sync the largest list of changes, 80 MiB.
const BUSY_MS: i64 = 10_000;
/// When SQLite restarts its log file, a longer one is truncated to this size, octets.
const LOG_OCTETS_KEPT: i64 = 8 * 1024 * 1024;
/// Maximum number of expired records removed with each group of changes, which bounds the time that this adds to a
/// commit.
const SWEPT_MAX: i64 = 200;

/// `record.version` and `entry.sequence` share one counter, which never decreases: a record that was removed and
/// recreated has another version.
const TABLES: &str = "
CREATE TABLE record (space TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, expires INTEGER, value BLOB NOT NULL,
  UNIQUE (space, key)) STRICT;
CREATE INDEX record_version ON record (space, version);
CREATE INDEX record_expires ON record (expires) WHERE expires IS NOT NULL;
CREATE TABLE entry (sequence INTEGER PRIMARY KEY, log TEXT NOT NULL, subject TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE INDEX entry_log ON entry (log);
CREATE INDEX entry_subject ON entry (log, subject);
CREATE TABLE counter (value INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (0);
";

/// The first step creates the tables; each further one upgrades them to the next version. `user_version` counts the
/// completed steps.
const STEPS: [&str; 1] = [TABLES];

/// The local engine of shared state. Dropping it waits until all queued changes are committed.
pub struct LocalState {
    committer: Committer<StateWork>,
    readers: Readers,
}

/// A list of changes, with the channel to its caller.
struct StateWork {
    changes: Vec<StateChange>,
    now: Timestamp,
    reply: ReplySender<Vec<u64>, StateError>,
}

impl From<CommitFailure> for StateError {
    fn from(failure: CommitFailure) -> Self {
        StoreError::from(failure).into()
    }
}

impl LocalState {
    /// Opens or creates the database in the store's folder, and upgrades its tables. Several processes may have it
    /// open. Unavailable when a newer Provost wrote it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        make_folder(folder).map_err(unavailable)?;
        let path = folder.join(FILE);
        // Created here and not by SQLite, so that no other user of the machine can read it; SQLite's log files get the
        // same mode.
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        made.map_err(|error| unavailable(format!("{}: {error}", path.display())))?;
        let mut connection = connect(&path)?;
        upgrade(&mut connection, &path, &STEPS)?;
        schema::sync_earlier_commits(&connection, folder)?;
        let committer = Committer::start("state".into(), StateWriter { connection }).map_err(unavailable)?;
        Ok(Self { committer, readers: Readers::new(path) })
    }

    /// Reads entries of a log whose sequence compares with `bound` as `condition` says, in that `order`.
    fn read_log(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        condition: &'static str,
        order: &'static str,
        bound: i64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        let subject = subject.map(str::to_owned);
        Box::pin(async move {
            let of_subject = if subject.is_some() { "AND subject = ?4" } else { "AND ?4 IS NULL" };
            let sql = format!(
                "SELECT sequence, subject, value FROM entry WHERE log = ?1 AND {condition} {of_subject} \
                 ORDER BY sequence {order} LIMIT ?3"
            );
            let read = move |connection: &Connection| {
                let rows = connection.prepare_cached(&sql).and_then(|mut statement| {
                    let values = params![log.name, bound, row_limit(limit), subject];
                    let rows = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                    rows.collect::<rusqlite::Result<Vec<(i64, String, Vec<u8>)>>>()
                });
                let entry = |(sequence, subject, value): (i64, String, Vec<u8>)| {
                    Ok(LogEntry { sequence: from_row(sequence)?, subject, value: value.into() })
                };
                rows.map_err(storage)?.into_iter().map(entry).collect()
            };
            Ok(self.readers.read(read).await?)
        })
    }

    /// Whether the committer thread died of a bug: only a restart of the process revives it.
    pub fn is_dead(&self) -> bool {
        self.committer.is_dead()
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(storage)?;
    let tune = || {
        connection.pragma_update_and_check(None, "busy_timeout", BUSY_MS, |_| Ok(()))?;
        // Uploads come and go, so their space is returned. Only effective before the first table.
        connection.pragma_update(None, "auto_vacuum", "FULL")?;
        let mode = schema::use_log(&connection)?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_OCTETS_KEPT, |_| Ok(()))?;
        // An upload may hold initial passwords, so deleted content is overwritten.
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(mode)
    };
    schema::require_log(&tune().map_err(storage)?)?;
    Ok(connection)
}

/// Runs the missing steps, all or none; existing tables are backed up first. Two processes may do this at once: the
/// second one finds it done. Unavailable when a newer Provost wrote the database.
fn upgrade(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(storage)?;
    let found = schema::version(&transaction)?;
    let missing = usize::try_from(found).ok().and_then(|done| steps.get(done..));
    let newer = || written_by_newer(&format!("{}: the tables", path.display()), found, steps.len() as i64);
    let missing = missing.ok_or_else(newer)?;
    if missing.is_empty() {
        return Ok(());
    }
    if found > 0 {
        // The transaction excludes other writers until the steps are done, so the backup misses nothing.
        back_up(path, found)?;
    }
    let sql = missing.concat();
    transaction.execute_batch(&format!("{sql}PRAGMA user_version={};", steps.len())).map_err(storage)?;
    transaction.commit().map_err(storage)
}

/// Writes a complete, durable copy beside the database: `state.sqlite.backup-vN`, N being the version of its tables. To
/// restore it, stop the node, rename the copy to the database's name, and remove `state.sqlite-wal` and
/// `state.sqlite-shm`.
fn back_up(path: &Path, version: i64) -> Result<(), StoreError> {
    let (draft, backup) = (path.with_extension("sqlite.new"), path.with_extension(format!("sqlite.backup-v{version}")));
    // SQLite writes into an empty file of our own mode, so that no other user can read it.
    let made = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft);
    let file = made.map_err(|error| unavailable(format!("{}: {error}", draft.display())))?;
    let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(storage)?;
    source.execute("VACUUM INTO ?1", [draft.to_string_lossy()]).map_err(storage)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let kept = file.sync_all().and_then(|()| std::fs::rename(&draft, &backup)).and_then(|()| sync_folder(folder));
    kept.map_err(|error| unavailable(format!("{}: {error}", backup.display())))
}

struct StateWriter {
    connection: Connection,
}

impl Worker for StateWriter {
    type Work = StateWork;

    fn commit(&mut self, group: Vec<StateWork>, _octets: usize) {
        let mut answers = Vec::with_capacity(group.len());
        let committed = self.write(group, &mut answers);
        for (reply, result) in answers {
            match &committed {
                Ok(()) => reply.send(result),
                Err(error) => reply.send(Err(error.clone().into())),
            }
        }
    }

    fn idle(&mut self) {}
}

type StateReply = (ReplySender<Vec<u64>, StateError>, Result<Vec<u64>, StateError>);

impl StateWriter {
    /// Writes a group in one transaction, each list in a savepoint. An error that is returned concerns the whole group.
    fn write(&mut self, group: Vec<StateWork>, answers: &mut Vec<StateReply>) -> Result<(), StoreError> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let mut transaction = match begun.map_err(storage) {
            Ok(transaction) => transaction,
            Err(error) => {
                answers.extend(group.into_iter().map(|work| (work.reply, Err(error.clone().into()))));
                return Err(error);
            }
        };
        let mut now = Timestamp::MIN;
        for StateWork { changes, now: at, mut reply } in group {
            now = now.max(at);
            reply.mark_unknown();
            let result = transaction.savepoint().map_err(|error| storage(error).into()).and_then(|savepoint| {
                let made = apply(&savepoint, changes, at)?;
                savepoint.commit().map_err(storage)?;
                Ok(made)
            });
            answers.push((reply, result));
        }
        sweep(&transaction, now)?;
        transaction.commit().map_err(storage)
    }
}

fn apply(connection: &Connection, changes: Vec<StateChange>, now: Timestamp) -> Result<Vec<u64>, StateError> {
    changes.into_iter().map(|change| apply_one(connection, change, now)).collect()
}

fn apply_one(connection: &Connection, change: StateChange, now: Timestamp) -> Result<u64, StateError> {
    match change {
        StateChange::Put { space, key, expect, value, expires } => {
            if check_expected(connection, space, &key, expect, now)?.is_none() {
                make_room(connection, space, now)?;
            }
            let version = next(connection)?;
            let sql = "INSERT OR REPLACE INTO record (space, key, version, expires, value) VALUES (?, ?, ?, ?, ?)";
            execute(
                connection,
                sql,
                params![space.name, key, to_row(version)?, expires.map(SecondColumn), &value[..]],
            )?;
            Ok(version)
        }
        StateChange::Remove { space, key, expect } => {
            check_expected(connection, space, &key, expect, now)?;
            execute(connection, "DELETE FROM record WHERE space = ? AND key = ?", params![space.name, key])?;
            Ok(0)
        }
        StateChange::Append { log, subject, value } => {
            let sequence = next(connection)?;
            let sql = "INSERT INTO entry (sequence, log, subject, value) VALUES (?, ?, ?, ?)";
            execute(connection, sql, params![to_row(sequence)?, log.name, subject, &value[..]])?;
            Ok(sequence)
        }
    }
}

/// Returns the version of the record; `None` when it is absent or expired at `now`. Conflict when the record is not as
/// expected.
fn check_expected(
    connection: &Connection,
    space: &StateSpace,
    key: &str,
    expect: ChangeCondition,
    now: Timestamp,
) -> Result<Option<u64>, StateError> {
    let sql = "SELECT version FROM record WHERE space = ? AND key = ? AND (expires IS NULL OR expires > ?)";
    let found: Option<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_row(params![space.name, key, SecondColumn(now)], |row| row.get(0)).optional()
        })
        .map_err(storage)?;
    let found = found.map(from_row).transpose()?;
    let holds = match expect {
        ChangeCondition::Any => true,
        ChangeCondition::Absent => found.is_none(),
        ChangeCondition::Version(StateVersion(version)) => found == Some(version),
    };
    if holds { Ok(found) } else { Err(StateError::Conflict) }
}

/// When the space is full, removes its expired records. If it is still full, removes the record written least recently,
/// or fails with [`StateError::Full`], as the space's `when_full` demands.
fn make_room(connection: &Connection, space: &'static StateSpace, now: Timestamp) -> Result<(), StateError> {
    let limit = i64::try_from(space.records_max).unwrap_or(i64::MAX);
    if count(connection, space)? < limit {
        return Ok(());
    }
    execute(connection, "DELETE FROM record WHERE space = ? AND expires <= ?", params![space.name, SecondColumn(now)])?;
    if count(connection, space)? < limit {
        return Ok(());
    }
    match space.when_full {
        WhenFull::Refuse => Err(StateError::Full(space.name)),
        WhenFull::RemoveOldest => {
            let sql = "DELETE FROM record WHERE rowid = \
                       (SELECT rowid FROM record WHERE space = ? ORDER BY version LIMIT 1)";
            execute(connection, sql, params![space.name])
        }
    }
}

fn count(connection: &Connection, space: &StateSpace) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM record WHERE space = ?";
    let counted = connection.prepare_cached(sql).and_then(|mut s| s.query_row([space.name], |row| row.get(0)));
    counted.map_err(storage)
}

/// Removes some expired records, so that they do not make the file grow.
fn sweep(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "DELETE FROM record WHERE rowid IN (SELECT rowid FROM record WHERE expires <= ? LIMIT ?)";
    connection
        .prepare_cached(sql)
        .and_then(|mut s| s.execute(params![SecondColumn(now), SWEPT_MAX]))
        .map(drop)
        .map_err(storage)
}

fn next(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "UPDATE counter SET value = value + 1 RETURNING value";
    let value: i64 =
        connection.prepare_cached(sql).and_then(|mut s| s.query_row([], |row| row.get(0))).map_err(storage)?;
    from_row(value)
}

fn execute(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), StateError> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values));
    Ok(done.map(drop).map_err(storage)?)
}

fn from_row(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged("a negative version or sequence number"))
}

fn to_row(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| damaged("a version or sequence number beyond 63 bits"))
}

/// Key, version, expiry and value, in the order of the columns.
type RecordColumns = (String, i64, Option<Timestamp>, Vec<u8>);

fn record_of(row: &Row<'_>) -> rusqlite::Result<RecordColumns> {
    Ok((row.get(0)?, row.get(1)?, optional_time(row, 2)?, row.get(3)?))
}

fn to_record((key, version, expires, value): RecordColumns) -> Result<StateRecord, StoreError> {
    Ok(StateRecord { key, version: StateVersion(from_row(version)?), expires, value: value.into() })
}

fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit.min(STATE_READ_MAX)).unwrap_or(0)
}

impl StateStore for LocalState {
    fn change(&self, changes: Vec<StateChange>, now: Timestamp) -> BoxFuture<'_, Result<Vec<u64>, StateError>> {
        Box::pin(async move {
            check(&changes)?;
            let octets = changes.iter().map(StateChange::octets).sum();
            let (reply, receiver) = ReplySender::new();
            self.committer.send(StateWork { changes, now, reply }, octets).await;
            wait_for_reply(receiver).await
        })
    }

    fn record(
        &self,
        space: &'static StateSpace,
        key: &str,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<StateRecord>, StateError>> {
        let key = key.to_owned();
        Box::pin(async move {
            let sql = "SELECT key, version, expires, value FROM record \
                       WHERE space = ? AND key = ? AND (expires IS NULL OR expires > ?)";
            let read = move |connection: &Connection| {
                let found = connection
                    .prepare_cached(sql)
                    .and_then(|mut s| s.query_row(params![space.name, key, SecondColumn(now)], record_of).optional());
                found.map_err(storage)?.map(to_record).transpose()
            };
            Ok(self.readers.read(read).await?)
        })
    }

    fn records(
        &self,
        space: &'static StateSpace,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<StateRecord>, StateError>> {
        let after = after.map(str::to_owned);
        Box::pin(async move {
            let sql = "SELECT key, version, expires, value FROM record WHERE space = ?1 AND (?2 IS NULL OR key > ?2) \
                       AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4";
            let read = move |connection: &Connection| {
                let rows = connection.prepare_cached(sql).and_then(|mut statement| {
                    let rows = statement
                        .query_map(params![space.name, after, SecondColumn(now), row_limit(limit)], record_of)?;
                    rows.collect::<rusqlite::Result<Vec<_>>>()
                });
                rows.map_err(storage)?.into_iter().map(to_record).collect()
            };
            Ok(self.readers.read(read).await?)
        })
    }

    fn entries(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        self.read_log(log, subject, "sequence < ?2", "DESC", before, limit)
    }

    fn entries_after(
        &self,
        log: &'static StateLog,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LogEntry>, StateError>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.read_log(log, subject, "sequence > ?2", "ASC", after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "ALTER TABLE counter ADD COLUMN more INTEGER;";
    const WRONG: &str = "CREATE TABLE more (value INTEGER) STRICT; CREATE TABLE counter (value INTEGER);";

    fn count(path: &Path, sql: &str) -> i64 {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn tables_are_upgraded_whole_or_not_at_all_after_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        drop(LocalState::open(folder.path()).unwrap());
        let path = folder.path().join(FILE);
        let mut connection = connect(&path).unwrap();
        connection.execute("INSERT INTO entry VALUES (1, 'audit', 'zoe', x'00')", []).unwrap();
        let backup = folder.path().join("state.sqlite.backup-v1");

        assert!(upgrade(&mut connection, &path, &[TABLES, WRONG]).is_err());
        assert_eq!(schema::version(&connection).unwrap(), 1, "the version after a failed upgrade");
        assert_eq!(count(&path, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"), 0);

        connection.execute("INSERT INTO entry VALUES (2, 'audit', 'ida', x'00')", []).unwrap();
        upgrade(&mut connection, &path, &[TABLES, NEXT]).unwrap();
        upgrade(&mut connection, &path, &[TABLES, NEXT]).unwrap();
        assert_eq!(schema::version(&connection).unwrap(), 2);
        assert_eq!(count(&path, "SELECT count(more) + count(*) FROM counter"), 1);
        assert_eq!(count(&backup, "SELECT count(*) FROM entry"), 2, "the backup lacks the latest entry");
        assert_eq!(count(&backup, "PRAGMA user_version"), 1);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

        drop(connection);
        assert!(
            matches!(LocalState::open(folder.path()), Err(StateError::Unavailable(_))),
            "tables of a later version were accepted"
        );
    }
}
