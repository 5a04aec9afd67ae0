//! The fate of each recipient of an attempt, and the interface to the client that sends.

use bytes::Bytes;
use provost_message::Envelope;
use provost_store::BoxFuture;

/// The fate of one recipient after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The message is in a mailbox of this site, and the reports that this causes are queued.
    Delivered,
    /// The next hop took responsibility.
    Sent {
        /// Whether the next hop also accepted the parameters of RFC 3461, and so sends the reports itself.
        reports: bool,
        /// The reply of the next hop, one line.
        answer: String,
    },
    /// Refused for good (5xx): the sender gets a bounce. Holds the peer's reply or the reason.
    Failed(String),
    /// Refused for now (4xx), or no connection: another attempt follows. Holds the peer's reply or the reason.
    Deferred(String),
}

impl Fate {
    /// The label of the attempt counter.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::Delivered | Self::Sent { .. } => "sent",
            Self::Failed(_) => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// The right to send one message, which lasts as long as the lease on its queue row.
pub trait SendPermit: Send + Sync {
    /// Renews the lease, and returns whether this worker still holds it for longer than the reply to the end of data
    /// can take. The caller calls this immediately before it sends the octets that hand over the message.
    fn prove(&self) -> BoxFuture<'_, bool>;
}

/// Sends a message to the next hop. The SMTP client implements this.
pub trait NextHop: Send + Sync + 'static {
    /// Returns one fate per recipient, in order. The implementation keeps its own deadlines, and hands the message over
    /// only if `permit` was proven immediately before.
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, permit: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>>;
}
