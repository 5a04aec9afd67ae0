//! Rows of the queue in a shard, inside the committer's transactions.

use jiff::Timestamp;
use provost_message::Envelope;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::bodies::{self, drop_reference};
use super::database::Database;
use super::fault::{damaged, storage};
use super::pack::BodyLocation;
use super::rows::{SecondColumn, number, optional_time, signed, time};
use crate::batch::REMEMBERED;
use crate::queue::{KeptEnvelope, by_destination, lease_end, unsettled};
use crate::time::earlier;
use crate::{
    AttemptOutcome, Claim, Destination, NewMessage, QueueId, QueueRow, QueueTally, QueuedRecipient, RowKey, StoreError,
    TakeLimits, TakenRow, UNSETTLED_MAX,
};

/// Maximum number of expired ids of finished messages that queuing one message deletes. One message adds one id, so the
/// table does not grow for ever.
const FORGET_ROWS: i64 = 20;
/// Number of takings without an outcome from which a row keeps its lease over a restart: see [`free_all`].
const SUSPECT_TAKINGS: u32 = 2;
/// Columns of [`read_row`], in its order.
const COLUMNS: &str = "no, message, destination, queued_at, due_at, attempts, set_aside, octets, envelope, lease_until";
/// Bits of a key that hold the row's number; those above hold the shard.
const NUMBER_BITS: u32 = 48;

impl RowKey {
    fn new(shard: u8, number: i64) -> Self {
        Self(u64::from(shard) << NUMBER_BITS | number.unsigned_abs())
    }

    /// Returns the shard of the row.
    pub(super) fn shard(self) -> usize {
        (self.0 >> NUMBER_BITS) as usize
    }

    fn number(self) -> i64 {
        signed(self.0 & ((1 << NUMBER_BITS) - 1))
    }
}

/// A new row.
pub(super) struct NewQueueRow<'a> {
    pub(super) id: QueueId,
    pub(super) destination: &'a str,
    pub(super) queued_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) set_aside: Option<&'a str>,
    pub(super) octets: u64,
    /// Number of the row's body; zero when the body is lost. The body's reference count already includes this row.
    pub(super) body: u64,
    pub(super) envelope: &'a [u8],
}

/// Releases the leases of earlier starts, whose workers are gone because this process holds the store's lock. A row
/// taken [`SUSPECT_TAKINGS`] times or more without an outcome waits for the end of its lease instead, so that a node
/// that is killed again and again does not bring innocent rows to [`UNSETTLED_MAX`] within a minute. Returns how many
/// rows are set aside.
pub(super) fn free_all(connection: &Connection) -> Result<u64, StoreError> {
    let free = "UPDATE outgoing SET lease_until = 0 WHERE lease_until <> 0 AND unsettled < ?";
    connection.execute(free, [SUSPECT_TAKINGS]).map_err(storage)?;
    let sql = "SELECT count(*) FROM outgoing WHERE set_aside IS NOT NULL";
    let count: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(storage)?;
    Ok(count.unsigned_abs())
}

/// Queues a message, with one row per destination; does nothing for a known message.
pub(super) fn enqueue(database: &mut Database, outgoing: &NewMessage) -> Result<(), StoreError> {
    let NewMessage { id, envelope, body, when } = outgoing;
    let forget = "DELETE FROM finished WHERE message IN (SELECT message FROM finished WHERE at <= ? LIMIT ?)";
    execute(&database.connection, forget, params![SecondColumn(earlier(*when, REMEMBERED)), FORGET_ROWS])?;
    if is_known(&database.connection, *id, *when)? {
        return Ok(());
    }
    for (destination, recipients) in by_destination(&envelope.recipients) {
        // One body row, with a reference for each queue row.
        let number = database.keep_body(body, None)?;
        let row = NewQueueRow {
            id: *id,
            destination: destination.as_str(),
            queued_at: *when,
            due_at: *when,
            attempts: 0,
            set_aside: None,
            octets: body.len() as u64,
            body: number,
            envelope: &KeptEnvelope::new(envelope, recipients).encode()?,
        };
        insert(database, &row)?;
    }
    Ok(())
}

/// Whether a message has rows, or had some within the time that finished ids are kept.
pub(super) fn is_known(connection: &Connection, id: QueueId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM outgoing WHERE message = ?1
        UNION ALL SELECT 1 FROM finished WHERE message = ?1 AND at > ?2";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let since = SecondColumn(earlier(now, REMEMBERED));
    statement.exists(params![id.as_bytes(), since]).map_err(storage)
}

