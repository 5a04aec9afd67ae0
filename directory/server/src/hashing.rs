//! A bound on the work with passwords: hashing is slow by design, and anyone may ask for it.

use tokio::sync::Semaphore;

use crate::refusal::{Code, Outcome, Refusal};

/// Passwords that may wait to be hashed or checked; for more the answer is `busy`.
const WAITING_MAX: usize = 256;

/// Bounds the work on passwords, which is slow by design.
#[derive(Debug)]
pub(crate) struct Hashing {
    waiting: Semaphore,
    running: Semaphore,
}

impl Hashing {
    /// One at a time for each processor.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { waiting: Semaphore::new(WAITING_MAX), running: Semaphore::new(processors) }
    }

    /// Runs slow work off the async threads; refused with `busy` when too much of it waits.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let busy = || Refusal::new(Code::Busy, "too many passwords to check");
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let _running = self.running.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| busy())
    }
}
