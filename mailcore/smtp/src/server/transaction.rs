//! One mail transaction: what MAIL and RCPT have collected (RFC 5321 §3.3).

use std::time::Duration;

use jiff::Timestamp;
use provost_message::{Address, Envelope, Path};
use uuid::Uuid;

use super::patience::elapsed;
use crate::data::DataReader;

/// What the data of one message may take, whatever its size. RFC 5321 §4.5.3.2.5 gives each block three minutes, so that
/// a peer could take for ever.
const DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Octets that earn a second more: a third of a telephone modem of 56 kbit/s.
const DATA_OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// Between MAIL and the end of data.
#[derive(Debug)]
pub(super) struct Transaction {
    /// In Received, in the last reply, and as the root of all batch ids.
    pub(super) id: Uuid,
    pub(super) reverse_path: Option<Path>,
    /// SIZE as announced.
    pub(super) size: Option<u64>,
    pub(super) eight_bit: bool,
    pub(super) recipients: Vec<Recipient>,
}

/// One recipient that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) path: Path,
    pub(super) destination: Destination,
}

/// Who carries the message on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// We do, to this address.
    Local(Address),
    /// The queue.
    Remote,
}

/// A transaction whose data comes in.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) transaction: Transaction,
    pub(super) reader: DataReader,
    /// Octets of the trace fields that the message begins with.
    pub(super) trace_octets: usize,
    /// When 354 was said.
    pub(super) began: Timestamp,
}

impl Receiving {
    /// How long the peer may take for the rest: it grows with what has come, and is nothing for one that trickles.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        let earned = Duration::from_secs(self.reader.octets_read() / DATA_OCTETS_PER_SECOND_MIN);
        (DATA_LIMIT + earned).saturating_sub(elapsed(self.began, now))
    }
}

impl Transaction {
    /// The id as people see it.
    pub(super) fn name(&self) -> String {
        self.id.simple().to_string()
    }

    /// An envelope of some of its recipients.
    pub(super) fn envelope(&self, recipients: Vec<Path>) -> Envelope {
        Envelope { reverse_path: self.reverse_path.clone(), recipients, eight_bit: self.eight_bit }
    }
}
