//! POP3 conversations, with the rules that they check.

// A test fails by a panic; clippy recognizes only `#[test]` functions as tests, not their shared code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod site;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use proptest::prelude::*;
use provost_net::{Goodbye, OutputBuffer, Session, Step, Transport};
use provost_store::{MemoryStore, MessageStore};
use provost_view::{Person, PersonState, View};
use site::{Client, Site, ZOE, person};

use crate::command::{Command, LINE_OCTETS_MAX, LOGIN_LINE_OCTETS_MAX};
use crate::transaction::TransactionState;

const ONE: &str = "Subject: one\r\n\r\nfirst\r\n.second\r\nthird\r\n";
const TWO: &str = "Subject: two\r\n\r\nno end of line";

async fn logged_in(site: &Site) -> Client {
    let mut client = site.connect().await;
    client
        .play(
            "S: +OK mx.example.edu POP3
            C: USER zoe@example.edu
            S: +OK
            C: PASS let me in
            S: +OK logged in",
        )
        .await;
    client
}

#[tokio::test]
async fn list_retr_and_top() {
    let site = Site::new();
    site.deliver(&[ONE, TWO]).await;
    let mut client = logged_in(&site).await;
    client
        .play(
            "# RFC 1939 §5: octets are those of the stored message.
            C: STAT
            S: +OK 2 69
            C: LIST
            S: +OK 2 messages (69 octets)
            S: 1 39
            S: 2 30
            S: .
            C: LIST 2
            S: +OK 2 30
            C: LIST 3
            S: -ERR no such message
            C: LIST 0
            S: -ERR no such message
            # RFC 1939 §3: a line that begins with a dot gets another one.
            C: RETR 1
            S: +OK 39 octets
            S: Subject: one
            S:
            S: first
            S: ..second
            S: third
            S: .
            # A last line without an end is given one.
            C: RETR 2
            S: +OK 30 octets
            S: Subject: two
            S:
            S: no end of line
            S: .
            C: RETR 3
            S: -ERR no such message
            # RFC 1939 §7.
            C: TOP 1 1
            S: +OK 39 octets
            S: Subject: one
            S:
            S: first
            S: .
            C: TOP 1 0
            S: +OK 39 octets
            S: Subject: one
            S:
            S: .
            C: TOP 9 0
            S: -ERR no such message
            C: TOP 1
            S: -ERR wrong arguments
            C: NOOP
            S: +OK
            C: QUIT
            S: +OK bye
            S! closed",
        )
        .await;
    assert_eq!(site.uids().await, [1, 2]);
}

/// RFC 1939 §5, §6: deletions are marks until QUIT, and RSET lifts them.
#[tokio::test]
async fn dele_and_rset() {
    let site = Site::new();
    site.deliver(&[ONE, TWO, ONE]).await;
    let mut client = logged_in(&site).await;
    client
        .play(
            "C: DELE 1
            S: +OK marked
            C: DELE 1
            S: -ERR no such message
            C: RETR 1
            S: -ERR no such message
            C: STAT
            S: +OK 2 69
            C: LIST
            S: +OK 2 messages (69 octets)
            S: 2 30
            S: 3 39
            S: .
            C: RSET
            S: +OK
            C: STAT
            S: +OK 3 108
            C: DELE 2
            S: +OK marked
            C: DELE 4
            S: -ERR no such message",
        )
        .await;
    assert_eq!(site.uids().await, [1, 2, 3], "DELE deleted a message before QUIT");
    site.deliver(&[ONE]).await;
    client
        .play(
            "# A message that arrives during the session stays.\nC: STAT\nS: +OK 2 78\nC: QUIT\nS: +OK bye\nS! closed",
        )
        .await;
    assert_eq!(site.uids().await, [1, 3, 4]);
}

/// RFC 1939 §6: without QUIT there is no UPDATE.
#[tokio::test]
async fn a_lost_connection_deletes_nothing() {
    let site = Site::new();
    site.deliver(&[ONE]).await;
    let mut client = logged_in(&site).await;
    client.play("C: DELE 1\nS: +OK marked").await;
    drop(client);
    assert_eq!(site.uids().await, [1]);
    logged_in(&site).await;
}

