//! One mail transaction: what MAIL and RCPT have collected (RFC 5321 §3.3).

use std::time::Duration;

use jiff::Timestamp;
use provost_message::{Arrival, Recipient};

use super::error_budget::elapsed;
use super::route::DeliveryRoute;
use crate::data::DataReader;

/// Time limit of the data of one message, without the time that received octets add. RFC 5321 §4.5.3.2.5 gives each
/// block three minutes, by which a peer could go on for ever.
const DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Octets that add one more second: a third of the rate of a 56 kbit/s modem.
const DATA_OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// A transaction between MAIL and the end of data.
#[derive(Debug)]
pub(super) struct MailTransaction {
    /// The message as far as it is known.
    pub(super) arrival: Arrival,
    /// The route to each recipient of the envelope, in the same order.
    pub(super) routes: Vec<DeliveryRoute>,
}

/// A transaction whose data is arriving.
#[derive(Debug)]
pub(super) struct ReceivingData {
    pub(super) transaction: MailTransaction,
    pub(super) reader: DataReader,
    /// Octets of the trace fields that the message begins with.
    pub(super) trace_octets: usize,
    /// When 354 was sent.
    pub(super) began: Timestamp,
}

impl ReceivingData {
    /// Time that the peer has left: it grows with the data that arrived, so that a peer that trickles runs out of it.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        let earned = Duration::from_secs(self.reader.octets_read() / DATA_OCTETS_PER_SECOND_MIN);
        (DATA_LIMIT + earned).saturating_sub(elapsed(self.began, now))
    }
}

impl MailTransaction {
    /// The recipients of the envelope with the route to each.
    pub(super) fn recipients(&self) -> impl Iterator<Item = (&Recipient, &DeliveryRoute)> {
        self.arrival.envelope.recipients.iter().zip(&self.routes)
    }
}
