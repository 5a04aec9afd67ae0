//! Entries in packed form: about 250 octets for a person, a tenth of what an [`Entry`] takes.
//!
//! Planning compares a whole directory with a whole file, so the entries of the directory decide how much memory it
//! needs. Entries are only added, and read by place.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use provost_entry::Entry;

/// Size of one stretch of memory, octets. An entry that is larger gets a stretch of its own.
const CHUNK_OCTETS: usize = 1 << 20;
/// Maximum number of shared texts: bounds their memory when the values of an attribute are not as few as expected.
const SHARED_MAX: usize = 1 << 16;

/// How the values of an attribute are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The values: nearly every entry has others.
    Own,
    /// The values, once for all entries that have them.
    Shared,
    /// Only whether there is a value.
    Presence,
}

/// An attribute that is kept of each entry.
pub(super) type KeptAttribute = (&'static str, Keep);

/// Packed entries of one kind.
pub(super) struct PackedEntries {
    attributes: Vec<KeptAttribute>,
    chunks: Vec<Vec<u8>>,
    /// Index of the chunk, and offset within it, of each entry.
    starts: Vec<(u32, u32)>,
    shared: SharedTexts,
}

/// One packed entry.
#[derive(Clone, Copy)]
pub(super) struct PackedEntry<'a> {
    entries: &'a PackedEntries,
    /// The number of values, then the values.
    octets: &'a [u8],
}

/// Where the text of a value is.
enum Text<'a> {
    Own(&'a [u8]),
    /// Index of the value of the same entry that has the text.
    Earlier(usize),
    /// Index of the shared text.
    Shared(usize),
}

const OWN: usize = 0;
const EARLIER: usize = 1;
const SHARED: usize = 2;

impl PackedEntries {
    /// No entries; of each, `attributes` will be kept.
    pub(super) fn new(attributes: Vec<KeptAttribute>) -> Self {
        Self { attributes, chunks: Vec::new(), starts: Vec::new(), shared: SharedTexts::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Adds an entry; returns its place.
    pub(super) fn push_entry(&mut self, entry: &Entry) -> u32 {
        let mut values: Vec<(usize, &str)> = Vec::with_capacity(2 * self.attributes.len());
        for (field, (name, keep)) in self.attributes.iter().enumerate() {
            match keep {
                Keep::Presence if entry.values(name).is_empty() => {}
                Keep::Presence => values.push((field, "")),
                Keep::Own | Keep::Shared => values.extend(entry.texts(name).map(|text| (field, text))),
            }
        }
        self.push(&values)
    }

    /// Adds an entry from its values, each with the index of its attribute; returns its place.
    pub(super) fn push(&mut self, values: &[(usize, &str)]) -> u32 {
        let mut packed = Vec::with_capacity(512);
        put_number(&mut packed, values.len());
        for (index, (field, text)) in values.iter().enumerate() {
            let header = |form| field << 2 | form;
            let is_shared = self.attributes.get(*field).is_some_and(|(_, keep)| *keep == Keep::Shared);
            let shared = if is_shared { self.shared.index(text) } else { None };
            let earlier = values.get(..index).and_then(|earlier| earlier.iter().position(|(_, known)| known == text));
            if let Some(shared) = shared {
                put_number(&mut packed, header(SHARED));
                put_number(&mut packed, shared);
            } else if let Some(earlier) = earlier.filter(|_| text.len() > 1) {
                put_number(&mut packed, header(EARLIER));
                put_number(&mut packed, earlier);
            } else {
                put_number(&mut packed, header(OWN));
                put_number(&mut packed, text.len());
                packed.extend_from_slice(text.as_bytes());
            }
        }
        self.place(&packed)
    }

    fn place(&mut self, packed: &[u8]) -> u32 {
        let is_full = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() < packed.len();
        if self.chunks.last().is_none_or(is_full) {
            self.chunks.push(Vec::with_capacity(CHUNK_OCTETS.max(packed.len())));
        }
        let chunk = self.chunks.len() - 1;
        let place = self.starts.len() as u32;
        if let Some(octets) = self.chunks.last_mut() {
            self.starts.push((chunk as u32, octets.len() as u32));
            octets.extend_from_slice(packed);
        }
        place
    }

    pub(super) fn get(&self, place: u32) -> Option<PackedEntry<'_>> {
        let (chunk, start) = self.starts.get(place as usize)?;
        let octets = self.chunks.get(*chunk as usize)?.get(*start as usize..)?;
        Some(PackedEntry { entries: self, octets })
    }
}

impl<'a> PackedEntry<'a> {
    /// Every value with the index of its attribute, in the order of the attributes.
    pub(super) fn values(self) -> impl Iterator<Item = (usize, &'a str)> {
        self.raw_values().map(move |(field, text)| (field, self.text(text)))
    }

    /// Every value with the name of its attribute.
    pub(super) fn named_values(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let attributes = &self.entries.attributes;
        self.values().filter_map(|(field, text)| Some((attributes.get(field)?.0, text)))
    }

    /// All values of one attribute.
    pub(super) fn texts(self, name: &str) -> impl Iterator<Item = &'a str> {
        let field = self.entries.attributes.iter().position(|(known, _)| *known == name);
        let of_field = self.raw_values().filter(move |(found, _)| Some(*found) == field);
        of_field.map(move |(_, text)| self.text(text))
    }

