//! A thread that takes everything that waits, as one group, and an inbox that bounds what may wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Jobs of one group: beyond this a longer group wins nothing, and the first in it waits for the last.
const GROUP_JOBS_MAX: usize = 256;
/// Octets of bodies of one group: the disk is at full speed with less (64 KiB), and memory is bounded.
const GROUP_OCTETS_MAX: usize = 1024 * 1024;
/// What may wait in one inbox, in units of 1 KiB: 16 MiB. Callers beyond that wait outside.
const ROOM_UNITS: u32 = 16 * 1024;
/// How often a thread without jobs looks after its house.
const IDLE: Duration = Duration::from_secs(2);

/// What the thread does.
pub(super) trait Worker: Send + 'static {
    /// One thing to do. Dropping it unanswered must answer its caller.
    type Job: Send + 'static;
    /// Does all of a group, whose bodies have `octets`, and answers each job.
    fn commit(&mut self, group: Vec<Self::Job>, octets: usize);
    /// Nothing came for a while, or the end is near.
    fn idle(&mut self);
}

struct Waiting<J> {
    job: J,
    octets: usize,
    _room: Option<OwnedSemaphorePermit>,
}

struct State<J> {
    jobs: VecDeque<Waiting<J>>,
    closed: bool,
}

struct Inbox<J> {
    state: Mutex<State<J>>,
    arrived: Condvar,
}

impl<J> Inbox<J> {
    /// The next group and the octets of its bodies; empty when nothing came in time; `None` when closed and all is done.
    fn receive(&self) -> Option<(Vec<J>, usize)> {
        self.wait();
        // While the processors are busy, who is about to send a job comes first: a larger group costs as many syncs as a small
        // one. While they are not, this returns at once.
        std::thread::yield_now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let (mut group, mut octets) = (Vec::new(), 0);
        while group.len() < GROUP_JOBS_MAX && octets < GROUP_OCTETS_MAX {
            let Some(waiting) = state.jobs.pop_front() else { break };
            octets += waiting.octets;
            group.push(waiting.job);
        }
        Some((group, octets))
    }

    /// Until there is a job, or the end, or nothing came in time.
    fn wait(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(state, IDLE, |state| state.jobs.is_empty() && !state.closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn close(&self) -> VecDeque<Waiting<J>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        self.arrived.notify_all();
        std::mem::take(&mut state.jobs)
    }
}

/// However the thread ends, also by a panic: nobody waits for it any more.
struct CloseAtEnd<J>(Arc<Inbox<J>>);

impl<J> Drop for CloseAtEnd<J> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // From now on this part of the store answers "unavailable" until the node is started again.
            metrics::counter!("provost_store_committer_panics_total").increment(1);
            tracing::error!("a committer thread ended by a panic: restart the node");
        }
        drop(self.0.close());
    }
}

/// The thread and its inbox. Dropping it lets the thread finish what waits, and waits for that.
pub(super) struct Committer<J: Send + 'static> {
    inbox: Arc<Inbox<J>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Committer<J> {
    pub(super) fn start(name: String, mut worker: impl Worker<Job = J>) -> std::io::Result<Self> {
        let state = Mutex::new(State { jobs: VecDeque::new(), closed: false });
        let inbox = Arc::new(Inbox { state, arrived: Condvar::new() });
        let shared = Arc::clone(&inbox);
        let work = move || {
            let end = CloseAtEnd(shared);
            while let Some((group, octets)) = end.0.receive() {
                match group.is_empty() {
                    true => worker.idle(),
                    false => worker.commit(group, octets),
                }
            }
            worker.idle();
        };
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        Ok(Self { inbox, room: Arc::new(Semaphore::new(ROOM_UNITS as usize)), thread: Some(thread) })
    }

    /// Puts a job in as soon as there is room; drops it (and so answers its caller) when the thread is gone.
    pub(super) async fn send(&self, job: J, octets: usize) {
        let units = u32::try_from(octets / 1024).unwrap_or(ROOM_UNITS).saturating_add(1).min(ROOM_UNITS);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(units).await else { return };
        self.put(Waiting { job, octets, _room: Some(room) });
    }

    /// Whether its thread has ended before its time: by a panic.
    pub(super) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Puts a job in at once, whatever waits: only for a caller that has one at a time.
    pub(super) fn send_now(&self, job: J) {
        self.put(Waiting { job, octets: 0, _room: None });
    }

    fn put(&self, waiting: Waiting<J>) {
        let mut state = self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            state.jobs.push_back(waiting);
            self.inbox.arrived.notify_one();
        }
    }
}

impl<J: Send + 'static> Drop for Committer<J> {
    fn drop(&mut self) {
        self.inbox.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.inbox.arrived.notify_all();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("a committer thread had ended by a panic");
        }
    }
}

/// Why a group was not committed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Surely not.
    NotDone(String),
    /// It may be there after the next start.
    Unknown,
}

/// The way back to a caller. Dropped without an answer, it reports a failure: no caller waits for ever.
pub(super) struct Reply<T, E: From<Failure>> {
    sender: Option<oneshot::Sender<Result<T, E>>>,
    in_doubt: bool,
}

impl<T, E: From<Failure>> Reply<T, E> {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), in_doubt: false }, receiver)
    }

    /// From here on a commit may have happened.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    pub(super) fn send(mut self, result: Result<T, E>) {
        if let Some(sender) = self.sender.take() {
            // The caller may have gone away; what is committed stays.
            let _ = sender.send(result);
        }
    }
}

impl<T, E: From<Failure>> Drop for Reply<T, E> {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let failure = match self.in_doubt {
            true => Failure::Unknown,
            false => Failure::NotDone("the committer has stopped".into()),
        };
        let _ = sender.send(Err(failure.into()));
    }
}

/// Waits for the answer.
pub(super) async fn answer<T, E: From<Failure>>(receiver: oneshot::Receiver<Result<T, E>>) -> Result<T, E> {
    receiver.await.unwrap_or_else(|_| Err(Failure::Unknown.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Job(u32, Reply<u32, Failure>);
    struct Fragile;

    impl Worker for Fragile {
        type Job = Job;
        fn commit(&mut self, group: Vec<Job>, _octets: usize) {
            for Job(number, mut reply) in group {
                reply.doubt();
                assert_ne!(number, 13);
                reply.send(Ok(number));
            }
        }
        fn idle(&mut self) {}
    }

    async fn ask(committer: &Committer<Job>, number: u32) -> Result<u32, Failure> {
        let (reply, receiver) = Reply::new();
        committer.send(Job(number, reply), 10_000).await;
        answer(receiver).await
    }

    #[tokio::test]
    async fn a_panic_answers_everybody() {
        let committer = Committer::start("fragile".into(), Fragile).unwrap();
        assert!(matches!(ask(&committer, 7).await, Ok(7)));
        assert!(!committer.is_dead());
        assert!(matches!(ask(&committer, 13).await, Err(Failure::Unknown)));
        while !committer.is_dead() {
            tokio::task::yield_now().await;
        }
        for _ in 0..2_000 {
            assert!(matches!(ask(&committer, 7).await, Err(Failure::NotDone(_))));
        }
    }

    #[tokio::test]
    async fn all_that_waits_is_done_before_the_end() {
        let committer = Committer::start("sound".into(), Fragile).unwrap();
        let mut receivers = Vec::new();
        for _ in 0..500 {
            let (reply, receiver) = Reply::<u32, Failure>::new();
            committer.send(Job(1, reply), 100).await;
            receivers.push(receiver);
        }
        drop(committer);
        for receiver in receivers {
            assert!(matches!(answer(receiver).await, Ok(1)));
        }
    }
}
