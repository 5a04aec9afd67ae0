//! The LDAP client: a list of servers with roles, to which it routes reads and writes with deadlines and circuit
//! breakers.
//!
//! The only room that uses LDAP as a client. It handles entries, not people. Its tests (`tests/traps.rs`) list the
//! known faults of the library underneath; none of them may hang or panic the caller.

mod breaker;
mod connection;
mod cookie;
mod decode;
mod directory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod outcome;
mod pool;
mod sync;
mod tls;
mod types;

pub use directory::Directory;
pub use sync::{Cookie, SyncEvent, SyncStream};
pub use types::{
    DirectoryConfig, DirectoryError, LdapSearch, Scope, ServerAddress, ServerCondition, ServerRole, WriteConditions,
    WriteReceipt,
};
