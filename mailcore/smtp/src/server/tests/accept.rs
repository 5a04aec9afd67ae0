//! The end of data: who receives the message, what is answered, what is queued.

use base64::Engine;
use provost_message::HeaderSection;

use provost_view::{Person, PersonState, View};

use super::site::{Site, TestConversation, away, person, site, site_with};
use crate::server::Service;

const MESSAGE: &str = "C: Subject: hi\nC: \nC: ..hello\nC: .\n";

/// Starts a conversation on MX, up to 354.
async fn mx(site: &Site, from: &str, to: &[&str]) -> TestConversation {
    let mut conversation = site.connect(Service::Mx);
    conversation.run(&format!("C: HELO client.example\nS: 250\n{}", envelope(from, to))).await;
    conversation
}

/// MAIL, RCPT and DATA, all accepted.
fn envelope(from: &str, to: &[&str]) -> String {
    let to: String = to.iter().map(|to| format!("C: RCPT TO:<{to}>\nS: 250\n")).collect();
    format!("C: MAIL FROM:<{from}>\nS: 250\n{to}C: DATA\nS: 354\n")
}

/// Returns a conversation with a message to Zoe that her vacation rule answers; `last` is the reply to the message.
pub(super) fn with_a_vacation_reply(last: &str) -> String {
    let header = "C: From: Ann <a@b.example>\nC: To: zoe@example.edu\nC: Message-ID: <1@b.example>\n";
    format!("C: HELO x\nS: 250\n{}{header}{MESSAGE}{last}", envelope("a@b.example", &["zoe@example.edu"]))
}

/// RFC 5230: the reply goes through the queue once, with the null reverse-path.
#[tokio::test]
async fn a_vacation_reply_is_queued() {
    let site = site_with(View::fixed(vec![away("zoe")]));
    for _ in 0..2 {
        site.connect(Service::Mx).run(&with_a_vacation_reply("S: 250 2.0.0")).await;
    }
    let queued = site.queued().await;
    assert_eq!((queued.len(), site.inbox("zoe").await.len()), (1, 2));
    let (row, body) = &queued[0];
    assert_eq!((&row.reverse_path, row.recipients[0].recipient.path.to_string()), (&None, "a@b.example".into()));
    let headers = HeaderSection::of(body);
    assert_eq!(headers.get("Auto-Submitted").as_deref(), Some("auto-replied"));
    assert!(headers.decoded("Subject").unwrap().contains("Absente"));
}

/// A person suspended after the login can send nothing more.
#[tokio::test]
async fn a_suspended_person_sends_nothing() {
    let zoe = Person { state: PersonState::Suspended, ..person("zoe") };
    let site = site_with(View::fixed(vec![zoe]));
    let mut conversation = site.connect(Service::Submission);
    conversation.send(b"EHLO x\r\n").await;
    conversation.session.connection_mut().person = Some(std::sync::Arc::new(person("zoe")));
    conversation.run("C: MAIL FROM:<zoe@example.edu>\nS: 530 5.7.0").await;
}

/// RFC 5321 §4.4, §4.5.2: Return-Path, Delivered-To and our Received, then the message without its stuffed dot.
#[tokio::test]
async fn local_mail_is_stored_below_its_trace_fields() {
    let site = site();
    let mut conversation = mx(&site, "a@b.example", &["zoe@example.edu", "ann@example.edu"]).await;
    conversation.run(&format!("{MESSAGE}S: 250 2.0.0 OK\nC: RCPT TO:<zoe@example.edu>\nS: 503")).await;
    let body = &site.inbox("zoe").await[0];
    let (trace, rest) = body.split_once(" id ").unwrap();
    assert_eq!(
        trace,
        "Return-Path: <a@b.example>\r\nDelivered-To: zoe@example.edu\r\n\
         Received: from client.example ([127.0.0.1])\r\n\tby mx.example.edu (Provost) with SMTP"
    );
    assert_eq!(&rest[32..], ";\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\nSubject: hi\r\n\r\n.hello\r\n");
    assert_eq!((site.inbox("ann").await.len(), site.queued().await.len()), (1, 0));
}

/// RFC 2033 §4.2: one reply per recipient, in the order of RCPT.
#[tokio::test]
async fn lmtp_answers_each_recipient() {
    let site = site();
    let mut conversation = site.connect(Service::Lmtp);
    conversation.send(b"LHLO x\r\n").await;
    conversation
        .run("C: MAIL FROM:<>\nS: 250\nC: DATA\nS: 503\nC: RCPT TO:<nobody@example.edu>\nS: 550 5.1.1\nC: DATA\nS: 503")
        .await;
    conversation
        .run(&format!(
            "C: RSET\nS: 250\n{}{MESSAGE}S: 250 2.1.5 <zoe@example.edu>\nS: 552 5.2.2 <full@example.edu>
        S: 250 2.1.5 <ann@example.edu>\nC: NOOP\nS: 250",
            envelope("a@b.example", &["zoe@example.edu", "full@example.edu", "ann@example.edu"])
        ))
        .await;
    assert_eq!((site.inbox("zoe").await.len(), site.inbox("full").await.len()), (1, 0));
    assert!(site.inbox("ann").await[0].contains("with LMTP id "));
    assert_eq!(site.queued().await.len(), 0);
}

