//! Stopping: one signal, which every listener and session waits for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells all listeners and sessions to stop, and waits for them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drain {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// One for a whole node.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everybody to stop. A session ends when its current command is done.
    pub fn stop(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Resolves when stopping was asked for.
    pub async fn stopping(&self) {
        self.token.cancelled().await;
    }

    /// Waits until all that was spawned under it has ended; `false` when that takes longer than `limit`.
    pub async fn finished(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }

    /// Runs a task that [`Drain::finished`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}
