//! Distinguished names (RFC 4514), compared by the schema (distinguishedNameMatch, RFC 4517 §4.2.15): attribute types
//! under any of their names, values by the equality rule of their type.

use std::fmt;
use std::hash::{Hash, Hasher};

use provost_schema::naming_type;

use crate::attribute::{is_descr, is_numeric_oid};
use crate::prep::{self, CaseHandling};

/// Longest DN accepted, octets of its text: bounds the work of parsing and comparing.
pub const DN_OCTETS_MAX: usize = 4096;
/// Maximum number of RDNs in one DN: far more levels than a directory has.
pub const DN_DEPTH_MAX: usize = 32;

/// One relative distinguished name: one or more `type=value` pairs.
#[derive(Clone, Debug)]
pub struct Rdn {
    pairs: Vec<(String, String)>,
}

/// A distinguished name. The empty one names the root DSE.
///
/// Keeps the spelling of types and values, except that types under another name or OID and hexadecimal values are
/// converted: `commonName=x`, `2.5.4.3=x` and `cn=#0C0178` become `cn=x`. Equality, order and hash use the normalised
/// form.
#[derive(Clone)]
pub struct Dn {
    text: Box<str>,
    normalised: Box<str>,
}

/// The text is not a distinguished name. Holds its first 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a distinguished name")]
pub struct DnError(String);

impl Rdn {
    /// Makes the RDN `type=value` from an unescaped value.
    pub fn new(attribute: &str, value: &str) -> Self {
        Self { pairs: vec![(preferred(attribute), value.to_owned())] }
    }

    /// Returns the RDN with another first value (unescaped).
    #[must_use]
    pub fn with_first_value(&self, value: &str) -> Self {
        let mut pairs = self.pairs.clone();
        if let Some((_, first)) = pairs.first_mut() {
            value.clone_into(first);
        }
        Self { pairs }
    }

    /// Whether two of the pairs have one type (X.501 forbids it).
    fn repeats_a_type(&self) -> bool {
        let mut types: Vec<String> = self.pairs().map(|(attribute, _)| attribute.to_ascii_lowercase()).collect();
        types.sort_unstable();
        types.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }

    /// Returns the pairs of attribute type and unescaped value.
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
    /// Parses RFC 4514 text. A hex-string value (`#04...`) must be the BER encoding of a string (§2.4); an empty
    /// value is refused. As in RFC 2253 §4, spaces around types and values are skipped, and a semicolon may separate
    /// RDNs.
    ///
    /// Neither the text nor the name as [`Dn::as_str`] returns it may exceed [`DN_OCTETS_MAX`] octets. Escapes can make
    /// the latter longer.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        let fits = |text: &str| text.len() <= DN_OCTETS_MAX;
        let rdns = if fits(text) { parse_rdns(text) } else { None };
        let name = rdns.map(|rdns| Self::build(&rdns)).filter(|name| fits(&name.text));
        name.ok_or_else(|| DnError(text.chars().take(128).collect()))
    }

    /// Returns the empty DN.
    pub fn root() -> Self {
        Self { text: "".into(), normalised: "".into() }
    }

    fn build(rdns: &[Rdn]) -> Self {
        let text = rdns.iter().map(Rdn::to_string).collect::<Vec<_>>().join(",");
        let normalised = normalise(rdns, Nesting::Outer);
        Self { text: text.into_boxed_str(), normalised: normalised.into_boxed_str() }
    }

    /// Returns the DN `attribute=value` below this one.
    pub fn child(&self, attribute: &str, value: &str) -> Self {
        let rdn = Rdn::new(attribute, value);
        let join = |head: String, tail: &str| if tail.is_empty() { head } else { format!("{head},{tail}") };
        Self {
            text: join(rdn.to_string(), &self.text).into_boxed_str(),
            normalised: join(normalise_rdn(&rdn, Nesting::Outer), &self.normalised).into_boxed_str(),
        }
    }

    /// Returns the text, with special characters escaped (RFC 4514 §2.4).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the normalised form, which is equal for all spellings of one name.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    /// Whether this is the name of the root DSE.
    pub fn is_root(&self) -> bool {
        self.normalised.is_empty()
    }

    /// Returns the RDNs, the leaf first.
    pub fn rdns(&self) -> Vec<Rdn> {
        parse_rdns(&self.text).unwrap_or_default()
    }

    /// Returns the leaf RDN; `None` for the root.
    pub fn rdn(&self) -> Option<Rdn> {
        self.rdns().into_iter().next()
    }

    /// Returns the unescaped value of `attribute`, given by its preferred name, in the leaf RDN; `None` without one.
    pub fn rdn_value(&self, attribute: &str) -> Option<String> {
        let rdn = self.rdn()?;
        rdn.pairs().find(|(name, _)| name.eq_ignore_ascii_case(attribute)).map(|(_, value)| value.to_owned())
    }

    /// Returns the parent; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let rdns = self.rdns();
        Some(Self::build(rdns.get(1..).unwrap_or_default()))
    }

    /// Whether this is `ancestor` or a name below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        if ancestor.is_root() {
            return true;
        }
        let Some(head) = self.normalised.strip_suffix(&*ancestor.normalised) else { return false };
        head.is_empty() || (head.ends_with(',') && !ends_in_escape(&head[..head.len() - 1]))
    }
}

