//! Turns at hashing a password. At most one login per core hashes at a time, and waiting sources take turns. The queues
//! are bounded: a login that finds its queue full is refused at once.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// One turn in this many is offered first to [`LoginLane::Attacked`] or, alternately, to [`LoginLane::Suspect`]. All
/// others are offered first to [`LoginLane::Fresh`].
const SUSPECT_TURN: u32 = 4;

/// The lanes in which logins wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginLane {
    /// No recent refused login of this account; or at most a few recent refusals of this source for this account, and
    /// the source is familiar: it had an accepted login of the account in the last 30 days.
    Fresh,
    /// Recent refused logins of this account, but no recent refusal of this source for any account: perhaps the owner,
    /// while others guess. This lane and [`LoginLane::Suspect`] together use at most half of the cores (at least one).
    Attacked,
    /// A possible guess: recent refused logins of this account, and recent refusals of this source for any account. A
    /// familiar source is in this lane only after more than a few recent refusals for this account.
    Suspect,
}

impl LoginLane {
    /// Returns how many logins may wait in the lane: in total, and from one source.
    fn bounds(self) -> (usize, usize) {
        match self {
            Self::Fresh => (2048, 512),
            Self::Attacked | Self::Suspect => (128, 32),
        }
    }
}

/// Too many logins wait already.
#[derive(Debug)]
pub(super) struct LaneFull;

/// The logins that wait in one lane, by source; sources take turns.
#[derive(Default)]
struct LaneQueue {
    by_source: HashMap<IpAddr, VecDeque<oneshot::Sender<HashTurn>>>,
    order: VecDeque<IpAddr>,
    count: usize,
}

impl LaneQueue {
    fn is_full(&self, source: IpAddr, lane: LoginLane) -> bool {
        let (most, most_of_source) = lane.bounds();
        self.count >= most || self.by_source.get(&source).map_or(0, VecDeque::len) >= most_of_source
    }

    fn enqueue(&mut self, source: IpAddr, lane: LoginLane) -> Result<oneshot::Receiver<HashTurn>, LaneFull> {
        if self.is_full(source, lane) {
            return Err(LaneFull);
        }
        let of_source = self.by_source.get(&source).map_or(0, VecDeque::len);
        let (sender, receiver) = oneshot::channel();
        self.by_source.entry(source).or_default().push_back(sender);
        if of_source == 0 {
            self.order.push_back(source);
        }
        self.count += 1;
        Ok(receiver)
    }

    /// Takes the next login, of the source whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<HashTurn>> {
        let source = self.order.pop_front()?;
        let queue = self.by_source.get_mut(&source)?;
        let sender = queue.pop_front();
        match queue.is_empty() {
            true => drop(self.by_source.remove(&source)),
            false => self.order.push_back(source),
        }
        self.count -= usize::from(sender.is_some());
        sender
    }
}

struct TurnState {
    free: usize,
    /// Turns that [`LoginLane::Attacked`] and [`LoginLane::Suspect`] may still use.
    free_suspect: usize,
    fresh: LaneQueue,
    attacked: LaneQueue,
    suspect: LaneQueue,
    turns_given: u32,
}

/// The hashing turns of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct HashTurns(Arc<Mutex<TurnState>>);

/// A turn at hashing, released on drop.
pub(super) struct HashTurn {
    /// `None` when the waiting login was cancelled: the drop then releases nothing.
    turns: Option<HashTurns>,
    lane: LoginLane,
}

