//! A compiled script. The compiler has checked every name and argument, and that `require` names each extension in use.

use provost_message::Path;
use provost_view::Address;

use crate::date::DatePart;
use crate::matching::TestMatcher;

/// A statement, and its line for run-time errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) command: CompiledCommand,
}

/// A control or action command (RFC 5228 §2.9), compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompiledCommand {
    /// Runs the first branch whose test is true; `else` has [`Test::Constant`] (RFC 5228 §3.1).
    If(Vec<(Test, Vec<Statement>)>),
    /// Ends the script (RFC 5228 §3.3).
    Stop,
    /// Delivers into INBOX (RFC 5228 §4.3).
    Keep,
    /// Cancels the implicit keep (RFC 5228 §4.4).
    Discard,
    /// Forwards to an address (RFC 5228 §4.2).
    Redirect(Path),
    /// Delivers into a mailbox (RFC 5228 §4.1).
    FileInto(String),
    /// Refuses the message with a reason (RFC 5429 §2.2).
    Reject(String),
    /// Sends a vacation reply (RFC 5230).
    Vacation(Box<VacationAction>),
}

/// The arguments of `vacation` (RFC 5230 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VacationAction {
    /// Days between two replies to one correspondent, within the bounds of the compiler.
    pub(crate) days: u16,
    pub(crate) subject: Option<String>,
    pub(crate) from: Option<Address>,
    pub(crate) addresses: Vec<Address>,
    /// The `:handle`; without one, a hash of other arguments.
    pub(crate) handle: String,
    /// The plain text; with `:mime`, the text of the entity.
    pub(crate) text: String,
}

/// A test (RFC 5228 §5 and extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Constant(bool),
    Not(Box<Test>),
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Exists(Vec<String>),
    /// Whether the message is larger than `octets` (`over`), or smaller.
    Size {
        over: bool,
        octets: u64,
    },
    Header {
        names: Vec<String>,
        matcher: TestMatcher,
    },
    Address {
        names: Vec<String>,
        part: AddressPart,
        matcher: TestMatcher,
    },
    Envelope {
        parts: Vec<EnvelopePart>,
        part: AddressPart,
        matcher: TestMatcher,
    },
    /// A date test on a header field, or on the current time (RFC 5260 §4, §5).
    Date {
        source: DateSource,
        part: DatePart,
        matcher: TestMatcher,
    },
}

/// An address part (RFC 5228 §2.7.4); user and detail by RFC 5233.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressPart {
    All,
    LocalPart,
    Domain,
    User,
    Detail,
}

/// An envelope part (RFC 5228 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopePart {
    From,
    To,
}

/// The time that a date test compares, and its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DateSource {
    /// `currentdate`; the zone in seconds east of UTC.
    Now { zone: i32 },
    /// `date`; the zone in seconds east of UTC, `None` for the field's own.
    Header { name: String, zone: Option<i32> },
}
