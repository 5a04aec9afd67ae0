//! Limits how often a sign-in may fail: for one name from one address, and from one address for all names. An IPv6
//! address stands for its /64 network. All nodes share the counts.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use provost_store::{ChangeCondition, StateChange, StateError, StateSpace, StateStore, WhenFull};
use provost_view::source_network;
use serde::{Deserialize, Serialize};

/// Maximum number of attempts for one name from one address within [`WINDOW`].
const ATTEMPTS_OF_NAME_MAX: u32 = 5;
/// Maximum number of attempts from one address within [`WINDOW`]: a whole help desk may share an address.
const ATTEMPTS_OF_ADDRESS_MAX: u32 = 50;
/// Time over which attempts are counted, from the first one.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Maximum number of tries to write one change of the counts while others change them. It exceeds
/// [`ATTEMPTS_OF_ADDRESS_MAX`], so that parallel attempts reach that limit first.
const TRIES: usize = 60;

/// The counts of names and addresses. Only an attack fills this table within a minute. The oldest counts are then
/// removed rather than sign-ins refused, so that an attacker cannot keep the help desk out; the check of the password
/// has a throttle of its own.
static ATTEMPTS: StateSpace =
    StateSpace { name: "sign-in", records_max: 20_000, octets_max: 100, when_full: WhenFull::RemoveOldest };

/// Attempts for one name or address.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct AttemptCount {
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    since: Timestamp,
    attempts: u32,
}

/// Whether the person who signs in has logged in from the same source before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFamiliarity {
    /// The limit of the address does not apply to this attempt: others behind the same address may have reached it.
    Familiar,
    Unfamiliar,
}

/// How much of a name's count stays when an attempt is taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CountKept {
    Nothing,
    /// All attempts but the one that is taken back.
    Others,
}

/// The counts of attempts that have not succeeded, in the shared state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Throttle {
    state: Arc<dyn StateStore>,
}

impl Throttle {
    pub(crate) fn new(state: Arc<dyn StateStore>) -> Self {
        Self { state }
    }

    /// Counts an attempt before its password is checked, so that parallel attempts gain nothing. `Some` holds the
    /// seconds to wait, after too many attempts or when the counts could not be written. Such an attempt is not
    /// counted, and its password must not be checked.
    pub(crate) async fn attempt(
        &self,
        name: &str,
        address: Option<IpAddr>,
        familiarity: SourceFamiliarity,
        now: Timestamp,
    ) -> Result<Option<i64>, StateError> {
        let address_limit = match familiarity {
            SourceFamiliarity::Familiar => u32::MAX,
            SourceFamiliarity::Unfamiliar => ATTEMPTS_OF_ADDRESS_MAX,
        };
        let counted = [(address_key(address), address_limit), (name_key(name, address), ATTEMPTS_OF_NAME_MAX)];
        for _ in 0..TRIES {
            let mut changes = Vec::with_capacity(counted.len());
            for (key, limit) in &counted {
                let (mut count, expect) = self.count(key, now).await?;
                if count.attempts >= *limit {
                    let rest = WINDOW - now.duration_since(count.since);
                    return Ok(Some((rest.as_secs() + i64::from(rest.subsec_nanos() > 0)).max(1)));
                }
                count.attempts = count.attempts.saturating_add(1);
                changes.push(put_count(key, count, expect)?);
            }
            match self.state.change(changes, now).await {
                Ok(_) => return Ok(None),
                Err(StateError::Conflict) => {}
                Err(StateError::Full(_)) => return Ok(Some(WINDOW.as_secs())),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(1))
    }

    /// Takes a successful attempt off the count of its address, and clears the count of its name. If the write fails,
    /// both counts stay until [`WINDOW`] ends.
    pub(crate) async fn succeeded(&self, name: &str, address: Option<IpAddr>, now: Timestamp) {
        if let Err(error) = self.take_back(name, address, now, CountKept::Nothing).await {
            tracing::warn!(%error, "a sign-in that succeeded still counts as an attempt");
        }
    }

    /// Takes off both counts an attempt whose password could not be verified.
    pub(crate) async fn not_verified(&self, name: &str, address: Option<IpAddr>, now: Timestamp) {
        if let Err(error) = self.take_back(name, address, now, CountKept::Others).await {
            tracing::warn!(%error, "a sign-in that could not be verified still counts as an attempt");
        }
    }

    async fn take_back(
        &self,
        name: &str,
        address: Option<IpAddr>,
        now: Timestamp,
        keep: CountKept,
    ) -> Result<(), StateError> {
        let (address_key, name_key) = (address_key(address), name_key(name, address));
        for _ in 0..TRIES {
            let mut changes = Vec::new();
            for key in [&address_key, &name_key] {
                if keep == CountKept::Nothing && *key == name_key {
                    changes.push(StateChange::remove(&ATTEMPTS, name_key.clone(), ChangeCondition::Any));
                    continue;
                }
                let (mut count, expect) = self.count(key, now).await?;
                if count.attempts > 0 {
                    count.attempts -= 1;
                    changes.push(put_count(key, count, expect)?);
                }
            }
            match self.state.change(changes, now).await {
                Err(StateError::Conflict) => {}
                other => return other.map(drop),
            }
        }
        Err(StateError::Conflict)
    }

    /// The count of a key, and the condition that the stored count is still this one.
    async fn count(&self, key: &str, now: Timestamp) -> Result<(AttemptCount, ChangeCondition), StateError> {
        match self.state.record(&ATTEMPTS, key, now).await? {
            None => Ok((AttemptCount { since: now, attempts: 0 }, ChangeCondition::Absent)),
            Some(record) => {
                let count = serde_json::from_slice(&record.value).map_err(|e| StateError::Damaged(e.to_string()))?;
                Ok((count, ChangeCondition::Version(record.version)))
            }
        }
    }
}

/// The write of a count, which succeeds only if `expect` holds. The record expires when its [`WINDOW`] ends.
fn put_count(key: &str, count: AttemptCount, expect: ChangeCondition) -> Result<StateChange, StateError> {
    let value = serde_json::to_vec(&count).map_err(|error| StateError::Damaged(error.to_string()))?;
    Ok(StateChange::put(
        &ATTEMPTS,
        key,
        expect,
        value,
        Some(count.since.saturating_add(WINDOW).unwrap_or(Timestamp::MAX)),
    ))
}

fn address_key(address: Option<IpAddr>) -> String {
    digest(&format!("address {:?}", address.map(source_network)))
}

fn name_key(name: &str, address: Option<IpAddr>) -> String {
    digest(&format!("name {:?} {}", address.map(source_network), name.trim().to_lowercase()))
}

/// The key of a count. Keys are digests, because names can have any length and the stored state must not reveal them.
fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_store::MemoryState;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn nodes() -> (Throttle, Throttle) {
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        (Throttle::new(state.clone()), Throttle::new(state))
    }

