//! What each command reads of the store: only the requested rows, and no body where columns suffice. A large body whose
//! structure is in a column is read in pieces.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::{
    AccountSnapshot, Applied, BatchError, BodyId, BoxFuture, Columns, Lease, LeaseError, MailboxId, MessageSelection,
    MessageStore, ReadToken, Rows, StoreError,
};

use super::*;

/// The memory engine, which counts its reads.
#[derive(Default)]
struct CountingStore {
    engine: MemoryStore,
    rows: AtomicU64,
    bodies: AtomicU64,
    /// Largest piece of a body that one read returned, in octets.
    octets_at_once: AtomicU64,
    /// Answers without columns, like a store whose columns are of an earlier version.
    has_no_columns: AtomicBool,
    /// Returns nothing of a body after its first piece, like a store whose body is shorter than its structure.
    has_short_bodies: AtomicBool,
}

impl CountingStore {
    /// Rows and bodies read since the last call.
    fn take(&self) -> (u64, u64) {
        (self.rows.swap(0, Ordering::SeqCst), self.bodies.swap(0, Ordering::SeqCst))
    }
}

impl MessageStore for CountingStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        self.engine.apply(batch)
    }
    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        self.engine.snapshot(account, at_least)
    }
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        Box::pin(async move {
            let columns = if self.has_no_columns.load(Ordering::SeqCst) { Columns::NONE } else { columns };
            let rows = self.engine.read(account, mailbox, which, columns, at_least).await?;
            self.rows.fetch_add(rows.rows.len() as u64, Ordering::SeqCst);
            Ok(rows)
        })
    }
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        Box::pin(async move {
            let is_cut =
                self.has_short_bodies.load(Ordering::SeqCst) && range.as_ref().is_some_and(|range| range.start > 0);
            let octets = if is_cut { Bytes::new() } else { self.engine.body(account, body, range).await? };
            self.bodies.fetch_add(1, Ordering::SeqCst);
            self.octets_at_once.fetch_max(octets.len() as u64, Ordering::SeqCst);
            Ok(octets)
        })
    }
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64> {
        self.engine.notices(account)
    }
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        self.engine.lease(name, ttl)
    }
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.engine.renew(lease, ttl)
    }
    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        self.engine.accounts(after, limit)
    }
    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        self.engine.logins_since(since, limit)
    }
    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        self.engine.note_login(account, protocol, now);
    }
}

fn site(view: View) -> (Site, Arc<CountingStore>) {
    let mut site = Site::new();
    let store = Arc::new(CountingStore::default());
    site.config = Arc::new(ImapConfig { view, store: store.clone(), ..(*site.config).clone() });
    (site, store)
}

fn without_quota() -> View {
    View::fixed(vec![Person { quota_octets: None, ..person(PersonState::Active) }])
}

async fn fill(site: &Site, messages: u32, message: &'static [u8]) {
    let account = AccountId::new(Uuid::from_u128(1));
    let op = || Op::Append {
        mailbox: MailboxName::inbox(),
        create: false,
        body: Bytes::from_static(message),
        flags: Flags::none(),
        internal_date: NOW,
    };
    let mut left = messages;
    while left > 0 {
        let ops: Vec<Op> = (0..left.min(1_000)).map(|_| op()).collect();
        left -= ops.len() as u32;
        let batch = Batch { id: None, account, now: NOW, require: Vec::new(), ops };
        site.config.store.apply(batch).await.unwrap();
    }
}

const MESSAGE: &[u8] = b"From: Zoe <zoe@example.edu>\r\nTo: a@b\r\nSubject: Hello\r\nX-Other: x\r\n\
    Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nbody\r\n";

/// A command about one or ten messages reads the same amount in a mailbox of 100,000 as in one of ten.
#[tokio::test]
async fn cost_depends_on_the_requested_messages_only() {
    let mut costs = Vec::new();
    for messages in [10, 100_000] {
        let (site, store) = site(without_quota());
        fill(&site, messages, MESSAGE).await;
        let mut client = site.logged_in().await;
        client.send("s SELECT INBOX\r\nt NOOP\r\n").await;
        client.take();
        assert_eq!(store.take(), (u64::from(messages), 0));
        let mut cost = Vec::new();
        for command in [
            "FETCH 1:10 FLAGS",
            "FETCH 1:10 (UID FLAGS INTERNALDATE RFC822.SIZE)",
            "STORE 5 +FLAGS (\\Flagged)",
            "UID STORE 7 -FLAGS.SILENT (\\Seen)",
            "SEARCH 1:10 SMALLER 1000",
            "FETCH 1:3 ENVELOPE",
            "NOOP",
            "COPY 3 Trash",
            "FETCH 2 BODY[]",
        ] {
            client.send(format!("c {command}\r\n")).await;
            assert!(client.take().contains("c OK "), "{command}");
            cost.push((command, store.take()));
        }
        costs.push(cost);
        // The second SELECT, from any session, reads only changes.
        let mut other = site.logged_in().await;
        other.send("s SELECT INBOX\r\n").await;
        assert!(other.take().contains(&format!("* {messages} EXISTS\r\n")));
        assert_eq!(store.take(), (0, 0));
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[1][0].1, (0, 0), "rows and bodies read for FETCH 1:10 FLAGS");
    assert_eq!(costs[1][1].1, (10, 0), "rows and bodies read for ten messages");
}