/// RFC 2033 §4.2: the same recipient twice gets two replies and one copy.
#[tokio::test]
async fn lmtp_answers_a_recipient_named_twice() {
    let site = site();
    let mut conversation = site.connect(Service::Lmtp);
    conversation.send(b"LHLO x\r\n").await;
    let twice = envelope("", &["zoe@example.edu", "zoe@example.edu"]);
    conversation.run(&format!("{twice}{MESSAGE}S: 250 2.1.5\nS: 250 2.1.5")).await;
    assert_eq!(site.inbox("zoe").await.len(), 1);
}

/// RFC 5321 §4.2.5, §6.1: a message for a full mailbox is refused in the session when nobody receives it, and bounced
/// when another recipient does. A message with the null reverse-path is not bounced.
#[tokio::test]
async fn a_full_mailbox_is_refused_or_bounced() {
    let site = site();
    let mut alone = mx(&site, "a@b.example", &["full@example.edu"]).await;
    alone.run(&format!("{MESSAGE}S: 552 5.2.2")).await;
    assert_eq!(site.queued().await.len(), 0);
    let mut one_of_two = mx(&site, "a@b.example", &["full@example.edu", "zoe@example.edu"]).await;
    one_of_two.run(&format!("{MESSAGE}S: 250 2.0.0")).await;
    let (row, bounce) = site.queued().await.remove(0);
    assert_eq!((row.reverse_path, row.recipients[0].recipient.path.to_string()), (None, "a@b.example".into()));
    assert!(String::from_utf8_lossy(&bounce).contains("Final-Recipient: rfc822; full@example.edu\r\n"));
    let mut null = mx(&site, "", &["full@example.edu", "zoe@example.edu"]).await;
    null.run(&format!("{MESSAGE}S: 250 2.0.0")).await;
    assert_eq!((site.queued().await.len(), site.inbox("zoe").await.len()), (1, 2));
}

/// RFC 3461 §4.1, §5.2: NOTIFY=NEVER prevents the report of a failure; NOTIFY=SUCCESS causes the report of a delivery,
/// with ENVID and ORCPT.
#[tokio::test]
async fn dsn_parameters_are_obeyed() {
    let site = site();
    let mut conversation = site.connect(Service::Mx);
    conversation
        .run(&format!(
            "C: HELO x\nS: 250\nC: MAIL FROM:<a@b.example> ENVID=Q1 RET=HDRS\nS: 250
        C: RCPT TO:<full@example.edu> NOTIFY=NEVER\nS: 250\nC: RCPT TO:<zoe@example.edu> NOTIFY=FAILURE\nS: 250
        C: DATA\nS: 354\n{MESSAGE}S: 250 2.0.0"
        ))
        .await;
    assert_eq!(site.queued().await.len(), 0);
    let mut lmtp = site.connect(Service::Lmtp);
    lmtp.send(b"LHLO x\r\n").await;
    lmtp.run(&format!(
        "C: MAIL FROM:<a@b.example> ENVID=Q2\nS: 250
        C: RCPT TO:<ann@example.edu> NOTIFY=SUCCESS ORCPT=rfc822;Ann@b.example\nS: 250
        C: DATA\nS: 354\n{MESSAGE}S: 250 2.1.5"
    ))
    .await;
    let (row, report) = site.queued().await.remove(0);
    assert_eq!((row.reverse_path, row.recipients[0].recipient.path.to_string()), (None, "a@b.example".into()));
    let report = String::from_utf8_lossy(&report).into_owned();
    assert!(report.contains("Original-Envelope-Id: Q2\r\n") && report.contains("Action: delivered\r\n"), "{report}");
    assert!(report.contains("Original-Recipient: rfc822; Ann@b.example\r\n"));
    assert_eq!(site.queued().await.len(), 1);
}

/// RFC 5321 §2.3.8, §4.1.1.4: refused at the true end of data; the session goes on.
#[tokio::test]
async fn faulty_data_is_refused_at_its_end() {
    let site = site();
    let large = ("x".repeat(998) + "\r\n").repeat(66);
    for (data, expect) in [
        ("a\nb\r\n", "550 5.6.11"),
        ("a\r\n.\nMAIL FROM:<evil@b.example>\r\n", "550 5.6.11"),
        ("a\n.\r\nMAIL FROM:<evil@b.example>\r\n", "550 5.6.11"),
        ("a\n.\nMAIL FROM:<evil@b.example>\r\n", "550 5.6.11"),
        ("a\r.\rMAIL FROM:<evil@b.example>\r\n", "550 5.6.11"),
        ("a\0b\r\n", "554 5.6.0"),
        (&large, "552 5.3.4"),
    ] {
        let mut conversation = mx(&site, "a@b.example", &["zoe@example.edu"]).await;
        let replies = conversation.send(format!("{data}.\r\nNOOP\r\n").as_bytes()).await;
        assert!(replies.starts_with(expect) && replies.ends_with("\r\n250 2.0.0 OK\r\n"), "{data:?} {replies}");
        assert_eq!(replies.lines().count(), 2, "{data:?} {replies}");
    }
    assert_eq!(site.inbox("zoe").await.len(), 0);
    let mut lmtp = site.connect(Service::Lmtp);
    lmtp.send(b"LHLO x\r\n").await;
    lmtp.run(&envelope("", &["zoe@example.edu", "ann@example.edu"])).await;
    let replies = lmtp.send(b"a\nb\r\n.\r\n").await;
    assert_eq!(replies.matches("550 5.6.11").count(), 2, "{replies}");
}

