//! A full disk, and a disk whose syncs fail, under load: every protocol replies with a temporary failure, no
//! acknowledged mail is lost, and the node accepts mail again when the disk recovers, without a restart.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use provost_tests::http::{self, HttpRequest};
use provost_tests::{Node, Options, Port, SamplePerson, TextClient, deadline, mail};

const PEOPLE: u32 = 6;
const CONNECTIONS: u32 = 4;
/// Messages accepted before the fault, and again after it.
const ACCEPTED_MIN: usize = 60;
/// Lines of a message of the load.
const LOAD_LINES: usize = 100;
/// Lines of a message that is too large for the room left in any file.
const LARGE_LINES: usize = 10_000;
/// Deferrals after which the fault is known to be in effect.
const DEFERRALS_MIN: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);
/// The person who reads and writes mail while the load goes to the others.
const READER: u32 = PEOPLE;

/// The results of the load.
#[derive(Default)]
struct LoadResult {
    /// The tokens of the acknowledged messages.
    acknowledged: Mutex<Vec<String>>,
    deferrals: AtomicUsize,
    is_over: AtomicBool,
}

impl LoadResult {
    fn acknowledged_count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Delivers by LMTP until the load ends. A reply that is neither 2xx nor 4xx fails the test.
    fn deliver_until_over(&self, node: &Node, connection: u32) {
        let mut client = TextClient::open(node.address(Port::Lmtp)).unwrap();
        client.until(&["220"]).unwrap();
        client.ask("LHLO load.invalid", &["250 "]).unwrap();
        for number in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let (token, recipient) =
                (format!("{connection}-{number}"), SamplePerson::of((connection + number) % (PEOPLE - 1) + 1));
            let reply = transact(&mut client, &recipient, &token, LOAD_LINES);
            match reply.split_at(1).0 {
                "2" => self.acknowledged.lock().unwrap().push(token),
                "4" => _ = self.deferrals.fetch_add(1, Ordering::Relaxed),
                _ => panic!("{reply}"),
            }
        }
    }
}

/// Sends one message and returns the reply to the end of data.
fn transact(client: &mut TextClient, recipient: &SamplePerson, token: &str, lines: usize) -> String {
    let answer = mail::reply(client, "MAIL FROM:<load@example.net>").unwrap();
    assert!(answer.starts_with("250"), "{answer}");
    let answer = mail::reply(client, &format!("RCPT TO:<{}>", recipient.mail())).unwrap();
    assert!(answer.starts_with("250"), "{answer}");
    let answer = mail::reply(client, "DATA").unwrap();
    assert!(answer.starts_with("354"), "{answer}");
    let body = "0123456789abcdefghijklmnopqrstuvwxyz\r\n".repeat(lines);
    mail::reply(client, &format!("Subject: load\r\nX-Token: {token}\r\n\r\n{body}.")).unwrap()
}

fn until(what: &str, node: &Node, is_met: impl Fn() -> bool) {
    let waited = deadline::until(LIMIT, || Ok(is_met().then_some(())));
    waited.unwrap_or_else(|error| panic!("{what}: {error}\n{}", node.log()));
}

/// An IMAP connection of the reader.
fn imap(node: &Node) -> TextClient {
    let reader = SamplePerson::of(READER);
    let mut client = TextClient::open(node.address(Port::Imap)).unwrap();
    client.until(&["* OK"]).unwrap();
    client.ask(&format!("a LOGIN {} \"{}\"", reader.mail(), reader.password()), &["a OK"]).unwrap();
    client.ask("b SELECT INBOX", &["b OK"]).unwrap();
    client
}

/// A POP3 connection of the reader, with the first message marked as deleted.
fn pop3(node: &Node) -> TextClient {
    let reader = SamplePerson::of(READER);
    let mut client = TextClient::open(node.address(Port::Pop3)).unwrap();
    client.until(&["+OK"]).unwrap();
    client.ask(&format!("USER {}", reader.mail()), &["+OK"]).unwrap();
    client.ask(&format!("PASS {}", reader.password()), &["+OK"]).unwrap();
    client.ask("DELE 1", &["+OK"]).unwrap();
    client
}

/// Appends a message of this size, and returns the reply.
fn append(client: &mut TextClient, octets: usize) -> String {
    client.ask(&format!("c APPEND INBOX {{{octets}}}"), &["+ "]).unwrap();
    client.ask(&"x".repeat(octets), &["c "]).unwrap().pop().unwrap()
}

/// Whether a small change is refused. A full disk may also accept it, as a file can have room left.
fn is_refused_or_fits(answer: &str, refused: &str, accepted: &str, disk: &str) -> bool {
    answer.starts_with(refused) || disk == "full" && answer.starts_with(accepted)
}

