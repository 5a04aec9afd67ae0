//! The handlers' access to the directory and the store, and the replies for errors of the store.

use jiff::Timestamp;
use provost_store::{
    AccountSnapshot, Applied, Batch, BatchCondition, BatchError, BatchId, Columns, MailboxInfo, MessageRow,
    MessageSelection, Op, StoreError, UidSet,
};
use uuid::Uuid;

use crate::ImapConfig;
use crate::account::LoggedInAccount;
use crate::codec::StatusResponse;
use crate::codec::command::NamedMailbox;
use crate::mailbox::SelectedMailbox;

/// Maximum number of times that a batch is sent under one id while its outcome is unknown.
const TRIES_MAX: usize = 3;

/// Directory, store and time for one command.
pub(crate) struct CommandContext<'a> {
    pub(crate) config: &'a ImapConfig,
    pub(crate) account: &'a LoggedInAccount,
    /// The time of the command.
    pub(crate) now: Timestamp,
}

impl CommandContext<'_> {
    /// Applies ops in one attempt, without a batch id. Only for ops that a client may repeat without harm after a reply
    /// that leaves their outcome open.
    pub(crate) async fn apply(&self, ops: Vec<Op>) -> Result<Applied, BatchError> {
        self.config.store.apply(self.batch(None, Vec::new(), ops)).await
    }

    /// Applies ops that create messages. While the outcome is unknown, the batch is tried again under the same id, so
    /// that its messages are created at most once.
    pub(crate) async fn apply_once(&self, require: Vec<BatchCondition>, ops: Vec<Op>) -> Result<Applied, BatchError> {
        let batch = self.batch(Some(BatchId::new(Uuid::now_v7())), require, ops);
        for _ in 0..TRIES_MAX {
            match self.config.store.apply(batch.clone()).await {
                Err(BatchError::Unknown) => {}
                outcome => return outcome,
            }
        }
        Err(BatchError::Unknown)
    }

    fn batch(&self, id: Option<BatchId>, require: Vec<BatchCondition>, ops: Vec<Op>) -> Batch {
        Batch { id, account: self.account.id, now: self.now, require, ops }
    }

    /// The condition that a batch stays within the account's quota, as the directory has it now; empty without a quota.
    pub(crate) fn quota(&self) -> Vec<BatchCondition> {
        let snapshot = self.config.view.snapshot();
        let person = snapshot.person(self.account.id.get());
        let octets = person.map_or(snapshot.settings().default_quota, |person| snapshot.quota(&person, self.now));
        octets.map(BatchCondition::QuotaOctets).into_iter().collect()
    }

    /// The account's mailboxes, or the reply when they cannot be read.
    pub(crate) async fn snapshot(&self) -> Result<AccountSnapshot, StatusResponse> {
        self.config.store.snapshot(self.account.id, None).await.map_err(|error| unreadable(&error))
    }

    /// The rows of those messages in `uids` that still exist in the selected mailbox, with these columns.
    pub(crate) async fn rows(
        &self,
        selected: &SelectedMailbox,
        uids: UidSet,
        columns: Columns,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let read = self.config.store.read(self.account.id, selected.id, MessageSelection::Uids(uids), columns, None);
        read.await.map(|rows| rows.rows)
    }

    /// The mailbox of that name, or the reply when there is none or the store cannot be read.
    pub(crate) async fn mailbox(&self, name: &NamedMailbox) -> Result<MailboxInfo, StatusResponse> {
        let name = name.as_ref().ok_or_else(no_mailbox)?;
        let snapshot = self.snapshot().await?;
        snapshot.mailboxes.into_iter().find(|mailbox| mailbox.name == *name).ok_or_else(no_mailbox)
    }
}

fn no_mailbox() -> StatusResponse {
    StatusResponse::no("NONEXISTENT", "No such mailbox")
}

/// The reply for a name that no mailbox can have. As the destination of APPEND, COPY or MOVE, it must not cause
/// TRYCREATE: the mailbox cannot be created (RFC 3501 §6.3.11, §6.4.7).
pub(crate) fn bad_name() -> StatusResponse {
    StatusResponse::no("CANNOT", "No mailbox can have this name")
}

/// The reply to a failed read (RFC 5530 §3).
pub(crate) fn unreadable(error: &StoreError) -> StatusResponse {
    match error {
        StoreError::Gone => no_mailbox(),
        StoreError::Unavailable(reason) => {
            tracing::warn!(%reason, "store unavailable");
            StatusResponse::no("UNAVAILABLE", "Storage is not available now")
        }
        StoreError::Damaged(reason) => {
            tracing::error!(%reason, "stored data is damaged");
            StatusResponse::no("CORRUPTION", "The stored data is damaged")
        }
    }
}

/// The reply to a refused change (RFC 5530 §3); `missing` is the code for a missing mailbox: TRYCREATE or NONEXISTENT.
pub(crate) fn refused(error: BatchError, missing: &'static str) -> StatusResponse {
    match error {
        BatchError::NoMailbox(_) => StatusResponse::no(missing, "No such mailbox"),
        BatchError::MailboxExists(_) => StatusResponse::no("ALREADYEXISTS", "A mailbox of that name exists"),
        BatchError::OverQuota => StatusResponse::no("OVERQUOTA", "Over quota"),
        BatchError::Refused(reason) => StatusResponse::no("CANNOT", reason),
        BatchError::Fenced | BatchError::Conflict(_) => {
            StatusResponse::no("INUSE", "The mailbox was changed during the command, try again")
        }
        BatchError::Unknown | BatchError::Unavailable(_) => {
            tracing::warn!(%error, "a change was not confirmed by the store");
            StatusResponse::no("UNAVAILABLE", "Storage is not available now")
        }
    }
}
