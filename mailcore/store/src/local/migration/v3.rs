//! Upgrades the tables of a shard from version 2 to version 3.
//!
//! The columns are unchanged. From version 3 on, `modseq` and `octets` in an account's row may lag behind the values of
//! its mailbox rows. A row of version 2 is also valid in version 3, so this step only writes the new version number.
//! Older programs take the account's row as current, so they must not open the database; the new version number makes
//! them refuse it.

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
