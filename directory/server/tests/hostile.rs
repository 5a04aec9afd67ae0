//! Hostile clients: garbage, floods, clients that never read, StartTLS injection, revoked roles.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::{MAILCORE, PASSWORD, PROVOST, ROOT, SUFFIX, config, person_dn, seed, start};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapFilter, LdapResultCode, SyncRequestMode};
use provost_server::{AdmittedClient, ClientAdmission, ClientPlace, Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::{Client, result_code};

/// Sends octets and returns the response up to the end of the connection.
async fn response_to(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    _ = socket.write_all(octets).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server does not hang up on {octets:x?}");
    answer
}

// RFC 4511 §4.1.1, §4.4.1: a malformed request ends the connection with a Notice of Disconnection. The size
// limit before a bind is Provost's own.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let long = [0x30, 0x84, 0x00, 0x02, 0x00, 0x00];
    let cases: &[(&str, &[u8])] = &[
        ("not BER", b"GET / HTTP/1.0\r\n\r\n"),
        ("an indefinite length", &[0x30, 0x80, 0, 0]),
        ("too long before a bind", &long),
        ("an unknown operation", &[0x30, 5, 2, 1, 1, 0x5f, 0]),
        ("another unknown operation", &[0x30, 5, 2, 1, 1, 0x7d, 0]),
        ("message id zero", &[0x30, 5, 2, 1, 0, 0x42, 0]),
        ("a truncated bind", &[0x30, 7, 2, 1, 1, 0x60, 2, 2, 1]),
    ];
    for (name, octets) in cases {
        let answer = response_to(server.addresses[0], octets).await;
        let notice = b"1.3.6.1.4.1.1466.20036";
        assert!(answer.windows(notice.len()).any(|window| window == notice), "{name}: {answer:x?}");
    }
    assert!(response_to(server.addresses[0], &[0x30, 5, 2, 1, 1, 0x42, 0]).await.is_empty(), "unbind was answered");
    server.stop().await;
}

/// Admits every client, and has no memory for large requests.
struct ShortOfMemory;

impl ClientPlace for ShortOfMemory {
    fn hold(&self, _octets: usize) -> bool {
        false
    }

    fn release(&self) {}
}

impl ClientAdmission for ShortOfMemory {
    fn admit<'a>(
        &'a self,
        _socket: &'a mut TcpStream,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<AdmittedClient>> + Send + 'a>> {
        Box::pin(async move { Some(AdmittedClient { address: remote, place: Some(Arc::new(Self)) }) })
    }
}

// A large request without memory is refused while it arrives, with `busy` (51, RFC 4511 appendix A.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_large_request_needs_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config = ServerConfig { admission: Some(Arc::new(ShortOfMemory)), ..config(folder.path()) };
    let server = Server::start(config, seed()).await.unwrap();
    let request = [&[0x30, 0x82, 0x40, 0x00, 2, 1, 1][..], &[b'x'; 9_000]].concat();
    let answer = response_to(server.addresses[0], &request).await;
    assert!(answer.windows(3).any(|window| window == [0x0a, 1, 51]), "{answer:x?}");
    // A small one needs none.
    Client::bound(server.addresses[0], PROVOST).await;
    server.stop().await;
}

// Each of many requests is answered once, although the client reads no response before it has sent them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    for i in 0..2_000 {
        let request = ldap3_proto::proto::LdapOp::CompareRequest(ldap3_proto::proto::LdapCompareRequest {
            dn: SUFFIX.into(),
            atype: "dc".into(),
            val: if i % 2 == 0 { b"example".to_vec() } else { b"other".to_vec() },
        });
        client.send(request, vec![]).await;
    }
    let mut answers = std::collections::HashSet::new();
    for _ in 0..2_000 {
        assert!(answers.insert(client.receive().await.msgid));
    }
    server.stop().await;
}

// RFC 4511 §4.4.1: when the server stops, the client receives a Notice of Disconnection, and the port is closed.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_notified_when_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let address = server.addresses[0];
    let mut client = Client::bound(address, PROVOST).await;
    tokio::time::timeout(Duration::from_secs(20), server.stop()).await.expect("stops in time");
    assert_eq!(client.receive().await.msgid, 0);
    assert!(TcpStream::connect(address).await.is_err());
}

