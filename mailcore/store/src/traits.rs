//! All that the mail core knows of storage.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::{AccountId, Applied, ApplyError, Batch, BlobRef, Changes, Lease, MailboxId, Modseq, Snapshot, StoreError};

/// A boxed future, so that engines can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store of all accounts. Shared as `Arc<dyn MessageStore>`.
pub trait MessageStore: Send + Sync + 'static {
    /// Applies one batch: durable when it resolves `Ok`. Dropping the future does not take the batch back.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, ApplyError>>;

    /// The account's mailboxes now.
    fn snapshot(&self, account: AccountId) -> BoxFuture<'_, Result<Snapshot, StoreError>>;

    /// One mailbox's messages changed after `after`; after `Modseq(0)` all that are there and no tombstones.
    fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        after: Modseq,
    ) -> BoxFuture<'_, Result<Changes, StoreError>>;

    /// A body or a part of it; a range that goes beyond the end is cut there.
    fn body(
        &self,
        account: AccountId,
        blob: BlobRef,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Ticks (with the account's modseq) after every batch applied to the account. Lossy: truth is `changes`.
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64>;

    /// Takes or renews an exclusive lease; `Ok(None)` when another holder has it. Released on drop or after `ttl`.
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>>;

    /// Notes a login, for the help desk. May be lost in a crash; never waits for the disk.
    fn note_login(&self, account: AccountId, protocol: &'static str, now: i64);
}
