//! One connection to one server: opening it, and single operations with a deadline.
//!
//! The ldap3 library sets no socket options and no deadlines, sends no Abandon, and may panic on malformed input. This
//! module adds all of these, and turns a panic into an error.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use ldap3::asn1::StructureTag;
use ldap3::controls::{Assertion, MakeCritical, PagedResults, PostRead, RawControl};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, SearchOptions, StdStream};
use provost_entry::{Dn, Entry, Filter, ModOp, Modification};
use provost_schema::attr;
use rustls::ClientConfig;
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio::task::AbortHandle;

use crate::decode;
use crate::outcome::{OperationFailure, judge, judge_bind};
use crate::{Scope, ServerAddress};

/// Number of operations after which a connection is replaced: the library never frees the message id of a search, about
/// seven octets each.
const OPERATIONS_MAX: u64 = 200_000;
/// Age at which a connection takes no more operations, so that a changed address record or certificate takes effect.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// Longest time to write an Abandon request.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(1);
/// Tag number of a SearchResultEntry (RFC 4511 §4.5.2).
const SEARCH_RESULT_ENTRY: u64 = 4;
/// noSuchObject (RFC 4511 appendix A).
const NO_SUCH_OBJECT: u32 = 32;

/// The parameters of a new connection.
#[derive(Clone)]
pub(crate) struct ConnectTarget {
    pub(crate) server: ServerAddress,
    pub(crate) tls: Result<Arc<ClientConfig>, String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) operation_timeout: Duration,
}

/// An open connection. Operations multiplex on it; dropping it closes the socket.
pub(crate) struct Connection {
    ldap: Ldap,
    /// The task that reads and writes the socket.
    driver: AbortHandle,
    closed: Arc<AtomicBool>,
    retired: AtomicBool,
    timeout: Duration,
    opened: Instant,
    /// Operations begun so far.
    operations: AtomicU64,
    /// Operations that run now.
    in_flight: AtomicUsize,
}

/// A request with a single response.
#[derive(Clone, Copy)]
pub(crate) enum SingleRequest<'a> {
    Bind { dn: &'a str, password: &'a str },
    Add(&'a Entry),
    Modify(&'a Dn, &'a [Modification]),
    Delete(&'a Dn),
    Rename { dn: &'a Dn, rdn: &'a str, parent: Option<&'a Dn> },
}

/// A search request with its DN and filter as text, as the library takes them.
pub(crate) struct WireSearch<'a> {
    pub(crate) base: &'a str,
    pub(crate) scope: Scope,
    pub(crate) filter: &'a str,
    pub(crate) attributes: &'a [String],
    /// Server-side size limit, entries; 0 is none.
    pub(crate) size_limit: i32,
    pub(crate) page: Option<PagedResults>,
}

/// Counts an operation as running until dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sets the flag when dropped: at the end of the driver task, also by a panic.
struct CloseFlag(Arc<AtomicBool>);

impl Drop for CloseFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver does not end by itself while it is blocked in a write to a frozen server.
        self.driver.abort();
    }
}

