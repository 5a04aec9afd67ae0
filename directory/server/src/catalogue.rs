//! The schema as the server uses it: numbered attribute types and classes, and checks and normalisation of values.

use std::collections::{BTreeSet, HashMap};

use provost_entry::Dn;
use provost_entry::prep::{self, CaseHandling, SubstringPart};
use provost_entry::time::parse_generalized;
use provost_schema::definition::{self, AttributeType, DefinitionError, ObjectClass, ObjectClassKind, Usage};
use uuid::Uuid;

use crate::csn::Csn;

/// Index of an attribute type.
pub(crate) type TypeId = u16;
/// Index of an object class.
pub(crate) type ClassId = u16;

/// The equality rule of an attribute (RFC 4517 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EqualityRule {
    CaseIgnore,
    CaseExact,
    Numeric,
    Telephone,
    Integer,
    Time,
    Boolean,
    DistinguishedName,
    ObjectIdentifier,
    Uuid,
    Csn,
    Octets,
    /// No equality rule that the server implements: assertions are Undefined, and values differ if their octets do.
    None,
}

/// The syntax of an attribute (RFC 4517 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    DirectoryString,
    Ia5,
    DistinguishedName,
    ObjectIdentifier,
    Time,
    Integer,
    Numeric,
    Boolean,
    Printable,
    Uuid,
    Csn,
    /// Values that are BER already, so that `;binary` does not change them (RFC 4522).
    Ber,
    /// As `Ber`, and always transferred with `;binary` (RFC 4523 §2).
    Certificate,
    /// Any other syntax: every value conforms.
    Any,
}

/// One attribute type, with its inherited properties.
#[derive(Debug)]
pub(crate) struct TypeDefinition {
    pub(crate) name: String,
    pub(crate) rule: EqualityRule,
    pub(crate) ordering: bool,
    pub(crate) substring: bool,
    pub(crate) single_value: bool,
    pub(crate) no_user_modification: bool,
    pub(crate) operational: bool,
    /// Whether the type has an equality index.
    pub(crate) indexed: bool,
    superior: Option<TypeId>,
    syntax: Syntax,
}

/// One object class, with its inherited attributes.
#[derive(Debug)]
pub(crate) struct ClassDefinition {
    pub(crate) name: String,
    pub(crate) kind: ObjectClassKind,
    /// The class and all its superclasses.
    pub(crate) with_superclasses: BTreeSet<ClassId>,
    pub(crate) must: BTreeSet<TypeId>,
    pub(crate) may: BTreeSet<TypeId>,
}

/// All definitions of the schema.
#[derive(Debug)]
pub(crate) struct Catalogue {
    types: Vec<TypeDefinition>,
    type_names: HashMap<String, TypeId>,
    classes: Vec<ClassDefinition>,
    class_names: HashMap<String, ClassId>,
    /// Definitions of the attribute types, as `cn=subschema` shows them.
    pub(crate) type_texts: Vec<String>,
    /// Definitions of the object classes, as `cn=subschema` shows them.
    pub(crate) class_texts: Vec<String>,
}

/// Attributes with an equality index; filters on others scan the entries.
const INDEXED: &[&str] = &[
    "entryUUID",
    "uid",
    "mail",
    "mailLocalAddress",
    "employeeNumber",
    "provostSourceId",
    "provostPersonId",
    "provostAddress",
    "provostOwner",
    "provostDomain",
    "member",
];

