//! Applies a plan to the directory: pipelined, ordered per person, repeatable.
//!
//! Many people are in flight; the writes of one person never overlap. Each write has a receipt in the journal. After an
//! interruption at any point, the same plan continues where it stopped, and any other plan first looks up what the
//! interrupted one has done.

mod batch_audit;
mod error;
mod perform;
mod withdrawal;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use provost_client::Directory;
use provost_credential::{PasswordPolicy, PasswordValues, Secret};
use provost_entry::time::parse_generalized;
use provost_policy::FailureLimit;
use serde_json::json;
use tokio::sync::Semaphore;

use self::batch_audit::BatchAudit;
use self::error::PersonFailure;
pub use self::error::{ApplyError, GuardStop};
use self::perform::{BatchEntries, Performer, now};
use crate::guard::{BatchEntry, PlanEffect, write_batch};
use crate::journal::{EndLine, Journal, JournalError, Journals};
use crate::{Actor, Audit, InitialPasswords, PersonChange, Plan, PlanOrigin};

/// People whose writes are in flight at once: enough to keep a server busy over a slow link and to group its log syncs.
const WRITING: usize = 64;
/// People in flight at once: while some are written, the next ones are recorded in the audit. They are begun in groups,
/// whenever no more than [`WRITING`] are in flight: the audit records of a group share a sync of the disk. Begun one by
/// one, each would have its own, and a directory whose log is on the same disk would wait for it.
const IN_FLIGHT: usize = 2 * WRITING;
/// People with a hashed password who wait for a place in flight: cores keep hashing while the directory is busy.
const HASHED_AHEAD: usize = 64;

/// Progress of an apply, reported after each person from one task.
#[derive(Clone, Copy, Debug)]
pub struct ApplyProgress {
    /// People whose writes have ended, done or not, and people who failed before their first write.
    pub done: usize,
    /// People that the plan changes.
    pub total: usize,
}

/// The result of an apply.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcomes {
    /// Id of the batch: provostLastBatch of every entry written, and the name of the journal.
    pub batch: String,
    /// Whether the apply resumed an interrupted batch; people of earlier runs count as applied.
    pub resumed: bool,
    /// People whose writes are all done.
    pub applied: usize,
    /// LDAP writes done by this run.
    pub writes: usize,
    /// Whether the apply stopped on request before every person was done.
    pub interrupted: bool,
    /// Line and reason of each person who failed.
    pub failed: Vec<(u64, String)>,
    /// Wall-clock seconds of the whole apply.
    pub seconds: f64,
    /// Time that all hashing took on its threads, divided by the number of cores, in seconds.
    pub hashing_seconds: f64,
}

/// A change with its place in the plan.
type NumberedChange<'a> = (u32, &'a PersonChange);

/// A change with the hash of its password, if it has one.
type HashedChange<'a> = (NumberedChange<'a>, Option<PasswordValues>);

/// How a change ended: its line, the number of writes done by this run, and the failure if there was one.
type ChangeEnd = (u64, usize, Option<PersonFailure>);

/// Everything that an apply needs besides the plan.
pub struct Applier<'a> {
    /// The directory that receives the writes.
    pub directory: &'a Directory,
    /// How initial passwords are stored, and whether they must be changed.
    pub password_policy: &'a PasswordPolicy,
    /// The user or token in whose name the batch runs.
    pub actor: &'a Actor,
    /// Where begin, end and each person are recorded.
    pub audit: &'a Audit,
    /// Where each write is recorded.
    pub journals: &'a Journals,
    /// What the batch records in the directory, and when it stops.
    pub batch: BatchOptions,
}

/// What an apply records of its batch in the directory, and when it stops.
#[derive(Clone, Debug, Default)]
pub struct BatchOptions {
    /// What the plan does, for the entry of the batch; `None` writes no entry.
    pub effect: Option<Arc<PlanEffect>>,
    /// Who approved a plan that the guard had stopped, and why.
    pub approval: Option<String>,
    /// Failures that stop the apply.
    pub failures: FailureLimit,
}

