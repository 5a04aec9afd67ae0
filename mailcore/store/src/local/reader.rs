//! Read-only connections of one database, used on blocking threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fault::{storage, unavailable};
use super::schema;
use crate::StoreError;

/// Maximum number of connections in the pool of one database. Each shard is one database, so the default four
/// have eight connections in all. On a small machine, more would only cost memory.
const CONNECTIONS: usize = 2;
/// Maximum number of concurrent body reads of one shard. They wait for the disk and hold no connection, so there
/// may be more of them.
const BODY_READS: usize = 16;

/// A pool of connections, which are opened when first needed and kept.
#[derive(Clone)]
pub(super) struct Readers {
    shared: Arc<ReaderPool>,
}

struct ReaderPool {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    body_turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(database: PathBuf) -> Self {
        let (turns, body_turns) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(BODY_READS)));
        Self { shared: Arc::new(ReaderPool { database, idle: Mutex::default(), turns, body_turns }) }
    }

    /// Reads with one consistent view of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.shared.turns).acquire_owned().await.map_err(unavailable)?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            // Held by the read, not by the future: a read whose caller is cancelled still runs to its end.
            let _turn = turn;
            shared.read(read)
        };
        tokio::task::spawn_blocking(work).await.map_err(unavailable)?
    }

    /// Looks up where a body is stored, and reads it after the connection is free again.
    pub(super) async fn read_body<P: Send + 'static, T: Send + 'static>(
        &self,
        locate: impl FnOnce(&Connection) -> Result<P, StoreError> + Send + 'static,
        read: impl FnOnce(P) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let body_turn = Arc::clone(&self.shared.body_turns).acquire_owned().await.map_err(unavailable)?;
        let turn = Arc::clone(&self.shared.turns).acquire_owned().await.map_err(unavailable)?;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let _body_turn = body_turn;
            let place = shared.read(locate);
            drop(turn);
            read(place?)
        };
        tokio::task::spawn_blocking(work).await.map_err(unavailable)?
    }
}

impl ReaderPool {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = kept.map_or_else(|| schema::connect_to_read(&self.database), Ok)?;
        let result = {
            let _view = connection.unchecked_transaction().map_err(storage)?;
            read(&connection)
        };
        idle().push(connection);
        result
    }
}
