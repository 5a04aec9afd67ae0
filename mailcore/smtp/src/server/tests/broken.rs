//! The answers of a session while a store is down.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::{
    AccountId, AccountSnapshot, Applied, AttemptOutcome, Batch, BatchError, BodyId, BoxFuture, Claim, Columns, Lease,
    LeaseError, MailboxId, MemoryStore, MessageSelection, MessageStore, NewMessage, QueueRow, QueueStore,
    QueuedRecipient, ReadToken, Rows, StoreError, TakeLimits, TakenRow,
};
use provost_view::View;

use super::site::{Site, person, site_over};
use crate::server::Service;

struct StoreThatIsDown;

fn down<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::Unavailable("down".into())) })
}

impl MessageStore for StoreThatIsDown {
    fn apply(&self, _: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        Box::pin(async { Err(BatchError::Unavailable("down".into())) })
    }
    fn snapshot(&self, _: AccountId, _: Option<ReadToken>) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        down()
    }
    fn read(
        &self,
        _: AccountId,
        _: MailboxId,
        _: MessageSelection,
        _: Columns,
        _: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        down()
    }
    fn body(&self, _: AccountId, _: BodyId, _: Option<Range<u64>>) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        down()
    }
    fn notices(&self, _: AccountId) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
    fn lease(&self, _: &str, _: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        down()
    }
    fn renew(&self, _: &Lease, _: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async { Err(LeaseError::Unavailable("down".into())) })
    }
    fn accounts(&self, _: Option<AccountId>, _: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        down()
    }
    fn logins_since(&self, _: Timestamp, _: usize) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        down()
    }
    fn note_login(&self, _: AccountId, _: &'static str, _: Timestamp) {}
}

impl QueueStore for StoreThatIsDown {
    fn enqueue(&self, _: NewMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        down()
    }
    fn take_due(&self, _: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>> {
        down()
    }
    fn queued_body(&self, _: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        down()
    }
    fn prove(&self, _: Claim, _: Timestamp, _: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async { Err(LeaseError::Unavailable("down".into())) })
    }
    fn advance(
        &self,
        _: Claim,
        _: Vec<QueuedRecipient>,
        _: Timestamp,
        _: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async { Err(LeaseError::Unavailable("down".into())) })
    }
    fn settle(&self, _: Claim, _: AttemptOutcome, _: Vec<NewMessage>) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async { Err(LeaseError::Unavailable("down".into())) })
    }
    fn list(&self, _: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>> {
        down()
    }
    fn next_due(&self, _: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        down()
    }
    fn arrivals(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}

fn site(mailboxes: Arc<dyn MessageStore>, rows: Option<Arc<dyn QueueStore>>) -> Site {
    let store = Arc::new(MemoryStore::default());
    let rows = rows.unwrap_or_else(|| store.clone());
    site_over(View::fixed(vec![person("zoe"), person("ann")]), mailboxes, rows, store)
}

const TO_ZOE: &str =
    "C: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<zoe@example.edu>\nS: 250\nC: DATA\nS: 354\nC: .\n";

/// RFC 5321 §6.1: the queue takes responsibility while the mailbox cannot be written.
#[tokio::test]
async fn smtp_queues_what_cannot_be_stored() {
    let site = site(Arc::new(StoreThatIsDown), None);
    site.connect(Service::Mx).run(&format!("C: HELO x\nS: 250\n{TO_ZOE}S: 250 2.0.0")).await;
    let (row, _) = site.queued().await.remove(0);
    assert_eq!(row.recipients[0].recipient.path.to_string(), "zoe@example.edu");
    assert_eq!(row.reverse_path.unwrap().to_string(), "a@b.example");
}

#[tokio::test]
async fn smtp_defers_what_cannot_be_stored_or_queued() {
    let site = site(Arc::new(StoreThatIsDown), Some(Arc::new(StoreThatIsDown)));
    site.connect(Service::Mx).run(&format!("C: HELO x\nS: 250\n{TO_ZOE}S: 451 4.3.0")).await;
}

/// RFC 2033 §4.2: the peer keeps what this server cannot store.
#[tokio::test]
async fn lmtp_defers_what_cannot_be_stored() {
    let site = site(Arc::new(StoreThatIsDown), None);
    let mut conversation = site.connect(Service::Lmtp);
    conversation.send(b"LHLO x\r\n").await;
    conversation.run(&format!("{TO_ZOE}S: 451 4.3.0 <zoe@example.edu>")).await;
    assert_eq!(site.queued().await.len(), 0);
}

/// A queue that is down does not undo a delivery: the vacation reply is lost, the message is not.
#[tokio::test]
async fn a_lost_vacation_reply_does_not_refuse_the_message() {
    let store = Arc::new(MemoryStore::default());
    let view = View::fixed(vec![super::site::away("zoe")]);
    let site = site_over(view, store.clone(), Arc::new(StoreThatIsDown), store);
    site.connect(Service::Mx).run(&super::accept::with_a_vacation_reply("S: 250 2.0.0")).await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
}
