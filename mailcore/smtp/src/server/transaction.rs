//! One mail transaction: what MAIL and RCPT have collected (RFC 5321 §3.3).

use std::time::Duration;

use jiff::Timestamp;
use provost_message::{Address, Envelope, EnvelopeId, Path, Recipient, Return};
use uuid::Uuid;

use super::Role;
use super::patience::elapsed;
use crate::data::DataReader;

/// Recipients that one line of the log names.
const RECIPIENTS_SHOWN_MAX: usize = 20;
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
    /// ENVID.
    pub(super) envelope_id: Option<EnvelopeId>,
    /// RET.
    pub(super) ret: Option<Return>,
    pub(super) recipients: Vec<RcptTo>,
}

/// One recipient that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RcptTo {
    /// As the peer named it, with the parameters of RFC 3461.
    pub(super) recipient: Recipient,
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

    /// The reverse-path for people.
    pub(super) fn sender(&self) -> String {
        format!("<{}>", self.reverse_path.as_ref().map(Path::to_string).unwrap_or_default())
    }

    /// For people: whom the answer with that number is about, of LMTP one recipient each, else of all.
    pub(super) fn answered(&self, role: Role, number: usize) -> String {
        let of_one = (role == Role::Lmtp).then(|| self.recipients.get(number)).flatten();
        let recipients = of_one.map_or(&self.recipients[..], std::slice::from_ref);
        let shown = recipients.iter().take(RECIPIENTS_SHOWN_MAX).map(|one| format!("<{}>", one.recipient.path));
        let mut text = shown.collect::<Vec<_>>().join(" ");
        if let Some(more @ 1..) = recipients.len().checked_sub(RECIPIENTS_SHOWN_MAX) {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }

    /// Its envelope, without recipients.
    pub(super) fn envelope(&self) -> Envelope {
        Envelope {
            reverse_path: self.reverse_path.clone(),
            recipients: Vec::new(),
            eight_bit: self.eight_bit,
            envelope_id: self.envelope_id.clone(),
            ret: self.ret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whom_an_answer_is_about() {
        let recipient = |n: usize| RcptTo {
            recipient: Path::new(&format!("r{n}"), "b.example").unwrap().into(),
            destination: Destination::Remote,
        };
        for (role, recipients, number, expect) in [
            (Role::Lmtp, 2, 0, "<r0@b.example>"),
            (Role::Lmtp, 2, 1, "<r1@b.example>"),
            (Role::Mx, 1, 0, "<r0@b.example>"),
            (Role::Submission, 2, 0, "<r0@b.example> <r1@b.example>"),
            (Role::Mx, 23, 0, "<r19@b.example> and 3 more"),
        ] {
            let recipients = (0..recipients).map(recipient).collect();
            let transaction = Transaction {
                id: Uuid::nil(),
                reverse_path: None,
                size: None,
                eight_bit: false,
                envelope_id: None,
                ret: None,
                recipients,
            };
            assert!(transaction.answered(role, number).ends_with(expect), "{expect}");
            assert_eq!(transaction.sender(), "<>");
        }
    }
}
