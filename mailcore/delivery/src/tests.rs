//! Delivery into the memory store with a fixed View.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Address, Arrival, Envelope, EnvelopeId, HeaderSection, Notify, Path, Recipient};
use provost_store::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BodyId, BoxFuture, Columns, Lease, LeaseError, MailboxId,
    MailboxName, MemoryStore, MessageSelection, MessageStore, Op, QueueRow, QueueStore, ReadToken, Rows, StoreError,
};
use provost_view::{Affiliation, Person, PersonState, Vacation, View};
use uuid::Uuid;

use crate::{Delivered, Delivery, IncomingMessage, RecipientRefusal, batch_id};

const MESSAGE: &[u8] = b"Received: from a\r\nFrom: Ann <ann@example.org>\r\nTo: zoe@example.edu\r\n\
    Subject: hi\r\nMessage-ID: <1@example.org>\r\n\r\nhello\r\n";

fn person(local: &str) -> Person {
    Person {
        entry_uuid: Uuid::new_v5(&Uuid::NAMESPACE_DNS, local.as_bytes()),
        dn: format!("provostPersonId={local},ou=people,dc=example,dc=edu").into(),
        uid: local.into(),
        display_name: "Zoé Tremblay".into(),
        primary: Address::parse(&format!("{local}@example.edu")).unwrap(),
        state: PersonState::Active,
        affiliation: Affiliation::Student,
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

fn vacation() -> Vacation {
    Vacation {
        start: None,
        end: Some(at(2_000_000_000)),
        subject: None,
        subject_fr: Some("Absente".into()),
        subject_en: None,
        text: None,
        text_fr: Some("Je reviens l'été.".into()),
        text_en: None,
        interval_days: 7,
    }
}

fn people() -> Vec<Person> {
    vec![
        person("zoe"),
        person("zoe+own"),
        Person { state: PersonState::Suspended, ..person("suspended") },
        Person { state: PersonState::Closed, ..person("closed") },
        Person { quota_octets: Some(100), ..person("full") },
        Person { vacation: Some(Box::new(vacation())), ..person("away") },
        Person { vacation: Some(Box::new(Vacation { end: Some(at(1)), ..vacation() })), ..person("back") },
        Person { access: forwarding_to("zoe", false), ..person("ping") },
    ]
}

fn forwarding_to(local: &str, keeps_copy: bool) -> provost_view::Access {
    let to = [Address::parse(&format!("{local}@example.edu")).unwrap()].into();
    let forwarding = provost_view::Forwarding { to, keeps_copy, start: None, end: None };
    provost_view::Access { forwarding: Some(Box::new(forwarding)), ..provost_view::Access::default() }
}

/// The memory store with faults before or after its commits.
struct Faulty {
    store: MemoryStore,
    faults: Mutex<VecDeque<Fault>>,
}

#[derive(Clone)]
enum Fault {
    /// The batch fails and nothing is stored.
    Before(BatchError),
    /// The batch is stored, and its outcome is reported as unknown.
    After(BatchError),
}

impl MessageStore for Faulty {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        let fault = self.faults.lock().unwrap().pop_front();
        Box::pin(async move {
            match fault {
                Some(Fault::Before(error)) => Err(error),
                Some(Fault::After(error)) => self.store.apply(batch).await.and(Err(error)),
                None => self.store.apply(batch).await,
            }
        })
    }
    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        self.store.snapshot(account, at_least)
    }
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        self.store.read(account, mailbox, which, columns, at_least)
    }
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        self.store.body(account, body, range)
    }
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64> {
        self.store.notices(account)
    }
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        self.store.lease(name, ttl)
    }
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.store.renew(lease, ttl)
    }
    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        self.store.accounts(after, limit)
    }
    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        self.store.logins_since(since, limit)
    }
    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        self.store.note_login(account, protocol, now);
    }
}

/// A delivery service over a faulty store.
struct Site {
    delivery: Delivery,
    store: Arc<Faulty>,
}

