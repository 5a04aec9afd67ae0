//! The directory in memory, with indexes by name and by value.
//!
//! Its content is always on disk: the committer applies a change only after the change's transaction is synced.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use provost_entry::{Dn, Filter};
use provost_schema::attr;
use uuid::Uuid;

use crate::catalogue::{Catalogue, TypeId};
use crate::csn::{ContextCsn, Csn};
use crate::names::NameTables;
use crate::record::{EncodedEntry, EntryDraft};

/// The number of an entry's place in memory, and of its row on disk.
pub(crate) type EntryNumber = u32;
/// The parent number of the suffix entry, which has no parent.
pub(crate) const NO_PLACE: EntryNumber = EntryNumber::MAX;
/// Maximum number of places, about four times the entries that `client` reads in one search. That many empty places
/// take 400 MB. Place numbers begin at 0: a file with a number from `PLACES_MAX` on is damaged.
pub(crate) const PLACES_MAX: EntryNumber = 1 << 24;
/// Deletions kept for returning consumers. A consumer that missed more needs the present phase (RFC 4533 §3.3.2).
pub(crate) const DELETIONS_MAX: usize = 65_536;

#[derive(Debug)]
struct TreeSlot {
    parent: EntryNumber,
    children: u32,
    record: EncodedEntry,
}

/// Attribute types that the server treats differently from others. Values of secrets are not visible to
/// every identity. Values of all other types listed here are derived and not stored as attributes (see [`Tree::synthesise`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpecialTypes {
    pub(crate) object_class: TypeId,
    pub(crate) entry_uuid: TypeId,
    pub(crate) entry_csn: TypeId,
    pub(crate) creators_name: TypeId,
    pub(crate) modifiers_name: TypeId,
    pub(crate) create_timestamp: TypeId,
    pub(crate) modify_timestamp: TypeId,
    pub(crate) structural: TypeId,
    pub(crate) subschema: TypeId,
    pub(crate) has_subordinates: TypeId,
    pub(crate) context_csn: TypeId,
    pub(crate) user_password: TypeId,
    secrets: [TypeId; attr::SECRETS.len()],
}

impl SpecialTypes {
    fn of(catalogue: &Catalogue) -> Option<Self> {
        let id = |name| catalogue.type_id(name);
        Some(Self {
            object_class: id(attr::OBJECT_CLASS)?,
            entry_uuid: id(attr::ENTRY_UUID)?,
            entry_csn: id(attr::ENTRY_CSN)?,
            creators_name: id(attr::CREATORS_NAME)?,
            modifiers_name: id(attr::MODIFIERS_NAME)?,
            create_timestamp: id(attr::CREATE_TIMESTAMP)?,
            modify_timestamp: id(attr::MODIFY_TIMESTAMP)?,
            structural: id(attr::STRUCTURAL_OBJECT_CLASS)?,
            subschema: id(attr::SUBSCHEMA_SUBENTRY)?,
            has_subordinates: id(attr::HAS_SUBORDINATES)?,
            context_csn: id(attr::CONTEXT_CSN)?,
            user_password: id(attr::USER_PASSWORD)?,
            secrets: {
                let [password, history, activation, scram] = attr::SECRETS;
                [id(password)?, id(history)?, id(activation)?, id(scram)?]
            },
        })
    }

    /// Whether values of the type are secrets, which few identities may read.
    pub(crate) fn is_secret(&self, type_id: TypeId) -> bool {
        self.secrets.contains(&type_id)
    }

    /// Returns the operational types, in the order of a search result.
    pub(crate) fn operational(&self) -> [TypeId; 10] {
        [
            self.structural,
            self.entry_uuid,
            self.creators_name,
            self.create_timestamp,
            self.entry_csn,
            self.modifiers_name,
            self.modify_timestamp,
            self.subschema,
            self.has_subordinates,
            self.context_csn,
        ]
    }
}

/// The DN of the subschema entry.
pub(crate) const SUBSCHEMA_DN: &str = "cn=subschema";