/// Matching rules in use (RFC 4512 §4.2.3): OID, name, OID of the assertion syntax. All are implemented except
/// objectIdentifierFirstComponentMatch, with which every assertion is Undefined.
pub(crate) const MATCHING_RULES: &[(&str, &str, &str)] = &[
    ("2.5.13.0", "objectIdentifierMatch", "1.3.6.1.4.1.1466.115.121.1.38"),
    ("2.5.13.1", "distinguishedNameMatch", "1.3.6.1.4.1.1466.115.121.1.12"),
    ("2.5.13.2", "caseIgnoreMatch", "1.3.6.1.4.1.1466.115.121.1.15"),
    ("2.5.13.4", "caseIgnoreSubstringsMatch", "1.3.6.1.4.1.1466.115.121.1.58"),
    ("2.5.13.5", "caseExactMatch", "1.3.6.1.4.1.1466.115.121.1.15"),
    ("2.5.13.8", "numericStringMatch", "1.3.6.1.4.1.1466.115.121.1.36"),
    ("2.5.13.9", "numericStringOrderingMatch", "1.3.6.1.4.1.1466.115.121.1.36"),
    ("2.5.13.10", "numericStringSubstringsMatch", "1.3.6.1.4.1.1466.115.121.1.58"),
    ("2.5.13.11", "caseIgnoreListMatch", "1.3.6.1.4.1.1466.115.121.1.41"),
    ("2.5.13.12", "caseIgnoreListSubstringsMatch", "1.3.6.1.4.1.1466.115.121.1.58"),
    ("2.5.13.13", "booleanMatch", "1.3.6.1.4.1.1466.115.121.1.7"),
    ("2.5.13.14", "integerMatch", "1.3.6.1.4.1.1466.115.121.1.27"),
    ("2.5.13.15", "integerOrderingMatch", "1.3.6.1.4.1.1466.115.121.1.27"),
    ("2.5.13.17", "octetStringMatch", "1.3.6.1.4.1.1466.115.121.1.40"),
    ("2.5.13.20", "telephoneNumberMatch", "1.3.6.1.4.1.1466.115.121.1.50"),
    ("2.5.13.21", "telephoneNumberSubstringsMatch", "1.3.6.1.4.1.1466.115.121.1.58"),
    ("2.5.13.27", "generalizedTimeMatch", "1.3.6.1.4.1.1466.115.121.1.24"),
    ("2.5.13.28", "generalizedTimeOrderingMatch", "1.3.6.1.4.1.1466.115.121.1.24"),
    ("2.5.13.30", "objectIdentifierFirstComponentMatch", "1.3.6.1.4.1.1466.115.121.1.38"),
    ("1.3.6.1.4.1.1466.109.114.2", "caseIgnoreIA5Match", "1.3.6.1.4.1.1466.115.121.1.26"),
    ("1.3.6.1.4.1.1466.109.114.3", "caseIgnoreIA5SubstringsMatch", "1.3.6.1.4.1.1466.115.121.1.58"),
    ("1.3.6.1.1.16.2", "UUIDMatch", "1.3.6.1.1.16.1"),
    ("1.3.6.1.1.16.3", "UUIDOrderingMatch", "1.3.6.1.1.16.1"),
    ("1.3.6.1.4.1.4203.666.11.2.2", "CSNMatch", "1.3.6.1.4.1.4203.666.11.2.1"),
    ("1.3.6.1.4.1.4203.666.11.2.3", "CSNOrderingMatch", "1.3.6.1.4.1.4203.666.11.2.1"),
];