/// Called with [`ApplyProgress`] as people are done.
pub type OnProgress<'a> = &'a mut (dyn FnMut(ApplyProgress) + Send);

impl Applier<'_> {
    /// [`Applier::apply_until`] without a stop signal.
    pub async fn apply(
        &self,
        plan: &Arc<Plan>,
        passwords: &InitialPasswords,
        progress: OnProgress<'_>,
    ) -> Result<Outcomes, (Outcomes, ApplyError)> {
        self.apply_until(std::future::pending(), plan, passwords, progress).await
    }

    /// Applies the plan. A refused person is listed and the others continue; an unavailable directory ends the apply,
    /// and the outcomes show what was done so far. A plan whose batch was interrupted continues in that batch.
    ///
    /// When `stop` resolves, no further person is begun, and the people in flight are completed:
    /// [`Outcomes::interrupted`].
    ///
    /// The audit records both ends: `import.begin` with the plan's hash, `import.apply` with the outcomes. Between
    /// them, it records each person, with the values before and after, before the person's first write is sent. When
    /// the audit or the journal cannot be written at the start, nothing is written to the directory; when one of them
    /// fails later, no further person is begun.
    pub async fn apply_until(
        &self,
        stop: impl Future<Output = ()> + Send,
        plan: &Arc<Plan>,
        passwords: &InitialPasswords,
        progress: OnProgress<'_>,
    ) -> Result<Outcomes, (Outcomes, ApplyError)> {
        let started = Instant::now();
        let mut outcomes = Outcomes::default();
        let (journal, found) = match self.prepare(plan, passwords).await {
            Ok(prepared) => prepared,
            Err(error) => return Err((outcomes, error)),
        };
        outcomes.batch.clone_from(&journal.batch);
        outcomes.resumed = found.is_some();
        let performer = Performer::new(
            self.directory,
            &journal,
            found.unwrap_or_default(),
            self.password_policy.must_change_initial,
        );
        let batch_audit = self.batch_audit(plan, &journal);
        let turns = Semaphore::new(WRITING);
        let work = ApplyContext {
            plan,
            passwords,
            password_policy: self.password_policy,
            performer: &performer,
            batch_audit: &batch_audit,
            turns: &turns,
            failures: self.batch.failures,
            started,
        };
        let stopped = self.run_batch(&work, &journal, stop, &mut outcomes, progress).await;
        journal.release().await;
        match stopped {
            None => Ok(outcomes),
            Some(error) => Err((outcomes, error)),
        }
    }

    /// Applies the plan between the two audit records of the batch; returns the error that ended the run, if there was
    /// one.
    async fn run_batch(
        &self,
        work: &ApplyContext<'_>,
        journal: &Journal,
        stop: impl Future<Output = ()> + Send,
        outcomes: &mut Outcomes,
        progress: OnProgress<'_>,
    ) -> Option<ApplyError> {
        // The entry comes before the first person: plans of the same days add up even if this one is killed.
        let noted = match self.write_batch_entry(work.plan, journal).await {
            Ok(()) => self.note_begin(work.plan, outcomes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            return Some(error);
        }
        let mut stopped = work.run(stop, outcomes, progress).await;
        outcomes.failed.sort();
        if let Err(error) = self.close(journal, outcomes, stopped.is_some()).await {
            stopped.get_or_insert(ApplyError::Unavailable(format!("the journal cannot be written: {error}")));
        }
        outcomes.seconds = work.started.elapsed().as_secs_f64();
        self.note_end(work.plan, outcomes, stopped.as_ref()).await;
        stopped
    }

    /// Checks the plan, settles the interrupted batches of other plans, and opens the journal. Returns what the
    /// directory holds of the batch when the batch is resumed.
    async fn prepare(
        &self,
        plan: &Arc<Plan>,
        passwords: &InitialPasswords,
    ) -> Result<(Journal, Option<BatchEntries>), ApplyError> {
        if plan.suffix() != self.directory.suffix() {
            return Err(ApplyError::Refused(format!("the plan is for {}, not for this directory", plan.suffix())));
        }
        let digests = plan.sources().iter().map(|source| source.digest.as_str());
        if plan.summary().passwords > 0 && !passwords.are_of(digests) {
            return Err(ApplyError::Refused(
                "the plan was not made from the files with the passwords: plan again with these files".into(),
            ));
        }
        self.settle_abandoned(plan.hash()).await?;
        let (journals, plan, actor) = (self.journals.clone(), plan.clone(), self.actor.clone());
        let journal = tokio::task::spawn_blocking(move || journals.begin(&plan, &actor, &now()));
        let journal = journal.await.map_err(|error| ApplyError::Unavailable(error.to_string()))??;
        if !journal.is_resumed() {
            return Ok((journal, None));
        }
        match perform::written_by(self.directory, &journal.batch).await {
            Ok(found) => Ok((journal, Some(found))),
            Err(error) => {
                journal.release().await;
                Err(error.into())
            }
        }
    }

    /// Completes the journals of all interrupted batches.
    pub(crate) async fn settle_interrupted(&self) -> Result<(), ApplyError> {
        self.settle_abandoned("").await
    }

    /// Completes the journals of interrupted batches, except those of the plan whose hash is `own_plan`: looks up each
    /// write without a receipt and records its outcome. After that, no plan resumes these batches.
    async fn settle_abandoned(&self, own_plan: &str) -> Result<(), ApplyError> {
        let (journals, own_plan) = (self.journals.clone(), own_plan.to_owned());
        let abandoned = tokio::task::spawn_blocking(move || journals.abandoned(&own_plan));
        for (journal, plan) in abandoned.await.map_err(|error| ApplyError::Unavailable(error.to_string()))?? {
            let settled = self.settle_batch(&journal, &plan).await;
            journal.release().await;
            settled?;
        }
        Ok(())
    }

    async fn settle_batch(&self, journal: &Journal, plan: &Plan) -> Result<(), ApplyError> {
        let found = perform::written_by(self.directory, &journal.batch).await?;
        let (end, undone) = perform::settle(self.directory, journal, plan, &found).await?;
        let batch_audit = BatchAudit { is_resumed: true, ..self.batch_audit(plan, journal) };
        for (change, outcome) in undone {
            batch_audit
                .settle(change, outcome)
                .await
                .map_err(|error| ApplyError::Unavailable(format!("the audit cannot be read: {error}")))?;
        }
        let (batch, applied, failed) = (&journal.batch, end.applied, end.failed);
        tracing::info!(batch, applied, failed, "looked up the outcome of an interrupted import");
        Ok(journal.end(end).await.map_err(JournalError::from)?)
    }

    fn batch_audit<'b>(&'b self, plan: &'b Plan, journal: &'b Journal) -> BatchAudit<'b> {
        let (audit, actor) = (self.audit, self.actor);
        BatchAudit { audit, actor, plan, batch: &journal.batch, is_resumed: journal.is_resumed() }
    }

    async fn close(&self, journal: &Journal, outcomes: &Outcomes, stopped: bool) -> std::io::Result<()> {
        if stopped || outcomes.interrupted {
            return journal.flush().await;
        }
        journal.end(EndLine { at: now(), applied: outcomes.applied, failed: outcomes.failed.len() }).await
    }

    async fn write_batch_entry(&self, plan: &Plan, journal: &Journal) -> Result<(), ApplyError> {
        let Some(effect) = &self.batch.effect else { return Ok(()) };
        let batch = BatchEntry {
            id: journal.batch.clone(),
            source: plan.sources().first().map(|source| source.name.clone()).unwrap_or_default(),
            digest: plan.digest(),
            plan_hash: plan.hash().to_owned(),
            since: parse_generalized(&journal.since).unwrap_or_else(jiff::Timestamp::now),
            effect: PlanEffect::clone(effect),
            approval: self.batch.approval.clone(),
            is_undone: false,
            is_of_rules: plan.origin() == PlanOrigin::Lifecycle,
        };
        Ok(write_batch(self.directory, &batch, &self.actor.name).await?)
    }

    async fn note_begin(&self, plan: &Plan, outcomes: &Outcomes) -> Result<(), ApplyError> {
        let begin = json!({
            "batch": outcomes.batch, "resumed": outcomes.resumed, "plan": plan.hash(), "policies": plan.policies(),
            "summary": plan.summary(),
        });
        let action = match plan.origin() {
            PlanOrigin::Import => "import.begin",
            PlanOrigin::Undo => "undo.begin",
            PlanOrigin::Lifecycle => "lifecycle.begin",
        };
        match self.audit.record(self.actor, action, &plan.digest(), begin).await {
            Ok(_) => Ok(()),
            Err(error) => Err(ApplyError::Unavailable(format!("the audit cannot be written: {error}"))),
        }
    }

    async fn note_end(&self, plan: &Plan, outcomes: &Outcomes, stopped: Option<&ApplyError>) {
        let end = json!({
            "batch": outcomes.batch, "applied": outcomes.applied, "writes": outcomes.writes,
            "failed": outcomes.failed.len(), "interrupted": outcomes.interrupted, "undoes": plan.undone_batch(),
            "stopped": stopped.map(ToString::to_string),
        });
        let action = match plan.origin() {
            PlanOrigin::Import => "import.apply",
            PlanOrigin::Undo => "undo.apply",
            PlanOrigin::Lifecycle => "lifecycle.apply",
        };
        if let Err(error) = self.audit.record(self.actor, action, &plan.digest(), end).await {
            tracing::error!(%error, batch = outcomes.batch, "the end of an import is not in the audit");
        }
    }
}

