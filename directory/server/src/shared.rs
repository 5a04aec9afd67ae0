//! The state that all sessions of the server share. Operations (`search`, `sync`, `password`) use it and never call
//! `session`, which calls them.

use std::sync::{Arc, OnceLock};

use provost_credential::PasswordPolicy;
use provost_entry::{Dn, Entry};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admission::ClientAdmission;
use crate::catalogue::Catalogue;
use crate::committer::{DirectoryHandle, WriteJob};
use crate::hashing::Hashing;

/// Returns the rules for passwords at the moment of a change.
pub(crate) type PolicySource = Arc<dyn Fn() -> PasswordPolicy + Send + Sync>;

/// The state that all sessions share.
pub(crate) struct ServerContext {
    pub(crate) directory: Arc<DirectoryHandle>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) jobs: mpsc::Sender<WriteJob>,
    pub(crate) hashing: Hashing,
    /// Empty until the node has its settings: the default policy applies until then.
    pub(crate) password_policy: OnceLock<PolicySource>,
    pub(crate) root_dn: Dn,
    /// The root identity's password, hashed, as a `userPassword` value.
    pub(crate) root_password: String,
    pub(crate) tls: Option<TlsAcceptor>,
    /// `None` admits every connection under the socket's address.
    pub(crate) admission: Option<Arc<dyn ClientAdmission>>,
    pub(crate) root_dse: Entry,
    pub(crate) subschema: Entry,
    pub(crate) stop: CancellationToken,
}
