//! One immutable state of the directory, with its indexes.

use std::sync::Arc;

use crate::Person;
use provost_entry::Address;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an address entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressKind {
    /// The one they send from.
    Primary,
    /// Another.
    Alias,
    /// An earlier primary one.
    Retained,
    /// A function's.
    Role,
    /// A list's.
    List,
    /// Waiting before it may be given again: receives nothing.
    Quarantined,
}

/// Who receives mail for an address.
#[derive(Clone, Debug)]
pub enum Recipient {
    /// This person.
    Person(Arc<Person>),
    /// Certainly nobody: 550 5.1.1.
    Unknown,
    /// The domain is not served here: relaying.
    NotLocal,
    /// The account exists and takes no mail: 550 5.2.1.
    Closed,
    /// Cannot be said now: 451 4.3.0.
    Unavailable,
}

/// One immutable state of the directory.
pub struct Snapshot {
    _private: (),
}

impl Snapshot {
    /// By entryUUID.
    pub fn person(&self, entry_uuid: Uuid) -> Option<Arc<Person>> {
        let _ = entry_uuid;
        todo!("H2")
    }

    /// By login name: an address of theirs or their `uid`, any case.
    pub fn by_login(&self, name: &str) -> Option<Arc<Person>> {
        let _ = name;
        todo!("H2")
    }

    /// By address, with its kind.
    pub fn by_address(&self, address: &Address) -> Option<(Arc<Person>, AddressKind)> {
        let _ = address;
        todo!("H2")
    }

    /// All addresses of one person with their kinds, the primary one first.
    pub fn addresses_of(&self, entry_uuid: Uuid) -> Vec<(Address, AddressKind)> {
        let _ = entry_uuid;
        todo!("H2")
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        todo!("H2")
    }

    /// The domains served here.
    pub fn domains(&self) -> Vec<String> {
        todo!("H2")
    }
}
