//! Plans and applies a registrar's file for a principal that may do so.

use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::time::{format_generalized, parse_generalized};
use provost_policy::GUARD_WINDOW_DAYS_MAX;

use super::guard::{PlanApproval, is_reserved_source};
use super::source_profile::read_source_profile;
use super::{Desk, DeskError};
use crate::guard::{BatchEntry, read_batches};
use crate::plan::plan_effect;
use crate::policy_documents::read_policies;
use crate::{
    CsvOptions, DirectoryContent, FileError, InitialPasswords, Permission, Plan, PlanEffect, PlanError, Policies,
    Principal, ReadOptions, Source, complete, ensure_tree, plan, read_file, wanted,
};
/// A plan with the passwords of its file, which the plan itself never holds.
#[derive(Clone)]
pub struct PlannedImport {
    /// The changes that the file asks for.
    pub plan: Arc<Plan>,
    /// Initial passwords that the file states.
    pub passwords: Arc<InitialPasswords>,
    /// What the plan does, as the guard counts it.
    pub(crate) effect: Arc<PlanEffect>,
    /// A second person's word, for a plan that the guard stopped.
    pub(crate) approval: Option<PlanApproval>,
}

impl PlannedImport {
    /// A plan that sets no passwords.
    pub(crate) fn without_passwords(plan: Plan, effect: PlanEffect) -> Self {
        let (plan, passwords) = (Arc::new(plan), Arc::new(InitialPasswords::default()));
        Self { plan, passwords, effect: Arc::new(effect), approval: None }
    }

    /// The approval, if it is for this plan and no other.
    pub(super) fn approval_of_plan(&self) -> Option<&PlanApproval> {
        self.approval.as_ref().filter(|approval| approval.hash == self.plan.hash())
    }
}

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Name of the source, whose profile says how its files are read; `None` for the site's registrar.
    pub source: Option<String>,
    /// What the caller states of this file.
    pub read: ReadOptions,
    /// When the source made the file; `None` when nobody knows.
    pub extracted: Option<Timestamp>,
    /// Whether a file that is older than the last one is read all the same.
    pub force: bool,
}

impl From<CsvOptions> for ImportOptions {
    fn from(options: CsvOptions) -> Self {
        Self { read: options.into(), ..Self::default() }
    }
}

/// Why a file was not planned.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The principal may not import, or the directory cannot be read.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The whole file is refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file was imported before and another one since, or it is older than the last one.
    #[error("{0}; import it with --force if it is to replace what came after it")]
    OldFile(String),
    /// No plan can be made, because the directory is inconsistent.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A bug: planning ended in a panic.
    #[error("planning ended in a fault: {0}")]
    Fault(#[from] tokio::task::JoinError),
}

impl Desk {
    /// Reads a new file and compares it with the directory as it is now; writes nothing.
    pub async fn plan_import(
        &self,
        principal: &Principal,
        file: impl AsRef<[u8]> + Send + 'static,
        options: impl Into<ImportOptions> + Send,
    ) -> Result<PlannedImport, ImportError> {
        self.permit(principal, Permission::PlanImport).await?;
        self.make_plan(file, options.into()).await
    }

    /// Plans a file again that was planned before, against the directory as it is now.
    pub async fn review_import(
        &self,
        principal: &Principal,
        file: impl AsRef<[u8]> + Send + 'static,
        options: impl Into<ImportOptions> + Send,
    ) -> Result<PlannedImport, ImportError> {
        self.permit(principal, Permission::ViewImports).await?;
        self.make_plan(file, options.into()).await
    }

    /// Reads the file and the directory at once, because each takes seconds when it is large, and plans. A file that is
    /// refused is reported without waiting for the directory.
    async fn make_plan(
        &self,
        file: impl AsRef<[u8]> + Send + 'static,
        options: ImportOptions,
    ) -> Result<PlannedImport, ImportError> {
        let settings = self.settings.get();
        let mut options = options;
        let today = settings.time_zone.to_datetime(jiff::Timestamp::now()).date();
        options.read.today.get_or_insert(today);
        let name = options.source.clone().unwrap_or_else(|| settings.source.clone());
        if is_reserved_source(&name) {
            let rule = format!("'{name}' is the name of what Provost plans itself: give the source another name");
            return Err(DeskError::Invalid { field: "source", rule }.into());
        }
        let profile = read_source_profile(&self.directory, &name).await?;
        let (extracted, force) = (options.extracted, options.force);
        let mut source = tokio::task::spawn_blocking(move || read_file(&profile, file.as_ref(), &options.read));
        let read = async {
            let lifecycle = read_policies(&self.directory).await?;
            Ok::<_, DeskError>((lifecycle, DirectoryContent::read(&self.directory).await?))
        };
        let mut read = std::pin::pin!(read);
        let (source, read) = tokio::select! {
            source = &mut source => (source??, read.await),
            read = &mut read => (source.await??, read),
        };
        if !force {
            self.check_not_old(&source, extracted).await?;
        }
        let (mut sources, (lifecycle, actual)) = (vec![source], read?);
        let planned = tokio::task::spawn_blocking(move || {
            complete(&mut sources, &actual);
            let policies = Policies::from(&settings).with_lifecycle(lifecycle);
            let now = Timestamp::now();
            let plan = Arc::new(plan(&wanted(&sources, &policies, now).extracted_at(extracted), &actual)?);
            let planned_days = policies.lifecycle.guard_in_force(now).planned_days;
            let effect = Arc::new(PlanEffect {
                coverage: sources.first().map(|source| source.coverage.as_str().to_owned()),
                extracted: extracted.map(format_generalized),
                ..plan_effect(&plan, &actual, (now, planned_days))
            });
            let passwords = Arc::new(InitialPasswords::of(sources));
            Ok::<_, PlanError>(PlannedImport { plan, passwords, effect, approval: None })
        });
        Ok(planned.await??)
    }

    /// Refuses a file that was imported before another one of its source, and one that is older than the last one. The
    /// last file itself may come again: it changes nothing, or completes an import that was interrupted.
    async fn check_not_old(&self, source: &Source, extracted: Option<Timestamp>) -> Result<(), ImportError> {
        let since = (Timestamp::now(), GUARD_WINDOW_DAYS_MAX);
        let batches = read_batches(&self.directory, Some(&source.name), since).await.map_err(DeskError::from)?;
        let of_source = |batch: &&BatchEntry| batch.source == source.name && !batch.is_undone;
        let mut newest_first = batches.iter().rev().filter(of_source);
        let Some(last) = newest_first.next().filter(|last| last.digest != source.digest) else { return Ok(()) };
        if let Some(former) = newest_first.find(|batch| batch.digest == source.digest) {
            let words =
                format!("this file was imported on {} (batch {}), and another one since", former.since, former.id);
            return Err(ImportError::OldFile(words));
        }
        let last_extracted = last.effect.extracted.as_deref().and_then(parse_generalized);
        match (extracted, last_extracted) {
            (Some(this), Some(last)) if this < last => Err(ImportError::OldFile(format!(
                "this file is of {this}, and the last one that was imported of {last}"
            ))),
            _ => Ok(()),
        }
    }

    /// Creates what is missing of the suffix entry, the containers and the entry of the site's domain. Returns the DNs
    /// of the entries that this call created.
    pub async fn ensure_tree(&self, principal: &Principal) -> Result<Vec<String>, DeskError> {
        self.permit(principal, Permission::InitDirectory).await?;
        Ok(ensure_tree(&self.directory, &self.settings.get()).await?)
    }
}
