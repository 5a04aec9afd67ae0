//! A node behind a balancer: the PROXY protocol, version 2, from HAProxy and written by hand.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};

use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::node::{Ports, wait_port};
use provost_tests::{Node, Options, Port, SamplePerson, TextClient, deadline, mail};

/// A client whose address the headers carry.
const CLIENT: [u8; 4] = [203, 0, 113, 7];
/// A second client.
const OTHER: [u8; 4] = [203, 0, 113, 8];
/// The source of HAProxy's LDAP connections. It is not 127.0.0.1, from which the node connects to its own directory
/// without a header.
const LDAP_BALANCER: &str = "127.0.0.2";
/// The listeners behind HAProxy.
const BALANCED: [(&str, Port); 10] = [
    ("http", Port::Http),
    ("mx", Port::Mx),
    ("submission", Port::Submission),
    ("submissions", Port::Submissions),
    ("lmtp", Port::Lmtp),
    ("imap", Port::Imap),
    ("imaps", Port::Imaps),
    ("pop3", Port::Pop3),
    ("pop3s", Port::Pop3s),
    ("ldap", Port::Ldap),
];

/// A PROXY header of version 2 for a client with port 40000.
fn header(source: [u8; 4]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &source, &[192, 0, 2, 1], &[0x9c, 0x40, 0, 143]].concat()
}

/// A node that requires a header on each connection from loopback (on LDAP, only on those from [`LDAP_BALANCER`]), and
/// allows two IMAP connections from one address.
fn node() -> Node {
    let mut node = Node::start_with(Options { people: Some(2), ..Options::default() }).unwrap();
    node.stop().unwrap();
    let imap = format!("imap = \"{}\"", node.address(Port::Imap));
    let limited = format!("imap = {{ address = \"{}\", connections_per_address = 2 }}", node.address(Port::Imap));
    node.configure(|text| {
        text.replace("[listeners]\n", "[listeners]\nproxy_networks = [\"127.0.0.0/8\"]\n")
            .replace(
                "[directory.embedded]\n",
                &format!("[directory.embedded]\nproxy_networks = [\"{LDAP_BALANCER}\"]\n"),
            )
            .replace(&imap, &limited)
    })
    .unwrap();
    node.serve_again(&[Port::Imap]).unwrap();
    node
}

/// HAProxy in front of a node, with two ports for each listener.
struct Balancer {
    process: Child,
    /// On these ports, HAProxy takes the client's address from a header (`accept-proxy`), as behind another balancer.
    with_header: Ports,
    /// On these ports, HAProxy takes the client's address from the connection, which here comes from loopback.
    without_header: Ports,
}

impl Balancer {
    fn start(node: &Node) -> Self {
        let (with_header, without_header) = (Ports::find().unwrap(), Ports::find().unwrap());
        let mut text =
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n".to_owned();
        for (name, port) in BALANCED {
            let from = if port == Port::Ldap { format!("source {LDAP_BALANCER}") } else { String::new() };
            for (side, at, accept) in
                [("with-header", with_header.of(port), "accept-proxy"), ("without-header", without_header.of(port), "")]
            {
                let to = node.address(port);
                writeln!(
                    text,
                    "listen {name}-{side}\n bind 127.0.0.1:{at} {accept}\n server node {to} send-proxy-v2 {from}"
                )
                .unwrap();
            }
        }
        let file = node.folder().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let process = Command::new("/usr/sbin/haproxy").args(["-db", "-f"]).arg(&file).stdin(Stdio::null()).spawn();
        let balancer = Self { process: process.unwrap(), with_header, without_header };
        for (_, port) in BALANCED {
            wait_port(balancer.without_header.address(port)).unwrap();
        }
        balancer
    }

