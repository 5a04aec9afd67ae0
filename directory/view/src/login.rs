//! Verifying a login: against the hash in the View or by a bind, with a bounded memory of what was verified.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use provost_client::{Directory, DirectoryError};
use provost_credential::{Scheme, Secret, Verdict};
use provost_entry::Dn;
use tokio::sync::Semaphore;

use crate::{PasswordSource, Person, PersonState, Snapshot};

/// Most credentials remembered at a time: every account of a university, a few devices each reuse one.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// How long a wrong password is remembered: a client that repeats it in a loop costs one hash in this time.
const REFUSAL_TTL: Duration = Duration::from_secs(5);

/// What came of a login.
#[derive(Clone, Debug)]
pub enum Login {
    /// This is the person, and they may log in.
    Accepted(Arc<Person>),
    /// Wrong name or password, or not allowed to log in: the reply does not show which.
    Refused,
    /// Cannot be verified now.
    Unavailable,
}

/// What a password was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    /// Nobody could say.
    Unknown,
}

/// A verdict of the past. It holds for the very state of the entry that it was made from.
struct Remembered {
    person: Arc<Person>,
    right: bool,
    until: Timestamp,
}

/// Verifies passwords for one View.
pub(crate) struct Verifier {
    source: PasswordSource,
    ttl: Duration,
    /// Hashings at a time: the cores, or logins would starve everything else.
    hashing: Arc<Semaphore>,
    /// Of this process only: the digests are worth nothing to who reads the memory later.
    key: [u8; 32],
    remembered: Mutex<LruCache<[u8; 32], Remembered>>,
}

/// Stands in for the hash of a person who does not exist, so that a name cannot be told from none by the clock.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| provost_credential::hash(&Secret::new("nobody has this password"), Scheme::Argon2));

impl Verifier {
    pub(crate) fn new(source: PasswordSource, ttl: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            source,
            ttl,
            hashing: Arc::new(Semaphore::new(cores)),
            key: rand::random(),
            remembered: Mutex::new(LruCache::new(REMEMBERED_MAX)),
        }
    }

    /// Verifies `name` and `password`. `look_up` gives the snapshot of the moment and whether absence in it can be
    /// believed; it is asked again after hashing, for the person may have changed meanwhile.
    pub(crate) async fn login(
        &self,
        look_up: impl Fn() -> (Arc<Snapshot>, bool),
        directory: Option<&Directory>,
        name: &str,
        password: &Secret,
        now: Timestamp,
    ) -> Login {
        // An empty one must never reach a directory: a bind with it succeeds and proves nothing (RFC 4513 §5.1.2).
        if !password.is_usable() {
            return Login::Refused;
        }
        let (snapshot, certain) = look_up();
        let Some(person) = snapshot.by_login(name) else {
            drop(snapshot);
            self.verify_nobody(password).await;
            return if certain { Login::Refused } else { Login::Unavailable };
        };
        drop(snapshot);
        match self.prove(&person, directory, password, now).await {
            Proof::Unknown => Login::Unavailable,
            Proof::Wrong => Login::Refused,
            Proof::Right => match look_up().0.person(person.entry_uuid) {
                Some(person) if person.state == PersonState::Active => Login::Accepted(person),
                Some(_) | None => Login::Refused,
            },
        }
    }

    async fn prove(
        &self,
        person: &Arc<Person>,
        directory: Option<&Directory>,
        password: &Secret,
        now: Timestamp,
    ) -> Proof {
        let digest = self.digest(person, password);
        if let Some(proof) = self.recall(&digest, person, now) {
            return proof;
        }
        if self.source == PasswordSource::View
            && let Some(proof) = self.prove_by_hash(&digest, person, password, now).await
        {
            return proof;
        }
        let proof = prove_by_bind(person, directory, password).await;
        // A refusal by bind is not remembered: the password may change before the View hears of it.
        if proof == Proof::Right {
            self.remember(digest, person, true, now);
        }
        proof
    }

    /// `None` when no value can be verified here.
    async fn prove_by_hash(
        &self,
        digest: &[u8; 32],
        person: &Arc<Person>,
        password: &Secret,
        now: Timestamp,
    ) -> Option<Proof> {
        if person.passwords.is_empty() {
            return None;
        }
        let permit = Arc::clone(&self.hashing).acquire_owned().await.ok()?;
        // A client that opens four connections at once: the first has paid by now.
        if let Some(proof) = self.recall(digest, person, now) {
            return Some(proof);
        }
        let (candidate, given) = (Arc::clone(person), password.clone());
        let work = move || {
            let verdict = verify_any(&candidate, &given);
            drop(permit);
            verdict
        };
        let right = match tokio::task::spawn_blocking(work).await {
            Ok(Verdict::Match) => true,
            Ok(Verdict::Mismatch) => false,
            Ok(Verdict::Unsupported) => return None,
            Err(_) => return Some(Proof::Unknown),
        };
        self.remember(*digest, person, right, now);
        Some(if right { Proof::Right } else { Proof::Wrong })
    }

    /// Spends the time of one verification.
    async fn verify_nobody(&self, password: &Secret) {
        let Ok(permit) = Arc::clone(&self.hashing).acquire_owned().await else { return };
        let given = password.clone();
        let work = move || {
            std::hint::black_box(provost_credential::verify(&given, NOBODY.as_bytes()));
            drop(permit);
        };
        // Nothing depends on how it ends.
        let _ = tokio::task::spawn_blocking(work).await;
    }

    fn digest(&self, person: &Person, password: &Secret) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(person.entry_uuid.as_bytes());
        hasher.update(password.reveal().as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// What is remembered, if it was made from this very state of the entry and has not run out.
    fn recall(&self, digest: &[u8; 32], person: &Arc<Person>, now: Timestamp) -> Option<Proof> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(digest)?;
        if !Arc::ptr_eq(&found.person, person) || found.until <= now {
            remembered.pop(digest);
            return None;
        }
        Some(if found.right { Proof::Right } else { Proof::Wrong })
    }

    fn remember(&self, digest: [u8; 32], person: &Arc<Person>, right: bool, now: Timestamp) {
        let ttl = if right { self.ttl } else { REFUSAL_TTL.min(self.ttl) };
        let Ok(until) =
            SignedDuration::try_from(ttl).map_err(|_| ()).and_then(|ttl| now.checked_add(ttl).map_err(|_| ()))
        else {
            return;
        };
        let entry = Remembered { person: Arc::clone(person), right, until };
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).put(digest, entry);
    }
}

