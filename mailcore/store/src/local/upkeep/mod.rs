//! Background work of a store on one thread: moves inline bodies to packs, removes garbage, rewrites packs that are
//! mostly dead, returns free pages, and derives columns that old messages lack.
//!
//! Every task works in small steps. Each step that writes rows is a [change](super::change) in the transactions of the
//! shard's committer, so that only the committer writes rows. These invariants make a kill at any moment harmless:
//!
//! * A row that refers to a place in a pack is committed after the record there is synced. A record to which no
//!   committed row refers is only dead space.
//! * A pack is removed when it is closed and no committed row refers to it. New references to a pack appear only while
//!   it is open, so the last check of the rows is final. A reader that looked a body up before the removal and finds no
//!   pack looks it up again.
//! * Only packs listed in table `pack` are removed: those that this database made. Another pack may be all that is left
//!   of another database.
//! * A body is removed only some seconds after upkeep found it without references, so that a running read can finish.

mod access;
mod compact;
mod config;
mod derive;
mod garbage;
mod moving;
mod pages;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::access::ShardAccess;
use self::compact::Compaction;
pub use self::config::UpkeepConfig;
use self::derive::DeriveWalk;
use self::garbage::Garbage;
use self::pages::FreePages;
use super::committer::Committer;
use super::load::{CommitterLoad, INLINE_MOVED_AT, UpkeepSignal};
use super::pack::{PackNumbers, PackReader, PackWriter};
use super::writer::ShardWork;
use crate::StoreError;

/// The upkeep thread. Dropping it waits for the running step.
pub(super) struct Upkeep {
    signal: Arc<UpkeepSignal>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(
        mut shards: Vec<ShardUpkeep>,
        config: UpkeepConfig,
        signal: &Arc<UpkeepSignal>,
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
    access: ShardAccess,
    load: Arc<CommitterLoad>,
    writer: PackWriter,
    /// Number of commits seen; `None` before the first step.
    commits_seen: Option<u64>,
    garbage: Garbage,
    compaction: Compaction,
    derive_walk: DeriveWalk,
    pages: FreePages,
}

impl ShardUpkeep {
    pub(super) fn new(
        folder: &Path,
        committer: &Arc<Committer<ShardWork>>,
        packs: &Arc<PackReader>,
        numbers: &Arc<PackNumbers>,
        load: &Arc<CommitterLoad>,
        config: &UpkeepConfig,
    ) -> std::io::Result<Self> {
        let mut writer = PackWriter::new(folder, numbers, config.pack_octets_max);
        writer.resume()?;
        Ok(Self {
            access: ShardAccess::new(folder, committer, packs, numbers),
            load: Arc::clone(load),
            writer,
            commits_seen: None,
            garbage: Garbage::default(),
            compaction: Compaction::new(config),
            derive_walk: DeriveWalk::default(),
            pages: FreePages::new(config),
        })
    }

    /// Makes one step of each task that has work; returns the time until the next one is due.
    fn step(&mut self, config: &UpkeepConfig) -> Duration {
        self.try_step(config).unwrap_or_else(|error| {
            // A failed step changed nothing, and is tried again.
            tracing::warn!(%error, "a step of the upkeep failed");
            config.every
        })
    }

    fn try_step(&mut self, config: &UpkeepConfig) -> Result<Duration, StoreError> {
        let inline = self.move_inline(config.inline_octets_kept)?;
        let freed = self.garbage.step(&mut self.access, config.grace, Instant::now())?;
        self.compaction.note_dead(&freed.dead);
        let copied = self.compaction.step(&mut self.access, &mut self.writer, Instant::now())?;
        let derived = self.derive_walk.step(&mut self.access)?;
        let vacuumed = self.pages.step(&mut self.access)?;
        if let Some(octets) = copied {
            // Compaction keeps its rate even when other tasks have more work: it delays them by at most `every`.
            let pause = Duration::from_secs_f64(octets as f64 / config.copied_octets_per_second.max(1) as f64);
            return Ok(pause.min(config.every));
        }
        let busy = inline || freed.more || derived || vacuumed;
        Ok(if busy { Duration::ZERO } else { config.every })
    }

    /// Moves inline bodies when there are many, or more than `kept` octets of them and the shard is idle. Returns
    /// whether it moved some.
    fn move_inline(&mut self, kept: u64) -> Result<bool, StoreError> {
        if self.commits_seen.is_none() {
            self.load.found(self.access.read(moving::inline_octets)?);
        }
        let commits = self.load.commits();
        let is_quiet = self.commits_seen.replace(commits) == Some(commits);
        let inline_octets = self.load.inline_octets();
        if inline_octets < INLINE_MOVED_AT && !(is_quiet && inline_octets > kept) {
            return Ok(false);
        }
        let Some(moved) = moving::move_inline(&mut self.access, &mut self.writer)? else {
            self.load.reset();
            return Ok(false);
        };
        self.load.subtract_moved(moved.octets);
        self.compaction.note_dead(&moved.dead);
        // The change was itself a commit.
        self.commits_seen = Some(commits + 1);
        Ok(true)
    }
}
