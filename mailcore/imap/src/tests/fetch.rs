//! FETCH (RFC 3501 §6.4.5).

use super::*;

const MESSAGE: &str = "From: Zoe <zoe@example.edu>\r\nSubject: Hello\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n";

async fn selected(command: &str, messages: &[&str]) -> Client {
    let site = Site::new();
    for message in messages {
        site.deliver("INBOX", message).await;
    }
    let mut client = site.logged_in().await;
    client.send(format!("s {command} INBOX\r\n")).await;
    client.take();
    client
}

#[tokio::test]
async fn each_item_has_its_response() {
    let mut client = selected("EXAMINE", &[MESSAGE]).await;
    let (header, body) = MESSAGE.split_at(MESSAGE.find("\r\n\r\n").unwrap() + 4);
    let literal = |text: &str| format!("{{{}}}\r\n{text}", text.len());
    let envelope = concat!(
        r#"ENVELOPE ("Mon, 23 Nov 2026 10:00:00 +0100" "Hello" (("Zoe" NIL "zoe" "example.edu")) "#,
        r#"(("Zoe" NIL "zoe" "example.edu")) (("Zoe" NIL "zoe" "example.edu")) NIL NIL NIL NIL NIL)"#
    );
    let structure = concat!(
        r#"BODY (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0)"#,
        r#"("text" "html" NIL NIL NIL "7bit" 3 0) "mixed")"#
    );
    let date = "INTERNALDATE \"23-Nov-2026 19:45:00 +0000\"";
    let size = format!("RFC822.SIZE {}", MESSAGE.len());
    for (item, expect) in [
        ("FLAGS", "FLAGS (\\Recent)".to_owned()),
        ("uid", "UID 1".to_owned()),
        ("INTERNALDATE", date.to_owned()),
        ("RFC822.SIZE", size.clone()),
        ("FAST", format!("FLAGS (\\Recent) {date} {size}")),
        ("ALL", format!("FLAGS (\\Recent) {date} {size} {envelope}")),
        ("FULL", format!("FLAGS (\\Recent) {date} {size} {envelope} {structure}")),
        ("(ENVELOPE)", envelope.to_owned()),
        ("BODY", structure.to_owned()),
        ("RFC822", format!("RFC822 {}", literal(MESSAGE))),
        ("RFC822.HEADER", format!("RFC822.HEADER {}", literal(header))),
        ("RFC822.TEXT", format!("RFC822.TEXT {}", literal(body))),
        ("BODY[]", format!("BODY[] {}", literal(MESSAGE))),
        ("BODY.PEEK[]", format!("BODY[] {}", literal(MESSAGE))),
        ("BODY[HEADER]", format!("BODY[HEADER] {}", literal(header))),
        ("BODY[TEXT]", format!("BODY[TEXT] {}", literal(body))),
        ("BODY[1]", "BODY[1] {3}\r\none".to_owned()),
        ("BODY[2.MIME]", format!("BODY[2.MIME] {}", literal("Content-Type: text/html\r\n\r\n"))),
        ("BODY[3]", "BODY[3] NIL".to_owned()),
        ("BODY[1.2]<0.5>", "BODY[1.2] NIL".to_owned()),
        (
            "BODY.PEEK[HEADER.FIELDS (Subject \"X-None\")]",
            format!("BODY[HEADER.FIELDS (Subject X-None)] {}", literal("Subject: Hello\r\n\r\n")),
        ),
        (
            "BODY[HEADER.FIELDS.NOT (from subject date)]",
            format!(
                "BODY[HEADER.FIELDS.NOT (from subject date)] {}",
                literal("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
            ),
        ),
        ("BODY[]<0.4>", "BODY[]<0> {4}\r\nFrom".to_owned()),
        ("BODY[]<6.3>", "BODY[]<6> {3}\r\nZoe".to_owned()),
        ("BODY[]<100000.3>", "BODY[]<100000> {0}\r\n".to_owned()),
        ("(BODY[]<0.4> UID)", "BODY[]<0> {4}\r\nFrom UID 1".to_owned()),
        ("(BODY[]<0.4> BODY[1])", "BODY[]<0> {4}\r\nFrom BODY[1] {3}\r\none".to_owned()),
        ("BODY[1]<1.99>", "BODY[1]<1> {2}\r\nne".to_owned()),
        ("BODY[HEADER]<0.4294967295>", format!("BODY[HEADER]<0> {}", literal(header))),
    ] {
        client.send(format!("f FETCH 1 {item}\r\n")).await;
        assert_eq!(client.take(), format!("* 1 FETCH ({expect})\r\nf OK FETCH completed\r\n"), "{item}");
    }
}

/// A FETCH with wrong syntax, or with a number that no message has, is BAD and reports nothing.
#[tokio::test]
async fn wrong_fetches_are_bad() {
    let mut client = selected("EXAMINE", &[MESSAGE]).await;
    for arguments in [
        "1",
        "1 ()",
        "1 NOSUCH",
        "1 (ALL)",
        "1 BODY[",
        "1 BODY[NOSUCH]",
        "1 BODY[MIME]",
        "1 BODY[0]",
        "1 BODY[1.]",
        "1 BODY[HEADER.FIELDS ()]",
        "1 BODY[HEADER.FIELDS]",
        "1 BODY[HEADER.FIELDS (\"a b\")]",
        "1 BODY[]<0.0>",
        "1 BODY[]<0>",
        "1 BODY[]<5.>",
        "1 BODY[]<4294967296.1>",
        "2 FLAGS",
        "0 FLAGS",
        "x FLAGS",
        "1 FLAGS UID",
        "1 BODY[1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1]",
    ] {
        client.send(format!("f FETCH {arguments}\r\n")).await;
        let responses = client.take();
        assert!(responses.starts_with("f BAD "), "{arguments}: {responses}");
    }
}

#[tokio::test]
async fn seen_is_set_and_reported() {
    let client = selected("SELECT", &["A: b\r\n\r\nc\r\n", "A: b\r\n\r\nd\r\n", "A: b\r\n\r\ne\r\n"]).await;
    let script = r"
        # RFC 3501 §6.4.5
        C: a FETCH 1 BODY.PEEK[TEXT]
        S: * 1 FETCH (BODY[TEXT] {3}
        S: c
        S: )
        S: a OK FETCH completed
        C: b FETCH 1:2 BODY[TEXT]
        S: * 1 FETCH (BODY[TEXT] {3}
        S: c
        S:  FLAGS (\Seen \Recent))
        S: * 2 FETCH (BODY[TEXT] {3}
        S: d
        S:  FLAGS (\Seen \Recent))
        S: b OK FETCH completed
        C: c FETCH 1 (FLAGS BODY[TEXT])
        S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT] {3}
        S: c
        S: )
        S: c OK FETCH completed
        C: d UID FETCH 3:* (RFC822.TEXT FLAGS)
        S: * 3 FETCH (UID 3 RFC822.TEXT {3}
        S: e
        S:  FLAGS (\Seen \Recent))
        S: d OK FETCH completed
        # RFC 3501 §6.4.8: a UID without a message is no error
        C: e UID FETCH 7,9:12 (FLAGS)
        S: e OK FETCH completed
        # RFC 3501 §6.4.8: a range with `*` includes the last message, even when its other end is above that UID
        C: f UID FETCH 9:* (UID)
        S: * 3 FETCH (UID 3)
        S: f OK FETCH completed";
    play(&mut [client], script).await;
}

