//! The store: three traits (messages, queue, shared state), two engines of each, one conformance suite.
//!
//! The account is the unit of transaction. All that the mail core knows of storage stands in [`MessageStore`] and
//! [`QueueStore`]; what nodes share beside mail is in [`StateStore`]. An engine never knows a protocol; a protocol never knows
//! an engine. What an op means is written once (`interpret`, `restore`), over the rows that an engine keeps (`memory`, `local`).

mod account;
mod batch;
mod body;
mod flags;
mod interpret;
mod lease;
mod local;
mod mailbox;
mod memory;
mod name;
mod notices;
mod queue;
mod read;
mod restore;
mod state;
mod traits;
mod uid;

pub use batch::{Applied, ApplyError, Batch, BatchId, Effect, FlagChange, Op, Require, StoreError};
pub use body::BodyId;
pub use flags::{Flag, Flags, Keyword};
pub use lease::{Lease, LeaseError};
pub use local::{LocalConfig, LocalState, LocalStore, UpkeepConfig};
pub use mailbox::{AccountId, MailboxId, MailboxInfo, MessageMeta, Modseq, Snapshot, SpecialUse};
pub use memory::{MemoryState, MemoryStore};
pub use name::MailboxName;
pub use queue::{
    Claim, Destination, Left, Outgoing, QueueId, QueueRow, QueueStore, QueueTally, QueuedRecipient, RowKey, Take,
    Taken, UNSETTLED_MAX,
};
pub use read::{Columns, Row, Rows, Token, Which};
pub use state::{
    Expect, LogEntry, STATE_CHANGES_MAX, STATE_KEY_OCTETS_MAX, STATE_READ_MAX, STATE_VALUE_OCTETS_MAX, StateChange,
    StateError, StateLog, StateRecord, StateSpace, StateStore, StateVersion, WhenFull,
};
pub use traits::{BoxFuture, MessageStore};
pub use uid::{Uid, UidSet, UidValidity};
