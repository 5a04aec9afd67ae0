//! Applies the events of RFC 4533 to a snapshot. Uses neither socket nor clock.

use std::collections::HashSet;
use std::time::Instant;

use provost_client::{Cookie, SyncEvent};
use provost_entry::Dn;
use provost_settings::ValueOrigin;
use uuid::Uuid;

use crate::guard::{EntryCounts, EntryKind, GUARD_OFF, Guard, RecentRemovals};
use crate::mapping::{MappedEntry, map};
use crate::{ChangeSet, Snapshot};

/// The consequence of one event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventOutcome {
    /// No change that a reader could see.
    Nothing,
    /// The snapshot has changed.
    Changed,
    /// A refresh is complete: the snapshot is whole and current.
    Complete,
    /// The cookie is new; the event changed no entry.
    Saveable,
    /// The removal guard rejected a refresh or a single removal. A rejected refresh is dropped. A rejected single removal
    /// is not applied, and recent single removals of its kind are undone, because the same loss may have caused them. A
    /// rejected removal of a container undoes those of all kinds.
    Parked {
        /// How many entries of which kind would go, for the log and the status.
        reason: String,
        /// The `removal-guard` that applied, percent.
        guard: u8,
    },
    /// The provider cannot resume from our cookie: start a full refresh.
    StartOver,
}

/// The state of the RFC 4533 consumer.
pub(crate) struct Follower {
    suffix: Dn,
    snapshot: Snapshot,
    cookie: Option<Cookie>,
    /// Changes to `snapshot` since the last [`Follower::take_changes`].
    changes: ChangeSet,
    refresh: Option<ViewRefresh>,
    /// Recent removals outside of a refresh.
    recent: RecentRemovals,
    /// Whether a refresh or removal was parked since the last complete refresh.
    is_parked: bool,
}

/// A refresh in progress. It works on a copy, so that readers never see a half-applied refresh.
struct ViewRefresh {
    snapshot: Snapshot,
    /// Entries that the provider sent or named as present.
    mentioned: HashSet<Uuid>,
    /// The refresh began without a cookie. The provider assumes that we have no entries and names none that are gone:
    /// slapd then sends neither a present phase nor deletions.
    from_nothing: bool,
    changes: ChangeSet,
}

impl Follower {
    pub(crate) fn new(suffix: Dn, snapshot: Snapshot, cookie: Option<Cookie>) -> Self {
        let (changes, recent) = (ChangeSet::default(), RecentRemovals::default());
        Self { suffix, snapshot, cookie, changes, refresh: None, recent, is_parked: false }
    }

    /// Returns the changes since the last call, and forgets them. Those of an unfinished refresh are not among them.
    pub(crate) fn take_changes(&mut self) -> ChangeSet {
        std::mem::take(&mut self.changes)
    }

    /// Returns the state of the last complete refresh, with the changes since.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the cookie to resume from.
    pub(crate) fn cookie(&self) -> Option<&Cookie> {
        self.cookie.as_ref()
    }

    /// Makes the next refresh a full one; the snapshot stays until that is complete.
    pub(crate) fn forget_cookie(&mut self) {
        self.cookie = None;
    }

    /// Begins a session, which starts with a refresh.
    pub(crate) fn begin(&mut self) {
        let from_nothing = self.cookie.is_none();
        // A full refresh replaces every entry.
        let changes = if from_nothing { ChangeSet::everything() } else { ChangeSet::default() };
        let snapshot = self.snapshot.clone();
        self.refresh = Some(ViewRefresh { snapshot, mentioned: HashSet::new(), from_nothing, changes });
    }

    /// Ends the session, and drops an incomplete refresh.
    pub(crate) fn end(&mut self) {
        self.refresh = None;
    }

