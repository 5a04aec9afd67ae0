//! Rows of one account in memory, and how a batch's changes are rolled back.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use crate::account::Account;
use crate::interpret::AccountRows;
use crate::lease::{LeasePin, Leases};
use crate::{AccountId, BatchError, BodyId, MailboxId, MessageMeta, Modseq, NewMessage, Uid, UidSet};

/// A body, and the number of messages that use it.
pub(super) struct StoredBody {
    pub(super) octets: Bytes,
    refs: u64,
}

/// All bodies by number; numbers are never reused.
#[derive(Default)]
pub(super) struct Bodies {
    pub(super) by_number: HashMap<u64, StoredBody>,
    last: u64,
}

/// The data of one account.
#[derive(Default)]
pub(super) struct MemoryAccount {
    pub(super) account: Account,
    pub(super) messages: BTreeMap<MailboxId, BTreeMap<Uid, MessageMeta>>,
    /// Tombstones by mailbox.
    pub(super) tombstones: BTreeMap<MailboxId, Vec<(Modseq, Uid)>>,
    /// When the record of an automatic reply (RFC 5230 §4.2) expires, by the reply's handle and the correspondent who
    /// got it.
    pub(super) replies: BTreeMap<(String, String), Timestamp>,
}

/// What undoes one change.
enum InverseChange {
    /// The message that the UID had before.
    Message(MailboxId, Uid, Option<MessageMeta>),
    /// The last tombstone of the mailbox is to be removed.
    Tombstone(MailboxId),
    /// The messages and tombstones of a removed mailbox.
    Mailbox(MailboxId, Option<BTreeMap<Uid, MessageMeta>>, Option<Vec<(Modseq, Uid)>>),
    /// All records of replies as they were.
    Replies(BTreeMap<(String, String), Timestamp>),
    /// A body's number, and its references before.
    References(u64, u64),
}

/// The rows of one account within one batch.
pub(super) struct MemoryRows<'a> {
    pub(super) id: AccountId,
    pub(super) data: MemoryAccount,
    bodies: &'a mut Bodies,
    leases: &'a Leases,
    pins: Vec<LeasePin>,
    undo: Vec<InverseChange>,
    /// Messages for the queue, added once the batch is applied.
    outgoing: Vec<NewMessage>,
    /// Bodies that may have lost their last reference.
    released: Vec<u64>,
}

