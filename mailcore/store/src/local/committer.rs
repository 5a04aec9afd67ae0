//! A committer thread, which takes all waiting jobs as one group, and its bounded inbox.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Maximum number of jobs in one group. A longer group gains nothing, and its first job would wait for its last.
const GROUP_JOBS_MAX: usize = 256;
/// A group whose bodies reach this many octets takes no further job, so that memory stays bounded. A larger group gains
/// nothing: the disk reaches full speed with 64 KiB already.
const GROUP_OCTETS_FULL: usize = 1024 * 1024;
/// Size of an inbox, KiB: 16 MiB. A job takes one KiB and the size of its bodies, but at most the whole inbox. While
/// there is no room, callers wait.
const INBOX_KIB: u32 = 16 * 1024;
/// Longest wait for a job before the thread does idle work.
const IDLE: Duration = Duration::from_secs(2);

/// The work of a committer thread.
pub(super) trait Worker: Send + 'static {
    /// One job. When a job is dropped unanswered, its drop must answer the caller: see [`ReplySender`].
    type Work: Send + 'static;
    /// Does all jobs of a group, whose bodies have `octets` in all, and answers each.
    fn commit(&mut self, group: Vec<Self::Work>, octets: usize);
    /// Does idle work: no job came for a while, or the thread is about to end.
    fn idle(&mut self);
}

struct QueuedWork<J> {
    job: J,
    octets: usize,
    _room: Option<OwnedSemaphorePermit>,
}

struct InboxState<J> {
    jobs: VecDeque<QueuedWork<J>>,
    closed: bool,
}

struct Inbox<J> {
    state: Mutex<InboxState<J>>,
    arrived: Condvar,
}

impl<J> Inbox<J> {
    /// Returns the next group and the octets of its bodies. The group is empty when no job came within [`IDLE`]. `None`
    /// when the inbox is closed and drained.
    fn receive(&self) -> Option<(Vec<J>, usize)> {
        self.wait();
        // While all processors are busy, let callers that are about to send a job run first: a large group costs no
        // more syncs than a small one. While a processor is idle, the call returns at once.
        std::thread::yield_now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let (mut group, mut octets) = (Vec::new(), 0);
        while group.len() < GROUP_JOBS_MAX && octets < GROUP_OCTETS_FULL {
            let Some(waiting) = state.jobs.pop_front() else { break };
            octets += waiting.octets;
            group.push(waiting.job);
        }
        Some((group, octets))
    }

    /// Waits for a job, for the close, or for the timeout.
    fn wait(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(state, IDLE, |state| state.jobs.is_empty() && !state.closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn close(&self) -> VecDeque<QueuedWork<J>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        self.arrived.notify_all();
        std::mem::take(&mut state.jobs)
    }
}

/// Closes the inbox when the thread ends, also by a panic, so that no caller waits for ever.
struct CloseAtEnd<J>(Arc<Inbox<J>>);

impl<J> Drop for CloseAtEnd<J> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // From now on this committer accepts no job, until the node is restarted. Reads go on.
            metrics::counter!("provost_store_committer_panics_total").increment(1);
            tracing::error!("a committer thread ended by a panic: restart the node");
        }
        drop(self.0.close());
    }
}

