//! The store: three traits (messages, queue, shared state), two engines of each, one conformance suite.
//!
//! The account is the unit of transaction. The mail core uses storage only through [`MessageStore`] and [`QueueStore`];
//! nodes share other state through [`StateStore`]. Engines do not know protocols, and protocols do not know engines.
//! The meaning of each op is defined once (`interpret`, `restore`), over the rows that an engine keeps (`memory`,
//! `local`).

mod account;
mod batch;
mod body;
mod flags;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
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
mod time;
mod traits;
mod uid;

pub use batch::{Applied, Batch, BatchCondition, BatchError, BatchId, FlagChange, Op, OpEffect, StoreError};
pub use body::BodyId;
pub use flags::{Flag, Flags, Keyword};
pub use interpret::MAILBOX_KEYWORDS_MAX;
pub use lease::{Lease, LeaseError};
pub use local::{LocalConfig, LocalState, LocalStore, UpkeepConfig};
pub use mailbox::{AccountId, AccountSnapshot, MailboxId, MailboxInfo, MessageMeta, Modseq, SpecialUse};
pub use memory::{MemoryState, MemoryStore};
pub use name::MailboxName;
pub use queue::{
    AttemptOutcome, Claim, Destination, NewMessage, QueueId, QueueRow, QueueStore, QueueTally, QueuedRecipient, RowKey,
    TakeLimits, TakenRow, UNSETTLED_MAX,
};
pub use read::{Columns, MessageRow, MessageSelection, ReadToken, Rows};
pub use state::{
    ChangeCondition, LogEntry, STATE_CHANGES_MAX, STATE_KEY_OCTETS_MAX, STATE_READ_MAX, STATE_VALUE_OCTETS_MAX,
    StateChange, StateError, StateLog, StateRecord, StateSpace, StateStore, StateVersion, WhenFull,
};
pub use traits::{BoxFuture, MessageStore};
pub use uid::{Uid, UidSet, UidValidity};
