//! Rows of bodies: numbers, reference counts, places.
//!
//! The octets of a body are in a pack, which is a file of many bodies, or temporarily in table `inline`. A group is
//! the batches that one transaction commits. The bodies of a small group go into `inline`, so that its commit needs
//! only the sync of the database. The upkeep, a background task, moves them to a pack later. `body.pack` is null while
//! the row of `inline` exists; one transaction changes both.
//!
//! A body has one row, however many messages share it: copies of a message, or deliveries of one buffer in one group,
//! even to several accounts of the shard. The row holds the place of the octets and the number of references; a row
//! without references is garbage and is removed in the background. The number of a committed body is never given to
//! another one, not even after a crash: a read by an old number returns nothing, never another body.

use std::collections::HashMap;

use bytes::Bytes;
use provost_message::{DERIVED_VERSION, Derived};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::fault::{damaged, storage, unavailable};
use super::pack::{BodyLocation, PackPosition, PackWriter};
use super::rows::{SecondColumn, signed};
use crate::StoreError;

/// Numbers reserved at once, so that not every commit writes the counter.
const NUMBERS_RESERVED: u64 = 1_000;

/// Address and length of a buffer: the same for all recipients of one message.
pub(super) type BufferKey = (usize, usize);

/// Returns the [`BufferKey`] of a body, valid while a clone of the buffer is held.
pub(super) fn buffer_key(body: &Bytes) -> BufferKey {
    (body.as_ptr() as usize, body.len())
}

/// Where the bodies of a group are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyDestination {
    /// In the database.
    #[default]
    Inline,
    /// In the open pack, which is synced before the commit.
    Pack,
}

/// The bodies of the group that is being committed.
#[derive(Default)]
pub(super) struct IncomingBodies {
    destination: BodyDestination,
    /// The next number to assign, and the first one that is not reserved; equal when none is reserved.
    numbers: (u64, u64),
    /// Bodies of this group, held so that no other buffer gets the same address.
    shared: HashMap<BufferKey, (u64, Bytes)>,
    /// The keys of `shared` in order, for `take_back`.
    order: Vec<BufferKey>,
}

/// The state of the incoming bodies at one point of a group.
#[derive(PartialEq, Eq)]
pub(super) struct BodySavepoint {
    numbers: (u64, u64),
    bodies: usize,
}

impl IncomingBodies {
    /// Starts a group.
    pub(super) fn begin(&mut self, destination: BodyDestination) {
        self.destination = destination;
        self.shared.clear();
        self.order.clear();
    }

    /// Forgets the bodies and the reserved numbers of a rolled-back group: the rollback may have reset the counter.
    pub(super) fn drop_reserved(&mut self) {
        self.begin(BodyDestination::default());
        self.numbers = (0, 0);
    }

    pub(super) fn mark(&self) -> BodySavepoint {
        BodySavepoint { numbers: self.numbers, bodies: self.order.len() }
    }

    /// Rolls back to the mark.
    pub(super) fn take_back(&mut self, mark: BodySavepoint) {
        self.numbers = mark.numbers;
        for key in self.order.drain(mark.bodies.min(self.order.len())..) {
            self.shared.remove(&key);
        }
    }

    /// Stores a body with one reference, or adds a reference to the row that this buffer already has in this group.
    pub(super) fn store_body(
        &mut self,
        connection: &Connection,
        pack: &mut PackWriter,
        body: &Bytes,
        derived: Option<&Derived>,
    ) -> Result<u64, StoreError> {
        let key = buffer_key(body);
        let known = self.shared.get(&key).map(|(number, _)| *number);
        let number = match known {
            // The row is gone when nothing referred to it any more and the upkeep has removed it.
            Some(number) if add_reference(connection, number)? => number,
            _ => self.insert(connection, pack, body)?,
        };
        if let Some(derived) = derived {
            insert_derived(connection, number, derived)?;
        }
        Ok(number)
    }

