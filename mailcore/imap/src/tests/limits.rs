//! Limits before and after login.

use super::*;

#[tokio::test]
async fn a_fault_before_login_ends_the_session() {
    for bytes in [
        format!("a LOGIN {}\r\n", "x".repeat(9_000)),
        "x".repeat(9_000),
        "a LOGIN {5000}\r\n".to_owned(),
        "a LOGIN {5000+}\r\n".to_owned() + &"x".repeat(5_000) + "\r\n",
        "a NOOP\n".to_owned(),
        "a APPEND INBOX {5000}\r\n".to_owned(),
        format!("a X{}\r\n", " {1+}\r\nz".repeat(70)),
        "a AUTHENTICATE PLAIN\r\n".to_owned() + &"x".repeat(9_000),
        "a AUTHENTICATE PLAIN\r\nx\n".to_owned(),
    ] {
        let mut client = Site::new().client();
        let mut pieces = bytes.as_bytes().chunks(1_000);
        while client.step != Step::Close {
            let Some(piece) = pieces.next() else { break };
            client.send(piece).await;
        }
        // An overlong line is refused only when its end arrives.
        if client.step != Step::Close {
            assert!(client.input.len() <= 9_000);
            client.send("\r\n").await;
        }
        let responses = client.take();
        assert_eq!(client.step, Step::Close, "{responses}");
        assert!(responses.contains("* BYE "), "{responses}");
    }
}

#[tokio::test]
async fn a_fault_after_login_is_refused_and_the_session_goes_on() {
    let mut client = Site::new().logged_in().await;
    for (bytes, expect) in [
        (format!("a SEARCH {}\r\n", "x".repeat(70_000)), "a BAD Line too long\r\n"),
        ("a SEARCH SUBJECT {70000}\r\n".to_owned(), "a NO [TOOBIG] Literal too large\r\n"),
        (format!("a SEARCH SUBJECT {{70000+}}\r\n{}\r\n", "x".repeat(70_000)), "a NO [TOOBIG] Literal too large\r\n"),
        (format!("a X{}\r\n", " {1+}\r\nz".repeat(70)), "a BAD Command too long\r\n"),
        (
            format!("a X{}\r\n", format!(" {{60000+}}\r\n{}", "z".repeat(60_000)).repeat(5)),
            "a BAD Command too long\r\n",
        ),
        ("a NOOP\n".to_owned(), "a BAD Lines end with CRLF\r\n"),
        ("\r\n".to_owned(), "* BAD A command begins with a tag\r\n"),
        ("+ NOOP\r\n".to_owned(), "* BAD A command begins with a tag\r\n"),
        ("a\r\n".to_owned(), "a BAD a space was expected\r\n"),
        ("a NOOP x\r\n".to_owned(), "a BAD unexpected text after the command\r\n"),
        ("a NOSUCH x\r\n".to_owned(), "a BAD unknown command\r\n"),
        ("a UID NOSUCH x\r\n".to_owned(), "a BAD unknown command\r\n"),
    ] {
        for piece in bytes.as_bytes().chunks(7_777) {
            client.send(piece).await;
        }
        assert_eq!(client.take(), expect);
        client.send("b NOOP\r\n").await;
        assert_eq!(client.take(), "b OK NOOP completed\r\n", "after {expect}");
    }
}

/// The large literals of all sessions share one bound. A literal's octets are free again when its command or session
/// ends.
#[tokio::test]
async fn large_literals_share_one_bound() {
    let site = Site::new();
    let mut hog = site.logged_in().await;
    hog.send(format!("a APPEND INBOX {{180000+}}\r\n{}", "x".repeat(170_000))).await;
    assert_eq!(hog.session.idle_limit(), Duration::from_secs(120));
    let mut client = site.logged_in().await;
    let append = format!("b APPEND Trash {{90000+}}\r\nA: b\r\n\r\n{}\r\nc NOOP\r\n", "x".repeat(89_992));
    client.send(&append).await;
    let unavailable = "b NO [UNAVAILABLE] A message of this size cannot be received now, try again later\r\n";
    assert_eq!(client.take(), format!("{unavailable}c OK NOOP completed\r\n"));
    drop(hog);
    for _ in 0..2 {
        // The second reply may be OVERQUOTA, which also shows that the literal was received.
        client.send(&append).await;
        let responses = client.take();
        assert!(responses.starts_with("b OK [APPENDUID") || responses.starts_with("b NO [OVERQUOTA]"), "{responses}");
    }
}

