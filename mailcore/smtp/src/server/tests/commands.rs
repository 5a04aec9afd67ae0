//! Commands, their order and their refusals.

use bytes::BytesMut;
use proptest::prelude::*;
use provost_net::{Goodbye, OutputBuffer, Session, Step, Transport};
use provost_view::View;

use super::site::{site, site_with};
use crate::server::Service;

async fn run(service: Service, conversation: &str) {
    site().connect(service).run(conversation).await;
}

#[tokio::test]
async fn each_service_sends_its_220() {
    let site = site();
    for (service, expect) in [
        (Service::Mx, "220 mx.example.edu ESMTP Provost\r\n"),
        (Service::Submission, "220 mx.example.edu ESMTP Provost\r\n"),
        (Service::Lmtp, "220 mx.example.edu LMTP Provost\r\n"),
    ] {
        let (mut buffer, mut replies) = (BytesMut::new(), Vec::new());
        let mut out = OutputBuffer::new(&mut buffer, &mut replies);
        site.connect(service).session.open(&mut out).await.unwrap();
        out.flush().await.unwrap();
        assert_eq!(replies, expect.as_bytes());
    }
}

#[tokio::test]
async fn ehlo_lists_the_extensions() {
    run(
        Service::Mx,
        "# RFC 5321 §4.1.1.1, RFC 1870, 2034, 2920, 3207, 3461, 6152, 7293. No AUTH on MX.
        C: EHLO client.example
        S: 250-mx.example.edu
        S: 250-PIPELINING
        S: 250-SIZE 65536
        S: 250-8BITMIME
        S: 250-DSN
        S: 250-STARTTLS
        S: 250-RRVS
        S: 250 ENHANCEDSTATUSCODES
        C: HELO client.example
        S: 250 mx.example.edu",
    )
    .await;
    let mut far = site().connect_from(Service::Submission, "192.0.2.1:1000", Transport::Plain, false);
    far.run(
        "# Without TLS, only a client on this machine is offered AUTH. STARTTLS is listed only when TLS is configured.
        C: EHLO client.example
        S: 250-mx.example.edu
        S: 250-PIPELINING
        S: 250-SIZE 65536
        S: 250-8BITMIME
        S: 250-DSN
        S: 250 ENHANCEDSTATUSCODES",
    )
    .await;
}

#[tokio::test]
async fn refuses_commands_out_of_order() {
    run(
        Service::Mx,
        "# RFC 5321 §4.1.4.
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1
        C: EHLO x
        S: 250-mx
        S: 250-PIPELINING
        S: 250-SIZE
        S: 250-8BITMIME
        S: 250-DSN
        S: 250-STARTTLS
        S: 250-RRVS
        S: 250 ENHANCED
        C: RCPT TO:<zoe@example.edu>
        S: 503 5.5.1
        C: DATA
        S: 503 5.5.1
        C: MAIL FROM:<a@b.example>
        S: 250 2.1.0
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1
        C: DATA
        S: 503 5.5.1
        C: RCPT TO:<zoe@example.edu>
        S: 250 2.1.5
        # RFC 5321 §4.1.1.5: RSET ends the transaction; the client need not send EHLO again.
        C: RSET
        S: 250 2.0.0
        C: RCPT TO:<zoe@example.edu>
        S: 503 5.5.1
        C: MAIL FROM:<>
        S: 250 2.1.0
        # RFC 5321 §4.1.4: another HELO ends the transaction too.
        C: HELO x
        S: 250 mx
        C: RCPT TO:<zoe@example.edu>
        S: 503 5.5.1",
    )
    .await;
}

#[tokio::test]
async fn each_service_has_its_hello() {
    run(Service::Mx, "C: LHLO x\nS: 500 5.5.1").await;
    run(Service::Lmtp, "# RFC 2033 §4.1.\nC: EHLO x\nS: 500 5.5.1\nC: HELO x\nS: 500 5.5.1").await;
    run(
        Service::Lmtp,
        "C: LHLO x\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-8BIT\nS: 250-DSN\nS: 250-START\nS: 250-RRVS\nS: 250 ENH",
    )
    .await;
}

#[tokio::test]
async fn answers_commands_outside_a_transaction() {
    run(
        Service::Mx,
        "C: NOOP
        S: 250 2.0.0
        C: VRFY zoe
        S: 252 2.0.0
        C: EXPN staff
        S: 502 5.5.1
        C: HELP
        S: 214 2.0.0
        C: HELO
        S: 501 5.5.4
        C: XYZZY
        S: 500 5.5.1
        C: AUTH PLAIN
        S: 502 5.5.1
        C: QUIT
        S: 221 2.0.0",
    )
    .await;
}

