//! The audit: a record of each change, view and refusal. The record of a change is durable before the change is tried.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::recorded_change::RecordedChange;

/// Largest record in octets; the details of a larger one are replaced by a remark, so that no single call can fill the
/// disk.
pub const AUDIT_RECORD_OCTETS_MAX: usize = 64 * 1024;
/// Longest text that stays in a detail that is too long, octets.
const KEPT_TEXT_OCTETS_MAX: usize = 256;
/// Maximum number of fields that stay in a detail that is too long.
const KEPT_FIELDS_MAX: usize = 32;

/// Who asks for an operation, and through which interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:root` for a user of this machine, `token:quickstart` for a token, or a person's uid.
    pub name: String,
    /// The interface: cli, api or web.
    pub via: &'static str,
}

/// One record of the audit.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Unique id, which the caller gets in the answer.
    pub id: String,
    /// Time of the record: RFC 3339, UTC.
    pub at: String,
    /// The name of the [`Actor`].
    pub actor: String,
    /// The interface that was used.
    pub via: String,
    /// `vacation.set`, `address.add`, `password.reset`, `person.view`, `import.apply`, `operation.refused`, ...
    pub action: String,
    /// What the action concerns: a DN, the digest of a file, `token:NAME`; empty when the action names nothing.
    pub subject: String,
    /// Details, never a secret.
    pub detail: serde_json::Value,
    /// Mail addresses that the subject got or lost by the change, in lower case: an engine finds the record by them.
    /// Records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// Maximum number of records of one subject that are read for one history: a person whom the help desk views every day
/// has thousands of views among the changes.
const HISTORY_READ_MAX: usize = 50_000;
/// Records per read of a history.
const HISTORY_PAGE: usize = 500;

/// Action of a record that states the outcome of an earlier change, when that change did not succeed completely.
const OUTCOME: &str = "change.outcome";

/// Outcome of a change that did not succeed completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeOutcome {
    /// Certainly nothing was written.
    NotDone,
    /// Some of the entries that the change concerns were written.
    Partly,
    /// No answer arrived, so the outcome is unknown.
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

/// The log that keeps audit records, shared by all nodes of a site. A storage engine implements this.
pub trait AuditLog: Send + Sync + 'static {
    /// Adds a record, which is durable once the future resolves to `Ok`. An engine may let concurrent calls share a
    /// sync of the disk.
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>>;

    /// At most `limit` records, newest first, each with its sequence number. `subject` restricts them to one subject,
    /// `before` to smaller sequence numbers. An engine may return fewer records than there are; an empty result means
    /// that there are no more.
    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>>;

    /// At most `limit` records with sequence numbers above `after`, oldest first, of one subject or of all. The last
    /// sequence number is a cursor: no later record gets a lower one. An empty result means that there are no more.
    fn oldest(
        &self,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>>;

    /// The subjects of records whose [`AuditRecord::addresses`] contain `address`, each once, at most `limit`: those of
    /// the newest records.
    fn subjects_of(&self, address: &str, limit: usize) -> BoxFuture<'_, io::Result<Vec<String>>>;
}

/// The audit of the operations layer. Cheap to clone.
///
/// A change is recorded before it is tried: whatever fails afterwards, power included, no change is missing from the
/// audit. When the change does not succeed completely, a second record, `change.outcome`, refers to the first.
#[derive(Clone)]
pub struct Audit {
    log: Arc<dyn AuditLog>,
}

impl Audit {
    /// An audit that writes to an engine's log.
    pub fn new(log: Arc<dyn AuditLog>) -> Self {
        Self { log }
    }

