//! The records of saved files up to version 4, in which a person had no restrictions, forwarding and quota class,
//! and an address no dates and no targets. Up to version 3, a person had no state of the password either.

use std::sync::Arc;

use provost_entry::{Address, Facets};
use provost_settings::StatedEntry;
use serde::Deserialize;
use uuid::Uuid;

use crate::cow_map::MapKey;
use crate::snapshot::{AddressRecord, PersonRecord, ViewRecord};
use crate::{Access, AddressKind, Affiliation, Group, PasswordState, Person, PersonState, Vacation};

/// As [`ViewRecord`], with the variants and fields of these versions in their order. `P` is the person of the version:
/// [`Person3`] or [`Person4`].
#[derive(Deserialize)]
pub(super) enum Record4<P> {
    Person(Box<PersonRecord4<P>>),
    Address(AddressRecord4),
    Domain(Arc<str>),
    Group(Group4),
    Setting(Arc<StatedEntry>),
    Container(Arc<str>),
}

#[derive(Deserialize)]
pub(super) struct AddressRecord4 {
    entry_uuid: Uuid,
    address: Address,
    kind: AddressKind,
    owner: Option<MapKey>,
}

impl From<AddressRecord4> for AddressRecord {
    fn from(record: AddressRecord4) -> Self {
        let AddressRecord4 { entry_uuid, address, kind, owner } = record;
        Self { entry_uuid, address, kind, owner, since: None, until: None, targets: Box::default() }
    }
}

/// A group without what it does as a list.
#[derive(Deserialize)]
pub(super) struct Group4 {
    entry_uuid: Uuid,
    name: Box<str>,
    dn: Box<str>,
    members: Box<[MapKey]>,
}

impl From<Group4> for Group {
    fn from(group: Group4) -> Self {
        Self::of_members(group.entry_uuid, group.name, group.dn, group.members)
    }
}

#[derive(Deserialize)]
pub(super) struct PersonRecord4<P> {
    person: P,
    local_addresses: Box<[Address]>,
}

/// A person of version 3 and earlier ones.
#[derive(Deserialize)]
pub(super) struct Person3 {
    entry_uuid: Uuid,
    dn: Box<str>,
    uid: Box<str>,
    display_name: Box<str>,
    primary: Address,
    state: PersonState,
    affiliation: Affiliation,
    language: Option<Box<str>>,
    passwords: Vec<Box<str>>,
    quota_octets: Option<u64>,
    vacation: Option<Box<Vacation>>,
    roles: Vec<Box<str>>,
}

/// A person of version 4. postcard puts no mark around a struct, so the fields of [`Person3`] simply come first.
#[derive(Deserialize)]
pub(super) struct Person4 {
    earlier: Person3,
    password_state: PasswordState,
}

impl<P: Into<Person>> From<Record4<P>> for ViewRecord {
    fn from(record: Record4<P>) -> Self {
        match record {
            Record4::Person(record) => {
                let person = Arc::new(record.person.into());
                Self::Person(Arc::new(PersonRecord {
                    person,
                    local_addresses: record.local_addresses,
                    facets: Facets::default(),
                }))
            }
            Record4::Address(record) => Self::Address(Arc::new(record.into())),
            Record4::Domain(domain) => Self::Domain(domain),
            Record4::Group(group) => Self::Group(Arc::new(group.into())),
            Record4::Setting(stated) => Self::Setting(stated),
            Record4::Container(name) => Self::Container(name),
        }
    }
}

impl From<Person4> for Person {
    fn from(person: Person4) -> Self {
        Self { password_state: person.password_state, ..person.earlier.into() }
    }
}

impl From<Person3> for Person {
    fn from(person: Person3) -> Self {
        Self {
            entry_uuid: person.entry_uuid,
            dn: person.dn,
            uid: person.uid,
            display_name: person.display_name,
            primary: person.primary,
            state: person.state,
            affiliation: person.affiliation,
            language: person.language,
            passwords: person.passwords,
            quota_octets: person.quota_octets,
            vacation: person.vacation,
            roles: person.roles,
            password_state: PasswordState::default(),
            access: Access::default(),
            quota_class: None,
            quota_until: None,
        }
    }
}
