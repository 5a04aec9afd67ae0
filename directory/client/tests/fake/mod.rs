//! An LDAP server that answers each request by a test's script, correctly or not.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{
    LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult, LdapResultCode,
    LdapSearchResultEntry,
};
use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole};
use provost_entry::Dn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;

/// A step in response to a request.
pub enum ScriptedStep {
    /// Send a message with the request's message id.
    Reply(LdapOp),
    /// Send these octets.
    Raw(Vec<u8>),
    /// Wait before the next step.
    Pause(Duration),
    /// Close the connection.
    Close,
}

pub use ScriptedStep::{Close, Pause, Raw, Reply};

/// Returns the steps that answer a request.
type Handler = Arc<dyn Fn(&LdapMsg) -> Vec<ScriptedStep> + Send + Sync>;

/// The TLS mode of the server.
#[derive(Clone)]
pub enum Security {
    Plain,
    Tls(TlsAcceptor),
    StartTls(TlsAcceptor),
}

/// A running server. Records the received messages as debug text.
pub struct Fake {
    pub port: u16,
    received: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub async fn start(handler: impl Fn(&LdapMsg) -> Vec<ScriptedStep> + Send + Sync + 'static) -> Self {
        Self::start_with(Security::Plain, handler).await
    }

    pub async fn start_with(
        security: Security,
        handler: impl Fn(&LdapMsg) -> Vec<ScriptedStep> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (handler, log): (Handler, _) = (Arc::new(handler), Arc::clone(&received));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (handler, log, security) = (Arc::clone(&handler), Arc::clone(&log), security.clone());
                tokio::spawn(async move {
                    match security {
                        Security::Plain => drop(serve(socket, &handler, &log, false).await),
                        Security::Tls(tls) => {
                            let Ok(stream) = tls.accept(socket).await else { return };
                            serve(stream, &handler, &log, false).await;
                        }
                        Security::StartTls(tls) => {
                            let Some(socket) = serve(socket, &handler, &log, true).await else { return };
                            let Ok(stream) = tls.accept(socket).await else { return };
                            serve(stream, &handler, &log, false).await;
                        }
                    }
                });
            }
        });
        Self { port, received, task }
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// Returns how many received messages contain `text`.
    pub fn received(&self, text: &str) -> usize {
        self.received.lock().unwrap().iter().filter(|message| message.contains(text)).count()
    }

    /// Waits until a received message contains `text`.
    pub async fn wait_until_received(&self, text: &str) {
        self.wait_until_received_times(text, 1).await;
    }

    /// Waits until `times` received messages contain `text`.
    pub async fn wait_until_received_times(&self, text: &str, times: usize) {
        let waiting = async {
            while self.received(text) < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let received = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(received.is_ok(), "{text} was not received: {:?}", self.received.lock().unwrap());
    }

    pub fn directory(&self) -> Directory {
        directory(&[(&self.url(), ServerRole::Provider)])
    }
}

/// Serves one connection to its end. With `until_start_tls`, answers one request as StartTLS and returns the socket.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    handler: &Handler,
    received: &Mutex<Vec<String>>,
    until_start_tls: bool,
) -> Option<S> {
    let mut framed = Framed::new(socket, LdapCodec::default());
    while let Some(Ok(message)) = framed.next().await {
        received.lock().unwrap().push(format!("{message:?}"));
        if until_start_tls {
            let op = LdapOp::ExtendedResponse(LdapExtendedResponse { res: result(0), name: None, value: None });
            framed.send(LdapMsg { msgid: message.msgid, op, ctrl: vec![] }).await.ok()?;
            return Some(framed.into_inner());
        }
        for step in handler(&message) {
            match step {
                Reply(op) => framed.send(LdapMsg { msgid: message.msgid, op, ctrl: vec![] }).await.ok()?,
                Raw(octets) => framed.get_mut().write_all(&octets).await.ok()?,
                Pause(time) => tokio::time::sleep(time).await,
                Close => return None,
            }
        }
    }
    None
}

pub fn directory(servers: &[(&str, ServerRole)]) -> Directory {
    Directory::new(config(servers))
}

/// A client configuration for these servers. The timeouts are short, because tests wait for them to expire.
pub fn config(servers: &[(&str, ServerRole)]) -> DirectoryConfig {
    let server =
        |(url, role): &(&str, ServerRole)| ServerAddress { url: (*url).to_owned(), role: *role, start_tls: false };
    DirectoryConfig {
        servers: servers.iter().map(server).collect(),
        bind_dn: "cn=us".to_owned(),
        bind_password: "ours".to_owned(),
        suffix: Dn::parse("dc=example").unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_millis(500),
        operation_timeout: Duration::from_millis(300),
    }
}

/// A result with this code; `other` (80) for a code that no test needs.
pub fn result(code: u16) -> LdapResult {
    let code = match code {
        0 => LdapResultCode::Success,
        10 => LdapResultCode::Referral,
        12 => LdapResultCode::UnavailableCriticalExtension,
        49 => LdapResultCode::InvalidCredentials,
        51 => LdapResultCode::Busy,
        52 => LdapResultCode::Unavailable,
        53 => LdapResultCode::UnwillingToPerform,
        4096 => LdapResultCode::EsyncRefreshRequired,
        _ => LdapResultCode::Other,
    };
    LdapResult { code, matcheddn: String::new(), message: String::new(), referral: vec![] }
}

pub fn entry(dn: &str, name: &str, value: &str) -> ScriptedStep {
    let attributes = vec![LdapPartialAttribute { atype: name.to_owned(), vals: vec![value.into()] }];
    Reply(LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: dn.to_owned(), attributes }))
}

pub fn done(code: u16) -> ScriptedStep {
    Reply(LdapOp::SearchResultDone(result(code)))
}

/// A handler that answers as a healthy server with one entry, except where `special` has an answer.
pub fn healthy(special: impl Fn(&LdapMsg) -> Option<Vec<ScriptedStep>>) -> impl Fn(&LdapMsg) -> Vec<ScriptedStep> {
    move |message| {
        if let Some(steps) = special(message) {
            return steps;
        }
        match &message.op {
            LdapOp::BindRequest(_) => {
                vec![Reply(LdapOp::BindResponse(LdapBindResponse { res: result(0), saslcreds: None }))]
            }
            LdapOp::SearchRequest(request) if request.attrs.iter().any(|name| name == "contextCSN") => {
                vec![entry("dc=example", "contextCSN", "20260101000000.000000Z#000000#001#000000"), done(0)]
            }
            LdapOp::SearchRequest(_) => vec![entry("uid=zoe,dc=example", "uid", "zoe"), done(0)],
            LdapOp::AddRequest(_) => vec![Reply(LdapOp::AddResponse(result(0)))],
            LdapOp::ModifyRequest(_) => vec![Reply(LdapOp::ModifyResponse(result(0)))],
            LdapOp::DelRequest(_) => vec![Reply(LdapOp::DelResponse(result(0)))],
            _ => vec![],
        }
    }
}
