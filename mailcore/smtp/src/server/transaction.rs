//! One mail transaction: what MAIL and RCPT have collected (RFC 5321 §3.3).

use std::time::Duration;

use jiff::Timestamp;
use provost_message::{Arrival, Recipient};
use provost_net::{MemoryBudget, Reservation};

use super::error_budget::elapsed;
use super::route::DeliveryRoute;
use crate::data::DataReader;

/// Time limit of the data of one message, before received octets extend it. RFC 5321 §4.5.3.2.5 allows three minutes
/// for each block, so a peer that sends tiny blocks would never time out.
const DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Number of octets whose arrival extends the time limit by one second. A 56 kbit/s modem sends 7,000 octets a second.
const DATA_OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// Octets that the recipients of one transaction may take before the memory budget counts them. They suffice for about
/// a hundred recipients, the minimum of RFC 5321 §4.5.3.1.8.
const RECIPIENTS_FREE: u64 = 64 * 1024;
/// Octets that a recipient takes besides its texts: the values that hold them, and what the allocator adds.
const RECIPIENT_OCTETS: u64 = 512;

/// A transaction between MAIL and the end of data.
#[derive(Debug)]
pub(super) struct MailTransaction {
    /// The message as far as it is known.
    pub(super) arrival: Arrival,
    /// The route to each recipient of the envelope, in the same order.
    pub(super) routes: Vec<DeliveryRoute>,
    /// Whether RCPT stated the moment since which each recipient must have had the mailbox, in the same order.
    pub(super) has_valid_since: Vec<bool>,
    /// Octets of the accepted recipients.
    recipient_octets: u64,
    /// Counts these octets beyond [`RECIPIENTS_FREE`].
    memory: Reservation,
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
    /// Time that the peer has left to end its data. Received data extends this time, but a peer that sends fewer than
    /// [`DATA_OCTETS_PER_SECOND_MIN`] octets a second still runs out of it.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        let earned = Duration::from_secs(self.reader.octets_read() / DATA_OCTETS_PER_SECOND_MIN);
        (DATA_LIMIT + earned).saturating_sub(elapsed(self.began, now))
    }
}

impl MailTransaction {
    /// A transaction without recipients. The recipients added later are counted in `memory`.
    pub(super) fn new(arrival: Arrival, memory: &MemoryBudget) -> Self {
        Self {
            arrival,
            routes: Vec::new(),
            has_valid_since: Vec::new(),
            recipient_octets: 0,
            memory: memory.recipients(),
        }
    }

    /// Takes the memory for one more recipient; `octets` is its [`recipient_octets`]. `false` when memory is short.
    pub(super) fn make_room(&mut self, octets: u64) -> bool {
        let has_room = self.hold(self.recipient_octets + octets);
        if !has_room {
            metrics::counter!("provost_memory_budget_refused_total", "what" => "recipient").increment(1);
        }
        has_room
    }

    /// Keeps the last recipient of the envelope, for whom [`Self::make_room`] took the memory.
    pub(super) fn accept(&mut self, route: DeliveryRoute, has_valid_since: bool, octets: u64) {
        self.recipient_octets += octets;
        self.routes.push(route);
        self.has_valid_since.push(has_valid_since);
    }

    /// Removes the last recipient, who was not accepted, and gives the memory back.
    pub(super) fn refuse(&mut self) -> Option<Recipient> {
        self.hold(self.recipient_octets);
        self.arrival.envelope.recipients.pop()
    }

    fn hold(&mut self, octets: u64) -> bool {
        self.memory.resize(octets.saturating_sub(RECIPIENTS_FREE))
    }

    /// The recipients of the envelope with the route to each.
    pub(super) fn recipients(&self) -> impl Iterator<Item = (&Recipient, &DeliveryRoute)> {
        self.arrival.envelope.recipients.iter().zip(&self.routes)
    }
}

/// Octets that a recipient holds in memory. The path counts twice, because the route to a local recipient repeats it.
pub(super) fn recipient_octets(recipient: &Recipient) -> u64 {
    let path = recipient.path.local().len() + recipient.path.domain().len();
    let original = recipient.original.as_ref().map_or(0, |original| original.to_string().len());
    RECIPIENT_OCTETS + 2 * path as u64 + original as u64
}
