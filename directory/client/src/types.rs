//! The configuration of the client, its requests, and their results.

use std::fmt;
use std::time::Duration;

use provost_entry::{Dn, Filter};
use uuid::Uuid;

/// One LDAP server and how to reach it.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    /// `ldap://host:port`, `ldaps://host:port` or `ldapi://%2Fpath`.
    pub url: String,
    /// Whether the server accepts writes.
    pub role: ServerRole,
    /// Whether to send StartTLS after connecting (`ldap://` only).
    pub start_tls: bool,
}

/// The role of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// The writable provider.
    Provider,
    /// A read-only server; writes go to a provider.
    Replica,
}

/// The directory servers, and the identity to use. `Debug` redacts the password.
#[derive(Clone)]
pub struct DirectoryConfig {
    /// The servers, in order of preference for reading.
    pub servers: Vec<ServerAddress>,
    /// The bind DN; empty binds anonymously.
    pub bind_dn: String,
    /// The password of `bind_dn`.
    pub bind_password: String,
    /// The site's suffix.
    pub suffix: Dn,
    /// PEM file of trusted CA certificates; `None` trusts the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// Longest time to connect to a server, for all addresses of its host together. Negotiating TLS may take as long
    /// again.
    pub connect_timeout: Duration,
    /// Longest time for one operation, or for each entry of a search.
    pub operation_timeout: Duration,
}

/// The state of one server, as a probe found it.
#[derive(Clone, Debug)]
pub struct ServerCondition {
    /// URL as configured.
    pub url: String,
    /// Role as configured.
    pub role: ServerRole,
    /// The contextCSN values of the server, one for each server id with a write; or why the server cannot be used.
    pub context_csn: Result<Vec<String>, DirectoryError>,
}

/// The scope of a search (RFC 4511 §4.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// The direct children of the base.
    One,
    /// The base and all entries below it.
    Subtree,
}

/// A search request. Paged (RFC 2696) unless the scope is `Base` or `limit` fits one page.
#[derive(Clone, Debug)]
pub struct LdapSearch {
    /// The base of the search.
    pub base: Dn,
    /// The scope below the base.
    pub scope: Scope,
    /// The filter that selects entries.
    pub filter: Filter,
    /// The attributes to return; empty returns all user attributes. `*` and `+` are allowed.
    pub attributes: Vec<String>,
    /// Maximum number of entries to return. Reaching it is not an error. `None` returns all, up to 4,000,000: more are
    /// refused with sizeLimitExceeded (4).
    pub limit: Option<usize>,
}

/// Conditions of a write.
#[derive(Clone, Debug, Default)]
pub struct WriteConditions {
    /// Assertion (RFC 4528), sent critical: the write fails with [`DirectoryError::AssertionFailed`] unless the entry
    /// matches.
    pub assert: Option<Filter>,
}

/// The state of an entry after a write (RFC 4527 post-read), as far as the server reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReceipt {
    /// entryCSN of the entry after the write.
    pub csn: Option<String>,
    /// entryUUID of the entry.
    pub entry_uuid: Option<Uuid>,
}

/// Errors of an operation, by what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// noSuchObject (32): the base of a search, the target of a write or the parent of a new entry does not exist.
    #[error("no such entry: {0}")]
    NoSuchObject(String),
    /// entryAlreadyExists (68, RFC 4511 §4.1.9).
    #[error("the entry exists already: {0}")]
    AlreadyExists(String),
    /// assertionFailed (122, RFC 4528).
    #[error("the entry has changed meanwhile")]
    AssertionFailed,
    /// A bind was refused: invalidCredentials (49) or inappropriateAuthentication (48).
    #[error("the credentials were refused")]
    InvalidCredentials,
    /// insufficientAccessRights (50, RFC 4511 §4.1.9).
    #[error("not permitted: {0}")]
    InsufficientAccess(String),
    /// Any other refusal that a retry will not change.
    #[error("refused by the directory (result {code}): {message}")]
    Refused {
        /// The LDAP result code; protocolError (2) for an answer that this client cannot read.
        code: u32,
        /// The diagnostic message of the server.
        message: String,
    },
    /// This client cannot encode the request, and sent nothing: a fault of the caller.
    #[error("the request was not sent, because it has {0}")]
    InvalidRequest(&'static str),
    /// No server could be asked, or none of those asked could serve in time: a retry may succeed.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
    /// A write was sent, and no response arrived that can be read: the write may have been done.
    #[error("the outcome of a write is unknown: {0}")]
    Unknown(String),
}

impl fmt::Debug for DirectoryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryConfig")
            .field("servers", &self.servers)
            .field("bind_dn", &self.bind_dn)
            .field("suffix", &self.suffix)
            .field("ca_file", &self.ca_file)
            .field("connect_timeout", &self.connect_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_redacts_the_bind_password() {
        let config = DirectoryConfig {
            servers: vec![],
            bind_dn: "cn=mailcore,ou=services".to_owned(),
            bind_password: "hunter2".to_owned(),
            suffix: Dn::root(),
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(2),
        };
        let text = format!("{config:?}");
        assert!(text.contains("cn=mailcore") && !text.contains("hunter2"), "{text}");
    }
}
