use axum::routing::{get, post};
use provost_net::{Budgets, Limits, MemoryBudget, ProxyNetworks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);
/// Octets of the reply of `/much`: more than the system's buffers of a connection hold.
const MUCH_OCTETS: usize = 32 * 1024 * 1024;

/// A PROXY header (version 2) for the client 203.0.113.`last`, port 40000.
fn proxy_header(last: u8) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71"[..], &[last], b"\xc0\0\x02\x01\x9c\x40\0\x50"].concat()
}

fn pages() -> Router {
    let proto = async |headers: axum::http::HeaderMap| format!("{:?}", headers.get(FORWARDED_PROTO));
    Router::new()
        .route("/", get(async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.to_string()))
        .route("/octets", post(async |body: axum::body::Bytes| body.len().to_string()))
        .route("/much", get(async || vec![b'x'; MUCH_OCTETS]))
        .route("/proto", get(proto))
}

fn listener() -> Listener {
    Listener {
        name: "http",
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        implicit_tls: false,
        tls: None,
        proxies: ProxyNetworks::default(),
        limits: Limits::default(),
        budgets: Budgets::default(),
    }
}

/// Serves behind a balancer on the loopback address.
async fn start(drain: &Drain, connections_per_address: usize) -> SocketAddr {
    let proxies = ProxyNetworks::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let limits = Limits { connections_per_address, ..Limits::default() };
    serve_within(
        Deadlines::default(),
        Listener { proxies, limits, ..listener() },
        CountedReplies::Large,
        pages(),
        drain,
    )
    .await
    .unwrap()
}

/// Serves with these limits for a header and a transfer.
async fn start_within(listener: Listener, header: Duration, transfer: Duration) -> SocketAddr {
    serve_within(Deadlines { header, transfer }, listener, CountedReplies::Large, pages(), &Drain::new()).await.unwrap()
}

/// A time limit that a test lets expire.
const SHORT: Duration = Duration::from_millis(150);

async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    rest(&mut socket).await
}

