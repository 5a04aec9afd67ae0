//! Who did what: records that are durable before the caller hears of the change.

use std::collections::HashMap;
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

/// Records of one subject that are read for one history: people whom the help desk looks at every day have thousands of
/// looks among their changes.
const HISTORY_READ_MAX: usize = 50_000;
/// Records that are read at once for a history.
const HISTORY_PAGE: usize = 500;

/// Action of a record that states what came of an earlier one, where that was not simply done.
const OUTCOME: &str = "change.outcome";

/// What came of a change that was noted before it was tried, where it was not simply done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeOutcome {
    /// Surely nothing was written.
    NotDone,
    /// Some of its entries were written.
    Partly,
    /// No answer came.
    Unknown,
}

impl ChangeOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotDone => "not_done",
            Self::Partly => "partly",
            Self::Unknown => "unknown",
        }
    }
}

/// Where audit records are kept: the border to an engine, which all nodes of a site share.
pub trait AuditLog: Send + Sync + 'static {
    /// Adds a record; durable when it resolves `Ok`. Several at once share a sync of the disk.
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>>;

    /// The last `most` records from before a sequence (of all when `None`), of one subject or of all, newest first, each
    /// with its sequence. An engine may return fewer, but returns none only when there are no more.
    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        most: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>>;
}

/// The audit. Cheap to clone.
///
/// A change is noted before it is tried: whatever fails after that, also the power, nothing is changed of which the audit
/// knows nothing. Where the change then was not simply done, a second record, `change.outcome`, names the first one.
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

    /// Adds what came of the change that the record `of` announced. A failure to do so is logged: the change itself is in
    /// the audit.
    pub(crate) async fn note_outcome(
        &self,
        actor: &Actor,
        of: &str,
        subject: &str,
        outcome: ChangeOutcome,
        reason: &str,
    ) {
        let detail = serde_json::json!({ "of": of, "outcome": outcome.as_str(), "reason": reason });
        if let Err(error) = self.note(actor, OUTCOME, subject, detail).await {
            tracing::error!(%error, of, subject, outcome = outcome.as_str(), reason, "an outcome cannot be audited");
        }
    }

    /// The last `most` records about one subject, newest first.
    pub async fn about(&self, subject: &str, most: usize) -> io::Result<Vec<AuditRecord>> {
        Ok(without_sequence(self.log.newest(Some(subject), None, most).await?))
    }

    /// The last `most` records, newest first.
    pub async fn newest(&self, most: usize) -> io::Result<Vec<AuditRecord>> {
        Ok(without_sequence(self.log.newest(None, None, most).await?))
    }

    /// The last `most` changes of one subject, newest first: looks are left out, and what came of a change stands in its
    /// detail, as `outcome` and `outcome_reason`, where it was not simply done.
    pub async fn history(&self, subject: &str, most: usize) -> io::Result<Vec<AuditRecord>> {
        let (mut history, mut outcomes) = (Vec::new(), HashMap::new());
        let (mut before, mut read) = (None, 0);
        while history.len() < most && read < HISTORY_READ_MAX {
            let page = self.log.newest(Some(subject), before, HISTORY_PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            (before, read) = (Some(*last), read + page.len());
            for (_, record) in page {
                match record.action.as_str() {
                    LOOK | MESSAGES => {}
                    OUTCOME => drop(outcomes.insert(text(&record, "of"), record)),
                    _ => history.push(with_outcome(record, &outcomes)),
                }
            }
        }
        history.truncate(most);
        Ok(history)
    }
}

/// Action of a look at a person, which is no change.
pub(crate) const LOOK: &str = "person.view";
/// Action of a search for messages, which is none either.
pub(crate) const MESSAGES: &str = "message.view";

fn without_sequence(records: Vec<(u64, AuditRecord)>) -> Vec<AuditRecord> {
    records.into_iter().map(|(_, record)| record).collect()
}

fn text(record: &AuditRecord, name: &str) -> String {
    record.detail.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn with_outcome(mut record: AuditRecord, outcomes: &HashMap<String, AuditRecord>) -> AuditRecord {
    if let (Some(outcome), Some(detail)) = (outcomes.get(&record.id), record.detail.as_object_mut()) {
        detail.insert("outcome".to_owned(), text(outcome, "outcome").into());
        // "reason" is why an import wanted the change.
        detail.insert("outcome_reason".to_owned(), text(outcome, "reason").into());
    }
    record
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

    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        most: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = (0u64..).zip(records.iter()).take_while(|(number, _)| before.is_none_or(|end| *number < end));
        let mut found: Vec<(u64, AuditRecord)> = numbered
            .filter(|(_, record)| subject.is_none_or(|subject| record.subject == subject))
            .map(|(number, record)| (number, record.clone()))
            .collect();
        found.reverse();
        found.truncate(most);
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
    async fn a_history_is_of_changes_with_what_came_of_them() {
        let audit = Audit::in_memory();
        let note = async |action: &str| audit.note(&actor(), action, "cn=a", json!({ "reason": "r" })).await.unwrap();
        let (first, second) = (note("address.add").await, note("address.remove").await);
        audit.note_outcome(&actor(), &second, "cn=a", ChangeOutcome::NotDone, "changed meanwhile").await;
        for _ in 0..2 * HISTORY_PAGE {
            note(LOOK).await;
        }
        let history = audit.history("cn=a", 10).await.unwrap();
        assert_eq!(history.iter().map(|record| &record.id).collect::<Vec<_>>(), [&second, &first]);
        let outcome = json!({ "reason": "r", "outcome": "not_done", "outcome_reason": "changed meanwhile" });
        assert_eq!((&history[0].detail, &history[1].detail), (&outcome, &json!({ "reason": "r" })));
        assert_eq!(audit.history("cn=a", 1).await.unwrap().len(), 1);
        assert!(audit.history("cn=b", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_enormous_detail_is_left_out() {
        let audit = Audit::in_memory();
        audit.note(&actor(), "x", "s", json!("a".repeat(AUDIT_RECORD_OCTETS_MAX))).await.unwrap();
        assert!(audit.about("s", 1).await.unwrap()[0].detail.get("left_out").is_some());
    }
}
