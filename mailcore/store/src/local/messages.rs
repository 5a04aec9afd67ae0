//! Reads the messages of one mailbox, for readers and for the committer.

use std::collections::BTreeMap;

use provost_message::{DERIVED_VERSION, Derived};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row as SqlRow, params};

use super::fault::{damaged, storage};
use super::rows::{AccountNo, load, number, optional_time, signed, time, uid};
use crate::{
    AccountId, BodyId, Columns, Flags, MailboxId, MessageMeta, MessageRow, MessageSelection, Modseq, ReadToken, Rows,
    StoreError, Uid, UidSet,
};

/// Columns of [`MailboxRead::message`], in its order.
const MESSAGE_COLUMNS: &str = "m.uid, m.modseq, m.flags, m.internal_date, m.octets, m.body";
/// Index of column `born`, which follows [`MESSAGE_COLUMNS`].
const BORN_INDEX: usize = 6;
/// Derived columns that a read may ask for. [`derived`] reads them in this order, after the version.
const DERIVED_COLUMNS: [(Columns, &str); 6] = [
    (Columns::SENT, "sent"),
    (Columns::ENVELOPE, "envelope"),
    (Columns::STRUCTURE, "structure"),
    (Columns::PREVIEW, "preview"),
    (Columns::THREAD, "thread"),
    (Columns::FIELDS, "fields"),
];

/// The result of a read. `missing` has the indices of the rows whose derived columns are missing or of another version.
pub(super) struct ReadRows {
    pub(super) rows: Rows,
    pub(super) missing: Vec<usize>,
}

/// Implements [`crate::MessageStore::read`].
pub(super) fn read(
    connection: &Connection,
    account: AccountId,
    mailbox: MailboxId,
    which: &MessageSelection,
    columns: Columns,
    at_least: Option<ReadToken>,
) -> Result<ReadRows, StoreError> {
    let Some((no, loaded)) = load(connection, account)? else {
        at_least.map_or(Ok(()), |token| token.reached_by(ReadToken::default()))?;
        return Err(StoreError::Gone);
    };
    let token = ReadToken::new(loaded.modseq);
    at_least.map_or(Ok(()), |least| least.reached_by(token))?;
    let info = loaded.info(mailbox).ok_or(StoreError::Gone)?;
    let reading = MailboxRead { connection, account, no, mailbox, columns };
    let mut expunged = Vec::new();
    let rows = match which {
        MessageSelection::Uids(uids) => reading.uids(uids)?,
        MessageSelection::Last(limit) => reading.last(*limit)?,
        MessageSelection::ChangedSince(Modseq::ZERO) => reading.uids(&UidSet::all())?,
        MessageSelection::ChangedSince(after) if info.highest_modseq <= *after => Vec::new(),
        MessageSelection::ChangedSince(after) => {
            expunged = reading.expunged_since(*after)?;
            reading.changed_since(*after)?
        }
    };
    let missing = rows.iter().enumerate().filter(|(_, row)| !columns.is_none() && row.derived.is_none());
    let missing = missing.map(|(at, _)| at).collect();
    Ok(ReadRows { rows: Rows { info, rows, expunged, token }, missing })
}

/// Reads the metadata of the messages in a set, or of all, in ascending order of UID.
pub(super) fn select(
    connection: &Connection,
    (account, no): (AccountId, AccountNo),
    mailbox: MailboxId,
    uids: Option<&UidSet>,
) -> Result<Vec<MessageMeta>, StoreError> {
    let reading = MailboxRead { connection, account, no, mailbox, columns: Columns::NONE };
    let rows = match uids {
        Some(uids) => reading.uids(uids)?,
        None => reading.uids(&UidSet::all())?,
    };
    Ok(rows.into_iter().map(|row| row.meta).collect())
}

/// One mailbox, and the columns to read.
struct MailboxRead<'a> {
    connection: &'a Connection,
    account: AccountId,
    no: AccountNo,
    mailbox: MailboxId,
    columns: Columns,
}

