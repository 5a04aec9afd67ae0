//! The removal guard: how many entries may disappear at once before the removal counts as a loss of the directory.
//!
//! Each kind of entry is measured apart, in the refresh stage and in the persist stage (RFC 4533 §3.4): the loss of
//! five domains of five removes few entries, but makes the node refuse all mail.
//!
//! An entry that was deleted and created again is replaced, not removed, although its entryUUID is a new one; a person
//! is the exception (see [`ViewRecord::identity`]).

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::Snapshot;
use crate::snapshot::ViewRecord;

/// The `removal-guard`, percent, that switches the guard off.
pub(crate) const GUARD_OFF: u8 = 100;
/// Time over which single removals are summed.
const WINDOW: Duration = Duration::from_secs(600);

/// The kinds of entries that are measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EntryKind {
    Person,
    Address,
    Domain,
    Group,
    Setting,
    /// An entry that holds all entries of one kind, such as `ou=people`.
    Container,
}

impl EntryKind {
    const ALL: [Self; 6] = [Self::Person, Self::Address, Self::Domain, Self::Group, Self::Setting, Self::Container];

    pub(crate) fn of(record: &ViewRecord) -> Self {
        match record {
            ViewRecord::Person(_) => Self::Person,
            ViewRecord::Address(_) => Self::Address,
            ViewRecord::Domain(_) => Self::Domain,
            ViewRecord::Group(_) => Self::Group,
            ViewRecord::Setting(_) => Self::Setting,
            ViewRecord::Container(_) => Self::Container,
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

    /// Returns the number of removals up to which their share does not count: in a small site, a few are a large share.
    fn any_share_max(self) -> usize {
        match self {
            Self::Person | Self::Address | Self::Group => 20,
            Self::Setting => 2,
            Self::Domain => 1,
            Self::Container => 0,
        }
    }

    /// Whether this many removals are parked whatever their share: without a domain all mail would be refused, and no
    /// operator removes a container on purpose.
    fn is_always_parked(self, removed: usize, before: usize) -> bool {
        match self {
            Self::Domain => removed >= before,
            Self::Container => true,
            Self::Person | Self::Address | Self::Group | Self::Setting => false,
        }
    }
}

/// A number of entries for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryCounts([usize; EntryKind::ALL.len()]);

impl EntryCounts {
    /// Counts one entry of this kind.
    pub(crate) fn one(kind: EntryKind) -> Self {
        let mut one = Self::default();
        one.add(kind);
        one
    }

    pub(crate) fn of(mut self, kind: EntryKind) -> usize {
        *self.at(kind)
    }

    fn at(&mut self, kind: EntryKind) -> &mut usize {
        let Self([people, addresses, domains, groups, settings, containers]) = self;
        match kind {
            EntryKind::Person => people,
            EntryKind::Address => addresses,
            EntryKind::Domain => domains,
            EntryKind::Group => groups,
            EntryKind::Setting => settings,
            EntryKind::Container => containers,
        }
    }

    pub(crate) fn add(&mut self, kind: EntryKind) {
        *self.at(kind) += 1;
    }

    pub(crate) fn subtract(&mut self, kind: EntryKind) {
        let count = self.at(kind);
        *count = count.saturating_sub(1);
    }
}

/// The removal guard at one moment: its percentage, and the counts from which the share of a removal is computed.
pub(crate) struct Guard<'a> {
    pub(crate) percent: u8,
    /// The entries in the snapshot.
    pub(crate) present: &'a EntryCounts,
    /// The recent removals outside of a refresh.
    pub(crate) recent: EntryCounts,
}

impl Guard<'_> {
    /// Returns why `removed` is parked, with the first kind of which too many would go; `None` when it may be applied.
    pub(crate) fn objection(&self, removed: &EntryCounts) -> Option<(EntryKind, String)> {
        if self.percent >= GUARD_OFF {
            return None;
        }
        EntryKind::ALL.into_iter().filter(|kind| removed.of(*kind) > 0).find_map(|kind| {
            let recent = self.recent.of(kind);
            let (removed, before) = (removed.of(kind) + recent, self.present.of(kind) + recent);
            let is_beyond_share = removed > kind.any_share_max() && removed * 100 > before * usize::from(self.percent);
            (is_beyond_share || kind.is_always_parked(removed, before)).then(|| {
                let (word, percent) = (kind.word(), self.percent);
                (kind, format!("{removed} of {before} {word} would be removed, the guard is {percent} %"))
            })
        })
    }
}

/// Removals of the last [`WINDOW`] outside of a refresh, with the removed records. The guard bounds their number.
#[derive(Clone, Default)]
pub(crate) struct RecentRemovals {
    removed: VecDeque<RecordedRemoval>,
    sum: EntryCounts,
}

/// A removal that was applied.
#[derive(Clone)]
pub(crate) struct RecordedRemoval {
    at: Instant,
    pub(crate) entry_uuid: Uuid,
    pub(crate) record: ViewRecord,
}

impl RecentRemovals {
    /// Records one removal.
    pub(crate) fn record(&mut self, entry_uuid: Uuid, record: ViewRecord, now: Instant) {
        while let Some(oldest) = self.removed.front()
            && now.saturating_duration_since(oldest.at) > WINDOW
        {
            self.sum.subtract(EntryKind::of(&oldest.record));
            self.removed.pop_front();
        }
        self.sum.add(EntryKind::of(&record));
        self.removed.push_back(RecordedRemoval { at: now, entry_uuid, record });
    }

