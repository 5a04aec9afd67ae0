//! Explains values: which row of which file, which rule and which version of the policies gave each one, or who set it.
//!
//! Pure: the entries as they are, the audit's records about them and a moment give the explanation. For a moment in the
//! past, the recorded changes since then are taken back, newest first, by their former values. What no record accounts
//! for was set outside Provost, and the explanation says so.

mod address;
mod person;
mod replay;
mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;
use provost_entry::time::parse_generalized;
use provost_schema::attr;
use serde::Serialize;
use serde_json::Value;

pub use address::{AddressExplanation, AddressHolder, MailDestination};
pub(crate) use address::{AddressFacts, HolderFacts, explain_address};
pub use person::{ExplainedAddress, ExplainedLock, ExplainedState, ExplainedValue, PersonExplanation};
pub(crate) use person::{PersonFacts, explain_person};

use crate::AuditRecord;
use crate::lifecycle::LIFECYCLE_SOURCE;
use crate::plan::UNDO;
use crate::recorded_change::RecordedChange;

/// What `explain` returns for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Explanation {
    /// The key names a person.
    Person(Box<PersonExplanation>),
    /// The key is an address.
    Address(Box<AddressExplanation>),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum ExplainedOrigin {
    /// A change that the audit holds.
    Record(Box<RecordedOrigin>),
    /// No recorded change led to the value: another program wrote it, or a version that recorded no values.
    Outside {
        /// The last recorded change of the attribute after which the value was set: RFC 3339.
        after: Option<String>,
        /// The oldest record about the person, before which the value was set: RFC 3339. `None` with `after`, or when
        /// there is no record.
        before: Option<String>,
    },
}

/// The recorded change that led to a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedOrigin {
    /// Id of the audit record.
    pub audit_id: String,
    /// Time of the record: RFC 3339.
    pub at: String,
    /// The actor: `cli:helen`, `token:registrar`, a login.
    pub actor: String,
    /// The interface: cli, api, web.
    pub via: String,
    /// `person.update`, `vacation.set`, ...
    pub action: String,
    /// For an import: the file and the row.
    pub file: Option<FileOrigin>,
    /// Id of the rule that led to the value.
    pub rule: Option<String>,
    /// Version of the policies that the plan followed.
    pub policies: Option<String>,
    /// Id of the batch.
    pub batch: Option<String>,
    /// The reason that the record states.
    pub reason: Option<String>,
}

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileOrigin {
    /// Name of the source.
    pub source: String,
    /// Digest of the file (blake3, hex); `None` when an earlier version recorded the change and the batch is gone.
    pub digest: Option<String>,
    /// When the source made the file, or when its batch began: RFC 3339.
    pub date: Option<String>,
    /// Line of the file.
    pub row: u64,
}

/// What the directory holds about a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    pub(crate) digest: Option<String>,
    /// GeneralizedTime.
    pub(crate) date: Option<String>,
}

/// Batches by id.
pub(crate) type Batches = BTreeMap<String, BatchFacts>;

/// Why there is no explanation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExplainError {
    /// The moment is in the future.
    #[error("a moment in the past, or none; what is to come: provost lifecycle simulate")]
    Future,
    /// The entry was made after the moment.
    #[error("the account did not exist then: it was created at {0}")]
    NotYet(String),
}

/// A record with its time and the changes that it made.
pub(crate) struct TimedRecord<'r> {
    pub(crate) record: &'r AuditRecord,
    pub(crate) at: Timestamp,
    pub(crate) changes: Vec<RecordedChange>,
    /// Whether the record states that the change was done in part or that its outcome is unknown.
    pub(crate) is_uncertain: bool,
}

impl<'r> TimedRecord<'r> {
    /// The records that made or may have made a change, newest first as given.
    pub(crate) fn of(records: &'r [AuditRecord]) -> Vec<Self> {
        let timed = records.iter().filter_map(|record| {
            let outcome = record.detail["outcome"].as_str();
            let changes = RecordedChange::all(&record.action, &record.detail);
            let is_change = outcome != Some("not_done") && !changes.is_empty();
            is_change.then(|| record.time()).flatten().map(|at| Self {
                record,
                at,
                changes,
                is_uncertain: outcome.is_some(),
            })
        });
        timed.collect()
    }

    /// The origin of a value that the change `change` of this record added.
    pub(crate) fn origin(&self, change: &RecordedChange, batches: &Batches) -> ExplainedOrigin {
        let detail = &self.record.detail;
        let text = |name: &str| stated(&detail[name]);
        let batch = text("batch");
        let facts = batch.as_ref().and_then(|batch| batches.get(batch));
        // Undos and runs of the lifecycle are plans too; their lines are of no file.
        let source = text("source").filter(|source| source != UNDO && source != LIFECYCLE_SOURCE);
        let row = source.and_then(|source| Some((source, detail["row"].as_u64()?)));
        let file = row.map(|(source, row)| FileOrigin {
            source,
            digest: text("digest").or_else(|| facts.and_then(|facts| facts.digest.clone())),
            date: facts.and_then(|facts| rfc3339(facts.date.as_deref()?)),
            row,
        });
        ExplainedOrigin::Record(Box::new(RecordedOrigin {
            audit_id: self.record.id.clone(),
            at: self.record.at.clone(),
            actor: self.record.actor.clone(),
            via: self.record.via.clone(),
            action: self.record.action.clone(),
            file,
            rule: change.rule.clone(),
            policies: text("policies"),
            batch,
            reason: text("reason"),
        }))
    }
}

/// Attributes that are no facts about a person: they describe the entry, or follow from others.
pub(crate) const NOT_EXPLAINED: [&str; 12] = [
    attr::OBJECT_CLASS,
    attr::ENTRY_UUID,
    attr::ENTRY_CSN,
    attr::CREATORS_NAME,
    attr::MODIFIERS_NAME,
    attr::CREATE_TIMESTAMP,
    attr::MODIFY_TIMESTAMP,
    attr::STRUCTURAL_OBJECT_CLASS,
    attr::SUBSCHEMA_SUBENTRY,
    attr::HAS_SUBORDINATES,
    attr::PROVOST_LAST_BATCH,
    "entryDN",
];

fn stated(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(crate) fn rfc3339(generalized: &str) -> Option<String> {
    parse_generalized(generalized).map(|time| time.to_string())
}

#[cfg(test)]
mod tests;
