//! A secret that cannot be printed.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::opaque_string;

/// Longest password, octets in the form that is hashed ([`opaque_string`]); a longer one is refused before any hashing.
/// RFC 4616 §2 asks for at least 255. The bound is the same in every protocol, in imports and for the help desk.
pub const PASSWORD_OCTETS_MAX: usize = 512;

/// Longest password as typed, octets: the result of [`opaque_string`] has at least a third of the octets of its input.
/// Decomposed letters take at most three times the octets of NFC (UAX #15). A non-ASCII space takes at most three
/// octets, and becomes a space of one octet.
pub const TYPED_OCTETS_MAX: usize = 3 * PASSWORD_OCTETS_MAX;

/// A clear password. `Debug` redacts it, `Display` does not exist, and the time of a comparison depends only on
/// the lengths.
#[derive(Clone, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the password. Search for this name to find every place where a password leaves this type.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether [`crate::verify`] could ever match the password: one to [`PASSWORD_OCTETS_MAX`] octets in the form that
    /// is hashed, and no NUL, which PLAIN cannot carry (RFC 4616 §2). Check this before hashing a new password.
    pub fn is_usable(&self) -> bool {
        !self.0.is_empty() && !self.is_too_long() && !self.0.contains('\0')
    }

    /// Whether the password is longer than [`PASSWORD_OCTETS_MAX`] in the form that is hashed, or than
    /// [`TYPED_OCTETS_MAX`] as typed.
    pub fn is_too_long(&self) -> bool {
        // The length as typed is checked first, so that the input of the preparation is bounded.
        self.0.len() > TYPED_OCTETS_MAX || opaque_string(&self.0).len() > PASSWORD_OCTETS_MAX
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
    fn debug_redacts_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("horse")), "Secret(..)");
    }

    #[test]
    fn passwords_of_1_to_512_octets_without_nul_are_usable() {
        for (text, usable) in [
            ("", false),
            ("a", true),
            ("a\0b", false),
            (&"x".repeat(PASSWORD_OCTETS_MAX), true),
            (&"x".repeat(PASSWORD_OCTETS_MAX + 1), false),
            // The length of the form that is hashed counts, not that of the form typed.
            (&"é".repeat(256), true),
            (&"e\u{301}".repeat(256), true),
            (&"\u{3000}".repeat(512), true),
            (&"e\u{301}".repeat(257), false),
            (&"\u{3000}".repeat(513), false),
        ] {
            assert_eq!(Secret::new(text).is_usable(), usable, "{} octets", text.len());
        }
    }

    #[test]
    fn secrets_of_one_text_are_equal() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