/// Changes a vacation rule by REST, and returns the status.
fn put_vacation(node: &Node) -> u16 {
    let path = format!("/api/v1/people/{}/vacation", SamplePerson::of(1).uid());
    let token = format!("Authorization: Bearer {}", node.secret("api-token"));
    let headers = [token.as_str(), "Content-Type: application/json"];
    let request = HttpRequest { method: "PUT", path: &path, headers: &headers, body: r#"{"text_fr":"Absente."}"# };
    http::send(node.address(Port::Http), request).unwrap().status
}

/// The replies of each protocol while no write is possible; requests that need no write still work.
fn check_refusals(node: &Node, mut pop3: TextClient, disk: &str) {
    let mut client = imap(node);
    let answer = append(&mut client, 300_000);
    assert!(answer.starts_with("c NO [UNAVAILABLE]"), "{answer}");
    let answer = client.ask("d STORE 1 +FLAGS (\\Flagged)", &["d "]).unwrap().pop().unwrap();
    assert!(is_refused_or_fits(&answer, "d NO [UNAVAILABLE]", "d OK", disk), "{answer}");
    client.ask("e FETCH 1 BODY.PEEK[]", &["e OK"]).unwrap();
    let answer = pop3.ask("QUIT", &["+", "-"]).unwrap().pop().unwrap();
    assert!(is_refused_or_fits(&answer, "-ERR [SYS/TEMP]", "+OK", disk), "{answer}");
    for port in [Port::Mx, Port::Lmtp] {
        let mut client = TextClient::open(node.address(port)).unwrap();
        client.until(&["220"]).unwrap();
        let verb = if port == Port::Lmtp { "LHLO" } else { "EHLO" };
        client.ask(&format!("{verb} client.example.net"), &["250 "]).unwrap();
        let answer = transact(&mut client, &SamplePerson::of(READER), "refused", LARGE_LINES);
        assert!(answer.starts_with("4"), "{port:?}: {answer}");
    }
    let status = put_vacation(node).to_string();
    assert!(is_refused_or_fits(&status, "50", "200", disk), "{status}");
}

/// How often each token occurs.
fn tokens_found(node: &Node) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for number in 1..PEOPLE {
        let person = SamplePerson::of(number);
        for text in mail::inbox(node.address(Port::Imap), &person.mail(), &person.password()).unwrap() {
            let tokens = text.lines().filter_map(|line| line.strip_prefix("X-Token: "));
            tokens.for_each(|token| *counts.entry(token.trim_end().to_owned()).or_default() += 1);
        }
    }
    counts
}

/// Puts a node under load on a disk that fails for a while; `disk` is `full` or `eio`, as in `shim.c`.
fn load_through_a_fault(disk: &str) {
    let mut node = Node::start_with(Options { people: Some(PEOPLE), ..Options::default() }).unwrap();
    node.stop().unwrap();
    let control = node.put_on_faulty_disk().unwrap();
    let ports = [Port::Lmtp, Port::Imap, Port::Pop3, Port::Mx, Port::Http];
    node.serve_again(&ports).unwrap();
    mail::send(
        node.address(Port::Lmtp),
        None,
        "a@example.net",
        &[&SamplePerson::of(READER).mail()],
        "Subject: kept\r\n\r\nkept",
    )
    .unwrap();
    let load = LoadResult::default();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (load, node) = (&load, &node);
            scope.spawn(move || load.deliver_until_over(node, connection));
        }
        // Stop the load even when a check panics.
        let checked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with_load(&node, &load, &control, disk)));
        load.is_over.store(true, Ordering::Relaxed);
        checked.unwrap_or_else(|why| std::panic::resume_unwind(why));
    });
    node.kill().unwrap();
    node.put_on_sound_disk();
    node.serve_again(&ports).unwrap();
    let (counts, acknowledged) = (tokens_found(&node), load.acknowledged.into_inner().unwrap());
    let wrong: Vec<_> = acknowledged.iter().filter(|token| counts.get(*token) != Some(&1)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} acknowledged messages are not stored exactly once: {wrong:?}",
        wrong.len(),
        acknowledged.len()
    );
    println!("{} accepted and found, {} deferred", acknowledged.len(), load.deferrals.into_inner());
}

fn with_load(node: &Node, load: &LoadResult, control: &Path, disk: &str) {
    until("messages before the fault", node, || load.acknowledged_count() >= ACCEPTED_MIN);
    let pop3 = pop3(node);
    fs::write(control, disk).unwrap();
    until("deferrals", node, || load.deferrals.load(Ordering::Relaxed) >= DEFERRALS_MIN);
    check_refusals(node, pop3, disk);
    fs::write(control, "").unwrap();
    let before = load.acknowledged_count();
    until("messages after the fault", node, || load.acknowledged_count() >= before + ACCEPTED_MIN);
    let answer = append(&mut imap(node), 5);
    assert!(answer.starts_with("c OK"), "{answer}");
    assert_eq!(put_vacation(node), 200);
}

#[test]
fn a_full_disk_under_load() {
    load_through_a_fault("full");
}

#[test]
fn failing_syncs_under_load() {
    load_through_a_fault("eio");
}