    /// An audit in memory, for tests: its records are lost when the process ends.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(MemoryAuditLog::default()))
    }

    /// Adds one record and returns its id. The record is then durable.
    pub(crate) async fn record(
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
            addresses: changed_addresses(action, &detail),
            detail,
        };
        if serde_json::to_string(&record)?.len() > AUDIT_RECORD_OCTETS_MAX {
            record.detail = short_detail(record.detail);
        }
        self.log.append(&record).await?;
        Ok(record.id)
    }

    /// Adds the outcome of the change that the record `of` announced. A failure to do so is logged only: the change
    /// itself is in the audit.
    pub(crate) async fn note_outcome(
        &self,
        actor: &Actor,
        of: &str,
        subject: &str,
        outcome: ChangeOutcome,
        reason: &str,
    ) {
        let detail = serde_json::json!({ "of": of, "outcome": outcome.as_str(), "reason": reason });
        if let Err(error) = self.record(actor, OUTCOME, subject, detail).await {
            tracing::error!(%error, of, subject, outcome = outcome.as_str(), reason, "an outcome cannot be audited");
        }
    }

    /// Records with sequence numbers above `after`, oldest first, of one subject or of all: at most `limit`, and no more
    /// than the engine returns in one read.
    pub async fn oldest(&self, subject: Option<&str>, after: u64, limit: usize) -> io::Result<Vec<(u64, AuditRecord)>> {
        self.log.oldest(subject, after, limit).await
    }

    /// The sequence number of the newest record; zero when there is none.
    pub async fn last_sequence(&self) -> io::Result<u64> {
        Ok(self.log.newest(None, None, 1).await?.first().map_or(0, |(sequence, _)| *sequence))
    }

    /// The sequence number of the newest record before `at`; zero when there is none. Records are in the order of their
    /// commits, which may differ from that of their times by as much as two records waited for each other: the search
    /// looks `TIME_SLACK` further back, and the caller compares the times.
    pub async fn sequence_before(&self, at: jiff::Timestamp) -> io::Result<u64> {
        let at = at.saturating_sub(TIME_SLACK).unwrap_or(jiff::Timestamp::MIN);
        let (mut low, mut high) = (0, self.last_sequence().await?);
        // Every record up to `low` is earlier than `at`; the search ends within 64 reads.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.log.oldest(None, middle, 1).await?.first() {
                Some((sequence, record)) if record.time().is_some_and(|time| time < at) => low = *sequence,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The subjects that got or lost an address, at most `limit`, the latest first. Changes that an earlier version
    /// recorded are not found.
    pub async fn subjects_of(&self, address: &str, limit: usize) -> io::Result<Vec<String>> {
        self.log.subjects_of(&address.to_lowercase(), limit).await
    }

    /// The last records about one subject, newest first: at most `limit`, and no more than the engine returns in one
    /// read.
    pub async fn about(&self, subject: &str, limit: usize) -> io::Result<Vec<AuditRecord>> {
        Ok(without_sequence(self.log.newest(Some(subject), None, limit).await?))
    }

    /// The last records, newest first: at most `limit`, and no more than the engine returns in one read.
    pub async fn newest(&self, limit: usize) -> io::Result<Vec<AuditRecord>> {
        Ok(without_sequence(self.log.newest(None, None, limit).await?))
    }

    /// The last `limit` records about one subject, newest first, without views. Only about the newest 50,000 records of
    /// the subject are searched. The detail of a change that did not succeed completely has its outcome, as `outcome`
    /// and `outcome_reason`.
    pub async fn history(&self, subject: &str, limit: usize) -> io::Result<Vec<AuditRecord>> {
        let (mut history, mut outcomes) = (Vec::new(), HashMap::new());
        let (mut before, mut read) = (None, 0);
        while history.len() < limit && read < HISTORY_READ_MAX {
            let page = self.log.newest(Some(subject), before, HISTORY_PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            (before, read) = (Some(*last), read + page.len());
            for (_, record) in page {
                match record.action.as_str() {
                    VIEW_PERSON | VIEW_MESSAGES => {}
                    OUTCOME => {
                        outcomes.insert(text(&record, "of"), record);
                    }
                    _ => history.push(with_outcome(record, &outcomes)),
                }
            }
        }
        history.truncate(limit);
        Ok(history)
    }
}

/// How much the order of commits may differ from that of the records' times.
pub(crate) const TIME_SLACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

impl AuditRecord {
    /// The time of the record; `None` when it is not RFC 3339.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        self.at.parse().ok()
    }
}

/// Action of viewing a person, which changes nothing.
pub(crate) const VIEW_PERSON: &str = "person.view";
/// Action of a search for messages, which changes nothing.
pub(crate) const VIEW_MESSAGES: &str = "message.view";

fn without_sequence(records: Vec<(u64, AuditRecord)>) -> Vec<AuditRecord> {
    records.into_iter().map(|(_, record)| record).collect()
}

