//! What all sessions of the server share. Operations (`search`, `sync`, `password`) take it from here; `session` calls
//! them, and they never call it.

use std::sync::Arc;

use provost_entry::{Dn, Entry};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::client_address::ClientAddress;
use crate::committer::{Directory, WriteJob};
use crate::hashing::Hashing;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) directory: Arc<Directory>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) jobs: mpsc::Sender<WriteJob>,
    pub(crate) hashing: Hashing,
    pub(crate) root_dn: Dn,
    pub(crate) root_password: String,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Finds the client behind a balancer.
    pub(crate) client_address: Option<Arc<dyn ClientAddress>>,
    pub(crate) root_dse: Entry,
    pub(crate) subschema: Entry,
    pub(crate) stop: CancellationToken,
}
