//! Upgrades the tables of a shard from version 1 to version 2.
//!
//! UIDs, UIDVALIDITY, modseqs, flags, dates and octets are unchanged, and bodies stay in place. In version 1, a row of
//! `message` named the pack and place of its body. In version 2, a row of `body` names them and counts the messages at
//! that place, and the message has the id of the body. `derived` starts empty: reads derive the columns of old messages
//! until the upkeep has stored them.

use rusqlite::{Connection, params};

use super::super::fault::{damaged, storage};
use super::super::schema;
use crate::{Applied, OpEffect, StoreError};

/// The version that this step upgrades from.
pub(super) const FROM: i64 = 1;
/// The version that this step upgrades to.
const TO: i64 = 2;

/// Tables whose columns change. All others of version 1 are kept.
const REPLACED: [&str; 3] = ["account", "mailbox", "message"];

/// Version 1 kept no record of deleted and renamed mailboxes. If an account has deleted a mailbox, or if one of its
/// mailboxes has ever had a message, all UIDVALIDITY values that the account assigned count as retired.
const ACCOUNTS: &str = "
INSERT INTO account SELECT no, uuid, modseq, octets, mailbox_last, uid_validity_last,
  CASE WHEN mailbox_last = (SELECT count(*) FROM old_mailbox WHERE account = no)
    AND NOT EXISTS (SELECT 1 FROM old_mailbox WHERE account = no AND uid_last > 0) THEN 0 ELSE uid_validity_last END
  FROM old_account;
INSERT INTO mailbox SELECT account, id, name, special_use, uid_validity, uid_last, uid_last, 0, highest_modseq, messages,
  unseen, deleted, octets, recent_from, keywords FROM old_mailbox;
";

/// One body for each place of a message. CROSS JOIN keeps the order, so that the message table is read and written from
/// beginning to end.
const MESSAGES: &str = "
INSERT INTO body (refs, octets, pack, at)
  SELECT count(*), max(octets), pack, at FROM old_message GROUP BY pack, at ORDER BY pack, at;
CREATE UNIQUE INDEX body_place ON body (pack, at);
INSERT INTO message SELECT m.account, m.mailbox, m.uid, m.born, m.modseq, m.flags, m.internal_date, m.octets, b.id
  FROM old_message m CROSS JOIN body b WHERE b.pack = m.pack AND b.at = m.at ORDER BY m.account, m.mailbox, m.uid;
DROP INDEX body_place;
UPDATE counter SET value = (SELECT coalesce(max(id), 0) + 1 FROM body) WHERE name = 'body';
";

/// Upgrades in one transaction: a crash leaves the old tables. `packs` are those in the shard's folder, and `starts` is
/// the number of starts of the store.
pub(super) fn upgrade(connection: &mut Connection, packs: &[u32], starts: i64) -> Result<(), StoreError> {
    let transaction = connection.transaction().map_err(storage)?;
    transaction.execute_batch("DROP INDEX message_changed").map_err(storage)?;
    for table in REPLACED {
        transaction.execute_batch(&format!("ALTER TABLE {table} RENAME TO old_{table}")).map_err(storage)?;
    }
    for sql in schema::NEW_IN_2 {
        transaction.execute_batch(sql).map_err(storage)?;
    }
    transaction.execute_batch(ACCOUNTS).map_err(storage)?;
    transaction.execute_batch(MESSAGES).map_err(storage)?;
    check_count(&transaction)?;
    let counted = transaction.execute("UPDATE counter SET value = ? WHERE name = 'start'", [starts]);
    counted.map_err(storage)?;
    record_packs(&transaction, packs).map_err(storage)?;
    forget_unreadable_batches(&transaction)?;
    for table in REPLACED {
        transaction.execute_batch(&format!("DROP TABLE old_{table}")).map_err(storage)?;
    }
    transaction.pragma_update(None, "user_version", TO).map_err(storage)?;
    transaction.commit().map_err(storage)
}

/// Returns [`StoreError::Damaged`] when the join with `body` has changed the number of messages.
fn check_count(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT (SELECT count(*) FROM old_message), (SELECT count(*) FROM message)";
    let (old, new): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(storage)?;
    match old == new {
        true => Ok(()),
        false => Err(damaged(format!("an upgrade would change the number of messages from {old} to {new}"))),
    }
}

/// Records all packs in the shard's folder as made by its database.
fn record_packs(connection: &Connection, packs: &[u32]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO pack (number) VALUES (?)")?;
    packs.iter().try_for_each(|number| insert.execute([number]).map(drop))
}

/// Deletes the remembered batches that changed flags or cannot be decoded: in version 1, the effects of a change of
/// flags contain places of bodies. The effects of all other ops are encoded as before. Only an IMAP session of the
/// ended process could repeat a batch that changed flags.
fn forget_unreadable_batches(connection: &Connection) -> Result<(), StoreError> {
    let mut select = connection.prepare("SELECT account, id, applied FROM batch").map_err(storage)?;
    let mut delete = connection.prepare("DELETE FROM batch WHERE account = ? AND id = ?").map_err(storage)?;
    let mut rows = select.query([]).map_err(storage)?;
    let mut unreadable: Vec<(i64, Vec<u8>)> = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        let applied: Vec<u8> = row.get(2).map_err(storage)?;
        let is_unchanged =
            |applied: Applied| !applied.effects.iter().any(|effect| matches!(effect, OpEffect::Stored { .. }));
        if !postcard::from_bytes(&applied).is_ok_and(is_unchanged) {
            unreadable.push((row.get(0).map_err(storage)?, row.get(1).map_err(storage)?));
        }
    }
    for (account, id) in unreadable {
        delete.execute(params![account, id]).map_err(storage)?;
    }
    Ok(())
}