/// The state that all people of one apply share.
struct ApplyContext<'a> {
    plan: &'a Plan,
    passwords: &'a InitialPasswords,
    password_policy: &'a PasswordPolicy,
    performer: &'a Performer<'a>,
    batch_audit: &'a BatchAudit<'a>,
    /// One permit for each person being written, [`WRITING`] in all.
    turns: &'a Semaphore,
    /// Failures that stop the apply.
    failures: FailureLimit,
    /// When the apply began, before it settled other batches and opened its journal.
    started: Instant,
}

impl<'a> ApplyContext<'a> {
    /// Feeds hashing and writing until all is done, `stop` resolves or the directory fails; returns the error that
    /// ended the run, if there was one.
    async fn run(
        &self,
        stop: impl Future<Output = ()> + Send,
        outcomes: &mut Outcomes,
        progress: OnProgress<'_>,
    ) -> Option<ApplyError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = self.plan.changes().len();
        let mut stop = std::pin::pin!(stop);
        let mut waiting = (0u32..).zip(self.plan.changes());
        let (mut hashing, mut writing) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut hashed: VecDeque<HashedChange<'_>> = VecDeque::new();
        let (mut core_time, mut done, mut stopped) = (Duration::ZERO, 0, None);
        let mut report_end = || {
            done += 1;
            progress(ApplyProgress { done, total });
        };
        loop {
            let going_on = stopped.is_none() && !outcomes.interrupted;
            while going_on && hashing.len() < cores && hashed.len() < HASHED_AHEAD {
                let Some(placed) = waiting.next() else { break };
                match self.password(placed) {
                    Ok(Some(password)) => hashing.push(hash(placed, password.clone(), self.password_policy.clone())),
                    Ok(None) => hashed.push_back((placed, None)),
                    Err(reason) => {
                        outcomes.failed.push((placed.1.line, reason));
                        report_end();
                    }
                }
            }
            let room = if going_on && writing.len() <= WRITING { IN_FLIGHT - writing.len() } else { 0 };
            for (placed, hash) in hashed.drain(..room.min(hashed.len())) {
                writing.push(self.apply_change(placed, hash));
            }
            if hashing.is_empty() && writing.is_empty() {
                break;
            }
            tokio::select! {
                Some((placed, result)) = hashing.next() => match result {
                    Ok((hash, took)) => {
                        core_time += took;
                        hashed.push_back((placed, Some(hash)));
                    }
                    Err(error) => {
                        outcomes.failed.push((placed.1.line, format!("the password was not hashed: {error}")));
                        report_end();
                    }
                },
                Some(ended) = writing.next() => {
                    stopped = outcomes.count(ended).or(stopped);
                    report_end();
                    let (failed, done) = (outcomes.failed.len(), outcomes.applied + outcomes.failed.len());
                    if stopped.is_none() && self.failures.stops(failed, done) {
                        stopped = Some(ApplyError::TooManyFailures { failed, done });
                    }
                }
                () = &mut stop, if going_on => outcomes.interrupted = true,
            }
        }
        outcomes.hashing_seconds = core_time.as_secs_f64() / cores as f64;
        // `stop` may have resolved while the last person was being written.
        outcomes.interrupted &= done < total;
        stopped
    }

    /// The password to hash for a change: that of its record, unless it is already set.
    fn password(&self, (place, change): NumberedChange<'_>) -> Result<Option<&'a Secret>, String> {
        let to_do = (0u32..).zip(&change.writes).filter(|(write, _)| !self.performer.is_done(place, *write));
        let Some(of) = to_do.into_iter().find_map(|(_, write)| write.password) else { return Ok(None) };
        match self.passwords.get(of) {
            Some(password) => Ok(Some(password)),
            None => Err("the password of this line is missing; import the file again".to_owned()),
        }
    }

    /// Applies one person: records them in the audit, then writes; a person whose writes failed is recorded again.
    async fn apply_change(&self, (place, change): NumberedChange<'_>, password: Option<PasswordValues>) -> ChangeEnd {
        // The earlier run that completed this person has recorded them.
        if (0u32..).zip(&change.writes).all(|(write, _)| self.performer.is_done(place, write)) {
            return (change.line, 0, None);
        }
        let id = match self.batch_audit.begin(change).await {
            Ok(id) => id,
            Err(failure) => return (change.line, 0, Some(failure)),
        };
        // The result is `Ok`: the semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let (mut ended, is_begun) = self.write_change((place, change), password).await;
        if let (_, _, Some(failure)) = &mut ended {
            self.batch_audit.fail(&id, change, is_begun, failure).await;
            failure.name(change);
        }
        ended
    }

    /// Sends all writes of one person in order. When one is refused, the person gets no address of this change either.
    /// Also returns whether a write of a change that failed is left, of this run or an earlier one.
    async fn write_change(
        &self,
        (place, change): NumberedChange<'_>,
        password: Option<PasswordValues>,
    ) -> (ChangeEnd, bool) {
        let (mut writes_done, mut begun) = (0, 0);
        for (earlier, (number, write)) in (0u32..).zip(&change.writes).enumerate() {
            let password = password.as_ref().filter(|_| write.password.is_some());
            let failure = match self.performer.perform((place, number), write, password).await {
                Ok(is_written) => {
                    writes_done += usize::from(is_written);
                    begun += usize::from(is_written || self.performer.was_written((place, number), write));
                    continue;
                }
                Err(failure) => failure,
            };
            let withdrawn = match &failure {
                PersonFailure::Person(_) => self.performer.withdraw(place, change, earlier).await,
                PersonFailure::Stop(_) => Ok(0),
            };
            return match withdrawn {
                Ok(gone) => ((change.line, writes_done.saturating_sub(gone), Some(failure)), begun > gone),
                Err(failure) => ((change.line, writes_done, Some(failure)), true),
            };
        }
        ((change.line, writes_done, None), true)
    }
}

