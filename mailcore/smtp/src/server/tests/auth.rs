//! AUTH, and what it allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provost_credential::Scheme;
use provost_net::{Session, Step, Transport};
use provost_view::{Person, Secret, View};

use super::site::{TestConversation, person, site, site_with};
use crate::server::Service;

fn plain(authorization: &str, name: &str, password: &str) -> String {
    STANDARD.encode(format!("{authorization}\0{name}\0{password}"))
}

async fn submission() -> TestConversation {
    let mut conversation = site().connect(Service::Submission);
    let replies = conversation.send(b"EHLO x\r\n").await;
    assert!(replies.contains("250-AUTH PLAIN LOGIN\r\n"), "{replies}");
    conversation
}

#[tokio::test]
async fn logs_in() {
    let (name, password) = (STANDARD.encode("zoe@example.edu"), STANDARD.encode("secret"));
    for script in [
        format!("C: AUTH PLAIN {}\nS: 235 2.7.0", plain("", "zoe@example.edu", "secret")),
        format!("C: AUTH plain\nS: 334\nC: {}\nS: 235 2.7.0", plain("", "zoe", "secret")),
        format!("C: AUTH PLAIN {}\nS: 235 2.7.0", plain("zoe@example.edu", "zoe", "secret")),
        format!("C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {name}\nS: 334 UGFzc3dvcmQ6\nC: {password}\nS: 235 2.7.0"),
        format!("C: AUTH LOGIN {name}\nS: 334 UGFzc3dvcmQ6\nC: {password}\nS: 235 2.7.0"),
    ] {
        let mut conversation = submission().await;
        conversation.run(&script).await;
        assert_eq!(conversation.session.account().as_deref(), Some("zoe"));
        conversation
            .run(&format!("# RFC 4954 §4: no second AUTH.\nC: AUTH PLAIN {}\nS: 503 5.5.1", plain("", "zoe", "secret")))
            .await;
        assert!(!conversation.send(b"EHLO x\r\n").await.contains("AUTH"));
    }
}

#[tokio::test]
async fn refuses_logins() {
    let wrong = STANDARD.encode([0xff, 0xfe]);
    for script in [
        format!("C: AUTH PLAIN {}\nS: 535 5.7.8", plain("", "zoe", "wrong")),
        format!("C: AUTH PLAIN {}\nS: 535 5.7.8", plain("", "nobody", "secret")),
        format!("# RFC 4616 §2: no password is empty.\nC: AUTH PLAIN {}\nS: 501 5.5.2", plain("", "ann", "")),
        "C: AUTH LOGIN em9l\nS: 334\nC:\nS: 501 5.5.2".into(),
        format!("# RFC 4616 §2: zoe is not ann.\nC: AUTH PLAIN {}\nS: 535 5.7.8", plain("ann", "zoe", "secret")),
        "C: AUTH PLAIN\nS: 334\nC: *\nS: 501 5.7.0".into(),
        "C: AUTH PLAIN\nS: 334\nC: !!!\nS: 501 5.5.2".into(),
        "C: AUTH PLAIN eA==\nS: 501 5.5.2".into(),
        "C: AUTH PLAIN =\nS: 501 5.5.2".into(),
        format!("C: AUTH LOGIN {wrong}\nS: 501 5.5.2"),
        format!("C: AUTH LOGIN em9l\nS: 334\nC: {wrong}\nS: 501 5.5.2"),
        "C: AUTH CRAM-MD5\nS: 504 5.5.4".into(),
        "C: AUTH\nS: 501 5.5.4".into(),
    ] {
        let mut conversation = submission().await;
        conversation.run(&script).await;
        assert_eq!(conversation.session.account(), None);
        conversation.run("C: MAIL FROM:<zoe@example.edu>\nS: 530 5.7.0").await;
    }
    site().connect(Service::Submission).run(&format!("C: AUTH PLAIN {}\nS: 503", plain("", "zoe", "secret"))).await;
}

