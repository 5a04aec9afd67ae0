//! Evaluates filters on entries (RFC 4511 §4.5.1.7): true, false or Undefined.

use std::cmp::Ordering;

use provost_entry::prep::SubstringPart;
use provost_entry::{AttributeDescription, Entry, Filter};

use crate::catalogue::{Catalogue, EqualityRule, TypeId};
use crate::names::AttributeMeaning;
use crate::tree::{EntrySnapshot, Tree};

/// An entry whose attributes a filter examines.
pub(crate) trait AttributeSource {
    /// Calls `visit` with each value that `wanted` covers until `visit` returns true. Returns whether `visit` has
    /// returned true.
    fn visit(&self, wanted: &AttributeMeaning, visit: &mut dyn FnMut(TypeId, &[u8]) -> bool) -> bool;
}

/// An entry of the tree, as visible to one identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisibleEntry<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) snapshot: EntrySnapshot<'a>,
    /// Whether secrets are visible.
    pub(crate) with_secrets: bool,
}

impl AttributeSource for VisibleEntry<'_> {
    fn visit(&self, wanted: &AttributeMeaning, visit: &mut dyn FnMut(TypeId, &[u8]) -> bool) -> bool {
        let tree = self.tree;
        if wanted.options.is_empty() && wanted.type_id == tree.special.object_class {
            return self.visit_classes(visit);
        }
        if wanted.options.is_empty() && tree.special.operational().contains(&wanted.type_id) {
            let values = tree.synthesise(self.snapshot, wanted.type_id);
            return values.iter().any(|value| visit(wanted.type_id, value));
        }
        for (name, mut values) in self.snapshot.record.attributes() {
            let Some(description) = tree.names.description(name) else { continue };
            if !self.with_secrets && tree.special.is_secret(description.type_id) {
                continue;
            }
            if wanted.covers(&tree.catalogue, description.type_id, &description.text)
                && values.any(|value| visit(description.type_id, value))
            {
                return true;
            }
        }
        false
    }
}

impl VisibleEntry<'_> {
    /// Visits all classes of the entry, superclasses included (RFC 4512 §2.4).
    fn visit_classes(&self, visit: &mut dyn FnMut(TypeId, &[u8]) -> bool) -> bool {
        let tree = self.tree;
        let list = self.snapshot.record.head().and_then(|head| tree.names.classes(head.classes));
        let classes =
            list.into_iter().flat_map(|list| &list.with_superclasses).filter_map(|id| tree.catalogue.class(*id));
        classes.into_iter().any(|class| visit(tree.special.object_class, class.name.as_bytes()))
    }
}

/// An entry that is not in the tree: the root DSE or the subschema.
pub(crate) struct GeneratedEntry<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) entry: &'a Entry,
}

impl AttributeSource for GeneratedEntry<'_> {
    fn visit(&self, wanted: &AttributeMeaning, visit: &mut dyn FnMut(TypeId, &[u8]) -> bool) -> bool {
        self.entry.attributes().any(|(name, values)| {
            self.catalogue.type_id(name.attribute_type()).is_some_and(|id| {
                wanted.covers(self.catalogue, id, name.as_str()) && values.iter().any(|v| visit(id, v))
            })
        })
    }
}

/// Evaluates a filter: `Some(true)` selects the entry, `None` is Undefined.
pub(crate) fn matches(catalogue: &Catalogue, source: &impl AttributeSource, filter: &Filter) -> Option<bool> {
    match filter {
        Filter::Undefined => None,
        Filter::And(parts) => all(parts.iter().map(|part| matches(catalogue, source, part))),
        // Or is the negation of the And of negations.
        Filter::Or(parts) => negate(all(parts.iter().map(|part| negate(matches(catalogue, source, part))))),
        Filter::Not(part) => negate(matches(catalogue, source, part)),
        Filter::Present(name) => {
            let wanted = AttributeMeaning::of(catalogue, name)?;
            Some(source.visit(&wanted, &mut |_, _| true))
        }
        Filter::Equal(name, value) | Filter::Approx(name, value) => equal(catalogue, source, name, value),
        Filter::GreaterOrEqual(name, value) => ordered(catalogue, source, name, value, Ordering::Less),
        Filter::LessOrEqual(name, value) => ordered(catalogue, source, name, value, Ordering::Greater),
        Filter::Substring { attribute, initial, any, last } => {
            let wanted = AttributeMeaning::of(catalogue, attribute)?;
            let pattern = SubstringPattern::new(catalogue, wanted.type_id, initial.as_deref(), any, last.as_deref())?;
            Some(source.visit(&wanted, &mut |id, value| {
                catalogue.substring_value(id, value).is_some_and(|value| pattern.matches(&value))
            }))
        }
    }
}

