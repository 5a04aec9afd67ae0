//! Moves the queue of a format 1 store, `FOLDER/queue` with its own database and packs, into the shards.
//!
//! Messages keep their ids, times and errors, with one row per destination. Format 1 counted attempts per recipient:
//! each row gets the largest count of its message. Finished ids stay finished. A message whose id a shard already has,
//! queued or finished, is skipped, so that the move can be repeated after a crash. An unreadable row is set aside with
//! its octets.

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Envelope, Recipient};
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use uuid::Uuid;

use super::super::bodies::BodyDestination;
use super::super::committer::CommitFailure;
use super::super::database::{self, Database};
use super::super::fault::{storage, unavailable};
use super::super::pack::{PackPosition, PackReader};
use super::super::queue_rows::{self, NewQueueRow};
use super::super::rows::time;
use super::super::schema;
use super::super::shard_index;
use crate::queue::{KeptEnvelope, by_destination};
use crate::{QueueId, StoreError};

/// The version of the old layout, put before the octets of an unreadable old row: rows of today begin with a version.
const OLD_LAYOUT: u8 = 1;

/// The column `item` as format 1 wrote it. Fields with an underscore are read from columns instead.
#[derive(Deserialize)]
struct OldItem {
    _id: Uuid,
    reverse_path: Option<provost_message::Path>,
    recipients: Vec<OldRecipient>,
    eight_bit: bool,
    _queued_at: i64,
    _due_at: i64,
    _octets: u64,
}

#[derive(Deserialize)]
struct OldRecipient {
    path: provost_message::Path,
    attempts: u32,
    last_error: Option<String>,
}

/// The columns of an old row.
struct OldRow {
    queued_at: Timestamp,
    due_at: Timestamp,
    item: Vec<u8>,
    place: PackPosition,
}

/// Moves the queue into the shards and removes its folder. Does nothing without the folder.
pub(in super::super) fn move_into(store: &Path, shards: &mut [Database]) -> Result<(), StoreError> {
    let folder = store.join("queue");
    let path = database::path(&folder);
    if path.exists() {
        let old = schema::connect_to_read(&path)?;
        move_finished(&old, shards)?;
        move_items(&old, &PackReader::new(&folder), shards)?;
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unavailable(error)),
        _ => Ok(()),
    }
}

/// Moves one message per transaction, so that memory holds only one body.
fn move_items(old: &Connection, packs: &PackReader, shards: &mut [Database]) -> Result<(), StoreError> {
    let mut statement = old.prepare("SELECT id FROM item ORDER BY queued_at, id").map_err(storage)?;
    let ids = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).map_err(storage)?;
    for id in ids {
        let id = QueueId::new(Uuid::from_bytes(id.map_err(storage)?));
        let Some(row) = row(old, id)? else { continue };
        let body = match packs.read(row.place, None) {
            Ok(body) => Some(body),
            // A damaged body does not stop the move: its row moves without it, and ends in a bounce.
            Err(StoreError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(shard) = shards.get_mut(shard_index(id.get(), shards.len())) {
            in_transaction(shard, |shard| insert(shard, id, &row, body.as_ref()))?;
        }
    }
    Ok(())
}

fn row(old: &Connection, id: QueueId) -> Result<Option<OldRow>, StoreError> {
    let sql = "SELECT queued_at, due_at, item, pack, at, octets FROM item WHERE id = ?";
    let mut statement = old.prepare_cached(sql).map_err(storage)?;
    let read = |row: &rusqlite::Row<'_>| {
        let (at, octets): (i64, i64) = (row.get(4)?, row.get(5)?);
        let place = PackPosition { pack: row.get(3)?, at: at.unsigned_abs(), octets: octets.unsigned_abs() };
        Ok(OldRow { queued_at: time(row, 0)?, due_at: time(row, 1)?, item: row.get(2)?, place })
    };
    statement.query_row([id.get().as_bytes()], read).optional().map_err(storage)
}

