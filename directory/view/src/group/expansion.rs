//! Expands a list into its recipients, and answers who is a member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::{Address, MemberFilter, OWNER_SUFFIX};
use uuid::Uuid;

use super::Group;
use crate::cow_map::MapKey;
use crate::snapshot::{Lookup, ViewRecord, dn_key};
use crate::{Person, Snapshot};

/// Maximum number of groups that one expansion visits, nested ones included. A list that needs more is refused.
pub const GROUPS_VISITED_MAX: usize = 256;

/// What an address of a list reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListPart {
    /// The members, if the sender may post.
    Members,
    /// The owners: `LIST-owner@`, to which reports about undeliverable copies go.
    Owners,
}

/// An address that reaches a list or its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAddress {
    /// The address of the list itself, also when the one looked up is that of its owners.
    pub address: Address,
    /// The group whose members or owners are reached.
    pub group: Arc<Group>,
    /// Whom the address that was looked up reaches.
    pub part: ListPart,
    /// From when on the list takes no more mail: the end of the group or of its address, whichever is earlier.
    pub until: Option<Timestamp>,
}

impl ListAddress {
    /// The address of the owners. `None` when the list's local part is too long for it.
    pub fn owners(&self) -> Option<Address> {
        Address::from_parts(&format!("{}{OWNER_SUFFIX}", self.address.local()), self.address.domain()).ok()
    }
}

/// The recipients of a list, each once.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// People of the site who receive mail, by entryUUID.
    pub people: BTreeMap<Uuid, Arc<Person>>,
    /// Addresses outside the site, which groups list as members.
    pub elsewhere: BTreeSet<Address>,
    /// Number of groups visited.
    pub groups: usize,
}

impl Expansion {
    /// Number of recipients.
    pub fn len(&self) -> usize {
        self.people.len() + self.elsewhere.len()
    }

    /// Whether the list reaches nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a list is not expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpansionFault {
    /// It has more recipients than this bound.
    TooManyRecipients(usize),
    /// It leads to more than [`GROUPS_VISITED_MAX`] groups.
    TooManyGroups,
}

impl Snapshot {
    /// Returns the list that `address` reaches at `now`; `None` when it is no address of a list. A list that has ended is
    /// returned too.
    pub fn list(&self, address: &Address) -> Option<ListAddress> {
        if let Some(list) = self.list_at(address) {
            return Some(list);
        }
        // An entry of its own would have been found: the suffix only means something where nobody has the address.
        if !matches!(self.look_up(address, Timestamp::now()), Lookup::Absent) {
            return None;
        }
        let local = address.local().strip_suffix(OWNER_SUFFIX)?;
        let of_list = Address::from_parts(local, address.domain()).ok()?;
        self.list_at(&of_list).map(|list| ListAddress { part: ListPart::Owners, ..list })
    }

    fn list_at(&self, address: &Address) -> Option<ListAddress> {
        let record = self.list_record(address)?;
        let group = self.group_by_dn(&record.owner?)?;
        let until = [record.until, group.until].into_iter().flatten().min();
        Some(ListAddress { address: address.clone(), group: Arc::clone(group), part: ListPart::Members, until })
    }

    /// The owners of a group who are in the snapshot and receive mail.
    pub fn owners(&self, group: &Group) -> Vec<Arc<Person>> {
        let owners = group.owners.iter().filter_map(|owner| self.person_by_dn(owner));
        owners.filter(|person| person.receives()).collect()
    }

    /// Whether the person is an owner of the group.
    pub fn is_owner(&self, person: &Person, group: &Group) -> bool {
        dn_key(&person.dn).is_some_and(|key| group.has_owner(&key))
    }

    /// Whether the person is a member of the group: by their entry, an address, the filter, or a group within. Groups
    /// beyond [`GROUPS_VISITED_MAX`] are not looked into.
    pub fn reaches(&self, group: &Arc<Group>, person: &Person) -> bool {
        let Some(key) = dn_key(&person.dn) else { return false };
        let mut walk = GroupWalk::from(group);
        while let Some(group) = walk.next() {
            if group.has(&key) || self.matches(&group, person.entry_uuid) {
                return true;
            }
            for address in &group.addresses {
                match self.look_up(address, Timestamp::now()) {
                    Lookup::Person(found, _) if found.entry_uuid == person.entry_uuid => return true,
                    Lookup::List(nested) => walk.add(&nested),
                    _ => {}
                }
            }
            self.nested(&group, &mut walk);
        }
        false
    }

