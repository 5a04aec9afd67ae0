//! The memory engine: the model that the others are held against.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use provost_message::Envelope;
use tokio::sync::watch;

use crate::account::Account;
use crate::batch::{MESSAGE_OCTETS_MAX, REMEMBERED_SECONDS};
use crate::interpret::{self, Rows};
use crate::lease::Leases;
use crate::mailbox::clip;
use crate::notices::Notices;
use crate::{
    AccountId, Applied, ApplyError, Batch, BatchId, BlobRef, BoxFuture, Changes, Lease, MailboxId, MessageMeta,
    MessageStore, Modseq, QueueId, QueueItem, QueueStore, Snapshot, StoreError, Uid, UidSet,
};

/// Keeps everything in memory, loses it with the process. Bodies stay until then.
pub struct MemoryStore {
    state: Mutex<State>,
    notices: Notices,
    leases: Leases,
    message_octets_max: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MESSAGE_OCTETS_MAX)
    }
}

impl MemoryStore {
    /// With the largest message it takes, in octets.
    pub fn new(message_octets_max: u64) -> Self {
        Self { state: Mutex::default(), notices: Notices::default(), leases: Leases::new(0), message_octets_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_now(&self, batch: &Batch) -> Result<Applied, ApplyError> {
        interpret::check(batch, self.message_octets_max)?;
        let applied = self.state().apply(batch)?;
        self.notices.tell(batch.account, applied.modseq);
        Ok(applied)
    }
}

#[derive(Default)]
struct State {
    accounts: HashMap<AccountId, MemoryAccount>,
    bodies: Vec<Bytes>,
    batches: HashMap<(AccountId, BatchId), (i64, Applied)>,
    logins: BTreeMap<(AccountId, &'static str), i64>,
    queue: BTreeMap<QueueId, (QueueItem, Bytes)>,
    /// Items that are done, so that one enqueued again is not sent again.
    finished: HashMap<QueueId, i64>,
    leased: HashMap<QueueId, i64>,
}

#[derive(Default)]
struct MemoryAccount {
    account: Account,
    messages: BTreeMap<MailboxId, BTreeMap<Uid, MessageMeta>>,
    /// Tombstones per mailbox.
    gone: BTreeMap<MailboxId, Vec<(Modseq, Uid)>>,
    replies: BTreeMap<(String, String), i64>,
}

impl State {
    fn apply(&mut self, batch: &Batch) -> Result<Applied, ApplyError> {
        self.batches.retain(|_, (at, _)| *at + REMEMBERED_SECONDS > batch.now);
        if let Some((_, applied)) = batch.id.and_then(|id| self.batches.get(&(batch.account, id))) {
            return Ok(applied.clone());
        }
        let before = self.accounts.remove(&batch.account);
        let account = before.as_ref().map(|before| before.account.clone());
        let mut rows = MemoryRows { kept: before.unwrap_or_default(), bodies: &mut self.bodies, undo: Vec::new() };
        let existed = account.is_some();
        match interpret::apply(account, &mut rows, batch) {
            Ok((account, applied)) => {
                self.accounts.insert(batch.account, MemoryAccount { account, ..rows.kept });
                if let Some(id) = batch.id {
                    self.batches.insert((batch.account, id), (batch.now, applied.clone()));
                }
                Ok(applied)
            }
            Err(error) => {
                rows.take_back();
                if existed {
                    self.accounts.insert(batch.account, rows.kept);
                }
                Err(error)
            }
        }
    }

    fn snapshot(&self, account: AccountId) -> Option<Snapshot> {
        let logins = self.logins.iter().filter(|((who, _), _)| *who == account);
        let logins = logins.map(|((_, protocol), at)| ((*protocol).to_owned(), *at)).collect();
        Some(self.accounts.get(&account)?.account.snapshot(logins))
    }

    fn changes(&self, account: AccountId, mailbox: MailboxId, after: Modseq) -> Result<Changes, StoreError> {
        let kept = self.accounts.get(&account).ok_or(StoreError::Gone)?;
        let info = kept.account.info(mailbox).ok_or(StoreError::Gone)?;
        let messages = kept.messages.get(&mailbox).into_iter().flat_map(BTreeMap::values);
        let messages = messages.filter(|message| message.modseq > after).cloned().collect();
        let gone = kept.gone.get(&mailbox).into_iter().flatten();
        let gone = gone.filter(|(modseq, _)| after > Modseq(0) && *modseq > after);
        let mut expunged: Vec<Uid> = gone.map(|(_, uid)| *uid).collect();
        expunged.sort_unstable();
        Ok(Changes { info, messages, expunged })
    }
}

/// How to take one change of rows back.
enum Undo {
    Message(MailboxId, Uid, Option<MessageMeta>),
    Tombstone(MailboxId),
    Mailbox(MailboxId, Option<BTreeMap<Uid, MessageMeta>>, Option<Vec<(Modseq, Uid)>>),
    Replies(BTreeMap<(String, String), i64>),
}

struct MemoryRows<'a> {
    kept: MemoryAccount,
    bodies: &'a mut Vec<Bytes>,
    undo: Vec<Undo>,
}

impl MemoryRows<'_> {
    fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Message(mailbox, uid, Some(message)) => {
                    self.kept.messages.entry(mailbox).or_default().insert(uid, message);
                }
                Undo::Message(mailbox, uid, None) => {
                    self.kept.messages.entry(mailbox).or_default().remove(&uid);
                }
                Undo::Tombstone(mailbox) => {
                    self.kept.gone.entry(mailbox).or_default().pop();
                }
                Undo::Mailbox(mailbox, messages, gone) => {
                    self.kept.messages.extend(messages.map(|messages| (mailbox, messages)));
                    self.kept.gone.extend(gone.map(|gone| (mailbox, gone)));
                }
                Undo::Replies(replies) => self.kept.replies = replies,
            }
        }
    }

    fn set(&mut self, mailbox: MailboxId, uid: Uid, message: Option<MessageMeta>) {
        let messages = self.kept.messages.entry(mailbox).or_default();
        let before = match message {
            Some(message) => messages.insert(uid, message),
            None => messages.remove(&uid),
        };
        self.undo.push(Undo::Message(mailbox, uid, before));
    }
}

