//! SEARCH (RFC 3501 §6.4.4) and ESEARCH (RFC 4731).

use provost_store::{Flag, Keyword};

use super::*;

/// Four messages, with INBOX selected. All are `\Recent`, as this is the first session that selects it.
async fn client() -> Client {
    let site = Site::new();
    let messages = [
        (
            "From: Ann <ann@x>\r\nTo: zoe@example.edu\r\nSubject: =?utf-8?q?=C3=89t=C3=A9?=\r\nDate: Sun, 1 Feb 2026 23:00:00 -0800\r\n\r\nfirst body\r\n",
            "1-Feb-2026",
            &[Flag::Seen, Flag::Answered][..],
            None,
        ),
        (
            "From: \"Bob \\\"Bo\\\" B\" <bob@x>\r\nCc: ann@x\r\nSubject: second\r\nX-Spam:\r\n\r\nBODY two needle\r\n",
            "2-Feb-2026",
            &[Flag::Deleted, Flag::Draft],
            Some("Work"),
        ),
        (
            "From: Carl <carl@x>\r\nBcc: dora@x\r\nSubject: third\r\nDate: Tue, 3 Feb 2026 00:00:00 +0000\r\nContent-Transfer-Encoding: base64\r\n\r\nbmVlZGxlIMOpdMOp\r\n",
            "3-Feb-2026",
            &[Flag::Flagged],
            None,
        ),
        (
            "Subject: fourth\r\n\r\nlonger than 120 octets, so that LARGER finds it, and needle is not in its header; padding padding padding padding\r\n",
            "4-Feb-2026",
            &[],
            None,
        ),
    ];
    for (body, day, system, keyword) in messages {
        let mut flags = Flags::none();
        system.iter().for_each(|flag| flags.insert(*flag));
        keyword.into_iter().for_each(|keyword| flags.insert_keyword(Keyword::parse(keyword).unwrap()));
        let internal_date = crate::codec::date::parse_date_time(&format!("{day} 12:00:00 +0000")).unwrap();
        let mailbox = MailboxName::inbox();
        site.apply(Op::Append { mailbox, create: false, body: body.into(), flags, internal_date }).await;
    }
    let mut client = site.logged_in().await;
    client.send("s SELECT INBOX\r\n").await;
    client.take();
    client
}

#[tokio::test]
async fn keys_select_messages() {
    let mut client = client().await;
    for (keys, expect) in [
        ("ALL", "1 2 3 4"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3 4"),
        ("ANSWERED", "1"),
        ("UNANSWERED", "2 3 4"),
        ("DELETED", "2"),
        ("UNDELETED", "1 3 4"),
        ("DRAFT", "2"),
        ("UNDRAFT", "1 3 4"),
        ("FLAGGED", "3"),
        ("UNFLAGGED", "1 2 4"),
        ("RECENT", "1 2 3 4"),
        ("OLD", ""),
        ("NEW", "2 3 4"),
        ("KEYWORD work", "2"),
        ("UNKEYWORD Work", "1 3 4"),
        ("BEFORE 2-Feb-2026", "1"),
        ("ON 2-Feb-2026", "2"),
        ("SINCE \"3-Feb-2026\"", "3 4"),
        ("SENTON 1-Feb-2026", "1"),
        ("SENTBEFORE 2-Feb-2026", "1"),
        ("SENTSINCE 2-Feb-2026", "3"),
        ("LARGER 120", "1 3 4"),
        ("SMALLER 120", "2"),
        ("FROM ann", "1"),
        ("FROM ANN@X", "1"),
        (r#"FROM "bob \"bo\" b""#, "2"),
        ("TO zoe", "1"),
        ("CC ann", "2"),
        ("BCC dora", "3"),
        ("SUBJECT second", "2"),
        ("CHARSET UTF-8 SUBJECT {5+}\r\n\u{c9}T\u{c9}", "1"),
        ("CHARSET us-ascii SUBJECT third", "3"),
        ("HEADER X-Spam \"\"", "2"),
        ("HEADER X-None \"\"", ""),
        ("HEADER Subject FOURTH", "4"),
        ("BODY needle", "2 3 4"),
        ("BODY second", ""),
        ("BODY {5+}\r\n\u{e9}t\u{e9}", "3"),
        ("TEXT second", "2"),
        ("TEXT \"two needle\"", "2"),
        ("2:3", "2 3"),
        ("*", "4"),
        ("9", ""),
        ("UID 3:*", "3 4"),
        ("UID 1,3 SEEN", "1"),
        ("NOT SEEN", "2 3 4"),
        ("NOT 1:3", "4"),
        ("OR SEEN FLAGGED", "1 3"),
        ("OR (SEEN ANSWERED) (BODY needle NOT FLAGGED)", "1 2 4"),
        ("(SEEN)", "1"),
        ("NOT (OR SEEN (FLAGGED))", "2 4"),
        ("UNSEEN BODY needle FROM bob", "2"),
        ("OR OR FROM ann FROM bob FROM carl", "1 2 3"),
    ] {
        client.send(format!("f SEARCH {keys}\r\n")).await;
        let expect = if expect.is_empty() { String::new() } else { format!(" {expect}") };
        assert_eq!(client.take(), format!("* SEARCH{expect}\r\nf OK SEARCH completed\r\n"), "{keys}");
    }
}

#[tokio::test]
async fn malformed_searches_are_refused() {
    let mut client = client().await;
    client.send("f SEARCH CHARSET KOI8-R SUBJECT x\r\n").await;
    assert_eq!(client.take(), "f NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset\r\n");
    let deep = format!("{}SEEN", "NOT ".repeat(200));
    let parentheses = format!("{}SEEN{}", "(".repeat(200), ")".repeat(200));
    let many = "SEEN ".repeat(1_100);
    for keys in [
        "",
        "NOSUCH",
        "(SEEN",
        "SEEN)",
        "NOT",
        "OR SEEN",
        "BEFORE yesterday",
        "BEFORE 30-Feb-2026",
        "LARGER x",
        "LARGER 4294967296",
        "HEADER x",
        "FROM",
        "()",
        "KEYWORD",
        "RETURN (NOSUCH) ALL",
        "CHARSET",
        &deep,
        &parentheses,
        &many,
    ] {
        client.send(format!("f SEARCH {keys}\r\n")).await;
        let responses = client.take();
        assert!(responses.starts_with("f BAD "), "{keys}: {responses}");
    }
}

#[tokio::test]
async fn esearch_reports_what_return_asks_for() {
    let script = r#"
        # RFC 4731 §3.1
        C: a SEARCH RETURN (MIN MAX COUNT) UNSEEN
        S: * ESEARCH (TAG "a") MIN 2 MAX 4 COUNT 3
        S: a OK SEARCH completed
        C: b UID SEARCH RETURN () UNSEEN
        S: * ESEARCH (TAG "b") UID ALL 2:4
        S: b OK SEARCH completed
        C: c SEARCH RETURN (MIN COUNT ALL) OLD
        S: * ESEARCH (TAG "c") COUNT 0
        S: c OK SEARCH completed
        C: d UID SEARCH 2:3
        S: * SEARCH 2 3
        S: d OK SEARCH completed"#;
    play(&mut [client().await], script).await;
}