pub(super) fn insert(database: &mut Database, row: &NewQueueRow<'_>) -> Result<(), StoreError> {
    database.arrived = true;
    let sql =
        "INSERT INTO outgoing (message, destination, queued_at, due_at, attempts, unsettled, lease_until, set_aside,
        octets, body, envelope) VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?)";
    let NewQueueRow { id, destination, queued_at, due_at, attempts, set_aside, octets, body, envelope } = row;
    let (id, octets, body) = (id.as_bytes(), signed(*octets), signed(*body));
    let (queued_at, due_at) = (SecondColumn(*queued_at), SecondColumn(*due_at));
    let values = params![id, destination, queued_at, due_at, attempts, set_aside, octets, body, envelope];
    execute(&database.connection, sql, values)
}

/// Records that a message has no row any more, so that its id is not queued again.
pub(super) fn finish(connection: &Connection, id: QueueId, at: Timestamp) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO finished (message, at) VALUES (?, ?)",
        params![id.as_bytes(), SecondColumn(at)],
    )
}

/// Returns when the longest due row that no worker holds became due; `None` when no such row is due.
pub(super) fn first_due(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT due_at FROM outgoing WHERE set_aside IS NULL AND due_at <= ?1 AND lease_until <= ?1
        ORDER BY due_at LIMIT 1";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    statement.query_row([SecondColumn(now)], |row| time(row, 0)).optional().map_err(storage)
}

/// Takes rows up to the limits of `take`; returns them and the limits that remain.
pub(super) fn take_due(
    database: &Database,
    shard: u8,
    mut take: TakeLimits,
) -> Result<(Vec<TakenRow>, TakeLimits), StoreError> {
    let mut taken = Vec::new();
    for (number, destination) in due(&database.connection, shard, &take)? {
        let sql = format!("SELECT {COLUMNS}, unsettled FROM outgoing WHERE no = ?");
        let mut statement = database.connection.prepare_cached(&sql).map_err(storage)?;
        let mut rows = statement.query([number]).map_err(storage)?;
        let Some(found) = rows.next().map_err(storage)? else { continue };
        // A count that cannot be read means a damaged row, so it is taken as too high.
        let (mut row, takings) = (read_row(found, shard)?, self::number(found, 10).unwrap_or(UNSETTLED_MAX));
        if takings >= UNSETTLED_MAX && row.set_aside.is_none() {
            row.set_aside = Some(unsettled(takings));
        }
        if let Some(why) = &row.set_aside {
            set_aside(&database.connection, &row, why)?;
            continue;
        }
        row.attempts = row.attempts.saturating_add(1);
        let sql = "UPDATE outgoing SET attempts = ?, unsettled = unsettled + 1, lease_until = ? WHERE no = ?";
        let until = lease_end(take.now, take.lease);
        row.held_until = Some(until);
        execute(&database.connection, sql, params![row.attempts, SecondColumn(until), number])?;
        take.count(&destination);
        let claim = Claim { key: row.key, id: row.id, attempt: row.attempts };
        taken.push(TakenRow { row, claim });
    }
    Ok((taken, take))
}

/// Returns numbers and destinations of the rows that can be taken, up to the limits.
fn due(connection: &Connection, shard: u8, take: &TakeLimits) -> Result<Vec<(i64, Destination)>, StoreError> {
    let sql = "SELECT no, destination FROM outgoing WHERE set_aside IS NULL AND due_at <= ?1 AND lease_until <= ?1
        ORDER BY due_at, message, destination";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([SecondColumn(take.now)]).map_err(storage)?;
    let (mut due, mut room) = (Vec::new(), take.clone());
    while room.rows_max > 0
        && let Some(row) = rows.next().map_err(storage)?
    {
        let (number, destination) = (row.get(0).map_err(storage)?, Destination::of_stored(&text(row, 1)?));
        if room.has_room_for(&destination) && !take.held_rows.contains(&RowKey::new(shard, number)) {
            room.count(&destination);
            due.push((number, destination));
        }
    }
    Ok(due)
}

fn set_aside(connection: &Connection, row: &QueueRow, why: &str) -> Result<(), StoreError> {
    metrics::counter!("provost_queue_set_aside_total").increment(1);
    tracing::error!(id = %row.id.get(), destination = row.destination.as_str(), why, "queue row set aside");
    let sql = "UPDATE outgoing SET set_aside = ?, lease_until = 0 WHERE no = ?";
    execute(connection, sql, params![why, row.key.number()])
}

/// Extends a lease to `until`, and never shortens it; false when the claim is no longer valid.
pub(super) fn renew(connection: &Connection, claim: Claim, until: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE outgoing SET lease_until = max(lease_until, ?) WHERE no = ? AND message = ? AND attempts = ?
        AND lease_until <> 0";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let values = params![SecondColumn(until), claim.key.number(), claim.id.as_bytes(), claim.attempt];
    Ok(statement.execute(values).map_err(storage)? == 1)
}

