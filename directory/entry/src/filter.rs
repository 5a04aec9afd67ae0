//! Search filters (RFC 4511 §4.5.1.7) and their text form (RFC 4515).

use std::fmt;

use crate::AttributeDescription;

/// Maximum depth of a filter, counting each enclosing `&`, `|` and `!` and the innermost item: bounds the recursion.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Longest filter text accepted, octets.
pub const FILTER_OCTETS_MAX: usize = 64 * 1024;

/// A search filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `(&...)`; true when empty (RFC 4526).
    And(Vec<Filter>),
    /// `(|...)`; false when empty (RFC 4526).
    Or(Vec<Filter>),
    /// `(!...)`: negation.
    Not(Box<Filter>),
    /// `(a=v)`: equality.
    Equal(AttributeDescription, Vec<u8>),
    /// `(a=*)`: presence.
    Present(AttributeDescription),
    /// `(a>=v)`: greater or equal.
    GreaterOrEqual(AttributeDescription, Vec<u8>),
    /// `(a<=v)`: less or equal.
    LessOrEqual(AttributeDescription, Vec<u8>),
    /// `(a~=v)`: approximate match; evaluated as equality.
    Approx(AttributeDescription, Vec<u8>),
    /// `(a=i*x*y*f)`: substrings.
    Substring {
        /// The attribute whose values are matched.
        attribute: AttributeDescription,
        /// The beginning of the value.
        initial: Option<Vec<u8>>,
        /// Substrings of the value, in this order.
        any: Vec<Vec<u8>>,
        /// The end of the value.
        last: Option<Vec<u8>>,
    },
    /// An item that evaluates to Undefined for every entry (RFC 4511 §4.5.1.7). Its text is `(?=undefined)`, which
    /// [`Filter::parse`] refuses.
    Undefined,
}

/// The text is not a filter, is an extensible match, or exceeds a limit. Holds the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("search filter refused: {0}")]
pub struct FilterError(String);

impl Filter {
    /// Makes `(attribute=value)` for a well-known attribute.
    pub fn equal(attribute: &'static str, value: impl Into<Vec<u8>>) -> Self {
        Self::Equal(AttributeDescription::of(attribute), value.into())
    }

    /// Makes `(attribute=*)` for a well-known attribute.
    pub fn present(attribute: &'static str) -> Self {
        Self::Present(AttributeDescription::of(attribute))
    }

    /// Parses RFC 4515 text. Extensible matches (`:=`) are refused.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_OCTETS_MAX {
            return Err(FilterError(format!("longer than {FILTER_OCTETS_MAX} octets")));
        }
        let mut rest = text.trim();
        let filter = parse_filter(&mut rest, FILTER_DEPTH_MAX)?;
        if rest.is_empty() { Ok(filter) } else { Err(refusal("text after its end:", rest)) }
    }
}

/// Makes an error of the fault and the first 32 characters of the text.
fn refusal(fault: &str, text: &str) -> FilterError {
    FilterError(format!("{fault} '{}'", text.chars().take(32).collect::<String>()))
}

/// Parses `filter = "(" filtercomp ")"` at the start of `rest`, and advances `rest` past the filter.
fn parse_filter(rest: &mut &str, depth: usize) -> Result<Filter, FilterError> {
    if depth == 0 {
        return Err(FilterError(format!("nested deeper than {FILTER_DEPTH_MAX}")));
    }
    let inner = rest.strip_prefix('(').ok_or_else(|| refusal("'(' expected at", rest))?;
    *rest = inner;
    let filter = if let Some(list) = inner.strip_prefix('&') {
        *rest = list;
        Filter::And(parse_list(rest, depth)?)
    } else if let Some(list) = inner.strip_prefix('|') {
        *rest = list;
        Filter::Or(parse_list(rest, depth)?)
    } else if let Some(negated) = inner.strip_prefix('!') {
        *rest = negated;
        Filter::Not(Box::new(parse_filter(rest, depth - 1)?))
    } else {
        let end = inner.find(['(', ')']).unwrap_or(inner.len());
        let (item, after) = inner.split_at(end);
        *rest = after;
        parse_item(item)?
    };
    *rest = rest.strip_prefix(')').ok_or_else(|| refusal("')' expected at", rest))?;
    Ok(filter)
}

fn parse_list(rest: &mut &str, depth: usize) -> Result<Vec<Filter>, FilterError> {
    let mut filters = Vec::new();
    while rest.starts_with('(') {
        filters.push(parse_filter(rest, depth - 1)?);
    }
    Ok(filters)
}

