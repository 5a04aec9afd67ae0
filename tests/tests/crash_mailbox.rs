//! kill -9 while clients append, move and delete: every acknowledged change is there, and a change that was not acknowledged is
//! there whole or not at all.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use provost_tests::{Node, Options, Port, SamplePerson, TextClient};

const PEOPLE: u32 = 4;
const ROUNDS: u32 = 3;
/// Acknowledged changes after which the node is killed.
const KILL_AFTER: u32 = 150;

/// The last requested change of a message, and whether it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastChange {
    Append,
    Move,
    Delete,
}

type ChangeLog = HashMap<String, (LastChange, bool)>;

/// Copies of a message in INBOX and in Archive.
type Copies = HashMap<String, (u32, u32)>;

#[test]
fn append_move_and_pop3_update_survive_kill_9() {
    let mut node = Node::start_with(Options { people: Some(PEOPLE), ..Options::default() }).unwrap();
    for number in 1..=PEOPLE {
        imap(&node, number).unwrap().ask("c CREATE Archive", &["c OK"]).unwrap();
    }
    let mut journals = vec![ChangeLog::new(); PEOPLE as usize];
    for round in 0..ROUNDS {
        let (acknowledged, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for (number, journal) in (1..).zip(&mut journals) {
                let (node, acknowledged, ended) = (&node, &acknowledged, &ended);
                scope.spawn(move || {
                    let end = change_mail(node, number, round, journal, acknowledged);
                    ended.fetch_add(1, Ordering::Relaxed);
                    end
                });
            }
            while acknowledged.load(Ordering::Relaxed) < KILL_AFTER && ended.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            // The clients continue until the node is gone.
            assert_eq!(ended.load(Ordering::Relaxed), 0, "{}", node.log());
            node.signal("KILL").unwrap();
        });
        node.kill().unwrap();
        node.serve_again(&[Port::Imap, Port::Pop3]).unwrap();
        for (number, journal) in (1..).zip(&mut journals) {
            check(journal, &copies(&node, number).unwrap());
        }
    }
    let steps = |step| journals.iter().flat_map(HashMap::values).filter(|known| known.0 == step).count();
    println!(
        "{} appended, {} moved, {} deleted",
        steps(LastChange::Append),
        steps(LastChange::Move),
        steps(LastChange::Delete)
    );
    assert!(steps(LastChange::Move) > 0 && steps(LastChange::Delete) > 0);
}

/// Appends messages; moves every second one, and deletes every third one by POP3.
fn change_mail(
    node: &Node,
    number: u32,
    round: u32,
    journal: &mut ChangeLog,
    acknowledged: &AtomicU32,
) -> anyhow::Result<()> {
    let mut line = imap(node, number)?;
    line.ask("c SELECT INBOX", &["c OK"])?;
    for message in 0.. {
        let token = format!("{round}-{message}");
        let mut step = |step, is_done| {
            journal.insert(token.clone(), (step, is_done));
            acknowledged.fetch_add(u32::from(is_done), Ordering::Relaxed);
        };
        step(LastChange::Append, false);
        let text = format!("Subject: x\r\nX-Token: {token}\r\n\r\n{}", "line\r\n".repeat(200));
        line.ask(&format!("d APPEND INBOX {{{}}}", text.len()), &["+"])?;
        let done = line.ask(&text, &["d OK"])?.pop().unwrap_or_default();
        step(LastChange::Append, true);
        if message % 3 == 1 {
            // d OK [APPENDUID validity uid] ...
            let uid = done.split([' ', ']']).nth(4).unwrap_or_default();
            step(LastChange::Move, false);
            line.ask(&format!("e UID MOVE {uid} Archive"), &["e OK"])?;
            step(LastChange::Move, true);
        } else if message % 3 == 2 {
            step(LastChange::Delete, false);
            delete_last(node, number)?;
            step(LastChange::Delete, true);
        }
    }
    Ok(())
}

/// Deletes the newest message of INBOX by POP3.
fn delete_last(node: &Node, number: u32) -> anyhow::Result<()> {
    let person = SamplePerson::of(number);
    let mut line = TextClient::open(node.address(Port::Pop3))?;
    line.until(&["+OK"])?;
    line.ask(&format!("USER {}", person.mail()), &["+OK"])?;
    line.ask(&format!("PASS {}", person.password()), &["+OK"])?;
    let stat = line.ask("STAT", &["+OK"])?.pop().unwrap_or_default();
    let last = stat.split(' ').nth(1).unwrap_or_default();
    line.ask(&format!("DELE {last}"), &["+OK"])?;
    line.ask("QUIT", &["+OK"])?;
    Ok(())
}

fn imap(node: &Node, number: u32) -> anyhow::Result<TextClient> {
    let person = SamplePerson::of(number);
    let mut line = TextClient::open(node.address(Port::Imap))?;
    line.until(&["* OK"])?;
    line.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"])?;
    Ok(line)
}

fn copies(node: &Node, number: u32) -> anyhow::Result<Copies> {
    let mut copies = Copies::new();
    let mut line = imap(node, number)?;
    for mailbox in ["INBOX", "Archive"] {
        let selected = line.ask(&format!("b EXAMINE {mailbox}"), &["b OK"])?;
        if selected.iter().any(|line| line == "* 0 EXISTS") {
            continue;
        }
        let lines = line.ask("c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Token)])", &["c OK"])?;
        for token in lines.iter().filter_map(|line| line.strip_prefix("X-Token: ")) {
            let (inbox, archive) = copies.entry(token.to_owned()).or_default();
            *(if mailbox == "INBOX" { inbox } else { archive }) += 1;
        }
    }
    Ok(copies)
}

/// Compares the journal with the mailboxes, and adopts the outcome of changes that were not acknowledged.
fn check(journal: &mut ChangeLog, copies: &Copies) {
    for (token, (step, is_done)) in journal.iter_mut() {
        let there = copies.get(token).copied().unwrap_or_default();
        let may_be: &[(u32, u32)] = match (*step, *is_done) {
            (LastChange::Append, false) => &[(0, 0), (1, 0)],
            (LastChange::Append, true) => &[(1, 0)],
            (LastChange::Move, false) => &[(1, 0), (0, 1)],
            (LastChange::Move, true) => &[(0, 1)],
            (LastChange::Delete, false) => &[(1, 0), (0, 0)],
            (LastChange::Delete, true) => &[(0, 0)],
        };
        assert!(may_be.contains(&there), "{token}: {step:?}, acknowledged {is_done}: {there:?} in INBOX and Archive");
        *is_done = true;
        *step = match there {
            (1, 0) => LastChange::Append,
            (0, 1) => LastChange::Move,
            _ => LastChange::Delete,
        };
    }
    let strange: Vec<_> = copies.keys().filter(|token| !journal.contains_key(*token)).collect();
    assert!(strange.is_empty(), "never appended: {strange:?}");
}