impl Rows for MemoryRows<'_> {
    fn keep_body(&mut self, body: &Bytes) -> Result<BlobRef, ApplyError> {
        self.bodies.push(body.clone());
        Ok(BlobRef { container: 0, offset: self.bodies.len() as u64 - 1, octets: body.len() as u64 })
    }

    fn insert(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), ApplyError> {
        self.set(mailbox, message.uid, Some(message.clone()));
        Ok(())
    }

    fn select(&mut self, mailbox: MailboxId, uids: Option<&UidSet>) -> Result<Vec<MessageMeta>, ApplyError> {
        let messages = self.kept.messages.get(&mailbox).into_iter().flat_map(BTreeMap::values);
        Ok(messages.filter(|message| uids.is_none_or(|uids| uids.contains(message.uid))).cloned().collect())
    }

    fn update(&mut self, mailbox: MailboxId, message: &MessageMeta) -> Result<(), ApplyError> {
        self.insert(mailbox, message)
    }

    fn expunge(&mut self, mailbox: MailboxId, uid: Uid, modseq: Modseq) -> Result<(), ApplyError> {
        self.set(mailbox, uid, None);
        self.kept.gone.entry(mailbox).or_default().push((modseq, uid));
        self.undo.push(Undo::Tombstone(mailbox));
        Ok(())
    }

    fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<(), ApplyError> {
        let (messages, gone) = (self.kept.messages.remove(&mailbox), self.kept.gone.remove(&mailbox));
        self.undo.push(Undo::Mailbox(mailbox, messages, gone));
        Ok(())
    }

    fn remembered(&mut self, handle: &str, correspondent: &str) -> Result<Option<i64>, ApplyError> {
        Ok(self.kept.replies.get(&(handle.to_owned(), correspondent.to_owned())).copied())
    }

    fn count_remembered(&mut self, now: i64) -> Result<u64, ApplyError> {
        self.undo.push(Undo::Replies(self.kept.replies.clone()));
        self.kept.replies.retain(|_, until| *until > now);
        Ok(self.kept.replies.len() as u64)
    }

    fn remember(&mut self, handle: &str, correspondent: &str, until: i64) -> Result<(), ApplyError> {
        self.undo.push(Undo::Replies(self.kept.replies.clone()));
        self.kept.replies.insert((handle.to_owned(), correspondent.to_owned()), until);
        Ok(())
    }
}

