//! The queue over simulated days: rows in memory, a next hop that answers from a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::{Delivered, Delivery, IncomingMessage};
use provost_message::{Address, Arrival, Envelope, Notify, Path, Recipient, ReturnContent};
use provost_store::{
    AccountId, AttemptOutcome, BoxFuture, Claim, Columns, LeaseError, MailboxName, MemoryStore, MessageSelection,
    MessageStore, NewMessage, QueueRow, QueueStore, QueuedRecipient, StoreError, TakeLimits, TakenRow, UNSETTLED_MAX,
};
use provost_view::{Affiliation, Person, PersonState, View};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::permit::LEASE;
use crate::work::{AttemptsUnderWay, DrainPolicy};
use crate::{Fate, NextHop, Queue, QueueConfig, SendPermit};

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 24 * 60 * 60;
const LEASE_SECONDS: i64 = LEASE.as_secs() as i64;

impl Queue {
    /// Runs one attempt at a taken row and records the outcome, on a node that is not stopping.
    async fn attempt(&self, taken: &TakenRow, now: Timestamp) -> Result<(), LeaseError> {
        let (_cut, cuts) = watch::channel(DrainPolicy::Nothing);
        self.attempt_parts(taken, now, cuts).await
    }
}

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

/// Answers each call with the next list of fates, and after the last list defers every recipient. A message counts as
/// handed over only once its permit is proven, because a real server accepts no message before the end of data.
#[derive(Default)]
struct ScriptedFates {
    fates: Mutex<VecDeque<Vec<Fate>>>,
    calls: Mutex<Vec<Vec<String>>>,
    envelopes: Mutex<Vec<Envelope>>,
    /// Paths of recipients whose message was handed over.
    accepted_paths: Mutex<Vec<String>>,
    /// The first call waits here, before it proves its permit.
    frozen: Option<Arc<Semaphore>>,
    /// Each call waits here for the reply to a message that was handed over.
    unanswered: Option<Arc<Semaphore>>,
}

impl NextHop for ScriptedFates {
    fn send<'a>(&'a self, envelope: &'a Envelope, _: Bytes, permit: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>> {
        let paths: Vec<String> = envelope.recipients.iter().map(|recipient| recipient.path.to_string()).collect();
        let mut calls = self.calls.lock().unwrap();
        calls.push(paths.clone());
        let is_first = calls.len() == 1;
        self.envelopes.lock().unwrap().push(envelope.clone());
        let fates = self.fates.lock().unwrap().pop_front();
        let later = || vec![Fate::Deferred("451 later".into()); envelope.recipients.len()];
        let fates = fates.unwrap_or_else(later);
        Box::pin(async move {
            if let Some(frozen) = self.frozen.as_ref().filter(|_| is_first) {
                frozen.acquire().await.unwrap().forget();
            }
            if !permit.prove().await {
                return vec![Fate::Deferred("not ours any more".into()); paths.len()];
            }
            let sent = |(path, fate): (&String, &Fate)| matches!(fate, Fate::Sent { .. }).then(|| path.clone());
            self.accepted_paths.lock().unwrap().extend(paths.iter().zip(&fates).filter_map(sent));
            if let Some(unanswered) = &self.unanswered {
                unanswered.acquire().await.unwrap().forget();
            }
            fates
        })
    }
}

const SENT: Fate = Fate::Sent { reports: false, answer: String::new() };

struct Site {
    queue: Queue,
    store: Arc<MemoryStore>,
    hop: Arc<ScriptedFates>,
    /// The clock of the queue, seconds since 1970.
    clock: Arc<AtomicI64>,
}

fn site(fates: Vec<Vec<Fate>>) -> Site {
    site_with(ScriptedFates { fates: Mutex::new(fates.into()), ..ScriptedFates::default() })
}

fn site_with(hop: ScriptedFates) -> Site {
    let (store, hop) = (Arc::new(MemoryStore::default()), Arc::new(hop));
    let (queue, clock) = queue(store.clone(), store.clone(), Some(hop.clone()));
    Site { queue, store, hop, clock }
}