impl Outcomes {
    /// Counts one person; returns the error that forbids beginning another one.
    fn count(&mut self, (line, writes, failure): ChangeEnd) -> Option<ApplyError> {
        self.writes += writes;
        match failure {
            None => self.applied += 1,
            Some(PersonFailure::Person(reason)) => self.failed.push((line, reason)),
            Some(PersonFailure::Stop(error)) => return Some(error),
        }
        None
    }
}

/// Hashes on a blocking thread; returns the time that one core took.
async fn hash(
    placed: NumberedChange<'_>,
    password: Secret,
    policy: PasswordPolicy,
) -> (NumberedChange<'_>, Result<(PasswordValues, Duration), tokio::task::JoinError>) {
    let task = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        (policy.hash(&password), started.elapsed())
    });
    (placed, task.await)
}

#[cfg(test)]
mod tests {
    use provost_client::{DirectoryConfig, ServerAddress, ServerRole};
    use provost_entry::Dn;

    use super::*;
    use crate::{CsvOptions, DirectoryContent, Policies, plan, read_source, wanted};

    const SUFFIX: &str = "dc=example,dc=edu";

    /// Applies two new people, `rows`, without the passwords that the file states, to a directory that is down. `stop`
    /// is requested from the beginning. Returns the outcomes and the last progress.
    async fn apply_without_passwords(rows: &str) -> (Outcomes, ApplyProgress) {
        let file = format!("person_id,given_name,family_name,affiliation,password\n{rows}");
        let mut sources = vec![read_source("registrar", file.as_bytes(), &CsvOptions::default()).unwrap()];
        let suffix = Dn::parse(SUFFIX).unwrap();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let actual = DirectoryContent::empty(suffix.clone());
        let plan = plan(&wanted(&sources, &Policies::built_in("example.edu"), at), &actual).unwrap();
        sources[0].records.clear();
        let passwords = InitialPasswords::of(sources);
        let directory = Directory::new(DirectoryConfig {
            servers: vec![ServerAddress {
                url: "ldap://127.0.0.1:1".to_owned(),
                role: ServerRole::Provider,
                start_tls: false,
            }],
            bind_dn: format!("cn=admin,{SUFFIX}"),
            bind_password: "secret".into(),
            suffix,
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(1),
        });
        let folder = tempfile::tempdir().unwrap();
        let (audit, journals) = (Audit::in_memory(), Journals::new(folder.path().into()));
        let actor = Actor { name: "cli:test".into(), via: "cli" };
        let applier = Applier {
            directory: &directory,
            password_policy: &PasswordPolicy::default(),
            actor: &actor,
            audit: &audit,
            journals: &journals,
            batch: BatchOptions::default(),
        };
        let mut last = ApplyProgress { done: 0, total: 0 };
        let ended =
            applier.apply_until(std::future::ready(()), &Arc::new(plan), &passwords, &mut |now| last = now).await;
        (ended.unwrap_or_else(|(outcomes, _)| outcomes), last)
    }

    #[tokio::test]
    async fn people_without_their_password_count_as_ended() {
        for (rows, failed) in [
            ("1,Ann,Roy,staff,long enough\n2,Bo,Li,staff,long enough\n", &[2, 3][..]),
            ("1,Ann,Roy,staff,\n2,Bo,Li,staff,long enough\n", &[3][..]),
        ] {
            let (outcomes, last) = apply_without_passwords(rows).await;
            assert_eq!(outcomes.failed.iter().map(|(line, _)| *line).collect::<Vec<_>>(), failed);
            assert_eq!((last.done, last.total), (2, 2), "{rows}");
            assert!(!outcomes.interrupted, "no person was left when the stop was requested: {rows}");
        }
    }
}
