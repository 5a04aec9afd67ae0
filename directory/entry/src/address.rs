//! A mail address in its normal form, the key of address entries.

use std::fmt;

/// Longest local part, octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Longest domain, octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;

/// A normalised mail address: `local@domain`, lower case, ASCII, dot-atom local part, domain without trailing dot.
///
/// Spellings that differ only in case or in that dot are one value, which can be an RDN and a map key. RFC 5321 §2.4
/// lets a host ignore the case of its own local parts; Provost does.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: Box<str>,
    /// Octets before the `@`.
    local_octets: u16,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text has no `@`, or nothing on one side of it.
    #[error("an address has the form local@domain")]
    Shape,
    /// A part is too long (RFC 5321 §4.5.3.1).
    #[error("the local part is longer than {LOCAL_PART_OCTETS_MAX} octets or the domain than {DOMAIN_OCTETS_MAX}")]
    Length,
    /// A character outside `atext` (RFC 5322 §3.2.3) in the local part, one other than a letter, digit or hyphen in the
    /// domain, or a misplaced dot.
    #[error("'{0}' is not allowed here in an address")]
    Character(char),
}

impl Address {
    /// Parses and normalises `local@domain`. Spaces around it are ignored.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.trim().rsplit_once('@').ok_or(AddressError::Shape)?;
        Self::from_parts(local, domain)
    }

    /// Normalises an unquoted local part and a domain.
    pub fn from_parts(local: &str, domain: &str) -> Result<Self, AddressError> {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if local.len() > LOCAL_PART_OCTETS_MAX || domain.len() > DOMAIN_OCTETS_MAX {
            return Err(AddressError::Length);
        }
        check_dot_atom(local, is_atext)?;
        check_dot_atom(domain, |c| c.is_ascii_alphanumeric() || c == '-')?;
        let text = format!("{}@{}", local.to_ascii_lowercase(), domain.to_ascii_lowercase());
        Ok(Self { text: text.into_boxed_str(), local_octets: local.len() as u16 })
    }

    /// Returns the whole address, `local@domain`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the local part.
    pub fn local(&self) -> &str {
        &self.text[..usize::from(self.local_octets)]
    }

    /// Returns the domain.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.local_octets) + 1..]
    }
}

/// Whether the character is `atext` (RFC 5322 §3.2.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn check_dot_atom(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), AddressError> {
    let mut before = '.';
    for c in text.chars() {
        if c == '.' && before == '.' {
            return Err(AddressError::Character('.'));
        }
        if c != '.' && !allowed(c) {
            return Err(AddressError::Character(c));
        }
        before = c;
    }
    if before == '.' { Err(AddressError::Character('.')) } else { Ok(()) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_or_refuses() {
        let (local, domain) = ("l".repeat(LOCAL_PART_OCTETS_MAX), format!("{}.edu", "d".repeat(DOMAIN_OCTETS_MAX - 4)));
        let longest = format!("{local}@{domain}");
        for (text, expect) in [
            (&*longest, Ok(&*longest)),
            (&format!("l{longest}"), Err(AddressError::Length)),
            (&format!("{local}@d{domain}"), Err(AddressError::Length)),
            ("Zoe.Tremblay@Example.EDU.", Ok("zoe.tremblay@example.edu")),
            (" a+b@example.edu ", Ok("a+b@example.edu")),
            ("no-at", Err(AddressError::Shape)),
            ("@example.edu", Err(AddressError::Shape)),
            ("a@", Err(AddressError::Shape)),
            ("a..b@example.edu", Err(AddressError::Character('.'))),
            ("a@ex ample.edu", Err(AddressError::Character(' '))),
            ("zoé@example.edu", Err(AddressError::Character('é'))),
        ] {
            assert_eq!(Address::parse(text).as_ref().map(Address::as_str), expect.as_ref().copied(), "{text}");
        }
    }
}
