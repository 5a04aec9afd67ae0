//! The present content of the directory, reduced to what planning needs.
//!
//! A million people and their addresses take about 400 MB: `people` and `addresses` keep them packed, and say where a
//! further attribute goes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use provost_client::{Directory, DirectoryError, LdapSearch, ReceivedEntry, Scope};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};
use tokio::task::JoinHandle;

use super::addresses::AddressTable;
use super::group_table::{CLASS_ATTRIBUTES, ClassTable, ENROLMENT, GroupNames, NAME_ATTRIBUTES};
use super::people::{DirectoryPerson, PeopleTable, SourceIdState};
use super::person_name::{PersonName, PersonNames};
use crate::naming::NameConflict;
use crate::tree;

/// The people and addresses of the directory, as far as planning needs them.
pub struct DirectoryContent {
    names: Arc<PersonNames>,
    pub(super) people: PeopleTable,
    /// The address entries.
    pub(super) addresses: AddressTable,
    /// The groups of classes.
    pub(super) classes: ClassTable,
    /// The names of all groups.
    pub(super) group_names: GroupNames,
    /// Addresses that have no entry and stand in the attributes of a person, in lower case, with the place of the
    /// person. Made when the first one is looked up: an import makes an entry for every address, so there are few.
    claims: OnceLock<HashMap<Box<str>, u32>>,
}

/// An address that somebody holds, with what its entry states.
pub(super) struct HeldAddress<'a> {
    /// The address in lower case.
    pub(super) address: Cow<'a, str>,
    /// Whether the address has an entry.
    pub(super) has_entry: bool,
}

impl DirectoryContent {
    /// Reads people, addresses and groups from the writable provider in concurrent searches.
    pub async fn read(directory: &Directory) -> Result<Self, DirectoryError> {
        let suffix = directory.suffix();
        let names = Arc::new(PersonNames::below(suffix.clone()));
        let search = all(tree::people(suffix), class::PROVOST_ACCOUNT, PeopleTable::attributes());
        let of_people = names.clone();
        let people = read_all(directory, search, move || PeopleTable::new(of_people.clone()));
        let search = all(tree::addresses(suffix), class::PROVOST_ADDRESS_ENTRY, AddressTable::attributes());
        let of_addresses = names.clone();
        let addresses = read_all(directory, search, move || AddressTable::new(of_addresses.clone()));
        let mut search = all(tree::groups(suffix), class::PROVOST_GROUP, NAME_ATTRIBUTES.to_vec());
        let group_names = read_all(directory, search.clone(), GroupNames::default);
        let of_class = Filter::equal(attr::PROVOST_GROUP_KIND, ENROLMENT);
        search.filter = Filter::And(vec![search.filter, of_class]);
        search.attributes = CLASS_ATTRIBUTES.map(str::to_owned).to_vec();
        let classes = read_all(directory, search, ClassTable::default);
        Ok(Self {
            people: people.found().await?.unwrap_or_else(|| PeopleTable::new(names.clone())),
            addresses: addresses.found().await?.unwrap_or_else(|| AddressTable::new(names.clone())),
            classes: classes.found().await?.unwrap_or_default(),
            group_names: group_names.found().await?.unwrap_or_default(),
            claims: OnceLock::new(),
            names,
        })
    }

    /// A directory without entries.
    pub(crate) fn empty(suffix: Dn) -> Self {
        let names = Arc::new(PersonNames::below(suffix));
        let (people, addresses) = (PeopleTable::new(names.clone()), AddressTable::new(names.clone()));
        Self {
            names,
            people,
            addresses,
            classes: ClassTable::default(),
            group_names: GroupNames::default(),
            claims: OnceLock::new(),
        }
    }

    pub(crate) fn add_person(&mut self, entry: &Entry) {
        self.claims = OnceLock::new();
        self.people.add(&entry.into());
    }

    pub(crate) fn add_address(&mut self, entry: &Entry) {
        self.claims = OnceLock::new();
        self.addresses.add(&entry.into());
    }

    /// Adds the group of a class.
    #[cfg(test)]
    pub(crate) fn add_class(&mut self, entry: &Entry) {
        self.group_names.extend([entry.into()]);
        self.classes.extend([entry.into()]);
    }

    pub(super) fn suffix(&self) -> &Dn {
        self.names.suffix()
    }

