//! Login verification: against the hash in the View or by bind, with a bounded cache of results.
//!
//! Guessing is bounded here, once for every protocol: [`failures`] throttles it, and [`account_checks`] limits the
//! checks of one account that run at once. [`turns`] lets as many logins hash at once as there are cores; logins that
//! may be guesses get at most half of these turns (at least one). A login with an unknown name waits for a turn and takes as long as
//! one with a known name, but hashes nothing once the mean duration of a check is known.

mod account_checks;
mod failures;
mod turns;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::account_checks::AccountChecks;
pub use self::failures::source_network;
use self::failures::{NamedAccount, RecentRefusals, TooMany};
use self::turns::{HashTurn, HashTurns, LaneFull, LoginLane};
use crate::cow_map::{MapKey, key_of};
use crate::password_state::change_first;
use crate::{PasswordSource, Person, Snapshot};
use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use provost_client::{Directory, DirectoryError};
use provost_credential::{Scheme, Secret, Verification};
use provost_entry::Dn;

/// Maximum number of entries of each of [`Verifier::remembered`] and [`Verifier::refused`]; beyond it, those used least
/// recently are forgotten.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// How long a refusal is cached: a client that repeats a wrong password in a loop costs one hash per this time.
const REFUSAL_TTL: Duration = Duration::from_secs(5);

/// Delay of the response when the password was not checked because of too many refusals or waiting logins. Without the
/// delay, a client could repeat such logins as fast as it opens connections.
const UNCHECKED_DELAY: Duration = Duration::from_secs(1);

/// Maximum number of verifications of one login. Each one after the first is needed because the person's passwords
/// changed during the previous one; after the last, the result is [`Login::Unavailable`].
const VERIFICATIONS_MAX: usize = 3;

/// Longest part of a name that a login writes into the log, characters.
const NAME_LOGGED_CHARS: usize = 128;

/// The service of the pages, which accept a password that must be changed: they lead to the page that changes it.
const WEB: &str = "web";

/// One login attempt: name, password and source.
#[derive(Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// An address or `uid`.
    pub name: &'a str,
    /// The password as it was typed.
    pub password: &'a Secret,
    /// The client's address.
    pub source: IpAddr,
    /// The protocol for metrics and logs, such as `imap`.
    pub service: &'static str,
}

impl LoginAttempt<'_> {
    /// Logs a refusal that the protocol's server decides without a check, such as that of a request to act as another
    /// user (RFC 4616 §2), and counts it in the metrics. The refusal does not count towards the throttle.
    pub fn refuse(&self) {
        self.record_outcome(&Login::Refused);
    }

    fn record_outcome(&self, login: &Login) {
        let (Self { service, source, .. }, outcome) = (*self, login.as_label());
        metrics::counter!("provost_logins_total", "protocol" => service, "outcome" => outcome).increment(1);
        if !matches!(login, Login::Accepted(_)) {
            let account: String = self.name.chars().take(NAME_LOGGED_CHARS).collect();
            tracing::info!(service, ?account, %source, outcome, "login refused");
        }
    }
}

/// The result of a login.
#[derive(Clone, Debug)]
pub enum Login {
    /// The person is authenticated and may log in.
    Accepted(Arc<Person>),
    /// Wrong name or password, or not allowed to log in. The reply must not reveal which.
    Refused,
    /// Too many refusals for this account or source: the password was not checked. A later attempt may succeed.
    /// Returned after a second.
    Throttled,
    /// The password is right, and must be changed on the pages before a mail program may use it. Holds one line of ASCII
    /// for the person.
    PasswordDue(Box<str>),
    /// The password cannot be verified now.
    Unavailable,
}

