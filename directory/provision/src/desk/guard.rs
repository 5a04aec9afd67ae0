//! Applies plans under the guard, keeps those that it stops, and applies kept plans.

use std::sync::Arc;

use jiff::Timestamp;
use provost_policy::{FailureLimit, GuardPolicy};
use serde_json::json;

use super::source_profile::read_source_profile;
use super::{Desk, DeskError, ImportOptions, PlannedImport, checked_reason};
use crate::apply::GuardStop;
use crate::guard::{judge, note_undone, read_batches, remove_batch};
use crate::kept_plans::{KeptPlan, KeptPlanError, KeptPlans};
use crate::plan::{UNDO, moved};
use crate::policy_documents::read_policies;
use crate::{
    Applier, ApplyError, BatchOptions, FileError, GuardReport, InitialPasswords, Language, OnProgress, Outcomes,
    Permission, Plan, PlanOrigin, Principal, Words, WrittenEntries, read_file,
};

/// Entries that an error names when the directory has moved.
const MOVED_LISTED: usize = 3;

/// A second person's word for a plan that the guard stopped: [`Desk::approve_plan`] makes it.
#[derive(Clone, Debug)]
pub struct PlanApproval {
    /// Hash of the plan.
    pub(super) hash: String,
    /// Who approved it, and why.
    words: String,
}

