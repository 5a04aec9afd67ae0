//! POP3 (RFC 1939, 2449, 2595, 5034): codec, session, handlers.

use std::sync::Arc;

use provost_net::{Peer, Transport};
use provost_store::MessageStore;
use provost_view::View;

/// Shared by all sessions.
#[derive(Clone)]
pub struct Pop3Config {
    /// Our name.
    pub hostname: Arc<str>,
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
}

/// One conversation (implements `provost_net::Session`).
pub struct Pop3Session {
    _private: (),
}

impl Pop3Session {
    /// `tls_offered`: STLS can be told in CAPA.
    pub fn new(config: Arc<Pop3Config>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let _ = (config, peer, transport, tls_offered);
        todo!("H7")
    }
}