impl MailboxRead<'_> {
    fn uids(&self, uids: &UidSet) -> Result<Vec<MessageRow>, StoreError> {
        let sql = self.sql("", "uid BETWEEN ? AND ? ORDER BY uid");
        let mut rows = Vec::new();
        for (low, high) in uids.ranges() {
            self.query(&sql, params![self.no.0, signed(self.mailbox.get()), low, high], |row| {
                rows.push(self.row(row)?);
                Ok(true)
            })?;
        }
        Ok(rows)
    }

    fn last(&self, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        let sql = self.sql("", "uid > 0 ORDER BY uid DESC LIMIT ?");
        let mut rows = Vec::new();
        self.query(&sql, params![self.no.0, signed(self.mailbox.get()), limit], |row| {
            rows.push(self.row(row)?);
            Ok(true)
        })?;
        rows.reverse();
        Ok(rows)
    }

    /// Reads messages that were added, or whose flags changed, after a modseq, in ascending order of UID.
    fn changed_since(&self, after: Modseq) -> Result<Vec<MessageRow>, StoreError> {
        let mut changed = self.flagged_since(after)?;
        self.born_since(after, &mut changed)?;
        Ok(changed.into_values().collect())
    }

    /// Reads messages whose flags changed after a modseq. The index holds only messages that changed after they were
    /// added.
    fn flagged_since(&self, after: Modseq) -> Result<BTreeMap<Uid, MessageRow>, StoreError> {
        let sql = self.sql("INDEXED BY message_changed", "modseq > ? AND m.modseq > m.born");
        let mut rows = BTreeMap::new();
        self.query(&sql, params![self.no.0, signed(self.mailbox.get()), signed(after.get())], |row| {
            let row = self.row(row)?;
            rows.insert(row.meta.uid, row);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Reads messages added after a modseq. `born` ascends with the UID, so the search runs backwards and ends at the
    /// first older one. A restored message is skipped when the modseq that it brought is not above `after`.
    fn born_since(&self, after: Modseq, into: &mut BTreeMap<Uid, MessageRow>) -> Result<(), StoreError> {
        let sql = self.sql("", "uid > 0 ORDER BY uid DESC");
        self.query(&sql, params![self.no.0, signed(self.mailbox.get())], |sql_row| {
            if number::<u64>(sql_row, BORN_INDEX)? <= after.get() {
                return Ok(false);
            }
            let row = self.row(sql_row)?;
            if row.meta.modseq > after {
                into.insert(row.meta.uid, row);
            }
            Ok(true)
        })
    }

    fn expunged_since(&self, after: Modseq) -> Result<Vec<Uid>, StoreError> {
        let sql = "SELECT uid FROM gone WHERE account = ? AND mailbox = ? AND modseq > ?";
        let mut uids = Vec::new();
        self.query(sql, params![self.no.0, signed(self.mailbox.get()), signed(after.get())], |row| {
            uids.push(uid(row, 0)?);
            Ok(true)
        })?;
        uids.sort_unstable();
        Ok(uids)
    }

    fn sql(&self, index: &str, condition: &str) -> String {
        let mut derived = String::new();
        let mut join = "";
        if !self.columns.is_none() {
            derived.push_str(", d.version");
            join = "LEFT JOIN derived d ON d.body = m.body ";
        }
        for (_, name) in DERIVED_COLUMNS.iter().filter(|(column, _)| self.columns.has(*column)) {
            derived.push_str(", d.");
            derived.push_str(name);
        }
        format!(
            "SELECT {MESSAGE_COLUMNS}, m.born{derived} FROM message m {index} {join}WHERE m.account = ? AND m.mailbox = ? AND m.{condition}"
        )
    }

    /// Calls `each` for every row until it returns false.
    fn query(
        &self,
        sql: &str,
        params: impl Params,
        mut each: impl FnMut(&SqlRow<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(storage)?;
        let mut rows = statement.query(params).map_err(storage)?;
        while let Some(row) = rows.next().map_err(storage)?
            && each(row)?
        {}
        Ok(())
    }

    fn row(&self, row: &SqlRow<'_>) -> Result<MessageRow, StoreError> {
        let derived = match self.columns.is_none() {
            true => None,
            false => derived(row, self.columns)?.map(Box::new),
        };
        Ok(MessageRow { meta: self.message(row)?, derived })
    }

    fn message(&self, row: &SqlRow<'_>) -> Result<MessageMeta, StoreError> {
        let flags = row.get_ref(2).map_err(storage)?.as_blob().ok().and_then(Flags::from_row);
        Ok(MessageMeta {
            uid: uid(row, 0)?,
            modseq: Modseq::new(number(row, 1)?),
            flags: flags.ok_or_else(|| damaged("the flags of a message"))?,
            internal_date: time(row, 3).map_err(storage)?,
            octets: number(row, 4)?,
            body: BodyId::new(self.account, number(row, 5)?),
        })
    }
}

/// Reads the derived columns. `None` when they are missing, or of another version.
fn derived(row: &SqlRow<'_>, columns: Columns) -> Result<Option<Derived>, StoreError> {
    let mut index = BORN_INDEX + 1;
    let version: Option<i64> = row.get(index).map_err(storage)?;
    if version != Some(i64::from(DERIVED_VERSION)) {
        return Ok(None);
    }
    let mut derived = Derived::default();
    for (column, _) in DERIVED_COLUMNS.iter().filter(|(column, _)| columns.has(*column)) {
        index += 1;
        match *column {
            Columns::SENT => derived.sent = optional_time(row, index).map_err(storage)?,
            Columns::PREVIEW => derived.preview = row.get(index).map_err(storage)?,
            Columns::ENVELOPE => derived.envelope = blob(row, index)?,
            Columns::STRUCTURE => derived.structure = blob(row, index)?,
            Columns::THREAD => derived.thread = blob(row, index)?,
            _ => derived.fields = blob(row, index)?,
        }
    }
    Ok(Some(derived))
}

fn blob(row: &SqlRow<'_>, index: usize) -> Result<Vec<u8>, StoreError> {
    match row.get_ref(index).map_err(storage)? {
        ValueRef::Blob(octets) => Ok(octets.to_vec()),
        _ => Err(damaged(format!("column {index} of a message is not a blob"))),
    }
}
