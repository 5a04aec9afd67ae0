//! Tests of the driver with a one-word line protocol: limits, deadlines, TLS, drain.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use provost_net::{
    Budgets, ConnectionBudget, Drain, Goodbye, Limits, Listener, MemoryBudget, OutputBuffer, PROXY_HEADER_LIMIT, Peer,
    ProxyNetworks, Session, SessionError, Step, Transport, serve,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Octets of the answer to `much`.
const MUCH_OCTETS: usize = 1024 * 1024;

/// Answers each line with itself, and logs in under that name. `peer` answers the peer's address and whether it is
/// loopback, `much` a long text; `tls` starts TLS, `quit` ends, `bug` fails, `panic` panics.
struct Echo {
    transport: Transport,
    idle: Duration,
    peer: Peer,
    account: Option<String>,
    /// Number of open sessions.
    open: Arc<AtomicUsize>,
    /// Lines answered by all sessions together.
    answered: Arc<AtomicUsize>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Session for Echo {
    async fn open(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        out.put("hello\r\n");
        Ok(Step::NeedMore)
    }

    async fn step(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let Some(end) = input.iter().position(|b| *b == b'\n') else { return Ok(Step::NeedMore) };
        let line = input.split_to(end + 1);
        self.answered.fetch_add(1, Ordering::SeqCst);
        match line.trim_ascii() {
            b"much" => out.put(vec![b'x'; MUCH_OCTETS]),
            b"tls" => {
                out.put("go\r\n");
                return Ok(Step::StartTls);
            }
            b"peer" => out.put(format!("{} {}\r\n", self.peer.remote, self.peer.is_loopback())),
            b"quit" => return Ok(Step::Close),
            b"bug" => return Err(SessionError::Bug("asked for".into())),
            b"panic" => panic!("asked for"),
            word => {
                self.account = Some(String::from_utf8_lossy(word).into_owned());
                out.put(word);
                out.put("\r\n");
            }
        }
        Ok(Step::Continue)
    }

    fn on_tls(&mut self) {
        self.transport = Transport::Tls;
    }

    fn idle_limit(&self) -> Duration {
        self.idle
    }

    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8> {
        format!("bye {reason:?}\r\n").into_bytes()
    }

    fn account(&self) -> Option<String> {
        self.account.clone()
    }
}

struct RunningNode {
    address: SocketAddr,
    drain: Drain,
    certificate: rustls::pki_types::CertificateDer<'static>,
    open: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

async fn start(limits: Limits, idle: Duration) -> RunningNode {
    start_behind("", limits, idle).await
}

/// Starts a node where connections from the network `proxies`, if any, begin with a PROXY header.
async fn start_behind(proxies: &str, limits: Limits, idle: Duration) -> RunningNode {
    start_as(proxies, false, limits, idle).await
}

/// Like `start_behind`, with implicit TLS or without.
async fn start_as(proxies: &str, implicit_tls: bool, limits: Limits, idle: Duration) -> RunningNode {
    start_within(Budgets::default(), proxies, implicit_tls, limits, idle).await
}

/// Like `start_as`, with the given budgets.
async fn start_within(
    budgets: Budgets,
    proxies: &str,
    implicit_tls: bool,
    limits: Limits,
    idle: Duration,
) -> RunningNode {
    let proxies = ProxyNetworks::new(proxies.parse().into_iter().collect());
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = provost_net::server_config(&chain, &key).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener { name: "echo", address, implicit_tls, tls: Some(tls), proxies, limits, budgets };
    let drain = Drain::new();
    let (open, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, counted_lines) = (open.clone(), answered.clone());
    let make = move |peer: Peer, transport, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Echo { transport, idle, peer, account: None, open: counted.clone(), answered: counted_lines.clone() }
    };
    let serve = serve(listener, drain.clone(), make).await.unwrap();
    RunningNode { address: serve.address, drain, certificate: made.cert.der().clone(), open, answered }
}

const LONG: Duration = Duration::from_secs(60);

/// Sends `text` on a new connection, and returns all that comes back before its end.
async fn answers_to(address: SocketAddr, text: &str) -> String {
    answers_to_octets(address, text.as_bytes()).await
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let node = start(Limits::default(), LONG).await;
    assert_eq!(answers_to(node.address, "a\r\na\r\nquit\r\n").await, "hello\r\na\r\na\r\n");
}

/// Commands that came together do not all run for a peer that reads nothing: their answers would fill the memory.
#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    // Few enough to arrive with one read, so that only the driver's own bound holds them back.
    const COMMANDS: usize = 200;
    let node = start(Limits { write: Duration::from_millis(200), ..Limits::default() }, LONG).await;
    let mut peer = TcpStream::connect(node.address).await.unwrap();
    peer.write_all("much\r\n".repeat(COMMANDS).as_bytes()).await.unwrap();
    let lost = async {
        while node.answered.load(Ordering::SeqCst) == 0 || node.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, lost).await.unwrap();
    // The system's buffers hold some MiB; all answers are 200 MiB.
    let answered = node.answered.load(Ordering::SeqCst);
    assert!(answered < COMMANDS / 2, "{answered} commands ran");
}