/// A future that is ready.
fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl MessageStore for MemoryStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, ApplyError>> {
        Box::pin(async move { self.apply_now(&batch) })
    }

    fn snapshot(&self, account: AccountId) -> BoxFuture<'_, Result<Snapshot, StoreError>> {
        Box::pin(async move {
            if let Some(snapshot) = self.state().snapshot(account) {
                return Ok(snapshot);
            }
            self.apply_now(&Batch::first(account)).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            self.state().snapshot(account).ok_or(StoreError::Gone)
        })
    }

    fn changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        after: Modseq,
    ) -> BoxFuture<'_, Result<Changes, StoreError>> {
        ready(self.state().changes(account, mailbox, after))
    }

    fn body(
        &self,
        account: AccountId,
        blob: BlobRef,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        let _ = account;
        let state = self.state();
        let body = usize::try_from(blob.offset).ok().and_then(|at| state.bodies.get(at)).ok_or(StoreError::Gone);
        ready(body.map(|body| {
            let range = clip(range, body.len() as u64);
            body.slice(range.start as usize..range.end as usize)
        }))
    }

    fn notices(&self, account: AccountId) -> watch::Receiver<u64> {
        self.notices.watch(account)
    }

    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        ready(Ok(self.leases.take(name, ttl, Instant::now())))
    }

    fn note_login(&self, account: AccountId, protocol: &'static str, now: i64) {
        self.state().logins.insert((account, protocol), now);
    }
}

impl QueueStore for MemoryStore {
    fn enqueue(&self, id: QueueId, envelope: Envelope, body: Bytes, now: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state();
        state.finished.retain(|_, at| *at + REMEMBERED_SECONDS > now);
        if !state.finished.contains_key(&id) {
            let item = QueueItem::new(id, envelope, body.len() as u64, now);
            state.queue.entry(id).or_insert((item, body));
        }
        ready(Ok(()))
    }

    fn take_due(&self, now: i64, most: usize, lease_seconds: i64) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        let mut state = self.state();
        state.leased.retain(|_, until| *until > now);
        let free = |item: &&QueueItem| item.due_at <= now && !state.leased.contains_key(&item.id);
        let mut due: Vec<QueueItem> = state.queue.values().map(|(item, _)| item).filter(free).cloned().collect();
        due.sort_by_key(|item| (item.due_at, item.id));
        due.truncate(most);
        state.leased.extend(due.iter().map(|item| (item.id, now.saturating_add(lease_seconds))));
        ready(Ok(due))
    }

    fn queued_body(&self, id: QueueId) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        ready(self.state().queue.get(&id).map(|(_, body)| body.clone()).ok_or(StoreError::Gone))
    }

    fn settle(&self, item: QueueItem) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state();
        if item.recipients.is_empty() {
            if let Some((kept, _)) = state.queue.remove(&item.id) {
                state.finished.insert(item.id, item.due_at.max(kept.queued_at));
            }
        } else if let Some((kept, _)) = state.queue.get_mut(&item.id) {
            kept.recipients = item.recipients;
            kept.due_at = item.due_at;
        }
        state.leased.remove(&item.id);
        ready(Ok(()))
    }

    fn list(&self, most: usize) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        let mut items: Vec<QueueItem> = self.state().queue.values().map(|(item, _)| item.clone()).collect();
        items.sort_by_key(|item| (item.queued_at, item.id));
        items.truncate(most);
        ready(Ok(items))
    }

    fn next_due(&self) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        let state = self.state();
        let free = state.queue.values().map(|(item, _)| item).filter(|item| !state.leased.contains_key(&item.id));
        ready(Ok(free.map(|item| item.due_at).min()))
    }
}
