//! Schema definitions (RFC 4512 §4.1), parsed from the LDIF source.

use std::collections::BTreeMap;
use std::fmt;

/// Rounds in which [`resolve`] must reach a numeric OID; a macro that refers to itself never does and is refused.
const MACRO_DEPTH_MAX: usize = 8;

/// The definitions of one schema file in cn=config form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaDefinitions {
    /// `olcObjectIdentifier`: name and value of each macro.
    pub macros: Vec<(String, String)>,
    /// `olcAttributeTypes`, with numeric OIDs.
    pub attribute_types: Vec<AttributeType>,
    /// `olcObjectClasses`, with numeric OIDs.
    pub object_classes: Vec<ObjectClass>,
}

/// The usage of an attribute (RFC 4512 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Usage {
    /// User data of the entry.
    #[default]
    UserApplications,
    /// Maintained by the server, returned only on request.
    Operational,
}

/// An attribute type (RFC 4512 §4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeType {
    /// The numeric OID, macros resolved.
    pub oid: String,
    /// All names; the first is preferred.
    pub names: Vec<String>,
    /// The `DESC` text.
    pub description: String,
    /// The type that this one derives from, with `SUP`.
    pub superior: Option<String>,
    /// The equality matching rule, by name.
    pub equality: Option<String>,
    /// The ordering matching rule, by name.
    pub ordering: Option<String>,
    /// The substrings matching rule, by name.
    pub substring: Option<String>,
    /// The OID of the syntax as written in the source, without a length.
    pub syntax: Option<String>,
    /// The suggested upper bound `{n}` after the syntax, characters.
    pub length: Option<usize>,
    /// Whether the attribute has at most one value (`SINGLE-VALUE`).
    pub single_value: bool,
    /// Whether only the server may set it (`NO-USER-MODIFICATION`).
    pub no_user_modification: bool,
    /// The `USAGE`.
    pub usage: Usage,
    /// The definition in the form of RFC 4512, on one line, with its own OID numeric; other macros stay as written.
    pub text: String,
}

/// The kind of an object class (RFC 4512 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ObjectClassKind {
    /// A class that only serves as superior of others.
    Abstract,
    /// The class that determines what an entry is.
    #[default]
    Structural,
    /// A class that adds attributes to an entry.
    Auxiliary,
}

/// An object class (RFC 4512 §4.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectClass {
    /// The numeric OID, macros resolved.
    pub oid: String,
    /// All names; the first is preferred.
    pub names: Vec<String>,
    /// The `DESC` text.
    pub description: String,
    /// The classes that this one derives from.
    pub superiors: Vec<String>,
    /// Abstract, structural or auxiliary.
    pub kind: ObjectClassKind,
    /// Attributes that an entry must have.
    pub must: Vec<String>,
    /// Attributes that an entry may have.
    pub may: Vec<String>,
    /// The definition in the form of RFC 4512, on one line, with its own OID numeric; other macros stay as written.
    pub text: String,
}

/// The schema source is malformed. Holds the malformed definition, or a text that names the unresolved OID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError(String);

impl DefinitionError {
    /// Makes an error about this definition.
    pub fn new(definition: impl Into<String>) -> Self {
        Self(definition.into())
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema definition: {}", self.0)
    }
}

impl std::error::Error for DefinitionError {}

/// Parses the `olc` values of one LDIF file in cn=config form.
pub fn parse(ldif: &str) -> Result<SchemaDefinitions, DefinitionError> {
    let mut definitions = SchemaDefinitions::default();
    let mut macros = BTreeMap::new();
    for line in unfold(ldif) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name {
            "olcObjectIdentifier" => {
                let (name, oid) = value.split_once(' ').ok_or_else(|| DefinitionError(line.clone()))?;
                macros.insert(name.to_owned(), oid.trim().to_owned());
                definitions.macros.push((name.to_owned(), oid.trim().to_owned()));
            }
            "olcAttributeTypes" => definitions.attribute_types.push(attribute_type(value, &macros)?),
            "olcObjectClasses" => definitions.object_classes.push(object_class(value, &macros)?),
            _ => {}
        }
    }
    Ok(definitions)
}

