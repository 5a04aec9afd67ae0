//! kill -9 between a delivery and its effects: vacation replies, success reports, messages to a relay and bounces are
//! sent exactly once.
//!
//! No SMTP sender can avoid one case (RFC 1047): the relay has accepted a message, and the node dies before its queue
//! has recorded that on disk. The message is then sent again, with the same Message-ID. The tests allow a second copy
//! only if the first was accepted less than [`WINDOW`] before a kill.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use provost_tests::command::provost;
use provost_tests::mail::inbox;
use provost_tests::sink::{AcceptedMessage, SilentStage};
use provost_tests::{MailSink, Node, Options, Port, SamplePerson, TextClient, deadline};

/// Longest time for each wait.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest time between the relay's reply and the queue's commit: one sync of the disk on a busy machine.
const WINDOW: Duration = Duration::from_millis(500);
/// Number of random kills. `PROVOST_KILL_ROUNDS` sets another number.
const ROUNDS: u32 = 8;
/// The longest time from the start of a round to its kill.
const KILL_WITHIN: Duration = Duration::from_millis(400);
/// Every retry happens after one second, because the tests wait for the result.
const RETRY: &str = "[queue]\nretry_first = 1\nretry_max = 1\n";

/// The text before the recipient in a bounce.
const BOUNCE: &str = "Final-Recipient: rfc822; ";

/// The person on vacation.
const AWAY: u32 = 2;
/// The person who submits mail, and gets the bounces.
const WRITER: u32 = 3;

fn start(sink: &MailSink) -> Node {
    let options = Options { people: Some(3), relay: Some(sink.relay()), ..Options::default() };
    let mut node = Node::start_with(options).unwrap();
    provost(&node, &["vacation", "set", &SamplePerson::of(AWAY).uid(), "--text-fr", "Absente."])
        .unwrap()
        .good()
        .unwrap();
    node.stop().unwrap();
    node.configure(|text| text.replace("[queue]\n", RETRY)).unwrap();
    serve(&mut node);
    node
}

fn serve(node: &mut Node) {
    node.serve_again(&[Port::Http, Port::Mx, Port::Submission, Port::Imap]).unwrap();
}

/// A directory change right before a kill applies to the first message after the restart, even if the saved View is
/// older than the change.
#[test]
fn a_vacation_text_set_right_before_a_kill_is_used_after_the_restart() {
    let sink = MailSink::start().unwrap();
    let mut node = start(&sink);
    for round in 0..4 {
        let text = format!("Absente {round}.");
        provost(&node, &["vacation", "set", &SamplePerson::of(AWAY).uid(), "--text-fr", &text])
            .unwrap()
            .good()
            .unwrap();
        node.kill().unwrap();
        serve(&mut node);
        let from = format!("first{round}@example.net");
        let mut client = open(&node, Port::Mx).unwrap();
        transact(&mut client, &from, &SamplePerson::of(AWAY).mail(), "", "first").unwrap();
        let reply = || Ok(sink.accepted().into_iter().find(|message| message.recipients == [from.as_str()]));
        let (reply, _) = deadline::until(LIMIT, reply).unwrap();
        assert!(String::from_utf8_lossy(&reply.text).contains(&text), "round {round}: {reply:?}");
    }
}

/// A connection after the greeting and EHLO.
fn open(node: &Node, port: Port) -> anyhow::Result<TextClient> {
    let mut client = TextClient::open(node.address(port))?;
    client.until(&["220 "])?;
    client.ask("EHLO client.example.net", &["250 "])?;
    Ok(client)
}

fn submission(node: &Node) -> anyhow::Result<TextClient> {
    let (mut client, writer) = (open(node, Port::Submission)?, SamplePerson::of(WRITER));
    let plain = format!("\0{}\0{}", writer.mail(), writer.password());
    client.ask(&format!("AUTH PLAIN {}", provost_tests::conversation::base64(plain.as_bytes())), &["235"])?;
    Ok(client)
}

/// Sends one message; `Ok` means acknowledged.
fn transact(client: &mut TextClient, from: &str, to: &str, rcpt_parameters: &str, token: &str) -> anyhow::Result<()> {
    client.ask(&format!("MAIL FROM:<{from}>"), &["250"])?;
    client.ask(&format!("RCPT TO:<{to}>{rcpt_parameters}"), &["250"])?;
    client.ask("DATA", &["354"])?;
    let text = format!("From: {from}\r\nTo: {to}\r\nSubject: {token}\r\nX-Token: {token}\r\n\r\nhello\r\n.");
    client.ask(&text, &["250"])?;
    Ok(())
}