#[tokio::test]
async fn accepts_and_refuses_recipients() {
    run(
        Service::Mx,
        "# No relaying (RFC 5321 §3.6.2), with the enhanced status codes of RFC 3463.
        C: HELO x
        S: 250 mx
        C: MAIL FROM:<a@b.example> SIZE=65537
        S: 552 5.3.4
        C: MAIL FROM:<a@b.example> SMTPUTF8
        S: 555 5.5.4
        C: MAIL FROM:<a@b> SIZE=65536 BODY=8BITMIME
        S: 250 2.1.0
        C: RCPT TO:<zoe@example.com>
        S: 550 5.7.1
        C: RCPT TO:<zoe@[192.0.2.1]>
        S: 550 5.7.1
        C: RCPT TO:<\"zoe x\"@example.edu>
        S: 550 5.1.1
        C: RCPT TO:<nobody@example.edu>
        S: 550 5.1.1
        C: RCPT TO:<closed@example.edu>
        S: 550 5.2.1
        C: RCPT TO:<\"zoe x+y\"@example.edu>
        S: 550 5.1.1
        C: RCPT TO:<\"+d e\"@example.edu>
        S: 550 5.1.1
        C: RCPT TO:<\"closed+d e\"@example.edu>
        S: 550 5.2.1
        C: RCPT TO:<zoe%example.com@example.edu>
        S: 550 5.1.1
        C: RCPT TO:<zoe>
        S: 501 5.1.3
        C: RCPT TO:<zoe@example.edu> MT-PRIORITY=3
        S: 555 5.5.4
        C: RCPT TO:<Zoe@EXAMPLE.edu>
        S: 250 2.1.5
        C: RCPT TO:<\"ann\"@example.edu>
        S: 250 2.1.5
        C: RCPT TO:<full@example.edu>
        S: 250 2.1.5
        C: RCPT TO:<\"zoe+d e\"@example.edu.>
        S: 250 2.1.5
        C: RCPT TO:<ann@example.edu>
        S: 452 4.5.3",
    )
    .await;
}

/// RFC 5321 §4.5.1.
#[tokio::test]
async fn postmaster_needs_no_domain() {
    let nobody = "C: HELO x\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<postmaster>\nS: 550 5.1.1";
    run(Service::Mx, nobody).await;
    let zoe = provost_view::Person { uid: "postmaster".into(), ..super::site::person("zoe") };
    let site = site_with(provost_view::View::fixed(vec![zoe]));
    site.connect(Service::Mx)
        .run(
            "C: HELO x\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<Postmaster>\nS: 250 2.1.5
            C: RCPT TO:<POSTMASTER@example.edu>\nS: 250 2.1.5\nC: DATA\nS: 354\nC: hi\nC: .\nS: 250 2.0.0",
        )
        .await;
    assert_eq!(site.inbox("zoe").await.len(), 2);
}

#[tokio::test]
async fn a_recipient_is_deferred_while_the_view_was_never_complete() {
    let site = site_with(View::never_complete());
    let mail = "MAIL FROM:<>\nS: 250\nC: RCPT TO:<zoe@example.edu>\nS: 451 4.3.0";
    site.connect(Service::Mx).run(&format!("C: HELO x\nS: 250\nC: {mail}")).await;
    let mut conversation = site.connect(Service::Lmtp);
    conversation.send(b"LHLO x\r\n").await;
    conversation.run(&format!("C: {mail}")).await;
}

/// RFC 5321 §2.3.8: a bare LF or CR does not end a line; a line with NUL or 8-bit octets is not a command.
#[tokio::test]
async fn refuses_lines_that_cannot_be_commands() {
    for octets in [&b"NOOP\nNOOP\r\n"[..], b"NO\rOP\r\n", b"NO\0OP\r\n", b"NO\xffOP\r\n"] {
        let replies = site().connect(Service::Mx).send(octets).await;
        assert!(replies.starts_with("500 5.5.2") && replies.lines().count() == 1, "{octets:?} {replies}");
    }
    let long = [b"NOOP ".to_vec(), vec![b'x'; 5000], b"\r\nNOOP\r\n".to_vec()].concat();
    let replies = site().connect(Service::Mx).send(&long).await;
    assert!(replies.starts_with("500 5.5.2 Line too long\r\n250 2.0.0"), "{replies}");
}

