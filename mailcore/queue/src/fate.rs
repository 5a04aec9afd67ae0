//! The fate of each recipient of an attempt, and the interface to the client that sends.

use bytes::Bytes;
use provost_message::Envelope;
use provost_store::BoxFuture;

/// The fate of one recipient after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Local delivery stored the message or, by the person's rules, redirected or discarded it. The reports and replies
    /// that this causes are queued.
    Delivered,
    /// The next hop took responsibility.
    Sent {
        /// Whether the next hop also accepted the parameters of RFC 3461, and so sends the reports itself.
        reports: bool,
        /// The reply of the next hop, one line.
        answer: String,
    },
    /// Refused for good (5xx): a bounce follows, unless NOTIFY or the null reverse-path forbids it. Holds the peer's
    /// reply or the reason.
    Failed(String),
    /// Not decided (4xx, no connection, no reply): another attempt follows, or a bounce when the message's lifetime is
    /// over. Holds the peer's reply or the reason.
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
    /// Renews the lease when too little time is left. Returns whether the lease outlasts sending the end of data and
    /// reading the reply; on false, nothing may be sent. To be called immediately before the end of data.
    fn prove(&self) -> BoxFuture<'_, bool>;
}

/// The next hop of messages to other sites. The SMTP client implements this.
pub trait NextHop: Send + Sync + 'static {
    /// Sends a message, and returns one fate per recipient, in order. The implementation has its own time limits. It
    /// hands the message over only after [`SendPermit::prove`] has returned true.
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, permit: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>>;
}
