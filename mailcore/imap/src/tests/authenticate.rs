//! Greeting, CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE, ID, LOGOUT.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provost_net::{Goodbye, Session, Step, Transport};
use provost_view::{PersonState, View};

use super::*;
use crate::state::State;

const LOCAL: &str = "127.0.0.1:9999";
const REMOTE: &str = "203.0.113.5:9999";

async fn before_login(script: &str) -> Client {
    let mut clients = [Site::new().client()];
    clients[0].open().await;
    play(&mut clients, &format!("S: * OK [CAPABILITY ~] mail.example.edu Provost IMAP ready\n{script}")).await;
    let [client] = clients;
    client
}

#[tokio::test]
async fn capability() {
    let script = "
        # RFC 3501 §6.1.1
        C: a CAPABILITY
        S: * CAPABILITY IMAP4rev1 LITERAL+ ~ STARTTLS AUTH=PLAIN AUTH=LOGIN
        S: a OK CAPABILITY completed
        # RFC 2971 §3.1
        C: b ID (\"name\" \"x\" \"version\" NIL)
        S: * ID (\"name\" \"Provost\" ~)
        S: b OK ID completed
        C: c ID NIL
        S: * ID ~
        S: c OK ID completed
        C: d NOOP
        S: d OK NOOP completed";
    before_login(script).await;
}

#[tokio::test]
async fn log_in() {
    for command in
        ["a LOGIN zoe secret", "a LOGIN \"zoe@example.edu\" {6+}\r\nsecret", "a AUTHENTICATE PLAIN AHpvZQBzZWNyZXQ="]
    {
        let mut client = Site::new().client();
        assert!(client.session.account().is_none() && client.session.idle_limit() <= Duration::from_secs(60));
        client.send(format!("{command}\r\n")).await;
        assert!(client.take().starts_with("a OK [CAPABILITY IMAP4rev1 "));
        assert_eq!(client.session.account().as_deref(), Some("zoe"));
        assert!(client.session.idle_limit() >= Duration::from_secs(30 * 60), "RFC 3501 §5.4");
    }
    let script = "
        # RFC 3501 §6.2.2: a challenge, then the response
        C: a AUTHENTICATE PLAIN
        S: +~
        C: AHpvZQBzZWNyZXQ=
        S: a OK ~
        C: b LOGIN zoe secret
        S: b BAD Already logged in
        C: c STARTTLS
        S: c BAD Already logged in";
    before_login(script).await;
    let script = "
        # draft-murchison-sasl-login
        C: a AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: em9l
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        S: a OK ~";
    before_login(script).await;
    let script = "
        # RFC 4959 §3: with the initial response
        C: a AUTHENTICATE LOGIN em9l
        S: + UGFzc3dvcmQ6
        C: c2VjcmV0
        S: a OK ~";
    before_login(script).await;
}

#[tokio::test]
async fn refused_logins() {
    let script = "
        C: a LOGIN zoe wrong
        S: a NO [AUTHENTICATIONFAILED] Wrong name or password
        C: b LOGIN nobody secret
        S: b NO [AUTHENTICATIONFAILED] Wrong name or password
        C: c AUTHENTICATE CRAM-MD5
        S: c NO [CANNOT] Unknown mechanism
        C: d AUTHENTICATE PLAIN
        S: +~
        C: *
        S: d BAD AUTHENTICATE cancelled
        C: e AUTHENTICATE PLAIN
        S: +~
        C: not base64
        S: e BAD Not base64
        C: f AUTHENTICATE PLAIN AHpv
        S: f BAD Not a PLAIN message
        C: f2 AUTHENTICATE PLAIN =
        S: f2 BAD Not a PLAIN message
        # RFC 4616 §2: no user may act as another
        C: g AUTHENTICATE PLAIN b3RoZXIAem9lAHNlY3JldA==
        S: g NO [AUTHENTICATIONFAILED] Wrong name or password
        C: h AUTHENTICATE LOGIN /w==
        S: h BAD Not UTF-8
        C: h2 AUTHENTICATE LOGIN em9l
        S: + UGFzc3dvcmQ6
        C: /w==
        S: h2 BAD Not UTF-8
        # RFC 3501 §3.1: other commands are not allowed before login
        C: i SELECT INBOX
        S: i BAD Log in first
        C: j NOSUCH
        S: j BAD ~
        C: k LOGIN zoe
        S: k BAD ~";
    before_login(script).await;
}

#[tokio::test]
async fn five_refused_logins_end_the_connection() {
    let mut script = String::new();
    for number in 1..5 {
        script.push_str(&format!("C: a{number} LOGIN zoe x\nS: a{number} NO [AUTHENTICATIONFAILED] ~\n"));
    }
    script.push_str("C: a5 LOGIN zoe x\nS: * BYE Too many refused logins\nS: a5 NO [AUTHENTICATIONFAILED] ~\n");
    assert_eq!(before_login(&script).await.step, Step::Close);
}

#[tokio::test]
async fn suspended_people_do_not_log_in() {
    let mut site = Site::new();
    let config = ImapConfig { view: View::fixed(vec![person(PersonState::Suspended)]), ..(*site.config).clone() };
    site.config = Arc::new(config);
    play(&mut [site.client()], "C: a LOGIN zoe secret\nS: a NO [AUTHENTICATIONFAILED] ~").await;
}

/// RFC 5530 §3: EXPIRED. Only whoever knows the password learns that it must be changed.
#[tokio::test]
async fn a_password_that_must_be_changed_is_refused_with_the_page_that_changes_it() {
    let mut site = Site::new();
    let since = Some(jiff::Timestamp::UNIX_EPOCH);
    let password_state = provost_view::PasswordState { must_change: true, since };
    let zoe = provost_view::Person { password_state, ..person(PersonState::Active) };
    site.config = Arc::new(ImapConfig { view: View::fixed(vec![zoe]), ..(*site.config).clone() });
    let script = "
        C: a LOGIN zoe wrong
        S: a NO [AUTHENTICATIONFAILED] ~
        C: b LOGIN zoe secret
        S: b NO [EXPIRED] The password must be changed first at the web page for passwords of your institution
    ";
    play(&mut [site.client()], script).await;
}

/// RFC 3501 §6.2.3, RFC 5530 §3: without TLS, no password is accepted from another machine.
#[tokio::test]
async fn privacy_required() {
    let site = Site::new();
    let mut clients = [Client::new(&site, REMOTE, Transport::Plain, true)];
    clients[0].open().await;
    let script = "
        S: * OK [CAPABILITY ~ STARTTLS LOGINDISABLED] ~
        C: a LOGIN zoe secret
        S: a NO [PRIVACYREQUIRED] Use TLS first
        C: b AUTHENTICATE PLAIN AHpvZQBzZWNyZXQ=
        S: b NO [PRIVACYREQUIRED] Use TLS first
        # RFC 3501 §6.2.1
        C: c STARTTLS
        S: c OK Begin TLS negotiation now";
    play(&mut clients, script).await;
    assert_eq!(clients[0].step, Step::StartTls);
    clients[0].session.on_tls();
    let script = "
        C: d STARTTLS
        S: d BAD ~
        C: e CAPABILITY
        S: * CAPABILITY ~ ESEARCH AUTH=PLAIN AUTH=LOGIN
        S: e OK CAPABILITY completed
        C: f LOGIN zoe secret
        S: f OK ~";
    play(&mut clients, script).await;
}

#[tokio::test]
async fn starttls_is_bad_where_it_is_not_offered() {
    let site = Site::new();
    let mut clients = [Client::new(&site, LOCAL, Transport::Plain, false)];
    play(&mut clients, "C: a STARTTLS\nS: a BAD ~").await;
}

#[tokio::test]
async fn logout() {
    let client = before_login("C: a LOGOUT\nS: * BYE Logging out\nS: a OK LOGOUT completed").await;
    assert_eq!(client.step, Step::Close);
}

/// The password limit applies to the prepared form that is hashed, in every encoding and command.
#[tokio::test]
async fn the_longest_password_logs_in() {
    let (ascii, composed, apart) = ("\\".repeat(512), "é".repeat(256), "e\u{301}".repeat(256));
    for (set, typed, is_right) in [
        (&ascii, ascii.clone(), true),
        (&ascii, format!("{ascii}x"), false),
        (&composed, composed.clone(), true),
        (&composed, apart.clone(), true),
        (&composed, format!("{apart}x"), false),
    ] {
        let mut site = Site::new();
        let zoe = Person {
            passwords: vec![hash(&Secret::new(set.as_str()), Scheme::Ssha).into()],
            ..person(PersonState::Active)
        };
        site.config = Arc::new(ImapConfig { view: View::fixed(vec![zoe]), ..(*site.config).clone() });
        let (plain, alone) = (STANDARD.encode(format!("\0zoe\0{typed}")), STANDARD.encode(&typed));
        for command in [
            format!("LOGIN zoe \"{}\"", typed.replace('\\', "\\\\")),
            format!("LOGIN zoe {{{}+}}\r\n{typed}", typed.len()),
            format!("AUTHENTICATE PLAIN {plain}"),
            format!("AUTHENTICATE PLAIN\r\n{plain}"),
            format!("AUTHENTICATE LOGIN em9l\r\n{alone}"),
        ] {
            let mut client = site.client();
            client.send(format!("a {command}\r\n")).await;
            assert_eq!(client.take().contains("a OK "), is_right, "{} octets, {command:.20}", typed.len());
        }
    }
}

#[tokio::test]
async fn every_goodbye_is_a_bye() {
    for reason in [Goodbye::Timeout, Goodbye::Shutdown, Goodbye::TooMuch, Goodbye::Internal] {
        let reply = Site::new().client().session.goodbye(reason);
        assert!(reply.starts_with(b"* BYE ") && reply.ends_with(b"\r\n"));
    }
}

/// The session ends at its next command (`C:`), or without a command as soon as the View changes (`E:`).
#[tokio::test]
async fn a_suspension_ends_the_session() {
    for script in ["C: a NOOP", "E:"] {
        let site = Site::new();
        let mut clients = [site.logged_in().await];
        let view = View::fixed(vec![person(PersonState::Suspended)]);
        let State::Authenticated(account) = &mut clients[0].session.state else { panic!("not logged in") };
        // The person as of the login, watched in a view where they are suspended.
        account.person = view.watch(&site.config.view.snapshot().person(account.id.get()).unwrap());
        clients[0].session.connection.config = Arc::new(ImapConfig { view, ..(*site.config).clone() });
        play(&mut clients, &format!("{script}\nS: * BYE The account is no longer active, or its password was changed"))
            .await;
        assert_eq!(clients[0].step, Step::Close);
    }
}
