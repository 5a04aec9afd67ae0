//! Faults of LDAP servers and of the `ldap3` library. No fault may make a caller hang or panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::{Close, Fake, Pause, Raw, Reply, Security, config, directory, done, entry, healthy, result};
use ldap3_proto::proto::{LdapBindResponse, LdapMsg, LdapOp, LdapSearchResultReference};
use provost_client::{Directory, DirectoryError, LdapSearch, Scope, ServerRole, WriteConditions};
use provost_entry::{Dn, Entry, Filter};

fn zoe() -> Dn {
    Dn::parse("uid=zoe,dc=example").unwrap()
}

/// A search that is not paged.
fn small_search() -> LdapSearch {
    LdapSearch {
        base: Dn::parse("dc=example").unwrap(),
        scope: Scope::Subtree,
        filter: Filter::equal("uid", "zoe"),
        attributes: vec!["uid".to_owned()],
        limit: Some(10),
    }
}

/// Whether a message is a search other than that for the contextCSN.
fn is_search(message: &LdapMsg) -> bool {
    matches!(&message.op, LdapOp::SearchRequest(request) if !request.attrs.iter().any(|name| name == "contextCSN"))
}

fn is_write(message: &LdapMsg) -> bool {
    matches!(message.op, LdapOp::AddRequest(_) | LdapOp::ModifyRequest(_) | LdapOp::DelRequest(_))
}

fn is_unavailable<T: std::fmt::Debug>(outcome: &Result<T, DirectoryError>) -> bool {
    matches!(outcome, Err(DirectoryError::Unavailable(_)))
}

#[tokio::test]
async fn a_stalled_search_times_out_and_is_abandoned() {
    let fake = Fake::start(healthy(|message| is_search(message).then(Vec::new))).await;
    let (directory, start) = (fake.directory(), Instant::now());
    assert!(is_unavailable(&directory.search(small_search()).await));
    assert!(start.elapsed() < Duration::from_secs(5));
    fake.wait_until_received("AbandonRequest(2)").await;
}

#[tokio::test]
async fn a_write_without_an_answer_has_an_unknown_outcome_and_is_sent_once() {
    let stalled = Fake::start(healthy(|message| is_write(message).then(Vec::new))).await;
    let directory = stalled.directory();
    let outcome = directory.add(Entry::new(zoe()).with("uid", "zoe")).await;
    assert!(matches!(outcome, Err(DirectoryError::Unknown(_))), "{outcome:?}");
    stalled.wait_until_received("AbandonRequest").await;
    let closing = Fake::start(healthy(|message| is_write(message).then(|| vec![Close]))).await;
    let outcome = closing.directory().delete(&zoe(), WriteConditions::default()).await;
    assert!(matches!(outcome, Err(DirectoryError::Unknown(_))), "{outcome:?}");
    assert_eq!((stalled.received("AddRequest"), closing.received("DelRequest")), (1, 1));
}

/// Each of these answers makes the library's driver or its parsers panic, or makes the driver wait for more octets.
#[tokio::test]
async fn a_server_with_malformed_answers_is_unavailable() {
    let cases: [(&str, Vec<u8>); 6] = [
        ("not BER of LDAP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an empty message", vec![0x30, 0]),
        ("a result without components", vec![0x30, 5, 2, 1, 2, 0x65, 0]),
        ("an unknown operation on a search", vec![0x30, 5, 2, 1, 2, 0x7e, 0]),
        ("malformed controls", vec![0x30, 9, 2, 1, 2, 0x65, 0, 0xa0, 2, 4, 0]),
        ("a truncated message", vec![0x30, 0x82, 0x10]),
    ];
    for (what, octets) in cases {
        let broken = Arc::new(AtomicBool::new(true));
        let is_broken = Arc::clone(&broken);
        let fake = Fake::start(healthy(move |message| {
            (is_search(message) && is_broken.load(Ordering::Relaxed)).then(|| vec![Raw(octets.clone())])
        }))
        .await;
        let directory = fake.directory();
        let start = Instant::now();
        assert!(is_unavailable(&directory.search(small_search()).await), "{what}");
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
        broken.store(false, Ordering::Relaxed);
        assert_eq!(
            directory.search(small_search()).await.map(|entries| entries.len()),
            Ok(1),
            "{what}: after correct answers"
        );
    }
}

