//! The connections to one server, and when it may be used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use provost_entry::Dn;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ServerRole;
use crate::breaker::Breaker;
use crate::connection::{Connection, Target};
use crate::outcome::Failure;

/// Most connections on which operations multiplex.
const SHARED_MAX: usize = 8;
/// Operations on each connection before another one is opened: some servers work serially on one connection.
const SPREAD: usize = 4;
/// Most operations under way at one server; more wait.
const OPERATIONS_MAX: usize = 256;
/// Most connections that serve one caller at a time (paged searches, binds).
const EXCLUSIVE_MAX: usize = 16;
/// How many of those are kept open when idle.
const IDLE_MAX: usize = 4;

/// What an exclusive connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A paged search: servers keep one paging state for each connection.
    Paging,
    /// Binds of users: they change the identity of the connection.
    Binding,
}

/// One server with its connections.
pub(crate) struct Server {
    target: Target,
    identity: (String, String),
    suffix: Dn,
    breaker: Mutex<Breaker>,
    shared: Mutex<Vec<Arc<Connection>>>,
    connecting: tokio::sync::Mutex<()>,
    paging: Mutex<Vec<Connection>>,
    binding: Mutex<Vec<Connection>>,
    operations: Semaphore,
    exclusive: Semaphore,
}

/// A connection for one caller; given back by [`Server::give_back`], closed when it is dropped instead.
pub(crate) struct Exclusive<'a> {
    pub(crate) connection: Connection,
    /// Whether it was opened just now: a failure on it is the server's, not the idle time's.
    pub(crate) fresh: bool,
    lane: Lane,
    _permit: SemaphorePermit<'a>,
}

/// A connection that others use too.
pub(crate) struct Shared<'a> {
    pub(crate) connection: Arc<Connection>,
    /// Whether it was opened just now.
    pub(crate) fresh: bool,
    _permit: SemaphorePermit<'a>,
}

impl Server {
    pub(crate) fn new(target: Target, identity: (String, String), suffix: Dn) -> Self {
        Self {
            target,
            identity,
            suffix,
            breaker: Mutex::default(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
            paging: Mutex::default(),
            binding: Mutex::default(),
            operations: Semaphore::new(OPERATIONS_MAX),
            exclusive: Semaphore::new(EXCLUSIVE_MAX),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.target.server.url
    }

    pub(crate) fn role(&self) -> ServerRole {
        self.target.server.role
    }

    /// Whether the circuit breaker lets an operation through.
    pub(crate) fn allowed(&self) -> bool {
        lock(&self.breaker).allows(Instant::now())
    }

    /// Tells the breaker what came of an operation: an answer, whichever, is good. One that was never sent counts for
    /// nothing, or many callers at once would shut out a server in good health.
    pub(crate) fn report<T>(&self, outcome: &Result<T, Failure>) {
        let mut breaker = lock(&self.breaker);
        match outcome {
            Err(Failure::NotAsked(_)) => {
                metrics::counter!("provost_directory_not_asked_total", "server" => self.url().to_owned()).increment(1);
            }
            Ok(_) | Err(Failure::Decided(_) | Failure::Topology(_)) => breaker.succeeded(),
            Err(Failure::Undone(_) | Failure::Lost(_) | Failure::TimedOut) => {
                breaker.failed(Instant::now());
                metrics::counter!("provost_directory_failures_total", "server" => self.url().to_owned()).increment(1);
            }
        }
    }

    /// A connection with our identity that is good for any number of operations at a time.
    pub(crate) async fn share(&self) -> Result<Shared<'_>, Failure> {
        let permit = self.permit(&self.operations).await?;
        let (connection, fresh) = self.share_connection().await?;
        Ok(Shared { connection, fresh, _permit: permit })
    }

    async fn share_connection(&self) -> Result<(Arc<Connection>, bool), Failure> {
        let best = self.least_busy();
        if let Some((connection, enough)) = &best
            && *enough
        {
            return Ok((Arc::clone(connection), false));
        }
        let _connecting = match (best, self.connecting.try_lock()) {
            (_, Ok(guard)) => guard,
            // Somebody is opening one: meanwhile the busy ones do.
            (Some((connection, _)), Err(_)) => return Ok((connection, false)),
            (None, Err(_)) => self.connecting.lock().await,
        };
        if let Some((connection, true)) = self.least_busy() {
            return Ok((connection, false));
        }
        if !self.allowed() {
            return Err(Failure::NotAsked("it failed just now"));
        }
        let connection = Arc::new(self.open().await?);
        lock(&self.shared).push(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// The connection with the fewest operations, and whether no further one should be opened.
    fn least_busy(&self) -> Option<(Arc<Connection>, bool)> {
        let mut shared = lock(&self.shared);
        shared.retain(|connection| connection.usable());
        let best = shared.iter().min_by_key(|connection| connection.in_flight())?;
        Some((Arc::clone(best), best.in_flight() < SPREAD || shared.len() >= SHARED_MAX))
    }

    /// A connection for this caller alone: with our identity for paging, without any for binding.
    pub(crate) async fn take(&self, lane: Lane) -> Result<Exclusive<'_>, Failure> {
        let permit = self.permit(&self.exclusive).await?;
        let idle = {
            let mut idle = lock(self.idle(lane));
            idle.retain(Connection::usable);
            idle.pop()
        };
        let (connection, fresh) = match (idle, lane) {
            (Some(connection), _) => (connection, false),
            (None, Lane::Paging) => (self.open().await?, true),
            (None, Lane::Binding) => (Connection::open(&self.target).await?, true),
        };
        Ok(Exclusive { connection, fresh, lane, _permit: permit })
    }

    /// Keeps the connection for the next caller.
    pub(crate) fn give_back(&self, exclusive: Exclusive<'_>) {
        let mut idle = lock(self.idle(exclusive.lane));
        if exclusive.connection.usable() && idle.len() < IDLE_MAX {
            idle.push(exclusive.connection);
        }
    }

    fn idle(&self, lane: Lane) -> &Mutex<Vec<Connection>> {
        match lane {
            Lane::Paging => &self.paging,
            Lane::Binding => &self.binding,
        }
    }

    /// Lets go of all connections: the next operation connects anew, perhaps to another machine of that name.
    pub(crate) fn forget_connections(&self) {
        lock(&self.shared).drain(..).for_each(|connection| connection.retire());
        lock(&self.paging).clear();
    }

    /// Opens a connection with our identity to a server that is ready.
    pub(crate) async fn open(&self) -> Result<Connection, Failure> {
        let connection = Connection::open(&self.target).await?;
        let (dn, password) = &self.identity;
        if !dn.is_empty() {
            connection.bind(dn, password).await?;
        }
        if self.role() == ServerRole::Replica {
            // A replica that is being filled answers every question, wrongly.
            connection.context_csn(&self.suffix).await?;
        }
        Ok(connection)
    }

    /// A place among the operations under way; [`Failure::NotAsked`] when none is free in time.
    async fn permit<'a>(&self, semaphore: &'a Semaphore) -> Result<SemaphorePermit<'a>, Failure> {
        match tokio::time::timeout(self.target.operation_timeout, semaphore.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Failure::NotAsked("too many operations are under way")),
        }
    }
}

/// A poisoned lock guards lists that are whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