/// A map from a hash to the places of the entries that may have the hashed name or value. Nearly every hash has a
/// single place, which is in `first`; further places are in `more`. Hashes collide, so callers check each entry.
#[derive(Debug, Default)]
struct HashIndex {
    first: HashMap<u32, EntryNumber>,
    more: HashMap<u32, Vec<EntryNumber>>,
}

impl HashIndex {
    fn insert(&mut self, key: u32, place: EntryNumber) {
        match self.first.get(&key) {
            None => _ = self.first.insert(key, place),
            Some(there) if *there == place => {}
            Some(_) => {
                let more = self.more.entry(key).or_default();
                if !more.contains(&place) {
                    more.push(place);
                }
            }
        }
    }

    fn remove(&mut self, key: u32, place: EntryNumber) {
        if let Some(more) = self.more.get_mut(&key) {
            more.retain(|there| *there != place);
            if self.first.get(&key) == Some(&place) {
                match more.pop() {
                    Some(next) => _ = self.first.insert(key, next),
                    None => _ = self.first.remove(&key),
                }
            }
            if more.is_empty() {
                self.more.remove(&key);
            }
        } else if self.first.get(&key) == Some(&place) {
            self.first.remove(&key);
        }
    }

    fn get(&self, key: u32) -> impl Iterator<Item = EntryNumber> {
        let more = self.more.get(&key).map(Vec::as_slice).unwrap_or_default();
        self.first.get(&key).copied().into_iter().chain(more.iter().copied())
    }
}

/// Maximum number of children that are listed of one entry: containers of policies and the like have fewer, those of
/// people and addresses more.
const CHILDREN_LISTED_MAX: usize = 4096;

/// The children of the entries that have few, so that a search among them does not go through the whole directory.
#[derive(Debug, Default)]
struct ChildLists {
    /// The children of each parent; `None` for a parent that has, or once had, too many.
    lists: HashMap<EntryNumber, Option<Vec<EntryNumber>>>,
}

impl ChildLists {
    fn insert(&mut self, parent: EntryNumber, child: EntryNumber) {
        let list = self.lists.entry(parent).or_insert_with(|| Some(Vec::new()));
        match list {
            Some(children) if children.len() < CHILDREN_LISTED_MAX => children.push(child),
            _ => *list = None,
        }
    }

    fn remove(&mut self, parent: EntryNumber, child: EntryNumber) {
        let Some(list) = self.lists.get_mut(&parent) else { return };
        if let Some(children) = list {
            children.retain(|there| *there != child);
            if children.is_empty() {
                self.lists.remove(&parent);
            }
        }
    }

    /// The children of an entry; `None` when they are too many.
    fn get(&self, parent: EntryNumber) -> Option<Vec<EntryNumber>> {
        match self.lists.get(&parent) {
            Some(list) => list.clone(),
            None => Some(Vec::new()),
        }
    }
}

/// An entry at some moment, with all that filters and results need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntrySnapshot<'a> {
    pub(crate) parent: EntryNumber,
    /// The number of immediate subordinates.
    pub(crate) children: u32,
    pub(crate) record: &'a EncodedEntry,
}

/// One change of the entry at one place.
#[derive(Clone, Debug)]
pub(crate) struct TreeChange {
    pub(crate) place: EntryNumber,
    pub(crate) csn: Csn,
    pub(crate) uuid: Uuid,
    /// Parent and record before; `None` for an add.
    pub(crate) before: Option<(EntryNumber, EncodedEntry)>,
    /// Parent and record after; `None` for a delete.
    pub(crate) after: Option<(EntryNumber, EncodedEntry)>,
}

/// The position of an entry at one moment. Its ancestors may be renamed or deleted later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreePosition {
    pub(crate) dn: String,
    /// The places of its ancestors, the parent first.
    pub(crate) ancestors: Vec<EntryNumber>,
}