/// Reads until the connection is closed, which must happen soon.
async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection closed with unread octets may end with a reset.
    let _ =
        tokio::time::timeout(LONG / 4, socket.read_to_end(&mut answer)).await.expect("the connection was not closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn handlers_see_the_client_that_the_proxy_header_names() {
    let drain = Drain::new();
    let address = start(&drain, 10).await;
    // A connection that sends nothing holds up no other.
    let _silent = TcpStream::connect(address).await.unwrap();
    let answer = ask(address, &[&proxy_header(7)[..], REQUEST].concat()).await;
    assert!(answer.ends_with("\r\n203.0.113.7:40000"), "{answer}");
    assert!(!answer.to_lowercase().contains("strict-transport"), "{answer}");
    assert_eq!(ask(address, REQUEST).await, "");
    drain.stop();
    assert!(drain.finished(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn the_connection_limit_counts_the_clients_behind_the_balancer() {
    let drain = Drain::new();
    let address = start(&drain, 1).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&[&proxy_header(7)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();
    let reply_to = |last: u8| async move { ask(address, &[&proxy_header(last)[..], REQUEST].concat()).await };
    assert_eq!(reply_to(7).await, "");
    assert!(reply_to(8).await.contains(" 200 "));
    drop(first);
    let freed = async {
        while reply_to(7).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
}

/// No octet, half a request line, half a header, half an HTTP/2 preface, a kept connection without a second request,
/// and a request line that comes octet by octet.
#[tokio::test]
async fn a_connection_without_a_whole_header_is_closed() {
    let address = start_within(listener(), SHORT, LONG).await;
    for half in ["", "GE", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: ", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let answer = ask(address, half.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{half}: {answer}");
    }
    let answer = ask(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = socket.split();
    let dripping = async {
        while to.write_all(b"X").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let closed = async {
        let _ = from.read_to_end(&mut Vec::new()).await;
    };
    let ends = async {
        tokio::select! {
            () = dripping => {}
            () = closed => {}
        }
    };
    tokio::time::timeout(LONG / 4, ends).await.unwrap();
}

#[tokio::test]
async fn headers_are_bounded() {
    let address = start_within(listener(), LONG, LONG).await;
    let request = |octets: usize| format!("GET / HTTP/1.0\r\nX-Y: {}\r\n\r\n", "x".repeat(octets));
    assert!(ask(address, request(HEADER_OCTETS_MAX / 2).as_bytes()).await.contains(" 200 "));
    assert!(ask(address, request(HEADER_OCTETS_MAX).as_bytes()).await.contains(" 431 "));
}

#[tokio::test]
async fn a_body_that_stops_is_answered_with_408() {
    let address = start_within(listener(), LONG, SHORT).await;
    for body in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n2\r\nha"] {
        let answer = ask(address, format!("POST /octets HTTP/1.1\r\nHost: a\r\n{body}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    let whole = ask(address, b"POST /octets HTTP/1.0\r\nContent-Length: 4\r\n\r\nfour").await;
    assert!(whole.ends_with("\r\n4"), "{whole}");
}

/// A body or reply beyond the memory budget is refused with `Retry-After`; the memory is released after the reply.
#[tokio::test]
async fn bodies_and_replies_stay_within_the_memory_budget() {
    let memory = MemoryBudget::new(64 * 1024);
    let budgets = Budgets { memory: memory.clone(), ..Budgets::default() };
    let health_budgets = budgets.clone();
    let address = start_within(Listener { budgets, ..listener() }, LONG, LONG).await;
    let post = |octets: usize| {
        format!("POST /octets HTTP/1.0\r\nContent-Length: {octets}\r\n\r\n{}", "x".repeat(octets)).into_bytes()
    };
    let mut others = memory.body();
    others.record(60 * 1024);
    for request in [post(40_000), b"GET /much HTTP/1.0\r\n\r\n".to_vec()] {
        let answer = ask(address, &request).await.to_lowercase();
        assert!(answer.contains(" 503 ") && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
    }
    assert!(ask(address, &post(4_000)).await.ends_with("\r\n4000"), "a small body was counted");
    let monitored = Listener { budgets: health_budgets, ..listener() };
    let (deadlines, drain) = (Deadlines::default(), Drain::new());
    let health = serve_within(deadlines, monitored, CountedReplies::None, pages(), &drain).await.unwrap();
    assert!(
        ask(health, b"GET /much HTTP/1.0\r\n\r\n").await.contains(" 200 "),
        "a reply of the health listener was counted"
    );
    drop(others);
    assert!(ask(address, &post(20_000)).await.ends_with("\r\n20000"));
    let freed = async {
        while memory.used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, freed).await.unwrap();
}

/// A reply that its peer has read is no longer counted, though the connection is kept.
#[tokio::test]
async fn the_memory_of_a_reply_is_freed_once_it_is_read() {
    let budgets = Budgets::default();
    let address = start_within(Listener { budgets: budgets.clone(), ..listener() }, LONG, LONG).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let read_and_freed = async {
        let mut octets = vec![0; 64 * 1024];
        let mut read = 0;
        while read == 0 || budgets.memory.used() > 0 {
            tokio::select! {
                some = socket.read(&mut octets) => read += some.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(LONG, read_and_freed).await.unwrap();
}

/// A reply that its peer does not read is counted until the peer is cut off.
#[tokio::test]
async fn the_memory_of_an_unread_reply_is_freed_when_the_peer_is_cut_off() {
    let budgets = Budgets::default();
    let address = start_within(Listener { budgets: budgets.clone(), ..listener() }, LONG, SHORT).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /much HTTP/1.0\r\n\r\n").await.unwrap();
    let until = |wanted: fn(u64) -> bool| {
        let memory = budgets.memory.clone();
        async move {
            while !wanted(memory.used()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    tokio::time::timeout(LONG, until(|used| used >= MUCH_OCTETS as u64)).await.unwrap();
    tokio::time::timeout(LONG, until(|used| used == 0)).await.unwrap();
}

/// A peer that reads an octet now and then is below the slowest rate: it loses the connection, and the memory of its
/// reply is released.
#[tokio::test]
async fn a_peer_that_reads_octet_by_octet_is_cut_off() {
    let budgets = Budgets::default();
    let address = start_within(Listener { budgets: budgets.clone(), ..listener() }, LONG, SHORT).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /much HTTP/1.0\r\n\r\n").await.unwrap();
    let cut_off = async {
        let mut octet = [0];
        let mut read = 0;
        while read == 0 || budgets.memory.used() > 0 {
            read += socket.read(&mut octet).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        read
    };
    let read = tokio::time::timeout(LONG, cut_off).await.unwrap();
    assert!(read < MUCH_OCTETS, "the whole reply was read");
}

#[tokio::test]
async fn half_a_header_does_not_delay_the_stop_of_the_node() {
    let drain = Drain::new();
    let listener = listener();
    let address = serve_within(Deadlines::default(), listener, CountedReplies::Large, pages(), &drain).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    assert!(ask(address, REQUEST).await.contains(" 200 "));
    drain.stop();
    assert!(drain.finished(Duration::from_secs(10)).await);
}

/// Pages see `https` whatever the client states, and browsers are told to use only TLS (RFC 6797).
#[tokio::test]
async fn pages_and_browsers_learn_that_a_listener_uses_tls() {
    let folder = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&chain, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let tls = Some(provost_net::server_config(&chain, &key).unwrap());
    let tls_listener = Listener { implicit_tls: true, tls, ..listener() };
    let limits = Limits { handshake: SHORT, ..Limits::default() };
    let impatient = start_within(Listener { limits, ..tls_listener.clone() }, LONG, LONG).await;
    let address = start_within(tls_listener, LONG, LONG).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, socket).await.unwrap();
    stream.write_all(b"GET /proto HTTP/1.0\r\nX-Forwarded-Proto: http\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.ends_with("Some(\"https\")"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");

    // Half a handshake, and HTTP in the clear.
    for half in [&b"\x16\x03\x01"[..], REQUEST] {
        assert!(!ask(impatient, half).await.contains("HTTP/1.1 200"));
    }
}
