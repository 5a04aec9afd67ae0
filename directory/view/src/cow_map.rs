//! A map that is cheap to copy and cheap to change a little: many small sorted arrays, each shared until it changes.

use std::sync::Arc;

/// A 128-bit key: an entryUUID, or the digest of a name.
pub(crate) type MapKey = [u8; 16];

/// Number of arrays in a map. A change copies one array: 35 entries in a map of 35,500, 1,000 in one of a million.
const ARRAYS: usize = 1024;

/// Returns the digest by which a name (address, login, DN) is looked up. The indexes then need not store the names
/// again.
///
/// 128 bits of BLAKE3: no client can construct a name with the digest of somebody else's.
pub(crate) fn key_of(name: &str) -> MapKey {
    let mut key = [0; 16];
    let digest = blake3::hash(name.as_bytes());
    key.copy_from_slice(digest.as_bytes().split_at(16).0);
    key
}

/// One array of the map: pairs in ascending order of their keys.
type MapArray<V> = Arc<Vec<(MapKey, V)>>;

/// A copy-on-write map from [`MapKey`]. `clone` copies [`ARRAYS`] pointers; a change copies at most one array.
#[derive(Clone)]
pub(crate) struct CowMap<V> {
    arrays: Box<[MapArray<V>]>,
    len: usize,
}

impl<V> Default for CowMap<V> {
    fn default() -> Self {
        let empty = Arc::new(Vec::new());
        Self { arrays: (0..ARRAYS).map(|_| Arc::clone(&empty)).collect(), len: 0 }
    }
}

/// Returns the index of a key's array. Uses all bits: neighbouring UUIDs of version 1 or 7 share most of them.
fn array_of(key: &MapKey) -> usize {
    let number = u128::from_be_bytes(*key);
    let folded = ((number >> 64) as u64) ^ (number as u64).rotate_left(23);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize % ARRAYS
}

impl<V: Clone> CowMap<V> {
    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the value of `key`.
    pub(crate) fn get(&self, key: &MapKey) -> Option<&V> {
        let array = self.arrays.get(array_of(key))?;
        let at = array.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        array.get(at).map(|(_, value)| value)
    }

    /// Sets the value of `key`; returns the previous value.
    pub(crate) fn insert(&mut self, key: MapKey, value: V) -> Option<V> {
        let array = Arc::make_mut(self.arrays.get_mut(array_of(&key))?);
        match array.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => array.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                array.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    /// Removes `key`; returns its value.
    pub(crate) fn remove(&mut self, key: &MapKey) -> Option<V> {
        let array = self.arrays.get_mut(array_of(key))?;
        // Search before `make_mut`, which would copy a shared array even if `key` is absent.
        let at = array.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        self.len -= 1;
        Some(Arc::make_mut(array).remove(at).1)
    }

    /// Returns all pairs, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MapKey, &V)> {
        self.arrays.iter().flat_map(|array| array.iter().map(|(key, value)| (key, value)))
    }

    /// Releases the spare capacity of the arrays that no copy shares. Call it after a bulk load.
    pub(crate) fn shrink(&mut self) {
        for array in &mut self.arrays {
            if let Some(array) = Arc::get_mut(array) {
                array.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Any history gives the same result as a plain map, and earlier copies do not change.
        #[test]
        fn same_as_a_plain_map(history in prop::collection::vec((any::<bool>(), 0_u8..40, any::<u16>()), 0..200)) {
            let (mut map, mut plain) = (CowMap::default(), HashMap::new());
            let mut copy = None;
            for (step, (put, key, value)) in history.into_iter().enumerate() {
                let key = key_of(&key.to_string());
                if put {
                    prop_assert_eq!(map.insert(key, value), plain.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), plain.remove(&key));
                }
                if step == 50 {
                    copy = Some((map.clone(), plain.clone()));
                }
            }
            for (map, plain) in copy.into_iter().chain([(map, plain)]) {
                prop_assert_eq!(map.len(), plain.len());
                prop_assert_eq!(map.iter().map(|(k, v)| (*k, *v)).collect::<HashMap<_, _>>(), plain);
            }
        }
    }

    #[test]
    fn neighbouring_uuids_are_spread() {
        let mut map = CowMap::default();
        for n in 0..10_240_u128 {
            // The form of slapd's version 1 UUIDs: only the first 32 bits differ.
            map.insert(((n << 96) | 0x1234).to_be_bytes(), ());
        }
        let fullest = map.arrays.iter().map(|array| array.len()).max().unwrap();
        assert!(fullest < 60, "{fullest}");
    }
}
