//! Sessions of signed-in users. They are records of the shared state, so that any node serves them; the key of each is
//! the digest of its cookie.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use provost_store::{ChangeCondition, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull};
use provost_view::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A session ends after this time without a request.
const IDLE_MAX: SignedDuration = SignedDuration::from_mins(30);
/// A session ends after this time however much it is used: a working day.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(10);
/// A request within this time after the last recorded one is not recorded, so that most pages cost no write. A session
/// may therefore end up to this much before it has been idle for [`IDLE_MAX`].
const LAST_USED_STEP: SignedDuration = SignedDuration::from_secs(60);
/// Attempts to write one change while other requests change the same session: a browser sends few requests at once.
const TRIES: usize = 10;
/// Context of the key that seals a password (BLAKE3's key derivation).
const SEAL_CONTEXT: &str = "provost web session, password letter, version 1";

/// Maximum number of sessions of one person: several devices and browsers. A further sign-in ends the oldest one, so
/// that no person can fill the space and sign others out.
const SESSIONS_OF_PERSON_MAX: usize = 10;

static SESSIONS: StateSpace =
    StateSpace { name: "web-session", records_max: 50_000, octets_max: 16 * 1024, when_full: WhenFull::RemoveOldest };

/// The keys of the sessions that a person has begun, oldest first, as JSON. The key is the entryUUID.
static SESSIONS_OF_PERSON: StateSpace =
    StateSpace { name: "web-session-person", records_max: 50_000, octets_max: 1024, when_full: WhenFull::RemoveOldest };

/// Key of a session: the digest of its cookie in hex, so that the stored state reveals no cookie.
pub(crate) type SessionKey = String;

/// A message that the next page shows once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// Key of its text.
    pub(crate) key: String,
    /// The value to insert into the text; empty for none.
    pub(crate) value: String,
}

/// A new password that the next page shows once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswordSlip {
    /// The person whose password it is, as the path of the page names them.
    pub(crate) person: String,
    pub(crate) password: Secret,
}

/// A stored [`PasswordSlip`]: the password is sealed with a key derived from the cookie, and the cookie is not stored.
#[derive(Clone, Serialize, Deserialize)]
struct SealedPasswordSlip {
    person: String,
    nonce: [u8; 32],
    password: Vec<u8>,
}

/// A record of [`SESSIONS`].
#[derive(Clone, Serialize, Deserialize)]
struct WebSession {
    entry_uuid: Uuid,
    /// [`passwords_digest`] of the user's passwords at the sign-in; replaced by `own_passwords` once the View shows the
    /// new password. Empty in a record of an earlier version, whose session therefore ends.
    #[serde(default)]
    passwords: String,
    /// [`passwords_digest`] of the password that the user has set in this session. Kept until the View shows that
    /// password, so that the change does not end the session.
    #[serde(default)]
    own_passwords: Option<String>,
    csrf: String,
    began: Timestamp,
    // The name of this field in the records of earlier versions.
    #[serde(rename = "seen")]
    last_used: Timestamp,
    flash: Option<Flash>,
    // The name of this field in the records of earlier versions.
    #[serde(rename = "letter")]
    slip: Option<SealedPasswordSlip>,
}

impl WebSession {
    /// When the session ends if it is not used again.
    fn end(&self) -> Timestamp {
        let idle = self.last_used.saturating_add(IDLE_MAX).unwrap_or(Timestamp::MAX);
        idle.min(self.began.saturating_add(AGE_MAX).unwrap_or(Timestamp::MAX))
    }
}

/// The session as a request sees it.
#[derive(Clone, Debug)]
pub(crate) struct RequestSession {
    pub(crate) key: SessionKey,
    /// The signed-in user.
    pub(crate) entry_uuid: Uuid,
    /// As in [`WebSession`].
    passwords: String,
    own_passwords: Option<String>,
    /// The token that each form of this session must send.
    pub(crate) csrf: String,
    /// The message for this page, if the request takes it.
    pub(crate) flash: Option<Flash>,
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WebSessions {
    state: Arc<dyn StateStore>,
}

impl WebSessions {
    pub(crate) fn new(state: Arc<dyn StateStore>) -> Self {
        Self { state }
    }

