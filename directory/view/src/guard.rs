//! The removal guard: how many entries may go at once before the directory is taken to have lost them.
//!
//! Each kind of entry is measured apart, in a refresh and after it: losing five domains of five removes hardly any
//! entries, yet makes all mail refused.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::snapshot::Record;

/// The `removal-guard` percentage that switches the guard off.
const OFF: u8 = 100;
/// Time over which single removals are summed.
const WINDOW: Duration = Duration::from_secs(600);
/// Removals within this time are kept as one sum.
const SLICE: Duration = Duration::from_secs(10);

/// The kinds of entries that are measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Address,
    Domain,
    Group,
    Setting,
    /// An entry that holds all entries of one kind, such as `ou=people`.
    Container,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Person, Self::Address, Self::Domain, Self::Group, Self::Setting, Self::Container];

    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Person(_) => Self::Person,
            Record::Address(_) => Self::Address,
            Record::Domain(_) => Self::Domain,
            Record::Group(_) => Self::Group,
            Record::Setting(_) => Self::Setting,
            Record::Container(_) => Self::Container,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Person => "people",
            Self::Address => "addresses",
            Self::Domain => "domains",
            Self::Group => "groups",
            Self::Setting => "settings",
            Self::Container => "containers (ou=people and its like)",
        }
    }

    /// Returns the number of removals that is always believed, whatever their share of a small site.
    fn free(self) -> usize {
        match self {
            Self::Person | Self::Address | Self::Group => 20,
            Self::Setting => 2,
            Self::Domain => 1,
            Self::Container => 0,
        }
    }

    /// Whether this many removals are never believed, whatever their share: without a domain all mail would be refused,
    /// and nobody removes a container on purpose.
    fn are_needed(self, removed: usize, before: usize) -> bool {
        match self {
            Self::Domain => removed >= before,
            Self::Container => true,
            Self::Person | Self::Address | Self::Group | Self::Setting => false,
        }
    }
}

/// A number of entries for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([usize; Kind::ALL.len()]);

impl Counts {
    /// Counts one entry of this kind.
    pub(crate) fn one(kind: Kind) -> Self {
        let mut one = Self::default();
        one.add(kind);
        one
    }

    pub(crate) fn of(mut self, kind: Kind) -> usize {
        *self.at(kind)
    }

    fn at(&mut self, kind: Kind) -> &mut usize {
        let Self([people, addresses, domains, groups, settings, containers]) = self;
        match kind {
            Kind::Person => people,
            Kind::Address => addresses,
            Kind::Domain => domains,
            Kind::Group => groups,
            Kind::Setting => settings,
            Kind::Container => containers,
        }
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        *self.at(kind) += 1;
    }

    pub(crate) fn subtract(&mut self, kind: Kind) {
        let count = self.at(kind);
        *count = count.saturating_sub(1);
    }

    fn merge(&mut self, other: &Self) {
        for kind in Kind::ALL {
            *self.at(kind) += other.of(kind);
        }
    }
}

/// The removal guard at one moment: its percentage and the numbers it is compared with.
pub(crate) struct Guard<'a> {
    pub(crate) percent: u8,
    /// The entries in the snapshot.
    pub(crate) standing: &'a Counts,
    /// The recent removals outside of a refresh.
    pub(crate) recent: Counts,
}

impl Guard<'_> {
    /// Returns why `removed` is not believed, or `None` when it is.
    pub(crate) fn objection(&self, removed: &Counts) -> Option<String> {
        if self.percent >= OFF {
            return None;
        }
        Kind::ALL.into_iter().filter(|kind| removed.of(*kind) > 0).find_map(|kind| {
            let lately = self.recent.of(kind);
            let (removed, before) = (removed.of(kind) + lately, self.standing.of(kind) + lately);
            let is_beyond_share = removed > kind.free() && removed * 100 > before * usize::from(self.percent);
            (is_beyond_share || kind.are_needed(removed, before)).then(|| {
                format!("{removed} of {before} {} would be removed, the guard is {} %", kind.word(), self.percent)
            })
        })
    }
}

