//! Rows of one account in SQLite: read by readers and the committer alike, written by the committer.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::pack::{PackWriter, Place};
use super::schema::storage;
use super::{damaged, unavailable};
use crate::account::{Account, Mailbox, default_subscriptions};
use crate::interpret::Rows;
use crate::{
    AccountId, ApplyError, BlobRef, Changes, Flags, MailboxId, MailboxName, MessageMeta, Modseq, SpecialUse,
    StoreError, Uid, UidSet, UidValidity,
};

/// An account's short number in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccountNo(pub(super) i64);

/// Columns of [`message`].
const MESSAGE: &str = "uid, modseq, flags, internal_date, octets, pack, at";
/// Between names in `subscription.names`: no name holds a control character.
const NAME_END: char = '\n';

/// By their number in `mailbox.special_use`.
const SPECIAL_USES: [SpecialUse; 5] =
    [SpecialUse::Drafts, SpecialUse::Sent, SpecialUse::Trash, SpecialUse::Junk, SpecialUse::Archive];

/// A place in a pack of this shard, as everybody else sees it.
pub(super) fn blob(shard: u8, place: Place) -> BlobRef {
    let container = u64::from(shard) << 32 | u64::from(place.pack);
    BlobRef { container, offset: place.at, octets: place.octets }
}

/// The place that a blob names, when it is in this shard.
pub(super) fn place(shard: u8, blob: &BlobRef) -> Option<Place> {
    let pack = u32::try_from(blob.container & u64::from(u32::MAX)).ok()?;
    (blob.container >> 32 == u64::from(shard)).then_some(Place { pack, at: blob.offset, octets: blob.octets })
}

/// SQLite numbers are signed; nothing of ours gets so large.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is not negative, or damage.
fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    let value: i64 = row.get(column).map_err(storage)?;
    T::try_from(value).map_err(|_| damaged(format!("{value} in column {column}")))
}

fn uid(row: &Row<'_>, column: usize) -> Result<Uid, StoreError> {
    Uid::new(number(row, column)?).ok_or_else(|| damaged("a UID of zero"))
}

fn message(row: &Row<'_>, shard: u8) -> Result<MessageMeta, StoreError> {
    let flags = row.get_ref(2).map_err(storage)?.as_blob().ok().and_then(Flags::from_row);
    let octets = number(row, 4)?;
    let place = Place { pack: number(row, 5)?, at: number(row, 6)?, octets };
    Ok(MessageMeta {
        uid: uid(row, 0)?,
        modseq: Modseq(number(row, 1)?),
        flags: flags.ok_or_else(|| damaged("flags of a message"))?,
        internal_date: row.get(3).map_err(storage)?,
        octets,
        blob: blob(shard, place),
    })
}

fn mailbox(row: &Row<'_>) -> Result<(MailboxId, Mailbox), StoreError> {
    let name: String = row.get(1).map_err(storage)?;
    let name = MailboxName::parse(&name).ok_or_else(|| damaged("name of a mailbox"))?;
    let special_use: Option<u8> = row.get(2).map_err(storage)?;
    let uid_validity = NonZeroU32::new(number(row, 3)?).ok_or_else(|| damaged("a UIDVALIDITY of zero"))?;
    let keywords: String = row.get(11).map_err(storage)?;
    let mailbox = Mailbox {
        name,
        special_use: special_use.and_then(|at| SPECIAL_USES.get(usize::from(at))).copied(),
        uid_validity: UidValidity(uid_validity),
        uid_last: number(row, 4)?,
        highest_modseq: Modseq(number(row, 5)?),
        messages: number(row, 6)?,
        unseen: number(row, 7)?,
        deleted: number(row, 8)?,
        octets: number(row, 9)?,
        recent_from: uid(row, 10)?,
        keywords: keywords.split_whitespace().map(str::to_owned).collect(),
    };
    Ok((MailboxId(number(row, 0)?), mailbox))
}

