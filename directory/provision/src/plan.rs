//! Wanted against actual: the plan.
//!
//! Pure: the same file against the same directory gives the same plan, and after a plan is applied the same file gives
//! none. Nothing is taken from anybody here: a person who is absent from the file is left as is, and an address once
//! given stays that person's.

mod actual;
mod planner;

use std::fmt;

use provost_entry::time::generalized;

use crate::{Roster, RowError, Settings, Write};

pub use actual::Actual;
use planner::Planner;
pub(crate) use planner::person_uuid;

/// Addresses without any person that an interrupted import can leave behind. More of them mean that we are not allowed
/// to see the people, and would make all of them once more.
const ORPHANS_MAX: usize = 1000;

/// What a change is, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new person.
    Create,
    /// A new primary address.
    Rename,
    /// Any other change.
    Update,
}

/// One person's change, in words and in writes.
#[derive(Clone, Debug)]
pub struct Change {
    /// Line of the row.
    pub line: u64,
    /// For people: `create zoe.tremblay@example.edu (Zoé Tremblay, student)`.
    pub what: String,
    /// For counting.
    pub kind: ChangeKind,
    /// The writes, in the order that keeps every state between them valid.
    pub writes: Vec<Write>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Everything that an import would do. Printable; its hash names it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In file order.
    pub changes: Vec<Change>,
    /// Counts.
    pub summary: PlanSummary,
    /// blake3 of the file, hex.
    pub digest: String,
    /// GeneralizedTime of the planning: since when new addresses are given.
    pub(crate) since: String,
    rejected: Vec<RowError>,
}

/// Counts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PlanSummary {
    /// Rows of the file, good and wrong.
    pub rows: usize,
    /// People to make.
    pub create: usize,
    /// People to change.
    pub update: usize,
    /// Of those, with a new primary address.
    pub rename: usize,
    /// People that are so already.
    pub unchanged: usize,
    /// Rows left out.
    pub rejected: usize,
    /// Single-entry LDAP writes.
    pub writes: usize,
    /// Passwords to hash.
    pub passwords: usize,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What is in the directory contradicts itself.
    #[error("the directory is inconsistent: {0}")]
    Inconsistent(String),
}

/// Compares; pure. Rows that contradict each other or the directory end in `roster.rejected`-like errors of the plan.
pub fn plan(roster: &Roster, actual: &Actual, settings: &Settings, now: jiff::Timestamp) -> Result<Plan, PlanError> {
    if actual.people.is_empty() && actual.addresses.len() > ORPHANS_MAX {
        let rule = format!("{} addresses and not one person; may this identity read people?", actual.addresses.len());
        return Err(PlanError::Inconsistent(rule));
    }
    let mut planner = Planner::new(roster, actual, settings);
    let (mut changes, mut rejected) = (Vec::new(), roster.rejected.clone());
    let mut unchanged = roster.repeated;
    for row in &roster.rows {
        match planner.change(row) {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => unchanged += 1,
            Err(problem) => rejected.push(problem),
        }
    }
    rejected.sort_by_key(|problem| problem.line);
    let summary = summarise(roster, &changes, &rejected, unchanged);
    Ok(Plan { changes, summary, digest: roster.digest.clone(), since: generalized(now), rejected })
}

fn summarise(roster: &Roster, changes: &[Change], rejected: &[RowError], unchanged: usize) -> PlanSummary {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let writes = || changes.iter().flat_map(|change| &change.writes);
    // A row can have several problems; its line is one.
    let mut lines: Vec<u64> = rejected.iter().map(|problem| problem.line).collect();
    lines.dedup();
    PlanSummary {
        rows: roster.rows_read,
        create: count(ChangeKind::Create),
        update: count(ChangeKind::Update) + count(ChangeKind::Rename),
        rename: count(ChangeKind::Rename),
        unchanged,
        rejected: lines.len(),
        writes: writes().count(),
        passwords: writes().filter(|write| write.password().is_some()).count(),
    }
}

impl Plan {
    /// blake3 over all writes in order, hex.
    ///
    /// The file's digest goes in first: two files that differ in a password only are two plans. The time does not, so
    /// that a plan made again for review has the name under which it was shown.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.digest.as_bytes());
        for write in self.changes.iter().flat_map(|change| &change.writes) {
            hasher.update(write.to_string().as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether it would write nothing.
    pub fn is_empty(&self) -> bool {
        self.summary.writes == 0
    }

    /// Rows left out: those of the roster and those that planning found.
    pub fn rejected(&self) -> &[RowError] {
        &self.rejected
    }
}

#[cfg(test)]
mod tests;
