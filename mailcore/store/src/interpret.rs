//! The meaning of each op, independent of the engine that keeps the rows.
//!
//! After an error the account and its rows are half changed: the engine must roll both back.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;

use crate::account::Account;
use crate::time::whole_second;
use crate::{
    Applied, Batch, BatchCondition, BatchError, BodyId, FlagChange, Flags, MailboxId, MailboxName, MessageMeta, Modseq,
    NewMessage, Op, OpEffect, ReadToken, Uid, UidSet,
};

/// Maximum number of different keywords in one mailbox. The mailbox's row holds all of them, some 4 KiB at most.
pub const MAILBOX_KEYWORDS_MAX: usize = 64;
/// Maximum number of records of vacation replies per account. Each correspondent adds one, so this bounds what a flood
/// of senders can add.
pub(crate) const REPLIES_MAX: u64 = 10_000;
/// Maximum number of ops in one batch, which bounds the time that other batches wait for it.
pub(crate) const OPS_MAX: usize = 10_000;
/// Greatest modseq in an import, a limit of ours: RFC 7162 §3.1 allows 63 bits, and half of the range stays for later
/// changes.
const RESTORED_MODSEQ_MAX: u64 = 1 << 62;
/// Longest vacation handle and longest correspondent, octets: above the 256 of a path (RFC 5321 §4.5.3.1.3).
const REPLY_KEY_OCTETS_MAX: usize = 1024;

/// The rows of one account within one batch.
pub(crate) trait AccountRows {
    /// Stores a body, with one reference for the message that uses it.
    fn keep_body(&mut self, body: &Bytes) -> Result<BodyId, BatchError>;
    /// Adds a reference to a body.
    fn add_reference(&mut self, body: BodyId) -> Result<(), BatchError>;
    /// Removes a reference to a body; a body without references is garbage.
    fn drop_reference(&mut self, body: BodyId) -> Result<(), BatchError>;
    /// Fails with [`BatchError::Fenced`] when the lease with this epoch has ended. On success no other holder gets the
    /// lease before this batch is committed.
    fn require_lease(&mut self, name: &str, epoch: u64) -> Result<(), BatchError>;
    /// Adds a message; `born` is the modseq of the batch. The caller counts the reference to its body.
    fn insert(&mut self, mailbox: MailboxId, message: &MessageMeta, born: Modseq) -> Result<(), BatchError>;
    /// Returns the messages in the set, or all, in ascending order of UID.
    fn select(&mut self, mailbox: MailboxId, uids: Option<&UidSet>) -> Result<Vec<MessageMeta>, BatchError>;
    /// Updates flags and modseq of an existing message.
    fn update(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), BatchError>;
    /// Removes a message and leaves a tombstone. The caller drops the reference to its body.
    fn expunge(&mut self, mailbox: MailboxId, uid: Uid, modseq: Modseq) -> Result<(), BatchError>;
    /// Removes all messages of a mailbox with their references, and its tombstones.
    fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<(), BatchError>;
    /// Removes the records of replies. The engine removes the account itself after the ops.
    fn drop_account(&mut self) -> Result<(), BatchError>;
    /// Returns when the record of a reply expires; `None` without a record.
    fn reply_expiry(&mut self, handle: &str, correspondent: &str) -> Result<Option<Timestamp>, BatchError>;
    /// Drops expired records of replies, and counts the others.
    fn count_replies(&mut self, now: Timestamp) -> Result<u64, BatchError>;
    /// Records a reply.
    fn record_reply(&mut self, handle: &str, correspondent: &str, until: Timestamp) -> Result<(), BatchError>;
    /// Puts a message into the queue, unless its id is known there.
    fn enqueue(&mut self, outgoing: &NewMessage) -> Result<(), BatchError>;
}

