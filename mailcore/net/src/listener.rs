//! Accepting, feeding, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Peer, Session, Transport};

/// What one listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections on this listener.
    pub connections: usize,
    /// Open connections from one address.
    pub connections_per_address: usize,
    /// Octets that may wait in a session's input buffer.
    pub input_octets: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long one write to the peer may stall.
    pub write: Duration,
}

/// One listener.
#[derive(Clone)]
pub struct Listener {
    /// For logs and metrics: `imap`, `lmtp`, ...
    pub name: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// For STARTTLS or implicit TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Bounds.
    pub limits: Limits,
}

/// Tells all listeners and sessions to stop, and waits for them.
#[derive(Clone)]
pub struct Drain {
    _private: (),
}

/// A running listener.
pub struct Serve {
    /// Where it listens really (port 0 is resolved).
    pub address: SocketAddr,
}

/// Binds and serves: `make` builds one session per connection, told how its bytes travel and whether TLS can be offered.
pub async fn serve<S, F>(listener: Listener, drain: Drain, make: F) -> std::io::Result<Serve>
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    let _ = (listener, drain, make);
    todo!("net")
}