fn text(record: &AuditRecord, name: &str) -> String {
    record.detail.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn with_outcome(mut record: AuditRecord, outcomes: &HashMap<String, AuditRecord>) -> AuditRecord {
    if let (Some(outcome), Some(detail)) = (outcomes.get(&record.id), record.detail.as_object_mut()) {
        detail.insert("outcome".to_owned(), text(outcome, "outcome").into());
        // `reason` already holds why an import wanted the change.
        detail.insert("outcome_reason".to_owned(), text(outcome, "reason").into());
    }
    record
}

#[derive(Default)]
struct MemoryAuditLog {
    records: Mutex<Vec<AuditRecord>>,
}

impl AuditLog for MemoryAuditLog {
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = (1u64..).zip(records.iter()).take_while(|(number, _)| before.is_none_or(|end| *number < end));
        let mut found: Vec<(u64, AuditRecord)> = numbered
            .filter(|(_, record)| subject.is_none_or(|subject| record.subject == subject))
            .map(|(number, record)| (number, record.clone()))
            .collect();
        found.reverse();
        found.truncate(limit);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn oldest(
        &self,
        subject: Option<&str>,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let found = (1u64..)
            .zip(records.iter())
            .filter(|(number, record)| *number > after && subject.is_none_or(|subject| record.subject == subject));
        let found = found.map(|(number, record)| (number, record.clone())).take(limit).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn subjects_of(&self, address: &str, limit: usize) -> BoxFuture<'_, io::Result<Vec<String>>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<String> = Vec::new();
        for record in records.iter().rev().filter(|record| record.addresses.iter().any(|of| of == address)) {
            if !found.contains(&record.subject) && found.len() < limit {
                found.push(record.subject.clone());
            }
        }
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// Maximum number of addresses by which one record is found.
const ADDRESSES_MAX: usize = 64;

/// The addresses that a change gives or takes: those that are among the values of only one side.
fn changed_addresses(action: &str, detail: &serde_json::Value) -> Vec<String> {
    let changes = RecordedChange::all(action, detail);
    let of_addresses = changes.iter().filter(|change| change.address.is_some() || change.is_of_addresses());
    let mut addresses: Vec<String> = Vec::new();
    for change in of_addresses {
        let moved = change.address.iter().chain(change.gained()).chain(change.lost());
        addresses.extend(moved.filter(|value| value.contains('@')).map(|address| address.to_lowercase()));
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Keeps the numbers, the booleans and the short texts of a detail that is too long, such as the batch of an import.
fn short_detail(detail: serde_json::Value) -> serde_json::Value {
    let is_short = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.len() <= KEPT_TEXT_OCTETS_MAX,
        other => other.is_number() || other.is_boolean(),
    };
    let fields = match detail {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    let mut kept: serde_json::Map<_, _> =
        fields.into_iter().filter(|(_, value)| is_short(value)).take(KEPT_FIELDS_MAX).collect();
    kept.insert("left_out".to_owned(), "the details were too long".into());
    kept.into()
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
        let first = audit.record(&actor(), "vacation.set", "cn=a", json!({ "n": 1 })).await.unwrap();
        let second = audit.record(&actor(), "vacation.clear", "cn=a", json!({ "n": 2 })).await.unwrap();
        let other = audit.record(&actor(), "vacation.clear", "cn=b", json!({})).await.unwrap();
        let ids = |records: Vec<AuditRecord>| records.into_iter().map(|record| record.id).collect::<Vec<_>>();
        assert_eq!(ids(audit.about("cn=a", 10).await.unwrap()), [second.clone(), first]);
        assert_eq!(ids(audit.newest(2).await.unwrap()), [other, second]);
        assert!(audit.about("cn=c", 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_history_has_changes_with_their_outcomes_and_no_views() {
        let audit = Audit::in_memory();
        let record =
            async |action: &str| audit.record(&actor(), action, "cn=a", json!({ "reason": "r" })).await.unwrap();
        let (first, second) = (record("address.add").await, record("address.remove").await);
        audit.note_outcome(&actor(), &second, "cn=a", ChangeOutcome::NotDone, "changed meanwhile").await;
        for _ in 0..2 * HISTORY_PAGE {
            record(VIEW_PERSON).await;
        }
        let history = audit.history("cn=a", 10).await.unwrap();
        assert_eq!(history.iter().map(|record| &record.id).collect::<Vec<_>>(), [&second, &first]);
        let outcome = json!({ "reason": "r", "outcome": "not_done", "outcome_reason": "changed meanwhile" });
        assert_eq!((&history[0].detail, &history[1].detail), (&outcome, &json!({ "reason": "r" })));
        assert_eq!(audit.history("cn=a", 1).await.unwrap().len(), 1);
        assert!(audit.history("cn=b", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn details_that_are_too_long_are_left_out() {
        let audit = Audit::in_memory();
        audit.record(&actor(), "x", "s", json!("a".repeat(AUDIT_RECORD_OCTETS_MAX))).await.unwrap();
        assert!(audit.about("s", 1).await.unwrap()[0].detail.get("left_out").is_some());
        let long = json!({ "batch": "b", "row": 7, "reason": "r".repeat(1_000), "changes": ["a".repeat(AUDIT_RECORD_OCTETS_MAX)] });
        audit.record(&actor(), "x", "t", long).await.unwrap();
        let kept = json!({ "batch": "b", "row": 7, "left_out": "the details were too long" });
        assert_eq!(audit.about("t", 1).await.unwrap()[0].detail, kept);
    }
}
