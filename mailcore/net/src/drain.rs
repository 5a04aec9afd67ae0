//! Orderly stop: one signal, which every listener and session waits for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Signals all listeners and sessions to stop, and waits for them. Cheap to clone; clones share the signal.
#[derive(Clone, Default)]
pub struct Drain {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// Makes a drain that is not stopped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signals the stop. A session ends when its current command is done.
    pub fn stop(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Resolves after [`Drain::stop`] was called.
    pub async fn stopping(&self) {
        self.token.cancelled().await;
    }

    /// Waits until [`Drain::stop`] was called and all tasks of [`Drain::spawn`] have ended; `false` after `limit`.
    pub async fn finished(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }

    /// Runs a task that [`Drain::finished`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}