#[tokio::test]
async fn a_write_with_an_unreadable_answer_has_an_unknown_outcome() {
    // An AddResponse with an empty ENUMERATED and nothing after it.
    let octets = vec![0x30, 7, 2, 1, 2, 0x69, 2, 10, 0];
    let fake = Fake::start(healthy(move |message| is_write(message).then(|| vec![Raw(octets.clone())]))).await;
    let outcome = fake.directory().add(Entry::new(zoe()).with("uid", "zoe")).await;
    assert!(matches!(outcome, Err(DirectoryError::Unknown(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_search_that_breaks_off_returns_no_entries() {
    let fake =
        Fake::start(healthy(|message| is_search(message).then(|| vec![entry("uid=a,dc=example", "uid", "a"), Close])));
    let (half, whole) = (fake.await, Fake::start(healthy(|_| None)).await);
    assert!(is_unavailable(&half.directory().search(small_search()).await));
    let both = directory(&[(&half.url(), ServerRole::Replica), (&whole.url(), ServerRole::Replica)]);
    let found = both.search(small_search()).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.first("uid")).collect::<Vec<_>>(), [Some("zoe")]);
}

/// The library ignores the Notice of Disconnection (RFC 4511 §4.4.1), so the close that follows must end the operation.
#[tokio::test]
async fn an_operation_ends_when_the_server_disconnects() {
    let notice = b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036".to_vec();
    let first = Arc::new(AtomicBool::new(true));
    let fake = Fake::start(healthy(move |message| {
        (is_search(message) && first.swap(false, Ordering::Relaxed)).then(|| vec![Raw(notice.clone()), Close])
    }))
    .await;
    let directory = fake.directory();
    let outcome = directory.search(small_search()).await;
    assert!(is_unavailable(&outcome), "{outcome:?}");
    assert!(!outcome.unwrap_err().to_string().contains("timed out"), "the close did not end the operation");
    assert!(directory.search(small_search()).await.is_ok());
}

#[tokio::test]
async fn a_search_result_reference_among_the_entries_is_dropped() {
    let reference =
        || Reply(LdapOp::SearchResultReference(LdapSearchResultReference { uris: vec!["ldap://elsewhere/".into()] }));
    let fake = Fake::start(healthy(move |message| {
        is_search(message).then(|| vec![reference(), entry("uid=zoe,dc=example", "uid", "zoe"), done(0)])
    }))
    .await;
    assert_eq!(fake.directory().search(small_search()).await.map(|entries| entries.len()), Ok(1));
}

/// A server that answers adds and searches with this result.
fn refusing(code: u16) -> impl Fn(&LdapMsg) -> Vec<fake::ScriptedStep> {
    healthy(move |message| match message.op {
        LdapOp::AddRequest(_) => Some(vec![Reply(LdapOp::AddResponse(result(code)))]),
        LdapOp::SearchRequest(_) if is_search(message) => Some(vec![done(code)]),
        _ => None,
    })
}

/// After results 10, 52 and 53 a write is sent once more: to another provider, or to the only one, whose name may lead
/// to another machine by now. Referrals are never followed.
#[tokio::test]
async fn a_write_is_repeated_once_when_another_server_is_the_provider() {
    for code in [10, 52, 53] {
        let (old, new) = (Fake::start(refusing(code)).await, Fake::start(healthy(|_| None)).await);
        let both = directory(&[(&old.url(), ServerRole::Provider), (&new.url(), ServerRole::Provider)]);
        let add = || Entry::new(zoe()).with("uid", "zoe");
        assert!(both.add(add()).await.is_ok(), "{code}");
        assert!(both.add(add()).await.is_ok(), "{code}");
        assert_eq!(
            (old.received("AddRequest"), new.received("AddRequest")),
            (1, 2),
            "{code}: the second write did not go to the new provider alone"
        );
        assert!(both.search(small_search()).await.is_ok(), "{code}");

        let alone = Fake::start(refusing(code)).await;
        let outcome = alone.directory().add(add()).await;
        let is_expected = match code {
            53 => matches!(outcome, Err(DirectoryError::Refused { code: 53, .. })),
            _ => is_unavailable(&outcome),
        };
        assert!(is_expected, "{code}: {outcome:?}");
        assert_eq!(alone.received("AddRequest"), 2, "{code}");
    }
    for code in [51, 80] {
        let fake = Fake::start(refusing(code)).await;
        assert!(is_unavailable(&fake.directory().add(Entry::new(zoe()).with("uid", "zoe")).await), "{code}");
        assert!(is_unavailable(&fake.directory().search(small_search()).await), "{code}");
    }
}

/// The providers whose circuit is open do not use up the two attempts of a write.
#[tokio::test]
async fn a_write_reaches_the_third_provider_when_the_circuits_of_two_are_open() {
    let (first, second) = (Fake::start(refusing(51)).await, Fake::start(refusing(51)).await);
    let third = Fake::start(healthy(|_| None)).await;
    let servers = [&first, &second, &third].map(|server| (server.url(), ServerRole::Provider));
    let all = directory(&servers.each_ref().map(|(url, role)| (url.as_str(), *role)));
    let add = || Entry::new(zoe()).with("uid", "zoe");
    for _ in 0..3 {
        assert!(is_unavailable(&all.add(add()).await), "a third attempt");
    }
    assert!(all.add(add()).await.is_ok());
    assert_eq!([&first, &second, &third].map(|server| server.received("AddRequest")), [3, 3, 1]);
}

/// A request that cannot be encoded shows nothing about the server: it neither closes the circuit nor opens it.
#[tokio::test]
async fn an_invalid_request_is_not_sent_and_not_counted() {
    let fake = Fake::start(refusing(51)).await;
    let directory = fake.directory();
    let invalid = LdapSearch { filter: Filter::Undefined, ..small_search() };
    for _ in 0..2 {
        assert!(is_unavailable(&directory.search(small_search()).await));
    }
    let outcome = directory.search(invalid).await;
    assert!(matches!(outcome, Err(DirectoryError::InvalidRequest(_))), "{outcome:?}");
    assert!(is_unavailable(&directory.search(small_search()).await));
    let outcome = directory.search(small_search()).await;
    assert!(outcome.is_err_and(|error| error.to_string().contains("failed recently")), "the circuit is closed");
    assert_eq!(fake.received("Equality"), 3);
}

#[tokio::test]
async fn a_replica_is_never_written_to() {
    let replica = Fake::start(healthy(|_| None)).await;
    let only = directory(&[(&replica.url(), ServerRole::Replica)]);
    assert!(is_unavailable(&only.add(Entry::new(zoe()).with("uid", "zoe")).await));
    assert!(is_unavailable(&only.search_provider(small_search()).await));
    assert!(only.search(small_search()).await.is_ok());
    assert_eq!(replica.received("AddRequest"), 0);
}

/// A replica that is still being filled answers every search with success, but incompletely.
#[tokio::test]
async fn a_replica_without_context_csn_is_not_used() {
    let filling = Fake::start(healthy(|message| match &message.op {
        LdapOp::SearchRequest(_) => Some(vec![done(0)]),
        _ => None,
    }))
    .await;
    let ready = Fake::start(healthy(|_| None)).await;
    let both = directory(&[(&filling.url(), ServerRole::Replica), (&ready.url(), ServerRole::Replica)]);
    assert_eq!(both.read(&zoe(), &["uid"]).await.map(|found| found.is_some()), Ok(true));
    assert!(is_unavailable(&directory(&[(&filling.url(), ServerRole::Replica)]).read(&zoe(), &["uid"]).await));
    assert!(both.sync(None).await.unwrap().url().ends_with(&ready.port.to_string()));
}

#[tokio::test]
async fn the_server_that_answers_is_kept_and_a_silent_one_is_skipped() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let stalled = Fake::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    })
    .await;
    let whole = Fake::start(healthy(|_| None)).await;
    let both = directory(&[(&stalled.url(), ServerRole::Replica), (&whole.url(), ServerRole::Provider)]);
    assert!(both.search(small_search()).await.is_ok());
    for _ in 0..20 {
        assert!(both.search(small_search()).await.is_ok());
    }
    assert_eq!(requests.load(Ordering::Relaxed), 1, "the silent server was tried again");
    // As the only server it is tried three times. Then the circuit is open, and calls fail without a try.
    let alone = stalled.directory();
    for _ in 0..3 {
        assert!(is_unavailable(&alone.search(small_search()).await));
    }
    let tried = requests.load(Ordering::Relaxed);
    assert!(is_unavailable(&alone.search(small_search()).await));
    assert_eq!(requests.load(Ordering::Relaxed), tried, "the server was tried although its circuit is open");
}