/// FETCH and SEARCH read no body for ENVELOPE, BODYSTRUCTURE and the header fields that columns hold.
#[tokio::test]
async fn no_body_is_read_where_columns_suffice() {
    let (site, store) = site(without_quota());
    fill(&site, 20, MESSAGE).await;
    let mut client = site.logged_in().await;
    client.send("s SELECT INBOX\r\n").await;
    client.take();
    for (command, bodies) in [
        ("FETCH 1:* (FLAGS ENVELOPE)", 0),
        ("FETCH 1:* (BODY BODYSTRUCTURE)", 0),
        ("FETCH 1:* FULL", 0),
        ("FETCH 1:* BODY.PEEK[HEADER.FIELDS (FROM Subject References)]", 0),
        ("FETCH 1:* BODY.PEEK[HEADER.FIELDS (FROM X-Other)]", 20),
        ("FETCH 1:* BODY.PEEK[HEADER.FIELDS.NOT (FROM)]", 20),
        ("FETCH 1:2 (BODY.PEEK[1] BODY.PEEK[HEADER] RFC822.SIZE)", 2),
        ("SEARCH FROM zoe TO a@b NOT CC x SUBJECT hello BCC none", 0),
        ("SEARCH SENTON 23-Nov-2026 HEADER Message-ID x", 0),
        ("SEARCH OR FROM zoe BODY x", 0),
        ("SEARCH HEADER X-Other x", 20),
        ("SEARCH 3 BODY body", 1),
    ] {
        store.take();
        client.send(format!("c {command}\r\n")).await;
        assert!(client.take().contains("c OK "), "{command}");
        assert_eq!(store.take().1, bodies, "{command}");
    }
}

/// A client fetches a message of 40 MB and stops reading: the session holds no more of the message than a few pieces.
#[tokio::test]
async fn bodies_are_streamed() {
    const OCTETS: usize = 40 * 1024 * 1024;
    let (site, store) = site(without_quota());
    let line = b"0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n";
    let part = line.repeat(OCTETS / 2 / line.len());
    let head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n";
    let message = [&head[..], &part, b"\r\n--b\r\n\r\n", &part, b"\r\n--b--\r\n"].concat();
    site.deliver("INBOX", std::str::from_utf8(&message).unwrap()).await;
    for item in ["BODY.PEEK[]", "BODY.PEEK[1]", "BODY.PEEK[TEXT]", "BODY.PEEK[]<1000.30000000>", "RFC822"] {
        let mut client = site.logged_in().await;
        client.send("s EXAMINE INBOX\r\n").await;
        client.take();
        store.octets_at_once.store(0, Ordering::SeqCst);
        let mut sink = SlowClient { taken: 0, limit: 3, largest: 0 };
        let mut input = BytesMut::from(format!("f FETCH 1 {item}\r\n").as_bytes());
        let mut buffer = BytesMut::new();
        let mut out = OutputBuffer::new(&mut buffer, &mut sink);
        let step = tokio::time::timeout(Duration::ZERO, client.session.step(&mut input, &mut out)).await;
        assert!(step.is_err(), "{item}: the command ended although the client does not read");
        let octets = store.octets_at_once.load(Ordering::SeqCst);
        assert!(octets <= 128 * 1024 && sink.largest <= 256 * 1024, "{item}: {octets} {}", sink.largest);
        assert!(store.take().1 <= 4, "{item}: the store was read ahead of the client");
    }
    // A client that reads gets the message octet for octet.
    let mut client = site.logged_in().await;
    client.send("s EXAMINE INBOX\r\n").await;
    client.take();
    client.send("f FETCH 1 (BODY.PEEK[2] BODY.PEEK[])\r\n").await;
    let received = client.take();
    let (of_part, rest) = received.split_once(" BODY[] ").unwrap();
    assert_eq!(of_part, format!("* 1 FETCH (BODY[2] {{{}}}\r\n{}", part.len(), std::str::from_utf8(&part).unwrap()));
    let message = std::str::from_utf8(&message).unwrap();
    let expect = format!("{{{}}}\r\n{message})\r\nf OK FETCH completed\r\n", message.len());
    assert!(rest == expect, "BODY[] is not the message: {} octets instead of {}", rest.len(), expect.len());
}