fn insert(shard: &mut Database, id: QueueId, old: &OldRow, body: Option<&Bytes>) -> Result<(), StoreError> {
    if queue_rows::is_known(&shard.connection, id, old.queued_at)? {
        return Ok(());
    }
    let Ok(item) = postcard::from_bytes::<OldItem>(&old.item) else {
        let envelope = [&[OLD_LAYOUT][..], &old.item].concat();
        let why = Some("unreadable: written in layout 1");
        return insert_row(shard, id, old, NewQueueRow { set_aside: why, envelope: &envelope, ..empty() }, body);
    };
    let recipients: Vec<Recipient> = item.recipients.iter().map(|old| old.path.clone().into()).collect();
    let attempts = item.recipients.iter().map(|old| old.attempts).max().unwrap_or_default();
    let envelope = Envelope { eight_bit: item.eight_bit, ..Envelope::new(item.reverse_path, []) };
    for (destination, mut recipients) in by_destination(&recipients) {
        for recipient in &mut recipients {
            let old = item.recipients.iter().find(|old| old.path == recipient.recipient.path);
            recipient.last_error = old.and_then(|old| old.last_error.clone());
        }
        let kept = KeptEnvelope::new(&envelope, recipients).encode()?;
        let row = NewQueueRow { destination: destination.as_str(), attempts, envelope: &kept, ..empty() };
        insert_row(shard, id, old, row, body)?;
    }
    Ok(())
}

/// Returns a row without values; the callers replace those that they have.
fn empty<'a>() -> NewQueueRow<'a> {
    NewQueueRow {
        id: QueueId::new(Uuid::nil()),
        destination: "",
        queued_at: Timestamp::UNIX_EPOCH,
        due_at: Timestamp::UNIX_EPOCH,
        attempts: 0,
        set_aside: None,
        octets: 0,
        body: 0,
        envelope: &[],
    }
}

/// Inserts a row with the values that all rows of a message share.
fn insert_row(
    shard: &mut Database,
    id: QueueId,
    old: &OldRow,
    row: NewQueueRow<'_>,
    body: Option<&Bytes>,
) -> Result<(), StoreError> {
    let body = body.map_or(Ok(0), |body| shard.keep_body(body, None))?;
    let (queued_at, due_at, octets) = (old.queued_at, old.due_at, old.place.octets);
    queue_rows::insert(shard, &NewQueueRow { id, queued_at, due_at, octets, body, ..row })
}

fn move_finished(old: &Connection, shards: &mut [Database]) -> Result<(), StoreError> {
    let mut statement = old.prepare("SELECT id, at FROM finished").map_err(storage)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, time(row, 1)?)));
    let rows: Vec<([u8; 16], Timestamp)> = rows.and_then(Iterator::collect).map_err(storage)?;
    let count = shards.len();
    for (number, shard) in shards.iter_mut().enumerate() {
        let own = rows.iter().map(|(id, at)| (QueueId::new(Uuid::from_bytes(*id)), *at));
        let own = own.filter(|(id, _)| shard_index(id.get(), count) == number);
        in_transaction(shard, |shard| {
            let mut own = own;
            own.try_for_each(|(id, at)| queue_rows::finish(&shard.connection, id, at))
        })?;
    }
    Ok(())
}

