//! A registrar's file: upload for a plan, look at the plan, apply it under its hash.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use provost_provision::{
    Actor, Actual, Applier, AttributeChange, Change, CsvOptions, Passwords, Plan, PlanSummary, Policies, Progress,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Shared;
use crate::auth::Caller;
use crate::extract::{CsvBody, JsonBody, PathOf, QueryOf};
use crate::jobs::{self, Job, JobState};
use crate::model::RejectedRow;
use crate::openapi::Failures;
use crate::people::audited;
use crate::plans::{Plans, PlansError, Waiting};
use crate::problem::{Kind, Problem};

/// Changes and rejected rows that an answer lists; the summary counts all.
const LISTED_MAX: usize = 1000;
/// Plans that are made at once: each holds its file and the directory's people in memory.
const PLANNING_MAX: usize = 1;
/// How long a request waits for its turn to plan.
const PLANNING_PATIENCE: Duration = Duration::from_secs(30);
/// Longest `?wait=`, seconds.
const WAIT_SECONDS_MAX: u64 = 60;

static PLANNING: Semaphore = Semaphore::const_new(PLANNING_MAX);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    encoding: Option<String>,
    separator: Option<String>,
}

/// What an import would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportBody {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Name of exactly this plan: state it to apply.
    hash: String,
    /// Counts.
    summary: SummaryBody,
    /// The first 1000 changes.
    changes: Vec<ChangeBody>,
    /// The first 1000 rows that are left out.
    rejected: Vec<RejectedRow>,
}

/// Counts of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SummaryBody {
    /// Rows of the file, good and wrong.
    rows: usize,
    /// People to make.
    create: usize,
    /// People to change.
    update: usize,
    /// Of those, with a new primary address.
    rename: usize,
    /// People that are so already.
    unchanged: usize,
    /// Rows left out.
    rejected: usize,
    /// Single-entry LDAP writes.
    writes: usize,
    /// Passwords to hash.
    passwords: usize,
}

impl From<&PlanSummary> for SummaryBody {
    fn from(summary: &PlanSummary) -> Self {
        let PlanSummary { rows, create, update, rename, unchanged, rejected, writes, passwords, .. } = *summary;
        Self { rows, create, update, rename, unchanged, rejected, writes, passwords }
    }
}

/// One person's change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeBody {
    /// Line of the row.
    line: u64,
    /// In words.
    what: String,
    /// Why.
    reason: ReasonBody,
    /// The attributes of the person and of their addresses, before and after. Passwords are not among them.
    attributes: Vec<AttributeBody>,
}

/// Why a change is made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// Id of the rule: `person.unknown`, `person.renamed`, `person.differs`, `address.entry`.
    rule: String,
    /// The same in words.
    words: String,
}

/// One attribute that changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttributeBody {
    /// LDAP name.
    attribute: String,
    /// Values that are held now; none for a new entry.
    before: Vec<String>,
    /// Values that will be held; none takes the attribute away.
    after: Vec<String>,
    /// Id of the rule that leads to the values: `column.family_name`, `address.primary`, ...
    rule: String,
}

impl From<&Change> for ChangeBody {
    fn from(change: &Change) -> Self {
        let attributes = change.writes.iter().flat_map(|write| &write.attributes).map(AttributeBody::from).collect();
        let reason = ReasonBody { rule: change.reason.rule.to_string(), words: change.reason.words.clone() };
        Self { line: change.line, what: change.what.clone(), reason, attributes }
    }
}

impl From<&AttributeChange> for AttributeBody {
    fn from(change: &AttributeChange) -> Self {
        Self {
            attribute: change.name.as_str().to_owned(),
            before: change.before.clone(),
            after: change.after.clone(),
            rule: change.rule.to_string(),
        }
    }
}

impl ImportBody {
    fn new(id: Uuid, plan: &Plan) -> Self {
        Self {
            id,
            hash: plan.hash().to_owned(),
            summary: plan.summary().into(),
            changes: plan.changes().iter().take(LISTED_MAX).map(ChangeBody::from).collect(),
            rejected: plan.rejected().iter().take(LISTED_MAX).map(Into::into).collect(),
        }
    }
}

/// Which plan to apply.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyBody {
    /// The `hash` that was shown.
    hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    #[serde(default)]
    wait: u64,
}

