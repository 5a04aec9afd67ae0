//! Kills a node (SIGKILL) while clients append, move and delete messages. Afterwards every acknowledged change is kept,
//! and a change that was not acknowledged has been applied completely or not at all.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use provost_tests::{Node, Options, Port, SamplePerson, TextClient};

const PEOPLE: u32 = 4;
const ROUNDS: u32 = 3;
/// Acknowledged changes after which the node is killed.
const KILL_AFTER: u32 = 150;

/// The latest change that a client requested for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastChange {
    Append,
    Move,
    Delete,
}

/// By the `X-Token` of a message: its last change, and whether the node acknowledged that change.
type ChangeLog = HashMap<String, (LastChange, bool)>;

/// By the `X-Token` of a message: the number of copies in INBOX and in Archive.
type Copies = HashMap<String, (u32, u32)>;

#[test]
fn appends_moves_and_pop3_deletions_survive_kill_9() {
    let mut node = Node::start_with(Options { people: Some(PEOPLE), ..Options::default() }).unwrap();
    for number in 1..=PEOPLE {
        imap(&node, number).unwrap().ask("c CREATE Archive", &["c OK"]).unwrap();
    }
    let mut change_logs = vec![ChangeLog::new(); PEOPLE as usize];
    for round in 0..ROUNDS {
        let (acknowledged, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for (number, change_log) in (1..).zip(&mut change_logs) {
                let (node, acknowledged, ended) = (&node, &acknowledged, &ended);
                scope.spawn(move || {
                    let end = change_mail(node, number, round, change_log, acknowledged);
                    ended.fetch_add(1, Ordering::Relaxed);
                    end
                });
            }
            while acknowledged.load(Ordering::Relaxed) < KILL_AFTER && ended.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            // The clients run until the kill: one that ended before it has failed.
            assert_eq!(ended.load(Ordering::Relaxed), 0, "a client failed before the kill:\n{}", node.log());
            node.signal("KILL").unwrap();
        });
        node.kill().unwrap();
        node.serve_again(&[Port::Imap, Port::Pop3]).unwrap();
        for (number, change_log) in (1..).zip(&mut change_logs) {
            check(change_log, &copies(&node, number).unwrap());
        }
    }
    let count = |change| change_logs.iter().flat_map(HashMap::values).filter(|last| last.0 == change).count();
    println!(
        "{} appended, {} moved, {} deleted",
        count(LastChange::Append),
        count(LastChange::Move),
        count(LastChange::Delete)
    );
    assert!(count(LastChange::Move) > 0 && count(LastChange::Delete) > 0);
}

/// Appends messages; of each three, moves the second by IMAP and deletes the third by POP3.
fn change_mail(
    node: &Node,
    number: u32,
    round: u32,
    change_log: &mut ChangeLog,
    acknowledged: &AtomicU32,
) -> anyhow::Result<()> {
    let mut client = imap(node, number)?;
    client.ask("c SELECT INBOX", &["c OK"])?;
    for message in 0.. {
        let token = format!("{round}-{message}");
        let mut note = |change, is_acknowledged| {
            change_log.insert(token.clone(), (change, is_acknowledged));
            acknowledged.fetch_add(u32::from(is_acknowledged), Ordering::Relaxed);
        };
        note(LastChange::Append, false);
        let text = format!("Subject: x\r\nX-Token: {token}\r\n\r\n{}", "line\r\n".repeat(200));
        client.ask(&format!("d APPEND INBOX {{{}}}", text.len()), &["+"])?;
        let done = client.ask(&text, &["d OK"])?.pop().unwrap_or_default();
        note(LastChange::Append, true);
        if message % 3 == 1 {
            // d OK [APPENDUID validity uid] ...
            let uid = done.split([' ', ']']).nth(4).unwrap_or_default();
            note(LastChange::Move, false);
            client.ask(&format!("e UID MOVE {uid} Archive"), &["e OK"])?;
            note(LastChange::Move, true);
        } else if message % 3 == 2 {
            note(LastChange::Delete, false);
            delete_last(node, number)?;
            note(LastChange::Delete, true);
        }
    }
    Ok(())
}

/// Deletes the newest message of INBOX by POP3.
fn delete_last(node: &Node, number: u32) -> anyhow::Result<()> {
    let person = SamplePerson::of(number);
    let mut client = TextClient::open(node.address(Port::Pop3))?;
    client.until(&["+OK"])?;
    client.ask(&format!("USER {}", person.mail()), &["+OK"])?;
    client.ask(&format!("PASS {}", person.password()), &["+OK"])?;
    let stat = client.ask("STAT", &["+OK"])?.pop().unwrap_or_default();
    let last = stat.split(' ').nth(1).unwrap_or_default();
    client.ask(&format!("DELE {last}"), &["+OK"])?;
    client.ask("QUIT", &["+OK"])?;
    Ok(())
}

fn imap(node: &Node, number: u32) -> anyhow::Result<TextClient> {
    let person = SamplePerson::of(number);
    let mut client = TextClient::open(node.address(Port::Imap))?;
    client.until(&["* OK"])?;
    client.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"])?;
    Ok(client)
}

fn copies(node: &Node, number: u32) -> anyhow::Result<Copies> {
    let mut copies = Copies::new();
    let mut client = imap(node, number)?;
    for mailbox in ["INBOX", "Archive"] {
        let selected = client.ask(&format!("b EXAMINE {mailbox}"), &["b OK"])?;
        if selected.iter().any(|line| line == "* 0 EXISTS") {
            continue;
        }
        let lines = client.ask("c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Token)])", &["c OK"])?;
        for token in lines.iter().filter_map(|line| line.strip_prefix("X-Token: ")) {
            let (inbox, archive) = copies.entry(token.to_owned()).or_default();
            *(if mailbox == "INBOX" { inbox } else { archive }) += 1;
        }
    }
    Ok(copies)
}

/// Compares the mailboxes with the log, and records in the log what became of the changes without an answer.
fn check(change_log: &mut ChangeLog, copies: &Copies) {
    for (token, (change, is_acknowledged)) in change_log.iter_mut() {
        let there = copies.get(token).copied().unwrap_or_default();
        let may_be: &[(u32, u32)] = match (*change, *is_acknowledged) {
            (LastChange::Append, false) => &[(0, 0), (1, 0)],
            (LastChange::Append, true) => &[(1, 0)],
            (LastChange::Move, false) => &[(1, 0), (0, 1)],
            (LastChange::Move, true) => &[(0, 1)],
            (LastChange::Delete, false) => &[(1, 0), (0, 0)],
            (LastChange::Delete, true) => &[(0, 0)],
        };
        assert!(
            may_be.contains(&there),
            "{token}: {change:?}, acknowledged {is_acknowledged}: {there:?} in INBOX and Archive"
        );
        *is_acknowledged = true;
        *change = match there {
            (1, 0) => LastChange::Append,
            (0, 1) => LastChange::Move,
            _ => LastChange::Delete,
        };
    }
    let unknown: Vec<_> = copies.keys().filter(|token| !change_log.contains_key(*token)).collect();
    assert!(unknown.is_empty(), "never appended: {unknown:?}");
}
