//! The embedded LDAP server: a real LDAPv3 endpoint over the project's schema, durable, an RFC 4533 provider.
//!
//! It knows neither people nor mail: entries, schema and access rules only. Nothing that reads it can tell it from
//! OpenLDAP but by speed.
//!
//! The way of a request: `session` cuts frames, `message` reads one, `search` and `sync` answer from the `tree` in
//! memory; writes go through the one `committer`, which checks them (`change`), makes them durable (`storage`), puts
//! them into the tree, notifies the watchers and only then answers.

mod access;
mod ber;
mod catalogue;
mod change;
mod client_address;
mod committer;
mod constraint;
mod controls;
mod csn;
mod hashing;
mod matching;
mod message;
mod migration;
mod names;
mod output;
mod paging;
mod password;
mod record;
mod refusal;
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
use provost_entry::{Dn, Entry};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client_address::ClientAddress;

use access::Identity;
use committer::{Committer, Directory, QUEUE_MAX, WriteJob};
use message::WriteOperation;
use shared::Shared;
use storage::Storage;

/// Most connections at once; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 1_024;

/// What the server needs to know.
#[derive(Clone)]
pub struct ServerConfig {
    /// Folder of its SQLite file; made when missing.
    pub folder: PathBuf,
    /// The one suffix it holds.
    pub suffix: Dn,
    /// Identity above all access rules, not an entry.
    pub root_dn: Dn,
    /// Its password, as a `userPassword` value (hashed).
    pub root_password: String,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// For StartTLS; `None` refuses it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Finds the client behind a balancer; `None` takes the socket's address.
    pub client_address: Option<Arc<dyn ClientAddress>>,
    /// CSN server id, 0 to 4095.
    pub server_id: u16,
}

/// A running server.
pub struct Server {
    /// Where it listens really.
    pub addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    sessions: TaskTracker,
    committer: JoinHandle<()>,
    pulse: Pulse,
}

/// Tells whether a server's committer still writes. Cheap to clone; does not keep the server running.
#[derive(Clone)]
pub struct Pulse(mpsc::WeakSender<WriteJob>);

impl Pulse {
    /// Whether the committer ended by a bug: only another start brings it back.
    pub fn is_dead(&self) -> bool {
        self.0.upgrade().is_none_or(|jobs| jobs.is_closed())
    }
}

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Files.
    #[error("directory folder: {0}")]
    Storage(String),
    /// Sockets.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

fn storage_error(error: impl std::fmt::Display) -> StartError {
    StartError::Storage(error.to_string())
}

impl Server {
    /// Opens the database and listens. `seed` entries (suffix, containers, service identities) are added when the
    /// database is empty.
    pub async fn start(config: ServerConfig, seed: Vec<Entry>) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = TcpListener::bind(address).await.map_err(|error| StartError::Listen(*address, error))?;
            listeners.push(listener);
        }
        let opening = config.clone();
        let opened = tokio::task::spawn_blocking(move || open(&opening, &seed)).await.map_err(storage_error)?;
        let committer = opened?;
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let (stop, pulse) = (CancellationToken::new(), Pulse(jobs.downgrade()));
        let shared = Arc::new(share(&config, committer.directory.clone(), jobs, stop.clone()));
        let committer = std::thread::Builder::new()
            .name("ldap-committer".into())
            .spawn(move || committer.run(waiting))
            .map_err(storage_error)?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let sessions = TaskTracker::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for listener in listeners {
            sessions.spawn(accept(listener, shared.clone(), sessions.clone(), places.clone()));
        }
        Ok(Self { addresses, stop, sessions, committer, pulse })
    }

    /// Whether it still writes.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Refuses new connections, ends the running ones with a Notice of Disconnection, closes the database.
    pub async fn stop(self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        // The last session took the last way to the committer with it.
        let ended = tokio::task::spawn_blocking(move || self.committer.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the directory's committer ended by a bug");
        }
    }
}

/// Opens the file and adds the seed to an empty one.
fn open(config: &ServerConfig, seed: &[Entry]) -> Result<Committer, StartError> {
    let catalogue = Arc::new(catalogue::Catalogue::load().map_err(storage_error)?);
    let (storage, tree) = Storage::open(&config.folder, catalogue, &config.suffix).map_err(storage_error)?;
    let sequence = csn::Sequence::new(config.server_id, tree.context.of(config.server_id));
    let entries = tree.entries();
    tracing::info!(entries, suffix = %config.suffix, "directory loaded");
    let directory = Arc::new(Directory::new(tree));
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
        // Added by a start that was cut off after it.
        Ok(Err(refusal)) if refusal.code == refusal::Code::EntryAlreadyExists => Ok(()),
        Ok(Err(refusal)) => {
            let words = format!("seed {}: {:?} {}", entry.dn, refusal.code, refusal.message);
            Err(StartError::Storage(words))
        }
        Err(_) => Err(StartError::Storage("the committer gave no answer".into())),
    }
}

fn share(
    config: &ServerConfig,
    directory: Arc<Directory>,
    jobs: mpsc::Sender<WriteJob>,
    stop: CancellationToken,
) -> Shared {
    let catalogue = directory.read().catalogue.clone();
    Shared {
        root_dse: root::root_dse(&config.suffix, config.tls.is_some()),
        subschema: root::subschema(&catalogue),
        hashing: hashing::Hashing::new(),
        root_dn: config.root_dn.clone(),
        root_password: config.root_password.clone(),
        client_address: config.client_address.clone(),
        tls: config.tls.clone().map(TlsAcceptor::from),
        directory,
        catalogue,
        jobs,
        stop,
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, sessions: TaskTracker, places: Arc<Semaphore>) {
    loop {
        let accepted: std::io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match (accepted, places.clone().try_acquire_owned()) {
            (Ok((socket, peer)), Ok(place)) => {
                let session = session::serve(shared.clone(), socket, peer);
                sessions.spawn(async move {
                    session.await;
                    drop(place);
                });
            }
            (Ok((_, peer)), Err(_)) => tracing::warn!(%peer, "too many connections"),
            (Err(error), _) => {
                tracing::warn!(%error, "accept failed");
                // Out of descriptors: asking again at once would only burn the processor.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
