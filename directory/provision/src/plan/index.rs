//! A multimap from the digest of a key to the places of entries that may have this key.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// Maps keys to places without storing the keys: nine octets for each slot of the table, whatever the length of the
/// keys. A look-up can return places of other keys with the same digest, so the caller compares the key at each place.
#[derive(Default)]
pub(super) struct Index {
    /// Random, so that nobody can choose keys of one digest.
    hasher: RandomState,
    table: HashTable<Slot>,
}

/// A part of the digest, and a place.
#[derive(Clone, Copy)]
struct Slot {
    digest: u32,
    place: u32,
}

impl Index {
    pub(super) fn insert(&mut self, key: impl Hash, place: u32) {
        let digest = self.digest(key);
        self.table.insert_unique(spread(digest), Slot { digest, place }, |slot| spread(slot.digest));
    }

    /// The places inserted under keys with the digest of `key`, in ascending order, each once.
    pub(super) fn places(&self, key: impl Hash) -> Vec<u32> {
        let digest = self.digest(key);
        let same = self.table.iter_hash(spread(digest)).filter(|slot| slot.digest == digest);
        let mut places: Vec<u32> = same.map(|slot| slot.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn digest(&self, key: impl Hash) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }
}

/// Spreads 32 bits over 64: the table takes the slot from the low bits, and a tag from the high ones.
fn spread(digest: u32) -> u64 {
    u64::from(digest).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_finds_every_place_of_a_key() {
        let mut index = Index::default();
        for place in 0..10_000u32 {
            index.insert(place % 5_000, place);
        }
        index.insert(7u32, 7);
        for key in 0..5_000u32 {
            let places = index.places(key);
            // Another key may have the same digest.
            assert!(
                places.is_sorted() && places.contains(&key) && places.contains(&(key + 5_000)),
                "{key}: {places:?}"
            );
        }
        assert!((5_000..6_000u32).filter(|key| !index.places(*key).is_empty()).count() < 2);
    }
}
