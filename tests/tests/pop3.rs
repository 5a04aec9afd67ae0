//! POP3 sessions in immediate succession: the maildrop is free when the previous session has ended, however it ended.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use provost_tests::{Node, Options, Port, SamplePerson, TextClient, mail};

/// Sessions for each kind of end.
const TURNS: usize = 60;

/// How the previous session ends.
#[derive(Clone, Copy, Debug)]
enum PreviousEnd {
    /// QUIT: the client reads the reply and does not close the connection.
    Quit,
    /// QUIT, and the connection is closed before the reply is read.
    QuitUnread,
    /// The connection is closed without QUIT: nothing is deleted (RFC 1939 §6).
    HangUp,
}

fn logged_in(node: &Node, person: &SamplePerson) -> TextClient {
    let mut client = TextClient::open(node.address(Port::Pop3)).unwrap();
    client.until(&["+OK"]).unwrap();
    client.ask(&format!("USER {}", person.mail()), &["+OK"]).unwrap();
    client.send_line(&format!("PASS {}", person.password())).unwrap();
    let answer = client.next().unwrap().unwrap();
    assert!(answer.starts_with("+OK"), "{answer}");
    client
}

fn message_count(client: &mut TextClient) -> usize {
    client.send_line("STAT").unwrap();
    let answer = client.next().unwrap().unwrap();
    answer.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_login_finds_the_maildrop_free_after_each_end_of_a_session() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let person = SamplePerson::of(1);
    for turn in 0..TURNS {
        for end in [PreviousEnd::Quit, PreviousEnd::QuitUnread, PreviousEnd::HangUp] {
            let text = format!("Subject: {turn}\r\n\r\n{end:?}\r\n");
            mail::send(node.address(Port::Lmtp), None, "a@example.net", &[&person.mail()], &text).unwrap();
            let mut previous = logged_in(&node, &person);
            let count = message_count(&mut previous);
            previous.ask(&format!("DELE {count}"), &["+OK"]).unwrap();
            let (still_open, count_after) = match end {
                PreviousEnd::Quit => {
                    previous.ask("QUIT", &["+OK"]).unwrap();
                    (Some(previous), count - 1)
                }
                PreviousEnd::QuitUnread => {
                    previous.send_line("QUIT").unwrap();
                    previous.hang_up();
                    (None, count - 1)
                }
                PreviousEnd::HangUp => {
                    previous.hang_up();
                    (None, count)
                }
            };
            let mut next = logged_in(&node, &person);
            assert_eq!(message_count(&mut next), count_after, "{turn} {end:?}");
            next.ask("QUIT", &["+OK"]).unwrap();
            drop(still_open);
        }
    }
}
