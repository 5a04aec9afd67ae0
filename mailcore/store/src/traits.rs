//! All that the mail core knows of storage.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    AccountId, Applied, ApplyError, Batch, BodyId, Columns, Lease, LeaseError, MailboxId, Rows, Snapshot, StoreError,
    Token, Which,
};

/// A boxed future, so that engines can stand behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store of all accounts. Shared as `Arc<dyn MessageStore>`.
pub trait MessageStore: Send + Sync + 'static {
    /// Applies one batch: durable when it resolves `Ok`. Dropping the future does not take the batch back.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, ApplyError>>;

    /// The account's mailboxes now. Unavailable when they are not yet as new as `at_least`.
    fn snapshot(&self, account: AccountId, at_least: Option<Token>) -> BoxFuture<'_, Result<Snapshot, StoreError>>;

    /// Messages of one mailbox, with the derived columns asked for. Reads no body when the columns are kept. Unavailable
    /// when the account is not yet as new as `at_least`; gone when there is no such mailbox. What comes back is held in
    /// memory: ask for a long mailbox in pieces when columns are wanted.
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: Which,
        columns: Columns,
        at_least: Option<Token>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>>;

    /// A body or a part of it; a range that goes beyond the end is cut there. Gone soon after the last message that had
    /// this body was expunged.
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>>;

    /// Ticks (with the account's modseq) after every batch applied to the account. Lossy: truth is `read`.
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64>;

    /// Takes an exclusive lease; `Ok(None)` when another holder has it. Released on drop, or after `ttl` unless renewed.
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>>;

    /// Prolongs a lease to `ttl` from now. Fenced when it has run out or another holder has it: what it guarded must stop.
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Accounts that were ever written and not deleted, ascending, after `after`, at most `most`.
    fn accounts(&self, after: Option<AccountId>, most: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>>;

    /// Notes a login, for the help desk. May be lost in a crash; never waits for the disk.
    fn note_login(&self, account: AccountId, protocol: &'static str, now: i64);
}
