//! Turns of imports: each node plans one file at a time, and the site applies one plan at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provost_store::{ChangeCondition, StateChange, StateError, StateSpace, StateStore, StateVersion, WhenFull};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::problem::{Problem, ProblemKind};

/// Longest wait of a request for a turn.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// Interval at which a waiting request checks whether another node has released the turn.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long a turn stays valid without renewal; after this time, its node is presumed dead.
pub(crate) const TURN_VALIDITY: SignedDuration = SignedDuration::from_secs(30);
/// The only key of the space.
const KEY: &str = "apply";

/// The value is the name of the node that has the turn; the bound is several times the longest host name.
static TURN: StateSpace = StateSpace { name: "turn", records_max: 1, octets_max: 1024, when_full: WhenFull::Refuse };

/// The turns of planning and applying. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ImportTurns {
    state: Arc<dyn StateStore>,
    node: Arc<str>,
    planning: Arc<Mutex<()>>,
    applying: Arc<Mutex<()>>,
}

/// The turn to apply, held until [`ApplyTurn::end`], or until [`TURN_VALIDITY`] after its last renewal.
pub(crate) struct ApplyTurn {
    state: Arc<dyn StateStore>,
    node: Arc<str>,
    version: StateVersion,
    _local: OwnedMutexGuard<()>,
}

impl ImportTurns {
    pub(crate) fn new(state: Arc<dyn StateStore>, node: Arc<str>) -> Self {
        Self { state, node, planning: Arc::default(), applying: Arc::default() }
    }

    /// Waits for the turn to plan: each plan holds its file and the directory's people in memory.
    pub(crate) async fn wait_to_plan(&self) -> Result<OwnedMutexGuard<()>, Problem> {
        let turn = tokio::time::timeout(WAIT_LIMIT, self.planning.clone().lock_owned()).await;
        turn.map_err(|_| Problem::new(ProblemKind::Busy, "another import is being planned"))
    }

    /// Waits for the turn to apply. Take it before the plan is made: a plan that waited while another one was applied
    /// would be based on an outdated directory.
    pub(crate) async fn wait_to_apply(&self) -> Result<ApplyTurn, Problem> {
        let busy = || Problem::new(ProblemKind::Busy, "another import is being applied");
        let until = Instant::now() + WAIT_LIMIT;
        let local = tokio::time::timeout_at(until, self.applying.clone().lock_owned()).await.map_err(|_| busy())?;
        loop {
            let now = Timestamp::now();
            let take =
                StateChange::put(&TURN, KEY, ChangeCondition::Absent, self.node.to_string(), Some(valid_until(now)));
            match self.state.change(vec![take], now).await {
                Ok(made) => {
                    let version = version_of(&made)?;
                    let (state, node) = (self.state.clone(), self.node.clone());
                    return Ok(ApplyTurn { state, node, version, _local: local });
                }
                Err(StateError::Conflict) if Instant::now() < until => tokio::time::sleep(RETRY_INTERVAL).await,
                Err(StateError::Conflict) => return Err(busy()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl ApplyTurn {
    /// Renews the turn; [`StateError::Conflict`] when it has expired and another node may have taken it.
    pub(crate) async fn renew(&mut self) -> Result<(), StateError> {
        let now = Timestamp::now();
        let expect = ChangeCondition::Version(self.version);
        let put = StateChange::put(&TURN, KEY, expect, self.node.to_string(), Some(valid_until(now)));
        self.version = version_of(&self.state.change(vec![put], now).await?)?;
        Ok(())
    }

    /// Releases the turn.
    pub(crate) async fn end(self) {
        let expect = ChangeCondition::Version(self.version);
        let ended = self.state.change(vec![StateChange::remove(&TURN, KEY, expect)], Timestamp::now()).await;
        if let Err(error) = ended {
            tracing::warn!(%error, "the turn to apply imports was not released; it expires in {TURN_VALIDITY:#}");
        }
    }
}

/// Returns the version of the record from the result of a change that was one put.
fn version_of(made: &[u64]) -> Result<StateVersion, StateError> {
    let version = made.first().copied().map(StateVersion::from);
    version.ok_or_else(|| StateError::Damaged("a change of the turn made no version".to_owned()))
}

/// When a turn or job that is renewed at `now` expires.
pub(crate) fn valid_until(now: Timestamp) -> Timestamp {
    now.saturating_add(TURN_VALIDITY).unwrap_or(Timestamp::MAX)
}

/// Releases the turn that a node held when it stopped. Called at the start of a node, before it can hold another turn.
pub(crate) async fn release_abandoned_turn(
    state: &dyn StateStore,
    node: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let record = state.record(&TURN, KEY, now).await?;
    let Some(turn) = record.filter(|turn| *turn.value == *node.as_bytes()) else { return Ok(()) };
    let remove = StateChange::remove(&TURN, KEY, ChangeCondition::Version(turn.version));
    match state.change(vec![remove], now).await {
        Ok(_) => Ok(()),
        // The turn has just expired, and another node may have taken it.
        Err(StateError::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_store::MemoryState;

    #[tokio::test]
    async fn a_restarted_node_releases_its_own_turn_and_no_other() {
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        let now = Timestamp::now();
        let held = ImportTurns::new(state.clone(), "a".into()).wait_to_apply().await.unwrap();
        let is_held = async || state.record(&TURN, KEY, now).await.unwrap().is_some();
        release_abandoned_turn(&*state, "b", now).await.unwrap();
        assert!(is_held().await);
        drop(held);
        release_abandoned_turn(&*state, "a", now).await.unwrap();
        assert!(!is_held().await);
        release_abandoned_turn(&*state, "a", now).await.unwrap();
    }
}
