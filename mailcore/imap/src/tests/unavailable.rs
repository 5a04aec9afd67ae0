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
/// The store applies the next batch, but its answer is lost.
const ANSWER_LOST: u8 = 3;

/// The memory engine with simulated faults.
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
            DOWN => Box::pin(std::future::ready(Err(StoreError::Unavailable("simulated".to_owned())))),
            _ => read,
        }
    }
}

impl MessageStore for LossyStore {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, BatchError>> {
        match self.state() {
            DOWN => Box::pin(std::future::ready(Err(BatchError::Unavailable("simulated".to_owned())))),
            ANSWER_LOST => Box::pin(async move {
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

/// A session with INBOX selected, which has one message.
async fn with_lossy_store() -> (Site, Arc<LossyStore>, [Client; 1]) {
    let mut site = Site::new();
    let store = Arc::new(LossyStore { engine: MemoryStore::default(), state: AtomicU8::new(UP) });
    site.config = Arc::new(ImapConfig { store: store.clone(), ..(*site.config).clone() });
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await];
    clients[0].send("s SELECT INBOX\r\n").await;
    clients[0].take();
    (site, store, clients)
}

/// Plays a conversation after the store has entered `state`.
async fn play_in(state: u8, script: &str) {
    let (_site, store, mut clients) = with_lossy_store().await;
    store.state.store(state, Ordering::SeqCst);
    play(&mut clients, script).await;
}

/// A notice whose changes cannot be read is not lost: the client gets the changes when the store answers again, without
/// another notice, and meanwhile the session does not query the store in a tight loop.
#[tokio::test(start_paused = true)]
async fn an_idle_notice_survives_a_failed_read() {
    let (site, store, mut clients) = with_lossy_store().await;
    play(&mut clients, "C: a IDLE\nS: + idling").await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    store.state.store(DOWN, Ordering::SeqCst);
    let begin = tokio::time::Instant::now();
    for _ in 0..10 {
        play(&mut clients, "E:").await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    store.state.store(UP, Ordering::SeqCst);
    play(&mut clients, "E:\nS: * 2 EXISTS\nS: * 2 RECENT\nC: DONE\nS: a OK ~").await;
    let more = tokio::time::timeout(Duration::from_secs(60), clients[0].session.event());
    assert!(more.await.is_err(), "an event without a change");
}

/// Without IDLE, the next command reports the changes that the previous command could not read.
#[tokio::test]
async fn a_failed_read_is_made_up_for() {
    let (site, store, mut clients) = with_lossy_store().await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    store.state.store(DOWN, Ordering::SeqCst);
    play(&mut clients, "C: a FETCH 1 (UID)\nS: * 1 FETCH (UID 1)\nS: a OK ~").await;
    store.state.store(UP, Ordering::SeqCst);
    let script = "C: b FETCH 1 (UID)\nS: * 1 FETCH (UID 1)\nS: * 2 EXISTS\nS: * 2 RECENT\nS: b OK ~";
    play(&mut clients, script).await;
}

#[tokio::test]
async fn commands_are_unavailable_while_the_store_is_down() {
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
        # A command that needs no store is answered as always
        C: m FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\Recent))
        S: m OK FETCH completed
        C: n SELECT INBOX
        S: n NO [UNAVAILABLE] ~"#;
    play_in(DOWN, script).await;
}

/// RFC 3501 §6.4.2: only an OK to CLOSE leads to the authenticated state.
#[tokio::test]
async fn a_close_that_cannot_expunge_leaves_the_mailbox_selected() {
    let (_site, store, mut clients) = with_lossy_store().await;
    play(&mut clients, "C: a STORE 1 +FLAGS.SILENT (\\Deleted)\nS: a OK ~").await;
    store.state.store(DOWN, Ordering::SeqCst);
    play(&mut clients, "C: b CLOSE\nS: b NO [UNAVAILABLE] ~").await;
    store.state.store(UP, Ordering::SeqCst);
    play(
        &mut clients,
        "C: c CLOSE\nS: c OK ~\nC: d STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 0)\nS: d OK ~",
    )
    .await;
}

#[tokio::test]
async fn a_damaged_body_is_reported_as_corruption() {
    let script = r"
        C: a FETCH 1 (UID BODY.PEEK[])
        S: a NO [CORRUPTION] ~
        C: b SEARCH BODY c
        S: * SEARCH
        S: b OK SEARCH completed
        # \Seen is set before the text is read, so it is reported although the text cannot be sent
        C: c FETCH 1 (BODY[])
        S: * 1 FETCH (FLAGS (\Seen \Recent))
        S: c NO [CORRUPTION] ~";
    play_in(DAMAGED, script).await;
}

/// An unknown outcome is retried under the same batch id, so one message is stored, not two.
#[tokio::test]
async fn an_append_of_unknown_outcome_is_stored_once() {
    let script = r"
        C: a APPEND Drafts {1+}
        C: x
        S: a OK [APPENDUID ~ 1] APPEND completed
        C: b STATUS Drafts (MESSAGES)
        S: * STATUS Drafts (MESSAGES 1)
        S: b OK STATUS completed";
    play_in(ANSWER_LOST, script).await;
}

/// When there is neither a hash to verify nor a directory to ask, the reply must not be "Wrong name or password".
#[tokio::test]
async fn a_login_is_unavailable_without_hash_and_directory() {
    let mut site = Site::new();
    let unverifiable = Person { passwords: Vec::new(), ..person(PersonState::Active) };
    let view = View::fixed(vec![unverifiable]);
    site.config = Arc::new(ImapConfig { view, ..(*site.config).clone() });
    play(&mut [site.client()], "C: a LOGIN zoe secret\nS: a NO [UNAVAILABLE] ~").await;
}
