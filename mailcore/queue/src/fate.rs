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

/// The right to send one message, which lasts as long as the lease on its queue row.
pub trait SendPermit: Send + Sync {
    /// Renews the lease and returns whether it is still this worker's, for longer than the answer to the end of data can
    /// take. The caller asks right before it sends the octets that hand the message over.
    fn prove(&self) -> BoxFuture<'_, bool>;
}

/// Sends a message on to the next hop: the border to the SMTP client.
pub trait NextHop: Send + Sync + 'static {
    /// Returns one fate per recipient, in order, within its own deadlines. The message is handed over only if `permit`
    /// was proven right before.
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, permit: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>>;
}