// RFC 4511 §4.14: StartTLS works, and octets sent in the clear after it are not read as if they came under TLS.
#[tokio::test(flavor = "multi_thread")]
async fn octets_in_the_clear_after_start_tls_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    let cert = parameters.self_signed(&signing_key).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let certificate = folder.path().join("cert.pem");
    std::fs::write(&certificate, cert.pem()).unwrap();
    let config = provost_server::ServerConfig { tls: Some(Arc::new(tls)), ..config(folder.path()) };
    let server = Server::start(config, seed()).await.unwrap();
    // By address: for the name localhost, libldap expects the machine's own name in the certificate.
    let url = format!("ldap://{}", server.addresses[0]);
    let output = tokio::task::spawn_blocking(move || {
        Command::new("ldapwhoami")
            .args(["-x", "-ZZ", "-H", &url, "-D", PROVOST, "-w", PASSWORD])
            .env("LDAPTLS_CACERT", &certificate)
            .output()
            .expect("ldapwhoami (Debian's ldap-utils) runs")
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // StartTLS and an unbind in the same write: StartTLS is answered, and the connection ends without a handshake.
    let mut both = vec![0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22];
    both.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
    both.extend_from_slice(&[0x30, 5, 2, 1, 2, 0x42, 0]);
    let answer = response_to(server.addresses[0], &both).await;
    assert_eq!(answer.get(2..5), Some(&[2, 1, 1][..]), "StartTLS was not answered");
    // A client that does not begin the handshake does not delay a stop.
    let mut waiting = TcpStream::connect(server.addresses[0]).await.unwrap();
    waiting.write_all(&both[..31]).await.unwrap();
    waiting.read_exact(&mut [0; 2]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(6), server.stop()).await.expect("stops before the handshake times out");
}

// Waiting responses are bounded: the server takes no more requests from a client that never reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_cannot_send_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut socket = TcpStream::connect(server.addresses[0]).await.unwrap();
    let mut whoami = vec![0x30, 30, 2, 1, 1, 0x77, 25, 0x80, 23];
    whoami.extend_from_slice(b"1.3.6.1.4.1.4203.1.11.3");
    let many = whoami.repeat(4_096);
    let mut sent = 0;
    // The buffers of the kernel take some MB on both sides.
    while sent < 64 << 20 {
        match tokio::time::timeout(Duration::from_secs(2), socket.write_all(&many)).await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
        sent += many.len();
    }
    assert!(sent < 64 << 20, "the server takes requests without end");
    drop(socket);
    server.stop().await;
}

// A revoked role takes effect on open connections, a persistent search included.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_role_takes_effect_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut root = Client::bound(server.addresses[0], ROOT).await;
    let mut service = Client::bound(server.addresses[0], PROVOST).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    let all = || LdapFilter::Present("title".into());
    let persist = LdapControl::SyncRequest {
        criticality: true,
        mode: SyncRequestMode::RefreshAndPersist,
        cookie: None,
        reload_hint: false,
    };
    reader.search(SUFFIX, all(), vec![persist]).await;
    reader.receive().await;
    assert_eq!(service.replace(&person_dn("1"), "title", "Dr").await, LdapResultCode::Success);
    reader.receive().await;
    for dn in [PROVOST, MAILCORE] {
        assert_eq!(root.replace(dn, "provostRole", "none").await, LdapResultCode::Success);
    }
    assert_eq!(result_code(&reader.receive().await.op), LdapResultCode::InsufficentAccessRights);
    assert_eq!(service.replace(&person_dn("1"), "title", "Prof").await, LdapResultCode::InsufficentAccessRights);
    // A new entry with the same DN gives no rights to a connection that was bound as the deleted entry.
    assert_eq!(root.delete(PROVOST).await, LdapResultCode::Success);
    let again = seed().into_iter().find(|entry| entry.dn.as_str() == PROVOST).unwrap();
    assert_eq!(root.add(&again).await, LdapResultCode::Success);
    service.search(SUFFIX, all(), vec![]).await;
    assert_eq!(result_code(&service.receive().await.op), LdapResultCode::InsufficentAccessRights);
    server.stop().await;
}