/// A message above 128 KiB is read in pieces. The header of the first one ends within the first piece, that of the
/// second one does not.
#[tokio::test]
async fn headers_of_large_messages() {
    let large = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(200_000));
    let endless = format!("Subject: x\r\nX: {}\r\n\r\nz", "y".repeat(200_000));
    let mut client = selected("EXAMINE", &[&large, &endless]).await;
    client.send("f FETCH 1 (BODY.PEEK[HEADER] ENVELOPE)\r\n").await;
    assert!(client.take().starts_with("* 1 FETCH (BODY[HEADER] {14}\r\nSubject: x\r\n\r\n ENVELOPE (NIL \"x\" "));
    client.send("f FETCH 2 (RFC822.HEADER)\r\n").await;
    assert!(client.take().starts_with("* 2 FETCH (RFC822.HEADER {200019}"));
    client.send("f FETCH 1 (BODY.PEEK[])\r\n").await;
    assert_eq!(client.take(), format!("* 1 FETCH (BODY[] {{{}}}\r\n{large})\r\nf OK FETCH completed\r\n", large.len()));
}

/// When a header field has more than 4,096 addresses, the ENVELOPE lists the first 4,096, and the FETCH succeeds.
#[tokio::test]
async fn an_envelope_lists_the_first_4096_addresses_of_a_field() {
    let message =
        format!("From: z@x\r\nTo: g: {}a@b;\r\nCc: {}c@d\r\n\r\nhi", "a@b,".repeat(6_000), "c@d,".repeat(9_000));
    let mut client = selected("EXAMINE", &[&message, "Subject: next\r\n\r\nhi"]).await;
    client.send("f FETCH 1:2 (ENVELOPE UID)\r\n").await;
    let responses = client.take();
    // The start of the group counts as the first item of To. The end of the group is listed after the last item.
    assert_eq!(responses.matches("(NIL NIL \"a\" \"b\")").count(), 4_095);
    assert_eq!(responses.matches("(NIL NIL NIL NIL)) ").count(), 1);
    assert_eq!(responses.matches("(NIL NIL \"c\" \"d\")").count(), 4_096);
    assert!(responses.ends_with(" UID 2)\r\nf OK FETCH completed\r\n"));
}
