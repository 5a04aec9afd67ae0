//! Derives columns, as of `DERIVED_VERSION`, for the bodies that have none or those of another version, in order of
//! arrival.

use provost_message::{DERIVED_VERSION, Derived};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::bodies::{execute, insert_derived};
use super::super::fault::storage;
use super::super::rows::{number, signed};
use super::access::ShardAccess;
use crate::StoreError;

/// Maximum number of bodies in one step, so that a step does not delay the other tasks of the upkeep for long.
const STEP_BODIES: i64 = 50;
/// Approximate octets of bodies in one step, for the same reason.
const STEP_OCTETS: u64 = 1024 * 1024;

/// The position of the walk through the bodies. It is stored together with the derived columns: a restart continues
/// from there, and after the end no body is read again until the version changes.
#[derive(Default)]
pub(super) struct DeriveWalk {
    after: Option<u64>,
    is_done: bool,
}

impl DeriveWalk {
    /// Makes one step; returns whether more work remains.
    pub(super) fn step(&mut self, access: &mut ShardAccess) -> Result<bool, StoreError> {
        if self.is_done {
            return Ok(false);
        }
        let after = match self.after {
            Some(after) => after,
            None => {
                let Some(after) = access.read(stored_position)? else {
                    self.is_done = true;
                    return Ok(false);
                };
                after
            }
        };
        let (bodies, is_end) = access.read(|connection| outdated(connection, after))?;
        let last = bodies.last().copied().unwrap_or(after);
        let mut derived: Vec<(u64, Derived)> = Vec::with_capacity(bodies.len());
        for body in bodies {
            // An unreadable body gets no columns here: a read of its message derives them, or reports the failure.
            if let Ok(Some(content)) = access.body(body) {
                derived.push((body, provost_message::derive(&content)));
            }
        }
        access.change(move |database| store(&database.connection, &derived, last, is_end))?;
        (self.after, self.is_done) = (Some(last), is_end);
        Ok(!is_end)
    }
}

/// Returns the stored position; `None` when the walk for this version has reached the end.
fn stored_position(connection: &Connection) -> Result<Option<u64>, StoreError> {
    let counter = |name: &str| -> Result<Option<u64>, StoreError> {
        let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = ?").map_err(storage)?;
        let value: Option<i64> = statement.query_row([name], |row| row.get(0)).optional().map_err(storage)?;
        Ok(value.and_then(|value| u64::try_from(value).ok()))
    };
    let version = Some(u64::from(DERIVED_VERSION));
    if counter("derived")? == version {
        return Ok(None);
    }
    let after = if counter("deriving")? == version { counter("derived_after")? } else { None };
    Ok(Some(after.unwrap_or(0)))
}

/// Returns the next bodies without columns of this version, and whether they are known to be the last.
fn outdated(connection: &Connection, after: u64) -> Result<(Vec<u64>, bool), StoreError> {
    let sql = "SELECT b.id, b.octets FROM body b LEFT JOIN derived d ON d.body = b.id
        WHERE b.id > ? AND d.version IS NOT ? ORDER BY b.id LIMIT ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query(params![signed(after), DERIVED_VERSION, STEP_BODIES]).map_err(storage)?;
    let (mut bodies, mut octets) = (Vec::new(), 0_u64);
    while let Some(row) = rows.next().map_err(storage)? {
        bodies.push(number(row, 0)?);
        octets += number::<u64>(row, 1)?;
        if octets >= STEP_OCTETS {
            return Ok((bodies, false));
        }
    }
    let is_end = (bodies.len() as i64) < STEP_BODIES;
    Ok((bodies, is_end))
}

/// Stores the columns and the position of the walk.
fn store(connection: &Connection, derived: &[(u64, Derived)], last: u64, is_end: bool) -> Result<(), StoreError> {
    for (body, derived) in derived {
        // The body may have been removed meanwhile.
        let mut find = connection.prepare_cached("SELECT 1 FROM body WHERE id = ?").map_err(storage)?;
        if find.exists([signed(*body)]).map_err(storage)? {
            insert_derived(connection, *body, derived)?;
        }
    }
    let set = "INSERT OR REPLACE INTO counter (name, value) VALUES (?, ?)";
    execute(connection, set, params!["deriving", DERIVED_VERSION])?;
    execute(connection, set, params!["derived_after", signed(last)])?;
    if is_end {
        execute(connection, set, params!["derived", DERIVED_VERSION])?;
    }
    Ok(())
}