impl Login {
    fn as_label(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::PasswordDue(_) => "password_due",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PasswordProof {
    Right,
    Wrong,
    /// Neither the View nor the directory could decide.
    Unknown,
}

/// The arguments of a verification other than the person.
#[derive(Clone, Copy)]
struct VerifyRequest<'a> {
    password: &'a Secret,
    source: IpAddr,
    lane: LoginLane,
    now: Timestamp,
}

/// A cached result, valid only for the state of the entry that it was made from.
struct CachedResult {
    person: Arc<Person>,
    right: bool,
    until: Timestamp,
}

/// Verifies passwords for one View.
pub(crate) struct Verifier {
    source: PasswordSource,
    ttl: Duration,
    /// Limits concurrent hashing to the cores, so that logins do not starve everything else.
    turns: HashTurns,
    failures: RecentRefusals,
    checks: AccountChecks,
    /// Mean duration of a check by the configured source without the wait for a turn, microseconds; 0 before the first
    /// check. The response to an unknown name is delayed for about this long.
    check_micros: AtomicU64,
    /// Random key of this process: without it, a cached digest cannot be tested against guesses.
    key: [u8; 32],
    remembered: Mutex<LruCache<[u8; 32], CachedResult>>,
    /// Digests of refused passwords, each with the time from which [`REFUSAL_TTL`] counts.
    refused: Mutex<LruCache<[u8; 32], Timestamp>>,
}

/// Hash used for unknown names, so that the response time does not reveal which accounts exist.
static DUMMY_HASH: LazyLock<String> =
    LazyLock::new(|| provost_credential::hash(&Secret::new("nobody has this password"), Scheme::Argon2));

impl Verifier {
    pub(crate) fn new(source: PasswordSource, ttl: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            source,
            ttl,
            turns: HashTurns::new(cores),
            failures: RecentRefusals::new(),
            checks: AccountChecks::default(),
            check_micros: AtomicU64::new(0),
            key: rand::random(),
            remembered: Mutex::new(LruCache::new(REMEMBERED_MAX)),
            refused: Mutex::new(LruCache::new(REMEMBERED_MAX)),
        }
    }

    /// Verifies a login, counts it, and logs it unless it is accepted. `look_up` returns the current snapshot and
    /// whether absence in it can be believed; it is called again after hashing, because the person may have changed.
    pub(crate) async fn login(
        &self,
        look_up: impl Fn() -> (Arc<Snapshot>, bool),
        directory: Option<&Directory>,
        attempt: LoginAttempt<'_>,
        now: Timestamp,
    ) -> Login {
        let login = self.verify_present(look_up, directory, attempt, now).await;
        attempt.record_outcome(&login);
        if matches!(login, Login::Throttled) {
            tokio::time::sleep(UNCHECKED_DELAY).await;
        }
        login
    }

    /// Verifies a login, and again when the password was right but the person's passwords in the View were replaced
    /// meanwhile: at most [`VERIFICATIONS_MAX`] times in all.
    async fn verify_present(
        &self,
        look_up: impl Fn() -> (Arc<Snapshot>, bool),
        directory: Option<&Directory>,
        attempt: LoginAttempt<'_>,
        now: Timestamp,
    ) -> Login {
        for _ in 0..VERIFICATIONS_MAX {
            if let Some(login) = self.verify(&look_up, directory, attempt, now).await {
                return login;
            }
        }
        Login::Unavailable
    }

    /// Whether this process has accepted a login to the account of `name` from the network of `source` in the last 30
    /// days.
    pub(crate) fn is_familiar(&self, snapshot: &Snapshot, name: &str, source: IpAddr, now: Timestamp) -> bool {
        let account = account_of(snapshot.by_login(name).as_deref(), name);
        self.failures.is_familiar(account, source_network(source), now)
    }

