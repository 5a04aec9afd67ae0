//! The jobs that apply imports, running and ended, in the shared state: every node can show them, and they survive a
//! restart.
//!
//! The node that began a job renews its record. A job fails when its apply stops early, when its task panics, when its
//! node restarts, or when its node has not renewed the record for `TURN_VALIDITY`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provost_provision::Outcomes;
use provost_store::{ChangeCondition, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::turn::{ApplyTurn, release_abandoned_turn, valid_until};

/// Maximum number of jobs that are kept, including running ones.
const JOBS_MAX: usize = 100;
/// Longest time for which a finished job is kept: a registrar asks about last week's import, seldom about last term's.
const JOB_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Maximum number of failed people that a job lists.
const FAILURES_MAX: usize = 1000;
/// Maximum number of octets of the listed reasons together: their text comes from a directory server and may be of any
/// length.
const FAILURES_OCTETS_MAX: usize = 128 * 1024;
/// Interval at which a running job's progress is written and its turn renewed.
const TICK: Duration = Duration::from_secs(1);
/// Attempts to write the end of a job, one per [`TICK`]: enough for a disk that is full or busy for 20 seconds. After
/// the last one, the job counts as abandoned.
const END_WRITES_MAX: usize = 20;
/// The error of a job whose end was not recorded.
const ABANDONED: &str = "the end of this import was not recorded: its node stopped, or could not write. Completed writes stay: plan the file again";

static JOBS: StateSpace =
    StateSpace { name: "job", records_max: JOBS_MAX, octets_max: 512 * 1024, when_full: WhenFull::Refuse };

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    /// The import is being applied.
    Running,
    /// Every change was tried. `outcomes.failed` counts the people that failed; `outcomes.failures` lists the first of
    /// them.
    Done,
    /// The job stopped early, or its end could not be recorded. `error` has the reason; `outcomes` has what was done, or is null
    /// if that is unknown. The import can be planned and applied again.
    Failed,
}

/// The result of an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OutcomesBody {
    /// Id of the batch, on every entry written.
    batch: String,
    /// People whose writes are all done, including those of an interrupted run that this one resumed.
    applied: usize,
    /// LDAP writes that this run did.
    writes: usize,
    /// People that failed.
    failed: usize,
    /// The first failures: at most 1000, with at most 128 KiB of reasons. `failed` counts all of them.
    failures: Vec<FailureBody>,
    /// Wall-clock seconds of the whole apply.
    seconds: f64,
    /// The part of `seconds` spent on hashing passwords.
    hashing_seconds: f64,
}

/// A person whose writes failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FailureBody {
    /// Line in the file.
    line: u64,
    /// The reason why the writes failed.
    reason: String,
}

impl From<Outcomes> for OutcomesBody {
    fn from(outcomes: Outcomes) -> Self {
        let failed = outcomes.failed.len();
        let mut octets = 0;
        let fits = |(_, reason): &(u64, String)| {
            octets += reason.len();
            octets <= FAILURES_OCTETS_MAX
        };
        let listed = outcomes.failed.into_iter().take(FAILURES_MAX).take_while(fits);
        let failures = listed.map(|(line, reason)| FailureBody { line, reason }).collect();
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

/// A running or finished apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Job {
    /// Id of the job.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Uuid,
    /// Whether it runs, is done or has failed.
    pub(crate) state: JobState,
    /// People whose writes are all done or have failed.
    pub(crate) done: usize,
    /// People that the plan changes.
    pub(crate) total: usize,
    /// The result, once the job has ended.
    pub(crate) outcomes: Option<OutcomesBody>,
    /// The reason why the job stopped early.
    pub(crate) error: Option<String>,
}

/// A record of [`JOBS`].
#[derive(Serialize, Deserialize)]
struct JobRecord {
    job: Job,
    /// The node that began the job.
    node: String,
    /// A running job is abandoned when this time has passed without a renewal.
    alive_until: Timestamp,
}

/// The end of a job's work.
pub(crate) struct JobEnd {
    pub(crate) state: JobState,
    pub(crate) outcomes: Option<OutcomesBody>,
    pub(crate) error: Option<String>,
}

/// The jobs of the site. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    state: Arc<dyn StateStore>,
    node: Arc<str>,
}

impl Jobs {
    pub(crate) fn new(state: Arc<dyn StateStore>, node: Arc<str>) -> Self {
        Self { state, node }
    }

    /// Records a new job for `total` people. When [`JOBS_MAX`] jobs are kept, the oldest ended one is removed;
    /// [`StateError::Full`] when all of them are running.
    pub(crate) async fn begin(&self, total: usize, now: Timestamp) -> Result<watch::Sender<Job>, StateError> {
        let job = Job { id: Uuid::new_v4(), state: JobState::Running, done: 0, total, outcomes: None, error: None };
        match self.write(&job, now).await {
            Err(StateError::Full(_)) => {
                self.make_room(now).await?;
                self.write(&job, now).await?;
            }
            other => other?,
        }
        Ok(watch::channel(job).0)
    }

