//! Rows of an account and its mailboxes in SQLite: read by readers and the committer, written by the committer.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::fault::{damaged, storage};
use crate::account::{Account, Mailbox, default_subscriptions};
use crate::time::from_seconds;
use crate::{AccountId, MailboxId, MailboxName, Modseq, SpecialUse, StoreError, Uid, UidValidity};

/// An account's short number in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccountNo(pub(super) i64);

/// Separator of names in `subscription.names`: no name contains a control character.
const NAME_SEPARATOR: char = '\n';

/// Special uses by their number in `mailbox.special_use`.
const SPECIAL_USES: [SpecialUse; 5] =
    [SpecialUse::Drafts, SpecialUse::Sent, SpecialUse::Trash, SpecialUse::Junk, SpecialUse::Archive];

/// A time in a column: whole seconds since 1970.
pub(super) struct SecondColumn(pub(super) Timestamp);

impl ToSql for SecondColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_second().into())
    }
}

impl FromSql for SecondColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(|seconds| Self(from_seconds(seconds)))
    }
}

/// Reads a time from a column.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(|SecondColumn(at)| at)
}

/// Reads a time from a column that may be null.
pub(super) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<SecondColumn>>(column).map(|found| found.map(|SecondColumn(at)| at))
}

/// Converts to SQLite's signed integer; a number beyond its range becomes `i64::MAX`.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a non-negative number. One that is negative or too large for its type is damage.
pub(super) fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    let value: i64 = row.get(column).map_err(storage)?;
    T::try_from(value).map_err(|_| damaged(format!("impossible number {value} in column {column}")))
}

pub(super) fn uid(row: &Row<'_>, column: usize) -> Result<Uid, StoreError> {
    Uid::new(number(row, column)?).ok_or_else(|| damaged("a UID of zero"))
}

fn mailbox(row: &Row<'_>) -> Result<(MailboxId, Mailbox), StoreError> {
    let name: String = row.get(1).map_err(storage)?;
    let name = MailboxName::parse(&name).ok_or_else(|| damaged("the name of a mailbox"))?;
    let special_use: Option<u8> = row.get(2).map_err(storage)?;
    let uid_validity = NonZeroU32::new(number(row, 3)?).ok_or_else(|| damaged("a UIDVALIDITY of zero"))?;
    let keywords: String = row.get(11).map_err(storage)?;
    let shares_validity: bool = row.get(13).map_err(storage)?;
    let mailbox = Mailbox {
        name,
        special_use: special_use.and_then(|number| SPECIAL_USES.get(usize::from(number))).copied(),
        uid_validity: UidValidity::of(uid_validity),
        uid_last: number(row, 4)?,
        uid_used: number(row, 12)?,
        shares_validity,
        highest_modseq: Modseq::new(number(row, 5)?),
        messages: number(row, 6)?,
        unseen: number(row, 7)?,
        deleted: number(row, 8)?,
        octets: number(row, 9)?,
        recent_from: uid(row, 10)?,
        keywords: keywords.split_whitespace().map(str::to_owned).collect(),
    };
    Ok((MailboxId::new(number(row, 0)?), mailbox))
}

/// Loads an account with all its mailboxes; `None` when it was never written, or was deleted.
pub(super) fn load(connection: &Connection, id: AccountId) -> Result<Option<(AccountNo, Account)>, StoreError> {
    let sql = "SELECT modseq, mailbox_last, uid_validity_last, no, uid_validity_retired FROM account WHERE uuid = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([id.get().as_bytes()]).map_err(storage)?;
    let Some(row) = rows.next().map_err(storage)? else { return Ok(None) };
    let no = AccountNo(row.get(3).map_err(storage)?);
    let mailboxes = load_mailboxes(connection, no)?;
    let mut account = Account {
        modseq: highest_modseq(&mailboxes).max(Modseq::new(number(row, 0)?)),
        octets: mailboxes.values().map(|mailbox| mailbox.octets).sum(),
        mailbox_last: number(row, 1)?,
        uid_validity_last: number(row, 2)?,
        uid_validity_retired: number(row, 4)?,
        mailboxes,
        subscribed: load_subscriptions(connection, no)?,
        ..Account::default()
    };
    account.numbers_saved = Some(account.numbers());
    Ok(Some((no, account)))
}

