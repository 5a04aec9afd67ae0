//! The queue over simulated days, with rows in memory and a next hop that gives scripted fates.

mod faulty_rows;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::{Delivered, Delivery, IncomingMessage};
use provost_message::{Address, Arrival, Envelope, Notify, Path, Recipient, ReturnContent};
use provost_store::{
    AccountId, BoxFuture, Columns, LeaseError, MailboxName, MemoryStore, MessageSelection, MessageStore, QueueRow,
    QueueStore, TakeLimits, TakenRow, UNSETTLED_MAX,
};
use provost_view::{Affiliation, Person, PersonState, View};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::faulty_rows::FaultyRows;
use crate::permit::LEASE;
use crate::work::{AttemptsUnderWay, DrainPolicy};
use crate::{Fate, NextHop, Queue, QueueConfig, SendPermit};

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 24 * 60 * 60;
const LEASE_SECONDS: i64 = LEASE.as_secs() as i64;

impl Queue {
    /// Runs one attempt at a taken row and records the outcome, on a node that is not stopping.
    async fn attempt(&self, taken: &TakenRow, now: Timestamp) -> Result<(), LeaseError> {
        let (_drain, policy) = watch::channel(DrainPolicy::Nothing);
        self.attempt_parts(taken, now, policy).await
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
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

/// A next hop that answers each call with the next list of fates, and after the last list defers every recipient. It
/// accepts a message only after [`SendPermit::prove`]: a real next hop proves the permit right before the end of data.
#[derive(Default)]
struct ScriptedHop {
    fates: Mutex<VecDeque<Vec<Fate>>>,
    calls: Mutex<Vec<Vec<String>>>,
    envelopes: Mutex<Vec<Envelope>>,
    /// Paths of the recipients with the fate `Sent`, in the order of the calls whose permit was proven.
    accepted_paths: Mutex<Vec<String>>,
    /// The first call waits on this semaphore before it proves its [`SendPermit`].
    frozen: Option<Arc<Semaphore>>,
    /// Each call waits on this semaphore after its message has been handed over.
    unanswered: Option<Arc<Semaphore>>,
}

impl NextHop for ScriptedHop {
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
                return vec![Fate::Deferred("permit not proven".into()); paths.len()];
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
    hop: Arc<ScriptedHop>,
    /// The clock of the queue, Unix time in seconds.
    clock: Arc<AtomicI64>,
}

fn site(fates: Vec<Vec<Fate>>) -> Site {
    site_with(ScriptedHop { fates: Mutex::new(fates.into()), ..ScriptedHop::default() })
}

fn site_with(hop: ScriptedHop) -> Site {
    let (store, hop) = (Arc::new(MemoryStore::default()), Arc::new(hop));
    let (queue, clock) = queue(store.clone(), store.clone(), Some(hop.clone()));
    Site { queue, store, hop, clock }
}

/// A queue over these rows and mailboxes, and its clock, which begins at [`NOW`].
fn queue(
    rows: Arc<dyn QueueStore>,
    store: Arc<dyn MessageStore>,
    hop: Option<Arc<dyn NextHop>>,
) -> (Queue, Arc<AtomicI64>) {
    queue_over(View::fixed(vec![person("zoe"), person("ann")]), rows, store, hop)
}

/// A queue as [`queue`] makes it, for the recipients of this View.
fn queue_over(
    view: View,
    rows: Arc<dyn QueueStore>,
    store: Arc<dyn MessageStore>,
    hop: Option<Arc<dyn NextHop>>,
) -> (Queue, Arc<AtomicI64>) {
    let delivery = Delivery { view, store, hostname: "mx.example.edu".into() };
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

    /// Runs attempts until nothing is due at `now`, not even a message that an attempt queued. Returns their number.
    async fn attempt_due(&self, now: i64) -> usize {
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

    async fn rows(&self) -> Vec<QueueRow> {
        self.queue.list(100).await.unwrap()
    }

    /// The messages in the INBOX of the person with this local part.
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

/// Yields to other tasks until `holds` returns true; fails after 10,000 yields.
async fn run_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain for {what}");
}

/// Yields to other tasks often enough that each of them reaches a point at which it waits.
async fn run_others() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn recipients_that_the_next_hop_accepts_leave_the_queue() {
    let site = site(vec![vec![SENT, SENT]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    assert_eq!(site.attempt_due(NOW).await, 1);
    assert_eq!((site.rows().await.len(), site.inbox("zoe").await.len()), (0, 0));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example", "b@far.example"]]);
}

/// RFC 5321 §4.5.4.1: only the deferred recipients are tried again, each time after a longer wait.
#[tokio::test]
async fn deferred_recipients_are_tried_again() {
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
        assert_eq!(site.attempt_due(now).await, attempts, "{now}");
        let rows = site.rows().await;
        assert_eq!(rows.len(), left, "{now}");
        if let Some(row) = rows.first() {
            assert_eq!((row.due_at, row.recipients.len()), (at(due_at), 1), "{now}");
            assert_eq!(row.recipients[0].last_error.as_deref(), Some("451 4.3.0 later"));
        }
    }
    let calls = site.hop.calls.lock().unwrap();
    assert_eq!(calls[1..], [["b@far.example"], ["b@far.example"]]);
}

/// RFC 5321 §4.5.4.1: the wait comes after the attempt, however long the attempt took.
#[tokio::test]
async fn the_wait_begins_when_the_attempt_ends() {
    let thaw = Arc::new(Semaphore::new(0));
    let site = site_with(ScriptedHop { frozen: Some(thaw.clone()), ..ScriptedHop::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    run_until("the first call", || !site.hop.calls.lock().unwrap().is_empty()).await;
    site.clock.store(NOW + 600, Ordering::Relaxed);
    thaw.add_permits(1);
    attempt.await.unwrap().unwrap();
    assert_eq!(site.rows().await[0].due_at, at(NOW + 660));
}

/// RFC 5321 §6.1, RFC 3464: the sender gets a report of a failure.
#[tokio::test]
async fn a_failure_is_bounced() {
    let site = site(vec![vec![Fate::Failed("550 5.1.1 No such user".into()), SENT]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    assert_eq!(site.attempt_due(NOW).await, 2);
    let inbox = site.inbox("zoe").await;
    assert_eq!((inbox.len(), site.rows().await.len()), (1, 0));
    assert!(inbox[0].starts_with("Return-Path: <>\r\n"), "{}", inbox[0]);
    assert!(inbox[0].contains("Final-Recipient: rfc822; a@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
    assert!(!inbox[0].contains("b@far.example"));
}

/// RFC 5321 §6.1.
#[tokio::test]
async fn a_message_with_the_null_reverse_path_is_not_bounced() {
    let site = site(vec![vec![Fate::Failed("550 no".into())]]);
    site.accept("", &["a@far.example"]).await;
    assert_eq!(site.attempt_due(NOW).await, 1);
    assert_eq!(site.rows().await, []);
}

#[tokio::test]
async fn after_five_days_a_deferral_is_bounced() {
    let site = site(Vec::new());
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (mut now, mut attempts) = (NOW, 0);
    while let Some(row) = site.rows().await.first() {
        now = now.max(row.due_at.as_second());
        attempts += site.attempt_due(now).await;
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
    site.attempt_due(NOW).await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
    assert!(site.inbox("ann").await[0].contains("550 5.1.1 No such user here"));
    assert_eq!(*site.hop.calls.lock().unwrap(), [["a@far.example"]]);
}

/// Mail for a path of this site that is no address of the directory is not sent to the next hop, which would send the
/// message back. A View that is certain of absence makes the queue bounce the message.
#[tokio::test]
async fn recipients_of_this_site_without_an_address_are_not_sent_out() {
    let site = site(vec![vec![SENT]]);
    let paths = ["\"a b\"@example.edu", "\"a b\"@Example.EDU", "postmaster", "\"a b\"@far.example"];
    site.accept("ann@example.edu", &paths).await;
    site.attempt_due(NOW).await;
    assert_eq!(*site.hop.calls.lock().unwrap(), [["\"a b\"@far.example"]]);
    assert_eq!(site.rows().await, []);
    let bounces = site.inbox("ann").await;
    for path in &paths[..3] {
        assert!(bounces.iter().any(|bounce| bounce.contains(&format!("rfc822; {path}\r\n"))), "{path}: {bounces:?}");
    }
}

/// As at RCPT, queued mail for `postmaster` goes to the postmaster of the site when the domain has no `postmaster` of
/// its own.
#[tokio::test]
async fn waiting_mail_for_the_postmaster_is_delivered() {
    let postmaster = Person { uid: "postmaster".into(), ..person("zoe") };
    let (store, hop) = (Arc::new(MemoryStore::default()), Arc::new(ScriptedHop::default()));
    let view = View::fixed(vec![postmaster, person("ann")]);
    let (queue, clock) = queue_over(view, store.clone(), store.clone(), Some(hop.clone()));
    let site = Site { queue, store, hop, clock };
    site.accept("ann@example.edu", &["postmaster@example.edu", "Postmaster"]).await;
    site.attempt_due(NOW).await;
    assert_eq!((site.inbox("zoe").await.len(), site.rows().await.len()), (2, 0));
}

/// While the View has never been complete, any domain may be one of this site.
#[tokio::test]
async fn recipients_without_an_address_are_deferred_while_the_view_is_incomplete() {
    let (store, hop) = (Arc::new(MemoryStore::default()), Arc::new(ScriptedHop::default()));
    let (queue, clock) = queue_over(View::never_complete(), store.clone(), store.clone(), Some(hop.clone()));
    let site = Site { queue, store, hop, clock };
    site.accept("", &["\"a b\"@example.edu", "postmaster", "zoe@example.edu"]).await;
    site.attempt_due(NOW).await;
    assert_eq!(site.hop.calls.lock().unwrap().len(), 0, "sent to the next hop");
    let left: Vec<_> = site.rows().await.into_iter().flat_map(|row| row.recipients).collect();
    assert_eq!(left.len(), 3);
    for one in left {
        assert_eq!(one.last_error.as_deref(), Some("the directory cannot answer now"), "{}", one.recipient.path);
    }
}

/// The quarantine mark is a header field (`Provost-Verdict`), so the message keeps the mark in the queue.
#[tokio::test]
async fn a_message_quarantined_before_the_queue_is_delivered_into_junk() {
    let site = site(Vec::new());
    let fields = "Provost-Verdict: quarantine listed 5.7.1\r\n\ton a list\r\nReceived: from x ([192.0.2.1])\r\n\tby mx";
    let envelope = Envelope::new(None, [Path::parse("zoe@example.edu").unwrap()]);
    site.queue.accept(envelope, Bytes::from(format!("{fields}\r\n\r\nhi\r\n")), at(NOW)).await.unwrap();
    site.attempt_due(NOW).await;
    assert_eq!(site.inbox("zoe").await.len(), 0);
    let snapshot = site.store.snapshot(AccountId::new(person("zoe").entry_uuid), None).await.unwrap();
    let junk = snapshot.mailbox(&MailboxName::parse("Junk").unwrap()).unwrap();
    assert_eq!(junk.messages, 1);
}

/// A crash between a local delivery and the record of its outcome repeats the attempt.
#[tokio::test]
async fn a_repeated_local_delivery_stores_the_message_once() {
    let site = site(Vec::new());
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    let row = site.rows().await.remove(0);
    let recipient = &row.recipients[0].recipient;
    let id = provost_delivery::batch_id(row.id.get(), &recipient.path);
    let message = &site.store.queued_body(&row).await.unwrap();
    let arrival = &Arrival::from_queue(row.id.get().into(), row.envelope(Vec::new()), message);
    let address = &person("zoe").primary;
    let incoming = IncomingMessage { id, arrival, recipient, address, message, now: at(NOW) };
    assert_eq!(site.queue.inner.delivery.deliver(incoming).await, Delivered::Stored);
    assert_eq!((site.attempt_due(NOW).await, site.rows().await.len()), (1, 0));
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

#[tokio::test]
async fn without_a_relay_mail_waits() {
    let site = site(Vec::new());
    let (queue, clock) = queue(site.store.clone(), site.store.clone(), None);
    let site = Site { queue, clock, ..site };
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    site.attempt_due(NOW).await;
    assert_eq!(site.rows().await[0].recipients[0].last_error.as_deref(), Some("no relay is configured"));
}

#[tokio::test]
async fn a_recipient_to_whom_the_next_hop_gives_no_fate_is_deferred() {
    let site = site(vec![vec![SENT]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example"]).await;
    site.attempt_due(NOW).await;
    assert_eq!(site.rows().await[0].recipients[0].recipient.path.to_string(), "b@far.example");
}

/// The paused clock does not advance while this test runs, so no sleep of the worker ends.
#[tokio::test(start_paused = true)]
async fn the_worker_wakes_on_accept_and_stops() {
    let site = site(Vec::new());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let queue = site.queue.clone();
    let worker = tokio::spawn(async move { queue.run(async { drop(stopped.await) }).await });
    run_others().await;
    let envelope = Envelope::new(None, [Path::parse("zoe@example.edu").unwrap()]);
    site.queue.accept(envelope, Bytes::from_static(b"\r\nhi\r\n"), at(NOW)).await.unwrap();
    run_others().await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
    stop.send(()).unwrap();
    run_until("the end of the worker", || worker.is_finished()).await;
    worker.await.unwrap();
}

#[tokio::test]
async fn an_attempt_waits_for_memory_for_its_body() {
    let site = site(vec![vec![SENT]]);
    let memory = site.queue.inner.body_memory.acquire_many(crate::attempt::BODY_UNITS_MAX as u32).await.unwrap();
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    run_others().await;
    assert_eq!(site.hop.calls.lock().unwrap().len(), 0, "sent without memory for its body");
    drop(memory);
    attempt.await.unwrap().unwrap();
    assert_eq!(site.rows().await.len(), 0);
}

fn site_with_faults(fates: Vec<Vec<Fate>>, add_faults: impl FnOnce(FaultyRows) -> FaultyRows) -> Site {
    let Site { store, hop, .. } = site(fates);
    let rows = Arc::new(add_faults(FaultyRows::over(store.clone())));
    let (queue, clock) = queue(rows, store.clone(), Some(hop.clone()));
    Site { queue, store, hop, clock }
}

/// A message whose body is damaged does not wait for ever.
#[tokio::test]
async fn a_damaged_message_is_bounced_when_its_lifetime_is_over() {
    let site = site_with_faults(Vec::new(), |rows| FaultyRows { bodies_damaged: true, ..rows });
    site.accept("sender@far.example", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    site.queue.attempt(&taken, at(NOW + DAY)).await.unwrap();
    let row = site.rows().await.remove(0);
    assert_eq!(row.id, taken.row.id, "bounced too early: the body may still be repaired");
    assert_eq!(row.recipients[0].last_error.as_deref(), Some("damaged: a checksum"));
    let taken = site.take(NOW + 6 * DAY).await.remove(0);
    site.queue.attempt(&taken, at(NOW + 6 * DAY)).await.unwrap();
    let bounce = site.rows().await.remove(0);
    let to = bounce.recipients[0].recipient.path.to_string();
    assert_eq!((&bounce.reverse_path, to), (&None, "sender@far.example".into()));
    assert!(site.rows().await.iter().all(|left| left.id != row.id));
    let body = site.store.queued_body(&bounce).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("damaged while it waited"));
}

/// Attempts are counted when the row is taken, so one that panics counts too and the message is not tried for ever.
#[tokio::test]
async fn a_message_whose_attempts_panic_is_set_aside() {
    let site = site_with_faults(Vec::new(), |rows| FaultyRows { reading_panics: true, ..rows });
    site.accept("sender@far.example", &["a@far.example"]).await;
    let (mut now, mut panics) = (NOW, 0);
    loop {
        let Some(taken) = site.take(now).await.pop() else { break };
        let queue = site.queue.clone();
        let attempt = tokio::spawn(async move { queue.attempt(&taken, at(now)).await });
        assert!(attempt.await.unwrap_err().is_panic());
        panics += 1;
        assert!(site.take(now + LEASE_SECONDS - 1).await.is_empty(), "taken again before the lease ended");
        now += LEASE_SECONDS;
    }
    assert_eq!(panics, UNSETTLED_MAX);
    let row = site.rows().await.remove(0);
    assert!(row.set_aside.is_some());
    assert_eq!(site.store.next_due(at(0)).await.unwrap(), None, "a row that is set aside is due");
}

/// The first worker freezes right before it hands over a message. After the end of its lease a second one sends the
/// message. When the first one goes on, it sends nothing and records nothing.
#[tokio::test]
async fn a_worker_frozen_past_its_lease_sends_nothing() {
    let thaw = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![SENT], vec![SENT]]));
    let site = site_with(ScriptedHop { fates, frozen: Some(thaw.clone()), ..ScriptedHop::default() });
    let (other, other_clock) = queue(site.store.clone(), site.store.clone(), Some(site.hop.clone()));
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let frozen = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    run_until("the first call", || !site.hop.calls.lock().unwrap().is_empty()).await;
    let later = NOW + LEASE_SECONDS;
    assert!(site.take(later - 1).await.is_empty());
    let taken = site.take(later).await.remove(0);
    other_clock.store(later, Ordering::Relaxed);
    other.attempt(&taken, at(later)).await.unwrap();
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"]);
    thaw.add_permits(1);
    assert_eq!(frozen.await.unwrap(), Err(LeaseError::Fenced));
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "sent twice");
    assert_eq!((site.rows().await.len(), site.inbox("zoe").await.len()), (0, 0));
}

/// A clock that jumps by a day during an attempt, forwards or backwards, only delays the message. `start` is when the
/// later attempts begin, relative to the first.
#[tokio::test]
async fn a_message_is_sent_once_although_the_clock_jumps_by_a_day() {
    for (jump, start) in [(DAY, 0), (DAY, DAY), (-DAY, 0), (-DAY, -DAY)] {
        let thaw = Arc::new(Semaphore::new(0));
        let later = || vec![Fate::Deferred("451 later".into())];
        let fates = Mutex::new(VecDeque::from([later(), vec![SENT], vec![SENT]]));
        let site = site_with(ScriptedHop { fates, frozen: Some(thaw.clone()), ..ScriptedHop::default() });
        site.accept("zoe@example.edu", &["a@far.example"]).await;
        let taken = site.take(NOW).await.remove(0);
        let queue = site.queue.clone();
        let frozen = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
        run_until("the first call", || !site.hop.calls.lock().unwrap().is_empty()).await;
        site.clock.store(NOW + jump, Ordering::Relaxed);
        thaw.add_permits(1);
        // No other worker took the row, so the outcome counts even when the lease seems to be over.
        frozen.await.unwrap().unwrap();
        for now in (NOW + start..=NOW + 2 * DAY).step_by(1800) {
            site.attempt_due(now).await;
        }
        assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "jump {jump}, start {start}");
        assert_eq!((site.rows().await.len(), site.inbox("zoe").await.len()), (0, 0), "jump {jump}, start {start}");
    }
}

/// Another worker has the row now: the frozen one neither changes it nor queues a bounce.
#[tokio::test]
async fn a_worker_frozen_past_its_lease_bounces_nothing() {
    let thaw = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![Fate::Failed("550 no".into())], vec![SENT]]));
    let site = site_with(ScriptedHop { fates, frozen: Some(thaw.clone()), ..ScriptedHop::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let first = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let frozen = tokio::spawn(async move { queue.attempt(&first, at(NOW)).await });
    run_until("the first call", || !site.hop.calls.lock().unwrap().is_empty()).await;
    let second = site.take(NOW + LEASE_SECONDS).await.remove(0);
    thaw.add_permits(1);
    assert_eq!(frozen.await.unwrap(), Err(LeaseError::Fenced));
    assert_eq!(site.rows().await.len(), 1);
    site.queue.attempt(&second, at(NOW + LEASE_SECONDS)).await.unwrap();
    assert_eq!((site.rows().await.len(), site.inbox("zoe").await.len()), (0, 0), "still queued, or bounced");
}

#[tokio::test]
async fn a_worker_frozen_past_its_lease_delivers_nothing_locally() {
    let site = site(Vec::new());
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    let old = site.take(NOW).await.remove(0);
    let new = site.take(NOW + LEASE_SECONDS).await.remove(0);
    assert_eq!(site.queue.attempt(&old, at(NOW)).await, Err(LeaseError::Fenced));
    assert_eq!(site.inbox("zoe").await.len(), 0);
    site.queue.attempt(&new, at(NOW + LEASE_SECONDS)).await.unwrap();
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

/// An attempt that cannot prove its lease defers the recipient: the row is due after a minute, not only when the lease
/// ends.
#[tokio::test]
async fn a_local_recipient_is_deferred_while_the_lease_cannot_be_proven() {
    let site = site_with_faults(Vec::new(), |rows| FaultyRows { failing_proofs: AtomicI64::new(1), ..rows });
    site.accept("ann@example.edu", &["zoe@example.edu"]).await;
    assert_eq!(site.attempt_due(NOW).await, 1);
    let row = site.rows().await.remove(0);
    assert_eq!(row.recipients[0].last_error.as_deref(), Some("store unavailable: disk full"));
    assert_eq!(site.attempt_due(NOW + 60).await, 1);
    assert_eq!((site.rows().await.len(), site.inbox("zoe").await.len()), (0, 1));
}

/// The report's id is derived from its recipients: a bounce with the id of an earlier one would be dropped.
#[tokio::test]
async fn each_attempt_bounces_the_recipients_that_failed_in_it() {
    let later = || Fate::Deferred("451 later".into());
    let no = || Fate::Failed("550 5.1.1 no".into());
    let site = site(vec![vec![no(), later(), later()], vec![no(), later()], vec![no()]]);
    site.accept("zoe@example.edu", &["a@far.example", "b@far.example", "c@far.example"]).await;
    let mut now = NOW;
    while !site.rows().await.is_empty() {
        site.attempt_due(now).await;
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

/// RFC 3461 §4.1, §5.2: NOTIFY decides which reports are sent. A next hop that supports the DSN extension makes the
/// reports about the messages that it accepts, so the queue makes none.
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
        site.attempt_due(NOW).await;
        assert_eq!(*site.hop.envelopes.lock().unwrap(), [envelope], "the next hop got another envelope");
        let inbox = site.inbox("zoe").await;
        assert_eq!((inbox.len(), site.rows().await.len()), (reports, 0), "{notify:?} {fate:?}");
        let action = if fate == SENT { "Action: relayed\r\n" } else { "Action: failed\r\n" };
        assert!(inbox.iter().all(|report| report.contains(action)), "{inbox:?}");
        // RFC 3461 §4.3: RET=FULL is for reports of failure only.
        assert!(inbox.iter().all(|report| report.contains("\r\nhello\r\n") == (fate != SENT)));
    }
}

#[tokio::test]
async fn an_attempt_that_a_stop_cuts_off_leaves_its_row_due_at_once() {
    let fates = Mutex::new(VecDeque::from([vec![SENT]]));
    let site = site_with(ScriptedHop { fates, frozen: Some(Arc::new(Semaphore::new(0))), ..ScriptedHop::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let (drain, policy) = watch::channel(DrainPolicy::Nothing);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt_and_log(taken, at(NOW), policy).await });
    run_until("the first call", || !site.hop.calls.lock().unwrap().is_empty()).await;
    drain.send_replace(DrainPolicy::BeforeHandOver);
    attempt.await.unwrap();
    let row = site.rows().await.remove(0);
    assert_eq!(row.recipients[0].last_error.as_deref(), Some("the node was stopped"));
    assert_eq!((row.attempts, row.due_at), (1, at(NOW)));
    assert_eq!(site.take(NOW).await.len(), 1, "the row is still leased");
}

/// Begins an attempt, and returns when the next hop has the message. The next hop replies when `reply` gets a permit.
/// The returned sender sets the drain policy of the attempt.
async fn attempt_that_waits_for_the_reply(
    reply: &Arc<Semaphore>,
) -> (Site, watch::Sender<DrainPolicy>, JoinHandle<()>) {
    let fates = Mutex::new(VecDeque::from([vec![SENT]]));
    let site = site_with(ScriptedHop { fates, unanswered: Some(reply.clone()), ..ScriptedHop::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    let (drain, policy) = watch::channel(DrainPolicy::Nothing);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt_and_log(taken, at(NOW), policy).await });
    run_until("the message", || !site.hop.accepted_paths.lock().unwrap().is_empty()).await;
    (site, drain, attempt)
}

/// An attempt that has handed over its message gets more time for the reply. If the attempt were cut off, the message
/// would be sent again.
#[tokio::test]
async fn a_stop_waits_for_the_reply_to_a_message_handed_over() {
    let reply = Arc::new(Semaphore::new(0));
    for (cut_off, left) in [(DrainPolicy::BeforeHandOver, 0), (DrainPolicy::All, 1)] {
        let (site, drain, attempt) = attempt_that_waits_for_the_reply(&reply).await;
        drain.send_replace(cut_off);
        run_others().await;
        assert_eq!(attempt.is_finished(), left == 1, "{cut_off:?}");
        reply.add_permits(1);
        attempt.await.unwrap();
        assert_eq!(site.rows().await.len(), left, "{cut_off:?}");
    }
}

/// When the reply comes at the same moment as the stop, the reply counts.
#[tokio::test]
async fn a_reply_that_has_come_is_recorded_although_the_stop_cuts_off_all() {
    // An attempt that polled reply and stop in random order would choose the stop in about half of the rounds.
    for round in 0..64 {
        let reply = Arc::new(Semaphore::new(0));
        let (site, drain, attempt) = attempt_that_waits_for_the_reply(&reply).await;
        reply.add_permits(1);
        drain.send_replace(DrainPolicy::All);
        attempt.await.unwrap();
        assert_eq!(site.rows().await.len(), 0, "round {round}: the message is still queued and would be sent again");
    }
}

/// An attempt that takes too long counts as a deferral, so the message is bounced in the end and not tried for ever.
#[tokio::test(start_paused = true)]
async fn a_message_whose_attempts_take_too_long_is_bounced() {
    let store = Arc::new(MemoryStore::default());
    let (queue, clock) = queue(store.clone(), store.clone(), Some(Arc::new(SilentHop::default())));
    let site = Site { queue, clock, store, hop: Arc::default() };
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (_drain, policy) = watch::channel(DrainPolicy::Nothing);
    for (now, left) in [(NOW, 1), (NOW + 6 * DAY, 1)] {
        let taken = site.take(now).await.remove(0);
        site.queue.attempt_and_log(taken, at(now), policy.clone()).await;
        assert_eq!(site.rows().await.len(), left, "{now}");
    }
    let bounce = site.rows().await.remove(0);
    assert_eq!((&bounce.reverse_path, bounce.destination.as_str()), (&None, "example.edu"));
    site.attempt_due(NOW + 6 * DAY).await;
    let inbox = site.inbox("zoe").await;
    assert!(inbox[0].contains("Status: 4.4.7") && inbox[0].contains("took too long"), "{inbox:?}");
}

/// The next hop has the message: if the outcome were lost, it would be sent again.
#[tokio::test(start_paused = true)]
async fn recording_an_outcome_is_retried_until_the_store_is_available() {
    let faults = |rows| FaultyRows { failing_settlings: AtomicI64::new(3), ..rows };
    let site = site_with_faults(vec![vec![SENT]], faults);
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let taken = site.take(NOW).await.remove(0);
    site.queue.attempt(&taken, at(NOW)).await.unwrap();
    assert_eq!((site.rows().await.len(), site.hop.calls.lock().unwrap().len()), (0, 1));
}

/// A process freezes after it has handed over a message, and goes on after its lease has ended. While its attempt waits
/// for the reply, it does not take its own row again.
#[tokio::test]
async fn a_process_frozen_before_the_reply_does_not_send_again() {
    let reply = Arc::new(Semaphore::new(0));
    let fates = Mutex::new(VecDeque::from([vec![SENT], vec![SENT]]));
    let site = site_with(ScriptedHop { fates, unanswered: Some(reply.clone()), ..ScriptedHop::default() });
    site.accept("zoe@example.edu", &["a@far.example"]).await;
    let (_drain, policy) = watch::channel(DrainPolicy::Nothing);
    let mut running = AttemptsUnderWay::default();
    site.queue.begin_due(&mut running, &policy).await;
    run_until("the message", || !site.hop.accepted_paths.lock().unwrap().is_empty()).await;
    site.clock.store(NOW + 2 * LEASE_SECONDS, Ordering::Relaxed);
    site.queue.begin_due(&mut running, &policy).await;
    reply.add_permits(2);
    running.finish().await;
    site.queue.begin_due(&mut running, &policy).await;
    running.finish().await;
    assert_eq!(*site.hop.accepted_paths.lock().unwrap(), ["a@far.example"], "sent again");
    assert_eq!(site.rows().await.len(), 0);
}

/// An attempt records the outcomes after each part of 100 recipients: a crash in the second part loses no outcome of
/// the first part.
#[tokio::test]
async fn many_recipients_are_recorded_in_parts() {
    let reply = Arc::new(Semaphore::new(1));
    let fates = |count| vec![SENT; count];
    let first = [vec![Fate::Deferred("451 later".into())], fates(98), vec![Fate::Failed("550 no".into())]].concat();
    let script = Mutex::new(VecDeque::from([first, fates(100), fates(100), fates(51)]));
    let site = site_with(ScriptedHop { fates: script, unanswered: Some(reply.clone()), ..ScriptedHop::default() });
    let to: Vec<String> = (0..250).map(|number| format!("a{number}@far.example")).collect();
    site.accept("zoe@example.edu", &to.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let taken = site.take(NOW).await.remove(0);
    let queue = site.queue.clone();
    let attempt = tokio::spawn(async move { queue.attempt(&taken, at(NOW)).await });
    run_until("the second call", || site.hop.calls.lock().unwrap().len() == 2).await;
    // Interrupts the second part, as a crash would.
    attempt.abort();
    assert!(attempt.await.unwrap_err().is_cancelled());
    // The deferred recipient, 150 of the later parts, and the one of the bounce.
    assert_eq!(site.rows().await.iter().map(|row| row.recipients.len()).sum::<usize>(), 1 + 150 + 1);
    reply.add_permits(10);
    site.attempt_due(NOW + LEASE_SECONDS).await;
    assert_eq!(site.rows().await.len(), 0);
    let calls = site.hop.calls.lock().unwrap().clone();
    let again: Vec<&String> = calls[2..].iter().flatten().collect();
    assert_eq!(again.iter().filter(|path| path.as_str() == "a0@far.example").count(), 1, "deferred");
    assert!((1..100).all(|number| !again.contains(&&format!("a{number}@far.example"))), "sent again: {again:?}");
    assert_eq!(again.len(), 151);
    let inbox = site.inbox("zoe").await;
    assert!(inbox.len() == 1 && inbox[0].contains("a99@far.example"), "{inbox:?}");
}

#[tokio::test]
async fn a_domain_that_does_not_answer_leaves_attempts_to_others() {
    let hop = Arc::new(SilentHop::default());
    let store = Arc::new(MemoryStore::default());
    let (queue, _) = queue(store.clone(), store, Some(hop.clone()));
    for number in 0..20 {
        let envelope = Envelope::new(None, [Path::parse(&format!("a{number}@slow.example")).unwrap()]);
        queue.accept(envelope, Bytes::from_static(b"\r\n"), at(NOW - 1)).await.unwrap();
    }
    let envelope = Envelope::new(None, [Path::parse("a@other.example").unwrap()]);
    queue.accept(envelope, Bytes::from_static(b"\r\n"), at(NOW)).await.unwrap();
    let (_drain, policy) = watch::channel(DrainPolicy::Nothing);
    let mut running = AttemptsUnderWay::default();
    for _ in 0..3 {
        queue.begin_due(&mut running, &policy).await;
    }
    run_until("the other domain's attempt", || hop.count("other.example") == 1).await;
    assert_eq!(hop.count("slow.example"), QueueConfig::default().per_destination);
}

/// A next hop that never answers.
#[derive(Default)]
struct SilentHop {
    /// The domain of each recipient of each call.
    domains: Mutex<Vec<String>>,
}

impl SilentHop {
    fn count(&self, domain: &str) -> usize {
        self.domains.lock().unwrap().iter().filter(|one| *one == domain).count()
    }
}

impl NextHop for SilentHop {
    fn send<'a>(&'a self, envelope: &'a Envelope, _: Bytes, _: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>> {
        self.domains.lock().unwrap().extend(envelope.recipients.iter().map(|one| one.path.domain().to_owned()));
        Box::pin(std::future::pending())
    }
}
