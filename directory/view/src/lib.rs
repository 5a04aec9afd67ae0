//! The View: all directory data that the mail core needs, in memory and on disk.
//!
//! An RFC 4533 consumer feeds an immutable, indexed snapshot that is replaced as a whole. An answer is one of: found,
//! certainly absent, or unavailable. Unavailable is never reported as absent.

mod access;
mod change;
mod claims;
mod consumer;
mod cow_map;
mod file;
mod follower;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod guard;
mod login;
mod mapping;
mod password_state;
mod person;
mod saved;
mod setting;
mod snapshot;
mod status;
#[cfg(test)]
mod testing;

pub use access::{Access, Forbidden, Forwarding, LockSpan, MailIntake};
pub use change::{AccountWatch, ChangeFeed, ChangeSet};
pub use group::{Expansion, ExpansionFault, GROUPS_VISITED_MAX, Group, ListAddress, ListPart};
pub use login::{Login, LoginAttempt, source_network};
pub use mapping::VACATION_INTERVAL_DAYS;
pub use password_state::{PasswordDue, PasswordState};
pub use person::{Affiliation, Person, PersonRef, PersonState, Vacation};
pub use provost_credential::Secret;
pub use provost_entry::{Address, AddressError, Dn, Entry, Poster};
pub use provost_settings::{Fallback, SettingFault, SettingRow, SharedSettings};
pub use snapshot::{AddressKind, OwnerSince, RecipientStatus, Snapshot};
pub use status::ViewStatus;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use uuid::Uuid;

use change::ChangeSenders;
use consumer::Consumer;
use follower::Follower;
use login::Verifier;
use saved::Saver;
use snapshot::{Lookup, PersonRecord, ViewRecord};
use status::StatusCell;

/// How long a View that follows no directory remembers a verified password.
const FIXED_CREDENTIAL_TTL: Duration = Duration::from_secs(600);

/// Configuration of the View.
#[derive(Clone, Debug)]
pub struct ViewConfig {
    /// The file of the saved snapshot; its folder must exist.
    pub file: PathBuf,
    /// How passwords are verified.
    pub passwords: PasswordSource,
    /// How long a verified password is remembered.
    pub credential_ttl: Duration,
    /// Values from the node's own file for settings that the directory does not state.
    pub fallback: Fallback,
}

/// How passwords are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PasswordSource {
    /// Against the hashes in the View; by an LDAP bind when there are none, or when none matches and one has an
    /// unsupported scheme.
    #[default]
    View,
    /// Always by an LDAP bind.
    Bind,
}

/// A handle to the View. Cheap to clone; every session holds one.
#[derive(Clone)]
pub struct View {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<ViewState>,
    verifier: Verifier,
    directory: Option<provost_client::Directory>,
    consumer: Option<tokio::task::AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(consumer) = &self.consumer {
            consumer.abort();
        }
    }
}

/// The state that the consumer writes and the sessions read.
struct ViewState {
    snapshot: ArcSwap<Snapshot>,
    health: StatusCell,
    change_senders: ChangeSenders,
    /// `None` in a View that follows no directory.
    saver: Option<Arc<Saver>>,
}

impl ViewState {
    fn new(snapshot: Snapshot, saver: Option<Saver>) -> Self {
        report_faults(&SharedSettings::default(), snapshot.settings());
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            health: StatusCell::default(),
            change_senders: ChangeSenders::new(),
            saver: saver.map(Arc::new),
        }
    }

    fn set_newest(&self, snapshot: Option<Arc<Snapshot>>, cookie: Option<&provost_client::Cookie>) {
        if let Some(saver) = &self.saver {
            saver.set_newest(snapshot, cookie);
        }
    }

    /// Starts a save, or has the running one write the newer state as well. Returns how long the last save took; zero
    /// while a save is running, or when there is no file.
    fn save_in_background(&self) -> Duration {
        let Some(saver) = self.saver.clone() else { return Duration::ZERO };
        // Request first, then look for a running save: in the other order, that save could end in between and miss the
        // request.
        saver.want();
        let Some(took) = saver.took() else { return Duration::ZERO };
        tokio::spawn(async move {
            if let Err(error) = saver.save().await {
                tracing::error!(%error, "the View cannot be saved");
            }
        });
        took
    }

    /// Makes `snapshot` visible to every session, and wakes those that the changes concern.
    fn publish(&self, snapshot: Arc<Snapshot>, changes: ChangeSet) {
        metrics::gauge!("provost_view_people").set(snapshot.people() as f64);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        if !Arc::ptr_eq(before.settings(), snapshot.settings()) {
            report_faults(before.settings(), snapshot.settings());
        }
        self.change_senders.publish(changes, &before, &snapshot);
    }
}

