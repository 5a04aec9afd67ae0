//! Reverse-path and forward-path of SMTP (RFC 5321 §4.1.2).

use crate::Address;

/// `<local@domain>` as it came: the local part unquoted, its case kept. Not necessarily an address of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Path {
    local: Box<str>,
    domain: Box<str>,
}

/// The text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a mailbox")]
pub struct PathError(pub String);

impl Path {
    /// From an unquoted local part and a domain; `postmaster` alone has an empty domain (RFC 5321 §4.5.1).
    pub fn new(local: &str, domain: &str) -> Result<Self, PathError> {
        let _ = (local, domain);
        todo!("H6")
    }

    /// Reads `local@domain`, quoted local parts included, without the angle brackets.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let _ = text;
        todo!("H6")
    }

    /// Unquoted.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// As it came.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// As an address of the directory's kind; `None` when it cannot be one (quoted, non-ASCII).
    pub fn address(&self) -> Option<Address> {
        Address::from_parts(&self.local, &self.domain).ok()
    }
}

impl std::fmt::Display for Path {
    /// `local@domain`, the local part quoted where RFC 5321 asks for it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!("H6")
    }
}
