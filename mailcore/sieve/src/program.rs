//! A checked script: every name known, every argument in place, every extension asked for.

use provost_view::Address;

use crate::date::DatePart;
use crate::matching::Matcher;

/// A statement and its line, for errors at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) verb: Verb,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// RFC 5228 §3.1: the first branch whose test holds. `else` has [`Test::Constant`].
    If(Vec<(Test, Vec<Statement>)>),
    /// RFC 5228 §3.3.
    Stop,
    /// RFC 5228 §4.3.
    Keep,
    /// RFC 5228 §4.4.
    Discard,
    /// RFC 5228 §4.2.
    Redirect(Address),
    /// RFC 5228 §4.1.
    FileInto(String),
    /// RFC 5429 §2.2.
    Reject(String),
    /// RFC 5230.
    Vacation(Box<Vacation>),
}

/// The arguments of `vacation`, RFC 5230 §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vacation {
    /// Within the site's bounds.
    pub(crate) days: u16,
    pub(crate) subject: Option<String>,
    pub(crate) from: Option<Address>,
    pub(crate) addresses: Vec<Address>,
    /// As given, or made from the other arguments.
    pub(crate) handle: String,
    /// Plain text; with `:mime`, the text of the entity.
    pub(crate) text: String,
}

/// RFC 5228 §5 and extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Constant(bool),
    Not(Box<Test>),
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Exists(Vec<String>),
    Size {
        over: bool,
        octets: u64,
    },
    Header {
        names: Vec<String>,
        matcher: Matcher,
    },
    Address {
        names: Vec<String>,
        part: AddressPart,
        matcher: Matcher,
    },
    Envelope {
        parts: Vec<EnvelopePart>,
        part: AddressPart,
        matcher: Matcher,
    },
    /// RFC 5260 §4, §5: of a header field, or of now.
    Date {
        source: DateSource,
        part: DatePart,
        matcher: Matcher,
    },
}

/// RFC 5228 §2.7.4; user and detail RFC 5233.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressPart {
    All,
    LocalPart,
    Domain,
    User,
    Detail,
}

/// RFC 5228 §5.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopePart {
    From,
    To,
}

/// Which moment a date test looks at, and in which zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DateSource {
    /// `currentdate`; the zone as an offset in seconds.
    Now { zone: i32 },
    /// `date`; `None` keeps the field's own zone.
    Header { name: String, zone: Option<i32> },
}