/// Whether the text ends in an odd number of backslashes, so that the next character is escaped.
fn ends_in_escape(text: &str) -> bool {
    text.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Whether a name stands on its own, or is the value of an attribute within another name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

fn normalise(rdns: &[Rdn], nesting: Nesting) -> String {
    rdns.iter().map(|rdn| normalise_rdn(rdn, nesting)).collect::<Vec<_>>().join(",")
}

/// RFC 4512 §2.3.1: an RDN is a set, so the order of its pairs does not count.
fn normalise_rdn(rdn: &Rdn, nesting: Nesting) -> String {
    let mut pairs: Vec<String> = rdn
        .pairs()
        .map(|(attribute, value)| {
            format!("{}={}", attribute.to_ascii_lowercase(), escape(&key(attribute, value, nesting)))
        })
        .collect();
    pairs.sort();
    pairs.join("+")
}

/// Returns the normalised value, which is the same for equal values of a type. Case is ignored for a type that the
/// schema lacks, and for an equality rule that has no arm below. A value that cannot be prepared (RFC 4518 §2.4) equals
/// only itself.
fn key(attribute: &str, value: &str, nesting: Nesting) -> String {
    let rule = naming_type(attribute).and_then(|found| found.equality.as_deref()).unwrap_or("caseIgnoreMatch");
    let key = match rule {
        "caseExactMatch" | "caseExactIA5Match" => prep::directory_string(value, CaseHandling::Exact),
        "numericStringMatch" => prep::numeric_string(value),
        "telephoneNumberMatch" => prep::telephone_number(value),
        // Normalised one level deep only: each name could contain another, as deep as the text is long.
        "distinguishedNameMatch" if nesting == Nesting::Outer => {
            parse_rdns(value).map(|rdns| normalise(&rdns, Nesting::Inner))
        }
        "octetStringMatch" => None,
        _ => prep::directory_string(value, CaseHandling::Ignored),
    };
    key.unwrap_or_else(|| value.to_owned())
}

/// Returns the preferred name of an attribute type given by any name or OID (RFC 4514 §3). A type that the schema lacks
/// stays as it is, without the prefix `oid.` of RFC 1779.
fn preferred(attribute: &str) -> String {
    let attribute = without_oid_prefix(attribute);
    match naming_type(attribute) {
        Some(found) if !found.name.eq_ignore_ascii_case(attribute) => found.name.clone(),
        _ => attribute.to_owned(),
    }
}

/// Escapes a value (RFC 4514 §2.4).
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
    if text.trim_matches(' ').is_empty() {
        return Some(Vec::new());
    }
    let mut rdns = Vec::new();
    for part in split_unescaped(text, &[',', ';']) {
        let pairs = split_unescaped(part, &['+']).into_iter().map(parse_pair).collect::<Option<Vec<_>>>()?;
        let rdn = Rdn { pairs };
        if rdn.repeats_a_type() || rdns.len() == DN_DEPTH_MAX {
            return None;
        }
        rdns.push(rdn);
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

/// Whether the text is a descr or numericoid (RFC 4512 §1.4), the latter also with the prefix of RFC 1779.
fn is_attribute_type(text: &str) -> bool {
    is_descr(text) || is_numeric_oid(without_oid_prefix(text))
}

fn without_oid_prefix(text: &str) -> &str {
    match text.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("oid.") => rest,
        _ => text,
    }
}

/// Parses one attributeTypeAndValue (RFC 4514 §3).
fn parse_pair(text: &str) -> Option<(String, String)> {
    let (attribute, value) = text.split_once('=')?;
    let attribute = attribute.trim_matches(' ');
    if !is_attribute_type(attribute) {
        return None;
    }
    let head = value.trim_start_matches(' ');
    let mut value = head.trim_end_matches(' ');
    // An escaped trailing space belongs to the value.
    if ends_in_escape(value) && head.len() > value.len() {
        value = head.get(..value.len() + 1)?;
    }
    let value = match value.strip_prefix('#') {
        Some(digits) => hex_string(digits)?,
        None => unescape(value)?,
    };
    (!value.is_empty()).then(|| (preferred(attribute), value))
}

/// Decodes the hexadecimal BER encoding of a value (RFC 4514 §2.4); `None` unless it is a string.
fn hex_string(digits: &str) -> Option<String> {
    let digits = digits.as_bytes();
    let octets: Option<Vec<u8>> = digits.chunks(2).map(hex_octet).collect();
    let octets = octets?;
    let (tag, rest) = octets.split_first()?;
    let (first, rest) = rest.split_first()?;
    // Two octets of length suffice: a DN has at most DN_OCTETS_MAX octets.
    let (length, content) = match (*first, rest) {
        (0x81, [length, content @ ..]) => (usize::from(*length), content),
        (0x82, [high, low, content @ ..]) => (usize::from(*high) << 8 | usize::from(*low), content),
        (length, content) if length < 0x80 => (usize::from(length), content),
        _ => return None,
    };
    if content.len() != length {
        return None;
    }
    match tag {
        // OCTET STRING, UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString.
        0x04 | 0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a => String::from_utf8(content.to_vec()).ok(),
        // UniversalString.
        0x1c => content.chunks(4).map(|c| char::from_u32(u32::from_be_bytes(c.try_into().ok()?))).collect(),
        // BMPString.
        0x1e => content.chunks(2).map(|c| char::from_u32(u16::from_be_bytes(c.try_into().ok()?).into())).collect(),
        _ => None,
    }
}

/// Parses one octet of two hexadecimal digits.
fn hex_octet(digits: &[u8]) -> Option<u8> {
    // Checked digit by digit: `from_str_radix` would accept the `+a` of `\+a`.
    match digits {
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        }
        _ => None,
    }
}

