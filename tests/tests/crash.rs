//! kill -9 under LMTP load: every acknowledged message is stored exactly once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use provost_tests::people::PEOPLE;
use provost_tests::{Node, Port, SamplePerson, TextClient};

const CONNECTIONS: u32 = 16;
/// Acknowledgements before the kill; deliveries continue until after it. `PROVOST_KILL_AFTER` sets
/// another number.
const KILL_AFTER: usize = 1200;

#[test]
fn acknowledged_mail_survives_kill_9_exactly_once() {
    let from_environment = std::env::var("PROVOST_KILL_AFTER").ok().and_then(|count| count.parse().ok());
    let kill_after: usize = from_environment.unwrap_or(KILL_AFTER);
    let mut node = Node::start().unwrap();
    let address = node.address(Port::Lmtp);
    let acknowledged = Mutex::new(Vec::new());
    let (ended, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (acknowledged, ended, is_over) = (&acknowledged, &ended, &is_over);
            scope.spawn(move || {
                let end = deliver_until_over(address, connection, acknowledged, is_over);
                ended.fetch_add(1, Ordering::Relaxed);
                end
            });
        }
        while acknowledged.lock().unwrap().len() < kill_after && ended.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let ended_before = ended.load(Ordering::Relaxed);
        node.kill().unwrap();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ended_before, 0, "a delivery failed before the kill:\n{}", node.log());
    });
    let back = node.serve_again(&[Port::Lmtp, Port::Imap, Port::Pop3]).unwrap();
    let counts = tokens_found(&node).unwrap();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= kill_after);
    let wrong: Vec<_> = acknowledged.iter().filter(|token| counts.get(*token) != Some(&1)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} acknowledged messages are not stored exactly once: {wrong:?}",
        wrong.len(),
        acknowledged.len()
    );
    assert!(counts.values().all(|count| *count == 1), "a message is stored twice");
    println!("{} acknowledged, {} stored, ready again after {back:?}", acknowledged.len(), counts.len());
}

/// Delivers over one connection; an error when a delivery fails.
fn deliver_until_over(
    address: SocketAddr,
    connection: u32,
    acknowledged: &Mutex<Vec<String>>,
    is_over: &AtomicBool,
) -> anyhow::Result<()> {
    let mut client = TextClient::open(address)?;
    client.until(&["220"])?;
    client.ask("LHLO load.invalid", &["250 "])?;
    for number in (0..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
        let token = format!("{connection}-{number}");
        let recipient = SamplePerson::of((connection * 7919 + number) % PEOPLE + 1);
        deliver(&mut client, &recipient, &token)?;
        acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(token);
    }
    Ok(())
}

fn deliver(client: &mut TextClient, recipient: &SamplePerson, token: &str) -> anyhow::Result<()> {
    client.ask("MAIL FROM:<load@example.net>", &["250"])?;
    client.ask(&format!("RCPT TO:<{}>", recipient.mail()), &["250"])?;
    client.ask("DATA", &["354"])?;
    let body = "0123456789abcdefghijklmnopqrstuvwxyz\r\n".repeat(100);
    client.ask(&format!("Subject: load\r\nX-Token: {token}\r\n\r\n{body}."), &["250"])?;
    Ok(())
}

/// The tokens in the INBOX of every person, and how often each occurs.
fn tokens_found(node: &Node) -> anyhow::Result<HashMap<String, u32>> {
    let mut counts = HashMap::new();
    for number in 1..=PEOPLE {
        let person = SamplePerson::of(number);
        let mut client = TextClient::open(node.address(Port::Imap))?;
        client.until(&["* OK"])?;
        client.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"])?;
        let selected = client.ask("b EXAMINE INBOX", &["b OK"])?;
        if !selected.iter().any(|line| line == "* 0 EXISTS") {
            let lines = client.ask("c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Token)])", &["c OK"])?;
            for token in lines.iter().filter_map(|line| line.strip_prefix("X-Token: ")) {
                *counts.entry(token.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(counts)
}
