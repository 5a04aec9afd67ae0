//! Web listeners: plain HTTP, behind a PROXY header where a balancer sends one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::serve::IncomingStream;
use provost_net::{Drain, ProxyNetworks};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections that may wait for their PROXY header at once; with more, no further one is accepted. Each waits for five
/// seconds at most.
const WAITING_MAX: usize = 1_024;
/// How long accepting rests when the system has no descriptors or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves `pages` until `drain` stops. Handlers find the client's address, not the balancer's, in `ConnectInfo<SocketAddr>`.
pub(crate) async fn serve(
    name: &'static str,
    address: SocketAddr,
    proxies: ProxyNetworks,
    pages: Router,
    drain: &Drain,
) -> io::Result<()> {
    let socket = TcpListener::bind(address).await?;
    let listener = Listener { name, socket, proxies, waiting: JoinSet::new() };
    let pages = pages.layer(axum::middleware::map_request(own_address));
    let service = pages.into_make_service_with_connect_info::<Client>();
    let stopping = drain.clone();
    drain.spawn(async move {
        let stop = async move { stopping.stopping().await };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "web listener ended");
        }
    });
    Ok(())
}

/// The client's address, as `ConnectInfo` can carry it for a listener that is not axum's own.
#[derive(Clone, Copy)]
struct Client(SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for Client {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Puts the address where handlers look for it.
async fn own_address(mut request: Request) -> Request {
    if let Some(ConnectInfo(Client(address))) = request.extensions().get().copied() {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    request
}

struct Listener {
    name: &'static str,
    socket: TcpListener,
    proxies: ProxyNetworks,
    /// Connections whose PROXY header has not come: one that is slow holds up no other.
    waiting: JoinSet<Option<(TcpStream, SocketAddr)>>,
}

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            tokio::select! {
                Some(ready) = self.waiting.join_next() => {
                    if let Ok(Some(connection)) = ready {
                        return connection;
                    }
                }
                accepted = self.socket.accept(), if self.waiting.len() < WAITING_MAX => match accepted {
                    Ok((socket, remote)) => {
                        _ = self.waiting.spawn(with_client(socket, remote, self.proxies.clone(), self.name));
                    }
                    Err(error) => {
                        tracing::warn!(listener = self.name, %error, "accept failed");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

async fn with_client(
    mut socket: TcpStream,
    remote: SocketAddr,
    proxies: ProxyNetworks,
    name: &'static str,
) -> Option<(TcpStream, SocketAddr)> {
    let peer = proxies.peer(&mut socket, remote, name).await?;
    Some((socket, peer.remote))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

    async fn ask(address: SocketAddr, say: &[u8]) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(say).await.unwrap();
        let mut answer = Vec::new();
        // Closed with octets unread, the connection may end with a reset.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn handlers_see_the_client_of_the_header() {
        let pages = Router::new().route("/", get(async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.to_string()));
        let drain = Drain::new();
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxies = ProxyNetworks(vec!["127.0.0.0/8".parse().unwrap()]);
        serve("http", address, proxies, pages, &drain).await.unwrap();
        let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x9c\x40\0\x50";
        // One that says nothing holds up nobody.
        let _silent = TcpStream::connect(address).await.unwrap();
        let answer = ask(address, &[&header[..], REQUEST].concat()).await;
        assert!(answer.ends_with("\r\n203.0.113.7:40000"), "{answer}");
        assert_eq!(ask(address, REQUEST).await, "");
        drain.stop();
        assert!(drain.finished(Duration::from_secs(10)).await);
    }
}
