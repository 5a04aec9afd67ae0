//! Web listeners: HTTP/1.1 with the accept loop and budgets of the mail listeners, and TLS if configured.
//!
//! Every wait for a peer has a limit: the TLS handshake, the header (which includes the wait for the next request of a
//! persistent connection), the body, and the reading of the reply. The memory budget of the process counts request
//! bodies and replies that are larger than [`FREE_OCTETS`]; see [`CountedReplies`] for the exception.

mod body;
mod paced;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::connect_info::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use provost_net::{AcceptedConnection, Drain, FREE_OCTETS, Listener, serve_connections};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use body::{BodyFault, BoundedBody};
use paced::{PacedStream, ReplyMemory};

/// Longest time for a header, which includes the wait for the next request of a persistent connection: half of the
/// usual 60 s of web servers, so that silent peers free their places sooner.
const HEADER_LIMIT: Duration = Duration::from_secs(30);
/// Maximum number of octets of request line and header fields: ten times what a session cookie, a token and a
/// browser's usual fields take together.
const HEADER_OCTETS_MAX: usize = 16 * 1024;
/// hyper's buffer of one connection, in octets: room for the largest header and for one write of a page.
const BUFFER_OCTETS_MAX: usize = 64 * 1024;
/// Longest time for the rest of a reply or of a header when the node stops: a restart should take about a second.
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// Seconds in `Retry-After` of a 503 reply: memory is usually free again when the present requests have ended.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// RFC 6797 §6.1: browsers use only TLS for this name, for a year.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Header in which a proxy that ends TLS in front of a plain listener states `https`. A TLS listener overwrites what
/// the client sent.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The time limits of a web listener.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    /// Limit for a request line and its header fields.
    header: Duration,
    /// Base limit for a body and for a reply; [`body::time_for`] adds time for the octets transferred.
    transfer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { header: HEADER_LIMIT, transfer: body::TRANSFER_LIMIT }
    }
}

/// Which replies of a listener the memory budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedReplies {
    /// Replies larger than [`FREE_OCTETS`].
    Large,
    /// None: metrics and health are needed most while memory is short, and their pages are small.
    None,
}

/// The parts that all connections of a listener share.
struct HttpListener {
    listener: Listener,
    replies: CountedReplies,
    pages: Router,
    drain: Drain,
    deadlines: Deadlines,
}

/// Starts to listen and returns; tasks serve `pages` until the node stops. A handler finds the client's address in
/// `ConnectInfo<SocketAddr>`; behind a balancer that is the address in the PROXY header. If `listener.implicit_tls` is
/// set, every connection uses TLS with the certificate of the mail listeners.
pub(crate) async fn serve(listener: Listener, replies: CountedReplies, pages: Router, drain: &Drain) -> io::Result<()> {
    serve_within(Deadlines::default(), listener, replies, pages, drain).await.map(|_| ())
}

async fn serve_within(
    deadlines: Deadlines,
    listener: Listener,
    replies: CountedReplies,
    pages: Router,
    drain: &Drain,
) -> io::Result<SocketAddr> {
    let web = Arc::new(HttpListener { listener: listener.clone(), replies, pages, drain: drain.clone(), deadlines });
    let serving = serve_connections(listener, drain.clone(), move |connection| accept(connection, web.clone())).await?;
    Ok(serving.address)
}

/// Serves one connection. A connection whose source already has its maximum number of connections is closed without a
/// reply.
async fn accept(connection: AcceptedConnection, web: Arc<HttpListener>) {
    let AcceptedConnection { socket, peer, place } = connection;
    let Some(_place) = place else { return };
    let config = web.listener.tls.clone().filter(|_| web.listener.implicit_tls);
    let Some(config) = config else {
        return serve_http1(socket, peer.remote, web).await;
    };
    let handshake = tokio::time::timeout(web.listener.limits.handshake, TlsAcceptor::from(config).accept(socket));
    let begun = tokio::select! {
        () = web.drain.stopping() => return,
        begun = handshake => begun,
    };
    match begun {
        Ok(Ok(stream)) => serve_http1(stream, peer.remote, web).await,
        Ok(Err(_)) | Err(_) => {
            metrics::counter!("provost_net_tls_failures_total", "listener" => web.listener.name).increment(1);
        }
    }
}

