//! A secret that cannot be printed.

use std::fmt;

use subtle::ConstantTimeEq;

/// Longest password that is looked at, in octets: longer ones are refused before any hashing. Our own bound; RFC 4616 §2
/// asks for 255 at least.
pub const PASSWORD_OCTETS_MAX: usize = 512;

/// A clear password. Its `Debug` shows nothing, it has no `Display`, and it compares in constant time.
#[derive(Clone, Eq)]
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

    /// Whether [`crate::verify`] could ever match it: one to [`PASSWORD_OCTETS_MAX`] octets and no NUL, which PLAIN
    /// cannot carry (RFC 4616 §2). Ask before hashing a new password.
    pub fn is_usable(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= PASSWORD_OCTETS_MAX && !self.0.contains('\0')
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("horse")), "Secret(..)");
    }

    #[test]
    fn usable_passwords() {
        for (text, usable) in [
            ("", false),
            ("a", true),
            ("a\0b", false),
            (&"x".repeat(PASSWORD_OCTETS_MAX), true),
            (&"x".repeat(PASSWORD_OCTETS_MAX + 1), false),
        ] {
            assert_eq!(Secret::new(text).is_usable(), usable, "{} octets", text.len());
        }
    }

    #[test]
    fn equality() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
