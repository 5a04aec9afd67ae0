//! A directory entry: a DN and its attributes.

use std::collections::BTreeMap;
use std::fmt;

use crate::{AttributeDescription, Dn};

/// One directory entry. Values are octets, in the order in which they were added. `Debug` redacts passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the entry.
    pub dn: Dn,
    attributes: BTreeMap<AttributeDescription, Vec<Vec<u8>>>,
}

impl Entry {
    /// Makes an entry without attributes.
    pub fn new(dn: Dn) -> Self {
        Self { dn, attributes: BTreeMap::new() }
    }

    /// Returns the entry with one more value of a well-known attribute, for building entries in code.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.push(AttributeDescription::of(name), value.into());
        self
    }

    /// Adds one value, unless the same octets are there already.
    pub fn push(&mut self, name: AttributeDescription, value: Vec<u8>) {
        let values = self.attributes.entry(name).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }

    /// Replaces the values of an attribute; an empty list removes the attribute.
    pub fn set(&mut self, name: AttributeDescription, values: Vec<Vec<u8>>) {
        if values.is_empty() {
            self.attributes.remove(&name);
        } else {
            self.attributes.insert(name, values);
        }
    }

    /// Returns all values of the attribute description `name`: type and options must match, so `cn` does not find
    /// `cn;lang-fr`. Empty when the attribute is absent.
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        // An entry has about twenty attributes: comparing with each costs less than making a key.
        self.attributes.iter().find(|(held, _)| held.is(name)).map_or(&[], |(_, values)| values.as_slice())
    }

    /// Returns the first value of `name` as text; `None` when absent or not UTF-8.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.values(name).first().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the values of `name` that are UTF-8.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether `objectClass` names `class`, ignoring case.
    pub fn has_class(&self, class: &str) -> bool {
        self.texts("objectClass").any(|value| value.eq_ignore_ascii_case(class))
    }

    /// Returns the attributes in order of their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&AttributeDescription, &[Vec<u8>])> {
        self.attributes.iter().map(|(name, values)| (name, values.as_slice()))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Entry");
        debug.field("dn", &self.dn);
        for (name, values) in &self.attributes {
            debug.field(name.as_str(), &ShownValues { name, values });
        }
        debug.finish()
    }
}

/// The values of an attribute for `Debug`: as text, with U+FFFD for what is not UTF-8; only their number for secrets.
pub(crate) struct ShownValues<'a> {
    pub(crate) name: &'a AttributeDescription,
    pub(crate) values: &'a [Vec<u8>],
}

impl fmt::Debug for ShownValues<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.name.attribute_type();
        if provost_schema::attr::SECRETS.iter().any(|secret| of.eq_ignore_ascii_case(secret)) {
            return write!(f, "[{} redacted]", self.values.len());
        }
        f.debug_list().entries(self.values.iter().map(|value| String::from_utf8_lossy(value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Modification;

    #[test]
    fn debug_redacts_passwords() {
        let entry = Entry::new(Dn::root()).with("uid", "zoe").with("userPassword", "{SSHA}hash");
        let text = format!("{entry:?}");
        assert!(text.contains("zoe") && text.contains("redacted") && !text.contains("hash"), "{text}");
        for secret in provost_schema::attr::SECRETS {
            let text = format!("{:?}", Entry::new(Dn::root()).with(secret, "20260101000000Z {SSHA}hash"));
            assert!(text.contains("redacted") && !text.contains("hash"), "{text}");
        }
        let value = b"{SSHA}hash".to_vec();
        let text = format!("{:?}", Modification::replace(AttributeDescription::of("userpassword"), vec![value]));
        assert!(text.contains("redacted") && !text.contains("hash"), "{text}");
    }
}
