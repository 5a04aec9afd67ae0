//! The committer of a shard: applies all waiting jobs in one transaction, and does idle work while none waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::batch_rows::LocalRows;
use super::bodies::BodyDestination;
use super::change::QueuedChange;
use super::committer::{CommitFailure, ReplySender, Worker};
use super::database::Database;
use super::derive::DerivedBodies;
use super::fault::{damaged, storage, unavailable};
use super::load::{CommitterLoad, INLINE_HELD_MAX};
use super::rows::{self, AccountNo, SecondColumn};
use crate::account::Account;
use crate::batch::REMEMBERED;
use crate::interpret;
use crate::lease::{LeasePin, Leases};
use crate::notices::Notices;
use crate::time::later;
use crate::{AccountId, Applied, Batch, BatchError, BatchId};

/// Maximum total size of a group's bodies for storing them inline, octets. The bodies of a larger group go to the pack,
/// because an inline body is written twice: to the database, and later to a pack.
const INLINE_GROUP_OCTETS: u64 = 64 * 1024;
/// Mean number of jobs per group above which bodies go to the pack. The pack needs a sync of its own, but most groups
/// then have two jobs or more that share this sync, and writing each body twice would cost more.
const INLINE_JOBS_MEAN: f64 = 1.6;
/// Weight of the newest group in that mean: an eighth, so that about the last eight groups decide.
const GROUP_WEIGHT: f64 = 0.125;
/// Maximum number of mailboxes in all cached accounts of one committer: about 1 MiB.
const MAILBOXES_CACHED_MAX: usize = 4_096;
/// Time between two writes of logins while the shard is busy. An idle shard writes them with its idle work.
const LOGINS_EVERY: Duration = Duration::from_secs(5);
/// Shortest time between two steps that delete old batch ids.
const PRUNE_EVERY: Duration = Duration::from_secs(20);
/// Rows read in one such step, which takes about a millisecond. A walk through a million ids takes half a day.
const PRUNE_ROWS: i64 = 500;

impl From<CommitFailure> for BatchError {
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::NotDone(why) => Self::Unavailable(why),
            CommitFailure::Unknown => Self::Unknown,
        }
    }
}

