//! Limits on what one peer may send, and on the memory that all peers share.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_net::{MemoryBudget, Session, Step};

use super::site::{TestConversation, site};
use crate::server::Service;

const TO_ZOE: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<zoe@example.edu>\r\nDATA\r\n";

async fn greeted(service: Service) -> TestConversation {
    let mut conversation = site().connect(service);
    conversation.send(if service == Service::Lmtp { b"LHLO x\r\n" } else { b"HELO x\r\n" }).await;
    conversation
}

/// RFC 5321 §3.8: 421 before closing. Each accepted message resets the count of commands, so a relay that sends many
/// messages over one connection does not reach the limit.
#[tokio::test]
async fn a_flood_of_commands_ends_and_a_stream_of_messages_does_not() {
    let mut conversation = greeted(Service::Lmtp).await;
    for _ in 0..3 {
        assert!(conversation.send(&b"NOOP\r\n".repeat(9_000)).await.ends_with("250 2.0.0 OK\r\n"));
        let replies = conversation.send(&[TO_ZOE, b"hi\r\n.\r\n"].concat()).await;
        assert!(replies.contains("\r\n250 2.1.5 <zoe@example.edu> OK"), "{replies}");
    }
    let replies = conversation.send(&b"NOOP\r\n".repeat(10_001)).await;
    assert!(replies.ends_with("\r\n421 4.7.0 Too many commands without a message\r\n"));
    assert_eq!(conversation.ended, Some(Step::Close));
}

/// A stranger who guesses addresses is stopped; a trusted relay gets an answer for each.
#[tokio::test]
async fn too_many_refused_recipients_close_the_session_except_on_lmtp() {
    let guess = b"RCPT TO:<nobody@example.edu>\r\n".repeat(101);
    let mut conversation = greeted(Service::Mx).await;
    conversation.send(b"MAIL FROM:<a@b.example>\r\n").await;
    let replies = conversation.send(&guess).await;
    assert_eq!(replies.matches("550 5.1.1").count(), 100);
    assert!(replies.ends_with("421 4.7.0 Too many errors\r\n") && conversation.ended == Some(Step::Close), "{replies}");
    let mut conversation = greeted(Service::Lmtp).await;
    conversation.send(b"MAIL FROM:<a@b.example>\r\n").await;
    assert_eq!(conversation.send(&guess).await.matches("550 5.1.1").count(), 101);
}

/// A client that has not greeted may be idle for less than a minute, one that has greeted for the five minutes of RFC
/// 5321 §4.5.3.2.7.
#[tokio::test]
async fn the_time_limit_before_the_greeting_is_short() {
    for (service, hello) in [(Service::Mx, "EHLO x"), (Service::Submission, "EHLO x"), (Service::Lmtp, "LHLO x")] {
        let mut conversation = site().connect(service);
        assert!(conversation.session.idle_limit() < Duration::from_secs(60));
        conversation.send(format!("{hello}\r\n").as_bytes()).await;
        assert_eq!(conversation.session.idle_limit(), Duration::from_secs(300));
    }
}

#[tokio::test]
async fn slow_data_runs_out_of_time() {
    let mut conversation = greeted(Service::Mx).await;
    conversation.send(TO_ZOE).await;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(conversation.session.idle_limit(), minutes(5));
    conversation.session.clock = || Timestamp::from_second(1_700_000_000 + 9 * 60).unwrap();
    assert_eq!(conversation.session.idle_limit(), minutes(1));
    conversation.session.clock = || Timestamp::from_second(1_700_000_000 + 11 * 60).unwrap();
    assert_eq!(conversation.session.idle_limit(), minutes(0));
    // Received data extends the time limit: 240,000 octets by two minutes.
    conversation.send(&b"0123456789abcdef\r\n".repeat(240_000 / 18 + 1)).await;
    assert_eq!(conversation.session.idle_limit(), minutes(1));
}

