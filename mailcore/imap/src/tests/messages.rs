//! APPEND, STORE, EXPUNGE, CLOSE, COPY, MOVE, and the reports to other sessions (RFC 3501 §6.3.11, §6.4, §7.4.1).

use super::*;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";

/// Plays a conversation of two sessions that have selected INBOX, which has three messages.
async fn selected(script: &str) -> [Client; 2] {
    let site = Site::new();
    for _ in 0..3 {
        site.deliver("INBOX", MESSAGE).await;
    }
    let mut clients = [site.logged_in().await, site.logged_in().await];
    for client in &mut clients {
        client.send("s SELECT INBOX\r\n").await;
        assert!(client.take().ends_with("s OK [READ-WRITE] SELECT completed\r\n"));
    }
    play(&mut clients, script).await;
    clients
}

#[tokio::test]
async fn append() {
    let script = r#"
        # RFC 3501 §6.3.11, RFC 4315 §3
        C: a APPEND INBOX (\Seen $Label) "17-Jul-1996 02:44:25 -0700" {15}
        S: + OK
        C: Subject: x
        C:
        C: b
        S: a OK [APPENDUID ~ 1] APPEND completed
        C: b APPEND "INBOX" {6+}
        C: A: b
        C:
        S: b OK [APPENDUID ~ 2] APPEND completed
        C: c EXAMINE INBOX
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Label)
        S: * OK [PERMANENTFLAGS ~
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * OK [UNSEEN 2] ~
        S: * OK [UIDVALIDITY ~
        S: * OK [UIDNEXT 3] ~
        S: c OK ~
        C: d FETCH 1:2 (FLAGS INTERNALDATE RFC822.SIZE)
        S: * 1 FETCH (FLAGS (\Seen $Label \Recent) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 15)
        S: * 2 FETCH (FLAGS (\Recent) INTERNALDATE "23-Nov-2026 ~" RFC822.SIZE 6)
        S: d OK FETCH completed
        # RFC 3501 §7.1 TRYCREATE
        C: e APPEND nosuch {3+}
        C: abc
        S: e NO [TRYCREATE] ~
        C: e2 APPEND "a*" {3+}
        C: abc
        S: e2 NO [CANNOT] ~
        C: f APPEND INBOX {200001}
        S: f NO [TOOBIG] Literal too large
        C: g APPEND INBOX (\Nosuch) {3+}
        C: abc
        S: g BAD unknown system flag
        C: h APPEND INBOX "yesterday" {3+}
        C: abc
        S: h BAD the date-time is malformed
        C: i APPEND INBOX {0+}
        C:
        S: i NO [CANNOT] A message cannot be empty
        C: j APPEND INBOX notaliteral
        S: j BAD ~
        C: k NOOP
        S: k OK NOOP completed"#;
    Site::new().play(script).await;
}

/// RFC 5530 §3 OVERQUOTA: APPEND and COPY are refused, MOVE is not.
#[tokio::test]
async fn a_full_account_can_only_move() {
    let site = Site::new();
    let mut clients = [site.logged_in().await];
    let large = "x".repeat(18_000);
    for number in 1..=5 {
        clients[0].send(format!("a APPEND INBOX {{18004+}}\r\n{large}\r\n\r\n\r\n")).await;
        assert!(clients[0].take().contains(&format!(" {number}] APPEND completed")));
    }
    clients[0].send(format!("a APPEND INBOX {{18000+}}\r\n{large}\r\n")).await;
    assert_eq!(clients[0].take(), "a NO [OVERQUOTA] Over quota\r\n");
    clients[0].send("b SELECT INBOX\r\n").await;
    clients[0].take();
    let script = "
        C: c COPY 1 Trash
        S: c NO [OVERQUOTA] Over quota
        C: d MOVE 1 Trash
        S: * OK [COPYUID ~ 1 1] Moved
        S: * 1 EXPUNGE
        S: * 4 RECENT
        S: d OK Completed";
    play(&mut clients, script).await;
}

#[tokio::test]
async fn store() {
    let script = r"
        # RFC 3501 §6.4.6
        C: a STORE 1:2 +FLAGS (\Deleted \Flagged)
        S: * 1 FETCH (FLAGS (\Flagged \Deleted \Recent))
        S: * 2 FETCH (FLAGS (\Flagged \Deleted \Recent))
        S: a OK STORE completed
        C: b STORE 2 -FLAGS.SILENT \Deleted
        S: b OK STORE completed
        C: c UID STORE 2 FLAGS (\Seen)
        S: * 2 FETCH (UID 2 FLAGS (\Seen \Recent))
        S: c OK STORE completed
        C: d STORE 3 +FLAGS Work
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft Work)
        S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft Work \*)] Flags permitted
        S: * 3 FETCH (FLAGS (Work \Recent))
        S: d OK STORE completed
        C: e UID STORE 77 +FLAGS (\Seen)
        S: e OK STORE completed
        C: f STORE 4 +FLAGS (\Seen)
        S: f BAD there is no message of that number
        C: g STORE 1 FLAG (\Seen)
        S: g BAD ~
        C: h STORE 1 FLAGS (\Nosuch)
        S: h BAD ~
        C: i STORE 0 FLAGS (\Seen)
        S: i BAD message numbers begin at 1
        # Another session is notified at its next command.
        2C: j NOOP
        2S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft Work)
        2S: * OK [PERM~
        2S: * 1 FETCH (FLAGS (\Flagged \Deleted))
        2S: * 2 FETCH (FLAGS (\Seen))
        2S: * 3 FETCH (FLAGS (Work))
        2S: j OK NOOP completed
        C: k STORE 3 FLAGS ()
        S: * 3 FETCH (FLAGS (\Recent))
        S: k OK STORE completed";
    selected(script).await;
}

