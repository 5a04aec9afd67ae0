//! One connection: reads frames, starts operations, writes responses.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use provost_entry::{AttributeDescription, Filter};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadHalf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Identity;
use crate::admission::{AdmittedClient, ClientPlace};
use crate::ber;
use crate::catalogue::EqualityRule;
use crate::change::{existing, parse_dn};
use crate::committer::WriteJob;
use crate::controls::{self, ControlledOperation, Controls};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::matching::{self, VisibleEntry};
use crate::message::{self, Authentication, DecodeError, Operation, Request, SearchRequest, WriteOperation};
use crate::names::AttributeMeaning;
use crate::output::{self, ResponseSender};
use crate::paging::Pages;
use crate::password;
use crate::reply::{self, oid};
use crate::search::{RunningSearch, SEARCH_RESULT_DONE};
use crate::shared::ServerContext;
use crate::sync::SyncSearch;

/// Longest part of a refused bind's name that the log shows, octets.
const SHOWN_OCTETS_MAX: usize = 256;
/// Largest request of an anonymous connection, octets.
const FRAME_OCTETS_ANONYMOUS: usize = 64 * 1024;
/// Largest request of a person, octets.
const FRAME_OCTETS_PERSON: usize = 256 * 1024;
/// Largest request of a privileged identity ([`Identity::is_privileged`]), octets: a large group, a photograph.
const FRAME_OCTETS_PRIVILEGED: usize = 16 * 1024 * 1024;
/// Maximum number of running operations on one connection; beyond, no further request is read.
const OUTSTANDING_MAX: usize = 1_024;
/// A request counts as one further operation per this many octets, so that [`OUTSTANDING_MAX`] bounds the memory of
/// requests too.
const OUTSTANDING_OCTETS: usize = 4 * 1024;
/// Maximum number of running searches on one connection, persistent ones included; beyond, the result is `busy`.
const SEARCHES_MAX: usize = 128;
/// Maximum number of searches that run or wait for their turn on a connection without privileges, so that a thousand
/// peers that read nothing hold little memory.
const UNPRIVILEGED_SEARCHES_MAX: usize = 4;
/// Largest request that is not counted by [`ClientPlace::hold`], octets: most binds and searches.
const FRAME_OCTETS_FREE: usize = 8 * 1024;
/// Longest wait of an anonymous connection for a whole request. While an operation runs, the wait for the first octet
/// of the next request is not limited.
const IDLE_ANONYMOUS: Duration = Duration::from_secs(45);
/// The same for a bound connection.
const IDLE_BOUND: Duration = Duration::from_secs(3_600);
/// Longest time from StartTLS to the end of the handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Tag of BindResponse.
const BIND_RESPONSE: u8 = 0x61;