/// The whole directory in memory.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) names: NameTables,
    pub(crate) suffix: Dn,
    pub(crate) special: SpecialTypes,
    /// The newest CSN of each server (contextCSN).
    pub(crate) context: ContextCsn,
    /// Deletions since `floor`, oldest first.
    pub(crate) deletions: VecDeque<(Csn, Uuid)>,
    /// The state after which the log of deletions begins. A consumer whose cookie does not cover it cannot use the log.
    pub(crate) floor: ContextCsn,
    slots: Vec<TreeSlot>,
    free: Vec<EntryNumber>,
    by_name: HashIndex,
    by_value: HashIndex,
    children: ChildLists,
    hasher: RandomState,
}

impl Tree {
    /// Makes an empty tree. `None` when the schema lacks one of [`SpecialTypes`]; every test that makes a tree would
    /// then fail.
    pub(crate) fn new(catalogue: Arc<Catalogue>, suffix: Dn) -> Option<Self> {
        Some(Self {
            special: SpecialTypes::of(&catalogue)?,
            catalogue,
            names: NameTables::default(),
            suffix,
            context: ContextCsn::default(),
            deletions: VecDeque::new(),
            floor: ContextCsn::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashIndex::default(),
            by_value: HashIndex::default(),
            children: ChildLists::default(),
            hasher: RandomState::new(),
        })
    }

    /// Returns the number of places, free ones included.
    pub(crate) fn place_count(&self) -> EntryNumber {
        self.slots.len() as EntryNumber
    }

