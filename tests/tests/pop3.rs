//! POP3 sessions in immediate succession: the maildrop is free when the previous session has ended, however it ended.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use provost_tests::{Node, Options, Port, SamplePerson, TextClient, mail};

/// Consecutive logins of each kind.
const TURNS: usize = 60;

/// How the previous session ends.
#[derive(Clone, Copy, Debug)]
enum PreviousEnd {
    /// QUIT with its reply read, and the connection left open.
    Quit,
    /// QUIT, and the connection is closed before the reply is read.
    QuitUnread,
    /// The connection is closed without QUIT: nothing is deleted (RFC 1939 §6).
    HangUp,
}

fn logged_in(node: &Node, person: &SamplePerson) -> TextClient {
    let mut line = TextClient::open(node.address(Port::Pop3)).unwrap();
    line.until(&["+OK"]).unwrap();
    line.ask(&format!("USER {}", person.mail()), &["+OK"]).unwrap();
    line.send_line(&format!("PASS {}", person.password())).unwrap();
    let answer = line.next().unwrap().unwrap();
    assert!(answer.starts_with("+OK"), "{answer}");
    line
}

fn messages(line: &mut TextClient) -> usize {
    line.send_line("STAT").unwrap();
    let answer = line.next().unwrap().unwrap();
    answer.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_login_after_the_end_of_another_session() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let person = SamplePerson::of(1);
    for turn in 0..TURNS {
        for end in [PreviousEnd::Quit, PreviousEnd::QuitUnread, PreviousEnd::HangUp] {
            let text = format!("Subject: {turn}\r\n\r\n{end:?}\r\n");
            mail::send(node.address(Port::Lmtp), None, "a@example.net", &[&person.mail()], &text).unwrap();
            let mut before = logged_in(&node, &person);
            let count = messages(&mut before);
            before.ask(&format!("DELE {count}"), &["+OK"]).unwrap();
            let (before, count_after) = match end {
                PreviousEnd::Quit => {
                    before.ask("QUIT", &["+OK"]).unwrap();
                    (Some(before), count - 1)
                }
                PreviousEnd::QuitUnread => {
                    before.send_line("QUIT").unwrap();
                    before.hang_up();
                    (None, count - 1)
                }
                PreviousEnd::HangUp => {
                    before.hang_up();
                    (None, count)
                }
            };
            let mut after = logged_in(&node, &person);
            assert_eq!(messages(&mut after), count_after, "{turn} {end:?}");
            after.ask("QUIT", &["+OK"]).unwrap();
            drop(before);
        }
    }
}