/// Returns the highest modseq of the mailboxes; zero without any.
fn highest_modseq(mailboxes: &BTreeMap<MailboxId, Mailbox>) -> Modseq {
    mailboxes.values().map(|mailbox| mailbox.highest_modseq).max().unwrap_or_default()
}

fn load_mailboxes(connection: &Connection, no: AccountNo) -> Result<BTreeMap<MailboxId, Mailbox>, StoreError> {
    let sql = "SELECT id, name, special_use, uid_validity, uid_last, highest_modseq, messages, unseen, deleted, octets,
        recent_from, keywords, uid_used, shares_validity FROM mailbox WHERE account = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([no.0]).map_err(storage)?;
    let mut mailboxes = BTreeMap::new();
    while let Some(row) = rows.next().map_err(storage)? {
        mailboxes.extend([mailbox(row)?]);
    }
    Ok(mailboxes)
}

/// Loads the subscriptions. A missing row means the default, which most people never change.
fn load_subscriptions(connection: &Connection, no: AccountNo) -> Result<BTreeSet<MailboxName>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT names FROM subscription WHERE account = ?").map_err(storage)?;
    let names: Option<String> = statement.query_row([no.0], |row| row.get(0)).optional().map_err(storage)?;
    match names {
        None => Ok(default_subscriptions()),
        Some(names) => Ok(names.split(NAME_SEPARATOR).filter_map(MailboxName::parse).collect()),
    }
}

/// Inserts the row of a new account.
pub(super) fn insert_account(connection: &Connection, id: AccountId) -> rusqlite::Result<AccountNo> {
    let sql = "INSERT INTO account (uuid, modseq, octets, mailbox_last, uid_validity_last, uid_validity_retired)
        VALUES (?, 0, 0, 0, 0, 0)";
    connection.prepare_cached(sql)?.insert([id.get().as_bytes()]).map(AccountNo)
}

/// Writes the changed rows of an account and its mailboxes. Messages are written by the batch itself.
pub(super) fn save(connection: &Connection, no: AccountNo, account: &mut Account) -> rusqlite::Result<()> {
    // When a mailbox has the account's modseq, `load` takes it from the mailbox's row. A delivery writes that row
    // anyway, and one page less without the account's row.
    if account.numbers_saved != Some(account.numbers()) || highest_modseq(&account.mailboxes) < account.modseq {
        save_account(connection, no, account)?;
    }
    for id in std::mem::take(&mut account.changed) {
        match account.mailboxes.get(&id) {
            Some(mailbox) => save_mailbox(connection, no, id, mailbox)?,
            None => {
                let sql = "DELETE FROM mailbox WHERE account = ? AND id = ?";
                connection.prepare_cached(sql)?.execute(params![no.0, signed(id.get())])?;
            }
        }
    }
    if std::mem::take(&mut account.subscriptions_changed) {
        let names: Vec<&str> = account.subscribed.iter().map(MailboxName::as_str).collect();
        let names = names.join(&NAME_SEPARATOR.to_string());
        let sql = "INSERT OR REPLACE INTO subscription (account, names) VALUES (?, ?)";
        connection.prepare_cached(sql)?.execute(params![no.0, names])?;
    }
    Ok(())
}

fn save_account(connection: &Connection, no: AccountNo, account: &mut Account) -> rusqlite::Result<()> {
    let sql = "UPDATE account SET modseq = ?, octets = ?, mailbox_last = ?, uid_validity_last = ?,
        uid_validity_retired = ? WHERE no = ?";
    let (modseq, octets) = (signed(account.modseq.get()), signed(account.octets));
    connection.prepare_cached(sql)?.execute(params![
        modseq,
        octets,
        signed(account.mailbox_last),
        account.uid_validity_last,
        account.uid_validity_retired,
        no.0
    ])?;
    account.numbers_saved = Some(account.numbers());
    Ok(())
}

