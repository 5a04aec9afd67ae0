//! RFC 5230 and RFC 3834: which messages get a reply, and with what content.

// Helper functions of tests may panic: clippy exempts only `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

use jiff::Timestamp;
use provost_message::{Address, Arrival, Envelope, Path};
use provost_sieve::{Action, ScriptContext, VacationReply, run};

const SCRIPT: &str = "require \"vacation\"; vacation \"Absente.\";";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn reply_to(script: &str, reverse_path: Option<&str>, message: &str) -> Option<VacationReply> {
    let envelope = Envelope::new(reverse_path.map(|path| Path::parse(path).unwrap()), []);
    let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), envelope, message.as_bytes());
    let context = ScriptContext {
        arrival: &arrival,
        forward_path: &Path::parse("zoe@example.edu").unwrap(),
        recipient: &address("zoe@example.edu"),
        addresses: &[address("zoe.tremblay@example.edu"), address("zoe@example.edu")],
        now: Timestamp::UNIX_EPOCH,
    };
    let outcome = run(script, message.as_bytes(), &context).unwrap();
    assert_eq!(outcome.actions, [Action::Keep], "RFC 5230 §4.7: vacation does not cancel the implicit keep");
    outcome.vacation
}

/// Whether a message gets a reply; an empty `reverse_path` is `<>`.
fn is_answered(reverse_path: &str, header: &str) -> bool {
    let reverse_path = Some(reverse_path).filter(|path| !path.is_empty());
    reply_to(SCRIPT, reverse_path, &format!("{header}\r\n\r\nx\r\n")).is_some()
}

/// RFC 5230 §4.5: only a message whose header names the recipient gets a reply.
#[test]
fn the_header_must_name_the_recipient() {
    for (header, expected) in [
        ("To: zoe@example.edu", true),
        ("To: Zoé <ZOE@Example.EDU>", true),
        ("To: zoe.tremblay@example.edu", true),
        ("To: other@x.test\r\nCc: a@x.test,\r\n zoe@example.edu", true),
        ("Bcc: zoe@example.edu", true),
        ("Resent-To: zoe@example.edu", true),
        ("Resent-Cc: zoe@example.edu", true),
        ("Resent-Bcc: zoe@example.edu", true),
        ("To: group: zoe@example.edu;", true),
        ("To: everybody@example.edu", false),
        ("To: undisclosed-recipients:;", false),
        ("To: \"zoe@example.edu\" <other@x.test>", false),
        ("To: other@x.test (zoe@example.edu)", false),
        ("Subject: none", false),
        ("Reply-To: zoe@example.edu", false),
    ] {
        assert_eq!(is_answered("ana@one.test", header), expected, "{header:?}");
    }
    let with_addresses = "require \"vacation\"; vacation :addresses [\"dean@example.edu\"] \"x\";";
    let message = "To: Dean@example.edu\r\n\r\n";
    assert!(reply_to(with_addresses, Some("ana@one.test"), message).is_some(), ":addresses is ignored");
    assert!(reply_to(SCRIPT, Some("ana@one.test"), message).is_none(), "answered for another's address");
}

/// RFC 5230 §4.6, RFC 3834 §2: which reverse-paths get a reply.
#[test]
fn reverse_paths() {
    for (reverse_path, expected) in [
        ("ana@one.test", true),
        ("prvs=1234abcdef=ana@one.test", true),
        ("requester@one.test", true),
        ("homeowner@one.test", true),
        ("", false),
        ("MAILER-DAEMON@one.test", false),
        ("listserv@one.test", false),
        ("majordomo@one.test", false),
        ("Postmaster@one.test", false),
        ("owner-cours@one.test", false),
        ("cours-request@one.test", false),
        ("cours-owner@one.test", false),
        ("cours-bounces@one.test", false),
        ("bounces+7=zoe@one.test", false),
        ("bounce-77@one.test", false),
        ("NoReply@one.test", false),
        ("no-reply@one.test", false),
        ("no-reply+x@one.test", false),
        ("do-not-reply@one.test", false),
        ("service-noreply@one.test", false),
        // Addresses of the person who replies.
        ("Zoe@Example.edu", false),
        ("zoe.tremblay@example.edu", false),
    ] {
        assert_eq!(is_answered(reverse_path, "To: zoe@example.edu"), expected, "{reverse_path:?}");
    }
}

