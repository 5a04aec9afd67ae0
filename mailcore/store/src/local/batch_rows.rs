//! The rows that a batch writes.

use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::bodies::{add_reference, buffer_key, drop_reference};
use super::database::Database;
use super::derive::DerivedBodies;
use super::fault::{damaged, storage};
use super::messages;
use super::queue_rows;
use super::rows::{AccountNo, SecondColumn, signed, time};
use crate::interpret::AccountRows;
use crate::lease::{LeasePin, Leases};
use crate::{AccountId, BatchError, BodyId, MailboxId, MessageMeta, Modseq, NewMessage, Uid, UidSet};

/// The rows of one account within one batch.
pub(super) struct LocalRows<'a> {
    pub(super) database: &'a mut Database,
    pub(super) account: AccountId,
    pub(super) no: AccountNo,
    /// Columns derived from the batch's bodies before it was queued.
    pub(super) derived: &'a DerivedBodies,
    pub(super) leases: &'a Leases,
    /// Pins of the leases that batches of the group require, kept until the commit.
    pub(super) pins: &'a mut Vec<LeasePin>,
}

impl LocalRows<'_> {
    fn write(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), BatchError> {
        let run = || self.database.connection.prepare_cached(sql)?.execute(params);
        run().map(drop).map_err(|error| storage(error).into())
    }

    fn number(&self, body: BodyId) -> Result<u64, BatchError> {
        Ok(body
            .number(self.account)
            .ok_or_else(|| damaged(format!("body {body} does not belong to account {}", self.account.get())))?)
    }
}

impl AccountRows for LocalRows<'_> {
    fn keep_body(&mut self, body: &Bytes) -> Result<BodyId, BatchError> {
        let number = self.database.keep_body(body, self.derived.get(&buffer_key(body)))?;
        Ok(BodyId::new(self.account, number))
    }

    fn add_reference(&mut self, body: BodyId) -> Result<(), BatchError> {
        match add_reference(&self.database.connection, self.number(body)?)? {
            true => Ok(()),
            false => Err(damaged(format!("a message refers to body {body}, which is missing")).into()),
        }
    }

    fn drop_reference(&mut self, body: BodyId) -> Result<(), BatchError> {
        // A missing body is damage, but must not keep its message from being expunged.
        if !drop_reference(&self.database.connection, self.number(body)?)? {
            drop(damaged(format!("a message refers to body {body}, which is missing")));
        }
        Ok(())
    }

    fn require_lease(&mut self, name: &str, epoch: u64) -> Result<(), BatchError> {
        self.pins.push(self.leases.pin(name, epoch, Instant::now()).ok_or(BatchError::Fenced)?);
        Ok(())
    }

    fn insert(&mut self, mailbox: MailboxId, message: &MessageMeta, born: Modseq) -> Result<(), BatchError> {
        self.write(
            "INSERT INTO message (account, mailbox, uid, born, modseq, flags, internal_date, octets, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.no.0,
                signed(mailbox.get()),
                message.uid.get(),
                signed(born.get()),
                signed(message.modseq.get()),
                message.flags.to_row(),
                SecondColumn(message.internal_date),
                signed(message.octets),
                signed(self.number(message.body)?),
            ],
        )
    }

    fn select(&mut self, mailbox: MailboxId, uids: Option<&UidSet>) -> Result<Vec<MessageMeta>, BatchError> {
        Ok(messages::select(&self.database.connection, (self.account, self.no), mailbox, uids)?)
    }

    fn update(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), BatchError> {
        self.write(
            "UPDATE message SET flags = ?, modseq = ? WHERE account = ? AND mailbox = ? AND uid = ?",
            params![
                message.flags.to_row(),
                signed(message.modseq.get()),
                self.no.0,
                signed(mailbox.get()),
                message.uid.get()
            ],
        )
    }

    fn expunge(&mut self, mailbox: MailboxId, uid: Uid, modseq: Modseq) -> Result<(), BatchError> {
        self.write(
            "DELETE FROM message WHERE account = ? AND mailbox = ? AND uid = ?",
            params![self.no.0, signed(mailbox.get()), uid.get()],
        )?;
        self.write(
            "INSERT INTO gone (account, mailbox, modseq, uid) VALUES (?, ?, ?, ?)",
            params![self.no.0, signed(mailbox.get()), signed(modseq.get()), uid.get()],
        )
    }

    fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<(), BatchError> {
        let key = params![self.no.0, signed(mailbox.get())];
        self.write(
            "UPDATE body SET refs = max(body.refs - held.refs, 0)
             FROM (SELECT body, count(*) AS refs FROM message WHERE account = ? AND mailbox = ? GROUP BY body) AS held
             WHERE body.id = held.body",
            key,
        )?;
        self.write("DELETE FROM message WHERE account = ? AND mailbox = ?", key)?;
        self.write("DELETE FROM gone WHERE account = ? AND mailbox = ?", key)
    }

    fn drop_account(&mut self) -> Result<(), BatchError> {
        self.write("DELETE FROM reply WHERE account = ?", [self.no.0])
    }

    fn reply_expiry(&mut self, handle: &str, correspondent: &str) -> Result<Option<Timestamp>, BatchError> {
        let sql = "SELECT until FROM reply WHERE account = ? AND handle = ? AND correspondent = ?";
        let mut statement = self.database.connection.prepare_cached(sql).map_err(storage)?;
        let until = statement.query_row(params![self.no.0, handle, correspondent], |row| time(row, 0)).optional();
        Ok(until.map_err(storage)?)
    }

    fn count_replies(&mut self, now: Timestamp) -> Result<u64, BatchError> {
        self.write("DELETE FROM reply WHERE account = ? AND until <= ?", params![self.no.0, SecondColumn(now)])?;
        let mut statement =
            self.database.connection.prepare_cached("SELECT count(*) FROM reply WHERE account = ?").map_err(storage)?;
        let count: i64 = statement.query_row([self.no.0], |row| row.get(0)).map_err(storage)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn record_reply(&mut self, handle: &str, correspondent: &str, until: Timestamp) -> Result<(), BatchError> {
        self.write(
            "INSERT OR REPLACE INTO reply (account, handle, correspondent, until) VALUES (?, ?, ?, ?)",
            params![self.no.0, handle, correspondent, SecondColumn(until)],
        )
    }

    fn enqueue(&mut self, outgoing: &NewMessage) -> Result<(), BatchError> {
        Ok(queue_rows::enqueue(self.database, outgoing)?)
    }
}
