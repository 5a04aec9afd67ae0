//! One shard of accounts: its committer and its readers.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::checkpoint::Checkpointer;
use super::committer::{Committer, Failure, Reply, Worker, answer};
use super::ledger::{Ledger, database};
use super::pack::PackReader;
use super::reader::Readers;
use super::rows::{self, AccountNo, LocalRows};
use super::schema::{self, storage};
use super::{damaged, unavailable};
use crate::account::Account;
use crate::batch::REMEMBERED_SECONDS;
use crate::interpret;
use crate::notices::Notices;
use crate::{
    AccountId, Applied, ApplyError, Batch, BatchId, BlobRef, Changes, MailboxId, Modseq, Op, Snapshot, StoreError,
};

/// Mailboxes of recently changed accounts that a committer holds in memory: about 1 MiB.
const MAILBOXES_HELD: usize = 4_096;
/// Logins that wait to be written; one of a person who is not among them is lost beyond that.
const LOGINS_WAITING_MAX: usize = 16_384;
/// Logins are written this often at most.
const LOGINS_EVERY: Duration = Duration::from_secs(5);
/// Old batch ids are looked for this often, in steps of [`PRUNE_ROWS`].
const PRUNE_EVERY: Duration = Duration::from_secs(20);
/// A week's million of batches is walked through in half a day, each step taking about a millisecond.
const PRUNE_ROWS: i64 = 500;

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDone(why) => Self::Unavailable(why),
            Failure::Unknown => Self::Unknown,
        }
    }
}

/// Last logins that are not written yet.
type Logins = Arc<Mutex<HashMap<(AccountId, &'static str), i64>>>;

struct Job {
    batch: Batch,
    reply: Reply<Applied, ApplyError>,
}

/// See the module.
pub(super) struct Shard {
    number: u8,
    committer: Committer<Job>,
    readers: Readers,
    packs: Arc<PackReader>,
    logins: Logins,
}

impl Shard {
    pub(super) fn open(
        store: &Path,
        number: u8,
        notices: &Arc<Notices>,
        checkpointer: &Checkpointer,
    ) -> Result<Self, StoreError> {
        let folder = store.join(format!("shard-{number:02}"));
        let logins = Logins::default();
        let ledger = Ledger::open(&folder, schema::SHARD, checkpointer)?;
        let writer = Writer::new(number, ledger, Arc::clone(notices), Arc::clone(&logins));
        let committer = Committer::start(format!("commit-{number:02}"), writer).map_err(unavailable)?;
        let packs = Arc::new(PackReader::new(&folder));
        Ok(Self { number, committer, readers: Readers::new(database(&folder)), packs, logins })
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<Applied, ApplyError> {
        let octets = batch.ops.iter().map(|op| if let Op::Append { body, .. } = op { body.len() } else { 0 }).sum();
        let (reply, receiver) = Reply::new();
        self.committer.send(Job { batch, reply }, octets).await;
        answer(receiver).await
    }

    /// `None` when the account was never written.
    pub(super) async fn snapshot(&self, account: AccountId) -> Result<Option<Snapshot>, StoreError> {
        let waiting = self.logins_waiting(account);
        let read = move |connection: &rusqlite::Connection| {
            let Some((_, loaded)) = rows::load(connection, account)? else { return Ok(None) };
            let mut statement = connection
                .prepare_cached("SELECT protocol, at FROM login WHERE uuid = ? ORDER BY protocol")
                .map_err(storage)?;
            let logins = statement.query_map([account.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
            let mut logins: Vec<(String, i64)> = logins.and_then(Iterator::collect).map_err(storage)?;
            logins.retain(|(protocol, _)| waiting.iter().all(|(newer, _)| newer != protocol));
            logins.extend(waiting);
            logins.sort();
            Ok(Some(loaded.snapshot(logins)))
        };
        self.readers.read(read).await
    }

    pub(super) async fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        after: Modseq,
    ) -> Result<Changes, StoreError> {
        let number = self.number;
        self.readers.read(move |connection| rows::changes(connection, number, account, mailbox, after)).await
    }

    pub(super) async fn body(&self, blob: BlobRef, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let place = rows::place(self.number, &blob).ok_or(StoreError::Gone)?;
        let packs = Arc::clone(&self.packs);
        self.readers.read_body(move || packs.read(place, range)).await
    }

    pub(super) fn note_login(&self, account: AccountId, protocol: &'static str, now: i64) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() < LOGINS_WAITING_MAX || logins.contains_key(&(account, protocol)) {
            logins.insert((account, protocol), now);
        }
    }

    fn logins_waiting(&self, account: AccountId) -> Vec<(String, i64)> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.is_empty() {
            return Vec::new();
        }
        let own = logins.iter().filter(|((who, _), _)| *who == account);
        own.map(|((_, protocol), at)| ((*protocol).to_owned(), *at)).collect()
    }
}

/// The committer's side.
struct Writer {
    number: u8,
    ledger: Ledger,
    /// Accounts as they are after the batches so far. Dropped when a batch or a group is taken back.
    held: HashMap<AccountId, (AccountNo, Account)>,
    mailboxes_held: usize,
    notices: Arc<Notices>,
    logins: Logins,
    logins_written: Instant,
    pruned: Instant,
    /// Where the walk through old batch ids stands.
    prune_after: (i64, Vec<u8>),
    /// The latest `now` of a batch, seconds since 1970: the clock of the pruning.
    latest: i64,
}

impl Worker for Writer {
    type Job = Job;

    fn commit(&mut self, mut group: Vec<Job>) {
        metrics::counter!("store_batches_total").increment(group.len() as u64);
        metrics::histogram!("store_group_size").record(group.len() as f64);
        match self.commit_group(&mut group) {
            Ok(results) => {
                metrics::counter!("store_commits_total").increment(1);
                for (job, result) in group.into_iter().zip(results) {
                    if let Ok(applied) = &result {
                        self.notices.tell(job.batch.account, applied.modseq);
                    }
                    job.reply.send(result);
                }
                self.ledger.committed();
            }
            Err(failure) => {
                tracing::error!(?failure, jobs = group.len(), "group not committed");
                self.ledger.roll_back();
                self.forget_all();
                group.into_iter().for_each(|job| job.reply.send(Err(failure.clone().into())));
            }
        }
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.prune();
        }
    }

    fn idle(&mut self) {
        if !self.logins_waiting().is_empty() {
            let written = self.ledger.begin().and_then(|()| self.write_logins()).and_then(|()| self.ledger.commit());
            if let Err(failure) = written {
                tracing::warn!(?failure, "last logins not written");
                self.ledger.roll_back();
            }
        }
        self.ledger.idle();
    }
}

