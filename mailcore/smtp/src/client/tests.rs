//! The client against scripted servers over loopback.

use std::sync::Arc;

use bytes::Bytes;
use provost_message::{Envelope, EnvelopeId, Notify, OriginalRecipient, Path, ReturnContent};
use provost_queue::{Fate, NextHop, SendPermit};
use provost_store::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{CertificatePolicy, QUIT_LIMIT, RelayClient, RelayConfig};

const HELLO: &str = "S: 220 relay ready\nC: EHLO mx.example.edu\nS: 250-relay\n";

/// Sends `S:` lines and compares the input with `C:` lines, then closes. Returns any further input.
async fn play<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: S, script: &str) -> String {
    let mut stream = BufReader::new(stream);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(reply) = line.strip_prefix("S:") {
            stream.write_all(format!("{}\r\n", reply.trim_start()).as_bytes()).await.unwrap();
        } else if let Some(expect) = line.strip_prefix("C:") {
            let mut replies = String::new();
            stream.read_line(&mut replies).await.unwrap();
            assert_eq!(replies, format!("{}\r\n", expect.trim_start()));
        }
    }
    let mut rest = String::new();
    // A client that still waits for a reply is cut off by the end of the script.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), stream.read_to_string(&mut rest)).await;
    rest
}

async fn relay(script: &str) -> (RelayClient, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = listener.local_addr().unwrap().to_string();
    let script = script.to_owned();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, &script).await
    });
    (client(relay), server)
}

fn client(relay: String) -> RelayClient {
    RelayClient::new(RelayConfig { relay, hostname: "mx.example.edu".into(), certificates: CertificatePolicy::Any })
}

const SENT: Fate = Fate::Sent { reports: false, answer: String::new() };

/// The fates without the relay's answer to an accepted message.
fn without_answers(fates: Vec<Fate>) -> Vec<Fate> {
    let without = |fate| match fate {
        Fate::Sent { reports, answer } => {
            assert!(answer.starts_with('2'), "{answer}");
            Fate::Sent { reports, answer: String::new() }
        }
        other => other,
    };
    fates.into_iter().map(without).collect()
}

/// A permit that is held (`true`) or lost.
struct TestPermit(bool);

impl SendPermit for TestPermit {
    fn prove(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.0))
    }
}

fn envelope(to: &[&str]) -> Envelope {
    let sender = Path::parse("zoe@example.edu").ok();
    Envelope { eight_bit: true, ..Envelope::new(sender, to.iter().map(|to| Path::parse(to).unwrap())) }
}

fn message() -> Bytes {
    Bytes::from_static(b"Subject: hi\r\n\r\n.dot\r\n")
}

async fn send(client: &RelayClient, to: &[&str]) -> Vec<Fate> {
    without_answers(client.send(&envelope(to), message(), &TestPermit(true)).await)
}

/// Returns the fates that a script leads to; fails unless the script was followed to its end.
async fn fates(script: &str, to: &[&str]) -> Vec<Fate> {
    let (client, server) = relay(script).await;
    let fates = send(&client, to).await;
    server.await.unwrap();
    fates
}

fn deferred(fate: &Fate) -> &str {
    match fate {
        Fate::Deferred(why) => why,
        other => panic!("not deferred: {other:?}"),
    }
}

/// RFC 2920 §3.1: one group up to DATA; RFC 1870, 6152: parameters only where they are offered.
#[tokio::test]
async fn sends_one_group_with_pipelining() {
    let script = format!(
        "{HELLO}S: 250-PIPELINING\nS: 250-8BITMIME\nS: 250 SIZE 1000
        C: MAIL FROM:<zoe@example.edu> SIZE=21 BODY=8BITMIME
        C: RCPT TO:<a@far.example>
        C: RCPT TO:<\"b b\"@far.example>
        C: RCPT TO:<c@far.example>
        C: DATA
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 550 5.1.1 no such user
        S: 451 4.2.1 later
        S: 354 go on
        C: Subject: hi
        C:
        C: ..dot
        C: .
        S: 250 2.0.0 taken
        C: QUIT
        S: 221 bye"
    );
    assert_eq!(
        fates(&script, &["a@far.example", "\"b b\"@far.example", "c@far.example"]).await,
        [SENT, Fate::Failed("550 5.1.1 no such user".into()), Fate::Deferred("451 4.2.1 later".into())]
    );
}

