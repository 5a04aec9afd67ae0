//! Header values with parameters (RFC 2045 §5.1, RFC 2183 §2), with continuations and charsets (RFC 2231).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::charset;
use crate::tokens::TokenCursor;
use crate::transfer::hex;

/// Maximum number of parameters of one field, after continued ones are joined; later ones are ignored.
const PARAMETERS_MAX: usize = 64;
/// Maximum number of parameters read from one field as they are written: each section of a continued one counts (RFC
/// 2231 §3).
const RAW_PARAMETERS_MAX: usize = 1_000;

/// A value and its parameters, as in Content-Type and Content-Disposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameterised {
    /// The token, or two tokens around a slash, before the parameters; without comments and white space.
    pub value: Vec<u8>,
    /// Names as written, values unquoted. A continued parameter is joined (RFC 2231 §6). A parameter with a charset
    /// keeps the form `name*=charset'language'%XX`, which IMAP clients expect.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Parameterised {
    /// Parses an unfolded value. A parameter ends at white space or after its closing quote; the rest up to the next
    /// semicolon is skipped.
    pub fn parse(text: &[u8]) -> Self {
        let mut tokens = TokenCursor::new(text);
        let mut value = token(&mut tokens, b";");
        tokens.skip_cfws();
        // RFC 822 allows white space and comments around the slash.
        if tokens.peek() == Some(b'/') {
            value.extend(token(&mut tokens, b";"));
        }
        if value.last() == Some(&b'/') {
            value.extend(token(&mut tokens, b";"));
        }
        let mut raw = Vec::new();
        while next_parameter(&mut tokens) && raw.len() < RAW_PARAMETERS_MAX {
            let name = token(&mut tokens, b"=;");
            tokens.skip_cfws();
            if tokens.eat(b'=') && !name.is_empty() {
                raw.push((name, token(&mut tokens, b";")));
            }
        }
        Self { value, parameters: joined(raw) }
    }

    /// Returns a parameter by name, as octets; one with a charset (RFC 2231 §4) is converted to UTF-8.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        parameter(&self.parameters, name)
    }
}

/// Implements [`Parameterised::parameter`] for a list of parameters.
pub(crate) fn parameter<'a>(parameters: &'a [(Vec<u8>, Vec<u8>)], name: &str) -> Option<Cow<'a, [u8]>> {
    let find = |wanted: &dyn Fn(&[u8]) -> bool| parameters.iter().find(|(key, _)| wanted(key)).map(|(_, value)| value);
    if let Some(value) = find(&|key| key.eq_ignore_ascii_case(name.as_bytes())) {
        return Some(value.as_slice().into());
    }
    let is_extended = |key: &[u8]| key.strip_suffix(b"*").is_some_and(|key| key.eq_ignore_ascii_case(name.as_bytes()));
    find(&is_extended).map(|value| extended_text(value).into_bytes().into())
}

/// Skips to the next semicolon and over it; false when there is none.
fn next_parameter(tokens: &mut TokenCursor<'_>) -> bool {
    loop {
        match tokens.peek() {
            None => return false,
            Some(b'"') => drop(tokens.quoted()),
            Some(b'(') => drop(tokens.comment()),
            Some(b';') => return tokens.eat(b';'),
            Some(_) => drop(tokens.next()),
        }
    }
}

/// Reads a quoted string, or octets up to white space, a comment or one of `stops`.
fn token(tokens: &mut TokenCursor<'_>, stops: &[u8]) -> Vec<u8> {
    tokens.skip_cfws();
    if tokens.peek() == Some(b'"') {
        return tokens.quoted();
    }
    tokens.run_until_any(|octet| b" \t\r\n(\"".contains(octet) || stops.contains(octet)).to_vec()
}

/// Sections of one parameter by number: whether each is encoded, and its value.
type ParameterSections = BTreeMap<usize, (bool, Vec<u8>)>;

/// The name of one section: `name*1*` is section 1 of `name`, encoded (RFC 2231 §3, §4.1).
struct ParameterSection {
    name: Vec<u8>,
    number: usize,
    is_encoded: bool,
}

fn section(name: &[u8]) -> Option<ParameterSection> {
    let (name, is_encoded) = match name.strip_suffix(b"*") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let star = memchr::memrchr(b'*', name)?;
    let digits = std::str::from_utf8(name.get(star + 1..)?).ok()?;
    let number = digits.parse().ok().filter(|number| *number < RAW_PARAMETERS_MAX && !digits.starts_with('+'))?;
    Some(ParameterSection { name: name.get(..star)?.to_vec(), number, is_encoded })
}

/// Joins the sections of each continued parameter, at the position of the section that comes first in the field.
fn joined(raw: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    if !raw.iter().any(|(name, _)| name.contains(&b'*')) {
        return raw.into_iter().take(PARAMETERS_MAX).collect();
    }
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut sections: BTreeMap<Vec<u8>, ParameterSections> = BTreeMap::new();
    let mut places = Vec::new();
    for (name, value) in raw {
        let Some(section) = section(&name) else {
            parameters.push((name, value));
            continue;
        };
        let key = section.name.to_ascii_lowercase();
        if !sections.contains_key(&key) {
            places.push((parameters.len(), key.clone()));
            parameters.push((section.name, Vec::new()));
        }
        sections.entry(key).or_default().entry(section.number).or_insert((section.is_encoded, value));
    }
    for (place, key) in places.into_iter().rev() {
        match (parameters.get_mut(place), sections.get(&key)) {
            (Some(parameter), Some(sections)) if sections.contains_key(&0) => join(parameter, sections),
            // A parameter without section 0 is dropped.
            _ => drop(parameters.remove(place)),
        }
    }
    parameters.truncate(PARAMETERS_MAX);
    parameters
}