impl Writer {
    fn new(number: u8, ledger: Ledger, notices: Arc<Notices>, logins: Logins) -> Self {
        Self {
            number,
            ledger,
            held: HashMap::new(),
            mailboxes_held: 0,
            notices,
            logins,
            logins_written: Instant::now(),
            pruned: Instant::now(),
            prune_after: (0, Vec::new()),
            latest: 0,
        }
    }

    fn commit_group(&mut self, group: &mut [Job]) -> Result<Vec<Result<Applied, ApplyError>>, Failure> {
        self.ledger.begin()?;
        let mut results = Vec::with_capacity(group.len());
        for job in group.iter() {
            results.push(self.apply(&job.batch));
            if !self.ledger.in_transaction() {
                return Err(Failure::NotDone("the database took the transaction back".into()));
            }
        }
        if self.logins_written.elapsed() >= LOGINS_EVERY {
            self.write_logins()?;
        }
        group.iter_mut().for_each(|job| job.reply.doubt());
        self.ledger.commit()?;
        Ok(results)
    }

    /// One batch within the transaction, whole or not at all.
    fn apply(&mut self, batch: &Batch) -> Result<Applied, ApplyError> {
        self.latest = self.latest.max(batch.now);
        self.ledger.run("SAVEPOINT one").map_err(storage)?;
        let mark = self.ledger.pack.mark();
        let applied = self.apply_inside(batch);
        if applied.is_err() {
            self.ledger.pack.take_back(mark);
            self.forget(batch.account);
            self.ledger.run("ROLLBACK TO one").map_err(storage)?;
        }
        self.ledger.run("RELEASE one").map_err(storage)?;
        applied
    }

    fn apply_inside(&mut self, batch: &Batch) -> Result<Applied, ApplyError> {
        let held = match self.take(batch.account) {
            Some(held) => Some(held),
            None => rows::load(&self.ledger.connection, batch.account)?,
        };
        let (no, account) = match held {
            Some((no, account)) => (no, Some(account)),
            None => (rows::insert_account(&self.ledger.connection, batch.account).map_err(storage)?, None),
        };
        if let (Some(id), Some(_)) = (batch.id, &account)
            && let Some(applied) = self.replay(no, id)?
        {
            account.into_iter().for_each(|account| self.hold(batch.account, no, account));
            return Ok(applied);
        }
        let (connection, pack) = (&self.ledger.connection, &mut self.ledger.pack);
        let mut rows = LocalRows { connection, pack, shard: self.number, no };
        let (mut account, applied) = interpret::apply(account, &mut rows, batch)?;
        rows::save(&self.ledger.connection, no, &mut account).map_err(storage)?;
        if let Some(id) = batch.id {
            self.remember(no, id, batch.now, &applied)?;
        }
        self.hold(batch.account, no, account);
        Ok(applied)
    }