#[tokio::test]
async fn sends_one_command_at_a_time_without_pipelining() {
    let script = "S: 220-relay
        S: 220 ready
        C: EHLO mx.example.edu
        S: 502 what
        C: HELO mx.example.edu
        S: 250 relay
        C: MAIL FROM:<zoe@example.edu>
        S: 250 ok
        C: RCPT TO:<a@far.example>
        S: 250 ok
        C: DATA
        S: 354 go on
        C: Subject: hi
        C:
        C: ..dot
        C: .
        S: 250 taken";
    assert_eq!(fates(script, &["a@far.example"]).await, [SENT]);
}

/// RFC 6152 §2, §3: 8-bit content is sent unchanged with BODY=8BITMIME to a relay that accepts it, else converted; the
/// message fails if it cannot be converted.
#[tokio::test]
async fn eight_bit_content_is_declared_or_converted() {
    let declared = "C: MAIL FROM:<zoe@example.edu> BODY=8BITMIME";
    let plain = "C: MAIL FROM:<zoe@example.edu>";
    let size = "C: MAIL FROM:<zoe@example.edu> SIZE=98";
    let rest = "S: 250 ok\nC: RCPT TO:<a@far.example>\nS: 250 ok\nC: DATA\nS: 354 go";
    let taken = "C: .\nS: 250 taken\nC: QUIT\nS: 221 bye";
    let text = "Subject: a\r\n\r\n.plain text é\r\n";
    let signed = "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\né\r\n--s--\r\n";
    let raw = "C: Subject: a\nC:\nC: ..plain text é";
    let coded = "C: Subject: a\nC: MIME-Version: 1.0\nC: Content-Transfer-Encoding: quoted-printable\nC:
        C: ..plain text =C3=A9";
    let refused = "554 5.6.3 The relay takes 7-bit messages only (no 8BITMIME), and it holds 8-bit octets in a part that is \
        signed or encrypted";
    for (offer, body, script, expect) in [
        ("8BITMIME", text, format!("{declared}\n{rest}\n{raw}\n{taken}"), SENT),
        ("8BITMIME", "a: b\r\n\r\n", format!("{plain}\n{rest}\nC: a: b\nC:\n{taken}"), SENT),
        ("HELP", text, format!("{plain}\n{rest}\n{coded}\n{taken}"), SENT),
        ("SIZE", text, format!("{size}\n{rest}\n{coded}\n{taken}"), SENT),
        ("HELP", signed, "C: QUIT\nS: 221 bye".into(), Fate::Failed(refused.into())),
    ] {
        let (client, server) = relay(&format!("{HELLO}S: 250 {offer}\n{script}")).await;
        let envelope = Envelope { eight_bit: false, ..envelope(&["a@far.example"]) };
        let fates =
            without_answers(client.send(&envelope, Bytes::from_static(body.as_bytes()), &TestPermit(true)).await);
        server.await.unwrap();
        assert_eq!(fates, [expect], "{offer} {body}");
    }
}