/// A client that replaces its keywords again and again is not sent all that it ever used.
#[tokio::test]
async fn flags_do_not_grow_with_replaced_keywords() {
    let site = Site::new();
    site.deliver("INBOX", MESSAGE).await;
    let mut client = site.logged_in().await;
    client.send("s SELECT INBOX\r\n").await;
    client.take();
    for number in 0..500 {
        client.send(format!("a STORE 1 FLAGS (K{number})\r\n")).await;
        let responses = client.take();
        assert!(responses.contains(&format!("* 1 FETCH (FLAGS (K{number} \\Recent))")), "{responses}");
        assert!(responses.len() < 2_500, "{} octets after {number} keywords", responses.len());
    }
}

#[tokio::test]
async fn expunge() {
    let script = r"
        # RFC 3501 §6.4.3; RFC 4315 §2.1
        C: a STORE 1:3 +FLAGS.SILENT (\Deleted)
        S: a OK STORE completed
        C: b UID EXPUNGE 2
        S: * 2 EXPUNGE
        S: * 2 RECENT
        S: b OK EXPUNGE completed
        C: c EXPUNGE
        S: * 1 EXPUNGE
        S: * 1 EXPUNGE
        S: * 0 RECENT
        S: c OK EXPUNGE completed
        C: d EXPUNGE
        S: d OK EXPUNGE completed
        C: e UID EXPUNGE 99
        S: e OK EXPUNGE completed
        # RFC 3501 §7.4.1: no EXPUNGE during FETCH, STORE, SEARCH
        2C: f FETCH 2 (FLAGS)
        2S: * 2 FETCH (FLAGS ~
        2S: f OK FETCH completed
        2C: g SEARCH ALL
        2S: * SEARCH 1 2 3
        2S: g OK SEARCH completed
        2C: i UID SEARCH ALL
        2S: * SEARCH 1 2 3
        2S: * 1 EXPUNGE
        2S: * 1 EXPUNGE
        2S: * 1 EXPUNGE
        2S: i OK SEARCH completed
        2C: j FETCH 1 (FLAGS)
        2S: j BAD there is no message of that number
        2C: k FETCH 1:* (FLAGS)
        2S: k OK FETCH completed
        2C: l UID FETCH 1:* (FLAGS)
        2S: l OK FETCH completed";
    selected(script).await;
}

/// The first session expunges message 2, before the second session uses its number.
const EXPUNGED: &str = r"
    C: a STORE 2 +FLAGS.SILENT (\Deleted)
    S: a OK ~
    C: b EXPUNGE
    S: * 2 EXPUNGE
    S: * 2 RECENT
    S: b OK ~
";

/// RFC 2180 §4.1.3: NIL for expunged messages, and no EXPUNGE (RFC 3501 §7.4.1).
#[tokio::test]
async fn fetch_of_expunged_messages() {
    let mut clients = selected(EXPUNGED).await;
    let script = r#"
        2C: h FETCH 1:3 (BODY.PEEK[TEXT])
        2S: * 1 FETCH (BODY[TEXT] {6}
        2S: body
        2S: )
        2S: * 2 FETCH (BODY[TEXT] NIL)
        2S: * 3 FETCH (BODY[TEXT] {6}
        2S: body
        2S: )
        2S: h OK [EXPUNGEISSUED] FETCH completed
        2C: i FETCH 2 (UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODY.PEEK[HEADER.FIELDS (To)] BODY.PEEK[]<0.9>)
        2S: * 2 FETCH (UID 2 FLAGS (~) RFC822.SIZE 0 INTERNALDATE " 1-Jan-1970 00:00:00 +0000" ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) BODY[HEADER.FIELDS (To)] NIL BODY[] NIL)
        2S: i OK [EXPUNGEISSUED] FETCH completed
        2C: j FETCH 2 (BODY BODYSTRUCTURE RFC822.HEADER)
        2S: * 2 FETCH (BODY ("text" "plain" NIL NIL NIL "7bit" 0 0) BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL) RFC822.HEADER NIL)
        2S: j OK [EXPUNGEISSUED] FETCH completed
        2C: k UID FETCH 2 (BODY.PEEK[TEXT])
        2S: * 2 EXPUNGE
        2S: k OK FETCH completed"#;
    play(&mut clients, script).await;
}

