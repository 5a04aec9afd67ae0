//! RFC 4533 as a consumer: refreshAndPersist as a stream of events.

use provost_entry::Entry;
use uuid::Uuid;

use crate::{Directory, DirectoryError};

/// Opaque synchronisation state, already merged per server id. Saved together with what it describes, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie(pub Vec<u8>);

/// What the provider says, in order.
#[derive(Debug)]
pub enum SyncEvent {
    /// The entry is so now (added or modified).
    Put(Uuid, Entry),
    /// The entry is still as it was (present phase).
    Present(Vec<Uuid>),
    /// The entries are gone.
    Delete(Vec<Uuid>),
    /// The present phase ended: what was neither put nor present since the last cookie is gone.
    RefreshPresentDone,
    /// The refresh is complete: the state is a whole one. Changes follow as they happen.
    RefreshDone,
    /// State up to here may be saved under this cookie.
    Cookie(Cookie),
    /// The provider cannot continue from our cookie (e-syncRefreshRequired): start again with none.
    RefreshRequired,
}

/// A running refreshAndPersist search.
pub struct SyncStream {
    _private: (),
}

impl SyncStream {
    /// The next event; `Err` ends the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<SyncEvent, DirectoryError> {
        todo!("H2")
    }

    /// Which server it reads from.
    pub fn url(&self) -> &str {
        todo!("H2")
    }

    /// Asks the same server for its contextCSN within the operation's deadline: `Ok` means that it is alive and ready.
    pub async fn probe(&mut self) -> Result<Vec<String>, DirectoryError> {
        todo!("H2")
    }
}

impl Directory {
    /// Starts refreshAndPersist over the suffix at a server that has a contextCSN; one without is passed over as down.
    pub async fn sync(&self, cookie: Option<Cookie>) -> Result<SyncStream, DirectoryError> {
        let _ = cookie;
        todo!("H2")
    }
}
