//! Hostile peers on every listener at once: their cost, and that other clients are served meanwhile.
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

/// A connection that has sent `octets`, and will read nothing.
fn stuck(address: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut rest = octets;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(written) => rest = &rest[written..],
            // The node reads no more because its answers are not read. The octets that it has read are in its memory.
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
    let mut line = TextClient::open(node.address(Port::Imap)).unwrap();
    line.until(&["* OK"]).unwrap();
    line.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"]).unwrap();
    begin.elapsed()
}

fn ask_rest(node: &Node) -> Duration {
    let begin = Instant::now();
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let request = HttpRequest { method: "GET", path: "/api/v1/status", headers: &[&bearer], body: "" };
    assert_eq!(send(node.address(Port::Http), request).unwrap().status, 200);
    begin.elapsed()
}

fn is_served(node: &Node, meanwhile: &str) {
    let (login, rest) = (log_in(node), ask_rest(node));
    assert!(login < ANSWER_MAX && rest < ANSWER_MAX, "{meanwhile}: login {login:?}, REST {rest:?}");
}

#[test]
fn peers_that_never_read_cost_little_memory() {
    let node = node();
    is_served(&node, "nothing");
    for (port, one) in [
        (Port::Imap, "a CAPABILITY\r\n"),
        (Port::Pop3, "CAPA\r\n"),
        (Port::Mx, "EHLO x\r\n"),
        (Port::Lmtp, "LHLO x\r\n"),
        (Port::Http, "GET /sign-in HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Port::Health, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let many = one.repeat(1024 * 1024 / one.len());
        costs_little(&node, port, many.as_bytes(), one);
    }
    let searches: Vec<u8> = (1..=120).flat_map(subschema_search).collect();
    costs_little(&node, Port::Ldap, &searches, "searches of the subschema");
}

fn costs_little(node: &Node, port: Port, octets: &[u8], what: &str) {
    let before = resident_mib(node);
    let peers: Vec<TcpStream> = (0..PEERS).map(|_| stuck(node.address(port), octets)).collect();
    is_served(node, what);
    let growth = resident_mib(node).saturating_sub(before);
    assert!(growth < GROWTH_MIB_MAX, "{what:?}: {growth} MiB");
    drop(peers);
}

/// An LDAP search whose answer has 25 KB, for all attributes of `cn=subschema` (RFC 4511 §4.5.1).
fn subschema_search(id: u8) -> Vec<u8> {
    let mut search = vec![0x30, 0x37, 0x02, 0x01, id, 0x63, 0x32, 0x04, 0x0c];
    search.extend(b"cn=subschema");
    search.extend([0x0a, 1, 0, 0x0a, 1, 0, 0x02, 1, 0, 0x02, 1, 0, 0x01, 1, 0, 0x87, 0x0b]);
    search.extend(b"objectClass");
    search.extend([0x30, 0x06, 0x04, 1, b'+', 0x04, 1, b'*']);
    search
}

/// Octets that each listener gets on a connection that then stalls.
const HALVES: [(Port, &[u8]); 19] = [
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
    (Port::Http, b"POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nname"),
    (Port::Http, b"GET /sign-in HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Port::Health, b"GET"),
    (Port::Ldap, b""),
    (Port::Ldap, b"\x30\x50"),
];

fn half_open(node: &Node, each: usize) -> Vec<(Port, TcpStream)> {
    let all = HALVES.iter().flat_map(|half| std::iter::repeat_n(half, each));
    all.map(|(port, octets)| (*port, stuck(node.address(*port), octets))).collect()
}

#[test]
fn half_open_connections_delay_no_other_client() {
    let node = node();
    let connections = half_open(&node, 40);
    is_served(&node, "half-open connections");
    drop(connections);
}

#[test]
fn half_open_connections_are_cut_off_within_a_minute() {
    let node = node();
    let begin = Instant::now();
    for (port, mut socket) in half_open(&node, 10) {
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
        is_served(&node, "half-open connections");
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
                    let mut line = TextClient::open(node.address(Port::Imap)).unwrap();
                    line.until(&["* OK"]).unwrap();
                    let login = format!("a LOGIN {} wrong-{peer}-{round}", SamplePerson::of(2).mail());
                    line.ask(&login, &["a NO"]).unwrap();
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        deadline::until(ANSWER_MAX * 20, || Ok((refused.load(Ordering::Relaxed) > WRONG).then_some(()))).unwrap();
        let took = log_in(&node);
        stop.store(true, Ordering::Relaxed);
        assert!(took < ANSWER_MAX, "{took:?}");
    });
}

/// Starts a node, and serves again with a changed configuration.
fn changed(edit: impl FnOnce(String) -> String) -> Node {
    let mut node = node();
    node.stop().unwrap();
    node.configure(edit).unwrap();
    node.serve_again(&[Port::Imap, Port::Mx, Port::Http]).unwrap();
    node
}

/// One budget for all protocols: bodies in one protocol use up the room of the others, which reply with temporary failures.
#[test]
fn one_memory_budget_for_all_protocols() {
    const MIB: usize = 1024 * 1024;
    let node = changed(|text| text.replacen("[node]\n", "[node]\nmemory_octets = 67108864\n", 1));
    let mut mx = TextClient::open(node.address(Port::Mx)).unwrap();
    mx.until(&["220 "]).unwrap();
    let offers = mx.ask("EHLO x", &["250 "]).unwrap();
    assert!(offers.contains(&"250-SIZE 16777216".to_owned()), "a quarter of the budget: {offers:?}");

    // Bodies without an end.
    let begin = format!("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{}>\r\nDATA\r\n", SamplePerson::of(2).mail());
    let endless: Vec<TcpStream> = (0..12)
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
        let mut line = TextClient::open(node.address(Port::Mx))?;
        line.until(&["220 "])?;
        line.ask("EHLO x", &["250 "])?;
        let answer = line.ask("MAIL FROM:<a@example.net> SIZE=16000000", &["250", "452"])?;
        Ok(answer.iter().any(|line| line.starts_with("452 4.3.1")).then_some(()))
    };
    deadline::until(ANSWER_MAX * 20, || refused(&node)).unwrap();
    // A web upload is refused for the same reason, with an HTTP status.
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let rows = "x".repeat(16 * MIB);
    let headers = [&*bearer, "Content-Type: text/csv"];
    let upload = HttpRequest { method: "POST", path: "/api/v1/imports", headers: &headers, body: &rows };
    let answer = send(node.address(Port::Http), upload).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{answer:?}");
    // Small requests still work.
    is_served(&node, "endless bodies");
    let used = |node: &Node| {
        let answer =
            send(node.address(Port::Health), HttpRequest { method: "GET", path: "/metrics", headers: &[], body: "" });
        let text = answer.unwrap().body;
        let line = text.lines().find_map(|line| line.strip_prefix("provost_memory_budget_bytes{kind=\"used\"} "));
        line.map_or(f64::NAN, |octets| octets.parse().unwrap())
    };
    deadline::until(ANSWER_MAX * 20, || Ok((used(&node) > 30e6).then_some(()))).unwrap();
    drop(endless);
    deadline::until(ANSWER_MAX * 20, || Ok(refused(&node)?.is_none().then_some(()))).unwrap();
    deadline::until(ANSWER_MAX * 20, || Ok((used(&node) < 1e6).then_some(()))).unwrap();
}

fn over_tls(node: &Node, request: &str) -> (Vec<String>, Vec<u8>) {
    let mut line = TextClient::open(node.address(Port::Http)).unwrap();
    line.start_tls().unwrap();
    line.send_line(&format!("{request}\r\nHost: localhost\r\nConnection: close\r\n")).unwrap();
    let mut head = Vec::new();
    while let Some(next) = line.next().unwrap() {
        if next.is_empty() {
            break;
        }
        head.push(next.to_lowercase());
    }
    (head, line.certificate().unwrap().to_vec())
}

/// TLS on `http`, with the certificate of the mail listeners, which SIGHUP reloads; commands on this machine still connect.
#[test]
fn http_in_tls() {
    let node = changed(|text| {
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
