//! Who did what: one JSON line each, synced to disk.

use std::path::Path;
use std::sync::Arc;

/// Who asks, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:root`, `token:quickstart`, a person's uid.
    pub name: String,
    /// cli, api, web.
    pub via: &'static str,
}

/// One line of the audit file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Unique; told to the caller.
    pub id: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Through what.
    pub via: String,
    /// `vacation.set`, `address.add`, `password.reset`, `person.view`, `import.apply`, ...
    pub action: String,
    /// Whom: DN or file digest.
    pub subject: String,
    /// Details, never a secret.
    pub detail: serde_json::Value,
}

/// The audit file. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    _inner: Arc<()>,
}

impl Audit {
    /// Opens (makes) the file for appending.
    pub fn open(file: &Path) -> std::io::Result<Self> {
        let _ = file;
        todo!("H3")
    }

    /// Appends one record and returns its id; durable when it returns.
    pub async fn note(&self, actor: &Actor, action: &str, subject: &str, detail: serde_json::Value) -> std::io::Result<String> {
        let _ = (actor, action, subject, detail);
        todo!("H3")
    }

    /// The last `most` records about one subject, newest first.
    pub async fn about(&self, subject: &str, most: usize) -> std::io::Result<Vec<AuditRecord>> {
        let _ = (subject, most);
        todo!("H3")
    }
}
