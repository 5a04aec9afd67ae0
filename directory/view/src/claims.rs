//! An index of names, such as logins and addresses, that only one entry of a site should have. LDAP lets several
//! entries claim one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cow_map::{CowMap, MapKey};

/// Names, each with the entryUUIDs of the entries that claim it. The lowest one holds the name: all nodes then answer
/// alike, whatever the order in which they saw the entries. The others take over when the holder gives the name up.
#[derive(Clone, Default)]
pub(crate) struct ClaimIndex {
    holders: CowMap<MapKey>,
    /// Pairs of a name and another claimant. Nearly always empty.
    others: Arc<BTreeSet<(MapKey, MapKey)>>,
}

impl ClaimIndex {
    /// Returns the holder of a name.
    pub(crate) fn holder(&self, name: &MapKey) -> Option<&MapKey> {
        self.holders.get(name)
    }

    /// Whether an entry other than `entry` claims the name.
    pub(crate) fn has_other_claimant(&self, name: &MapKey, entry: &MapKey) -> bool {
        match self.holders.get(name) {
            Some(holder) => holder != entry || self.next_claimant(name).is_some(),
            None => false,
        }
    }

    /// Returns the entry that takes over when the holder gives the name up.
    fn next_claimant(&self, name: &MapKey) -> Option<MapKey> {
        let next = self.others.range((*name, MapKey::default())..).next().filter(|(claimed, _)| claimed == name);
        next.map(|(_, claimant)| *claimant)
    }

    /// Adds a claim; a repeated one changes nothing.
    pub(crate) fn insert(&mut self, name: MapKey, entry: MapKey) {
        let other = match self.holders.get(&name) {
            Some(holder) if *holder == entry => return,
            Some(holder) if *holder < entry => entry,
            holder => {
                let previous = holder.copied();
                self.holders.insert(name, entry);
                let Some(previous) = previous else { return };
                previous
            }
        };
        Arc::make_mut(&mut self.others).insert((name, other));
    }

    /// Removes a claim, if the entry has it.
    pub(crate) fn remove(&mut self, name: &MapKey, entry: &MapKey) {
        if self.holders.get(name) != Some(entry) {
            self.remove_other(name, entry);
            return;
        }
        let Some(next) = self.next_claimant(name) else {
            self.holders.remove(name);
            return;
        };
        self.remove_other(name, &next);
        self.holders.insert(*name, next);
    }

    fn remove_other(&mut self, name: &MapKey, entry: &MapKey) {
        // Searched first, so that a set that does not change is not copied.
        if self.others.contains(&(*name, *entry)) {
            Arc::make_mut(&mut self.others).remove(&(*name, *entry));
        }
    }

    /// Releases spare capacity, after a bulk load.
    pub(crate) fn shrink(&mut self) {
        self.holders.shrink();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// After any history, the lowest claimant of each name holds it.
        #[test]
        fn the_lowest_claimant_holds_a_name(history in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u8..5), 0..60)) {
            let (mut index, mut claims) = (ClaimIndex::default(), BTreeMap::<u8, BTreeSet<u8>>::new());
            for (is_claim, name, entry) in history {
                if is_claim {
                    index.insert([name; 16], [entry; 16]);
                    claims.entry(name).or_default().insert(entry);
                } else {
                    index.remove(&[name; 16], &[entry; 16]);
                    claims.entry(name).or_default().remove(&entry);
                }
                for (name, entries) in &claims {
                    let holder = entries.first().map(|entry| [*entry; 16]);
                    prop_assert_eq!(index.holder(&[*name; 16]), holder.as_ref());
                    for entry in 0..5 {
                        let is_claimed = entries.iter().any(|other| *other != entry);
                        prop_assert_eq!(index.has_other_claimant(&[*name; 16], &[entry; 16]), is_claimed);
                    }
                }
            }
            for (name, entries) in claims {
                entries.iter().for_each(|entry| index.remove(&[name; 16], &[*entry; 16]));
            }
            prop_assert!(index.others.is_empty() && index.holders.len() == 0);
        }
    }
}
