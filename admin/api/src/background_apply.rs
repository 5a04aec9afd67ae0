//! Applies a plan in the background: takes the turn, lets the caller prepare the plan, asks the guard, and begins a job.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jiff::Timestamp;
use provost_provision::{ApplyProgress, PlannedImport, Principal};
use serde::Deserialize;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::jobs::{self, Job, JobEnd, JobState};
use crate::problem::Problem;
use crate::reply::audited;
use crate::shared::HandlerState;

/// Longest time to wait for the end of an apply (`?wait=`), in seconds.
const WAIT_SECONDS_MAX: u64 = 60;

/// The query of a request that applies a plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    #[serde(default)]
    wait: u64,
}

impl ApplyQuery {
    /// How long the reply waits for the end of the job.
    pub(crate) fn wait(&self) -> Result<Duration, Problem> {
        if self.wait > WAIT_SECONDS_MAX {
            return Err(Problem::invalid("?wait", format!("0 to {WAIT_SECONDS_MAX}")));
        }
        Ok(Duration::from_secs(self.wait))
    }
}

/// A plan that is ready to be applied.
pub(crate) struct ReadyPlan {
    pub(crate) planned: PlannedImport,
    /// Id of the audit record of this apply.
    pub(crate) audit_id: String,
    /// The uploaded file that is removed once the plan is applied.
    pub(crate) import: Option<Uuid>,
}

/// Applies the plan that `prepare` returns, which runs once the turn is taken. Answers when the job has ended, and after
/// `wait` at the latest.
pub(crate) async fn apply(
    shared: HandlerState,
    principal: Principal,
    wait: Duration,
    prepare: impl Future<Output = Result<ReadyPlan, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    // Run in a task of its own, so that the turn is given back even when the caller disconnects.
    let begun = tokio::spawn(begin(shared, principal, prepare)).await;
    let (job, audit_id) = begun.map_err(|fault| Problem::internal("a bug ended an apply", &fault))??;
    let job = jobs::wait(job, wait).await;
    let code = if job.state == JobState::Running { StatusCode::ACCEPTED } else { StatusCode::OK };
    let location = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.id)).ok().map(|at| (header::LOCATION, at));
    Ok((code, audited(&audit_id, (AppendHeaders(location), Json(job)))).into_response())
}

/// Takes the turn, prepares the plan, and begins to apply it unless the guard stops it.
async fn begin(
    shared: HandlerState,
    principal: Principal,
    prepare: impl Future<Output = Result<ReadyPlan, Problem>> + Send,
) -> Result<(watch::Receiver<Job>, String), Problem> {
    let turn = shared.turns.wait_to_apply().await?;
    match begin_job(&shared, &principal, prepare).await {
        Ok((ready, sender)) => {
            let (sender, (stop, stopped)) = (Arc::new(sender), oneshot::channel());
            let (job, audit_id) = (sender.subscribe(), ready.audit_id.clone());
            let work = work(shared.clone(), principal, ready, sender.clone(), stopped);
            shared.jobs.watch_over(sender, turn, stop, work);
            Ok((job, audit_id))
        }
        Err(problem) => {
            turn.end().await;
            Err(problem)
        }
    }
}

/// Prepares the plan and records its job. Returns it with the sender of the job's progress.
async fn begin_job(
    shared: &HandlerState,
    principal: &Principal,
    prepare: impl Future<Output = Result<ReadyPlan, Problem>> + Send,
) -> Result<(ReadyPlan, watch::Sender<Job>), Problem> {
    let ready = prepare.await?;
    // The apply asks the guard again. Asked here, a stop is the answer to this request and not the end of a job.
    if let Some(stop) = shared.desk.ask_guard(principal, &ready.planned).await? {
        return Err(stop.into());
    }
    let sender = shared.jobs.begin(ready.planned.plan.changes().len(), Timestamp::now()).await?;
    Ok((ready, sender))
}

/// Applies the plan. The work outlives the request, and stops early when `stopped` resolves.
async fn work(
    shared: HandlerState,
    principal: Principal,
    ready: ReadyPlan,
    sender: Arc<watch::Sender<Job>>,
    stopped: oneshot::Receiver<()>,
) -> JobEnd {
    let mut progress = |at: ApplyProgress| {
        sender.send_modify(|job| {
            job.done = at.done;
            job.total = at.total;
        });
    };
    let stop = async {
        // An error means that the sender is gone: no task watches over this job any more, so stop as well.
        let _ = stopped.await;
    };
    let (outcomes, error) = match shared.desk.apply_import(stop, &principal, &ready.planned, &mut progress).await {
        Ok(Ok(outcomes)) if outcomes.interrupted => (Some(outcomes), Some("the import was stopped early".to_owned())),
        Ok(Ok(outcomes)) => (Some(outcomes), None),
        Ok(Err((outcomes, error))) => (Some(outcomes), Some(error.to_string())),
        Err(error) => (None, Some(error.to_string())),
    };
    let state = if error.is_none() { JobState::Done } else { JobState::Failed };
    if state == JobState::Done
        && let Some(import) = ready.import
        && shared.uploaded_files.remove(import, Timestamp::now()).await.is_err()
    {
        tracing::warn!(%import, "the file of an applied import could not be removed; it is removed when it expires");
    }
    JobEnd { state, outcomes: outcomes.map(Into::into), error }
}