/// RFC 1939 §7: a unique-id is constant over all sessions, and no other message ever has it.
#[tokio::test]
async fn unique_ids_last_and_are_not_reused() {
    let site = Site::new();
    site.deliver(&[ONE, TWO]).await;
    let mut client = logged_in(&site).await;
    client.send(b"UIDL\r\n").await;
    let first = client.replies();
    let lines: Vec<&str> = first.lines().collect();
    let [_, one, two, "."] = lines.as_slice() else { panic!("{first}") };
    assert!(one.starts_with("1 ") && one.ends_with(".1") && two.ends_with(".2"), "{first}");
    client
        .play(&format!("C: UIDL 2\nS: +OK {two}\nC: UIDL 3\nS: -ERR no such message\nC: DELE 1\nS: +OK marked"))
        .await;
    client.play("C: UIDL 1\nS: -ERR no such message\nC: QUIT\nS: +OK bye").await;
    drop(client);
    site.deliver(&[ONE]).await;
    let validity = two.trim_start_matches("2 ").trim_end_matches(".2");
    let mut client = logged_in(&site).await;
    client.play(&format!("C: UIDL\nS: +OK\nS: 1 {validity}.2\nS: 2 {validity}.3\nS: .")).await;
}

#[tokio::test]
async fn a_new_account_has_an_empty_maildrop() {
    let site = Site::new();
    let mut client = logged_in(&site).await;
    client
        .play("C: STAT\nS: +OK 0 0\nC: LIST\nS: +OK 0 messages (0 octets)\nS: .\nC: UIDL\nS: +OK\nS: .\nC: QUIT\nS: +OK bye")
        .await;
}

#[tokio::test]
async fn login_by_user_and_pass() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .play(
            "S: +OK mx.example.edu POP3
            # RFC 1939 §3: commands of another state are refused.
            C: STAT
            S: -ERR log in first
            C: RETR 1
            S: -ERR log in first
            C: PASS let me in
            S: -ERR USER comes first
            # RFC 1939 §13: an unknown name looks like a wrong password. RFC 3206 §5: [AUTH].
            C: USER nobody
            S: +OK
            C: PASS x
            S: -ERR [AUTH] wrong name or password
            # After a refusal, USER again.
            C: PASS let me in
            S: -ERR USER comes first
            C: USER zoe
            S: +OK
            C: PASS
            S: -ERR wrong arguments
            C: PASS let me in
            S: +OK logged in
            C: USER zoe
            S: -ERR not allowed after login
            C: STLS
            S: -ERR not allowed after login
            C: AUTH PLAIN
            S: -ERR not allowed after login",
        )
        .await;
    assert_eq!(client.session.account().as_deref(), Some("zoe"));
}

#[tokio::test]
async fn a_login_is_recorded_for_the_help_desk() {
    let site = Site::new();
    site.deliver(&[ONE]).await;
    logged_in(&site).await;
    assert_eq!(site.store.snapshot(ZOE, None).await.unwrap().last_logins[0].0, "pop3");
}

/// RFC 5034 §4, RFC 4616.
#[tokio::test]
async fn login_by_auth_plain() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .play(
            "S: +OK...
            C: AUTH
            S: +OK
            S: PLAIN
            S: .
            C: AUTH CRAM-MD5
            S: -ERR unknown mechanism
            C: AUTH PLAIN
            S: +...
            C: *
            S: -ERR cancelled
            C: AUTH PLAIN
            S: +...
            C: STAT
            S: -ERR not a PLAIN message
            C: AUTH PLAIN !
            S: -ERR not a PLAIN message
            # NUL zoe NUL let me out
            C: AUTH PLAIN AHpvZQBsZXQgbWUgb3V0
            S: -ERR [AUTH] wrong name or password
            # ana NUL zoe NUL let me in: no user acts as another
            C: AUTH PLAIN YW5hAHpvZQBsZXQgbWUgaW4=
            S: -ERR [AUTH] wrong name or password
            # NUL zoe NUL let me in
            C: AUTH PLAIN AHpvZQBsZXQgbWUgaW4=
            S: +OK logged in
            C: QUIT
            S: +OK bye",
        )
        .await;
    drop(client);
    let mut client = site.connect().await;
    client.play("S: +OK...\nC: AUTH PLAIN\nS: +...\nC: AHpvZQBsZXQgbWUgaW4=\nS: +OK logged in").await;
}