/// Serves a connection to its end.
pub(crate) async fn serve(shared: Arc<ServerContext>, mut socket: TcpStream, remote: SocketAddr) {
    // Responses are small, and clients wait for them: with Nagle's algorithm, each could wait for the TCP
    // acknowledgement of the previous one.
    _ = socket.set_nodelay(true);
    let client = async {
        match &shared.admission {
            Some(admission) => admission.admit(&mut socket, remote).await,
            None => Some(AdmittedClient { address: remote, place: None }),
        }
    };
    let admitted = tokio::select! {
        () = shared.stop.cancelled() => return,
        admitted = client => admitted,
    };
    let Some(AdmittedClient { address: peer, place }) = admitted else { return };
    let plain = Session { place: place.clone(), ..Session::new(shared.clone(), peer.ip(), ChannelSecurity::Clear) };
    let Some(socket) = plain.run(socket).await else { return };
    let Some(acceptor) = shared.tls.clone() else { return };
    let handshake = tokio::select! {
        () = shared.stop.cancelled() => return,
        handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(socket)) => handshake,
    };
    match handshake {
        Ok(Ok(socket)) => {
            let secure = Session { place, ..Session::new(shared, peer.ip(), ChannelSecurity::Tls) };
            secure.run(socket).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

/// Serves one connection without a network on behalf of `identity`, until the input ends.
#[cfg(feature = "fuzzing")]
pub(crate) async fn serve_in_memory<S>(shared: Arc<ServerContext>, identity: Identity, socket: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut session = Session::new(shared, IpAddr::from([127, 0, 0, 1]), ChannelSecurity::Clear);
    session.identity = Arc::new(identity);
    _ = session.run(socket).await;
}

/// What the session does after a request.
enum AfterRequest {
    Continue,
    Close,
    /// Holds the message id of the StartTLS request.
    StartTls(i32),
}

/// Whether the octets of a connection are encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelSecurity {
    Clear,
    Tls,
}

/// A search that was started and has not ended.
struct OngoingSearch {
    /// The message id of the request.
    id: i32,
    cancelled: CancellationToken,
}

struct Session {
    shared: Arc<ServerContext>,
    peer: IpAddr,
    security: ChannelSecurity,
    place: Option<Arc<dyn ClientPlace>>,
    identity: Arc<Identity>,
    /// [`OUTSTANDING_MAX`] permits, less those that running operations hold.
    outstanding: Arc<Semaphore>,
    searches: Arc<Mutex<Vec<Arc<OngoingSearch>>>>,
    /// Bounds the searches of an identity without privileges; when all slots are taken, no further request is read.
    search_slots: Arc<Semaphore>,
    /// One permit: of the searches of an identity without privileges, one runs at a time, and the others wait without
    /// results in memory.
    search_turn: Arc<Semaphore>,
    pages: Arc<Pages>,
    /// Cancelled at the end of the connection.
    ended: CancellationToken,
}

impl Session {
    fn new(shared: Arc<ServerContext>, peer: IpAddr, security: ChannelSecurity) -> Self {
        Self {
            ended: shared.stop.child_token(),
            shared,
            peer,
            security,
            place: None,
            identity: Arc::new(Identity::anonymous()),
            outstanding: Arc::new(Semaphore::new(OUTSTANDING_MAX)),
            searches: Arc::default(),
            search_slots: Arc::new(Semaphore::new(UNPRIVILEGED_SEARCHES_MAX)),
            search_turn: Arc::new(Semaphore::new(1)),
            pages: Arc::default(),
        }
    }

    /// Reads requests and responds until the connection ends; returns the socket when a TLS handshake follows
    /// (StartTLS).
    async fn run<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(mut self, socket: S) -> Option<S> {
        let (mut reader, writer) = tokio::io::split(socket);
        let (output, queue) = output::channel();
        let writing = tokio::spawn(queue.write_to(writer));
        let mut buffer = BytesMut::new();
        let start_tls = loop {
            if output.room().await.is_err() {
                break None;
            }
            let received = tokio::select! {
                received = self.read_frame(&mut reader, &mut buffer) => received,
                // No more responses can be sent, so the connection ends: the client must not wait for one in vain.
                () = output.closed() => break None,
            };
            let frame = match received {
                Ok(Some(frame)) => frame,
                Ok(None) => break None,
                Err(refusal) => {
                    output.queue_response(reply::disconnection(refusal.code, &refusal.message));
                    break None;
                }
            };
            let after = self.request(&frame, &output).await;
            if frame.len() > FRAME_OCTETS_FREE {
                self.release_memory();
            }
            match after {
                AfterRequest::Continue => {}
                AfterRequest::Close => break None,
                AfterRequest::StartTls(id) => break Some(id),
            }
        };
        self.ended.cancel();
        if let Some(id) = start_tls {
            output.queue_response(reply::extended(id, &LdapResult::success(), Some(oid::START_TLS), None));
        }
        drop(output);
        let writer = writing.await.ok()?;
        // RFC 4511 §4.14.1: a client sends nothing between StartTLS and its response. Octets that arrived in the clear
        // must not be read as if they came under TLS.
        let clean = start_tls.is_some() && buffer.is_empty();
        clean.then(|| reader.unsplit(writer))
    }

    fn release_memory(&self) {
        if let Some(place) = &self.place {
            place.release();
        }
    }

    fn frame_octets_max(&self) -> usize {
        match () {
            () if self.identity.is_privileged() => FRAME_OCTETS_PRIVILEGED,
            () if self.identity.is_anonymous() => FRAME_OCTETS_ANONYMOUS,
            () => FRAME_OCTETS_PERSON,
        }
    }

    /// Reads the next whole request; `None` when the connection was closed by the peer or has failed. The caller sends
    /// an error as a Notice of Disconnection (RFC 4511 §4.4.1).
    async fn read_frame<R: AsyncRead>(
        &self,
        reader: &mut ReadHalf<R>,
        buffer: &mut BytesMut,
    ) -> OperationResult<Option<BytesMut>> {
        let mut begun = Instant::now();
        loop {
            let length = ber::frame_length(buffer)
                .map_err(|_| LdapResult::new(ResultCode::ProtocolError, "not an LDAP message"))?;
            if let Some(length) = length {
                if length > self.frame_octets_max() {
                    return Err(LdapResult::new(ResultCode::ProtocolError, "the request is too large"));
                }
                let octets = buffer.len().min(length);
                if octets > FRAME_OCTETS_FREE && !self.place.as_ref().is_none_or(|place| place.hold(octets)) {
                    return Err(LdapResult::new(ResultCode::Busy, "the server is short of memory; try again later"));
                }
                if buffer.len() >= length {
                    return Ok(Some(buffer.split_to(length)));
                }
            }
            let idle = if self.identity.is_anonymous() { IDLE_ANONYMOUS } else { IDLE_BOUND };
            tokio::select! {
                () = self.shared.stop.cancelled() => {
                    return Err(LdapResult::new(ResultCode::Unavailable, "the server is shutting down"));
                }
                // The time limit covers the whole request: a client that sends one octet now and then must not keep the
                // connection for ever.
                read = tokio::time::timeout_at(begun + idle, reader.read_buf(buffer)) => match read {
                    Ok(Ok(0) | Err(_)) => return Ok(None),
                    Ok(Ok(_)) => {}
                    // A running operation extends only the wait for the first octet of a request.
                    Err(_) if buffer.is_empty() && self.outstanding.available_permits() < OUTSTANDING_MAX => {
                        begun = Instant::now();
                    }
                    Err(_) => return Err(LdapResult::new(ResultCode::Unavailable, "no whole request arrived in time")),
                },
            }
        }
    }

    async fn request(&mut self, frame: &[u8], output: &ResponseSender) -> AfterRequest {
        match message::decode(frame) {
            Ok(request) => self.operation(request, frame.len(), output).await,
            Err(DecodeError::Refused { id, response, refusal }) => {
                if response == BIND_RESPONSE {
                    self.identity = Arc::new(Identity::anonymous());
                }
                output.queue_response(reply::result(id, response, &refusal, &[]));
                AfterRequest::Continue
            }
            Err(DecodeError::Malformed) => {
                output.queue_response(reply::disconnection(
                    ResultCode::ProtocolError,
                    "malformed or unsupported request",
                ));
                AfterRequest::Close
            }
        }
    }

    /// Responds with a result and no controls; the session continues.
    fn respond(output: &ResponseSender, id: i32, tag: u8, result: &LdapResult) -> AfterRequest {
        output.queue_response(reply::result(id, tag, result, &[]));
        AfterRequest::Continue
    }

    async fn operation(&mut self, request: Request, octets: usize, output: &ResponseSender) -> AfterRequest {
        self.renew_identity();
        let Request { id, operation, controls: raw } = request;
        let target = match &operation {
            Operation::Search(_) => ControlledOperation::Search,
            Operation::Compare { .. } => ControlledOperation::Compare,
            Operation::Write(write) => ControlledOperation::of(write),
            // These have no response, so their controls cannot be refused.
            Operation::Unbind => return AfterRequest::Close,
            Operation::Abandon(abandoned) => return self.abandon(*abandoned),
            _ => ControlledOperation::Other,
        };
        let controls = match controls::read(&raw, target) {
            Ok(controls) => controls,
            Err(refusal) => {
                if matches!(operation, Operation::Bind { .. }) {
                    // RFC 4513 §4: a failed bind leaves the connection anonymous.
                    self.identity = Arc::new(Identity::anonymous());
                }
                return Self::respond(output, id, response_tag(&operation), &refusal);
            }
        };
        let weight = (1 + octets / OUTSTANDING_OCTETS).min(OUTSTANDING_MAX) as u32;
        let Ok(permit) = self.outstanding.clone().acquire_many_owned(weight).await else { return AfterRequest::Close };
        match operation {
            Operation::Bind { version, dn, authentication } => {
                drop(permit);
                self.bind(id, version, &dn, authentication, output).await;
                AfterRequest::Continue
            }
            Operation::Search(search) => {
                let slot = match self.identity.is_privileged() || controls.sync.is_some() {
                    true => None,
                    false => self.search_slots.clone().acquire_owned().await.ok(),
                };
                self.search(id, search, controls, (permit, slot), output)
            }
            Operation::Write(operation) => self.write(id, operation, controls, permit, output).await,
            Operation::Compare { dn, attribute, value } => {
                let outcome = self.compare(&dn, &attribute, value, &controls);
                Self::respond(output, id, 0x6f, &outcome.unwrap_or_else(|refusal| refusal))
            }
            Operation::Extended { oid, value } => self.extended(id, &oid, value, permit, output).await,
            Operation::Unbind | Operation::Abandon(_) => AfterRequest::Close,
        }
    }

    /// Reads the rights from the entry at every request, so that a revoked role takes effect at once.
    fn renew_identity(&mut self) {
        let now = self.identity.renewed(&self.shared.directory.read());
        if now.rights != self.identity.rights {
            tracing::info!(identity = %self.identity.dn, rights = ?now.rights, "rights of an open connection changed");
            self.identity = Arc::new(now);
        }
    }

    fn searches(&self) -> std::sync::MutexGuard<'_, Vec<Arc<OngoingSearch>>> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the searches with this message id. A write is not abandoned (RFC 4511 §4.11 allows both).
    fn abandon(&self, id: i32) -> AfterRequest {
        self.searches().iter().filter(|search| search.id == id).for_each(|search| search.cancelled.cancel());
        AfterRequest::Continue
    }

    async fn bind(&mut self, id: i32, version: i64, dn: &str, authentication: Authentication, output: &ResponseSender) {
        // RFC 4511 §4.2.1: before a bind, searches are abandoned and all other operations completed. RFC 4513 §4: the
        // connection is anonymous until the bind succeeds.
        self.searches().iter().for_each(|search| search.cancelled.cancel());
        self.identity = Arc::new(Identity::anonymous());
        _ = self.outstanding.acquire_many(OUTSTANDING_MAX as u32).await;
        let outcome = self.authenticate(version, dn, authentication).await;
        metrics::counter!("provost_ldap_binds_total", "outcome" => if outcome.is_ok() { "accepted" } else { "refused" })
            .increment(1);
        let result = match outcome {
            Ok(identity) => {
                self.identity = Arc::new(identity);
                LdapResult::success()
            }
            Err(refusal) => {
                tracing::info!(peer = %self.peer, account = loggable(dn), code = ?refusal.code, "LDAP bind refused");
                refusal
            }
        };
        output.queue_response(reply::result(id, BIND_RESPONSE, &result, &[]));
    }

    async fn authenticate(&self, version: i64, dn: &str, authentication: Authentication) -> OperationResult<Identity> {
        if version != 3 {
            return Err(LdapResult::new(ResultCode::ProtocolError, "LDAP version 3 only"));
        }
        let Authentication::Simple(password) = authentication else {
            return Err(LdapResult::new(ResultCode::AuthMethodNotSupported, "simple bind only"));
        };
        match (dn.is_empty(), password.reveal().is_empty()) {
            (true, true) => return Ok(Identity::anonymous()),
            // RFC 4513 §5.1.2: a program that forgot the password must not mistake this for success.
            (false, true) => return Err(LdapResult::new(ResultCode::UnwillingToPerform, "a name without a password")),
            (true, false) => return Err(LdapResult::new(ResultCode::InvalidCredentials, "")),
            (false, false) => {}
        }
        if self.security == ChannelSecurity::Clear && !self.peer.to_canonical().is_loopback() {
            return Err(LdapResult::new(ResultCode::ConfidentialityRequired, "StartTLS first"));
        }
        password::authenticate(&self.shared, dn, password).await
    }

    fn search(
        &self,
        id: i32,
        request: SearchRequest,
        controls: Controls,
        permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
        output: &ResponseSender,
    ) -> AfterRequest {
        let ongoing = Arc::new(OngoingSearch { id, cancelled: self.ended.child_token() });
        {
            let mut searches = self.searches();
            if searches.len() >= SEARCHES_MAX {
                drop(searches);
                return Self::respond(
                    output,
                    id,
                    SEARCH_RESULT_DONE,
                    &LdapResult::new(ResultCode::Busy, "too many searches"),
                );
            }
            // Searches are told apart by pointer: a client that has the result may use the message id again before the
            // search is removed below.
            searches.push(ongoing.clone());
        }
        let (shared, identity, output) = (self.shared.clone(), self.identity.clone(), output.clone());
        let (searches, pages, turn) = (self.searches.clone(), self.pages.clone(), self.search_turn.clone());
        tokio::spawn(async move {
            let (shared, identity, request, output) = (&*shared, &*identity, &request, &output);
            let cancelled = &ongoing.cancelled;
            match &controls.sync {
                Some(sync) => SyncSearch { shared, identity, id, request, output, cancelled }.run(sync).await,
                None => {
                    let pages = &*pages;
                    let _turn = match identity.is_privileged() {
                        true => None,
                        false => turn.acquire().await.ok(),
                    };
                    RunningSearch { shared, identity, id, request, output, cancelled, pages }.run(&controls).await;
                }
            }
            searches.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| !Arc::ptr_eq(one, &ongoing));
            drop(permits);
        });
        AfterRequest::Continue
    }

    /// Queues a write in order of arrival; the response is sent once the write is durable or refused.
    async fn write(
        &self,
        id: i32,
        operation: WriteOperation,
        controls: Controls,
        permit: OwnedSemaphorePermit,
        output: &ResponseSender,
    ) -> AfterRequest {
        let tag = write_tag(&operation);
        let output = output.clone();
        let job = WriteJob {
            operation,
            controls: controls.write,
            identity: Identity::clone(&self.identity),
            answer: Box::new(move |outcome| {
                let octets = match outcome {
                    Ok(controls) => reply::result(id, tag, &LdapResult::success(), &controls),
                    Err(refusal) => reply::result(id, tag, &refusal, &[]),
                };
                output.queue_response(octets);
                drop(permit);
            }),
        };
        job.queue(&self.shared.jobs).await;
        AfterRequest::Continue
    }

    fn compare(&self, dn: &str, attribute: &str, value: Vec<u8>, controls: &Controls) -> OperationResult<LdapResult> {
        let tree = self.shared.directory.read();
        let only = self.identity.readable(&tree)?;
        let place = match (existing(&tree, &parse_dn(dn)?), only) {
            (place, None) => place?,
            (Ok(place), Some(own)) if place == own => place,
            // The same response for hidden and for missing entries, without a matched DN.
            _ => return Err(LdapResult::new(ResultCode::NoSuchObject, "")),
        };
        let snapshot = tree.snapshot(place);
        let snapshot = snapshot.ok_or_else(|| LdapResult::new(ResultCode::NoSuchObject, ""))?;
        let visible = VisibleEntry { tree: &tree, snapshot, with_secrets: self.identity.reads_secrets() };
        if let Some(assertion) = &controls.write.assertion
            && matching::matches(&tree.catalogue, &visible, assertion) != Some(true)
        {
            return Err(LdapResult::new(ResultCode::AssertionFailed, ""));
        }
        let undefined = || LdapResult::new(ResultCode::UndefinedAttributeType, attribute);
        let name = AttributeDescription::parse(attribute).map_err(|_| undefined())?;
        let type_id = AttributeMeaning::of(&tree.catalogue, &name).ok_or_else(undefined)?.type_id;
        if matching::matches(&tree.catalogue, &visible, &Filter::Present(name.clone())) != Some(true) {
            return Err(LdapResult::new(ResultCode::NoSuchAttribute, ""));
        }
        match matching::matches(&tree.catalogue, &visible, &Filter::Equal(name, value)) {
            Some(true) => Ok(LdapResult::new(ResultCode::CompareTrue, "")),
            Some(false) => Ok(LdapResult::new(ResultCode::CompareFalse, "")),
            None if tree.catalogue.type_of(type_id).rule == EqualityRule::None => {
                Err(LdapResult::new(ResultCode::InappropriateMatching, ""))
            }
            None => {
                Err(LdapResult::new(ResultCode::InvalidAttributeSyntax, "the value does not conform to the syntax"))
            }
        }
    }

    async fn extended(
        &self,
        id: i32,
        name: &str,
        value: Option<Vec<u8>>,
        permit: OwnedSemaphorePermit,
        output: &ResponseSender,
    ) -> AfterRequest {
        let answer = |result: &LdapResult, value: Option<&[u8]>| {
            output.queue_response(reply::extended(id, result, None, value));
            AfterRequest::Continue
        };
        match name {
            oid::WHO_AM_I => {
                let dn = self.identity.dn.as_str();
                let authz_id = if dn.is_empty() { String::new() } else { format!("dn:{dn}") };
                answer(&LdapResult::success(), Some(authz_id.as_bytes()))
            }
            oid::START_TLS => match self.check_start_tls() {
                Ok(()) => AfterRequest::StartTls(id),
                Err(refusal) => answer(&refusal, None),
            },
            oid::PASSWORD_MODIFY => {
                let (shared, identity) = (self.shared.clone(), self.identity.clone());
                let modify = password_modify(shared, identity, id, value, permit, output.clone());
                if self.identity.is_privileged() {
                    tokio::spawn(modify);
                } else {
                    // One password change at a time per connection: otherwise one connection could take all places in
                    // the hashing queue.
                    modify.await;
                }
                AfterRequest::Continue
            }
            _ => answer(&LdapResult::new(ResultCode::ProtocolError, "unsupported extended operation"), None),
        }
    }

    /// Checks whether StartTLS is allowed now (RFC 4511 §4.14.1).
    fn check_start_tls(&self) -> OperationResult<()> {
        // This request itself holds one permit.
        let is_idle = self.outstanding.available_permits() + 1 >= OUTSTANDING_MAX;
        match () {
            () if self.shared.tls.is_none() => {
                Err(LdapResult::new(ResultCode::ProtocolError, "this server has no TLS"))
            }
            () if self.security == ChannelSecurity::Tls => {
                Err(LdapResult::new(ResultCode::OperationsError, "the connection is under TLS already"))
            }
            () if !is_idle => Err(LdapResult::new(ResultCode::OperationsError, "operations are still running")),
            () => Ok(()),
        }
    }
}

