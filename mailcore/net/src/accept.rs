//! Accepting connections within bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::conversation::{Conversation, refuse};
use crate::limits::ConnectionCounts;
use crate::listener::{Listener, ListenerState};
use crate::{ConnectionsBySource, Drain, Peer, Session, SourceSlot, Transport};

/// Pause after a failed accept: when the system is out of descriptors or memory, the next one would fail at once.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A running listener.
pub struct RunningListener {
    /// The bound address, with port 0 resolved.
    pub address: SocketAddr,
}

/// An accepted connection. A required PROXY header has been read; TLS has not begun.
pub struct AcceptedConnection {
    /// The accepted TCP socket.
    pub socket: TcpStream,
    /// Both addresses of the connection; behind a balancer, those from the PROXY header.
    pub peer: Peer,
    /// The connection's place in the count of its source; keep it as long as the connection. `None` when the source has
    /// as many connections as the limit allows: refuse this one.
    pub place: Option<SourceSlot>,
}

/// Binds and serves until [`Drain::stop`] is called. `make` builds the session of a connection from its peer, its
/// transport, and whether STARTTLS can be offered.
pub async fn serve<S, F>(listener: Listener, drain: Drain, make: F) -> io::Result<RunningListener>
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    let shared =
        Arc::new(ListenerState { listener: listener.clone(), drain: drain.clone(), accounts: ConnectionCounts::new() });
    let make = Arc::new(make);
    serve_connections(listener, drain, move |connection| run_connection(connection, shared.clone(), make.clone())).await
}

/// Binds and hands each connection to `handle` until [`Drain::stop`] is called; a connection lives as long as the
/// future of `handle`. For protocols that are not a [`Session`]: `handle` must keep all deadlines, begin TLS, and end
/// after [`Drain::stop`].
pub async fn serve_connections<H, W>(listener: Listener, drain: Drain, handle: H) -> io::Result<RunningListener>
where
    H: Fn(AcceptedConnection) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    if listener.implicit_tls && listener.tls.is_none() {
        return Err(io::Error::other(format!("{}: implicit TLS needs a certificate", listener.name)));
    }
    let socket = TcpListener::bind(listener.address).await?;
    let address = socket.local_addr()?;
    drain.spawn(accept_all(socket, Arc::new(listener), drain.clone(), Arc::new(handle)));
    Ok(RunningListener { address })
}

async fn accept_all<H, W>(socket: TcpListener, listener: Arc<Listener>, drain: Drain, handle: Arc<H>)
where
    H: Fn(AcceptedConnection) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let name = listener.name;
    let sources = ConnectionsBySource::new();
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = drain.stopping() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, remote)) => {
                    let is_full = open.len() >= listener.limits.connections;
                    let place = if is_full { None } else { listener.budgets.connections.enter(open.len()) };
                    let Some(place) = place else {
                        metrics::counter!("provost_net_refused_total", "listener" => name).increment(1);
                        continue;
                    };
                    let (listener, sources) = (listener.clone(), sources.clone());
                    let (drain, handle) = (drain.clone(), handle.clone());
                    open.spawn(async move {
                        let _place = place;
                        let begun = tokio::select! {
                            () = drain.stopping() => None,
                            begun = begin(stream, remote, &listener, &sources) => begun,
                        };
                        if let Some(connection) = begun {
                            handle(connection).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(listener = name, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            Some(ended) = open.join_next() => note_end(name, ended),
        }
        metrics::gauge!("provost_net_connections", "listener" => name).set(open.len() as f64);
    }
    drop(socket);
    while let Some(ended) = open.join_next().await {
        note_end(name, ended);
    }
}

/// Logs and counts a session that panicked: the panic ends only its own connection, and nothing else would show it.
fn note_end(name: &'static str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("provost_net_panics_total", "listener" => name).increment(1);
        tracing::error!(listener = name, %error, "a session panicked");
    }
}

/// Finds the client's address and counts the connection; `None` when the PROXY header is refused or does not arrive in
/// time.
async fn begin(
    mut socket: TcpStream,
    remote: SocketAddr,
    listener: &Listener,
    sources: &ConnectionsBySource,
) -> Option<AcceptedConnection> {
    metrics::counter!("provost_net_accepted_total", "listener" => listener.name).increment(1);
    let _ = socket.set_nodelay(true);
    let peer = listener.proxies.peer(&mut socket, remote, listener.name).await?;
    let place = sources.enter(peer.remote.ip(), listener.limits.connections_per_address);
    if place.is_none() {
        metrics::counter!("provost_net_refused_total", "listener" => listener.name).increment(1);
    }
    Some(AcceptedConnection { socket, peer, place })
}

/// Runs one connection of a [`Session`], from its greeting to its end.
async fn run_connection<S, F>(connection: AcceptedConnection, shared: Arc<ListenerState>, make: Arc<F>)
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    let AcceptedConnection { socket, peer, place } = connection;
    let listener = &shared.listener;
    let transport = if listener.implicit_tls { Transport::Tls } else { Transport::Plain };
    let session = make(peer, transport, listener.tls.is_some() && !listener.implicit_tls);
    let Some(_place) = place else {
        return refuse(socket, session, &shared).await;
    };
    Conversation::new(socket, session, &shared).run(peer).await;
}