/// An account with all its mailboxes; `None` when it was never written.
pub(super) fn load(connection: &Connection, id: AccountId) -> Result<Option<(AccountNo, Account)>, StoreError> {
    let sql = "SELECT modseq, octets, mailbox_last, uid_validity_last, no FROM account WHERE uuid = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([id.0.as_bytes()]).map_err(storage)?;
    let Some(row) = rows.next().map_err(storage)? else { return Ok(None) };
    let no = AccountNo(row.get(4).map_err(storage)?);
    let account = Account {
        modseq: Modseq(number(row, 0)?),
        octets: number(row, 1)?,
        mailbox_last: number(row, 2)?,
        uid_validity_last: number(row, 3)?,
        mailboxes: load_mailboxes(connection, no)?,
        subscribed: load_subscriptions(connection, no)?,
        ..Account::default()
    };
    Ok(Some((no, account)))
}

fn load_mailboxes(connection: &Connection, no: AccountNo) -> Result<BTreeMap<MailboxId, Mailbox>, StoreError> {
    let sql = "SELECT id, name, special_use, uid_validity, uid_last, highest_modseq, messages, unseen, deleted, octets,
        recent_from, keywords FROM mailbox WHERE account = ?";
    let mut statement = connection.prepare_cached(sql).map_err(storage)?;
    let mut rows = statement.query([no.0]).map_err(storage)?;
    let mut mailboxes = BTreeMap::new();
    while let Some(row) = rows.next().map_err(storage)? {
        mailboxes.extend([mailbox(row)?]);
    }
    Ok(mailboxes)
}

/// No row is the default: most people never change it.
fn load_subscriptions(connection: &Connection, no: AccountNo) -> Result<BTreeSet<MailboxName>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT names FROM subscription WHERE account = ?").map_err(storage)?;
    let names: Option<String> = statement.query_row([no.0], |row| row.get(0)).optional().map_err(storage)?;
    match names {
        None => Ok(default_subscriptions()),
        Some(names) => Ok(names.split(NAME_END).filter_map(MailboxName::parse).collect()),
    }
}

/// A row for an account that had none.
pub(super) fn insert_account(connection: &Connection, id: AccountId) -> rusqlite::Result<AccountNo> {
    let sql = "INSERT INTO account (uuid, modseq, octets, mailbox_last, uid_validity_last) VALUES (?, 0, 0, 0, 0)";
    connection.prepare_cached(sql)?.insert([id.0.as_bytes()]).map(AccountNo)
}

/// Writes what a batch changed of an account, messages apart.
pub(super) fn save(connection: &Connection, no: AccountNo, account: &mut Account) -> rusqlite::Result<()> {
    let sql = "UPDATE account SET modseq = ?, octets = ?, mailbox_last = ?, uid_validity_last = ? WHERE no = ?";
    let (modseq, octets) = (signed(account.modseq.0), signed(account.octets));
    let last = (signed(account.mailbox_last), account.uid_validity_last);
    connection.prepare_cached(sql)?.execute(params![modseq, octets, last.0, last.1, no.0])?;
    for id in std::mem::take(&mut account.changed) {
        match account.mailboxes.get(&id) {
            Some(mailbox) => save_mailbox(connection, no, id, mailbox)?,
            None => {
                let sql = "DELETE FROM mailbox WHERE account = ? AND id = ?";
                connection.prepare_cached(sql)?.execute(params![no.0, signed(id.0)])?;
            }
        }
    }
    if std::mem::take(&mut account.subscriptions_changed) {
        let names: Vec<&str> = account.subscribed.iter().map(MailboxName::as_str).collect();
        let names = names.join(&NAME_END.to_string());
        let sql = "INSERT OR REPLACE INTO subscription (account, names) VALUES (?, ?)";
        connection.prepare_cached(sql)?.execute(params![no.0, names])?;
    }
    Ok(())
}

fn save_mailbox(connection: &Connection, no: AccountNo, id: MailboxId, mailbox: &Mailbox) -> rusqlite::Result<()> {
    let sql = "INSERT INTO mailbox (account, id, name, special_use, uid_validity, uid_last, highest_modseq, messages,
        unseen, deleted, octets, recent_from, keywords) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
        ON CONFLICT DO UPDATE SET name = ?3, uid_last = ?6, highest_modseq = ?7, messages = ?8, unseen = ?9,
        deleted = ?10, octets = ?11, recent_from = ?12, keywords = ?13";
    let place = |wanted| SPECIAL_USES.iter().zip(0_u8..).find(|(special_use, _)| **special_use == wanted);
    let special_use = mailbox.special_use.and_then(place).map(|(_, at)| at);
    let keywords: Vec<&str> = mailbox.keywords.iter().map(String::as_str).collect();
    connection.prepare_cached(sql)?.execute(params![
        no.0,
        signed(id.0),
        mailbox.name.as_str(),
        special_use,
        mailbox.uid_validity.get(),
        mailbox.uid_last,
        signed(mailbox.highest_modseq.0),
        mailbox.messages,
        mailbox.unseen,
        mailbox.deleted,
        signed(mailbox.octets),
        mailbox.recent_from.get(),
        keywords.join(" "),
    ])?;
    Ok(())
}