fn save_mailbox(connection: &Connection, no: AccountNo, id: MailboxId, mailbox: &Mailbox) -> rusqlite::Result<()> {
    let sql = "INSERT INTO mailbox (account, id, name, special_use, uid_validity, uid_last, highest_modseq, messages,
        unseen, deleted, octets, recent_from, keywords, uid_used, shares_validity)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
        ON CONFLICT DO UPDATE SET name = ?3, special_use = ?4, uid_validity = ?5, uid_last = ?6, highest_modseq = ?7,
        messages = ?8, unseen = ?9, deleted = ?10, octets = ?11, recent_from = ?12, keywords = ?13, uid_used = ?14,
        shares_validity = ?15";
    let number_of = |wanted| SPECIAL_USES.iter().zip(0_u8..).find(|(special_use, _)| **special_use == wanted);
    let special_use = mailbox.special_use.and_then(number_of).map(|(_, number)| number);
    let keywords: Vec<&str> = mailbox.keywords.iter().map(String::as_str).collect();
    connection.prepare_cached(sql)?.execute(params![
        no.0,
        signed(id.get()),
        mailbox.name.as_str(),
        special_use,
        mailbox.uid_validity.get(),
        mailbox.uid_last,
        signed(mailbox.highest_modseq.get()),
        mailbox.messages,
        mailbox.unseen,
        mailbox.deleted,
        signed(mailbox.octets),
        mailbox.recent_from.get(),
        keywords.join(" "),
        mailbox.uid_used,
        mailbox.shares_validity,
    ])?;
    Ok(())
}

/// Deletes the remaining rows of an account whose messages are already deleted.
pub(super) fn delete_account(connection: &Connection, no: AccountNo, id: AccountId) -> rusqlite::Result<()> {
    for table in ["subscription", "batch", "reply", "mailbox"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE account = ?"))?.execute([no.0])?;
    }
    connection.prepare_cached("DELETE FROM login WHERE uuid = ?")?.execute([id.get().as_bytes()])?;
    connection.prepare_cached("DELETE FROM account WHERE no = ?")?.execute([no.0]).map(drop)
}

/// The accounts with a login at `since` or later, the earliest first.
pub(super) fn logins_since(
    connection: &Connection,
    since: Timestamp,
    limit: usize,
) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
    let sql = "SELECT uuid, max(at) AS last FROM login GROUP BY uuid HAVING last >= ? ORDER BY last, uuid LIMIT ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![SecondColumn(since), limit]).map_err(storage)?;
    let mut logins = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        logins.push((account_id(row)?, time(row, 1).map_err(storage)?));
    }
    Ok(logins)
}

/// The account whose UUID is the first column.
fn account_id(row: &rusqlite::Row<'_>) -> Result<AccountId, StoreError> {
    let uuid = row.get_ref(0).map_err(storage)?.as_blob().ok().and_then(|octets| Uuid::from_slice(octets).ok());
    uuid.map(AccountId::new).ok_or_else(|| damaged("the UUID of an account"))
}

/// Returns at most `limit` accounts after `after`, in ascending order.
pub(super) fn accounts(
    connection: &Connection,
    after: Option<AccountId>,
    limit: usize,
) -> Result<Vec<AccountId>, StoreError> {
    let sql = "SELECT uuid FROM account WHERE uuid > ? ORDER BY uuid LIMIT ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    // Without `after`, compare with the empty blob: every UUID is greater.
    let after = after.map(|id| id.get().as_bytes().to_vec()).unwrap_or_default();
    let mut rows = statement.query(params![after, i64::try_from(limit).unwrap_or(i64::MAX)]).map_err(storage)?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next().map_err(storage)? {
        accounts.push(account_id(row)?);
    }
    Ok(accounts)
}
