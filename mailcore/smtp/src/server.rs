//! The server session.

use std::sync::Arc;

use provost_delivery::Delivery;
use provost_net::{Peer, Transport};
use provost_queue::Queue;
use provost_view::View;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Port 25: mail for our domains from anyone. No AUTH, no relaying.
    Mx,
    /// RFC 6409: from our people after AUTH, to anywhere.
    Submission,
    /// RFC 2033: from a trusted MTA, one answer per recipient.
    Lmtp,
}

/// Shared by all sessions.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Our name in greetings and Received.
    pub hostname: Arc<str>,
    /// SIZE, octets.
    pub message_octets_max: u64,
    /// Recipients in one transaction.
    pub recipients_max: usize,
    /// The directory.
    pub view: View,
    /// Local delivery.
    pub delivery: Delivery,
    /// Everything else.
    pub queue: Queue,
}

/// One conversation.
pub struct SmtpSession {
    _private: (),
}

impl SmtpSession {
    /// `tls_offered`: STARTTLS can be told in EHLO.
    pub fn new(role: Role, config: Arc<SmtpConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let _ = (role, config, peer, transport, tls_offered);
        todo!("H6")
    }
}