/// RFC 2231 §3: sections count from 0. Sections after a missing number are dropped.
fn join(parameter: &mut (Vec<u8>, Vec<u8>), sections: &ParameterSections) {
    let in_order = sections.iter().enumerate().take_while(|(at, (number, _))| at == *number);
    let in_order: Vec<&(bool, Vec<u8>)> = in_order.map(|(_, (_, section))| section).collect();
    let is_extended = in_order.first().is_some_and(|(is_encoded, _)| *is_encoded);
    if is_extended {
        parameter.0.push(b'*');
    }
    for (is_encoded, value) in in_order {
        match (is_extended, is_encoded) {
            (true, false) => parameter.1.extend(value.iter().flat_map(|octet| percent_encoded(*octet))),
            _ => parameter.1.extend_from_slice(value),
        }
    }
}

/// Writes an `attribute-char` of RFC 2231 §7 as it is, any other octet as `%XX`.
fn percent_encoded(octet: u8) -> Vec<u8> {
    if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&octet) {
        vec![octet]
    } else {
        format!("%{octet:02X}").into_bytes()
    }
}

/// Decodes `charset'language'%XX...` to text (RFC 2231 §4).
fn extended_text(value: &[u8]) -> String {
    let mut fields = value.splitn(3, |octet| *octet == b'\'');
    let (label, coded) = match (fields.next(), fields.next(), fields.next()) {
        (Some(label), Some(_language), Some(coded)) => (label, coded),
        _ => (&b""[..], value),
    };
    let mut octets = Vec::with_capacity(coded.len());
    let mut rest = coded;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after.split_first_chunk().and_then(|(digits, after)| Some((hex(*digits)?, after)))) {
            (b'%', Some((octet, after))) => {
                octets.push(octet);
                rest = after;
            }
            _ => octets.push(*octet),
        }
    }
    charset::decode(&octets, label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let read = Parameterised::parse(text.as_bytes());
        let show = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let parameters = read.parameters.iter().map(|(name, value)| format!("|{}={}", show(name), show(value)));
        format!("{}{}", show(&read.value), parameters.collect::<String>())
    }

    /// RFC 2045 §5.1, and forms that senders use.
    #[test]
    fn reads_parameters() {
        for (text, expect) in [
            (
                r#"text/plain (a (b)); charset="u\"t;f"; (x) format = flowed ;; bad; n="#,
                r#"text/plain|charset=u"t;f|format=flowed|n="#,
            ),
            ("text/html; charset=utf-8 format=flowed", "text/html|charset=utf-8"),
            ("attachment filename=\"x.pdf\"", "attachment"),
            ("multipart/mixed; boundary=\"abc\" charset=utf-8; a=b", "multipart/mixed|boundary=abc|a=b"),
            ("text / (c) plain ; a=b", "text/plain|a=b"),
            ("text/plain; charset=us-ascii (Plain text)", "text/plain|charset=us-ascii"),
            ("text/plain; a=\"open", "text/plain|a=open"),
            ("", ""),
            (";a=b", "|a=b"),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    /// RFC 2231 §3, §4, §4.1.
    #[test]
    fn joins_continuations() {
        for (text, expect) in [
            ("a; name*0=\"very-long-\"; name*1=\"name.pdf\"", "a|name=very-long-name.pdf"),
            ("a; name*1=b; x=y; NAME*0=a", "a|name=ab|x=y"),
            ("a; name*0=a; name*2=c", "a|name=a"),
            ("a; x=y; name*1=b; name*2=c; z=w", "a|x=y|z=w"),
            ("a; name*=utf-8'fr'%C3%A9t%C3%A9", "a|name*=utf-8'fr'%C3%A9t%C3%A9"),
            (
                "a; name*0*=us-ascii'en'This%20is%20; name*1*=%2A%2A; name*2=\"it's!\"",
                "a|name*=us-ascii'en'This%20is%20%2A%2Ait%27s!",
            ),
            ("a; name*x=b; *=c", "a|name*x=b|*=c"),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    #[test]
    fn gives_values_as_text() {
        let of = |text: &str| {
            let read = Parameterised::parse(text.as_bytes());
            read.parameter("Filename").map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        assert_eq!(of("a; filename=x").as_deref(), Some("x"));
        assert_eq!(of("a; filename*=utf-8''%C3%A9t%C3%A9%zz").as_deref(), Some("été%zz"));
        assert_eq!(of("a; filename*0*=iso-8859-1''%E9; filename*1=t").as_deref(), Some("ét"));
        assert_eq!(of("a; filename*=plain").as_deref(), Some("plain"));
        assert_eq!(of("a; name=x"), None);
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let many = format!("a{}", "; b=c".repeat(5_000));
        assert_eq!(Parameterised::parse(many.as_bytes()).parameters.len(), PARAMETERS_MAX);
        let sections: String = (0..5_000).map(|number| format!("; b*{number}=c")).collect();
        let read = Parameterised::parse(format!("a{sections}").as_bytes());
        assert_eq!(read.parameters, [(b"b".to_vec(), b"c".repeat(RAW_PARAMETERS_MAX))]);
    }

    proptest! {
        #[test]
        fn any_value_is_read(text in "[a/;=*'%0-9\"\\\\() é]{0,60}") {
            let read = Parameterised::parse(text.as_bytes());
            let _ = read.parameter("a");
        }
    }
}
