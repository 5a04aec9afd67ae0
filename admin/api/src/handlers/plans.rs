//! Handlers for plans that this node keeps: those that the guard stopped, and those that were planned to be applied later.

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use jiff::Timestamp;
use provost_provision::{ImportOptions, KeptPlanError, KeptPlanUseError, Language, Permission, Principal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::background_apply::{self, ApplyQuery, ReadyPlan};
use crate::extract::{JsonBody, PathParameters, QueryParameters};
use crate::failures::RouteFailures;
use crate::jobs::Job;
use crate::model::RejectedRow;
use crate::model_plans::{KeptPlanItem, PlannedChange};
use crate::problem::{Problem, ProblemKind};
use crate::shared::HandlerState;

/// Maximum number of changes in one answer.
const CHANGES_MAX: usize = 1000;
/// Changes in one answer when the caller states no limit.
const CHANGES_DEFAULT: usize = 100;
/// Maximum number of problems of rejected rows in one answer.
const REJECTED_MAX: usize = 1000;

/// The plans that this node keeps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptPlanList {
    /// The plans, newest first, at most 20.
    plans: Vec<KeptPlanItem>,
}

/// Lists the plans that this node keeps: the last 20, for 30 days.
#[utoipa::path(
    get, operation_id = "listPlans", path = "/plans", tag = "imports",
    responses((status = 200, description = "The plans", body = KeptPlanList), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<KeptPlanList>, Problem> {
    let plans = shared.desk.kept_plans(&principal).await?;
    Ok(Json(KeptPlanList { plans: plans.into_iter().map(Into::into).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanQuery {
    #[serde(default)]
    from: usize,
    limit: Option<usize>,
    language: Option<String>,
}

/// A kept plan with a part of its changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptPlanBody {
    #[serde(flatten)]
    plan: KeptPlanItem,
    /// The changes from the number `from` on.
    changes: Vec<PlannedChange>,
    /// The value of `from` for the changes after these; `null` when there are no more.
    next: Option<usize>,
    /// The first 1000 problems of the rows that are left out; a row may have several.
    rejected: Vec<RejectedRow>,
}

/// Shows a kept plan: who made it, the limits that it exceeds, and its changes with the values before and after in words.
#[utoipa::path(
    get, operation_id = "showPlan", path = "/plans/{hash}", tag = "imports",
    params(
        ("hash" = String, Path, min_length = 8, max_length = 64, description = "Hash of the plan, or its first eight characters or more"),
        ("from" = Option<usize>, Query, description = "Number of the first change, from 0, which is the default", minimum = 0),
        ("limit" = Option<usize>, Query, description = "Maximum number of changes, 1 to 1000; 100 by default", minimum = 1, maximum = 1000),
        ("language" = Option<String>, Query, pattern = "^(en|fr)$", description = "Language of the words: `en` (default) or `fr`"),
    ),
    responses((status = 200, description = "The plan", body = KeptPlanBody), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(hash): PathParameters<String>,
    QueryParameters(query): QueryParameters<PlanQuery>,
) -> Result<Json<KeptPlanBody>, Problem> {
    let limit = query.limit.unwrap_or(CHANGES_DEFAULT);
    if !(1..=CHANGES_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {CHANGES_MAX}")));
    }
    let words = shared.desk.words(language_of(query.language.as_deref())?);
    shared.desk.permit(&principal, Permission::ViewImports).await?;
    // The plan of a whole university takes about 80 MB.
    let _turn = shared.turns.wait_to_plan().await?;
    let (kept, plan) = shared.desk.kept_plan(&principal, &hash).await?;
    let changes = plan.changes().iter().skip(query.from).take(limit);
    let changes: Vec<_> = changes.map(|change| PlannedChange::new(&words, change)).collect();
    let end = query.from.saturating_add(changes.len());
    Ok(Json(KeptPlanBody {
        plan: kept.into(),
        changes,
        next: (end < plan.changes().len()).then_some(end),
        rejected: plan.rejected().iter().take(REJECTED_MAX).map(Into::into).collect(),
    }))
}

fn language_of(text: Option<&str>) -> Result<Language, Problem> {
    match text {
        None | Some("en") => Ok(Language::English),
        Some("fr") => Ok(Language::French),
        Some(_) => Err(Problem::invalid("?language", "en or fr")),
    }
}

/// Why the guard is overridden.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideBody {
    /// Why the plan is right; the audit and the batch record it.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// Id of the import from whose file the plan was made. Needed for a plan that sets initial passwords: a kept plan has
    /// none.
    #[schema(value_type = Option<String>, format = "uuid")]
    import: Option<Uuid>,
}

/// Applies a plan that the guard stopped, by another person than the one who made it.
#[utoipa::path(
    post, operation_id = "overridePlan", path = "/plans/{hash}/override", tag = "imports",
    params(
        ("hash" = String, Path, min_length = 8, max_length = 64, description = "Hash of the plan, or its first eight characters or more"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for the end, 0 to 60", maximum = 60),
    ),
    request_body = OverrideBody,
    responses(
        (status = 200, description = "Ended within `wait`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        (status = 202, description = "Running: see `Location`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        RouteFailures
    )
)]
pub(crate) async fn override_guard(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(hash): PathParameters<String>,
    QueryParameters(query): QueryParameters<ApplyQuery>,
    JsonBody(body): JsonBody<OverrideBody>,
) -> Result<Response, Problem> {
    let wait = query.wait()?;
    shared.desk.permit(&principal, Permission::OverrideGuard).await?;
    let prepare = prepare(shared.clone(), principal.clone(), hash, body);
    background_apply::apply(shared, principal, wait, prepare).await
}

/// Reads the kept plan and its file, and records the approval.
async fn prepare(
    shared: HandlerState,
    principal: Principal,
    hash: String,
    body: OverrideBody,
) -> Result<ReadyPlan, Problem> {
    let _turn = shared.turns.wait_to_plan().await?;
    let file = match body.import {
        Some(id) => Some(read_upload(&shared, id).await?),
        None => None,
    };
    let (kept, planned) = shared.desk.prepare_kept_plan(&principal, &hash, file).await?;
    let (planned, audit_id) = shared.desk.approve_plan(&principal, (&kept, planned), &body.reason).await?;
    Ok(ReadyPlan { planned, audit_id, import: body.import })
}

async fn read_upload(shared: &HandlerState, id: Uuid) -> Result<(Vec<u8>, ImportOptions), Problem> {
    let (upload, octets) = shared.uploaded_files.read(id, Timestamp::now()).await?;
    Ok((octets.to_vec(), upload.options()))
}

impl From<KeptPlanUseError> for Problem {
    fn from(error: KeptPlanUseError) -> Self {
        let detail = error.to_string();
        match error {
            KeptPlanUseError::Desk(error) => error.into(),
            KeptPlanUseError::Plan(KeptPlanError::Unknown(_)) => {
                Self::new(ProblemKind::NotFound, "this node keeps no plan with such a hash")
            }
            KeptPlanUseError::Plan(KeptPlanError::Ambiguous(_)) => Self::new(ProblemKind::Ambiguous, detail),
            KeptPlanUseError::Plan(KeptPlanError::Plan(_) | KeptPlanError::Io(_)) => {
                tracing::error!(detail, "a kept plan cannot be read");
                Self::new(ProblemKind::Unavailable, detail)
            }
            KeptPlanUseError::File(error) => error.into(),
            KeptPlanUseError::FileNeeded(passwords) => Self::invalid(
                "/import",
                format!(
                    "the plan sets {passwords} initial passwords, which are not kept: state the import of its file"
                ),
            ),
            KeptPlanUseError::OtherFile => Self::invalid("/import", detail),
            KeptPlanUseError::Moved { .. } => Self::new(ProblemKind::PlanChanged, detail),
            KeptPlanUseError::Fault(error) => Self::internal("a kept plan cannot be used", &error),
        }
    }
}
