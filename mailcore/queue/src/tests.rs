//! The queue over simulated days: rows in memory, a next hop that says what it was told to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::Delivery;
use provost_message::{Address, Envelope, Path};
use provost_store::{
    AccountId, BoxFuture, Columns, MailboxName, MemoryStore, MessageStore, QueueId, QueueItem, QueueStore, StoreError,
    Which,
};
use provost_view::{Affiliation, Person, PersonState, View};
use uuid::Uuid;

use crate::{Fate, NextHop, Queue, QueueConfig};

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 24 * 60 * 60;

fn person(local: &str) -> Person {
    Person {
        entry_uuid: Uuid::new_v5(&Uuid::NAMESPACE_DNS, local.as_bytes()),
        dn: "".into(),
        uid: local.into(),
        display_name: local.into(),
        primary: Address::parse(&format!("{local}@example.edu")).unwrap(),
        state: PersonState::Active,
        affiliation: Affiliation::Staff,
        language: None,
        passwords: Vec::new(),
        quota_octets: None,
        vacation: None,
        roles: Vec::new(),
    }
}

/// One list of fates per call; after the last, everything is deferred.
#[derive(Default)]
struct Scripted {
    fates: Mutex<VecDeque<Vec<Fate>>>,
    calls: Mutex<Vec<Vec<String>>>,
}

impl NextHop for Scripted {
    fn send(&self, _: Option<Path>, recipients: Vec<Path>, _: bool, _: Bytes) -> BoxFuture<'_, Vec<Fate>> {
        self.calls.lock().unwrap().push(recipients.iter().map(Path::to_string).collect());
        let fates = self.fates.lock().unwrap().pop_front();
        let later = || vec![Fate::Deferred("451 later".into()); recipients.len()];
        let fates = fates.unwrap_or_else(later);
        Box::pin(std::future::ready(fates))
    }
}

struct Site {
    queue: Queue,
    store: Arc<MemoryStore>,
    hop: Arc<Scripted>,
}

