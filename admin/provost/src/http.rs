//! Web listeners: plain HTTP, behind a PROXY header where a balancer sends one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::serve::IncomingStream;
use provost_net::{Drain, ProxyNetworks, SourcePlace, Sources};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

/// Connections that may wait for their PROXY header at once; with more, no further one is accepted. Each waits for five
/// seconds at most.
const WAITING_MAX: usize = 1_024;
/// How long a connection may carry nothing, in either direction: longer than the longest request, in which nothing is said
/// while it is worked on. Whoever went away without a word holds its place no longer.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// How long accepting rests when the system has no descriptors or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where a web listener is, and whom it serves.
pub(crate) struct Place {
    /// For logs and metrics.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Networks whose connections begin with a PROXY header.
    pub(crate) proxies: ProxyNetworks,
    /// Open connections from one address; further ones are closed without an answer.
    pub(crate) connections_per_address: usize,
}

/// Serves `pages` until `drain` stops. Handlers find the client's address, not the balancer's, in `ConnectInfo<SocketAddr>`.
pub(crate) async fn serve(place: Place, pages: Router, drain: &Drain) -> io::Result<()> {
    let socket = TcpListener::bind(place.address).await?;
    let listener = Listener { socket, place, sources: Sources::new(), waiting: JoinSet::new() };
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
    socket: TcpListener,
    place: Place,
    sources: Sources,
    /// Connections whose PROXY header has not come: one that is slow holds up no other.
    waiting: JoinSet<Option<(TcpStream, SocketAddr)>>,
}

impl axum::serve::Listener for Listener {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Counted, SocketAddr) {
        loop {
            tokio::select! {
                Some(ready) = self.waiting.join_next() => {
                    if let Ok(Some((socket, client))) = ready
                        && let Some(counted) = self.count(socket, client)
                    {
                        return (counted, client);
                    }
                }
                accepted = self.socket.accept(), if self.waiting.len() < WAITING_MAX => match accepted {
                    Ok((socket, remote)) => {
                        _ = self.waiting.spawn(with_client(socket, remote, self.place.proxies.clone(), self.place.name));
                    }
                    Err(error) => {
                        tracing::warn!(listener = self.place.name, %error, "accept failed");
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

impl Listener {
    /// `None` when `client` has as many connections open as one address may have.
    fn count(&self, socket: TcpStream, client: SocketAddr) -> Option<Counted> {
        let place = self.sources.enter(client.ip(), self.place.connections_per_address);
        if place.is_none() {
            metrics::counter!("provost_net_refused_total", "listener" => self.place.name).increment(1);
        }
        Some(Counted::new(socket, place?, SILENCE_MAX))
    }
}

/// A connection that counts for its client's address until it is closed, and ends when it is silent for too long.
struct Counted {
    socket: TcpStream,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    _place: SourcePlace,
}

impl Counted {
    fn new(socket: TcpStream, place: SourcePlace, silence_max: Duration) -> Self {
        Self { socket, silence_max, silence: Box::pin(tokio::time::sleep(silence_max)), _place: place }
    }

    /// What the socket says; while it says nothing, whether that has lasted too long.
    fn or_silent<T>(&mut self, context: &mut Context<'_>, said: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.silence.as_mut().reset(Instant::now() + self.silence_max);
            return said;
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.socket).poll_read(context, into);
        self.or_silent(context, said)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.socket).poll_write(context, octets);
        self.or_silent(context, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.or_silent(context, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
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

    /// A header for a client whose address ends so, with port 40000.
    fn header(last: u8) -> Vec<u8> {
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71"[..], &[last], b"\xc0\0\x02\x01\x9c\x40\0\x50"].concat()
    }

    /// Serves a page with the client's address behind a balancer on loopback.
    async fn start(drain: &Drain, connections_per_address: usize) -> SocketAddr {
        let pages = Router::new().route("/", get(async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.to_string()));
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxies = ProxyNetworks(vec!["127.0.0.0/8".parse().unwrap()]);
        serve(Place { name: "http", address, proxies, connections_per_address }, pages, drain).await.unwrap();
        address
    }

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
        let drain = Drain::new();
        let address = start(&drain, 10).await;
        // A connection that sends nothing holds up no other.
        let _silent = TcpStream::connect(address).await.unwrap();
        let answer = ask(address, &[&header(7)[..], REQUEST].concat()).await;
        assert!(answer.ends_with("\r\n203.0.113.7:40000"), "{answer}");
        assert_eq!(ask(address, REQUEST).await, "");
        drain.stop();
        assert!(drain.finished(Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn connections_of_the_client_are_counted() {
        let drain = Drain::new();
        let address = start(&drain, 1).await;
        let mut held = TcpStream::connect(address).await.unwrap();
        held.write_all(&[&header(7)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await.unwrap();
        held.read_exact(&mut [0; 12]).await.unwrap();
        let asked = |last: u8| async move { ask(address, &[&header(last)[..], REQUEST].concat()).await };
        assert_eq!(asked(7).await, "");
        assert!(asked(8).await.contains(" 200 "));
        drop(held);
        let freed = async {
            while asked(7).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
    }

    /// A client that says nothing, or reads nothing.
    #[tokio::test]
    async fn a_silent_connection_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connected = async || {
            let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (socket, from) = listener.accept().await.unwrap();
            let place = Sources::new().enter(from.ip(), 1).unwrap();
            (peer, Counted::new(socket, place, Duration::from_millis(50)))
        };
        let (mut peer, mut counted) = connected().await;
        peer.write_all(b"x").await.unwrap();
        assert_eq!(counted.read(&mut [0; 1]).await.unwrap(), 1);
        assert_eq!(counted.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (_peer, mut counted) = connected().await;
        let endless = async {
            loop {
                counted.write_all(&[0; 64 * 1024]).await?;
            }
        };
        let ended: io::Result<()> = endless.await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
