//! A directory of two people, a store that can be made to fail, and a client that plays a written conversation.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_message::Address;
use provost_net::{OutputBuffer, Peer, Session, Step, Transport};
use provost_store::{
    AccountId, AccountSnapshot, Applied, Batch, BatchError, BodyId, BoxFuture, Columns, Flags, Lease, LeaseError,
    MailboxId, MailboxName, MemoryStore, MessageSelection, MessageStore, Op, ReadToken, Rows, StoreError,
};
use provost_view::{Affiliation, Person, PersonState, View};
use uuid::Uuid;

use crate::{Pop3Config, Pop3Session};

pub(super) fn person(n: u128, uid: &str, state: PersonState) -> Person {
    Person {
        entry_uuid: Uuid::from_u128(n),
        dn: format!("uid={uid}").into(),
        uid: uid.into(),
        display_name: uid.into(),
        primary: Address::from_parts(uid, "example.edu").unwrap(),
        state,
        affiliation: Affiliation::Student,
        language: None,
        // Clear text, so that no test pays for a hash.
        passwords: vec!["{CLEARTEXT}let me in".into()],
        quota_octets: None,
        vacation: None,
        roles: Vec::new(),
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

/// The memory engine, with faults on request.
#[derive(Default)]
pub(super) struct FaultyStore {
    inner: MemoryStore,
    /// This many applies succeed but report an unknown outcome.
    pub(super) unknown: AtomicUsize,
    /// This many applies fail as unavailable, without effect.
    pub(super) unavailable: AtomicUsize,
    /// Reads of a body that end at or after this octet fail; with 0 none fails.
    pub(super) bodies_fail: AtomicUsize,
    /// Snapshots fail unless this is 0.
    pub(super) down: AtomicUsize,
}

impl FaultyStore {
    fn take(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
    fn check_up(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) == 0 { Ok(()) } else { Err(StoreError::Unavailable("down".into())) }
    }
}

impl MessageStore for FaultyStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        Box::pin(async move {
            if Self::take(&self.unavailable) {
                return Err(BatchError::Unavailable("disk full".into()));
            }
            let applied = self.inner.apply(batch).await;
            if Self::take(&self.unknown) { Err(BatchError::Unknown) } else { applied }
        })
    }
    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        Box::pin(async move {
            self.check_up()?;
            self.inner.snapshot(account, at_least).await
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
        self.inner.read(account, mailbox, which, columns, at_least)
    }
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        Box::pin(async move {
            let fail = self.bodies_fail.load(Ordering::SeqCst) as u64;
            let end = range.as_ref().map(|range| range.end);
            let octets = self.inner.body(account, body, range).await?;
            if fail > 0 && end.unwrap_or(octets.len() as u64) >= fail {
                return Err(StoreError::Damaged("checksum".into()));
            }
            Ok(octets)
        })
    }
    fn notices(&self, account: AccountId) -> tokio::sync::watch::Receiver<u64> {
        self.inner.notices(account)
    }
    fn lease(&self, name: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>, StoreError>> {
        self.inner.lease(name, ttl)
    }
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.inner.renew(lease, ttl)
    }
    fn accounts(&self, after: Option<AccountId>, limit: usize) -> BoxFuture<'_, Result<Vec<AccountId>, StoreError>> {
        self.inner.accounts(after, limit)
    }
    fn logins_since(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(AccountId, Timestamp)>, StoreError>> {
        self.inner.logins_since(since, limit)
    }
    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        self.inner.note_login(account, protocol, now);
    }
}

/// State that all sessions of a test share.
pub(super) struct Site {
    pub(super) store: Arc<FaultyStore>,
    pub(super) config: Arc<Pop3Config>,
}

pub(super) const ZOE: AccountId = AccountId::new(Uuid::from_u128(1));

impl Site {
    /// Zoe is active and Ana is suspended.
    pub(super) fn new() -> Self {
        Self::with(View::fixed(vec![person(1, "zoe", PersonState::Active), person(2, "ana", PersonState::Suspended)]))
    }

    /// A site with the test's own people.
    pub(super) fn with(view: View) -> Self {
        let store = Arc::new(FaultyStore::default());
        let config = Pop3Config { hostname: "mx.example.edu".into(), view, store: store.clone() };
        Self { store, config: Arc::new(config) }
    }

