//! Hostile peers on the listeners of a node: what they cost, and how quickly the node serves other clients meanwhile.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use provost_tests::http::{HttpRequest, send};
use provost_tests::{Node, Options, Port, SamplePerson, TextClient, command, deadline};

/// How long REST and a login may take under attack. The goal is one second; a debug build beside other tests gets
/// three.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The goal is a thousand peers within 150 MiB; this test uses fewer.
const PEERS: usize = 200;
const GROWTH_MIB_MAX: u64 = 30;

fn node() -> Node {
    Node::start_with(Options { people: Some(2), ..Options::default() }).unwrap()
}

/// Connects, sends `octets` until the buffers of the connection are full, and reads nothing.
fn unread_connection(address: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut rest = octets;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(written) => rest = &rest[written..],
            // The buffers between both ends are full: the node reads no more, or not fast enough.
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    socket
}

fn resident_mib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

fn log_in(node: &Node) -> Duration {
    let (begin, person) = (Instant::now(), SamplePerson::of(1));
    let mut client = TextClient::open(node.address(Port::Imap)).unwrap();
    client.until(&["* OK"]).unwrap();
    client.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"]).unwrap();
    begin.elapsed()
}

fn ask_rest(node: &Node) -> Duration {
    let begin = Instant::now();
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let request = HttpRequest { method: "GET", path: "/api/v1/status", headers: &[&bearer], body: "" };
    assert_eq!(send(node.address(Port::Http), request).unwrap().status, 200);
    begin.elapsed()
}

fn assert_served(node: &Node, meanwhile: &str) {
    let (login, rest) = (log_in(node), ask_rest(node));
    assert!(login < ANSWER_MAX && rest < ANSWER_MAX, "{meanwhile}: login {login:?}, REST {rest:?}");
}

