//! The SMTP envelope: what travels with a message but is not part of it.

use crate::{EnvelopeId, Notify, OriginalRecipient, Path, ReturnContent};

/// The SMTP envelope (RFC 5321 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    /// The reverse-path; `None` is the null reverse-path `<>`.
    pub reverse_path: Option<Path>,
    /// The recipients; at least one once the envelope is complete.
    pub recipients: Vec<Recipient>,
    /// Whether MAIL declared BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// The envelope id, ENVID (RFC 3461 §4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// RET (RFC 3461 §4.3); `None` leaves the choice to the reporting server.
    pub ret: Option<ReturnContent>,
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recipient {
    /// The forward-path.
    pub path: Path,
    /// NOTIFY (RFC 3461 §4.1); `None` asks for reports of failure only.
    pub notify: Option<Notify>,
    /// The original recipient, ORCPT (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
}

impl Envelope {
    /// Makes an envelope for a 7-bit message, without parameters of RFC 3461.
    pub fn new(reverse_path: Option<Path>, recipients: impl IntoIterator<Item = Path>) -> Self {
        let recipients = recipients.into_iter().map(Recipient::from).collect();
        Self { reverse_path, recipients, eight_bit: false, envelope_id: None, ret: None }
    }

    /// Returns the same envelope for other recipients.
    pub fn with_recipients(&self, recipients: Vec<Recipient>) -> Self {
        Self {
            reverse_path: self.reverse_path.clone(),
            recipients,
            eight_bit: self.eight_bit,
            envelope_id: self.envelope_id.clone(),
            ret: self.ret,
        }
    }
}

impl Recipient {
    /// Whether the sender gets a report of failure (RFC 3461 §4.1: yes, unless NOTIFY excludes it).
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Whether the sender gets a report of success (RFC 3461 §4.1: only if NOTIFY asks for one).
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }
}

impl From<Path> for Recipient {
    /// Makes a recipient without parameters of RFC 3461.
    fn from(path: Path) -> Self {
        Self { path, notify: None, original: None }
    }
}
