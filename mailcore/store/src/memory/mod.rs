//! The memory engine: the reference model for the other engines.

mod queue;
mod rows;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::derive;
use tokio::sync::watch;

use self::rows::{Bodies, MemoryAccount, MemoryRows};
pub use self::state::MemoryState;
use crate::batch::{MESSAGE_OCTETS_MAX, REMEMBERED, first_batch_failed};
use crate::interpret;
use crate::lease::Leases;
use crate::mailbox::clip;
use crate::notices::Notices;
use crate::time::{later, whole_second};
use crate::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BatchId, BodyId, BoxFuture, Columns, Lease, LeaseError,
    MailboxId, MessageMeta, MessageRow, MessageSelection, MessageStore, Modseq, ReadToken, Rows, StoreError,
};

/// Keeps everything in memory, and loses it with the process.
pub struct MemoryStore {
    state: Mutex<MemoryTables>,
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
    /// Makes an engine that refuses messages of more than `message_octets_max` octets.
    pub fn new(message_octets_max: u64) -> Self {
        Self { state: Mutex::default(), notices: Notices::default(), leases: Leases::new(0), message_octets_max }
    }

    fn state(&self) -> MutexGuard<'_, MemoryTables> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_now(&self, batch: &Batch) -> Result<Applied, BatchError> {
        interpret::check(batch, self.message_octets_max)?;
        let applied = self.state().apply(batch, &self.leases)?;
        self.notices.publish(batch.account, applied.modseq);
        if batch.ops.iter().any(|op| op.outgoing().is_some()) {
            self.notices.publish_arrival();
        }
        Ok(applied)
    }
}

#[derive(Default)]
struct MemoryTables {
    accounts: HashMap<AccountId, MemoryAccount>,
    bodies: Bodies,
    batches: HashMap<(AccountId, BatchId), (Timestamp, Applied)>,
    logins: BTreeMap<(AccountId, &'static str), Timestamp>,
    queue: queue::MemoryQueue,
}

impl MemoryTables {
    fn apply(&mut self, batch: &Batch, leases: &Leases) -> Result<Applied, BatchError> {
        let account_id = batch.account;
        self.batches.retain(|_, (at, _)| later(*at, REMEMBERED) > batch.now);
        if let Some((_, applied)) = batch.id.and_then(|id| self.batches.get(&(account_id, id))) {
            return Ok(applied.clone());
        }
        let before = self.accounts.remove(&account_id);
        let account = before.as_ref().map(|before| before.account.clone());
        let existed = account.is_some();
        let mut rows = MemoryRows::new(account_id, before.unwrap_or_default(), &mut self.bodies, leases);
        let result = interpret::apply(account, &mut rows, batch);
        if result.is_err() {
            rows.take_back();
        }
        let outgoing = rows.take_outgoing();
        let data = rows.into_data();
        outgoing.iter().for_each(|outgoing| self.queue.enqueue(outgoing));
        match result {
            Ok((Some(account), applied)) => {
                self.accounts.insert(account_id, MemoryAccount { account, ..data });
                self.batches.extend(batch.id.map(|id| ((account_id, id), (whole_second(batch.now), applied.clone()))));
                Ok(applied)
            }
            Ok((None, applied)) => {
                self.batches.retain(|(account, _), _| *account != account_id);
                self.logins.retain(|(account, _), _| *account != account_id);
                Ok(applied)
            }
            Err(error) => {
                self.accounts.extend(existed.then_some((account_id, data)));
                Err(error)
            }
        }
    }

