//! The queue in SQLite: rows and bodies with their own committer, leases in memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use provost_message::Envelope;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::bodies::Destination;
use super::checkpoint::Checkpointer;
use super::committer::{Committer, Failure, Reply, Worker, answer};
use super::database::{self, Database};
use super::pack::{PACK_OCTETS_MAX, PackReader, Place};
use super::reader::Readers;
use super::schema::{self, storage};
use super::{damaged, unavailable};
use crate::batch::REMEMBERED_SECONDS;
use crate::{QueueId, QueueItem, StoreError};

/// Who is being worked on, until when (seconds since 1970). A restart frees all.
type Leased = Arc<Mutex<HashMap<QueueId, i64>>>;

/// Keys of finished items that each new one makes forget, when they are old enough.
const FORGET_ROWS: i64 = 20;

enum Change {
    Enqueue(QueueItem, Bytes),
    Settle(QueueItem),
}

struct Job {
    change: Change,
    reply: Reply<(), StoreError>,
}

/// See the module.
pub(super) struct LocalQueue {
    committer: Committer<Job>,
    readers: Readers,
    packs: Arc<PackReader>,
    leased: Leased,
}

impl LocalQueue {
    pub(super) fn open(store: &Path, checkpointer: &Checkpointer) -> Result<Self, StoreError> {
        let folder = store.join("queue");
        let database = Database::open(&folder, &schema::QUEUE, PACK_OCTETS_MAX, checkpointer)?;
        let committer = Committer::start("commit-queue".into(), Writer { database }).map_err(unavailable)?;
        let packs = Arc::new(PackReader::new(&folder));
        let readers = Readers::new(database::path(&folder));
        Ok(Self { committer, readers, packs, leased: Leased::default() })
    }

    pub(super) async fn enqueue(
        &self,
        id: QueueId,
        envelope: Envelope,
        body: Bytes,
        now: i64,
    ) -> Result<(), StoreError> {
        let octets = body.len();
        let item = QueueItem::new(id, envelope, octets as u64, now);
        self.change(Change::Enqueue(item, body), octets).await
    }

    pub(super) async fn settle(&self, item: QueueItem) -> Result<(), StoreError> {
        let id = item.id;
        self.change(Change::Settle(item), 0).await?;
        self.leased.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    async fn change(&self, change: Change, octets: usize) -> Result<(), StoreError> {
        let (reply, receiver) = Reply::new();
        self.committer.send(Job { change, reply }, octets).await;
        answer(receiver).await
    }

    pub(super) async fn take_due(
        &self,
        now: i64,
        most: usize,
        lease_seconds: i64,
    ) -> Result<Vec<QueueItem>, StoreError> {
        let leased = Arc::clone(&self.leased);
        let take = move |connection: &Connection| {
            // Held over the query: an item that is settled in between would come out as it was before.
            let mut leased = leased.lock().unwrap_or_else(PoisonError::into_inner);
            leased.retain(|_, until| *until > now);
            let sql = "SELECT item FROM item WHERE due_at <= ? ORDER BY due_at, id";
            let free = select(connection, sql, [now], most, |item| !leased.contains_key(&item.id))?;
            leased.extend(free.iter().map(|item| (item.id, now.saturating_add(lease_seconds))));
            Ok(free)
        };
        // The view of a reader is taken at its first query, so the lock has to be inside.
        self.readers.read(take).await
    }

    pub(super) async fn list(&self, most: usize) -> Result<Vec<QueueItem>, StoreError> {
        let sql = "SELECT item FROM item ORDER BY queued_at, id";
        self.readers.read(move |connection| select(connection, sql, [], most, |_| true)).await
    }

    pub(super) async fn next_due(&self) -> Result<Option<i64>, StoreError> {
        let leased = Arc::clone(&self.leased);
        let read = move |connection: &Connection| {
            let leased = leased.lock().unwrap_or_else(PoisonError::into_inner);
            let sql = "SELECT item FROM item ORDER BY due_at, id";
            let first = select(connection, sql, [], 1, |item| !leased.contains_key(&item.id))?;
            Ok(first.first().map(|item| item.due_at))
        };
        self.readers.read(read).await
    }

    pub(super) async fn body(&self, id: QueueId) -> Result<Bytes, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT pack, at, octets FROM item WHERE id = ?").map_err(storage)?;
            statement.query_row([id.0.as_bytes()], place).optional().map_err(storage)?.ok_or(StoreError::Gone)
        };
        let packs = Arc::clone(&self.packs);
        self.readers.read_body(read, move |place| packs.read(place, None)).await
    }
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let (at, octets): (i64, i64) = (row.get(1)?, row.get(2)?);
    // A negative number is beyond the end of any pack: the reader tells the damage.
    Ok(Place { pack: row.get(0)?, at: at as u64, octets: octets as u64 })
}

