//! Tables of a shard from version 2 to version 3.
//!
//! The columns are the same. Modseq and octets of an account's row may now be behind those of its mailboxes. Rows of version 2
//! are right by that rule too, so none is written: the number keeps programs away that would take the row at its word.

use rusqlite::Connection;

use super::super::fault::storage;
use crate::StoreError;

/// The version that this step starts from.
pub(super) const FROM: i64 = 2;
/// The one that it leaves.
const TO: i64 = 3;

pub(super) fn bring_forward(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "user_version", TO).map_err(storage)
}
