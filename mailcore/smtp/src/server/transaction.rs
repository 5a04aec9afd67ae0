//! One mail transaction: what MAIL and RCPT have collected (RFC 5321 §3.3).

use std::time::Duration;

use jiff::Timestamp;
use provost_message::{Arrival, Path, Recipient, Service};

use super::error_budget::elapsed;
use super::route::Route;
use crate::data::DataReader;

/// Recipients that one log line names.
const RECIPIENTS_SHOWN_MAX: usize = 20;
/// Limit of the data of one message without what it earns. RFC 5321 §4.5.3.2.5 gives each block three minutes, so that a peer
/// could go on for ever.
const DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Octets that earn one more second: a third of the rate of a 56 kbit/s modem.
const DATA_OCTETS_PER_SECOND_MIN: u64 = 2_000;

/// Between MAIL and the end of data.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The message, as far as it is known.
    pub(super) arrival: Arrival,
    /// The route to each recipient of the envelope, in the same order.
    pub(super) routes: Vec<Route>,
}

/// A transaction whose data is arriving.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) transaction: Transaction,
    pub(super) reader: DataReader,
    /// Octets of the trace fields that the message begins with.
    pub(super) trace_octets: usize,
    /// When 354 was sent.
    pub(super) began: Timestamp,
}

impl Receiving {
    /// Time that the peer has left: it grows with the data that arrived, and is zero for a peer that trickles.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        let earned = Duration::from_secs(self.reader.octets_read() / DATA_OCTETS_PER_SECOND_MIN);
        (DATA_LIMIT + earned).saturating_sub(elapsed(self.began, now))
    }
}

impl Transaction {
    /// The recipients of the envelope with the route to each.
    pub(super) fn recipients(&self) -> impl Iterator<Item = (&Recipient, &Route)> {
        self.arrival.envelope.recipients.iter().zip(&self.routes)
    }

    /// The reverse-path as logs show it.
    pub(super) fn sender(&self) -> String {
        format!("<{}>", self.arrival.envelope.reverse_path.as_ref().map(Path::to_string).unwrap_or_default())
    }

    /// The recipients that the answer with this number is about: one for LMTP, else all.
    pub(super) fn answered(&self, service: Service, number: usize) -> String {
        let recipients = &self.arrival.envelope.recipients;
        let of_one = (service == Service::Lmtp).then(|| recipients.get(number)).flatten();
        let recipients = of_one.map_or(&recipients[..], std::slice::from_ref);
        let shown = recipients.iter().take(RECIPIENTS_SHOWN_MAX).map(|recipient| format!("<{}>", recipient.path));
        let mut text = shown.collect::<Vec<_>>().join(" ");
        if let Some(more @ 1..) = recipients.len().checked_sub(RECIPIENTS_SHOWN_MAX) {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use provost_message::Envelope;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn says_whom_an_answer_is_about() {
        let recipient = |n: usize| Path::new(&format!("r{n}"), "b.example").unwrap();
        for (service, recipients, number, expect) in [
            (Service::Lmtp, 2, 0, "<r0@b.example>"),
            (Service::Lmtp, 2, 1, "<r1@b.example>"),
            (Service::Mx, 1, 0, "<r0@b.example>"),
            (Service::Submission, 2, 0, "<r0@b.example> <r1@b.example>"),
            (Service::Mx, 23, 0, "<r19@b.example> and 3 more"),
        ] {
            let envelope = Envelope::new(None, (0..recipients).map(recipient));
            let arrival = Arrival::from_queue(Uuid::nil().into(), envelope, b"");
            let transaction = Transaction { arrival, routes: Vec::new() };
            assert!(transaction.answered(service, number).ends_with(expect), "{expect}");
            assert_eq!(transaction.sender(), "<>");
        }
    }
}