    /// Verifies a login once; `None` when the password was right, and the person's passwords have changed meanwhile.
    async fn verify(
        &self,
        look_up: impl Fn() -> (Arc<Snapshot>, bool),
        directory: Option<&Directory>,
        attempt: LoginAttempt<'_>,
        now: Timestamp,
    ) -> Option<Login> {
        let LoginAttempt { name, password, .. } = attempt;
        // An empty password must never reach a directory: a bind with it succeeds and proves nothing (RFC 4513 §5.1.2).
        if !password.is_usable() {
            return Some(Login::Refused);
        }
        let source = source_network(attempt.source);
        let (snapshot, certain) = look_up();
        let person = snapshot.by_login(name);
        drop(snapshot);
        let account = account_of(person.as_deref(), name);
        let digest = self.digest(account.key(), password);
        let recall = || match &person {
            Some(person) => self.recall(&digest, person, now),
            None => self.was_refused(&digest, now).then_some(PasswordProof::Wrong),
        };
        let (mut known, mut check) = (recall(), None);
        if known.is_none() {
            check = self.checks.enter(account, source).await;
            // Another connection of the same client may have filled the cache meanwhile.
            known = recall();
        }
        let others = self.checks.running(account).saturating_sub(usize::from(check.is_some()));
        let lane = match self.failures.lane(account, source, others, now) {
            // A cached result is returned in spite of the throttle: the guesses of others do not lock out a device with a
            // recently verified password.
            Err(TooMany) if known.is_none() => return Some(Login::Throttled),
            lane => lane.unwrap_or(LoginLane::Suspect),
        };
        let request = VerifyRequest { password, source, lane, now };
        let Some(person) = person else {
            let is_answered = known.is_some() || self.take_as_long_as_a_check(request).await.is_ok();
            // While the View may lag behind the directory, an unknown name may be that of a new person. The login is
            // not refused, so nothing counts towards the throttle.
            if !is_answered || !certain {
                return Some(Login::Unavailable);
            }
            self.count_refusal(digest, account, source, now);
            return Some(Login::Refused);
        };
        let proof = match known {
            Some(proof) => proof,
            None => self.prove(&person, digest, directory, request).await,
        };
        Some(match proof {
            PasswordProof::Unknown => Login::Unavailable,
            PasswordProof::Wrong => {
                self.count_refusal(digest, account, source, now);
                Login::Refused
            }
            PasswordProof::Right => {
                let present = look_up().0;
                match present.person(person.entry_uuid) {
                    // The passwords were replaced during the check, so the right one may be an old one: verify against
                    // the new ones.
                    Some(now_held) if now_held.passwords != person.passwords => return None,
                    Some(person) if person.may_log_in(now) => {
                        self.failures.accepted(account, source, now);
                        let is_due = attempt.service != WEB
                            && !person.password_state.opens_mail(&present.settings().passwords, now);
                        if is_due {
                            Login::PasswordDue(change_first(present.settings()))
                        } else {
                            Login::Accepted(person)
                        }
                    }
                    Some(_) | None => Login::Refused,
                }
            }
        })
    }

    /// Waits for a turn and spends the time of a check: neither reply nor time may reveal that nobody has the name.
    async fn take_as_long_as_a_check(&self, request: VerifyRequest<'_>) -> Result<(), LaneFull> {
        match self.turns.take(request.source, request.lane).await {
            Ok(turn) => {
                self.spend_check_time(request.password, turn).await;
                Ok(())
            }
            Err(full) => {
                tokio::time::sleep(UNCHECKED_DELAY).await;
                Err(full)
            }
        }
    }

    async fn prove(
        &self,
        person: &Arc<Person>,
        digest: [u8; 32],
        directory: Option<&Directory>,
        request: VerifyRequest<'_>,
    ) -> PasswordProof {
        if self.source == PasswordSource::View
            && let Some(proof) = self.prove_by_hash(&digest, person, request).await
        {
            return proof;
        }
        let start = Instant::now();
        let proof = prove_by_bind(person, directory, request.password).await;
        if self.source == PasswordSource::Bind && proof != PasswordProof::Unknown {
            self.record_check_time(start.elapsed());
        }
        // A refusal by bind is not cached: the password may change before the View receives the change.
        if proof == PasswordProof::Right {
            self.remember(digest, person, true, request.now);
        }
        proof
    }

    /// Checks the password against the hashes in the View; `None` when there are none, or when none matches and one has
    /// an unsupported scheme.
    async fn prove_by_hash(
        &self,
        digest: &[u8; 32],
        person: &Arc<Person>,
        request: VerifyRequest<'_>,
    ) -> Option<PasswordProof> {
        if person.passwords.is_empty() {
            return None;
        }
        let Ok(turn) = self.turns.take(request.source, request.lane).await else {
            tokio::time::sleep(UNCHECKED_DELAY).await;
            return Some(PasswordProof::Unknown);
        };
        let start = Instant::now();
        // Another connection of the same client may have filled the cache during the wait.
        if let Some(proof) = self.recall(digest, person, request.now) {
            return Some(proof);
        }
        let (candidate, given) = (Arc::clone(person), request.password.clone());
        let work = move || {
            let verification = verify_any(&candidate, &given);
            drop(turn);
            verification
        };
        let right = match tokio::task::spawn_blocking(work).await {
            Ok(Verification::Match) => true,
            Ok(Verification::Mismatch) => false,
            Ok(Verification::Unsupported) => return None,
            Err(_) => return Some(PasswordProof::Unknown),
        };
        self.record_check_time(start.elapsed());
        self.remember(*digest, person, right, request.now);
        Some(if right { PasswordProof::Right } else { PasswordProof::Wrong })
    }