    /// The present state of a job; `None` for an id that is unknown or no longer kept. Records a running job as failed
    /// when its node no longer renews it.
    pub(crate) async fn find(&self, id: Uuid, now: Timestamp) -> Result<Option<Job>, StateError> {
        loop {
            let Some(record) = self.state.record(&JOBS, &id.to_string(), now).await? else { return Ok(None) };
            let JobRecord { mut job, alive_until, .. } = read(&record)?;
            if job.state == JobState::Running && alive_until < now {
                abandon(&mut job);
                match self.replace(&record, &job, now).await {
                    Err(StateError::Conflict) => continue,
                    replaced => replaced?,
                }
            }
            return Ok(Some(job));
        }
    }

    /// Runs the work in its own task. Until it ends, writes the job's progress and renews the turn at each [`TICK`],
    /// and sends `stop` if the turn is lost.
    pub(crate) fn watch_over(
        self,
        sender: Arc<watch::Sender<Job>>,
        mut turn: ApplyTurn,
        stop: oneshot::Sender<()>,
        work: impl Future<Output = JobEnd> + Send + 'static,
    ) {
        tokio::spawn(async move {
            let mut work = tokio::spawn(work);
            let mut stop = Some(stop);
            let mut ticks = tokio::time::interval(TICK);
            let end = loop {
                tokio::select! {
                    ended = &mut work => break ended.unwrap_or_else(|fault| JobEnd::fault(&fault)),
                    _ = ticks.tick() => {
                        let job = sender.borrow().clone();
                        if let Err(error) = self.write(&job, Timestamp::now()).await {
                            tracing::warn!(%error, id = %job.id, "the progress of an import cannot be written");
                        }
                        if turn.renew().await == Err(StateError::Conflict) && let Some(stop) = stop.take() {
                            // Sending fails if the work has just ended, which is no error.
                            let _ = stop.send(());
                        }
                    }
                }
            };
            let mut job = sender.borrow().clone();
            (job.state, job.outcomes, job.error) = (end.state, end.outcomes, end.error);
            self.write_end(&job).await;
            turn.end().await;
            // Send last: a waiter then finds the record written and the turn released, unless the shared state failed.
            sender.send_replace(job);
        });
    }