    /// Begins a session and returns its cookie: 256 random bits. At the limit of one person's sessions, their oldest one
    /// ends; at the limit of all sessions, the least recently written one is removed.
    pub(crate) async fn begin(
        &self,
        entry_uuid: Uuid,
        passwords: String,
        now: Timestamp,
    ) -> Result<String, StateError> {
        let cookie = random_hex();
        let csrf = random_hex();
        let session = WebSession {
            entry_uuid,
            passwords,
            own_passwords: None,
            csrf,
            began: now,
            last_used: now,
            flash: None,
            slip: None,
        };
        let key = key_of(&cookie);
        for _ in 0..TRIES {
            let mut changes = self.list_session(entry_uuid, &key, now).await?;
            changes.push(put_session(&key, &session, ChangeCondition::Absent)?);
            match self.state.change(changes, now).await {
                Err(StateError::Conflict) => {}
                other => return other.map(|_| cookie),
            }
        }
        Err(StateError::Unavailable("other sessions of this person are being begun".into()))
    }

    /// The changes that add a new session to the list of the person's, and remove those beyond
    /// [`SESSIONS_OF_PERSON_MAX`].
    async fn list_session(&self, entry_uuid: Uuid, key: &str, now: Timestamp) -> Result<Vec<StateChange>, StateError> {
        let damaged = |error: serde_json::Error| StateError::Damaged(format!("the sessions of a person: {error}"));
        let person = entry_uuid.simple().to_string();
        let record = self.state.record(&SESSIONS_OF_PERSON, &person, now).await?;
        let (mut keys, expect) = match &record {
            None => (Vec::<SessionKey>::new(), ChangeCondition::Absent),
            Some(record) => {
                (serde_json::from_slice(&record.value).map_err(damaged)?, ChangeCondition::Version(record.version))
            }
        };
        keys.push(key.to_owned());
        let removed = keys.drain(..keys.len().saturating_sub(SESSIONS_OF_PERSON_MAX));
        let mut changes: Vec<_> =
            removed.map(|key| StateChange::remove(&SESSIONS, key, ChangeCondition::Any)).collect();
        let value = serde_json::to_vec(&keys).map_err(damaged)?;
        let end = now.saturating_add(AGE_MAX).unwrap_or(Timestamp::MAX);
        changes.push(StateChange::put(&SESSIONS_OF_PERSON, person, expect, value, Some(end)));
        Ok(changes)
    }

    /// Returns the session of a cookie and prolongs it; `None` when the session is unknown or has ended. With
    /// `take_flash`, moves the session's message to the result.
    pub(crate) async fn visit(
        &self,
        cookie: &str,
        take_flash: bool,
        now: Timestamp,
    ) -> Result<Option<RequestSession>, StateError> {
        let key = key_of(cookie);
        let mut visit = None;
        self.change(&key, now, |session| {
            let flash = if take_flash { session.flash.take() } else { None };
            let must_write = flash.is_some() || now.duration_since(session.last_used) >= LAST_USED_STEP;
            session.last_used = now;
            visit = Some(RequestSession {
                key: key.clone(),
                entry_uuid: session.entry_uuid,
                passwords: session.passwords.clone(),
                own_passwords: session.own_passwords.clone(),
                csrf: session.csrf.clone(),
                flash,
            });
            must_write
        })
        .await?;
        Ok(visit)
    }

    /// Whether the session goes on when the View shows `hashes` as the user's passwords. The session ends when the
    /// passwords have changed since the sign-in, unless the user set the new one in this session.
    pub(crate) async fn has_passwords(&self, visit: &RequestSession, hashes: &[impl AsRef<str>]) -> bool {
        let passwords = passwords_digest(hashes);
        if visit.passwords == passwords {
            return true;
        }
        if visit.own_passwords.as_ref() != Some(&passwords) {
            return false;
        }
        let recorded = self.change(&visit.key, Timestamp::now(), |session| {
            // Keep a newer password that the user has set meanwhile.
            session.own_passwords.take_if(|own| *own == passwords);
            session.passwords.clone_from(&passwords);
            true
        });
        if let Err(error) = recorded.await {
            tracing::warn!(%error, "a session still holds the digest of the user's old password");
        }
        true
    }

