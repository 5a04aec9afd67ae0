//! Small records for this crate's tests.

use std::sync::Arc;

use provost_entry::{Address, Dn};
use provost_settings::{SettingDefinition, StatedEntry};
use uuid::Uuid;

use crate::snapshot::{AddressRecord, PersonRecord, ViewRecord, dn_key};
use crate::{AddressKind, Affiliation, Group, Person, PersonState};

pub(crate) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(crate) fn suffix() -> Dn {
    Dn::parse("dc=example,dc=edu").unwrap()
}

pub(crate) fn person_dn(n: u128) -> String {
    format!("provostPersonId={},ou=people,dc=example,dc=edu", Uuid::from_u128(n))
}

pub(crate) fn bare_person(n: u128, uid: &str) -> Person {
    Person {
        entry_uuid: uuid(n),
        dn: person_dn(n).into(),
        uid: uid.into(),
        display_name: uid.into(),
        primary: Address::from_parts(uid, "example.edu").unwrap(),
        state: PersonState::Active,
        affiliation: Affiliation::Student,
        language: None,
        passwords: Vec::new(),
        quota_octets: None,
        vacation: None,
        roles: Vec::new(),
        password_state: crate::PasswordState::default(),
        access: crate::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

pub(crate) fn person(n: u128, uid: &str) -> ViewRecord {
    ViewRecord::Person(Arc::new(PersonRecord {
        person: Arc::new(bare_person(n, uid)),
        local_addresses: Box::default(),
        facets: Default::default(),
    }))
}

pub(crate) fn address_entry(n: u128, address: &str, kind: AddressKind, owner: Option<u128>) -> ViewRecord {
    let owner = owner.and_then(|owner| dn_key(&person_dn(owner)));
    ViewRecord::Address(Arc::new(AddressRecord {
        entry_uuid: uuid(n),
        address: Address::parse(address).unwrap(),
        kind,
        owner,
        since: None,
        until: None,
        targets: Box::default(),
    }))
}

pub(crate) fn domain(name: &str) -> ViewRecord {
    ViewRecord::Domain(name.into())
}

pub(crate) fn group(n: u128, name: &str, people: &[u128]) -> ViewRecord {
    let mut members: Vec<_> = people.iter().filter_map(|n| dn_key(&person_dn(*n))).collect();
    members.sort_unstable();
    let dn = format!("cn={name},ou=groups,dc=example,dc=edu").into();
    ViewRecord::Group(Arc::new(Group::of_members(uuid(n), name.into(), dn, members.into())))
}

pub(crate) fn container(name: &str) -> ViewRecord {
    ViewRecord::Container(name.into())
}

/// Makes a setting, in the container of its definition.
pub(crate) fn setting(name: &str, value: &str) -> ViewRecord {
    let container = SettingDefinition::named(name).map_or("policies", |definition| definition.container);
    let dn = format!("cn={name},ou={container},dc=example,dc=edu").into();
    ViewRecord::Setting(Arc::new(StatedEntry { name: name.into(), dn, values: vec![value.into()], last_good: None }))
}
