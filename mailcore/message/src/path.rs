//! Reverse-path and forward-path of SMTP (RFC 5321 §4.1.2).

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use provost_view::Address;

use crate::split_detail;

/// Longest local part, octets (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Longest domain, octets (RFC 5321 §4.5.3.1.2).
const DOMAIN_OCTETS_MAX: usize = 255;
/// Characters of an invalid path shown in an error, so that a peer cannot fill the log.
const ERROR_CHARS_MAX: usize = 80;

/// A path `<local@domain>`: the local part unquoted, its case kept. The domain may be of any site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path {
    local: Box<str>,
    domain: Box<str>,
}

/// The text is not a path. Holds the first characters of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a mailbox")]
pub struct PathError(String);

impl Path {
    /// Makes a path from an unquoted local part and a domain. Only `postmaster` may have an empty domain (RFC 5321
    /// §4.5.1).
    ///
    /// A dot at the end of the domain is removed: resolvers write it for the root, and RFC 5321 §4.1.2 does not allow
    /// it.
    pub fn new(local: &str, domain: &str) -> Result<Self, PathError> {
        let domain = match domain.strip_suffix('.') {
            Some(shorter) if !shorter.is_empty() && !shorter.starts_with('[') => shorter,
            _ => domain,
        };
        let domain_fits = if domain.is_empty() { local.eq_ignore_ascii_case("postmaster") } else { is_domain(domain) };
        if !domain_fits || !is_local(local) {
            return Err(refused(&format!("{local}@{domain}")));
        }
        Ok(Self { local: local.into(), domain: domain.into() })
    }

    /// Parses `local@domain` without angle brackets; the local part may be quoted.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if let Some(rest) = text.strip_prefix('"') {
            let (local, rest) = unquote(rest).ok_or_else(|| refused(text))?;
            let domain = rest.strip_prefix('@').filter(|d| !d.is_empty()).ok_or_else(|| refused(text))?;
            return Self::new(&local, domain).map_err(|_| refused(text));
        }
        match text.split_once('@') {
            Some((local, domain)) if is_dot_string(local) && !domain.is_empty() => Self::new(local, domain),
            None if text.eq_ignore_ascii_case("postmaster") => Self::new(text, ""),
            _ => Err(refused(text)),
        }
    }

    /// Returns the local part, without quotes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Returns the domain, its case kept; empty for `postmaster` alone.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the path as a directory address; `None` when no address has this form, as with a local part that needs
    /// quotes or with an address literal.
    ///
    /// When only the detail needs quotes, as in `"zoe+a b"`, returns the address without the detail (RFC 5233 §4): the
    /// directory holds no address with such a detail, and Sieve reads the detail from the path.
    pub fn address(&self) -> Option<Address> {
        let user = || Address::from_parts(split_detail(&self.local).0, &self.domain);
        Address::from_parts(&self.local, &self.domain).or_else(|_| user()).ok()
    }
}

