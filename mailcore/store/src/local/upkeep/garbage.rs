//! Removes bodies without references, and their derived columns.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::super::bodies::execute;
use super::super::fault::storage;
use super::super::pack::record_octets;
use super::super::rows::{number, signed};
use super::access::ShardAccess;
use crate::StoreError;

/// Maximum number of bodies found at once; their numbers take 2 MiB of memory.
const FOUND_MAX: i64 = 250_000;
/// Maximum number of bodies removed in one step: the committer needs some milliseconds for them.
const STEP_BODIES: usize = 300;

/// Bodies that were found without references, and wait for the end of their grace.
#[derive(Default)]
pub(super) struct Garbage {
    bodies: Vec<u64>,
    found_at: Option<Instant>,
}

/// The result of one step.
#[derive(Default)]
pub(super) struct FreedGarbage {
    /// Octets of records that are dead now, with their packs.
    pub(super) dead: Vec<(u32, u64)>,
    /// Whether garbage remains whose grace has ended.
    pub(super) more: bool,
}

impl Garbage {
    /// Makes one step: finds garbage, or removes some whose grace has ended.
    pub(super) fn step(
        &mut self,
        access: &mut ShardAccess,
        grace: Duration,
        now: Instant,
    ) -> Result<FreedGarbage, StoreError> {
        if self.bodies.is_empty() {
            self.bodies = access.read(find)?;
            self.found_at = Some(now);
            return Ok(FreedGarbage::default());
        }
        if self.found_at.is_some_and(|at| now.saturating_duration_since(at) < grace) {
            return Ok(FreedGarbage::default());
        }
        let some = self.bodies.split_off(self.bodies.len().saturating_sub(STEP_BODIES));
        let dead = access.change(move |database| remove(&database.connection, &some))?;
        Ok(FreedGarbage { dead, more: !self.bodies.is_empty() })
    }
}

fn find(connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT id FROM body INDEXED BY body_garbage WHERE refs = 0 LIMIT ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([FOUND_MAX]).map_err(storage)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        found.push(number(row, 0)?);
    }
    Ok(found)
}

/// Removes the bodies, except those that have a reference again. Returns the records that are dead now.
fn remove(connection: &Connection, bodies: &[u64]) -> Result<Vec<(u32, u64)>, StoreError> {
    let mut dead = Vec::new();
    for body in bodies {
        let id = signed(*body);
        let sql = "DELETE FROM body WHERE id = ? AND refs = 0 RETURNING pack, octets";
        let mut delete = connection.prepare_cached(sql).map_err(storage)?;
        let place = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<u32>>(0)?, row.get::<_, i64>(1)?));
        let Some((pack, octets)) = delete.query_row([id], place).optional().map_err(storage)? else { continue };
        match pack {
            Some(pack) => dead.push((pack, record_octets(u64::try_from(octets).unwrap_or(0)))),
            None => drop(execute(connection, "DELETE FROM inline WHERE body = ?", [id])?),
        }
        execute(connection, "DELETE FROM derived WHERE body = ?", [id])?;
    }
    Ok(dead)
}