/// Why a kept plan is not applied.
#[derive(Debug, thiserror::Error)]
pub enum KeptPlanUseError {
    /// The principal may not, or the directory cannot be read.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The plan is unknown or damaged.
    #[error(transparent)]
    Plan(#[from] KeptPlanError),
    /// The file with the initial passwords is refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The plan sets initial passwords, which are never kept.
    #[error("the plan sets {0} initial passwords, which are not kept: state the file again (--file)")]
    FileNeeded(usize),
    /// The file is not the one that was planned.
    #[error("this is not the file from which the plan was made")]
    OtherFile,
    /// Entries that the plan writes have changed since.
    #[error("the directory has moved under the plan: {count} entries have changed since, such as {first}; plan again")]
    Moved {
        /// Number of entries.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A bug, or a disk that fails.
    #[error("the kept plan cannot be used: {0}")]
    Fault(String),
}

impl Desk {
    /// Compares what a plan does with the limits of the guard; writes nothing.
    pub async fn judge(&self, planned: &PlannedImport) -> Result<GuardReport, DeskError> {
        let policy = read_policies(&self.directory).await?.guard_in_force(Timestamp::now());
        self.judge_by(planned, &policy).await
    }

    async fn judge_by(&self, planned: &PlannedImport, policy: &GuardPolicy) -> Result<GuardReport, DeskError> {
        // An undo brings back what was before, and is asked for by name.
        if planned.plan.origin() == PlanOrigin::Undo || planned.effect.counts.is_empty() {
            return Ok(GuardReport { policy: policy.name.clone(), trips: Vec::new() });
        }
        let window = (Timestamp::now(), policy.window_days);
        let earlier = read_batches(&self.directory, None, window).await?;
        let source = planned.plan.sources().first().map_or("", |source| source.name.as_str());
        let of_plan = (source, planned.plan.digest());
        Ok(judge((of_plan.0, &of_plan.1, planned.plan.hash()), &planned.effect, &earlier, policy))
    }

    /// Applies a plan: see [`Applier::apply_until`]. The outer `Err` means that the principal may not apply it, and
    /// nothing was begun. When the plan exceeds a limit of the guard and nobody has approved it, nothing is written,
    /// the plan is kept, and the error is [`ApplyError::Guard`].
    pub async fn apply_import(
        &self,
        stop: impl Future<Output = ()> + Send,
        principal: &Principal,
        planned: &PlannedImport,
        progress: OnProgress<'_>,
    ) -> Result<Result<Outcomes, (Outcomes, ApplyError)>, DeskError> {
        self.permit(principal, apply_permission(&planned.plan)).await?;
        let policy = read_policies(&self.directory).await?.guard_in_force(Timestamp::now());
        if let Some(stop) = self.stop_unless_approved(principal, planned, &policy).await? {
            return Ok(Err((Outcomes::default(), ApplyError::Guard(Box::new(stop)))));
        }
        let approval = planned.approval_of_plan().map(|approval| approval.words.clone());
        let applied = self.apply_batch(stop, (principal, planned), (approval, policy.failures), progress).await;
        if let Ok(outcomes) = &applied {
            self.settle_batch_entries(planned, outcomes).await?;
        }
        Ok(applied)
    }

    /// What [`Desk::apply_import`] asks of the guard before it writes: when the plan exceeds a limit and nobody has
    /// approved it, the plan is kept and recorded, and the stop is returned. For faces that answer before the apply ends.
    pub async fn ask_guard(
        &self,
        principal: &Principal,
        planned: &PlannedImport,
    ) -> Result<Option<GuardStop>, DeskError> {
        self.permit(principal, apply_permission(&planned.plan)).await?;
        let policy = read_policies(&self.directory).await?.guard_in_force(Timestamp::now());
        self.stop_unless_approved(principal, planned, &policy).await
    }

    async fn stop_unless_approved(
        &self,
        principal: &Principal,
        planned: &PlannedImport,
        policy: &GuardPolicy,
    ) -> Result<Option<GuardStop>, DeskError> {
        if planned.approval_of_plan().is_some() {
            return Ok(None);
        }
        let report = self.judge_by(planned, policy).await?;
        match report.has_tripped() {
            true => Ok(Some(self.stop_plan(principal, planned, report).await?)),
            false => Ok(None),
        }
    }

    async fn apply_batch(
        &self,
        stop: impl Future<Output = ()> + Send,
        (principal, planned): (&Principal, &PlannedImport),
        (approval, failures): (Option<String>, FailureLimit),
        progress: OnProgress<'_>,
    ) -> Result<Outcomes, (Outcomes, ApplyError)> {
        let (directory, audit, journals) = (&self.directory, &self.audit, &self.journals);
        let password_policy = &self.settings.get().passwords;
        // An undo is no batch that counts: what is left of it is the entry that it marks or removes.
        let effect = (planned.plan.origin() != PlanOrigin::Undo).then(|| planned.effect.clone());
        let batch = BatchOptions { effect, approval, failures };
        let applier = Applier { directory, password_policy, actor: principal.actor(), audit, journals, batch };
        applier.apply_until(stop, &planned.plan, &planned.passwords, progress).await
    }

    /// Removes the entry of a batch that was undone, or marks it where values of it stay; and forgets a kept plan that was applied to its end.
    async fn settle_batch_entries(&self, planned: &PlannedImport, outcomes: &Outcomes) -> Result<(), DeskError> {
        if outcomes.interrupted {
            return Ok(());
        }
        if let Some(batch) = planned.plan.undone_batch() {
            let is_whole = planned.plan.rejected().is_empty() && outcomes.failed.is_empty();
            match is_whole {
                true => remove_batch(&self.directory, batch).await?,
                false => note_undone(&self.directory, batch, &outcomes.batch).await?,
            }
        }
        let hash = planned.plan.hash().to_owned();
        if let Err(error) = self.with_kept_plans(move |plans| plans.remove(&hash)).await {
            tracing::warn!(%error, "a kept plan that was applied could not be removed");
        }
        Ok(())
    }

    /// Keeps a plan that the guard stops, and records it.
    async fn stop_plan(
        &self,
        principal: &Principal,
        planned: &PlannedImport,
        report: GuardReport,
    ) -> Result<GuardStop, DeskError> {
        let detail = json!({ "limits": report.trips, "policy": report.policy, "summary": planned.plan.summary() });
        let kept = self.keep(principal, planned, report).await?;
        let recorded = self.audit.record(principal.actor(), "guard.stop", &kept.hash, detail).await;
        recorded.map_err(|error| DeskError::AuditUnavailable(format!("nothing was changed: {error}")))?;
        log_stop(&kept);
        Ok(GuardStop { hash: kept.hash, report: kept.report })
    }

    async fn keep(
        &self,
        principal: &Principal,
        planned: &PlannedImport,
        report: GuardReport,
    ) -> Result<KeptPlan, DeskError> {
        let (plan, effect) = (planned.plan.clone(), planned.effect.as_ref().clone());
        let kept = KeptPlan::of(&plan, principal, Timestamp::now(), effect, report);
        let kept = self.with_kept_plans(move |plans| plans.keep(&plan, kept)).await;
        kept.map_err(|error| DeskError::Unavailable(format!("nothing was changed: {error}")))
    }

    /// Keeps a plan under its hash, with the report of the guard, so that it can be looked at and applied later.
    pub async fn keep_plan(&self, principal: &Principal, planned: &PlannedImport) -> Result<KeptPlan, DeskError> {
        let report = self.judge(planned).await?;
        let detail = json!({ "summary": planned.plan.summary() });
        self.permit_change(principal, Permission::PlanImport, planned.plan.hash(), detail).await?;
        self.keep(principal, planned, report).await
    }

    /// Words in a language for plans and histories, with days and times in the site's time zone.
    pub fn words(&self, language: Language) -> Words {
        Words::new(language, self.settings.get().time_zone.clone())
    }

    /// The plans that this machine keeps, newest first.
    pub async fn kept_plans(&self, principal: &Principal) -> Result<Vec<KeptPlan>, KeptPlanUseError> {
        self.permit(principal, Permission::ViewImports).await?;
        self.with_kept_plans(KeptPlans::list).await
    }

    /// A kept plan by its hash or the beginning of it.
    pub async fn kept_plan(
        &self,
        principal: &Principal,
        hash: &str,
    ) -> Result<(KeptPlan, Arc<Plan>), KeptPlanUseError> {
        self.permit(principal, Permission::ViewImports).await?;
        let hash = hash.to_owned();
        let (kept, plan) = self.with_kept_plans(move |plans| plans.find(&hash)).await?;
        Ok((kept, Arc::new(plan)))
    }

    /// A kept plan, ready for [`Desk::apply_import`]. `file` is the file from which it was made, for its passwords. A
    /// plan whose people have changed since is refused.
    pub async fn prepare_kept_plan(
        &self,
        principal: &Principal,
        hash: &str,
        file: Option<(Vec<u8>, ImportOptions)>,
    ) -> Result<(KeptPlan, PlannedImport), KeptPlanUseError> {
        let (kept, plan) = self.kept_plan(principal, hash).await?;
        let passwords = self.passwords_of(&plan, file).await?;
        self.check_not_moved(&plan).await?;
        let effect = Arc::new(kept.effect.clone());
        Ok((kept, PlannedImport { plan, passwords: Arc::new(passwords), effect, approval: None }))
    }

    async fn passwords_of(
        &self,
        plan: &Plan,
        file: Option<(Vec<u8>, ImportOptions)>,
    ) -> Result<InitialPasswords, KeptPlanUseError> {
        let Some((octets, options)) = file else {
            return match plan.summary().passwords {
                0 => Ok(InitialPasswords::default()),
                passwords => Err(KeptPlanUseError::FileNeeded(passwords)),
            };
        };
        let name = plan.sources().first().map_or("", |source| source.name.as_str());
        let profile = read_source_profile(&self.directory, name).await?;
        let read = tokio::task::spawn_blocking(move || read_file(&profile, &octets, &options.read));
        let source = read.await.map_err(|error| KeptPlanUseError::Fault(error.to_string()))??;
        if source.digest != plan.digest() {
            return Err(KeptPlanUseError::OtherFile);
        }
        Ok(InitialPasswords::of(vec![source]))
    }

    async fn check_not_moved(&self, plan: &Arc<Plan>) -> Result<(), KeptPlanUseError> {
        let held = WrittenEntries::read(&self.directory, plan).await.map_err(DeskError::from)?;
        let (journals, plan) = (self.journals.clone(), plan.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let batch = journals.open_batch_of(plan.hash()).map_err(|error| error.to_string())?;
            let moved: Vec<String> = moved(&plan, &held, batch.as_deref()).iter().map(ToString::to_string).collect();
            Ok::<_, String>(moved)
        });
        let moved = looked.await.map_err(|error| error.to_string()).and_then(|looked| looked);
        let moved = moved.map_err(KeptPlanUseError::Fault)?;
        if moved.is_empty() {
            return Ok(());
        }
        let first = moved.iter().take(MOVED_LISTED).cloned().collect::<Vec<_>>().join("; ");
        Err(KeptPlanUseError::Moved { count: moved.len(), first })
    }

    /// Approves a plan that the guard stopped, and records it. Refused for who made the plan: it takes two people.
    /// Returns the plan with its approval, and the audit id.
    pub async fn approve_plan(
        &self,
        principal: &Principal,
        (kept, planned): (&KeptPlan, PlannedImport),
        reason: &str,
    ) -> Result<(PlannedImport, String), DeskError> {
        self.permit(principal, Permission::OverrideGuard).await?;
        let reason = checked_reason(reason)?;
        let actor = &principal.actor().name;
        let is_same_person = kept.maker_person.is_some() && kept.maker_person == principal.behind();
        if kept.maker == *actor || is_same_person {
            return Err(DeskError::OwnPlan(actor.clone()));
        }
        let detail = json!({ "reason": reason, "maker": kept.maker, "limits": kept.report.trips });
        let audit_id = self.permit_change(principal, Permission::OverrideGuard, &kept.hash, detail).await?;
        let approval = PlanApproval { hash: kept.hash.clone(), words: format!("{actor} {reason}") };
        Ok((PlannedImport { approval: Some(approval), ..planned }, audit_id))
    }

    async fn with_kept_plans<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KeptPlans) -> Result<T, KeptPlanError> + Send + 'static,
    ) -> Result<T, KeptPlanUseError> {
        let plans = self.journals.kept_plans();
        let done = tokio::task::spawn_blocking(move || work(&plans)).await;
        Ok(done.map_err(|error| KeptPlanUseError::Fault(error.to_string()))??)
    }
}

/// What a principal needs to apply a plan.
fn apply_permission(plan: &Plan) -> Permission {
    if plan.origin() == PlanOrigin::Lifecycle { Permission::RunLifecycle } else { Permission::ApplyImport }
}

/// Says in the log of the node that a plan waits for somebody.
fn log_stop(kept: &KeptPlan) {
    let KeptPlan { hash, maker, source, report, .. } = kept;
    let first = report.trips.first().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(hash, maker, source, limits = report.trips.len(), first, "the guard stopped a plan");
}

/// Whether a name is one that plans use for themselves, and no source may have.
pub(crate) fn is_reserved_source(name: &str) -> bool {
    [UNDO, crate::lifecycle::LIFECYCLE_SOURCE].iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}