    /// Writes a job that has ended, in up to [`END_WRITES_MAX`] attempts.
    async fn write_end(&self, job: &Job) {
        for _ in 0..END_WRITES_MAX {
            match self.write(job, Timestamp::now()).await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, id = %job.id, "the end of an import cannot be written"),
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn write(&self, job: &Job, now: Timestamp) -> Result<(), StateError> {
        let value = encode(job, &self.node, now)?;
        let put = StateChange::put(&JOBS, job.id.to_string(), ChangeCondition::Any, value, Some(remembered_until(now)));
        self.state.change(vec![put], now).await.map(drop)
    }

    /// Replaces the record that was read. A conflict means that another node has ended the job, or that its owner has
    /// just renewed it.
    async fn replace(&self, record: &StateRecord, job: &Job, now: Timestamp) -> Result<(), StateError> {
        let value = encode(job, &self.node, now)?;
        let expect = ChangeCondition::Version(record.version);
        let put = StateChange::put(&JOBS, record.key.clone(), expect, value, Some(remembered_until(now)));
        self.state.change(vec![put], now).await.map(drop)
    }

    async fn make_room(&self, now: Timestamp) -> Result<(), StateError> {
        let records = self.state.records(&JOBS, None, JOBS_MAX, now).await?;
        let has_ended = |record: &&StateRecord| {
            read(record).is_ok_and(|stored| stored.job.state != JobState::Running || stored.alive_until < now)
        };
        let oldest = records.iter().filter(has_ended).min_by_key(|record| record.version);
        let oldest = oldest.ok_or(StateError::Full(JOBS.name))?;
        let remove = StateChange::remove(&JOBS, oldest.key.clone(), ChangeCondition::Any);
        self.state.change(vec![remove], now).await.map(drop)
    }
}

/// Marks the running jobs of a restarted node as failed, and releases the turn that the node held. Called before the
/// API serves requests.
pub async fn end_abandoned_jobs(
    state: &Arc<dyn StateStore>,
    node: &Arc<str>,
    now: Timestamp,
) -> Result<(), StateError> {
    let jobs = Jobs::new(state.clone(), node.clone());
    for record in state.records(&JOBS, None, JOBS_MAX, now).await? {
        let Ok(JobRecord { mut job, node: of, .. }) = read(&record) else { continue };
        if job.state == JobState::Running && *of == **node {
            abandon(&mut job);
            match jobs.replace(&record, &job, now).await {
                Err(StateError::Conflict) => {}
                replaced => replaced?,
            }
        }
    }
    release_abandoned_turn(&**state, node, now).await
}

impl JobEnd {
    fn fault(fault: &tokio::task::JoinError) -> Self {
        tracing::error!(%fault, "a bug ended the task of an import");
        let error = "a bug ended this import; see the node's log. Completed writes stay: plan and apply the file again"
            .to_owned();
        Self { state: JobState::Failed, outcomes: None, error: Some(error) }
    }
}

fn abandon(job: &mut Job) {
    job.state = JobState::Failed;
    job.error = Some(ABANDONED.to_owned());
}

fn remembered_until(now: Timestamp) -> Timestamp {
    now.saturating_add(JOB_RETENTION).unwrap_or(Timestamp::MAX)
}

fn encode(job: &Job, node: &str, now: Timestamp) -> Result<Vec<u8>, StateError> {
    let stored = JobRecord { job: job.clone(), node: node.to_owned(), alive_until: valid_until(now) };
    serde_json::to_vec(&stored).map_err(|error| StateError::Damaged(error.to_string()))
}

fn read(record: &StateRecord) -> Result<JobRecord, StateError> {
    serde_json::from_slice(&record.value).map_err(|error| StateError::Damaged(format!("job {}: {error}", record.key)))
}

/// Waits until the job has ended, at most `limit`, and returns its state.
pub(crate) async fn wait(mut job: watch::Receiver<Job>, limit: Duration) -> Job {
    // A timeout, and a task that is gone, are no errors: the answer is the last known state of the job.
    let _ = tokio::time::timeout(limit, job.wait_for(|job| job.state != JobState::Running)).await;
    job.borrow().clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{ImportTurns, TURN_VALIDITY};
    use provost_store::MemoryState;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn jobs(node: &str) -> (Arc<dyn StateStore>, Jobs) {
        let state: Arc<dyn StateStore> = Arc::new(MemoryState::default());
        (state.clone(), Jobs::new(state, node.into()))
    }

    async fn run(work: impl Future<Output = JobEnd> + Send + 'static) -> (Jobs, Job) {
        let (state, jobs) = jobs("a");
        let turns = ImportTurns::new(state, "a".into());
        let sender = Arc::new(jobs.begin(3, Timestamp::now()).await.unwrap());
        let receiver = sender.subscribe();
        jobs.clone().watch_over(sender, turns.wait_to_apply().await.unwrap(), oneshot::channel().0, work);
        let job = wait(receiver, Duration::from_secs(20)).await;
        drop(turns.wait_to_apply().await.unwrap());
        (jobs, job)
    }

    #[tokio::test]
    async fn a_job_ends_as_its_work_does_and_releases_the_turn() {
        let (jobs, job) = run(async { JobEnd { state: JobState::Done, outcomes: None, error: None } }).await;
        assert_eq!(job.state, JobState::Done);
        assert_eq!(jobs.find(job.id, Timestamp::now()).await.unwrap(), Some(job));
        assert_eq!(jobs.find(Uuid::nil(), Timestamp::now()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_job_whose_task_panicked_has_failed() {
        let (jobs, job) = run(async { panic!("a bug") }).await;
        assert!(job.state == JobState::Failed && job.error.as_ref().unwrap().contains("a bug"), "{job:?}");
        assert_eq!(jobs.find(job.id, Timestamp::now()).await.unwrap(), Some(job));
    }

    #[tokio::test]
    async fn a_restart_ends_the_jobs_of_its_node_and_no_others() {
        let (state, ours) = jobs("a");
        let theirs = Jobs::new(state.clone(), "b".into());
        let (one, two) = (ours.begin(1, at(0)).await.unwrap(), theirs.begin(1, at(0)).await.unwrap());
        let (one, two) = (one.borrow().id, two.borrow().id);
        end_abandoned_jobs(&state, &"a".into(), at(1)).await.unwrap();
        let look = async |id, now| ours.find(id, now).await.unwrap().unwrap();
        assert_eq!(look(one, at(1)).await.state, JobState::Failed);
        assert_eq!(look(one, at(1)).await.error.as_deref(), Some(ABANDONED));
        assert_eq!(look(two, at(TURN_VALIDITY.as_secs())).await.state, JobState::Running);
        assert_eq!(
            look(two, at(TURN_VALIDITY.as_secs() + 1)).await.state,
            JobState::Failed,
            "a job that its node does not renew"
        );
    }

    #[tokio::test]
    async fn an_ended_job_makes_room_and_a_running_one_does_not() {
        let (_, jobs) = jobs("a");
        let mut ids = Vec::new();
        for _ in 0..JOBS_MAX {
            ids.push(jobs.begin(0, at(0)).await.unwrap().borrow().clone());
        }
        assert_eq!(jobs.begin(0, at(1)).await.map(drop), Err(StateError::Full("job")));
        ids[7].state = JobState::Failed;
        jobs.write(&ids[7], at(1)).await.unwrap();
        jobs.begin(0, at(1)).await.unwrap();
        assert!(jobs.find(ids[7].id, at(1)).await.unwrap().is_none());
    }
}