/// RFC 3461 §5.2.1: a relay that knows the parameters gets them unchanged, and will report.
#[tokio::test]
async fn passes_on_dsn_parameters() {
    let mut envelope = Envelope { eight_bit: false, ..envelope(&["a@far.example", "b@far.example"]) };
    envelope.envelope_id = EnvelopeId::parse("Qq+2B1").ok();
    envelope.ret = Some(ReturnContent::Headers);
    envelope.recipients[0].notify = Notify::parse("SUCCESS,FAILURE").ok();
    envelope.recipients[0].original = OriginalRecipient::parse("rfc822;A+2Bx@far.example").ok();
    for (offer, mail, rcpt, reports) in [
        ("DSN", " RET=HDRS ENVID=Qq+2B1", " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;A+2Bx@far.example", true),
        ("HELP", "", "", false),
    ] {
        let script = format!(
            "{HELLO}S: 250 {offer}\nC: MAIL FROM:<zoe@example.edu>{mail}\nS: 250 ok
            C: RCPT TO:<a@far.example>{rcpt}\nS: 250 ok\nC: RCPT TO:<b@far.example>\nS: 250 ok
            C: DATA\nS: 354 go\nC: Subject: hi\nC:\nC: ..dot\nC: .\nS: 250 taken\nC: QUIT\nS: 221 bye"
        );
        let (client, server) = relay(&script).await;
        let fates = without_answers(client.send(&envelope, message(), &TestPermit(true)).await);
        server.await.unwrap();
        assert_eq!(fates, vec![Fate::Sent { reports, answer: String::new() }; 2]);
    }
}

/// The permit is proven right before the end of data. Without it the client does not send the end, so the relay accepts
/// nothing.
#[tokio::test]
async fn sends_no_end_of_data_without_its_permit() {
    let script = format!(
        "{HELLO}S: 250 PIPELINING\nC: MAIL FROM:<zoe@example.edu>\nC: RCPT TO:<a@far.example>\nC: DATA
        S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: hi\nC:\nC: ..dot"
    );
    let (client, server) = relay(&script).await;
    let fates = client.send(&envelope(&["a@far.example"]), message(), &TestPermit(false)).await;
    assert_eq!(deferred(&fates[0]), "another worker has taken over the message");
    assert_eq!(server.await.unwrap(), "", "octets were sent after the message");
}

/// The fate is known when the message is accepted. Waiting for the reply to QUIT would delay its record, and a crash
/// meanwhile would send the message again.
#[tokio::test]
async fn fates_do_not_wait_for_the_reply_to_quit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().to_string());
    let script = format!(
        "{HELLO}S: 250 PIPELINING\nC: MAIL FROM:<zoe@example.edu>\nC: RCPT TO:<a@far.example>\nC: DATA
        S: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: hi\nC:\nC: ..dot\nC: .\nS: 250 taken\nC: QUIT"
    );
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        play(&mut stream, &script).await;
        ended.await.unwrap();
        stream
    });
    // The server does not answer QUIT, and keeps the connection until the fate is known.
    let fates = tokio::time::timeout(QUIT_LIMIT / 2, send(&client, &["a@far.example"])).await;
    assert_eq!(fates.unwrap(), [SENT]);
    end.send(()).unwrap();
    server.await.unwrap();
}

/// What each refusal means for the recipients.
#[tokio::test]
async fn each_refusal_has_its_fate() {
    let plain = format!("{HELLO}S: 250 HELP\nC: MAIL FROM:<zoe@example.edu>\n");
    let group = "C: MAIL FROM:<zoe@example.edu>\nC: RCPT TO:<a@far.example>\nC: DATA\n";
    let piped = format!("{HELLO}S: 250 PIPELINING\n{group}");
    let rcpt = "S: 250 ok\nC: RCPT TO:<a@far.example>\n";
    let failed = |why: &str| Fate::Failed(why.into());
    let later = |why: &str| Fate::Deferred(why.into());
    for (script, expect) in [
        (format!("{plain}S: 550 5.7.1 not you"), failed("550 5.7.1 not you")),
        (format!("{plain}S: 450 not now"), later("450 not now")),
        (format!("{plain}{rcpt}S: 550 no"), failed("550 no")),
        (format!("{plain}{rcpt}S: 250 ok\nC: DATA\nS: 554 no"), failed("554 no")),
        (format!("{plain}{rcpt}S: 250 ok\nC: DATA\nS: 250 odd"), later("451 out of order: 250 odd")),
        (
            format!(
                "{plain}{rcpt}S: 250 ok\nC: DATA\nS: 354 go\nC: Subject: hi\nC:\nC: ..dot\nC: .\nS: 552 5.3.4 large"
            ),
            failed("552 5.3.4 large"),
        ),
        // RCPT is refused only because MAIL was deferred, so the recipient is deferred too.
        (format!("{piped}S: 451 not now\nS: 503 no mail\nS: 503 no mail"), later("451 not now")),
        (format!("{piped}S: 250 ok\nS: 550 no\nS: 503 nobody"), failed("550 no")),
        // RFC 2920 §3.1: after 354 although no recipient was accepted, the client sends an empty message.
        (format!("{piped}S: 250 ok\nS: 550 no\nS: 354 go\nC: .\nS: 554 nobody"), failed("550 no")),
        (format!("{HELLO}S: 250 SIZE 20"), failed("552 5.3.4 Message too large for the relay")),
        // RFC 5321 §4.1.1.1: the extensions begin on the second line, also when the first is empty.
        (
            "S: 220 relay\nC: EHLO mx.example.edu\nS: 250-\nS: 250 SIZE 20".into(),
            failed("552 5.3.4 Message too large for the relay"),
        ),
        ("S: 554 go away".into(), later("the relay refused the session: 554 go away")),
        ("S: 421 busy".into(), later("the relay refused the session: 421 busy")),
        ("S: hello".into(), later("not an SMTP reply: no code")),
    ] {
        assert_eq!(fates(&script, &["a@far.example"]).await, [expect], "{script}");
    }
}