/// Syntaxes in use (RFC 4512 §4.2.5): OID and description.
pub(crate) const SYNTAXES: &[(&str, &str)] = &[
    ("1.3.6.1.4.1.1466.115.121.1.3", "Attribute Type Description"),
    ("1.3.6.1.4.1.1466.115.121.1.5", "Binary"),
    ("1.3.6.1.4.1.1466.115.121.1.6", "Bit String"),
    ("1.3.6.1.4.1.1466.115.121.1.7", "Boolean"),
    ("1.3.6.1.4.1.1466.115.121.1.8", "X.509 Certificate"),
    ("1.3.6.1.4.1.1466.115.121.1.11", "Country String"),
    ("1.3.6.1.4.1.1466.115.121.1.12", "DN"),
    ("1.3.6.1.4.1.1466.115.121.1.14", "Delivery Method"),
    ("1.3.6.1.4.1.1466.115.121.1.15", "Directory String"),
    ("1.3.6.1.4.1.1466.115.121.1.22", "Facsimile Telephone Number"),
    ("1.3.6.1.4.1.1466.115.121.1.24", "Generalized Time"),
    ("1.3.6.1.4.1.1466.115.121.1.25", "Guide"),
    ("1.3.6.1.4.1.1466.115.121.1.26", "IA5 String"),
    ("1.3.6.1.4.1.1466.115.121.1.27", "INTEGER"),
    ("1.3.6.1.4.1.1466.115.121.1.28", "JPEG"),
    ("1.3.6.1.4.1.1466.115.121.1.30", "Matching Rule Description"),
    ("1.3.6.1.4.1.1466.115.121.1.36", "Numeric String"),
    ("1.3.6.1.4.1.1466.115.121.1.37", "Object Class Description"),
    ("1.3.6.1.4.1.1466.115.121.1.38", "OID"),
    ("1.3.6.1.4.1.1466.115.121.1.40", "Octet String"),
    ("1.3.6.1.4.1.1466.115.121.1.41", "Postal Address"),
    ("1.3.6.1.4.1.1466.115.121.1.44", "Printable String"),
    ("1.3.6.1.4.1.1466.115.121.1.50", "Telephone Number"),
    ("1.3.6.1.4.1.1466.115.121.1.51", "Teletex Terminal Identifier"),
    ("1.3.6.1.4.1.1466.115.121.1.52", "Telex Number"),
    ("1.3.6.1.4.1.1466.115.121.1.54", "LDAP Syntax Description"),
    ("1.3.6.1.4.1.1466.115.121.1.58", "Substring Assertion"),
    ("1.3.6.1.1.16.1", "UUID"),
    ("1.3.6.1.4.1.4203.666.11.2.1", "CSN"),
];

impl Catalogue {
    /// Loads the project's own schema files.
    pub(crate) fn load() -> Result<Self, DefinitionError> {
        let texts = std::iter::once(provost_schema::BASE_LDIF);
        let texts = texts.chain(provost_schema::LDIF_FILES.iter().map(|(_, ldif)| *ldif));
        let mut catalogue = Self {
            types: Vec::new(),
            type_names: HashMap::new(),
            classes: Vec::new(),
            class_names: HashMap::new(),
            type_texts: Vec::new(),
            class_texts: Vec::new(),
        };
        for ldif in texts {
            let file = definition::parse(ldif)?;
            file.attribute_types.iter().try_for_each(|attribute| catalogue.add_type(attribute))?;
            file.object_classes.iter().try_for_each(|class| catalogue.add_class(class))?;
        }
        Ok(catalogue)
    }

    fn add_type(&mut self, definition: &AttributeType) -> Result<(), DefinitionError> {
        let wrong = || DefinitionError::new(definition.text.clone());
        let superior = match &definition.superior {
            Some(name) => Some(self.type_id(name).ok_or_else(wrong)?),
            None => None,
        };
        let parent = superior.map(|id| self.type_of(id));
        let own_rule = definition.equality.as_deref().map(rule_of);
        let name = definition.names.first().ok_or_else(wrong)?.clone();
        let made = TypeDefinition {
            rule: own_rule.or(parent.map(|p| p.rule)).unwrap_or(EqualityRule::None),
            ordering: definition.ordering.is_some() || parent.is_some_and(|p| p.ordering),
            substring: definition.substring.is_some() || parent.is_some_and(|p| p.substring),
            syntax: definition.syntax.as_deref().map(syntax_of).or(parent.map(|p| p.syntax)).unwrap_or(Syntax::Any),
            single_value: definition.single_value,
            no_user_modification: definition.no_user_modification,
            operational: definition.usage == Usage::Operational,
            indexed: INDEXED.contains(&name.as_str()),
            superior,
            name,
        };
        let id = TypeId::try_from(self.types.len()).map_err(|_| wrong())?;
        self.types.push(made);
        self.type_texts.push(definition.text.clone());
        for name in definition.names.iter().chain([&definition.oid]) {
            self.type_names.insert(name.to_lowercase(), id);
        }
        Ok(())
    }

