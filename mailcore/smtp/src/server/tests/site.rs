//! The fixture of these tests: a small site with stores in memory, and an SMTP session whose input and output are
//! buffers in memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_credential::Scheme;
use provost_delivery::Delivery;
use provost_message::Address;
use provost_net::{MemoryBudget, OutputBuffer, Peer, Session, Step, Transport};
use provost_queue::{Queue, QueueConfig};
use provost_store::{
    AccountId, Columns, MailboxName, MemoryStore, MessageSelection, MessageStore, QueueRow, QueueStore,
};
use provost_view::{Affiliation, Fallback, Person, PersonState, Secret, Vacation, View};
use uuid::Uuid;

use crate::server::{Service, SmtpConfig, SmtpSession};

pub(super) struct Site {
    pub(super) store: Arc<MemoryStore>,
    pub(super) config: Arc<SmtpConfig>,
}

pub(super) fn person(local: &str) -> Person {
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

/// A person with a vacation rule.
pub(super) fn away(local: &str) -> Person {
    let vacation = Vacation {
        start: None,
        end: None,
        subject: None,
        subject_fr: Some("Absente".into()),
        subject_en: None,
        text: None,
        text_fr: Some("Je reviens l'été.".into()),
        text_en: None,
        interval_days: 7,
    };
    Person { vacation: Some(Box::new(vacation)), ..person(local) }
}

pub(super) fn site() -> Site {
    // SSHA is cheap to verify. These tests check the conversation, not the hash.
    let password = provost_credential::hash(&Secret::new("secret"), Scheme::Ssha);
    let zoe = Person { passwords: vec![password.into()], ..person("zoe") };
    let full = Person { quota_octets: Some(10), ..person("full") };
    let closed = Person { state: PersonState::Closed, ..person("closed") };
    let mut settings = Fallback::default();
    settings.add("message-size", "test", "65536").unwrap();
    site_with(View::fixed_with(vec![zoe, person("ann"), full, closed], settings))
}

pub(super) fn site_with(view: View) -> Site {
    let store = Arc::new(MemoryStore::default());
    site_over(view, store.clone(), store.clone(), store)
}

/// A site with these stores for mailboxes and queue. [`Site::mailbox`] and [`Site::queued`] read `store`.
pub(super) fn site_over(
    view: View,
    mailboxes: Arc<dyn MessageStore>,
    rows: Arc<dyn QueueStore>,
    store: Arc<MemoryStore>,
) -> Site {
    let hostname: Arc<str> = "mx.example.edu".into();
    let delivery = Delivery { view: view.clone(), store: mailboxes, hostname: hostname.clone() };
    let queue = Queue::new(rows, delivery.clone(), None, QueueConfig::default());
    let config = SmtpConfig { hostname, recipients_max: 4, view, delivery, queue, memory: MemoryBudget::default() };
    Site { store, config: Arc::new(config) }
}

/// A conversation with a session.
pub(super) struct TestConversation {
    pub(super) session: SmtpSession,
    input: BytesMut,
    /// [`Step::StartTls`] or [`Step::Close`], once the session has returned one of them.
    pub(super) ended: Option<Step>,
}

impl Site {
    /// Connects from the loopback address in plain text; EHLO offers STARTTLS.
    pub(super) fn connect(&self, service: Service) -> TestConversation {
        self.connect_from(service, "127.0.0.1:1000", Transport::Plain, true)
    }

    pub(super) fn connect_from(
        &self,
        service: Service,
        remote: &str,
        transport: Transport,
        tls_offered: bool,
    ) -> TestConversation {
        let peer = Peer { remote: remote.parse().unwrap(), local: "127.0.0.1:25".parse().unwrap() };
        let mut session = SmtpSession::new(service, self.config.clone(), peer, transport, tls_offered);
        session.clock = || Timestamp::from_second(1_700_000_000).unwrap();
        TestConversation { session, input: BytesMut::new(), ended: None }
    }

    pub(super) async fn inbox(&self, local: &str) -> Vec<String> {
        self.mailbox(local, "INBOX").await
    }

    pub(super) async fn mailbox(&self, local: &str, name: &str) -> Vec<String> {
        let account = AccountId::new(person(local).entry_uuid);
        let snapshot = self.store.snapshot(account, None).await.unwrap();
        let mailbox = snapshot.mailbox(&MailboxName::parse(name).unwrap()).unwrap().id;
        let mut bodies = Vec::new();
        for row in self.store.read(account, mailbox, MessageSelection::all(), Columns::NONE, None).await.unwrap().rows {
            let body = self.store.body(account, row.meta.body, None).await.unwrap();
            bodies.push(String::from_utf8(body.to_vec()).unwrap());
        }
        bodies
    }

    pub(super) async fn queued(&self) -> Vec<(QueueRow, Bytes)> {
        let mut queued = Vec::new();
        for row in self.store.list(100).await.unwrap() {
            let body = self.store.queued_body(&row).await.unwrap();
            queued.push((row, body));
        }
        queued
    }
}

impl TestConversation {
    /// Sends octets; returns the server's output.
    pub(super) async fn send(&mut self, octets: &[u8]) -> String {
        self.input.extend_from_slice(octets);
        let (mut buffer, mut replies) = (BytesMut::new(), Vec::new());
        let mut out = OutputBuffer::new(&mut buffer, &mut replies);
        while self.ended.is_none() {
            match self.session.step(&mut self.input, &mut out).await.unwrap() {
                Step::Continue => {}
                Step::NeedMore => break,
                ended => self.ended = Some(ended),
            }
        }
        out.flush().await.unwrap();
        String::from_utf8(replies).unwrap()
    }

    /// Runs a conversation. After each `C:` line the server must send as many lines as `S:` lines follow; each line
    /// must start with the text of its `S:` line. Lines that start with `#` are comments.
    pub(super) async fn run(&mut self, conversation: &str) {
        let mut replies = String::new();
        for line in conversation.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(command) = line.strip_prefix("C:") {
                assert_eq!(replies, "", "unexpected reply before {line}");
                replies = self.send(format!("{}\r\n", command.trim_start()).as_bytes()).await;
            } else if let Some(expect) = line.strip_prefix("S:") {
                let (reply, rest) = replies.split_once("\r\n").unwrap_or_else(|| panic!("no reply for {line}"));
                assert!(reply.starts_with(expect.trim_start()), "{line}\n   {reply}");
                replies = rest.to_owned();
            } else {
                panic!("neither a C: nor an S: line: {line}");
            }
        }
        assert_eq!(replies, "", "unexpected reply at the end");
    }
}
