//! The address entries of the directory, in packed form.

use std::sync::Arc;

use provost_client::ReceivedEntry;
use provost_entry::Dn;
use provost_schema::attr;

use super::index::Index;
use super::packed::{Keep, KeptAttribute, PackedEntries};
use super::person_name::{PersonName, PersonNames};
use crate::write::{HeldKind, QUARANTINED};

/// What is kept of an address entry besides its owner. To compare another attribute, add it here (the search asks for
/// exactly these), set it in [`AddressTable::add`] and read it in [`AddressTable::at`].
const KEPT: [KeptAttribute; 4] = [
    (attr::PROVOST_ADDRESS, Keep::Own),
    (attr::PROVOST_ADDRESS_KIND, Keep::Shared),
    (attr::PROVOST_LAST_BATCH, Keep::Shared),
    (attr::PROVOST_UNTIL, Keep::Shared),
];
/// The indexes of [`KEPT`].
const ADDRESS: usize = 0;
const KIND: usize = 1;
const LAST_BATCH: usize = 2;
const UNTIL: usize = 3;

/// All address entries.
pub(super) struct AddressTable {
    names: Arc<PersonNames>,
    entries: PackedEntries,
    /// The owner of each entry, the former one of an address in quarantine; `None` for an entry that names no owner.
    owners: Vec<Option<PersonName>>,
    by_address: Index,
    by_owner: Index,
}

/// One address entry.
#[derive(Clone, Copy)]
pub(super) struct AddressEntry<'a> {
    /// The address in lower case.
    pub(super) address: &'a str,
    /// provostAddressKind in lower case.
    pub(super) kind: &'a str,
    pub(super) last_batch: Option<&'a str>,
    /// provostUntil: the end of the address or of its quarantine.
    pub(super) until: Option<&'a str>,
}

impl<'a> From<AddressEntry<'a>> for HeldKind<'a> {
    fn from(held: AddressEntry<'a>) -> Self {
        let AddressEntry { address, kind, last_batch, until } = held;
        Self { address, kind, until, last_batch }
    }
}

impl AddressEntry<'_> {
    /// Whether the address was taken from its owner and reaches nobody.
    pub(super) fn is_quarantined(&self) -> bool {
        self.kind == QUARANTINED
    }
}

impl AddressTable {
    /// No entries. `names` converts the names of owners.
    pub(super) fn new(names: Arc<PersonNames>) -> Self {
        let entries = PackedEntries::new(KEPT.to_vec());
        Self { names, entries, owners: Vec::new(), by_address: Index::default(), by_owner: Index::default() }
    }

    /// The attributes that [`AddressTable::add`] reads.
    pub(super) fn attributes() -> Vec<&'static str> {
        KEPT.iter().map(|(name, _)| *name).chain([attr::PROVOST_OWNER]).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn add(&mut self, entry: &ReceivedEntry) {
        let named = entry.first(attr::PROVOST_ADDRESS).map(str::to_lowercase);
        let of_name = || Dn::parse(&entry.dn).ok()?.rdn_value(attr::PROVOST_ADDRESS);
        let Some(address) = named.or_else(of_name) else { return };
        let kind = entry.first(attr::PROVOST_ADDRESS_KIND).unwrap_or_default().to_lowercase();
        let owner = entry.first(attr::PROVOST_OWNER).and_then(|owner| self.names.of_text(owner));
        let mut values = vec![(ADDRESS, address.as_str()), (KIND, &kind)];
        values.extend(entry.first(attr::PROVOST_LAST_BATCH).map(|batch| (LAST_BATCH, batch)));
        values.extend(entry.first(attr::PROVOST_UNTIL).map(|until| (UNTIL, until)));
        let place = self.entries.push(&values);
        self.by_address.insert(address.as_str(), place);
        if let Some(owner) = &owner {
            self.by_owner.insert(self.names.key(owner), place);
        }
        self.owners.push(owner);
    }

    /// Whether the address, in lower case, has an entry.
    pub(super) fn contains(&self, address: &str) -> bool {
        self.place(address).is_some()
    }

    /// The addresses that `owner` has, in the order in which the directory returned them.
    pub(super) fn of_owner(&self, owner: &PersonName) -> impl Iterator<Item = AddressEntry<'_>> {
        // An address in quarantine reaches no person, and an import must not give it away.
        self.naming(owner).filter(|held| !held.is_quarantined())
    }

    /// The addresses that were taken from `owner` and are in quarantine.
    pub(super) fn quarantined_of(&self, owner: &PersonName) -> impl Iterator<Item = AddressEntry<'_>> {
        self.naming(owner).filter(AddressEntry::is_quarantined)
    }

    /// The entry of an address, in lower case, with its owner or former owner.
    pub(super) fn find(&self, address: &str) -> Option<(AddressEntry<'_>, Option<&PersonName>)> {
        let place = self.place(address)?;
        Some((self.at(place)?, self.owners.get(place as usize).and_then(Option::as_ref)))
    }

    /// The addresses whose entry names `owner`.
    fn naming(&self, owner: &PersonName) -> impl Iterator<Item = AddressEntry<'_>> {
        let is_owner = |place: &u32| {
            let held = self.owners.get(*place as usize).and_then(Option::as_ref);
            held.is_some_and(|held| self.names.key(held) == self.names.key(owner))
        };
        let mut places = self.by_owner.places(self.names.key(owner));
        places.retain(is_owner);
        let held = places.into_iter().filter_map(|place| Some((place, self.at(place)?)));
        // Of two entries with one address, which only a faulty directory has, the later one counts.
        held.filter(|(place, held)| self.place(held.address) == Some(*place)).map(|(_, held)| held)
    }

    fn place(&self, address: &str) -> Option<u32> {
        let has_address = |place: &u32| self.at(*place).is_some_and(|entry| entry.address == address);
        self.by_address.places(address).into_iter().rev().find(has_address)
    }

    fn at(&self, place: u32) -> Option<AddressEntry<'_>> {
        let mut found = AddressEntry { address: "", kind: "", last_batch: None, until: None };
        for (field, text) in self.entries.get(place)?.values() {
            match field {
                ADDRESS => found.address = text,
                KIND => found.kind = text,
                LAST_BATCH => found.last_batch = Some(text),
                _ => found.until = Some(text),
            }
        }
        Some(found)
    }
}

impl Extend<ReceivedEntry> for AddressTable {
    fn extend<I: IntoIterator<Item = ReceivedEntry>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.add(&entry));
    }
}
