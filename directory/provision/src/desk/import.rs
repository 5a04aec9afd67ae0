//! Plans and applies a registrar's file for a principal that may do so.

use std::sync::Arc;

use super::source_profile::read_source_profile;
use super::{Desk, DeskError};
use crate::policy_documents::read_policies;
use crate::{
    Applier, ApplyError, CsvOptions, DirectoryContent, FileError, InitialPasswords, OnProgress, Outcomes, Permission,
    Plan, PlanError, PlanOrigin, Policies, Principal, ReadOptions, complete, ensure_tree, plan, read_file, wanted,
};
/// A plan with the passwords of its file, which the plan itself never holds.
#[derive(Clone)]
pub struct PlannedImport {
    /// The changes that the file asks for.
    pub plan: Arc<Plan>,
    /// Initial passwords that the file states.
    pub passwords: Arc<InitialPasswords>,
}

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Name of the source, whose profile says how its files are read; `None` for the site's registrar.
    pub source: Option<String>,
    /// What the caller states of this file.
    pub read: ReadOptions,
}

impl From<CsvOptions> for ImportOptions {
    fn from(options: CsvOptions) -> Self {
        Self { source: None, read: options.into() }
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
        let name = options.source.as_deref().unwrap_or(&settings.source);
        let profile = read_source_profile(&self.directory, name).await?;
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
        let (mut sources, (lifecycle, actual)) = (vec![source], read?);
        let planned = tokio::task::spawn_blocking(move || {
            complete(&mut sources, &actual);
            let policies = Policies::from(&settings).with_lifecycle(lifecycle);
            let plan = Arc::new(plan(&wanted(&sources, &policies, jiff::Timestamp::now()), &actual)?);
            Ok::<_, PlanError>(PlannedImport { plan, passwords: Arc::new(InitialPasswords::of(sources)) })
        });
        Ok(planned.await??)
    }

    /// Applies a plan: see [`Applier::apply_until`]. The outer `Err` means that the principal may not apply imports,
    /// and nothing was begun.
    pub async fn apply_import(
        &self,
        stop: impl Future<Output = ()> + Send,
        principal: &Principal,
        planned: &PlannedImport,
        progress: OnProgress<'_>,
    ) -> Result<Result<Outcomes, (Outcomes, ApplyError)>, DeskError> {
        let is_lifecycle = planned.plan.origin() == PlanOrigin::Lifecycle;
        let operation = if is_lifecycle { Permission::RunLifecycle } else { Permission::ApplyImport };
        self.permit(principal, operation).await?;
        let (directory, audit, journals) = (&self.directory, &self.audit, &self.journals);
        let password_policy = &self.settings.get().passwords;
        let applier = Applier { directory, password_policy, actor: principal.actor(), audit, journals };
        Ok(applier.apply_until(stop, &planned.plan, &planned.passwords, progress).await)
    }

    /// Creates what is missing of the suffix entry, the containers and the entry of the site's domain. Returns the DNs
    /// of the entries that this call created.
    pub async fn ensure_tree(&self, principal: &Principal) -> Result<Vec<String>, DeskError> {
        self.permit(principal, Permission::InitDirectory).await?;
        Ok(ensure_tree(&self.directory, &self.settings.get()).await?)
    }
}
