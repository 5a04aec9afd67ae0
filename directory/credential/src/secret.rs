//! A secret that cannot be printed.

use std::fmt;

/// Longest password that is looked at, in octets: longer ones are refused before any hashing.
pub const PASSWORD_OCTETS_MAX: usize = 512;

/// A clear password. Its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The password itself. Named so that a reader sees where it leaves.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
