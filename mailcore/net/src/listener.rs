//! What a listener is, and what its connections share.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::Counts;
use crate::{Drain, Limits, ProxyNetworks, Sources};

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
    /// Networks whose connections begin with a PROXY header, before TLS.
    pub proxies: ProxyNetworks,
    /// Bounds.
    pub limits: Limits,
}

/// What every connection of a listener shares.
pub(crate) struct Shared {
    pub(crate) listener: Listener,
    pub(crate) drain: Drain,
    pub(crate) sources: Sources,
    pub(crate) accounts: Counts<String>,
}
