//! Groups: entries of `groupOfNames` or `provostGroup` directly below the site's `ou=groups`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cow_map::MapKey;

/// A group of people. Nested groups are not expanded: a member that is not a person is ignored.
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
}

impl Group {
    /// Whether the entry with that DN digest is a member.
    pub(crate) fn has(&self, member: &MapKey) -> bool {
        self.members.binary_search(member).is_ok()
    }
}

/// Groups by name (lower case). Of two entries with one name, the one with the lower entryUUID is found.
#[derive(Clone, Default)]
pub(crate) struct Groups(BTreeMap<(Box<str>, MapKey), Arc<Group>>);

impl Groups {
    pub(crate) fn insert(&mut self, key: MapKey, group: Arc<Group>) {
        self.0.insert((lower(&group.name), key), group);
    }

    pub(crate) fn remove(&mut self, key: &MapKey, group: &Group) {
        self.0.remove(&(lower(&group.name), *key));
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Group>> {
        self.all_named(name).next()
    }

    /// Returns the groups of that name, in ascending order of their entryUUIDs.
    pub(crate) fn all_named(&self, name: &str) -> impl Iterator<Item = &Arc<Group>> {
        let name = lower(name);
        let from = (name.clone(), MapKey::default());
        self.0.range(from..).take_while(move |((found, _), _)| *found == name).map(|(_, group)| group)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.0.values()
    }
}

fn lower(name: &str) -> Box<str> {
    name.to_lowercase().into_boxed_str()
}