    /// Takes as long as a check. Hashes only until a mean duration is known: later logins give the turn back at once
    /// and sleep, so that a login with an unknown name occupies no core.
    async fn spend_check_time(&self, password: &Secret, turn: HashTurn) {
        let mean = self.check_micros.load(Ordering::Relaxed);
        if mean > 0 {
            drop(turn);
            let micros = mean as f64 * rand::random_range(0.8..1.2);
            return tokio::time::sleep(Duration::from_micros(micros as u64)).await;
        }
        let start = Instant::now();
        let candidate = password.clone();
        let work = move || {
            std::hint::black_box(provost_credential::verify(&candidate, DUMMY_HASH.as_bytes()));
            drop(turn);
        };
        // The result does not matter.
        let _ = tokio::task::spawn_blocking(work).await;
        if self.source == PasswordSource::View {
            self.record_check_time(start.elapsed());
        }
    }

    /// Updates the running mean: each check counts for an eighth.
    fn record_check_time(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = self.check_micros.load(Ordering::Relaxed);
        let next = if mean == 0 { took } else { (mean - mean / 8).saturating_add(took / 8).max(1) };
        self.check_micros.store(next, Ordering::Relaxed);
    }

    /// Counts a refusal, unless the same password was refused before: a device with an outdated password is not
    /// guessing.
    fn count_refusal(&self, digest: [u8; 32], account: NamedAccount, source: IpAddr, now: Timestamp) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = refused.get(&digest).copied();
        // A repetition within [`REFUSAL_TTL`] does not start that time anew, just as it does not prolong a
        // [`CachedResult`]. Otherwise a wrong password that is repeated would be answered from memory for longer under
        // an unknown name than under a known one.
        if before.is_none_or(|at| now.duration_since(at).unsigned_abs() >= REFUSAL_TTL) {
            refused.put(digest, now);
        }
        drop(refused);
        if before.is_none() {
            self.failures.refused(account, source, now);
        }
    }

    /// Whether this password was refused within [`REFUSAL_TTL`]. For unknown names, which have no [`CachedResult`].
    ///
    /// Always false with passwords checked by bind: the refusal of a known name is not cached then, and an unknown name
    /// must take as long.
    fn was_refused(&self, digest: &[u8; 32], now: Timestamp) -> bool {
        if self.source == PasswordSource::Bind {
            return false;
        }
        let at = self.refused.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        at.is_some_and(|at| now.duration_since(at).unsigned_abs() < REFUSAL_TTL)
    }

    fn digest(&self, account: MapKey, password: &Secret) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&account);
        hasher.update(password.reveal().as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Returns the cached result, if it was made from this very state of the entry and has not expired.
    fn recall(&self, digest: &[u8; 32], person: &Arc<Person>, now: Timestamp) -> Option<PasswordProof> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(digest)?;
        if !Arc::ptr_eq(&found.person, person) || found.until <= now {
            remembered.pop(digest);
            return None;
        }
        Some(if found.right { PasswordProof::Right } else { PasswordProof::Wrong })
    }

    fn remember(&self, digest: [u8; 32], person: &Arc<Person>, right: bool, now: Timestamp) {
        let ttl = if right { self.ttl } else { REFUSAL_TTL.min(self.ttl) };
        let Ok(until) =
            SignedDuration::try_from(ttl).map_err(|_| ()).and_then(|ttl| now.checked_add(ttl).map_err(|_| ()))
        else {
            return;
        };
        let entry = CachedResult { person: Arc::clone(person), right, until };
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).put(digest, entry);
    }
}

fn account_of(person: Option<&Person>, name: &str) -> NamedAccount {
    match person {
        Some(person) => NamedAccount::Person(person.entry_uuid.into_bytes()),
        None => NamedAccount::Unknown(key_of(&name.to_lowercase())),
    }
}

/// Checks each stored value. One match decides; without a match, a value of an unsupported scheme leaves the result
/// open.
fn verify_any(person: &Person, password: &Secret) -> Verification {
    let mut without_match = Verification::Mismatch;
    for stored in &person.passwords {
        match provost_credential::verify(password, stored.as_bytes()) {
            Verification::Match => return Verification::Match,
            Verification::Mismatch => {}
            Verification::Unsupported => without_match = Verification::Unsupported,
        }
    }
    without_match
}

