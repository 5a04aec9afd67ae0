//! What came of an attempt, and the borders to what makes it.

use bytes::Bytes;
use provost_message::Envelope;
use provost_store::BoxFuture;

/// What came of one recipient of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in a mailbox here, with the reports that this causes.
    Delivered,
    /// The next hop took responsibility.
    Sent {
        /// It also took the parameters of RFC 3461, and will report.
        reports: bool,
        /// Its answer.
        answer: String,
    },
    /// 5xx: bounce. What the peer said.
    Failed(String),
    /// 4xx or no connection: try again. What the peer said.
    Deferred(String),
}

impl Fate {
    /// For the counter.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::Delivered | Self::Sent { .. } => "sent",
            Self::Failed(_) => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// The right to send one message.
pub trait Hold: Send + Sync {
    /// Whether this worker still has the message for itself, and will for as long as an answer to the end of data can take.
    /// To be asked right before the octets that hand the message over.
    fn prove(&self) -> BoxFuture<'_, bool>;
}

/// Sends a message on to the next hop: the border to the SMTP client.
pub trait NextHop: Send + Sync + 'static {
    /// One fate per recipient, in order. Never hangs past its own deadlines; hands nothing over unless `hold` proves to be
    /// in force right before.
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, hold: &'a dyn Hold) -> BoxFuture<'a, Vec<Fate>>;
}
