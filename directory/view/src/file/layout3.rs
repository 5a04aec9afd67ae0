//! The records of saved files up to version 3, in which a person had no state of the password.

use std::sync::Arc;

use provost_entry::{Address, Facets};
use provost_settings::StatedEntry;
use serde::Deserialize;
use uuid::Uuid;

use super::layout4::{AddressRecord4, Group4};
use crate::snapshot::{PersonRecord, ViewRecord};
use crate::{Access, Affiliation, PasswordState, Person, PersonState, Vacation};

/// As [`ViewRecord`], with the variants and fields of version 3 in their order.
#[derive(Deserialize)]
pub(super) enum Record {
    Person(Box<PersonRecord3>),
    Address(AddressRecord4),
    Domain(Arc<str>),
    Group(Group4),
    Setting(Arc<StatedEntry>),
    Container(Arc<str>),
}

#[derive(Deserialize)]
pub(super) struct PersonRecord3 {
    person: Person3,
    local_addresses: Box<[Address]>,
}

#[derive(Deserialize)]
struct Person3 {
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

impl From<Record> for ViewRecord {
    fn from(record: Record) -> Self {
        match record {
            Record::Person(record) => {
                let person = Arc::new(record.person.into());
                Self::Person(Arc::new(PersonRecord {
                    person,
                    local_addresses: record.local_addresses,
                    facets: Facets::default(),
                }))
            }
            Record::Address(record) => Self::Address(Arc::new(record.into())),
            Record::Domain(domain) => Self::Domain(domain),
            Record::Group(group) => Self::Group(Arc::new(group.into())),
            Record::Setting(stated) => Self::Setting(stated),
            Record::Container(name) => Self::Container(name),
        }
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