/// RFC 3206 §5: [AUTH]. Only whoever knows the password learns that it must be changed.
#[tokio::test]
async fn a_password_that_must_be_changed_is_refused_with_the_page_that_changes_it() {
    let since = Some(jiff::Timestamp::UNIX_EPOCH);
    let password_state = provost_view::PasswordState { must_change: true, since };
    let zoe = Person { password_state, ..person(1, "zoe", PersonState::Active) };
    let script = "S: +OK...
            C: USER zoe
            S: +OK
            C: PASS x
            S: -ERR [AUTH] wrong name or password
            C: USER zoe
            S: +OK
            C: PASS let me in
            S: -ERR [AUTH] The password must be changed first at the web page for passwords of your institution";
    Site::with(View::fixed(vec![zoe])).connect().await.play(script).await;
}

/// Password guesses on one connection are limited.
#[tokio::test]
async fn the_third_refused_login_closes() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .play(
            "S: +OK...
            C: USER zoe
            S: +OK
            C: PASS 1
            S: -ERR [AUTH]...
            C: USER zoe
            S: +OK
            C: PASS 2
            S: -ERR [AUTH]...
            C: USER zoe
            S: +OK
            C: PASS 3
            S: -ERR [AUTH]...
            S! closed",
        )
        .await;
}

#[tokio::test]
async fn a_suspended_person_cannot_log_in() {
    let site = Site::new();
    let mut client = site.connect().await;
    client.play("S: +OK...\nC: USER ana\nS: +OK\nC: PASS let me in\nS: -ERR [AUTH] wrong name or password").await;
}

/// RFC 2595 §2.3, §4; RFC 2449 §5: CAPA depends on the connection and the state.
#[tokio::test]
async fn capabilities_and_tls() {
    let site = Site::new();
    let always = "S: +OK\nS: TOP\nS: UIDL\nS: RESP-CODES\nS: AUTH-RESP-CODE\nS: PIPELINING\nS: EXPIRE NEVER\n";
    let login = "S: USER\nS: SASL PLAIN\n";
    let end = "S: IMPLEMENTATION Provost\nS: .\n";
    let mut client = site.connect_from("192.0.2.7:40000", Transport::Plain).await;
    client
        .play(&format!(
            "S: +OK...
            C: CAPA\n{always}S: STLS\n{end}
            C: USER zoe
            S: -ERR [SYS/PERM] login needs TLS: use STLS
            C: PASS let me in
            S: -ERR [SYS/PERM] login needs TLS: use STLS
            C: AUTH PLAIN AHpvZQBsZXQgbWUgaW4=
            S: -ERR [SYS/PERM] login needs TLS: use STLS
            C: AUTH
            S: +OK
            S: .
            C: STLS
            S: +OK
            S! tls"
        ))
        .await;
    client.session.on_tls();
    client
        .play(&format!(
            "C: CAPA\n{always}{login}{end}
            C: STLS
            S: -ERR TLS is not offered, or already active
            C: USER zoe
            S: +OK
            C: PASS let me in
            S: +OK logged in
            C: CAPA\n{always}{login}{end}"
        ))
        .await;
    let mut client = site.connect().await;
    client.play(&format!("S: +OK...\nC: CAPA\n{always}{login}S: STLS\n{end}")).await;
}

/// An attacker can have sent the USER command before TLS: the server forgets it at STLS.
#[tokio::test]
async fn stls_discards_the_user() {
    let site = Site::new();
    let mut client = site.connect().await;
    client.play("S: +OK...\nC: USER zoe\nS: +OK\nC: STLS\nS: +OK\nS! tls").await;
    client.session.on_tls();
    client.play("C: PASS let me in\nS: -ERR USER comes first").await;
}

