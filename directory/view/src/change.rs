//! Change sets: what each publish changed, and how readers and sessions wait for the changes that concern them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::snapshot::Record;
use crate::{Person, PersonRef, PersonState, Snapshot, View};

/// Most accounts, domains, groups and settings named in one change set; a larger set counts everything as changed.
const NAMED_MAX: usize = 4096;
/// Most change sets that a reader may lag behind; beyond, everything counts as changed for that reader.
const BEHIND_MAX: usize = 64;
/// Number of wake-up channels, each shared by several accounts. A change wakes the sessions of all accounts on its
/// channel, and each compares one pointer: ten sessions of 10,000.
const CHANNELS: usize = 1024;

/// The accounts, domains, groups and settings that one publish changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    everything: bool,
    accounts: BTreeSet<Uuid>,
    domains: BTreeSet<Arc<str>>,
    groups: BTreeSet<Uuid>,
    settings: BTreeSet<Box<str>>,
}

impl ChangeSet {
    /// A change set that names everything.
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Whether everything counts as changed.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.named() == 0
    }

    /// Whether the account, or one of its addresses, may have changed.
    pub fn concerns_account(&self, entry_uuid: Uuid) -> bool {
        self.everything || self.accounts.contains(&entry_uuid)
    }

    /// Whether the served state of the domain (lower case) may have changed.
    pub fn concerns_domain(&self, domain: &str) -> bool {
        self.everything || self.domains.contains(domain)
    }

    /// Whether the group may have changed.
    pub fn concerns_group(&self, entry_uuid: Uuid) -> bool {
        self.everything || self.groups.contains(&entry_uuid)
    }

    /// Whether the directory's values of the setting (name in lower case) may have changed.
    pub fn concerns_setting(&self, name: &str) -> bool {
        self.everything || self.settings.contains(name)
    }

    /// Whether any setting may have changed.
    pub(crate) fn concerns_settings(&self) -> bool {
        self.everything || !self.settings.is_empty()
    }

    fn named(&self) -> usize {
        self.accounts.len() + self.domains.len() + self.groups.len() + self.settings.len()
    }

    /// Records what the entry is in `snapshot`. The caller calls it before and after it changes the entry.
    pub(crate) fn note(&mut self, snapshot: &Snapshot, entry_uuid: Uuid) {
        if self.everything {
            return;
        }
        match snapshot.record(entry_uuid) {
            None | Some(Record::Container(_)) => {}
            Some(Record::Person(_)) => {
                self.accounts.insert(entry_uuid);
            }
            Some(Record::Address(record)) => self.accounts.extend(snapshot.owner_of(record)),
            Some(Record::Domain(domain)) => {
                self.domains.insert(Arc::clone(domain));
            }
            Some(Record::Group(_)) => {
                self.groups.insert(entry_uuid);
            }
            Some(Record::Setting(stated)) => {
                self.settings.insert(stated.name.to_lowercase().into_boxed_str());
            }
        }
        if self.named() > NAMED_MAX {
            *self = Self::everything();
        }
    }

    /// Adds the changes of `other`.
    pub(crate) fn merge(&mut self, other: Self) {
        self.everything |= other.everything;
        self.accounts.extend(other.accounts);
        self.domains.extend(other.domains);
        self.groups.extend(other.groups);
        self.settings.extend(other.settings);
        if self.everything || self.named() > NAMED_MAX {
            *self = Self::everything();
        }
    }
}

/// Sends change sets to their readers, and wakes sessions that wait for a change of one account.
pub(crate) struct ChangeSenders {
    sets: broadcast::Sender<Arc<ChangeSet>>,
    accounts: Box<[watch::Sender<()>]>,
}

impl ChangeSenders {
    pub(crate) fn new() -> Self {
        let accounts = (0..CHANNELS).map(|_| watch::Sender::new(())).collect();
        Self { sets: broadcast::Sender::new(BEHIND_MAX), accounts }
    }

