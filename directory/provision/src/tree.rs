//! The tree below the suffix: the DNs of entries, and the containers that must exist first.

use provost_client::{Directory, DirectoryError, LdapSearch, Scope, WriteConditions};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class, ou};
use uuid::Uuid;

use crate::desk::ensure_roles;
use crate::{ProvisionSettings, read_domains};

/// LDAP result 53, unwillingToPerform (RFC 4511 §4.1.9): returned for a suffix whose entry this program cannot create.
const UNWILLING_TO_PERFORM: u32 = 53;

/// The attribute list that asks for no attribute. RFC 4511 §4.5.1.8.
const NO_ATTRIBUTES: &str = "1.1";

/// DN of the people's container: `ou=people`.
pub(crate) fn people(suffix: &Dn) -> Dn {
    suffix.child("ou", ou::PEOPLE)
}

/// DN of the addresses' container: `ou=addresses`.
pub(crate) fn addresses(suffix: &Dn) -> Dn {
    suffix.child("ou", ou::ADDRESSES)
}

/// DN of the groups' container: `ou=groups`.
pub(crate) fn groups(suffix: &Dn) -> Dn {
    suffix.child("ou", ou::GROUPS)
}

/// DN of a group.
pub(crate) fn group(suffix: &Dn, name: &str) -> Dn {
    groups(suffix).child(attr::CN, name)
}

/// DN of a person's entry.
pub(crate) fn person(suffix: &Dn, id: Uuid) -> Dn {
    people(suffix).child(attr::PROVOST_PERSON_ID, &id.to_string())
}

/// DN of an address entry.
pub(crate) fn address(suffix: &Dn, address: &str) -> Dn {
    addresses(suffix).child(attr::PROVOST_ADDRESS, address)
}

/// DN of the tombstones' container: `ou=tombstones`.
pub(crate) fn tombstones(suffix: &Dn) -> Dn {
    suffix.child("ou", ou::TOMBSTONES)
}

/// DN of a served domain's entry.
pub(crate) fn domain(suffix: &Dn, domain: &str) -> Dn {
    suffix.child("ou", ou::DOMAINS).child(attr::PROVOST_DOMAIN, domain)
}

/// The suffix entry, the containers and the domain entry, parents first. An error unless the suffix begins with `dc=`,
/// `o=` or `ou=`.
pub fn base_tree(suffix: &Dn, settings: &ProvisionSettings) -> Result<Vec<Entry>, DirectoryError> {
    let mut wanted = vec![suffix_entry(suffix)?];
    wanted.extend(ou::ALL.into_iter().map(|name| container(suffix, name)));
    wanted.push(
        Entry::new(domain(suffix, &settings.domain))
            .with(attr::OBJECT_CLASS, "top")
            .with(attr::OBJECT_CLASS, class::PROVOST_DOMAIN_ENTRY)
            .with(attr::PROVOST_DOMAIN, settings.domain.as_str()),
    );
    Ok(wanted)
}

/// Creates the missing entries of [`base_tree`], and the addresses of roles in each served domain; returns the DNs of those that this call created.
pub async fn ensure_tree(directory: &Directory, settings: &ProvisionSettings) -> Result<Vec<String>, DirectoryError> {
    let mut made = Vec::new();
    for entry in base_tree(directory.suffix(), settings)? {
        let dn = entry.dn.clone();
        if read_provider(directory, &dn, &[NO_ATTRIBUTES]).await?.is_some() {
            continue;
        }
        match directory.add(entry).await {
            Ok(_) => made.push(dn.as_str().to_owned()),
            // Another process has created the entry since the search.
            Err(DirectoryError::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    made.extend(ensure_roles(directory, &read_domains(directory).await?).await?);
    Ok(made)
}

/// The entry of the suffix itself, with the object class that its first RDN requires.
fn suffix_entry(suffix: &Dn) -> Result<Entry, DirectoryError> {
    let rdn = suffix.rdn();
    let pair = rdn.as_ref().and_then(|rdn| rdn.pairs().next());
    let entry = Entry::new(suffix.clone()).with(attr::OBJECT_CLASS, "top");
    match pair {
        Some((name, value)) if name.eq_ignore_ascii_case("dc") => Ok(entry
            .with(attr::OBJECT_CLASS, "organization")
            .with(attr::OBJECT_CLASS, "dcObject")
            .with("dc", value)
            .with("o", value)),
        Some((name, value)) if name.eq_ignore_ascii_case("o") => {
            Ok(entry.with(attr::OBJECT_CLASS, "organization").with("o", value))
        }
        Some((name, value)) if name.eq_ignore_ascii_case("ou") => {
            Ok(entry.with(attr::OBJECT_CLASS, "organizationalUnit").with("ou", value))
        }
        _ => Err(DirectoryError::Refused {
            code: UNWILLING_TO_PERFORM,
            message: format!("a suffix begins with dc=, o= or ou=: {suffix}"),
        }),
    }
}

pub(crate) fn container(suffix: &Dn, name: &'static str) -> Entry {
    Entry::new(suffix.child("ou", name))
        .with(attr::OBJECT_CLASS, "top")
        .with(attr::OBJECT_CLASS, "organizationalUnit")
        .with("ou", name)
}

/// One entry from the writable provider; `None` when the provider reports that it does not exist.
pub(crate) async fn read_provider(
    directory: &Directory,
    dn: &Dn,
    attributes: &[&str],
) -> Result<Option<Entry>, DirectoryError> {
    let search = LdapSearch {
        base: dn.clone(),
        scope: Scope::Base,
        filter: Filter::present(attr::OBJECT_CLASS),
        attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        limit: None,
    };
    match directory.search_provider(search).await {
        Ok(entries) => Ok(entries.into_iter().next()),
        Err(DirectoryError::NoSuchObject(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The assertion (RFC 4528) that the entry still has this entryCSN. Without a CSN, the write has no condition.
pub(crate) fn unchanged_since(csn: Option<&str>) -> WriteConditions {
    WriteConditions { assert: csn.map(|csn| Filter::equal(attr::ENTRY_CSN, csn)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_entry_has_the_class_of_its_first_rdn() {
        for (suffix, class) in [
            ("dc=example,dc=edu", Some("dcObject")),
            ("o=Example", Some("organization")),
            ("ou=mail,o=Example", Some("organizationalUnit")),
            ("cn=mail", None),
            ("", None),
        ] {
            let entry = suffix_entry(&Dn::parse(suffix).unwrap());
            assert_eq!(entry.is_ok_and(|entry| class.is_some_and(|class| entry.has_class(class))), class.is_some());
        }
    }

    #[test]
    fn special_characters_of_an_address_are_escaped_in_its_dn() {
        let suffix = Dn::parse("dc=example,dc=edu").unwrap();
        let dn = address(&suffix, "a+b@example.edu");
        assert_eq!(dn.as_str(), r"provostAddress=a\+b@example.edu,ou=addresses,dc=example,dc=edu");
        assert_eq!(Dn::parse(dn.as_str()).unwrap(), dn);
    }
}
