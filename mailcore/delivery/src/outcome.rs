//! The outcomes of a delivery.

use provost_store::BatchError;

use crate::ListRefusal;

/// The outcome for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Durable: in mailboxes, in the queue for a redirect, or discarded by the recipient's rule.
    Stored,
    /// Refused for good; [`RecipientRefusal::reply`] has the reply.
    Refused(RecipientRefusal),
    /// Deferred (451 4.3.0), for this reason.
    Unavailable(String),
}

/// Why a recipient is refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientRefusal {
    /// 550 5.1.1: no person has this address.
    NoSuchUser,
    /// 550 5.7.1: the domain is not served here.
    NotLocal,
    /// 550 5.2.1: the account is closed.
    Closed,
    /// 552 5.2.2: the message would exceed the quota of the account.
    Full,
    /// 554 5.4.6: this host has delivered the message to this address too often already.
    Loop,
    /// 550 5.7.17: the mailbox came to its present owner after the moment that the sender states (RFC 7293).
    OwnerChanged,
    /// 550 5.7.19: when the mailbox came to its present owner is not recorded (RFC 7293).
    OwnerNotRecorded,
    /// 550 5.7.1: the recipient's rule rejects the message with this text (RFC 5429).
    Rejected(String),
    /// A list does not take the message.
    List(ListRefusal),
    /// 554 5.3.0: the message exceeds a bound of the store.
    Store(String),
}

impl Delivered {
    /// The label of the counter.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl RecipientRefusal {
    /// Reply code, enhanced status (RFC 3463) and text.
    pub fn reply(&self) -> (u16, &'static str, String) {
        match self {
            Self::NoSuchUser => (550, "5.1.1", "No such user here".into()),
            Self::NotLocal => (550, "5.7.1", "Relaying denied".into()),
            Self::Closed => (550, "5.2.1", "Account closed, takes no mail".into()),
            Self::Full => (552, "5.2.2", "Mailbox full".into()),
            Self::Loop => (554, "5.4.6", "Mail loop: delivered to this address several times before".into()),
            Self::OwnerChanged => (550, "5.7.17", "Mailbox owner has changed".into()),
            Self::OwnerNotRecorded => (550, "5.7.19", "Since when this mailbox has its owner is not known".into()),
            Self::Rejected(text) => (550, "5.7.1", text.clone()),
            Self::List(refusal) => refusal.reply(),
            Self::Store(text) => (554, "5.3.0", text.clone()),
        }
    }
}

impl std::fmt::Display for RecipientRefusal {
    /// The SMTP reply: `550 5.1.1 No such user here`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (code, status, text) = self.reply();
        write!(f, "{code} {status} {text}")
    }
}

impl From<BatchError> for Delivered {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::OverQuota => Self::Refused(RecipientRefusal::Full),
            BatchError::Refused(why) => Self::Refused(RecipientRefusal::Store(why)),
            BatchError::Unknown => Self::Unavailable("outcome unknown".into()),
            BatchError::Unavailable(why) => Self::Unavailable(why),
            // INBOX always exists, so the store contradicts itself. The sender keeps the message until the store is
            // repaired.
            other @ (BatchError::NoMailbox(_) | BatchError::MailboxExists(_)) => Self::Unavailable(other.to_string()),
            // No delivery requires a lease or an unchanged account. The cause may be gone at the next attempt.
            other @ (BatchError::Fenced | BatchError::Conflict(_)) => Self::Unavailable(other.to_string()),
        }
    }
}