/// Removals of the last [`WINDOW`] outside of a refresh.
#[derive(Default)]
pub(crate) struct Recent {
    slices: VecDeque<(Instant, Counts)>,
}

impl Recent {
    /// Records one removal.
    pub(crate) fn note(&mut self, kind: Kind, now: Instant) {
        while self.slices.front().is_some_and(|(began, _)| now.saturating_duration_since(*began) > WINDOW) {
            self.slices.pop_front();
        }
        match self.slices.back_mut() {
            Some((began, counts)) if now.saturating_duration_since(*began) < SLICE => counts.add(kind),
            _ => {
                let mut counts = Counts::default();
                counts.add(kind);
                self.slices.push_back((now, counts));
            }
        }
    }

    /// Returns their sum as of the last removal. Time without removals does not age it, so that a stopped series is not
    /// believed bit by bit.
    pub(crate) fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.slices.iter().for_each(|(_, counts)| sum.merge(counts));
        sum
    }

    pub(crate) fn forget(&mut self) {
        self.slices.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(Kind, usize)]) -> Counts {
        let mut counts = Counts::default();
        for (kind, count) in pairs {
            *counts.at(*kind) = *count;
        }
        counts
    }

    #[test]
    fn every_kind_has_its_measure() {
        for (kind, removed, before, percent, believed) in [
            (Kind::Person, 20, 20, 20, true),
            (Kind::Person, 21, 100, 20, false),
            (Kind::Person, 21, 105, 20, true),
            (Kind::Person, 100, 100, 100, true),
            (Kind::Address, 40, 60, 20, false),
            (Kind::Group, 21, 22, 20, false),
            (Kind::Domain, 1, 1, 20, false),
            (Kind::Domain, 1, 2, 20, true),
            (Kind::Domain, 2, 3, 20, false),
            (Kind::Domain, 1, 1, 100, true),
            (Kind::Setting, 2, 2, 20, true),
            (Kind::Setting, 3, 3, 20, false),
            (Kind::Container, 1, 6, 20, false),
            (Kind::Container, 0, 6, 20, true),
        ] {
            let standing = counts(&[(kind, before)]);
            let guard = Guard { percent, standing: &standing, recent: Counts::default() };
            let objection = guard.objection(&counts(&[(kind, removed)]));
            assert_eq!(objection.is_none(), believed, "{kind:?} {removed} of {before} at {percent} %: {objection:?}");
        }
    }

    #[test]
    fn what_went_lately_counts_where_more_goes() {
        let standing = counts(&[(Kind::Person, 85), (Kind::Domain, 2)]);
        let recent = counts(&[(Kind::Person, 15)]);
        let guard = Guard { percent: 20, standing: &standing, recent };
        assert_eq!(guard.objection(&counts(&[(Kind::Person, 5)])), None);
        let objection = guard.objection(&counts(&[(Kind::Person, 6)])).unwrap();
        assert_eq!(objection, "21 of 100 people would be removed, the guard is 20 %");
        // A guard that is lowered later applies to later removals only.
        let strict = Guard { percent: 1, ..guard };
        assert_eq!(strict.objection(&counts(&[(Kind::Domain, 1)])), None);
    }

    #[test]
    fn removals_are_summed_over_the_window() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        for second in 0..100 {
            recent.note(Kind::Address, start + Duration::from_secs(second));
        }
        assert_eq!(recent.sum().of(Kind::Address), 100);
        assert!(recent.slices.len() <= 10);
        recent.note(Kind::Person, start + WINDOW + Duration::from_secs(50));
        assert_eq!(recent.sum().of(Kind::Person), 1);
        assert!((50..=60).contains(&recent.sum().of(Kind::Address)), "{:?}", recent.sum());
    }
}
