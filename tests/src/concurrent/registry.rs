//! What holds of people, groups and addresses whoever wrote them.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};

use super::ConcurrentSite;
use crate::ldap::FoundEntry;

impl ConcurrentSite<'_> {
    /// Nobody is there twice, every address of a person has an entry whose owner is this person, and every address
    /// entry in use names somebody who has the address. `count` people have an id that begins with one of `sources`.
    pub(super) fn each_address_has_one_owner(&self, sources: &[&str], count: usize) -> anyhow::Result<()> {
        let owners = self.address_owners()?;
        let attributes = ["mail", "mailLocalAddress", "uid", "provostSourceId"];
        let people = self.ldap.entries("(objectClass=provostAccount)", &attributes)?;
        let (mut logins, mut ids, mut held) = (HashSet::new(), HashSet::new(), HashSet::new());
        for person in &people {
            let dn = &person.dn;
            ensure!(person.texts("uid").all(|login| logins.insert(login)), "two people have the login of {person:?}");
            ensure!(person.texts("provostSourceId").all(|id| ids.insert(id)), "two people have the id of {person:?}");
            ensure!(person.texts("mail").count() == 1, "{person:?}");
            for address in person.texts("mail").chain(person.texts("mailLocalAddress")) {
                let owner = owners.get(address).map(String::as_str);
                ensure!(owner == Some(dn), "{address} of {dn} belongs to {owner:?}");
                held.insert(address);
            }
        }
        let of_sources = ids.iter().filter(|id| sources.iter().any(|source| id.starts_with(source))).count();
        ensure!(of_sources == count, "{of_sources} people of {count}");
        let groups = self.ldap.entries("(objectClass=provostGroup)", &["cn"])?;
        let groups: HashSet<&str> = groups.iter().map(|group| group.dn.as_str()).collect();
        for (address, owner) in &owners {
            let is_in_use = held.contains(address.as_str()) || groups.contains(owner.as_str());
            ensure!(is_in_use, "{address} belongs to {owner}, who does not have it");
        }
        Ok(())
    }

    /// The owner of each address that is not in quarantine.
    pub(super) fn address_owners(&self) -> anyhow::Result<HashMap<String, String>> {
        let attributes = ["provostAddress", "provostOwner", "provostAddressKind"];
        // The address of a role has no owner.
        let entries = self.ldap.entries("(&(objectClass=provostAddressEntry)(provostOwner=*))", &attributes)?;
        let mut owners = HashMap::new();
        for entry in &entries {
            let value = |name: &'static str| entry.texts(name).next().with_context(|| format!("no {name}: {entry:?}"));
            let (address, owner) = (value("provostAddress")?, value("provostOwner")?);
            let is_second = owners.contains_key(address);
            ensure!(!is_second, "{address} has two entries");
            owners.insert(address.to_owned(), owner.to_owned());
        }
        let is_quarantined = |entry: &&FoundEntry| entry.texts("provostAddressKind").any(|kind| kind == "quarantined");
        for entry in entries.iter().filter(is_quarantined) {
            entry.texts("provostAddress").for_each(|address| drop(owners.remove(address)));
        }
        Ok(owners)
    }
}