fn in_transaction(
    shard: &mut Database,
    change: impl FnOnce(&mut Database) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failed = |failure: CommitFailure| StoreError::from(failure);
    shard.begin(BodyDestination::Pack).map_err(failed)?;
    match change(shard) {
        Ok(()) => shard.record_pack().and_then(|()| shard.commit()).map_err(failed),
        Err(error) => {
            shard.roll_back();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::params;

    use super::super::super::checkpoint::Checkpointer;
    use super::super::super::schema::SchemaTables;
    use super::*;
    use crate::time::from_seconds as at;
    use crate::{QueueRow, TakeLimits};

    /// The tables of the queue in format 1.
    const OLD: SchemaTables = SchemaTables {
        version: 1,
        sql: &["
CREATE TABLE item (id BLOB NOT NULL PRIMARY KEY, queued_at INTEGER NOT NULL, due_at INTEGER NOT NULL, item BLOB NOT NULL,
  octets INTEGER NOT NULL, pack INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE finished (id BLOB NOT NULL PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE start (epoch INTEGER NOT NULL) STRICT;
INSERT INTO start VALUES (0);
"],
        lists_packs: false,
    };
    const SHARDS: usize = 2;
    const PACK_OCTETS: u64 = 1024 * 1024;

    fn old_item(number: u128, to: &[&str]) -> Vec<u8> {
        let recipients: Vec<_> = to.iter().map(|to| (to, 3_u32, Some("451 busy"))).collect();
        postcard::to_stdvec(&(Uuid::from_u128(number), Some("s@x.example"), recipients, true, 100_i64, 700_i64, 9_u64))
            .unwrap()
    }

    /// A queue of format 1: messages 1 and 2, row 3 that is unreadable, message 4 whose body is lost, and the finished
    /// id 9.
    fn old_queue(store: &Path, checkpointer: &Checkpointer) {
        let mut old = Database::open(&store.join("queue"), &OLD, PACK_OCTETS, checkpointer).unwrap();
        old.begin(BodyDestination::Pack).unwrap();
        let items = [
            (1, old_item(1, &["a@x.example", "b@y.example", "c@X.example"])),
            (2, old_item(2, &["d@x.example"])),
            (3, b"no item".to_vec()),
            (4, old_item(4, &["e@z.example"])),
        ];
        for (number, item) in items {
            let place = old.pack.place(&Bytes::from(format!("message {number}"))).unwrap();
            let at = if number == 4 { 1_000_000 } else { place.at as i64 };
            let sql = "INSERT INTO item VALUES (?, 100, 700, ?, 9, ?, ?)";
            old.connection.execute(sql, params![Uuid::from_u128(number).as_bytes(), item, place.pack, at]).unwrap();
        }
        old.connection.execute("INSERT INTO finished VALUES (?, 50)", [Uuid::from_u128(9).as_bytes()]).unwrap();
        old.commit().unwrap();
    }

    fn shards(store: &Path, checkpointer: &Checkpointer) -> Vec<Database> {
        let open =
            |number| Database::open(&store.join(format!("shard-0{number}")), &schema::SHARD, PACK_OCTETS, checkpointer);
        (0..SHARDS).map(open).collect::<Result<_, _>>().unwrap()
    }

    fn rows(shards: &[Database]) -> Vec<QueueRow> {
        let list = |shard: &Database| queue_rows::list(&shard.connection, 0, 100).unwrap();
        let mut rows: Vec<QueueRow> = shards.iter().flat_map(list).collect();
        rows.sort_by(|a, b| (a.id, &a.destination).cmp(&(b.id, &b.destination)));
        rows
    }

    #[test]
    fn the_queue_moves_with_all_that_is_in_it() {
        let (folder, checkpointer) = (tempfile::tempdir().unwrap(), Checkpointer::start().unwrap());
        old_queue(folder.path(), &checkpointer);
        let mut shards = shards(folder.path(), &checkpointer);
        move_into(folder.path(), &mut shards).unwrap();
        let rows = rows(&shards);
        let summary: Vec<String> = rows
            .iter()
            .map(|row| {
                let paths: Vec<&str> = row.recipients.iter().map(|one| one.recipient.path.local()).collect();
                format!("{} {} {} {}", row.id.get().as_u128(), row.destination.as_str(), paths.join(","), row.attempts)
            })
            .collect();
        assert_eq!(summary, ["1 x.example a,c 3", "1 y.example b 3", "2 x.example d 3", "3   0", "4 z.example e 3"]);
        assert_eq!((rows[0].queued_at, rows[0].due_at, rows[0].octets, rows[0].eight_bit), (at(100), at(700), 9, true));
        assert_eq!(rows[0].recipients[1].last_error.as_deref(), Some("451 busy"));
        assert!(rows[3].set_aside.as_deref().unwrap().contains("layout 1"));
        // The rows of a message share a body. Message 4 has none, because its body was lost.
        let expected = [Some(2), Some(2), Some(1), Some(1), None];
        for (row, expected) in rows.iter().zip(expected) {
            let shard = &shards[shard_index(row.id.get(), SHARDS)];
            let body = queue_rows::body(&shard.connection, row.key, row.id).unwrap().unwrap();
            let refs: Option<i64> = shard
                .connection
                .query_row("SELECT refs FROM body WHERE id = ?", [body as i64], |row| row.get(0))
                .optional()
                .unwrap();
            assert_eq!(refs, expected, "{}", row.id.get().as_u128());
        }
        let finished_id = QueueId::new(Uuid::from_u128(9));
        let shard = &shards[shard_index(finished_id.get(), SHARDS)];
        assert!(queue_rows::is_known(&shard.connection, finished_id, at(100)).unwrap());
        assert!(!folder.path().join("queue").exists());
    }

    #[test]
    fn a_body_that_cannot_be_read_now_stops_the_move() {
        let (folder, checkpointer) = (tempfile::tempdir().unwrap(), Checkpointer::start().unwrap());
        old_queue(folder.path(), &checkpointer);
        let mut shards = shards(folder.path(), &checkpointer);
        let (pack, aside) = (folder.path().join("queue/pack-00000001"), folder.path().join("aside"));
        std::fs::rename(&pack, &aside).unwrap();
        std::os::unix::fs::symlink(&pack, &pack).unwrap();
        assert!(matches!(move_into(folder.path(), &mut shards), Err(StoreError::Unavailable(_))));
        std::fs::remove_file(&pack).unwrap();
        std::fs::rename(&aside, &pack).unwrap();
        move_into(folder.path(), &mut shards).unwrap();
        let bodies = |shard: &Database| -> i64 {
            shard.connection.query_row("SELECT count(*) FROM body", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(shards.iter().map(bodies).sum::<i64>(), 3, "bodies of messages 1 to 3");
    }

    /// A crash before the old folder was removed: the move is repeated after some messages were sent.
    #[test]
    fn a_repeated_move_adds_nothing() {
        let (folder, checkpointer) = (tempfile::tempdir().unwrap(), Checkpointer::start().unwrap());
        old_queue(folder.path(), &checkpointer);
        let mut shards = shards(folder.path(), &checkpointer);
        move_into(folder.path(), &mut shards).unwrap();
        let before = rows(&shards);
        let sent_id = QueueId::new(Uuid::from_u128(2));
        let shard = &mut shards[shard_index(sent_id.get(), SHARDS)];
        in_transaction(shard, |shard| {
            let (taken, _) = queue_rows::take_due(shard, 0, TakeLimits::any(at(1_000), 100, Duration::from_secs(60)))?;
            let taken = taken.into_iter().find(|taken| taken.row.id == sent_id).unwrap();
            let left = crate::AttemptOutcome { recipients: Vec::new(), due_at: at(0), now: at(1_000) };
            assert!(queue_rows::settle(shard, taken.claim, &left, &[])?);
            Ok(())
        })
        .unwrap();
        old_queue(folder.path(), &checkpointer);
        move_into(folder.path(), &mut shards).unwrap();
        let ids = |rows: &[QueueRow]| rows.iter().map(|row| row.id.get().as_u128()).collect::<Vec<_>>();
        assert_eq!((ids(&before), ids(&rows(&shards))), (vec![1, 1, 2, 3, 4], vec![1, 1, 3, 4]));
    }
}
