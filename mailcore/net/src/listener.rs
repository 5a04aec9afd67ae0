//! What a listener is, and what its connections share.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::Counts;
use crate::{ConnectionBudget, Drain, Limits, MemoryBudget, ProxyNetworks};

/// One listener.
#[derive(Clone)]
pub struct Listener {
    /// For logs and metrics: `imap`, `lmtp`, ...
    pub name: &'static str,
    /// The address to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS from the first octet.
    pub implicit_tls: bool,
    /// The certificate for STARTTLS or implicit TLS; without one neither is offered.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Networks whose connections begin with a PROXY header, before TLS.
    pub proxies: ProxyNetworks,
    /// Bounds of this listener.
    pub limits: Limits,
    /// Bounds of the whole process.
    pub budgets: Budgets,
}

/// What all listeners of a process share. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    /// Octets held for peers.
    pub memory: MemoryBudget,
    /// Open connections.
    pub connections: ConnectionBudget,
}

/// What every connection of a listener shares.
pub(crate) struct Shared {
    pub(crate) listener: Listener,
    pub(crate) drain: Drain,
    pub(crate) accounts: Counts<String>,
}