impl fmt::Display for Path {
    /// Writes `local@domain`, the local part quoted where RFC 5321 §4.1.2 requires it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_char('"')?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
            f.write_char('"')?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for Path {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl From<&Address> for Path {
    /// Converts an address of the directory, which is always a valid path.
    fn from(address: &Address) -> Self {
        Self { local: address.local().into(), domain: address.domain().into() }
    }
}

fn refused(text: &str) -> PathError {
    PathError(text.chars().take(ERROR_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect())
}

/// Whether the text can be a local part, its quotes removed: printable ASCII and space (RFC 5321 §4.1.2 QcontentSMTP).
fn is_local(local: &str) -> bool {
    !local.is_empty() && local.len() <= LOCAL_PART_OCTETS_MAX && local.bytes().all(|b| (32..127).contains(&b))
}

/// Whether the text is a Dot-string (RFC 5321 §4.1.2).
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Whether the octet is `atext` (RFC 5322 §3.2.3).
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Whether the text is a domain or address literal (RFC 5321 §4.1.2). Hyphens at the ends of a label, and underscores,
/// are also accepted: real hosts send from such names, and they do no harm.
fn is_domain(domain: &str) -> bool {
    if domain.len() > DOMAIN_OCTETS_MAX {
        return false;
    }
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(is_literal);
    }
    let is_label = |label: &str| label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    domain.split('.').all(|label| !label.is_empty() && is_label(label))
}

/// Whether the text between the brackets is an IPv4 or IPv6 address literal (RFC 5321 §4.1.3).
fn is_literal(literal: &str) -> bool {
    match literal.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => literal.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Reads a quoted string after its opening quote. Returns its content and the text after the closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return text.get(index + 1..).map(|rest| (local, rest)),
            '\\' => local.push(chars.next()?.1),
            _ => local.push(c),
        }
        if local.len() > LOCAL_PART_OCTETS_MAX {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5321 §4.1.2: Mailbox = Local-part "@" ( Domain / address-literal ).
    #[test]
    fn reads_and_writes_paths() {
        let long_local = format!("{}@example.edu", "a".repeat(64));
        for (text, local, domain) in [
            ("zoe@example.edu", "zoe", "example.edu"),
            ("Zoe.T+x@Example.EDU", "Zoe.T+x", "Example.EDU"),
            ("o'neil/x=y@example.edu", "o'neil/x=y", "example.edu"),
            ("\"a b\"@example.edu", "a b", "example.edu"),
            ("\"a@b\"@example.edu", "a@b", "example.edu"),
            ("\"a\\\"b\\\\c\"@example.edu", "a\"b\\c", "example.edu"),
            ("\"a..b\"@example.edu", "a..b", "example.edu"),
            ("root@my_host.example", "root", "my_host.example"),
            ("root@[127.0.0.1]", "root", "[127.0.0.1]"),
            ("root@[IPv6:2001:db8::1]", "root", "[IPv6:2001:db8::1]"),
            ("Postmaster", "Postmaster", ""),
            (&long_local, &long_local[..64], "example.edu"),
        ] {
            let path = Path::parse(text).expect(text);
            assert_eq!((path.local(), path.domain()), (local, domain), "{text}");
            assert_eq!(path.to_string(), text);
            assert_eq!(String::from(path.clone()), text);
        }
    }

    #[test]
    fn needless_quotes_are_removed() {
        assert_eq!(Path::parse("\"zoe\"@example.edu").unwrap().to_string(), "zoe@example.edu");
    }

    #[test]
    fn a_dot_at_the_end_is_removed() {
        assert_eq!(Path::parse("zoe@example.edu.").unwrap().to_string(), "zoe@example.edu");
        assert_eq!(Path::parse("\"a b\"@example.edu.").unwrap().domain(), "example.edu");
    }

    #[test]
    fn refuses_invalid_paths() {
        let long_local = format!("{}@example.edu", "a".repeat(65));
        let long_quoted = format!("\"{}\"@example.edu", "a".repeat(65));
        let long_domain = format!("a@{}", ["b".repeat(50).as_str(); 6].join("."));
        for text in [
            "",
            "@",
            "zoe",
            "zoe@",
            "@example.edu",
            "a..b@example.edu",
            ".a@example.edu",
            "a.@example.edu",
            "a b@example.edu",
            "a@b@c",
            "a@exam ple.edu",
            "a@x..edu",
            "a@x.edu..",
            "a@.",
            "postmaster@.",
            "a@[192.0.2.1].",
            "\"a@x.edu",
            "\"a\"x@x.edu",
            "\"a\"@",
            "\"\"@x.edu",
            "\"a\\",
            "zoé@example.edu",
            "a@exämple.edu",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a@[IPv6:zz]",
            "a@[x:1]",
            "a\r\n@example.edu",
            "\"a\nb\"@example.edu",
            "\"a\0b\"@example.edu",
            "a@x\0.edu",
            &long_local,
            &long_quoted,
            &long_domain,
        ] {
            assert!(Path::parse(text).is_err(), "{text:?}");
        }
        assert!(Path::new("zoe", "").is_err());
        assert!(Path::new("", "example.edu").is_err());
    }

    #[test]
    fn an_error_shows_no_control_characters_and_is_short() {
        let error = Path::parse(&format!("\r\n{}", "x".repeat(1000))).unwrap_err().to_string();
        assert!(error.len() < 120 && !error.contains('\n'), "{error}");
    }

    #[test]
    fn becomes_an_address_or_not() {
        assert_eq!(Path::parse("Zoe@Example.EDU").unwrap().address().unwrap().as_str(), "zoe@example.edu");
        for (path, address) in [
            ("\"zoe\"@example.edu", Some("zoe@example.edu")),
            ("\"zoe+d\"@example.edu", Some("zoe+d@example.edu")),
            ("\"Zoe+d e\"@example.edu", Some("zoe@example.edu")),
            ("\"zoe+a..b\"@example.edu", Some("zoe@example.edu")),
            ("\"zoe+a@b\"@example.edu", Some("zoe@example.edu")),
            ("\"a b\"@example.edu", None),
            ("\"a b+c\"@example.edu", None),
            ("\"+d e\"@example.edu", None),
        ] {
            let found = Path::parse(path).unwrap().address();
            assert_eq!(found.as_ref().map(Address::as_str), address, "{path}");
        }
        assert_eq!(Path::parse("a@[1.2.3.4]").unwrap().address(), None);
        assert_eq!(Path::parse("postmaster").unwrap().address(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,100}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
            }
        }

        #[test]
        fn any_local_part_survives_its_quoting(local in "[ -~]{1,64}") {
            let path = Path::new(&local, "example.edu").unwrap();
            prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }
}
