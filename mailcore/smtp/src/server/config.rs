//! What all sessions of a server share.

use std::sync::Arc;

use provost_delivery::Delivery;
use provost_net::MemoryBudget;
use provost_queue::Queue;
use provost_view::View;

/// Shared by all sessions.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Our name in greetings and Received.
    pub hostname: Arc<str>,
    /// Recipients in one transaction.
    pub recipients_max: usize,
    /// The directory.
    pub view: View,
    /// Local delivery.
    pub delivery: Delivery,
    /// Everything else.
    pub queue: Queue,
    /// Memory for messages that are coming in; the same for all protocols.
    pub memory: MemoryBudget,
}