/// Unescapes a string (RFC 4514 §3): a backslash may precede only a special character or two hexadecimal digits, and
/// `"`, `+`, `,`, `;`, `<`, `>` and NUL must be escaped.
fn unescape(value: &str) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    let bytes = value.as_bytes();
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'\\' => {
                if let Some(octet) = bytes.get(i + 1..i + 3).and_then(hex_octet) {
                    out.push(octet);
                    i += 3;
                    continue;
                }
                match bytes.get(i + 1) {
                    Some(special @ (b'\\' | b'"' | b'+' | b',' | b';' | b'<' | b'>' | b' ' | b'#' | b'=')) => {
                        out.push(*special);
                        i += 2;
                    }
                    _ => return None,
                }
            }
            b'\0' | b'"' | b'+' | b',' | b';' | b'<' | b'>' => return None,
            byte => {
                out.push(byte);
                i += 1;
            }
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
            // RFC 4514 §3: a type by any of its names, a value by its encoding.
            ("commonName=a,domainComponent=x", "cn=a,dc=x"),
            ("2.5.4.11=lab,0.9.2342.19200300.100.1.25=x", "ou=lab,dc=x"),
            ("OID.2.5.4.11=lab,oid.2.5.4.3=x", "ou=lab,cn=x"),
            ("surname=b+commonName=a,dc=x", "cn=a+sn=b,dc=x"),
            ("ou=#0C036C6162,dc=x", "ou=lab,dc=x"),
            ("2.5.4.11=#04036C6162", "ou=LAB"),
            ("ou=#1e06006c00610062", "ou=lab"),
            ("ou=#1c040001f393", "ou=🎓"),
            ("ou=#0c81036c6162", "ou=lab"),
            // RFC 4518, and the equality rule of the type.
            ("cn=Zoe\u{301},dc=x", "cn=zoé,dc=x"),
            ("cn=zo\u{200b}é,dc=x", "cn=Ｚo\u{ad}É,dc=x"),
            ("x121Address=1 2,dc=x", "x121Address=12,dc=x"),
            ("telephoneNumber=514-555,dc=x", "telephoneNumber=514 555,dc=x"),
            (r"seeAlso=commonName\=A\,dc\=x,dc=x", r"seeAlso=cn\=a\, dc\=x,dc=x"),
            (r"cn=a\00,dc=x", "cn=a,dc=x"),
        ] {
            assert_eq!(Dn::parse(a).unwrap(), Dn::parse(b).unwrap(), "{a}");
        }
    }

    #[test]
    fn refuses_malformed_names() {
        let long = "a=b,".repeat(2000);
        let long_when_escaped = format!("cn=a{}b", "\r".repeat(DN_OCTETS_MAX / 2));
        let bad = [
            "cn=a+cn=a",
            "cn=a+sn=x+CommonName=b,dc=x",
            "people",
            "=x",
            "ou=",
            "ou=a,,dc=b",
            "o u=a",
            ",",
            "ou=a,",
            "ou=a+",
            &long,
            &long_when_escaped,
        ];
        // RFC 4514 §3: characters that must be escaped, and characters that must not.
        let strings =
            [r"cn=CORP\user", "cn=a<b", "cn=a>b", r#"cn="a""#, r#"cn=a"b"#, "cn=a\0", r"cn=a\", r"cn=\zz", r"cn=\ff"];
        let types =
            ["2=a", "2.5.4.3.=a", "02.5.4.3=a", "2..5=a", "oid.cn=a", "oid.=a", "-cn=a", "c.n=a", "c_n=a", "é=a"];
        let hex = [
            "ou=#",
            "ou=#0",
            "ou=#0401",
            "ou=#04016162",
            "ou=#0400",
            "ou=#300403",
            "ou=#0401ff",
            "ou=#zz0161",
            "ou=#1e0161",
        ];
        for bad in bad.into_iter().chain(strings).chain(types).chain(hex) {
            assert!(Dn::parse(bad).is_err(), "{bad:.80}");
        }
    }

    // RFC 4514 §3: only some characters must be escaped, and spaces only at the ends.
    #[test]
    fn accepts_characters_that_need_no_escape() {
        for (text, value) in
            [("cn=a#b=c", "a#b=c"), ("cn=a'b!", "a'b!"), (r"cn=\20a\ ", " a "), ("cn=\u{1}x", "\u{1}x")]
        {
            let dn = Dn::parse(text).unwrap();
            assert_eq!(dn.rdn_value("cn").as_deref(), Some(value), "{text}");
            assert_eq!(Dn::parse(dn.as_str()).unwrap().as_str(), dn.as_str());
        }
        let deep = format!("{}x", "seeAlso=".repeat(400));
        assert!(Dn::parse(&deep).is_ok());
        assert_eq!(Dn::parse("OU=People,commonName=x").unwrap().as_str(), "OU=People,cn=x");
    }

    // RFC 4517 §4.2: the equality rule of the type decides. Values that cannot be prepared equal only themselves.
    #[test]
    fn different_names_are_unequal() {
        for (a, b) in
            [("vendorName=A", "vendorName=a"), ("cn=e", "cn=é"), ("cn=a", "sn=a"), ("cn=\u{e000}", "cn=\u{e001}")]
        {
            assert_ne!(Dn::parse(a).unwrap(), Dn::parse(b).unwrap(), "{a}");
        }
    }

    #[test]
    fn parents_children_and_ancestors() {
        let suffix = Dn::parse("dc=example,dc=edu").unwrap();
        let person = suffix.child("ou", "people").child("cn", "a,b");
        assert_eq!(person.as_str(), r"cn=a\,b,ou=people,dc=example,dc=edu");
        assert!(person.is_within(&suffix) && !suffix.is_within(&person));
        assert!(!Dn::parse("dc=ax,dc=b").unwrap().is_within(&Dn::parse("dc=x,dc=b").unwrap()));
        assert_eq!(person.parent().unwrap(), suffix.child("ou", "people"));
        assert_eq!(person.rdn_value("CN").as_deref(), Some("a,b"));
    }
}
