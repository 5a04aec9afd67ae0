//! A session served by `provost_net` over a TCP socket.

use provost_net::{Budgets, Drain, Limits, Listener, ProxyNetworks, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut responses = Vec::new();
    while !String::from_utf8_lossy(&responses).ends_with(end) {
        let mut piece = [0; 4096];
        let octets = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(octets > 0, "closed after {:?}", String::from_utf8_lossy(&responses));
        responses.extend_from_slice(&piece[..octets]);
    }
    String::from_utf8(responses).unwrap()
}

#[tokio::test]
async fn a_client_logs_in_idles_and_fetches() {
    let site = Site::new();
    let config = site.config.clone();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener {
        name: "imap",
        address,
        implicit_tls: false,
        tls: None,
        proxies: ProxyNetworks::default(),
        limits: Limits::default(),
        budgets: Budgets::default(),
    };
    let make = move |peer, transport, tls| ImapSession::new(config.clone(), peer, transport, tls);
    let serving = serve(listener, Drain::new(), make).await.unwrap();
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    read_until(&mut stream, "Provost IMAP ready\r\n").await;
    stream.write_all(b"a LOGIN {3}\r\n").await.unwrap();
    read_until(&mut stream, "+ OK\r\n").await;
    stream.write_all(b"zoe secret\r\nb SELECT INBOX\r\nc IDLE\r\n").await.unwrap();
    read_until(&mut stream, "+ idling\r\n").await;
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    assert_eq!(read_until(&mut stream, "RECENT\r\n").await, "* 1 EXISTS\r\n* 1 RECENT\r\n");
    stream.write_all(b"DONE\r\nd FETCH 1 BODY[]\r\ne LOGOUT\r\n").await.unwrap();
    let responses = read_until(&mut stream, "e OK LOGOUT completed\r\n").await;
    assert!(responses.contains("BODY[] {11}\r\nA: b\r\n\r\nc\r\n FLAGS (\\Seen \\Recent))\r\n"), "{responses}");
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}