/// A queue over rows and mailboxes, and its clock.
fn queue(
    rows: Arc<dyn QueueStore>,
    store: Arc<dyn MessageStore>,
    hop: Option<Arc<dyn NextHop>>,
) -> (Queue, Arc<AtomicI64>) {
    let delivery =
        Delivery { view: View::fixed(vec![person("zoe"), person("ann")]), store, hostname: "mx.example.edu".into() };
    let mut queue = Queue::new(rows, delivery, hop, QueueConfig::default());
    let clock = Arc::new(AtomicI64::new(NOW));
    let time = clock.clone();
    Arc::get_mut(&mut queue.inner).unwrap().clock = Box::new(move || at(time.load(Ordering::Relaxed)));
    (queue, clock)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

impl Site {
    async fn accept(&self, from: &str, to: &[&str]) {
        let envelope = Envelope::new(Path::parse(from).ok(), to.iter().map(|to| Path::parse(to).unwrap()));
        self.accept_envelope(envelope).await;
    }

    async fn accept_envelope(&self, envelope: Envelope) {
        let body = Bytes::from_static(b"Subject: hi\r\n\r\nhello\r\n");
        self.queue.accept(envelope, body, at(NOW)).await.unwrap();
    }

    async fn take(&self, now: i64) -> Vec<TakenRow> {
        self.clock.store(now, Ordering::Relaxed);
        self.store.take_due(TakeLimits::any(at(now), 100, LEASE)).await.unwrap()
    }

    /// Runs attempts until nothing is due at `now`, including the messages that attempts queue. Returns the number of
    /// attempts.
    async fn pass(&self, now: i64) -> usize {
        let mut attempts = 0;
        loop {
            let due = self.take(now).await;
            if due.is_empty() {
                return attempts;
            }
            for taken in due {
                self.queue.attempt(&taken, at(now)).await.unwrap();
                attempts += 1;
            }
        }
    }

    async fn waiting(&self) -> Vec<QueueRow> {
        self.queue.list(100).await.unwrap()
    }

    async fn inbox(&self, local: &str) -> Vec<String> {
        let account = AccountId::new(person(local).entry_uuid);
        let snapshot = self.store.snapshot(account, None).await.unwrap();
        let inbox = snapshot.mailbox(&MailboxName::inbox()).unwrap().id;
        let mut bodies = Vec::new();
        for row in self.store.read(account, inbox, MessageSelection::all(), Columns::NONE, None).await.unwrap().rows {
            let body = self.store.body(account, row.meta.body, None).await.unwrap();
            bodies.push(String::from_utf8(body.to_vec()).unwrap());
        }
        bodies
    }
}

#[tokio::test]
async fn what_the_next_hop_takes_is_gone() {
    let site = site(vec![vec![SENT, SENT]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    assert_eq!(site.pass(NOW).await, 1);
    assert_eq!((site.waiting().await.len(), site.inbox("zoe").await.len()), (0, 0));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example", "b@far.example"]]);
}

/// RFC 5321 §4.5.4.1: only the deferred recipients are tried again, after waits that grow.
#[tokio::test]
async fn a_deferral_is_tried_again() {
    let later = || Fate::Deferred("451 4.3.0 later".into());
    let site = site(vec![vec![SENT, later()], vec![later()], vec![SENT]]);
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
            assert_eq!((item.due_at, item.recipients.len()), (at(due_at), 1), "{now}");
            assert_eq!(item.recipients[0].last_error.as_deref(), Some("451 4.3.0 later"));
        }
    }
    let calls = site.hop.calls.lock().unwrap();
    assert_eq!(calls[1..], [["b@far.example"], ["b@far.example"]]);
}

/// RFC 5321 §6.1, RFC 3464: the sender gets a report of a failure.
#[tokio::test]
async fn a_failure_is_bounced() {
    let site = site(vec![vec![Fate::Failed("550 5.1.1 No such user".into()), SENT]]);
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
        now = now.max(item.due_at.as_second());
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
    let site = site(vec![vec![SENT]]);
    site.accept("ann@example.edu", &["zoe@example.edu", "a@far.example", "nobody@example.edu"]).await;
    site.pass(NOW).await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
    assert!(site.inbox("ann").await[0].contains("550 5.1.1 No such user here"));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example"]]);
}

/// A mark is part of the message: a message that was quarantined before it waited in the queue is delivered into Junk.
#[tokio::test]
async fn quarantine_outlives_the_queue() {
    let site = site(Vec::new());
    let trace = "Provost-Verdict: quarantine listed 5.7.1\r\n\ton a list\r\nReceived: from x ([192.0.2.1])\r\n\tby mx";
    let envelope = Envelope::new(None, [Path::parse("zoe@example.edu").unwrap()]);
    site.queue.accept(envelope, Bytes::from(format!("{trace}\r\n\r\nhi\r\n")), at(NOW)).await.unwrap();
    site.pass(NOW).await;
    assert_eq!(site.inbox("zoe").await.len(), 0);
    let snapshot = site.store.snapshot(AccountId::new(person("zoe").entry_uuid), None).await.unwrap();
    let junk = snapshot.mailbox(&MailboxName::parse("Junk").unwrap()).unwrap();
    assert_eq!(junk.messages, 1);
}

/// A crash after the delivery and before its outcome is recorded: the attempt is repeated, but the message is stored
/// once.
#[tokio::test]
async fn an_attempt_cut_off_does_not_double() {
    let site = site(Vec::new());
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    let row = site.waiting().await.remove(0);
    let recipient = &row.recipients[0].recipient;
    let id = provost_delivery::batch_id(row.id.get(), &recipient.path);
    let message = &site.store.queued_body(&row).await.unwrap();
    let arrival = &Arrival::from_queue(row.id.get().into(), row.envelope(Vec::new()), message);
    let address = &person("zoe").primary;
    let incoming = IncomingMessage { id, arrival, recipient, address, message, now: at(NOW) };
    assert_eq!(site.queue.inner.delivery.deliver(incoming).await, Delivered::Stored);
    assert_eq!((site.pass(NOW).await, site.waiting().await.len()), (1, 0));
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

#[tokio::test]
async fn without_a_relay_mail_waits() {
    let site = site(Vec::new());
    let (queue, clock) = queue(site.store.clone(), site.store.clone(), None);
    let site = Site { queue, clock, ..site };
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    site.pass(NOW).await;
    assert_eq!(site.waiting().await[0].recipients[0].last_error.as_deref(), Some("no relay is configured"));
}

/// A recipient for whom the next hop gives no fate is deferred.
#[tokio::test]
async fn a_missing_fate_is_a_deferral() {
    let site = site(vec![vec![SENT]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    site.pass(NOW).await;
    assert_eq!(site.waiting().await[0].recipients[0].recipient.path.to_string(), "b@far.example");
}

#[tokio::test]
async fn the_worker_wakes_on_accept_and_stops() {
    let site = site(Vec::new());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let queue = site.queue.clone();
    let worker = tokio::spawn(async move { queue.run(async { drop(stopped.await) }).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let envelope = Envelope::new(None, [Path::parse("zoe@example.edu").unwrap()]);
    site.queue.accept(envelope, Bytes::from_static(b"\r\nhi\r\n"), at(NOW)).await.unwrap();
    let begin = std::time::Instant::now();
    while site.inbox("zoe").await.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the worker sleeps on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), worker).await.unwrap().unwrap();
}

/// Many large messages at once wait for each other's memory, and all are sent.
#[tokio::test]
async fn attempts_share_the_memory_for_bodies() {
    let site = site(vec![vec![SENT], vec![SENT]]);
    let room = site.queue.inner.bodies.acquire_many(crate::attempt::BODY_UNITS_MAX as u32).await.unwrap();
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    tokio::task::yield_now().await;
    assert_eq!(site.hop.calls.lock().unwrap().len(), 0, "waits for room");
    drop(room);
    attempt.await.unwrap().unwrap();
    assert_eq!(site.waiting().await.len(), 0);
}

/// A store of rows with faults on request.
struct DamagedRows {
    rows: Arc<MemoryStore>,
    /// Whether reads of bodies fail.
    bodies_damaged: bool,
    /// Whether reading a body panics, like a bug that one message triggers.
    panics: bool,
    /// How many more outcomes cannot be recorded.
    unsettled: AtomicI64,
}

impl QueueStore for DamagedRows {
    fn enqueue(&self, outgoing: NewMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        self.rows.enqueue(outgoing)
    }
    fn take_due(&self, take: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>> {
        self.rows.take_due(take)
    }
    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        assert!(!self.panics, "a bug");
        match self.bodies_damaged {
            true => Box::pin(async { Err(StoreError::Damaged("a checksum".into())) }),
            false => self.rows.queued_body(row),
        }
    }
    fn prove(&self, claim: Claim, now: Timestamp, lease: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.rows.prove(claim, now, lease)
    }
    fn advance(
        &self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.rows.advance(claim, remaining, held_until, caused)
    }
    fn settle(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        match self.unsettled.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => Box::pin(async { Err(LeaseError::Unavailable("disk full".into())) }),
            false => self.rows.settle(claim, outcome, caused),
        }
    }
    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>> {
        self.rows.list(limit)
    }
    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        self.rows.next_due(after)
    }
    fn arrivals(&self) -> watch::Receiver<u64> {
        self.rows.arrivals()
    }
}

fn torn(bodies_damaged: bool, panics: bool) -> Site {
    torn_with(Vec::new(), |torn| DamagedRows { bodies_damaged, panics, ..torn })
}

fn torn_with(fates: Vec<Vec<Fate>>, tear: impl FnOnce(DamagedRows) -> DamagedRows) -> Site {
    let Site { store, hop, .. } = site(fates);
    let whole = DamagedRows { rows: store.clone(), bodies_damaged: false, panics: false, unsettled: AtomicI64::new(0) };
    let torn = Arc::new(tear(whole));
    let (queue, clock) = queue(torn, store.clone(), Some(hop.clone()));
    Site { queue, store, hop, clock }
}

/// A message whose body is damaged is reported to its sender at the end of its life, and does not wait for ever.
#[tokio::test]
async fn a_damaged_message_ends_in_a_bounce() {
    let site = torn(true, false);
    site.accept("sender@far.example", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    site.queue.attempt(&taken, at(NOW + DAY)).await.unwrap();
    let row = site.waiting().await.remove(0);
    assert_eq!(row.id, taken.row.id, "the body may be repaired until then");
    assert_eq!(row.recipients[0].last_error.as_deref(), Some("damaged: a checksum"));
    let taken = site.take(NOW + 6 * DAY).await.remove(0);
    site.queue.attempt(&taken, at(NOW + 6 * DAY)).await.unwrap();
    let bounce = site.waiting().await.remove(0);
    let to = bounce.recipients[0].recipient.path.to_string();
    assert_eq!((&bounce.reverse_path, to), (&None, "sender@far.example".into()));
    assert!(site.waiting().await.iter().all(|waiting| waiting.id != row.id));
    let body = site.store.queued_body(&bounce).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("damaged while it waited"));
}

/// Attempts are counted when the row is taken: a message whose attempts panic is set aside, and is not tried for ever.
#[tokio::test]
async fn a_message_that_panics_is_set_aside() {
    let site = torn(false, true);
    site.accept("sender@far.example", &["a@far.example"]).await;
    let (mut now, mut panics) = (NOW, 0);
    loop {
        let Some(taken) = site.take(now).await.pop() else { break };
        let queue = site.queue.clone();
        let attempt = tokio::spawn(async move { queue.attempt(&taken, at(now)).await });
        assert!(attempt.await.unwrap_err().is_panic());
        panics += 1;
        assert!(site.take(now + LEASE_SECONDS - 1).await.is_empty(), "left to its lease");
        now += LEASE_SECONDS;
    }
    assert_eq!(panics, UNSETTLED_MAX);
    let row = site.waiting().await.remove(0);
    assert!(row.set_aside.is_some());
    assert_eq!(site.store.next_due(at(0)).await.unwrap(), None, "the worker sleeps");
}

/// Two workers, one frozen past its lease right before it hands over the message: the other one sends it, and the first
/// one then sends and records nothing.
#[tokio::test]
async fn a_worker_that_thaws_sends_nothing() {
    let thaw = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![SENT], vec![SENT]]));
    let site = site_with(ScriptedFates { fates, frozen: Some(thaw.clone()), ..ScriptedFates::default() });
    let (other, other_clock) = queue(site.store.clone(), site.store.clone(), Some(site.hop.clone()));
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let frozen = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    while site.hop.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let later = NOW + LEASE_SECONDS;
    assert!(site.take(later - 1).await.is_empty());
    let taken = site.take(later).await.remove(0);
    other_clock.store(later, Ordering::Relaxed);
    other.attempt(&taken, at(later)).await.unwrap();
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"]);
    thaw.add_permits(1);
    assert_eq!(frozen.await.unwrap(), Err(LeaseError::Fenced));
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "not twice");
    assert_eq!((site.waiting().await.len(), site.inbox("zoe").await.len()), (0, 0));
}

