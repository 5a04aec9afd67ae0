//! The embedded LDAP server: LDAPv3 with the project's schema, durable writes, and an RFC 4533 provider.
//!
//! The server handles entries, schema and access rules; of people it knows only what they may change in their own entry
//! (`access`). The features that it has behave as in OpenLDAP.
//!
//! The path of a request: `session` reads a frame, `message` decodes it, `search` and `sync` answer from the `tree` in
//! memory. Writes go through the single `committer`, which checks them (`change`), makes them durable (`storage`),
//! updates the tree, notifies the watchers and only then responds.

mod access;
mod admission;
mod ber;
mod catalogue;
mod change;
mod committer;
mod constraint;
mod controls;
mod csn;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
mod ldap_result;
mod matching;
mod message;
mod migration;
mod names;
mod output;
mod paging;
mod password;
mod record;
mod reply;
mod result_entry;
mod root;
mod search;
mod session;
mod shared;
mod storage;
mod storage_error;
mod sync;
mod tree;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use provost_credential::PasswordPolicy;
use provost_entry::{Dn, Entry};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use admission::{AdmittedClient, ClientAdmission, ClientPlace};

use access::Identity;
use committer::{Committer, DirectoryHandle, QUEUE_MAX, WriteJob};
use message::WriteOperation;
use shared::ServerContext;
use storage::Storage;

/// Maximum number of concurrent connections to all listeners; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Largest server id: three hexadecimal digits of a CSN.
pub const SERVER_ID_MAX: u16 = 0xfff;

/// Configuration of the server.
#[derive(Clone)]
pub struct ServerConfig {
    /// Folder of the SQLite file; created when missing.
    pub folder: PathBuf,
    /// The suffix of the directory.
    pub suffix: Dn,
    /// The DN of the root identity, which is above all access rules and needs no entry.
    pub root_dn: Dn,
    /// The root identity's password as a `userPassword` value (a hash).
    pub root_password: String,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// TLS configuration for StartTLS; `None` refuses StartTLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Determines and limits clients; `None` admits every connection under the socket's address.
    pub admission: Option<Arc<dyn ClientAdmission>>,
    /// Server id in CSNs, at most [`SERVER_ID_MAX`].
    pub server_id: u16,
}

/// A running server.
pub struct Server {
    /// The addresses it listens on, with the actual port where 0 was configured.
    pub addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    sessions: TaskTracker,
    committer: JoinHandle<()>,
    committer_probe: CommitterProbe,
    shared: std::sync::Weak<ServerContext>,
}

/// Reports whether a server's committer is alive. Cheap to clone; does not keep the server running.
#[derive(Clone)]
pub struct CommitterProbe(mpsc::WeakSender<WriteJob>);

