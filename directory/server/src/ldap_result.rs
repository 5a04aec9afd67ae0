//! Result codes (RFC 4511 §4.1.9) and results.

/// A result code under its name in RFC 4511 appendix A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub(crate) enum ResultCode {
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
    /// Assertion failed (RFC 4528).
    AssertionFailed = 122,
    /// e-syncRefreshRequired (RFC 4533).
    SyncRefreshRequired = 4096,
}

/// An LDAPResult (RFC 4511 §4.1.9): of a refused operation, of a successful one or of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LdapResult {
    /// The result code.
    pub(crate) code: ResultCode,
    /// The DN of the nearest existing ancestor, for `noSuchObject`; empty for a client that may not know it.
    pub(crate) matched: String,
    /// The diagnostic message, for people.
    pub(crate) message: String,
}

impl LdapResult {
    /// Makes a result with a diagnostic message.
    pub(crate) fn new(code: ResultCode, message: impl Into<String>) -> Self {
        Self { code, matched: String::new(), message: message.into() }
    }

    /// Returns success, without a message.
    pub(crate) fn success() -> Self {
        Self::new(ResultCode::Success, "")
    }
}

/// The outcome of an operation: a value for its response, or the refusal.
pub(crate) type OperationResult<T> = Result<T, LdapResult>;
