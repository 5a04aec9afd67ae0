//! Connections to LDAP servers: a list of servers with roles, deadlines, circuit breaker, writer routing.
//!
//! The only room that speaks LDAP as a client. It knows entries, not people. Traps of the library underneath stand in
//! its tests: no result may hang or panic the caller.

mod directory;
mod sync;

pub use directory::{Control, Directory, DirectoryConfig, DirectoryError, Receipt, Scope, Search, ServerConfig, ServerRole};
pub use sync::{Cookie, SyncEvent, SyncStream};
