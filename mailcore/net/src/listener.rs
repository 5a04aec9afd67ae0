//! The settings of a listener, and the state that its connections share.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::ConnectionCounts;
use crate::{ConnectionBudget, Drain, Limits, MemoryBudget, ProxyNetworks};

/// The settings of one listener.
#[derive(Clone)]
pub struct Listener {
    /// The name in logs and metrics: `imap`, `lmtp`, ...
    pub name: &'static str,
    /// The address to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether TLS begins with the first octet.
    pub implicit_tls: bool,
    /// The certificate for STARTTLS or implicit TLS; without a certificate neither is offered.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Networks whose connections begin with a PROXY header, before TLS.
    pub proxies: ProxyNetworks,
    /// Limits of this listener.
    pub limits: Limits,
    /// Limits of the whole process.
    pub budgets: Budgets,
}

/// Budgets that all listeners of a process share. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    /// Octets held in memory for peers.
    pub memory: MemoryBudget,
    /// Open connections of all listeners.
    pub connections: ConnectionBudget,
}

/// State that all connections of a listener share.
pub(crate) struct ListenerState {
    pub(crate) listener: Listener,
    pub(crate) drain: Drain,
    pub(crate) accounts: ConnectionCounts<String>,
}
