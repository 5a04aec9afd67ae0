//! The plan into the directory: pipelined, ordered per person, repeatable.

use provost_client::{Directory, DirectoryError};

use crate::{Actor, Audit, Plan, Settings};

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
    /// Line and reason of those that failed.
    pub failed: Vec<(u64, String)>,
    /// Wall seconds of all.
    pub seconds: f64,
    /// Of those, spent with hashing (wall share, all cores at work).
    pub hashing_seconds: f64,
}

/// Applies. A refused person is listed and the rest goes on; an unavailable directory ends it with what was done so far.
pub async fn apply(
    plan: &Plan,
    directory: &Directory,
    settings: &Settings,
    actor: &Actor,
    audit: &Audit,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcomes, (Outcomes, DirectoryError)> {
    let _ = (plan, directory, settings, actor, audit, progress);
    todo!("H3")
}
