//! How much may go at once: a directory that has lost a part of itself is not believed.
//!
//! Entries of each kind are measured apart, in a refresh and in what comes after it. Losing five domains of five removes hardly an
//! entry and refuses all mail.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::snapshot::Record;

/// A `removal-guard` of so many percent lets everything pass.
pub(crate) const OFF: u8 = 100;
/// Removals one by one are summed over so long a time.
const WINDOW: Duration = Duration::from_secs(600);

/// Kinds of entries that are measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Address,
    Domain,
    Group,
    Setting,
    /// The entry that holds all of one kind, as `ou=people`.
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

    /// So few removals are always believed, whatever share of a small site they are.
    fn free(self) -> usize {
        match self {
            Self::Person | Self::Address | Self::Group => 20,
            Self::Setting => 2,
            Self::Domain => 1,
            Self::Container => 0,
        }
    }

    /// Whether that so many of them go is never believed, whatever their share: without a domain all mail would be refused, and
    /// nobody removes a container.
    fn are_needed(self, removed: usize, before: usize) -> bool {
        match self {
            Self::Domain => removed >= before,
            Self::Container => true,
            Self::Person | Self::Address | Self::Group | Self::Setting => false,
        }
    }
}

/// A number for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([usize; Kind::ALL.len()]);

impl Counts {
    /// One of this kind.
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
}

/// What a `removal-guard` of so many percent is held against.
pub(crate) struct Guard<'a> {
    pub(crate) percent: u8,
    /// What there is.
    pub(crate) standing: &'a Counts,
    /// What was removed lately.
    pub(crate) recent: Counts,
}

impl Guard<'_> {
    /// Why `removed` is not believed, if it is not, and the first kind of which too much would go.
    pub(crate) fn objection(&self, removed: &Counts) -> Option<(Kind, String)> {
        if self.percent >= OFF {
            return None;
        }
        Kind::ALL.into_iter().filter(|kind| removed.of(*kind) > 0).find_map(|kind| {
            let lately = self.recent.of(kind);
            let (removed, before) = (removed.of(kind) + lately, self.standing.of(kind) + lately);
            let is_beyond_share = removed > kind.free() && removed * 100 > before * usize::from(self.percent);
            (is_beyond_share || kind.are_needed(removed, before)).then(|| {
                let (word, percent) = (kind.word(), self.percent);
                (kind, format!("{removed} of {before} {word} would be removed, the guard is {percent} %"))
            })
        })
    }
}

/// The removals of the last [`WINDOW`] that came outside a refresh, with what was removed. The guard bounds their number.
#[derive(Default)]
pub(crate) struct Recent {
    removed: VecDeque<Removed>,
    sum: Counts,
}

/// A removal that was believed.
pub(crate) struct Removed {
    at: Instant,
    pub(crate) entry_uuid: Uuid,
    pub(crate) record: Record,
}

impl Recent {
    /// Notes one more removal.
    pub(crate) fn note(&mut self, entry_uuid: Uuid, record: Record, now: Instant) {
        while let Some(oldest) = self.removed.front()
            && now.saturating_duration_since(oldest.at) > WINDOW
        {
            self.sum.subtract(Kind::of(&oldest.record));
            self.removed.pop_front();
        }
        self.sum.add(Kind::of(&record));
        self.removed.push_back(Removed { at: now, entry_uuid, record });
    }

    /// Their sum as of the last one: while nothing is removed no time passes, so that what was stopped is not believed in parts.
    pub(crate) fn sum(&self) -> Counts {
        self.sum
    }

    /// Takes out the removals that a loss of this kind casts doubt on: those of the same kind, and all when a container is gone.
    pub(crate) fn take(&mut self, lost: Kind) -> Vec<Removed> {
        let is_doubtful = |removed: &Removed| lost == Kind::Container || Kind::of(&removed.record) == lost;
        let (doubtful, kept): (Vec<_>, Vec<_>) = self.removed.drain(..).partition(is_doubtful);
        self.removed = kept.into();
        doubtful.iter().for_each(|removed| self.sum.subtract(Kind::of(&removed.record)));
        doubtful
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

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
        let (_, objection) = guard.objection(&counts(&[(Kind::Person, 6)])).unwrap();
        assert_eq!(objection, "21 of 100 people would be removed, the guard is 20 %");
        // A guard that is lowered afterwards concerns what comes afterwards.
        let strict = Guard { percent: 1, ..guard };
        assert_eq!(strict.objection(&counts(&[(Kind::Domain, 1)])), None);
    }

    #[test]
    fn removals_are_summed_over_the_window() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        let domain = || testing::domain("example.edu");
        for second in 0..100 {
            recent.note(testing::uuid(1), domain(), start + Duration::from_secs(second));
        }
        assert_eq!(recent.sum().of(Kind::Domain), 100);
        recent.note(testing::uuid(2), testing::container("people"), start + WINDOW + Duration::from_secs(49));
        assert_eq!((recent.sum().of(Kind::Container), recent.sum().of(Kind::Domain)), (1, 51));
        assert_eq!(recent.take(Kind::Domain).len(), 51);
        assert_eq!((recent.sum().of(Kind::Container), recent.sum().of(Kind::Domain)), (1, 0));
        assert_eq!(recent.take(Kind::Container).len(), 1);
        assert_eq!(recent.sum(), Counts::default());
    }
}