    #[tokio::test]
    async fn an_attempt_that_could_not_be_verified_does_not_count() {
        let (one, _) = nodes();
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for second in 0..20 {
            assert_eq!(one.attempt("zoe", address, SourceFamiliarity::Unfamiliar, at(second)).await, Ok(None));
            one.not_verified("zoe", address, at(second)).await;
        }
        for _ in 0..4 {
            assert_eq!(one.attempt("zoe", address, SourceFamiliarity::Unfamiliar, at(20)).await, Ok(None));
        }
        assert_eq!(one.attempt("zoe", address, SourceFamiliarity::Unfamiliar, at(20)).await, Ok(None));
        one.not_verified("zoe", address, at(20)).await;
        assert_eq!(one.attempt("zoe", address, SourceFamiliarity::Unfamiliar, at(20)).await, Ok(None));
        assert!(
            one.attempt("zoe", address, SourceFamiliarity::Unfamiliar, at(20)).await.unwrap().is_some(),
            "the four attempts before were forgotten"
        );
    }

    #[tokio::test]
    async fn all_nodes_together_check_five_attempts_a_minute() {
        let (one, two) = nodes();
        let here = Some("192.0.2.1".parse().unwrap());
        for second in 0..5 {
            let node = if second % 2 == 0 { &one } else { &two };
            assert_eq!(node.attempt("zoe", here, SourceFamiliarity::Unfamiliar, at(second)).await, Ok(None));
        }
        assert_eq!(one.attempt(" ZOE ", here, SourceFamiliarity::Unfamiliar, at(10)).await, Ok(Some(50)));
        assert_eq!(
            two.attempt("noa", here, SourceFamiliarity::Unfamiliar, at(10)).await,
            Ok(None),
            "another name shares the count"
        );
        assert_eq!(
            two.attempt("zoe", Some("192.0.2.2".parse().unwrap()), SourceFamiliarity::Unfamiliar, at(10)).await,
            Ok(None),
            "another address shares the count"
        );
        assert_eq!(
            one.attempt("zoe", here, SourceFamiliarity::Unfamiliar, at(60)).await,
            Ok(None),
            "attempts of the last minute still count"
        );
    }

    /// One visitor behind a proxy or NAT cannot shut out those who sign in from there every day.
    #[tokio::test]
    async fn a_familiar_source_is_stopped_only_by_the_count_of_the_name() {
        let (throttle, _) = nodes();
        let here = Some("192.0.2.1".parse().unwrap());
        for n in 0..60 {
            throttle.attempt(&format!("invented {n}"), here, SourceFamiliarity::Unfamiliar, at(1)).await.unwrap();
        }
        let wait = throttle.attempt("zoe", here, SourceFamiliarity::Unfamiliar, at(1)).await.unwrap();
        assert!(wait.is_some());
        for _ in 0..5 {
            assert_eq!(throttle.attempt("zoe", here, SourceFamiliarity::Familiar, at(1)).await, Ok(None));
        }
        assert!(throttle.attempt("zoe", here, SourceFamiliarity::Familiar, at(1)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_success_clears_the_counts() {
        let (throttle, _) = nodes();
        for second in 0..55 {
            assert_eq!(throttle.attempt("zoe", None, SourceFamiliarity::Unfamiliar, at(second)).await, Ok(None));
            throttle.succeeded("zoe", None, at(second)).await;
        }
    }

    #[tokio::test]
    async fn an_ipv6_network_is_stopped_after_fifty_attempts_for_many_names() {
        let (throttle, _) = nodes();
        let mut first_stopped = None;
        for n in 0..60 {
            let address = format!("2001:db8::{n:x}").parse().unwrap();
            if throttle
                .attempt(&format!("name{n}"), Some(address), SourceFamiliarity::Unfamiliar, at(1))
                .await
                .unwrap()
                .is_some()
            {
                first_stopped = first_stopped.or(Some(n));
            }
        }
        assert_eq!(first_stopped, Some(50));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_forty_attempts_at_once_five_are_checked() {
        let (throttle, _) = nodes();
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let throttle = throttle.clone();
                tokio::spawn(async move { throttle.attempt("zoe", None, SourceFamiliarity::Unfamiliar, at(1)).await })
            })
            .collect();
        let mut checked = 0;
        for task in tasks {
            checked += u32::from(task.await.unwrap() == Ok(None));
        }
        assert_eq!(checked, ATTEMPTS_OF_NAME_MAX);
    }
}
