//! What came of an attempt, and the border to what makes it.

use bytes::Bytes;
use provost_message::Path;
use provost_store::BoxFuture;

/// What came of one recipient of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next hop took responsibility.
    Sent,
    /// 5xx: bounce. What the peer said.
    Failed(String),
    /// 4xx or no connection: try again. What the peer said.
    Deferred(String),
}

impl Fate {
    /// For the counter.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed(_) => "failed",
            Self::Deferred(_) => "deferred",
        }
    }
}

/// Sends a message on to the next hop: the border to the SMTP client.
pub trait NextHop: Send + Sync + 'static {
    /// One fate per recipient, in order. Never hangs past its own deadlines.
    fn send(
        &self,
        reverse_path: Option<Path>,
        recipients: Vec<Path>,
        eight_bit: bool,
        body: Bytes,
    ) -> BoxFuture<'_, Vec<Fate>>;
}
