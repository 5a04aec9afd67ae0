//! Rows of bodies: numbers, reference counts, places.
//!
//! A body has one row, however many messages have it, also when they belong to several accounts of the shard. The row says
//! where the octets lie and how many references there are; a row without any is garbage and is taken away in the
//! background. Numbers are never used again, also not after a crash: whoever still has an old one gets nothing, never
//! another body.

use std::collections::HashMap;

use bytes::Bytes;
use provost_message::{DERIVED_VERSION, Derived};
use rusqlite::{Connection, OptionalExtension, params};

use super::pack::{PackWriter, Place};
use super::rows::signed;
use super::schema::storage;
use super::{damaged, unavailable};
use crate::StoreError;

/// Numbers that are set aside at once, so that not every commit writes the counter.
const NUMBERS_SET_ASIDE: u64 = 1_000;

/// A buffer by address and length: the same for all recipients of one message.
pub(super) type BufferKey = (usize, usize);

/// See [`BufferKey`]. Valid as long as a clone of the buffer is held.
pub(super) fn buffer_key(body: &Bytes) -> BufferKey {
    (body.as_ptr() as usize, body.len())
}

/// Bodies that come in with the group that is being committed.
#[derive(Default)]
pub(super) struct Incoming {
    /// The next number to give, and the first one that is not set aside. Equal: none is.
    numbers: (u64, u64),
    /// Bodies of this group, held so that no other buffer gets the address of one.
    shared: HashMap<BufferKey, (u64, Bytes)>,
    /// The keys of `shared` in their order, for `take_back`.
    order: Vec<BufferKey>,
}

/// How far a group had come.
pub(super) struct Mark {
    numbers: (u64, u64),
    bodies: usize,
}

impl Incoming {
    /// Before a group.
    pub(super) fn begin(&mut self) {
        self.shared.clear();
        self.order.clear();
    }

    /// After a group that was rolled back: what was set aside in it is not.
    pub(super) fn forget(&mut self) {
        self.begin();
        self.numbers = (0, 0);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { numbers: self.numbers, bodies: self.order.len() }
    }

    /// What came in after the mark was rolled back.
    pub(super) fn take_back(&mut self, mark: Mark) {
        self.numbers = mark.numbers;
        for key in self.order.drain(mark.bodies.min(self.order.len())..) {
            self.shared.remove(&key);
        }
    }

    /// Keeps a body with one reference, or adds a reference to the row that this buffer has already in this group.
    pub(super) fn keep(
        &mut self,
        connection: &Connection,
        pack: &mut PackWriter,
        body: &Bytes,
        derived: Option<&Derived>,
    ) -> Result<u64, StoreError> {
        let key = buffer_key(body);
        let known = self.shared.get(&key).map(|(number, _)| *number);
        let number = match known {
            // A row that lost its last reference may be gone by now.
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
        let place = pack.place(body).map_err(unavailable)?;
        let sql = "INSERT INTO body (id, refs, octets, pack, at) VALUES (?, 1, ?, ?, ?)";
        let row = params![signed(number), signed(place.octets), place.pack, signed(place.at)];
        connection.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map_err(storage)?;
        let key = buffer_key(body);
        self.shared.insert(key, (number, body.clone()));
        self.order.push(key);
        Ok(number)
    }

    fn number(&mut self, connection: &Connection) -> Result<u64, StoreError> {
        if self.numbers.0 >= self.numbers.1 {
            let end = advance(connection, "body", NUMBERS_SET_ASIDE)?;
            self.numbers = (end.saturating_sub(NUMBERS_SET_ASIDE), end);
        }
        let number = self.numbers.0;
        self.numbers.0 += 1;
        Ok(number)
    }
}

/// Adds to a counter of the shard; the sum.
pub(super) fn advance(connection: &Connection, name: &str, by: u64) -> Result<u64, StoreError> {
    let sql = "UPDATE counter SET value = value + ? WHERE name = ? RETURNING value";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let value: i64 = statement.query_row(params![signed(by), name], |row| row.get(0)).map_err(storage)?;
    u64::try_from(value).map_err(|_| damaged(format!("counter {name}")))
}

/// One reference more; false when the body is not there.
pub(super) fn add_reference(connection: &Connection, number: u64) -> Result<bool, StoreError> {
    change_references(connection, "UPDATE body SET refs = refs + 1 WHERE id = ?", number)
}

/// One reference less; false when the body is not there or had none.
pub(super) fn drop_reference(connection: &Connection, number: u64) -> Result<bool, StoreError> {
    change_references(connection, "UPDATE body SET refs = refs - 1 WHERE id = ? AND refs > 0", number)
}

fn change_references(connection: &Connection, sql: &str, number: u64) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    Ok(statement.execute([signed(number)]).map_err(storage)? == 1)
}

/// Keeps derived columns, unless the body has some.
fn insert_derived(connection: &Connection, number: u64, derived: &Derived) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO derived (body, version, sent, envelope, structure, preview, thread, fields)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let row = params![
        signed(number),
        DERIVED_VERSION,
        derived.sent,
        derived.envelope,
        derived.structure,
        derived.preview,
        derived.thread,
        derived.fields
    ];
    connection.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map(drop).map_err(storage)
}

/// Where a body lies; `None` when there is no such body.
pub(super) fn locate(connection: &Connection, number: u64) -> Result<Option<Place>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT pack, at, octets FROM body WHERE id = ?").map_err(storage)?;
    let place = |row: &rusqlite::Row<'_>| {
        let (at, octets): (i64, i64) = (row.get(1)?, row.get(2)?);
        // A negative number is beyond the end of any pack: the reader reports the damage.
        Ok(Place { pack: row.get(0)?, at: at as u64, octets: octets as u64 })
    };
    statement.query_row([signed(number)], place).optional().map_err(storage)
}