/// Parses an item without its parentheses (RFC 4515 §3).
fn parse_item(item: &str) -> Result<Filter, FilterError> {
    let (left, value) = item.split_once('=').ok_or_else(|| refusal("'=' expected in", item))?;
    let attribute = |name: &str| AttributeDescription::parse(name).map_err(|error| FilterError(error.to_string()));
    if let Some(name) = left.strip_suffix('>') {
        return Ok(Filter::GreaterOrEqual(attribute(name)?, plain_value(value)?));
    }
    if let Some(name) = left.strip_suffix('<') {
        return Ok(Filter::LessOrEqual(attribute(name)?, plain_value(value)?));
    }
    if let Some(name) = left.strip_suffix('~') {
        return Ok(Filter::Approx(attribute(name)?, plain_value(value)?));
    }
    if left.ends_with(':') {
        return Err(refusal("extensible match is not supported:", item));
    }
    let attribute = attribute(left)?;
    if value == "*" {
        return Ok(Filter::Present(attribute));
    }
    if !value.contains('*') {
        return Ok(Filter::Equal(attribute, plain_value(value)?));
    }
    parse_substring(attribute, value)
}

fn parse_substring(attribute: AttributeDescription, value: &str) -> Result<Filter, FilterError> {
    let pieces = value.split('*').map(unescape).collect::<Result<Vec<_>, _>>()?;
    let count = pieces.len();
    let (mut initial, mut any, mut last) = (None, Vec::new(), None);
    for (i, piece) in pieces.into_iter().enumerate() {
        match i {
            _ if piece.is_empty() => {}
            0 => initial = Some(piece),
            i if i + 1 == count => last = Some(piece),
            _ => any.push(piece),
        }
    }
    if initial.is_none() && any.is_empty() && last.is_none() {
        return Ok(Filter::Present(attribute));
    }
    Ok(Filter::Substring { attribute, initial, any, last })
}

fn plain_value(value: &str) -> Result<Vec<u8>, FilterError> {
    if value.contains('*') { Err(refusal("'*' must be escaped in", value)) } else { unescape(value) }
}

/// Unescapes a value (RFC 4515 §3): a backslash and two hexadecimal digits stand for one octet.
fn unescape(value: &str) -> Result<Vec<u8>, FilterError> {
    let mut out = Vec::with_capacity(value.len());
    let mut parts = value.split('\\');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let octet = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| refusal("a backslash must precede two hexadecimal digits in", value))?;
        out.push(octet);
        out.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    if value.contains('\0') { Err(refusal("NUL must be escaped in", value)) } else { Ok(out) }
}

/// Writes an assertion value: the special characters of RFC 4515, control characters and octets that are not UTF-8 are
/// escaped; other text stays readable.
fn write_value(f: &mut fmt::Formatter<'_>, value: &[u8]) -> fmt::Result {
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '*' | '(' | ')' | '\\' | '\0'..='\x1f' | '\x7f' => write!(f, "\\{:02x}", u32::from(c))?,
                _ => write!(f, "{c}")?,
            }
        }
        for octet in chunk.invalid() {
            write!(f, "\\{octet:02x}")?;
        }
    }
    Ok(())
}

fn write_list(f: &mut fmt::Formatter<'_>, sign: char, filters: &[Filter]) -> fmt::Result {
    write!(f, "({sign}")?;
    for filter in filters {
        write!(f, "{filter}")?;
    }
    f.write_str(")")
}

fn write_item(f: &mut fmt::Formatter<'_>, name: &AttributeDescription, sign: &str, value: &[u8]) -> fmt::Result {
    write!(f, "({name}{sign}")?;
    write_value(f, value)?;
    f.write_str(")")
}