/// RFC 2180 §4.4.1: when a sequence number names an expunged message, COPY and MOVE are refused and copy nothing.
#[tokio::test]
async fn copy_of_expunged_messages() {
    for command in ["COPY 1:3 Trash", "MOVE 1:3 Trash"] {
        let mut clients = selected(EXPUNGED).await;
        let refused = format!("2C: h {command}\n2S: * 2 EXPUNGE\n2S: h NO [EXPUNGEISSUED] ~");
        play(&mut clients, &refused).await;
        play(&mut clients, "2C: c STATUS Trash (MESSAGES)\n2S: * STATUS Trash (MESSAGES 0)\n2S: c OK ~").await;
    }
    let by_uid = "2C: i UID COPY 1:3 Trash\n2S: * 2 EXPUNGE\n2S: i OK [COPYUID ~ 1,3 1:2] Completed\n";
    play(&mut selected(EXPUNGED).await, by_uid).await;
}

/// RFC 2180 §4.2: the flags of the other messages are stored. The reply is NO, but OK to `.SILENT` if any were stored.
#[tokio::test]
async fn store_of_expunged_messages() {
    let mut clients = selected(EXPUNGED).await;
    let script = r"
        2C: h STORE 1:3 +FLAGS (\Flagged)
        2S: * 1 FETCH (FLAGS (\Flagged))
        2S: * 3 FETCH (FLAGS (\Flagged))
        2S: h NO [EXPUNGEISSUED] ~
        2C: i STORE 1:3 +FLAGS.SILENT (\Draft)
        2S: i OK [EXPUNGEISSUED] ~
        2C: j FETCH 2 (FLAGS)
        2S: * 2 FETCH (FLAGS (\Draft))
        2S: j OK ~
        2C: l STORE 2 +FLAGS.SILENT (\Answered)
        2S: l NO [EXPUNGEISSUED] ~
        2C: k UID STORE 1:3 +FLAGS.SILENT (\Seen)
        2S: * 2 EXPUNGE
        2S: k OK STORE completed";
    play(&mut clients, script).await;
}

/// A fetched message is, octet for octet, the appended one; a message with a bare LF is refused, not converted.
#[tokio::test]
async fn append_keeps_octets_or_refuses() {
    let site = Site::new();
    let mut clients = [site.logged_in().await];
    clients[0].send("a APPEND INBOX {10+}\r\nA: b\n\nc\r\nd\r\n").await;
    play(&mut clients, "S: a NO [CANNOT] ~").await;
    clients[0].send("b APPEND INBOX {10+}\r\nA: b\r\n\r\nc\r\r\n").await;
    play(&mut clients, "S: b OK [APPENDUID ~ 1] ~").await;
    clients[0].send("c EXAMINE INBOX\r\n").await;
    clients[0].take();
    clients[0].send("d FETCH 1 (BODY.PEEK[])\r\n").await;
    assert!(clients[0].take().starts_with("* 1 FETCH (BODY[] {10}\r\nA: b\r\n\r\nc\r)\r\n"));
}

