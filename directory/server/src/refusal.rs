//! Result codes (RFC 4511 §4.1.9) and refusals.

/// A result code by the name that RFC 4511 appendix A gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub(crate) enum Code {
    Success = 0,
    OperationsError = 1,
    ProtocolError = 2,
    TimeLimitExceeded = 3,
    SizeLimitExceeded = 4,
    CompareFalse = 5,
    CompareTrue = 6,
    AuthMethodNotSupported = 7,
    AdminLimitExceeded = 11,
    UnavailableCriticalExtension = 12,
    ConfidentialityRequired = 13,
    NoSuchAttribute = 16,
    UndefinedAttributeType = 17,
    InappropriateMatching = 18,
    ConstraintViolation = 19,
    AttributeOrValueExists = 20,
    InvalidAttributeSyntax = 21,
    NoSuchObject = 32,
    InvalidDnSyntax = 34,
    InvalidCredentials = 49,
    InsufficientAccessRights = 50,
    Busy = 51,
    Unavailable = 52,
    UnwillingToPerform = 53,
    NamingViolation = 64,
    ObjectClassViolation = 65,
    NotAllowedOnNonLeaf = 66,
    NotAllowedOnRdn = 67,
    EntryAlreadyExists = 68,
    ObjectClassModsProhibited = 69,
    /// RFC 4528.
    AssertionFailed = 122,
    /// RFC 4533.
    SyncRefreshRequired = 4096,
}

/// An operation that was not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What kind of refusal.
    pub(crate) code: Code,
    /// The nearest entry that exists, for `noSuchObject`.
    pub(crate) matched: String,
    /// For the person who reads the answer.
    pub(crate) message: String,
}

impl Refusal {
    /// With words for the reader.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, matched: String::new(), message: message.into() }
    }
}

/// What an operation gives.
pub(crate) type Outcome<T> = Result<T, Refusal>;
