//! Records each person of an import in the audit before the first write of that person is sent.

use provost_schema::attr;
use serde::Serialize;

use super::error::{ApplyError, PersonFailure};
use crate::audit::ChangeOutcome;
use crate::write::{Write, WriteKind};
use crate::{Actor, Audit, ChangeKind, ChangeMode, PersonChange, Plan, ReasonRule};

/// Maximum number of a person's latest audit records that are searched for the record of an interrupted run.
const RECORDS_SEARCHED_MAX: usize = 50;

/// Records the people of one batch in the audit.
pub(super) struct BatchAudit<'a> {
    pub(super) audit: &'a Audit,
    pub(super) actor: &'a Actor,
    pub(super) plan: &'a Plan,
    pub(super) batch: &'a str,
    /// Whether an earlier run of the batch may have recorded people.
    pub(super) is_resumed: bool,
}

/// The detail of a person's audit record.
#[derive(Serialize)]
struct AuditDetail<'a> {
    batch: &'a str,
    source: &'a str,
    /// Digest of the file (blake3, hex).
    digest: &'a str,
    /// Line of the file.
    row: u64,
    /// Version of the policies that the plan followed.
    policies: &'a str,
    what: &'a str,
    reason: &'a str,
    /// Id of the rule that asked for the change.
    rule: ReasonRule,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    password_set: bool,
    changes: Vec<AuditedChange<'a>>,
}

/// One attribute before and after the change.
#[derive(Serialize)]
struct AuditedChange<'a> {
    /// The address, when the attribute is of an address entry and not of the person's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    attribute: &'a str,
    /// Whether the values of `after` replace those held or are added to them.
    how: ChangeMode,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    before: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    after: &'a [String],
    /// Id of the rule that leads to the values of `after`.
    rule: ReasonRule,
}

impl BatchAudit<'_> {
    /// Records a person durably and returns the id of the record. A resumed run instead returns the id of the earlier
    /// run's record, if there is one without an outcome.
    pub(super) async fn begin(&self, change: &PersonChange) -> Result<String, PersonFailure> {
        let subject = subject(change);
        let unavailable = |error: std::io::Error| {
            PersonFailure::Stop(ApplyError::Unavailable(format!("the audit cannot be read or written: {error}")))
        };
        if self.is_resumed
            && let Some(id) = self.open_record(subject).await.map_err(unavailable)?
        {
            return Ok(id);
        }
        let detail = serde_json::to_value(self.detail(change)).map_err(|error| unavailable(error.into()))?;
        self.audit.record(self.actor, action(change.kind), subject, detail).await.map_err(unavailable)
    }

    /// Records the outcome for a person of whom a write failed. `is_begun`: a run of the batch did another of the
    /// person's writes.
    pub(super) async fn fail(&self, id: &str, change: &PersonChange, is_begun: bool, failure: &PersonFailure) {
        let (outcome, reason) = match failure {
            PersonFailure::Person(reason) if is_begun => (ChangeOutcome::Partly, reason.clone()),
            PersonFailure::Person(reason) => (ChangeOutcome::NotDone, reason.clone()),
            PersonFailure::Stop(error) => (ChangeOutcome::Unknown, error.to_string()),
        };
        self.audit.note_outcome(self.actor, id, subject(change), outcome, &reason).await;
    }

    /// Records `outcome` (none or some of the writes were done) for a person whom an interrupted run recorded, unless
    /// the record has an outcome already.
    pub(super) async fn settle(&self, change: &PersonChange, outcome: ChangeOutcome) -> std::io::Result<()> {
        let subject = subject(change);
        if let Some(id) = self.open_record(subject).await? {
            let reason = "the import was interrupted, and another one followed";
            self.audit.note_outcome(self.actor, &id, subject, outcome, reason).await;
        }
        Ok(())
    }

    /// Id of this batch's record about a person, if that record has no outcome yet.
    async fn open_record(&self, subject: &str) -> std::io::Result<Option<String>> {
        let records = self.audit.history(subject, RECORDS_SEARCHED_MAX).await?;
        let of_batch = records.into_iter().find(|record| record.detail.get("batch").is_some_and(|b| b == self.batch));
        Ok(of_batch.filter(|record| record.detail.get("outcome").is_none()).map(|record| record.id))
    }

    fn detail<'c>(&'c self, change: &'c PersonChange) -> AuditDetail<'c> {
        let source = self.plan.sources().get(usize::from(change.source));
        let is_new = change.kind == ChangeKind::Create;
        // The address of a new person is also a value of the person's entry, so the address entry is not listed.
        let writes = change.writes.iter().filter(|write| !is_new || write.action == WriteKind::AddPerson);
        AuditDetail {
            batch: self.batch,
            source: source.map_or("", |source| &source.name),
            digest: source.map_or("", |source| &source.digest),
            row: change.line,
            policies: self.plan.policies(),
            what: &change.what,
            reason: &change.reason.words,
            rule: change.reason.rule,
            password_set: change.writes.iter().any(|write| write.password.is_some()),
            changes: writes.flat_map(values).collect(),
        }
    }
}

fn values(write: &Write) -> impl Iterator<Item = AuditedChange<'_>> {
    let address = write.dn.rdn_value(attr::PROVOST_ADDRESS);
    write.attributes.iter().map(move |change| AuditedChange {
        address: address.clone(),
        attribute: change.name.as_str(),
        how: change.how,
        before: &change.before,
        after: &change.after,
        rule: change.rule,
    })
}

fn action(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "person.create",
        ChangeKind::Rename => "person.rename",
        ChangeKind::Update => "person.update",
        ChangeKind::State => "person.state",
        ChangeKind::Purge => "person.purge",
        ChangeKind::Address => "address.end",
        ChangeKind::Absence => "person.absence",
        ChangeKind::Class => "group.class",
        ChangeKind::Restore => "person.restore",
        ChangeKind::Remove => "person.remove",
    }
}

/// DN of the person's or group's entry; when only kinds of addresses change, DN of the first of these address entries.
fn subject(change: &PersonChange) -> &str {
    let is_subject = |write: &&Write| write.is_of_person() || write.is_of_group();
    let write = change.writes.iter().find(is_subject).or(change.writes.first());
    write.map_or("", |write| write.dn.as_str())
}