    /// The person known under the source id whose [`crate::source::person_key`] is `key`, else the one whose entry has
    /// the name that a new person with this id would get.
    pub(super) fn known(&self, key: &str, new_name: impl FnOnce() -> PersonName) -> SourceIdState<'_> {
        match self.people.known(key) {
            SourceIdState::Nobody => self.people.named(&new_name()).map_or(SourceIdState::Nobody, SourceIdState::One),
            known => known,
        }
    }

    /// The name of the person's entry with this DN.
    pub(super) fn name_of(&self, dn: &Dn) -> PersonName {
        self.names.of_dn(dn)
    }

    /// The DN of a person's entry.
    pub(super) fn dn(&self, name: &PersonName) -> Dn {
        self.names.dn(name)
    }

    /// Why an address, in lower case, is not free; `None` when it is.
    pub(super) fn holder(&self, address: &str) -> Option<NameConflict> {
        let shown = |person: Option<DirectoryPerson<'_>>| {
            let shown = person.and_then(|person| person.attribute(attr::DISPLAY_NAME).or(person.mail()));
            NameConflict::Held(shown.unwrap_or("somebody else").to_owned())
        };
        match self.addresses.find(address) {
            Some((entry, _)) if entry.is_quarantined() => Some(NameConflict::Quarantined),
            Some((_, owner)) => Some(shown(owner.and_then(|owner| self.people.named(owner)))),
            None => self.claims().get(address).map(|place| shown(self.people.at(*place))),
        }
    }

    /// Whether an address, in lower case, is free or is already that of the entry `owner`.
    pub(super) fn is_free_for(&self, address: &str, owner: &Dn) -> bool {
        match self.addresses.find(address) {
            Some((entry, _)) if entry.is_quarantined() => false,
            Some((_, held)) => held.is_some_and(|held| self.names.dn(held) == *owner),
            None => !self.claims().contains_key(address),
        }
    }

    /// The addresses of the person with this name: those whose address entry names them as owner, and those without
    /// an address entry that are in the person's attributes. The person's entry may be missing: an import may have
    /// stopped between address and person.
    pub(super) fn held_by(&self, name: &PersonName) -> Vec<HeldAddress<'_>> {
        let entries = self.addresses.of_owner(name);
        let with_entry = entries.map(|held| HeldAddress { address: held.address.into(), has_entry: true });
        let person = self.people.named(name);
        let claimed = person.into_iter().flat_map(|person| self.claimed_by(person));
        with_entry.chain(claimed.map(|address| HeldAddress { address: address.into(), has_entry: false })).collect()
    }

    fn claimed_by(&self, person: DirectoryPerson<'_>) -> impl Iterator<Item = String> {
        let claims = self.claims();
        person.addresses().into_iter().filter(move |address| claims.get(&**address) == Some(&person.place))
    }

    fn claims(&self) -> &HashMap<Box<str>, u32> {
        self.claims.get_or_init(|| {
            let mut claims = HashMap::new();
            for person in self.people.iter() {
                let addresses = person.addresses().into_iter().filter(|address| !self.addresses.contains(address));
                claims.extend(addresses.map(|address| (address.into_boxed_str(), person.place)));
            }
            claims
        })
    }
}

/// The search for all entries of a class below `base`.
fn all(base: Dn, class: &'static str, attributes: Vec<&'static str>) -> LdapSearch {
    LdapSearch {
        base,
        scope: Scope::One,
        filter: Filter::equal(attr::OBJECT_CLASS, class),
        attributes: attributes.into_iter().map(str::to_owned).collect(),
        limit: None,
    }
}

/// Starts a search whose entries are packed as they arrive: as they arrived, they would take ten times the memory.
fn read_all<C: Extend<ReceivedEntry> + Send + 'static>(
    directory: &Directory,
    search: LdapSearch,
    begin: impl Fn() -> C + Send + Sync + 'static,
) -> Reading<C> {
    let directory = directory.clone();
    Reading(tokio::spawn(async move { directory.collect_received(search, begin).await }))
}

/// A search in progress; dropping it ends the search.
struct Reading<C>(JoinHandle<Result<C, DirectoryError>>);

impl<C> Drop for Reading<C> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<C> Reading<C> {
    /// Waits for the end of the search. `None` when the container is absent, and holds nothing: the first start of the
    /// server creates the tree.
    async fn found(mut self) -> Result<Option<C>, DirectoryError> {
        match (&mut self.0).await {
            Ok(Ok(read)) => Ok(Some(read)),
            Ok(Err(DirectoryError::NoSuchObject(_))) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(stopped) => Err(DirectoryError::Unavailable(format!("reading was stopped: {stopped}"))),
        }
    }
}
