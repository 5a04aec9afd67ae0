//! Conversations with a session over the memory engine, without a socket.
//!
//! `C:` is sent with CRLF, `S:` is the next line received (`~` stands for any text), `E:` waits for an event of the
//! session and lets it handle the event. `2C:`, `2S:` and `2E:` are a second session of the same person. `# ` begins a
//! comment. An unexpected line is a failure.

mod authenticate;
mod fetch;
mod histories;
mod idle;
mod limits;
mod mailboxes;
mod messages;
mod oracle;
mod random;
mod read_only;
mod reads;
mod search;
mod socket;
mod unavailable;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use provost_credential::{Scheme, Secret, hash};
use provost_net::{MemoryBudget, OutputBuffer, Peer, Session, Step, Transport};
use provost_store::{AccountId, Batch, Flags, MailboxName, MemoryStore, Op};
use provost_view::{Address, Affiliation, Fallback, Person, PersonState, View};
use uuid::Uuid;

use crate::{ImapConfig, ImapSession};

/// Mon, 23 Nov 2026 19:45:00 UTC.
pub(super) const NOW: Timestamp = Timestamp::constant(1_795_463_100, 0);

pub(super) fn person(state: PersonState) -> Person {
    Person {
        entry_uuid: Uuid::from_u128(1),
        dn: "provostPersonId=1,ou=people,dc=example,dc=edu".into(),
        uid: "zoe".into(),
        display_name: "Zoë".into(),
        primary: Address::parse("zoe@example.edu").unwrap(),
        state,
        affiliation: Affiliation::Student,
        language: None,
        passwords: vec![hash(&Secret::new("secret"), Scheme::Ssha).into()],
        quota_octets: Some(100_000),
        vacation: None,
        roles: Vec::new(),
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

/// A fallback configuration with only this setting.
fn message_size(octets: u64) -> Fallback {
    let mut fallback = Fallback::default();
    fallback.add("message-size", "test", &octets.to_string()).unwrap();
    fallback
}

/// One account and the state that its sessions share.
pub(super) struct Site {
    pub(super) config: Arc<ImapConfig>,
}

impl Site {
    pub(super) fn new() -> Self {
        let config = ImapConfig {
            hostname: "mail.example.edu".into(),
            view: View::fixed_with(vec![person(PersonState::Active)], message_size(200_000)),
            store: Arc::new(MemoryStore::default()),
            literals: crate::LiteralBudget::new(std::env::temp_dir(), 250_000, MemoryBudget::default()),
            searches: crate::SearchTurns::new(1),
            message_lists: crate::MessageLists::default(),
            recents: crate::Recents::default(),
        };
        Self { config: Arc::new(config) }
    }

    /// Stores a message as a delivery would.
    pub(super) async fn deliver(&self, mailbox: &str, message: &str) {
        let op = Op::Append {
            mailbox: MailboxName::parse(mailbox).unwrap(),
            create: true,
            body: message.to_owned().into(),
            flags: Flags::none(),
            internal_date: NOW,
        };
        self.apply(op).await;
    }

    pub(super) async fn apply(&self, op: Op) {
        let account = AccountId::new(Uuid::from_u128(1));
        let batch = Batch { id: None, account, now: NOW, require: Vec::new(), ops: vec![op] };
        self.config.store.apply(batch).await.unwrap();
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self, "127.0.0.1:9999", Transport::Plain, true)
    }

    /// A session that has logged in.
    pub(super) async fn logged_in(&self) -> Client {
        let mut client = self.client();
        client.send("login LOGIN zoe secret\r\n").await;
        assert!(client.take().ends_with("Logged in\r\n"));
        client
    }

    /// Plays a conversation of one or two logged-in sessions.
    pub(super) async fn play(&self, script: &str) {
        let mut clients = [self.logged_in().await, self.logged_in().await];
        play(&mut clients, script).await;
    }
}

/// One session with its input and output.
pub(super) struct Client {
    pub(super) session: ImapSession,
    input: BytesMut,
    output: BytesMut,
    sink: Vec<u8>,
    lines: VecDeque<String>,
    pub(super) step: Step,
}

impl Client {
    pub(super) fn new(site: &Site, remote: &str, transport: Transport, tls_offered: bool) -> Self {
        let peer = Peer { remote: remote.parse().unwrap(), local: "127.0.0.1:143".parse().unwrap() };
        let mut session = ImapSession::new(site.config.clone(), peer, transport, tls_offered);
        session.connection.clock = || NOW;
        session.connection.login_penalty = Duration::from_millis(1);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self { session, input, output, sink: Vec::new(), lines: VecDeque::new(), step: Step::NeedMore }
    }

    pub(super) async fn open(&mut self) {
        let mut out = OutputBuffer::new(&mut self.output, &mut self.sink);
        self.step = self.session.open(&mut out).await.unwrap();
    }

    /// Feeds bytes to the session until it needs more, or ends the conversation.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.extend_from_slice(bytes.as_ref());
        loop {
            let mut out = OutputBuffer::new(&mut self.output, &mut self.sink);
            self.step = self.session.step(&mut self.input, &mut out).await.unwrap();
            if self.step != Step::Continue {
                return;
            }
        }
    }

    /// Waits for an event of the session, and lets it handle the event.
    async fn handle_event(&mut self) {
        tokio::time::timeout(Duration::from_secs(5), self.session.event()).await.expect("no event within 5 s");
        let mut out = OutputBuffer::new(&mut self.output, &mut self.sink);
        self.step = self.session.on_event(&mut out).await.unwrap();
    }

    /// Takes the output received so far.
    pub(super) fn take(&mut self) -> String {
        self.sink.extend_from_slice(&self.output.split());
        String::from_utf8_lossy(&std::mem::take(&mut self.sink)).into_owned()
    }

    fn next_line(&mut self) -> Option<String> {
        let received = self.take();
        self.lines.extend(received.split_inclusive("\r\n").map(|line| line.trim_end_matches("\r\n").to_owned()));
        self.lines.pop_front()
    }
}

/// Plays a conversation.
pub(super) async fn play(clients: &mut [Client], script: &str) {
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let (who, line) = match line.strip_prefix('2') {
            Some(line) => (1, line),
            None => (0, line),
        };
        let (kind, text) = line.split_once(':').expect("a line without C:, S: or E:");
        let text = text.strip_prefix(' ').unwrap_or(text);
        match kind {
            "C" => {
                for client in clients.iter_mut() {
                    assert_eq!(client.next_line(), None, "unexpected output before {line:?} was sent, in\n{script}");
                }
                clients[who].send(format!("{text}\r\n")).await;
            }
            "S" => {
                let received = clients[who].next_line();
                let is_expected = received.as_deref().is_some_and(|received| is_like(text, received));
                assert!(is_expected, "expected {text:?}\nreceived {received:?}\nin\n{script}");
            }
            "E" => clients[who].handle_event().await,
            other => panic!("{other}: is neither C, S nor E"),
        }
    }
    for client in clients {
        assert_eq!(client.next_line(), None, "unexpected output at the end of\n{script}");
    }
}

/// Whether `text` matches `pattern`, in which `~` is any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('~') else { return pattern == text };
    let Some(after) = text.strip_prefix(head) else { return false };
    (0..=after.len()).filter_map(|at| after.get(at..)).any(|tail| is_like(rest, tail))
}