/// Compares with each value. One that matches decides; one that cannot be read leaves it open.
fn verify_any(person: &Person, password: &Secret) -> Verdict {
    let mut verdict = Verdict::Mismatch;
    for stored in &person.passwords {
        match provost_credential::verify(password, stored.as_bytes()) {
            Verdict::Match => return Verdict::Match,
            Verdict::Mismatch => {}
            Verdict::Unsupported => verdict = Verdict::Unsupported,
        }
    }
    verdict
}

async fn prove_by_bind(person: &Person, directory: Option<&Directory>, password: &Secret) -> Proof {
    let (Some(directory), Ok(dn)) = (directory, Dn::parse(&person.dn)) else { return Proof::Unknown };
    // The form in which we hash passwords; then as typed, for other software may have set it so.
    let (typed, opaque) = (password.reveal(), provost_credential::opaque_string(password.reveal()));
    match bind(directory, &dn, &opaque).await {
        Proof::Wrong if opaque != typed => bind(directory, &dn, typed).await,
        proof => proof,
    }
}

async fn bind(directory: &Directory, dn: &Dn, password: &str) -> Proof {
    match directory.bind(dn, password).await {
        Ok(()) => Proof::Right,
        Err(DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)) => Proof::Unknown,
        Err(_) => Proof::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bare_person, uuid};
    use crate::{View, snapshot::PersonRecord, snapshot::Record};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn with_password(password: &str) -> Person {
        let stored = provost_credential::hash(&Secret::new(password), Scheme::Ssha);
        Person { passwords: vec![stored.into()], ..bare_person(1, "zoe") }
    }

    async fn login(view: &View, name: &str, password: &str, now: Timestamp) -> &'static str {
        match view.login(name, &Secret::new(password), now).await {
            Login::Accepted(_) => "accepted",
            Login::Refused => "refused",
            Login::Unavailable => "unavailable",
        }
    }

    #[tokio::test]
    async fn accepts_and_refuses() {
        let suspended = Person { state: PersonState::Suspended, ..with_password("right") };
        let unreadable = Person { passwords: vec!["{NEW}x".into()], ..bare_person(1, "zoe") };
        let none = bare_person(1, "zoe");
        for (person, name, password, expect) in [
            (with_password("right"), "zoe", "right", "accepted"),
            (with_password("right"), "Zoe@Example.edu", "right", "accepted"),
            (with_password("right"), "zoe", "wrong", "refused"),
            (with_password("right"), "zoe", "", "refused"),
            (with_password("right"), "nobody", "right", "refused"),
            (suspended, "zoe", "right", "refused"),
            // Nobody to ask by bind.
            (unreadable, "zoe", "right", "unavailable"),
            (none, "zoe", "right", "unavailable"),
        ] {
            let view = View::fixed(vec![person]);
            assert_eq!(login(&view, name, password, at(0)).await, expect, "{name} {password}");
        }
        let view = View::fixed(vec![with_password(&"p".repeat(600))]);
        assert_eq!(login(&view, "zoe", &"p".repeat(600), at(0)).await, "refused");
    }

    #[tokio::test]
    async fn a_verdict_is_remembered_for_its_time_and_for_one_state_of_the_entry() {
        let verifier = Verifier::new(PasswordSource::View, Duration::from_secs(600));
        let person = Arc::new(with_password("right"));
        let (good, bad) = (Secret::new("right"), Secret::new("wrong"));
        assert_eq!(verifier.prove(&person, None, &good, at(0)).await, Proof::Right);
        assert_eq!(verifier.prove(&person, None, &bad, at(0)).await, Proof::Wrong);
        let (good, bad) = (verifier.digest(&person, &good), verifier.digest(&person, &bad));
        assert_eq!(verifier.recall(&good, &person, at(599)), Some(Proof::Right));
        assert_eq!(verifier.recall(&bad, &person, at(4)), Some(Proof::Wrong));
        assert_eq!(verifier.recall(&bad, &person, at(5)), None);
        // An equal entry that was written again is another state.
        assert_eq!(verifier.recall(&good, &Arc::new((*person).clone()), at(1)), None);
        assert_eq!(verifier.recall(&good, &person, at(1)), None, "and the old verdict is gone");
    }

    #[tokio::test]
    async fn a_change_of_the_entry_counts_at_once() {
        let view = View::fixed(vec![with_password("old")]);
        assert_eq!(login(&view, "zoe", "old", at(0)).await, "accepted");
        let mut next = (*view.snapshot()).clone();
        let record = PersonRecord { person: Arc::new(with_password("new")), projected: Box::default() };
        next.put(uuid(1), Record::Person(Arc::new(record)));
        view.publish_for_test(next);
        assert_eq!(login(&view, "zoe", "old", at(1)).await, "refused");
        assert_eq!(login(&view, "zoe", "new", at(1)).await, "accepted");
    }
}
