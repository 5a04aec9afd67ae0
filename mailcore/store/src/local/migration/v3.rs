//! Upgrades the tables of a shard from version 2 to version 3.
//!
//! The columns are unchanged, but modseq and octets of an account's row may now lag behind those of its mailboxes. Rows
//! of version 2 are valid under that rule, so none is written. The new version keeps older programs, which take the
//! account's row as up to date, from opening the database.

use rusqlite::Connection;

use super::super::fault::storage;
use crate::StoreError;

/// The version that this step upgrades from.
pub(super) const FROM: i64 = 2;
/// The version that this step upgrades to.
const TO: i64 = 3;

pub(super) fn upgrade(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "user_version", TO).map_err(storage)
}
