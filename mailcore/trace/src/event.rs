//! One event: the outcome of one message for one recipient.

use std::fmt;

use jiff::Timestamp;
use provost_message::{Arrival, HeaderSection, Path, TraceId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::writer;

/// Longest recorded address, octets: RFC 5321 §4.5.3.1.1 and §4.5.3.1.2 allow 64 for the local part and 255 for the
/// domain.
const ADDRESS_OCTETS_MAX: usize = 320;
/// Longest recorded Message-ID, octets: most have less than a hundred.
const MESSAGE_ID_OCTETS_MAX: usize = 255;
/// Longest recorded reply or reason, octets: RFC 5321 §4.5.3.1.5 allows 512 for a reply line.
const TEXT_OCTETS_MAX: usize = 512;

/// Target of the log lines.
pub const LOG_TARGET: &str = "provost::mail";

/// The outcome that an event records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceOutcome {
    /// Final delivery: into a mailbox, or forwarded or discarded by the recipient's rule, as the text states.
    Delivered,
    /// Durable in the queue, to be relayed or delivered later.
    Queued,
    /// The next hop accepted the message; the text is its reply.
    Sent,
    /// Temporary failure: the peer was asked to try again later, or the queue will try again.
    Deferred,
    /// Refused in the session: the message stays with the peer.
    Refused,
    /// Given up: the sender gets a report where one is due.
    Failed,
}

impl TraceOutcome {
    /// Returns the word for logs.
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

impl fmt::Display for TraceOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event as it is recorded. Texts are bounded and have no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    // First, so that it has a fixed position in the line: `search` reads it there.
    /// The message's trace id: 32 hexadecimal digits, as in Received and in the reply to the sender.
    pub id: String,
    /// When it happened; milliseconds since 1970 in the file.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    /// The outcome.
    pub event: TraceOutcome,
    /// `smtp`, `submission`, `lmtp`, or `queue`.
    pub service: String,
    /// Reverse-path in lower case; empty if null.
    pub from: String,
    /// Recipient in the form of the envelope, in lower case; `None` when the whole message was refused
    /// or deferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// entryUUID of the person who owns the mailbox; `None` unless the outcome is [`TraceOutcome::Delivered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
    /// Message-ID without its angle brackets; `None` before the message arrived, and for a message without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// IP address of the peer that sent the message; `None` for the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Login name of the sender, for a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Octets of the message; 0 before it arrived.
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

/// An event under construction.
#[derive(Debug)]
#[must_use = "an event is lost unless `record` is called"]
pub struct TraceEvent {
    record: TraceRecord,
}

impl TraceEvent {
    /// Makes an event of a message that arrives, or comes out of the queue.
    pub fn new(arrival: &Arrival, outcome: TraceOutcome, now: Timestamp) -> Self {
        let connection = arrival.connection.as_deref();
        let sender = arrival.envelope.reverse_path.as_ref().map(Path::to_string).unwrap_or_default();
        let login = connection.and_then(|connection| connection.person.as_ref());
        let record = TraceRecord {
            id: arrival.trace_id.to_string(),
            at: now,
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

    /// Sets the recipient, in the form of the envelope.
    pub fn to(mut self, recipient: &Path) -> Self {
        self.record.to = Some(clean(&recipient.to_string().to_lowercase(), ADDRESS_OCTETS_MAX));
        self
    }

    /// Sets the person whose mailbox gets the message.
    pub fn account(mut self, entry_uuid: Uuid) -> Self {
        self.record.account = Some(entry_uuid);
        self
    }

    /// Sets Message-ID and size of a message that has arrived.
    pub fn message(mut self, message: &[u8]) -> Self {
        self.record.octets = message.len() as u64;
        let field = HeaderSection::of(message).get("Message-ID");
        self.record.message_id = field.map(|value| message_id(&value)).filter(|id| !id.is_empty());
        self
    }

    /// Sets the reply, the mailbox or the reason.
    pub fn text(mut self, text: impl fmt::Display) -> Self {
        self.record.text = clean(text.to_string().trim_end(), TEXT_OCTETS_MAX);
        self
    }

    /// Logs the event, and passes it to the process's recorder, if any. Never waits.
    pub fn record(self) {
        let TraceRecord { id, event, service, from, to, message_id, peer, login, octets, text, .. } = &self.record;
        let (to, message_id) = (to.as_deref().unwrap_or_default(), message_id.as_deref().unwrap_or_default());
        let (peer, login) = (peer.as_deref().unwrap_or_default(), login.as_deref().unwrap_or_default());
        tracing::info!(target: LOG_TARGET, id, service, peer, login, from, to, message_id, octets, text, "{event}");
        writer::record(self.record);
    }
}

/// Finds the Message-ID in text that people copy from a message: within angle brackets, else the whole text.
pub(crate) fn message_id(value: &str) -> String {
    let inner = value.split_once('<').map_or(value, |(_, rest)| rest);
    let inner = inner.split_once('>').map_or(inner, |(id, _)| id);
    clean(inner.trim(), MESSAGE_ID_OCTETS_MAX)
}

/// Cuts a text to `octets_max`, and replaces line ends and other characters that control a terminal or reverse the text
/// direction.
fn clean(text: &str, octets_max: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(octets_max)).unwrap_or_default();
    if cut.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return cut.to_owned();
    }
    let is_bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    cut.replace("\r\n", " ").chars().map(|c| if c.is_control() || is_bidi(c) { '?' } else { c }).collect()
}

/// Reads a trace id that people copy from a log, a Received field or a reply; `None` when the text is not one.
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