/// RFC 1939 §6: QUIT releases the maildrop before it replies, while the connection is still open.
#[tokio::test]
async fn quit_frees_the_maildrop_at_once() {
    let site = Site::new();
    let mut first = logged_in(&site).await;
    first.play("C: QUIT\nS: +OK bye").await;
    let mut second = site.connect().await;
    second.play("S: +OK...\nC: USER zoe\nS: +OK\nC: PASS let me in\nS: +OK logged in").await;
    drop(first);
}

/// The deletions are done when QUIT replies: the next login does not see the deleted messages, even while the old
/// session still exists.
#[tokio::test]
async fn the_next_login_sees_the_deletions() {
    let site = Site::new();
    for turn in 0..100 {
        site.deliver(&[ONE, TWO]).await;
        let mut first = logged_in(&site).await;
        first.play("C: STAT\nS: +OK 2 69\nC: DELE 1\nS: +OK marked\nC: DELE 2\nS: +OK marked").await;
        if turn % 2 == 0 {
            first.send(b"QUIT\r\n").await;
        } else {
            // A lost connection deletes nothing (RFC 1939 §6), and also frees the maildrop.
            drop(first);
            first = logged_in(&site).await;
            first
                .play("C: STAT\nS: +OK 2 69\nC: DELE 1\nS: +OK marked\nC: DELE 2\nS: +OK marked\nC: QUIT\nS: +OK bye")
                .await;
        }
        let mut second = logged_in(&site).await;
        second.play("C: STAT\nS: +OK 0 0").await;
        drop((first, second));
    }
}

/// A login waits up to a second for the end of the session that holds the maildrop.
#[tokio::test(start_paused = true)]
async fn a_login_waits_for_the_end_of_another_session() {
    let site = Site::new();
    let first = logged_in(&site).await;
    let end = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        drop(first);
    };
    tokio::join!(logged_in(&site), end);
}

/// RFC 1939 §4: one session at a time; RFC 2449 §8.1.2: [IN-USE].
#[tokio::test(start_paused = true)]
async fn one_session_at_a_time() {
    let site = Site::new();
    let first = logged_in(&site).await;
    let mut second = site.connect().await;
    let refused = "C: USER zoe\nS: +OK\nC: PASS let me in\nS: -ERR [IN-USE] another session has this maildrop\n";
    second.play(&format!("S: +OK...\n{refused}")).await;
    drop(first);
    second.play("C: USER zoe\nS: +OK\nC: PASS let me in\nS: +OK logged in\nC: QUIT\nS: +OK bye").await;
    drop(second);
    logged_in(&site).await;
}

/// RFC 2449 §6.6: commands that arrive together are answered in order.
#[tokio::test]
async fn pipelining() {
    let site = Site::new();
    site.deliver(&[ONE]).await;
    let mut client = site.connect().await;
    client.send(b"USER zoe\r\nPASS let me in\r\nSTAT\r\nDELE 1\r\nQUIT\r\nNOOP\r\n").await;
    assert_eq!(
        client.replies(),
        "+OK mx.example.edu POP3\r\n+OK\r\n+OK logged in\r\n+OK 1 39\r\n+OK marked\r\n+OK bye\r\n"
    );
    assert_eq!(client.last, Step::Close);
    assert!(site.uids().await.is_empty());
}

#[tokio::test]
async fn lines_that_are_not_commands() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .play(
            "S: +OK...
            C: XTND XMIT
            S: -ERR unknown command
            C: APOP zoe c4c9334bac560ecc979e58001b3e22fb
            S: -ERR unknown command
            C:
            S: -ERR unknown command
            C: CAPA x
            S: -ERR wrong arguments",
        )
        .await;
    client.send(b"USER \xff\r\n").await;
    assert_eq!(client.replies(), "-ERR the line is not UTF-8\r\n");
    client.send(&b"X\r\n".repeat(15)).await;
    assert_eq!(client.last, Step::Close, "still open after twenty malformed lines");
}