/// RFC 3834 §2, RFC 5230 §4.6: which header fields prevent a reply.
#[test]
fn header_fields() {
    for (field, expected) in [
        ("X-Nothing: 1", true),
        ("Auto-Submitted: no", true),
        ("Auto-Submitted: No (a person)", true),
        ("Auto-Submitted: auto-replied", false),
        ("Auto-Submitted: auto-generated; owner-email=\"a@b\"", false),
        ("Auto-Submitted: auto-notified", false),
        ("Auto-Submitted:", false),
        ("Precedence: normal", true),
        ("Precedence: first-class", true),
        ("Precedence: bulk", false),
        ("precedence: LIST", false),
        ("Precedence: junk", false),
        ("List-Id: <cours.example.edu>", false),
        ("List-Help: <mailto:x@y>", false),
        ("List-Subscribe: <mailto:x@y>", false),
        ("List-Unsubscribe: <mailto:x@y>", false),
        ("List-Unsubscribe-Post: List-Unsubscribe=One-Click", false),
        ("List-Post: NO", false),
        ("List-Owner: <mailto:x@y>", false),
        ("List-Archive: <https://x>", false),
        ("Mailing-List: x", false),
        ("X-Mailing-List: x", false),
        ("X-Loop: x", false),
        ("X-Auto-Response-Suppress: DR, RN, NRN", true),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", false),
        ("X-Auto-Response-Suppress: All", false),
        ("X-Auto-Response-Suppress: AutoReply", false),
        ("Return-Path: <ana@one.test>", true),
        ("Return-Path: <>", false),
        ("Return-Path: <zoe@example.edu>", false),
        ("Sender: ana@one.test", true),
        ("Sender: Zoe <zoe@example.edu>", false),
        ("Content-Type: text/plain", true),
        ("Content-Type: multipart/report; report-type=delivery-status", false),
    ] {
        let header = format!("To: zoe@example.edu\r\n{field}");
        assert_eq!(is_answered("ana@one.test", &header), expected, "{field:?}");
    }
}

/// RFC 5230 §4, §5: the content of the reply.
#[test]
fn the_reply() {
    let message = "To: zoe@example.edu\r\nSubject: =?utf-8?q?R=C3=A9union?=\r\nMessage-ID: <1@one.test>\r\n\
        References: <0@one.test>\r\n\r\n";
    let reply = reply_to(SCRIPT, Some("Ana@one.test"), message).unwrap();
    assert_eq!(reply.to.to_string(), "Ana@one.test");
    assert_eq!(reply.from, address("zoe@example.edu"));
    assert_eq!((reply.days, reply.subject.as_str(), reply.text.as_str()), (7, "Auto: Réunion", "Absente."));
    assert_eq!(reply.in_reply_to.as_deref(), Some("<1@one.test>"));
    assert_eq!(reply.references.as_deref(), Some("<0@one.test>"));

    let bare = reply_to(SCRIPT, Some("ana@one.test"), "To: zoe@example.edu\r\nIn-Reply-To: <9@x>\r\n\r\n").unwrap();
    assert_eq!(
        (bare.subject.as_str(), bare.in_reply_to, bare.references.as_deref()),
        ("Automated reply", None, Some("<9@x>"))
    );
    let several = "To: zoe@example.edu\r\nIn-Reply-To: <8@x> <9@x>\r\n\r\n";
    assert_eq!(reply_to(SCRIPT, Some("ana@one.test"), several).unwrap().references, None, "RFC 5322 §3.6.4");
}

/// RFC 5230 §4.1 to §4.4: every tag except `:addresses`.
#[test]
fn tags() {
    let with = |tags: &str| {
        let script = format!("require \"vacation\"; vacation {tags} \"Absente.\";");
        reply_to(&script, Some("ana@one.test"), "To: zoe@example.edu\r\nSubject: s\r\n\r\n").unwrap()
    };
    for (tags, days) in [(":days 3", 3), (":days 0", 1), (":days 4000000", 365)] {
        assert_eq!(with(tags).days, days, "{tags}");
    }
    assert_eq!(with(":subject \"Été\r\nBcc: x\"").subject, "Été Bcc: x");
    assert_eq!(with(":from \"Zoe <zoe.tremblay@example.edu>\"").from, address("zoe.tremblay@example.edu"));
    assert_eq!(
        with(":from \"rector@example.edu\"").from,
        address("zoe@example.edu"),
        "another's address is the sender"
    );
    assert_eq!(with(":handle \"été\"").handle, "été");
    let mime = "require \"vacation\"; vacation :mime text:\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=89t=C3=A9\r\n.\r\n;";
    let reply = reply_to(mime, Some("ana@one.test"), "To: zoe@example.edu\r\n\r\n").unwrap();
    assert_eq!(reply.text.trim_end(), "Été");
}

/// RFC 5230 §4.2: without `:handle`, the handle is made of `:subject`, `:from`, `:mime` and the reason.
#[test]
fn handles() {
    let handle = |tags: &str| {
        let script = format!("require \"vacation\"; vacation {tags};");
        reply_to(&script, Some("ana@one.test"), "To: zoe@example.edu\r\n\r\n").unwrap().handle
    };
    assert_eq!(handle("\"a\""), handle(":days 3 \"a\""));
    assert_ne!(handle("\"a\""), handle("\"b\""));
    assert_ne!(handle("\"a\""), handle(":subject \"x\" \"a\""));
    assert_ne!(handle(":subject \"xa\" \"b\""), handle(":subject \"x\" \"ab\""));
    assert_ne!(handle("\"a\""), handle(":from \"zoe@example.edu\" \"a\""));
    assert_ne!(handle("\"\n\na\""), handle(":mime \"\n\na\""));
}
