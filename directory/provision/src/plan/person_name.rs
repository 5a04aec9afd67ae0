//! The names of people's entries in short form: nearly every one is `provostPersonId=UUID,ou=people,SUFFIX`.

use std::hash::{Hash, Hasher};

use provost_entry::Dn;
use provost_schema::attr;
use uuid::Uuid;

use crate::tree;

/// The DN of a person's entry, or of an address's owner: 24 octets instead of about 200.
#[derive(Clone, Debug)]
pub(super) enum PersonName {
    /// The name that this program gives to a person.
    OfId(Uuid),
    /// Any other name, or the same one in another spelling.
    Other(Box<Dn>),
}

/// Converts between DNs and [`PersonName`]s below one suffix.
pub(super) struct PersonNames {
    suffix: Dn,
    /// What stands before and after the UUID in the text of a name.
    text: (String, String),
    /// The same in the normalised form.
    normalised: (String, String),
}

/// What [`PersonNames::key`] returns: equal for equal names, whatever their spelling.
#[derive(PartialEq, Eq)]
pub(super) enum NameKey<'a> {
    OfId(Uuid),
    Other(&'a Dn),
}

impl Hash for NameKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::OfId(id) => state.write_u128(id.as_u128()),
            Self::Other(dn) => dn.hash(state),
        }
    }
}

impl PersonNames {
    pub(super) fn below(suffix: Dn) -> Self {
        let people = tree::people(&suffix);
        let around = |prefix: String, parent: &str| (prefix + "=", format!(",{parent}"));
        Self {
            text: around(attr::PROVOST_PERSON_ID.to_owned(), people.as_str()),
            normalised: around(attr::PROVOST_PERSON_ID.to_ascii_lowercase(), people.normalised()),
            suffix,
        }
    }

    pub(super) fn suffix(&self) -> &Dn {
        &self.suffix
    }

    /// The short form of a DN; [`PersonNames::dn`] returns it with the same spelling.
    pub(super) fn of_dn(&self, dn: &Dn) -> PersonName {
        match uuid_within(dn.as_str(), &self.text) {
            Some(id) => PersonName::OfId(id),
            None => PersonName::Other(Box::new(dn.clone())),
        }
    }

    /// The short form of a DN given as text, whose spelling does not matter; `None` when it is not a DN.
    pub(super) fn of_text(&self, text: &str) -> Option<PersonName> {
        match uuid_within(text, &self.text) {
            Some(id) => Some(PersonName::OfId(id)),
            None => Dn::parse(text).ok().map(|dn| self.of_dn(&dn)),
        }
    }

    pub(super) fn dn(&self, name: &PersonName) -> Dn {
        match name {
            PersonName::OfId(id) => tree::person(&self.suffix, *id),
            PersonName::Other(dn) => (**dn).clone(),
        }
    }

    /// The key under which two spellings of one name are equal.
    pub(super) fn key<'a>(&self, name: &'a PersonName) -> NameKey<'a> {
        match name {
            PersonName::OfId(id) => NameKey::OfId(*id),
            PersonName::Other(dn) => match uuid_within(dn.normalised(), &self.normalised) {
                Some(id) => NameKey::OfId(id),
                None => NameKey::Other(dn),
            },
        }
    }
}

/// The UUID between `before` and `after`, if the text is exactly these and a UUID in the spelling of this program.
fn uuid_within(text: &str, (before, after): &(String, String)) -> Option<Uuid> {
    let inner = text.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
    let id = Uuid::try_parse(inner).ok()?;
    (*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *inner).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_keeps_its_spelling_and_equals_its_other_spellings() {
        let names = PersonNames::below(Dn::parse("dc=Example,dc=edu").unwrap());
        let id = "1b4e28ba-2fa1-41d2-883f-00000000002a";
        let canonical = names.of_dn(&tree::person(names.suffix(), id.parse().unwrap()));
        assert!(matches!(canonical, PersonName::OfId(_)));
        for (text, is_short, is_same) in [
            (format!("provostPersonId={id},ou=people,dc=Example,dc=edu"), true, true),
            (format!("PROVOSTPERSONID={},OU=People,dc=example,DC=edu", id.to_uppercase()), false, true),
            (format!("provostPersonId={},ou=people,dc=Example,dc=edu", id.replace('-', "")), false, false),
            (format!("provostPersonId={id},ou=addresses,dc=Example,dc=edu"), false, false),
            (format!("provostPersonId={id},ou=people,dc=Example,dc=com"), false, false),
            ("uid=zoe,ou=people,dc=Example,dc=edu".to_owned(), false, false),
            ("provostPersonId=x,ou=people,dc=Example,dc=edu".to_owned(), false, false),
        ] {
            let dn = Dn::parse(&text).unwrap();
            let name = names.of_dn(&dn);
            assert_eq!((matches!(name, PersonName::OfId(_)), names.dn(&name).as_str()), (is_short, dn.as_str()));
            assert!((names.key(&name) == names.key(&canonical)) == is_same, "{text}");
            let again = names.of_text(&text).unwrap();
            assert!(names.key(&again) == names.key(&name), "{text}");
        }
        assert!(names.of_text("not a name").is_none());
    }
}