/// A clock that jumps by a day, in either direction and even during an attempt, delays a message; the message is sent
/// once and not bounced.
#[tokio::test]
async fn a_clock_that_jumps_a_day_loses_and_doubles_nothing() {
    for (jump, back) in [(DAY, 0), (DAY, DAY), (-DAY, 0), (-DAY, -DAY)] {
        let thaw = Arc::new(Semaphore::new(0));
        let later = || vec![Fate::Deferred("451 later".into())];
        let fates = Mutex::new(VecDeque::from([later(), vec![SENT], vec![SENT]]));
        let site = site_with(ScriptedFates { fates, frozen: Some(thaw.clone()), ..ScriptedFates::default() });
        site.accept("zoe@example.edu", &["a@far.example"]).await;
        let taken = site.take(NOW).await.remove(0);
        let queue = site.queue.clone();
        let frozen = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
        while site.hop.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        site.clock.store(NOW + jump, Ordering::Relaxed);
        thaw.add_permits(1);
        // Deferred by the first answer, or fenced because the lease seems to be over.
        let _ = frozen.await.unwrap();
        thaw.add_permits(100);
        for now in (NOW + back..=NOW + 2 * DAY).step_by(1800) {
            site.pass(now).await;
        }
        assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "jump {jump}, back {back}");
        assert_eq!((site.waiting().await.len(), site.inbox("zoe").await.len()), (0, 0), "jump {jump}, back {back}");
    }
}