/// SEARCH of a message of 40 MB holds no more than a piece in memory, and finds texts anywhere in the message.
#[tokio::test]
async fn bodies_are_searched_in_pieces() {
    const OCTETS: usize = 40 * 1024 * 1024;
    let (site, store) = site(without_quota());
    let line = "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n";
    let part = line.repeat(OCTETS / 2 / line.len());
    // The first piece begins with the header of the first part. `needle one` crosses the end of this piece.
    let head = "Content-Type: text/plain; charset=utf-8\r\n\r\n";
    let across = format!("{}needle one\r\n", "x".repeat(128 * 1024 - head.len() - 5));
    let latin = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nbmVlZGxlIMOJVMOJ";
    let message = format!(
        "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        {head}{across}{part}\r\n\
        --b\r\nContent-Type: image/png\r\n\r\n{part}hidden\r\n--b\r\nX-Field: two\r\n{latin}\r\n--b--\r\n"
    );
    site.deliver("INBOX", &message).await;
    site.deliver("INBOX", "Subject: small\r\n\r\nneedle three\r\n").await;
    let mut client = site.logged_in().await;
    client.send("s EXAMINE INBOX\r\n").await;
    client.take();
    store.octets_at_once.store(0, Ordering::SeqCst);
    for (keys, expect) in [
        ("BODY \"needle one\"", " 1"),
        ("BODY needle", " 1 2"),
        ("BODY {9+}\r\nneedle \u{e9}", " 1"),
        ("BODY {12+}\r\nneedle \u{e9}t\u{e9}", " 1"),
        ("BODY \"x-field: two\"", " 1"),
        ("BODY hidden", ""),
        ("TEXT large", " 1"),
        ("OR BODY three TEXT \"two\"", " 1 2"),
        ("NOT BODY 0123456789", " 2"),
        ("BODY none", ""),
    ] {
        client.send(format!("f SEARCH {keys}\r\n")).await;
        let expect = format!("* SEARCH{expect}\r\nf OK SEARCH completed\r\n");
        assert_eq!(client.take(), expect, "{keys}");
    }
    let octets = store.octets_at_once.load(Ordering::SeqCst);
    assert!(octets <= 128 * 1024, "{octets}");
    store.take();
    client.send("f SEARCH 1 BODY xxx\r\n").await;
    assert_eq!(client.take(), "* SEARCH 1\r\nf OK SEARCH completed\r\n");
    let reads = store.take().1;
    assert!(reads <= 4, "the search did not stop after a match: {reads} reads");
    // A message without a kept structure is read whole once to find its parts.
    store.has_no_columns.store(true, Ordering::SeqCst);
    client.send("f SEARCH BODY \"needle one\"\r\n").await;
    assert_eq!(client.take(), "* SEARCH 1\r\nf OK SEARCH completed\r\n");
    assert_eq!(store.octets_at_once.load(Ordering::SeqCst), message.len() as u64);
}

/// SEARCH BODY does not find a damaged message. The damage is counted like damage that the store finds.
#[tokio::test]
async fn a_body_shorter_than_its_structure_is_counted_as_damage() {
    let (site, store) = site(without_quota());
    site.deliver("INBOX", &format!("Subject: large\r\n\r\n{}needle\r\n", "x\r\n".repeat(100_000))).await;
    let mut client = site.logged_in().await;
    client.send("s EXAMINE INBOX\r\n").await;
    client.take();
    store.has_short_bodies.store(true, Ordering::SeqCst);
    let damage = DamageCounter::default();
    let _recording = metrics::set_default_local_recorder(&damage);
    client.send("f SEARCH BODY needle\r\n").await;
    assert_eq!(client.take(), "* SEARCH\r\nf OK SEARCH completed\r\n");
    assert_eq!(damage.0.load(Ordering::SeqCst), 1);
}

/// Records `provost_store_damaged_total` alone.
#[derive(Default)]
struct DamageCounter(Arc<AtomicU64>);

impl metrics::Recorder for DamageCounter {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        match key.name() {
            "provost_store_damaged_total" => metrics::Counter::from_arc(self.0.clone()),
            _ => metrics::Counter::noop(),
        }
    }
    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

/// A client that takes some buffers and then reads no more.
struct SlowClient {
    taken: usize,
    limit: usize,
    largest: usize,
}

impl provost_net::Sink for SlowClient {
    fn send<'a>(
        &'a mut self,
        bytes: &'a mut BytesMut,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        self.taken += 1;
        self.largest = self.largest.max(bytes.len());
        if self.taken > self.limit {
            return Box::pin(std::future::pending());
        }
        bytes.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}
