//! One shard of accounts: its committer and its readers.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::derive;
use rusqlite::Connection;

use super::change::change;
use super::committer::{Committer, ReplySender, wait_for_reply};
use super::database::{self, Database};
use super::derive::derive_bodies;
use super::fault::{damaged, storage, unavailable};
use super::load::{CommitterLoad, UpkeepSignal};
use super::pack::{BodyLocation, PackReader};
use super::reader::Readers;
use super::upkeep::{ShardUpkeep, UpkeepConfig};
use super::writer::{BatchWork, PendingLogins, ShardWork, ShardWriter};
use super::{bodies, messages, rows};
use crate::lease::Leases;
use crate::notices::Notices;
use crate::time::whole_second;
use crate::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BodyId, Columns, MailboxId, MessageSelection, Op,
    ReadToken, Rows, StoreError,
};

/// Maximum number of logins waiting to be written, one per account and protocol: about 1 MiB. Further ones are dropped.
const LOGINS_WAITING_MAX: usize = 16_384;
/// Attempts to read a body: between look-up and read, the upkeep may move it and remove its pack.
const LOOKUP_ATTEMPTS: usize = 4;

/// State shared by all shards of a store.
pub(super) struct ShardContext {
    pub(super) notices: Arc<Notices>,
    pub(super) leases: Arc<Leases>,
    pub(super) signal: Arc<UpkeepSignal>,
    pub(super) upkeep: UpkeepConfig,
}

/// One shard: its committer, its reading connections and its packs.
pub(super) struct Shard {
    committer: Arc<Committer<ShardWork>>,
    readers: Readers,
    packs: Arc<PackReader>,
    logins: PendingLogins,
}

impl Shard {
    /// Starts the committer. Also returns the shard's tasks for the upkeep.
    pub(super) fn start(
        folder: &Path,
        database: Database,
        context: &ShardContext,
    ) -> Result<(Self, ShardUpkeep), StoreError> {
        let (logins, numbers) = (PendingLogins::default(), Arc::clone(&database.numbers));
        let load = Arc::new(CommitterLoad::new(&context.signal));
        let (notices, leases) = (Arc::clone(&context.notices), Arc::clone(&context.leases));
        let writer = ShardWriter::new(database, notices, leases, Arc::clone(&load), Arc::clone(&logins));
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let committer = Arc::new(Committer::start(name, writer).map_err(unavailable)?);
        let packs = Arc::new(PackReader::new(folder));
        let upkeep = ShardUpkeep::new(folder, &committer, &packs, &numbers, &load, &context.upkeep);
        let upkeep = upkeep.map_err(unavailable)?;
        Ok((Self { committer, readers: Readers::new(database::path(folder)), packs, logins }, upkeep))
    }

    /// Whether the committer is dead, so that nothing is written any more.
    pub(super) fn is_dead(&self) -> bool {
        self.committer.is_dead()
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<Applied, BatchError> {
        let outgoing = batch.ops.iter().filter_map(Op::outgoing).map(|outgoing| &outgoing.body);
        let octets = batch.ops.iter().filter_map(Op::body).chain(outgoing).map(Bytes::len).sum();
        let derived = derive_bodies(&batch).await?;
        let (reply, receiver) = ReplySender::new();
        self.committer.send(ShardWork::Batch(Box::new(BatchWork { batch, derived, reply })), octets).await;
        wait_for_reply(receiver).await
    }

    /// Makes a change that is not a batch of an account. `octets` is the size of all bodies in the change: the call
    /// waits until the committer's inbox has room for them.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        octets: usize,
        run: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (change, receiver) = change(run);
        self.committer.send(ShardWork::Change(change), octets).await;
        wait_for_reply(receiver).await
    }

