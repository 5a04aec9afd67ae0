//! Listeners and their connections: sockets, TLS, deadlines, limits, drain.
//!
//! A mail protocol never sees a socket: it implements [`Session`], takes bytes from a buffer and puts bytes into an
//! [`OutputBuffer`]; the driver (`conversation`) does the rest. Nothing here may depend on any one protocol.

mod accept;
mod conversation;
mod drain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listener;
mod memory;
mod network;
mod output;
mod proxy;
mod session;
mod stream;
mod tls;

pub use accept::{AcceptedConnection, RunningListener, serve, serve_connections};
pub use drain::Drain;
pub use limits::{ConnectionBudget, ConnectionsBySource, Limits, SourceSlot};
pub use listener::{Budgets, Listener};
pub use memory::{FREE_OCTETS, MEMORY_OCTETS_DEFAULT, MEMORY_OCTETS_MIN, MemoryBudget, Reservation};
pub use network::{Network, NetworkError};
pub use output::{OUTPUT_OCTETS_HIGH, OutputBuffer, Sink};
pub use proxy::{PROXY_HEADER_LIMIT, ProxyNetworks};
pub use session::{Goodbye, Peer, Session, SessionError, Step, Transport};
pub use tls::{Certificates, TlsError, server_config};
