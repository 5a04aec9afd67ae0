//! What a store does beside its callers, on one thread: it moves inline bodies to packs, takes garbage away, rewrites packs that
//! are mostly dead, gives free pages back, and derives the columns that old messages lack.
//!
//! Every task goes in small steps, and each step that writes rows is a [change](super::change) in the transactions of the
//! shard's committer, so that the rules about rows are kept in one place: no row is written by anybody else. Invariants, which
//! together make a kill at any moment harmless:
//!
//! - A row that names a place in a pack is committed after the record in that place is synced. So what is copied and not
//!   committed is only dead space.
//! - A pack is removed when nothing is appended to it any more and no committed row names it. Rows only come to name a pack
//!   while it is open, so the last look at the rows is final. A reader that looked a body up before, and finds no pack, looks
//!   again.
//! - Only packs that stand in table `pack` are removed: those that this database made. A pack that is not there may be all that
//!   is left of another database.
//! - A body without references is taken away some seconds after it was seen as such, so that whoever reads it gets to the end.

mod access;
mod compact;
mod derive;
mod garbage;
mod moving;
mod pages;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::access::Access;
use self::compact::Compaction;
use self::derive::Walk;
use self::garbage::Garbage;
use self::pages::FreePages;
use super::committer::Committer;
use super::pack::{PACK_OCTETS_MAX, PackNumbers, PackReader, PackWriter};
use super::writer::Job;
use crate::StoreError;

/// Octets of inline bodies of one shard at which they are moved, however busy it is.
const INLINE_MOVED_AT: u64 = 8 * 1024 * 1024;
/// Octets of inline bodies of one shard beyond which none are added: the upkeep cannot keep up, or the disk refuses it.
pub(super) const INLINE_HELD_MAX: u64 = 64 * 1024 * 1024;

/// How a store keeps house.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepConfig {
    /// How often it looks for something to do. Default 1 s.
    pub every: Duration,
    /// How long a body is kept after its last message was expunged, for those who are reading it. Default 5 s; up to twice.
    pub grace: Duration,
    /// Octets at which a pack is full. Default 256 MiB.
    pub pack_octets_max: u64,
    /// Octets of live bodies that compaction copies in a second. Default 32 MiB: a sixth of what a small disk writes.
    pub copied_octets_per_second: u64,
    /// Octets of inline bodies that a shard may keep while nothing else happens. Default 1 MiB: a body that comes alone is not
    /// moved alone.
    pub inline_octets_kept: u64,
    /// Octets of free pages that a database may keep. Default 16 MiB: inline bodies come and go in them.
    pub free_octets_kept: u64,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            pack_octets_max: PACK_OCTETS_MAX,
            copied_octets_per_second: 32 * 1024 * 1024,
            inline_octets_kept: 1024 * 1024,
            free_octets_kept: 16 * 1024 * 1024,
        }
    }
}

/// How the thread is woken and ended.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    woken: bool,
    stopped: bool,
}

impl Signal {
    fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Waits for some time, or until woken.
    fn wait(&self, time: Duration) {
        let quiet = |state: &mut SignalState| !state.woken && !state.stopped;
        let wait = self.changed.wait_timeout_while(self.state(), time, quiet);
        wait.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }

