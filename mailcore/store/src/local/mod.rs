//! The local engine: SQLite shards with one committer thread each, bodies in append-only packs.
//!
//! An account belongs to one shard, chosen by a hash of its id. The shard's committer takes all waiting batches,
//! applies them in one SQLite transaction (a refused batch rolls back alone), and commits once. The bodies of a small
//! group are stored in the database in the same transaction. The bodies of a large group are appended to the shard's
//! pack, which is synced before the commit. So the number of syncs does not grow with the number of callers, and a
//! single caller with a small message waits for one sync. Reads use a few read-only connections per shard on blocking
//! threads. In the background, `upkeep` moves bodies to packs and returns unused space.
//!
//! ```text
//! FOLDER/lock                     held while open: two processes never share a store
//! FOLDER/format                   version and number of shards
//! FOLDER/shard-00/meta.sqlite     accounts, mailboxes, messages, batches, queue, new bodies; open it with sqlite3
//! FOLDER/shard-00/pack-00000001   bodies
//! FOLDER/backup-vN-...            the store in format N, as it was before its upgrade (`migration`)
//! FOLDER/state.sqlite             what nodes share besides mail (`state`); not under the lock
//! ```

mod batch_rows;
mod bodies;
mod change;
mod checkpoint;
mod committer;
mod database;
mod derive;
mod fault;
mod folder;
mod load;
mod messages;
mod migration;
mod pack;
mod queue;
mod queue_rows;
mod reader;
mod rows;
mod schema;
mod shard;
mod state;
mod upkeep;
mod writer;

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use self::checkpoint::Checkpointer;
use self::database::Database;
use self::fault::unavailable;
use self::folder::{FORMAT, Format, lock, make_folder};
use self::shard::{Shard, ShardContext};
pub use self::state::LocalState;
use self::upkeep::Upkeep;
pub use self::upkeep::UpkeepConfig;
use crate::batch::{MESSAGE_OCTETS_MAX, first_batch_failed};
use crate::interpret;
use crate::lease::Leases;
use crate::notices::Notices;
use crate::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BodyId, BoxFuture, Columns, Lease, LeaseError, MailboxId,
    MessageSelection, MessageStore, ReadToken, Rows, StoreError,
};

/// Folder, number of shards, and bounds.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The store's own folder; created when missing.
    pub folder: PathBuf,
    /// Number of shards of a new store, at least one; an existing store keeps its number. Default 4.
    pub shards: u8,
    /// Largest message, octets. Default 50 MiB.
    pub message_octets_max: u64,
    /// Pace and bounds of the upkeep.
    pub upkeep: UpkeepConfig,
}

impl LocalConfig {
    /// Returns the defaults for a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let (shards, message_octets_max) = (4, MESSAGE_OCTETS_MAX);
        Self { folder: folder.into(), shards, message_octets_max, upkeep: UpkeepConfig::default() }
    }
}

/// The embedded engine. Dropping it waits until all queued work is committed, and closes the files.
pub struct LocalStore {
    // Fields are dropped in this order: the upkeep before the committers, these before the checkpointer, the lock last.
    _upkeep: Upkeep,
    shards: Vec<Shard>,
    notices: Arc<Notices>,
    leases: Arc<Leases>,
    message_octets_max: u64,
    _checkpointer: Checkpointer,
    _lock: File,
}

impl LocalStore {
    /// Opens or creates the store. Unavailable when another process has it open, the disk refuses, or a newer Provost
    /// wrote it; damaged when its format file is invalid, or is missing although shards exist.
    pub fn open(config: &LocalConfig) -> Result<Self, StoreError> {
        let folder = config.folder.as_path();
        make_folder(folder).map_err(unavailable)?;
        let lock = lock(folder)?;
        let Format { version, shards } = Format::read_or_make(folder, config.shards.max(1))?;
        let folders: Vec<PathBuf> = (0..shards).map(|number| folder.join(format!("shard-{number:02}"))).collect();
        if version < FORMAT {
            migration::upgrade(folder, &folders, version)?;
        }
        let checkpointer = Checkpointer::start().map_err(unavailable)?;
        let pack_octets_max = config.upkeep.pack_octets_max;
        let open = |folder: &PathBuf| Database::open(folder, &schema::SHARD, pack_octets_max, &checkpointer);
        let mut databases = folders.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        if version == 1 {
            migration::move_queue(folder, &mut databases)?;
        }
        if version < FORMAT {
            Format { version: FORMAT, shards }.write(folder).map_err(unavailable)?;
        }
        free_queue(&databases)?;
        let leases = Arc::new(Leases::new(first_epoch(&databases)?));
        let (notices, signal) = (Arc::default(), Arc::default());
        let context = ShardContext { notices, leases, signal, upkeep: config.upkeep };
        let start = |(folder, database): (&PathBuf, Database)| Shard::start(folder, database, &context);
        let started = folders.iter().zip(databases).map(start).collect::<Result<Vec<_>, _>>()?;
        let (shards, upkeep): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        Ok(Self {
            _upkeep: Upkeep::start(upkeep, config.upkeep, &context.signal).map_err(unavailable)?,
            shards,
            notices: context.notices,
            leases: context.leases,
            message_octets_max: config.message_octets_max,
            _checkpointer: checkpointer,
            _lock: lock,
        })
    }

