//! The interface between the mail core and storage.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BodyId, Columns, Lease, LeaseError, MailboxId,
    MessageSelection, ReadToken, Rows, StoreError,
};

/// A boxed future, which lets engines be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store of all accounts, shared as `Arc<dyn MessageStore>`.
pub trait MessageStore: Send + Sync + 'static {
    /// Applies one batch. The batch is durable when the future resolves to `Ok`. Dropping the future does not undo the
    /// batch: it may be applied or not.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>>;

    /// Returns the account's present mailboxes; creates an account that was never written.
    /// [`Unavailable`](StoreError::Unavailable) while the account is older than `at_least`.
    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>>;

    /// Reads messages of one mailbox, with the selected derived columns. Columns that are not stored yet are derived
    /// from the bodies. [`Unavailable`](StoreError::Unavailable) while the account is older than `at_least`;
    /// [`Gone`](StoreError::Gone) when there is no such mailbox. The result is held in memory: read a long mailbox in
    /// pieces when selecting columns.
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>>;

    /// Returns a body or a part of it; a range is cut at the end of the body. [`Gone`](StoreError::Gone) soon after the
    /// last message with this body was expunged.
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Returns a receiver whose value becomes the account's modseq after each batch that is applied to the account. A
    /// receiver may miss values, so read the account after each change.
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64>;

    /// Takes an exclusive lease; `Ok(None)` while another holder has it. The lease ends when it is dropped, or after
    /// `ttl` unless renewed.
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>>;

    /// Extends a lease to `ttl` from now. [`Fenced`](LeaseError::Fenced) when the lease has expired or another holder
    /// has it: the guarded work must stop.
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Returns at most `limit` accounts with ids above `after`, in ascending order: those written once and not deleted.
    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>>;

    /// The accounts with a login at `since` or later, at most `limit`, each with its last login; the earliest first.
    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>>;

    /// Records a login for the help desk. Never waits for the disk; a crash or a flood of logins may lose the record.
    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp);
}