    /// Reads rows that belong to no account.
    pub(super) async fn view<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(read).await
    }

    /// Returns a snapshot of the account; `None` when the account was never written, or was deleted. Fails with
    /// [`StoreError::Unavailable`] while the account's state is older than `at_least`.
    pub(super) async fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> Result<Option<AccountSnapshot>, StoreError> {
        let waiting = self.logins_waiting(account);
        let read = move |connection: &Connection| {
            let loaded = rows::load(connection, account)?;
            let now = loaded.as_ref().map_or(ReadToken::default(), |(_, loaded)| ReadToken::new(loaded.modseq));
            at_least.map_or(Ok(()), |token| token.reached_by(now))?;
            let Some((_, loaded)) = loaded else { return Ok(None) };
            let mut statement = connection
                .prepare_cached("SELECT protocol, at FROM login WHERE uuid = ? ORDER BY protocol")
                .map_err(storage)?;
            let logins = statement.query_map([account.get().as_bytes()], |row| Ok((row.get(0)?, rows::time(row, 1)?)));
            let mut logins: Vec<(String, Timestamp)> = logins.and_then(Iterator::collect).map_err(storage)?;
            logins.retain(|(protocol, _)| waiting.iter().all(|(newer, _)| newer != protocol));
            logins.extend(waiting);
            logins.sort();
            Ok(Some(loaded.snapshot(logins)))
        };
        self.readers.read(read).await
    }

    pub(super) async fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<AccountId>, StoreError> {
        self.readers.read(move |connection| rows::accounts(connection, after, limit)).await
    }

    pub(super) async fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let waiting = self.logins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut logins: HashMap<AccountId, Timestamp> = self
            .readers
            .read(move |connection| rows::logins_since(connection, since, limit))
            .await?
            .into_iter()
            .collect();
        for ((account, _), at) in waiting.into_iter().filter(|(_, at)| *at >= since) {
            let last = logins.entry(account).or_insert(at);
            *last = at.max(*last);
        }
        Ok(logins.into_iter().collect())
    }

    pub(super) async fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> Result<Rows, StoreError> {
        let read =
            move |connection: &Connection| messages::read(connection, account, mailbox, &which, columns, at_least);
        let mut found = self.readers.read(read).await?;
        for at in found.missing {
            let Some(row) = found.rows.rows.get_mut(at) else { continue };
            // After a failure the columns stay empty, which makes the caller read the body; that read reports the
            // failure.
            let derived = self.with_body(account, row.meta.body, None, move |body| columns.pick(&derive(&body))).await;
            row.derived = Some(Box::new(derived.unwrap_or_default()));
        }
        Ok(found.rows)
    }

    pub(super) async fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StoreError> {
        self.with_body(account, body, range, |octets| octets).await
    }

    /// Runs a function on a body or a part of it, on a blocking thread.
    async fn with_body<T: Send + 'static>(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
        then: impl Fn(Bytes) -> T + Copy + Send + 'static,
    ) -> Result<T, StoreError> {
        let number = body.number(account).ok_or(StoreError::Gone)?;
        let locate = move |connection: &Connection| bodies::locate(connection, number)?.ok_or(StoreError::Gone);
        self.with_located(range, locate, then).await
    }

    /// Returns the octets of the body that `locate` finds.
    pub(super) async fn octets(
        &self,
        locate: impl Fn(&Connection) -> Result<BodyLocation, StoreError> + Copy + Send + 'static,
    ) -> Result<Bytes, StoreError> {
        self.with_located(None, locate, |octets| octets).await
    }

    async fn with_located<T: Send + 'static>(
        &self,
        range: Option<Range<u64>>,
        locate: impl Fn(&Connection) -> Result<BodyLocation, StoreError> + Copy + Send + 'static,
        then: impl Fn(Bytes) -> T + Copy + Send + 'static,
    ) -> Result<T, StoreError> {
        for _ in 0..LOOKUP_ATTEMPTS {
            let (packs, range) = (Arc::clone(&self.packs), range.clone());
            let fetch = move |located| Ok(packs.fetch(located, range)?.map(then));
            if let Some(done) = self.readers.read_body(locate, fetch).await? {
                return Ok(done);
            }
        }
        Err(damaged("the pack of a body is missing"))
    }

    pub(super) fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() < LOGINS_WAITING_MAX || logins.contains_key(&(account, protocol)) {
            logins.insert((account, protocol), whole_second(now));
        }
    }

    fn logins_waiting(&self, account: AccountId) -> Vec<(String, Timestamp)> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.is_empty() {
            return Vec::new();
        }
        let own = logins.iter().filter(|((account_id, _), _)| *account_id == account);
        own.map(|((_, protocol), at)| ((*protocol).to_owned(), *at)).collect()
    }
}