/// Up to `most` sound items that pass, in the order of the query.
fn select(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    most: usize,
    passes: impl Fn(&QueueItem) -> bool,
) -> Result<Vec<QueueItem>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query(params).map_err(storage)?;
    let mut items = Vec::new();
    while items.len() < most
        && let Some(row) = rows.next().map_err(storage)?
    {
        let item =
            row.get_ref(0).map_err(storage)?.as_blob().ok().and_then(|row| postcard::from_bytes::<QueueItem>(row).ok());
        match item {
            Some(item) if passes(&item) => items.push(item),
            Some(_) => (),
            // Told and passed over: one bad row must not stop all other mail.
            None => drop(damaged("a queue item")),
        }
    }
    Ok(items)
}

/// The committer's side.
struct Writer {
    database: Database,
}

impl Worker for Writer {
    type Job = Job;

    fn commit(&mut self, mut group: Vec<Job>, _octets: usize) {
        match self.commit_group(&mut group) {
            Ok(()) => {
                metrics::counter!("store_commits_total").increment(1);
                group.into_iter().for_each(|job| job.reply.send(Ok(())));
                self.database.committed();
            }
            Err(failure) => {
                tracing::error!(?failure, jobs = group.len(), "queue changes not committed");
                self.database.roll_back();
                group.into_iter().for_each(|job| job.reply.send(Err(failure.clone().into())));
            }
        }
    }

    fn idle(&mut self) {
        self.database.idle();
    }
}

impl Writer {
    fn commit_group(&mut self, group: &mut [Job]) -> Result<(), Failure> {
        self.database.begin(Destination::Pack)?;
        for job in group.iter() {
            self.write(&job.change).map_err(|error| Failure::NotDone(error.to_string()))?;
        }
        group.iter_mut().for_each(|job| job.reply.doubt());
        self.database.commit()
    }

    fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Enqueue(item, body) => self.enqueue(item, body),
            Change::Settle(item) if item.recipients.is_empty() => self.finish(item),
            Change::Settle(item) => self.put_back(item),
        }
    }

    fn enqueue(&mut self, item: &QueueItem, body: &Bytes) -> Result<(), StoreError> {
        let sql = "DELETE FROM finished WHERE id IN (SELECT id FROM finished WHERE at < ? LIMIT ?)";
        self.execute(sql, [item.queued_at.saturating_sub(REMEMBERED_SECONDS), FORGET_ROWS])?;
        if self.known(item.id)? {
            return Ok(());
        }
        let place = self.database.pack.place(body).map_err(unavailable)?;
        let row = postcard::to_stdvec(item).map_err(unavailable)?;
        let (at, octets) = (place.at as i64, place.octets as i64);
        self.execute(
            "INSERT INTO item (id, queued_at, due_at, item, octets, pack, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![item.id.0.as_bytes(), item.queued_at, item.due_at, row, octets, place.pack, at],
        )
    }

    fn known(&self, id: QueueId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM item WHERE id = ?1 UNION ALL SELECT 1 FROM finished WHERE id = ?1";
        let mut statement = self.database.connection.prepare_cached(sql).map_err(storage)?;
        statement.exists([id.0.as_bytes()]).map_err(storage)
    }

    fn finish(&mut self, item: &QueueItem) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO finished (id, at) SELECT id, max(?, queued_at) FROM item WHERE id = ?";
        self.execute(sql, params![item.due_at, item.id.0.as_bytes()])?;
        self.execute("DELETE FROM item WHERE id = ?", [item.id.0.as_bytes()])
    }

    fn put_back(&mut self, item: &QueueItem) -> Result<(), StoreError> {
        let Some(mut kept) = self.item(item.id)? else { return Ok(()) };
        kept.recipients.clone_from(&item.recipients);
        kept.due_at = item.due_at;
        let row = postcard::to_stdvec(&kept).map_err(unavailable)?;
        let sql = "UPDATE item SET due_at = ?, item = ? WHERE id = ?";
        self.execute(sql, params![item.due_at, row, item.id.0.as_bytes()])
    }

    fn item(&self, id: QueueId) -> Result<Option<QueueItem>, StoreError> {
        let key: Uuid = id.0;
        let sql = "SELECT item FROM item WHERE id = ?";
        Ok(select(&self.database.connection, sql, [key.as_bytes()], 1, |_| true)?.pop())
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let run = || self.database.connection.prepare_cached(sql)?.execute(params);
        run().map(drop).map_err(storage)
    }
}