/// Joins folded lines and drops comments (RFC 2849): a line that begins with a space continues the previous one, `#`
/// begins a comment.
pub(crate) fn unfold(ldif: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in ldif.lines() {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(more), Some(last)) => last.push_str(more),
            _ if line.starts_with('#') => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// One word, quoted string or parenthesis of a definition.
#[derive(Clone, Debug, PartialEq)]
enum DefinitionToken {
    Open,
    Close,
    Word(String),
    Quoted(String),
}

fn tokens(text: &str) -> Result<Vec<DefinitionToken>, DefinitionError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '(' => {
                tokens.push(DefinitionToken::Open);
                1
            }
            ')' => {
                tokens.push(DefinitionToken::Close);
                1
            }
            '$' => 1,
            '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find('\'').ok_or_else(|| DefinitionError(text.to_owned()))?;
                tokens.push(DefinitionToken::Quoted(inner.get(..end).unwrap_or_default().to_owned()));
                end + 2
            }
            _ => {
                let end = rest.find([' ', '(', ')', '$', '\'']).unwrap_or(rest.len());
                tokens.push(DefinitionToken::Word(rest.get(..end).unwrap_or_default().to_owned()));
                end
            }
        };
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// Parses one definition, keyword by keyword.
struct DefinitionReader<'a> {
    tokens: std::vec::IntoIter<DefinitionToken>,
    text: &'a str,
}

impl<'a> DefinitionReader<'a> {
    /// Starts after `( oid`; returns the OID as written.
    fn open(text: &'a str) -> Result<(Self, String), DefinitionError> {
        let mut reader = Self { tokens: tokens(text)?.into_iter(), text };
        if reader.tokens.next() != Some(DefinitionToken::Open) {
            return Err(reader.wrong());
        }
        let oid = reader.word()?;
        Ok((reader, oid))
    }

    fn wrong(&self) -> DefinitionError {
        DefinitionError(self.text.to_owned())
    }

    /// Returns the next keyword; `None` at the closing parenthesis.
    fn keyword(&mut self) -> Result<Option<String>, DefinitionError> {
        match self.tokens.next() {
            Some(DefinitionToken::Word(word)) => Ok(Some(word)),
            Some(DefinitionToken::Close) if self.tokens.len() == 0 => Ok(None),
            _ => Err(self.wrong()),
        }
    }

    fn word(&mut self) -> Result<String, DefinitionError> {
        match self.tokens.next() {
            Some(DefinitionToken::Word(word) | DefinitionToken::Quoted(word)) => Ok(word),
            _ => Err(self.wrong()),
        }
    }

    /// Reads one word, or several in parentheses.
    fn list(&mut self) -> Result<Vec<String>, DefinitionError> {
        match self.tokens.next() {
            Some(DefinitionToken::Word(word) | DefinitionToken::Quoted(word)) => Ok(vec![word]),
            Some(DefinitionToken::Open) => {
                let mut words = Vec::new();
                loop {
                    match self.tokens.next() {
                        Some(DefinitionToken::Word(word) | DefinitionToken::Quoted(word)) => words.push(word),
                        Some(DefinitionToken::Close) => return Ok(words),
                        _ => return Err(self.wrong()),
                    }
                }
            }
            _ => Err(self.wrong()),
        }
    }
}

fn resolve(oid: &str, macros: &BTreeMap<String, String>) -> Result<String, DefinitionError> {
    let mut oid = oid.to_owned();
    for _ in 0..MACRO_DEPTH_MAX {
        if oid.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(oid);
        }
        let (name, tail) = oid.split_once(':').map_or((oid.as_str(), ""), |(name, tail)| (name, tail));
        let head = macros.get(name).ok_or_else(|| DefinitionError(format!("unknown macro in '{oid}'")))?;
        oid = if tail.is_empty() {
            head.clone()
        } else if head.starts_with(|c: char| c.is_ascii_digit()) || head.contains(':') {
            format!("{head}.{tail}")
        } else {
            format!("{head}:{tail}")
        };
    }
    Err(DefinitionError(format!("macros too deep in '{oid}'")))
}

/// Returns the definition on one line, with a numeric OID.
fn one_line(text: &str, written: &str, oid: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replacen(written, oid, 1)
}