fn negate(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

/// False if any is false, else Undefined if any is Undefined, else true.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

fn equal(c: &Catalogue, source: &impl AttributeSource, name: &AttributeDescription, value: &[u8]) -> Option<bool> {
    let wanted = AttributeMeaning::of(c, name)?;
    let assertion = c.assertion(wanted.type_id, value)?;
    if c.type_of(wanted.type_id).rule == EqualityRule::ObjectIdentifier {
        // Most values are spelled as in the schema and need no normalisation.
        return Some(source.visit(&wanted, &mut |id, value| {
            value.eq_ignore_ascii_case(&assertion) || c.normalise(id, value).as_deref() == Some(&assertion)
        }));
    }
    Some(source.visit(&wanted, &mut |id, value| c.normalise(id, value).is_some_and(|value| value == assertion)))
}

/// Whether a value exists whose order relative to the assertion is not `excluded`.
fn ordered(
    c: &Catalogue,
    source: &impl AttributeSource,
    name: &AttributeDescription,
    value: &[u8],
    excluded: Ordering,
) -> Option<bool> {
    let wanted = AttributeMeaning::of(c, name)?;
    if !c.type_of(wanted.type_id).ordering {
        return None;
    }
    let assertion = c.assertion(wanted.type_id, value)?;
    Some(source.visit(&wanted, &mut |id, value| {
        c.normalise(id, value).is_some_and(|value| c.order(id, &value, &assertion) != excluded)
    }))
}

/// A prepared substrings assertion. An absent `initial` or `last` is empty, so that it matches every value.
struct SubstringPattern {
    initial: Vec<u8>,
    any: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl SubstringPattern {
    fn new(c: &Catalogue, id: TypeId, initial: Option<&[u8]>, any: &[Vec<u8>], last: Option<&[u8]>) -> Option<Self> {
        if initial.is_none() && any.is_empty() && last.is_none() {
            return None;
        }
        let end = |octets: Option<&[u8]>, part| match octets {
            Some(octets) => c.substring_part(id, octets, part),
            None => Some(Vec::new()),
        };
        Some(Self {
            initial: end(initial, SubstringPart::Initial)?,
            any: any.iter().map(|octets| c.substring_part(id, octets, SubstringPart::Any)).collect::<Option<_>>()?,
            last: end(last, SubstringPart::Final)?,
        })
    }

    fn matches(&self, value: &[u8]) -> bool {
        let Some(mut rest) = value.strip_prefix(&*self.initial) else { return false };
        for part in &self.any {
            let Some(at) = find(rest, part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(&self.last)
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() { Some(0) } else { hay.windows(needle.len()).position(|window| window == needle) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_entry::Dn;

    // RFC 4511 §4.5.1.7: filters are three-valued. RFC 4517 §4.2: each kind of assertion.
    #[test]
    fn filters_are_true_false_or_undefined() {
        let catalogue = Catalogue::load().unwrap();
        let entry = Entry::new(Dn::parse("cn=x").unwrap())
            .with("cn", "Zoé  Tremblay")
            .with("mail", "zoe@example.edu")
            .with("mailAutoReplyText;lang-fr", "Absente")
            .with("provostVacationInterval", "7")
            .with("vacationEndDate", "20261231235959Z")
            .with("userCertificate", "x")
            .with("seeAlso", "CN=A,OU=Zoé")
            .with("objectClass", "person");
        let source = GeneratedEntry { catalogue: &catalogue, entry: &entry };
        for (filter, expect) in [
            ("(cn=zoé tremblay)", Some(true)),
            ("(name=ZOÉ TREMBLAY)", Some(true)),
            ("(sn=zoé tremblay)", Some(false)),
            ("(nosuch=1)", None),
            ("(!(nosuch=1))", None),
            ("(|(nosuch=1)(cn=*))", Some(true)),
            ("(&(nosuch=1)(cn=*))", None),
            ("(&(nosuch=1)(cn=x))", Some(false)),
            ("(&)", Some(true)),
            ("(|)", Some(false)),
            ("(mail=ZOE@*)", Some(true)),
            ("(mail=*@example.*)", Some(true)),
            ("(cn=z* trem*blay)", Some(true)),
            ("(cn=*tremblay*tremblay*)", Some(false)),
            ("(mailAutoReplyText=absente)", Some(true)),
            ("(mailAutoReplyText;lang-fr=absente)", Some(true)),
            ("(mailAutoReplyText;lang-en=*)", Some(false)),
            ("(provostVacationInterval>=10)", Some(false)),
            ("(provostVacationInterval<=10)", Some(true)),
            ("(provostVacationInterval>=x)", None),
            ("(vacationEndDate>=20261231235959Z)", Some(true)),
            ("(cn>=a)", None),
            ("(userCertificate=x)", None),
            ("(userCertificate=*)", Some(true)),
            ("(objectClass=2.5.6.6)", Some(true)),
            ("(mail~=Zoe@example.edu)", Some(true)),
            ("(vacationEndDate=2026*)", None),
            // RFC 4518 applies to every kind of item.
            ("(cn=zoe\u{301} tremblay)", Some(true)),
            ("(cn=Ｚo\u{ad}é\u{3000}trem\u{200b}blay)", Some(true)),
            ("(cn=zoe\u{301}*)", Some(true)),
            ("(cn=*é trem\u{ad}b*)", Some(true)),
            ("(cn=*ｂlay)", Some(true)),
            ("(cn=zoé *)", Some(true)),
            ("(cn=zoé * tremblay)", Some(true)),
            ("(cn=zo *)", Some(false)),
            ("(cn~=zoe\u{301} tremblay)", Some(true)),
            ("(cn=\u{fffd})", None),
            ("(cn=*\u{200b}*)", None),
            // RFC 4511 §4.5.1.7: an assertion value of the wrong syntax makes the item Undefined.
            ("(cn=)", None),
            ("(mail=é)", None),
            ("(mail=*é*)", None),
            ("(objectClass=nosuch)", None),
            // RFC 4514 §3: a DN may use any name or the OID of an attribute type.
            ("(seeAlso=commonName=a,2.5.4.11=Zoe\u{301})", Some(true)),
            ("(seeAlso=cn=#0c0161,ou=zoé)", Some(true)),
            ("(seeAlso=cn=CORP\\5cuser)", None),
            // RFC 4522: `;binary` does not change which attribute is meant, and types with text do not take it.
            ("(userCertificate;binary=*)", Some(true)),
            ("(cn;binary=*)", None),
            // RFC 4512 §2.5: with an unsupported option, the description is unrecognised.
            ("(cn;x-odd=*)", None),
            ("(!(cn;x-odd=*))", None),
        ] {
            assert_eq!(matches(&catalogue, &source, &Filter::parse(filter).unwrap()), expect, "{filter}");
        }
        let cn = AttributeDescription::of("cn");
        let substring = |initial: Option<&str>, any: &[&str], last: Option<&str>| Filter::Substring {
            attribute: cn.clone(),
            initial: initial.map(Into::into),
            any: any.iter().map(|part| (*part).into()).collect(),
            last: last.map(Into::into),
        };
        let zoe = Filter::equal("cn", "zoé tremblay");
        for filter in [
            substring(None, &[], None),
            substring(Some(""), &[], None),
            substring(Some("z"), &[""], None),
            substring(None, &["z"], Some("")),
            Filter::Undefined,
        ] {
            assert_eq!(matches(&catalogue, &source, &filter), None, "{filter}");
            let either = Filter::Or(vec![filter.clone(), zoe.clone()]);
            assert_eq!(matches(&catalogue, &source, &either), Some(true), "{filter}");
        }
    }
}