async fn password_modify(
    shared: Arc<ServerContext>,
    identity: Arc<Identity>,
    id: i32,
    value: Option<Vec<u8>>,
    permit: OwnedSemaphorePermit,
    output: ResponseSender,
) {
    let request = match password::modify(&shared, &identity, value.as_deref()).await {
        Ok(request) => request,
        Err(refusal) => return output.queue_response(reply::extended(id, &refusal, None, None)),
    };
    let generated = request.generated.as_ref().map(password::response_value);
    let job = WriteJob {
        operation: request.operation,
        controls: crate::change::WriteControls::default(),
        identity: request.identity,
        answer: Box::new(move |outcome| {
            let result = outcome.err().unwrap_or_else(LdapResult::success);
            let value = generated.filter(|_| result.code == ResultCode::Success);
            output.queue_response(reply::extended(id, &result, None, value.as_deref()));
            drop(permit);
        }),
    };
    job.queue(&shared.jobs).await;
}

fn write_tag(operation: &WriteOperation) -> u8 {
    match operation {
        WriteOperation::Modify { .. } => 0x67,
        WriteOperation::Add { .. } => 0x69,
        WriteOperation::Delete { .. } => 0x6b,
        WriteOperation::ModifyDn { .. } => 0x6d,
    }
}

/// Returns the tag of an operation's response. Unbind and Abandon have none; theirs is never used.
fn response_tag(operation: &Operation) -> u8 {
    match operation {
        Operation::Bind { .. } => BIND_RESPONSE,
        Operation::Search(_) => SEARCH_RESULT_DONE,
        Operation::Write(operation) => write_tag(operation),
        Operation::Compare { .. } => 0x6f,
        Operation::Extended { .. } | Operation::Unbind | Operation::Abandon(_) => 0x78,
    }
}