    /// A connection of the client at `source`.
    fn open(&self, port: Port, source: [u8; 4]) -> TextClient {
        let mut client = TextClient::open(self.with_header.address(port)).unwrap();
        client.send(&header(source)).unwrap();
        client
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An LDAP simple bind as `cn=provost`, the identity of the node itself: what `ldapsearch -D ... -w ...` sends first.
fn ldap_bind(password: &str) -> Vec<u8> {
    let field = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
    let name = format!("cn=provost,{SUFFIX}");
    let bind = [&[2, 1, 3][..], &field(4, name.as_bytes()), &field(0x80, password.as_bytes())].concat();
    field(0x30, &[&[2, 1, 1][..], &field(0x60, &bind)].concat())
}

#[test]
fn behind_haproxy_the_peer_is_the_client() {
    let node = node();
    let balancer = Balancer::start(&node);
    let person = SamplePerson::of(1);

    // A remote client may not log in without TLS, even when a local balancer passes the connection on.
    let mut imap = balancer.open(Port::Imap, CLIENT);
    let greeting = imap.until(&["* OK"]).unwrap().concat();
    assert!(greeting.contains("LOGINDISABLED"), "{greeting}");
    let login = format!("a LOGIN {} \"{}\"", person.mail(), person.password());
    let refused = imap.ask(&login, &["a "]).unwrap().concat();
    assert!(refused.starts_with("a NO [PRIVACYREQUIRED]"), "{refused}");
    let mut pop3 = balancer.open(Port::Pop3, CLIENT);
    pop3.until(&["+OK"]).unwrap();
    let refused = pop3.ask(&format!("USER {}", person.mail()), &["+OK", "-ERR"]).unwrap().concat();
    assert!(refused.starts_with("-ERR"), "{refused}");
    let mut submission = balancer.open(Port::Submission, CLIENT);
    submission.until(&["220 "]).unwrap();
    let offered = submission.ask("EHLO client.example", &["250 "]).unwrap().concat();
    assert!(!offered.contains("AUTH"), "{offered}");
    let refused = submission.ask("AUTH PLAIN AGEAYg==", &["5", "2", "4"]).unwrap().concat();
    assert!(refused.starts_with("538 "), "{refused}");
    let mut ldap = balancer.open(Port::Ldap, CLIENT);
    ldap.send(&ldap_bind(&node.secret("directory-password"))).unwrap();
    // RFC 4511 §4.1.9: in so short an answer the resultCode is the tenth octet; 13 is confidentialityRequired.
    assert_eq!(ldap.octets(10).unwrap()[9], 13);

    // In TLS the client may log in, on a port of TLS and after STARTTLS.
    let mut imaps = balancer.open(Port::Imaps, CLIENT);
    imaps.start_tls().unwrap();
    imaps.until(&["* OK"]).unwrap();
    imaps.ask(&login, &["a OK"]).unwrap();
    let mut pop3s = balancer.open(Port::Pop3s, CLIENT);
    pop3s.start_tls().unwrap();
    pop3s.until(&["+OK"]).unwrap();
    pop3s.ask(&format!("USER {}", person.mail()), &["+OK"]).unwrap();
    pop3s.ask(&format!("PASS {}", person.password()), &["+OK"]).unwrap();
    pop3s.ask("QUIT", &["+OK"]).unwrap();
    imap.ask("b STARTTLS", &["b OK"]).unwrap();
    imap.start_tls().unwrap();
    imap.ask(&login, &["a OK"]).unwrap();

    // Clients on this machine may log in without TLS, through HAProxy too.
    let (user, password) = (person.mail(), person.password());
    assert!(mail::logs_in_by_imap(balancer.without_header.address(Port::Imap), &user, &password).unwrap());
    assert!(mail::logs_in_by_pop3(balancer.without_header.address(Port::Pop3), &user, &password).unwrap());
    assert!(mail::logs_in_by_submission(balancer.without_header.address(Port::Submission), &user, &password).unwrap());
    let url = format!("ldap://{}", balancer.without_header.address(Port::Ldap));
    let ldap = Ldap::bound(url, &format!("cn=provost,{SUFFIX}"), &node.secret("directory-password"));
    ldap.search("(uid=test.p01)", &["mail"]).unwrap().good().unwrap();
}

#[test]
fn the_client_counts_for_limits_logs_and_the_received_field() {
    let node = node();
    let balancer = Balancer::start(&node);
    let person = SamplePerson::of(2);

    // The client may have two connections; a second client is still served, though both come from HAProxy's address.
    let mut connections: Vec<TextClient> = (0..2).map(|_| balancer.open(Port::Imap, CLIENT)).collect();
    connections.iter_mut().for_each(|client| _ = client.until(&["* OK"]).unwrap());
    let refused = balancer.open(Port::Imap, CLIENT).next().unwrap().unwrap();
    assert!(refused.starts_with("* BYE"), "{refused}");
    balancer.open(Port::Imap, OTHER).until(&["* OK"]).unwrap();

    // RFC 5321 §4.4: Received names the client.
    let mut mx = balancer.open(Port::Mx, CLIENT);
    mx.until(&["220 "]).unwrap();
    mx.ask("EHLO client.example", &["250 "]).unwrap();
    mx.ask("MAIL FROM:<sender@elsewhere.example>", &["250 "]).unwrap();
    mx.ask(&format!("RCPT TO:<{}>", person.mail()), &["250 "]).unwrap();
    mx.ask("DATA", &["354 "]).unwrap();
    mx.ask("Subject: far away\r\n\r\ntext\r\n.", &["250 "]).unwrap();
    let imap = balancer.without_header.address(Port::Imap);
    let (inbox, _) = deadline::until(std::time::Duration::from_secs(10), || {
        let inbox = mail::inbox(imap, &person.mail(), &person.password())?.concat();
        Ok(inbox.contains("far away").then_some(inbox))
    })
    .unwrap();
    assert!(inbox.contains("from client.example ([203.0.113.7])"), "{inbox}");

    // The log names the client, too.
    let mut pop3s = balancer.open(Port::Pop3s, CLIENT);
    pop3s.start_tls().unwrap();
    pop3s.until(&["+OK"]).unwrap();
    pop3s.ask(&format!("USER {}", person.mail()), &["+OK"]).unwrap();
    pop3s.ask("PASS wrong", &["-ERR"]).unwrap();
    let mut imap = balancer.open(Port::Imaps, CLIENT);
    imap.start_tls().unwrap();
    imap.until(&["* OK"]).unwrap();
    imap.ask(&format!("a LOGIN {} wrong", person.mail()), &["a NO"]).unwrap();
    let mut ldap = balancer.open(Port::Ldap, CLIENT);
    ldap.send(&ldap_bind("wrong")).unwrap();
    ldap.octets(10).unwrap();
    for text in ["service=\"pop3\"", "service=\"imap\"", "LDAP bind refused"] {
        let is_named = |line: &str| [text, "203.0.113.7", "account="].into_iter().all(|part| line.contains(part));
        assert!(node.log().lines().any(is_named), "{text}: {}", node.log());
    }
}

/// Signs in on the web pages with a wrong password as the client at `source`; returns the status line.
fn sign_in(balancer: &Balancer, source: [u8; 4], name: &str) -> String {
    let body = format!("name={name}&password=wrong");
    let request = format!(
        "POST /sign-in HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut http = balancer.open(Port::Http, source);
    http.send(request.as_bytes()).unwrap();
    http.next().unwrap().unwrap()
}

#[test]
fn failed_sign_ins_are_counted_by_client() {
    let node = node();
    let balancer = Balancer::start(&node);
    let person = SamplePerson::of(1).mail();
    // Five attempts per minute for one name from one address.
    for _ in 0..5 {
        let refused = sign_in(&balancer, CLIENT, &person);
        assert!(refused.contains(" 422 "), "{refused}");
    }
    let throttled = sign_in(&balancer, CLIENT, &person);
    assert!(throttled.contains(" 429 "), "{throttled}");
    let other = sign_in(&balancer, OTHER, &person);
    assert!(other.contains(" 422 "), "the attempts of one client must not count for another: {other}");
}

#[test]
fn a_header_from_outside_the_proxy_networks_is_not_believed() {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    node.stop().unwrap();
    let trusted = "[listeners]\nproxy_networks = [\"192.0.2.10\"]\n";
    node.configure(|text| text.replace("[listeners]\n", trusted)).unwrap();
    node.serve_again(&[Port::Imap]).unwrap();
    for (name, port) in BALANCED {
        let mut client = TextClient::open(node.address(port)).unwrap();
        client.send(&header(CLIENT)).unwrap();
        match name {
            "mx" | "submission" | "lmtp" => _ = client.until(&["220 "]).unwrap(),
            "imap" => _ = client.until(&["* OK"]).unwrap(),
            "pop3" => _ = client.until(&["+OK"]).unwrap(),
            "http" => assert!(!client.next().unwrap().unwrap_or_default().contains(" 200 ")),
            // A PROXY header is neither an LDAP message nor a TLS handshake: the node closes the connection after an
            // error response of fewer than 64 octets, or none.
            _ => assert!(client.octets(64).is_err(), "{name}"),
        }
    }
    assert!(!node.log().contains("203.0.113.7"), "{}", node.log());
    // Clients without a header are served.
    let person = SamplePerson::of(1);
    assert!(mail::logs_in_by_imap(node.address(Port::Imap), &person.mail(), &person.password()).unwrap());
}

#[test]
fn clients_in_the_proxy_networks_must_send_a_header_of_version_2() {
    let node = node();
    for (name, port) in BALANCED {
        // LDAP needs no header from 127.0.0.1: its balancer has another address.
        if port == Port::Ldap {
            continue;
        }
        for begin in [&b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 143\r\n"[..], b"\r\n\r\nQUIT\r\n", b"\x16\x03\x01\x02"]
        {
            let mut client = TextClient::open(node.address(port)).unwrap();
            client.send(begin).unwrap();
            assert_eq!(client.next().unwrap(), None, "{name}: {}", begin.escape_ascii());
        }
    }
    let log = node.log();
    assert!(log.contains("only version 2 is served") && log.contains("no PROXY header"), "{log}");

    // The health listener has no proxy networks: a balancer connects to it for its own checks.
    let mut health = TextClient::open(node.address(Port::Health)).unwrap();
    health.send(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    assert!(health.next().unwrap().unwrap().contains(" 200 "));
    // LDAP accepts a header only from its balancer.
    let mut ldap = TextClient::open(node.address(Port::Ldap)).unwrap();
    ldap.send(&header(CLIENT)).unwrap();
    ldap.send(&ldap_bind(&node.secret("directory-password"))).unwrap();
    let answer = ldap.octets(10).unwrap();
    // RFC 4511 §4.4.1: a Notice of Disconnection has message id 0.
    assert_eq!(answer[4], 0, "{answer:?}");
}

/// One source gets at most 256 of the directory's 1,024 connections.
#[test]
fn one_source_cannot_take_all_connections_of_the_directory() {
    /// An anonymous simple bind (RFC 4511 §4.2, RFC 4513 §5.1.1) and its success.
    const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
    const SUCCESS: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    let node = node();
    let balancer = Balancer::start(&node);
    let bind = |source| {
        let mut client = balancer.open(Port::Ldap, source);
        client.send(BIND).unwrap();
        let answer = client.octets(SUCCESS.len());
        (client, answer.is_ok_and(|answer| answer == SUCCESS))
    };
    let open: Vec<_> = (0..256).map(|_| bind(CLIENT)).collect();
    assert!(open.iter().all(|(_, is_bound)| *is_bound));
    assert!(!bind(CLIENT).1, "the 257th connection of a source must be refused");
    assert!(bind(OTHER).1, "another source must be served");
    drop(open);
    deadline::until(std::time::Duration::from_secs(10), || Ok(bind(CLIENT).1.then_some(()))).unwrap();
}
