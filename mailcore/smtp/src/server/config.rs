//! Configuration and services that all sessions of a server share.

use std::sync::Arc;

use provost_delivery::Delivery;
use provost_message::{PeerConnection, Service};
use provost_net::{MemoryBudget, Reservation};
use provost_queue::Queue;
use provost_view::View;

/// Configuration and services of all sessions of a server.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Host name in replies and in the fields that the server adds.
    pub hostname: Arc<str>,
    /// Maximum number of recipients of one transaction.
    pub recipients_max: usize,
    /// The View of the directory.
    pub view: View,
    /// Local delivery.
    pub delivery: Delivery,
    /// The queue: for recipients elsewhere, and for local deliveries that must wait.
    pub queue: Queue,
    /// Memory for messages that are being received; shared by all protocols.
    pub memory: MemoryBudget,
}

impl SmtpConfig {
    /// An empty reservation for a message that comes through this connection. LMTP clients are trusted servers that
    /// bring everybody's mail, so no share per source limits them.
    pub(super) fn message_memory(&self, connection: &PeerConnection) -> Reservation {
        match connection.service {
            Service::Lmtp => self.memory.body(),
            Service::Mx | Service::Submission => self.memory.body_of(connection.remote.ip()),
        }
    }
}
