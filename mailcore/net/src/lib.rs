//! The one driver of all listeners: sockets, TLS, deadlines, limits, drain. Protocols are values that it feeds.
//!
//! Protocol logic never sees a socket: it implements [`Session`], takes bytes from a buffer and puts bytes into an
//! [`Output`]. What must never happen here: knowledge of any protocol.

mod accept;
mod conversation;
mod drain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listener;
mod network;
mod output;
mod proxy;
mod session;
mod stream;
mod tls;

pub use accept::{Serve, serve};
pub use drain::Drain;
pub use limits::{Limits, SourcePlace, Sources};
pub use listener::Listener;
pub use network::{Network, NetworkError};
pub use output::{OUTPUT_OCTETS_HIGH, Output, Sink};
pub use proxy::{PROXY_HEADER_LIMIT, ProxyNetworks};
pub use session::{Goodbye, Peer, Session, SessionError, Step, Transport};
pub use tls::{Certificates, TlsError, server_config};