/// Progress does not extend the time of a flush: one octet now and then does not keep a session.
#[tokio::test]
async fn a_peer_that_reads_octet_by_octet_is_cut_off() {
    let node = start(Limits { write: Duration::from_millis(200), ..Limits::default() }, LONG).await;
    let mut peer = TcpStream::connect(node.address).await.unwrap();
    peer.write_all("much\r\n".repeat(200).as_bytes()).await.unwrap();
    let lost = async {
        let mut octet = [0];
        while node.answered.load(Ordering::SeqCst) == 0 || node.open.load(Ordering::SeqCst) > 0 {
            peer.read_exact(&mut octet).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, lost).await.unwrap();
}

#[tokio::test]
async fn a_bug_or_a_panic_ends_its_own_session_only() {
    let node = start(Limits::default(), LONG).await;
    assert_eq!(answers_to(node.address, "bug\r\n").await, "hello\r\nbye Internal\r\n");
    let mut panicked = TcpStream::connect(node.address).await.unwrap();
    panicked.write_all(b"panic\r\n").await.unwrap();
    let _ = panicked.read_to_end(&mut Vec::new()).await;
    assert_eq!(answers_to(node.address, "x\r\nquit\r\n").await, "hello\r\nx\r\n");
}

// RFC 1939 §4: the lock of a maildrop must be free when its owner comes back.
#[tokio::test]
async fn a_session_is_gone_before_its_peer_sees_the_end() {
    let node = start(Limits::default(), Duration::from_millis(50)).await;
    for text in ["quit\r\n", "bug\r\n", ""] {
        answers_to(node.address, text).await;
        assert_eq!(node.open.load(Ordering::SeqCst), 0, "{text:?}");
    }
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(node.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_silent_or_trickling_peer_gets_a_goodbye_and_is_closed() {
    let node = start(Limits::default(), Duration::from_millis(50)).await;
    assert_eq!(answers_to(node.address, "").await, "hello\r\nbye Timeout\r\n");
    assert_eq!(answers_to(node.address, "half a line").await, "hello\r\nbye Timeout\r\n");
}

#[tokio::test]
async fn input_and_connections_of_an_account_are_bounded() {
    let limits = Limits { input_octets: 1000, connections_per_account: 1, ..Limits::default() };
    let node = start(limits, LONG).await;
    assert_eq!(answers_to(node.address, &"x".repeat(2000)).await, "hello\r\nbye TooMuch\r\n");
    let mut first = BufReader::new(TcpStream::connect(node.address).await.unwrap());
    first.write_all(b"ann\r\n").await.unwrap();
    let mut line = String::new();
    first.read_line(&mut line).await.unwrap();
    first.read_line(&mut line).await.unwrap();
    assert_eq!(line, "hello\r\nann\r\n");
    assert_eq!(answers_to(node.address, "ann\r\n").await, "hello\r\nann\r\nbye TooMuch\r\n");
}

#[tokio::test]
async fn connections_of_an_address_are_bounded() {
    let node = start(Limits { connections_per_address: 2, ..Limits::default() }, LONG).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut peer = BufReader::new(TcpStream::connect(node.address).await.unwrap());
        let mut line = String::new();
        peer.read_line(&mut line).await.unwrap();
        assert_eq!(line, "hello\r\n");
        open.push(peer);
    }
    assert_eq!(answers_to(node.address, "").await, "bye TooMuch\r\n");
}

#[tokio::test]
async fn a_stop_says_goodbye_and_ends_all_sessions() {
    let node = start(Limits::default(), LONG).await;
    let mut peer = BufReader::new(TcpStream::connect(node.address).await.unwrap());
    let mut line = String::new();
    peer.read_line(&mut line).await.unwrap();
    node.drain.stop();
    peer.read_line(&mut line).await.unwrap();
    assert_eq!(line, "hello\r\nbye Shutdown\r\n");
    assert!(node.drain.finished(LONG).await);
    assert!(TcpStream::connect(node.address).await.is_err());
}

/// A client configuration that trusts the node's certificate.
fn client_config(node: &RunningNode) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(node.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Reads the greeting and the answer to `tls`, then takes the client's part of the handshake.
async fn handshake(node: &RunningNode, mut socket: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut answer = vec![0; "hello\r\ngo\r\n".len()];
    socket.read_exact(&mut answer).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(client_config(node));
    connector.connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

// An attacker can have put octets before the handshake (CVE-2011-0411).
#[tokio::test]
async fn bytes_before_the_handshake_are_discarded() {
    let node = start(Limits::default(), LONG).await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(b"tls\r\ninjected\r\n").await.unwrap();
    let mut stream = handshake(&node, socket).await;
    stream.write_all(b"inside\r\nquit\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "inside\r\n");
}

/// A PROXY header of version 2 for a client at `source` with port 40000.
fn proxy_header(source: [u8; 4]) -> Vec<u8> {
    let begin = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&begin[..], &source, &[192, 0, 2, 1], &[0x9c, 0x40, 0, 143]].concat()
}

const LOCAL_HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn answers_to_octets(address: SocketAddr, octets: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(octets).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_peer_is_that_of_the_proxy_header() {
    let node = start_behind("127.0.0.0/8", Limits::default(), LONG).await;
    let answer =
        answers_to_octets(node.address, &[&proxy_header([203, 0, 113, 7])[..], b"peer\r\nquit\r\n"].concat()).await;
    assert_eq!(answer, "hello\r\n203.0.113.7:40000 false\r\n");
    let answer = answers_to_octets(node.address, &[LOCAL_HEADER, b"peer\r\nquit\r\n"].concat()).await;
    assert!(answer.starts_with("hello\r\n127.0.0.1:") && answer.ends_with(" true\r\n"), "{answer}");
}

// The connection gets no greeting, which would only help an attacker.
#[tokio::test]
async fn without_a_valid_header_a_connection_from_a_trusted_network_is_closed() {
    let node = start_behind("127.0.0.0/8", Limits::default(), LONG).await;
    let version1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 143\r\n".as_slice();
    for octets in [version1, b"PROXY UNKNOWN\r\n", b"quit\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\0"] {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        socket.write_all(octets).await.unwrap();
        let mut answer = Vec::new();
        // The connection was closed with octets unread, so it may end with a reset.
        let _ = socket.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{}", octets.escape_ascii());
    }
    assert_eq!(node.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_header_from_an_untrusted_network_is_input() {
    let node = start_behind("192.0.2.0/24", Limits::default(), LONG).await;
    let answer =
        answers_to_octets(node.address, &[&proxy_header([203, 0, 113, 7])[..], b"\r\npeer\r\nquit\r\n"].concat()).await;
    assert!(answer.starts_with("hello\r\n") && answer.contains("\r\n127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn a_late_proxy_header_is_not_waited_for() {
    let node = start_behind("127.0.0.0/8", Limits::default(), LONG).await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(b"\r\n\r\n").await.unwrap();
    let begun = tokio::time::Instant::now();
    let read = tokio::time::timeout(LONG, socket.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(read.unwrap(), 0);
    assert!(begun.elapsed() >= PROXY_HEADER_LIMIT);
}

#[tokio::test]
async fn connections_behind_a_proxy_count_for_the_client() {
    let node = start_behind("127.0.0.0/8", Limits { connections_per_address: 1, ..Limits::default() }, LONG).await;
    let mut first = TcpStream::connect(node.address).await.unwrap();
    first.write_all(&proxy_header([203, 0, 113, 7])).await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut first).read_line(&mut line).await.unwrap();
    assert_eq!(answers_to_octets(node.address, &proxy_header([203, 0, 113, 7])).await, "bye TooMuch\r\n");
    let other = [&proxy_header([203, 0, 113, 8])[..], b"quit\r\n"].concat();
    assert_eq!(answers_to_octets(node.address, &other).await, "hello\r\n");
}

// A header may come in pieces, and TLS begins right after it.
#[tokio::test]
async fn tls_follows_the_proxy_header() {
    let node = start_behind("127.0.0.0/8", Limits::default(), LONG).await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for octet in proxy_header([203, 0, 113, 7]) {
        socket.write_all(&[octet]).await.unwrap();
    }
    socket.write_all(b"tls\r\n").await.unwrap();
    let mut stream = handshake(&node, socket).await;
    stream.write_all(b"peer\r\nquit\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "203.0.113.7:40000 false\r\n");
}

// A balancer may send its header and the client's first octets in one segment: the TLS octets must reach TLS.
#[tokio::test]
async fn tls_begins_in_the_segment_of_the_proxy_header() {
    use std::io::{Read as _, Write as _};
    let node = start_as("127.0.0.0/8", true, Limits::default(), LONG).await;
    let (config, address) = (client_config(&node), node.address);
    let client = move || {
        let mut client = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let mut segment = proxy_header([203, 0, 113, 7]);
        client.write_tls(&mut segment).unwrap();
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(&segment).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream.write_all(b"peer\r\nquit\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = tokio::task::spawn_blocking(client).await.unwrap();
    assert_eq!(answer, "hello\r\n203.0.113.7:40000 false\r\n");
}

/// A peer whose unfinished command needs more memory than there is waits, and is cut off at its own deadline; a peer
/// with short commands goes on.
#[tokio::test]
async fn input_waits_for_memory_until_its_deadline() {
    let budgets = Budgets { memory: MemoryBudget::new(200_000), ..Budgets::default() };
    let node = start_within(budgets.clone(), "", false, Limits::default(), Duration::from_secs(1)).await;
    let mut others = budgets.memory.body();
    assert!(others.grow(100_000));
    let mut large = TcpStream::connect(node.address).await.unwrap();
    large.write_all(&[b'x'; 40_000]).await.unwrap();
    assert_eq!(answers_to(node.address, "a\r\nquit\r\n").await, "hello\r\na\r\n");
    let mut answer = String::new();
    let _ = large.read_to_string(&mut answer).await;
    assert!(answer.starts_with("hello\r\n"), "{answer}");

    // When memory is free again the same command is accepted.
    drop(others);
    let mut large = TcpStream::connect(node.address).await.unwrap();
    large.write_all(&[&[b'x'; 40_000][..], b"\r\nquit\r\n"].concat()).await.unwrap();
    let mut answer = String::new();
    large.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.len(), "hello\r\n".len() + 40_002);
    while budgets.memory.used() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A peer that pipelines shares the core with a peer that sends a single command.
#[tokio::test]
async fn pipelined_commands_do_not_hold_up_another_peer() {
    const COMMANDS: usize = 20_000;
    let node = start(Limits::default(), LONG).await;
    let connected = async || {
        let mut peer = BufReader::new(TcpStream::connect(node.address).await.unwrap());
        peer.read_line(&mut String::new()).await.unwrap();
        peer
    };
    let (mut other, mut many) = (connected().await, connected().await);
    many.write_all("a\n".repeat(COMMANDS).as_bytes()).await.unwrap();
    other.write_all(b"b\n").await.unwrap();
    other.read_line(&mut String::new()).await.unwrap();
    let answered = node.answered.load(Ordering::SeqCst);
    assert!(answered < COMMANDS / 2, "{answered} commands ran before the other client's command");
}

/// Unread answers count for as long as they are in memory.
#[tokio::test]
async fn unread_output_counts() {
    let budgets = Budgets::default();
    let limits = Limits { write: Duration::from_millis(200), ..Limits::default() };
    let node = start_within(budgets.clone(), "", false, limits, LONG).await;
    let mut peer = TcpStream::connect(node.address).await.unwrap();
    peer.write_all("much\r\n".repeat(50).as_bytes()).await.unwrap();
    let until = |wanted: fn(u64) -> bool| {
        let memory = budgets.memory.clone();
        async move {
            while !wanted(memory.used()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    tokio::time::timeout(LONG, until(|used| used >= MUCH_OCTETS as u64 / 2)).await.unwrap();
    tokio::time::timeout(LONG, until(|used| used == 0)).await.unwrap();
}

/// The whole process has a limit on connections, and every listener has some of its own beyond it.
#[tokio::test]
async fn connections_of_the_process_are_bounded() {
    const OWN_OF_LISTENER: usize = 64;
    let budgets = Budgets { connections: ConnectionBudget::new(2), ..Budgets::default() };
    let node = start_within(budgets, "", false, Limits::default(), LONG).await;
    let mut connections = Vec::new();
    for _ in 0..OWN_OF_LISTENER + 2 {
        let mut peer = BufReader::new(TcpStream::connect(node.address).await.unwrap());
        let mut line = String::new();
        peer.read_line(&mut line).await.unwrap();
        assert_eq!(line, "hello\r\n");
        connections.push(peer);
    }
    assert_eq!(answers_to(node.address, "").await, "");
    connections.clear();
    let freed = async {
        while answers_to(node.address, "quit\r\n").await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, freed).await.unwrap();
}
