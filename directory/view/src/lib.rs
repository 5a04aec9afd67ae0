//! The View: the whole directory as the mail core needs it, in memory and on disk.
//!
//! An RFC 4533 consumer feeds an immutable, indexed snapshot that is swapped whole. Answers are of three kinds: found,
//! certainly not there, and *cannot say now*; the last is never turned into the second.

mod consumer;
mod login;
mod person;
mod snapshot;
mod status;

pub use login::Login;
pub use person::{Affiliation, PersonState, Person, Vacation};
pub use provost_credential::Secret;
pub use provost_entry::{Address, AddressError};
pub use snapshot::{AddressKind, Recipient, Snapshot};
pub use status::Status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// What the View needs to know.
#[derive(Clone, Debug)]
pub struct ViewConfig {
    /// Where the snapshot is saved; its folder exists.
    pub file: PathBuf,
    /// How passwords are verified.
    pub passwords: PasswordSource,
    /// How long a verified password is remembered. Default 10 min.
    pub credential_ttl: Duration,
    /// A refresh that would remove more than this share (percent) of all people is parked. Default 20.
    pub removal_guard_percent: u8,
}

/// Where passwords are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PasswordSource {
    /// Against the hash in the View; a bind when the View has no hash that we can verify.
    #[default]
    View,
    /// By a bind at the directory, always.
    Bind,
}

/// Handle to the View. Cheap to clone; every session holds one.
#[derive(Clone)]
pub struct View {
    #[allow(dead_code)]
    inner: Arc<()>,
}

impl View {
    /// Loads the saved snapshot if there is one (damage means: none) and starts to follow the directory in the
    /// background. Never fails: with no snapshot and no directory it answers "cannot say".
    pub fn start(config: ViewConfig, directory: provost_client::Directory) -> Self {
        let _ = (config, directory);
        todo!("H2")
    }

    /// A View that follows nothing and holds just these people (their addresses are served by their domains): for tests.
    pub fn fixed(people: Vec<Person>) -> Self {
        let _ = people;
        todo!("H2")
    }

    /// The state of the directory as of now. Keep it only for one question.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!("H2")
    }

    /// Who receives mail for `address`.
    pub fn recipient(&self, address: &Address) -> Recipient {
        let _ = address;
        todo!("H2")
    }

    /// Whether `domain` (lower case) is served here.
    pub fn serves(&self, domain: &str) -> bool {
        let _ = domain;
        todo!("H2")
    }

    /// Verifies a login by address or `uid` and password. Hashing runs off the async threads, bounded to the cores.
    pub async fn login(&self, name: &str, password: &Secret, now: Timestamp) -> Login {
        let _ = (name, password, now);
        todo!("H2")
    }

    /// How fresh the View is.
    pub fn status(&self) -> Status {
        todo!("H2")
    }

    /// Ticks at every swap of the snapshot, so that sessions can look whether their person may stay.
    pub fn generations(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!("H2")
    }

    /// Saves the snapshot now (before a planned stop).
    pub async fn save(&self) -> std::io::Result<()> {
        todo!("H2")
    }
}
