//! One event: what happened to one message for one recipient.

use std::fmt;

use jiff::Timestamp;
use provost_message::{Arrival, Headers, Path, TraceId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::writer;

/// Longest address that is kept, octets: RFC 5321 §4.5.3.1.3 allows 256 for a path.
const ADDRESS_OCTETS_MAX: usize = 320;
/// Longest Message-ID that is kept, octets: most have less than a hundred.
const MESSAGE_ID_OCTETS_MAX: usize = 255;
/// Longest reply or reason that is kept, octets: RFC 5321 §4.5.3.1.5 allows 512 for a reply line.
const TEXT_OCTETS_MAX: usize = 512;

/// Target of the log lines.
pub const LOG_TARGET: &str = "provost::mail";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Final delivery here: in a mailbox, sent on or thrown away by the recipient's rule, as the text states.
    Delivered,
    /// In the queue, durable: to be sent on, or to be delivered when that is possible.
    Queued,
    /// The next hop took it; the text is its answer.
    Sent,
    /// Not now: the peer was asked to come again, or the queue tries again.
    Deferred,
    /// Refused in the session: the peer has it.
    Refused,
    /// Given up: a report goes to the sender, where there is one.
    Failed,
}

impl Outcome {
    /// The word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event as it is kept. Texts are bounded and hold no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    // First, at a fixed place of the line: `search` looks for it there.
    /// The message's number: 32 hexadecimal digits, as in Received and in the reply to the sender.
    pub id: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub event: Outcome,
    /// `smtp`, `submission`, `lmtp`, or `queue`.
    pub service: String,
    /// Reverse-path in lower case; empty is `<>`.
    pub from: String,
    /// Recipient as the envelope names it, in lower case; `None` when the message was refused before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// entryUUID of the person whose mailbox it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
    /// Message-ID without its angle brackets; `None` before the message came, and of one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Address of the peer that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Login of the sender, of a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Octets of the message; 0 before it came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub octets: u64,
    /// The reply, the mailbox, or the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(octets: &u64) -> bool {
    *octets == 0
}

/// An event that is being described.
#[derive(Debug)]
#[must_use = "an event counts when it is recorded"]
pub struct Event {
    record: Record,
}

impl Event {
    /// Of a message on its way in, or out of the queue.
    pub fn new(arrival: &Arrival, outcome: Outcome, now: Timestamp) -> Self {
        let connection = arrival.connection.as_deref();
        let sender = arrival.envelope.reverse_path.as_ref().map(Path::to_string).unwrap_or_default();
        let login = connection.and_then(|connection| connection.login.as_ref());
        let record = Record {
            id: arrival.trace_id.to_string(),
            at: now.as_millisecond(),
            event: outcome,
            service: connection.map_or("queue", |connection| connection.service.as_label()).to_owned(),
            from: clean(&sender.to_lowercase(), ADDRESS_OCTETS_MAX),
            to: None,
            account: None,
            message_id: None,
            peer: connection.map(|connection| connection.remote.ip().to_string()),
            login: login.map(|person| clean(person.uid.as_ref(), ADDRESS_OCTETS_MAX)),
            octets: 0,
            text: String::new(),
        };
        Self { record }
    }

    /// For one recipient, as the envelope names it.
    pub fn to(mut self, recipient: &Path) -> Self {
        self.record.to = Some(clean(&recipient.to_string().to_lowercase(), ADDRESS_OCTETS_MAX));
        self
    }

    /// For the mailbox of a person.
    pub fn account(mut self, entry_uuid: Uuid) -> Self {
        self.record.account = Some(entry_uuid);
        self
    }

    /// Of a message that came: its Message-ID and its size are kept.
    pub fn message(mut self, message: &[u8]) -> Self {
        self.record.octets = message.len() as u64;
        let field = Headers::of(message).get("Message-ID");
        self.record.message_id = field.map(|value| message_id(&value)).filter(|id| !id.is_empty());
        self
    }

    /// The reply, the mailbox or the reason.
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        self.record.text = clean(text.to_string().trim_end(), TEXT_OCTETS_MAX);
        self
    }

    /// Logs the event, and keeps it where the process has a recorder. Never waits.
    pub fn record(self) {
        let Record { id, event, service, from, to, message_id, peer, login, octets, text, .. } = &self.record;
        let (to, message_id) = (to.as_deref().unwrap_or_default(), message_id.as_deref().unwrap_or_default());
        let (peer, login) = (peer.as_deref().unwrap_or_default(), login.as_deref().unwrap_or_default());
        tracing::info!(target: LOG_TARGET, id, service, peer, login, from, to, message_id, octets, text, "{event}");
        writer::record(self.record);
    }
}

/// What people copy from a message: with or without angle brackets, and whatever stands around them.
pub(crate) fn message_id(value: &str) -> String {
    let inner = value.split_once('<').map_or(value, |(_, rest)| rest);
    let inner = inner.split_once('>').map_or(inner, |(id, _)| id);
    clean(inner.trim(), MESSAGE_ID_OCTETS_MAX)
}

/// Bounded, on one line, and nothing in it steers a terminal or turns other text around.
fn clean(text: &str, octets_max: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(octets_max)).unwrap_or_default();
    if cut.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return cut.to_owned();
    }
    let is_bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    cut.replace("\r\n", " ").chars().map(|c| if c.is_control() || is_bidi(c) { '?' } else { c }).collect()
}

/// The number of a message as people copy it from a log, a Received field or a reply.
pub(crate) fn trace_id(text: &str) -> Option<String> {
    Uuid::try_parse(text.trim()).ok().map(|id| TraceId::from(id).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_harmless() {
        assert_eq!(clean("550 5.1.1 No such user", 512), "550 5.1.1 No such user");
        assert_eq!(clean("250-a\r\n250 b", 512), "250-a 250 b");
        assert_eq!(clean("a\u{1b}[31m\nb\u{202e}c\u{9b}", 512), "a?[31m?b?c?");
        assert_eq!(clean(&"é".repeat(300), 511).len(), 510);
    }

    #[test]
    fn message_ids_are_found_however_they_are_written() {
        for written in ["<a@b>", "a@b", " <a@b> (comment)", "Message-ID: <a@b>", "\r\n <a@b>"] {
            assert_eq!(message_id(written), "a@b", "{written}");
        }
        assert_eq!(message_id("<>"), "");
        assert_eq!(message_id(&format!("<{}>", "x".repeat(2000))).len(), MESSAGE_ID_OCTETS_MAX);
    }
}