/// Logs each invalid setting once, when it becomes invalid, and sets the gauge of invalid settings.
fn report_faults(before: &SharedSettings, after: &SharedSettings) {
    metrics::gauge!("provost_settings_bad").set(after.faults().len() as f64);
    for fault in after.faults().iter().filter(|fault| !before.faults().contains(fault)) {
        let origin = after.origin(&fault.name.to_lowercase());
        tracing::error!(
            setting = fault.name, dn = fault.dn, values = ?fault.values, rule = fault.rule, in_force = %origin,
            "a setting in the directory is invalid and not in force"
        );
    }
}

impl View {
    /// Loads the saved snapshot, if one is usable, and starts to follow the directory in the background, on the calling
    /// runtime. Never fails: without snapshot and directory, every answer is "unavailable".
    pub fn start(config: ViewConfig, directory: provost_client::Directory) -> Self {
        let empty = Snapshot::new(config.fallback);
        let saved = file::read(&config.file, &empty);
        let complete = saved.is_some();
        let (snapshot, cookie) = saved.unwrap_or((empty, None));
        let shared = Arc::new(ViewState::new(snapshot.clone(), Some(Saver::new(config.file))));
        if complete {
            shared.health.set_complete();
        }
        let follower = Follower::new(directory.suffix().clone(), snapshot, cookie);
        let consumer = Consumer::new(Arc::clone(&shared), directory.clone(), follower);
        let consumer = Some(tokio::spawn(consumer.run()).abort_handle());
        let verifier = Verifier::new(config.passwords, config.credential_ttl);
        Self { inner: Arc::new(Inner { shared, verifier, directory: Some(directory), consumer }) }
    }

    /// Makes a View that follows no directory and holds exactly these people, with their domains served. For tests.
    pub fn fixed(people: Vec<Person>) -> Self {
        Self::fixed_with(people, Fallback::default())
    }

    /// Makes a View as [`View::fixed`] does, with these settings.
    pub fn fixed_with(people: Vec<Person>, settings: Fallback) -> Self {
        let mut snapshot = Snapshot::new(settings);
        for person in people {
            let (uuid, domain) = (person.entry_uuid, person.primary.domain().to_owned());
            snapshot.insert(Uuid::new_v5(&Uuid::NAMESPACE_DNS, domain.as_bytes()), ViewRecord::Domain(domain.into()));
            let record =
                PersonRecord { person: Arc::new(person), local_addresses: Box::default(), facets: Default::default() };
            snapshot.insert(uuid, ViewRecord::Person(Arc::new(record)));
        }
        let shared = ViewState::new(snapshot, None);
        shared.health.set_complete();
        shared.health.set_current(true);
        Self::unfollowed(shared)
    }