/// See [`crate::MessageStore::changes`].
pub(super) fn changes(
    connection: &Connection,
    shard: u8,
    account: AccountId,
    id: MailboxId,
    after: Modseq,
) -> Result<Changes, StoreError> {
    let (no, account) = load(connection, account)?.ok_or(StoreError::Gone)?;
    let info = account.info(id).ok_or(StoreError::Gone)?;
    let reading = Reading { connection, shard, no };
    if after == Modseq(0) {
        return Ok(Changes { info, messages: reading.all(id)?, expunged: Vec::new() });
    }
    if info.highest_modseq <= after {
        return Ok(Changes { info, messages: Vec::new(), expunged: Vec::new() });
    }
    let mut messages = reading.flagged_after(id, after)?;
    messages.extend(reading.born_after(id, after)?.into_iter().map(|message| (message.uid, message)));
    Ok(Changes { info, messages: messages.into_values().collect(), expunged: reading.gone_after(id, after)? })
}

/// Messages of one account.
struct Reading<'a> {
    connection: &'a Connection,
    shard: u8,
    no: AccountNo,
}

impl Reading<'_> {
    fn all(&self, id: MailboxId) -> Result<Vec<MessageMeta>, StoreError> {
        let sql = format!("SELECT {MESSAGE} FROM message WHERE account = ? AND mailbox = ? ORDER BY uid");
        let mut statement = self.connection.prepare_cached(&sql).map_err(storage)?;
        let mut rows = statement.query(params![self.no.0, signed(id.0)]).map_err(storage)?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next().map_err(storage)? {
            messages.push(message(row, self.shard)?);
        }
        Ok(messages)
    }

    fn range(&self, id: MailboxId, (low, high): (u32, u32), into: &mut Vec<MessageMeta>) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE account = ? AND mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(storage)?;
        let mut rows = statement.query(params![self.no.0, signed(id.0), low, high]).map_err(storage)?;
        while let Some(row) = rows.next().map_err(storage)? {
            into.push(message(row, self.shard)?);
        }
        Ok(())
    }

    /// Whose flags changed since they came: the index holds only those.
    fn flagged_after(&self, id: MailboxId, after: Modseq) -> Result<BTreeMap<Uid, MessageMeta>, StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message INDEXED BY message_changed
             WHERE account = ? AND mailbox = ? AND modseq > ? AND modseq > born"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(storage)?;
        let mut rows = statement.query(params![self.no.0, signed(id.0), signed(after.0)]).map_err(storage)?;
        let mut messages = BTreeMap::new();
        while let Some(row) = rows.next().map_err(storage)? {
            let message = message(row, self.shard)?;
            messages.insert(message.uid, message);
        }
        Ok(messages)
    }

    /// That came since: `born` ascends with the UID, so the search goes from the end to the first that is older.
    fn born_after(&self, id: MailboxId, after: Modseq) -> Result<Vec<MessageMeta>, StoreError> {
        let sql = format!("SELECT {MESSAGE}, born FROM message WHERE account = ? AND mailbox = ? ORDER BY uid DESC");
        let mut statement = self.connection.prepare_cached(&sql).map_err(storage)?;
        let mut rows = statement.query(params![self.no.0, signed(id.0)]).map_err(storage)?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next().map_err(storage)? {
            if number::<u64>(row, 7)? <= after.0 {
                break;
            }
            messages.push(message(row, self.shard)?);
        }
        Ok(messages)
    }

    fn gone_after(&self, id: MailboxId, after: Modseq) -> Result<Vec<Uid>, StoreError> {
        let sql = "SELECT uid FROM gone WHERE account = ? AND mailbox = ? AND modseq > ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(storage)?;
        let mut rows = statement.query(params![self.no.0, signed(id.0), signed(after.0)]).map_err(storage)?;
        let mut uids = Vec::new();
        while let Some(row) = rows.next().map_err(storage)? {
            uids.push(uid(row, 0)?);
        }
        uids.sort_unstable();
        Ok(uids)
    }
}

