//! Lists the batches that imports have written, and plans the undo of one.

use super::{Desk, DeskError};
use crate::journal::{EndLine, JournalError, KeptBatch};
use crate::{
    Applier, ApplyError, BatchOptions, Permission, PlanEffect, PlannedImport, Principal, WrittenEntries, plan_undo,
};

/// A batch whose journal this machine keeps.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BatchSummary {
    /// Id of the batch.
    pub batch: String,
    /// The actor who began it.
    pub actor: String,
    /// The interface that was used: cli, api, web.
    pub via: String,
    /// Start of its first run: RFC 3339, UTC.
    pub at: String,
    /// Writes that were done.
    pub writes: usize,
    /// The end record; `None` for an unfinished batch.
    pub end: Option<EndLine>,
}

/// Why no undo was planned.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The principal may not undo, or the directory cannot be read.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The journal of the batch cannot be used, or an apply works on the batch.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An interrupted batch could not be completed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The batch is an undo itself.
    #[error("batch {0} is itself an undo: import the file again to have what it took back")]
    IsUndo(String),
    /// A bug: planning ended in a panic.
    #[error("planning ended in a fault: {0}")]
    Fault(#[from] tokio::task::JoinError),
}

impl Desk {
    /// The newest batches that this machine keeps, newest first, at most `limit`. A journal that cannot be read is left
    /// out.
    pub async fn batches(&self, principal: &Principal, limit: usize) -> Result<Vec<BatchSummary>, UndoError> {
        self.permit(principal, Permission::ViewImports).await?;
        let journals = self.journals.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let kept = journals.batches()?.into_iter().rev().take(limit);
            Ok::<_, JournalError>(kept.filter_map(|(batch, _)| journals.read(&batch).ok()).map(summary).collect())
        });
        Ok(listed.await??)
    }

    /// Plans the undo of a batch against the directory as it is now; writes nothing to it. When the batch was
    /// interrupted, first completes its journal.
    pub async fn plan_undo(&self, principal: &Principal, batch: &str) -> Result<PlannedImport, UndoError> {
        self.permit(principal, Permission::ApplyImport).await?;
        let (directory, audit, journals) = (&self.directory, &self.audit, &self.journals);
        let password_policy = &self.settings.get().passwords;
        let applier = Applier {
            directory,
            password_policy,
            actor: principal.actor(),
            audit,
            journals,
            batch: BatchOptions::default(),
        };
        applier.settle_interrupted().await?;
        let (journals, name) = (self.journals.clone(), batch.to_owned());
        let read =
            tokio::task::spawn_blocking(move || Ok::<_, JournalError>((journals.read(&name)?, journals.plan(&name)?)));
        let (kept, applied) = read.await??;
        if applied.undone_batch().is_some() {
            return Err(UndoError::IsUndo(kept.batch));
        }
        if kept.end.is_none() {
            return Err(JournalError::InUse(kept.batch).into());
        }
        let held = WrittenEntries::read(&self.directory, &applied).await.map_err(DeskError::from)?;
        let plan = tokio::task::spawn_blocking(move || plan_undo(&kept, &applied, &held, jiff::Timestamp::now()));
        Ok(PlannedImport::without_passwords(plan.await?, PlanEffect::default()))
    }
}

fn summary(kept: KeptBatch) -> BatchSummary {
    let (actor, via, at) =
        kept.begins.into_iter().next().map_or_else(Default::default, |first| (first.actor, first.via, first.at));
    let writes = kept.receipts.iter().filter(|receipt| receipt.outcome.is_done()).count();
    BatchSummary { batch: kept.batch, actor, via, at, writes, end: kept.end }
}