/// Last logins by account and protocol that are not written yet.
pub(super) type PendingLogins = Arc<Mutex<HashMap<(AccountId, &'static str), Timestamp>>>;

/// A queued batch, with the channel to its caller.
pub(super) struct BatchWork {
    pub(super) batch: Batch,
    pub(super) derived: DerivedBodies,
    pub(super) reply: ReplySender<Applied, BatchError>,
}

/// A job of a shard's committer.
pub(super) enum ShardWork {
    /// A batch of an account.
    Batch(Box<BatchWork>),
    /// Any other change.
    Change(Box<dyn QueuedChange>),
}

impl ShardWork {
    fn mark_unknown(&mut self) {
        match self {
            Self::Batch(job) => job.reply.mark_unknown(),
            Self::Change(change) => change.mark_unknown(),
        }
    }
}

/// The result of a job inside the transaction. A change keeps its own result.
enum WorkOutcome {
    Batch(Result<Applied, BatchError>),
    Change,
}

/// The worker of a shard's committer: the database, and what is kept between groups.
pub(super) struct ShardWriter {
    database: Database,
    /// Cached accounts, each as its last batch left it. One whose batch or group is rolled back is dropped.
    accounts: HashMap<AccountId, (AccountNo, Account)>,
    mailboxes_cached: usize,
    notices: Arc<Notices>,
    leases: Arc<Leases>,
    load: Arc<CommitterLoad>,
    /// Mean number of jobs per group, weighted towards recent groups.
    jobs_mean: f64,
    /// Pins of the leases that batches of the group require, kept until the commit.
    pins: Vec<LeasePin>,
    logins: PendingLogins,
    logins_written: Instant,
    /// Logins written in the present transaction. They are pending until its commit.
    uncommitted_logins: HashMap<(AccountId, &'static str), Timestamp>,
    pruned: Instant,
    /// The account and batch id after which the deletion of old batch ids continues.
    prune_after: (i64, Vec<u8>),
    /// The latest `now` of any batch. The deletion of old batch ids measures their age against this time.
    latest: Timestamp,
}

impl Worker for ShardWriter {
    type Work = ShardWork;

    fn commit(&mut self, mut group: Vec<ShardWork>, octets: usize) {
        self.jobs_mean += (group.len() as f64 - self.jobs_mean) * GROUP_WEIGHT;
        let destination = self.destination(octets as u64);
        let committed = self.commit_group(&mut group, destination);
        // From here on others may take the leases: this group writes nothing more.
        self.pins.clear();
        match committed {
            Ok(outcomes) => {
                metrics::counter!("provost_store_commits_total").increment(1);
                metrics::counter!("provost_store_batches_total").increment(group.len() as u64);
                metrics::histogram!("provost_store_group_batches").record(group.len() as f64);
                self.load.committed(if destination == BodyDestination::Inline { octets as u64 } else { 0 });
                if self.database.arrived {
                    self.notices.publish_arrival();
                }
                group.into_iter().zip(outcomes).for_each(|(job, outcome)| self.send_outcome(job, outcome));
                self.drop_written_logins();
                self.database.committed();
            }
            Err(failure) => {
                tracing::error!(?failure, jobs = group.len(), "a group failed to commit");
                self.database.roll_back();
                self.uncommitted_logins.clear();
                self.drop_all_cached();
                for job in group {
                    match job {
                        ShardWork::Batch(job) => job.reply.send(Err(failure.clone().into())),
                        ShardWork::Change(change) => change.reply(Err(failure.clone())),
                    }
                }
            }
        }
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.prune();
        }
    }

    fn idle(&mut self) {
        if !self.logins_waiting().is_empty() {
            let written = self
                .database
                .begin(BodyDestination::Inline)
                .and_then(|()| self.write_logins())
                .and_then(|()| self.database.commit());
            match written {
                Ok(()) => self.drop_written_logins(),
                Err(failure) => {
                    tracing::warn!(?failure, "last logins could not be written");
                    self.database.roll_back();
                    self.uncommitted_logins.clear();
                }
            }
        }
        self.database.idle();
    }
}

impl ShardWriter {
    pub(super) fn new(
        database: Database,
        notices: Arc<Notices>,
        leases: Arc<Leases>,
        load: Arc<CommitterLoad>,
        logins: PendingLogins,
    ) -> Self {
        Self {
            database,
            accounts: HashMap::new(),
            mailboxes_cached: 0,
            notices,
            leases,
            load,
            jobs_mean: 0.0,
            pins: Vec::new(),
            logins,
            logins_written: Instant::now(),
            uncommitted_logins: HashMap::new(),
            pruned: Instant::now(),
            prune_after: (0, Vec::new()),
            latest: Timestamp::MIN,
        }
    }

    fn send_outcome(&self, job: ShardWork, outcome: WorkOutcome) {
        match (job, outcome) {
            (ShardWork::Batch(job), WorkOutcome::Batch(result)) => {
                if let Ok(applied) = &result {
                    self.notices.publish(job.batch.account, applied.modseq);
                }
                job.reply.send(result);
            }
            (ShardWork::Change(change), _) => change.reply(Ok(())),
            // Never happens. The dropped job would report an unknown outcome.
            (ShardWork::Batch(_), WorkOutcome::Change) => (),
        }
    }

    /// Chooses where the bodies of a group go. Inline bodies need one sync but are written twice; a pack needs a second
    /// sync, which is cheap when many callers share it.
    fn destination(&self, octets: u64) -> BodyDestination {
        let is_small = octets <= INLINE_GROUP_OCTETS && self.jobs_mean <= INLINE_JOBS_MEAN;
        match octets == 0 || is_small && self.load.inline_octets() < INLINE_HELD_MAX {
            true => BodyDestination::Inline,
            false => BodyDestination::Pack,
        }
    }

    fn commit_group(
        &mut self,
        group: &mut [ShardWork],
        destination: BodyDestination,
    ) -> Result<Vec<WorkOutcome>, CommitFailure> {
        let outcomes = match self.apply_together(group, destination)? {
            Some(outcomes) => outcomes,
            None => self.apply_each(group, destination)?,
        };
        if self.logins_written.elapsed() >= LOGINS_EVERY {
            self.write_logins()?;
        }
        group.iter_mut().for_each(ShardWork::mark_unknown);
        self.database.commit()?;
        Ok(outcomes)
    }

    /// Begins the transaction of a group.
    fn begin(&mut self, destination: BodyDestination) -> Result<(), CommitFailure> {
        self.database.begin(destination)?;
        match destination {
            BodyDestination::Pack => self.database.record_pack(),
            BodyDestination::Inline => Ok(()),
        }
    }

    /// Applies the batches of a group without savepoints: each savepoint would cost two statements and a copy of every
    /// changed page, and few batches fail after a write. Returns `None`, with nothing applied, when a batch fails after
    /// a write, or when a job of the group is not a batch.
    fn apply_together(
        &mut self,
        group: &[ShardWork],
        destination: BodyDestination,
    ) -> Result<Option<Vec<WorkOutcome>>, CommitFailure> {
        if group.iter().any(|job| matches!(job, ShardWork::Change(_))) {
            return Ok(None);
        }
        self.begin(destination)?;
        let mut outcomes = Vec::with_capacity(group.len());
        for job in group {
            let ShardWork::Batch(job) = job else { continue };
            let mark = self.database.mark();
            let applied = self.apply_batch(job);
            if applied.is_err() && !self.database.is_at(&mark) {
                self.take_back(group);
                return Ok(None);
            }
            outcomes.push(WorkOutcome::Batch(applied));
        }
        Ok(Some(outcomes))
    }

    /// Rolls back all that a group did so far.
    fn take_back(&mut self, group: &[ShardWork]) {
        self.database.roll_back();
        self.pins.clear();
        for job in group {
            if let ShardWork::Batch(job) = job {
                self.drop_cached(job.batch.account);
            }
        }
    }

    /// Applies jobs with a savepoint each, so that each can fail alone.
    fn apply_each(
        &mut self,
        group: &mut [ShardWork],
        destination: BodyDestination,
    ) -> Result<Vec<WorkOutcome>, CommitFailure> {
        self.begin(destination)?;
        let mut outcomes = Vec::with_capacity(group.len());
        for job in group.iter_mut() {
            outcomes.push(match job {
                ShardWork::Batch(job) => WorkOutcome::Batch(self.apply(job)),
                ShardWork::Change(change) => {
                    self.change(change.as_mut())?;
                    WorkOutcome::Change
                }
            });
            if !self.database.in_transaction() {
                return Err(CommitFailure::NotDone("the database rolled the transaction back".into()));
            }
        }
        Ok(outcomes)
    }

    /// Makes one change within the transaction, as a whole or not at all.
    fn change(&mut self, change: &mut dyn QueuedChange) -> Result<(), CommitFailure> {
        let not_done = |error: rusqlite::Error| CommitFailure::NotDone(error.to_string());
        let mark = self.database.begin_part().map_err(not_done)?;
        let is_done = change.run(&mut self.database).is_ok();
        match self.database.in_transaction() {
            true => self.database.end_part(mark, is_done).map_err(not_done),
            false => Ok(()),
        }
    }

    /// Applies one batch within the transaction, as a whole or not at all.
    fn apply(&mut self, job: &BatchWork) -> Result<Applied, BatchError> {
        let mark = self.database.begin_part().map_err(storage)?;
        let applied = self.apply_batch(job);
        self.database.end_part(mark, applied.is_ok()).map_err(storage)?;
        applied
    }

    /// Applies one batch. After an error its writes remain, and the caller must roll them back.
    fn apply_batch(&mut self, job: &BatchWork) -> Result<Applied, BatchError> {
        self.latest = self.latest.max(job.batch.now);
        let applied = self.apply_inside(job);
        if applied.is_err() {
            self.drop_cached(job.batch.account);
        }
        applied
    }

    fn apply_inside(&mut self, job: &BatchWork) -> Result<Applied, BatchError> {
        let BatchWork { batch, derived, .. } = job;
        let known = match self.take_account(batch.account) {
            Some(cached) => Some(cached),
            None => rows::load(&self.database.connection, batch.account)?,
        };
        let (no, account) = match known {
            Some((no, account)) => (no, Some(account)),
            None => (rows::insert_account(&self.database.connection, batch.account).map_err(storage)?, None),
        };
        if let (Some(id), Some(_)) = (batch.id, &account)
            && let Some(applied) = self.replay(no, id)?
        {
            account.into_iter().for_each(|account| self.cache_account(batch.account, no, account));
            return Ok(applied);
        }
        let (database, pins) = (&mut self.database, &mut self.pins);
        let mut rows = LocalRows { database, account: batch.account, no, derived, leases: &self.leases, pins };
        let (account, applied) = interpret::apply(account, &mut rows, batch)?;
        let Some(mut account) = account else {
            rows::delete_account(&self.database.connection, no, batch.account).map_err(storage)?;
            self.logins_waiting().retain(|(account_id, _), _| *account_id != batch.account);
            return Ok(applied);
        };
        rows::save(&self.database.connection, no, &mut account).map_err(storage)?;
        if let Some(id) = batch.id {
            self.remember(no, id, batch.now, &applied)?;
        }
        self.cache_account(batch.account, no, account);
        Ok(applied)
    }

    /// Returns the earlier result of a batch id; `None` for a new id.
    fn replay(&self, no: AccountNo, id: BatchId) -> Result<Option<Applied>, BatchError> {
        let sql = "SELECT applied FROM batch WHERE account = ? AND id = ?";
        let mut statement = self.database.connection.prepare_cached(sql).map_err(storage)?;
        let row: Option<Vec<u8>> =
            statement.query_row(params![no.0, id.get().as_bytes()], |row| row.get(0)).optional().map_err(storage)?;
        let read =
            |row: Vec<u8>| postcard::from_bytes(&row).map_err(|_| damaged("the remembered result of a batch").into());
        row.map(read).transpose()
    }

    fn remember(&self, no: AccountNo, id: BatchId, now: Timestamp, applied: &Applied) -> Result<(), BatchError> {
        let row = postcard::to_stdvec(applied).map_err(unavailable)?;
        let sql = "INSERT INTO batch (account, id, at, applied) VALUES (?, ?, ?, ?)";
        let mut statement = self.database.connection.prepare_cached(sql).map_err(storage)?;
        statement.execute(params![no.0, id.get().as_bytes(), SecondColumn(now), row]).map_err(storage)?;
        Ok(())
    }

    /// Takes an account out of the cache.
    fn take_account(&mut self, id: AccountId) -> Option<(AccountNo, Account)> {
        let known = self.accounts.remove(&id)?;
        self.mailboxes_cached = self.mailboxes_cached.saturating_sub(known.1.mailboxes.len());
        Some(known)
    }

    fn cache_account(&mut self, id: AccountId, no: AccountNo, account: Account) {
        while self.mailboxes_cached + account.mailboxes.len() > MAILBOXES_CACHED_MAX {
            // Evict an arbitrary entry: hash order is random, so a client cannot choose the victim.
            let Some(other) = self.accounts.keys().next().copied() else { return };
            self.drop_cached(other);
        }
        self.mailboxes_cached += account.mailboxes.len();
        self.accounts.insert(id, (no, account));
    }

    fn drop_cached(&mut self, id: AccountId) {
        drop(self.take_account(id));
    }

    fn drop_all_cached(&mut self) {
        self.accounts.clear();
        self.mailboxes_cached = 0;
    }

    fn logins_waiting(&self) -> std::sync::MutexGuard<'_, HashMap<(AccountId, &'static str), Timestamp>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the pending logins within the transaction.
    fn write_logins(&mut self) -> Result<(), CommitFailure> {
        self.logins_written = Instant::now();
        let logins = self.logins_waiting().clone();
        let write = || {
            let sql = "INSERT OR REPLACE INTO login (uuid, protocol, at) VALUES (?, ?, ?)";
            let mut statement = self.database.connection.prepare_cached(sql)?;
            logins.iter().try_for_each(|((account_id, protocol), at)| {
                statement.execute(params![account_id.get().as_bytes(), protocol, SecondColumn(*at)]).map(drop)
            })
        };
        write().map_err(|error: rusqlite::Error| CommitFailure::NotDone(error.to_string()))?;
        self.uncommitted_logins = logins;
        Ok(())
    }

    /// Removes the committed logins from the pending ones. A pending one that is newer stays.
    fn drop_written_logins(&mut self) {
        let written = std::mem::take(&mut self.uncommitted_logins);
        self.logins_waiting().retain(|login, at| written.get(login) != Some(at));
    }

    /// Makes one step of a walk through all batch ids, which deletes old ones.
    fn prune(&mut self) {
        self.pruned = Instant::now();
        let step = self.database.begin(BodyDestination::Inline).and_then(|()| {
            self.prune_step().map_err(|error| CommitFailure::NotDone(error.to_string()))?;
            self.database.commit()
        });
        if let Err(failure) = step {
            tracing::warn!(?failure, "old batch ids could not be deleted");
            self.database.roll_back();
        }
    }

    fn prune_step(&mut self) -> rusqlite::Result<()> {
        let connection = &self.database.connection;
        let sql = "SELECT account, id, at FROM batch WHERE (account, id) > (?, ?) ORDER BY account, id LIMIT ?";
        let mut statement = connection.prepare_cached(sql)?;
        let after = params![self.prune_after.0, self.prune_after.1, PRUNE_ROWS];
        let batches = statement.query_map(after, |row| Ok((row.get(0)?, row.get(1)?, rows::time(row, 2)?)))?;
        let page: Vec<(i64, Vec<u8>, Timestamp)> = batches.collect::<Result<_, _>>()?;
        let mut delete = connection.prepare_cached("DELETE FROM batch WHERE account = ? AND id = ?")?;
        for (account, id, at) in &page {
            if later(*at, REMEMBERED) < self.latest {
                delete.execute(params![account, id])?;
            }
        }
        self.prune_after = page.last().map_or((0, Vec::new()), |(account, id, _)| (*account, id.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use tokio::sync::oneshot::Receiver;
    use uuid::Uuid;

    use super::super::checkpoint::Checkpointer;
    use super::super::pack::PACK_OCTETS_MAX;
    use super::super::schema;
    use super::*;
    use crate::time::from_seconds as at;
    use crate::{Flags, MailboxId, MailboxName, Op};

    fn writer(folder: &Path, checkpointer: &Checkpointer) -> ShardWriter {
        let database = Database::open(folder, &schema::SHARD, PACK_OCTETS_MAX, checkpointer).unwrap();
        let load = Arc::new(CommitterLoad::new(&Arc::default()));
        ShardWriter::new(database, Arc::default(), Arc::new(Leases::new(0)), load, PendingLogins::default())
    }

    fn append(account: u128, id: Option<u128>, now: Timestamp) -> Batch {
        let op = Op::Append {
            mailbox: MailboxName::inbox(),
            create: false,
            body: Bytes::from(vec![b'x'; 3_000]),
            flags: Flags::none(),
            internal_date: at(0),
        };
        let id = id.map(|id| BatchId::new(Uuid::from_u128(id)));
        Batch { id, account: AccountId::new(Uuid::from_u128(account)), now, require: Vec::new(), ops: vec![op] }
    }

    fn commit(writer: &mut ShardWriter, batches: Vec<Batch>) -> Vec<Result<Applied, BatchError>> {
        let job = |batch| {
            let (reply, receiver) = ReplySender::new();
            (ShardWork::Batch(Box::new(BatchWork { batch, derived: HashMap::new(), reply })), receiver)
        };
        let (group, receivers): (Vec<ShardWork>, Vec<Receiver<_>>) = batches.into_iter().map(job).unzip();
        let octets =
            group.iter().map(|job| if let ShardWork::Batch(job) = job { job.batch.ops.len() * 3_000 } else { 0 });
        let octets = octets.sum();
        writer.commit(group, octets);
        receivers.into_iter().map(|mut receiver| receiver.try_recv().unwrap()).collect()
    }

    fn messages(writer: &ShardWriter, account: u128) -> u32 {
        let loaded = rows::load(&writer.database.connection, AccountId::new(Uuid::from_u128(account))).unwrap();
        loaded.map_or(0, |(_, account)| account.mailboxes[&MailboxId::new(1)].messages)
    }

    /// The middle batch fails after it has written: first in its group, then alone.
    #[test]
    fn a_batch_that_fails_after_writing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        let mut late = append(1, Some(2), at(0));
        late.ops.push(Op::DeleteMailbox { name: MailboxName::parse("nowhere").unwrap() });
        for round in 0..4 {
            let group = vec![append(1, Some(10 + round), at(0)), late.clone(), append(2, Some(20 + round), at(0))];
            let results = commit(&mut writer, group);
            assert!(matches!(&results[..], [Ok(_), Err(BatchError::NoMailbox(_)), Ok(_)]), "{results:?}");
            assert!(matches!(commit(&mut writer, vec![late.clone()])[..], [Err(BatchError::NoMailbox(_))]));
        }
        assert_eq!((messages(&writer, 1), messages(&writer, 2)), (4, 4));
        let bodies: i64 =
            writer.database.connection.query_row("SELECT sum(refs) FROM body", [], |row| row.get(0)).unwrap();
        assert_eq!(bodies, 8);
    }

    /// Also after a batch that deletes a mailbox, or changes none.
    #[test]
    fn the_stored_account_equals_the_cached_one() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        let name = || MailboxName::parse("a").unwrap();
        let into_a = || match append(1, None, at(0)).ops.remove(0) {
            Op::Append { body, flags, internal_date, .. } => {
                Op::Append { mailbox: name(), create: true, body, flags, internal_date }
            }
            other => other,
        };
        let subscribe = |on| Op::Subscribe { name: name(), on };
        let changes = [
            vec![into_a()],
            vec![subscribe(true)],
            append(1, None, at(0)).ops,
            vec![into_a(), into_a()],
            vec![Op::DeleteMailbox { name: name() }],
            vec![subscribe(false)],
            append(1, None, at(0)).ops,
            vec![Op::CreateMailbox { name: name(), special_use: None }, Op::DeleteMailbox { name: name() }],
        ];
        let id = AccountId::new(Uuid::from_u128(1));
        for (number, ops) in changes.into_iter().enumerate() {
            let what = format!("change {number}: {ops:?}");
            let batch = Batch { ops, ..append(1, None, at(0)) };
            assert!(commit(&mut writer, vec![batch])[0].is_ok(), "{what}");
            let (_, saved) = rows::load(&writer.database.connection, id).unwrap().unwrap();
            let (_, account) = &writer.accounts[&id];
            let all =
                |account: &Account| (account.modseq, account.octets, account.numbers(), account.mailboxes.clone());
            assert_eq!(all(&saved), all(account), "{what}");
        }
    }

    /// Spare pages for the rows of some groups, but not of all.
    const SPARE_PAGES: i64 = 20;

    #[test]
    fn a_full_disk_is_unavailable_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        let limit = |writer: &ShardWriter, pages: i64| {
            let connection = &writer.database.connection;
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        };
        let pages: i64 = writer.database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        limit(&writer, pages + SPARE_PAGES);
        let (mut stored, mut failed) = (0, 0);
        for number in 0..60 {
            let group = (0..20).map(|n| append(number % 3, Some(number * 20 + n), at(0))).collect();
            for result in commit(&mut writer, group) {
                match result {
                    Ok(_) => stored += 1,
                    Err(BatchError::Unavailable(_)) => failed += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        assert!(stored > 0 && failed > 0, "{stored} {failed}");
        assert_eq!((0..3).map(|account| messages(&writer, account)).sum::<u32>(), stored);
        limit(&writer, 1_000_000);
        assert!(commit(&mut writer, vec![append(0, None, at(0))])[0].is_ok());
        assert_eq!((0..3).map(|account| messages(&writer, account)).sum::<u32>(), stored + 1);
    }

    #[test]
    fn batch_ids_are_forgotten_after_seven_days() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        commit(&mut writer, (0..700).map(|id| append(id % 2, Some(id), at(1_000))).collect());
        commit(&mut writer, vec![append(0, Some(9_999), later(at(1_000), REMEMBERED))]);
        writer.prune();
        let batch_count = |writer: &ShardWriter| -> i64 {
            writer.database.connection.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(batch_count(&writer), 701, "an id was deleted too early");
        commit(&mut writer, vec![append(0, Some(10_000), later(at(1_001), REMEMBERED))]);
        (0..4).for_each(|_| writer.prune());
        assert_eq!(batch_count(&writer), 2, "not exactly the old ids were deleted");
    }

    #[test]
    fn the_cache_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        for number in 0..20 {
            commit(&mut writer, (0..100).map(|n| append(number * 100 + n, None, at(0))).collect());
        }
        assert!(writer.mailboxes_cached <= MAILBOXES_CACHED_MAX);
        assert_eq!(
            writer.mailboxes_cached,
            writer.accounts.values().map(|(_, account)| account.mailboxes.len()).sum::<usize>()
        );
        assert!(commit(&mut writer, vec![append(0, None, at(0))])[0].is_ok());
        assert_eq!(messages(&writer, 0), 2);
    }

    #[test]
    fn logins_stay_pending_until_a_commit_has_written_them() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        let one = (AccountId::new(Uuid::from_u128(1)), "imap");
        writer.logins_waiting().insert(one, at(77));
        let rename = |writer: &ShardWriter, sql: &str| writer.database.connection.execute_batch(sql).unwrap();
        rename(&writer, "ALTER TABLE login RENAME TO other");
        writer.idle();
        writer.logins_written = Instant::now().checked_sub(LOGINS_EVERY).unwrap();
        assert!(commit(&mut writer, vec![append(2, None, at(0))])[0].is_err());
        assert_eq!(writer.logins_waiting().get(&one), Some(&at(77)));
        rename(&writer, "ALTER TABLE other RENAME TO login");
        writer.logins_written = Instant::now();
        assert!(commit(&mut writer, vec![append(2, None, at(0))])[0].is_ok());
        assert_eq!(writer.logins_waiting().get(&one), Some(&at(77)), "removed by a commit that did not write it");
        writer.idle();
        assert!(writer.logins_waiting().is_empty());
        let count: i64 =
            writer.database.connection.query_row("SELECT count(*) FROM login", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn an_idle_committer_writes_logins() {
        let folder = tempfile::tempdir().unwrap();
        let checkpointer = Checkpointer::start().unwrap();
        let mut writer = writer(folder.path(), &checkpointer);
        writer.logins_waiting().insert((AccountId::new(Uuid::from_u128(1)), "imap"), at(77));
        writer.idle();
        let login_at =
            writer.database.connection.query_row("SELECT at FROM login", [], |row| rows::time(row, 0)).unwrap();
        assert_eq!((login_at, writer.logins_waiting().len()), (at(77), 0));
    }
}