/// Returns the end of the lease of a claim, which may be past; `None` when the claim is no longer valid.
pub(super) fn held_until(connection: &Connection, claim: Claim) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT lease_until FROM outgoing WHERE no = ? AND message = ? AND attempts = ? AND lease_until <> 0";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let values = params![claim.key.number(), claim.id.as_bytes(), claim.attempt];
    statement.query_row(values, |row| time(row, 0)).optional().map_err(storage)
}

/// Ends a taking; false, without a change, when the claim is no longer valid.
pub(super) fn settle(
    database: &mut Database,
    claim: Claim,
    outcome: &AttemptOutcome,
    caused: &[NewMessage],
) -> Result<bool, StoreError> {
    if held_until(&database.connection, claim)?.is_none() {
        return Ok(false);
    }
    match outcome.recipients.is_empty() {
        true => remove(&database.connection, claim, outcome.now)?,
        false => put_back(&database.connection, claim, outcome)?,
    }
    for outgoing in caused {
        enqueue(database, outgoing)?;
    }
    Ok(true)
}

fn remove(connection: &Connection, claim: Claim, now: Timestamp) -> Result<(), StoreError> {
    let sql = "DELETE FROM outgoing WHERE no = ? RETURNING body, queued_at";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let (body, queued_at): (i64, Timestamp) =
        statement.query_row([claim.key.number()], |row| Ok((row.get(0)?, time(row, 1)?))).map_err(storage)?;
    // `drop_reference` returns false when the body is lost. The queue row is removed nevertheless.
    drop_reference(connection, body.unsigned_abs())?;
    let rest = "SELECT 1 FROM outgoing WHERE message = ?";
    let mut statement = connection.prepare_cached(rest).map_err(storage)?;
    match statement.exists([claim.id.as_bytes()]).map_err(storage)? {
        true => Ok(()),
        false => finish(connection, claim.id, now.max(queued_at)),
    }
}

fn put_back(connection: &Connection, claim: Claim, outcome: &AttemptOutcome) -> Result<(), StoreError> {
    let envelope = envelope_with(connection, claim, outcome.recipients.clone())?;
    let sql = "UPDATE outgoing SET due_at = ?, envelope = ?, lease_until = 0, unsettled = 0 WHERE no = ?";
    execute(connection, sql, params![SecondColumn(outcome.due_at), envelope, claim.key.number()])
}

/// Records the result of a part of an attempt; false, without a change, when the claim is no longer valid.
pub(super) fn advance(
    database: &mut Database,
    claim: Claim,
    remaining: Vec<QueuedRecipient>,
    held_until: Timestamp,
    caused: &[NewMessage],
) -> Result<bool, StoreError> {
    if self::held_until(&database.connection, claim)?.is_none() {
        return Ok(false);
    }
    let envelope = envelope_with(&database.connection, claim, remaining)?;
    let sql = "UPDATE outgoing SET envelope = ?, lease_until = max(lease_until, ?), unsettled = 0 WHERE no = ?";
    execute(&database.connection, sql, params![envelope, SecondColumn(held_until), claim.key.number()])?;
    for outgoing in caused {
        enqueue(database, outgoing)?;
    }
    Ok(true)
}

/// Encodes the envelope of a row with these recipients instead of its present ones.
fn envelope_with(
    connection: &Connection,
    claim: Claim,
    recipients: Vec<QueuedRecipient>,
) -> Result<Vec<u8>, StoreError> {
    let sql = "SELECT envelope FROM outgoing WHERE no = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let octets: Vec<u8> = statement.query_row([claim.key.number()], |row| row.get(0)).map_err(storage)?;
    let kept = KeptEnvelope::decode(&octets).map_err(|why| damaged(format!("queue row {}: {why}", claim.id.get())))?;
    KeptEnvelope { recipients, ..kept }.encode()
}

/// Returns at most `limit` rows, oldest first.
pub(super) fn list(connection: &Connection, shard: u8, limit: usize) -> Result<Vec<QueueRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM outgoing ORDER BY queued_at, message, destination LIMIT ?");
    let mut statement = connection.prepare_cached(&sql).map_err(storage)?;
    let mut rows = statement.query([signed(limit as u64)]).map_err(storage)?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        listed.push(read_row(row, shard)?);
    }
    Ok(listed)
}

