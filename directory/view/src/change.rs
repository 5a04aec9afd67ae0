//! Change sets: what each publish changed, and how readers and sessions wait for the changes that concern them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::snapshot::ViewRecord;
use crate::{Person, PersonRef, Snapshot, View};

/// Maximum number of accounts, domains, groups and settings named in one change set; a larger set counts everything as
/// changed.
const NAMED_MAX: usize = 4096;
/// Maximum number of change sets that a reader may lag behind; beyond it, everything counts as changed for that reader.
const BEHIND_MAX: usize = 64;

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
    /// Returns a change set that counts everything as changed.
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

    /// Whether the domain (lower case) may have been added or removed.
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

    /// Records which account, domain, group or setting the entry concerns in `snapshot`. To be called before and after
    /// a change of the entry, because an address may pass from one account to another.
    pub(crate) fn record_entry(&mut self, snapshot: &Snapshot, entry_uuid: Uuid) {
        if self.everything {
            return;
        }
        match snapshot.record(entry_uuid) {
            None | Some(ViewRecord::Container(_)) => {}
            Some(ViewRecord::Person(_)) => {
                self.accounts.insert(entry_uuid);
            }
            Some(ViewRecord::Address(record)) => self.accounts.extend(snapshot.owner_of(record)),
            Some(ViewRecord::Domain(domain)) => {
                self.domains.insert(Arc::clone(domain));
            }
            Some(ViewRecord::Group(_)) => {
                self.groups.insert(entry_uuid);
            }
            Some(ViewRecord::Setting(stated)) => {
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
    watched: Arc<Watched>,
}

impl ChangeSenders {
    pub(crate) fn new() -> Self {
        Self { sets: broadcast::Sender::new(BEHIND_MAX), watched: Arc::default() }
    }

    /// Sends `changes`, and wakes the sessions whose person was replaced: has another [`Person`] in `after` than in
    /// `before`, or none. The View must already answer from `after`.
    pub(crate) fn publish(&self, changes: ChangeSet, before: &Snapshot, after: &Snapshot) {
        let is_replaced = |account: &Uuid| !is_same(&before.person(*account), &after.person(*account));
        self.watched.wake(&changes, is_replaced);
        // An error means that no reader is subscribed.
        let _ = self.sets.send(Arc::new(changes));
    }
}

/// The accounts that sessions watch: one for each person who is logged in, however many people the directory has.
///
/// An import changes tens of thousands of people while ten thousand sessions wait. No session may be woken for another
/// person's change, so each account has its own signal, which is given only when its person is replaced.
#[derive(Default)]
struct Watched(Mutex<HashMap<Uuid, Arc<AccountSignal>>>);

/// The signal of one account, given when its person is replaced.
#[derive(Default)]
struct AccountSignal {
    /// How often the signal was given.
    count: AtomicU64,
    notify: Notify,
}

impl Watched {
    fn accounts(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<AccountSignal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, account: Uuid) -> Arc<AccountSignal> {
        Arc::clone(self.accounts().entry(account).or_default())
    }

    /// Forgets the account when no other session watches it.
    fn unsubscribe(&self, account: &Uuid, signal: Arc<AccountSignal>) {
        let mut accounts = self.accounts();
        drop(signal);
        // One owner is left, the map itself: new ones can only come through the lock that is held here.
        if accounts.get(account).is_some_and(|signal| Arc::strong_count(signal) == 1) {
            accounts.remove(account);
        }
    }

    /// Gives the signal of each watched account that the changes may concern and whose person was replaced.
    fn wake(&self, changes: &ChangeSet, is_replaced: impl Fn(&Uuid) -> bool) {
        let accounts = self.accounts();
        let give = |account: &Uuid, signal: &AccountSignal| {
            if is_replaced(account) {
                signal.count.fetch_add(1, Ordering::AcqRel);
                signal.notify.notify_waiters();
            }
        };
        if changes.everything {
            accounts.iter().for_each(|(account, signal)| give(account, signal));
            return;
        }
        for account in &changes.accounts {
            if let Some(signal) = accounts.get(account) {
                give(account, signal);
            }
        }
    }
}

/// Reads change sets in the order of their publishing.
pub struct ChangeFeed {
    sets: broadcast::Receiver<Arc<ChangeSet>>,
}

impl ChangeFeed {
    /// Returns the next change set, once a snapshot at least as new is visible. A reader that lagged too far gets one
    /// that counts everything as changed. Pends for ever after the View is dropped. Cancel-safe.
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
    watched: Arc<Watched>,
    /// `None` only inside `drop`.
    signal: Option<Arc<AccountSignal>>,
    /// The [`AccountSignal::count`] up to which signals have been handled.
    last_count: u64,
    last_person: Option<PersonRef>,
    at_login: PersonRef,
    is_revoked: bool,
}

impl AccountWatch {
    fn count(&self) -> u64 {
        self.signal.as_ref().map_or(0, |signal| signal.count.load(Ordering::Acquire))
    }

    /// Whether the person has changed since the login or the last [`AccountWatch::read_person`]. Reads only a
    /// counter while the person has not changed.
    pub fn has_changed(&mut self, view: &View) -> bool {
        // Read before the snapshot, so that a publish in between counts as a new signal.
        let count = self.count();
        if count == self.last_count {
            return false;
        }
        let has_changed = !is_same(&view.snapshot().person(self.account), &self.last_person);
        if !has_changed {
            self.last_count = count;
        }
        has_changed
    }

    /// Whether the session must end: the person is gone, may no longer log in at `now`, or has other passwords than at
    /// the login. Marks the current state as seen; once true, stays true.
    pub fn is_revoked(&mut self, view: &View, now: Timestamp) -> bool {
        if !self.is_revoked && self.has_changed(view) {
            let held = self.read_person(view);
            let goes_on = |held: &Person| held.may_log_in(now) && held.passwords == self.at_login.passwords;
            self.is_revoked = !held.is_some_and(|held| goes_on(&held));
        }
        self.is_revoked
    }

    /// Whether the person may change their mail, by the state that was last read. It is false for one who is gone.
    pub fn may_change_mail(&self) -> bool {
        self.last_person.as_ref().is_some_and(|person| person.may_change_mail())
    }

    /// Returns the current person, and marks that state as seen.
    pub fn read_person(&mut self, view: &View) -> Option<Arc<Person>> {
        self.last_count = self.count();
        self.last_person = view.snapshot().person(self.account);
        self.last_person.clone()
    }

    /// Resolves once [`AccountWatch::has_changed`] is true. Cancel-safe.
    pub async fn changed(&mut self, view: &View) {
        let Some(signal) = self.signal.clone() else { return std::future::pending().await };
        loop {
            // Created before the check: it resolves for any signal from now on, even for one that is given before it is
            // polled.
            let notification = signal.notify.notified();
            if self.has_changed(view) {
                return;
            }
            notification.await;
        }
    }
}

impl Drop for AccountWatch {
    fn drop(&mut self) {
        if let Some(signal) = self.signal.take() {
            self.watched.unsubscribe(&self.account, signal);
        }
    }
}

/// Whether both are the same state of the same entry. Pointers suffice: every write to an entry makes a new `Person`.
fn is_same(one: &Option<PersonRef>, other: &Option<PersonRef>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
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
        let watched = Arc::clone(&self.inner.shared.change_senders.watched);
        let signal = watched.subscribe(account);
        // Starts one signal behind, so that the first [`AccountWatch::has_changed`] compares: the person may have
        // changed since the login.
        let last_count = signal.count.load(Ordering::Acquire).wrapping_sub(1);
        let (last_person, at_login) = (Some(Arc::clone(person)), Arc::clone(person));
        AccountWatch { account, watched, signal: Some(signal), last_count, last_person, at_login, is_revoked: false }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::time::Duration;

    use super::*;
    use crate::AddressKind;
    use crate::PersonState;
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
            snapshot.insert(uuid(n), record);
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
            set.record_entry(&snapshot, uuid(n));
            match concerns {
                Some(concerns) => assert!(concerns(&set), "{n}: {set:?}"),
                None => assert!(set.is_empty(), "{n}: {set:?}"),
            }
            assert!(!set.is_everything());
        }
    }

    #[test]
    fn too_many_changes_count_as_everything() {
        let mut snapshot = Snapshot::default();
        let (mut set, mut other) = (ChangeSet::default(), ChangeSet::default());
        for n in 1..=NAMED_MAX as u128 {
            snapshot.insert(uuid(n), person(n, &format!("p{n}")));
            set.record_entry(&snapshot, uuid(n));
        }
        assert!(!set.is_everything() && !set.concerns_account(uuid(9_999_999)));
        snapshot.insert(uuid(9_999), person(9_999, "last"));
        other.record_entry(&snapshot, uuid(9_999));
        set.merge(other);
        assert_eq!(set, ChangeSet::everything());
        assert!(set.concerns_account(uuid(9_999_999)) && set.concerns_setting("x") && set.concerns_domain("y"));
    }

    /// Publishes one more person, or another state of an existing one.
    fn publish(view: &View, n: u128, state: PersonState) {
        let mut snapshot = (*view.snapshot()).clone();
        let record = person(n, &format!("p{n}"));
        let ViewRecord::Person(whole) = &record else { unreachable!() };
        let changed = Person { state, ..(*whole.person).clone() };
        let record = crate::snapshot::PersonRecord {
            person: Arc::new(changed),
            local_addresses: Box::default(),
            facets: Default::default(),
        };
        snapshot.insert(uuid(n), ViewRecord::Person(Arc::new(record)));
        let mut changes = ChangeSet::default();
        changes.record_entry(&snapshot, uuid(n));
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
        assert!(!is_woken(&mut watch, &view).await);
        for other in [2, 3, 4] {
            publish(&view, other, PersonState::Suspended);
            assert!(!watch.has_changed(&view) && !is_woken(&mut watch, &view).await, "{other}");
        }
        publish(&view, 1, PersonState::Suspended);
        // The watch reports the change until the session reads the person.
        assert!(is_woken(&mut watch, &view).await && is_woken(&mut watch, &view).await && watch.has_changed(&view));
        assert_eq!(watch.read_person(&view).unwrap().state, PersonState::Suspended);
        assert!(!watch.has_changed(&view) && !is_woken(&mut watch, &view).await);
    }

    /// How often a future was woken.
    #[derive(Default)]
    struct Wakes(AtomicU64);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// During an import, no waiting session is woken for other people's changes, whether the change set names them or
    /// counts everything as changed, nor for a change set that names its person without a change.
    #[test]
    fn an_import_wakes_no_session() {
        const SESSIONS: u128 = 10_000;
        let view = View::fixed((1..=SESSIONS).map(|n| bare_person(n, &format!("p{n}"))).collect());
        let snapshot = view.snapshot();
        let mut watches: Vec<_> = (1..=SESSIONS).map(|n| view.watch(&snapshot.person(uuid(n)).unwrap())).collect();
        let mut waits: Vec<_> = watches.iter_mut().map(|watch| Box::pin(watch.changed(&view))).collect();
        let wakes = Arc::new(Wakes::default());
        let waker = Arc::clone(&wakes).into();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(&mut context).is_pending()));
        let mut next = (*snapshot).clone();
        for batch in 0..40 {
            let mut changes = ChangeSet::default();
            for n in (1..=900).map(|n| SESSIONS + batch * 900 + n) {
                next.insert(uuid(n), person(n, &format!("p{n}")));
                changes.record_entry(&next, uuid(n));
            }
            changes.record_entry(&next, uuid(1));
            view.inner.shared.publish(Arc::new(next.clone()), changes);
        }
        view.inner.shared.publish(Arc::new(next.clone()), ChangeSet::everything());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        next.insert(uuid(7), person(7, "p7"));
        view.inner.shared.publish(Arc::new(next), ChangeSet::everything());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let woken = waits.iter_mut().position(|wait| wait.as_mut().poll(&mut context).is_ready());
        assert_eq!(woken, Some(6));
    }

    #[test]
    fn watched_accounts_are_forgotten_with_their_last_session() {
        let view = View::fixed(vec![bare_person(1, "p1")]);
        let zoe = view.snapshot().person(uuid(1)).unwrap();
        let watched = Arc::clone(&view.inner.shared.change_senders.watched);
        let (one, mut other) = (view.watch(&zoe), view.watch(&zoe));
        drop(one);
        assert_eq!(watched.accounts().len(), 1);
        publish(&view, 1, PersonState::Suspended);
        assert!(other.has_changed(&view));
        drop(other);
        assert!(watched.accounts().is_empty());
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
            assert!(!watch.is_revoked(&view, Timestamp::UNIX_EPOCH));
            let mut snapshot = (*view.snapshot()).clone();
            let record = crate::snapshot::PersonRecord {
                person: Arc::new(changed),
                local_addresses: Box::default(),
                facets: Default::default(),
            };
            snapshot.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
            view.inner.shared.publish(Arc::new(snapshot), ChangeSet::everything());
            assert_eq!(
                (watch.is_revoked(&view, Timestamp::UNIX_EPOCH), watch.is_revoked(&view, Timestamp::UNIX_EPOCH)),
                (ends, ends)
            );
        }
    }

    #[tokio::test]
    async fn a_change_between_login_and_watch_is_seen() {
        let view = View::fixed(vec![bare_person(1, "p1")]);
        let zoe = view.snapshot().person(uuid(1)).unwrap();
        publish(&view, 1, PersonState::Suspended);
        assert!(view.watch(&zoe).has_changed(&view));
        // A person who is removed counts as changed.
        let now = view.snapshot().person(uuid(1)).unwrap();
        let mut watch = view.watch(&now);
        view.inner.shared.publish(Arc::new(Snapshot::default()), ChangeSet::everything());
        assert!(is_woken(&mut watch, &view).await);
        assert!(watch.read_person(&view).is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_a_set_that_counts_everything_as_changed() {
        let view = View::fixed(Vec::new());
        let (mut feed, mut slow) = (view.changes(), view.changes());
        publish(&view, 1, PersonState::Active);
        let first = feed.next().await;
        assert!(first.concerns_account(uuid(1)) && !first.is_everything());
        for n in 2..=u128::try_from(BEHIND_MAX).unwrap() + 2 {
            publish(&view, n, PersonState::Active);
        }
        assert!(slow.next().await.is_everything());
        assert!(slow.next().await.concerns_account(uuid(3)), "the oldest set that the channel still holds comes next");
    }
}