/// The other worker still has the message: the first one neither changes the row nor queues a bounce.
#[tokio::test]
async fn a_worker_that_thaws_bounces_nothing() {
    let thaw = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![Fate::Failed("550 no".into())], vec![SENT]]));
    let site = site_with(ScriptedFates { fates, frozen: Some(thaw.clone()), ..ScriptedFates::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let first = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let frozen = tokio::spawn(async move { queue.attempt(&first, at(NOW)).await });
    while site.hop.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = site.take(NOW + LEASE_SECONDS).await.remove(0);
    thaw.add_permits(1);
    assert_eq!(frozen.await.unwrap(), Err(LeaseError::Fenced));
    assert_eq!(site.waiting().await.len(), 1);
    site.queue.attempt(&second, at(NOW + LEASE_SECONDS)).await.unwrap();
    assert_eq!((site.waiting().await.len(), site.inbox("zoe").await.len()), (0, 0), "sent, and no bounce");
}

/// Local delivery also checks that the worker still holds the row.
#[tokio::test]
async fn a_worker_that_thaws_delivers_nothing() {
    let site = site(Vec::new());
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    let old = site.take(NOW).await.remove(0);
    let new = site.take(NOW + LEASE_SECONDS).await.remove(0);
    assert_eq!(site.queue.attempt(&old, at(NOW)).await, Err(LeaseError::Fenced));
    assert_eq!(site.inbox("zoe").await.len(), 0);
    site.queue.attempt(&new, at(NOW + LEASE_SECONDS)).await.unwrap();
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

/// The bounce of each attempt names only the recipients that failed in it, under its own id.
#[tokio::test]
async fn every_failure_has_its_bounce() {
    let later = || Fate::Deferred("451 later".into());
    let no = || Fate::Failed("550 5.1.1 no".into());
    let site = site(vec![vec![no(), later(), later()], vec![no(), later()], vec![no()]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example", "c@far.example"]).await;
    let mut now = NOW;
    while !site.waiting().await.is_empty() {
        site.pass(now).await;
        now += 600;
    }
    let inbox = site.inbox("zoe").await;
    assert_eq!(inbox.len(), 3);
    for (bounce, own) in inbox.iter().zip(["a", "b", "c"]) {
        let named: Vec<&str> = ["a", "b", "c"]
            .into_iter()
            .filter(|name| bounce.contains(&format!("rfc822; {name}@far.example")))
            .collect();
        assert_eq!(named, [own]);
    }
}

/// RFC 3461 §4.1, §5.2: NOTIFY decides which reports are sent; a next hop that supports the parameters gets them and
/// reports itself.
#[tokio::test]
async fn notify_is_obeyed() {
    let failed = || Fate::Failed("550 no".into());
    for (notify, fate, reports) in [
        (None, failed(), 1),
        (Some("NEVER"), failed(), 0),
        (Some("SUCCESS"), failed(), 0),
        (Some("FAILURE"), failed(), 1),
        (None, SENT, 0),
        (Some("SUCCESS,FAILURE"), SENT, 1),
        (Some("SUCCESS,FAILURE"), Fate::Sent { reports: true, answer: String::new() }, 0),
    ] {
        let site = site(vec![vec![fate.clone()]]);
        let notify = notify.map(|value| Notify::parse(value).unwrap());
        let recipient = Recipient { notify, ..Path::parse("a@far.example").unwrap().into() };
        let mut envelope = Envelope::new(Path::parse("zoe@example.edu").ok(), []);
        envelope.recipients = vec![recipient];
        envelope.ret = Some(ReturnContent::Full);
        site.accept_envelope(envelope.clone()).await;
        site.pass(NOW).await;
        assert_eq!(*site.hop.envelopes.lock().unwrap(), [envelope], "passed on unchanged");
        let inbox = site.inbox("zoe").await;
        assert_eq!((inbox.len(), site.waiting().await.len()), (reports, 0), "{notify:?} {fate:?}");
        let action = if fate == SENT { "Action: relayed\r\n" } else { "Action: failed\r\n" };
        assert!(inbox.iter().all(|report| report.contains(action)), "{inbox:?}");
        // RET=FULL is for failures.
        assert!(inbox.iter().all(|report| report.contains("\r\nhello\r\n") == (fate != SENT)));
    }
}

/// An attempt that is cut off when the node stops leaves its row unchanged and due at once.
#[tokio::test]
async fn a_stop_puts_back_what_it_cuts_off() {
    let fates = Mutex::new(VecDeque::from([vec![SENT]]));
    let site =
        site_with(ScriptedFates { fates, frozen: Some(Arc::new(Semaphore::new(0))), ..ScriptedFates::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let (cut, cuts) = watch::channel(DrainPolicy::Nothing);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt_to_end(taken, at(NOW), cuts).await });
    while site.hop.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    cut.send_replace(DrainPolicy::BeforeHandOver);
    attempt.await.unwrap();
    let row = site.waiting().await.remove(0);
    assert_eq!(row.recipients[0].last_error.as_deref(), Some("the node was stopped"));
    assert_eq!((row.attempts, row.due_at), (1, at(NOW)));
    assert_eq!(site.take(NOW).await.len(), 1, "no lease is left");
}

/// An attempt whose message the next hop may already have is not cut off while the reply can still arrive in time: the
/// message would be sent again.
#[tokio::test]
async fn a_stop_waits_for_the_reply_to_a_whole_message() {
    let reply = Arc::new(Semaphore::new(0));
    for (cut_off, left) in [(DrainPolicy::BeforeHandOver, 0), (DrainPolicy::All, 1)] {
        let fates = Mutex::new(VecDeque::from([vec![SENT]]));
        let site = site_with(ScriptedFates { fates, unanswered: Some(reply.clone()), ..ScriptedFates::default() });
        site.accept("zoe@example.edu", &["a@far.example"]).await;
        let taken = site.take(NOW).await.remove(0);
        let (cut, cuts) = watch::channel(DrainPolicy::Nothing);
        let queue = site.queue.clone();
        let attempt = tokio::spawn(async move { queue.attempt_to_end(taken, at(NOW), cuts).await });
        while site.hop.accepted_paths.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        cut.send_replace(cut_off);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(attempt.is_finished(), left == 1, "{cut_off:?}");
        reply.add_permits(1);
        attempt.await.unwrap();
        assert_eq!(site.waiting().await.len(), left, "{cut_off:?}");
    }
}

/// An attempt that takes too long is a deferral like any other: it does not repeat for ever, and its sender gets a
/// report.
#[tokio::test(start_paused = true)]
async fn attempts_that_take_too_long_end_in_a_bounce() {
    let store = Arc::new(MemoryStore::default());
    let (queue, clock) = queue(store.clone(), store.clone(), Some(Arc::new(SilentHop::default())));
    let site = Site { queue, clock, store, hop: Arc::default() };
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (_cut, cuts) = watch::channel(DrainPolicy::Nothing);
    for (now, left) in [(NOW, 1), (NOW + 6 * DAY, 1)] {
        let taken = site.take(now).await.remove(0);
        site.queue.attempt_to_end(taken, at(now), cuts.clone()).await;
        assert_eq!(site.waiting().await.len(), left, "{now}");
    }
    let bounce = site.waiting().await.remove(0);
    assert_eq!((&bounce.reverse_path, bounce.destination.as_str()), (&None, "example.edu"));
    site.pass(NOW + 6 * DAY).await;
    let inbox = site.inbox("zoe").await;
    assert!(inbox[0].contains("Status: 4.4.7") && inbox[0].contains("took too long"), "{inbox:?}");
}

/// The next hop has the message: recording the outcome is retried, so that the message is not sent again.
#[tokio::test(start_paused = true)]
async fn an_outcome_waits_for_the_store() {
    let site = torn_with(vec![vec![SENT]], |torn| DamagedRows { unsettled: AtomicI64::new(3), ..torn });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    site.queue.attempt(&taken, at(NOW)).await.unwrap();
    assert_eq!((site.waiting().await.len(), site.hop.calls.lock().unwrap().len()), (0, 1));
}

/// A process is frozen while the reply to a whole message arrives, and continues after its lease has ended: it reads
/// the reply before it takes its own row again.
#[tokio::test]
async fn a_process_that_thaws_does_not_send_again() {
    let reply = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![SENT], vec![SENT]]));
    let site = site_with(ScriptedFates { fates, unanswered: Some(reply.clone()), ..ScriptedFates::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (_cut, cuts) = watch::channel(DrainPolicy::Nothing);
    let mut running = AttemptsUnderWay::default();
    site.queue.begin_due(&mut running, &cuts).await;
    while site.hop.accepted_paths.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    site.clock.store(NOW + 2 * LEASE_SECONDS, Ordering::Relaxed);
    site.queue.begin_due(&mut running, &cuts).await;
    reply.add_permits(2);
    running.finish().await;
    site.queue.begin_due(&mut running, &cuts).await;
    running.finish().await;
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "once");
    assert_eq!(site.waiting().await.len(), 0);
}

/// A message to many recipients is recorded transaction by transaction: an interruption in the second does not send the
/// first again.
#[tokio::test]
async fn many_recipients_are_recorded_in_parts() {
    let reply = Arc::new(Semaphore::new(1));
    let fates = |count| vec![SENT; count];
    let first = [vec![Fate::Deferred("451 later".into())], fates(98), vec![Fate::Failed("550 no".into())]].concat();
    let script = Mutex::new(VecDeque::from([first, fates(100), fates(100), fates(51)]));
    let site = site_with(ScriptedFates { fates: script, unanswered: Some(reply.clone()), ..ScriptedFates::default() });
    let to: Vec<String> = (0..250).map(|number| format!("a{number}@far.example")).collect();
    site.accept("zoe@example.edu", &to.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    while site.hop.calls.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    // Interrupts the second part, as a crash would.
    attempt.abort();
    assert!(attempt.await.unwrap_err().is_cancelled());
    let rows = site.waiting().await;
    assert_eq!(rows.iter().map(|row| row.recipients.len()).collect::<Vec<_>>().iter().sum::<usize>(), 151 + 1);
    reply.add_permits(10);
    site.pass(NOW + LEASE_SECONDS).await;
    assert_eq!(site.waiting().await.len(), 0);
    let calls = site.hop.calls.lock().unwrap().clone();
    let again: Vec<&String> = calls[2..].iter().flatten().collect();
    assert_eq!(again.iter().filter(|path| path.as_str() == "a0@far.example").count(), 1, "the deferred one");
    assert!((1..100).all(|number| !again.contains(&&format!("a{number}@far.example"))), "no other of the first part");
    assert_eq!(again.len(), 151);
    let inbox = site.inbox("zoe").await;
    assert!(inbox.len() == 1 && inbox[0].contains("a99@far.example"), "one bounce: {inbox:?}");
}

/// A domain that does not answer leaves attempts for other domains.
#[tokio::test]
async fn a_destination_has_its_share_of_attempts() {
    let hop = Arc::new(SilentHop::default());
    let store = Arc::new(MemoryStore::default());
    let (queue, _) = queue(store.clone(), store, Some(hop.clone()));
    for number in 0..20 {
        let envelope = Envelope::new(None, [Path::parse(&format!("a{number}@slow.example")).unwrap()]);
        queue.accept(envelope, Bytes::from_static(b"\r\n"), at(NOW - 1)).await.unwrap();
    }
    let envelope = Envelope::new(None, [Path::parse("a@other.example").unwrap()]);
    queue.accept(envelope, Bytes::from_static(b"\r\n"), at(NOW)).await.unwrap();
    let (_cut, cuts) = watch::channel(DrainPolicy::Nothing);
    let mut running = AttemptsUnderWay::default();
    for _ in 0..3 {
        queue.begin_due(&mut running, &cuts).await;
    }
    while hop.count("other.example") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hop.count("slow.example"), QueueConfig::default().per_destination);
}

/// A next hop that never answers.
#[derive(Default)]
struct SilentHop {
    calls: Mutex<Vec<String>>,
}

impl SilentHop {
    fn count(&self, domain: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|one| *one == domain).count()
    }
}

impl NextHop for SilentHop {
    fn send<'a>(&'a self, envelope: &'a Envelope, _: Bytes, _: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>> {
        self.calls.lock().unwrap().extend(envelope.recipients.iter().map(|one| one.path.domain().to_owned()));
        Box::pin(std::future::pending())
    }
}
