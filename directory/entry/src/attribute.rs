//! Attribute descriptions: a type and its options.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest attribute description accepted, octets.
pub const ATTRIBUTE_OCTETS_MAX: usize = 256;

/// An attribute description such as `mailAutoReplyText;lang-fr`. Keeps the case as written; comparison ignores it.
///
/// RFC 4512 §2.5. Options keep their order; this project uses at most one.
#[derive(Clone)]
pub struct AttributeDescription(Box<str>);

/// The text is not an attribute description (RFC 4512 §2.5). Holds its first 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an attribute description")]
pub struct AttributeError(String);

impl AttributeDescription {
    /// Parses `descr *(";" option)`, or a numeric OID with options.
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let mut parts = text.split(';');
        let is_type = parts.next().is_some_and(|name| is_descr(name) || is_numeric_oid(name));
        if is_type && parts.all(is_option) && text.len() <= ATTRIBUTE_OCTETS_MAX {
            Ok(Self(text.into()))
        } else {
            Err(AttributeError(text.chars().take(64).collect()))
        }
    }

    /// Makes a description from a well-formed constant (the names in `schema`).
    pub fn of(name: &'static str) -> Self {
        Self(name.into())
    }

    /// Makes `name;option` from two well-formed names.
    pub fn with_option(name: &'static str, option: &str) -> Self {
        Self(format!("{name};{option}").into_boxed_str())
    }

    /// Returns the description as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the type, without options.
    pub fn attribute_type(&self) -> &str {
        self.0.split(';').next().unwrap_or_default()
    }

    /// Returns the options in order.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').skip(1)
    }

    /// Whether this is `name` including its options, ignoring case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

/// Whether the text is a `descr` (RFC 4512 §1.4): a letter, then letters, digits and hyphens.
pub(crate) fn is_descr(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_option(text)
}

/// Whether the text is a `numericoid` (RFC 4512 §1.4): at least two numbers, without leading zeros.
pub(crate) fn is_numeric_oid(text: &str) -> bool {
    let is_number = |number: &str| {
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        digits && !number.is_empty() && (number == "0" || !number.starts_with('0'))
    };
    text.contains('.') && text.split('.').all(is_number)
}

/// Whether the text is an `option` (RFC 4512 §2.5): letters, digits and hyphens.
fn is_option(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl PartialEq for AttributeDescription {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for AttributeDescription {}
impl Hash for AttributeDescription {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}
impl PartialOrd for AttributeDescription {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for AttributeDescription {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |b: u8| b.to_ascii_lowercase();
        self.0.bytes().map(lower).cmp(other.0.bytes().map(lower))
    }
}
impl fmt::Display for AttributeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for AttributeDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4512 §1.4, §2.5.
    #[test]
    fn reads_descriptions() {
        let longest = "a".repeat(ATTRIBUTE_OCTETS_MAX);
        for text in
            ["cn", "mailAutoReplyText;lang-fr", "a;binary;lang-en", "2.5.4.3", "0.9.2342", "2.5.4.3;x-1", &longest]
        {
            assert_eq!(AttributeDescription::parse(text).as_ref().map(AttributeDescription::as_str), Ok(text));
        }
        let too_long = "a".repeat(ATTRIBUTE_OCTETS_MAX + 1);
        for text in [
            "", ";a", "cn;", "cn;;a", "-a", "1a", "2", "2.", ".2", "2..5", "2.05", "a.b", "cn;a.b", "c n", "é",
            &too_long,
        ] {
            assert!(AttributeDescription::parse(text).is_err(), "{text}");
        }
    }
}