/// Exchanges requests and replies until the peer, a time limit or the stop of the node ends the connection.
async fn serve_http1<S>(stream: S, client: SocketAddr, web: Arc<HttpListener>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_handler_running = AtomicBool::new(false);
    let reply_memory = ReplyMemory::new(web.listener.budgets.memory.body());
    let service = service_fn(|request: Request<Incoming>| async {
        is_handler_running.store(true, Ordering::Relaxed);
        let reply = answer(request.map(Body::new), client, &web, &reply_memory).await;
        is_handler_running.store(false, Ordering::Relaxed);
        Ok::<_, Infallible>(reply)
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(web.deadlines.header)
        .max_header_size(HEADER_OCTETS_MAX)
        .max_buf_size(BUFFER_OCTETS_MAX);
    let stream = TokioIo::new(PacedStream::new(stream, web.deadlines.transfer, reply_memory.clone()));
    let mut connection = pin!(protocol.serve_connection(stream, service));
    tokio::select! {
        // The conversation is over, or the peer disconnected, was too slow or did not send HTTP.
        _ = connection.as_mut() => return,
        () = web.drain.stopping() => {}
    }
    // A request whose handler still runs after `STOP_LIMIT` is waited for, with its reply. A partial header, and a
    // reply that is already being written, get only `STOP_LIMIT`.
    connection.as_mut().graceful_shutdown();
    if tokio::time::timeout(STOP_LIMIT, connection.as_mut()).await.is_err()
        && is_handler_running.load(Ordering::Relaxed)
    {
        let _ = connection.await;
    }
}

/// Answers one request. `memory` counts the reply.
async fn answer(
    mut request: Request<Body>,
    client: SocketAddr,
    web: &HttpListener,
    memory: &ReplyMemory,
) -> Response<Body> {
    // Let other connections run between two pipelined requests.
    tokio::task::yield_now().await;
    let is_tls = web.listener.implicit_tls;
    request.extensions_mut().insert(ConnectInfo(client));
    if is_tls {
        request.headers_mut().insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
    let bounded = BoundedBody::new(web.listener.budgets.memory.body_of(client.ip()), web.deadlines.transfer);
    let request = request.map(|body| if body.is_end_stream() { body } else { bounded.around(body) });
    let reply = match web.pages.clone().oneshot(request).await {
        Ok(reply) => reply,
        Err(never) => match never {},
    };
    let mut reply = match bounded.fault() {
        Some(BodyFault::Late) => refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        Some(BodyFault::NoMemory) => busy(),
        None => web.within_memory(reply, memory),
    };
    if is_tls {
        reply.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    reply
}

impl HttpListener {
    /// Returns the reply if the memory budget has room for it, else a 503: a reply stays in memory until the operating
    /// system has taken all of it for sending.
    fn within_memory(&self, reply: Response<Body>, memory: &ReplyMemory) -> Response<Body> {
        let octets = reply.body().size_hint().lower();
        let is_free = self.replies == CountedReplies::None || octets <= FREE_OCTETS as u64;
        if is_free || memory.grow(octets) { reply } else { busy() }
    }
}

fn busy() -> Response<Body> {
    metrics::counter!("provost_memory_budget_refused_total", "what" => "http").increment(1);
    let mut reply = refusal(StatusCode::SERVICE_UNAVAILABLE, "the server is short of memory; try again later");
    reply.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    reply
}

/// A refusal by the listener. It closes the connection, because the request body has perhaps not been read to its end.
fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
    (status, close, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests;
