//! The connections to one server, and the decision whether to use it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use provost_entry::Dn;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ServerRole;
use crate::breaker::Breaker;
use crate::connection::{ConnectTarget, Connection};
use crate::outcome::OperationFailure;

/// Maximum number of shared connections, on which operations multiplex.
const SHARED_MAX: usize = 8;
/// When every shared connection has this many concurrent operations, another connection is opened: some servers process
/// the operations of a connection one by one.
const BUSY_OPERATIONS: usize = 4;
/// Maximum number of concurrent operations on the shared connections; more wait.
const OPERATIONS_MAX: usize = 256;
/// Maximum number of exclusive connections in use at once, for paged searches and binds together; more callers wait.
const EXCLUSIVE_MAX: usize = 16;
/// Maximum number of exclusive connections for each use that stay open while idle.
const IDLE_MAX: usize = 4;

/// The use of an exclusive connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionUse {
    /// A paged search: servers keep one paging state per connection.
    Paging,
    /// Binds of users, which change the identity of the connection.
    Binding,
}

/// One server and its connections.
pub(crate) struct PooledServer {
    target: ConnectTarget,
    /// Our bind DN and password; an empty DN binds anonymously.
    identity: (String, String),
    suffix: Dn,
    breaker: Mutex<Breaker>,
    shared: Mutex<Vec<Arc<Connection>>>,
    /// Held while a shared connection is opened, so that one is opened at a time.
    connecting: tokio::sync::Mutex<()>,
    paging: Mutex<Vec<Connection>>,
    binding: Mutex<Vec<Connection>>,
    operations: Semaphore,
    exclusive: Semaphore,
    /// How often the connections were forgotten.
    generation: AtomicU64,
}

/// A connection for one caller; [`PooledServer::give_back`] returns it to the pool, dropping it closes it.
pub(crate) struct ExclusiveConnection<'a> {
    pub(crate) connection: Connection,
    /// Whether the connection was just opened. On an older one, an operation also fails if the connection died while
    /// idle.
    pub(crate) fresh: bool,
    usage: ConnectionUse,
    /// Generation of the pool when the connection was taken.
    generation: u64,
    _permit: SemaphorePermit<'a>,
}

/// A connection that other callers may use at the same time.
pub(crate) struct SharedConnection<'a> {
    pub(crate) connection: Arc<Connection>,
    /// Whether it was just opened.
    pub(crate) fresh: bool,
    _permit: SemaphorePermit<'a>,
}

impl PooledServer {
    pub(crate) fn new(target: ConnectTarget, identity: (String, String), suffix: Dn) -> Self {
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
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.target.server.url
    }

    pub(crate) fn role(&self) -> ServerRole {
        self.target.server.role
    }

    /// Whether the circuit breaker permits an operation.
    pub(crate) fn allowed(&self) -> bool {
        lock(&self.breaker).allows(Instant::now())
    }

    /// Reports the result of an operation to the breaker. An answer counts as success unless the server says that it
    /// could not serve ([`OperationFailure::Undone`]). An operation that was not sent counts as neither success nor
    /// failure: it shows nothing about the server, and many callers at once would otherwise shut out a healthy one.
    pub(crate) fn report<T>(&self, outcome: &Result<T, OperationFailure>) {
        let mut breaker = lock(&self.breaker);
        match outcome {
            Err(OperationFailure::NotAsked(_)) => {
                metrics::counter!("provost_directory_unsent_operations_total", "server" => self.url().to_owned())
                    .increment(1);
            }
            Err(OperationFailure::NotSent(_)) => {}
            Ok(_) | Err(OperationFailure::Decided(_) | OperationFailure::Topology(_)) => breaker.succeeded(),
            Err(OperationFailure::Undone(_) | OperationFailure::Lost(_) | OperationFailure::TimedOut) => {
                breaker.failed(Instant::now());
                metrics::counter!("provost_directory_failures_total", "server" => self.url().to_owned()).increment(1);
            }
        }
    }