    /// Makes a View as [`View::fixed`] does, with entries of addresses: each belongs to the person with that login since
    /// a moment. For tests.
    pub fn fixed_since(people: Vec<Person>, addresses: &[(&str, &str, Timestamp)]) -> Self {
        let view = Self::fixed(people);
        let mut snapshot = (*view.snapshot()).clone();
        for (text, login, since) in addresses {
            let (Ok(address), Some(owner)) = (Address::parse(text), snapshot.by_login(login)) else { continue };
            let entry_uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes());
            let (kind, owner) = (AddressKind::Alias, snapshot::dn_key(&owner.dn));
            let (since, until, targets) = (Some(*since), None, Box::default());
            let record = snapshot::AddressRecord { entry_uuid, address, kind, owner, since, until, targets };
            snapshot.insert(entry_uuid, ViewRecord::Address(Arc::new(record)));
        }
        view.inner.shared.publish(Arc::new(snapshot), ChangeSet::everything());
        view
    }

    /// Makes a View as [`View::fixed`] does, with these directory entries, mapped as those that a directory sends. One
    /// that cannot be mapped is left out. For tests.
    pub fn fixed_with_entries(people: Vec<Person>, suffix: &Dn, entries: &[Entry]) -> Self {
        let view = Self::fixed(people);
        let mut snapshot = (*view.snapshot()).clone();
        for entry in entries {
            let entry_uuid = Uuid::new_v5(&Uuid::NAMESPACE_X500, entry.dn.normalised().as_bytes());
            if let mapping::MappedEntry::Record(record) = mapping::map(entry_uuid, entry, suffix) {
                snapshot.insert(entry_uuid, record);
            }
        }
        view.inner.shared.publish(Arc::new(snapshot), ChangeSet::everything());
        view
    }

    /// Makes a View that follows no directory and has never been complete. For tests.
    pub fn never_complete() -> Self {
        Self::unfollowed(ViewState::new(Snapshot::new(Fallback::default()), None))
    }

    fn unfollowed(state: ViewState) -> Self {
        let verifier = Verifier::new(PasswordSource::View, FIXED_CREDENTIAL_TTL);
        Self { inner: Arc::new(Inner { shared: Arc::new(state), verifier, directory: None, consumer: None }) }
    }

    /// Returns the current state. Use it for one decision and do not keep it: the next snapshot may differ.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.shared.snapshot.load_full()
    }

    /// Returns the recipient of mail for `address` now.
    pub fn recipient(&self, address: &Address) -> RecipientStatus {
        self.recipient_at(address, Timestamp::now())
    }

    /// Returns the recipient of mail for `address` at `now`, which counts for addresses with an end.
    pub fn recipient_at(&self, address: &Address, now: Timestamp) -> RecipientStatus {
        let health = &self.inner.shared.health;
        // Read before the snapshot: the snapshot loaded afterwards is then at least as new as this flag.
        let certain = health.certain();
        let snapshot = self.inner.shared.snapshot.load();
        if !snapshot.serves(address.domain()) {
            return if health.complete() { RecipientStatus::NotLocal } else { RecipientStatus::Unavailable };
        }
        if let Some(list) = snapshot.list(address) {
            return RecipientStatus::List(Box::new(list));
        }
        match snapshot.look_up(address, now) {
            Lookup::Person(person, _) if person.receives() => RecipientStatus::Person(person),
            Lookup::Person(..) if certain => RecipientStatus::Closed,
            Lookup::Quarantined | Lookup::Absent if certain => RecipientStatus::Unknown,
            Lookup::Person(..) | Lookup::List(_) | Lookup::Quarantined | Lookup::Absent | Lookup::Orphan => {
                RecipientStatus::Unavailable
            }
        }
    }

    /// Returns the status of a recipient that is no [`Address`], such as one whose local part needs quotes: no person
    /// has it. An empty domain is that of this site (RFC 5321 §4.5.1).
    pub fn recipient_without_address(&self, domain: &str) -> RecipientStatus {
        let health = &self.inner.shared.health;
        // Read before the snapshot, as in `recipient`.
        let certain = health.certain();
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let is_local = domain.is_empty() || self.serves(&domain);
        match (is_local, health.complete()) {
            (true, _) if certain => RecipientStatus::Unknown,
            (false, true) => RecipientStatus::NotLocal,
            (true, _) | (false, false) => RecipientStatus::Unavailable,
        }
    }

    /// Whether `domain` (lower case) is served here.
    pub fn serves(&self, domain: &str) -> bool {
        self.inner.shared.snapshot.load().serves(domain)
    }

    /// Whether `domain` (lower case) is certainly not served here. Both this and [`View::serves`] are false while the
    /// domain may be newer than the last contact with the directory.
    pub fn is_foreign(&self, domain: &str) -> bool {
        let shared = &self.inner.shared;
        shared.health.certain() && !shared.snapshot.load().serves(domain)
    }

    /// Verifies a login by address or `uid` and password, counts it, and logs it unless it is accepted. Hashing runs
    /// off the async threads, at most one hash per core at a time; repeated guesses are throttled.
    pub async fn login(&self, attempt: LoginAttempt<'_>, now: Timestamp) -> Login {
        let shared = &self.inner.shared;
        let look_up = || {
            let certain = shared.health.certain();
            (shared.snapshot.load_full(), certain)
        };
        self.inner.verifier.login(look_up, self.inner.directory.as_ref(), attempt, now).await
    }

    /// Whether what the View lacks is certainly absent from the directory.
    pub fn is_certain(&self) -> bool {
        self.inner.shared.health.certain()
    }

    /// Whether this process has accepted a login to `name` from `source` in the last 30 days.
    pub fn is_familiar(&self, name: &str, source: IpAddr, now: Timestamp) -> bool {
        let snapshot = self.inner.shared.snapshot.load();
        self.inner.verifier.is_familiar(&snapshot, name, source, now)
    }

    /// Returns the freshness and the counts of the View.
    pub fn status(&self) -> ViewStatus {
        let shared = &self.inner.shared;
        let snapshot = shared.snapshot.load();
        let bad_settings = snapshot.settings().faults().len();
        ViewStatus { people: snapshot.people(), bad_settings, ..shared.health.read() }
    }

    /// Saves the snapshot now, for a planned stop.
    pub async fn save(&self) -> std::io::Result<()> {
        match &self.inner.shared.saver {
            Some(saver) => saver.save().await,
            None => Ok(()),
        }
    }

    /// Stops following the directory; the last state still answers. For a planned stop, before [`View::save`].
    pub fn stop(&self) {
        if let Some(consumer) = &self.inner.consumer {
            consumer.abort();
        }
    }

    #[cfg(test)]
    fn publish_for_test(&self, snapshot: Snapshot) {
        self.inner.shared.publish(Arc::new(snapshot), ChangeSet::everything());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bare_person;

    #[test]
    fn only_a_current_view_reports_absence() {
        let closed = Person { state: PersonState::Closed, ..bare_person(2, "gone") };
        let suspended = Person { state: PersonState::Suspended, ..bare_person(3, "away") };
        let view = View::fixed(vec![bare_person(1, "zoe"), closed, suspended]);
        let answer = |address: &str| match view.recipient(&Address::parse(address).unwrap()) {
            RecipientStatus::Person(_) => "person",
            RecipientStatus::List(_) => "list",
            RecipientStatus::Unknown => "unknown",
            RecipientStatus::NotLocal => "not local",
            RecipientStatus::Closed => "closed",
            RecipientStatus::Unavailable => "unavailable",
        };
        for (address, current, stale) in [
            ("zoe@example.edu", "person", "person"),
            ("away@example.edu", "person", "person"),
            ("gone@example.edu", "closed", "unavailable"),
            ("nobody@example.edu", "unknown", "unavailable"),
            ("zoe@elsewhere.org", "not local", "not local"),
        ] {
            view.inner.shared.health.set_current(true);
            assert_eq!(answer(address), current, "{address}");
            view.inner.shared.health.set_current(false);
            assert_eq!(answer(address), stale, "{address}, stale");
            assert!(
                !view.is_foreign("elsewhere.org") && !view.is_foreign("example.edu"),
                "a stale View calls a domain foreign"
            );
            view.inner.shared.health.set_current(true);
            assert!(view.is_foreign("elsewhere.org") && !view.is_foreign("example.edu"));
        }
    }

    #[test]
    fn a_recipient_without_address_is_judged_by_its_domain() {
        let view = View::fixed(vec![bare_person(1, "zoe")]);
        let never_complete = View::never_complete();
        let status = |view: &View, domain: &str| match view.recipient_without_address(domain) {
            RecipientStatus::Person(_) | RecipientStatus::List(_) | RecipientStatus::Closed => "person",
            RecipientStatus::Unknown => "unknown",
            RecipientStatus::NotLocal => "not local",
            RecipientStatus::Unavailable => "unavailable",
        };
        for (domain, current, stale) in [
            ("example.edu", "unknown", "unavailable"),
            ("Example.EDU.", "unknown", "unavailable"),
            ("", "unknown", "unavailable"),
            ("elsewhere.org", "not local", "not local"),
            ("[192.0.2.1]", "not local", "not local"),
        ] {
            view.inner.shared.health.set_current(true);
            assert_eq!(status(&view, domain), current, "{domain}");
            view.inner.shared.health.set_current(false);
            assert_eq!(status(&view, domain), stale, "{domain}, stale");
            assert_eq!(status(&never_complete, domain), "unavailable", "{domain}, never complete");
        }
    }
}
