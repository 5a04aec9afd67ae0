//! Whole sessions over a store in memory: no input causes a bug, an incomplete line, or an endless session.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use jiff::Timestamp;
use provost_delivery::Delivery;
use provost_imap::{ImapConfig, LiteralBudget, MessageLists, Recents, SearchTurns};
use provost_message::Service;
use provost_net::{MemoryBudget, OutputBuffer, Peer, Session, Step, Transport};
use provost_pop3::{Pop3Config, Pop3Session};
use provost_queue::{Queue, QueueConfig};
use provost_smtp::{SmtpConfig, SmtpSession};
use provost_store::{AccountId, Batch, Flags, MailboxName, MemoryStore, MessageStore, Op};

use crate::people::{UUID, view};
use crate::pieces::{chooses_last, cut};

const HOSTNAME: &str = "mx.example.edu";
const MESSAGE: &str = "From: Zoe <zoe@example.edu>\r\nTo: ann@example.edu\r\nSubject: =?utf-8?q?=C3=89t=C3=A9?=\r\n\
    Message-ID: <1@example.edu>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n.one\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--b--\r\n";
/// Steps that a session may take for each octet of input, in addition to [`STEPS_BASE`]. A session that takes more is
/// in an endless loop.
const STEPS_PER_OCTET: usize = 2;
/// Steps that a session may take whatever the input.
const STEPS_BASE: usize = 100;

fn peer() -> Peer {
    let end = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Peer { remote: end(40_000), local: end(143) }
}

/// Runs on a paused clock, which jumps ahead when all tasks wait: a delay of one second takes no real time.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime").block_on(work)
}

/// Feeds a session and returns its output.
async fn session_output(session: &mut impl Session, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut input, mut buffer, mut sent) = (BytesMut::new(), BytesMut::new(), Vec::new());
    let mut out = OutputBuffer::new(&mut buffer, &mut sent);
    session.open(&mut out).await.expect("no bug at the greeting");
    let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut steps_left = STEPS_BASE + STEPS_PER_OCTET * octets;
    'conversation: for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            steps_left = steps_left.checked_sub(1).expect("a session that makes no progress");
            match session.step(&mut input, &mut out).await.expect("no bug") {
                Step::Continue => {}
                Step::NeedMore => break,
                Step::Close | Step::StartTls => break 'conversation,
            }
        }
    }
    out.flush().await.expect("writing to memory succeeds");
    assert!(sent.ends_with(b"\r\n"), "incomplete line: {}", sent.escape_ascii());
    sent
}

async fn store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    let op = Op::Append {
        mailbox: MailboxName::inbox(),
        create: true,
        body: MESSAGE.into(),
        flags: Flags::none(),
        internal_date: Timestamp::UNIX_EPOCH,
    };
    let batch = Batch {
        id: None,
        account: AccountId::new(UUID),
        now: Timestamp::UNIX_EPOCH,
        require: Vec::new(),
        ops: vec![op],
    };
    store.apply(batch).await.expect("the memory store accepts the batch");
    store
}

/// The commands of a login, before the input; none for about one input in four, to cover the state before login.
fn first_commands(input: &[u8], login: &'static [u8]) -> &'static [u8] {
    if chooses_last(input, 4) { b"" } else { login }
}

/// The answers do not depend on how the commands are cut into pieces, before login and after.
pub(crate) fn imap(input: &[u8]) {
    let (wire, pieces) = cut(input);
    let first = first_commands(input, b"l LOGIN zoe secret\r\ns SELECT INBOX\r\n");
    let answers = block_on(imap_answers(&[&[first], pieces.as_slice()].concat()));
    let at_once = block_on(imap_answers(&[&[first, wire].concat()]));
    assert_eq!(answers.escape_ascii().to_string(), at_once.escape_ascii().to_string());
}

async fn imap_answers(pieces: &[&[u8]]) -> Vec<u8> {
    let config = ImapConfig {
        hostname: HOSTNAME.into(),
        view: view().await,
        store: store().await,
        literals: LiteralBudget::new(std::env::temp_dir(), 250_000, MemoryBudget::default()),
        searches: SearchTurns::new(1),
        message_lists: MessageLists::default(),
        recents: Recents::default(),
    };
    session_output(&mut provost_imap::fuzzing::session(Arc::new(config), peer()), pieces).await
}

pub(crate) fn pop3(input: &[u8]) {
    let (_, pieces) = cut(input);
    let first = first_commands(input, b"USER zoe\r\nPASS secret\r\n");
    block_on(async {
        let config = Pop3Config { hostname: HOSTNAME.into(), view: view().await, store: store().await };
        let mut session = Pop3Session::new(Arc::new(config), peer(), Transport::Plain, false);
        session_output(&mut session, &[&[first], pieces.as_slice()].concat()).await;
    });
}

/// Every line of output is a reply line: three digits, then nothing, or a space or hyphen and text (RFC 5321 §4.2).
pub(crate) fn smtp(input: &[u8]) {
    let (_, pieces) = cut(input);
    for service in [Service::Mx, Service::Submission, Service::Lmtp] {
        let answers = block_on(async {
            let (hostname, view, store): (Arc<str>, _, _) = (HOSTNAME.into(), view().await, store().await);
            let delivery = Delivery { view: view.clone(), store: store.clone(), hostname: hostname.clone() };
            let queue = Queue::new(store, delivery.clone(), None, QueueConfig::default());
            let config =
                SmtpConfig { hostname, recipients_max: 4, view, delivery, queue, memory: MemoryBudget::default() };
            let mut session = SmtpSession::new(service, Arc::new(config), peer(), Transport::Plain, false);
            session_output(&mut session, &pieces).await
        });
        let answers = String::from_utf8(answers).expect("replies are text");
        answers.split_terminator("\r\n").for_each(assert_reply);
    }
}

fn assert_reply(line: &str) {
    let (code, rest) = line.split_at_checked(3).unwrap_or_default();
    assert!(code.parse().is_ok_and(|code: u16| (200..600).contains(&code)), "{line:?}");
    assert!(rest.is_empty() || rest.starts_with([' ', '-']), "{line:?}");
    assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
}
