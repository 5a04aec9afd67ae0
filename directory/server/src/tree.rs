//! The directory in memory: every entry, found by name and by value.
//!
//! What is here is on disk already: the committer applies a change only after its transaction.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use provost_entry::{Dn, Filter};
use provost_schema::attr;
use uuid::Uuid;

use crate::catalogue::{Catalogue, TypeId};
use crate::csn::{Context, Csn};
use crate::names::{Names, Wanted};
use crate::record::{Draft, Record};

/// Number of an entry's place in memory and its row on disk.
pub(crate) type Place = u32;
/// The parent of the suffix entry.
pub(crate) const NO_PLACE: Place = Place::MAX;
/// Deletions remembered for consumers that come back; older ones take the present phase of RFC 4533.
pub(crate) const DELETIONS_MAX: usize = 65_536;

#[derive(Debug)]
struct Slot {
    parent: Place,
    children: u32,
    record: Record,
}

/// Types that are answered from an entry's head and place instead of its attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synthetic {
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
}

impl Synthetic {
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
        })
    }

    /// The operational ones, in the order in which they are shown.
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

/// Where subschema information stands.
pub(crate) const SUBSCHEMA_DN: &str = "cn=subschema";

/// Hash to places: one in the map itself, further ones beside it. What it gives must be checked against the entry.
#[derive(Debug, Default)]
struct Index {
    first: HashMap<u32, Place>,
    more: HashMap<u32, Vec<Place>>,
}

impl Index {
    fn insert(&mut self, key: u32, place: Place) {
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

    fn remove(&mut self, key: u32, place: Place) {
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

    fn get(&self, key: u32) -> impl Iterator<Item = Place> {
        let more = self.more.get(&key).map(Vec::as_slice).unwrap_or_default();
        self.first.get(&key).copied().into_iter().chain(more.iter().copied())
    }
}

/// An entry as it stands or stood: enough to match a filter and to show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) parent: Place,
    pub(crate) children: u32,
    pub(crate) record: &'a Record,
}

/// One change to one place, made durable already.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) csn: Csn,
    pub(crate) uuid: Uuid,
    /// Parent and octets before; `None` for an add.
    pub(crate) before: Option<(Place, Record)>,
    /// Parent and octets after; `None` for a delete.
    pub(crate) after: Option<(Place, Record)>,
}

/// Where an entry stood at one moment; later the entries above it may have other names, or be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) dn: String,
    /// The places above it, its parent first.
    pub(crate) above: Vec<Place>,
}

/// The whole directory.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) names: Names,
    pub(crate) suffix: Dn,
    pub(crate) synthetic: Synthetic,
    pub(crate) context: Context,
    /// Deletions since `floor`, oldest first.
    pub(crate) deletions: VecDeque<(Csn, Uuid)>,
    /// What the log of deletions no longer tells: consumers that are not past this cannot use it.
    pub(crate) floor: Context,
    slots: Vec<Slot>,
    free: Vec<Place>,
    by_name: Index,
    by_value: Index,
    hasher: RandomState,
}

impl Tree {
    /// An empty one. `None` when the schema lacks an operational attribute, which the schema's own test excludes.
    pub(crate) fn new(catalogue: Arc<Catalogue>, suffix: Dn) -> Option<Self> {
        Some(Self {
            synthetic: Synthetic::of(&catalogue)?,
            catalogue,
            names: Names::default(),
            suffix,
            context: Context::default(),
            deletions: VecDeque::new(),
            floor: Context::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_name: Index::default(),
            by_value: Index::default(),
            hasher: RandomState::new(),
        })
    }

