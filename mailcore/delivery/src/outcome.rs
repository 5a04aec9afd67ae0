//! What comes of a delivery.

use provost_store::ApplyError;

/// What came of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Durable in the mailbox (or discarded by the recipient's rule).
    Stored,
    /// Never will: reply code and enhanced status are those of [`Refusal::reply`].
    Refused(Refusal),
    /// Later may work: 451 4.3.0.
    Unavailable(String),
}

/// Why a recipient is refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 550 5.1.1
    NoSuchUser,
    /// 550 5.7.1: not our domain.
    NotLocal,
    /// 550 5.2.1
    Closed,
    /// 552 5.2.2: over quota.
    Full,
    /// 554 5.4.6: the message comes to this address again and again.
    Loop,
    /// 550 5.7.1: the recipient's rule says so, with its text (RFC 5429).
    Rejected(String),
    /// 554 5.3.0: past a bound of the store.
    Store(String),
}

impl Delivered {
    /// For the counter.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl Refusal {
    /// Reply code, enhanced status (RFC 3463) and words.
    pub fn reply(&self) -> (u16, &'static str, String) {
        match self {
            Self::NoSuchUser => (550, "5.1.1", "No such user here".into()),
            Self::NotLocal => (550, "5.7.1", "Relaying denied".into()),
            Self::Closed => (550, "5.2.1", "Account closed, takes no mail".into()),
            Self::Full => (552, "5.2.2", "Mailbox full".into()),
            Self::Loop => (554, "5.4.6", "Mail loop: delivered to this address several times before".into()),
            Self::Rejected(text) => (550, "5.7.1", text.clone()),
            Self::Store(text) => (554, "5.3.0", text.clone()),
        }
    }
}

impl std::fmt::Display for Refusal {
    /// As an SMTP reply: `550 5.1.1 No such user here`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (code, status, text) = self.reply();
        write!(f, "{code} {status} {text}")
    }
}

impl From<ApplyError> for Delivered {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::OverQuota => Self::Refused(Refusal::Full),
            ApplyError::Refused(why) => Self::Refused(Refusal::Store(why)),
            ApplyError::Unknown => Self::Unavailable("outcome unknown".into()),
            ApplyError::Unavailable(why) => Self::Unavailable(why),
            // INBOX always is: the store contradicts itself. The message is kept by its sender until that is mended.
            other @ (ApplyError::NoMailbox(_) | ApplyError::MailboxExists(_)) => Self::Unavailable(other.to_string()),
            // No delivery requires a lease or an unchanged account; whatever made it so may be gone at the next attempt.
            other @ (ApplyError::Fenced | ApplyError::Conflict(_)) => Self::Unavailable(other.to_string()),
        }
    }
}
