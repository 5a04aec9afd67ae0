//! One rule of a policy: a key and its words.

use std::fmt;

/// Longest line of a policy, octets: what one provostValue of a setting may have as well.
pub const LINE_OCTETS_MAX: usize = 512;
/// Maximum number of lines of one policy.
pub const LINES_MAX: usize = 64;

/// One line of a policy: `KEY WORD...`. Words are separated by white space; the form has no quoting.
///
/// LDAP keeps the values of an attribute in no order (RFC 4511 §4.1.7), so the meaning of a line may not depend on the
/// lines before it. Where an order matters, it is part of the line: `phase 2 ...`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyLine {
    text: String,
}

impl PolicyLine {
    /// Reads a line; the error is the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LINE_OCTETS_MAX {
            return Err(format!("longer than {LINE_OCTETS_MAX} octets"));
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err("a control character".to_owned());
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { Err("an empty line".to_owned()) } else { Ok(Self { text }) }
    }

    /// The first word, which says what the line is about.
    pub fn key(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The words after the key.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(' ').skip(1)
    }

    /// The line, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PolicyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
