//! The pool and its operations.

use std::time::Duration;

use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
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
    /// Reads only.
    Replica,
}

/// How to reach the directory and as whom.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// In order of preference for reading.
    pub servers: Vec<ServerConfig>,
    /// Identity; empty binds anonymously.
    pub bind_dn: String,
    /// Its password.
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

/// How far below its base a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// Its children.
    One,
    /// The base and all below it.
    Subtree,
}

/// A search request. Paged underneath (RFC 2696) unless the scope is `Base`.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where.
    pub base: Dn,
    /// How deep.
    pub scope: Scope,
    /// What.
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
    /// Result 68.
    #[error("the entry exists already: {0}")]
    AlreadyExists(String),
    /// Result 122.
    #[error("the entry has changed meanwhile")]
    AssertionFailed,
    /// Results 49, 48, 53 on bind.
    #[error("the credentials were refused")]
    InvalidCredentials,
    /// Result 50.
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

/// The directory, through whichever server is good. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    #[allow(dead_code)]
    config: std::sync::Arc<DirectoryConfig>,
}

impl Directory {
    /// Makes a pool. Nothing is connected yet.
    pub fn new(config: DirectoryConfig) -> Self {
        Self { config: std::sync::Arc::new(config) }
    }

    /// The site's suffix.
    pub fn suffix(&self) -> &Dn {
        todo!("H2")
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &DirectoryConfig {
        todo!("H2")
    }

    /// Reads from any good server. The whole result is collected; `search.limit` bounds it.
    pub async fn search(&self, search: Search) -> Result<Vec<Entry>, DirectoryError> {
        let _ = search;
        todo!("H2")
    }

    /// The same, read from the writable provider (for decisions that precede a write).
    pub async fn search_provider(&self, search: Search) -> Result<Vec<Entry>, DirectoryError> {
        let _ = search;
        todo!("H2")
    }

    /// One entry by name; `None` only when a server said that there is none.
    pub async fn read(&self, dn: &Dn, attributes: &[&str]) -> Result<Option<Entry>, DirectoryError> {
        let _ = (dn, attributes);
        todo!("H2")
    }

    /// Adds an entry on the provider.
    pub async fn add(&self, entry: Entry) -> Result<Receipt, DirectoryError> {
        let _ = entry;
        todo!("H2")
    }

    /// Modifies an entry on the provider.
    pub async fn modify(&self, dn: &Dn, changes: Vec<Modification>, control: Control) -> Result<Receipt, DirectoryError> {
        let _ = (dn, changes, control);
        todo!("H2")
    }

    /// Deletes an entry on the provider.
    pub async fn delete(&self, dn: &Dn, control: Control) -> Result<(), DirectoryError> {
        let _ = (dn, control);
        todo!("H2")
    }

    /// Renames an entry on the provider (old RDN value removed).
    pub async fn rename(&self, dn: &Dn, new_rdn: &str, new_parent: Option<&Dn>) -> Result<(), DirectoryError> {
        let _ = (dn, new_rdn, new_parent);
        todo!("H2")
    }

    /// Whether `password` opens `dn`, by a bind on a connection of its own. An empty password is refused here.
    pub async fn bind(&self, dn: &Dn, password: &str) -> Result<(), DirectoryError> {
        let _ = (dn, password);
        todo!("H2")
    }

    /// The configuration of attribute types and classes that the server publishes (subschema), one definition a string.
    pub async fn subschema(&self) -> Result<Vec<(AttributeDescription, String)>, DirectoryError> {
        todo!("H2")
    }
}