/// Checks the bounds of a batch, before any row is read.
pub(crate) fn check(batch: &Batch, message_octets_max: u64) -> Result<(), BatchError> {
    let refused = |why: &str| Err(BatchError::Refused(why.into()));
    if batch.ops.len() > OPS_MAX {
        return refused("too many changes in one batch");
    }
    if batch.ops.len() > 1 && batch.ops.iter().any(|op| matches!(op, Op::DeleteAccount)) {
        return refused("a batch that deletes an account can have no other change");
    }
    for op in &batch.ops {
        if op.body().is_some_and(|body| body.len() as u64 > message_octets_max) {
            return refused("message too large");
        }
        match op {
            Op::Restore { modseq, .. } if *modseq == Modseq::ZERO || modseq.get() > RESTORED_MODSEQ_MAX => {
                return refused("a restored modseq must be from 1 to 2^62");
            }
            Op::RememberReply { handle, correspondent, .. }
                if handle.len().max(correspondent.len()) > REPLY_KEY_OCTETS_MAX =>
            {
                return refused("vacation handle or correspondent too long");
            }
            _ => (),
        }
    }
    Ok(())
}

/// Applies a batch to `account`, which is `None` when the account was never written or was deleted. Returns the account
/// after the batch: `None` when the batch deleted it.
pub(crate) fn apply(
    account: Option<Account>,
    rows: &mut impl AccountRows,
    batch: &Batch,
) -> Result<(Option<Account>, Applied), BatchError> {
    let delete = matches!(batch.ops.as_slice(), [Op::DeleteAccount]);
    let existed = account.is_some();
    let mut account = match account {
        Some(account) => account,
        None if delete => return Ok((None, Applied { modseq: Modseq::ZERO, effects: vec![OpEffect::Done] })),
        None => Account::new(batch.now)?,
    };
    let before = existed.then_some(ReadToken::new(account.modseq));
    let next = account.modseq.get().saturating_add(u64::from(existed)).max(greatest_restored(batch));
    account.modseq = Modseq::new(next);
    let mut run = BatchRun { account, rows, now: batch.now, grown: 0 };
    run.check_conditions(batch, before)?;
    let effects = batch.ops.iter().map(|op| run.op(op)).collect::<Result<Vec<_>, _>>()?;
    run.check_effects(batch, &effects)?;
    let applied = Applied { modseq: run.account.modseq, effects };
    Ok(((!delete).then_some(run.account), applied))
}

/// Returns the greatest restored modseq, zero without one. The batch's own modseq is at least as great, so later
/// changes get greater ones.
fn greatest_restored(batch: &Batch) -> u64 {
    let restored = batch.ops.iter().map(|op| if let Op::Restore { modseq, .. } = op { modseq.get() } else { 0 });
    restored.max().unwrap_or(0)
}

/// Whether the copied messages stay in their mailbox (COPY) or leave it (MOVE).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Originals {
    Kept,
    Removed,
}

/// One batch while it is applied.
pub(crate) struct BatchRun<'a, R> {
    pub(crate) account: Account,
    pub(crate) rows: &'a mut R,
    pub(crate) now: Timestamp,
    /// Octets appended, restored and copied so far.
    pub(crate) grown: u64,
}

