//! IMAP4rev1 (RFC 3501) and its extensions: codec, session, one handler per command.

use std::sync::Arc;

use provost_net::{Peer, Transport};
use provost_store::MessageStore;
use provost_view::View;

/// Shared by all sessions.
#[derive(Clone)]
pub struct ImapConfig {
    /// Our name.
    pub hostname: Arc<str>,
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Octets allowed when the directory sets none.
    pub default_quota: Option<u64>,
    /// Largest APPEND literal, octets.
    pub append_octets_max: u64,
}

/// One conversation (implements `provost_net::Session`).
pub struct ImapSession {
    _private: (),
}

impl ImapSession {
    /// `tls_offered`: STARTTLS can be told in CAPABILITY.
    pub fn new(config: Arc<ImapConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let _ = (config, peer, transport, tls_offered);
        todo!("H5")
    }
}