impl<'a> MemoryRows<'a> {
    pub(super) fn new(id: AccountId, data: MemoryAccount, bodies: &'a mut Bodies, leases: &'a Leases) -> Self {
        Self {
            id,
            data,
            bodies,
            leases,
            pins: Vec::new(),
            undo: Vec::new(),
            outgoing: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Ends a batch, applied or rolled back: drops bodies without references, and returns the account's data.
    pub(super) fn into_data(self) -> MemoryAccount {
        for number in &self.released {
            if self.bodies.by_number.get(number).is_some_and(|body| body.refs == 0) {
                self.bodies.by_number.remove(number);
            }
        }
        self.data
    }

    /// Takes the messages that an applied batch puts into the queue.
    pub(super) fn take_outgoing(&mut self) -> Vec<NewMessage> {
        std::mem::take(&mut self.outgoing)
    }

    /// Undoes all changes of the batch.
    pub(super) fn take_back(&mut self) {
        self.outgoing.clear();
        while let Some(undo) = self.undo.pop() {
            match undo {
                InverseChange::Message(mailbox, uid, Some(message)) => {
                    self.data.messages.entry(mailbox).or_default().insert(uid, message);
                }
                InverseChange::Message(mailbox, uid, None) => {
                    self.data.messages.entry(mailbox).or_default().remove(&uid);
                }
                InverseChange::Tombstone(mailbox) => {
                    self.data.tombstones.entry(mailbox).or_default().pop();
                }
                InverseChange::Mailbox(mailbox, messages, tombstones) => {
                    self.data.messages.extend(messages.map(|messages| (mailbox, messages)));
                    self.data.tombstones.extend(tombstones.map(|gone| (mailbox, gone)));
                }
                InverseChange::Replies(replies) => self.data.replies = replies,
                InverseChange::References(number, refs) => {
                    if let Some(body) = self.bodies.by_number.get_mut(&number) {
                        body.refs = refs;
                    }
                }
            }
        }
    }

    fn set(&mut self, mailbox: MailboxId, uid: Uid, message: Option<MessageMeta>) {
        let messages = self.data.messages.entry(mailbox).or_default();
        let before = match message {
            Some(message) => messages.insert(uid, message),
            None => messages.remove(&uid),
        };
        self.undo.push(InverseChange::Message(mailbox, uid, before));
    }

    /// Changes the number of references to a body.
    fn change_references(&mut self, id: BodyId, change: impl FnOnce(u64) -> u64) -> Result<(), BatchError> {
        let number = id.number(self.id).unwrap_or(0);
        let missing = || BatchError::Unavailable(format!("body {id} is missing"));
        let body = self.bodies.by_number.get_mut(&number).ok_or_else(missing)?;
        self.undo.push(InverseChange::References(number, body.refs));
        body.refs = change(body.refs);
        self.released.push(number);
        Ok(())
    }
}

impl AccountRows for MemoryRows<'_> {
    fn keep_body(&mut self, body: &Bytes) -> Result<BodyId, BatchError> {
        self.bodies.last += 1;
        self.bodies.by_number.insert(self.bodies.last, StoredBody { octets: body.clone(), refs: 1 });
        self.undo.push(InverseChange::References(self.bodies.last, 0));
        self.released.push(self.bodies.last);
        Ok(BodyId::new(self.id, self.bodies.last))
    }

    fn add_reference(&mut self, body: BodyId) -> Result<(), BatchError> {
        self.change_references(body, |refs| refs + 1)
    }

    fn drop_reference(&mut self, body: BodyId) -> Result<(), BatchError> {
        self.change_references(body, |refs| refs.saturating_sub(1))
    }

    fn require_lease(&mut self, name: &str, epoch: u64) -> Result<(), BatchError> {
        self.pins.push(self.leases.pin(name, epoch, Instant::now()).ok_or(BatchError::Fenced)?);
        Ok(())
    }

    fn insert(&mut self, mailbox: MailboxId, message: &MessageMeta, _born: Modseq) -> Result<(), BatchError> {
        self.set(mailbox, message.uid, Some(message.clone()));
        Ok(())
    }

    fn update(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), BatchError> {
        self.set(mailbox, message.uid, Some(message.clone()));
        Ok(())
    }

    fn select(&mut self, mailbox: MailboxId, uids: Option<&UidSet>) -> Result<Vec<MessageMeta>, BatchError> {
        let messages = self.data.messages.get(&mailbox).into_iter().flat_map(BTreeMap::values);
        Ok(messages.filter(|message| uids.is_none_or(|uids| uids.contains(message.uid))).cloned().collect())
    }

    fn expunge(&mut self, mailbox: MailboxId, uid: Uid, modseq: Modseq) -> Result<(), BatchError> {
        self.set(mailbox, uid, None);
        self.data.tombstones.entry(mailbox).or_default().push((modseq, uid));
        self.undo.push(InverseChange::Tombstone(mailbox));
        Ok(())
    }

    fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<(), BatchError> {
        let (messages, tombstones) = (self.data.messages.remove(&mailbox), self.data.tombstones.remove(&mailbox));
        let bodies: Vec<BodyId> = messages.iter().flat_map(BTreeMap::values).map(|message| message.body).collect();
        self.undo.push(InverseChange::Mailbox(mailbox, messages, tombstones));
        bodies.into_iter().try_for_each(|body| self.drop_reference(body))
    }

    fn drop_account(&mut self) -> Result<(), BatchError> {
        self.undo.push(InverseChange::Replies(std::mem::take(&mut self.data.replies)));
        Ok(())
    }

    fn reply_expiry(&mut self, handle: &str, correspondent: &str) -> Result<Option<Timestamp>, BatchError> {
        Ok(self.data.replies.get(&(handle.to_owned(), correspondent.to_owned())).copied())
    }

    fn count_replies(&mut self, now: Timestamp) -> Result<u64, BatchError> {
        self.undo.push(InverseChange::Replies(self.data.replies.clone()));
        self.data.replies.retain(|_, until| *until > now);
        Ok(self.data.replies.len() as u64)
    }

    fn record_reply(&mut self, handle: &str, correspondent: &str, until: Timestamp) -> Result<(), BatchError> {
        self.undo.push(InverseChange::Replies(self.data.replies.clone()));
        self.data.replies.insert((handle.to_owned(), correspondent.to_owned()), until);
        Ok(())
    }

    fn enqueue(&mut self, outgoing: &NewMessage) -> Result<(), BatchError> {
        self.outgoing.push(outgoing.clone());
        Ok(())
    }
}
