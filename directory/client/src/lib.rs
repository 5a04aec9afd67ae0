//! The LDAP client: sends each read and each write, under a deadline, to a server of the configured list that works and
//! whose role permits the operation. A circuit breaker keeps operations away from a server that fails.
//!
//! No other crate uses LDAP as a client. This one knows entries and their attributes, but not what a person or an
//! address is. `tests/traps.rs` exercises the known faults of servers and of the ldap3 library: none of them may hang
//! or panic the caller.

mod breaker;
mod connection;
mod cookie;
mod decode;
mod directory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod outcome;
mod pages;
mod pool;
mod received;
mod sync;
mod tls;
mod types;

pub use directory::Directory;
pub use received::ReceivedEntry;
pub use sync::{Cookie, SyncContent, SyncEvent, SyncStream};
pub use types::{
    DirectoryConfig, DirectoryError, LdapSearch, Scope, ServerAddress, ServerCondition, ServerRole, WriteConditions,
    WriteReceipt,
};
