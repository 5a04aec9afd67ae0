//! The client: messages to a relay.

/// Which relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `host:port`.
    pub relay: String,
    /// Our name in EHLO.
    pub hostname: String,
}

/// Sends to one relay (implements `provost_queue::NextHop`).
pub struct RelayClient {
    /// Where to.
    pub config: RelayConfig,
}