/// The paged results control (RFC 2696) of a small search on a shared connection could disturb the paging of another
/// search.
#[tokio::test]
async fn only_searches_that_may_have_large_results_are_paged() {
    let fake = Fake::start(healthy(|_| None)).await;
    let directory = fake.directory();
    directory.search(small_search()).await.unwrap();
    assert_eq!(fake.received("PagedResults"), 0);
    directory.search(LdapSearch { limit: None, ..small_search() }).await.unwrap();
    assert_eq!(fake.received("PagedResults"), 1);
}

#[tokio::test]
async fn writes_omit_the_post_read_control_once_a_server_has_refused_it() {
    let fake = Fake::start(healthy(|message| {
        let refused = matches!(message.op, LdapOp::AddRequest(_)) && !message.ctrl.is_empty();
        refused.then(|| vec![Reply(LdapOp::AddResponse(result(12)))])
    }))
    .await;
    let directory = fake.directory();
    for _ in 0..2 {
        let receipt = directory.add(Entry::new(zoe()).with("uid", "zoe")).await.unwrap();
        assert_eq!(receipt, provost_client::WriteReceipt::default());
    }
    assert_eq!(fake.received("AddRequest"), 3, "not one with the control and two without");
}

/// Whether a message binds as an identity other than the pool's own.
fn is_login(message: &LdapMsg) -> bool {
    matches!(&message.op, LdapOp::BindRequest(request) if request.dn != "cn=us")
}