    fn add_class(&mut self, definition: &ObjectClass) -> Result<(), DefinitionError> {
        let wrong = || DefinitionError::new(definition.text.clone());
        let id = ClassId::try_from(self.classes.len()).map_err(|_| wrong())?;
        let types = |names: &[String]| -> Result<BTreeSet<TypeId>, DefinitionError> {
            names.iter().map(|name| self.type_id(name).ok_or_else(wrong)).collect()
        };
        let mut with_superclasses = BTreeSet::from([id]);
        let (mut must, mut may) = (types(&definition.must)?, types(&definition.may)?);
        for name in &definition.superiors {
            let above = self.class_id(name).and_then(|id| self.class(id)).ok_or_else(wrong)?;
            with_superclasses.extend(&above.with_superclasses);
            must.extend(&above.must);
            may.extend(&above.may);
        }
        let name = definition.names.first().ok_or_else(wrong)?.clone();
        self.classes.push(ClassDefinition { name, kind: definition.kind, with_superclasses, must, may });
        self.class_texts.push(definition.text.clone());
        for name in definition.names.iter().chain([&definition.oid]) {
            self.class_names.insert(name.to_lowercase(), id);
        }
        Ok(())
    }

    /// Returns the attribute type of a name or OID, ignoring case; `None` also for a name with options.
    pub(crate) fn type_id(&self, name: &str) -> Option<TypeId> {
        self.type_names.get(&name.to_ascii_lowercase()).copied()
    }

    /// Returns the type of an id from this catalogue.
    pub(crate) fn type_of(&self, id: TypeId) -> &TypeDefinition {
        // Ids come only from `type_id`, so a wrong index is a bug.
        &self.types[usize::from(id)]
    }

    /// Whether values may be transferred with `;binary` (RFC 4522 §3): those whose encoding is BER already.
    pub(crate) fn takes_binary(&self, id: TypeId) -> bool {
        matches!(self.type_of(id).syntax, Syntax::Ber | Syntax::Certificate)
    }

    /// Whether values are always transferred with `;binary` (RFC 4523 §2).
    pub(crate) fn requires_binary(&self, id: TypeId) -> bool {
        self.type_of(id).syntax == Syntax::Certificate
    }