    /// Delivers messages to Zoe's INBOX.
    pub(super) async fn deliver(&self, bodies: &[&str]) {
        let append = |body: &&str| Op::Append {
            mailbox: MailboxName::inbox(),
            create: false,
            body: Bytes::from(body.to_string()),
            flags: Flags::none(),
            internal_date: Timestamp::UNIX_EPOCH,
        };
        let ops = bodies.iter().map(append).collect();
        self.store
            .inner
            .apply(Batch {
                id: None,
                account: ZOE,
                now: Timestamp::constant(1_700_000_000, 0),
                require: Vec::new(),
                ops,
            })
            .await
            .unwrap();
    }

    /// The UIDs in Zoe's INBOX.
    pub(super) async fn uids(&self) -> Vec<u32> {
        let snapshot = self.store.inner.snapshot(ZOE, None).await.unwrap();
        let inbox = snapshot.mailbox(&MailboxName::inbox()).unwrap();
        let read = self.store.inner.read(ZOE, inbox.id, MessageSelection::all(), Columns::NONE, None).await.unwrap();
        read.rows.iter().map(|row| row.meta.uid.get()).collect()
    }

    /// A connection from this machine, without TLS.
    pub(super) async fn connect(&self) -> Client {
        self.connect_from("127.0.0.1:40000", Transport::Plain).await
    }

    pub(super) async fn connect_from(&self, remote: &str, transport: Transport) -> Client {
        let remote: SocketAddr = remote.parse().unwrap();
        let peer = Peer { remote, local: "127.0.0.1:1100".parse().unwrap() };
        let session = Pop3Session::new(self.config.clone(), peer, transport, true);
        let mut client = Client {
            session,
            input: BytesMut::new(),
            buffer: BytesMut::new(),
            replies: Vec::new(),
            last: Step::Continue,
        };
        client.last =
            client.session.open(&mut OutputBuffer::new(&mut client.buffer, &mut client.replies)).await.unwrap();
        client
    }
}

/// The client's end of a session.
pub(super) struct Client {
    pub(super) session: Pop3Session,
    input: BytesMut,
    buffer: BytesMut,
    replies: Vec<u8>,
    pub(super) last: Step,
}

impl Client {
    /// Sends octets, and runs the session until it needs more.
    pub(super) async fn send(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        self.last = Step::Continue;
        while self.last == Step::Continue {
            let mut out = OutputBuffer::new(&mut self.buffer, &mut self.replies);
            self.last = self.session.step(&mut self.input, &mut out).await.unwrap();
        }
    }

    /// The output since the last call.
    pub(super) fn replies(&mut self) -> String {
        self.replies.extend_from_slice(&self.buffer);
        self.buffer.clear();
        String::from_utf8(std::mem::take(&mut self.replies)).unwrap()
    }

    /// Plays a conversation. The text after `C:` is sent with CRLF. The text after `S:` must be the next line of
    /// output, or the beginning of that line when the text ends with `...`. `S! closed` and `S! tls` require that the
    /// session asked to close or to start TLS. A line that begins with `#` is a comment. Other output fails the test.
    pub(super) async fn play(&mut self, conversation: &str) {
        let mut waiting = String::new();
        for line in conversation.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            match line.split_at(2) {
                ("C:", text) => {
                    assert_eq!(waiting, "", "unexpected output before {line:?}");
                    self.send(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).as_bytes()).await;
                    waiting = self.replies();
                }
                ("S:", text) => {
                    waiting.push_str(&self.replies());
                    let (replies, rest) =
                        waiting.split_once("\r\n").unwrap_or_else(|| panic!("no output for {line:?}"));
                    let text = text.strip_prefix(' ').unwrap_or(text);
                    match text.strip_suffix("...") {
                        Some(head) => assert!(replies.starts_with(head), "{replies:?} for {line:?}"),
                        None => assert_eq!(replies, text),
                    }
                    waiting = rest.to_owned();
                }
                ("S!", " closed") => assert_eq!(self.last, Step::Close),
                ("S!", " tls") => assert_eq!(self.last, Step::StartTls),
                _ => panic!("{line:?}"),
            }
        }
        assert_eq!(waiting, "", "unexpected output at the end");
    }
}
