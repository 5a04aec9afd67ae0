//! From a person's attributes to a script, from a script and a message to actions.

use provost_message::Path;
use provost_view::{Address, Person};

/// What a script sees besides the message.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Reverse-path of the envelope.
    pub reverse_path: Option<&'a Path>,
    /// The recipient as addressed.
    pub recipient: &'a Address,
    /// All addresses of the recipient, lower case, for RFC 5230 §4.5 (`:addresses` known to the implementation).
    pub addresses: &'a [Address],
    /// The time, for `currentdate` (RFC 5260).
    pub now: jiff::Timestamp,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Into INBOX.
    Keep,
    /// Into a mailbox.
    FileInto(String),
    /// Send on.
    Redirect(Address),
    /// Refuse.
    Reject(String),
}

/// A vacation reply that may be sent, once per correspondent and handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VacationReply {
    /// Which rule: text and subject make it, so that a new text is a new rule (RFC 5230 §4.2).
    pub handle: String,
    /// To whom: the reverse-path.
    pub to: Path,
    /// From which address.
    pub from: Address,
    /// Days until the same correspondent is answered again.
    pub days: u16,
    /// Decoded.
    pub subject: String,
    /// Plain text, UTF-8.
    pub text: String,
    /// `Message-ID` of the message answered, for In-Reply-To and References.
    pub in_reply_to: Option<String>,
    /// Earlier References.
    pub references: Option<String>,
}

/// What running a script gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// At least one unless discarded.
    pub actions: Vec<Action>,
    /// Not yet checked against the store's memory of correspondents.
    pub vacation: Option<VacationReply>,
}

/// The script is wrong, with its line; or it went past a bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct SieveError {
    /// Counted from one.
    pub line: usize,
    /// What was broken.
    pub rule: String,
}

/// The Sieve script that a person's directory attributes stand for; empty when they ask for nothing.
pub fn managed_script(person: &Person) -> String {
    let _ = person;
    todo!("H7")
}

/// Runs a script over a message (raw, whole). An empty script keeps.
pub fn run(script: &str, message: &[u8], context: &Context<'_>) -> Result<Outcome, SieveError> {
    let _ = (script, message, context);
    todo!("H7")
}
