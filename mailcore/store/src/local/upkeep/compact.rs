//! Compaction: rewrites and removes packs that are mostly dead.
//!
//! A pack is a file of bodies. A record in it is dead when no row of the table `body` refers to it. Dead octets are
//! counted in memory: once from these rows after the store is opened, then as bodies are moved and removed.
//! The count is not stored, so an error in it lasts until the next start at most.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::super::fault::{damaged, storage, unavailable};
use super::super::pack::{PackPosition, PackWriter, path, record_octets};
use super::super::rows::number;
use super::super::{bodies, database};
use super::access::ShardAccess;
use super::config::UpkeepConfig;
use super::moving::{BodyMove, STEP_BODIES, STEP_OCTETS, move_bodies};
use crate::StoreError;

/// A pack is rewritten when its live share is below this, percent: each octet copied frees at least one.
const LIVE_PERCENT_MIN: u64 = 50;
/// A pack with live bodies is left alone while its dead octets are below a full pack divided by this number (4 MiB by
/// default), so that small packs are not rewritten over and over.
const DEAD_PARTS: u64 = 64;
/// Time between two checks of the packs while there is nothing to do, as a multiple of `UpkeepConfig::every`.
const CHECK_PAUSES: u32 = 2;

/// The compaction of one shard.
pub(super) struct Compaction {
    dead_octets_min: u64,
    check_interval: Duration,
    grace: Duration,
    /// Dead octets of each pack; `None` before they are counted.
    dead: Option<HashMap<u32, u64>>,
    /// The pack being rewritten, and its bodies that are still to copy.
    current: Option<(u32, Vec<(u64, PackPosition)>)>,
    /// Packs with damaged records, kept for repair by hand, and missing packs that bodies refer to.
    damaged_packs: BTreeSet<u32>,
    next_check: Option<Instant>,
}

/// A pack of this database.
#[derive(Clone, Copy)]
struct KnownPack {
    number: u32,
    octets: u64,
}

impl Compaction {
    pub(super) fn new(config: &UpkeepConfig) -> Self {
        Self {
            dead_octets_min: config.pack_octets_max / DEAD_PARTS,
            check_interval: config.every * CHECK_PAUSES,
            grace: config.grace,
            dead: None,
            current: None,
            damaged_packs: BTreeSet::new(),
            next_check: None,
        }
    }

    /// Counts records that have become dead.
    pub(super) fn note_dead(&mut self, records: &[(u32, u64)]) {
        // Before the first count nothing is added: that count will include these records.
        let Some(dead) = &mut self.dead else { return };
        for (pack, octets) in records {
            *dead.entry(*pack).or_default() += octets;
        }
    }

    /// Makes one step. Returns the octets copied; `None` when there was nothing to do.
    pub(super) fn step(
        &mut self,
        access: &mut ShardAccess,
        writer: &mut PackWriter,
        now: Instant,
    ) -> Result<Option<u64>, StoreError> {
        match self.current.take() {
            Some((pack, rest)) if rest.is_empty() => self.finish(access, pack, now).map(|()| Some(0)),
            Some((pack, rest)) => self.copy(access, writer, pack, rest).map(Some),
            None if self.next_check.is_some_and(|at| now < at) => Ok(None),
            None => {
                self.next_check = Some(now + self.check_interval);
                self.begin(access, writer)
            }
        }
    }

    /// Chooses a pack that is due, and looks up its live bodies. `None` when no pack is due, or when the chosen pack is
    /// still open and must be closed first.
    fn begin(&mut self, access: &mut ShardAccess, writer: &mut PackWriter) -> Result<Option<u64>, StoreError> {
        let known = self.known_packs(access)?;
        if self.dead.is_none() {
            self.dead = Some(count_dead(access, &known)?);
        }
        let Some(pack) = known.into_iter().filter(|pack| self.is_due(*pack)).min_by_key(|pack| pack.number) else {
            return Ok(None);
        };
        if access.numbers.is_open(pack.number) {
            // The pack that the upkeep writes is closed now. The one that the committer writes is closed with the next
            // group of batches. A later check rewrites it.
            match writer.number() == Some(pack.number) {
                true => writer.close(),
                false => access.change(|database| {
                    database.pack.set_full();
                    Ok(())
                })?,
            }
            return Ok(None);
        }
        let mut live = access.read(|connection| live_bodies(connection, pack.number))?;
        live.sort_by_key(|(_, place)| std::cmp::Reverse(place.at));
        tracing::debug!(pack = pack.number, octets = pack.octets, bodies = live.len(), "rewriting a pack");
        self.current = Some((pack.number, live));
        Ok(Some(0))
    }

