//! What the directory is asked, and what can come of it.

use std::time::Duration;

use provost_entry::{Dn, Filter};
use uuid::Uuid;

/// One LDAP server and how to reach it.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `ldap://host:port`, `ldaps://host:port` or `ldapi://%2Fpath`.
    pub url: String,
    /// Whether it takes writes.
    pub role: ServerRole,
    /// StartTLS after connecting (`ldap://` only).
    pub start_tls: bool,
}

/// What a server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// The writable provider.
    Provider,
    /// Takes reads only; writes go to a provider.
    Replica,
}

/// How to reach the directory and as whom.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// In order of preference for reading.
    pub servers: Vec<ServerConfig>,
    /// Identity; empty binds anonymously.
    pub bind_dn: String,
    /// Password of `bind_dn`.
    pub bind_password: String,
    /// The site's suffix.
    pub suffix: Dn,
    /// Certificates to trust for TLS, PEM; `None` is the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// Default 1 s.
    pub connect_timeout: Duration,
    /// Default 2 s, per operation (per entry in a search).
    pub operation_timeout: Duration,
}

/// One server, looked at by itself.
#[derive(Clone, Debug)]
pub struct ServerLook {
    /// As configured.
    pub url: String,
    /// As configured.
    pub role: ServerRole,
    /// How far it has come, one CSN for each provider that wrote; or why it cannot be used.
    pub context_csn: Result<Vec<String>, DirectoryError>,
}

/// How far below its base a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// The direct children of the base.
    One,
    /// The base and all below it.
    Subtree,
}

/// A search request. Paged underneath (RFC 2696) unless the scope is `Base`.
#[derive(Clone, Debug)]
pub struct Search {
    /// Base of the search.
    pub base: Dn,
    /// How far below the base.
    pub scope: Scope,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes; empty means all user attributes. `*` and `+` work.
    pub attributes: Vec<String>,
    /// Most entries wanted; `None` is all. Reaching it is not an error.
    pub limit: Option<usize>,
}

/// Extra conditions of a write.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// RFC 4528, sent critical: refuse with [`DirectoryError::AssertionFailed`] unless the entry matches.
    pub assert: Option<Filter>,
}

/// Proof of a write: the entryCSN after it (RFC 4527 post-read), when the server gives one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// entryCSN of the entry after the write.
    pub csn: Option<String>,
    /// entryUUID of the entry.
    pub entry_uuid: Option<Uuid>,
}

/// What can come of an operation, as decisions for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Result 32. Only from a server that answers for certain.
    #[error("no such entry: {0}")]
    NoSuchObject(String),
    /// entryAlreadyExists (68, RFC 4511 §4.1.9).
    #[error("the entry exists already: {0}")]
    AlreadyExists(String),
    /// assertionFailed (122, RFC 4528).
    #[error("the entry has changed meanwhile")]
    AssertionFailed,
    /// Results 49 and 48.
    #[error("the credentials were refused")]
    InvalidCredentials,
    /// insufficientAccessRights (50, RFC 4511 §4.1.9).
    #[error("not permitted: {0}")]
    InsufficientAccess(String),
    /// Any other refusal that repeating will not mend: result code and the server's words.
    #[error("refused by the directory (result {code}): {message}")]
    Refused {
        /// LDAP result code.
        code: u32,
        /// Diagnostic message.
        message: String,
    },
    /// No server could be asked, or none answered in time: later may work.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
    /// A write was sent and its answer never came: it may or may not have happened.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}