impl CommitterProbe {
    /// Whether the committer has ended. While the server runs, it ends only by a bug, and only a restart revives it.
    pub fn is_dead(&self) -> bool {
        self.0.upgrade().is_none_or(|jobs| jobs.is_closed())
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened or filled, or the committer cannot start.
    #[error("the embedded directory cannot start: {0}")]
    Storage(String),
    /// The server id is larger than [`SERVER_ID_MAX`].
    #[error("server id {0} is larger than {SERVER_ID_MAX}")]
    ServerId(u16),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

fn storage_error(error: impl std::fmt::Display) -> StartError {
    StartError::Storage(error.to_string())
}

impl Server {
    /// Opens the database and listens. The `seed` entries (suffix, containers, service identities) are added to a
    /// database that is empty or was not seeded to the end.
    pub async fn start(config: ServerConfig, seed: Vec<Entry>) -> Result<Self, StartError> {
        if config.server_id > SERVER_ID_MAX {
            return Err(StartError::ServerId(config.server_id));
        }
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?;
            listeners.push(listener);
        }
        let opening = config.clone();
        let opened = tokio::task::spawn_blocking(move || open(&opening, &seed)).await.map_err(storage_error)?;
        let committer = opened?;
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let (stop, committer_probe) = (CancellationToken::new(), CommitterProbe(jobs.downgrade()));
        let shared = Arc::new(server_context(&config, committer.directory.clone(), jobs, stop.clone()));
        let committer = std::thread::Builder::new()
            .name("ldap-committer".into())
            .spawn(move || committer.run(waiting))
            .map_err(storage_error)?;
        let context = Arc::downgrade(&shared);
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let sessions = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for listener in listeners {
            sessions.spawn(accept(listener, shared.clone(), sessions.clone(), permits.clone()));
        }
        Ok(Self { addresses, stop, sessions, committer, committer_probe, shared: context })
    }

    /// Has password modify (RFC 3062) follow the site's rules from now on; until then it follows the default ones. Only
    /// the first call has an effect: the server starts before the View, which has the site's settings.
    pub fn follow_password_policy(&self, policy: impl Fn() -> PasswordPolicy + Send + Sync + 'static) {
        if let Some(shared) = self.shared.upgrade() {
            let _ = shared.password_policy.set(Arc::new(policy));
        }
    }

    /// Returns a handle that reports whether the committer is alive.
    pub fn committer_probe(&self) -> CommitterProbe {
        self.committer_probe.clone()
    }

    /// Refuses new connections, ends the running ones with a Notice of Disconnection, and closes the database.
    pub async fn stop(self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        // The sessions have ended and dropped their senders, so the committer ends too.
        let ended = tokio::task::spawn_blocking(move || self.committer.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the directory's committer ended because of a bug");
        }
    }
}

/// Opens the file, and adds the seed unless all of it was added before.
fn open(config: &ServerConfig, seed: &[Entry]) -> Result<Committer, StartError> {
    let catalogue = Arc::new(catalogue::Catalogue::load().map_err(storage_error)?);
    let (storage, tree) = Storage::open(&config.folder, catalogue, &config.suffix).map_err(storage_error)?;
    let sequence = csn::CsnSequence::new(config.server_id, tree.context.of(config.server_id));
    let entries = tree.entries();
    tracing::info!(entries, suffix = %config.suffix, "directory loaded");
    let directory = Arc::new(DirectoryHandle::new(tree));
    let mut committer = Committer { directory, storage, sequence, clock: Timestamp::now };
    if entries == 0 || committer.storage.is_unseeded().map_err(storage_error)? {
        seed.iter().try_for_each(|entry| add_seed(&mut committer, config, entry))?;
        committer.storage.set_seeded().map_err(storage_error)?;
    }
    Ok(committer)
}

fn add_seed(committer: &mut Committer, config: &ServerConfig, entry: &Entry) -> Result<(), StartError> {
    let attributes = entry.attributes().map(|(name, values)| (name.as_str().to_owned(), values.to_vec())).collect();
    let (answer, outcome) = std::sync::mpsc::channel();
    committer.commit(vec![WriteJob {
        operation: WriteOperation::Add { dn: entry.dn.as_str().to_owned(), attributes },
        controls: change::WriteControls::default(),
        identity: Identity::root(config.root_dn.clone()),
        answer: Box::new(move |outcome| _ = answer.send(outcome)),
    }]);
    match outcome.recv() {
        Ok(Ok(_)) => Ok(()),
        // Added by an earlier start that was interrupted afterwards.
        Ok(Err(refusal)) if refusal.code == ldap_result::ResultCode::EntryAlreadyExists => Ok(()),
        Ok(Err(refusal)) => {
            let text = format!("seed {}: {:?} {}", entry.dn, refusal.code, refusal.message);
            Err(StartError::Storage(text))
        }
        Err(_) => Err(StartError::Storage("the committer gave no answer".into())),
    }
}

fn server_context(
    config: &ServerConfig,
    directory: Arc<DirectoryHandle>,
    jobs: mpsc::Sender<WriteJob>,
    stop: CancellationToken,
) -> ServerContext {
    let catalogue = directory.read().catalogue.clone();
    ServerContext {
        root_dse: root::root_dse(&config.suffix, config.tls.is_some()),
        subschema: root::subschema(&catalogue),
        hashing: hashing::Hashing::new(),
        password_policy: std::sync::OnceLock::new(),
        root_dn: config.root_dn.clone(),
        root_password: config.root_password.clone(),
        admission: config.admission.clone(),
        tls: config.tls.clone().map(TlsAcceptor::from),
        directory,
        catalogue,
        jobs,
        stop,
    }
}

async fn accept(listener: TcpListener, shared: Arc<ServerContext>, sessions: TaskTracker, permits: Arc<Semaphore>) {
    loop {
        let accepted: std::io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match (accepted, permits.clone().try_acquire_owned()) {
            (Ok((socket, peer)), Ok(place)) => {
                let session = session::serve(shared.clone(), socket, peer);
                sessions.spawn(async move {
                    session.await;
                    drop(place);
                });
            }
            (Ok((_, peer)), Err(_)) => {
                metrics::counter!("provost_net_refused_total", "listener" => "ldap").increment(1);
                tracing::debug!(%peer, "refused a connection: too many are open");
            }
            (Err(error), _) => {
                tracing::warn!(%error, "accept failed");
                // Possibly out of file descriptors: an immediate retry would only burn CPU time.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