impl Connection {
    /// Connects without binding.
    pub(crate) async fn open(target: &ConnectTarget) -> Result<Self, OperationFailure> {
        let url = target.server.url.as_str();
        let deadline = Instant::now() + target.connect_timeout;
        let stream = tokio::time::timeout_at(deadline.into(), socket(url, deadline))
            .await
            .unwrap_or_else(|_| Err(connect_timed_out()))
            .map_err(|error| OperationFailure::Undone(error.to_string()))?;
        let mut settings = LdapConnSettings::new().set_conn_timeout(target.connect_timeout).set_std_stream(stream);
        if url.starts_with("ldaps://") || target.server.start_tls {
            let config = target.tls.clone().map_err(OperationFailure::Undone)?;
            settings = settings.set_config(config).set_starttls(target.server.start_tls);
        }
        let opening = AssertUnwindSafe(LdapConnAsync::with_settings(settings, url)).catch_unwind();
        let (driver, ldap) = match opening.await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return Err(OperationFailure::Undone(error.to_string())),
            Err(_) => {
                return Err(OperationFailure::Undone("not an LDAP URL, or a malformed answer to StartTLS".to_owned()));
            }
        };
        let closed = Arc::new(AtomicBool::new(false));
        let closing = CloseFlag(Arc::clone(&closed));
        let driver = tokio::spawn(async move {
            let _closing = closing;
            if let Err(error) = driver.drive().await {
                tracing::debug!(%error, "LDAP connection ended");
            }
        });
        Ok(Self {
            ldap,
            driver: driver.abort_handle(),
            closed,
            retired: AtomicBool::new(false),
            timeout: target.operation_timeout,
            opened: Instant::now(),
            operations: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Whether the connection accepts new operations.
    pub(crate) fn usable(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
            && !self.retired.load(Ordering::Relaxed)
            && self.operations.load(Ordering::Relaxed) < OPERATIONS_MAX
            && self.opened.elapsed() < AGE_MAX
    }

    /// Stops accepting new operations; the running ones continue.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Returns the number of running operations.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns a handle for a long-lived search (refreshAndPersist).
    pub(crate) fn handle(&self) -> Ldap {
        self.ldap.clone()
    }

    /// Sends one request and waits for its response. After the timeout, sends an Abandon, except for a Bind, which
    /// cannot be abandoned (RFC 4511 §4.11).
    pub(crate) async fn call(
        &self,
        operation: SingleRequest<'_>,
        controls: Vec<RawControl>,
    ) -> Result<LdapResult, OperationFailure> {
        let _in_flight = self.enter();
        let mut ldap = self.ldap.clone();
        if !controls.is_empty() {
            ldap.with_controls(controls);
        }
        let answer = self.within(perform(&mut ldap, operation)).await;
        let can_be_abandoned = !matches!(operation, SingleRequest::Bind { .. });
        if can_be_abandoned && matches!(answer, Err(OperationFailure::TimedOut)) {
            let id = ldap.last_id();
            abandon(ldap, id);
        }
        answer
    }

    /// Binds; later operations on the connection have this identity.
    pub(crate) async fn bind(&self, dn: &str, password: &str) -> Result<(), OperationFailure> {
        // RFC 4513 §5.1.2: a server treats a bind with a name and without a password as anonymous, and may answer
        // success, which proves nothing about the password.
        if password.is_empty() {
            return Err(OperationFailure::Decided(crate::DirectoryError::InvalidCredentials));
        }
        judge_bind(&self.call(SingleRequest::Bind { dn, password }, Vec::new()).await?)
    }

    /// Runs one search, and returns its entries and its result. The result may be a refusal: the caller checks its code.
    /// Search result references are dropped; entries that `decode` cannot read are dropped and logged.
    pub(crate) async fn search<T>(
        &self,
        query: WireSearch<'_>,
        decode: fn(StructureTag) -> Option<T>,
    ) -> Result<(Vec<T>, LdapResult), OperationFailure> {
        let _in_flight = self.enter();
        let mut ldap = self.ldap.clone();
        if let Some(page) = query.page {
            ldap.with_controls(page);
        }
        ldap.with_search_options(SearchOptions::new().sizelimit(query.size_limit));
        let start = ldap.streaming_search(query.base, scope(query.scope), query.filter, query.attributes);
        let mut stream = self.within(start).await?;
        let mut entries = Vec::new();
        loop {
            match self.within(stream.next()).await {
                Ok(Some(item)) if item.0.id == SEARCH_RESULT_ENTRY => match decode(item.0) {
                    Some(entry) => entries.push(entry),
                    None => tracing::warn!(base = query.base, "an unreadable entry is dropped"),
                },
                Ok(Some(_)) => {}
                Ok(None) => return Ok((entries, stream.finish().await)),
                Err(failure) => {
                    let id = stream.ldap_handle().last_id();
                    abandon(self.ldap.clone(), id);
                    return Err(failure);
                }
            }
        }
    }

    /// Reads the contextCSN of the suffix. A server without one is not ready: [`OperationFailure::Undone`].
    pub(crate) async fn context_csn(&self, suffix: &Dn) -> Result<Vec<String>, OperationFailure> {
        let attributes = [attr::CONTEXT_CSN.to_owned()];
        let query = WireSearch {
            base: suffix.as_str(),
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &attributes,
            size_limit: 0,
            page: None,
        };
        let (entries, result) = self.search(query, decode::entry).await?;
        // A server without the suffix is not ready either.
        if result.rc != NO_SUCH_OBJECT {
            judge(&result)?;
        }
        let csns: Vec<String> =
            entries.iter().flat_map(|entry| entry.texts(attr::CONTEXT_CSN)).map(str::to_owned).collect();
        if csns.is_empty() {
            return Err(OperationFailure::Undone("no contextCSN: the server is not ready".to_owned()));
        }
        Ok(csns)
    }

    /// Counts an operation as begun, and as running until the result is dropped.
    fn enter(&self) -> InFlight<'_> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Runs a step of the library within the operation timeout, and contains its panics.
    async fn within<T>(&self, step: impl Future<Output = Result<T, LdapError>>) -> Result<T, OperationFailure> {
        match tokio::time::timeout(self.timeout, AssertUnwindSafe(step).catch_unwind()).await {
            Err(_) => Err(OperationFailure::TimedOut),
            Ok(Err(_)) => Err(OperationFailure::Lost("the answer is malformed".to_owned())),
            Ok(Ok(outcome)) => outcome.map_err(|error| failure_of(&error)),
        }
    }
}

/// Classifies the library's errors by whether the request may have reached the server.
fn failure_of(error: &LdapError) -> OperationFailure {
    let not_sent = |fault| OperationFailure::NotSent(crate::DirectoryError::InvalidRequest(fault));
    match error {
        LdapError::OpSend { .. } => OperationFailure::Undone("the connection was closed".to_owned()),
        LdapError::AddNoValues => not_sent("an attribute without values"),
        LdapError::FilterParsing => not_sent("an invalid filter"),
        LdapError::Timeout { .. } => OperationFailure::TimedOut,
        other => OperationFailure::Lost(other.to_string()),
    }
}

/// Sends an Abandon in the background. The library sends none, neither at its deadline nor when its future is dropped.
fn abandon(mut ldap: Ldap, id: i32) {
    tokio::spawn(async move { tokio::time::timeout(ABANDON_TIMEOUT, ldap.abandon(id)).await });
}

async fn perform(ldap: &mut Ldap, operation: SingleRequest<'_>) -> Result<LdapResult, LdapError> {
    match operation {
        SingleRequest::Bind { dn, password } => ldap.simple_bind(dn, password).await,
        SingleRequest::Add(entry) => {
            let attributes = entry.attributes().map(|(name, values)| (name.as_str().as_bytes(), set(values)));
            ldap.add(entry.dn.as_str(), attributes.collect()).await
        }
        SingleRequest::Modify(dn, changes) => ldap.modify(dn.as_str(), changes.iter().map(change).collect()).await,
        SingleRequest::Delete(dn) => ldap.delete(dn.as_str()).await,
        SingleRequest::Rename { dn, rdn, parent } => {
            ldap.modifydn(dn.as_str(), rdn, true, parent.map(Dn::as_str)).await
        }
    }
}

fn set(values: &[Vec<u8>]) -> HashSet<&[u8]> {
    values.iter().map(Vec::as_slice).collect()
}

fn change(change: &Modification) -> Mod<&[u8]> {
    let (name, values) = (change.attribute.as_str().as_bytes(), set(&change.values));
    match change.op {
        ModOp::Add => Mod::Add(name, values),
        ModOp::Delete => Mod::Delete(name, values),
        ModOp::Replace => Mod::Replace(name, values),
    }
}

/// Converts a scope to the library's type.
pub(crate) fn scope(scope: Scope) -> ldap3::Scope {
    match scope {
        Scope::Base => ldap3::Scope::Base,
        Scope::One => ldap3::Scope::OneLevel,
        Scope::Subtree => ldap3::Scope::Subtree,
    }
}

/// Makes a critical assertion control (RFC 4528): a server that lacks it must refuse the write, not ignore the
/// condition.
pub(crate) fn assertion(filter: &Filter) -> RawControl {
    Assertion { filter: filter.to_string() }.critical().into()
}

/// Makes the post-read control (RFC 4527) that fills a receipt.
pub(crate) fn post_read() -> RawControl {
    PostRead::new(vec![attr::ENTRY_CSN, attr::ENTRY_UUID])
}

/// Connects a socket with the options that the library does not set: no Nagle delay, keep-alive.
async fn socket(url: &str, deadline: Instant) -> std::io::Result<StdStream> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("'{url}': {what}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("not an LDAP URL"))?;
    let host = rest.split('/').next().unwrap_or_default();
    match scheme {
        "ldapi" => {
            let path = percent_encoding::percent_decode_str(host).decode_utf8_lossy();
            let stream = UnixStream::connect(path.as_ref()).await?;
            Ok(StdStream::Unix(stream.into_std()?))
        }
        "ldap" | "ldaps" => {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            let port = if scheme == "ldap" { 389 } else { 636 };
            let authority = if has_port { host.to_owned() } else { format!("{host}:{port}") };
            let addresses: Vec<_> = lookup_host(&authority).await?.collect();
            Ok(StdStream::Tcp(tcp(&authority, &addresses, deadline).await?.into_std()?))
        }
        _ => Err(invalid("the scheme must be ldap, ldaps or ldapi")),
    }
}

/// Tries each address of the host in turn. Each one gets an equal share of the time that is left until the deadline, so
/// that an address that does not answer leaves time for the others.
async fn tcp(authority: &str, addresses: &[SocketAddr], deadline: Instant) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, format!("{authority} has no address"));
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let time_left = deadline.saturating_duration_since(Instant::now());
        let share = time_left / u32::try_from(left).unwrap_or(u32::MAX);
        // An error here concerns this address alone: a host without IPv6 cannot make a socket for an IPv6 address.
        match tokio::time::timeout(share, connect(*address)).await.unwrap_or_else(|_| Err(connect_timed_out())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

fn connect_timed_out() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "timed out while connecting")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn target(listener: &tokio::net::TcpListener, operation_timeout: Duration) -> ConnectTarget {
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let server = ServerAddress { url, role: crate::ServerRole::Provider, start_tls: false };
        ConnectTarget { server, tls: Err(String::new()), connect_timeout: Duration::from_secs(1), operation_timeout }
    }

    fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// A listener whose queue is full, so that Linux drops further SYN segments; with the sockets that fill it.
    async fn swallowing() -> (tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let (address, mut filling) = (listener.local_addr().unwrap(), Vec::new());
        let limit = Duration::from_millis(100);
        while let Ok(stream) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
            filling.push(stream.unwrap());
        }
        (listener, filling)
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_leaves_time_for_the_next_one() {
        let (silent, _filling) = swallowing().await;
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, good) = (silent.local_addr().unwrap(), good.local_addr().unwrap());
        let soon = || Instant::now() + Duration::from_millis(400);
        let connecting = async |addresses: &[SocketAddr]| {
            let deadline = soon();
            tokio::time::timeout_at(deadline.into(), tcp("host", addresses, deadline)).await
        };
        let stream = connecting(&[silent, silent, good]).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(!matches!(connecting(&[silent, silent]).await, Ok(Ok(_))));
    }

    /// Reads one short LDAP message, and returns the content of its envelope.
    async fn message(stream: &mut TcpStream) -> Vec<u8> {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(head[1])];
        stream.read_exact(&mut body).await.unwrap();
        body
    }

    // RFC 4511 §4.11.
    #[tokio::test]
    async fn a_bind_without_an_answer_is_not_abandoned() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = Connection::open(&target(&listener, Duration::from_millis(100))).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(matches!(connection.bind("cn=us", "ours").await, Err(OperationFailure::TimedOut)));
        let dn = Dn::parse("dc=x").unwrap();
        let deleted = connection.call(SingleRequest::Delete(&dn), Vec::new()).await;
        assert!(matches!(deleted, Err(OperationFailure::TimedOut)));
        // The message id, then the operation: BindRequest, DelRequest, and the AbandonRequest for message 2.
        for expect in [&[2, 1, 1, 0x60][..], &[2, 1, 2, 0x4a], &[2, 1, 3, 0x50, 1, 2]] {
            let message = message(&mut server).await;
            assert!(message.starts_with(expect), "{message:?}");
        }
    }

    #[tokio::test]
    async fn urls_lead_to_sockets_without_nagle_delay_or_to_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}/", listener.local_addr().unwrap());
        let StdStream::Tcp(stream) = socket(&url, deadline()).await.unwrap() else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ldapi");
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        let url = format!("ldapi://{}", path.display().to_string().replace('/', "%2F"));
        assert!(matches!(socket(&url, deadline()).await, Ok(StdStream::Unix(_))));
        for bad in ["", "ldap", "http://localhost/", "ldapi://%2Fnowhere"] {
            assert!(socket(bad, deadline()).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_not_usable_after_its_last_operation() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = Connection::open(&target(&listener, Duration::from_secs(1))).await.unwrap();
        assert!(connection.usable());
        connection.operations.store(OPERATIONS_MAX - 1, Ordering::Relaxed);
        assert!(connection.usable());
        drop(connection.enter());
        assert!(!connection.usable());
        assert_eq!(connection.in_flight(), 0);
    }

    #[test]
    fn the_assertion_is_critical_and_the_post_read_is_not() {
        assert!(assertion(&Filter::present(attr::ENTRY_CSN)).crit);
        assert!(!post_read().crit);
    }
}