    /// Whether `id` is `ancestor` or a subtype of it.
    pub(crate) fn is_subtype(&self, id: TypeId, ancestor: TypeId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = self.type_of(id).superior;
        }
        false
    }

    /// Returns the class of a name or OID, ignoring case.
    pub(crate) fn class_id(&self, name: &str) -> Option<ClassId> {
        self.class_names.get(&name.to_ascii_lowercase()).copied()
    }

    /// Returns the class with this id.
    pub(crate) fn class(&self, id: ClassId) -> Option<&ClassDefinition> {
        self.classes.get(usize::from(id))
    }

    /// Whether a value conforms to the syntax of its type (RFC 4517 §3.3). A time with an offset from UTC and a Boolean
    /// in lower case are refused. Printable strings, telephone numbers and countries may have any printable ASCII.
    /// Postal addresses are not split into lines. Values in BER, and those of [`Syntax::Any`], are not checked.
    pub(crate) fn fits(&self, id: TypeId, value: &[u8]) -> bool {
        let text = std::str::from_utf8(value).ok();
        match self.type_of(id).syntax {
            Syntax::DirectoryString => text.is_some_and(|text| !text.is_empty()),
            Syntax::Ia5 => value.is_ascii(),
            Syntax::DistinguishedName => text.is_some_and(|text| Dn::parse(text).is_ok()),
            Syntax::ObjectIdentifier => text.is_some_and(|text| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            }),
            Syntax::Time => text.is_some_and(|text| parse_generalized(text).is_some()),
            Syntax::Integer => text.is_some_and(is_integer),
            Syntax::Numeric => !value.is_empty() && value.iter().all(|b| b.is_ascii_digit() || *b == b' '),
            Syntax::Boolean => matches!(value, b"TRUE" | b"FALSE"),
            Syntax::Printable => !value.is_empty() && value.iter().all(|b| matches!(b, b' '..=b'~')),
            Syntax::Uuid => text.is_some_and(|text| Uuid::try_parse(text).is_ok()),
            Syntax::Csn => text.is_some_and(|text| Csn::parse(text).is_some()),
            Syntax::Ber | Syntax::Certificate | Syntax::Any => true,
        }
    }

    /// Returns the normal form, which is the same for equal values; `None` when the value cannot be compared by the
    /// rule.
    pub(crate) fn normalise(&self, id: TypeId, value: &[u8]) -> Option<Vec<u8>> {
        let rule = self.type_of(id).rule;
        if matches!(rule, EqualityRule::Octets | EqualityRule::None) {
            return Some(value.to_vec());
        }
        let text = std::str::from_utf8(value).ok()?;
        Some(match rule {
            EqualityRule::CaseIgnore => prep::directory_string(text, CaseHandling::Ignored)?.into_bytes(),
            EqualityRule::CaseExact => prep::directory_string(text, CaseHandling::Exact)?.into_bytes(),
            EqualityRule::Numeric => prep::numeric_string(text)?.into_bytes(),
            EqualityRule::Telephone => prep::telephone_number(text)?.into_bytes(),
            EqualityRule::Integer => is_integer(text).then(|| text.into())?,
            EqualityRule::Time => normal_time(text)?.into_bytes(),
            EqualityRule::Boolean => text.to_ascii_uppercase().into_bytes(),
            EqualityRule::DistinguishedName => Dn::parse(text).ok()?.normalised().into(),
            EqualityRule::ObjectIdentifier => match (self.class_id(text), self.type_id(text)) {
                (Some(class), _) => self.class(class)?.name.to_lowercase().into_bytes(),
                (None, Some(id)) => self.type_of(id).name.to_lowercase().into_bytes(),
                (None, None) => text.to_lowercase().into_bytes(),
            },
            EqualityRule::Uuid => Uuid::try_parse(text).ok()?.to_string().into_bytes(),
            EqualityRule::Csn => Csn::parse(text)?.to_string().into_bytes(),
            EqualityRule::Octets | EqualityRule::None => value.to_vec(),
        })
    }

    /// Returns the normal form of an assertion value. `None` when the assertion is Undefined: the value does not
    /// conform to the rule's assertion syntax, or cannot be prepared (RFC 4511 §4.5.1.7).
    pub(crate) fn assertion(&self, id: TypeId, value: &[u8]) -> Option<Vec<u8>> {
        let kind = self.type_of(id);
        let text = std::str::from_utf8(value);
        let fits = match (kind.rule, kind.syntax) {
            (EqualityRule::None, _) => false,
            (EqualityRule::CaseIgnore | EqualityRule::CaseExact, Syntax::Ia5) => value.is_ascii(),
            (EqualityRule::CaseIgnore | EqualityRule::CaseExact, _) => !value.is_empty(),
            (EqualityRule::Numeric | EqualityRule::Telephone, _) => self.fits(id, value),
            // RFC 4517 §3.3.3: TRUE or FALSE. Its ABNF ignores case.
            (EqualityRule::Boolean, _) => value.eq_ignore_ascii_case(b"TRUE") || value.eq_ignore_ascii_case(b"FALSE"),
            // RFC 4517 §4.2.26: an assertion with an unrecognised name is Undefined.
            (EqualityRule::ObjectIdentifier, _) => text.is_ok_and(|text| {
                let is_oid = text.starts_with(|c: char| c.is_ascii_digit());
                is_oid || self.class_id(text).is_some() || self.type_id(text).is_some()
            }),
            _ => true,
        };
        if fits { self.normalise(id, value) } else { None }
    }

    /// Returns the form of a value in which substrings are searched; `None` when the value cannot be compared by the
    /// rule.
    pub(crate) fn substring_value(&self, id: TypeId, value: &[u8]) -> Option<Vec<u8>> {
        let key = self.normalise(id, value)?;
        if !matches!(self.type_of(id).rule, EqualityRule::CaseIgnore | EqualityRule::CaseExact) {
            return Some(key);
        }
        Some(prep::substring_value(std::str::from_utf8(&key).ok()?).into_bytes())
    }

    /// Returns one prepared part of a substrings assertion. `None` when the assertion is Undefined: the type has no
    /// substrings rule, or the part is empty (RFC 4511 §4.5.1.7.2) or cannot be prepared.
    pub(crate) fn substring_part(&self, id: TypeId, octets: &[u8], part: SubstringPart) -> Option<Vec<u8>> {
        let kind = self.type_of(id);
        let text = std::str::from_utf8(octets).ok().filter(|_| kind.substring)?;
        let prepared = match kind.rule {
            EqualityRule::CaseIgnore | EqualityRule::CaseExact if kind.syntax == Syntax::Ia5 && !text.is_ascii() => {
                return None;
            }
            EqualityRule::CaseIgnore => prep::substring_part(text, CaseHandling::Ignored, part)?.into_bytes(),
            EqualityRule::CaseExact => prep::substring_part(text, CaseHandling::Exact, part)?.into_bytes(),
            _ => self.normalise(id, octets)?,
        };
        (!prepared.is_empty()).then_some(prepared)
    }

    /// Orders two normalised values of a type (RFC 4517 §4.2): integers numerically, all others octet by octet.
    pub(crate) fn order(&self, id: TypeId, a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        if self.type_of(id).rule != EqualityRule::Integer {
            return a.cmp(b);
        }
        let parts = |value: &[u8]| (value.first() == Some(&b'-'), value.len(), value.to_vec());
        match (parts(a), parts(b)) {
            ((true, ..), (false, ..)) => std::cmp::Ordering::Less,
            ((false, ..), (true, ..)) => std::cmp::Ordering::Greater,
            ((false, x, a), (false, y, b)) => (x, a).cmp(&(y, b)),
            ((true, x, a), (true, y, b)) => (y, b).cmp(&(x, a)),
        }
    }
}

