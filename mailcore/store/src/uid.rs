//! The numbers of messages: UID, UIDVALIDITY, and sets of UIDs.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A message's number within one mailbox and one UIDVALIDITY.
///
/// RFC 3501 §2.3.1.1: strictly ascending, never zero, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uid(NonZeroU32);

impl Uid {
    /// The first UID of a mailbox.
    pub const FIRST: Self = Self(NonZeroU32::MIN);
    /// The highest number. The store never assigns it, so UIDNEXT always exists.
    pub const LAST: Self = Self(NonZeroU32::MAX);

    /// Makes a UID; `None` for zero.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Makes a UID from a non-zero number.
    pub const fn of(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the next UID; `None` after the highest.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A UIDVALIDITY (RFC 3501 §2.3.1.1): imported, or from an ascending counter of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UidValidity(NonZeroU32);

impl UidValidity {
    /// Makes a UIDVALIDITY from a non-zero number.
    pub const fn of(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl std::fmt::Display for UidValidity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of UIDs: ascending, disjoint, non-adjacent ranges, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// Returns the set of all UIDs.
    pub fn all() -> Self {
        Self(vec![(1, u32::MAX)])
    }

    /// Makes a set of UIDs, which may come in any order and more than once.
    pub fn from_uids(uids: impl IntoIterator<Item = Uid>) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }

    /// Makes a set of ranges in any order, overlapping or not; the ends of each may be in either order (RFC 3501 §9
    /// seq-range).
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Uid, Uid)>) -> Self {
        let mut sorted: Vec<(u32, u32)> = ranges.into_iter().map(|(a, b)| (a.min(b).get(), a.max(b).get())).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (low, high) in sorted {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    /// Adds one UID.
    pub fn insert(&mut self, uid: Uid) {
        let number = uid.get();
        match self.0.last_mut() {
            // The usual case: UIDs come in ascending order.
            Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
            Some(last) if last.1 >= number => {
                if !self.contains(uid) {
                    self.0.push((number, number));
                    let ranges = std::mem::take(&mut self.0);
                    *self =
                        Self::from_ranges(ranges.into_iter().filter_map(|(a, b)| Some((Uid::new(a)?, Uid::new(b)?))));
                }
            }
            _ => self.0.push((number, number)),
        }
    }

    /// Adds the UIDs of another set.
    pub fn extend(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let ranges = self.0.iter().chain(&other.0).filter_map(|(low, high)| Some((Uid::new(*low)?, Uid::new(*high)?)));
        *self = Self::from_ranges(ranges);
    }

    /// Whether the set contains `uid`.
    pub fn contains(&self, uid: Uid) -> bool {
        let number = uid.get();
        let after = self.0.partition_point(|range| range.0 <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| number <= range.1)
    }

    /// Returns the ranges as pairs of first and last UID, ascending.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Returns each UID in ascending order. A client's range may span all numbers: use only for sets of known size.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.0.iter().flat_map(|range| range.0..=range.1).filter_map(Uid::new)
    }

    /// Returns the number of UIDs in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.1 - range.0) + 1).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        Self::from_uids(uids)
    }
}

impl std::fmt::Display for UidSet {
    /// Writes a `sequence-set` (RFC 3501 §9). The empty set has no such form and writes nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (low, high)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match low == high {
                true => write!(f, "{comma}{low}")?,
                false => write!(f, "{comma}{low}:{high}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    #[test]
    fn zero_is_refused_and_the_highest_uid_has_no_next() {
        assert_eq!(Uid::new(0), None);
        assert_eq!(uid(7).next(), Some(uid(8)));
        assert_eq!(Uid::LAST.next(), None);
    }

    #[test]
    fn ranges_are_merged() {
        let check = |ranges: &[(u32, u32)], expect: &str| {
            let set = UidSet::from_ranges(ranges.iter().map(|&(a, b)| (uid(a), uid(b))));
            assert_eq!(set.to_string(), expect);
        };
        check(&[], "");
        check(&[(3, 1)], "1:3");
        check(&[(5, 9), (1, 4)], "1:9");
        check(&[(5, 9), (1, 3)], "1:3,5:9");
        check(&[(2, 8), (3, 4), (20, 20)], "2:8,20");
        check(&[(7, u32::MAX), (u32::MAX, u32::MAX)], "7:4294967295");
    }

    proptest! {
        #[test]
        fn a_uid_set_equals_a_set_of_its_numbers(numbers in prop::collection::vec(1u32..60, 0..40)) {
            let model: BTreeSet<u32> = numbers.iter().copied().collect();
            let set: UidSet = numbers.iter().map(|&n| uid(n)).collect();
            let mut grown = UidSet::default();
            numbers.iter().for_each(|&n| grown.insert(uid(n)));
            let (one, other) = numbers.split_at(numbers.len() / 2);
            let mut joined: UidSet = one.iter().map(|&n| uid(n)).collect();
            joined.extend(&other.iter().map(|&n| uid(n)).collect());
            prop_assert_eq!(&joined, &set);
            prop_assert_eq!(&set, &grown);
            prop_assert_eq!(set.count(), model.len() as u64);
            prop_assert_eq!(set.iter().map(Uid::get).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            for number in 1..62 {
                prop_assert_eq!(set.contains(uid(number)), model.contains(&number));
            }
        }
    }
}