/// A healthy server that answers binds of other identities with `steps`.
fn answering_logins(steps: impl Fn() -> Vec<fake::ScriptedStep>) -> impl Fn(&LdapMsg) -> Vec<fake::ScriptedStep> {
    healthy(move |message| is_login(message).then(&steps))
}

fn bind_result(code: u16) -> fake::ScriptedStep {
    Reply(LdapOp::BindResponse(LdapBindResponse { res: result(code), saslcreds: None }))
}

/// When a server is no longer the provider, its name may lead to another machine by now. The next bind of a user must
/// therefore connect anew.
#[tokio::test]
async fn idle_connections_for_binds_end_when_the_server_is_no_longer_the_provider() {
    let server = Fake::start(healthy(|message| match message.op {
        LdapOp::AddRequest(_) => Some(vec![Reply(LdapOp::AddResponse(result(10)))]),
        _ => is_login(message).then(|| vec![bind_result(0)]),
    }))
    .await;
    let directory = server.directory();
    let first_on_its_connection =
        || server.received(r#"msgid: 1, op: BindRequest(LdapBindRequest { version: 3, dn: "uid=zoe"#);
    for _ in 0..2 {
        directory.bind(&zoe(), "right").await.unwrap();
        assert_eq!(first_on_its_connection(), 1, "the idle connection was not used again");
    }
    assert!(is_unavailable(&directory.add(Entry::new(zoe()).with("uid", "zoe")).await));
    directory.bind(&zoe(), "right").await.unwrap();
    assert_eq!(first_on_its_connection(), 2, "the old connection was used again");
}

/// After an answer that says nothing about the password, the next server is asked.
#[tokio::test]
async fn a_bind_is_unavailable_when_no_server_compares_the_password() {
    let silent = || vec![Pause(Duration::from_secs(5))];
    for (what, reply) in [
        ("referral", (|| vec![bind_result(10)]) as fn() -> Vec<fake::ScriptedStep>),
        ("busy", || vec![bind_result(51)]),
        ("unavailable", || vec![bind_result(52)]),
        ("unwillingToPerform", || vec![bind_result(53)]),
        ("other", || vec![bind_result(80)]),
        ("closed", || vec![Close]),
        ("silent", silent),
    ] {
        let server = Fake::start(answering_logins(reply)).await;
        let outcome = server.directory().bind(&zoe(), "right").await;
        assert!(is_unavailable(&outcome), "{what}: {outcome:?}");
        for (code, expect) in [(0, Ok(())), (49, Err(DirectoryError::InvalidCredentials))] {
            let good = Fake::start(answering_logins(move || vec![bind_result(code)])).await;
            let both = directory(&[(&server.url(), ServerRole::Replica), (&good.url(), ServerRole::Provider)]);
            assert_eq!(both.bind(&zoe(), "right").await, expect, "{what}, then {code}");
        }
    }
}

/// A server that was emptied refuses every password, ours as well; one that is being filled has no contextCSN. Neither
/// refusal is passed on.
#[tokio::test]
async fn a_server_without_its_data_refuses_no_password() {
    let emptied = Fake::start(healthy(|message| match &message.op {
        LdapOp::BindRequest(_) => Some(vec![bind_result(49)]),
        _ => None,
    }))
    .await;
    let filling = Fake::start(healthy(|message| match &message.op {
        LdapOp::SearchRequest(_) => Some(vec![done(0)]),
        LdapOp::BindRequest(_) => is_login(message).then(|| vec![bind_result(49)]),
        _ => None,
    }))
    .await;
    for server in [&emptied, &filling] {
        let outcome = server.directory().bind(&zoe(), "right").await;
        assert!(is_unavailable(&outcome), "{outcome:?}");
        let whole = Fake::start(answering_logins(|| vec![bind_result(0)])).await;
        let both = directory(&[(&server.url(), ServerRole::Replica), (&whole.url(), ServerRole::Provider)]);
        assert_eq!(both.bind(&zoe(), "right").await, Ok(()));
    }
}

#[tokio::test]
async fn a_probe_reports_each_server_whatever_its_breaker_says() {
    let (good, filling) = (
        Fake::start(healthy(|_| None)).await,
        Fake::start(healthy(|message| match &message.op {
            LdapOp::SearchRequest(_) => Some(vec![done(0)]),
            _ => None,
        }))
        .await,
    );
    let both = directory(&[(&filling.url(), ServerRole::Replica), (&good.url(), ServerRole::Provider)]);
    for _ in 0..5 {
        let conditions = both.probe_servers().await;
        assert!(matches!(conditions[0].context_csn, Err(DirectoryError::Unavailable(_))), "{conditions:?}");
        assert_eq!(
            conditions[1].context_csn.as_deref(),
            Ok(&["20260101000000.000000Z#000000#001#000000".to_owned()][..])
        );
    }
}

#[tokio::test]
async fn an_empty_dn_or_password_is_not_sent() {
    let fake = Fake::start(healthy(|_| None)).await;
    let directory = fake.directory();
    assert_eq!(directory.bind(&zoe(), "").await, Err(DirectoryError::InvalidCredentials));
    assert_eq!(directory.bind(&Dn::root(), "x").await, Err(DirectoryError::InvalidCredentials));
    let mut config = config(&[(&fake.url(), ServerRole::Provider)]);
    config.bind_password = String::new();
    assert_eq!(Directory::new(config).read(&zoe(), &[]).await, Err(DirectoryError::InvalidCredentials));
    assert_eq!(fake.received("BindRequest"), 0);
}

/// Malformed messages end a sync with an error; the View then starts another one.
#[tokio::test]
async fn malformed_sync_messages_end_the_stream() {
    let cases: [Vec<u8>; 3] = [
        // An IntermediateResponse without components, one whose name is not that of Sync Info, and an entry without its
        // Sync State control.
        vec![0x30, 5, 2, 1, 3, 0x79, 0],
        vec![0x30, 12, 2, 1, 3, 0x79, 7, 0x80, 1, b'1', 0x81, 2, 0xa4, 0],
        vec![0x30, 9, 2, 1, 3, 0x64, 4, 4, 0, 0x30, 0],
    ];
    for octets in cases {
        let sent = octets.clone();
        let fake = Fake::start(healthy(move |message| is_search(message).then(|| vec![Raw(sent.clone())]))).await;
        let mut stream = fake.directory().sync(None).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap();
        assert!(matches!(ended, Err(DirectoryError::Unavailable(_))), "{octets:?}: {ended:?}");
        assert!(stream.next().await.is_err());
    }
}

/// After a server that answers but refuses RFC 4533, the next attempt goes to another one.
#[tokio::test]
async fn a_server_that_refuses_a_sync_is_passed_over() {
    let without = Fake::start(healthy(|message| is_search(message).then(|| vec![done(12)]))).await;
    let with = Fake::start(healthy(|message| is_search(message).then(Vec::new))).await;
    let both = directory(&[(&without.url(), ServerRole::Provider), (&with.url(), ServerRole::Replica)]);
    let mut first = both.sync(None).await.unwrap();
    assert!(matches!(first.next().await, Err(DirectoryError::Refused { code: 12, .. })));
    assert!(both.sync(None).await.unwrap().url().ends_with(&with.port.to_string()));
}

/// While another server serves, the preferred one is probed in the background.
#[tokio::test]
async fn the_preferred_server_is_used_again_when_it_works() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let preferred = Fake::start(healthy(move |_| is_down.load(Ordering::Relaxed).then(|| vec![Close]))).await;
    let other = Fake::start(healthy(|_| None)).await;
    let both = directory(&[(&preferred.url(), ServerRole::Provider), (&other.url(), ServerRole::Replica)]);
    both.search(small_search()).await.unwrap();
    assert_eq!(other.received("Equality"), 1);
    down.store(false, Ordering::Relaxed);
    let returned = async {
        while preferred.received("Equality") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            both.search(small_search()).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), returned).await.unwrap();
}

