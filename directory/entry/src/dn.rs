//! Distinguished names (RFC 4514), compared as this project's schema compares them: without case, spaces folded.

use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest DN that we read, in octets of its text.
pub const DN_OCTETS_MAX: usize = 4096;
/// Most RDNs in one DN.
pub const DN_DEPTH_MAX: usize = 32;

/// One relative distinguished name: one or more `type=value` pairs.
#[derive(Clone, Debug)]
pub struct Rdn {
    pairs: Vec<(String, String)>,
}

/// A distinguished name. The empty one is the root DSE.
///
/// Keeps the spelling it came in; equality, order and hash go by the normalised form.
#[derive(Clone)]
pub struct Dn {
    text: Box<str>,
    normalised: Box<str>,
}

/// The text is not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a distinguished name")]
pub struct DnError(pub String);

impl Rdn {
    /// `type=value`, value unescaped.
    pub fn new(attribute: &str, value: &str) -> Self {
        Self { pairs: vec![(attribute.to_owned(), value.to_owned())] }
    }

    /// The pairs: attribute type and value (unescaped).
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(attribute, value)| (attribute.as_str(), value.as_str()))
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (attribute, value)) in self.pairs.iter().enumerate() {
            if i > 0 {
                f.write_str("+")?;
            }
            write!(f, "{attribute}={}", escape(value))?;
        }
        Ok(())
    }
}

impl Dn {
    /// Parses RFC 4514 text; hex-string values (`#04...`) are refused.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let rdns = parse_rdns(text).ok_or_else(|| DnError(text.chars().take(128).collect()))?;
        Ok(Self::build(&rdns))
    }

    /// The empty DN.
    pub fn root() -> Self {
        Self { text: "".into(), normalised: "".into() }
    }

    fn build(rdns: &[Rdn]) -> Self {
        let text = rdns.iter().map(Rdn::to_string).collect::<Vec<_>>().join(",");
        let normalised = rdns.iter().map(normalise_rdn).collect::<Vec<_>>().join(",");
        Self { text: text.into_boxed_str(), normalised: normalised.into_boxed_str() }
    }

    /// The entry `attribute=value` below this one.
    pub fn child(&self, attribute: &str, value: &str) -> Self {
        let rdn = Rdn::new(attribute, value);
        let join = |head: String, tail: &str| if tail.is_empty() { head } else { format!("{head},{tail}") };
        Self {
            text: join(rdn.to_string(), &self.text).into_boxed_str(),
            normalised: join(normalise_rdn(&rdn), &self.normalised).into_boxed_str(),
        }
    }

    /// As text, escaped where RFC 4514 asks for it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form in which two spellings of one name are equal.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    /// Whether this is the root DSE's name.
    pub fn is_root(&self) -> bool {
        self.normalised.is_empty()
    }

    /// Its RDNs, the leaf first.
    pub fn rdns(&self) -> Vec<Rdn> {
        parse_rdns(&self.text).unwrap_or_default()
    }

    /// The leaf; `None` for the root.
    pub fn rdn(&self) -> Option<Rdn> {
        self.rdns().into_iter().next()
    }

    /// The leaf's first value (unescaped) if its type is `attribute`.
    pub fn rdn_value(&self, attribute: &str) -> Option<String> {
        let rdn = self.rdn()?;
        rdn.pairs().find(|(name, _)| name.eq_ignore_ascii_case(attribute)).map(|(_, value)| value.to_owned())
    }

    /// The name above; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let rdns = self.rdns();
        Some(Self::build(rdns.get(1..).unwrap_or_default()))
    }

    /// Whether this is `ancestor` or stands somewhere below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        if ancestor.is_root() {
            return true;
        }
        let Some(head) = self.normalised.strip_suffix(&*ancestor.normalised) else { return false };
        head.is_empty() || (head.ends_with(',') && !ends_in_escape(&head[..head.len() - 1]))
    }
}