/// Counts the rows by their state at `now`, without decoding them.
pub(super) fn tally(connection: &Connection, now: Timestamp) -> Result<QueueTally, StoreError> {
    let sql = "SELECT
        count(*) FILTER (WHERE set_aside IS NULL AND lease_until <= ?1 AND due_at > ?1),
        count(*) FILTER (WHERE set_aside IS NULL AND lease_until <= ?1 AND due_at <= ?1),
        count(*) FILTER (WHERE set_aside IS NULL AND lease_until > ?1),
        count(*) FILTER (WHERE set_aside IS NOT NULL),
        min(queued_at) FILTER (WHERE set_aside IS NULL)
        FROM outgoing";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let read = |row: &Row<'_>| {
        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(QueueTally {
            waiting: count(0)?,
            due: count(1)?,
            taken: count(2)?,
            set_aside: count(3)?,
            oldest: optional_time(row, 4)?,
        })
    };
    statement.query_row([SecondColumn(now)], read).map_err(storage)
}

/// Returns the earliest time after `after` at which a row becomes due or a lease ends; `None` when nothing will.
pub(super) fn next_due(connection: &Connection, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(at) FROM (
        SELECT min(due_at) AS at FROM outgoing WHERE set_aside IS NULL AND lease_until = 0 AND due_at > ?1
        UNION ALL SELECT min(lease_until) FROM outgoing WHERE set_aside IS NULL AND due_at <= ?1 AND lease_until > ?1)";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    statement.query_row([SecondColumn(after)], |row| optional_time(row, 0)).map_err(storage)
}

/// Returns where a row's body is stored. Gone when the row is gone, damaged when the body is missing.
pub(super) fn locate(connection: &Connection, key: RowKey, id: QueueId) -> Result<BodyLocation, StoreError> {
    let body = body(connection, key, id)?.ok_or(StoreError::Gone)?;
    bodies::locate(connection, body)?.ok_or_else(|| damaged(format!("no body {body} of a queue row")))
}

/// Returns the number of a row's body; `None` when there is no such row.
pub(super) fn body(connection: &Connection, key: RowKey, id: QueueId) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT body FROM outgoing WHERE no = ? AND message = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let values = params![key.number(), id.as_bytes()];
    let body: Option<i64> = statement.query_row(values, |row| row.get(0)).optional().map_err(storage)?;
    Ok(body.map(i64::unsigned_abs))
}

/// Reads a row. An unreadable one is returned as set aside, even when the database does not mark it so: an error here
/// would stop all other rows.
fn read_row(row: &Row<'_>, shard: u8) -> Result<QueueRow, StoreError> {
    let id = row.get_ref(1).map_err(storage)?.as_blob().ok().and_then(|octets| Uuid::from_slice(octets).ok());
    let (attempts, octets) = (number(row, 5).ok(), number(row, 7).ok());
    let set_aside: Option<String> =
        row.get(6).unwrap_or_else(|_| Some("unreadable: the reason why it was set aside".into()));
    let envelope = row.get_ref(8).map_err(storage)?.as_blob().unwrap_or_default();
    let (envelope, fault) = match KeptEnvelope::decode(envelope) {
        Ok(kept) => (kept, None),
        Err(why) => (KeptEnvelope::new(&Envelope::new(None, []), Vec::new()), Some(why)),
    };
    let faults = [(id.is_none(), "message id"), (attempts.is_none(), "attempts"), (octets.is_none(), "octets")];
    let fault = fault
        .or_else(|| faults.iter().find(|(is_faulty, _)| *is_faulty).map(|(_, column)| format!("unreadable: {column}")));
    Ok(QueueRow {
        key: RowKey::new(shard, row.get(0).map_err(storage)?),
        id: QueueId::new(id.unwrap_or_default()),
        destination: Destination::of_stored(&text(row, 2)?),
        reverse_path: envelope.reverse_path,
        recipients: envelope.recipients,
        eight_bit: envelope.eight_bit,
        envelope_id: envelope.envelope_id,
        ret: envelope.ret,
        attempts: attempts.unwrap_or_default(),
        queued_at: time(row, 3).map_err(storage)?,
        due_at: time(row, 4).map_err(storage)?,
        held_until: time(row, 9).ok().filter(|until| *until != Timestamp::UNIX_EPOCH),
        octets: octets.unwrap_or_default(),
        set_aside: set_aside.or(fault),
    })
}

/// Reads a text column; octets that are not UTF-8 are replaced.
fn text(row: &Row<'_>, column: usize) -> Result<String, StoreError> {
    let octets = row.get_ref(column).map_err(storage)?;
    Ok(octets.as_bytes().map(String::from_utf8_lossy).unwrap_or_default().into_owned())
}

fn execute(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
    let run = || connection.prepare_cached(sql)?.execute(params);
    run().map(drop).map_err(storage)
}
