//! Applies that run or have run: in memory, bounded, gone at a restart (the audit keeps what they did).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use provost_provision::Outcomes;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Shared;
use crate::extract::PathOf;
use crate::openapi::Failures;
use crate::problem::{Kind, Problem};

/// Jobs that are remembered, running ones included.
const JOBS_MAX: usize = 100;
/// Failures of single people that a job lists.
const FAILURES_MAX: usize = 1000;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    /// At work, or waiting for its turn.
    Running,
    /// Ended; `outcomes` tells of each person that failed.
    Done,
    /// Ended before its end; `error` tells why, `outcomes` what was done until then. The import can be applied again.
    Failed,
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct OutcomesBody {
    /// Id of the batch, on every entry written.
    batch: String,
    /// People done.
    applied: usize,
    /// LDAP writes done.
    writes: usize,
    /// How many people failed.
    failed: usize,
    /// The first 1000 of them.
    failures: Vec<FailureBody>,
    /// Wall seconds of all.
    seconds: f64,
    /// Of those, spent with hashing.
    hashing_seconds: f64,
}

/// A person that failed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// Line in the file.
    line: u64,
    /// Why.
    reason: String,
}

impl From<Outcomes> for OutcomesBody {
    fn from(outcomes: Outcomes) -> Self {
        let failed = outcomes.failed.len();
        let failures =
            outcomes.failed.into_iter().take(FAILURES_MAX).map(|(line, reason)| FailureBody { line, reason }).collect();
        Self {
            batch: outcomes.batch,
            applied: outcomes.applied,
            writes: outcomes.writes,
            failed,
            failures,
            seconds: outcomes.seconds,
            hashing_seconds: outcomes.hashing_seconds,
        }
    }
}

/// An apply that runs or has run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Uuid,
    /// Where it is.
    pub(crate) state: JobState,
    /// People done.
    pub(crate) done: usize,
    /// People to do.
    pub(crate) total: usize,
    /// What it did, at its end.
    pub(crate) outcomes: Option<OutcomesBody>,
    /// Why it ended early.
    pub(crate) error: Option<String>,
}

/// All jobs. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Jobs {
    // A std lock: held for look-ups only, never over an await.
    known: Arc<Mutex<Known>>,
    /// One apply at a time: two plans made from the same state would contradict each other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Known {
    order: std::collections::VecDeque<Uuid>,
    jobs: HashMap<Uuid, watch::Receiver<Job>>,
}

impl Jobs {
    /// Makes a job over `total` people; `None` when too many are running. The oldest one that has ended makes room.
    pub(crate) fn begin(&self, total: usize) -> Option<watch::Sender<Job>> {
        let job = Job { id: Uuid::new_v4(), state: JobState::Running, done: 0, total, outcomes: None, error: None };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.order.len() >= JOBS_MAX {
            let ended = |id: &Uuid| known.jobs.get(id).is_none_or(|job| job.borrow().state != JobState::Running);
            let oldest = known.order.iter().position(ended)?;
            if let Some(id) = known.order.remove(oldest) {
                known.jobs.remove(&id);
            }
        }
        let (sender, receiver) = watch::channel(job.clone());
        known.order.push_back(job.id);
        known.jobs.insert(job.id, receiver);
        Some(sender)
    }

    /// The job, to look at or to wait on.
    pub(crate) fn find(&self, id: Uuid) -> Option<watch::Receiver<Job>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).jobs.get(&id).cloned()
    }

    /// Waits for the turn to apply.
    pub(crate) async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }
}

/// Waits until the job has ended, at most `patience`, and says how it stands.
pub(crate) async fn wait(mut job: watch::Receiver<Job>, patience: Duration) -> Job {
    // Neither a job that outlasts the patience nor one whose task is gone changes what is answered: how it stands.
    let _ = tokio::time::timeout(patience, job.wait_for(|job| job.state != JobState::Running)).await;
    job.borrow().clone()
}

/// Shows a job.
#[utoipa::path(
    get, operation_id = "showJob", path = "/jobs/{id}", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "Id of the job")),
    responses((status = 200, description = "How it stands", body = Job), Failures)
)]
pub(crate) async fn show(State(shared): State<Shared>, PathOf(id): PathOf<Uuid>) -> Result<Json<Job>, Problem> {
    match shared.jobs.find(id) {
        Some(job) => Ok(Json(job.borrow().clone())),
        None => Err(Problem::new(Kind::NotFound, "there is no such job (any more)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_end_or_for_its_patience() {
        let jobs = Jobs::default();
        let sender = jobs.begin(3).unwrap();
        let receiver = jobs.find(sender.borrow().id).unwrap();
        let early = wait(receiver.clone(), Duration::from_millis(5)).await;
        assert_eq!(early.state, JobState::Running);
        tokio::spawn(async move {
            sender.send_modify(|job| job.state = JobState::Done);
        });
        assert_eq!(wait(receiver, Duration::from_secs(5)).await.state, JobState::Done);
    }

    #[test]
    fn ended_jobs_make_room_and_running_ones_do_not() {
        let jobs = Jobs::default();
        let running: Vec<_> = (0..JOBS_MAX).map(|_| jobs.begin(0).unwrap()).collect();
        assert!(jobs.begin(0).is_none());
        let ended = &running[7];
        ended.send_modify(|job| job.state = JobState::Failed);
        assert!(jobs.begin(0).is_some());
        assert!(jobs.find(ended.borrow().id).is_none());
    }
}
