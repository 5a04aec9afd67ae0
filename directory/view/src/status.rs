//! How fresh the View is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

/// How fresh the View is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// A complete state was read once (now or before a restart).
    pub complete: bool,
    /// A live session to a ready server holds, so that "not there" can be believed.
    pub current: bool,
    /// When the last contact was.
    pub last_contact: Option<Timestamp>,
    /// Which server it follows.
    pub source: Option<String>,
    /// People in the snapshot.
    pub people: usize,
    /// Settings in the directory that break their rule and are not in force.
    pub bad_settings: usize,
    /// Why a refresh was parked, when one was.
    pub parked: Option<String>,
}

/// The status as the consumer keeps it: two flags that every look-up reads, and the rest behind a lock.
#[derive(Default)]
pub(crate) struct Health {
    complete: AtomicBool,
    current: AtomicBool,
    rest: Mutex<Status>,
}

impl Health {
    /// Whether a complete state was ever read.
    pub(crate) fn complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether absence can be believed. To be read *before* the snapshot that is asked.
    pub(crate) fn certain(&self) -> bool {
        self.complete() && self.current.load(Ordering::Acquire)
    }

    /// A complete state is in the snapshot.
    pub(crate) fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// The session to the server stands, or no longer.
    pub(crate) fn set_current(&self, current: bool) {
        self.current.store(current, Ordering::Release);
        metrics::gauge!("provost_view_current").set(f64::from(u8::from(current)));
    }

    /// Changes what only people read.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Status)) {
        // A poisoned lock holds a readable status all the same.
        change(&mut self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// The whole status; what is counted in the snapshot (`people`, `bad_settings`) is the caller's to fill.
    pub(crate) fn read(&self) -> Status {
        let mut status = self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        status.complete = self.complete();
        status.current = self.current.load(Ordering::Acquire);
        status
    }
}