    /// Applies one event.
    pub(crate) fn apply(&mut self, event: SyncEvent, now: Instant) -> EventOutcome {
        match event {
            SyncEvent::Put(uuid, entry) => {
                self.mention(&[uuid]);
                match map(uuid, &entry, &self.suffix) {
                    MappedEntry::Record(record) => self.change(uuid, |target| {
                        target.insert(uuid, record);
                        true
                    }),
                    MappedEntry::Other => self.remove(uuid, now),
                    // The previous record stays: one bad attribute must not bounce a person's mail.
                    MappedEntry::Unmappable(why) => {
                        metrics::counter!("provost_view_unmappable_entries_total").increment(1);
                        tracing::warn!(dn = entry.dn.as_str(), why, "an entry cannot be used");
                        EventOutcome::Nothing
                    }
                }
            }
            SyncEvent::Present(uuids) => {
                self.mention(&uuids);
                EventOutcome::Nothing
            }
            SyncEvent::Delete(uuids) => {
                let mut all = EventOutcome::Nothing;
                for uuid in uuids {
                    match self.remove(uuid, now) {
                        EventOutcome::Nothing => {}
                        parked @ EventOutcome::Parked { .. } => return parked,
                        changed => all = changed,
                    }
                }
                all
            }
            SyncEvent::RefreshPresentDone => {
                self.remove_unmentioned();
                EventOutcome::Nothing
            }
            SyncEvent::RefreshDone => self.complete(),
            SyncEvent::Cookie(cookie) => {
                self.cookie = Some(cookie);
                EventOutcome::Saveable
            }
            SyncEvent::RefreshRequired => {
                self.cookie = None;
                self.refresh = None;
                EventOutcome::StartOver
            }
        }
    }

    /// Changes one entry, in the copy during a refresh; `work` returns whether it changed anything. The entry's state
    /// before and after both count as changed: an address that moves between two people concerns both.
    fn change(&mut self, uuid: Uuid, work: impl FnOnce(&mut Snapshot) -> bool) -> EventOutcome {
        let (target, changes, effect) = match &mut self.refresh {
            Some(refresh) => (&mut refresh.snapshot, &mut refresh.changes, EventOutcome::Nothing),
            None => (&mut self.snapshot, &mut self.changes, EventOutcome::Changed),
        };
        changes.record_entry(target, uuid);
        let has_effect = work(target);
        changes.record_entry(target, uuid);
        if has_effect { effect } else { EventOutcome::Nothing }
    }

    /// Removes one entry. A refresh is measured as a whole at its end; outside of one, each removal is measured with
    /// the recent ones, unless another entry has replaced this one.
    fn remove(&mut self, uuid: Uuid, now: Instant) -> EventOutcome {
        if self.refresh.is_none()
            && let Some(record) = self.snapshot.record(uuid)
            && !self.snapshot.is_replaced(uuid, record)
        {
            let record = record.clone();
            let percent = self.snapshot.settings().removal_guard;
            let removed = EntryCounts::one(EntryKind::of(&record));
            // `forget_replaced` looks at every recent removal, and a large site may have many. So it runs only when the
            // guard objects.
            if self.guard(percent).objection(&removed).is_some() {
                self.recent.forget_replaced(&self.snapshot);
            }
            if let Some((lost, reason)) = self.guard(percent).objection(&removed) {
                self.restore(lost);
                return self.park(reason, percent);
            }
            if percent >= GUARD_OFF {
                self.recent.clear();
            } else {
                self.recent.record(uuid, record, now);
            }
        }
        self.change(uuid, |target| target.remove(uuid))
    }

    /// Restores the recently removed entries of the kind `lost`, or of all kinds when a container is lost. Skips an
    /// entry that is back, or whose name another entry has by now. Forgets the cookie, so that the next refresh is a
    /// full one: a resumed refresh would not name the restored entries again.
    fn restore(&mut self, lost: EntryKind) {
        for removed in self.recent.take_doubtful(lost) {
            if self.snapshot.record(removed.entry_uuid).is_none() && !self.snapshot.has_namesake(&removed.record) {
                self.change(removed.entry_uuid, |target| {
                    target.insert(removed.entry_uuid, removed.record);
                    true
                });
            }
        }
        self.cookie = None;
    }

