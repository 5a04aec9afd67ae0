//! The upkeep's access to a shard: reads, and changes through the committer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;

use super::super::bodies::locate;
use super::super::change::change;
use super::super::committer::Committer;
use super::super::database::{self, Database};
use super::super::fault::{storage, unavailable};
use super::super::pack::{BodyLocation, PackNumbers, PackReader};
use super::super::schema;
use super::super::writer::ShardWork;
use crate::StoreError;

/// Access to one shard.
pub(super) struct ShardAccess {
    pub(super) folder: PathBuf,
    pub(super) packs: Arc<PackReader>,
    pub(super) numbers: Arc<PackNumbers>,
    committer: Arc<Committer<ShardWork>>,
    connection: Option<Connection>,
}

impl ShardAccess {
    pub(super) fn new(
        folder: &Path,
        committer: &Arc<Committer<ShardWork>>,
        packs: &Arc<PackReader>,
        numbers: &Arc<PackNumbers>,
    ) -> Self {
        let (packs, numbers, committer) = (Arc::clone(packs), Arc::clone(numbers), Arc::clone(committer));
        Self { folder: folder.to_owned(), packs, numbers, committer, connection: None }
    }

    /// Reads committed rows with one consistent view.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(schema::connect_to_read(&database::path(&self.folder))?),
        };
        let _view = connection.unchecked_transaction().map_err(storage)?;
        read(connection)
    }

    /// Makes a change through the committer; durable on return.
    pub(super) fn change<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (change, receiver) = change(run);
        self.committer.send_now(ShardWork::Change(change));
        receiver.blocking_recv().map_err(unavailable)?
    }

    /// Reads a body, and checks one in a pack against its checksum; `None` when the body is gone.
    pub(super) fn body(&mut self, number: u64) -> Result<Option<Bytes>, StoreError> {
        // Only this thread moves bodies, so a body is still where it was found.
        match self.read(|connection| locate(connection, number))? {
            Some(BodyLocation::Inline(body)) => Ok(Some(body)),
            Some(BodyLocation::Pack(place)) => self.packs.read(place, None).map(Some),
            None => Ok(None),
        }
    }
}