/// RFC 1870 §6.1: 452 when the process has no room; at MAIL already, if the size is announced there.
#[tokio::test]
async fn messages_beyond_the_memory_are_deferred() {
    let budget = MemoryBudget::new(100_000);
    let site = site();
    let mut holding = budget.body();
    for (service, hello) in [(Service::Mx, "HELO x"), (Service::Lmtp, "LHLO x")] {
        let mut conversation = site.connect(service);
        Arc::make_mut(&mut conversation.session.config).memory = budget.clone();
        holding.record(99_500);
        conversation.send(format!("{hello}\r\n").as_bytes()).await;
        conversation.run("C: MAIL FROM:<a@b.example> SIZE=600\nS: 452 4.3.1").await;
        conversation.send(TO_ZOE).await;
        conversation.run("C: hi\nC: .\nS: 452 4.3.1").await;
        holding.release();
        conversation.send(TO_ZOE).await;
        conversation.run("C: hi\nC: .\nS: 250").await;
        assert_eq!(budget.used(), 0, "the memory of the message is not free again");
    }
    assert_eq!(site.inbox("zoe").await.len(), 2);
}

/// MAIL applies the memory limits of DATA to the announced size: a message must leave as much memory free as it takes,
/// and the messages of one source may take a quarter of the budget. The limit per source does not apply to LMTP.
#[tokio::test]
async fn an_announced_size_that_data_would_refuse_is_deferred_at_mail() {
    let budget = MemoryBudget::new(100_000);
    let site = site();
    let (mut others, mut same_source) = (budget.body(), budget.body_of("127.0.0.1".parse().unwrap()));
    for (service, hello, held, shared, reply) in [
        (Service::Mx, "HELO x", 60_000, 0, "452 4.3.1"),
        (Service::Lmtp, "LHLO x", 60_000, 0, "452 4.3.1"),
        (Service::Mx, "HELO x", 0, 6_000, "452 4.3.1"),
        (Service::Lmtp, "LHLO x", 0, 6_000, "250"),
        (Service::Mx, "HELO x", 20_000, 0, "250"),
    ] {
        let mut conversation = site.connect(service);
        Arc::make_mut(&mut conversation.session.config).memory = budget.clone();
        others.record(held);
        same_source.record(shared);
        conversation.send(format!("{hello}\r\n").as_bytes()).await;
        conversation.run(&format!("C: MAIL FROM:<a@b.example> SIZE=20500\nS: {reply}")).await;
    }
}

/// About a hundred recipients of each transaction are not counted in the memory budget. Further recipients are refused
/// while a sixteenth of the budget is in use.
#[tokio::test]
async fn recipients_beyond_the_memory_are_deferred() {
    let budget = MemoryBudget::new(100_000);
    let site = site();
    for (service, hello) in [(Service::Mx, "HELO x"), (Service::Lmtp, "LHLO x")] {
        let mut conversation = site.connect(service);
        let config = Arc::make_mut(&mut conversation.session.config);
        (config.memory, config.recipients_max) = (budget.clone(), 1_000);
        conversation.send(format!("{hello}\r\nMAIL FROM:<a@b.example>\r\n").as_bytes()).await;
        let replies = conversation.send(&b"RCPT TO:<zoe@example.edu>\r\n".repeat(200)).await;
        let accepted = replies.matches("250 2.1.5").count();
        assert!((100..150).contains(&accepted), "{accepted}");
        assert_eq!(replies.matches("452 4.5.3").count(), 200 - accepted, "{replies}");
        assert!((1..6_250).contains(&budget.used()), "{}", budget.used());
        conversation.run("C: RSET\nS: 250").await;
        assert_eq!(budget.used(), 0, "the memory of the recipients is not free again");
        // A refused recipient gives its memory back.
        conversation.send(b"MAIL FROM:<a@b.example>\r\n").await;
        for _ in 0..9 {
            conversation.send(&b"RCPT TO:<nobody@example.edu>\r\n".repeat(20)).await;
        }
        assert_eq!(budget.used(), 0);
    }
}

/// RFC 1870 §4: the offered SIZE is the largest that can be accepted.
#[tokio::test]
async fn the_offered_size_fits_into_memory() {
    let mut conversation = site().connect(Service::Mx);
    Arc::make_mut(&mut conversation.session.config).memory = MemoryBudget::new(3_000);
    assert!(conversation.send(b"EHLO x\r\n").await.contains("\r\n250-SIZE 750\r\n"));
    conversation.run("C: MAIL FROM:<a@b.example> SIZE=751\nS: 552 5.3.4").await;
}
