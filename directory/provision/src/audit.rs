//! Who did what: records that are durable before the caller hears of the change.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

/// Largest record in octets; larger details are replaced by a remark, so that no caller can fill the disk with one call.
pub const AUDIT_RECORD_OCTETS_MAX: usize = 64 * 1024;

/// Who asks, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:root`, `token:quickstart`, a person's uid.
    pub name: String,
    /// cli, api, web.
    pub via: &'static str,
}

/// One record of the audit.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Unique; returned to the caller.
    pub id: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// Who asked: a login, the name of a token, a user of the machine.
    pub actor: String,
    /// The face that was used.
    pub via: String,
    /// `vacation.set`, `address.add`, `password.reset`, `person.view`, `import.apply`, `operation.refused`, ...
    pub action: String,
    /// Whom: DN or file digest.
    pub subject: String,
    /// Details, never a secret.
    pub detail: serde_json::Value,
}

/// Where audit records are kept: the border to an engine, which all nodes of a site share.
pub trait AuditLog: Send + Sync + 'static {
    /// Adds a record; durable when it resolves `Ok`.
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>>;

    /// The last `most` records, of one subject or of all, newest first.
    fn newest(&self, subject: Option<&str>, most: usize) -> BoxFuture<'_, io::Result<Vec<AuditRecord>>>;
}

/// The audit. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    log: Arc<dyn AuditLog>,
}

impl Audit {
    /// The audit in an engine's log.
    pub fn new(log: Arc<dyn AuditLog>) -> Self {
        Self { log }
    }

    /// An audit that is lost with the process, for tests.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::default()))
    }

    /// Adds one record and returns its id; durable when it returns.
    pub(crate) async fn note(
        &self,
        actor: &Actor,
        action: &str,
        subject: &str,
        detail: serde_json::Value,
    ) -> io::Result<String> {
        let mut record = AuditRecord {
            id: uuid::Uuid::now_v7().to_string(),
            at: jiff::Timestamp::now().to_string(),
            actor: actor.name.clone(),
            via: actor.via.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        };
        if serde_json::to_string(&record)?.len() > AUDIT_RECORD_OCTETS_MAX {
            record.detail = serde_json::json!({ "left_out": "the details were too long" });
        }
        self.log.append(&record).await?;
        Ok(record.id)
    }

    /// The last `most` records about one subject, newest first.
    pub async fn about(&self, subject: &str, most: usize) -> io::Result<Vec<AuditRecord>> {
        self.log.newest(Some(subject), most).await
    }

    /// The last `most` records, newest first.
    pub async fn newest(&self, most: usize) -> io::Result<Vec<AuditRecord>> {
        self.log.newest(None, most).await
    }
}

#[derive(Default)]
struct InMemory {
    records: Mutex<Vec<AuditRecord>>,
}

impl AuditLog for InMemory {
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn newest(&self, subject: Option<&str>, most: usize) -> BoxFuture<'_, io::Result<Vec<AuditRecord>>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let about = records.iter().rev().filter(|record| subject.is_none_or(|subject| record.subject == subject));
        let found = about.take(most).cloned().collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn actor() -> Actor {
        Actor { name: "cli:test".into(), via: "cli" }
    }

    #[tokio::test]
    async fn records_come_back_newest_first() {
        let audit = Audit::in_memory();
        let first = audit.note(&actor(), "vacation.set", "cn=a", json!({ "n": 1 })).await.unwrap();
        let second = audit.note(&actor(), "vacation.clear", "cn=a", json!({ "n": 2 })).await.unwrap();
        let other = audit.note(&actor(), "vacation.clear", "cn=b", json!({})).await.unwrap();
        let ids = |records: Vec<AuditRecord>| records.into_iter().map(|record| record.id).collect::<Vec<_>>();
        assert_eq!(ids(audit.about("cn=a", 10).await.unwrap()), [second.clone(), first]);
        assert_eq!(ids(audit.newest(2).await.unwrap()), [other, second]);
        assert!(audit.about("cn=c", 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_enormous_detail_is_left_out() {
        let audit = Audit::in_memory();
        audit.note(&actor(), "x", "s", json!("a".repeat(AUDIT_RECORD_OCTETS_MAX))).await.unwrap();
        assert!(audit.about("s", 1).await.unwrap()[0].detail.get("left_out").is_some());
    }
}