/// When the connection breaks before the reply to the message, every recipient without a final reply is deferred.
#[tokio::test]
async fn broken_connections_are_deferrals() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let after_the_end = format!(
        "{HELLO}S: 250 HELP\nC: MAIL FROM:<zoe@example.edu>\nS: 250 ok\nC: RCPT TO:<a@far.example>\nS: 250 ok
        C: DATA\nS: 354 go\nC: Subject: hi\nC:\nC: ..dot\nC: ."
    );
    assert!(deferred(&send(&client(nobody), &["a@far.example"]).await[0]).starts_with("no connection"));
    for (script, why) in [("", "connection lost"), (&after_the_end, "connection lost")] {
        assert!(deferred(&fates(script, &["a@far.example"]).await[0]).starts_with(why), "{script}");
    }
    // The fates known before the break stay.
    let after_rcpt = format!(
        "{HELLO}S: 250 PIPELINING\nC: MAIL FROM:<zoe@example.edu>\nC: RCPT TO:<a@far.example>
        C: RCPT TO:<b@far.example>\nC: DATA\nS: 250 ok\nS: 550 no\nS: 250 ok"
    );
    let both = fates(&after_rcpt, &["a@far.example", "b@far.example"]).await;
    assert_eq!(both[0], Fate::Failed("550 no".into()));
    assert!(deferred(&both[1]).starts_with("connection lost"));
}

#[tokio::test]
async fn replies_are_bounded() {
    let long = format!("S: 220 {}", "x".repeat(3000));
    let many = "S: 220-x\n".repeat(101);
    for (script, why) in [(long, "not an SMTP reply: line too long"), (many, "not an SMTP reply: too many lines")] {
        assert_eq!(deferred(&fates(&script, &["a@far.example"]).await[0]), why);
    }
}

/// RFC 5321 §4.5.3.1.8: more than a hundred recipients go in several transactions.
#[tokio::test]
async fn many_recipients_are_split() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().to_string());
    let server = tokio::spawn(async move {
        let mut counts = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            counts.push(take_all(stream).await);
        }
        counts
    });
    let to: Vec<String> = (0..150).map(|n| format!("a{n}@far.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    assert_eq!(send(&client, &to).await, vec![SENT; 150]);
    assert_eq!(server.await.unwrap(), [100, 50]);
}

/// Accepts everything; returns how many recipients arrived.
async fn take_all(stream: TcpStream) -> usize {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay\r\n").await.unwrap();
    let (mut recipients, mut in_data) = (0, false);
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        recipients += usize::from(line.starts_with("RCPT"));
        let reply = match line.as_str() {
            ".\r\n" => "250 taken\r\n",
            _ if in_data => "",
            "DATA\r\n" => "354 go\r\n",
            _ => "250 ok\r\n",
        };
        in_data = (in_data || reply.starts_with("354")) && line != ".\r\n";
        line.clear();
        if stream.write_all(reply.as_bytes()).await.is_err() {
            break;
        }
    }
    recipients
}