#[test]
fn peers_that_never_read_cost_little_memory() {
    let node = node();
    assert_served(&node, "no attack");
    for (port, request) in [
        (Port::Imap, "a CAPABILITY\r\n"),
        (Port::Pop3, "CAPA\r\n"),
        (Port::Mx, "EHLO x\r\n"),
        (Port::Lmtp, "LHLO x\r\n"),
        (Port::Http, "GET /sign-in HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Port::Health, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let requests = request.repeat(1024 * 1024 / request.len());
        assert_cheap(&node, port, requests.as_bytes(), request);
    }
    let searches: Vec<u8> = (1..=120).flat_map(subschema_search).collect();
    assert_cheap(&node, Port::Ldap, &searches, "searches of the subschema");
}

/// The node's memory hardly grows while many peers send these octets and read no answer.
fn assert_cheap(node: &Node, port: Port, octets: &[u8], what: &str) {
    let before = resident_mib(node);
    let peers: Vec<TcpStream> = (0..PEERS).map(|_| unread_connection(node.address(port), octets)).collect();
    assert_served(node, what);
    let growth = resident_mib(node).saturating_sub(before);
    assert!(growth < GROWTH_MIB_MAX, "{what:?}: {growth} MiB");
    drop(peers);
}

/// An LDAP search for all attributes of `cn=subschema` (RFC 4511 §4.5.1). The answer has 25 KB.
fn subschema_search(id: u8) -> Vec<u8> {
    let mut search = vec![0x30, 0x37, 0x02, 0x01, id, 0x63, 0x32, 0x04, 0x0c];
    search.extend(b"cn=subschema");
    search.extend([0x0a, 1, 0, 0x0a, 1, 0, 0x02, 1, 0, 0x02, 1, 0, 0x01, 1, 0, 0x87, 0x0b]);
    search.extend(b"objectClass");
    search.extend([0x30, 0x06, 0x04, 1, b'+', 0x04, 1, b'*']);
    search
}

/// What a client has sent to which listener before it stalls.
const STALLS: [(Port, &[u8]); 19] = [
    (Port::Mx, b""),
    (Port::Mx, b"EHLO "),
    (Port::Submission, b"EH"),
    (Port::Submissions, b""),
    (Port::Submissions, b"\x16\x03\x01\x02"),
    (Port::Lmtp, b"LHLO x"),
    (Port::Imap, b""),
    (Port::Imap, b"a LOGIN {3}\r\n"),
    (Port::Imaps, b"\x16\x03"),
    (Port::Pop3, b"USER"),
    (Port::Pop3s, b""),
    (Port::Http, b""),
    (Port::Http, b"GET /sign"),
    (Port::Http, b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: "),
    (
        Port::Http,
        b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
          Content-Length: 9\r\n\r\nname",
    ),
    (Port::Http, b"GET /sign-in HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Port::Health, b"GET"),
    (Port::Ldap, b""),
    (Port::Ldap, b"\x30\x50"),
];

fn stalled(node: &Node, each: usize) -> Vec<(Port, TcpStream)> {
    let all = STALLS.iter().flat_map(|stall| std::iter::repeat_n(stall, each));
    all.map(|(port, octets)| (*port, unread_connection(node.address(*port), octets))).collect()
}

#[test]
fn stalled_connections_delay_no_other_client() {
    let node = node();
    let connections = stalled(&node, 40);
    assert_served(&node, "stalled connections");
    drop(connections);
}

#[test]
fn stalled_connections_are_closed_within_a_minute() {
    let node = node();
    let begin = Instant::now();
    for (port, mut socket) in stalled(&node, 10) {
        socket.set_nonblocking(false).unwrap();
        loop {
            let left = Duration::from_secs(60).saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
            socket.set_read_timeout(Some(left)).unwrap();
            match socket.read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{port:?} is open after {:?}: {error}", begin.elapsed()),
            }
        }
        assert_served(&node, "stalled connections");
    }
}

#[test]
fn a_login_is_quick_among_wrong_passwords() {
    const WRONG: usize = 20;
    let node = node();
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for peer in 0..WRONG {
            let (node, stop, refused) = (&node, &stop, &refused);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut client = TextClient::open(node.address(Port::Imap)).unwrap();
                    client.until(&["* OK"]).unwrap();
                    let login = format!("a LOGIN {} wrong-{peer}-{round}", SamplePerson::of(2).mail());
                    client.ask(&login, &["a NO"]).unwrap();
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The measurement has a thread of its own, so that the other threads stop even when it panics.
        let measured = scope.spawn(|| {
            deadline::until(ANSWER_MAX * 20, || Ok((refused.load(Ordering::Relaxed) > WRONG).then_some(()))).unwrap();
            log_in(&node)
        });
        let took = measured.join();
        stop.store(true, Ordering::Relaxed);
        let took = took.unwrap();
        assert!(took < ANSWER_MAX, "{took:?}");
    });
}

/// A node that was started again with a changed configuration.
fn configured_node(edit: impl FnOnce(String) -> String) -> Node {
    let mut node = node();
    node.stop().unwrap();
    node.configure(edit).unwrap();
    node.serve_again(&[Port::Imap, Port::Mx, Port::Http]).unwrap();
    node
}

/// Message bodies in one protocol use up the budget of the others, which then reply with temporary failures.
#[test]
fn all_protocols_share_one_memory_budget() {
    const MIB: usize = 1024 * 1024;
    let node = configured_node(|text| text.replacen("[node]\n", "[node]\nmemory_octets = 67108864\n", 1));
    let mut mx = TextClient::open(node.address(Port::Mx)).unwrap();
    mx.until(&["220 "]).unwrap();
    let offers = mx.ask("EHLO x", &["250 "]).unwrap();
    assert!(offers.contains(&"250-SIZE 16777216".to_owned()), "SIZE must be a quarter of the budget: {offers:?}");

    // Messages whose data does not end.
    let begin = format!("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\n", SamplePerson::of(2).mail());
    let unfinished: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut socket = TcpStream::connect(node.address(Port::Lmtp)).unwrap();
            socket.write_all(begin.as_bytes()).unwrap();
            socket
                .write_all(&b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmn\r\n".repeat(5 * MIB / 62))
                .unwrap();
            socket
        })
        .collect();
    let refused = |node: &Node| -> anyhow::Result<Option<()>> {
        let mut client = TextClient::open(node.address(Port::Mx))?;
        client.until(&["220 "])?;
        client.ask("EHLO x", &["250 "])?;
        let answer = client.ask("MAIL FROM:<a@example.net> SIZE=16000000", &["250", "452"])?;
        Ok(answer.iter().any(|line| line.starts_with("452 4.3.1")).then_some(()))
    };
    deadline::until(ANSWER_MAX * 20, || refused(&node)).unwrap();
    // REST refuses an upload for the same reason, with status 503.
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let rows = "x".repeat(16 * MIB);
    let headers = [&*bearer, "Content-Type: text/csv"];
    let upload = HttpRequest { method: "POST", path: "/api/v1/imports", headers: &headers, body: &rows };
    let answer = send(node.address(Port::Http), upload).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{answer:?}");
    // Small requests still work.
    assert_served(&node, "unfinished messages");
    let used = |node: &Node| {
        let answer =
            send(node.address(Port::Health), HttpRequest { method: "GET", path: "/metrics", headers: &[], body: "" });
        let text = answer.unwrap().body;
        let line = text.lines().find_map(|line| line.strip_prefix("provost_memory_budget_bytes{kind=\"used\"} "));
        line.map_or(f64::NAN, |octets| octets.parse().unwrap())
    };
    deadline::until(ANSWER_MAX * 20, || Ok((used(&node) > 30e6).then_some(()))).unwrap();
    drop(unfinished);
    deadline::until(ANSWER_MAX * 20, || Ok(refused(&node)?.is_none().then_some(()))).unwrap();
    deadline::until(ANSWER_MAX * 20, || Ok((used(&node) < 1e6).then_some(()))).unwrap();
}

