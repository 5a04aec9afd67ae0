//! Sessions of signed-in people: in memory, bounded, known by the digest of their cookie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use provost_view::Secret;
use uuid::Uuid;

/// A session without a request for so long is over.
const IDLE_MAX: SignedDuration = SignedDuration::from_mins(30);
/// A session is over after so long in any case: a working day.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(10);
/// Sessions at once.
const SESSIONS_MAX: usize = 10_000;

/// Key of a session: the digest of its cookie, so that a look into memory or a slow comparison gives no cookie away.
pub(crate) type SessionKey = blake3::Hash;

/// A message that the next page shows once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Flash {
    /// Key of its words.
    pub(crate) key: &'static str,
    /// What it is about; empty when nothing.
    pub(crate) value: String,
}

/// A new password that the next page shows once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// provostPersonId of whom it is for.
    pub(crate) person: String,
    pub(crate) password: Secret,
}

struct Session {
    entry_uuid: Uuid,
    csrf: String,
    began: Timestamp,
    seen: Timestamp,
    flash: Option<Flash>,
    letter: Option<Letter>,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) > IDLE_MAX || now.duration_since(self.began) > AGE_MAX
    }
}

/// What a request learns of its session.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) key: SessionKey,
    /// Who signed in.
    pub(crate) entry_uuid: Uuid,
    /// What each form of this session must send.
    pub(crate) csrf: String,
}

/// All sessions. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    // A std lock: held for look-ups only, never over an await.
    known: Arc<Mutex<HashMap<SessionKey, Session>>>,
}

impl Sessions {
    /// Begins a session and returns its cookie: 256 random bits.
    pub(crate) fn begin(&self, entry_uuid: Uuid, now: Timestamp) -> String {
        let cookie = random_hex();
        let session = Session { entry_uuid, csrf: random_hex(), began: now, seen: now, flash: None, letter: None };
        let mut known = self.lock();
        if known.len() >= SESSIONS_MAX {
            known.retain(|_, session| !session.is_over(now));
        }
        if known.len() >= SESSIONS_MAX {
            let oldest = known.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key);
            oldest.and_then(|key| known.remove(&key));
        }
        known.insert(blake3::hash(cookie.as_bytes()), session);
        cookie
    }

    /// The session of a cookie, which lives on by it; `None` when it is unknown or over.
    pub(crate) fn visit(&self, cookie: &str, now: Timestamp) -> Option<Visit> {
        let key = blake3::hash(cookie.as_bytes());
        let mut known = self.lock();
        let session = known.get_mut(&key)?;
        if session.is_over(now) {
            known.remove(&key);
            return None;
        }
        session.seen = now;
        Some(Visit { key, entry_uuid: session.entry_uuid, csrf: session.csrf.clone() })
    }

    /// Ends a session.
    pub(crate) fn end(&self, key: SessionKey) {
        self.lock().remove(&key);
    }

    /// Leaves a message for the next page.
    pub(crate) fn leave_flash(&self, key: SessionKey, flash: Flash) {
        if let Some(session) = self.lock().get_mut(&key) {
            session.flash = Some(flash);
        }
    }

    /// Takes the message.
    pub(crate) fn take_flash(&self, key: SessionKey) -> Option<Flash> {
        self.lock().get_mut(&key)?.flash.take()
    }

    /// Leaves a password for the letter.
    pub(crate) fn leave_letter(&self, key: SessionKey, letter: Letter) {
        if let Some(session) = self.lock().get_mut(&key) {
            session.letter = Some(letter);
        }
    }

    /// Takes the password of `person`; it can be taken once.
    pub(crate) fn take_letter(&self, key: SessionKey, person: &str) -> Option<Letter> {
        self.lock().get_mut(&key)?.letter.take_if(|letter| letter.person == person)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Session>> {
        // Every change of a session is whole before anything can panic: a poisoned lock holds good data.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 random bits, hex.
fn random_hex() -> String {
    blake3::Hash::from_bytes(rand::random()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ends_when_idle_and_when_old() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(Uuid::nil(), at("2026-09-01T08:00:00Z"));
        assert_eq!(cookie.len(), 64);
        let mut now = at("2026-09-01T08:00:00Z");
        while now <= at("2026-09-01T18:00:00Z") {
            assert!(sessions.visit(&cookie, now).is_some(), "used every 20 minutes: {now}");
            now += SignedDuration::from_mins(20);
        }
        assert!(sessions.visit(&cookie, now).is_none(), "ten hours");
        let cookie = sessions.begin(Uuid::nil(), at("2026-09-01T08:00:00Z"));
        assert!(sessions.visit(&cookie, at("2026-09-01T08:30:01Z")).is_none(), "half an hour without a request");
        assert!(sessions.visit("nonsense", at("2026-09-01T08:00:00Z")).is_none());
    }

    #[test]
    fn shows_a_flash_and_a_letter_once() {
        let sessions = Sessions::default();
        let now = at("2026-09-01T08:00:00Z");
        let key = sessions.visit(&sessions.begin(Uuid::nil(), now), now).unwrap().key;
        sessions.leave_flash(key, Flash { key: "vacation.saved", value: String::new() });
        assert!(sessions.take_flash(key).is_some());
        assert!(sessions.take_flash(key).is_none());
        sessions.leave_letter(key, Letter { person: "p".into(), password: Secret::new("x") });
        assert!(sessions.take_letter(key, "q").is_none(), "only on the page of its person");
        assert!(sessions.take_letter(key, "p").is_some());
        assert!(sessions.take_letter(key, "p").is_none());
        sessions.end(key);
        assert!(sessions.take_flash(key).is_none());
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.begin(Uuid::nil(), at("2026-09-01T08:00:00Z"));
        let second = sessions.begin(Uuid::nil(), at("2026-09-01T08:00:01Z"));
        for _ in 2..=SESSIONS_MAX {
            sessions.begin(Uuid::nil(), at("2026-09-01T08:00:02Z"));
        }
        assert!(sessions.visit(&first, at("2026-09-01T08:00:02Z")).is_none());
        assert!(sessions.visit(&second, at("2026-09-01T08:00:02Z")).is_some());
    }
}