/// The effect for which a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To a person on vacation, with NOTIFY=SUCCESS: causes a reply and a report.
    Answered,
    /// To another domain.
    Relayed,
    /// To another domain, which refuses: causes a bounce.
    Bounced,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Answered, Self::Relayed, Self::Bounced];

    fn send(self, client: &mut TextClient, sink: &MailSink, token: &str) -> anyhow::Result<()> {
        let (away, writer, outside) = (SamplePerson::of(AWAY).mail(), SamplePerson::of(WRITER).mail(), outside(token));
        match self {
            Self::Answered => transact(client, &outside, &away, " NOTIFY=SUCCESS,FAILURE", token),
            Self::Relayed => transact(client, &writer, &outside, "", token),
            Self::Bounced => {
                sink.set_rcpt_reply(&outside, Some("550 5.1.1 No such user here"));
                transact(client, &writer, &outside, "", token)
            }
        }
    }

    fn open(self, node: &Node) -> anyhow::Result<TextClient> {
        if self == Self::Answered { open(node, Port::Mx) } else { submission(node) }
    }
}

fn outside(token: &str) -> String {
    format!("{token}@example.net")
}

fn is_report(message: &AcceptedMessage) -> bool {
    String::from_utf8_lossy(&message.text).contains("report-type")
}

fn wait_for_empty_queue(node: &Node) {
    let listed = || {
        let listed = provost(node, &["queue", "list"])?.good()?;
        Ok(listed.lines().last().is_some_and(|last| last.starts_with("0 waiting")).then_some(listed))
    };
    let (listed, _) = deadline::until(LIMIT, listed).unwrap();
    assert!(!listed.contains("SET ASIDE"), "{listed}");
}

/// Counts a person's messages by token: the text between `prefix` and `suffix` in the first line that has both.
fn tokens(node: &Node, number: u32, prefix: &str, suffix: &str) -> HashMap<String, usize> {
    let person = SamplePerson::of(number);
    let mut counts = HashMap::new();
    for message in inbox(node.address(Port::Imap), &person.mail(), &person.password()).unwrap() {
        let named = message.lines().find_map(|line| line.strip_prefix(prefix)?.strip_suffix(suffix));
        *counts.entry(named.unwrap_or_else(|| panic!("no '{prefix}' in {message}")).to_owned()).or_default() += 1;
    }
    counts
}

/// Checks the copies of one message that the relay accepted: at least one, and another only after a copy accepted right
/// before a kill. Returns the number of copies after the first.
fn check_copies(copies: &[AcceptedMessage], kills: &[Instant], what: &str) -> usize {
    assert!(!copies.is_empty(), "{what}: lost");
    let mut again = 0;
    for pair in copies.windows(2) {
        let at = pair[0].at;
        let near = kills.iter().any(|kill| at <= *kill && kill.duration_since(at) < WINDOW);
        assert!(near, "{what}: sent again, although the relay accepted it long before the next kill");
        let id = |message: &AcceptedMessage| {
            let text = String::from_utf8_lossy(&message.text).into_owned();
            text.lines().find(|line| line.starts_with("Message-ID")).map(str::to_owned)
        };
        assert_eq!(id(&pair[0]), id(&pair[1]), "{what}: both copies must have one Message-ID");
        again += 1;
    }
    again
}