    /// Returns the numbers of the shards whose committer died of a bug: only a restart of the process revives them.
    pub fn dead_shards(&self) -> Vec<usize> {
        self.shards.iter().enumerate().filter(|(_, shard)| shard.is_dead()).map(|(number, _)| number).collect()
    }

    fn shard(&self, account: AccountId) -> Result<&Shard, StoreError> {
        self.shard_by_hash(account.get())
    }

    fn shard_by_hash(&self, id: Uuid) -> Result<&Shard, StoreError> {
        let index = shard_index(id, self.shards.len());
        self.shards.get(index).ok_or_else(|| StoreError::Unavailable("the store has no shards".into()))
    }
}

/// Returns the index of the shard of an account, or of a message that was queued directly.
fn shard_index(id: Uuid, shards: usize) -> usize {
    let (high, low) = id.as_u64_pair();
    // Fibonacci hashing: entryUUIDs of version 1 differ in few bits, and the upper half of the product depends on all
    // bits.
    let hash = (high ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    hash as usize % shards.max(1)
}

/// Frees the rows that workers of earlier starts held, and logs how many rows are set aside.
fn free_queue(shards: &[Database]) -> Result<(), StoreError> {
    let mut set_aside = 0;
    for shard in shards {
        set_aside += queue_rows::free_all(&shard.connection)?;
    }
    if set_aside > 0 {
        tracing::warn!(set_aside, "queue rows are set aside: see `provost queue list`");
    }
    Ok(())
}

/// Counts this start, and returns the number above which its lease epochs begin. The upper half is the number of the
/// start, so these epochs exceed those of all earlier starts.
fn first_epoch(shards: &[Database]) -> Result<u64, StoreError> {
    let first = shards.first().ok_or_else(|| StoreError::Unavailable("the store has no shards".into()))?;
    let start = bodies::add_to_counter(&first.connection, "start", 1)?;
    Ok(start << 32)
}

impl MessageStore for LocalStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        Box::pin(async move {
            interpret::check(&batch, self.message_octets_max)?;
            self.shard(batch.account)?.apply(batch).await
        })
    }

    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        Box::pin(async move {
            let shard = self.shard(account)?;
            if let Some(snapshot) = shard.snapshot(account, at_least).await? {
                return Ok(snapshot);
            }
            shard.apply(Batch::first(account)).await.map_err(first_batch_failed)?;
            shard.snapshot(account, at_least).await?.ok_or(StoreError::Gone)
        })
    }

    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        Box::pin(async move { self.shard(account)?.read(account, mailbox, which, columns, at_least).await })
    }

    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        Box::pin(async move { self.shard(account)?.body(account, body, range).await })
    }

    fn notices(&self, account: AccountId) -> watch::Receiver<u64> {
        self.notices.watch(account)
    }

    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.leases.take(name, ttl, Instant::now()))))
    }

    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(std::future::ready(self.leases.renew(lease, ttl, Instant::now())))
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        Box::pin(async move {
            let mut accounts = Vec::new();
            for shard in &self.shards {
                accounts.extend(shard.accounts(after, limit).await?);
            }
            accounts.sort_unstable();
            accounts.truncate(limit);
            Ok(accounts)
        })
    }

    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        Box::pin(async move {
            let mut logins = Vec::new();
            for shard in &self.shards {
                logins.extend(shard.logins_since(since, limit).await?);
            }
            logins.sort_unstable_by_key(|(account, at)| (*at, *account));
            logins.truncate(limit);
            Ok(logins)
        })
    }

    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        if let Ok(shard) = self.shard(account) {
            shard.note_login(account, protocol, now);
        }
    }
}
