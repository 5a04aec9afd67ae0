//! Bounds concurrent password hashing, which is slow by design and which any client can trigger.

use tokio::sync::Semaphore;

use crate::ldap_result::{LdapResult, OperationResult, ResultCode};

/// Maximum number of passwords that are being hashed or verified, or wait for their turn. A further one is refused with
/// `busy`.
const WAITING_MAX: usize = 256;

/// A limit on concurrent password hashing.
#[derive(Debug)]
pub(crate) struct Hashing {
    admitted: Semaphore,
    running: Semaphore,
}

impl Hashing {
    /// Allows one hash per processor at a time.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { admitted: Semaphore::new(WAITING_MAX), running: Semaphore::new(processors) }
    }

    /// Runs `work` on a blocking thread. Returns `busy` when [`WAITING_MAX`] others are running or waiting.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> OperationResult<T> {
        let busy = || LdapResult::new(ResultCode::Busy, "too many passwords are being checked; try again later");
        let _admitted = self.admitted.try_acquire().map_err(|_| busy())?;
        let _running = self.running.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "hashing a password ended because of a bug");
            LdapResult::new(ResultCode::Unavailable, "the password cannot be checked now")
        })
    }
}