/// The thread and its inbox. Dropping it waits until the thread has drained the inbox.
pub(super) struct Committer<J: Send + 'static> {
    inbox: Arc<Inbox<J>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Committer<J> {
    pub(super) fn start(name: String, mut worker: impl Worker<Work = J>) -> std::io::Result<Self> {
        let state = Mutex::new(InboxState { jobs: VecDeque::new(), closed: false });
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
        Ok(Self { inbox, room: Arc::new(Semaphore::new(INBOX_KIB as usize)), thread: Some(thread) })
    }

    /// Queues a job once there is room. When the thread is dead, the job is dropped, which answers its caller.
    pub(super) async fn send(&self, job: J, octets: usize) {
        let units = u32::try_from(octets / 1024).unwrap_or(INBOX_KIB).saturating_add(1).min(INBOX_KIB);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(units).await else { return };
        self.enqueue(QueuedWork { job, octets, _room: Some(room) });
    }

    /// Whether the thread died by a panic.
    pub(super) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Queues a job at once, ignoring the bound: only for a caller with at most one job in the queue.
    pub(super) fn send_now(&self, job: J) {
        self.enqueue(QueuedWork { job, octets: 0, _room: None });
    }

    fn enqueue(&self, waiting: QueuedWork<J>) {
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

/// Why a group was not committed, or may not have been.
#[derive(Clone, Debug)]
pub(super) enum CommitFailure {
    /// The group certainly had no effect.
    NotDone(String),
    /// The commit failed half-way: a restart may find the group committed.
    Unknown,
}

/// The reply channel of a job. Dropped without an answer, it reports a failure, so that no caller waits for ever.
pub(super) struct ReplySender<T, E: From<CommitFailure>> {
    sender: Option<oneshot::Sender<Result<T, E>>>,
    in_doubt: bool,
}

impl<T, E: From<CommitFailure>> ReplySender<T, E> {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), in_doubt: false }, receiver)
    }

    /// Marks the outcome as unknown from here on, because the commit has begun.
    pub(super) fn mark_unknown(&mut self) {
        self.in_doubt = true;
    }

    pub(super) fn send(mut self, result: Result<T, E>) {
        if let Some(sender) = self.sender.take() {
            // The caller may be gone; the commit stays.
            let _ = sender.send(result);
        }
    }
}

impl<T, E: From<CommitFailure>> Drop for ReplySender<T, E> {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let failure = match self.in_doubt {
            true => CommitFailure::Unknown,
            false => CommitFailure::NotDone("the committer has stopped".into()),
        };
        let _ = sender.send(Err(failure.into()));
    }
}

/// Waits for the reply.
pub(super) async fn wait_for_reply<T, E: From<CommitFailure>>(
    receiver: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    receiver.await.unwrap_or_else(|_| Err(CommitFailure::Unknown.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NumberedWork(u32, ReplySender<u32, CommitFailure>);
    struct Fragile;

    impl Worker for Fragile {
        type Work = NumberedWork;
        fn commit(&mut self, group: Vec<NumberedWork>, _octets: usize) {
            for NumberedWork(number, mut reply) in group {
                reply.mark_unknown();
                assert_ne!(number, 13);
                reply.send(Ok(number));
            }
        }
        fn idle(&mut self) {}
    }

    async fn ask(committer: &Committer<NumberedWork>, number: u32) -> Result<u32, CommitFailure> {
        let (reply, receiver) = ReplySender::new();
        committer.send(NumberedWork(number, reply), 10_000).await;
        wait_for_reply(receiver).await
    }

    #[tokio::test]
    async fn every_caller_gets_an_answer_after_a_panic() {
        let committer = Committer::start("fragile".into(), Fragile).unwrap();
        assert!(matches!(ask(&committer, 7).await, Ok(7)));
        assert!(!committer.is_dead());
        assert!(matches!(ask(&committer, 13).await, Err(CommitFailure::Unknown)));
        while !committer.is_dead() {
            tokio::task::yield_now().await;
        }
        for _ in 0..2_000 {
            assert!(matches!(ask(&committer, 7).await, Err(CommitFailure::NotDone(_))));
        }
    }

    #[tokio::test]
    async fn a_dropped_committer_first_commits_all_queued_jobs() {
        let committer = Committer::start("dropped".into(), Fragile).unwrap();
        let mut receivers = Vec::new();
        for _ in 0..500 {
            let (reply, receiver) = ReplySender::<u32, CommitFailure>::new();
            committer.send(NumberedWork(1, reply), 100).await;
            receivers.push(receiver);
        }
        drop(committer);
        for receiver in receivers {
            assert!(matches!(wait_for_reply(receiver).await, Ok(1)));
        }
    }
}
