//! Reads the audit forward, from a moment or a cursor, for exports.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{Desk, DeskError};
use crate::{AuditRecord, Permission, Principal};

/// Audit action of an export, which changes nothing.
const EXPORT_AUDIT: &str = "audit.export";

/// Which records an export has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditSelection {
    /// Only records from this moment on.
    pub since: Option<Timestamp>,
    /// Only records before this moment.
    pub until: Option<Timestamp>,
    /// Only records about this subject: the DN of a person, for example.
    pub subject: Option<String>,
}

/// A page of an export.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The records, oldest first.
    pub records: Vec<AuditRecord>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<u64>,
}

impl Desk {
    /// Permits and audits an export. Returns the cursor of its first page.
    pub async fn begin_audit_export(
        &self,
        principal: &Principal,
        selection: &AuditSelection,
    ) -> Result<u64, DeskError> {
        self.permit(principal, Permission::ViewAudit).await?;
        let recorded = self.audit.record(principal.actor(), EXPORT_AUDIT, "", json!({ "selection": selection })).await;
        recorded.map_err(|error| DeskError::AuditUnavailable(format!("the export cannot be audited: {error}")))?;
        match selection.since {
            Some(since) => self.audit.sequence_before(since).await.map_err(unreadable),
            None => Ok(0),
        }
    }

    /// The records of a selection that follow a cursor, oldest first: at most `limit`, or none while others are passed
    /// over.
    pub async fn audit_page(
        &self,
        principal: &Principal,
        selection: &AuditSelection,
        after: u64,
        limit: usize,
    ) -> Result<AuditPage, DeskError> {
        self.permit(principal, Permission::ViewAudit).await?;
        let read = self.audit.oldest(selection.subject.as_deref(), after, limit).await.map_err(unreadable)?;
        let next = read.last().map(|(sequence, _)| *sequence);
        let mut is_over = false;
        let mut records = Vec::with_capacity(read.len());
        for (_, record) in read {
            let at = record.time().unwrap_or(Timestamp::MIN);
            is_over = is_over
                || selection.until.is_some_and(|until| {
                    at >= until.saturating_add(crate::audit::TIME_SLACK).unwrap_or(Timestamp::MAX)
                });
            if selection.contains(at) && !is_over {
                records.push(record);
            }
        }
        Ok(AuditPage { records, next: next.filter(|_| !is_over) })
    }
}

impl AuditSelection {
    fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }
}

fn unreadable(error: std::io::Error) -> DeskError {
    DeskError::AuditUnavailable(format!("the audit cannot be read: {error}"))
}
