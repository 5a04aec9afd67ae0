//! Replies while the directory or the store cannot answer (RFC 5530 §3 UNAVAILABLE, CORRUPTION).

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::{
    AccountSnapshot, Applied, BatchError, BodyId, BoxFuture, Columns, Lease, LeaseError, MailboxId, MessageSelection,
    MessageStore, ReadToken, Rows, StoreError,
};
use provost_view::View;

use super::*;

const UP: u8 = 0;
const DOWN: u8 = 1;
const DAMAGED: u8 = 2;
/// The store applies the batch but its first answer is lost.
const FORGETFUL: u8 = 3;

/// The memory engine with simulated loss of its connection.
struct LossyStore {
    engine: MemoryStore,
    state: AtomicU8,
}

impl LossyStore {
    fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }

    fn read<'a, T: Send + 'a>(
        &self,
        read: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        match self.state() {
            DOWN => Box::pin(std::future::ready(Err(StoreError::Unavailable("pulled".to_owned())))),
            _ => read,
        }
    }
}

impl MessageStore for LossyStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        match self.state() {
            DOWN => Box::pin(std::future::ready(Err(BatchError::Unavailable("pulled".to_owned())))),
            FORGETFUL => Box::pin(async move {
                self.state.store(UP, Ordering::SeqCst);
                self.engine.apply(batch).await?;
                Err(BatchError::Unknown)
            }),
            _ => self.engine.apply(batch),
        }
    }
    fn snapshot(
        &self,
        account: AccountId,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<AccountSnapshot, StoreError>> {
        self.read(self.engine.snapshot(account, at_least))
    }
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        which: MessageSelection,
        columns: Columns,
        at_least: Option<ReadToken>,
    ) -> BoxFuture<'_, Result<Rows, StoreError>> {
        self.read(self.engine.read(account, mailbox, which, columns, at_least))
    }
    fn body(
        &self,
        account: AccountId,
        body: BodyId,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        match self.state() {
            DAMAGED => Box::pin(std::future::ready(Err(StoreError::Damaged("checksum".to_owned())))),
            _ => self.read(self.engine.body(account, body, range)),
        }
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
    fn note_login(&self, account: AccountId, protocol: &'static str, now: Timestamp) {
        self.engine.note_login(account, protocol, now);
    }
}

/// A session with INBOX selected, which has one message.
async fn on_cable() -> (Site, Arc<LossyStore>, [Client; 1]) {
    let mut site = Site::new();
    let cable = Arc::new(LossyStore { engine: MemoryStore::default(), state: AtomicU8::new(UP) });
    site.config = Arc::new(ImapConfig { store: cable.clone(), ..(*site.config).clone() });
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await];
    clients[0].send("s SELECT INBOX\r\n").await;
    clients[0].take();
    (site, cable, clients)
}

async fn pulled(state: u8, script: &str) {
    let (_world, cable, mut clients) = on_cable().await;
    cable.state.store(state, Ordering::SeqCst);
    play(&mut clients, script).await;
}

/// A notice whose changes cannot be read is not lost: the client gets the changes when the store answers again, without
/// another notice, and meanwhile the session does not query the store in a tight loop.
#[tokio::test(start_paused = true)]
async fn an_idle_notice_survives_a_failed_read() {
    let (site, cable, mut clients) = on_cable().await;
    play(&mut clients, "C: a IDLE\nS: + idling").await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    cable.state.store(DOWN, Ordering::SeqCst);
    let begin = tokio::time::Instant::now();
    for _ in 0..10 {
        play(&mut clients, "E:").await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    cable.state.store(UP, Ordering::SeqCst);
    play(&mut clients, "E:\nS: * 2 EXISTS\nS: * 2 RECENT\nC: DONE\nS: a OK ~").await;
    let more = tokio::time::timeout(Duration::from_secs(60), clients[0].session.event());
    assert!(more.await.is_err(), "an event without a change");
}

/// Without IDLE, the next command reports the changes that the previous command could not read.
#[tokio::test]
async fn a_failed_read_is_made_up_for() {
    let (site, cable, mut clients) = on_cable().await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    cable.state.store(DOWN, Ordering::SeqCst);
    play(&mut clients, "C: a FETCH 1 (UID)\nS: * 1 FETCH (UID 1)\nS: a OK ~").await;
    cable.state.store(UP, Ordering::SeqCst);
    let script = "C: b FETCH 1 (UID)\nS: * 1 FETCH (UID 1)\nS: * 2 EXISTS\nS: * 2 RECENT\nS: b OK ~";
    play(&mut clients, script).await;
}

#[tokio::test]
async fn store_down() {
    let script = r#"
        C: a NOOP
        S: a OK NOOP completed
        C: b STORE 1 +FLAGS (\Seen)
        S: b NO [UNAVAILABLE] ~
        C: c COPY 1 Trash
        S: c NO [UNAVAILABLE] ~
        C: d EXPUNGE
        S: d NO [UNAVAILABLE] ~
        C: e APPEND INBOX {1+}
        C: x
        S: e NO [UNAVAILABLE] ~
        C: f FETCH 1 BODY.PEEK[]
        S: f NO [UNAVAILABLE] ~
        C: g SEARCH BODY x
        S: g NO [UNAVAILABLE] ~
        C: h LIST "" *
        S: h NO [UNAVAILABLE] ~
        C: i LSUB "" *
        S: i NO [UNAVAILABLE] ~
        C: j STATUS INBOX (MESSAGES)
        S: j NO [UNAVAILABLE] ~
        C: k CREATE x
        S: k NO [UNAVAILABLE] ~
        C: l DELETE x
        S: l NO [UNAVAILABLE] ~
        # What needs no store goes on
        C: m FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\Recent))
        S: m OK FETCH completed
        C: n SELECT INBOX
        S: n NO [UNAVAILABLE] ~"#;
    pulled(DOWN, script).await;
}

#[tokio::test]
async fn damaged_bodies() {
    let script = r"
        C: a FETCH 1 (UID BODY.PEEK[])
        S: a NO [CORRUPTION] ~
        C: b SEARCH BODY c
        S: * SEARCH
        S: b OK SEARCH completed
        # The message is marked as seen before its text is read: the client is sent the flag, whatever becomes of the text
        C: c FETCH 1 (BODY[])
        S: * 1 FETCH (FLAGS (\Seen \Recent))
        S: c NO [CORRUPTION] ~";
    pulled(DAMAGED, script).await;
}

/// An unknown outcome is retried under the same batch id, so one message is stored, not two.
#[tokio::test]
async fn unknown_outcomes() {
    let script = r"
        C: a APPEND Drafts {1+}
        C: x
        S: a OK [APPENDUID ~ 1] APPEND completed
        C: b STATUS Drafts (MESSAGES)
        S: * STATUS Drafts (MESSAGES 1)
        S: b OK STATUS completed";
    pulled(FORGETFUL, script).await;
}

/// With no hash to verify and no directory to ask, the reply must not blame the password.
#[tokio::test]
async fn directory_down() {
    let mut site = Site::new();
    let unverifiable = Person { passwords: Vec::new(), ..person(PersonState::Active) };
    let view = View::fixed(vec![unverifiable]);
    site.config = Arc::new(ImapConfig { view, ..(*site.config).clone() });
    play(&mut [site.client()], "C: a LOGIN zoe secret\nS: a NO [UNAVAILABLE] ~").await;
}
