//! The plan into the directory: pipelined, ordered per person, repeatable.
//!
//! Many people are in flight, the writes of one person never overlap. After an interruption anywhere, the next import of
//! the same file goes on where this one stopped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use provost_client::{Directory, DirectoryError};
use provost_credential::{Scheme, Secret};
use provost_entry::{Dn, Entry};
use provost_schema::attr;
use serde_json::json;

use crate::write::{Batch, Operation};
use crate::{Actor, Audit, Change, Plan, Settings, Write, tree};

/// People whose writes are under way at once: enough to keep a server busy over a slow link and its log synced in groups.
const IN_FLIGHT: usize = 64;
/// Hashed people that wait for a place among those: keeps the cores hashing while the directory is busy.
const HASHED_AHEAD: usize = 64;

/// How far an apply is. Called from one task, often.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// People done.
    pub done: usize,
    /// People to do.
    pub total: usize,
}

/// What came of an apply.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcomes {
    /// Id of the batch, on every entry written (provostLastBatch).
    pub batch: String,
    /// People done.
    pub applied: usize,
    /// LDAP writes done.
    pub writes: usize,
    /// Whether it was asked to stop, and did before all was done.
    pub interrupted: bool,
    /// Line and reason of those that failed.
    pub failed: Vec<(u64, String)>,
    /// Wall seconds of all.
    pub seconds: f64,
    /// Of those, spent with hashing (wall share, all cores at work).
    pub hashing_seconds: f64,
}

/// Why a person's writes did not come to their end.
enum Failure {
    /// This person only.
    Person(String),
    /// No use in going on.
    Stop(DirectoryError),
}

/// A change with the hash of its password, if it has one.
type Hashed<'a> = (&'a Change, Option<String>);

/// [`apply_until`] without an end before the end.
pub async fn apply(
    plan: &Plan,
    directory: &Directory,
    settings: &Settings,
    actor: &Actor,
    audit: &Audit,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcomes, (Outcomes, DirectoryError)> {
    apply_until(std::future::pending(), plan, directory, settings, actor, audit, progress).await
}

/// Applies. A refused person is listed and the rest goes on; an unavailable directory ends it with what was done so far.
///
/// When `stop` resolves nobody new is begun, and the people under way are brought to their end: [`Outcomes::interrupted`].
///
/// Both ends are in the audit file: `import.begin` with the plan's hash, `import.apply` with what came of it. When the
/// first cannot be written, nothing is applied.
pub async fn apply_until(
    stop: impl Future<Output = ()> + Send,
    plan: &Plan,
    directory: &Directory,
    settings: &Settings,
    actor: &Actor,
    audit: &Audit,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcomes, (Outcomes, DirectoryError)> {
    let started = Instant::now();
    let batch =
        Batch { id: uuid::Uuid::now_v7().to_string(), since: plan.since.clone(), suffix: directory.suffix().clone() };
    let mut outcomes = Outcomes { batch: batch.id.clone(), ..Outcomes::default() };
    let begin = json!({ "batch": batch.id, "plan": plan.hash(), "summary": plan.summary });
    if let Err(error) = audit.note(actor, "import.begin", &plan.digest, begin).await {
        return Err((outcomes, DirectoryError::Unavailable(format!("the audit file cannot be written: {error}"))));
    }
    let work = Work { plan, directory, scheme: settings.scheme, batch: &batch };
    let stopped = work.run(stop, &mut outcomes, progress).await;
    outcomes.failed.sort();
    outcomes.seconds = started.elapsed().as_secs_f64();
    let end = json!({
        "batch": batch.id, "applied": outcomes.applied, "writes": outcomes.writes, "failed": outcomes.failed.len(),
        "interrupted": outcomes.interrupted, "stopped": stopped.as_ref().map(ToString::to_string),
    });
    if let Err(error) = audit.note(actor, "import.apply", &plan.digest, end).await {
        tracing::error!(%error, batch = batch.id, "the end of an import is not in the audit file");
    }
    match stopped {
        None => Ok(outcomes),
        Some(error) => Err((outcomes, error)),
    }
}

/// What all people of one apply share.
struct Work<'a> {
    plan: &'a Plan,
    directory: &'a Directory,
    scheme: Scheme,
    batch: &'a Batch,
}

impl Work<'_> {
    /// Feeds hashing and writing until all is done, `stop` resolves or the directory cannot go on; returns why it could
    /// not.
    async fn run(
        &self,
        stop: impl Future<Output = ()> + Send,
        outcomes: &mut Outcomes,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Option<DirectoryError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = self.plan.changes.len();
        let mut stop = std::pin::pin!(stop);
        let mut waiting = self.plan.changes.iter();
        let (mut hashing, mut writing) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut hashed: VecDeque<Hashed<'_>> = VecDeque::new();
        let (mut core_time, mut done, mut stopped) = (Duration::ZERO, 0, None);
        loop {
            let going_on = stopped.is_none() && !outcomes.interrupted;
            while going_on && hashing.len() < cores && hashed.len() < HASHED_AHEAD {
                let Some(change) = waiting.next() else { break };
                match change.writes.iter().find_map(Write::password) {
                    Some(password) => hashing.push(hash(change, password.clone(), self.scheme)),
                    None => hashed.push_back((change, None)),
                }
            }
            while going_on && writing.len() < IN_FLIGHT {
                let Some((change, hash)) = hashed.pop_front() else { break };
                writing.push(write_change(change, hash, self.directory, self.batch));
            }
            if hashing.is_empty() && writing.is_empty() {
                break;
            }
            tokio::select! {
                Some((change, result)) = hashing.next() => match result {
                    Ok((hash, took)) => {
                        core_time += took;
                        hashed.push_back((change, Some(hash)));
                    }
                    Err(error) => outcomes.failed.push((change.line, format!("the password was not hashed: {error}"))),
                },
                Some((line, writes, failure)) = writing.next() => {
                    done += 1;
                    outcomes.writes += writes;
                    match failure {
                        None => outcomes.applied += 1,
                        Some(Failure::Person(reason)) => outcomes.failed.push((line, reason)),
                        Some(Failure::Stop(error)) => stopped = Some(error),
                    }
                    progress(Progress { done, total });
                }
                () = &mut stop, if going_on => outcomes.interrupted = true,
            }
        }
        outcomes.hashing_seconds = core_time.as_secs_f64() / cores as f64;
        // The last person may have been under way already.
        outcomes.interrupted &= done < total;
        stopped
    }
}

