//! What travels with a message and is not in it.

use crate::{EnvelopeId, Notify, OriginalRecipient, Path, Return};

/// The SMTP envelope.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    /// `None` is `<>`.
    pub reverse_path: Option<Path>,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// BODY=8BITMIME was given.
    pub eight_bit: bool,
    /// ENVID (RFC 3461 §4.4).
    pub envelope_id: Option<EnvelopeId>,
    /// RET (RFC 3461 §4.3); `None` leaves it to who reports.
    pub ret: Option<Return>,
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recipient {
    /// The forward-path.
    pub path: Path,
    /// NOTIFY (RFC 3461 §4.1); `None` is a report of failure, and nothing else.
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
}

impl Envelope {
    /// Of a 7-bit message, without parameters of RFC 3461.
    pub fn new(reverse_path: Option<Path>, recipients: impl IntoIterator<Item = Path>) -> Self {
        let recipients = recipients.into_iter().map(Recipient::from).collect();
        Self { reverse_path, recipients, eight_bit: false, envelope_id: None, ret: None }
    }

    /// The same for other recipients.
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
    /// Whether the sender gets a report when the message was not delivered (RFC 3461 §4.1: unless NOTIFY says otherwise).
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Whether the sender gets a report when it was.
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }
}

impl From<Path> for Recipient {
    /// Without parameters of RFC 3461.
    fn from(path: Path) -> Self {
        Self { path, notify: None, original: None }
    }
}