    /// Returns the sum as of the last recorded removal. Time alone does not reduce the sum: otherwise a parked series
    /// of removals would be applied bit by bit.
    pub(crate) fn sum(&self) -> EntryCounts {
        self.sum
    }

    /// Forgets the removals whose entry `snapshot` has again. When entries with one identity were removed several
    /// times, keeps only the last of these removals.
    pub(crate) fn forget_replaced(&mut self, snapshot: &Snapshot) {
        let mut seen = HashSet::new();
        let mut is_lost = |removed: &RecordedRemoval| {
            snapshot.lacks(removed.entry_uuid, &removed.record) && seen.insert(removed.record.identity())
        };
        let (mut kept, mut sum) = (VecDeque::new(), EntryCounts::default());
        for removed in self.removed.drain(..).rev().filter(|removed| is_lost(removed)) {
            sum.add(EntryKind::of(&removed.record));
            kept.push_front(removed);
        }
        *self = Self { removed: kept, sum };
    }

    /// Takes out the removals that the loss of entries of kind `lost` makes doubtful: those of the same kind, or all
    /// removals when a container is lost.
    pub(crate) fn take_doubtful(&mut self, lost: EntryKind) -> Vec<RecordedRemoval> {
        let is_doubtful =
            |removed: &RecordedRemoval| lost == EntryKind::Container || EntryKind::of(&removed.record) == lost;
        let (doubtful, kept): (Vec<_>, Vec<_>) = self.removed.drain(..).partition(is_doubtful);
        self.removed = kept.into();
        doubtful.iter().for_each(|removed| self.sum.subtract(EntryKind::of(&removed.record)));
        doubtful
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn counts(pairs: &[(EntryKind, usize)]) -> EntryCounts {
        let mut counts = EntryCounts::default();
        for (kind, count) in pairs {
            *counts.at(*kind) = *count;
        }
        counts
    }

    #[test]
    fn every_kind_is_measured_by_its_own_rule() {
        for (kind, removed, before, percent, is_applied) in [
            (EntryKind::Person, 20, 20, 20, true),
            (EntryKind::Person, 21, 100, 20, false),
            (EntryKind::Person, 21, 105, 20, true),
            (EntryKind::Person, 100, 100, 100, true),
            (EntryKind::Address, 40, 60, 20, false),
            (EntryKind::Group, 21, 22, 20, false),
            (EntryKind::Domain, 1, 1, 20, false),
            (EntryKind::Domain, 1, 2, 20, true),
            (EntryKind::Domain, 2, 3, 20, false),
            (EntryKind::Domain, 1, 1, 100, true),
            (EntryKind::Setting, 2, 2, 20, true),
            (EntryKind::Setting, 3, 3, 20, false),
            (EntryKind::Container, 1, 6, 20, false),
            (EntryKind::Container, 0, 6, 20, true),
        ] {
            let present = counts(&[(kind, before)]);
            let guard = Guard { percent, present: &present, recent: EntryCounts::default() };
            let objection = guard.objection(&counts(&[(kind, removed)]));
            assert_eq!(objection.is_none(), is_applied, "{kind:?} {removed} of {before} at {percent} %: {objection:?}");
        }
    }

    #[test]
    fn recent_removals_count_together_with_further_ones_of_their_kind() {
        let present = counts(&[(EntryKind::Person, 85), (EntryKind::Domain, 2)]);
        let recent = counts(&[(EntryKind::Person, 15)]);
        let guard = Guard { percent: 20, present: &present, recent };
        assert_eq!(guard.objection(&counts(&[(EntryKind::Person, 5)])), None);
        let (_, objection) = guard.objection(&counts(&[(EntryKind::Person, 6)])).unwrap();
        assert_eq!(objection, "21 of 100 people would be removed, the guard is 20 %");
        // After the percentage is lowered, a kind is measured only when another entry of it is removed.
        let strict = Guard { percent: 1, ..guard };
        assert_eq!(strict.objection(&counts(&[(EntryKind::Domain, 1)])), None);
    }

    #[test]
    fn removals_are_summed_over_the_window() {
        let (mut recent, start) = (RecentRemovals::default(), Instant::now());
        let domain = || testing::domain("example.edu");
        for second in 0..100 {
            recent.record(testing::uuid(1), domain(), start + Duration::from_secs(second));
        }
        assert_eq!(recent.sum().of(EntryKind::Domain), 100);
        recent.record(testing::uuid(2), testing::container("people"), start + WINDOW + Duration::from_secs(49));
        assert_eq!((recent.sum().of(EntryKind::Container), recent.sum().of(EntryKind::Domain)), (1, 51));
        assert_eq!(recent.take_doubtful(EntryKind::Domain).len(), 51);
        assert_eq!((recent.sum().of(EntryKind::Container), recent.sum().of(EntryKind::Domain)), (1, 0));
        assert_eq!(recent.take_doubtful(EntryKind::Container).len(), 1);
        assert_eq!(recent.sum(), EntryCounts::default());
    }
}
