//! The message store: one trait, two engines, one conformance suite.
//!
//! The account is the unit of transaction. All that the mail core knows of storage stands in [`MessageStore`] and
//! [`QueueStore`]. An engine never knows a protocol; a protocol never knows an engine. What an
//! op means is written once (`interpret`), over the rows that an engine keeps (`memory`, `local`).

mod account;
mod batch;
mod flags;
mod interpret;
mod lease;
mod local;
mod mailbox;
mod memory;
mod name;
mod notices;
mod queue;
mod traits;
mod uid;

pub use batch::{Applied, ApplyError, Batch, BatchId, Effect, FlagChange, Op, Require, StoreError};
pub use flags::{Flag, Flags, Keyword};
pub use lease::Lease;
pub use local::{LocalConfig, LocalStore};
pub use mailbox::{AccountId, BlobRef, Changes, MailboxId, MailboxInfo, MessageMeta, Modseq, Snapshot, SpecialUse};
pub use memory::MemoryStore;
pub use name::MailboxName;
pub use queue::{QueueId, QueueItem, QueueStore, RecipientState};
pub use traits::{BoxFuture, MessageStore};
pub use uid::{Uid, UidSet, UidValidity};