/// Takes a registrar's file and plans it. Nothing is changed; the file waits 24 hours for its apply.
#[utoipa::path(
    post, operation_id = "planImport", path = "/imports", tag = "imports",
    params(
        ("encoding" = Option<String>, Query, pattern = "^([Uu][Tt][Ff]-?8|[Ww]indows-1252)$", description = "`utf-8` (without it) or `windows-1252`"),
        ("separator" = Option<String>, Query, pattern = "^(comma|semicolon|,|;)$", description = "`comma` or `semicolon`; without it the header decides"),
    ),
    request_body(content = String, content_type = "text/csv", description = "The file, at most 64 MiB"),
    responses((status = 201, description = "The plan", body = ImportBody, headers(("Location" = String), ("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn upload(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    QueryOf(query): QueryOf<UploadQuery>,
    file: CsvBody,
) -> Result<impl IntoResponse, Problem> {
    let now = Timestamp::now();
    let mut waiting = Waiting {
        uploaded_at: now,
        encoding: encoding_of(query.encoding.as_deref())?.to_owned(),
        separator: separator_of(query.separator.as_deref())?,
        hash: String::new(),
    };
    let _turn = planning_turn().await?;
    let octets = file.octets.clone();
    let Planned { plan, .. } = make_plan(&shared, octets.clone(), waiting.options()).await?;
    waiting.hash = plan.hash().to_owned();
    let id = Uuid::new_v4();
    on_disk(&shared.plans, move |plans| plans.keep(id, &octets, &waiting)).await?;
    let body = ImportBody::new(id, &plan);
    let detail = serde_json::json!({ "import": id, "rows": plan.summary().rows, "writes": plan.summary().writes });
    let audit_id = note(&shared, &actor, "import.plan", &body.hash, detail).await?;
    let location =
        AppendHeaders(HeaderValue::from_str(&format!("/api/v1/imports/{id}")).ok().map(|at| (header::LOCATION, at)));
    Ok((StatusCode::CREATED, audited(&audit_id, (location, Json(body)))))
}

/// Shows the plan of an uploaded file, made anew: what it would do now.
#[utoipa::path(
    get, operation_id = "showImport", path = "/imports/{id}", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "Id of the import")),
    responses((status = 200, description = "The plan", body = ImportBody), Failures)
)]
pub(crate) async fn show(State(shared): State<Shared>, PathOf(id): PathOf<Uuid>) -> Result<Json<ImportBody>, Problem> {
    let _turn = planning_turn().await?;
    let Planned { plan, .. } = plan_again(&shared, id).await?;
    Ok(Json(ImportBody::new(id, &plan)))
}

/// Applies the plan of that hash; refused when the plan would be another one now.
#[utoipa::path(
    post, operation_id = "applyImport", path = "/imports/{id}/apply", tag = "imports",
    params(
        ("id" = String, Path, format = "uuid", description = "Id of the import"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for the end, 0 to 60", maximum = 60),
    ),
    request_body = ApplyBody,
    responses(
        (status = 200, description = "Ended within `wait`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        (status = 202, description = "At work: look at `Location`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        Failures
    )
)]
pub(crate) async fn apply(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    PathOf(id): PathOf<Uuid>,
    QueryOf(query): QueryOf<ApplyQuery>,
    JsonBody(body): JsonBody<ApplyBody>,
) -> Result<Response, Problem> {
    if query.wait > WAIT_SECONDS_MAX {
        return Err(Problem::invalid("?wait", format!("0 to {WAIT_SECONDS_MAX}")));
    }
    let planning = planning_turn().await?;
    let planned = plan_again(&shared, id).await?;
    let plan = &planned.plan;
    let hash = plan.hash().to_owned();
    if hash != body.hash {
        let mut problem = Problem::new(Kind::PlanChanged, "the hash is not that of the plan as it is now");
        problem.hash = Some(hash.into());
        return Err(problem);
    }
    let detail = serde_json::json!({ "import": id, "writes": plan.summary().writes });
    let audit_id = note(&shared, &actor, "import.request", &hash, detail).await?;
    let sender = shared
        .jobs
        .begin(plan.changes().len())
        .ok_or_else(|| Problem::new(Kind::Busy, "too many imports are being applied"))?;
    let job = sender.subscribe();
    tokio::spawn(work(shared.clone(), id, planned, actor, sender));
    drop(planning);
    let job = jobs::wait(job, Duration::from_secs(query.wait)).await;
    let code = if job.state == JobState::Running { StatusCode::ACCEPTED } else { StatusCode::OK };
    let location = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.id)).ok().map(|at| (header::LOCATION, at));
    Ok((code, audited(&audit_id, (AppendHeaders(location), Json(job)))).into_response())
}