#[test]
fn each_effect_of_a_delivery_happens_once_despite_kill_9() {
    let rounds = std::env::var("PROVOST_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let sink = MailSink::start().unwrap();
    let mut node = start(&sink);
    let (mut kills, mut acknowledged) = (Vec::new(), Vec::new());
    for round in 0..rounds.unwrap_or(ROUNDS) {
        acknowledged.extend(send_until_killed(&mut node, &sink, round));
        kills.push(Instant::now());
        serve(&mut node);
        // Without this wait, a queue row that two consecutive kills interrupt would keep its lease of 15 minutes.
        wait_for_empty_queue(&node);
    }
    let (stored, bounces) = (tokens(&node, AWAY, "X-Token: ", ""), tokens(&node, WRITER, BOUNCE, "@example.net"));
    let mut again = 0;
    for (purpose, token) in &acknowledged {
        let copies = sink.accepted_for(&outside(token));
        let (reports, others): (Vec<_>, Vec<_>) = copies.into_iter().partition(is_report);
        let resent = |copies: &[AcceptedMessage]| check_copies(copies, &kills, &format!("{purpose:?} {token}"));
        match purpose {
            Purpose::Answered => {
                assert_eq!(stored.get(token), Some(&1), "{token} must be stored once");
                again += resent(&others) + resent(&reports);
            }
            Purpose::Relayed => again += resent(&others),
            Purpose::Bounced => assert_eq!(bounces.get(token), Some(&1), "{token} must be bounced once"),
        }
    }
    // A message that was not acknowledged is stored with all its effects, or not at all.
    for (token, copies) in &stored {
        assert_eq!(*copies, 1, "{token} must be stored once");
        let (reports, replies): (Vec<_>, Vec<_>) = sink.accepted_for(&outside(token)).into_iter().partition(is_report);
        assert!(!reports.is_empty() && !replies.is_empty(), "{token} is stored without its reply or report");
    }
    assert!(bounces.values().all(|copies| *copies == 1), "{bounces:?}");
    let count = |wanted| acknowledged.iter().filter(|(purpose, _)| *purpose == wanted).count();
    for purpose in Purpose::ALL {
        assert!(count(purpose) > 0, "no {purpose:?} message was acknowledged");
        println!("{purpose:?}: {} acknowledged, {} kills", count(purpose), kills.len());
    }
    println!("{again} sent again: accepted by the relay within {WINDOW:?} before a kill");
}

/// Sends messages of all purposes concurrently, until the node is killed at a random moment. Returns the purpose and
/// token of each acknowledged message.
fn send_until_killed(node: &mut Node, sink: &MailSink, round: u32) -> Vec<(Purpose, String)> {
    let (acknowledged, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let kill_at = Instant::now() + KILL_WITHIN.mul_f64(rand::random_range(0.02..1.0));
    std::thread::scope(|scope| {
        for (number, purpose) in Purpose::ALL.into_iter().cycle().take(6).enumerate() {
            let (node, acknowledged, is_over) = (&*node, &acknowledged, &is_over);
            scope.spawn(move || {
                let Ok(mut client) = purpose.open(node) else { return };
                for message in 0.. {
                    let token = format!("r{round}-{number}-{message}");
                    if is_over.load(Ordering::Relaxed) || purpose.send(&mut client, sink, &token).is_err() {
                        return;
                    }
                    acknowledged.lock().unwrap().push((purpose, token));
                }
            });
        }
        while Instant::now() < kill_at {
            std::thread::yield_now();
        }
        let killed = node.signal("KILL");
        is_over.store(true, Ordering::Relaxed);
        killed.unwrap();
    });
    node.kill().unwrap();
    acknowledged.into_inner().unwrap()
}

/// A kill at each stage of the relay's conversation before the relay has accepted the message: the message is sent
/// once, after the restart.
#[test]
fn kill_9_at_each_stage_of_an_attempt_sends_once() {
    let sink = MailSink::start().unwrap();
    let mut node = start(&sink);
    for (number, stage) in [SilentStage::Greeting, SilentStage::Recipient, SilentStage::Data, SilentStage::EndOfData]
        .into_iter()
        .enumerate()
    {
        sink.fall_silent(Some(stage));
        for purpose in Purpose::ALL {
            let token = format!("stage{number}-{purpose:?}").to_lowercase();
            purpose.send(&mut purpose.open(&node).unwrap(), &sink, &token).unwrap();
        }
        // The vacation reply, the report and the relayed message reach every stage. The message that the relay refuses
        // at RCPT reaches only the first two.
        let silent = if matches!(stage, SilentStage::Greeting | SilentStage::Recipient) { 4 } else { 3 };
        deadline::until(LIMIT, || Ok((sink.silent_count() >= silent).then_some(()))).unwrap();
        node.kill().unwrap();
        let answered = outside(&format!("stage{number}-answered"));
        assert!(sink.accepted_for(&answered).is_empty(), "{stage:?}");
        sink.fall_silent(None);
        serve(&mut node);
        wait_for_empty_queue(&node);
        let (reports, replies): (Vec<_>, Vec<_>) = sink.accepted_for(&answered).into_iter().partition(is_report);
        let relayed = sink.accepted_for(&outside(&format!("stage{number}-relayed")));
        assert_eq!((reports.len(), replies.len(), relayed.len()), (1, 1, 1), "{stage:?}");
        let bounced = tokens(&node, WRITER, BOUNCE, "@example.net");
        assert_eq!(bounced.get(&format!("stage{number}-bounced")), Some(&1), "{stage:?}");
    }
}
