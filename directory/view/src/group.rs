//! Groups: entries of `groupOfNames` or `provostGroup` directly below the site's `ou=groups`.
//!
//! A group with an address of the kind `list` is a mailing list. Its members are entries (people and other groups),
//! addresses, and the people who match its filter. The filter is evaluated when it is needed: a change of a person
//! changes all such groups at once, and costs a publish nothing.

mod expansion;
mod mapping;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::{Address, Poster};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cow_map::MapKey;

pub use expansion::{Expansion, ExpansionFault, GROUPS_VISITED_MAX, ListAddress, ListPart};
pub(crate) use mapping::group_of_entry;

/// A group: its members and what it does as a mailing list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The entryUUID of the entry, never reused.
    pub entry_uuid: Uuid,
    /// The `cn` of the entry.
    pub name: Box<str>,
    /// The DN of the entry.
    pub dn: Box<str>,
    /// Digests of the members' DNs, in ascending order. A member's entry may arrive later than its group.
    pub(crate) members: Box<[MapKey]>,
    /// Digests of the owners' DNs, in ascending order.
    pub(crate) owners: Box<[MapKey]>,
    /// Members by address (`provostTarget`), in ascending order: of this site or elsewhere.
    pub addresses: Box<[Address]>,
    /// Who else is a member (`provostFilter`): the text of a [`MemberFilter`](provost_entry::MemberFilter). One that is not valid matches nobody.
    pub filter: Option<Box<str>>,
    /// Who may send to the list, besides its owners.
    pub posters: Box<[Poster]>,
    /// Largest message that the list takes, octets; `None` for that of the site.
    pub message_octets_max: Option<u64>,
    /// From when on the list takes no more mail; `None` for no end.
    #[serde(with = "jiff::fmt::serde::timestamp::second::optional")]
    pub until: Option<Timestamp>,
}

impl Group {
    /// Whether the entry with that DN digest is a direct member.
    pub(crate) fn has(&self, member: &MapKey) -> bool {
        self.members.binary_search(member).is_ok()
    }

    /// Whether the entry with that DN digest is an owner.
    pub(crate) fn has_owner(&self, owner: &MapKey) -> bool {
        self.owners.binary_search(owner).is_ok()
    }

    /// Whether the list takes no more mail at `now`.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// A group of these members, and nothing else.
    pub(crate) fn of_members(entry_uuid: Uuid, name: Box<str>, dn: Box<str>, members: Box<[MapKey]>) -> Self {
        Self {
            entry_uuid,
            name,
            dn,
            members,
            owners: Box::default(),
            addresses: Box::default(),
            filter: None,
            posters: Box::default(),
            message_octets_max: None,
            until: None,
        }
    }
}

/// Groups by name (lower case) and by DN. Of two entries with one name, the one with the lower entryUUID is found.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    by_name: BTreeMap<(Box<str>, MapKey), Arc<Group>>,
    /// Keys of `by_name` by the digest of the DN.
    by_dn: BTreeMap<(MapKey, MapKey), Arc<Group>>,
}

impl Groups {
    pub(crate) fn insert(&mut self, key: MapKey, group: Arc<Group>) {
        if let Some(dn) = crate::snapshot::dn_key(&group.dn) {
            self.by_dn.insert((dn, key), Arc::clone(&group));
        }
        self.by_name.insert((lower(&group.name), key), group);
    }

    pub(crate) fn remove(&mut self, key: &MapKey, group: &Group) {
        if let Some(dn) = crate::snapshot::dn_key(&group.dn) {
            self.by_dn.remove(&(dn, *key));
        }
        self.by_name.remove(&(lower(&group.name), *key));
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Group>> {
        self.all_named(name).next()
    }

    /// Returns the group whose DN has this digest.
    pub(crate) fn by_dn(&self, dn: &MapKey) -> Option<&Arc<Group>> {
        let from = (*dn, MapKey::default());
        self.by_dn.range(from..).next().filter(|((found, _), _)| found == dn).map(|(_, group)| group)
    }

    /// Returns the groups of that name, in ascending order of their entryUUIDs.
    pub(crate) fn all_named(&self, name: &str) -> impl Iterator<Item = &Arc<Group>> {
        let name = lower(name);
        let from = (name.clone(), MapKey::default());
        self.by_name.range(from..).take_while(move |((found, _), _)| *found == name).map(|(_, group)| group)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.by_name.values()
    }
}

fn lower(name: &str) -> Box<str> {
    name.to_lowercase().into_boxed_str()
}