    fn state(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a committer reports to the upkeep.
pub(super) struct Load {
    signal: Arc<Signal>,
    inline_octets: AtomicU64,
    commits: AtomicU64,
}

impl Load {
    pub(super) fn new(signal: &Arc<Signal>) -> Self {
        Self { signal: Arc::clone(signal), inline_octets: AtomicU64::new(0), commits: AtomicU64::new(0) }
    }

    /// After a commit; octets of bodies that it put into the database.
    pub(super) fn committed(&self, inline_octets: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let held = self.inline_octets.fetch_add(inline_octets, Ordering::Relaxed);
        if held < INLINE_MOVED_AT && held + inline_octets >= INLINE_MOVED_AT {
            self.signal.wake();
        }
    }

    /// About the octets of inline bodies.
    pub(super) fn inline_octets(&self) -> u64 {
        self.inline_octets.load(Ordering::Relaxed)
    }

    /// What an earlier process left.
    fn found(&self, octets: u64) {
        self.inline_octets.fetch_add(octets, Ordering::Relaxed);
    }

    fn moved(&self, octets: u64) {
        let less = |held: u64| Some(held.saturating_sub(octets));
        // Refused batches are counted in: what is left over when nothing is left to move is forgotten.
        let _ = self.inline_octets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// The thread. Dropping it lets it finish its step, and waits for that.
pub(super) struct Upkeep {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(
        mut shards: Vec<ShardUpkeep>,
        config: UpkeepConfig,
        signal: &Arc<Signal>,
    ) -> std::io::Result<Self> {
        let shared = Arc::clone(signal);
        let work = move || {
            while !shared.is_stopped() {
                let pause = shards.iter_mut().map(|shard| shard.step(&config)).min();
                shared.wait(pause.unwrap_or(config.every));
            }
        };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(work)?;
        Ok(Self { signal: Arc::clone(signal), thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.signal.stop();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the upkeep thread had ended by a panic");
        }
    }
}

/// The tasks of one shard.
pub(super) struct ShardUpkeep {
    access: Access,
    load: Arc<Load>,
    writer: PackWriter,
    /// Of commits that were seen; `None` before the first step.
    commits_seen: Option<u64>,
    garbage: Garbage,
    compaction: Compaction,
    walk: Walk,
    pages: FreePages,
}

impl ShardUpkeep {
    pub(super) fn new(
        folder: &Path,
        committer: &Arc<Committer<Job>>,
        packs: &Arc<PackReader>,
        numbers: &Arc<PackNumbers>,
        load: &Arc<Load>,
        config: &UpkeepConfig,
    ) -> Self {
        Self {
            access: Access::new(folder, committer, packs, numbers),
            load: Arc::clone(load),
            writer: PackWriter::new(folder, numbers, config.pack_octets_max),
            commits_seen: None,
            garbage: Garbage::default(),
            compaction: Compaction::new(config),
            walk: Walk::default(),
            pages: FreePages::new(config),
        }
    }

    /// One step of each task that has something to do; the time after which the next one is due.
    fn step(&mut self, config: &UpkeepConfig) -> Duration {
        self.try_step(config).unwrap_or_else(|error| {
            // What failed is as it was, and tried again.
            tracing::warn!(%error, "a step of the upkeep failed");
            config.every
        })
    }

    fn try_step(&mut self, config: &UpkeepConfig) -> Result<Duration, StoreError> {
        let inline = self.move_inline(config.inline_octets_kept)?;
        let freed = self.garbage.step(&mut self.access, config.grace, Instant::now())?;
        self.compaction.note_dead(&freed.dead);
        let copied = self.compaction.step(&mut self.access, &mut self.writer, Instant::now())?;
        let derived = self.walk.step(&mut self.access)?;
        let vacuumed = self.pages.step(&mut self.access)?;
        if let Some(octets) = copied {
            // Also when other tasks would go on at once: they are short of nothing.
            let pace = Duration::from_secs_f64(octets as f64 / config.copied_octets_per_second.max(1) as f64);
            return Ok(pace.min(config.every));
        }
        let busy = inline || freed.more || derived || vacuumed;
        Ok(if busy { Duration::ZERO } else { config.every })
    }

    /// Moves inline bodies when there are many, or when there are some and nothing else happens.
    fn move_inline(&mut self, kept: u64) -> Result<bool, StoreError> {
        if self.commits_seen.is_none() {
            self.load.found(self.access.read(moving::inline_octets)?);
        }
        let commits = self.load.commits.load(Ordering::Relaxed);
        let is_quiet = self.commits_seen.replace(commits) == Some(commits);
        let held = self.load.inline_octets();
        if held < INLINE_MOVED_AT && !(is_quiet && held > kept) {
            return Ok(false);
        }
        let Some(moved) = moving::move_inline(&mut self.access, &mut self.writer)? else {
            self.load.inline_octets.store(0, Ordering::Relaxed);
            return Ok(false);
        };
        self.load.moved(moved.octets);
        self.compaction.note_dead(&moved.dead);
        // The change was a commit of its own.
        self.commits_seen = Some(commits + 1);
        Ok(true)
    }
}