    fn guard(&self, percent: u8) -> Guard<'_> {
        Guard { percent, present: self.snapshot.counts(), recent: self.recent.sum() }
    }

    /// Returns the end of a reason: how many of the people are in `next` with a new entryUUID; empty for none.
    fn created_again_note(&self, next: &Snapshot) -> String {
        match self.snapshot.people_created_again_in(next) {
            0 => String::new(),
            count => format!("; {count} have a new entryUUID and would get new, empty mailboxes"),
        }
    }

    fn park(&mut self, reason: String, guard: u8) -> EventOutcome {
        self.is_parked = true;
        EventOutcome::Parked { reason, guard }
    }

    fn mention(&mut self, uuids: &[Uuid]) {
        if let Some(refresh) = &mut self.refresh {
            refresh.mentioned.extend(uuids);
        }
    }

    /// RFC 4533 §3.3.2: entries that a present phase did not mention are gone. Does nothing outside of a refresh.
    fn remove_unmentioned(&mut self) {
        let Some(refresh) = &mut self.refresh else { return };
        let known = refresh.snapshot.records().map(|(key, _)| Uuid::from_bytes(*key));
        let unmentioned: Vec<_> = known.filter(|uuid| !refresh.mentioned.contains(uuid)).collect();
        for uuid in unmentioned {
            self.change(uuid, |target| target.remove(uuid));
        }
    }

    fn complete(&mut self) -> EventOutcome {
        if self.refresh.as_ref().is_some_and(|refresh| refresh.from_nothing) {
            self.remove_unmentioned();
        }
        let Some(refresh) = self.refresh.take() else { return EventOutcome::Nothing };
        let removed = self.snapshot.missing_from(&refresh.snapshot);
        let percent = removal_guard(&self.snapshot, &refresh.snapshot);
        // The guard measures a copy: the entries of a parked refresh must not cancel recent removals.
        let mut recent = self.recent.clone();
        recent.forget_replaced(&refresh.snapshot);
        let guard = Guard { percent, present: self.snapshot.counts(), recent: recent.sum() };
        if let Some((lost, reason)) = guard.objection(&removed) {
            let note =
                if lost == EntryKind::Person { self.created_again_note(&refresh.snapshot) } else { String::new() };
            return self.park(reason + &note, percent);
        }
        if std::mem::take(&mut self.is_parked) {
            self.recent.clear();
        }
        self.snapshot = refresh.snapshot;
        self.changes.merge(refresh.changes);
        self.snapshot.shrink();
        EventOutcome::Complete
    }
}

/// Returns the `removal-guard` that measures a refresh, percent.
///
/// The value in the refreshed directory applies, so that an operator can let a parked refresh pass. Without a valid
/// one, as in an emptied directory, the value in force before applies.
fn removal_guard(before: &Snapshot, after: &Snapshot) -> u8 {
    match after.settings().origin("removal-guard") {
        ValueOrigin::Directory(_) => after.settings().removal_guard,
        ValueOrigin::LastGood(_) | ValueOrigin::File(_) | ValueOrigin::Default => before.settings().removal_guard,
    }
}

#[cfg(test)]
mod tests {
    use provost_entry::{Address, Dn, Entry};
    use std::time::Duration;

    use provost_schema::{attr, class};

    use super::*;
    use crate::AddressKind;
    use crate::testing::{self, person_dn, suffix, uuid};

    impl Follower {
        /// Applies an event at one moment, the same for all events of this program: no recent removal grows old.
        fn take(&mut self, event: SyncEvent) -> EventOutcome {
            static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            self.apply(event, *START)
        }
    }