    /// Returns the recipients of a list at `now`, groups within included: each group is visited once, so a group that
    /// contains itself is no loop. People who receive no mail are left out, as are groups that have ended.
    pub fn expand(&self, group: &Arc<Group>, now: Timestamp, most: usize) -> Result<Expansion, ExpansionFault> {
        let (mut expansion, mut walk) = (Expansion::default(), GroupWalk::from(group));
        while let Some(group) = walk.next() {
            expansion.groups += 1;
            if expansion.groups > GROUPS_VISITED_MAX {
                return Err(ExpansionFault::TooManyGroups);
            }
            self.add_members(&group, now, &mut expansion, &mut walk);
            if expansion.len() > most {
                return Err(ExpansionFault::TooManyRecipients(most));
            }
        }
        Ok(expansion)
    }

    fn add_members(&self, group: &Group, now: Timestamp, expansion: &mut Expansion, walk: &mut GroupWalk) {
        if group.has_ended(now) {
            return;
        }
        let mut add = |person: Arc<Person>| {
            if person.receives() {
                expansion.people.insert(person.entry_uuid, person);
            }
        };
        group.members.iter().filter_map(|member| self.person_by_dn(member)).for_each(&mut add);
        if let Some(filter) = valid_filter(group) {
            self.people_matching(&filter).for_each(&mut add);
        }
        for address in &group.addresses {
            match self.look_up(address, now) {
                Lookup::Person(person, _) => add(person),
                Lookup::List(nested) => walk.add(&nested),
                Lookup::Absent if !self.serves(address.domain()) => drop(expansion.elsewhere.insert(address.clone())),
                Lookup::Absent | Lookup::Orphan | Lookup::Quarantined => {}
            }
        }
        self.nested(group, walk);
    }

    fn nested(&self, group: &Group, walk: &mut GroupWalk) {
        group.members.iter().filter_map(|member| self.group_by_dn(member)).for_each(|nested| walk.add(nested));
    }

    fn matches(&self, group: &Group, entry_uuid: Uuid) -> bool {
        let Some(ViewRecord::Person(record)) = self.record(entry_uuid) else { return false };
        valid_filter(group).is_some_and(|filter| filter.matches(&record.facets))
    }

    /// The people whom a filter matches.
    pub(crate) fn people_matching(&self, filter: &MemberFilter) -> impl Iterator<Item = Arc<Person>> {
        self.records().filter_map(|(_, record)| match record {
            ViewRecord::Person(record) if filter.matches(&record.facets) => Some(Arc::clone(&record.person)),
            _ => None,
        })
    }
}

/// A filter that is not valid matches nobody: mail to the wrong people cannot be taken back.
fn valid_filter(group: &Group) -> Option<MemberFilter> {
    MemberFilter::parse(group.filter.as_deref()?).ok()
}

/// The groups to visit, each once.
struct GroupWalk {
    waiting: Vec<Arc<Group>>,
    seen: BTreeSet<MapKey>,
}

impl GroupWalk {
    fn from(group: &Arc<Group>) -> Self {
        Self { waiting: vec![Arc::clone(group)], seen: BTreeSet::from([*group.entry_uuid.as_bytes()]) }
    }

    /// Adds a group that was not added before. The bound keeps the walk short; [`Snapshot::expand`] reports it.
    fn add(&mut self, group: &Arc<Group>) {
        if self.seen.len() <= GROUPS_VISITED_MAX && self.seen.insert(*group.entry_uuid.as_bytes()) {
            self.waiting.push(Arc::clone(group));
        }
    }

    fn next(&mut self) -> Option<Arc<Group>> {
        self.waiting.pop()
    }
}

#[cfg(test)]
#[path = "expansion_tests.rs"]
mod tests;
