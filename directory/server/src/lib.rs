//! The embedded LDAP server: a real LDAPv3 endpoint over the project's schema, durable, an RFC 4533 provider.
//!
//! It knows neither people nor mail: entries, schema and access rules only. Nothing that reads it can tell it from
//! OpenLDAP but by speed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use provost_entry::{Dn, Entry};

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
    /// CSN server id, 0 to 4095.
    pub server_id: u16,
}

/// A running server.
pub struct Server {
    /// Where it listens really.
    pub addresses: Vec<SocketAddr>,
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

impl Server {
    /// Opens the database and listens. `seed` entries (suffix, containers, service identities) are added when the
    /// database is empty.
    pub async fn start(config: ServerConfig, seed: Vec<Entry>) -> Result<Self, StartError> {
        let _ = (config, seed);
        todo!("H1")
    }

    /// Refuses new connections, ends the running ones with a Notice of Disconnection, closes the database.
    pub async fn stop(self) {
        todo!("H1")
    }
}