    /// What a batch id has done already.
    fn replay(&self, no: AccountNo, id: BatchId) -> Result<Option<Applied>, ApplyError> {
        let sql = "SELECT applied FROM batch WHERE account = ? AND id = ?";
        let mut statement = self.ledger.connection.prepare_cached(sql).map_err(storage)?;
        let row: Option<Vec<u8>> =
            statement.query_row(params![no.0, id.0.as_bytes()], |row| row.get(0)).optional().map_err(storage)?;
        let read = |row: Vec<u8>| postcard::from_bytes(&row).map_err(|_| damaged("effect of a batch").into());
        row.map(read).transpose()
    }

    fn remember(&self, no: AccountNo, id: BatchId, now: i64, applied: &Applied) -> Result<(), ApplyError> {
        let row = postcard::to_stdvec(applied).map_err(unavailable)?;
        let sql = "INSERT INTO batch (account, id, at, applied) VALUES (?, ?, ?, ?)";
        let mut statement = self.ledger.connection.prepare_cached(sql).map_err(storage)?;
        statement.execute(params![no.0, id.0.as_bytes(), now, row]).map_err(storage)?;
        Ok(())
    }

    fn take(&mut self, id: AccountId) -> Option<(AccountNo, Account)> {
        let held = self.held.remove(&id)?;
        self.mailboxes_held = self.mailboxes_held.saturating_sub(held.1.mailboxes.len());
        Some(held)
    }

    fn hold(&mut self, id: AccountId, no: AccountNo, account: Account) {
        while self.mailboxes_held + account.mailboxes.len() > MAILBOXES_HELD {
            // Any one: the table of a hash map is in no order that somebody outside could use.
            let Some(other) = self.held.keys().next().copied() else { return };
            self.forget(other);
        }
        self.mailboxes_held += account.mailboxes.len();
        self.held.insert(id, (no, account));
    }

    fn forget(&mut self, id: AccountId) {
        drop(self.take(id));
    }

    fn forget_all(&mut self) {
        self.held.clear();
        self.mailboxes_held = 0;
    }