    /// Records that the user of the session has set their own password, which is stored as `hash`.
    pub(crate) async fn record_own_password(&self, key: &str, hash: &str, now: Timestamp) -> Result<(), StateError> {
        let passwords = passwords_digest(&[hash]);
        self.change(key, now, |session| {
            session.own_passwords = Some(passwords.clone());
            true
        })
        .await?;
        Ok(())
    }

    /// Ends a session. If the write fails, the session stays valid until it is idle for [`IDLE_MAX`] or as old as
    /// [`AGE_MAX`].
    pub(crate) async fn end(&self, key: &str) {
        let remove = StateChange::remove(&SESSIONS, key, ChangeCondition::Any);
        if let Err(error) = self.state.change(vec![remove], Timestamp::now()).await {
            tracing::warn!(%error, "a session was not ended and stays valid until it is idle for long enough");
        }
    }

    /// Stores a message for the next page. Best effort: a message that cannot be stored is not shown.
    pub(crate) async fn store_flash(&self, key: &str, flash: Flash) {
        let stored = self.change(key, Timestamp::now(), |session| {
            session.flash = Some(flash.clone());
            true
        });
        if let Err(error) = stored.await {
            tracing::warn!(%error, "a message for the next page is lost");
        }
    }

    /// Stores a new password for the page that shows it once. An error when the session has ended meanwhile.
    pub(crate) async fn store_slip(&self, cookie: &str, slip: &PasswordSlip, now: Timestamp) -> Result<(), StateError> {
        let (key, sealed) = (key_of(cookie), seal(cookie, slip));
        let stored = self.change(&key, now, |session| {
            session.slip = Some(sealed.clone());
            true
        });
        match stored.await? {
            true => Ok(()),
            false => Err(StateError::Unavailable("the session has ended".into())),
        }
    }

    /// Returns the new password of `person` and leaves it in the session. `None` when the session is unknown, or holds
    /// no password or another person's.
    pub(crate) async fn peek_slip(
        &self,
        cookie: &str,
        person: &str,
        now: Timestamp,
    ) -> Result<Option<PasswordSlip>, StateError> {
        let Some(record) = self.state.record(&SESSIONS, &key_of(cookie), now).await? else { return Ok(None) };
        let sealed = read_session(&record)?.slip.filter(|slip| slip.person == person);
        Ok(sealed.map(|sealed| open(cookie, &sealed)))
    }

    /// As [`WebSessions::peek_slip`], and removes the password from the session.
    pub(crate) async fn take_slip(
        &self,
        cookie: &str,
        person: &str,
        now: Timestamp,
    ) -> Result<Option<PasswordSlip>, StateError> {
        let mut sealed_slip = None;
        self.change(&key_of(cookie), now, |session| {
            sealed_slip = session.slip.take_if(|slip| slip.person == person);
            sealed_slip.is_some()
        })
        .await?;
        Ok(sealed_slip.map(|sealed| open(cookie, &sealed)))
    }

