//! Saving of the snapshot: always its newest state, by one writer at a time.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use provost_client::Cookie;

use crate::{Snapshot, file};

/// A snapshot and its cookie. The cookie may be older than the snapshot, never newer.
#[derive(Clone, Default)]
struct SavedView {
    version: u64,
    snapshot: Arc<Snapshot>,
    cookie: Option<Cookie>,
}

/// The version that was written last, and the duration of the write.
#[derive(Default)]
struct LastSave {
    version: u64,
    took: Duration,
}

/// The file, and the newest view to save in it.
pub(crate) struct Saver {
    path: PathBuf,
    newest: Mutex<SavedView>,
    last_save: tokio::sync::Mutex<LastSave>,
    /// Whether a save was requested since the running one last looked.
    is_wanted: AtomicBool,
}

impl Saver {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            newest: Mutex::default(),
            last_save: tokio::sync::Mutex::default(),
            is_wanted: AtomicBool::new(false),
        }
    }

    /// Records the newest state: another snapshot, or another cookie for the same one.
    pub(crate) fn set_newest(&self, snapshot: Option<Arc<Snapshot>>, cookie: Option<&Cookie>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.version += 1;
        newest.cookie = cookie.cloned();
        if let Some(snapshot) = snapshot {
            newest.snapshot = snapshot;
        }
    }

    /// Writes the newest view, unless the file holds it already. A view whose save is requested meanwhile is written
    /// too.
    pub(crate) async fn save(&self) -> io::Result<()> {
        self.save_once().await?;
        // Look for requests only after `save_once` has released the lock: whoever requests a save later finds the lock
        // free, and saves.
        while self.is_wanted.swap(false, Ordering::SeqCst) {
            self.save_once().await?;
        }
        Ok(())
    }

    /// Requests that the running save, if any, writes the present view as well.
    pub(crate) fn want(&self) {
        self.is_wanted.store(true, Ordering::SeqCst);
    }

    async fn save_once(&self) -> io::Result<()> {
        let mut last_save = self.last_save.lock().await;
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if newest.version == last_save.version {
            return Ok(());
        }
        let (path, version, start) = (self.path.clone(), newest.version, Instant::now());
        let work = move || file::write(&path, &newest.snapshot, newest.cookie.as_ref());
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??;
        *last_save = LastSave { version, took: start.elapsed() };
        Ok(())
    }

    /// Returns how long the last write took; `None` while one is running.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.last_save.try_lock().ok().map(|written| written.took)
    }
}