/// The apply itself, in a task of its own: it outlives the request.
async fn work(shared: Shared, import: Uuid, planned: Planned, actor: Actor, sender: watch::Sender<Job>) {
    let _turn = shared.jobs.turn().await;
    let desk = &shared.api.desk;
    let mut progress = |now: Progress| {
        sender.send_modify(|job| {
            job.done = now.done;
            job.total = now.total;
        });
    };
    let applier = Applier {
        directory: &desk.directory,
        scheme: desk.settings.get().scheme,
        actor: &actor,
        audit: &desk.audit,
        journals: &shared.api.journals,
    };
    let outcome = applier.apply(&planned.plan, &planned.passwords, &mut progress).await;
    let (state, outcomes, error) = match outcome {
        Ok(outcomes) => (JobState::Done, outcomes, None),
        Err((outcomes, error)) => (JobState::Failed, outcomes, Some(error.to_string())),
    };
    if state == JobState::Done && on_disk(&shared.plans, move |plans| plans.forget(import)).await.is_err() {
        tracing::warn!(%import, "the file of an applied import could not be removed; it goes when it expires");
    }
    sender.send_modify(|job| {
        job.state = state;
        job.outcomes = Some(outcomes.into());
        job.error = error;
    });
}

async fn planning_turn() -> Result<SemaphorePermit<'static>, Problem> {
    match tokio::time::timeout(PLANNING_PATIENCE, PLANNING.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Problem::new(Kind::Busy, "another import is being planned")),
    }
}

/// A plan with the passwords of its file.
struct Planned {
    plan: Arc<Plan>,
    passwords: Passwords,
}

async fn plan_again(shared: &Shared, id: Uuid) -> Result<Planned, Problem> {
    let (waiting, octets) = on_disk(&shared.plans, move |plans| plans.read(id, Timestamp::now())).await?;
    make_plan(shared, octets.into(), waiting.options()).await
}

/// Read, compare. The work is done off the async threads.
async fn make_plan(shared: &Shared, octets: Bytes, options: CsvOptions) -> Result<Planned, Problem> {
    let fault = |error: tokio::task::JoinError| Problem::internal("planning ended in a fault", &error);
    let desk = shared.api.desk.clone();
    let name = desk.settings.get().source;
    let source = tokio::task::spawn_blocking(move || provost_provision::read_source(&name, &octets, &options));
    let sources = vec![source.await.map_err(fault)??];
    let actual = Actual::read(&desk.directory).await.map_err(provost_provision::DeskError::from)?;
    let planned = tokio::task::spawn_blocking(move || {
        let policies = Policies::from(&desk.settings.get());
        let wanted = provost_provision::wanted(&sources, &policies, Timestamp::now());
        let plan = Arc::new(provost_provision::plan(&wanted, &actual)?);
        Ok(Planned { plan, passwords: Passwords::of(sources) })
    });
    let inconsistent = |error: provost_provision::PlanError| Problem::new(Kind::Inconsistent, error.to_string());
    planned.await.map_err(fault)?.map_err(inconsistent)
}

/// Runs work on the plans' folder off the async threads.
async fn on_disk<T: Send + 'static>(
    plans: &Plans,
    work: impl FnOnce(&Plans) -> Result<T, PlansError> + Send + 'static,
) -> Result<T, Problem> {
    let plans = plans.clone();
    match tokio::task::spawn_blocking(move || work(&plans)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(PlansError::Gone)) => Err(Problem::new(Kind::NotFound, "there is no such import (any more)")),
        Ok(Err(PlansError::Full)) => Err(Problem::new(Kind::Busy, "too many imports wait for their apply")),
        Ok(Err(PlansError::Io(error))) => {
            tracing::error!(%error, "the folder of uploaded imports");
            Err(Problem::new(Kind::Unavailable, "the file cannot be kept or read now"))
        }
        Err(error) => Err(Problem::internal("the folder of imports", &error)),
    }
}

async fn note(
    shared: &Shared,
    actor: &Actor,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<String, Problem> {
    let noted = shared.api.desk.audit.note(actor, action, subject, detail).await;
    noted.map_err(|error| Problem::new(Kind::Unavailable, format!("the request cannot be audited: {error}")))
}

fn encoding_of(text: Option<&str>) -> Result<&'static str, Problem> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("utf-8" | "utf8") => Ok("utf-8"),
        Some("windows-1252" | "cp1252") => Ok("windows-1252"),
        Some(_) => Err(Problem::invalid("?encoding", "utf-8 or windows-1252")),
    }
}

fn separator_of(text: Option<&str>) -> Result<Option<char>, Problem> {
    match text {
        None => Ok(None),
        Some("," | "comma") => Ok(Some(',')),
        Some(";" | "semicolon") => Ok(Some(';')),
        Some(_) => Err(Problem::invalid("?separator", "comma or semicolon")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_encodings_and_separators_and_refuses_others() {
        assert_eq!(encoding_of(None).unwrap(), "utf-8");
        assert_eq!(encoding_of(Some("Windows-1252")).unwrap(), "windows-1252");
        assert_eq!(encoding_of(Some("latin1")).unwrap_err().status, 422);
        assert_eq!(separator_of(Some(";")).unwrap(), Some(';'));
        assert_eq!(separator_of(Some("comma")).unwrap(), Some(','));
        assert_eq!(separator_of(Some("tab")).unwrap_err().errors[0].pointer, "?separator");
    }
}