/// A web page can make a browser connect to this port. The first line of HTTP closes the session, before any mail.
#[tokio::test]
async fn http_ends_the_connection() {
    let smuggled = "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<zoe@example.edu>\r\nDATA\r\nhi\r\n.\r\n";
    for (service, hello) in [(Service::Mx, "EHLO x"), (Service::Submission, "EHLO x"), (Service::Lmtp, "LHLO x")] {
        for request in ["POST / HTTP/1.1\r\nHost: mx:25\r\n\r\n", "GET / HTTP/1.1\n", "Content-Length: 100\r\n\r\n"] {
            for before in ["", &format!("{hello}\r\nMAIL FROM:<>\r\n")] {
                let site = site();
                let mut conversation = site.connect(service);
                conversation.send(before.as_bytes()).await;
                let replies = conversation.send(format!("{request}{smuggled}").as_bytes()).await;
                assert_eq!(replies, "421 4.7.0 This is SMTP, not HTTP\r\n", "{request:?}");
                assert_eq!(conversation.ended, Some(Step::Close));
                assert_eq!(site.inbox("zoe").await.len(), 0);
            }
        }
    }
}

#[tokio::test]
async fn too_many_errors_close() {
    let mut conversation = site().connect(Service::Mx);
    for _ in 0..20 {
        assert!(conversation.send(b"XYZZY\r\n").await.starts_with("500 5.5.1"));
    }
    assert!(conversation.send(b"XYZZY\r\n").await.starts_with("421 4.7.0"));
    assert_eq!(conversation.ended, Some(Step::Close));
}

/// RFC 3207 §4: STARTTLS is refused with a parameter, and inside TLS; §4.2: the state from before TLS is discarded.
#[tokio::test]
async fn starts_tls() {
    let site = site();
    let mut conversation = site.connect(Service::Mx);
    conversation
        .run("C: HELO x\nS: 250\nC: MAIL FROM:<>\nS: 250\nC: STARTTLS x\nS: 501 5.5.4\nC: STARTTLS\nS: 220 2.0.0")
        .await;
    assert_eq!(conversation.ended.take(), Some(Step::StartTls));
    conversation.session.on_tls();
    conversation.run("C: MAIL FROM:<>\nS: 503 5.5.1\nC: STARTTLS\nS: 503 5.5.1").await;
    conversation
        .run("C: EHLO x\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-8BIT\nS: 250-DSN\nS: 250-RRVS\nS: 250 ENH")
        .await;
    let mut without = site.connect_from(Service::Mx, "127.0.0.1:1", Transport::Plain, false);
    without.run("C: STARTTLS\nS: 502 5.5.1").await;
}

#[tokio::test]
async fn goodbye_is_421_with_its_reason() {
    let mut conversation = site().connect(Service::Mx);
    for (reason, expect) in [
        (Goodbye::Timeout, "421 4.4.2 mx.example.edu Timeout\r\n"),
        (Goodbye::Shutdown, "421 4.3.2 mx.example.edu Shutting down\r\n"),
        (Goodbye::TooMuch, "421 4.7.0 mx.example.edu Limit exceeded\r\n"),
        (Goodbye::Internal, "421 4.3.0 mx.example.edu Internal error\r\n"),
    ] {
        assert_eq!(conversation.session.goodbye(reason), expect.as_bytes());
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_octets_are_answered_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        block_on(async { site().connect(Service::Submission).send(&octets).await });
    }

    /// RFC 2920: a group of commands has the same effect as its commands one by one, wherever the network splits it.
    #[test]
    fn cuts_do_not_change_the_replies(cuts in proptest::collection::vec(0usize..170, 0..10)) {
        let wire = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@example.edu>\r\n\
            RCPT TO:<zoe@example.edu>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.x\r\n.\r\nNOOP\r\nBAD\nMAIL FROM:<>\r\nQUIT\r\n";
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < wire.len()).collect();
        cuts.sort_unstable();
        cuts.push(wire.len());
        let (replies, bodies) = block_on(async {
            let site = site();
            let (mut conversation, mut replies, mut before) = (site.connect(Service::Mx), String::new(), 0);
            for cut in cuts {
                replies.push_str(&conversation.send(&wire[before..cut]).await);
                before = cut;
            }
            (replies, site.inbox("zoe").await)
        });
        let codes: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
        prop_assert_eq!(codes.join(" "), "250 250 250 250 250 250 250 250 250 550 250 354 250 250 500 221");
        prop_assert_eq!(bodies.len(), 1);
        prop_assert!(bodies[0].ends_with("Subject: x\r\n\r\n.\r\nx\r\n"));
    }
}