/// RFC 2449 §4: 255 octets; before login as many as the longest password needs.
#[tokio::test]
async fn a_line_that_is_too_long_closes() {
    let site = Site::new();
    let (fresh, waiting) = (site.connect().await, site.connect().await);
    let (mut waiting, transaction) = (waiting, logged_in(&site).await);
    waiting.play("S: +OK...\nC: AUTH PLAIN\nS: +...").await;
    for (mut client, limit) in
        [(fresh, LOGIN_LINE_OCTETS_MAX), (waiting, LOGIN_LINE_OCTETS_MAX), (transaction, LINE_OCTETS_MAX)]
    {
        client.replies();
        client.send(&vec![b'x'; limit - 1]).await;
        assert_eq!((client.last, client.replies().as_str()), (Step::NeedMore, ""));
        client.send(b"x").await;
        assert_eq!((client.last, client.replies().as_str()), (Step::Close, "-ERR the line is too long\r\n"));
    }
}

/// The password limit applies to the prepared form that is hashed, in every encoding and command.
#[tokio::test]
async fn the_longest_password_logs_in() {
    let (ascii, composed, apart) = ("x".repeat(512), "é".repeat(256), "e\u{301}".repeat(256));
    for (set, typed, is_right) in [
        (&ascii, ascii.clone(), true),
        (&ascii, format!("{ascii}x"), false),
        (&"y".repeat(249), "y".repeat(249), true),
        (&composed, composed.clone(), true),
        (&composed, apart.clone(), true),
        (&composed, format!("{apart}x"), false),
        (&composed, "\u{3000}".repeat(513), false),
    ] {
        let mut zoe = person(1, "zoe", PersonState::Active);
        zoe.passwords = vec![format!("{{CLEARTEXT}}{set}").into()];
        let site = Site::with(View::fixed(vec![zoe]));
        let message = STANDARD.encode(format!("\0zoe\0{typed}"));
        for command in [format!("PASS {typed}"), format!("AUTH PLAIN {message}"), format!("AUTH PLAIN\r\n{message}")] {
            let mut client = site.connect().await;
            client.send(format!("USER zoe\r\n{command}\r\n").as_bytes()).await;
            let replies = client.replies();
            assert_eq!(replies.ends_with("+OK logged in\r\n"), is_right, "{} octets: {replies}", typed.len());
            assert_ne!(client.last, Step::Close, "{replies}");
        }
    }
}

/// RFC 3206 §4: [SYS/TEMP]. QUIT replies +OK only for completed deletions.
#[tokio::test]
async fn failures_of_the_store() {
    let site = Site::new();
    site.deliver(&[ONE]).await;
    site.store.down.store(1, Ordering::SeqCst);
    let mut client = site.connect().await;
    client.play("S: +OK...\nC: USER zoe\nS: +OK\nC: PASS let me in\nS: -ERR [SYS/TEMP] the maildrop...").await;
    site.store.down.store(0, Ordering::SeqCst);
    client.play("# The lease was given back.\nC: USER zoe\nS: +OK\nC: PASS let me in\nS: +OK logged in").await;

    site.store.bodies_fail.store(1, Ordering::SeqCst);
    client.play("C: RETR 1\nS: -ERR [SYS/TEMP] the message cannot be read now").await;
    site.store.bodies_fail.store(0, Ordering::SeqCst);

    site.store.unavailable.store(1, Ordering::SeqCst);
    client.play("C: DELE 1\nS: +OK marked\nC: QUIT\nS: -ERR [SYS/TEMP] some deleted...\nS! closed").await;
    assert_eq!(site.uids().await, [1]);
    drop(client);

    let mut client = logged_in(&site).await;
    site.store.unknown.store(2, Ordering::SeqCst);
    client.play("C: DELE 1\nS: +OK marked\nC: QUIT\nS: +OK bye\nS! closed").await;
    assert!(site.uids().await.is_empty(), "the message is still there after QUIT");
    drop(client);

    site.deliver(&[ONE]).await;
    let mut client = logged_in(&site).await;
    site.store.unknown.store(3, Ordering::SeqCst);
    client.play("C: DELE 1\nS: +OK marked\nC: QUIT\nS: -ERR [SYS/TEMP] some deleted...\nS! closed").await;
}