/// The rows that a batch writes.
pub(super) struct LocalRows<'a> {
    pub(super) connection: &'a Connection,
    pub(super) pack: &'a mut PackWriter,
    pub(super) shard: u8,
    pub(super) no: AccountNo,
}

impl LocalRows<'_> {
    fn reading(&self) -> Reading<'_> {
        Reading { connection: self.connection, shard: self.shard, no: self.no }
    }

    fn write(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), ApplyError> {
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        run().map(drop).map_err(|error| storage(error).into())
    }
}

impl Rows for LocalRows<'_> {
    fn keep_body(&mut self, body: &Bytes) -> Result<BlobRef, ApplyError> {
        let place = self.pack.place(body).map_err(unavailable)?;
        Ok(blob(self.shard, place))
    }

    fn insert(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), ApplyError> {
        let place = place(self.shard, &message.blob).ok_or_else(|| damaged("a body of another shard"))?;
        let modseq = signed(message.modseq.0);
        self.write(
            "INSERT INTO message (account, mailbox, uid, born, modseq, flags, internal_date, octets, pack, at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.no.0,
                signed(mailbox.0),
                message.uid.get(),
                modseq,
                modseq,
                message.flags.to_row(),
                message.internal_date,
                signed(message.octets),
                place.pack,
                signed(place.at),
            ],
        )
    }

    fn select(&mut self, mailbox: MailboxId, uids: Option<&UidSet>) -> Result<Vec<MessageMeta>, ApplyError> {
        let Some(uids) = uids else { return Ok(self.reading().all(mailbox)?) };
        let mut messages = Vec::new();
        for range in uids.ranges() {
            self.reading().range(mailbox, *range, &mut messages)?;
        }
        Ok(messages)
    }

    fn update(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), ApplyError> {
        self.write(
            "UPDATE message SET flags = ?, modseq = ? WHERE account = ? AND mailbox = ? AND uid = ?",
            params![message.flags.to_row(), signed(message.modseq.0), self.no.0, signed(mailbox.0), message.uid.get()],
        )
    }

    fn expunge(&mut self, mailbox: MailboxId, uid: Uid, modseq: Modseq) -> Result<(), ApplyError> {
        self.write(
            "DELETE FROM message WHERE account = ? AND mailbox = ? AND uid = ?",
            params![self.no.0, signed(mailbox.0), uid.get()],
        )?;
        self.write(
            "INSERT INTO gone (account, mailbox, modseq, uid) VALUES (?, ?, ?, ?)",
            params![self.no.0, signed(mailbox.0), signed(modseq.0), uid.get()],
        )
    }

    fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<(), ApplyError> {
        let key = params![self.no.0, signed(mailbox.0)];
        self.write("DELETE FROM message WHERE account = ? AND mailbox = ?", key)?;
        self.write("DELETE FROM gone WHERE account = ? AND mailbox = ?", key)
    }

    fn remembered(&mut self, handle: &str, correspondent: &str) -> Result<Option<i64>, ApplyError> {
        let sql = "SELECT until FROM reply WHERE account = ? AND handle = ? AND correspondent = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(storage)?;
        let until = statement.query_row(params![self.no.0, handle, correspondent], |row| row.get(0)).optional();
        Ok(until.map_err(storage)?)
    }

    fn count_remembered(&mut self, now: i64) -> Result<u64, ApplyError> {
        self.write("DELETE FROM reply WHERE account = ? AND until <= ?", params![self.no.0, now])?;
        let mut statement =
            self.connection.prepare_cached("SELECT count(*) FROM reply WHERE account = ?").map_err(storage)?;
        let count: i64 = statement.query_row([self.no.0], |row| row.get(0)).map_err(storage)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn remember(&mut self, handle: &str, correspondent: &str, until: i64) -> Result<(), ApplyError> {
        self.write(
            "INSERT OR REPLACE INTO reply (account, handle, correspondent, until) VALUES (?, ?, ?, ?)",
            params![self.no.0, handle, correspondent, until],
        )
    }
}
