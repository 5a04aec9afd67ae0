//! How fresh the View is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

/// The freshness and the counts of the View.
#[derive(Clone, Debug, Default)]
pub struct ViewStatus {
    /// Whether a complete state was ever read, now or before a restart.
    pub complete: bool,
    /// Whether a session with the directory is open and its refresh is complete. Then an entry that the View lacks is
    /// absent from the directory too.
    pub current: bool,
    /// The last contact with the directory; `None` before the first one of this process.
    pub last_contact: Option<Timestamp>,
    /// URL of the server that the View follows; `None` between sessions.
    pub source: Option<String>,
    /// Number of people in the snapshot.
    pub people: usize,
    /// Number of settings in the directory that break their rule and are not in force.
    pub bad_settings: usize,
    /// Why the last refresh or removal was parked; `None` once a refresh is complete.
    pub parked: Option<String>,
}

/// The status as the consumer keeps it: two flags that every look-up reads, and the rest behind a lock.
#[derive(Default)]
pub(crate) struct StatusCell {
    complete: AtomicBool,
    current: AtomicBool,
    rest: Mutex<ViewStatus>,
}

impl StatusCell {
    /// Whether a complete state was ever read.
    pub(crate) fn complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether an entry that the snapshot lacks is certainly absent from the directory. Call this *before* loading the
    /// snapshot.
    pub(crate) fn certain(&self) -> bool {
        self.complete() && self.current.load(Ordering::Acquire)
    }

    /// Records that the snapshot holds a complete state.
    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Records whether a session with the directory is open and its refresh is complete.
    pub(crate) fn set_current(&self, current: bool) {
        self.current.store(current, Ordering::Release);
        metrics::gauge!("provost_view_current").set(f64::from(u8::from(current)));
    }

    /// Changes the part that no look-up reads.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ViewStatus)) {
        // A poisoned lock still holds a readable status.
        change(&mut self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Returns the whole status. The caller fills in what is counted in the snapshot (`people`, `bad_settings`).
    pub(crate) fn read(&self) -> ViewStatus {
        let mut status = self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        status.complete = self.complete();
        status.current = self.current.load(Ordering::Acquire);
        status
    }
}