    /// Returns a connection with our identity on which operations of several callers run at once.
    pub(crate) async fn share(&self) -> Result<SharedConnection<'_>, OperationFailure> {
        let permit = self.permit(&self.operations).await?;
        let (connection, fresh) = self.share_connection().await?;
        Ok(SharedConnection { connection, fresh, _permit: permit })
    }

    /// Returns the connection, and whether it was just opened.
    async fn share_connection(&self) -> Result<(Arc<Connection>, bool), OperationFailure> {
        let best = self.least_busy();
        if let Some((connection, enough)) = &best
            && *enough
        {
            return Ok((Arc::clone(connection), false));
        }
        let _connecting = match (best, self.connecting.try_lock()) {
            (_, Ok(guard)) => guard,
            // Another caller is opening a connection; a busy one serves meanwhile.
            (Some((connection, _)), Err(_)) => return Ok((connection, false)),
            (None, Err(_)) => self.connecting.lock().await,
        };
        if let Some((connection, true)) = self.least_busy() {
            return Ok((connection, false));
        }
        if !self.allowed() {
            return Err(OperationFailure::NotAsked("the server has failed recently"));
        }
        let connection = Arc::new(self.open().await?);
        lock(&self.shared).push(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// Returns the connection with the fewest operations, and whether that one is enough: if not, another one is
    /// opened.
    fn least_busy(&self) -> Option<(Arc<Connection>, bool)> {
        let mut shared = lock(&self.shared);
        shared.retain(|connection| connection.usable());
        let best = shared.iter().min_by_key(|connection| connection.in_flight())?;
        Some((Arc::clone(best), best.in_flight() < BUSY_OPERATIONS || shared.len() >= SHARED_MAX))
    }

    /// Returns an exclusive connection. One for paging has our identity; one for binds is anonymous, or still has the
    /// identity of the last user bound.
    pub(crate) async fn take(&self, usage: ConnectionUse) -> Result<ExclusiveConnection<'_>, OperationFailure> {
        let permit = self.permit(&self.exclusive).await?;
        let generation = self.generation.load(Ordering::Acquire);
        let idle = {
            let mut idle = lock(self.idle(usage));
            idle.retain(Connection::usable);
            idle.pop()
        };
        let (connection, fresh) = match (idle, usage) {
            (Some(connection), _) => (connection, false),
            (None, ConnectionUse::Paging) => (self.open().await?, true),
            (None, ConnectionUse::Binding) => (Connection::open(&self.target).await?, true),
        };
        Ok(ExclusiveConnection { connection, fresh, usage, generation, _permit: permit })
    }

    /// Keeps the connection for the next caller; closes it when it is not usable, when connections were forgotten since
    /// it was taken, or when enough others are idle.
    pub(crate) fn give_back(&self, exclusive: ExclusiveConnection<'_>) {
        let mut idle = lock(self.idle(exclusive.usage));
        let is_current = exclusive.generation == self.generation.load(Ordering::Acquire);
        if is_current && exclusive.connection.usable() && idle.len() < IDLE_MAX {
            idle.push(exclusive.connection);
        }
    }

    fn idle(&self, usage: ConnectionUse) -> &Mutex<Vec<Connection>> {
        match usage {
            ConnectionUse::Paging => &self.paging,
            ConnectionUse::Binding => &self.binding,
        }
    }

    /// Drops the idle connections, and the busy shared ones once their operations end. The next shared operation
    /// connects anew, perhaps to another machine under the same name. An exclusive connection in use is closed when it
    /// is given back.
    pub(crate) fn forget_connections(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        lock(&self.shared).drain(..).for_each(|connection| connection.retire());
        lock(&self.paging).clear();
        lock(&self.binding).clear();
    }

    /// Opens a connection with our identity. Fails for a replica that is not ready.
    pub(crate) async fn open(&self) -> Result<Connection, OperationFailure> {
        let connection = Connection::open(&self.target).await?;
        let (dn, password) = &self.identity;
        if !dn.is_empty() {
            connection.bind(dn, password).await?;
        }
        if self.role() == ServerRole::Replica {
            // A replica that is still being filled answers every search, but incompletely.
            connection.context_csn(&self.suffix).await?;
        }
        Ok(connection)
    }

    /// Waits for a permit for one operation; [`OperationFailure::NotAsked`] when none is free within the operation
    /// timeout.
    async fn permit<'a>(&self, semaphore: &'a Semaphore) -> Result<SemaphorePermit<'a>, OperationFailure> {
        match tokio::time::timeout(self.target.operation_timeout, semaphore.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(OperationFailure::NotAsked("too many operations are running")),
        }
    }
}

/// Locks, also a poisoned lock: the guarded value is consistent at every moment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