impl fmt::Display for Filter {
    /// Writes RFC 4515 text, with every special octet escaped. The text of [`Filter::Undefined`] alone is not RFC 4515.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("(?=undefined)"),
            Self::And(filters) => write_list(f, '&', filters),
            Self::Or(filters) => write_list(f, '|', filters),
            Self::Not(filter) => write!(f, "(!{filter})"),
            Self::Equal(name, value) => write_item(f, name, "=", value),
            Self::Present(name) => write!(f, "({name}=*)"),
            Self::GreaterOrEqual(name, value) => write_item(f, name, ">=", value),
            Self::LessOrEqual(name, value) => write_item(f, name, "<=", value),
            Self::Approx(name, value) => write_item(f, name, "~=", value),
            Self::Substring { attribute, initial, any, last } => {
                write!(f, "({attribute}=")?;
                write_value(f, initial.as_deref().unwrap_or_default())?;
                for piece in any {
                    f.write_str("*")?;
                    write_value(f, piece)?;
                }
                f.write_str("*")?;
                write_value(f, last.as_deref().unwrap_or_default())?;
                f.write_str(")")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> AttributeDescription {
        AttributeDescription::parse(name).unwrap()
    }

    // The examples of RFC 4515 §4, and similar filters.
    #[test]
    fn parses_and_writes_filters() {
        for (text, expect) in [
            ("(cn=Babs Jensen)", Filter::equal("cn", "Babs Jensen")),
            ("(!(cn=Tim Howes))", Filter::Not(Box::new(Filter::equal("cn", "Tim Howes")))),
            ("(&(objectClass=Person)(|(sn=J)))", {
                Filter::And(vec![Filter::equal("objectClass", "Person"), Filter::Or(vec![Filter::equal("sn", "J")])])
            }),
            ("(o=univ*of*mich*)", {
                let any = vec![b"of".to_vec(), b"mich".to_vec()];
                Filter::Substring { attribute: named("o"), initial: Some(b"univ".to_vec()), any, last: None }
            }),
            ("(o=*of)", {
                Filter::Substring { attribute: named("o"), initial: None, any: vec![], last: Some(b"of".to_vec()) }
            }),
            ("(seeAlso=)", Filter::equal("seeAlso", "")),
            (r"(o=Parens R Us \28for all your parenthetical needs\29)", {
                Filter::equal("o", "Parens R Us (for all your parenthetical needs)")
            }),
            (r"(cn=*\2A*)", {
                Filter::Substring { attribute: named("cn"), initial: None, any: vec![b"*".to_vec()], last: None }
            }),
            (r"(bin=\00\00\00\04)", Filter::equal("bin", vec![0, 0, 0, 4])),
            (r"(sn=Lu\c4\8di\c4\87)", Filter::equal("sn", "Lučić")),
            ("(sn;lang-fr=é)", Filter::Equal(named("sn;lang-fr"), "é".into())),
            ("(a>=1)", Filter::GreaterOrEqual(named("a"), b"1".to_vec())),
            ("(a<=1)", Filter::LessOrEqual(named("a"), b"1".to_vec())),
            ("(a~=1)", Filter::Approx(named("a"), b"1".to_vec())),
            ("(a=*)", Filter::present("a")),
            ("(a=**)", Filter::present("a")),
            ("(&)", Filter::And(vec![])),
            ("(|)", Filter::Or(vec![])),
            ("(a=b=c)", Filter::equal("a", "b=c")),
        ] {
            assert_eq!(Filter::parse(text).unwrap(), expect, "{text}");
            assert_eq!(Filter::parse(&expect.to_string()).unwrap(), expect, "{expect}");
        }
    }

    #[test]
    fn refuses_malformed_filters() {
        let deep = format!("{}(a=b){}", "(!".repeat(FILTER_DEPTH_MAX), ")".repeat(FILTER_DEPTH_MAX));
        let long = format!("(a={})", "x".repeat(FILTER_OCTETS_MAX));
        for bad in [
            "",
            "a=b",
            "(a=b",
            "(a=b))",
            "(a)",
            "(=b)",
            "(a=b)(c=d)",
            "(!)",
            "(!(a=b)(c=d))",
            "(&(a=b)",
            "(a>=*)",
            r"(a=\2)",
            r"(a=\zz)",
            r"(a=\+1)",
            "(a=\0)",
            "(a:=b)",
            "(a:caseExactMatch:=b)",
            "(a b=c)",
            "(a=(b)",
            &deep,
            &long,
        ] {
            assert!(Filter::parse(bad).is_err(), "{bad:.60}");
        }
        let fits = format!("{}(a=b){}", "(!".repeat(FILTER_DEPTH_MAX - 1), ")".repeat(FILTER_DEPTH_MAX - 1));
        assert!(Filter::parse(&fits).is_ok());
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let name = || "[a-z][a-z0-9-]{0,6}(;lang-fr)?".prop_map(|name| named(&name));
        let value = || prop::collection::vec(any::<u8>(), 0..6);
        let piece = || prop::collection::vec(any::<u8>(), 1..4);
        let leaf = prop_oneof![
            (name(), value()).prop_map(|(a, v)| Filter::Equal(a, v)),
            (name(), value()).prop_map(|(a, v)| Filter::GreaterOrEqual(a, v)),
            (name(), value()).prop_map(|(a, v)| Filter::LessOrEqual(a, v)),
            (name(), value()).prop_map(|(a, v)| Filter::Approx(a, v)),
            name().prop_map(Filter::Present),
            (name(), prop::option::of(piece()), prop::collection::vec(piece(), 0..3), piece()).prop_map(
                |(attribute, initial, any, last)| Filter::Substring { attribute, initial, any, last: Some(last) }
            ),
        ];
        leaf.prop_recursive(6, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
                inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn every_filter_survives_its_text(filter in filters()) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[(&|!)a=*<>~\\\\0-9é;:. ]{0,60}") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
            }
        }
    }
}