/// A large message is sent in pieces. When one cannot be read, the connection ends without the final dot, so that the
/// client knows that the message is cut.
#[tokio::test]
async fn a_large_message_is_sent_in_pieces() {
    let site = Site::new();
    let large = format!("Subject: large\r\n\r\n{}", ".0123456789\r\n".repeat(60_000));
    site.deliver(&[&large]).await;
    let mut client = logged_in(&site).await;
    client.send(b"RETR 1\r\n").await;
    let replies = client.replies();
    let expected = large.replace("\r\n.", "\r\n..");
    assert!(replies == format!("+OK {} octets\r\n{expected}.\r\n", large.len()), "{} octets", replies.len());

    client.send(b"TOP 1 1\r\n").await;
    assert_eq!(client.replies(), format!("+OK {} octets\r\nSubject: large\r\n\r\n..0123456789\r\n.\r\n", large.len()));

    site.store.bodies_fail.store(600_000, Ordering::SeqCst);
    client.send(b"RETR 1\r\n").await;
    assert_eq!(client.last, Step::Close);
    assert!(!client.replies().ends_with("\r\n.\r\n"));
}

/// The session ends when its account is suspended or removed, or its password changes.
#[tokio::test]
async fn a_revoked_session_ends() {
    let zoe = Arc::new(person(1, "zoe", PersonState::Active));
    let other_password = Person { passwords: vec!["{SSHA}other".into()], ..(*zoe).clone() };
    for (people, goes_on) in [
        (vec![person(1, "zoe", PersonState::Active)], true),
        (vec![person(1, "zoe", PersonState::Suspended)], false),
        (vec![other_password], false),
        (Vec::new(), false),
    ] {
        let (site, view) = (Site::new(), View::fixed(people));
        let mut transaction = TransactionState::open(&*site.store, &view, &zoe).await.unwrap();
        let end = transaction.may_go_on(&view, &*site.store, Instant::now()).await;
        assert_eq!(end.is_ok(), goes_on);
        assert!(end.is_ok() || end.unwrap_err().starts_with("-ERR [SYS/PERM]"));
    }
}

/// Who may only read marks nothing, and what was marked before stays.
#[tokio::test]
async fn who_may_only_read_removes_nothing() {
    let site = Site::new();
    site.deliver(&[ONE, TWO]).await;
    let before = Arc::new(person(1, "zoe", PersonState::Active));
    let forbidden = provost_view::Forbidden::CHANGE;
    let access = provost_view::Access { forbidden, ..provost_view::Access::default() };
    let after = View::fixed(vec![Person { access, ..(*before).clone() }]);
    let mut transaction = TransactionState::open(&*site.store, &after, &before).await.unwrap();
    for (command, reply) in
        [(Command::Dele(1), "+OK marked"), (Command::Dele(2), "-ERR [SYS/PERM] "), (Command::Quit, "-ERR [SYS/PERM] ")]
    {
        let (mut octets, mut sink) = (BytesMut::new(), Vec::new());
        let mut out = OutputBuffer::new(&mut octets, &mut sink);
        transaction.handle(command, &site.config, &mut out).await.unwrap();
        assert!(octets.starts_with(reply.as_bytes()), "{octets:?}");
        // From the second command on, the change of the directory is known.
        assert_eq!(transaction.may_go_on(&after, &*site.store, Instant::now()).await, Ok(()));
    }
    assert_eq!(site.uids().await.len(), 2, "a message is gone");
}

