//! Moves bodies: they are copied and synced first, then one transaction changes their places.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::super::bodies::{execute, record_pack};
use super::super::fault::{storage, unavailable};
use super::super::pack::{PackPosition, PackWriter, record_octets};
use super::super::rows::{number, signed};
use super::access::ShardAccess;
use crate::StoreError;

/// Approximate octets copied in one step: so few that the committer changes the places within some milliseconds.
pub(super) const STEP_OCTETS: u64 = 2 * 1024 * 1024;
/// Maximum number of bodies copied in one step, for the same reason.
pub(super) const STEP_BODIES: usize = 1_000;

/// A body to move.
pub(super) struct BodyMove {
    pub(super) body: u64,
    /// The old place; `None` is inline.
    pub(super) from: Option<PackPosition>,
    pub(super) content: Bytes,
}

/// The result of one step.
#[derive(Default)]
pub(super) struct MoveResult {
    /// Octets of the copied bodies.
    pub(super) octets: u64,
    /// Octets of records that are dead now, with their packs.
    pub(super) dead: Vec<(u32, u64)>,
}

/// Moves some inline bodies to a pack; `None` when there are none.
pub(super) fn move_inline(access: &mut ShardAccess, writer: &mut PackWriter) -> Result<Option<MoveResult>, StoreError> {
    let bodies = access.read(inline_bodies)?;
    if bodies.is_empty() {
        return Ok(None);
    }
    move_bodies(access, writer, bodies).map(Some)
}

/// Returns the octets of all inline bodies.
pub(super) fn inline_octets(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(b.octets), 0) FROM inline i JOIN body b ON b.id = i.body";
    let octets: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(storage)?;
    Ok(u64::try_from(octets).unwrap_or(0))
}

/// Returns the oldest inline bodies, as many as one step moves. Garbage is left out: it will be removed where it is.
fn inline_bodies(connection: &Connection) -> Result<Vec<BodyMove>, StoreError> {
    let sql = "SELECT i.body, i.content FROM inline i JOIN body b ON b.id = i.body WHERE b.refs > 0 ORDER BY i.body";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([]).map_err(storage)?;
    let (mut bodies, mut octets) = (Vec::new(), 0);
    while octets < STEP_OCTETS
        && bodies.len() < STEP_BODIES
        && let Some(row) = rows.next().map_err(storage)?
    {
        let content: Vec<u8> = row.get(1).map_err(storage)?;
        octets += content.len() as u64;
        bodies.push(BodyMove { body: number(row, 0)?, from: None, content: content.into() });
    }
    Ok(bodies)
}

/// Copies bodies to the writer's pack, and changes their places.
pub(super) fn move_bodies(
    access: &ShardAccess,
    writer: &mut PackWriter,
    bodies: Vec<BodyMove>,
) -> Result<MoveResult, StoreError> {
    let mut moved = MoveResult::default();
    if bodies.is_empty() {
        return Ok(moved);
    }
    writer.begin().map_err(unavailable)?;
    let mut moves = Vec::with_capacity(bodies.len());
    for BodyMove { body, from, content } in bodies {
        moved.octets += content.len() as u64;
        moves.push((body, from, writer.place(&content).map_err(unavailable)?));
    }
    writer.flush().map_err(unavailable)?;
    let dead = access.change(move |database| record_places(&database.connection, &moves))?;
    moved.dead = dead;
    Ok(moved)
}

/// Changes the places. Returns the records that are dead afterwards: the old one of each body, or the new one of a body
/// that was removed or moved meanwhile.
fn record_places(
    connection: &Connection,
    moves: &[(u64, Option<PackPosition>, PackPosition)],
) -> Result<Vec<(u32, u64)>, StoreError> {
    let mut dead = Vec::new();
    for (body, from, to) in moves {
        record_pack(connection, to.pack)?;
        let (id, at) = (signed(*body), signed(to.at));
        let updated_rows = match from {
            Some(from) => execute(
                connection,
                "UPDATE body SET pack = ?, at = ? WHERE id = ? AND pack = ? AND at = ?",
                params![to.pack, at, id, from.pack, signed(from.at)],
            )?,
            None => {
                let sql = "UPDATE body SET pack = ?, at = ? WHERE id = ? AND pack IS NULL";
                execute(connection, sql, params![to.pack, at, id])?
            }
        };
        match (updated_rows, from) {
            (0, _) => dead.push((to.pack, record_octets(to.octets))),
            (_, Some(from)) => dead.push((from.pack, record_octets(from.octets))),
            (_, None) => drop(execute(connection, "DELETE FROM inline WHERE body = ?", [id])?),
        }
    }
    Ok(dead)
}