/// Whether the text ends in an odd number of backslashes, so that what follows is escaped.
fn ends_in_escape(text: &str) -> bool {
    text.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn normalise_rdn(rdn: &Rdn) -> String {
    let mut pairs: Vec<String> = rdn
        .pairs()
        .map(|(attribute, value)| format!("{}={}", attribute.to_ascii_lowercase(), escape(&fold(value))))
        .collect();
    pairs.sort();
    pairs.join("+")
}

/// caseIgnoreMatch preparation (RFC 4518), short form: lower case, runs of spaces as one, none at the ends.
fn fold(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// RFC 4514 §2.4.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', c]),
            '\0' => out.push_str("\\00"),
            '\r' => out.push_str("\\0d"),
            '\n' => out.push_str("\\0a"),
            ' ' if i == 0 || i == last => out.push_str("\\ "),
            '#' if i == 0 => out.push_str("\\#"),
            _ => out.push(c),
        }
    }
    out
}

fn parse_rdns(text: &str) -> Option<Vec<Rdn>> {
    if text.len() > DN_OCTETS_MAX {
        return None;
    }
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut rdns = Vec::new();
    for part in split_unescaped(text, &[',', ';']) {
        let pairs = split_unescaped(part, &['+']).into_iter().map(parse_pair).collect::<Option<Vec<_>>>()?;
        rdns.push(Rdn { pairs });
        if rdns.len() > DN_DEPTH_MAX {
            return None;
        }
    }
    Some(rdns)
}

fn split_unescaped<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if separators.contains(&c) {
            parts.push(&text[start..i]);
            start = i + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_pair(text: &str) -> Option<(String, String)> {
    let (attribute, value) = text.split_once('=')?;
    let attribute = attribute.trim();
    let head = value.trim_start();
    let mut value = head.trim_end();
    // The escape of a trailing space keeps that space.
    if ends_in_escape(value) && head.len() > value.len() {
        value = &head[..value.len() + 1];
    }
    let good = !attribute.is_empty()
        && attribute.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !value.starts_with('#')
        && !value.is_empty();
    if good { Some((attribute.to_owned(), unescape(value)?)) } else { None }
}

fn unescape(value: &str) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    let bytes = value.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        // Checked digit by digit: `from_str_radix` would take the `+a` of `\+a` for a number.
        let digits = value.get(i + 1..i + 3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let hex = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (hex, bytes.get(i + 1)) {
            (Some(byte), _) => {
                out.push(byte);
                i += 3;
            }
            (None, Some(byte)) if byte.is_ascii() => {
                out.push(*byte);
                i += 2;
            }
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.text)
    }
}
impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.normalised == other.normalised
    }
}
impl Eq for Dn {}
impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normalised.hash(state);
    }
}
impl PartialOrd for Dn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Dn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.normalised.cmp(&other.normalised)
    }
}
impl std::str::FromStr for Dn {
    type Err = DnError;
    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for (a, b) in [
            ("OU=People, DC=Example,DC=EDU", "ou=people,dc=example,dc=edu"),
            (r"cn=Smith\2c John,dc=x", r"cn=smith\,  john,dc=x"),
            (r"cn=a+sn=b,dc=x", r"SN=B+CN=A,dc=x"),
            (r"cn=a\ ,dc=x", r"cn=a,dc=x"),
            (r"cn=\+aa,dc=x", r"cn=\2Baa,dc=x"),
        ] {
            assert_eq!(Dn::parse(a).unwrap(), Dn::parse(b).unwrap(), "{a}");
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        for bad in ["people", "=x", "ou=", "ou=a,,dc=b", "ou=#0401", "o u=a", &"a=b,".repeat(2000)] {
            assert!(Dn::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn family() {
        let suffix = Dn::parse("dc=example,dc=edu").unwrap();
        let person = suffix.child("ou", "people").child("cn", "a,b");
        assert_eq!(person.as_str(), r"cn=a\,b,ou=people,dc=example,dc=edu");
        assert!(person.is_within(&suffix) && !suffix.is_within(&person));
        assert!(!Dn::parse("dc=ax,dc=b").unwrap().is_within(&Dn::parse("dc=x,dc=b").unwrap()));
        assert_eq!(person.parent().unwrap(), suffix.child("ou", "people"));
        assert_eq!(person.rdn_value("CN").as_deref(), Some("a,b"));
    }
}