    /// Returns the existing packs that this database made. Forgets a pack whose file is missing and to which no body
    /// refers: a crash came between the removal of the file and the commit that forgets the pack.
    fn known_packs(&mut self, access: &mut ShardAccess) -> Result<Vec<KnownPack>, StoreError> {
        let mut known = Vec::new();
        for number in access.read(|connection| database::known_packs(connection).map_err(storage))? {
            match std::fs::metadata(path(&access.folder, number)) {
                Ok(metadata) => known.push(KnownPack { number, octets: metadata.len() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget_missing(access, number)?,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(known)
    }

    fn forget_missing(&mut self, access: &mut ShardAccess, pack: u32) -> Result<(), StoreError> {
        if self.damaged_packs.contains(&pack) || access.numbers.is_open(pack) {
            return Ok(());
        }
        if access.read(|connection| is_referenced(connection, pack))? {
            self.damaged_packs.insert(pack);
            drop(damaged(format!("pack {pack} is missing, but bodies refer to it")));
            return Ok(());
        }
        forget_pack(access, pack)
    }

    fn is_due(&self, pack: KnownPack) -> bool {
        let dead = self.dead.as_ref().and_then(|dead| dead.get(&pack.number)).copied().unwrap_or(0);
        let live = pack.octets.saturating_sub(dead);
        let is_mostly_dead = live.saturating_mul(100) < pack.octets.saturating_mul(LIVE_PERCENT_MIN);
        is_mostly_dead && (live == 0 || dead >= self.dead_octets_min) && !self.damaged_packs.contains(&pack.number)
    }

    /// Copies the next bodies of the pack, in the order of their places.
    fn copy(
        &mut self,
        access: &ShardAccess,
        writer: &mut PackWriter,
        pack: u32,
        mut rest: Vec<(u64, PackPosition)>,
    ) -> Result<u64, StoreError> {
        let (mut some, mut octets) = (Vec::new(), 0);
        while octets < STEP_OCTETS
            && some.len() < STEP_BODIES
            && let Some((body, place)) = rest.pop()
        {
            match access.packs.read(place, None) {
                Ok(content) => {
                    octets += place.octets;
                    some.push(BodyMove { body, from: Some(place), content });
                }
                Err(StoreError::Damaged(_)) => drop(self.damaged_packs.insert(pack)),
                Err(error) => return Err(error),
            }
        }
        let moved = move_bodies(access, writer, some)?;
        metrics::counter!("provost_store_compaction_copied_bytes_total").increment(moved.octets);
        self.note_dead(&moved.dead);
        self.current = Some((pack, rest));
        Ok(moved.octets)
    }

    /// Removes the rewritten pack, unless a row still refers to it or a record in it is damaged.
    fn finish(&mut self, access: &mut ShardAccess, pack: u32, now: Instant) -> Result<(), StoreError> {
        if self.damaged_packs.contains(&pack) {
            return Ok(());
        }
        if access.read(|connection| is_referenced(connection, pack))? {
            // Bodies that no message has any more keep their rows for the grace period, and these rows still refer to
            // the pack.
            self.next_check = Some(now + self.grace);
            return Ok(());
        }
        match std::fs::remove_file(path(&access.folder, pack)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unavailable(error)),
            _ => (),
        }
        access.packs.close(pack);
        if let Some(dead) = &mut self.dead {
            let octets = dead.remove(&pack).unwrap_or(0);
            metrics::counter!("provost_store_compaction_freed_bytes_total").increment(octets);
        }
        // The next pack may be due.
        self.next_check = None;
        forget_pack(access, pack)
    }
}

fn forget_pack(access: &ShardAccess, pack: u32) -> Result<(), StoreError> {
    access.change(move |database| {
        bodies::execute(&database.connection, "DELETE FROM pack WHERE number = ?", [pack]).map(drop)
    })
}

/// Counts dead octets. The sizes were read before the rows, so a body added meanwhile makes the count too low, never
/// too high.
fn count_dead(access: &mut ShardAccess, known: &[KnownPack]) -> Result<HashMap<u32, u64>, StoreError> {
    let live = access.read(|connection| {
        let mut live: HashMap<u32, u64> = HashMap::new();
        let mut statement =
            connection.prepare_cached("SELECT pack, octets FROM body WHERE pack IS NOT NULL").map_err(storage)?;
        let mut rows = statement.query([]).map_err(storage)?;
        while let Some(row) = rows.next().map_err(storage)? {
            *live.entry(number(row, 0)?).or_default() += record_octets(number(row, 1)?);
        }
        Ok(live)
    })?;
    let dead = |pack: &KnownPack| pack.octets.saturating_sub(live.get(&pack.number).copied().unwrap_or(0));
    Ok(known.iter().map(|pack| (pack.number, dead(pack))).collect())
}

/// Returns the bodies of a pack that some message has. There is no index by pack: a scan of all rows takes a fraction
/// of the time of copying the pack.
fn live_bodies(connection: &Connection, pack: u32) -> Result<Vec<(u64, PackPosition)>, StoreError> {
    let sql = "SELECT id, at, octets FROM body WHERE pack = ? AND refs > 0";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query(params![pack]).map_err(storage)?;
    let mut live = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        live.push((number(row, 0)?, PackPosition { pack, at: number(row, 1)?, octets: number(row, 2)? }));
    }
    Ok(live)
}

fn is_referenced(connection: &Connection, pack: u32) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM body WHERE pack = ? LIMIT 1").map_err(storage)?;
    statement.exists([pack]).map_err(storage)
}