    /// How many places there are; some may be free.
    pub(crate) fn places(&self) -> Place {
        self.slots.len() as Place
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A free place for a new entry.
    pub(crate) fn allocate(&mut self) -> Place {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { parent: NO_PLACE, children: 0, record: Record::default() });
            self.slots.len() as Place - 1
        })
    }

    /// Gives a place back whose entry was never committed.
    pub(crate) fn release(&mut self, place: Place) {
        self.free.push(place);
    }

    /// Grows to hold rows up to `place`, before they are loaded.
    pub(crate) fn reserve(&mut self, place: Place) {
        while self.slots.len() <= place as usize {
            self.slots.push(Slot { parent: NO_PLACE, children: 0, record: Record::default() });
        }
    }

    /// After loading: notes which places are free.
    pub(crate) fn collect_free(&mut self) {
        let empty = (0..).zip(&self.slots).filter(|(_, slot)| slot.record.head().is_none());
        self.free = empty.map(|(place, _)| place).collect();
    }

    fn slot(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place as usize).filter(|slot| !slot.record.octets().is_empty())
    }

    /// The entry at a place.
    pub(crate) fn subject(&self, place: Place) -> Option<Subject<'_>> {
        self.slot(place).map(|s| Subject { parent: s.parent, children: s.children, record: &s.record })
    }

    fn hash(&self, kind: u32, key: &[u8]) -> u32 {
        self.hasher.hash_one((kind, key)) as u32
    }

    fn name_key(&self, parent: Place, rdn: &str) -> u32 {
        let normalised = Dn::parse(rdn).map(|dn| dn.normalised().to_owned()).unwrap_or_default();
        self.normal_name_key(parent, &normalised)
    }

    fn normal_name_key(&self, parent: Place, normalised: &str) -> u32 {
        self.hash(parent, normalised.as_bytes())
    }

    /// The child of `parent` with this normalised RDN.
    fn child(&self, parent: Place, normalised: &str) -> Option<Place> {
        self.by_name.get(self.normal_name_key(parent, normalised)).find(|place| {
            self.slot(*place).is_some_and(|slot| {
                slot.parent == parent && Dn::parse(slot.record.rdn()).is_ok_and(|rdn| rdn.normalised() == normalised)
            })
        })
    }

    /// The entry with this name.
    pub(crate) fn find(&self, dn: &Dn) -> Option<Place> {
        self.nearest(dn).filter(|(_, missing)| *missing == 0).map(|(place, _)| place)
    }

    /// The entry with this name or the nearest above it, and how many RDNs are missing below that.
    pub(crate) fn nearest(&self, dn: &Dn) -> Option<(Place, usize)> {
        if !dn.is_within(&self.suffix) {
            return None;
        }
        let mut at = self.child(NO_PLACE, self.suffix.normalised())?;
        let head = dn.normalised().strip_suffix(self.suffix.normalised())?;
        // One comma only: the one before it may be the escaped end of a value.
        let head = head.strip_suffix(',').unwrap_or(head);
        let rdns = if head.is_empty() { Vec::new() } else { split_normalised(head) };
        for (depth, rdn) in rdns.iter().rev().enumerate() {
            match self.child(at, rdn) {
                Some(place) => at = place,
                None => return Some((at, rdns.len() - depth)),
            }
        }
        Some((at, 0))
    }

    /// The name of an entry, as text.
    pub(crate) fn dn(&self, place: Place) -> String {
        self.slot(place).map(|slot| self.dn_of(slot.parent, &slot.record)).unwrap_or_default()
    }

    /// The name that a record has below `parent`.
    pub(crate) fn dn_of(&self, parent: Place, record: &Record) -> String {
        let mut text = record.rdn().to_owned();
        let mut at = parent;
        while let Some(slot) = self.slot(at) {
            text.push(',');
            text.push_str(slot.record.rdn());
            at = slot.parent;
        }
        text
    }

    /// Whether `parent` is `ancestor` or stands below it.
    pub(crate) fn is_below(&self, parent: Place, ancestor: Place) -> bool {
        let mut at = parent;
        while at != ancestor {
            match self.slot(at) {
                Some(slot) => at = slot.parent,
                None => return false,
            }
        }
        true
    }

    /// Everything below an entry, with how many levels below, parents before children.
    pub(crate) fn below(&self, ancestor: Place) -> Vec<(usize, Place)> {
        let levels = |place: Place| {
            let above = self.subject(place).map(|subject| self.above(subject.parent)).unwrap_or_default();
            above.iter().position(|at| *at == ancestor).map(|at| (at + 1, place))
        };
        let mut found: Vec<(usize, Place)> = (0..self.places()).filter_map(levels).collect();
        found.sort_unstable();
        found
    }

    /// `parent` and all that it stands below, the nearest first.
    fn above(&self, parent: Place) -> Vec<Place> {
        let mut above = Vec::new();
        let mut at = parent;
        while let Some(slot) = self.slot(at) {
            above.push(at);
            at = slot.parent;
        }
        above
    }

    /// Where a record stands below `parent`, as the tree is now.
    pub(crate) fn standing(&self, parent: Place, record: &Record) -> Standing {
        Standing { dn: self.dn_of(parent, record), above: self.above(parent) }
    }

    /// Hash keys of all indexed values of a record.
    fn value_keys(&self, record: &Record) -> Vec<u32> {
        let mut keys = Vec::new();
        if let Some(head) = record.head() {
            keys.push(self.hash(u32::from(self.synthetic.entry_uuid), head.uuid.to_string().as_bytes()));
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

    /// Puts a row from the disk, or a committed one, at its place.
    pub(crate) fn put(&mut self, place: Place, parent: Place, record: Record) {
        self.take(place);
        let name_key = self.name_key(parent, record.rdn());
        self.by_name.insert(name_key, place);
        for key in self.value_keys(&record) {
            self.by_value.insert(key, place);
        }
        if let Some(above) = self.slots.get_mut(parent as usize) {
            above.children += 1;
        }
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.parent = parent;
            slot.record = record;
        }
    }

    /// Empties a place and forgets what led to it.
    fn take(&mut self, place: Place) {
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
        if let Some(above) = self.slots.get_mut(parent as usize) {
            above.children = above.children.saturating_sub(1);
        }
    }

    /// Makes a committed change visible.
    pub(crate) fn apply(&mut self, change: &Change) {
        match &change.after {
            Some((parent, record)) => self.put(change.place, *parent, record.clone()),
            None => {
                self.take(change.place);
                self.free.push(change.place);
                self.note_deletion(change.csn, change.uuid);
            }
        }
        self.context.advance(change.csn);
    }

    /// Remembers a deletion; the oldest one goes when there are too many.
    pub(crate) fn note_deletion(&mut self, csn: Csn, uuid: Uuid) {
        self.deletions.push_back((csn, uuid));
        while self.deletions.len() > DELETIONS_MAX {
            if let Some((csn, _)) = self.deletions.pop_front() {
                self.floor.advance(csn);
            }
        }
    }

    /// Places that may match, in order; `None` when every place must be looked at.
    pub(crate) fn candidates(&self, filter: &Filter) -> Option<Vec<Place>> {
        let mut places = self.unsorted_candidates(filter)?;
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    fn unsorted_candidates(&self, filter: &Filter) -> Option<Vec<Place>> {
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

    /// Values of an operational attribute or of objectClass, made from the entry's head and place.
    pub(crate) fn synthesise(&self, subject: Subject<'_>, type_id: TypeId) -> Vec<Vec<u8>> {
        let Some(head) = subject.record.head() else { return Vec::new() };
        let s = &self.synthetic;
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
            id if id == s.create_timestamp => one(provost_entry::time::generalized(head.created())),
            id if id == s.modify_timestamp => one(provost_entry::time::generalized(head.csn.time())),
            id if id == s.structural => class_name(head.structural).into_iter().collect(),
            id if id == s.subschema => one(SUBSCHEMA_DN.to_owned()),
            id if id == s.has_subordinates => one(if subject.children > 0 { "TRUE" } else { "FALSE" }.to_owned()),
            id if id == s.context_csn && subject.parent == NO_PLACE => {
                self.context.csns().map(|csn| csn.to_string().into_bytes()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The values of an entry's attribute without options, for the server's own questions.
    pub(crate) fn values(&self, place: Place, name: &str) -> Vec<Vec<u8>> {
        let (Some(subject), Some(type_id)) = (self.subject(place), self.catalogue.type_id(name)) else {
            return Vec::new();
        };
        let wanted = Wanted { type_id, options: Vec::new(), binary: false };
        let mut found = Vec::new();
        for (name, values) in subject.record.attributes() {
            let description = self.names.description(name);
            if description.is_some_and(|d| wanted.covers(&self.catalogue, d.type_id, &d.text)) {
                found.extend(values.map(<[u8]>::to_vec));
            }
        }
        found
    }

    /// Whether the entry's classes, inherited ones included, name this one.
    pub(crate) fn has_class(&self, place: Place, class: &str) -> bool {
        let list = self.subject(place).and_then(|s| s.record.head()).and_then(|head| self.names.classes(head.classes));
        match (list, self.catalogue.class_id(class)) {
            (Some(list), Some(id)) => list.line.contains(&id),
            _ => false,
        }
    }

    /// An entry opened for changes.
    pub(crate) fn open(&self, place: Place) -> Option<(Place, Draft)> {
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