    fn logins_waiting(&self) -> std::sync::MutexGuard<'_, HashMap<(AccountId, &'static str), i64>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_logins(&mut self) -> Result<(), Failure> {
        self.logins_written = Instant::now();
        let logins = std::mem::take(&mut *self.logins_waiting());
        let write = || {
            let sql = "INSERT OR REPLACE INTO login (uuid, protocol, at) VALUES (?, ?, ?)";
            let mut statement = self.ledger.connection.prepare_cached(sql)?;
            logins.iter().try_for_each(|((who, protocol), at)| {
                statement.execute(params![who.0.as_bytes(), protocol, at]).map(drop)
            })
        };
        write().map_err(|error: rusqlite::Error| Failure::NotDone(error.to_string()))
    }

    /// Forgets batch ids that are too old, one step of a walk through all of them.
    fn prune(&mut self) {
        self.pruned = Instant::now();
        let step = self.ledger.begin().and_then(|()| {
            self.prune_step().map_err(|error| Failure::NotDone(error.to_string()))?;
            self.ledger.commit()
        });
        if let Err(failure) = step {
            tracing::warn!(?failure, "old batch ids not forgotten");
            self.ledger.roll_back();
        }
    }

    fn prune_step(&mut self) -> rusqlite::Result<()> {
        let connection = &self.ledger.connection;
        let sql = "SELECT account, id, at FROM batch WHERE (account, id) > (?, ?) ORDER BY account, id LIMIT ?";
        let mut statement = connection.prepare_cached(sql)?;
        let after = params![self.prune_after.0, self.prune_after.1, PRUNE_ROWS];
        let seen = statement.query_map(after, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let seen: Vec<(i64, Vec<u8>, i64)> = seen.collect::<Result<_, _>>()?;
        let mut delete = connection.prepare_cached("DELETE FROM batch WHERE account = ? AND id = ?")?;
        for (account, id, at) in &seen {
            if at.saturating_add(REMEMBERED_SECONDS) < self.latest {
                delete.execute(params![account, id])?;
            }
        }
        self.prune_after = seen.last().map_or((0, Vec::new()), |(account, id, _)| (*account, id.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::Receiver;
    use uuid::Uuid;

    use super::*;
    use crate::{Flags, MailboxName};

    fn writer(folder: &Path, checkpointer: &Checkpointer) -> Writer {
        let ledger = Ledger::open(folder, schema::SHARD, checkpointer).unwrap();
        Writer::new(0, ledger, Arc::default(), Logins::default())
    }

    fn append(account: u128, id: Option<u128>, now: i64) -> Batch {
        let op = Op::Append {
            mailbox: MailboxName::inbox(),
            create: false,
            body: Bytes::from(vec![b'x'; 3_000]),
            flags: Flags::none(),
            internal_date: 0,
        };
        let id = id.map(|id| BatchId(Uuid::from_u128(id)));
        Batch { id, account: AccountId(Uuid::from_u128(account)), now, require: Vec::new(), ops: vec![op] }
    }

    fn commit(writer: &mut Writer, batches: Vec<Batch>) -> Vec<Result<Applied, ApplyError>> {
        let job = |batch| {
            let (reply, receiver) = Reply::new();
            (Job { batch, reply }, receiver)
        };
        let (group, receivers): (Vec<Job>, Vec<Receiver<_>>) = batches.into_iter().map(job).unzip();
        writer.commit(group);
        receivers.into_iter().map(|mut receiver| receiver.try_recv().unwrap()).collect()
    }

    fn messages(writer: &Writer, account: u128) -> u32 {
        let loaded = rows::load(&writer.ledger.connection, AccountId(Uuid::from_u128(account))).unwrap();
        loaded.map_or(0, |(_, account)| account.mailboxes[&MailboxId(1)].messages)
    }

    #[test]
    fn a_full_disk_is_unavailable_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        let limit = |writer: &Writer, pages: i64| {
            let connection = &writer.ledger.connection;
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        };
        limit(&writer, 24);
        let (mut stored, mut failed) = (0, 0);
        for number in 0..60 {
            let group = (0..20).map(|n| append(number % 3, Some(number * 20 + n), 0)).collect();
            for result in commit(&mut writer, group) {
                match result {
                    Ok(_) => stored += 1,
                    Err(ApplyError::Unavailable(_)) => failed += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        assert!(stored > 0 && failed > 0, "{stored} {failed}");
        assert_eq!((0..3).map(|account| messages(&writer, account)).sum::<u32>(), stored);
        limit(&writer, 1_000_000);
        assert!(commit(&mut writer, vec![append(0, None, 0)])[0].is_ok());
        assert_eq!((0..3).map(|account| messages(&writer, account)).sum::<u32>(), stored + 1);
    }

    #[test]
    fn batch_ids_are_forgotten_after_seven_days() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        commit(&mut writer, (0..700).map(|id| append(id % 2, Some(id), 1_000)).collect());
        commit(&mut writer, vec![append(0, Some(9_999), 1_000 + REMEMBERED_SECONDS)]);
        writer.prune();
        let kept = |writer: &Writer| -> i64 {
            writer.ledger.connection.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(kept(&writer), 701, "not a second early");
        commit(&mut writer, vec![append(0, Some(10_000), 1_001 + REMEMBERED_SECONDS)]);
        (0..4).for_each(|_| writer.prune());
        assert_eq!(kept(&writer), 2, "in steps, all of the old ones");
    }

    #[test]
    fn the_hold_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        for number in 0..20 {
            commit(&mut writer, (0..100).map(|n| append(number * 100 + n, None, 0)).collect());
        }
        assert!(writer.mailboxes_held <= MAILBOXES_HELD);
        assert_eq!(
            writer.mailboxes_held,
            writer.held.values().map(|(_, account)| account.mailboxes.len()).sum::<usize>()
        );
        assert!(commit(&mut writer, vec![append(0, None, 0)])[0].is_ok());
        assert_eq!(messages(&writer, 0), 2);
    }

    #[test]
    fn logins_are_written_when_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        writer.logins_waiting().insert((AccountId(Uuid::from_u128(1)), "imap"), 77);
        writer.idle();
        let at: i64 = writer.ledger.connection.query_row("SELECT at FROM login", [], |row| row.get(0)).unwrap();
        assert_eq!((at, writer.logins_waiting().len()), (77, 0));
    }
}