/// RFC 5321 §6.3: a hundred hops are not a loop. This server's own hop does not count.
#[tokio::test]
async fn a_hundred_hops_are_accepted() {
    let site = site();
    for (hops, expect, taken) in [(51, "250 2.0.0", 1), (100, "250 2.0.0", 2), (101, "554 5.4.6", 2)] {
        let mut conversation = mx(&site, "a@b.example", &["zoe@example.edu"]).await;
        let replies = conversation.send(format!("{}\r\nhi\r\n.\r\n", "Received: x\r\n".repeat(hops)).as_bytes()).await;
        assert!(replies.starts_with(expect), "{hops} {replies}");
        assert_eq!(site.inbox("zoe").await.len(), taken);
    }
}

/// RFC 5322 §3.5: when the first line is no header field, a later line that looks like one is text too.
#[tokio::test]
async fn text_without_a_header_section_stays_text() {
    let site = site();
    let mut conversation = mx(&site, "a@b.example", &["zoe@example.edu"]).await;
    conversation.run("C: just text\nC: To: nobody\nC: .\nS: 250 2.0.0").await;
    let body = site.inbox("zoe").await.remove(0);
    assert!(body.ends_with("+0000\r\n\r\njust text\r\nTo: nobody\r\n"), "{body}");
    assert_eq!(HeaderSection::of(body.as_bytes()).get("To"), None);
}

/// The id in the reply is the id in Received: the help desk finds the message of a sender who quotes the reply.
#[tokio::test]
async fn the_reply_names_the_trace_id() {
    let site = site();
    let mut conversation = mx(&site, "a@b.example", &["zoe@example.edu"]).await;
    let replies = conversation.send(b"A: b\r\n\r\n.\r\n").await;
    let id = replies.trim_end().strip_prefix("250 2.0.0 OK, queued as ").unwrap_or_else(|| panic!("{replies}"));
    assert_eq!(id.len(), 32);
    assert!(site.inbox("zoe").await[0].contains(&format!(" id {id};")), "{replies}");
    let mut lmtp = site.connect(Service::Lmtp);
    lmtp.send(b"LHLO x\r\n").await;
    lmtp.run(&envelope("", &["ann@example.edu"])).await;
    let replies = lmtp.send(b"A: b\r\n\r\n.\r\n").await;
    let id = replies
        .trim_end()
        .strip_prefix("250 2.1.5 <ann@example.edu> OK, stored as ")
        .unwrap_or_else(|| panic!("{replies}"));
    assert!(site.inbox("ann").await[0].contains(&format!(" id {id};")), "{replies}");
}

/// RFC 6409 §8: submitted messages are completed; local recipients get them at once, others through the queue.
#[tokio::test]
async fn a_submission_is_delivered_here_and_queued_for_elsewhere() {
    let site = site();
    let mut conversation = site.connect(Service::Submission);
    conversation.send(b"EHLO client.example\r\n").await;
    let login = base64::engine::general_purpose::STANDARD.encode("\0zoe\0secret");
    let to = ["ann@example.edu", "far@far.example", "\"a b\"@far.example"];
    conversation
        .run(&format!("C: AUTH PLAIN {login}\nS: 235\n{}{MESSAGE}S: 250", envelope("zoe@example.edu", &to)))
        .await;
    let inbox = site.inbox("ann").await;
    let headers = HeaderSection::of(inbox[0].as_bytes());
    assert!(headers.get("Received").unwrap().contains("with ESMTPA id "));
    let results = headers.get("Authentication-Results").unwrap();
    assert!(results.starts_with("mx.example.edu;") && results.ends_with("auth=pass smtp.mailfrom=zoe@example.edu"));
    assert_eq!(headers.get("Date").as_deref(), Some("Tue, 14 Nov 2023 22:13:20 +0000"));
    assert!(headers.get("Message-ID").unwrap().ends_with("@mx.example.edu>"));
    let (row, body) = site.queued().await.remove(0);
    let recipients: Vec<String> = row.recipients.iter().map(|one| one.recipient.path.to_string()).collect();
    assert_eq!(recipients, to[1..]);
    assert_eq!(row.reverse_path.unwrap().to_string(), "zoe@example.edu");
    assert!(inbox[0].ends_with(std::str::from_utf8(&body).unwrap()), "the queued message is not the delivered one");
}
