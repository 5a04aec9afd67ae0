//! SASL PLAIN (RFC 4616).

use crate::Secret;

/// What a PLAIN message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainIdentity {
    /// Whom to act as; empty means the authenticated one.
    pub authorization: String,
    /// Who is proving it.
    pub authentication: String,
    /// With what.
    pub password: Secret,
}

/// The message is not `[authzid] NUL authcid NUL passwd`, not UTF-8, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SASL PLAIN message")]
pub struct PlainError;

/// Reads a decoded PLAIN message.
pub fn plain(message: &[u8]) -> Result<PlainIdentity, PlainError> {
    let _ = message;
    todo!("H7")
}