    fn put(n: u128) -> SyncEvent {
        let entry = Entry::new(Dn::parse(&person_dn(n)).unwrap())
            .with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)
            .with(attr::UID, format!("p{n}"))
            .with(attr::MAIL, format!("p{n}@example.edu"));
        SyncEvent::Put(uuid(n), entry)
    }

    fn unusable(n: u128) -> SyncEvent {
        SyncEvent::Put(
            uuid(n),
            Entry::new(Dn::parse(&person_dn(n)).unwrap()).with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT),
        )
    }

    /// A follower that has completed a refresh of `people` people.
    fn following(people: u128) -> Follower {
        let mut follower = Follower::new(suffix(), Snapshot::default(), None);
        follower.begin();
        for n in 1..=people {
            assert_eq!(follower.take(put(n)), EventOutcome::Nothing);
        }
        assert_eq!(follower.snapshot().people(), 0, "readers see nothing of an incomplete refresh");
        follower.take(SyncEvent::RefreshPresentDone);
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        assert_eq!(follower.take(SyncEvent::Cookie(Cookie::from_octets(b"one".to_vec()))), EventOutcome::Saveable);
        assert_eq!(follower.snapshot().people() as u128, people);
        follower
    }

    #[test]
    fn changes_after_the_refresh_show_at_once() {
        let mut follower = following(3);
        assert_eq!(follower.take(put(4)), EventOutcome::Changed);
        assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(1), uuid(99)])), EventOutcome::Changed);
        assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(1)])), EventOutcome::Nothing);
        assert_eq!(follower.snapshot().people(), 3);
        // RFC 4533 §3.4.2: the persist stage has no present phase, so such an event must not empty the View.
        assert_eq!(follower.take(SyncEvent::RefreshPresentDone), EventOutcome::Nothing);
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Nothing);
        assert_eq!(follower.snapshot().people(), 3);
    }

    #[test]
    fn an_entry_that_cannot_be_mapped_stays_as_it_was() {
        let mut follower = following(3);
        assert_eq!(follower.take(unusable(2)), EventOutcome::Nothing);
        assert_eq!(follower.take(unusable(9)), EventOutcome::Nothing);
        assert!(follower.snapshot().by_address(&Address::parse("p2@example.edu").unwrap()).is_some());
        // An entry that stops being an account is removed.
        let other = Entry::new(Dn::parse(&person_dn(2)).unwrap()).with(attr::OBJECT_CLASS, "device");
        assert_eq!(follower.take(SyncEvent::Put(uuid(2), other)), EventOutcome::Changed);
        assert_eq!(follower.snapshot().people(), 2);
    }

    #[test]
    fn a_present_phase_removes_what_it_does_not_mention() {
        let mut follower = following(30);
        follower.begin();
        follower.take(SyncEvent::Present((1..=15).map(uuid).collect()));
        follower.take(put(31));
        assert_eq!(follower.take(SyncEvent::RefreshPresentDone), EventOutcome::Nothing);
        assert_eq!(follower.snapshot().people(), 30);
        // 15 of 30 are a large share, but always applied, because they are few.
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        assert_eq!(follower.snapshot().people(), 16);
    }

    #[test]
    fn a_refresh_without_a_cookie_removes_what_it_does_not_send() {
        let mut follower = following(3);
        follower.forget_cookie();
        follower.begin();
        follower.take(put(2));
        follower.take(put(4));
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        assert_eq!(follower.snapshot().people(), 2);
    }

    #[test]
    fn a_delete_phase_removes_only_what_it_names() {
        let mut follower = following(5);
        follower.begin();
        follower.take(put(6));
        follower.take(SyncEvent::Delete(vec![uuid(1)]));
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        assert_eq!(follower.snapshot().people(), 5);
    }

    #[test]
    fn a_refresh_that_removes_too_much_is_parked() {
        for (kept, parked) in [(0, true), (79, true), (80, false), (100, false)] {
            let mut follower = following(100);
            follower.begin();
            follower.take(SyncEvent::Present((1..=kept).map(uuid).collect()));
            follower.take(SyncEvent::RefreshPresentDone);
            let effect = follower.take(SyncEvent::RefreshDone);
            assert_eq!(matches!(effect, EventOutcome::Parked { .. }), parked, "{kept}: {effect:?}");
            assert_eq!(follower.snapshot().people() as u128, if parked { 100 } else { kept });
            assert_eq!(follower.cookie(), Some(&Cookie::from_octets(b"one".to_vec())));
        }
        // The same in a delete phase.
        let mut follower = following(100);
        follower.begin();
        follower.take(SyncEvent::Delete((1..=50).map(uuid).collect()));
        assert!(matches!(follower.take(SyncEvent::RefreshDone), EventOutcome::Parked { .. }));
    }

    fn put_guard(n: u128, value: &str) -> SyncEvent {
        let dn = Dn::parse("cn=removal-guard,ou=policies,dc=example,dc=edu").unwrap();
        let entry = Entry::new(dn).with(attr::OBJECT_CLASS, class::PROVOST_SETTING).with(attr::PROVOST_VALUE, value);
        SyncEvent::Put(uuid(n), entry)
    }

    #[test]
    fn a_refresh_is_measured_by_the_guard_that_it_brings() {
        // Guard before, guard that the refresh states (if any), how many of 100 people stay, whether it is parked.
        for (before, refreshed, kept, parked) in [
            (None, None, 60, true),
            (Some("50"), Some("50"), 60, false),
            (Some("50"), Some("50"), 40, true),
            // An operator lets the refresh pass.
            (Some("20"), Some("100"), 0, false),
            // An emptied directory states nothing: the strict guard of before applies.
            (Some("1"), None, 79, true),
            (Some("1"), Some("nonsense"), 79, true),
        ] {
            let mut follower = following(100);
            if let Some(value) = before {
                assert_eq!(follower.take(put_guard(500, value)), EventOutcome::Changed);
            }
            follower.begin();
            follower.take(SyncEvent::Present((1..=kept).map(uuid).collect()));
            if let Some(value) = refreshed {
                follower.take(put_guard(500, value));
            }
            follower.take(SyncEvent::RefreshPresentDone);
            let effect = follower.take(SyncEvent::RefreshDone);
            assert_eq!(
                matches!(effect, EventOutcome::Parked { .. }),
                parked,
                "{before:?} {refreshed:?} {kept}: {effect:?}"
            );
        }
    }

    /// A follower of 100 people with their addresses, two domains, a setting, and the containers of all.
    fn following_a_site() -> Follower {
        let mut snapshot = Snapshot::default();
        for n in 0..100 {
            snapshot.insert(uuid(n), testing::person(n, &format!("p{n}")));
            let address = format!("p{n}@example.edu");
            snapshot.insert(uuid(1000 + n), testing::address_entry(1000 + n, &address, AddressKind::Primary, Some(n)));
        }
        for (n, domain) in [(2000, "example.edu"), (2001, "alumni.example.edu")] {
            snapshot.insert(uuid(n), testing::domain(domain));
        }
        snapshot.insert(uuid(3000), testing::setting("time-zone", "America/Montreal"));
        for (n, name) in (4000..).zip(["people", "addresses", "domains", "policies"]) {
            snapshot.insert(uuid(n), testing::container(name));
        }
        Follower::new(suffix(), snapshot, Some(Cookie::from_octets(b"one".to_vec())))
    }

    const SITE_ENTRIES: usize = 100 + 100 + 2 + 1 + 4;

    #[test]
    fn a_refresh_that_lost_a_part_of_the_tree_is_parked() {
        for (lost, what) in [
            (1000..1100, "100 of 100 addresses"),
            (2000..2002, "2 of 2 domains"),
            (4003..4004, "1 of 4 containers"),
            (0..21, "21 of 100 people"),
        ] {
            let mut follower = following_a_site();
            follower.begin();
            follower.take(SyncEvent::Delete(lost.map(uuid).collect()));
            let EventOutcome::Parked { reason, .. } = follower.take(SyncEvent::RefreshDone) else { panic!("{what}") };
            assert!(reason.starts_with(what), "{reason}");
            assert_eq!(follower.snapshot().len(), SITE_ENTRIES, "a parked refresh is visible");
        }
        let mut follower = following_a_site();
        follower.begin();
        follower.take(SyncEvent::Delete(vec![uuid(3000), uuid(2001), uuid(7), uuid(1007)]));
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete, "a small refresh is parked");
    }

    #[test]
    fn single_removals_are_measured_together() {
        let mut follower = following_a_site();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for n in 0..20 {
            assert_eq!(follower.apply(SyncEvent::Delete(vec![uuid(1000 + n)]), at(n as u64)), EventOutcome::Changed);
        }
        let parked = follower.apply(SyncEvent::Delete(vec![uuid(1020)]), at(30));
        assert!(matches!(parked, EventOutcome::Parked { .. }), "{parked:?}");
        assert_eq!((follower.snapshot().len(), follower.cookie()), (SITE_ENTRIES, None), "the removals are not undone");
        let rest = |gone: std::ops::Range<u128>| {
            let all = (0..100).chain(1000..1100).chain(2000..2002).chain([3000]).chain(4000..4004);
            SyncEvent::Present(all.filter(|n| !gone.contains(n)).map(uuid).collect())
        };
        follower.begin();
        follower.take(rest(1000..1021));
        assert!(matches!(follower.take(SyncEvent::RefreshDone), EventOutcome::Parked { .. }));
        // The provider has the lost entries again.
        follower.begin();
        follower.take(rest(0..0));
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        assert_eq!(follower.apply(SyncEvent::Delete(vec![uuid(1020)]), at(40)), EventOutcome::Changed);
        // Far more removals are applied when a minute lies between each two: never more than eleven of them are recent.
        let mut follower = following_a_site();
        for n in 0..60 {
            let effect = follower.apply(SyncEvent::Delete(vec![uuid(1000 + n)]), at(60 * n as u64));
            assert_eq!(effect, EventOutcome::Changed, "{n}");
        }
        let last = follower.apply(SyncEvent::Delete(vec![uuid(2000), uuid(2001)]), at(9999));
        assert!(matches!(last, EventOutcome::Parked { .. }), "the last domain is removed");
    }

    /// Returns the event that adds the entry `rdn` below a container, or below the suffix if `container` is empty, with
    /// the entryUUID `n`.
    fn put_again(n: u128, rdn: &str, container: &str) -> SyncEvent {
        let (class, name, value) = match container {
            "people" => return SyncEvent::Put(uuid(n), account(rdn)),
            "addresses" => (class::PROVOST_ADDRESS_ENTRY, attr::PROVOST_ADDRESS, rdn),
            "domains" => (class::PROVOST_DOMAIN_ENTRY, attr::PROVOST_DOMAIN, rdn),
            "policies" => (class::PROVOST_SETTING, attr::CN, rdn),
            _ => ("organizationalUnit", attr::OU, rdn),
        };
        let parent = if container.is_empty() { suffix() } else { suffix().child(attr::OU, container) };
        let entry = Entry::new(parent.child(name, value)).with(attr::OBJECT_CLASS, class).with(name, value);
        let entry = entry.with(attr::PROVOST_ADDRESS_KIND, "primary").with(attr::PROVOST_VALUE, "America/Montreal");
        SyncEvent::Put(uuid(n), entry)
    }

    fn account(number: &str) -> Entry {
        Entry::new(Dn::parse(&person_dn(number.parse().unwrap())).unwrap())
            .with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)
            .with(attr::UID, format!("p{number}"))
            .with(attr::MAIL, format!("p{number}@example.edu"))
    }

    /// Returns the events that add a container of [`following_a_site`] and all entries below it again, with new
    /// entryUUIDs.
    fn subtree_again(container: &str) -> Vec<SyncEvent> {
        let names: Vec<String> = match container {
            "people" => (0..100).map(|n| n.to_string()).collect(),
            "addresses" => (0..100).map(|n| format!("p{n}@example.edu")).collect(),
            "domains" => ["example.edu", "Alumni.example.edu"].map(str::to_owned).into(),
            _ => vec!["Time-Zone".to_owned()],
        };
        let entries = (9000..).zip(&names).map(|(n, name)| put_again(n, name, container));
        entries.chain([put_again(9999, container, "")]).collect()
    }

    /// A subtree that was deleted and created again has new entryUUIDs. A refresh that brings the new entries is
    /// complete, except for people: it stays parked, because their mailboxes would be empty.
    #[test]
    fn a_subtree_that_was_created_again_is_replaced() {
        let everything = || (0..100).chain(1000..1100).chain(2000..2002).chain([3000]).chain(4000..4004);
        for (container, lost, parked) in [
            ("policies", vec![3000..3001, 4003..4004], None),
            ("domains", vec![2000..2002, 4002..4003], None),
            ("addresses", vec![1000..1100, 4001..4002], None),
            (
                "people",
                vec![0..100, 4000..4001],
                Some(
                    "100 of 100 people would be removed, the guard is 20 %; \
                     100 have a new entryUUID and would get new, empty mailboxes",
                ),
            ),
        ] {
            let mut follower = following_a_site();
            let kept = || everything().filter(|n| !lost.iter().any(|range| range.contains(n)));
            follower.begin();
            follower.take(SyncEvent::Present(kept().map(uuid).collect()));
            follower.take(SyncEvent::RefreshPresentDone);
            let without = follower.take(SyncEvent::RefreshDone);
            assert!(matches!(without, EventOutcome::Parked { .. }), "{container}: {without:?}");

            follower.begin();
            follower.take(SyncEvent::Present(kept().map(uuid).collect()));
            for event in subtree_again(container) {
                assert_eq!(follower.take(event), EventOutcome::Nothing, "{container}");
            }
            follower.take(SyncEvent::RefreshPresentDone);
            let expected = match parked {
                Some(reason) => EventOutcome::Parked { reason: reason.to_owned(), guard: 20 },
                None => EventOutcome::Complete,
            };
            assert_eq!(follower.take(SyncEvent::RefreshDone), expected, "{container}");
            assert_eq!(follower.snapshot().len(), SITE_ENTRIES, "{container}");
            let is_new = follower.snapshot().record(uuid(9000)).is_some();
            assert_eq!(is_new, parked.is_none(), "{container}");
        }
    }

    #[test]
    fn a_new_entry_replaces_no_entry_of_another_name() {
        for (lost, event) in [
            (vec![4003], put_again(9000, "services", "")),
            (vec![2000, 2001], put_again(9000, "example.com", "domains")),
            (vec![3000, 3001, 3002], put_again(9000, "mail-domain", "policies")),
        ] {
            let mut follower = following_a_site();
            for n in [3001, 3002] {
                follower.snapshot.insert(uuid(n), testing::setting(&format!("unknown-{n}"), "1"));
            }
            follower.begin();
            follower.take(event);
            follower.take(SyncEvent::Delete(lost.iter().copied().map(uuid).collect()));
            let outcome = follower.take(SyncEvent::RefreshDone);
            assert!(matches!(outcome, EventOutcome::Parked { .. }), "{lost:?}: {outcome:?}");
        }
    }

    /// A single removal does not count when the entry was created again before or after the removal.
    #[test]
    fn a_single_removal_of_what_was_created_again_does_not_count() {
        let mut follower = following_a_site();
        let mut entries: Vec<u128> = (1000..1100).collect();
        for round in 1..=3 {
            for (n, entry) in (0..).zip(&mut entries).take(20) {
                assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(*entry)])), EventOutcome::Changed, "{round}, {n}");
                *entry = 9000 + 100 * round + n;
                let again = put_again(*entry, &format!("p{n}@example.edu"), "addresses");
                assert_eq!(follower.take(again), EventOutcome::Changed);
            }
        }
        assert_eq!(follower.snapshot().len(), SITE_ENTRIES);
        // Twenty are really gone after that, each removed for the fourth time; the next one is too many.
        for entry in entries.iter().take(20) {
            assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(*entry)])), EventOutcome::Changed, "{entry}");
        }
        let next = follower.take(SyncEvent::Delete(vec![uuid(1020)]));
        assert!(matches!(next, EventOutcome::Parked { .. }), "{next:?}");
        assert_eq!(follower.snapshot().len(), SITE_ENTRIES, "the removals are not undone");

        // The new entry of the last domains and of a container arrives before the removal of the old one.
        for (old, event) in [
            (2000, put_again(9000, "example.edu", "domains")),
            (2001, put_again(9001, "alumni.example.edu", "domains")),
            (4003, put_again(9002, "policies", "")),
        ] {
            assert_eq!(follower.take(event), EventOutcome::Changed);
            assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(old)])), EventOutcome::Changed, "{old}");
        }
        assert_eq!(follower.snapshot().len(), SITE_ENTRIES);
    }

    /// Single removals before a refresh do not count in it when it brings the entries again.
    #[test]
    fn a_refresh_replaces_what_was_removed_one_by_one_before() {
        for (brought, is_parked) in [(20, false), (0, true)] {
            let mut follower = following_a_site();
            let first = (1000..1020).map(uuid).collect();
            assert_eq!(follower.take(SyncEvent::Delete(first)), EventOutcome::Changed);
            follower.begin();
            for n in 0..brought {
                follower.take(put_again(9000 + n, &format!("p{n}@example.edu"), "addresses"));
            }
            follower.take(SyncEvent::Delete((1020..1040).map(uuid).collect()));
            let outcome = follower.take(SyncEvent::RefreshDone);
            assert_eq!(matches!(outcome, EventOutcome::Parked { .. }), is_parked, "{brought}: {outcome:?}");
        }
    }

    /// A person who comes back with the same entryUUID was not removed; with another one, the mailbox is lost.
    #[test]
    fn a_single_removal_of_a_person_counts_unless_the_entry_uuid_comes_back() {
        for (offset, is_parked) in [(0, false), (9000, true)] {
            let mut follower = following_a_site();
            let outcome = (0..30).find_map(|n| {
                let outcome = follower.take(SyncEvent::Delete(vec![uuid(n)]));
                follower.take(put_again(offset + n, &n.to_string(), "people"));
                (outcome != EventOutcome::Changed).then_some(outcome)
            });
            assert_eq!(matches!(outcome, Some(EventOutcome::Parked { .. })), is_parked, "{offset}: {outcome:?}");
        }
    }

    /// A removed address that another person got with a new entry is not restored.
    #[test]
    fn an_address_that_was_assigned_again_is_not_restored() {
        let mut follower = following_a_site();
        let now = Instant::now();
        follower.take_changes();
        for n in 0..20 {
            assert_eq!(follower.apply(SyncEvent::Delete(vec![uuid(1000 + n)]), now), EventOutcome::Changed);
        }
        let anew = testing::address_entry(1500, "p0@example.edu", AddressKind::Alias, Some(50));
        follower.snapshot.insert(uuid(1500), anew);
        // Only the second further removal is too many: the address that was assigned again does not count as removed.
        assert_eq!(follower.apply(SyncEvent::Delete(vec![uuid(1021)]), now), EventOutcome::Changed);
        assert!(matches!(follower.apply(SyncEvent::Delete(vec![uuid(1022)]), now), EventOutcome::Parked { .. }));
        let owner = |address| follower.snapshot().by_address(&Address::parse(address).unwrap()).unwrap().0.uid.clone();
        assert_eq!((&*owner("p0@example.edu"), &*owner("p1@example.edu")), ("p50", "p1"));
        assert_eq!(follower.snapshot().len(), SITE_ENTRIES);
        assert!(follower.take_changes().concerns_account(uuid(1)));
    }

    /// A container is removed after one of its entries, whose removal had been applied.
    #[test]
    fn a_parked_removal_of_a_container_restores_its_entries() {
        let mut follower = following_a_site();
        assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(3000)])), EventOutcome::Changed);
        assert!(matches!(follower.take(SyncEvent::Delete(vec![uuid(4003)])), EventOutcome::Parked { .. }));
        assert_eq!(follower.snapshot().len(), SITE_ENTRIES);
    }

    /// Removals that an operator made with the guard off are not restored by a removal after the guard is on again.
    #[test]
    fn removals_while_the_guard_is_off_are_not_counted_later() {
        let mut follower = following_a_site();
        assert_eq!(follower.take(put_guard(500, "100")), EventOutcome::Changed);
        assert_eq!(follower.take(SyncEvent::Delete((1000..1090).map(uuid).collect())), EventOutcome::Changed);
        assert_eq!(follower.take(put_guard(500, "20")), EventOutcome::Changed);
        assert_eq!(follower.take(SyncEvent::Delete(vec![uuid(1090)])), EventOutcome::Changed);
    }

    #[test]
    fn changes_are_named_once_and_only_when_applied() {
        let mut follower = following(100);
        assert!(follower.take_changes().is_everything(), "a full refresh");
        follower.take(put(1));
        follower.take(SyncEvent::Delete(vec![uuid(2), uuid(999)]));
        let changes = follower.take_changes();
        assert!(changes.concerns_account(uuid(1)) && changes.concerns_account(uuid(2)));
        assert!(!changes.concerns_account(uuid(3)) && !changes.concerns_account(uuid(999)));
        assert!(follower.take_changes().is_empty());
        follower.take(put_guard(500, "30"));
        assert!(follower.take_changes().concerns_setting("removal-guard"));

        // An incomplete refresh changes nothing; a complete one changes what it brought.
        follower.begin();
        follower.take(put(4));
        assert!(follower.take_changes().is_empty());
        follower.end();
        follower.begin();
        follower.take(put(5));
        follower.take(SyncEvent::Delete(vec![uuid(6)]));
        assert_eq!(follower.take(SyncEvent::RefreshDone), EventOutcome::Complete);
        let changes = follower.take_changes();
        assert!(changes.concerns_account(uuid(5)) && changes.concerns_account(uuid(6)));
        assert!(!changes.concerns_account(uuid(4)));
        // A parked refresh changes nothing.
        follower.begin();
        follower.take(SyncEvent::Delete((10..=90).map(uuid).collect()));
        assert!(matches!(follower.take(SyncEvent::RefreshDone), EventOutcome::Parked { .. }));
        assert!(follower.take_changes().is_empty());
    }

    #[test]
    fn a_session_that_breaks_in_its_refresh_changes_nothing() {
        let mut follower = following(3);
        follower.begin();
        follower.take(SyncEvent::Delete(vec![uuid(1), uuid(2), uuid(3)]));
        follower.end();
        assert_eq!(follower.snapshot().people(), 3);
        follower.begin();
        assert_eq!(follower.take(SyncEvent::RefreshRequired), EventOutcome::StartOver);
        assert_eq!((follower.cookie(), follower.snapshot().people()), (None, 3));
    }
}
