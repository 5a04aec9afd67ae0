//! The message store: one trait, two engines, one conformance suite.
//!
//! The account is the unit of transaction. All that the mail core knows of storage stands in [`MessageStore`] and
//! [`QueueStore`]. An engine never knows a protocol; a protocol never knows an engine.

mod batch;
mod local;
mod mailbox;
mod memory;
mod queue;
mod traits;

pub use batch::{Applied, ApplyError, Batch, BatchId, Effect, FlagChange, Op, Require, StoreError};
pub use local::{LocalConfig, LocalStore};
pub use mailbox::{
    AccountId, BlobRef, Changes, Flag, Flags, Keyword, MailboxId, MailboxInfo, MailboxName, MessageMeta, Modseq, Snapshot,
    SpecialUse, Uid, UidSet, UidValidity,
};
pub use memory::MemoryStore;
pub use queue::{QueueId, QueueItem, QueueStore, RecipientState};
pub use traits::{BoxFuture, Lease, MessageStore};
