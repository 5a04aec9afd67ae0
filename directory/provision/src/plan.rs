//! Wanted against actual: the plan.
//!
//! Pure: the same wanted state against the same directory gives the same plan, and after a plan is applied the same state
//! gives none. Nothing is taken from anybody here: a person whom no source names is left as is, and an address once given
//! stays that person's.

mod actual;
mod change;
mod planner;
mod serial;

use provost_entry::Dn;
use provost_entry::time::generalized;
use serde::{Deserialize, Serialize};

use crate::source::{RecordError, Source};
use crate::wanted::State;

pub use actual::Actual;
pub use change::{Change, ChangeKind, Reason};
use planner::Planner;
pub(crate) use planner::person_uuid;
pub use serial::{PLAN_OCTETS_MAX, PLAN_VERSION, PlanFileError};

/// Addresses without any person that an interrupted import can leave behind. More of them mean that we are not allowed
/// to see the people, and would make all of them once more.
const ORPHANS_MAX: usize = 1000;

/// A source of a plan, named by the octets that were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceStamp {
    /// Name of the source.
    pub name: String,
    /// blake3 of its file, hex.
    pub digest: String,
}

/// All changes that make the directory as wanted. Printable, serialisable; its hash names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the sources and of their records.
    changes: Vec<Change>,
    summary: PlanSummary,
    sources: Vec<SourceStamp>,
    /// Version of the policies.
    policies: String,
    /// GeneralizedTime of the planning: since when new addresses are given.
    since: String,
    suffix: Dn,
    rejected: Vec<RecordError>,
    hash: String,
}

/// Counts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSummary {
    /// Rows of the files, good and wrong.
    pub rows: usize,
    /// People to make.
    pub create: usize,
    /// People to change.
    pub update: usize,
    /// Of those, with a new primary address.
    pub rename: usize,
    /// People who are as wanted already.
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

/// Compares; pure. Records that contradict the directory join the rejected ones of the wanted state.
pub fn plan(wanted: &State<'_>, actual: &Actual) -> Result<Plan, PlanError> {
    if actual.people.is_empty() && actual.addresses.len() > ORPHANS_MAX {
        let rule = format!("{} addresses and not one person; may this identity read people?", actual.addresses.len());
        return Err(PlanError::Inconsistent(rule));
    }
    let mut planner = Planner::new(wanted, actual);
    let (mut changes, mut rejected) = (Vec::new(), wanted.rejected.clone());
    let mut unchanged = wanted.sources.iter().map(|source| source.repeated).sum();
    for person in &wanted.people {
        match planner.change(person) {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => unchanged += 1,
            Err(problem) => rejected.push(problem),
        }
    }
    rejected.sort_by_key(|problem| problem.line);
    let stamp = |source: &Source| SourceStamp { name: source.name.clone(), digest: source.digest.clone() };
    let sources: Vec<SourceStamp> = wanted.sources.iter().map(stamp).collect();
    let policies = wanted.policies.version.clone();
    Ok(Plan {
        hash: hash(&actual.suffix, &sources, &policies, &changes),
        summary: summarise(wanted, &changes, &rejected, unchanged),
        suffix: actual.suffix.clone(),
        since: generalized(wanted.at),
        policies,
        sources,
        changes,
        rejected,
    })
}

fn summarise(wanted: &State<'_>, changes: &[Change], rejected: &[RecordError], unchanged: usize) -> PlanSummary {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let writes = || changes.iter().flat_map(|change| &change.writes);
    // A row can have several problems; its line is one.
    let mut lines: Vec<u64> = rejected.iter().map(|problem| problem.line).collect();
    lines.dedup();
    PlanSummary {
        rows: wanted.sources.iter().map(|source| source.rows_read).sum(),
        create: count(ChangeKind::Create),
        update: count(ChangeKind::Update) + count(ChangeKind::Rename),
        rename: count(ChangeKind::Rename),
        unchanged,
        rejected: lines.len(),
        writes: writes().count(),
        passwords: writes().filter(|write| write.password.is_some()).count(),
    }
}

/// blake3 over what the plan would do, hex.
///
/// The files' digests go in first: two files that differ in a password only are two plans. The time does not, so that a
/// plan made again for review has the name under which it was shown.
fn hash(suffix: &Dn, sources: &[SourceStamp], policies: &str, changes: &[Change]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut line = Vec::new();
    let mut add = |part: serde_json::Result<()>, line: &mut Vec<u8>| {
        debug_assert!(part.is_ok(), "every part of a plan has a JSON form");
        line.push(b'\n');
        hasher.update(line);
        line.clear();
    };
    add(serde_json::to_writer(&mut line, &(suffix.as_str(), sources, policies)), &mut line);
    for change in changes {
        add(serde_json::to_writer(&mut line, change), &mut line);
    }
    hasher.finalize().to_hex().to_string()
}

impl Plan {
    /// Names exactly this plan: blake3 over its sources, policies and changes, hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// One change for each person to make or to change, in the order of the records.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Counts of rows, people and writes.
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }

    /// The sources of which it was made.
    pub fn sources(&self) -> &[SourceStamp] {
        &self.sources
    }

    /// The digest of its only source, or all digests, a comma between them.
    pub fn digest(&self) -> String {
        self.sources.iter().map(|source| source.digest.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Version of the policies that it follows.
    pub fn policies(&self) -> &str {
        &self.policies
    }

    /// GeneralizedTime of the planning.
    pub(crate) fn since(&self) -> &str {
        &self.since
    }

    /// Suffix of the directory that was compared.
    pub(crate) fn suffix(&self) -> &Dn {
        &self.suffix
    }

    /// Whether it would write nothing.
    pub fn is_empty(&self) -> bool {
        self.summary.writes == 0
    }

    /// Records left out: those of the wanted state and those that planning found.
    pub fn rejected(&self) -> &[RecordError] {
        &self.rejected
    }
}

#[cfg(test)]
mod tests;