    /// Changes a session's record; `false` when there is none, or `edit` returned false: nothing is written then. `edit`
    /// is called again after a conflict.
    async fn change(
        &self,
        key: &str,
        now: Timestamp,
        mut edit: impl FnMut(&mut WebSession) -> bool,
    ) -> Result<bool, StateError> {
        for _ in 0..TRIES {
            let Some(record) = self.state.record(&SESSIONS, key, now).await? else { return Ok(false) };
            let mut session = read_session(&record)?;
            if !edit(&mut session) {
                return Ok(false);
            }
            let change = put_session(key, &session, ChangeCondition::Version(record.version))?;
            match self.state.change(vec![change], now).await {
                Err(StateError::Conflict) => {}
                other => return other.map(|_| true),
            }
        }
        Err(StateError::Unavailable("the session is being changed".into()))
    }
}

/// The write of a session, which succeeds only if `expect` holds; the record expires when the session ends.
fn put_session(key: &str, session: &WebSession, expect: ChangeCondition) -> Result<StateChange, StateError> {
    let value = serde_json::to_vec(session).map_err(|error| StateError::Damaged(error.to_string()))?;
    Ok(StateChange::put(&SESSIONS, key, expect, value, Some(session.end())))
}

fn read_session(record: &StateRecord) -> Result<WebSession, StateError> {
    serde_json::from_slice(&record.value).map_err(|error| StateError::Damaged(format!("a session: {error}")))
}

/// Digest of a person's stored password hashes, in hex.
pub(crate) fn passwords_digest(hashes: &[impl AsRef<str>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for hash in hashes {
        let hash = hash.as_ref();
        hasher.update(&(hash.len() as u64).to_le_bytes()).update(hash.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn key_of(cookie: &str) -> SessionKey {
    blake3::hash(cookie.as_bytes()).to_hex().to_string()
}

/// 256 random bits in hex.
fn random_hex() -> String {
    blake3::Hash::from_bytes(rand::random()).to_hex().to_string()
}

fn seal(cookie: &str, slip: &PasswordSlip) -> SealedPasswordSlip {
    let nonce = rand::random();
    let password = masked(cookie, &nonce, slip.password.reveal().as_bytes());
    SealedPasswordSlip { person: slip.person.clone(), nonce, password }
}

fn open(cookie: &str, sealed: &SealedPasswordSlip) -> PasswordSlip {
    let password = masked(cookie, &sealed.nonce, &sealed.password);
    PasswordSlip {
        person: sealed.person.clone(),
        password: Secret::new(String::from_utf8_lossy(&password).into_owned()),
    }
}

/// XORs `text` with the extended output of BLAKE3 for a key derived from the cookie; a second call restores the text.
/// Each password has its own random nonce, so that no keystream is used twice.
fn masked(cookie: &str, nonce: &[u8; 32], text: &[u8]) -> Vec<u8> {
    let key = blake3::derive_key(SEAL_CONTEXT, cookie.as_bytes());
    let mut stream = vec![0; text.len()];
    blake3::Hasher::new_keyed(&key).update(nonce).finalize_xof().fill(&mut stream);
    text.iter().zip(stream).map(|(octet, mask)| octet ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;
    use provost_store::{LogEntry, MemoryState, StateLog};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nodes() -> (Arc<dyn StateStore>, WebSessions, WebSessions) {
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        (state.clone(), WebSessions::new(state.clone()), WebSessions::new(state))
    }

    #[tokio::test]
    async fn a_session_ends_when_idle_and_when_old() {
        let (_, one, two) = nodes();
        let cookie = one.begin(Uuid::nil(), String::new(), at("2026-09-01T08:00:00Z")).await.unwrap();
        assert_eq!(cookie.len(), 64);
        let mut now = at("2026-09-01T08:00:00Z");
        while now < at("2026-09-01T18:00:00Z") {
            assert!(
                two.visit(&cookie, false, now).await.unwrap().is_some(),
                "ended at {now}, although used every 20 minutes"
            );
            now += SignedDuration::from_mins(20);
        }
        assert!(one.visit(&cookie, false, now).await.unwrap().is_none(), "goes on after ten hours");
        let cookie = one.begin(Uuid::nil(), String::new(), at("2026-09-01T08:00:00Z")).await.unwrap();
        let late = one.visit(&cookie, false, at("2026-09-01T08:30:01Z")).await.unwrap();
        assert!(late.is_none(), "goes on after half an hour without a request");
        assert!(one.visit("nonsense", false, at("2026-09-01T08:00:00Z")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_person_has_ten_sessions_and_ends_none_of_others() {
        let (_, one, two) = nodes();
        let now = Timestamp::now();
        let begin = async |sessions: &WebSessions, person| sessions.begin(person, String::new(), now).await.unwrap();
        let lives = async |cookie: &str| one.visit(cookie, false, now).await.unwrap().is_some();
        let other = begin(&one, Uuid::from_u128(2)).await;
        let mut cookies = Vec::new();
        for n in 0..SESSIONS_OF_PERSON_MAX + 2 {
            cookies.push(begin(if n % 2 == 0 { &one } else { &two }, Uuid::from_u128(1)).await);
        }
        for (n, cookie) in cookies.iter().enumerate() {
            assert_eq!(lives(cookie).await, n >= 2, "session {n}");
        }
        assert!(lives(&other).await, "the session of another person has ended");
    }

    #[tokio::test]
    async fn a_flash_and_a_password_slip_can_be_taken_once() {
        let (_, one, two) = nodes();
        let now = Timestamp::now();
        let cookie = one.begin(Uuid::nil(), String::new(), now).await.unwrap();
        let key = one.visit(&cookie, true, now).await.unwrap().unwrap().key;
        one.store_flash(&key, Flash { key: "vacation.saved".into(), value: String::new() }).await;
        let flash =
            async |sessions: &WebSessions, take| sessions.visit(&cookie, take, now).await.unwrap().unwrap().flash;
        assert!(flash(&two, false).await.is_none(), "returned although not asked for");
        assert!(flash(&two, true).await.is_some());
        assert!(flash(&one, true).await.is_none());
        let slip = PasswordSlip { person: "p".into(), password: Secret::new("café-x") };
        one.store_slip(&cookie, &slip, now).await.unwrap();
        let take = async |person| two.take_slip(&cookie, person, now).await.unwrap();
        assert!(take("q").await.is_none(), "the slip of another person");
        assert_eq!(take("p").await, Some(slip));
        assert!(take("p").await.is_none());
        one.end(&key).await;
        assert!(one.visit(&cookie, true, now).await.unwrap().is_none());
        let slip = PasswordSlip { person: "p".into(), password: Secret::new("café-x") };
        assert!(one.store_slip(&cookie, &slip, now).await.is_err(), "a slip was stored without a session");
    }

    #[tokio::test]
    async fn the_stored_record_reveals_neither_cookie_nor_password() {
        let (state, sessions, _) = nodes();
        let now = Timestamp::now();
        let cookie = sessions.begin(Uuid::nil(), String::new(), now).await.unwrap();
        let slip = PasswordSlip { person: "p".into(), password: Secret::new("xk4m-29ab") };
        sessions.store_slip(&cookie, &slip, now).await.unwrap();
        let stored = state.records(&SESSIONS, None, 10, now).await.unwrap();
        let text = format!("{stored:?}");
        assert!(!text.contains(&cookie) && !text.contains("xk4m"), "{text}");
        // The password as a list of octets, without its brackets.
        assert!(!text.contains(&format!("{:?}", b"xk4m-29ab")[1..20]), "{text}");
    }

    /// A state that can be read and not written.
    struct ReadOnlyState(Arc<dyn StateStore>);

    type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

    impl StateStore for ReadOnlyState {
        fn change(&self, _: Vec<StateChange>, _: Timestamp) -> Answer<'_, Vec<u64>> {
            Box::pin(async { Err(StateError::Unavailable("read-only".into())) })
        }

        fn record(&self, space: &'static StateSpace, key: &str, now: Timestamp) -> Answer<'_, Option<StateRecord>> {
            self.0.record(space, key, now)
        }

        fn records(
            &self,
            space: &'static StateSpace,
            after: Option<&str>,
            most: usize,
            now: Timestamp,
        ) -> Answer<'_, Vec<StateRecord>> {
            self.0.records(space, after, most, now)
        }

        fn entries(
            &self,
            log: &'static StateLog,
            subject: Option<&str>,
            before: Option<u64>,
            most: usize,
        ) -> Answer<'_, Vec<LogEntry>> {
            self.0.entries(log, subject, before, most)
        }

        fn entries_after(
            &self,
            log: &'static StateLog,
            subject: Option<&str>,
            after: u64,
            most: usize,
        ) -> Answer<'_, Vec<LogEntry>> {
            self.0.entries_after(log, subject, after, most)
        }
    }

    #[tokio::test]
    async fn a_session_goes_on_after_its_user_set_a_password_while_the_state_is_read_only() {
        let (state, sessions, _) = nodes();
        let now = Timestamp::now();
        let cookie = sessions.begin(Uuid::nil(), passwords_digest(&["old"]), now).await.unwrap();
        sessions.record_own_password(&key_of(&cookie), "new", now).await.unwrap();
        let read_only = WebSessions::new(Arc::new(ReadOnlyState(state)));
        let visit = read_only.visit(&cookie, false, now).await.unwrap().unwrap();
        for (password, expect) in [("old", true), ("new", true), ("another", false)] {
            assert_eq!(read_only.has_passwords(&visit, &[password]).await, expect, "{password}");
        }
    }
}
