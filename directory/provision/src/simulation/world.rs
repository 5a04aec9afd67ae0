//! The entries of a simulation, and the writes to them.

use std::collections::HashMap;

use jiff::Timestamp;
use provost_credential::PasswordValues;
use provost_entry::time::format_generalized;
use provost_entry::{Dn, Entry, ModOp, Modification};
use provost_schema::{attr, class};

use super::{SimulationSettings, description, simulated_uuid};
use crate::attribute_change::AttributeChange;
use crate::lifecycle::{AddressEnd, EndedAddresses, owner_of, quarantine_days};
use crate::write::{LdapWrite, Write, WriteContext};
use crate::{DirectoryContent, tree};

/// Entries by DN. Conditions of writes are not checked: nobody else writes.
pub(super) struct World {
    entries: HashMap<Dn, Entry>,
}

impl World {
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut world = Self { entries: HashMap::new() };
        entries.into_iter().for_each(|entry| world.insert(entry));
        world
    }

    fn insert(&mut self, mut entry: Entry) {
        if entry.values(attr::ENTRY_UUID).is_empty() {
            let uuid = simulated_uuid(&entry.dn).to_string();
            entry.set(description(attr::ENTRY_UUID), vec![uuid.into_bytes()]);
        }
        self.entries.insert(entry.dn.clone(), entry);
    }

    pub(super) fn entry(&self, dn: &Dn) -> Option<&Entry> {
        self.entries.get(dn)
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &Entry> {
        self.of_class(class::PROVOST_ACCOUNT)
    }

    fn of_class(&self, class: &'static str) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| entry.has_class(class))
    }

    /// The entries of the addresses that a person's entry names, in the order of their names.
    pub(super) fn addresses_of(&self, suffix: &Dn, person: &Entry) -> Vec<Entry> {
        let named = person.texts(attr::MAIL_LOCAL_ADDRESS).chain(person.first(attr::MAIL)).map(str::to_lowercase);
        let mut addresses: Vec<String> = named.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let is_owned = |entry: &&Entry| entry.first(attr::PROVOST_OWNER) == Some(person.dn.as_str());
        let entries = addresses.iter().filter_map(|address| self.entries.get(&tree::address(suffix, address)));
        entries.filter(is_owned).cloned().collect()
    }

    /// What planning needs of the entries.
    pub(super) fn content(&self, suffix: &Dn) -> DirectoryContent {
        let mut content = DirectoryContent::empty(suffix.clone());
        // Sorted: the order of a hash map would number people of one name otherwise each time.
        let sorted = |class| {
            let mut entries: Vec<&Entry> = self.of_class(class).collect();
            entries.sort_by(|one, other| one.dn.as_str().cmp(other.dn.as_str()));
            entries
        };
        sorted(class::PROVOST_ACCOUNT).into_iter().for_each(|entry| content.add_person(entry));
        sorted(class::PROVOST_ADDRESS_ENTRY).into_iter().for_each(|entry| content.add_address(entry));
        content
    }

    /// Does what a run of the lifecycle does to addresses whose time or quarantine is over.
    pub(super) fn end_addresses(&mut self, at: Timestamp, settings: &SimulationSettings) {
        let ends = |entry: &&Entry| AddressEnd::of(entry, at).is_some();
        let ended: Vec<Entry> = self.of_class(class::PROVOST_ADDRESS_ENTRY).filter(ends).cloned().collect();
        for address in ended {
            if AddressEnd::of(&address, at) == Some(AddressEnd::OfQuarantine) {
                self.entries.remove(&address.dn);
                continue;
            }
            let owner = owner_of(&address).and_then(|owner| self.entries.get(&owner));
            let setting = settings.quarantine_days;
            let days =
                owner.map_or(setting.into(), |owner| quarantine_days(&settings.policies.lifecycle, owner, at, setting));
            let ended = EndedAddresses { owner, addresses: &[address], quarantine_days: days };
            let change = ended.change(at, &settings.policies.time_zone);
            change.iter().flat_map(|change| &change.writes).for_each(|write| self.apply(write, at));
        }
    }

    pub(super) fn apply(&mut self, write: &Write, at: Timestamp) {
        let since = format_generalized(at);
        let context = WriteContext { id: "simulation".to_owned(), since, must_change: true };
        let password =
            write.password.map(|_| PasswordValues { user_password: "{SSHA}simulated".to_owned(), scram: None });
        match write.operation(&context, password.as_ref()) {
            LdapWrite::Add(entry) => self.insert(entry),
            LdapWrite::Modify(dn, changes, _) => {
                if let Some(entry) = self.entries.get_mut(&dn) {
                    changes.into_iter().for_each(|change| modify(entry, change));
                }
            }
            LdapWrite::Delete(dn, _) => {
                self.entries.remove(&dn);
            }
        }
    }

    pub(super) fn set(&mut self, dn: &Dn, changes: &[AttributeChange]) {
        let Some(entry) = self.entries.get_mut(dn) else { return };
        changes.iter().flat_map(AttributeChange::modifications).for_each(|change| modify(entry, change));
    }

    pub(super) fn add_value(&mut self, dn: &Dn, name: &'static str, value: &str) {
        if let Some(entry) = self.entries.get_mut(dn) {
            entry.push(description(name), value.as_bytes().to_vec());
        }
    }
}

/// RFC 4511 §4.6, without its errors: a plan adds no value twice and deletes only held ones.
fn modify(entry: &mut Entry, change: Modification) {
    let mut values = entry.values(change.attribute.as_str()).to_vec();
    match change.op {
        ModOp::Replace => values = change.values,
        ModOp::Delete => values.retain(|value| !change.values.contains(value)),
        ModOp::Add => values.extend(change.values),
    }
    entry.set(change.attribute, values);
}
