//! Commands as values (RFC 3501 §6).

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use provost_credential::Secret;
use provost_store::{Flag, Flags, MailboxName, SpecialUse};

use super::sequence::SequenceSet;

/// A mailbox as the client named it; `None` when no mailbox can have the name.
pub(crate) type NamedMailbox = Option<MailboxName>;

/// Whether a command names messages by sequence number or by UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    /// By message sequence number (RFC 3501 §2.3.1.2).
    Sequence,
    /// By UID, in the `UID` forms (RFC 3501 §6.4.8).
    Uid,
}

/// One command without its tag.
#[derive(Debug)]
pub(crate) enum Command {
    Capability,
    Noop,
    Logout,
    StartTls,
    Login { name: String, password: Secret },
    Authenticate { mechanism: String, initial: Option<Bytes> },
    Id,
    Enable,
    Namespace,
    Idle,
    Check,
    Close,
    Unselect,
    Select { mailbox: NamedMailbox, read_only: bool },
    Status { mailbox: NamedMailbox, items: Vec<StatusItem> },
    List(ListArguments),
    Lsub { reference: ListPattern, pattern: ListPattern },
    Create { mailbox: NamedMailbox, special_use: Option<RequestedUse> },
    Delete { mailbox: NamedMailbox },
    Rename { from: NamedMailbox, to: NamedMailbox },
    Subscribe { mailbox: NamedMailbox, on: bool },
    Append(Box<AppendArguments>),
    Expunge { uids: Option<SequenceSet> },
    Search(Box<SearchArguments>),
    Fetch(Box<FetchArguments>),
    Store(Box<StoreArguments>),
    Copy { messages: MessageNumbers, to: NamedMailbox, manner: CopyOrMove },
}

impl Command {
    /// Whether the command itself changes mailboxes or messages. FETCH sets `\Seen` only where the access allows it, and
    /// CLOSE expunges only there.
    pub(crate) fn changes_mail(&self) -> bool {
        match self {
            Self::Create { .. } | Self::Delete { .. } | Self::Rename { .. } | Self::Subscribe { .. } => true,
            Self::Append(_) | Self::Expunge { .. } | Self::Store(_) | Self::Copy { .. } => true,
            Self::Capability | Self::Noop | Self::Logout | Self::StartTls | Self::Login { .. } => false,
            Self::Authenticate { .. } | Self::Id | Self::Enable | Self::Namespace | Self::Idle => false,
            Self::Check | Self::Close | Self::Unselect | Self::Select { .. } | Self::Status { .. } => false,
            Self::List(_) | Self::Lsub { .. } | Self::Search(_) | Self::Fetch(_) => false,
        }
    }
}

/// The messages of the selected mailbox that a command names.
#[derive(Debug)]
pub(crate) struct MessageNumbers {
    pub(crate) set: SequenceSet,
    pub(crate) numbers: NumberKind,
}

/// COPY (RFC 3501 §6.4.7) or MOVE (RFC 6851).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyOrMove {
    Copy,
    Move,
}

/// What CREATE ... (USE (...)) asks for (RFC 6154 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestedUse {
    Known(SpecialUse),
    /// A use that no mailbox can have here, or several uses: `NO [USEATTR]`.
    Unknown,
}

/// An item that STATUS asks for (RFC 3501 §6.3.10, RFC 8438).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Size,
}

/// Reference or pattern of LIST and LSUB, decoded; `None` when it is not modified UTF-7 and so matches nothing.
pub(crate) type ListPattern = Option<String>;

/// LIST with its extensions (RFC 5258, RFC 6154, RFC 5819).
#[derive(Debug)]
pub(crate) struct ListArguments {
    pub(crate) select: ListSelect,
    pub(crate) reference: ListPattern,
    pub(crate) patterns: Vec<ListPattern>,
    pub(crate) status: Vec<StatusItem>,
    pub(crate) return_subscribed: bool,
    /// Extended LIST treats an empty pattern as a pattern, not as the request for the separator (RFC 5258 §3).
    pub(crate) extended: bool,
}

/// Selection options (RFC 5258 §3.1, RFC 6154 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListSelect {
    pub(crate) subscribed: bool,
    pub(crate) special_use: bool,
    pub(crate) recursive: bool,
}

/// The arguments of APPEND (RFC 3501 §6.3.11).
#[derive(Debug)]
pub(crate) struct AppendArguments {
    pub(crate) mailbox: NamedMailbox,
    pub(crate) flags: Flags,
    /// The internal date that the client gives.
    pub(crate) date: Option<Timestamp>,
    pub(crate) message: Bytes,
}

/// The arguments of STORE (RFC 3501 §6.4.6).
#[derive(Debug)]
pub(crate) struct StoreArguments {
    pub(crate) messages: MessageNumbers,
    pub(crate) change: StoreChange,
    pub(crate) silent: bool,
    pub(crate) flags: Flags,
}

/// The change that STORE makes to the named flags: FLAGS, +FLAGS or -FLAGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreChange {
    Replace,
    Add,
    Remove,
}

/// The arguments of FETCH (RFC 3501 §6.4.5).
#[derive(Debug)]
pub(crate) struct FetchArguments {
    pub(crate) messages: MessageNumbers,
    pub(crate) items: Vec<FetchItem>,
}

/// One data item of FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchItem {
    Flags,
    InternalDate,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    Rfc822Size,
    Envelope,
    /// BODY without a section: BODYSTRUCTURE without extension data.
    Body,
    BodyStructure,
    Uid,
    Section {
        section: BodySection,
        partial: Option<PartialRange>,
        peek: bool,
    },
}

/// The part `<origin.octets>` of a section, in octets (RFC 3501 §6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartialRange {
    pub(crate) origin: u32,
    pub(crate) octets: u32,
}

/// The section between the brackets of `BODY[...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodySection {
    /// Part numbers; empty for the message itself.
    pub(crate) part: Vec<u32>,
    pub(crate) text: SectionText,
}

/// The last word of a section: which text of the part it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SectionText {
    /// No word: the body of the part, or without a part the whole message.
    All,
    Header,
    HeaderFields {
        names: Vec<String>,
        not: bool,
    },
    Text,
    Mime,
}

/// The arguments of SEARCH (RFC 3501 §6.4.4, RFC 4731).
#[derive(Debug)]
pub(crate) struct SearchArguments {
    pub(crate) numbers: NumberKind,
    /// What an ESEARCH response reports; `None` asks for a SEARCH response.
    pub(crate) returns: Option<SearchReturn>,
    pub(crate) charset_known: bool,
    pub(crate) key: SearchKey,
}

/// The options of RETURN (RFC 4731 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchReturn {
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) all: bool,
    pub(crate) count: bool,
}

/// A search key (RFC 3501 §6.4.4). Texts are in the form of [`provost_message::search_form`]. UNSEEN, UNKEYWORD, OLD
/// and their like are `Not` of the opposite key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SearchKey {
    All,
    Flag(Flag),
    Keyword(String),
    Recent,
    /// NEW: the same as RECENT and UNSEEN together.
    New,
    Internal(DayComparison, Date),
    Sent(DayComparison, Date),
    Larger(u32),
    Smaller(u32),
    Header {
        name: String,
        text: String,
    },
    Body(String),
    Text(String),
    Sequence(SequenceSet),
    Uid(SequenceSet),
    Not(Box<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    And(Vec<SearchKey>),
}

/// How SEARCH compares a day: BEFORE, ON or SINCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DayComparison {
    Before,
    On,
    Since,
}