/// The bound of a password applies to its composed form, whichever form is sent, with every mechanism.
#[tokio::test]
async fn the_longest_password_logs_in() {
    let (ascii, composed, decomposed) = ("x".repeat(512), "é".repeat(256), "e\u{301}".repeat(256));
    for (password, typed, expect) in [
        (&ascii, ascii.clone(), "235"),
        (&ascii, format!("{ascii}x"), "5"),
        (&composed, composed.clone(), "235"),
        (&composed, decomposed.clone(), "235"),
        (&composed, format!("{decomposed}x"), "5"),
    ] {
        let password = provost_credential::hash(&Secret::new(password.as_str()), Scheme::Ssha);
        let zoe = Person { passwords: vec![password.into()], ..person("zoe") };
        let site = site_with(View::fixed(vec![zoe]));
        let (message, alone) = (plain("", "zoe", &typed), STANDARD.encode(&typed));
        for script in [
            format!("C: AUTH PLAIN {message}\nS: {expect}"),
            format!("C: AUTH PLAIN\nS: 334\nC: {message}\nS: {expect}"),
            format!("C: AUTH LOGIN em9l\nS: 334\nC: {alone}\nS: {expect}"),
        ] {
            let mut conversation = site.connect(Service::Submission);
            conversation.run("C: HELO x\nS: 250").await;
            conversation.run(&script).await;
            assert_eq!(conversation.ended, None);
        }
    }
}

/// A password that somebody else has chosen, long ago.
#[tokio::test]
async fn a_password_that_must_be_changed_is_refused_with_the_page_that_changes_it() {
    let password = provost_credential::hash(&Secret::new("secret"), Scheme::Ssha);
    let since = Some(jiff::Timestamp::UNIX_EPOCH);
    let password_state = provost_view::PasswordState { must_change: true, since };
    let zoe = Person { passwords: vec![password.into()], password_state, ..person("zoe") };
    let mut settings = provost_view::Fallback::default();
    settings.add("web-url", "test", "https://accounts.example.edu/").unwrap();
    let mut conversation = site_with(View::fixed_with(vec![zoe], settings)).connect(Service::Submission);
    conversation.run("C: HELO x\nS: 250").await;
    let right = plain("", "zoe", "secret");
    let text = "The password must be changed first at https://accounts.example.edu/password";
    conversation.run(&format!("C: AUTH PLAIN {right}\nS: 535 5.7.8 {text}")).await;
    let wrong = plain("", "zoe", "wrong");
    conversation.run(&format!("C: AUTH PLAIN {wrong}\nS: 535 5.7.8 Authentication credentials invalid")).await;
}

#[tokio::test]
async fn a_password_needs_tls_or_loopback() {
    let site = site();
    let login = plain("", "zoe", "secret");
    let mut far = site.connect_from(Service::Submission, "192.0.2.1:9", Transport::Plain, true);
    far.run("C: HELO x\nS: 250").await;
    far.run(&format!("C: AUTH PLAIN {login}\nS: 538 5.7.11")).await;
    let mut safe = site.connect_from(Service::Submission, "192.0.2.1:9", Transport::Tls, true);
    safe.run("C: HELO x\nS: 250").await;
    safe.run(&format!("C: AUTH PLAIN {login}\nS: 235")).await;
}

#[tokio::test]
async fn too_many_failed_logins_close_the_session() {
    let mut conversation = submission().await;
    let command = format!("AUTH PLAIN {}\r\n", plain("", "zoe", "wrong"));
    for _ in 0..5 {
        assert!(conversation.send(command.as_bytes()).await.starts_with("535"));
    }
    assert!(conversation.send(command.as_bytes()).await.starts_with("421 4.7.0"));
    assert_eq!(conversation.ended, Some(Step::Close));
}

/// Submission requires authentication (RFC 6409 §4.3) and the sender's own address (§6.1).
#[tokio::test]
async fn people_send_as_themselves() {
    let mut conversation = submission().await;
    conversation.run("C: MAIL FROM:<zoe@example.edu>\nS: 530 5.7.0").await;
    conversation.run(&format!("C: AUTH PLAIN {}\nS: 235", plain("", "zoe", "secret"))).await;
    conversation
        .run(
            "C: MAIL FROM:<ann@example.edu>
        S: 553 5.7.1
        C: MAIL FROM:<zoe@example.com>
        S: 553 5.7.1
        C: MAIL FROM:<\"zoe x\"@example.edu>
        S: 553 5.7.1
        C: MAIL FROM:<>
        S: 250 2.1.0
        C: RSET
        S: 250
        C: MAIL FROM:<ZOE@example.edu>
        S: 250 2.1.0
        # RFC 4954 §4: no second AUTH.
        C: AUTH PLAIN
        S: 503 5.5.1
        C: RCPT TO:<someone@far.example>
        S: 250 2.1.5
        C: RCPT TO:<\"a b\"@far.example>
        S: 250 2.1.5
        C: RCPT TO:<nobody@example.edu>
        S: 550 5.1.1",
        )
        .await;
}
