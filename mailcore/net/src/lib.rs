//! The one driver of all listeners: sockets, TLS, deadlines, limits, drain. Protocols are values that it feeds.
//!
//! Protocol logic never sees a socket: it implements [`Session`], takes bytes from a buffer and puts bytes into an
//! [`Output`]. What must never happen here: knowledge of any protocol.

mod listener;
mod output;
mod session;
mod tls;

pub use listener::{Drain, Limits, Listener, Serve, serve};
pub use output::{Output, Sink};
pub use session::{Goodbye, Peer, Session, SessionError, Step, Transport};
pub use tls::{server_config, TlsError};