/// A command may have several literals, but only one of more than 64 KiB.
#[tokio::test]
async fn an_append_has_one_large_literal() {
    let mut client = Site::new().logged_in().await;
    let literal = format!(" {{150000+}}\r\n{}", "x".repeat(150_000));
    client.send(format!("a APPEND INBOX{}\r\n", literal.repeat(4))).await;
    let responses = client.take();
    assert!(responses == "a BAD Command too long\r\n" || responses.starts_with("a NO [UNAVAILABLE]"), "{responses}");
}

/// RFC 3501 §9, RFC 2971 §4, RFC 5258 §6.
#[tokio::test]
async fn commands_outside_the_grammar_are_bad() {
    let mut client = Site::new().logged_in().await;
    for command in [
        "NOOP ",
        "SEARCH SEEN ",
        "ID (\"name\")",
        "ID (NIL \"x\")",
        "LIST \"\" ()",
        "STORE 1 +FLAGS (\\Recent)",
        "APPEND INBOX (\\Recent) {1+}\r\nx",
    ] {
        client.send(format!("a {command}\r\n")).await;
        let responses = client.take();
        assert!(responses.starts_with("a BAD "), "{command}: {responses}");
    }
}

/// A good command resets the count.
#[tokio::test]
async fn consecutive_bad_commands_end_the_session() {
    let site = Site::new();
    for (mut client, limit) in [(site.client(), 20), (site.logged_in().await, 100)] {
        for command in ["a BOGUS\r\n", "\r\n"] {
            client.send(command.repeat(limit / 2 - 1)).await;
            client.send("b NOOP\r\n").await;
            assert!(client.take().ends_with("b OK NOOP completed\r\n"));
        }
        client.send("a BOGUS\r\n".repeat(limit - 1)).await;
        assert_eq!(client.step, Step::NeedMore);
        client.take();
        client.send("a BOGUS\r\n").await;
        let bad = "a BAD unknown command, or its arguments are missing\r\n";
        assert_eq!(client.take(), format!("{bad}* BYE Too many bad commands\r\n"));
        assert_eq!(client.step, Step::Close);
    }
}

#[tokio::test]
async fn the_bye_before_login_names_the_fault() {
    for (bytes, expect) in [
        ("a NOOP\n", "a BAD Lines end with CRLF\r\n* BYE Lines end with CRLF\r\n"),
        ("a LOGIN {99999999999999999999999999}\r\n", "a NO [TOOBIG] Literal too large\r\n* BYE Literal too large\r\n"),
    ] {
        let mut client = Site::new().client();
        client.send(bytes).await;
        assert_eq!((client.take().as_str(), client.step), (expect, Step::Close));
    }
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let mut client = Site::new().client();
    client.send("a LOGIN zoe secret\r\nb NOOP\r\nc LOGIN {3}\r\n").await;
    let responses = client.take();
    assert!(
        responses.starts_with("a OK [CAPABILITY") && responses.ends_with("b OK NOOP completed\r\n+ OK\r\n"),
        "{responses}"
    );
}

/// An idle session is small: a node holds one for each connected client.
#[tokio::test]
async fn a_session_is_small() {
    let site = Site::new();
    let mut client = site.logged_in().await;
    client.send("a SELECT INBOX\r\n").await;
    assert!(std::mem::size_of::<ImapSession>() <= 512, "{}", std::mem::size_of::<ImapSession>());
    let mut out = OutputBuffer::new(&mut client.output, &mut client.sink);
    let step = client.session.step(&mut client.input, &mut out);
    assert!(std::mem::size_of_val(&step) <= 4096, "{}", std::mem::size_of_val(&step));
}