impl<R: AccountRows> BatchRun<'_, R> {
    /// Checks the conditions that can be decided before the ops run.
    fn check_conditions(&mut self, batch: &Batch, before: Option<ReadToken>) -> Result<(), BatchError> {
        let appended: u64 = batch.ops.iter().map(appended_octets).sum();
        for condition in &batch.require {
            match condition {
                BatchCondition::QuotaOctets(quota) => within_quota(self.account.octets, appended, *quota)?,
                BatchCondition::Mailbox(id) => drop(self.account.mailbox(*id)?),
                BatchCondition::Lease { name, epoch } => self.rows.require_lease(name, *epoch)?,
                BatchCondition::Unchanged(token) if before == Some(*token) => (),
                BatchCondition::Unchanged(_) => return Err(BatchError::Conflict("the account has changed".into())),
                // Checked after the ops.
                BatchCondition::Present => (),
            }
        }
        Ok(())
    }

    /// Checks the conditions that depend on the effects. Copied octets count like appended ones (RFC 9208 §4.3.1).
    fn check_effects(&self, batch: &Batch, effects: &[OpEffect]) -> Result<(), BatchError> {
        for condition in &batch.require {
            match condition {
                BatchCondition::QuotaOctets(quota) => {
                    within_quota(self.account.octets.saturating_sub(self.grown), self.grown, *quota)?;
                }
                BatchCondition::Present if batch.ops.iter().zip(effects).any(|(op, effect)| is_partial(op, effect)) => {
                    return Err(BatchError::Conflict("a message is no longer there".into()));
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn op(&mut self, op: &Op) -> Result<OpEffect, BatchError> {
        match op {
            Op::CreateMailbox { name, special_use } => {
                let id = self.account.create(name, *special_use, self.now)?;
                Ok(self.account.info(id).map_or(OpEffect::Done, |info| OpEffect::Mailbox(Box::new(info))))
            }
            Op::DeleteMailbox { name } => {
                let id = self.account.delete(name)?;
                self.rows.drop_mailbox(id).map(|()| OpEffect::Done)
            }
            Op::RenameMailbox { from, to } if from.is_inbox() => self.rename_inbox(to),
            Op::RenameMailbox { from, to } => self.account.rename(from, to, self.now).map(|()| OpEffect::Done),
            Op::Subscribe { name, on } => self.account.subscribe(name, *on).map(|()| OpEffect::Done),
            Op::Append { mailbox, create, body, flags, internal_date } => {
                let id = self.account.find_or_create(mailbox, *create, self.now)?;
                self.append(id, body, flags, *internal_date)
            }
            Op::Store { mailbox, uids, change, unchanged_since } => {
                self.store(*mailbox, uids, change, *unchanged_since)
            }
            Op::Copy { from, uids, to } => self.copy(*from, uids, to, Originals::Kept),
            Op::Move { from, uids, to } => self.copy(*from, uids, to, Originals::Removed),
            Op::Expunge { mailbox, uids, only_deleted } => self.expunge(*mailbox, uids.as_ref(), *only_deleted),
            Op::ClearRecent { mailbox, up_to } => self.clear_recent(*mailbox, *up_to),
            Op::RememberReply { handle, correspondent, until, reply } => {
                self.remember(handle, correspondent, *until, reply.as_deref())
            }
            Op::Enqueue(outgoing) => self.rows.enqueue(outgoing).map(|()| OpEffect::Done),
            Op::RestoreMailbox { .. } => self.restore_mailbox(op),
            Op::Restore { .. } => self.restore(op),
            Op::DeleteAccount => self.delete_account(),
        }
    }

    fn append(
        &mut self,
        id: MailboxId,
        body: &Bytes,
        flags: &Flags,
        internal_date: Timestamp,
    ) -> Result<OpEffect, BatchError> {
        let (uid, modseq) = (self.account.mailbox_mut(id)?.take_uid()?, self.account.modseq);
        let octets = body.len() as u64;
        let body = self.rows.keep_body(body)?;
        let message =
            MessageMeta { uid, modseq, flags: flags.clone(), internal_date: whole_second(internal_date), octets, body };
        self.add_message(id, &message)?;
        self.grown += octets;
        let uid_validity = self.account.mailbox(id)?.uid_validity;
        Ok(OpEffect::Appended { mailbox: id, uid_validity, uid })
    }

    /// Adds a message to a mailbox under the mailbox's next UID.
    fn put_next(&mut self, id: MailboxId, message: &MessageMeta) -> Result<Uid, BatchError> {
        let uid = self.account.mailbox_mut(id)?.take_uid()?;
        self.add_message(id, &MessageMeta { uid, modseq: self.account.modseq, ..message.clone() })?;
        Ok(uid)
    }

    /// Adds a message to a mailbox under the UID that the message already has.
    pub(crate) fn add_message(&mut self, id: MailboxId, message: &MessageMeta) -> Result<(), BatchError> {
        self.admit_keywords(id, &message.flags)?;
        let modseq = self.account.modseq;
        self.account.octets += message.octets;
        let mailbox = self.account.mailbox_mut(id)?;
        mailbox.highest_modseq = modseq;
        mailbox.count_in(message);
        self.rows.insert(id, message, modseq)
    }

    /// Removes existing messages. The caller drops the references to their bodies, or keeps them for messages that
    /// move.
    fn remove_messages(&mut self, id: MailboxId, messages: &[MessageMeta]) -> Result<(), BatchError> {
        if messages.is_empty() {
            return Ok(());
        }
        let modseq = self.account.modseq;
        let mailbox = self.account.mailbox_mut(id)?;
        mailbox.highest_modseq = modseq;
        for message in messages {
            mailbox.count_out(message);
            self.rows.expunge(id, message.uid, modseq)?;
        }
        let octets: u64 = messages.iter().map(|message| message.octets).sum();
        self.account.octets = self.account.octets.saturating_sub(octets);
        Ok(())
    }

    /// Renames INBOX: its messages move to a new mailbox, and INBOX and its children stay (RFC 3501 §6.3.5).
    fn rename_inbox(&mut self, to: &MailboxName) -> Result<OpEffect, BatchError> {
        let inbox = self.account.find(&MailboxName::inbox()).ok_or_else(|| BatchError::NoMailbox("INBOX".into()))?;
        let target = self.account.create(to, None, self.now)?;
        let messages = self.rows.select(inbox, None)?;
        for message in &messages {
            self.put_next(target, message)?;
        }
        self.remove_messages(inbox, &messages)?;
        Ok(OpEffect::Done)
    }

    fn store(
        &mut self,
        id: MailboxId,
        uids: &UidSet,
        change: &FlagChange,
        unchanged_since: Option<Modseq>,
    ) -> Result<OpEffect, BatchError> {
        self.account.mailbox(id)?;
        let (mut messages, mut modified) = (Vec::new(), Vec::new());
        for mut message in self.rows.select(id, Some(uids))? {
            if unchanged_since.is_some_and(|since| message.modseq > since) {
                modified.push(message.uid);
                continue;
            }
            let flags = changed_flags(&message.flags, change);
            // RFC 7162 §3.1.11: a message that had the flags already keeps its modseq.
            if flags != message.flags {
                self.set_flags(id, &mut message, flags)?;
            }
            messages.push(message);
        }
        Ok(OpEffect::Stored { messages, modified })
    }

    fn set_flags(&mut self, id: MailboxId, message: &mut MessageMeta, flags: Flags) -> Result<(), BatchError> {
        self.admit_keywords(id, &flags)?;
        message.modseq = self.account.modseq;
        let mailbox = self.account.mailbox_mut(id)?;
        mailbox.highest_modseq = message.modseq;
        mailbox.count_flags_out(&message.flags);
        mailbox.count_flags_in(&flags);
        message.flags = flags;
        self.rows.update(id, message)
    }

    /// COPY, or MOVE when the originals are removed.
    fn copy(
        &mut self,
        from: MailboxId,
        uids: &UidSet,
        to: &MailboxName,
        originals: Originals,
    ) -> Result<OpEffect, BatchError> {
        self.account.mailbox(from)?;
        let target = self.account.find(to).ok_or_else(|| BatchError::NoMailbox(to.to_string()))?;
        let messages = self.rows.select(from, Some(uids))?;
        let mut pairs = Vec::with_capacity(messages.len());
        for message in &messages {
            pairs.push((message.uid, self.put_next(target, message)?));
            if originals == Originals::Kept {
                self.rows.add_reference(message.body)?;
            }
        }
        match originals {
            Originals::Removed => self.remove_messages(from, &messages)?,
            Originals::Kept => self.grown += messages.iter().map(|message| message.octets).sum::<u64>(),
        }
        Ok(OpEffect::Copied { mailbox: target, uid_validity: self.account.mailbox(target)?.uid_validity, uids: pairs })
    }

    fn expunge(&mut self, id: MailboxId, uids: Option<&UidSet>, only_deleted: bool) -> Result<OpEffect, BatchError> {
        if only_deleted && self.account.mailbox(id)?.deleted == 0 {
            return Ok(OpEffect::Expunged(Vec::new()));
        }
        self.account.mailbox(id)?;
        let mut messages = self.rows.select(id, uids)?;
        messages.retain(|message| !only_deleted || message.flags.has(crate::Flag::Deleted));
        self.remove_messages(id, &messages)?;
        messages.iter().try_for_each(|message| self.rows.drop_reference(message.body))?;
        Ok(OpEffect::Expunged(messages.iter().map(|message| message.uid).collect()))
    }

    fn clear_recent(&mut self, id: MailboxId, up_to: Uid) -> Result<OpEffect, BatchError> {
        let mailbox = self.account.mailbox(id)?;
        // At most UIDNEXT: no session has reported messages that do not exist yet.
        let up_to = up_to.min(mailbox.uid_next());
        if up_to > mailbox.recent_from {
            self.account.mailbox_mut(id)?.recent_from = up_to;
        }
        Ok(OpEffect::Done)
    }

    fn remember(
        &mut self,
        handle: &str,
        correspondent: &str,
        until: Timestamp,
        reply: Option<&NewMessage>,
    ) -> Result<OpEffect, BatchError> {
        let is_valid = self.rows.reply_expiry(handle, correspondent)?.is_some_and(|end| end > self.now);
        // At the bound, new correspondents get no reply: a missing reply does less harm than a repeated one.
        if is_valid || self.rows.count_replies(self.now)? >= REPLIES_MAX {
            return Ok(OpEffect::Remembered(false));
        }
        self.rows.record_reply(handle, correspondent, whole_second(until))?;
        reply.map_or(Ok(()), |reply| self.rows.enqueue(reply))?;
        Ok(OpEffect::Remembered(true))
    }

    /// Adds the keywords of a message to those of its mailbox. Above [`MAILBOX_KEYWORDS_MAX`], first removes the
    /// keywords that no message of the mailbox has; refuses when too many remain.
    fn admit_keywords(&mut self, id: MailboxId, flags: &Flags) -> Result<(), BatchError> {
        let wanted: BTreeSet<String> = flags.keywords().iter().map(|k| k.as_str().to_ascii_lowercase()).collect();
        if wanted.is_subset(&self.account.mailbox(id)?.keywords) {
            return Ok(());
        }
        let mut keywords = self.account.mailbox(id)?.keywords.clone();
        keywords.extend(wanted.iter().cloned());
        if keywords.len() > MAILBOX_KEYWORDS_MAX {
            let messages = self.rows.select(id, None)?;
            let used = messages.iter().flat_map(|message| message.flags.keywords());
            keywords = used.map(|k| k.as_str().to_ascii_lowercase()).chain(wanted).collect();
        }
        if keywords.len() > MAILBOX_KEYWORDS_MAX {
            return Err(BatchError::Refused("too many keywords in this mailbox".into()));
        }
        self.account.mailbox_mut(id)?.keywords = keywords;
        Ok(())
    }
}

/// Fails with [`BatchError::OverQuota`] when `octets` plus `grown` exceed the quota. A change that adds nothing is
/// always allowed.
fn within_quota(octets: u64, grown: u64, quota: u64) -> Result<(), BatchError> {
    match grown > 0 && octets.saturating_add(grown) > quota {
        true => Err(BatchError::OverQuota),
        false => Ok(()),
    }
}

/// Whether a copy, move or store named messages that do not exist.
fn is_partial(op: &Op, effect: &OpEffect) -> bool {
    let (named, found) = match (op, effect) {
        (Op::Copy { uids, .. } | Op::Move { uids, .. }, OpEffect::Copied { uids: found, .. }) => (uids, found.len()),
        (Op::Store { uids, .. }, OpEffect::Stored { messages, modified }) => (uids, messages.len() + modified.len()),
        _ => return false,
    };
    named.count() != found as u64
}

fn appended_octets(op: &Op) -> u64 {
    op.body().map_or(0, |body| body.len() as u64)
}

fn changed_flags(flags: &Flags, change: &FlagChange) -> Flags {
    let mut flags = flags.clone();
    match change {
        FlagChange::Replace(new) => flags = new.clone(),
        FlagChange::Add(more) => flags.add(more),
        FlagChange::Remove(less) => flags.subtract(less),
    }
    flags
}