/// Returns the normal form of a time: `YYYYMMDDHHMMSS` in UTC, and the fraction of a second without trailing zeros, so
/// that the order of the octets is that of the times. A fraction of an hour or minute is rounded to seconds.
fn normal_time(text: &str) -> Option<String> {
    let seconds = provost_entry::time::format_generalized(parse_generalized(text)?);
    let seconds = seconds.trim_end_matches('Z');
    let (digits, fraction) = text.trim_end_matches('Z').split_once(['.', ',']).unwrap_or((text, ""));
    match fraction.trim_end_matches('0') {
        fraction if digits.len() == seconds.len() && !fraction.is_empty() => Some(format!("{seconds}.{fraction}")),
        _ => Some(seconds.to_owned()),
    }
}

/// Whether the text is an integer (RFC 4517 §3.3.16): no leading zeros, no plus, no minus zero.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    good && (text == "0" || !digits.starts_with('0'))
}

fn rule_of(name: &str) -> EqualityRule {
    match name {
        "caseIgnoreMatch" | "caseIgnoreIA5Match" | "caseIgnoreListMatch" => EqualityRule::CaseIgnore,
        "caseExactMatch" | "caseExactIA5Match" => EqualityRule::CaseExact,
        "numericStringMatch" => EqualityRule::Numeric,
        "telephoneNumberMatch" => EqualityRule::Telephone,
        "integerMatch" => EqualityRule::Integer,
        "generalizedTimeMatch" => EqualityRule::Time,
        "booleanMatch" => EqualityRule::Boolean,
        "distinguishedNameMatch" => EqualityRule::DistinguishedName,
        "objectIdentifierMatch" => EqualityRule::ObjectIdentifier,
        "UUIDMatch" => EqualityRule::Uuid,
        "CSNMatch" => EqualityRule::Csn,
        "octetStringMatch" => EqualityRule::Octets,
        _ => EqualityRule::None,
    }
}