/// RFC 3207, RFC 7435: the client encrypts where TLS is offered, accepts any certificate, and repeats EHLO inside TLS.
#[tokio::test]
async fn uses_starttls_where_it_is_offered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().to_string());
    let acceptor = tokio_rustls::TlsAcceptor::from(server_config());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let begin = format!("{HELLO}S: 250 STARTTLS\nC: STARTTLS\nS: 220 go");
        play_on(&mut stream, &begin).await;
        let stream = acceptor.accept(stream).await.unwrap();
        let rest = "C: EHLO mx.example.edu\nS: 250 relay\nC: MAIL FROM:<zoe@example.edu>\nS: 250 ok
            C: RCPT TO:<a@far.example>\nS: 550 inside";
        play(stream, rest).await;
    });
    assert_eq!(send(&client, &["a@far.example"]).await, [Fate::Failed("550 inside".into())]);
    server.await.unwrap();
}

/// CVE-2011-0411: octets injected before the handshake end the attempt, wherever they stand. A relay
/// that offers TLS gets no mail in the clear, neither on this connection nor on another.
#[tokio::test]
async fn nothing_goes_in_the_clear_once_tls_is_offered() {
    let offer = format!("{HELLO}S: 250 STARTTLS");
    let ask = format!("{offer}\nC: STARTTLS");
    for (script, last, why) in [
        (&ask, "220 go\r\n250-relay\r\n250 AUTH PLAIN\r\n", "possible attack on STARTTLS: 27 octets"),
        (&ask, "220 go\r\n2", "possible attack on STARTTLS: 1 octets"),
        (&HELLO.trim_end().to_owned(), "250 STARTTLS\r\n220 go\r\n", "possible attack on STARTTLS: 8 octets"),
        (&ask, "454 no TLS today\r\n", "TLS failed, nothing is sent in the clear: 454 no TLS today"),
        (&ask, "250 what\r\n", "TLS failed, nothing is sent in the clear: 250 what"),
        (&ask, "220 go\r\n", "TLS failed, nothing is sent in the clear: "),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap().to_string());
        let script = script.clone();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            play_on(&mut stream, &script).await;
            // In one segment, as an attacker would send it.
            stream.write_all(last.as_bytes()).await.unwrap();
            let mut received = Vec::new();
            if last == "220 go\r\n" {
                // A peer that offered TLS and then does not speak it.
                received = vec![0; 5];
                stream.read_exact(&mut received).await.unwrap();
                stream.write_all(b"250 this is no handshake\r\n").await.unwrap();
            }
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut received).await;
            (listener, received)
        });
        let fates = send(&client, &["a@far.example"]).await;
        assert!(deferred(&fates[0]).starts_with(why), "{:?}", fates[0]);
        let (listener, received) = server.await.unwrap();
        assert!(memchr::memmem::find(&received, b"MAIL FROM").is_none(), "{:?}", String::from_utf8_lossy(&received));
        let again = listener.into_std().unwrap().accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(again, Err(std::io::ErrorKind::WouldBlock), "the client connected again: {last:?}");
    }
}

/// Like `play`, but reads no more than the expected octets, so that the handshake stays in the socket.
async fn play_on(stream: &mut TcpStream, script: &str) {
    for line in script.lines() {
        if let Some(reply) = line.strip_prefix("S: ") {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        } else if let Some(expect) = line.strip_prefix("C: ") {
            let mut replies = vec![0; expect.len() + 2];
            stream.read_exact(&mut replies).await.unwrap();
            assert_eq!(String::from_utf8(replies).unwrap(), format!("{expect}\r\n"));
        }
    }
}

fn server_config() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["relay.example".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}