/// A TLS server for `localhost`, and a file with its certificate.
fn tls() -> (tokio_rustls::TlsAcceptor, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (tokio_rustls::TlsAcceptor::from(Arc::new(server)), file)
}

#[tokio::test]
async fn ldaps_and_start_tls_trust_only_the_certificates_of_ca_file() {
    let (acceptor, trusted) = tls();
    let (_, other) = tls();
    let direct = Fake::start_with(Security::Tls(acceptor.clone()), healthy(|_| None)).await;
    let upgraded = Fake::start_with(Security::StartTls(acceptor), healthy(|_| None)).await;
    for (fake, scheme, start_tls) in [(&direct, "ldaps", false), (&upgraded, "ldap", true)] {
        let url = format!("{scheme}://localhost:{}", fake.port);
        for (file, expect) in [(&trusted, true), (&other, false)] {
            let mut config = config(&[(&url, ServerRole::Provider)]);
            config.ca_file = Some(file.path().to_path_buf());
            config.servers[0].start_tls = start_tls;
            let outcome = Directory::new(config).search(small_search()).await;
            assert_eq!(outcome.is_ok(), expect, "{scheme}: {outcome:?}");
        }
    }
    assert_eq!(direct.received("BindRequest") + upgraded.received("BindRequest"), 2);
}

