//! kill -9 under LMTP load: every acknowledged message is stored exactly once, and the node is back at once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use provost_tests::people::PEOPLE;
use provost_tests::{Node, Port, SamplePerson, TextClient};

const CONNECTIONS: u32 = 16;
/// Acknowledgements before the kill; the load continues until it loses the connection. `PROVOST_KILL_AFTER` sets
/// another number.
const KILL_AFTER: u32 = 1200;

#[test]
fn acknowledged_mail_survives_kill_9_exactly_once() {
    let from_environment = std::env::var("PROVOST_KILL_AFTER").ok().and_then(|count| count.parse().ok());
    let kill_after: u32 = from_environment.unwrap_or(KILL_AFTER);
    let mut node = Node::start().unwrap();
    let address = node.address(Port::Lmtp);
    let acknowledged = Mutex::new(Vec::new());
    let (count, over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (acknowledged, count, over) = (&acknowledged, &count, &over);
            scope.spawn(move || {
                let mut line = TextClient::open(address).unwrap();
                line.until(&["220"]).unwrap();
                line.ask("LHLO load.invalid", &["250 "]).unwrap();
                for number in 0.. {
                    let token = format!("{connection}-{number}");
                    let to = SamplePerson::of((connection * 7919 + number) % PEOPLE + 1);
                    if over.load(Ordering::Relaxed) || deliver(&mut line, &to, &token).is_err() {
                        break;
                    }
                    acknowledged.lock().unwrap().push(token);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while count.load(Ordering::Relaxed) < kill_after {
            std::thread::yield_now();
        }
        node.kill().unwrap();
        over.store(true, Ordering::Relaxed);
    });
    let back = node.serve_again(&[Port::Lmtp, Port::Imap, Port::Pop3]).unwrap();
    let counts = tokens_found(&node).unwrap();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= kill_after as usize);
    let wrong: Vec<_> = acknowledged.iter().filter(|token| counts.get(*token) != Some(&1)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} acknowledged messages are not stored exactly once: {wrong:?}",
        wrong.len(),
        acknowledged.len()
    );
    assert!(counts.values().all(|count| *count == 1), "a message is stored twice");
    println!("{} acknowledged, {} counts, back after {back:?}", acknowledged.len(), counts.len());
}

fn deliver(line: &mut TextClient, to: &SamplePerson, token: &str) -> anyhow::Result<()> {
    line.ask("MAIL FROM:<load@example.net>", &["250"])?;
    line.ask(&format!("RCPT TO:<{}>", to.mail()), &["250"])?;
    line.ask("DATA", &["354"])?;
    let body = "0123456789abcdefghijklmnopqrstuvwxyz\r\n".repeat(100);
    line.ask(&format!("Subject: load\r\nX-Token: {token}\r\n\r\n{body}."), &["250"])?;
    Ok(())
}

/// The tokens in all mailboxes, and how often each occurs.
fn tokens_found(node: &Node) -> anyhow::Result<HashMap<String, u32>> {
    let mut counts = HashMap::new();
    for number in 1..=PEOPLE {
        let person = SamplePerson::of(number);
        let mut line = TextClient::open(node.address(Port::Imap))?;
        line.until(&["* OK"])?;
        line.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"])?;
        let selected = line.ask("b EXAMINE INBOX", &["b OK"])?;
        if !selected.iter().any(|line| line == "* 0 EXISTS") {
            let lines = line.ask("c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Token)])", &["c OK"])?;
            for token in lines.iter().filter_map(|line| line.strip_prefix("X-Token: ")) {
                *counts.entry(token.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(counts)
}