impl HashTurns {
    pub(super) fn new(cores: usize) -> Self {
        let free_suspect = (cores / 2).max(1);
        let lane = LaneQueue::default;
        let (fresh, attacked, suspect) = (lane(), lane(), lane());
        let state = TurnState { free: cores.max(1), free_suspect, fresh, attacked, suspect, turns_given: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a turn, or fails at once when too many logins wait.
    pub(super) async fn take(&self, source: IpAddr, lane: LoginLane) -> Result<HashTurn, LaneFull> {
        let receiver = {
            let mut state = self.state();
            let waiting = match lane {
                LoginLane::Fresh => &mut state.fresh,
                LoginLane::Attacked => &mut state.attacked,
                LoginLane::Suspect => &mut state.suspect,
            };
            let receiver = waiting.enqueue(source, lane)?;
            self.give_turns(&mut state);
            receiver
        };
        receiver.await.map_err(|_| LaneFull)
    }

    /// Returns how many logins wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let state = self.state();
        state.fresh.count + state.attacked.count + state.suspect.count
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free turns to waiting logins.
    fn give_turns(&self, state: &mut TurnState) {
        while let Some((sender, lane)) = state.next() {
            state.free -= 1;
            state.free_suspect -= usize::from(lane != LoginLane::Fresh);
            if let Err(mut turn) = sender.send(HashTurn { turns: Some(self.clone()), lane }) {
                // The waiting login was cancelled. This function holds the lock, so the drop of the turn must not take
                // it.
                turn.turns = None;
                state.release(lane);
            }
        }
    }
}

impl TurnState {
    fn next(&mut self) -> Option<(oneshot::Sender<HashTurn>, LoginLane)> {
        if self.free == 0 {
            return None;
        }
        self.turns_given = self.turns_given.wrapping_add(1);
        use LoginLane::{Attacked, Fresh, Suspect};
        let lanes = match self.turns_given % (2 * SUSPECT_TURN) {
            0 => [Suspect, Attacked, Fresh],
            SUSPECT_TURN => [Attacked, Suspect, Fresh],
            _ => [Fresh, Attacked, Suspect],
        };
        lanes.into_iter().find_map(|lane| {
            let sender = match lane {
                Fresh => self.fresh.next(),
                Attacked | Suspect if self.free_suspect == 0 => None,
                Attacked => self.attacked.next(),
                Suspect => self.suspect.next(),
            };
            Some((sender?, lane))
        })
    }

    fn release(&mut self, lane: LoginLane) {
        self.free += 1;
        self.free_suspect += usize::from(lane != LoginLane::Fresh);
    }
}

impl Drop for HashTurn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        let mut state = turns.state();
        state.release(self.lane);
        turns.give_turns(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Waits for a turn, and sends `name` when it has one.
    fn wait(
        turns: &HashTurns,
        source: IpAddr,
        lane: LoginLane,
        name: &'static str,
        done: &tokio::sync::mpsc::UnboundedSender<&'static str>,
    ) {
        let (turns, done) = (turns.clone(), done.clone());
        tokio::spawn(async move {
            let turn = turns.take(source, lane).await;
            done.send(if turn.is_ok() { name } else { "busy" }).unwrap();
        });
    }

    #[tokio::test]
    async fn sources_take_turns_and_guessers_wait() {
        let turns = HashTurns::new(1);
        let held = turns.take(source(1), LoginLane::Fresh).await.unwrap();
        let (done, mut names) = tokio::sync::mpsc::unbounded_channel();
        for (last, lane, name) in [
            (1, LoginLane::Suspect, "guess"),
            (1, LoginLane::Suspect, "guess"),
            (2, LoginLane::Fresh, "b1"),
            (2, LoginLane::Fresh, "b2"),
            (2, LoginLane::Fresh, "b3"),
            (3, LoginLane::Fresh, "c1"),
        ] {
            wait(&turns, source(last), lane, name, &done);
            tokio::task::yield_now().await;
        }
        drop(held);
        drop(done);
        let mut order = Vec::new();
        while let Some(name) = names.recv().await {
            order.push(name);
        }
        let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
        assert!(place("c1") < place("b2"), "a source waits for the many logins of another: {order:?}");
        assert!(order.iter().rposition(|name| *name == "guess").unwrap() > place("b2"), "guesses go first: {order:?}");
    }

    /// While a hundred sources guess at an account, its owner waits for only a few of these guesses.
    #[tokio::test]
    async fn a_source_without_refusals_goes_before_guessers() {
        let turns = HashTurns::new(1);
        let held = turns.take(source(1), LoginLane::Fresh).await.unwrap();
        let (done, mut names) = tokio::sync::mpsc::unbounded_channel();
        for last in 0..100 {
            wait(&turns, source(last), LoginLane::Suspect, "guess", &done);
        }
        tokio::task::yield_now().await;
        for name in ["owner", "another owner"] {
            wait(&turns, source(200), LoginLane::Attacked, name, &done);
            tokio::task::yield_now().await;
        }
        drop((held, done));
        let mut order = Vec::new();
        while let Some(name) = names.recv().await {
            order.push(name);
        }
        let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
        assert!(place("owner") < place("another owner") && place("another owner") < 4, "{order:?}");
        assert_eq!(order.len(), 102);
    }

    #[tokio::test]
    async fn guessers_use_half_of_the_cores_and_a_bounded_queue() {
        let turns = HashTurns::new(2);
        let guess = turns.take(source(1), LoginLane::Suspect).await.unwrap();
        let (done, mut names) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..40 {
            wait(&turns, source(1), LoginLane::Suspect, "guess", &done);
            tokio::task::yield_now().await;
        }
        let fresh = turns.take(source(1), LoginLane::Fresh).await.unwrap();
        for _ in 0..8 {
            assert_eq!(names.recv().await, Some("busy"), "more than 32 of one source wait");
        }
        assert!(names.try_recv().is_err());
        drop(fresh);
        tokio::task::yield_now().await;
        assert!(names.try_recv().is_err(), "a guess has the second core");
        drop(guess);
        for _ in 0..32 {
            assert_eq!(names.recv().await, Some("guess"));
        }
        assert!(turns.take(source(9), LoginLane::Fresh).await.is_ok());
    }

    #[tokio::test]
    async fn a_cancelled_login_takes_no_turn() {
        let turns = HashTurns::new(1);
        let held = turns.take(source(1), LoginLane::Fresh).await.unwrap();
        for _ in 0..3 {
            let gone = turns.take(source(1), LoginLane::Fresh);
            assert!(tokio::time::timeout(std::time::Duration::from_millis(1), gone).await.is_err());
        }
        drop(held);
        assert!(turns.take(source(2), LoginLane::Fresh).await.is_ok());
    }
}