fn over_tls(node: &Node, request: &str) -> (Vec<String>, Vec<u8>) {
    let mut client = TextClient::open(node.address(Port::Http)).unwrap();
    client.start_tls().unwrap();
    client.send_line(&format!("{request}\r\nHost: localhost\r\nConnection: close\r\n")).unwrap();
    let mut head = Vec::new();
    while let Some(next) = client.next().unwrap() {
        if next.is_empty() {
            break;
        }
        head.push(next.to_lowercase());
    }
    (head, client.certificate().unwrap().to_vec())
}

/// The HTTP listener uses the certificate of the mail listeners, and SIGHUP reloads it. Commands on this machine still
/// connect.
#[test]
fn http_listener_with_tls() {
    let node = configured_node(|text| {
        let begin = text.find("http = \"").unwrap();
        let (before, after) = text.split_at(begin);
        let (line, rest) = after.split_once('\n').unwrap();
        let address = line.trim_start_matches("http = ");
        format!("{before}http = {{ address = {address}, tls = true }}\n{rest}")
    });
    let (head, first) = over_tls(&node, "GET /sign-in?lang=en HTTP/1.1");
    assert!(head[0].contains(" 200 "), "{head:?}");
    assert!(head.contains(&"strict-transport-security: max-age=31536000".to_owned()), "{head:?}");
    let cookies: Vec<&String> = head.iter().filter(|line| line.starts_with("set-cookie:")).collect();
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("; secure")), "{head:?}");
    let listed = command::provost(&node, &["queue", "list"]).unwrap().good().unwrap();
    assert!(listed.contains("0 waiting"), "{listed}");

    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(node.data().join("tls/cert.pem"), identity.cert.pem()).unwrap();
    std::fs::write(node.data().join("tls/key.pem"), identity.signing_key.serialize_pem()).unwrap();
    node.signal("HUP").unwrap();
    let is_new = || over_tls(&node, "GET /sign-in HTTP/1.1").1 == identity.cert.der().to_vec();
    deadline::until(ANSWER_MAX * 15, || Ok(is_new().then_some(()))).unwrap();
    assert_ne!(first, identity.cert.der().to_vec());
}