fn site(fates: Vec<Vec<Fate>>) -> Site {
    let store = Arc::new(MemoryStore::default());
    let hop = Arc::new(Scripted { fates: Mutex::new(fates.into()), ..Scripted::default() });
    let delivery = Delivery {
        view: View::fixed(vec![person("zoe"), person("ann")]),
        store: store.clone(),
        hostname: "mx.example.edu".into(),
    };
    let queue = Queue::new(store.clone(), delivery, Some(hop.clone()), QueueConfig::default());
    Site { queue, store, hop }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

impl Site {
    async fn accept(&self, from: &str, to: &[&str]) {
        let envelope = Envelope::new(Path::parse(from).ok(), to.iter().map(|to| Path::parse(to).unwrap()));
        let body = Bytes::from_static(b"Subject: hi\r\n\r\nhello\r\n");
        self.queue.accept(envelope, body, at(NOW)).await.unwrap();
    }

    /// Attempts all that is due at `now`, and what that brings in, until nothing is due. How many attempts.
    async fn pass(&self, now: i64) -> usize {
        let mut attempts = 0;
        loop {
            let due = self.store.take_due(now, 100, 60).await.unwrap();
            if due.is_empty() {
                return attempts;
            }
            for item in due {
                self.queue.attempt(item, at(now)).await.unwrap();
                attempts += 1;
            }
        }
    }

    async fn waiting(&self) -> Vec<QueueItem> {
        self.queue.list(100).await.unwrap()
    }

    async fn inbox(&self, local: &str) -> Vec<String> {
        let account = AccountId(person(local).entry_uuid);
        let snapshot = self.store.snapshot(account, None).await.unwrap();
        let inbox = snapshot.mailbox(&MailboxName::inbox()).unwrap().id;
        let mut bodies = Vec::new();
        for row in self.store.read(account, inbox, Which::all(), Columns::NONE, None).await.unwrap().rows {
            let body = self.store.body(account, row.meta.body, None).await.unwrap();
            bodies.push(String::from_utf8(body.to_vec()).unwrap());
        }
        bodies
    }
}

#[tokio::test]
async fn what_the_next_hop_takes_is_gone() {
    let site = site(vec![vec![Fate::Sent, Fate::Sent]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    assert_eq!(site.pass(NOW).await, 1);
    assert_eq!((site.waiting().await.len(), site.inbox("zoe").await.len()), (0, 0));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example", "b@far.example"]]);
}

/// RFC 5321 §4.5.4.1: deferred recipients only, at growing distances.
#[tokio::test]
async fn a_deferral_is_tried_again() {
    let later = || Fate::Deferred("451 4.3.0 later".into());
    let site = site(vec![vec![Fate::Sent, later()], vec![later()], vec![Fate::Sent]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    for (now, attempts, left, due_at) in [
        (NOW, 1, 1, NOW + 60),
        (NOW + 59, 0, 1, NOW + 60),
        (NOW + 60, 1, 1, NOW + 180),
        (NOW + 179, 0, 1, NOW + 180),
        (NOW + 180, 1, 0, 0),
    ] {
        assert_eq!(site.pass(now).await, attempts, "{now}");
        let waiting = site.waiting().await;
        assert_eq!(waiting.len(), left, "{now}");
        if let Some(item) = waiting.first() {
            assert_eq!((item.due_at, item.recipients.len()), (due_at, 1), "{now}");
            assert_eq!(item.recipients[0].last_error.as_deref(), Some("451 4.3.0 later"));
        }
    }
    let calls = site.hop.calls.lock().unwrap();
    assert_eq!(calls[1..], [["b@far.example"], ["b@far.example"]]);
}

/// RFC 5321 §6.1, RFC 3464: what failed comes back to its sender.
#[tokio::test]
async fn a_failure_is_bounced() {
    let site = site(vec![vec![Fate::Failed("550 5.1.1 No such user".into()), Fate::Sent]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    assert_eq!(site.pass(NOW).await, 2);
    let inbox = site.inbox("zoe").await;
    assert_eq!((inbox.len(), site.waiting().await.len()), (1, 0));
    assert!(inbox[0].starts_with("Return-Path: <>\r\n"), "{}", inbox[0]);
    assert!(inbox[0].contains("Final-Recipient: rfc822; a@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
    assert!(!inbox[0].contains("b@far.example"));
}

/// RFC 5321 §6.1: never a bounce for the null reverse-path.
#[tokio::test]
async fn a_bounce_is_not_bounced() {
    let site = site(vec![vec![Fate::Failed("550 no".into())]]);
    site.accept("", &["a@far.example"]).await;
    assert_eq!(site.pass(NOW).await, 1);
    assert_eq!(site.waiting().await, []);
}

#[tokio::test]
async fn after_five_days_a_deferral_is_bounced() {
    let site = site(Vec::new());
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (mut now, mut attempts) = (NOW, 0);
    while let Some(item) = site.waiting().await.first() {
        now = now.max(item.due_at);
        attempts += site.pass(now).await;
    }
    assert!((NOW + 5 * DAY..NOW + 5 * DAY + 3600).contains(&now), "{}", now - NOW);
    assert!((100..200).contains(&attempts), "{attempts}");
    let inbox = site.inbox("zoe").await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("Status: 4.4.7\r\nDiagnostic-Code: smtp; 451 later\r\n"), "{}", inbox[0]);
}

#[tokio::test]
async fn local_recipients_are_delivered_here() {
    let site = site(vec![vec![Fate::Sent]]);
    site.accept("ann@example.edu", &["zoe@example.edu", "a@far.example", "nobody@example.edu"]).await;
    site.pass(NOW).await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
    assert!(site.inbox("ann").await[0].contains("550 5.1.1 No such user here"));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example"]]);
}

/// A crash after the delivery and before the row was put back: the attempt comes again, the message does not.
#[tokio::test]
async fn an_attempt_cut_off_does_not_double() {
    let site = site(Vec::new());
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    let item = site.waiting().await.remove(0);
    let id = provost_delivery::batch_id(item.id.0, &item.recipients[0].path);
    let body = site.store.queued_body(item.id).await.unwrap();
    let (from, to) = (item.reverse_path.as_ref(), &person("zoe").primary);
    site.queue.inner.delivery.deliver(id, from, to, &body, at(NOW)).await;
    assert_eq!((site.pass(NOW).await, site.waiting().await.len()), (1, 0));
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

#[tokio::test]
async fn without_a_relay_mail_waits() {
    let site = site(Vec::new());
    let delivery = Delivery {
        view: View::fixed(vec![person("zoe")]),
        store: site.store.clone(),
        hostname: "mx.example.edu".into(),
    };
    let queue = Queue::new(site.store.clone(), delivery, None, QueueConfig::default());
    let site = Site { queue, ..site };
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    site.pass(NOW).await;
    assert_eq!(site.waiting().await[0].recipients[0].last_error.as_deref(), Some("no relay is configured"));
}

/// A next hop that gives too few fates leaves nobody without one.
#[tokio::test]
async fn a_missing_fate_is_a_deferral() {
    let site = site(vec![vec![Fate::Sent]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    site.pass(NOW).await;
    assert_eq!(site.waiting().await[0].recipients[0].path.to_string(), "b@far.example");
}

#[tokio::test]
async fn the_worker_wakes_on_accept_and_stops() {
    let site = site(Vec::new());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let queue = site.queue.clone();
    let worker = tokio::spawn(async move { queue.run(async { drop(stopped.await) }).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let envelope = Envelope::new(None, [Path::parse("zoe@example.edu").unwrap()]);
    site.queue.accept(envelope, Bytes::from_static(b"\r\nhi\r\n"), Timestamp::now()).await.unwrap();
    let begin = std::time::Instant::now();
    while site.inbox("zoe").await.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the worker sleeps on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), worker).await.unwrap().unwrap();
}

/// Many large messages at once wait for each other's memory, and all go.
#[tokio::test]
async fn attempts_share_the_memory_for_bodies() {
    let site = site(vec![vec![Fate::Sent], vec![Fate::Sent]]);
    let room = site.queue.inner.bodies.acquire_many(crate::attempt::BODY_UNITS_MAX as u32).await.unwrap();
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let item = site.store.take_due(NOW, 1, 60).await.unwrap().remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(item, at(NOW)).await });
    tokio::task::yield_now().await;
    assert_eq!(site.hop.calls.lock().unwrap().len(), 0, "waits for room");
    drop(room);
    attempt.await.unwrap().unwrap();
    assert_eq!(site.waiting().await.len(), 0);
}

/// Rows whose bodies cannot be read any more.
struct Torn(Arc<MemoryStore>);

impl QueueStore for Torn {
    fn enqueue(&self, id: QueueId, to: Envelope, body: Bytes, now: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.enqueue(id, to, body, now)
    }
    fn take_due(&self, now: i64, most: usize, lease: i64) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        self.0.take_due(now, most, lease)
    }
    fn queued_body(&self, _: QueueId) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        Box::pin(async { Err(StoreError::Damaged("a checksum".into())) })
    }
    fn settle(&self, item: QueueItem) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.settle(item)
    }
    fn list(&self, most: usize) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        self.0.list(most)
    }
    fn next_due(&self) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        self.0.next_due()
    }
}

/// A message that the disk has lost is told to its sender at the end of its life, and does not wait for ever.
#[tokio::test]
async fn a_damaged_message_ends_in_a_bounce() {
    let Site { store, hop, queue } = site(Vec::new());
    let torn = Arc::new(Torn(store.clone()));
    let queue = Queue::new(torn, queue.inner.delivery.clone(), Some(hop.clone()), QueueConfig::default());
    let site = Site { queue, store, hop };
    site.accept("sender@far.example", &["a@far.example"]).await;
    let item = site.store.take_due(NOW, 1, 60).await.unwrap().remove(0);
    assert!(site.queue.attempt(item.clone(), at(NOW + DAY)).await.is_err());
    assert_eq!(site.waiting().await, std::slice::from_ref(&item), "it may be mended");
    site.queue.attempt(item.clone(), at(NOW + 6 * DAY)).await.unwrap();
    let bounce = site.waiting().await.remove(0);
    assert_eq!((bounce.reverse_path, bounce.recipients[0].path.to_string()), (None, "sender@far.example".into()));
    assert!(site.waiting().await.iter().all(|waiting| waiting.id != item.id));
    let body = site.store.queued_body(bounce.id).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("damaged while it waited"));
}