    /// Sends the change set, and wakes the sessions whose accounts it concerns.
    pub(crate) fn publish(&self, changes: ChangeSet) {
        if changes.everything {
            for channel in &self.accounts {
                channel.send_replace(());
            }
        } else {
            let channels: BTreeSet<usize> = changes.accounts.iter().map(channel_of).collect();
            for channel in channels.into_iter().filter_map(|channel| self.accounts.get(channel)) {
                channel.send_replace(());
            }
        }
        // An error means that no reader is subscribed.
        let _ = self.sets.send(Arc::new(changes));
    }

    fn subscribe(&self, account: &Uuid) -> Option<watch::Receiver<()>> {
        self.accounts.get(channel_of(account)).map(watch::Sender::subscribe)
    }
}

/// Returns the channel of an account. Uses all bits: UUIDs of version 1 and 7 share most of them with their neighbours.
fn channel_of(account: &Uuid) -> usize {
    let (high, low) = account.as_u64_pair();
    let folded = (high ^ low.rotate_left(23)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(folded >> 32).unwrap_or_default() % CHANNELS
}

/// Reads change sets in the order of their publishing.
pub struct ChangeFeed {
    sets: broadcast::Receiver<Arc<ChangeSet>>,
}

impl ChangeFeed {
    /// Returns the next change set, once a snapshot at least as new is visible. A reader that lagged too far gets one
    /// that names everything. Pends for ever after the View is dropped. Cancel-safe.
    pub async fn next(&mut self) -> Arc<ChangeSet> {
        match self.sets.recv().await {
            Ok(changes) => changes,
            Err(broadcast::error::RecvError::Lagged(_)) => Arc::new(ChangeSet::everything()),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Waits for changes of one person, for a session of that person.
pub struct AccountWatch {
    account: Uuid,
    ticks: Option<watch::Receiver<()>>,
    seen: Option<PersonRef>,
    at_login: PersonRef,
    is_revoked: bool,
}

impl AccountWatch {
    /// Whether the person differs from the state at login or at the last [`AccountWatch::look`]. Costs one atomic read
    /// while no account on the same channel changes.
    pub fn has_changed(&mut self, view: &View) -> bool {
        let Some(ticks) = &mut self.ticks else { return false };
        if !ticks.has_changed().unwrap_or(false) {
            return false;
        }
        if is_same(&view.snapshot().person(self.account), &self.seen) {
            ticks.mark_unchanged();
            // Look again: a publish between the look and the mark would be missed.
            if is_same(&view.snapshot().person(self.account), &self.seen) {
                return false;
            }
            ticks.mark_changed();
        }
        true
    }

    /// Whether the session must end: the person is gone, may no longer log in, or has other passwords than at login.
    /// Takes the current state as seen; once true, stays true.
    pub fn is_revoked(&mut self, view: &View) -> bool {
        if !self.is_revoked && self.has_changed(view) {
            let now = self.look(view);
            let goes_on = |now: &Person| now.state == PersonState::Active && now.passwords == self.at_login.passwords;
            self.is_revoked = !now.is_some_and(|now| goes_on(&now));
        }
        self.is_revoked
    }

    /// Returns the current person, and takes that state as seen.
    pub fn look(&mut self, view: &View) -> Option<Arc<Person>> {
        if let Some(ticks) = &mut self.ticks {
            ticks.mark_unchanged();
        }
        self.seen = view.snapshot().person(self.account);
        self.seen.clone()
    }

    /// Resolves once [`AccountWatch::has_changed`] is true. Cancel-safe.
    pub async fn changed(&mut self, view: &View) {
        while !self.has_changed(view) {
            let gone = match &mut self.ticks {
                Some(ticks) => ticks.changed().await.is_err(),
                None => true,
            };
            if gone {
                return std::future::pending().await;
            }
            if let Some(ticks) = &mut self.ticks {
                ticks.mark_changed();
            }
        }
    }
}

/// Whether both are the same state of the same entry: every write replaces the person, so pointers differ.
fn is_same(now: &Option<PersonRef>, seen: &Option<PersonRef>) -> bool {
    match (now, seen) {
        (Some(now), Some(seen)) => Arc::ptr_eq(now, seen),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl View {
    /// Subscribes to the change sets of all publishes from now on.
    pub fn changes(&self) -> ChangeFeed {
        ChangeFeed { sets: self.inner.shared.change_senders.sets.subscribe() }
    }

    /// Watches `person`, as a login returned it. A change between the login and this call is noticed.
    pub fn watch(&self, person: &PersonRef) -> AccountWatch {
        let account = person.entry_uuid;
        let mut ticks = self.inner.shared.change_senders.subscribe(&account);
        if let Some(ticks) = &mut ticks {
            ticks.mark_changed();
        }
        let (seen, at_login) = (Some(Arc::clone(person)), Arc::clone(person));
        AccountWatch { account, ticks, seen, at_login, is_revoked: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::AddressKind;
    use crate::testing::{address_entry, bare_person, domain, group, person, setting, uuid};

    #[test]
    fn a_change_set_names_what_has_changed() {
        let mut snapshot = Snapshot::default();
        let entries = [
            (1, person(1, "zoe")),
            (2, person(2, "li")),
            (11, address_entry(11, "z@example.edu", AddressKind::Alias, Some(1))),
            (12, address_entry(12, "free@example.edu", AddressKind::Quarantined, None)),
            (21, domain("example.edu")),
            (31, group(31, "Staff", &[1, 2])),
            (41, setting("Time-Zone", "UTC")),
        ];
        for (n, record) in entries {
            snapshot.put(uuid(n), record);
        }
        type Concerns = fn(&ChangeSet) -> bool;
        let cases: [(u128, Option<Concerns>); 6] = [
            (2, Some(|set| set.concerns_account(uuid(2)) && !set.concerns_account(uuid(1)))),
            (11, Some(|set| set.concerns_account(uuid(1)) && !set.concerns_account(uuid(2)))),
            (12, None),
            (21, Some(|set| set.concerns_domain("example.edu") && !set.concerns_domain("other.edu"))),
            (31, Some(|set| set.concerns_group(uuid(31)) && !set.concerns_account(uuid(1)))),
            (41, Some(|set| set.concerns_setting("time-zone") && !set.concerns_setting("default-quota"))),
        ];
        for (n, concerns) in cases {
            let mut set = ChangeSet::default();
            set.note(&snapshot, uuid(n));
            match concerns {
                Some(concerns) => assert!(concerns(&set), "{n}: {set:?}"),
                None => assert!(set.is_empty(), "{n}: {set:?}"),
            }
            assert!(!set.is_everything());
        }
    }

    #[test]
    fn too_many_changes_are_everything() {
        let mut snapshot = Snapshot::default();
        let (mut set, mut other) = (ChangeSet::default(), ChangeSet::default());
        for n in 1..=NAMED_MAX as u128 {
            snapshot.put(uuid(n), person(n, &format!("p{n}")));
            set.note(&snapshot, uuid(n));
        }
        assert!(!set.is_everything() && !set.concerns_account(uuid(9_999_999)));
        snapshot.put(uuid(9_999), person(9_999, "last"));
        other.note(&snapshot, uuid(9_999));
        set.merge(other);
        assert_eq!(set, ChangeSet::everything());
        assert!(set.concerns_account(uuid(9_999_999)) && set.concerns_setting("x") && set.concerns_domain("y"));
    }

    /// Publishes one more person, or another state of an existing one.
    fn publish(view: &View, n: u128, state: PersonState) {
        let mut snapshot = (*view.snapshot()).clone();
        let record = person(n, &format!("p{n}"));
        let Record::Person(whole) = &record else { unreachable!() };
        let changed = Person { state, ..(*whole.person).clone() };
        let record = crate::snapshot::PersonRecord { person: Arc::new(changed), projected: Box::default() };
        snapshot.put(uuid(n), Record::Person(Arc::new(record)));
        let mut changes = ChangeSet::default();
        changes.note(&snapshot, uuid(n));
        view.inner.shared.publish(Arc::new(snapshot), changes);
    }

    async fn is_woken(watch: &mut AccountWatch, view: &View) -> bool {
        tokio::time::timeout(Duration::from_millis(20), watch.changed(view)).await.is_ok()
    }

    #[tokio::test]
    async fn a_session_is_woken_by_its_own_account_alone() {
        let view = View::fixed((1..=3).map(|n| bare_person(n, &format!("p{n}"))).collect());
        let zoe = view.snapshot().person(uuid(1)).unwrap();
        let mut watch = view.watch(&zoe);
        // Another account on the same channel: woken internally, but not reported.
        let neighbour = (4..).find(|n| channel_of(&uuid(*n)) == channel_of(&uuid(1))).unwrap();
        assert!(!is_woken(&mut watch, &view).await);
        for other in [2, 3, neighbour] {
            publish(&view, other, PersonState::Suspended);
            assert!(!watch.has_changed(&view) && !is_woken(&mut watch, &view).await, "{other}");
        }
        publish(&view, 1, PersonState::Suspended);
        // The watch reports the change until the session looks.
        assert!(is_woken(&mut watch, &view).await && is_woken(&mut watch, &view).await && watch.has_changed(&view));
        assert_eq!(watch.look(&view).unwrap().state, PersonState::Suspended);
        assert!(!watch.has_changed(&view) && !is_woken(&mut watch, &view).await);
    }

    #[tokio::test]
    async fn another_password_or_state_ends_a_session() {
        let first = Person { passwords: vec!["{SSHA}one".into()], ..bare_person(1, "p1") };
        for (changed, ends) in [
            (Person { display_name: "Zoé".into(), ..first.clone() }, false),
            (Person { passwords: vec!["{SSHA}two".into()], ..first.clone() }, true),
            (Person { state: PersonState::Suspended, ..first.clone() }, true),
        ] {
            let view = View::fixed(vec![first.clone()]);
            let mut watch = view.watch(&view.snapshot().person(uuid(1)).unwrap());
            assert!(!watch.is_revoked(&view));
            let mut snapshot = (*view.snapshot()).clone();
            let record = crate::snapshot::PersonRecord { person: Arc::new(changed), projected: Box::default() };
            snapshot.put(uuid(1), Record::Person(Arc::new(record)));
            view.inner.shared.publish(Arc::new(snapshot), ChangeSet::everything());
            assert_eq!((watch.is_revoked(&view), watch.is_revoked(&view)), (ends, ends));
        }
    }

    #[tokio::test]
    async fn a_change_between_login_and_watch_is_seen() {
        let view = View::fixed(vec![bare_person(1, "p1")]);
        let zoe = view.snapshot().person(uuid(1)).unwrap();
        publish(&view, 1, PersonState::Suspended);
        assert!(view.watch(&zoe).has_changed(&view));
        // A refresh that replaces everything wakes all sessions, and removed people count as changed.
        let now = view.snapshot().person(uuid(1)).unwrap();
        let mut watch = view.watch(&now);
        view.inner.shared.publish(Arc::new(Snapshot::default()), ChangeSet::everything());
        assert!(is_woken(&mut watch, &view).await);
        assert!(watch.look(&view).is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_a_set_that_names_everything() {
        let view = View::fixed(Vec::new());
        let (mut feed, mut slow) = (view.changes(), view.changes());
        publish(&view, 1, PersonState::Active);
        let first = feed.next().await;
        assert!(first.concerns_account(uuid(1)) && !first.is_everything());
        for n in 2..=u128::try_from(BEHIND_MAX).unwrap() + 2 {
            publish(&view, n, PersonState::Active);
        }
        assert!(slow.next().await.is_everything());
        assert!(slow.next().await.concerns_account(uuid(3)), "the reader continues with the kept sets");
    }
}