/// RFC 3501 §6.4.6: .SILENT omits this client's own changes, never those of another one. Each change is reported once.
#[tokio::test]
async fn a_silent_store_reports_changes_by_others() {
    let site = Site::new();
    for _ in 0..3 {
        site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    }
    let script = r"
        C: s SELECT INBOX
        S: * FLAGS ~
        S: * OK ~
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 1] ~
        S: * OK [UIDVALIDITY ~
        S: * OK [UIDNEXT 4] ~
        S: s OK ~
        2C: s SELECT INBOX
        2S: * FLAGS ~
        2S: * OK ~
        2S: * 3 EXISTS
        2S: * 0 RECENT
        2S: * OK [UNSEEN 1] ~
        2S: * OK [UIDVALIDITY ~
        2S: * OK [UIDNEXT 4] ~
        2S: s OK ~
        2C: a STORE 1:2 +FLAGS.SILENT (\Seen Work)
        2S: * FLAGS (~ Work)
        2S: * OK [PERMANENTFLAGS ~
        2S: a OK STORE completed
        C: b STORE 1,3 +FLAGS.SILENT (\Flagged)
        S: * FLAGS (~ Work)
        S: * OK [PERMANENTFLAGS ~
        S: * 1 FETCH (FLAGS (\Flagged \Seen Work \Recent))
        S: * 2 FETCH (FLAGS (\Seen Work \Recent))
        S: b OK STORE completed
        C: c NOOP
        S: c OK NOOP completed
        2C: d UID STORE 3 -FLAGS.SILENT (\Flagged)
        2S: * 1 FETCH (FLAGS (\Flagged \Seen Work))
        2S: d OK STORE completed
        # Both sessions store the same flags, so neither gets a FETCH response
        C: e STORE 3 FLAGS.SILENT (\Draft)
        S: e OK STORE completed
        2C: f STORE 3 FLAGS.SILENT (\Draft)
        2S: f OK STORE completed
        C: g STORE 3 FLAGS (\Draft)
        S: * 3 FETCH (FLAGS (\Draft \Recent))
        S: g OK STORE completed
        2C: h UID STORE 3 -FLAGS.SILENT (\Seen)
        2S: h OK STORE completed";
    site.play(script).await;
}

/// RFC 3501 §2.3.2: a message is \Recent only in the first session that is notified of it, even while both sessions
/// have the mailbox selected.
#[tokio::test]
async fn a_message_is_recent_in_one_session() {
    let site = Site::new();
    let mut clients = [site.logged_in().await, site.logged_in().await];
    clients[0].send("s SELECT INBOX\r\n").await;
    clients[0].take();
    site.deliver("INBOX", MESSAGE).await;
    let script = r"
        2C: a STATUS INBOX (RECENT)
        2S: * STATUS INBOX (RECENT 1)
        2S: a OK ~
        C: b NOOP
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK ~
        2C: c STATUS INBOX (RECENT)
        2S: * STATUS INBOX (RECENT 0)
        2S: c OK ~
        2C: d SELECT INBOX
        2S: * FLAGS ~
        2S: * OK [PERMANENTFLAGS ~
        2S: * 1 EXISTS
        2S: * 0 RECENT
        2S: * OK [UNSEEN 1] ~
        2S: * OK [UIDVALIDITY ~
        2S: * OK [UIDNEXT 2] ~
        2S: d OK ~";
    play(&mut clients, script).await;
    site.deliver("INBOX", MESSAGE).await;
    let script = r"
        2C: e NOOP
        2S: * 2 EXISTS
        2S: * 1 RECENT
        2S: e OK ~
        2C: f SEARCH RECENT
        2S: * SEARCH 2
        2S: f OK ~
        C: g NOOP
        S: * 2 EXISTS
        S: * 1 RECENT
        S: g OK ~
        C: h FETCH 1:2 FLAGS
        S: * 1 FETCH (FLAGS (\Recent))
        S: * 2 FETCH (FLAGS ())
        S: h OK ~";
    play(&mut clients, script).await;
    site.deliver("INBOX", MESSAGE).await;
    // EXAMINE does not remove \Recent from a message (RFC 3501 §6.3.2).
    let script = r"
        2C: i EXAMINE INBOX
        2S: * FLAGS ~
        2S: * OK [PERMANENTFLAGS ~
        2S: * 3 EXISTS
        2S: * 1 RECENT
        2S: * OK [UNSEEN 1] ~
        2S: * OK [UIDVALIDITY ~
        2S: * OK [UIDNEXT 4] ~
        2S: i OK ~
        C: j NOOP
        S: * 3 EXISTS
        S: * 2 RECENT
        S: j OK ~
        C: k SEARCH RECENT
        S: * SEARCH 1 3
        S: k OK ~";
    play(&mut clients, script).await;
}

#[tokio::test]
async fn close_expunges_silently_and_unselect_does_not_expunge() {
    let script = r"
        # RFC 3501 §6.4.2
        C: a STORE 1 +FLAGS.SILENT (\Deleted)
        S: a OK STORE completed
        C: b CLOSE
        S: b OK CLOSE completed
        C: c STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 2)
        S: c OK STATUS completed
        2C: d NOOP
        2S: * 1 EXPUNGE
        2S: d OK NOOP completed
        2C: e STORE 1 +FLAGS.SILENT (\Deleted)
        2S: e OK STORE completed
        # RFC 3691
        2C: f UNSELECT
        2S: f OK UNSELECT completed
        2C: g STATUS INBOX (MESSAGES)
        2S: * STATUS INBOX (MESSAGES 2)
        2S: g OK STATUS completed";
    selected(script).await;
}

#[tokio::test]
async fn copy_and_move() {
    let script = r"
        # RFC 3501 §6.4.7, RFC 4315 §3
        C: a COPY 1:2 Trash
        S: a OK [COPYUID ~ 1:2 1:2] Completed
        C: b COPY 1 nosuch
        S: b NO [TRYCREATE] ~
        C: c UID COPY 99 Trash
        S: c OK Completed
        C: d COPY 9 Trash
        S: d BAD ~
        C: d2 COPY 1 %
        S: d2 BAD ~
        # RFC 3501 §6.4.7: no TRYCREATE for a mailbox that cannot be created
        C: d3 COPY 1 {1+}
        C: %
        S: d3 NO [CANNOT] ~
        C: d4 MOVE 1 {1+}
        C: %
        S: d4 NO [CANNOT] ~
        # RFC 6851 §4.3: COPYUID before the EXPUNGE
        C: e UID MOVE 1,3 Trash
        S: * OK [COPYUID ~ 1,3 3:4] Moved
        S: * 1 EXPUNGE
        S: * 2 EXPUNGE
        S: * 1 RECENT
        S: e OK Completed
        C: f MOVE 1 nosuch
        S: f NO [TRYCREATE] ~
        # Into the selected mailbox itself
        C: g COPY 1 INBOX
        S: * 2 EXISTS
        S: * 2 RECENT
        S: g OK [COPYUID ~ 2 4] Completed
        2C: h NOOP
        2S: * 1 EXPUNGE
        2S: * 2 EXPUNGE
        # RFC 3501 §2.3.2: the copy is recent in the session that is notified of it first
        2S: * 2 EXISTS
        2S: * 0 RECENT
        2S: h OK NOOP completed
        2C: i CHECK
        2S: i OK CHECK completed";
    selected(script).await;
}

/// RFC 3501 §7.1: `\*` in PERMANENTFLAGS means that new keywords can be created. A mailbox has at most 64 keywords.
#[tokio::test]
async fn permanent_flags_offer_new_keywords_while_there_is_room() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc").await;
    site.deliver("INBOX", "A: b\r\n\r\nd").await;
    let (mut client, mut other) = (site.logged_in().await, site.logged_in().await);
    for client in [&mut client, &mut other] {
        client.send("s SELECT INBOX\r\n").await;
        assert!(client.take().contains("\\Draft \\*)]"));
    }
    let keywords = |range: std::ops::Range<u32>| range.map(|n| format!("K{n}")).collect::<Vec<_>>().join(" ");
    for (command, offers_new) in [
        (format!("1 +FLAGS ({})", keywords(0..63)), true),
        ("2 +FLAGS (K63)".to_owned(), false),
        // The store forgets a keyword that no message has.
        ("2 -FLAGS (K63)".to_owned(), true),
        ("2 FLAGS (Other)".to_owned(), false),
    ] {
        client.send(format!("a STORE {command}\r\n")).await;
        let responses = client.take();
        assert!(responses.ends_with("a OK STORE completed\r\n"), "{command}: {responses}");
        assert!(responses.contains("[PERMANENTFLAGS ("), "{command}: {responses}");
        assert_eq!(responses.contains(" \\*)]"), offers_new, "{command}: {responses}");
    }
    client.send("b STORE 2 +FLAGS (More)\r\n").await;
    assert!(client.take().starts_with("b NO "));
    // NOOP reports all new keywords with one PERMANENTFLAGS, and SELECT sends the second one.
    other.send("c NOOP\r\nd SELECT INBOX\r\n").await;
    let responses = other.take();
    assert_eq!(responses.matches("[PERMANENTFLAGS (").count(), 2, "{responses}");
    assert!(!responses.contains("\\*"), "{responses}");
}
