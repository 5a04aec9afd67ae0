//! Connections to LDAP servers: a list of servers with roles, deadlines, circuit breaker, writer routing.
//!
//! The only room that speaks LDAP as a client. It knows entries, not people. Traps of the library underneath stand in
//! its tests: no result may hang or panic the caller.

mod breaker;
mod connection;
mod cookie;
mod decode;
mod directory;
mod outcome;
mod pool;
mod sync;
mod tls;
mod types;

pub use directory::Directory;
pub use sync::{Cookie, SyncEvent, SyncStream};
pub use types::{
    Control, DirectoryConfig, DirectoryError, Receipt, Scope, Search, ServerConfig, ServerLook, ServerRole,
};