fn syntax_of(oid: &str) -> Syntax {
    match oid.strip_prefix("1.3.6.1.4.1.1466.115.121.1.").unwrap_or(oid) {
        "15" | "41" => Syntax::DirectoryString,
        "26" => Syntax::Ia5,
        "12" => Syntax::DistinguishedName,
        "38" => Syntax::ObjectIdentifier,
        "24" => Syntax::Time,
        "27" => Syntax::Integer,
        "36" => Syntax::Numeric,
        "7" => Syntax::Boolean,
        "44" | "50" | "11" => Syntax::Printable,
        "5" => Syntax::Ber,
        "8" | "9" | "10" | "49" => Syntax::Certificate,
        "1.3.6.1.1.16.1" => Syntax::Uuid,
        "1.3.6.1.4.1.4203.666.11.2.1" => Syntax::Csn,
        _ => Syntax::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(catalogue: &Catalogue, name: &str) -> TypeId {
        catalogue.type_id(name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn types_and_classes_inherit() {
        let c = Catalogue::load().unwrap();
        let cn = c.type_of(id(&c, "commonName"));
        assert_eq!((cn.name.as_str(), cn.rule, cn.substring), ("cn", EqualityRule::CaseIgnore, true));
        assert!(c.is_subtype(id(&c, "sn"), id(&c, "NAME")) && !c.is_subtype(id(&c, "name"), id(&c, "sn")));
        let person = c.class(c.class_id("inetorgperson").unwrap()).unwrap();
        assert!(person.must.contains(&id(&c, "sn")) && person.with_superclasses.len() == 4);
    }

    // RFC 4512 §4.2: the subschema lists the rules and syntaxes in use.
    #[test]
    fn rules_and_syntaxes_in_use_are_listed() {
        let texts = std::iter::once(provost_schema::BASE_LDIF);
        for ldif in texts.chain(provost_schema::LDIF_FILES.iter().map(|(_, ldif)| *ldif)) {
            for attribute in definition::parse(ldif).unwrap().attribute_types {
                for rule in [&attribute.equality, &attribute.ordering, &attribute.substring].into_iter().flatten() {
                    assert!(MATCHING_RULES.iter().any(|(_, name, _)| name == rule), "{rule}");
                }
                if let Some(rule) = &attribute.equality {
                    let is_implemented = rule_of(rule) != EqualityRule::None;
                    assert_eq!(is_implemented, rule != "objectIdentifierFirstComponentMatch", "{rule}");
                }
                if let Some(syntax) = &attribute.syntax {
                    assert!(SYNTAXES.iter().any(|(oid, _)| oid == syntax), "{syntax}");
                }
            }
        }
        for (_, name, syntax) in MATCHING_RULES {
            assert!(SYNTAXES.iter().any(|(oid, _)| oid == syntax), "{name}");
        }
    }

    // RFC 4517 §3.3.
    #[test]
    fn values_conform_to_their_syntax() {
        let c = Catalogue::load().unwrap();
        for (name, good, bad) in [
            ("cn", "é", ""),
            ("mail", "a@b", "é@b"),
            ("provostOwner", "cn=a,dc=x", "nobody"),
            ("provostOwner", r"cn=a\<b", "cn=a<b"),
            ("objectClass", "top", "a b"),
            ("vacationStartDate", "20260101000000Z", "2026-01-01"),
            ("provostVacationInterval", "-7", "07"),
            ("schacDateOfBirth", "20010203", "2001-02-03"),
            ("hasSubordinates", "TRUE", "true"),
            ("telephoneNumber", "+1 514", "é"),
            ("entryUUID", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "1b4e"),
            ("entryCSN", "20261123194500.123456Z#000000#001#000000", "2026"),
        ] {
            assert!(c.fits(id(&c, name), good.as_bytes()), "{name} {good}");
            assert!(!c.fits(id(&c, name), bad.as_bytes()), "{name} {bad}");
        }
    }

    // RFC 4511 §4.5.1.7: a value that does not conform to the rule's syntax makes the assertion Undefined.
    #[test]
    fn assertions_of_another_syntax_are_undefined() {
        let c = Catalogue::load().unwrap();
        for (name, good, bad) in [
            ("cn", "é", ""),
            ("cn", " ", "\u{fffd}"),
            ("mail", "", "é@b"),
            ("serialNumber", "é", ""),
            ("telephoneNumber", "1", "é"),
            ("provostOwner", "cn=a", r"cn=CORP\user"),
            ("objectClass", "commonName", "nosuch"),
            ("objectClass", "1.2.3.4", ""),
            ("provostVacationInterval", "7", "07"),
            ("hasSubordinates", "true", "yes"),
            ("entryCSN", "20261123194500.123456Z#000000#001#000000", "20261123194500Z"),
            ("vacationStartDate", "2026010100Z", "20260101000000+0000"),
            ("entryUUID", "1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "1b4e"),
        ] {
            assert!(c.assertion(id(&c, name), good.as_bytes()).is_some(), "{name} {good}");
            assert!(c.assertion(id(&c, name), bad.as_bytes()).is_none(), "{name} {bad}");
        }
    }

    // RFC 4522 §3, RFC 4523 §2.
    #[test]
    fn only_values_in_ber_are_transferred_as_binary() {
        let c = Catalogue::load().unwrap();
        assert!(c.takes_binary(id(&c, "userSMIMECertificate")) && !c.requires_binary(id(&c, "userSMIMECertificate")));
        assert!(c.requires_binary(id(&c, "userCertificate")) && !c.takes_binary(id(&c, "jpegPhoto")));
    }

    // RFC 4517 §4.2: equal values have one normal form, in which they are ordered.
    #[test]
    fn values_are_compared_by_their_normal_form() {
        let c = Catalogue::load().unwrap();
        for (name, a, b, equal) in [
            ("cn", " Zoé  TREMBLAY ", "zoé tremblay", true),
            ("mail", "A@B.edu", "a@b.EDU", true),
            ("mailSieveRuleSource", "Keep", "keep", false),
            ("schacDateOfBirth", "2001 02 03", "20010203", true),
            ("telephoneNumber", "514-555 1234", "5145551234", true),
            ("vacationStartDate", "202601010000Z", "20260101000000.0Z", true),
            ("vacationStartDate", "20260101000000,90Z", "20260101000000.9Z", true),
            ("vacationStartDate", "20260101000000.9Z", "20260101000000Z", false),
            ("vacationStartDate", "2026010100.5Z", "20260101003000Z", true),
            ("provostOwner", "CN=A, dc=X", "cn=a,dc=x", true),
            ("objectClass", "2.5.6.6", "Person", true),
            ("userPassword", "A", "a", false),
            ("cn", "Zoe\u{301}", "zo\u{ad}é", true),
            ("cn", "Ｚoé", "zo\u{200b}É", true),
            ("mailSieveRuleSource", "e\u{301}", "é", true),
            ("provostOwner", "commonName=A,2.5.4.11=Zoe\u{301}", "cn=a,ou=zoé", true),
            ("provostOwner", "ou=#0403616263", "ou=abc", true),
        ] {
            let normalise = |value: &str| c.normalise(id(&c, name), value.as_bytes()).unwrap();
            assert_eq!(normalise(a) == normalise(b), equal, "{name} {a} {b}");
        }
        for (name, a, b) in [
            ("provostVacationInterval", "-10", "-9"),
            ("provostVacationInterval", "-1", "0"),
            ("provostVacationInterval", "9", "10"),
            ("vacationStartDate", "20260101000000Z", "20260101000000.5Z"),
            ("vacationStartDate", "20260101000000.5Z", "20260101000001Z"),
        ] {
            let normal = |value: &str| c.normalise(id(&c, name), value.as_bytes()).unwrap();
            assert_eq!(c.order(id(&c, name), &normal(a), &normal(b)), std::cmp::Ordering::Less, "{a} {b}");
        }
    }
}