fn attribute_type(text: &str, macros: &BTreeMap<String, String>) -> Result<AttributeType, DefinitionError> {
    let (mut reader, written) = DefinitionReader::open(text)?;
    let oid = resolve(&written, macros)?;
    let mut attribute = AttributeType { text: one_line(text, &written, &oid), oid, ..AttributeType::default() };
    while let Some(keyword) = reader.keyword()? {
        match keyword.as_str() {
            "NAME" => attribute.names = reader.list()?,
            "DESC" => attribute.description = reader.word()?,
            "SUP" => attribute.superior = Some(reader.word()?),
            "EQUALITY" => attribute.equality = Some(reader.word()?),
            "ORDERING" => attribute.ordering = Some(reader.word()?),
            "SUBSTR" => attribute.substring = Some(reader.word()?),
            "SYNTAX" => {
                let syntax = reader.word()?;
                let (oid, length) = syntax.split_once('{').unwrap_or((&syntax, ""));
                attribute.length = length.trim_end_matches('}').parse().ok();
                attribute.syntax = Some(oid.to_owned());
            }
            "SINGLE-VALUE" => attribute.single_value = true,
            "NO-USER-MODIFICATION" => attribute.no_user_modification = true,
            "USAGE" if reader.word()? != "userApplications" => attribute.usage = Usage::Operational,
            "USAGE" => {}
            _ => return Err(reader.wrong()),
        }
    }
    Ok(attribute)
}

fn object_class(text: &str, macros: &BTreeMap<String, String>) -> Result<ObjectClass, DefinitionError> {
    let (mut reader, written) = DefinitionReader::open(text)?;
    let oid = resolve(&written, macros)?;
    let mut class = ObjectClass { text: one_line(text, &written, &oid), oid, ..ObjectClass::default() };
    while let Some(keyword) = reader.keyword()? {
        match keyword.as_str() {
            "NAME" => class.names = reader.list()?,
            "DESC" => class.description = reader.word()?,
            "SUP" => class.superiors = reader.list()?,
            "ABSTRACT" => class.kind = ObjectClassKind::Abstract,
            "STRUCTURAL" => class.kind = ObjectClassKind::Structural,
            "AUXILIARY" => class.kind = ObjectClassKind::Auxiliary,
            "MUST" => class.must = reader.list()?,
            "MAY" => class.may = reader.list()?,
            _ => return Err(reader.wrong()),
        }
    }
    Ok(class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 4512 §4.1: every keyword of an attribute type that `parse` accepts, and some of an object class.
    #[test]
    fn reads_definitions() {
        let ldif = "dn: cn=x,cn=schema,cn=config\n# comment\nolcObjectIdentifier: A 1.2.3\nolcObjectIdentifier: B A:4\n\
            olcAttributeTypes: ( B:5 NAME ( 'one' 'uno' ) DESC 'it''s' SUP name\n  EQUALITY e ORDERING o SUBSTR s \
            SYNTAX 1.2{64}\n  SINGLE-VALUE NO-USER-MODIFICATION USAGE dSAOperation )\n\
            olcObjectClasses: ( 9.9 NAME 'c' SUP ( top $ d ) AUXILIARY MUST one MAY ( two$three ) )\n";
        let error = parse(ldif).unwrap_err();
        assert!(error.to_string().contains("it''s"), "'' does not escape a quote");
        let read = parse(&ldif.replace("it''s", "it is")).unwrap();
        let one = &read.attribute_types[0];
        assert_eq!((one.oid.as_str(), one.names.as_slice()), ("1.2.3.4.5", &["one".to_owned(), "uno".to_owned()][..]));
        assert_eq!((one.length, one.syntax.as_deref(), one.usage), (Some(64), Some("1.2"), Usage::Operational));
        assert!(one.single_value && one.no_user_modification && one.text.starts_with("( 1.2.3.4.5 NAME"));
        let class = &read.object_classes[0];
        assert_eq!(
            (class.kind, class.superiors.len(), class.must.len(), class.may.len()),
            (ObjectClassKind::Auxiliary, 2, 1, 2)
        );
    }

    #[test]
    fn refuses_broken_definitions() {
        for bad in [
            "olcAttributeTypes: 1.2 NAME 'x' )",
            "olcAttributeTypes: ( 1.2 NAME 'x'",
            "olcAttributeTypes: ( 1.2 NAME 'x )",
            "olcAttributeTypes: ( 1.2 WHAT x )",
            "olcAttributeTypes: ( Unknown:2 NAME 'x' )",
            "olcObjectIdentifier: A A:1\nolcAttributeTypes: ( A NAME 'x' )",
            "olcObjectIdentifier: lonely",
            "olcObjectClasses: ( 1.2 MUST ( a $ b",
            "olcObjectClasses: ( 1.2 MUST ) )",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(olcAttributeTypes: |olcObjectClasses: )[( )'$A-Z0-9.:{}\n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