#[tokio::test]
async fn a_listener_that_never_answers_a_tls_handshake_or_start_tls_is_unavailable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_, trusted) = tls();
    for (scheme, start_tls) in [("ldap", true), ("ldaps", false)] {
        let url = format!("{scheme}://localhost:{}", silent.local_addr().unwrap().port());
        let mut config = config(&[(&url, ServerRole::Provider)]);
        config.ca_file = Some(trusted.path().to_path_buf());
        config.servers[0].start_tls = start_tls;
        let start = Instant::now();
        assert!(is_unavailable(&Directory::new(config).search(small_search()).await));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

/// Our own long searches take all permits for exclusive connections to a healthy server. Callers that get no permit
/// must not count as failures of that server.
#[tokio::test]
async fn too_many_operations_of_our_own_do_not_open_the_breaker() {
    const EXCLUSIVE_MAX: usize = 16;
    // Three times as long as a caller waits for a permit, but with an entry well before each operation timeout.
    let slow = || (0..36).flat_map(|_| [Pause(Duration::from_millis(25)), entry("uid=a,dc=example", "uid", "a")]);
    let fake = Fake::start(healthy(move |message| {
        let long =
            matches!(&message.op, LdapOp::SearchRequest(request) if request.attrs.iter().any(|name| name == "long"));
        long.then(|| slow().chain([done(0)]).collect())
    }))
    .await;
    let directory = fake.directory();
    let long = LdapSearch { attributes: vec!["long".to_owned()], limit: None, ..small_search() };
    let searching: Vec<_> = (0..EXCLUSIVE_MAX)
        .map(|_| {
            let (directory, long) = (directory.clone(), long.clone());
            tokio::spawn(async move { directory.search(long).await })
        })
        .collect();
    fake.wait_until_received_times("\"long\"", EXCLUSIVE_MAX).await;
    let (a, b, c, d) = tokio::join!(
        directory.search(long.clone()),
        directory.search(long.clone()),
        directory.search(long.clone()),
        directory.search(long.clone()),
    );
    for outcome in [a, b, c, d] {
        assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains("too many operations")), "{outcome:?}");
    }
    assert_eq!(directory.search(small_search()).await.map(|entries| entries.len()), Ok(1));
    directory.add(Entry::new(zoe()).with("uid", "zoe")).await.unwrap();
    for long in searching {
        assert_eq!(long.await.unwrap().map(|entries| entries.len()), Ok(36));
    }
}
