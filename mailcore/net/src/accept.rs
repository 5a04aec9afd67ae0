//! Accepting connections within bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::conversation::{Conversation, refuse};
use crate::limits::Counts;
use crate::listener::{Listener, Shared};
use crate::{Drain, Peer, Session, Sources, Transport};

/// How long accepting rests when the system has no descriptors or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A running listener.
pub struct Serve {
    /// Where it listens really (port 0 is resolved).
    pub address: SocketAddr,
}

/// Binds and serves until `drain` stops: `make` builds one session per connection, from how its bytes travel and
/// whether STARTTLS can be offered.
pub async fn serve<S, F>(listener: Listener, drain: Drain, make: F) -> io::Result<Serve>
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    if listener.implicit_tls && listener.tls.is_none() {
        return Err(io::Error::other(format!("{}: implicit TLS needs a certificate", listener.name)));
    }
    let socket = TcpListener::bind(listener.address).await?;
    let address = socket.local_addr()?;
    let shared = Arc::new(Shared { listener, drain: drain.clone(), sources: Sources::new(), accounts: Counts::new() });
    drain.spawn(accept_all(socket, shared, Arc::new(make)));
    Ok(Serve { address })
}

async fn accept_all<S, F>(socket: TcpListener, shared: Arc<Shared>, make: Arc<F>)
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    let name = shared.listener.name;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.drain.stopping() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) if open.len() >= shared.listener.limits.connections => drop(stream),
                Ok((stream, remote)) => {
                    open.spawn(connection(stream, remote, shared.clone(), make.clone()));
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

/// A session that panicked took nothing down with it: count it, so that monitoring shows it.
fn note_end(name: &'static str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("provost_net_panics_total", "listener" => name).increment(1);
        tracing::error!(listener = name, %error, "a session panicked");
    }
}

async fn connection<S, F>(mut socket: TcpStream, remote: SocketAddr, shared: Arc<Shared>, make: Arc<F>)
where
    S: Session,
    F: Fn(Peer, Transport, bool) -> S + Send + Sync + 'static,
{
    let listener = &shared.listener;
    metrics::counter!("provost_net_accepted_total", "listener" => listener.name).increment(1);
    let _ = socket.set_nodelay(true);
    let found = tokio::select! {
        () = shared.drain.stopping() => return,
        found = listener.proxies.peer(&mut socket, remote, listener.name) => found,
    };
    let Some(peer) = found else { return };
    let transport = if listener.implicit_tls { Transport::Tls } else { Transport::Plain };
    let session = make(peer, transport, listener.tls.is_some() && !listener.implicit_tls);
    let most = listener.limits.connections_per_address;
    let Some(_place) = shared.sources.enter(peer.remote.ip(), most) else {
        return refuse(socket, session, &shared).await;
    };
    Conversation::new(socket, session, &shared).hold(peer).await;
}