    fn snapshot(&self, account: AccountId) -> Option<AccountSnapshot> {
        let logins = self.logins.iter().filter(|((account_id, _), _)| *account_id == account);
        let logins = logins.map(|((_, protocol), at)| ((*protocol).to_owned(), *at)).collect();
        Some(self.accounts.get(&account)?.account.snapshot(logins))
    }

    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: &MessageSelection,
        columns: Columns,
    ) -> Result<Rows, StoreError> {
        let data = self.accounts.get(&account).ok_or(StoreError::Gone)?;
        let info = data.account.info(mailbox).ok_or(StoreError::Gone)?;
        let all = || data.messages.get(&mailbox).into_iter().flat_map(BTreeMap::values);
        let found: Vec<&MessageMeta> = match which {
            MessageSelection::Uids(uids) => all().filter(|message| uids.contains(message.uid)).collect(),
            MessageSelection::ChangedSince(after) => all().filter(|message| message.modseq > *after).collect(),
            MessageSelection::Last(limit) => all().skip(all().count().saturating_sub(*limit as usize)).collect(),
        };
        let rows = found.into_iter().map(|meta| self.row(account, meta, columns)).collect();
        let mut expunged = Vec::new();
        if let MessageSelection::ChangedSince(after) = which
            && *after > Modseq::ZERO
        {
            let tombstones = data.tombstones.get(&mailbox).into_iter().flatten();
            expunged = tombstones.filter(|(modseq, _)| modseq > after).map(|(_, uid)| *uid).collect();
            expunged.sort_unstable();
        }
        Ok(Rows { info, rows, expunged, token: ReadToken::new(data.account.modseq) })
    }

    fn row(&self, account: AccountId, meta: &MessageMeta, columns: Columns) -> MessageRow {
        let derived = (!columns.is_none()).then(|| {
            let body = self.body(account, meta.body);
            Box::new(columns.pick(&body.map(|body| derive(body)).unwrap_or_default()))
        });
        MessageRow { meta: meta.clone(), derived }
    }

    fn body(&self, account: AccountId, id: BodyId) -> Option<&Bytes> {
        id.number(account).and_then(|number| self.bodies.by_number.get(&number)).map(|body| &body.octets)
    }

    /// Returns [`StoreError::Unavailable`] while the state of the account is older than `at_least`.
    fn require_state(&self, account: AccountId, at_least: Option<ReadToken>) -> Result<(), StoreError> {
        let now = self.accounts.get(&account).map(|kept| ReadToken::new(kept.account.modseq));
        at_least.map_or(Ok(()), |token| token.reached_by(now.unwrap_or_default()))
    }
}

/// Makes a future that is ready.
fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl MessageStore for MemoryStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        Box::pin(async move { self.apply_now(&batch) })
    }

    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        Box::pin(async move {
            self.state().require_state(account, at_least)?;
            if let Some(snapshot) = self.state().snapshot(account) {
                return Ok(snapshot);
            }
            self.apply_now(&Batch::first(account)).map_err(first_batch_failed)?;
            self.state().snapshot(account).ok_or(StoreError::Gone)
        })
    }

    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        let state = self.state();
        ready(state.require_state(account, at_least).and_then(|()| state.read(account, mailbox, &which, columns)))
    }

    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        let state = self.state();
        ready(state.body(account, body).ok_or(StoreError::Gone).map(|body| {
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

    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        ready(self.leases.renew(lease, ttl, Instant::now()))
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        let state = self.state();
        let mut accounts: Vec<AccountId> = state.accounts.keys().copied().filter(|id| Some(*id) > after).collect();
        accounts.sort_unstable();
        accounts.truncate(limit);
        ready(Ok(accounts))
    }

    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        let state = self.state();
        let mut last: HashMap<AccountId, Timestamp> = HashMap::new();
        for ((account, _), at) in &state.logins {
            let known = last.entry(*account).or_insert(*at);
            *known = (*known).max(*at);
        }
        let mut logins: Vec<(AccountId, Timestamp)> = last.into_iter().filter(|(_, at)| *at >= since).collect();
        logins.sort_unstable_by_key(|(account, at)| (*at, *account));
        logins.truncate(limit);
        ready(Ok(logins))
    }

    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        self.state().logins.insert((account, protocol), whole_second(now));
    }
}