/// A long session keeps its maildrop; a session that lost the maildrop must end.
#[tokio::test]
async fn the_lease_is_renewed() {
    let site = Site::new();
    let zoe = Arc::new(person(1, "zoe", PersonState::Active));
    let mut transaction = TransactionState::open(&*site.store, &site.config.view, &zoe).await.unwrap();
    let now = Instant::now() + Duration::from_secs(11 * 60);
    assert_eq!(transaction.may_go_on(&site.config.view, &*site.store, now).await, Ok(()));
    assert!(
        TransactionState::open(&*site.store, &site.config.view, &zoe).await.is_err(),
        "two sessions hold the maildrop"
    );

    transaction.lease = None;
    let _other = TransactionState::open(&*site.store, &site.config.view, &zoe).await.unwrap();
    let now = now + Duration::from_secs(11 * 60);
    let reply = transaction.may_go_on(&site.config.view, &*site.store, now).await.unwrap_err();
    assert!(reply.starts_with("-ERR [SYS/TEMP]"), "{reply}");
}

/// A session that has lost its lease deletes nothing: another session may hold the maildrop.
#[tokio::test]
async fn quit_without_the_lease_deletes_nothing() {
    let site = Site::new();
    site.deliver(&[ONE, TWO]).await;
    let zoe = Arc::new(person(1, "zoe", PersonState::Active));
    let mut transaction = TransactionState::open(&*site.store, &site.config.view, &zoe).await.unwrap();
    // A lease from another store, of the same name: it is not in force in this store.
    let name = transaction.lease.as_ref().unwrap().name().to_owned();
    transaction.lease = MemoryStore::default().lease(&name, Duration::from_secs(60)).await.unwrap();
    let _next = TransactionState::open(&*site.store, &site.config.view, &zoe).await.unwrap();

    let (mut octets, mut rest) = (BytesMut::new(), Vec::new());
    let mut out = OutputBuffer::new(&mut octets, &mut rest);
    transaction.handle(Command::Dele(1), &site.config, &mut out).await.unwrap();
    transaction.handle(Command::Quit, &site.config, &mut out).await.unwrap();
    assert_eq!(octets, "+OK marked\r\n-ERR [SYS/TEMP] some deleted messages are not removed\r\n");
    assert_eq!(site.uids().await.len(), 2);

    transaction.lease = MemoryStore::default().lease(&name, Duration::from_secs(60)).await.unwrap();
    let later = Instant::now() + Duration::from_secs(11 * 60);
    let reply = transaction.may_go_on(&site.config.view, &*site.store, later).await.unwrap_err();
    assert!(reply.starts_with("-ERR [SYS/TEMP]"), "{reply}");
}

#[tokio::test]
async fn goodbyes_and_idle_limits() {
    let site = Site::new();
    let mut client = logged_in(&site).await;
    for reason in [Goodbye::Timeout, Goodbye::Shutdown, Goodbye::TooMuch, Goodbye::Internal] {
        let reply = String::from_utf8(client.session.goodbye(reason)).unwrap();
        assert!(reply.starts_with("-ERR ") && reply.ends_with("\r\n"), "{reply}");
    }
    assert_eq!(client.session.idle_limit(), Duration::from_secs(600));
    assert!(site.connect().await.session.idle_limit() < Duration::from_secs(600));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Random input in random pieces: no panic, and the output ends with a whole line.
    #[test]
    fn random_input_gets_whole_lines(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "USER", "PASS", "zoe", "let me in", "AUTH PLAIN", "AHpvZQBsZXQgbWUgaW4=", "STAT", "LIST", "RETR", "TOP", "DELE",
            "UIDL", "RSET", "NOOP", "CAPA", "STLS", "QUIT", " ", " 1", " 2", "\r\n", "\r\n", "\r\n", "\n", "\0", "é", "*",
        ]), 0..40), logged in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            site.deliver(&[ONE, TWO]).await;
            let mut client = if logged { logged_in(&site).await } else { site.connect().await };
            for word in &words {
                client.send(word.as_bytes()).await;
                if client.last == Step::Close || client.last == Step::StartTls {
                    break;
                }
            }
            let replies = client.replies();
            assert!(replies.is_empty() || replies.ends_with("\r\n"), "{replies:?}");
        });
    }
}