    /// The first value of one attribute.
    pub(super) fn first(self, name: &str) -> Option<&'a str> {
        self.texts(name).next()
    }

    /// Whether the entry has the attribute.
    pub(super) fn has(self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn raw_values(self) -> impl Iterator<Item = (usize, Text<'a>)> {
        let mut rest = self.octets;
        let count = take_number(&mut rest);
        (0..count).map(move |_| {
            let header = take_number(&mut rest);
            let number = take_number(&mut rest);
            let text = match header & 3 {
                EARLIER => Text::Earlier(number),
                SHARED => Text::Shared(number),
                _ => {
                    let (text, after) = rest.split_at_checked(number).unwrap_or_default();
                    rest = after;
                    Text::Own(text)
                }
            };
            (header >> 2, text)
        })
    }

    fn text(self, text: Text<'a>) -> &'a str {
        match text {
            // Only texts are packed, so the octets are UTF-8.
            Text::Own(octets) => std::str::from_utf8(octets).unwrap_or_default(),
            Text::Shared(index) => self.entries.shared.get(index),
            Text::Earlier(index) => match self.raw_values().nth(index) {
                Some((_, Text::Own(octets))) => std::str::from_utf8(octets).unwrap_or_default(),
                Some((_, Text::Shared(index))) => self.entries.shared.get(index),
                // `push` refers to the first value with the text, which refers to no other.
                Some((_, Text::Earlier(_))) | None => "",
            },
        }
    }
}

/// Texts that many entries have.
#[derive(Default)]
struct SharedTexts {
    hasher: RandomState,
    texts: Vec<Box<str>>,
    indexes: HashTable<u32>,
}

impl SharedTexts {
    /// The index of a text, which is added if there is room; `None` when there is none.
    fn index(&mut self, text: &str) -> Option<usize> {
        let Self { hasher, texts, indexes } = self;
        let hash = hasher.hash_one(text);
        let found = indexes.find(hash, |index| texts.get(*index as usize).is_some_and(|known| **known == *text));
        if let Some(index) = found {
            return Some(*index as usize);
        }
        if texts.len() == SHARED_MAX {
            return None;
        }
        let index = texts.len();
        texts.push(text.into());
        let hash_of = |index: &u32| hasher.hash_one(texts.get(*index as usize).map_or("", |text| text));
        indexes.insert_unique(hash, index as u32, hash_of);
        Some(index)
    }

    fn get(&self, index: usize) -> &str {
        self.texts.get(index).map_or("", |text| text)
    }
}

/// Appends a number, seven bits to an octet, the low ones first; the last octet is below 0x80.
fn put_number(octets: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

/// Reads what [`put_number`] has written, and shortens `octets` by it.
fn take_number(octets: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((octet, rest)) = octets.split_first() {
        *octets = rest;
        number |= usize::from(octet & 0x7f) << shift;
        shift += 7;
        if octet & 0x80 == 0 || shift >= usize::BITS {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ATTRIBUTES: [KeptAttribute; 3] = [("cn", Keep::Own), ("l", Keep::Shared), ("userPassword", Keep::Presence)];

    #[test]
    fn an_entry_keeps_its_values_and_of_some_attributes_only_their_presence() {
        let mut packed = PackedEntries::new(ATTRIBUTES.to_vec());
        let entry = Entry::new(provost_entry::Dn::root())
            .with("cn", "Zoé")
            .with("cn", "z")
            .with("l", "Zoé")
            .with("l", "Québec")
            .with("userPassword", "{SSHA}hash")
            .with("sn", "Roy");
        let place = packed.push_entry(&entry);
        let held = packed.get(place).unwrap();
        assert_eq!(held.values().collect::<Vec<_>>(), [(0, "Zoé"), (0, "z"), (1, "Zoé"), (1, "Québec"), (2, "")]);
        assert_eq!(held.texts("l").collect::<Vec<_>>(), ["Zoé", "Québec"]);
        assert_eq!((held.first("cn"), held.has("userPassword"), held.has("sn")), (Some("Zoé"), true, false));
        assert!(packed.get(place + 1).is_none());
    }

    #[test]
    fn a_value_that_many_entries_have_takes_no_room_of_its_own() {
        let mut packed = PackedEntries::new(ATTRIBUTES.to_vec());
        let long = "x".repeat(1000);
        for _ in 0..1000 {
            packed.push(&[(1, &long), (1, &long), (0, "a longer name"), (0, "a longer name")]);
        }
        let octets: usize = packed.chunks.iter().map(Vec::len).sum();
        assert!(octets < 25 * 1000, "{octets}");
        let last = packed.get(999).unwrap();
        assert_eq!(
            last.values().collect::<Vec<_>>(),
            [(1, &*long), (1, &long), (0, "a longer name"), (0, "a longer name")]
        );
    }

    #[test]
    fn further_texts_are_kept_when_the_shared_ones_are_too_many() {
        let mut packed = PackedEntries::new(ATTRIBUTES.to_vec());
        let count = SHARED_MAX + 100;
        for number in 0..count {
            packed.push(&[(1, &number.to_string())]);
        }
        assert_eq!((packed.len(), packed.shared.texts.len()), (count, SHARED_MAX));
        for place in 0..count as u32 {
            assert_eq!(packed.get(place).unwrap().first("l"), Some(place.to_string().as_str()));
        }
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(entries in prop::collection::vec(
            prop::collection::vec((0..3usize, ".{0,200}"), 0..40), 0..20,
        )) {
            let mut packed = PackedEntries::new(ATTRIBUTES.to_vec());
            for values in &entries {
                let values: Vec<_> = values.iter().map(|(field, text)| (*field, text.as_str())).collect();
                packed.push(&values);
            }
            for (place, values) in (0u32..).zip(&entries) {
                let read = packed.get(place).unwrap().values().map(|(field, text)| (field, text.to_owned()));
                prop_assert_eq!(&read.collect::<Vec<_>>(), values);
            }
        }
    }
}