/// Hashes off the async threads; the time is that of one core.
async fn hash(
    change: &Change,
    password: Secret,
    scheme: Scheme,
) -> (&Change, Result<(String, Duration), tokio::task::JoinError>) {
    let task = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        (provost_credential::hash(&password, scheme), started.elapsed())
    });
    (change, task.await)
}

/// All writes of one person in their order: its line, how many were done, and what stopped them.
async fn write_change(
    change: &Change,
    hash: Option<String>,
    directory: &Directory,
    batch: &Batch,
) -> (u64, usize, Option<Failure>) {
    let mut done = 0;
    for write in &change.writes {
        let hash = hash.as_deref().filter(|_| write.password().is_some());
        match perform(write, hash, directory, batch).await {
            Ok(written) => done += usize::from(written),
            Err(failure) => return (change.line, done, Some(failure)),
        }
    }
    (change.line, done, None)
}

/// One write; `false` when all was so already.
async fn perform(write: &Write, hash: Option<&str>, directory: &Directory, batch: &Batch) -> Result<bool, Failure> {
    match send(write.operation(batch, hash), directory).await {
        Ok(()) => Ok(true),
        Err(DirectoryError::AlreadyExists(_)) => settle(write, directory, batch).await,
        // The answer was lost. Done or not, the directory knows; if not, the same write is as right as before.
        Err(DirectoryError::Unknown(_)) => match settle(write, directory, batch).await {
            Ok(_) => Ok(true),
            Err(Failure::Person(_)) => match send(write.operation(batch, hash), directory).await {
                Ok(()) => Ok(true),
                Err(error) => Err(decide(error)),
            },
            Err(stop) => Err(stop),
        },
        Err(error) => Err(decide(error)),
    }
}

async fn send(operation: Operation, directory: &Directory) -> Result<(), DirectoryError> {
    match operation {
        Operation::Add(entry) => directory.add(entry).await.map(drop),
        Operation::Modify(dn, changes, control) => directory.modify(&dn, changes, control).await.map(drop),
    }
}

fn decide(error: DirectoryError) -> Failure {
    match error {
        DirectoryError::Unavailable(_) | DirectoryError::Unknown(_) | DirectoryError::InvalidCredentials => {
            Failure::Stop(error)
        }
        DirectoryError::AssertionFailed => {
            Failure::Person("the person was changed since the plan was made; import again".to_owned())
        }
        other => Failure::Person(other.to_string()),
    }
}

/// Reads whether the entry is as the write would have left it. `Ok` when it is.
async fn settle(write: &Write, directory: &Directory, batch: &Batch) -> Result<bool, Failure> {
    let dn = match write {
        Write::ClaimAddress { address, .. } | Write::SetKind { address, .. } => {
            tree::address(&batch.suffix, address.as_str())
        }
        Write::AddPerson(person) => person.dn.clone(),
        Write::ModifyPerson { dn, .. } => dn.clone(),
    };
    let attributes = [attr::PROVOST_OWNER, attr::PROVOST_LAST_BATCH];
    let entry = tree::read_provider(directory, &dn, &attributes).await.map_err(decide)?;
    match write {
        Write::ClaimAddress { owner, .. } if entry.as_ref().is_some_and(|entry| is_owner(entry, owner)) => Ok(false),
        Write::ClaimAddress { address, .. } => {
            Err(Failure::Person(format!("{address} was taken meanwhile; import again")))
        }
        _ if entry.is_some_and(|entry| entry.first(attr::PROVOST_LAST_BATCH) == Some(&*batch.id)) => Ok(false),
        _ => Err(Failure::Person("the person was changed since the plan was made; import again".to_owned())),
    }
}

fn is_owner(entry: &Entry, owner: &Dn) -> bool {
    entry.first(attr::PROVOST_OWNER).and_then(|held| Dn::parse(held).ok()).as_ref() == Some(owner)
}
