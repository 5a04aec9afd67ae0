//! Checks before each operation whether the principal may perform it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ChangeTarget, CurrentPerson, Desk, DeskError, ExpectedVersion, PersonDetail, ReadPurpose};
use crate::{AuditRecord, Grant, Permission, Principal};

/// Audit action of a refusal.
const REFUSED: &str = "operation.refused";
/// Maximum number of audit records that one call returns, whatever the caller asks for.
const AUDIT_RECORDS_MAX: usize = 1001;

impl Desk {
    /// Permits `operation` on every entry, or audits the refusal and returns it. For operations that another crate
    /// performs: the queue, the node.
    pub async fn permit(&self, principal: &Principal, operation: Permission) -> Result<(), DeskError> {
        if principal.may(operation) { Ok(()) } else { self.refuse(principal, operation, "").await }
    }

    /// Permits `operation` on one person, or audits the refusal and returns it. For a page that asks before a change.
    pub async fn permit_for(
        &self,
        principal: &Principal,
        operation: Permission,
        person: &PersonDetail,
    ) -> Result<(), DeskError> {
        let roles = person.roles.iter().map(String::as_str);
        self.permit_on(principal, operation, &person.dn, Some(person.entry_uuid), roles).await
    }

    /// As [`Desk::permit`], and records the change that follows. Returns the audit id. For changes that another crate
    /// makes, such as those of tokens.
    pub async fn permit_change(
        &self,
        principal: &Principal,
        operation: Permission,
        subject: &str,
        detail: Value,
    ) -> Result<String, DeskError> {
        self.permit(principal, operation).await?;
        let audit_id = self.audit.record(principal.actor(), operation.name(), subject, detail).await;
        audit_id.map_err(|error| DeskError::AuditUnavailable(format!("the request cannot be audited: {error}")))
    }

    /// Records that a person signed in to the pages. Returns the audit id.
    pub async fn signed_in(&self, principal: &Principal, dn: &str) -> Result<String, DeskError> {
        let audit_id = self.audit.record(principal.actor(), "session.open", dn, json!({})).await;
        audit_id.map_err(|error| DeskError::AuditUnavailable(format!("a sign-in cannot be audited: {error}")))
    }

    /// Records that a person's sign-in to the pages was refused.
    pub async fn sign_in_refused(&self, principal: &Principal, dn: &str) {
        if let Err(error) = self.audit.record(principal.actor(), "session.refused", dn, json!({})).await {
            tracing::error!(%error, "a refused sign-in cannot be audited");
        }
    }

    /// The last `limit` audit records, at most 1001, of one subject or of all, newest first. If the caller has just
    /// looked the subject up with [`Desk::person`], the record of that look-up is among them.
    pub async fn audit_records(
        &self,
        principal: &Principal,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, DeskError> {
        self.permit(principal, Permission::ViewAudit).await?;
        let limit = limit.min(AUDIT_RECORDS_MAX);
        let records = match subject {
            Some(subject) => self.audit.about(subject, limit).await,
            None => self.audit.newest(limit).await,
        };
        records.map_err(|error| DeskError::AuditUnavailable(format!("the audit cannot be read: {error}")))
    }

    /// Reads the person that `target` names. Fails unless the principal may perform `operation` on this person and
    /// `target` expects the version of the entry.
    pub(super) async fn target(
        &self,
        principal: &Principal,
        operation: Permission,
        target: &ChangeTarget<'_>,
    ) -> Result<CurrentPerson, DeskError> {
        // A principal that may do this on no entry, or only on its own, must not learn which other people exist.
        let grant = principal.grant(operation);
        if grant == Grant::No {
            return self.refuse(principal, operation, target.key).await;
        }
        let purpose = match operation {
            Permission::ViewPerson => ReadPurpose::Show,
            _ => ReadPurpose::Change,
        };
        let mut found = match self.find(target.key, purpose).await {
            Err(DeskError::NotFound(_) | DeskError::Ambiguous { .. }) if grant == Grant::Own => {
                return self.refuse(principal, operation, target.key).await;
            }
            found => found?,
        };
        self.permit_on(principal, operation, found.dn().as_str(), found.entry_uuid(), found.roles()).await?;
        if let ExpectedVersion::OneOf(versions) = &target.expected {
            let current = found.csn().unwrap_or_default();
            if !versions.iter().any(|version| version == current) {
                return Err(DeskError::VersionMismatch(current.to_owned()));
            }
            found.is_expected = true;
        }
        Ok(found)
    }

    /// Permits `operation` on a person with these roles, or audits the refusal and returns it.
    pub(super) async fn permit_on(
        &self,
        principal: &Principal,
        operation: Permission,
        subject: &str,
        entry_uuid: Option<Uuid>,
        roles: impl IntoIterator<Item = &str>,
    ) -> Result<(), DeskError> {
        if principal.may_on(operation, entry_uuid, roles) {
            return Ok(());
        }
        self.refuse(principal, operation, subject).await
    }

    /// Audits a refusal and returns it. If the audit fails, the failure is logged and the refusal still returned.
    async fn refuse<T>(&self, principal: &Principal, operation: Permission, subject: &str) -> Result<T, DeskError> {
        let detail = json!({ "operation": operation.name() });
        if let Err(error) = self.audit.record(principal.actor(), REFUSED, subject, detail).await {
            tracing::error!(%error, %operation, actor = principal.actor().name, "a refusal cannot be audited");
        }
        Err(DeskError::NotAllowed(operation))
    }
}