/// Returns the name of a bind in a form that is safe to log: cut at [`SHOWN_OCTETS_MAX`], and without control
/// characters, which could forge another line.
fn loggable(dn: &str) -> String {
    let cut = dn.get(..dn.floor_char_boundary(SHOWN_OCTETS_MAX)).unwrap_or_default();
    cut.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_entry::Dn;
    use tokio::io::AsyncWriteExt as _;

    fn server_context(folder: &std::path::Path) -> Arc<ServerContext> {
        let config = crate::ServerConfig {
            folder: folder.to_owned(),
            suffix: Dn::parse("dc=example,dc=edu").unwrap(),
            root_dn: Dn::parse("cn=root").unwrap(),
            root_password: String::new(),
            listen: Vec::new(),
            tls: None,
            admission: None,
            server_id: 1,
        };
        let committer = crate::open(&config, &[]).unwrap();
        let (jobs, _) = tokio::sync::mpsc::channel(1);
        Arc::new(crate::server_context(&config, committer.directory, jobs, CancellationToken::new()))
    }

    // When a write to the socket times out, a response may be cut off in the middle. If the connection stayed open, a
    // client that begins to read would wait for the rest of that response.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::new(server_context(folder.path()), IpAddr::from([127, 0, 0, 1]), ChannelSecurity::Clear);
        let (mut client, socket) = tokio::io::duplex(64);
        let running = tokio::spawn(session.run(socket));
        let whoami = [&[0x30, 30, 2, 1, 1, 0x77, 25, 0x80, 23][..], oid::WHO_AM_I.as_bytes()].concat();
        for _ in 0..8 {
            client.write_all(&whoami).await.unwrap();
        }
        let ended = tokio::time::timeout(IDLE_ANONYMOUS - Duration::from_secs(5), running).await;
        assert!(ended.is_ok(), "the session outlives its output");
    }
}