    fn insert(&mut self, connection: &Connection, pack: &mut PackWriter, body: &Bytes) -> Result<u64, StoreError> {
        let number = self.number(connection)?;
        let octets = body.len() as u64;
        let place = match self.destination {
            BodyDestination::Pack => Some(pack.place(body).map_err(unavailable)?),
            BodyDestination::Inline => None,
        };
        let place = place.map(|place| (place.pack, signed(place.at)));
        let sql = "INSERT INTO body (id, refs, octets, pack, at) VALUES (?, 1, ?, ?, ?)";
        let row = params![signed(number), signed(octets), place.map(|place| place.0), place.map(|place| place.1)];
        execute(connection, sql, row)?;
        if place.is_none() {
            let row = params![signed(number), &**body];
            execute(connection, "INSERT INTO inline (body, content) VALUES (?, ?)", row)?;
        }
        let key = buffer_key(body);
        self.shared.insert(key, (number, body.clone()));
        self.order.push(key);
        Ok(number)
    }

    fn number(&mut self, connection: &Connection) -> Result<u64, StoreError> {
        if self.numbers.0 >= self.numbers.1 {
            let end = add_to_counter(connection, "body", NUMBERS_RESERVED)?;
            self.numbers = (end.saturating_sub(NUMBERS_RESERVED), end);
        }
        let number = self.numbers.0;
        self.numbers.0 += 1;
        Ok(number)
    }
}

/// Adds to a counter of the shard; returns the sum.
pub(super) fn add_to_counter(connection: &Connection, name: &str, by: u64) -> Result<u64, StoreError> {
    let sql = "UPDATE counter SET value = value + ? WHERE name = ? RETURNING value";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let value: i64 = statement.query_row(params![signed(by), name], |row| row.get(0)).map_err(storage)?;
    u64::try_from(value).map_err(|_| damaged(format!("counter {name} is negative")))
}

/// Adds a reference; false when the body does not exist.
pub(super) fn add_reference(connection: &Connection, number: u64) -> Result<bool, StoreError> {
    change_references(connection, "UPDATE body SET refs = refs + 1 WHERE id = ?", number)
}

/// Removes a reference; false when the body does not exist or had none.
pub(super) fn drop_reference(connection: &Connection, number: u64) -> Result<bool, StoreError> {
    change_references(connection, "UPDATE body SET refs = refs - 1 WHERE id = ? AND refs > 0", number)
}

fn change_references(connection: &Connection, sql: &str, number: u64) -> Result<bool, StoreError> {
    Ok(execute(connection, sql, [signed(number)])? == 1)
}

/// Stores derived columns, unless the body already has some of this version.
pub(super) fn insert_derived(connection: &Connection, number: u64, derived: &Derived) -> Result<(), StoreError> {
    let sql = "INSERT INTO derived (body, version, sent, envelope, structure, preview, thread, fields)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT DO UPDATE SET version = ?2, sent = ?3, envelope = ?4, structure = ?5, preview = ?6, thread = ?7,
        fields = ?8 WHERE version <> ?2";
    let row = params![
        signed(number),
        DERIVED_VERSION,
        derived.sent.map(SecondColumn),
        derived.envelope,
        derived.structure,
        derived.preview,
        derived.thread,
        derived.fields
    ];
    execute(connection, sql, row).map(drop)
}

/// Records that the pack of this number belongs to this database.
pub(super) fn record_pack(connection: &Connection, number: u32) -> Result<(), StoreError> {
    execute(connection, "INSERT OR IGNORE INTO pack (number) VALUES (?)", [number]).map(drop)
}

/// Runs a prepared statement that returns no rows; returns how many rows it changed.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(storage)
}

/// Returns where a body is stored; `None` when there is no such body.
pub(super) fn locate(connection: &Connection, number: u64) -> Result<Option<BodyLocation>, StoreError> {
    let sql = "SELECT pack, at, octets FROM body WHERE id = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([signed(number)]).map_err(storage)?;
    let Some(row) = rows.next().map_err(storage)? else { return Ok(None) };
    let pack: Option<u32> = row.get(0).map_err(storage)?;
    match pack {
        Some(pack) => {
            let (at, octets) = (super::rows::number(row, 1)?, super::rows::number(row, 2)?);
            Ok(Some(BodyLocation::Pack(PackPosition { pack, at, octets })))
        }
        None => {
            let sql = "SELECT content FROM inline WHERE body = ?";
            let mut statement = connection.prepare_cached(sql).map_err(storage)?;
            let content: Option<Vec<u8>> =
                statement.query_row([signed(number)], |row| row.get(0)).optional().map_err(storage)?;
            let content = content.ok_or_else(|| damaged(format!("body {number} has a row but no octets")))?;
            Ok(Some(BodyLocation::Inline(content.into())))
        }
    }
}