    /// Returns the number of entries.
    pub(crate) fn entries(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Reserves a place for a new entry.
    pub(crate) fn allocate(&mut self) -> EntryNumber {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(TreeSlot { parent: NO_PLACE, children: 0, record: EncodedEntry::default() });
            self.slots.len() as EntryNumber - 1
        })
    }

    /// Releases a place whose entry was never committed.
    pub(crate) fn release(&mut self, place: EntryNumber) {
        self.free.push(place);
    }

    /// Adds empty places up to and including `place`, for rows that are loaded next.
    pub(crate) fn grow_to(&mut self, place: EntryNumber) {
        while self.slots.len() <= place as usize {
            self.slots.push(TreeSlot { parent: NO_PLACE, children: 0, record: EncodedEntry::default() });
        }
    }

    /// Collects the free places, after loading.
    pub(crate) fn collect_free(&mut self) {
        let empty = (0..).zip(&self.slots).filter(|(_, slot)| slot.record.head().is_none());
        self.free = empty.map(|(place, _)| place).collect();
    }

    /// Returns an entry that is an ancestor of itself. Only a damaged file has one, and every walk to the suffix from
    /// there would go on for ever.
    pub(crate) fn find_cycle(&self) -> Option<EntryNumber> {
        // For each place, the number of the walk that first came there; 0 for none.
        let mut walks = vec![0_u32; self.slots.len()];
        for (walk, start) in (1..).zip(0..self.place_count()) {
            let mut at = start;
            while let Some(slot) = self.slot(at) {
                match walks.get_mut(at as usize) {
                    Some(first) if *first == walk => return Some(at),
                    Some(first) if *first == 0 => *first = walk,
                    _ => break,
                }
                at = slot.parent;
            }
        }
        None
    }

    fn slot(&self, place: EntryNumber) -> Option<&TreeSlot> {
        self.slots.get(place as usize).filter(|slot| !slot.record.octets().is_empty())
    }

    /// Returns the entry at a place.
    pub(crate) fn snapshot(&self, place: EntryNumber) -> Option<EntrySnapshot<'_>> {
        self.slot(place).map(|s| EntrySnapshot { parent: s.parent, children: s.children, record: &s.record })
    }

    fn hash(&self, kind: u32, key: &[u8]) -> u32 {
        self.hasher.hash_one((kind, key)) as u32
    }

    fn name_key(&self, parent: EntryNumber, rdn: &str) -> u32 {
        let normalised = Dn::parse(rdn).map(|dn| dn.normalised().to_owned()).unwrap_or_default();
        self.normal_name_key(parent, &normalised)
    }

    fn normal_name_key(&self, parent: EntryNumber, normalised: &str) -> u32 {
        self.hash(parent, normalised.as_bytes())
    }

    /// Returns the child of `parent` with this normalised RDN.
    fn child(&self, parent: EntryNumber, normalised: &str) -> Option<EntryNumber> {
        self.by_name.get(self.normal_name_key(parent, normalised)).find(|place| {
            self.slot(*place).is_some_and(|slot| {
                slot.parent == parent && Dn::parse(slot.record.rdn()).is_ok_and(|rdn| rdn.normalised() == normalised)
            })
        })
    }

    /// Returns the entry with this name.
    pub(crate) fn find(&self, dn: &Dn) -> Option<EntryNumber> {
        self.nearest(dn).filter(|(_, missing)| *missing == 0).map(|(place, _)| place)
    }

    /// Returns the entry with this name and 0, or its nearest existing ancestor and the number of RDNs below that
    /// ancestor. `None` outside the suffix, and while the suffix entry is missing.
    pub(crate) fn nearest(&self, dn: &Dn) -> Option<(EntryNumber, usize)> {
        if !dn.is_within(&self.suffix) {
            return None;
        }
        let mut at = self.child(NO_PLACE, self.suffix.normalised())?;
        let below_suffix = dn.normalised().strip_suffix(self.suffix.normalised())?;
        // Strips one comma only: a comma before it is escaped and ends a value.
        let below_suffix = below_suffix.strip_suffix(',').unwrap_or(below_suffix);
        let rdns = if below_suffix.is_empty() { Vec::new() } else { split_normalised(below_suffix) };
        for (depth, rdn) in rdns.iter().rev().enumerate() {
            match self.child(at, rdn) {
                Some(place) => at = place,
                None => return Some((at, rdns.len() - depth)),
            }
        }
        Some((at, 0))
    }

    /// Returns the DN of an entry as text.
    pub(crate) fn dn(&self, place: EntryNumber) -> String {
        self.slot(place).map(|slot| self.dn_of(slot.parent, &slot.record)).unwrap_or_default()
    }

    /// Returns the DN of a record below `parent`.
    pub(crate) fn dn_of(&self, parent: EntryNumber, record: &EncodedEntry) -> String {
        let mut text = record.rdn().to_owned();
        let mut at = parent;
        while let Some(slot) = self.slot(at) {
            text.push(',');
            text.push_str(slot.record.rdn());
            at = slot.parent;
        }
        text
    }

    /// Whether `place` is `ancestor` or below it.
    pub(crate) fn is_within(&self, place: EntryNumber, ancestor: EntryNumber) -> bool {
        let mut at = place;
        while at != ancestor {
            match self.slot(at) {
                Some(slot) => at = slot.parent,
                None => return false,
            }
        }
        true
    }

    /// Returns all subordinates of an entry with their depth, parents before children.
    pub(crate) fn subordinates(&self, ancestor: EntryNumber) -> Vec<(usize, EntryNumber)> {
        let depth_and_place = |place: EntryNumber| {
            let ancestors = self.snapshot(place).map(|snapshot| self.with_ancestors(snapshot.parent));
            ancestors?.iter().position(|at| *at == ancestor).map(|at| (at + 1, place))
        };
        let mut found: Vec<(usize, EntryNumber)> = (0..self.place_count()).filter_map(depth_and_place).collect();
        found.sort_unstable();
        found
    }

    /// Returns `place` and its ancestors, the nearest first.
    fn with_ancestors(&self, place: EntryNumber) -> Vec<EntryNumber> {
        let mut places = Vec::new();
        let mut at = place;
        while let Some(slot) = self.slot(at) {
            places.push(at);
            at = slot.parent;
        }
        places
    }

    /// Returns the position of a record below `parent`, in the present tree.
    pub(crate) fn position(&self, parent: EntryNumber, record: &EncodedEntry) -> TreePosition {
        TreePosition { dn: self.dn_of(parent, record), ancestors: self.with_ancestors(parent) }
    }

    /// Returns the hash keys of all indexed values of a record.
    fn value_keys(&self, record: &EncodedEntry) -> Vec<u32> {
        let mut keys = Vec::new();
        if let Some(head) = record.head() {
            keys.push(self.hash(u32::from(self.special.entry_uuid), head.uuid.to_string().as_bytes()));
        }
        for (name, values) in record.attributes() {
            let Some(description) = self.names.description(name) else { continue };
            if !self.catalogue.type_of(description.type_id).indexed {
                continue;
            }
            let normalised = values.filter_map(|value| self.catalogue.normalise(description.type_id, value));
            keys.extend(normalised.map(|value| self.hash(u32::from(description.type_id), &value)));
        }
        keys
    }

    /// Stores a row from the disk, or a committed one, at its place.
    pub(crate) fn insert(&mut self, place: EntryNumber, parent: EntryNumber, record: EncodedEntry) {
        self.clear_place(place);
        let name_key = self.name_key(parent, record.rdn());
        self.by_name.insert(name_key, place);
        for key in self.value_keys(&record) {
            self.by_value.insert(key, place);
        }
        self.children.insert(parent, place);
        if let Some(parent) = self.slots.get_mut(parent as usize) {
            parent.children += 1;
        }
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.parent = parent;
            slot.record = record;
        }
    }

    /// Empties a place and removes its index entries.
    fn clear_place(&mut self, place: EntryNumber) {
        let Some(slot) = self.slots.get_mut(place as usize) else { return };
        let record = std::mem::take(&mut slot.record);
        if record.octets().is_empty() {
            return;
        }
        let parent = slot.parent;
        let name_key = self.name_key(parent, record.rdn());
        self.by_name.remove(name_key, place);
        for key in self.value_keys(&record) {
            self.by_value.remove(key, place);
        }
        self.children.remove(parent, place);
        if let Some(parent) = self.slots.get_mut(parent as usize) {
            parent.children = parent.children.saturating_sub(1);
        }
    }

    /// Makes a committed change visible.
    pub(crate) fn apply(&mut self, change: &TreeChange) {
        match &change.after {
            Some((parent, record)) => self.insert(change.place, *parent, record.clone()),
            None => {
                self.clear_place(change.place);
                self.free.push(change.place);
                self.note_deletion(change.csn, change.uuid);
            }
        }
        self.context.advance(change.csn);
    }

    /// Records a deletion; beyond the bound, the oldest one is dropped.
    pub(crate) fn note_deletion(&mut self, csn: Csn, uuid: Uuid) {
        self.deletions.push_back((csn, uuid));
        while self.deletions.len() > DELETIONS_MAX {
            if let Some((csn, _)) = self.deletions.pop_front() {
                self.floor.advance(csn);
            }
        }
    }

    /// Returns the places of the children of an entry, in order; `None` when they are too many to be listed.
    pub(crate) fn children(&self, parent: EntryNumber) -> Option<Vec<EntryNumber>> {
        let mut places = self.children.get(parent)?;
        places.sort_unstable();
        Some(places)
    }

    /// Returns the places that may match, in order; `None` when every place must be examined.
    pub(crate) fn candidates(&self, filter: &Filter) -> Option<Vec<EntryNumber>> {
        let mut places = self.unsorted_candidates(filter)?;
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    fn unsorted_candidates(&self, filter: &Filter) -> Option<Vec<EntryNumber>> {
        match filter {
            // An Undefined item selects no entry. A `Not` around it is never answered from an index.
            Filter::Undefined => Some(Vec::new()),
            Filter::Equal(name, value) => {
                let type_id = self.catalogue.type_id(name.attribute_type())?;
                if !self.catalogue.type_of(type_id).indexed {
                    return None;
                }
                let Some(value) = self.catalogue.assertion(type_id, value) else { return Some(Vec::new()) };
                Some(self.by_value.get(self.hash(u32::from(type_id), &value)).collect())
            }
            Filter::And(parts) => parts.iter().filter_map(|part| self.unsorted_candidates(part)).min_by_key(Vec::len),
            Filter::Or(parts) => {
                let lists = parts.iter().map(|part| self.unsorted_candidates(part)).collect::<Option<Vec<_>>>()?;
                Some(lists.into_iter().flatten().collect())
            }
            _ => None,
        }
    }

    /// Returns the values of an operational attribute or of objectClass. They come from the entry's head and its place
    /// in the tree; those of contextCSN come from the tree.
    pub(crate) fn synthesise(&self, snapshot: EntrySnapshot<'_>, type_id: TypeId) -> Vec<Vec<u8>> {
        let Some(head) = snapshot.record.head() else { return Vec::new() };
        let s = &self.special;
        let one = |text: String| vec![text.into_bytes()];
        let class_name = |id| self.catalogue.class(id).map(|class| class.name.clone().into_bytes());
        match type_id {
            id if id == s.object_class => {
                let listed = self.names.classes(head.classes).map(|list| list.listed.as_slice()).unwrap_or_default();
                listed.iter().filter_map(|id| class_name(*id)).collect()
            }
            id if id == s.entry_uuid => one(head.uuid.to_string()),
            id if id == s.entry_csn => one(head.csn.to_string()),
            id if id == s.creators_name => one(self.names.identity(head.creator).to_owned()),
            id if id == s.modifiers_name => one(self.names.identity(head.modifier).to_owned()),
            id if id == s.create_timestamp => one(provost_entry::time::format_generalized(head.created())),
            id if id == s.modify_timestamp => one(provost_entry::time::format_generalized(head.csn.time())),
            id if id == s.structural => class_name(head.structural).into_iter().collect(),
            id if id == s.subschema => one(SUBSCHEMA_DN.to_owned()),
            id if id == s.has_subordinates => one(if snapshot.children > 0 { "TRUE" } else { "FALSE" }.to_owned()),
            id if id == s.context_csn && snapshot.parent == NO_PLACE => {
                self.context.csns().map(|csn| csn.to_string().into_bytes()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the values of a stored attribute for the server's own use, without those under options: a change of
    /// userPassword leaves a value under an option in place, and that old password must not remain valid.
    pub(crate) fn values(&self, place: EntryNumber, name: &str) -> Vec<Vec<u8>> {
        let (Some(snapshot), Some(type_id)) = (self.snapshot(place), self.catalogue.type_id(name)) else {
            return Vec::new();
        };
        let text = &self.catalogue.type_of(type_id).name;
        let is_wanted = |name| self.names.description(name).is_some_and(|description| description.text == *text);
        let found = snapshot.record.attributes().find(|(name, _)| is_wanted(*name));
        found.map(|(_, values)| values.map(<[u8]>::to_vec).collect()).unwrap_or_default()
    }

    /// Whether the entry has this class or a subclass of it.
    pub(crate) fn has_class(&self, place: EntryNumber, class: &str) -> bool {
        let list = self.snapshot(place).and_then(|s| s.record.head()).and_then(|head| self.names.classes(head.classes));
        match (list, self.catalogue.class_id(class)) {
            (Some(list), Some(id)) => list.with_superclasses.contains(&id),
            _ => false,
        }
    }

    /// Decodes an entry for changes; returns its parent and its content.
    pub(crate) fn open(&self, place: EntryNumber) -> Option<(EntryNumber, EntryDraft)> {
        let slot = self.slot(place)?;
        Some((slot.parent, slot.record.open()?))
    }
}

/// Splits a normalised DN at its unescaped commas.
fn split_normalised(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(text.get(start..i).unwrap_or_default());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_listed_until_they_are_too_many() {
        let mut lists = ChildLists::default();
        assert_eq!(lists.get(1), Some(Vec::new()));
        (10..13).for_each(|child| lists.insert(1, child));
        lists.remove(1, 11);
        lists.remove(2, 11);
        assert_eq!(lists.get(1), Some(vec![10, 12]));
        (0..=CHILDREN_LISTED_MAX as EntryNumber).for_each(|child| lists.insert(2, child));
        assert_eq!((lists.get(2), lists.get(1).map(|children| children.len())), (None, Some(2)));
        lists.remove(2, 0);
        assert_eq!(lists.get(2), None, "the list is not complete any more");
    }
}
