//! Local delivery: recipient to person, person's Sieve, then the store. The one door for messages into mailboxes.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Envelope, Path};
use provost_store::{BatchId, MessageStore};
use provost_view::{Address, View};

/// What came of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Durable in the mailbox (or discarded by the recipient's rule).
    Stored,
    /// Never will: reply code and enhanced status are the caller's (550 5.1.1, 552 5.2.2, ...).
    Refused(Refusal),
    /// Later may work: 451 4.3.0.
    Unavailable(String),
}

/// Why a recipient is refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 550 5.1.1
    NoSuchUser,
    /// 550 5.7.1: not our domain.
    NotLocal,
    /// 550 5.2.1
    Closed,
    /// 552 5.2.2: over quota.
    Full,
}

/// A message that a delivery causes (vacation reply, redirect): for the queue.
#[derive(Clone, Debug)]
pub struct Caused {
    /// Its envelope.
    pub envelope: Envelope,
    /// Whole.
    pub body: Bytes,
}

/// Delivers to local people. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Octets allowed when the directory sets none.
    pub default_quota: Option<u64>,
    /// Name of this host, for Received and Message-ID.
    pub hostname: Arc<str>,
}

impl Delivery {
    /// Whether a recipient would be taken now: `Ok` is yes (RCPT TO).
    pub fn check(&self, recipient: &Address) -> Result<(), Delivered> {
        let _ = recipient;
        todo!("H6")
    }

    /// Delivers one message to one recipient. `message` begins with the trace fields that the caller put (Received),
    /// Return-Path and Delivered-To are added here. With the same `id` again nothing is doubled.
    pub async fn deliver(
        &self,
        id: BatchId,
        reverse_path: Option<&Path>,
        recipient: &Address,
        message: &Bytes,
        now: Timestamp,
    ) -> (Delivered, Vec<Caused>) {
        let _ = (id, reverse_path, recipient, message, now);
        todo!("H6")
    }
}