fn site(faults: &[Fault]) -> Site {
    let faults = Mutex::new(faults.iter().cloned().collect());
    let store = Arc::new(Faulty { store: MemoryStore::default(), faults });
    let delivery = Delivery { view: View::fixed(people()), store: store.clone(), hostname: "mx.example.edu".into() };
    Site { delivery, store }
}

impl Site {
    /// All messages of the queue, with bodies.
    async fn queued(&self) -> Vec<(QueueRow, String)> {
        let mut queued = Vec::new();
        for row in self.store.store.list(100).await.unwrap() {
            let body = self.store.store.queued_body(&row).await.unwrap();
            queued.push((row, String::from_utf8(body.to_vec()).unwrap()));
        }
        queued
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn deliver(site: &Site, id: u128, from: &str, to: &str, message: &[u8]) -> Delivered {
    let recipient = Path::parse(&format!("{to}@example.edu")).unwrap().into();
    deliver_to(site, id, &Envelope::new(Path::parse(from).ok(), []), &recipient, message).await
}

async fn deliver_to(site: &Site, id: u128, envelope: &Envelope, recipient: &Recipient, message: &[u8]) -> Delivered {
    let (id, address) = (batch_id(Uuid::from_u128(id), &recipient.path), recipient.path.address().unwrap());
    let message = &Bytes::copy_from_slice(message);
    let now = at(1_700_000_000);
    let arrival = &Arrival::from_queue(Uuid::nil().into(), envelope.clone(), message);
    site.delivery.deliver(IncomingMessage { id, arrival, recipient, address: &address, message, now }).await
}

async fn inbox(site: &Site, local: &str) -> Vec<Bytes> {
    mailbox(site, local, "INBOX").await
}

async fn mailbox(site: &Site, local: &str, name: &str) -> Vec<Bytes> {
    let account = AccountId::new(person(local).entry_uuid);
    let snapshot = site.store.snapshot(account, None).await.unwrap();
    let mailbox = snapshot.mailbox(&MailboxName::parse(name).unwrap()).unwrap().id;
    let mut bodies = Vec::new();
    for row in site.store.read(account, mailbox, MessageSelection::all(), Columns::NONE, None).await.unwrap().rows {
        bodies.push(site.store.body(account, row.meta.body, None).await.unwrap());
    }
    bodies
}

/// RFC 5321 §4.4: final delivery puts Return-Path first. A repeated id is the same delivery.
#[tokio::test]
async fn stores_once_for_each_id_with_trace_fields() {
    let site = site(&[]);
    for id in [1, 1, 2] {
        assert_eq!(deliver(&site, id, "ann@example.org", "zoe", MESSAGE).await, Delivered::Stored);
    }
    let bodies = inbox(&site, "zoe").await;
    let trace = b"Return-Path: <ann@example.org>\r\nDelivered-To: zoe@example.edu\r\n";
    assert_eq!(bodies, vec![Bytes::from([trace, MESSAGE].concat()); 2]);
}

#[tokio::test]
async fn permanent_refusals() {
    let site = site(&[]);
    let round = "Delivered-To: zoe@example.edu\r\nReceived: from x ([192.0.2.1])\r\n\tby mx.example.edu (Provost) with SMTP\r\n";
    let looping = [round.repeat(3).as_bytes(), MESSAGE].concat();
    for (to, message, refusal) in [
        ("nobody", MESSAGE, RecipientRefusal::NoSuchUser),
        ("closed", MESSAGE, RecipientRefusal::Closed),
        ("full", MESSAGE, RecipientRefusal::Full),
        ("zoe", &looping, RecipientRefusal::Loop),
    ] {
        assert_eq!(deliver(&site, 1, "ann@example.org", to, message).await, Delivered::Refused(refusal), "{to}");
    }
    let elsewhere = Address::parse("zoe@example.com").unwrap();
    assert_eq!(site.delivery.check(&elsewhere), Err(Delivered::Refused(RecipientRefusal::NotLocal)));
}

/// A quarantined message goes, with its mark, to the mailbox with the special use `\Junk` (RFC 6154) of any name. The
/// message causes neither a vacation reply nor a report of success. A tagged message is delivered like any other.
#[tokio::test]
async fn a_quarantined_message_goes_into_junk() {
    let marked = |effect: &str| {
        let mark = format!("Provost-Verdict: {effect} listed 5.7.1\r\n\ton a list\r\n");
        [mark.as_bytes(), b"Received: from a\r\n", MESSAGE_TO_AWAY].concat()
    };
    for (junk, effect, expect) in
        [("Junk", "quarantine", (0, 1, 0)), ("Spam", "quarantine", (0, 1, 0)), ("Junk", "tag", (1, 0, 2))]
    {
        let site = site(&[]);
        let (account, now) = (AccountId::new(person("away").entry_uuid), 1_700_000_000);
        let to = MailboxName::parse(junk).unwrap();
        if junk != "Junk" {
            let ops = vec![Op::RenameMailbox { from: MailboxName::parse("Junk").unwrap(), to }];
            site.store.apply(Batch { id: None, account, now: at(now), require: Vec::new(), ops }).await.unwrap();
        }
        let notify = Notify::parse("SUCCESS").ok();
        let recipient = Recipient { notify, ..Path::parse("away@example.edu").unwrap().into() };
        let envelope = Envelope::new(Path::parse("ann@example.org").ok(), []);
        let delivered = deliver_to(&site, 1, &envelope, &recipient, &marked(effect)).await;
        assert_eq!(delivered, Delivered::Stored, "{junk} {effect}");
        let filed = mailbox(&site, "away", junk).await;
        let counts = (inbox(&site, "away").await.len(), filed.len(), site.queued().await.len());
        assert_eq!(counts, expect, "{junk} {effect}");
        for body in &filed {
            assert!(body.ends_with(&marked(effect)), "the mark is missing");
        }
    }
}

/// Mail to `zoe+detail` (RFC 5233) is delivered to zoe, unless that address has an entry of its own.
#[tokio::test]
async fn a_detail_reaches_its_user() {
    let site = site(&[]);
    for (to, expect) in [
        ("zoe+lists", Delivered::Stored),
        ("zoe+a+b", Delivered::Stored),
        ("zoe+", Delivered::Stored),
        ("zoe+own", Delivered::Stored),
        ("nobody+x", Delivered::Refused(RecipientRefusal::NoSuchUser)),
        ("closed+x", Delivered::Refused(RecipientRefusal::Closed)),
        ("+zoe", Delivered::Refused(RecipientRefusal::NoSuchUser)),
    ] {
        assert_eq!(deliver(&site, 1, "ann@example.org", to, MESSAGE).await, expect, "{to}");
    }
    let bodies = inbox(&site, "zoe").await;
    assert_eq!((bodies.len(), inbox(&site, "zoe+own").await.len()), (3, 1));
    assert!(String::from_utf8_lossy(&bodies[0]).contains("Delivered-To: zoe+lists@example.edu\r\n"));
}

#[tokio::test]
async fn a_suspended_person_is_accepted_at_rcpt_and_a_closed_one_refused() {
    let site = site(&[]);
    for (local, expect) in [
        ("zoe", Ok(())),
        ("suspended", Ok(())),
        ("nobody", Err(Delivered::Refused(RecipientRefusal::NoSuchUser))),
        ("closed", Err(Delivered::Refused(RecipientRefusal::Closed))),
    ] {
        assert_eq!(site.delivery.check(&Address::parse(&format!("{local}@example.edu")).unwrap()), expect, "{local}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_answer_is_no_refusal() {
    let mut site = site(&[]);
    site.delivery.view = View::never_complete();
    assert!(matches!(deliver(&site, 1, "", "zoe", MESSAGE).await, Delivered::Unavailable(_)));
}

/// A delivery of unknown outcome is neither lost nor doubled.
#[tokio::test]
async fn an_unknown_outcome_is_tried_again_under_its_id() {
    let unknown = || Fault::After(BatchError::Unknown);
    let lost = || Fault::Before(BatchError::Unknown);
    for (faults, expect, copies) in [
        (vec![unknown()], Delivered::Stored, 1),
        (vec![lost(), unknown(), lost()], Delivered::Stored, 1),
        (vec![lost(); 4], Delivered::Unavailable("outcome unknown".into()), 0),
        (vec![Fault::Before(BatchError::Unavailable("disk".into()))], Delivered::Unavailable("disk".into()), 0),
        (
            vec![Fault::Before(BatchError::Refused("too large".into()))],
            Delivered::Refused(RecipientRefusal::Store("too large".into())),
            0,
        ),
    ] {
        let site = site(&faults);
        assert_eq!(deliver(&site, 1, "ann@example.org", "zoe", MESSAGE).await, expect);
        assert_eq!(inbox(&site, "zoe").await.len(), copies);
    }
}

/// A correspondent gets one reply within the interval of the vacation (RFC 5230 §4.2). The reply has the null
/// reverse-path (RFC 3834 §3.3).
#[tokio::test]
async fn a_vacation_answers_once() {
    let site = site(&[]);
    assert_eq!(deliver(&site, 1, "ann@example.org", "away", MESSAGE_TO_AWAY).await, Delivered::Stored);
    let (row, reply) = site.queued().await.remove(0);
    assert_eq!((&row.reverse_path, row.due_at), (&None, at(1_700_000_000)));
    assert_eq!(row.recipients[0].recipient, Path::parse("ann@example.org").unwrap().into());
    let headers = HeaderSection::of(reply.as_bytes());
    assert_eq!(headers.get("Auto-Submitted").as_deref(), Some("auto-replied"));
    assert_eq!(headers.get("In-Reply-To").as_deref(), Some("<1@example.org>"));
    assert_eq!(headers.decoded("From").as_deref(), Some("Zoé Tremblay <away@example.edu>"));
    for (id, from) in [(2, "ann@example.org"), (3, "Ann@example.org")] {
        deliver(&site, id, from, "away", MESSAGE_TO_AWAY).await;
        assert_eq!(site.queued().await.len(), 1, "{from}");
    }
    deliver(&site, 4, "bob@example.org", "away", MESSAGE_TO_AWAY).await;
    assert_eq!((site.queued().await.len(), inbox(&site, "away").await.len()), (2, 4));
}

const MESSAGE_TO_AWAY: &[u8] = b"From: Ann <ann@example.org>\r\nTo: away@example.edu\r\nSubject: hi\r\n\
    Message-ID: <1@example.org>\r\n\r\nhello\r\n";

/// People who forward to each other get a message once each.
#[tokio::test]
async fn a_message_that_comes_back_to_its_forwarder_stays() {
    let site = site(&[]);
    let of = |hops: &[&str]| {
        let trace: String = hops.iter().map(|hop| format!("Return-Path: <>\r\nDelivered-To: {hop}\r\n")).collect();
        [trace.as_bytes(), MESSAGE].concat()
    };
    assert_eq!(deliver(&site, 1, "ann@example.org", "ping", &of(&[])).await, Delivered::Stored);
    assert_eq!((site.queued().await.len(), inbox(&site, "ping").await.len()), (1, 0));
    for (id, hops) in [(2, &["zoe@example.edu", "Ping@example.edu"][..]), (3, &["zoe@example.edu"; 5])] {
        assert_eq!(deliver(&site, id, "ann@example.org", "ping", &of(hops)).await, Delivered::Stored);
        assert_eq!((site.queued().await.len(), inbox(&site, "ping").await.len()), (1, id as usize - 1));
    }
}

/// A delivery of unknown outcome is repeated; its reply is queued once, together with the message.
#[tokio::test]
async fn a_delivery_and_its_reply_are_stored_together() {
    let unknown = || Fault::After(BatchError::Unknown);
    let lost = || Fault::Before(BatchError::Unavailable("disk".into()));
    for (faults, both) in [(vec![unknown()], 1), (vec![unknown(), unknown()], 1), (vec![lost()], 0)] {
        let site = site(&faults);
        for _ in 0..=both {
            deliver(&site, 1, "ann@example.org", "away", MESSAGE_TO_AWAY).await;
            let counts = (site.queued().await.len(), inbox(&site, "away").await.len());
            assert_eq!(counts, (both, both), "{}", faults.len());
        }
    }
}

/// RFC 3461 §4.1: a success is reported when the message is in the mailbox, and only where NOTIFY asks for it.
#[tokio::test]
async fn a_success_is_reported_where_it_is_wanted() {
    let site = site(&[]);
    let envelope = Envelope {
        envelope_id: EnvelopeId::parse("QQ1").ok(),
        ..Envelope::new(Path::parse("ann@example.org").ok(), [])
    };
    let zoe = |notify: &str| Recipient {
        notify: Notify::parse(notify).ok(),
        ..Path::parse("zoe@example.edu").unwrap().into()
    };
    for (number, notify, reports) in [(1, "NEVER", 0), (2, "FAILURE", 0), (3, "SUCCESS", 1), (3, "SUCCESS", 1)] {
        assert_eq!(deliver_to(&site, number, &envelope, &zoe(notify), MESSAGE).await, Delivered::Stored);
        assert_eq!(site.queued().await.len(), reports, "{notify}");
    }
    let (row, report) = site.queued().await.remove(0);
    assert_eq!((row.reverse_path, row.recipients[0].recipient.path.to_string()), (None, "ann@example.org".into()));
    assert!(report.contains("Original-Envelope-Id: QQ1\r\n") && report.contains("Action: delivered\r\n"), "{report}");
    let closed =
        Recipient { notify: Notify::parse("SUCCESS").ok(), ..Path::parse("closed@example.edu").unwrap().into() };
    assert!(matches!(deliver_to(&site, 4, &envelope, &closed, MESSAGE).await, Delivered::Refused(_)));
    assert_eq!(site.queued().await.len(), 1);
}

/// No reply is sent where RFC 3834 §2 forbids one, nor outside the dates of the vacation.
#[tokio::test]
async fn no_vacation_reply_is_sent_where_none_is_due() {
    let site = site(&[]);
    let list = [b"List-Id: <l.example.org>\r\n", MESSAGE_TO_AWAY].concat();
    let auto = [b"Auto-Submitted: auto-generated\r\n", MESSAGE_TO_AWAY].concat();
    for (from, to, message) in [
        ("", "away", MESSAGE_TO_AWAY),
        ("ann@example.org", "away", MESSAGE),
        ("ann@example.org", "away", &list),
        ("ann@example.org", "away", &auto),
        ("ann@example.org", "back", MESSAGE_TO_AWAY),
    ] {
        assert_eq!(deliver(&site, 1, from, to, message).await, Delivered::Stored);
        assert_eq!(site.queued().await.len(), 0, "{from} {to}");
    }
}

#[tokio::test]
async fn postmaster_is_an_address_or_a_login() {
    assert_eq!(site(&[]).delivery.postmaster(), None);
    let mut with_address = site(&[]).delivery;
    with_address.view = View::fixed(vec![person("zoe"), person("postmaster")]);
    assert_eq!(with_address.postmaster().unwrap().as_str(), "postmaster@example.edu");
    with_address.view = View::fixed(vec![Person { uid: "postmaster".into(), ..person("zoe") }]);
    assert_eq!(with_address.postmaster().unwrap().as_str(), "zoe@example.edu");
}

/// The Sieve compiler accepts the mailbox names that the store accepts: a `fileinto` of any other would go to INBOX.
#[test]
fn sieve_and_the_store_accept_the_same_mailbox_names() {
    let levels = |n: usize| vec!["a"; n].join("/");
    let (deep, too_deep, long, too_long) = (levels(16), levels(17), "x".repeat(255), "x".repeat(256));
    for name in
        ["Cours/été", "inbox", "", "/a", "a/", "a//b", "a*", "a%b", "a\u{85}", &deep, &too_deep, &long, &too_long]
    {
        let compiled = provost_sieve::Script::compile(&format!("require \"fileinto\"; fileinto \"{name}\";"));
        assert_eq!(compiled.is_ok(), MailboxName::parse(name).is_some(), "{name:?}");
    }
}