async fn prove_by_bind(person: &Person, directory: Option<&Directory>, password: &Secret) -> PasswordProof {
    let (Some(directory), Ok(dn)) = (directory, Dn::parse(&person.dn)) else { return PasswordProof::Unknown };
    // First in the form in which we hash passwords (RFC 8265); then as typed, since other software may have set the
    // password in that form.
    let (typed, opaque) = (password.reveal(), provost_credential::opaque_string(password.reveal()));
    match bind(directory, &dn, &opaque).await {
        PasswordProof::Wrong if opaque != typed => bind(directory, &dn, typed).await,
        proof => proof,
    }
}

async fn bind(directory: &Directory, dn: &Dn, password: &str) -> PasswordProof {
    match directory.bind(dn, password).await {
        Ok(()) => PasswordProof::Right,
        Err(DirectoryError::InvalidCredentials) => PasswordProof::Wrong,
        Err(_) => PasswordProof::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PersonState;
    use crate::testing::{bare_person, uuid};
    use crate::{PasswordState, View, snapshot::PersonRecord, snapshot::ViewRecord};
    use provost_client::{DirectoryConfig, ServerAddress, ServerRole};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn with_password(password: &str) -> Person {
        let stored = provost_credential::hash(&Secret::new(password), Scheme::Ssha);
        Person { passwords: vec![stored.into()], ..bare_person(1, "zoe") }
    }

    async fn login(view: &View, name: &str, password: &str, now: Timestamp) -> &'static str {
        let password = Secret::new(password);
        let source = IpAddr::from([192, 0, 2, 1]);
        view.login(LoginAttempt { name, password: &password, source, service: "test" }, now).await.as_label()
    }

    fn request(password: &Secret) -> VerifyRequest<'_> {
        VerifyRequest { password, source: IpAddr::from([192, 0, 2, 1]), lane: LoginLane::Fresh, now: at(0) }
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
            // No directory to bind to.
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
    async fn a_password_that_is_due_opens_the_pages_and_not_the_mailbox() {
        let day = |n: i64| at(n * 86_400);
        let state = PasswordState { must_change: true, since: Some(day(0)) };
        let view = View::fixed(vec![Person { password_state: state, ..with_password("right") }]);
        assert_eq!(login(&view, "zoe", "right", day(30)).await, "accepted");
        assert_eq!(login(&view, "zoe", "right", day(31)).await, "password_due");
        assert_eq!(
            login(&view, "zoe", "wrong", day(31)).await,
            "refused",
            "the text is only for who knows the password"
        );
        let password = Secret::new("right");
        let attempt = LoginAttempt { name: "zoe", password: &password, source: [192, 0, 2, 1].into(), service: WEB };
        assert!(matches!(view.login(attempt, day(31)).await, Login::Accepted(_)));
        let attempt = LoginAttempt { service: "imap", ..attempt };
        let Login::PasswordDue(text) = view.login(attempt, day(31)).await else { panic!("accepted") };
        assert!(text.starts_with("The password must be changed first at ") && text.is_ascii(), "{text}");
    }

    #[tokio::test]
    async fn an_unchecked_password_is_answered_after_a_second() {
        let view = View::fixed(vec![with_password("right")]);
        for n in 0..10 {
            assert_eq!(login(&view, "zoe", &format!("wrong {n}"), at(0)).await, "refused");
        }
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        assert_eq!(login(&view, "zoe", "right", at(0)).await, "throttled");
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    /// A repeated wrong password is answered from memory for the same time, whether or not the name exists.
    #[tokio::test]
    async fn a_repetition_is_recalled_equally_long_for_every_name() {
        let view = View::fixed(vec![with_password("right")]);
        let verifier = &view.inner.verifier;
        let zoe = view.snapshot().person(uuid(1)).unwrap();
        let digest = verifier.digest(key_of("nobody"), &Secret::new("wrong"));
        let digest_of_zoe = verifier.digest(*zoe.entry_uuid.as_bytes(), &Secret::new("wrong"));
        for (second, recalled) in [(0, false), (3, true), (6, false), (9, true), (12, false)] {
            assert_eq!(verifier.was_refused(&digest, at(second)), recalled, "{second}");
            assert_eq!(verifier.recall(&digest_of_zoe, &zoe, at(second)).is_some(), recalled, "{second}");
            assert_eq!(login(&view, "nobody", "wrong", at(second)).await, "refused");
            assert_eq!(login(&view, "zoe", "wrong", at(second)).await, "refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_does_not_reveal_which_names_exist() {
        let view = View::fixed(vec![with_password("right")]);
        let (turns, source) = (view.inner.verifier.turns.clone(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..1_000 {
            let turns = turns.clone();
            tokio::spawn(async move {
                let _turn = turns.take(source, LoginLane::Fresh).await;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
        }
        for name in ["zoe", "nobody"] {
            let start = tokio::time::Instant::now();
            assert_eq!(login(&view, name, "typed", at(0)).await, "unavailable", "{name}");
            assert_eq!(start.elapsed().as_secs(), 1, "{name}");
        }
    }

    #[tokio::test]
    async fn a_result_is_cached_for_its_time_and_for_one_state_of_the_entry() {
        let verifier = Verifier::new(PasswordSource::View, Duration::from_secs(600));
        let person = Arc::new(with_password("right"));
        let (good, bad) = (Secret::new("right"), Secret::new("wrong"));
        let (good_digest, bad_digest) = (
            verifier.digest(*person.entry_uuid.as_bytes(), &good),
            verifier.digest(*person.entry_uuid.as_bytes(), &bad),
        );
        assert_eq!(verifier.prove(&person, good_digest, None, request(&good)).await, PasswordProof::Right);
        assert_eq!(verifier.prove(&person, bad_digest, None, request(&bad)).await, PasswordProof::Wrong);
        let (good, bad) = (good_digest, bad_digest);
        assert_eq!(verifier.recall(&good, &person, at(599)), Some(PasswordProof::Right));
        assert_eq!(verifier.recall(&bad, &person, at(4)), Some(PasswordProof::Wrong));
        assert_eq!(verifier.recall(&bad, &person, at(5)), None);
        // An equal entry that was written again is another state.
        assert_eq!(verifier.recall(&good, &Arc::new((*person).clone()), at(1)), None);
        assert_eq!(
            verifier.recall(&good, &person, at(1)),
            None,
            "the look-up with another state did not remove the result"
        );
    }

    /// With passwords checked by bind, only the time of a bind is recorded as that of a check.
    #[tokio::test]
    async fn only_a_bind_counts_as_the_time_of_a_check() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_u8().await.unwrap();
            // BindResponse to message 1: success.
            socket.write_all(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00").await.unwrap();
            std::future::pending::<()>().await;
        });
        let directory = Directory::new(DirectoryConfig {
            servers: vec![ServerAddress { url, role: ServerRole::Provider, start_tls: false }],
            bind_dn: String::new(),
            bind_password: String::new(),
            suffix: Dn::parse("dc=example,dc=edu").unwrap(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(5),
        });
        let verifier = Verifier::new(PasswordSource::Bind, Duration::from_secs(600));
        let (person, password) = (Arc::new(bare_person(1, "zoe")), Secret::new("right"));
        verifier.take_as_long_as_a_check(request(&password)).await.unwrap();
        assert_eq!(verifier.check_micros.load(Ordering::Relaxed), 0, "the time of a hash counts as that of a bind");
        let digest = verifier.digest(*person.entry_uuid.as_bytes(), &password);
        let proof = verifier.prove(&person, digest, Some(&directory), request(&password)).await;
        assert_eq!(proof, PasswordProof::Right);
        assert!(verifier.check_micros.load(Ordering::Relaxed) > 0);
    }

    /// A refused bind is not cached, so the refusal of an unknown name is not recalled either.
    #[test]
    fn a_repetition_takes_as_long_as_a_bind_for_every_name() {
        let verifier = Verifier::new(PasswordSource::Bind, Duration::from_secs(600));
        let (account, digest) = (account_of(None, "nobody"), verifier.digest(key_of("nobody"), &Secret::new("wrong")));
        verifier.count_refusal(digest, account, IpAddr::from([192, 0, 2, 1]), at(0));
        assert!(!verifier.was_refused(&digest, at(1)));
    }

    #[tokio::test]
    async fn a_change_of_the_entry_counts_at_once() {
        let view = View::fixed(vec![with_password("old")]);
        assert_eq!(login(&view, "zoe", "old", at(0)).await, "accepted");
        let mut next = (*view.snapshot()).clone();
        let record = PersonRecord {
            person: Arc::new(with_password("new")),
            local_addresses: Box::default(),
            facets: Default::default(),
        };
        next.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
        view.publish_for_test(next);
        assert_eq!(login(&view, "zoe", "old", at(1)).await, "refused");
        assert_eq!(login(&view, "zoe", "new", at(1)).await, "accepted");
    }

    /// Takes every turn: logins wait until these are dropped.
    async fn all_turns(verifier: &Verifier) -> Vec<HashTurn> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut turns = Vec::new();
        for n in 0..cores {
            let source = IpAddr::from([198, 51, 100, n as u8]);
            turns.push(verifier.turns.take(source, LoginLane::Fresh).await.unwrap());
        }
        turns
    }

    #[tokio::test]
    async fn a_password_that_was_replaced_during_the_wait_is_refused() {
        let view = View::fixed(vec![with_password("old")]);
        let turns = all_turns(&view.inner.verifier).await;
        let waiting = [login(&view, "zoe", "old", at(0)), login(&view, "zoe", "new", at(0))];
        let mut next = (*view.snapshot()).clone();
        let record = PersonRecord {
            person: Arc::new(with_password("new")),
            local_addresses: Box::default(),
            facets: Default::default(),
        };
        next.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
        let replace = async {
            while view.inner.verifier.turns.waiting() < 2 {
                tokio::task::yield_now().await;
            }
            view.publish_for_test(next);
            drop(turns);
        };
        let [old, new] = waiting;
        // The new password is refused too: it was checked against the passwords in force when its login began.
        assert_eq!(tokio::join!(old, new, replace), ("refused", "refused", ()));
        assert_eq!(login(&view, "zoe", "new", at(1)).await, "accepted");
    }

    #[tokio::test]
    async fn guesses_at_once_are_limited_like_guesses_in_sequence() {
        let view = View::fixed(vec![with_password("right")]);
        let turns = all_turns(&view.inner.verifier).await;
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..40 {
            let view = view.clone();
            guesses.spawn(async move { login(&view, "zoe", &format!("guess {n}"), at(0)).await });
        }
        tokio::task::yield_now().await;
        drop(turns);
        let outcomes = guesses.join_all().await;
        let checked = outcomes.iter().filter(|outcome| **outcome == "refused").count();
        assert!((10..=11).contains(&checked), "{outcomes:?}");
    }

    /// Nothing was refused, so nothing counts: not for the account, and not for a network that many people share.
    #[tokio::test(start_paused = true)]
    async fn logins_that_cannot_be_verified_are_not_throttled() {
        let view = View::fixed(vec![bare_person(1, "zoe")]);
        view.inner.shared.health.set_current(false);
        for n in 0..50 {
            assert_eq!(login(&view, "zoe", &format!("typed {n}"), at(0)).await, "unavailable");
            assert_eq!(login(&view, "nobody", &format!("typed {n}"), at(0)).await, "unavailable");
        }
        view.inner.shared.health.set_current(true);
        let mut next = (*view.snapshot()).clone();
        let record = PersonRecord {
            person: Arc::new(with_password("right")),
            local_addresses: Box::default(),
            facets: Default::default(),
        };
        next.insert(uuid(1), ViewRecord::Person(Arc::new(record)));
        view.publish_for_test(next);
        assert_eq!(login(&view, "zoe", "right", at(0)).await, "accepted");
        assert_eq!(login(&view, "nobody", "right", at(0)).await, "refused");
    }

    #[tokio::test]
    async fn guesses_are_throttled_and_a_cached_password_is_not() {
        let view = View::fixed(vec![with_password("right")]);
        assert_eq!(login(&view, "zoe", "right", at(0)).await, "accepted");
        for n in 0..10 {
            assert_eq!(login(&view, "zoe", &format!("guess {n}"), at(1)).await, "refused");
            // Repeating the same password is not another guess.
            assert_eq!(login(&view, "zoe", &format!("guess {n}"), at(1)).await, "refused");
        }
        assert_eq!(login(&view, "zoe@example.edu", "one more", at(1)).await, "throttled");
        assert_eq!(login(&view, "zoe", "right", at(1)).await, "accepted");
        for n in 0..10 {
            assert_eq!(login(&view, "nobody", &format!("guess {n}"), at(2)).await, "refused");
            assert_eq!(login(&view, "nobody", &format!("guess {n}"), at(2)).await, "refused");
        }
        assert_eq!(
            login(&view, "nobody", "one more", at(2)).await,
            "throttled",
            "throttling reveals that nobody has the name"
        );
    }
}
