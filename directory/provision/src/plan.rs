//! Compares the wanted with the actual state and makes the plan.
//!
//! Pure: the same wanted state and the same directory give the same plan. After a plan is applied, its wanted state
//! gives an empty plan. A plan deletes no entry: a person whom no source names stays unchanged, and no address
//! passes from one person to another.

mod absence;
mod actual;
mod addresses;
mod change;
mod class_groups;
mod complete;
mod dated;
mod effect;
mod group_table;
mod index;
mod moved;
mod names;
mod packed;
mod people;
mod person_name;
mod planner;
mod serial;
mod suspects;
mod undo;

use jiff::Timestamp;
use provost_entry::Dn;
use provost_entry::time::format_generalized;
use serde::{Deserialize, Serialize};

use crate::lifecycle::LIFECYCLE_SOURCE;
use crate::source::{RecordError, Source};
use crate::wanted::WantedState;

pub use actual::DirectoryContent;
pub use change::{ChangeKind, PersonChange, Reason};
pub use complete::complete;
pub(crate) use effect::plan_effect;
pub(crate) use group_table::ENROLMENT;
pub(crate) use moved::moved;
use planner::Planner;
pub(crate) use planner::person_uuid;
pub use serial::{PLAN_OCTETS_MAX, PLAN_VERSION, PlanFileError};
pub(crate) use undo::UNDO;
pub use undo::{WrittenEntries, plan_undo};

/// Maximum number of addresses in a directory that shows no people: interrupted imports can leave that many. With more,
/// this program probably has no right to read the people, and the plan would create all of them again.
const ORPHANS_MAX: usize = 1000;

/// A source of a plan, identified by the digest of its octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceStamp {
    /// Name of the source.
    pub name: String,
    /// blake3 of the source's file, hex.
    pub digest: String,
    /// Version of the profile by which the file was read; `None` for the built-in profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<u32>,
}

/// All changes that bring the directory to the wanted state. Printable and serialisable; the hash is its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The changes in the order of the sources and of their records.
    changes: Vec<PersonChange>,
    summary: PlanSummary,
    sources: Vec<SourceStamp>,
    /// Version of the policies.
    policies: String,
    /// GeneralizedTime of the planning: the provostSince of new addresses.
    since: String,
    suffix: Dn,
    rejected: Vec<RecordError>,
    warnings: Vec<RecordError>,
    hash: String,
}

/// What made a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanOrigin {
    /// The files of sources.
    Import,
    /// The journal of a batch that is undone.
    Undo,
    /// A run of the lifecycle.
    Lifecycle,
}

/// Counts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSummary {
    /// Rows of the files, good and wrong.
    pub rows: usize,
    /// People to create.
    pub create: usize,
    /// People who exist and are to be changed.
    pub update: usize,
    /// People among these whose primary address changes.
    pub rename: usize,
    /// People to whom the lifecycle gives another state.
    #[serde(default)]
    pub state: usize,
    /// Accounts that the lifecycle purges.
    #[serde(default)]
    pub purge: usize,
    /// Changes by which the lifecycle ends addresses.
    #[serde(default)]
    pub address: usize,
    /// People whom a complete file of their source does not name, and whose absence is counted or confirmed.
    #[serde(default)]
    pub absent: usize,
    /// Groups of classes to make, change or drop.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub classes: usize,
    /// People whose former values an undo puts back.
    #[serde(default)]
    pub restore: usize,
    /// People whom an undo deletes, because the batch had created them.
    #[serde(default)]
    pub remove: usize,
    /// People who are already in the wanted state, and rows that repeat an earlier one.
    pub unchanged: usize,
    /// Rows left out because of a problem.
    pub rejected: usize,
    /// Single-entry LDAP writes.
    pub writes: usize,
    /// Passwords to hash.
    pub passwords: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Why a plan cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Entries of the directory contradict each other.
    #[error("the directory is inconsistent: {0}")]
    Inconsistent(String),
}

/// Compares the two states; pure. Records that contradict the directory join the rejected ones of the wanted state.
pub fn plan(wanted: &WantedState<'_>, actual: &DirectoryContent) -> Result<Plan, PlanError> {
    if actual.people.is_empty() && actual.addresses.len() > ORPHANS_MAX {
        let rule =
            format!("{} addresses but no person; check that this identity may read people", actual.addresses.len());
        return Err(PlanError::Inconsistent(rule));
    }
    let mut planner = Planner::new(wanted, actual);
    let (mut changes, mut rejected) = (Vec::new(), wanted.rejected.clone());
    let mut unchanged = wanted.sources.iter().map(|source| source.repeated).sum();
    wanted.for_each(|derived| {
        let planned = derived.and_then(|person| {
            let source = person.origin.source;
            planner.change(&person).map_err(|problem| (source, problem))
        });
        match planned {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => unchanged += 1,
            Err(problem) => rejected.push(problem),
        }
    });
    let classes = class_groups::class_changes(wanted, actual, &changes);
    changes.extend(classes.changes);
    changes.extend(absence::absences(wanted, actual, planner.lifecycle()));
    rejected.sort_by_key(|(source, problem)| (*source, problem.line));
    let stamp = |source: &Source| SourceStamp {
        name: source.name.clone(),
        digest: source.digest.clone(),
        profile: source.profile,
    };
    let sources: Vec<SourceStamp> = wanted.sources.iter().map(stamp).collect();
    let policies = wanted.policies.version.clone();
    Ok(Plan {
        hash: hash(actual.suffix(), &sources, &policies, &changes),
        summary: summarise(wanted, &changes, &rejected, unchanged),
        suffix: actual.suffix().clone(),
        since: format_generalized(wanted.at),
        policies,
        sources,
        changes,
        rejected: rejected.into_iter().map(|(_, problem)| problem).collect(),
        warnings: wanted.warnings.iter().cloned().chain(classes.warnings).collect(),
    })
}

fn summarise(
    wanted: &WantedState<'_>,
    changes: &[PersonChange],
    rejected: &[(u16, RecordError)],
    unchanged: usize,
) -> PlanSummary {
    // A row with several problems counts once.
    let mut rows: Vec<(u16, u64)> = rejected.iter().map(|(source, problem)| (*source, problem.line)).collect();
    rows.dedup();
    PlanSummary {
        rows: wanted.sources.iter().map(|source| source.rows_read).sum(),
        unchanged,
        rejected: rows.len(),
        ..counted(changes)
    }
}

/// The counts that follow from the changes alone.
fn counted(changes: &[PersonChange]) -> PlanSummary {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let writes = || changes.iter().flat_map(|change| &change.writes);
    PlanSummary {
        create: count(ChangeKind::Create),
        update: count(ChangeKind::Update) + count(ChangeKind::Rename),
        rename: count(ChangeKind::Rename),
        state: count(ChangeKind::State),
        purge: count(ChangeKind::Purge),
        address: count(ChangeKind::Address),
        absent: count(ChangeKind::Absence),
        classes: count(ChangeKind::Class),
        restore: count(ChangeKind::Restore),
        remove: count(ChangeKind::Remove),
        writes: writes().count(),
        passwords: writes().filter(|write| write.password.is_some()).count(),
        ..PlanSummary::default()
    }
}

/// The hash of what the plan would do: blake3, hex.
///
/// The files' digests come first: two files that differ only in a password give two plans. The time is left out, so
/// that a plan made again for review has the same hash as the one shown.
fn hash(suffix: &Dn, sources: &[SourceStamp], policies: &str, changes: &[PersonChange]) -> String {
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
    /// A plan of changes that no record asks for; `unchanged` people are already as they should be.
    pub(crate) fn of_changes(
        suffix: &Dn,
        source: SourceStamp,
        policies: String,
        now: Timestamp,
        changes: Vec<PersonChange>,
        unchanged: usize,
    ) -> Self {
        let sources = vec![source];
        Self {
            hash: hash(suffix, &sources, &policies, &changes),
            summary: PlanSummary { rows: changes.len() + unchanged, unchanged, ..counted(&changes) },
            suffix: suffix.clone(),
            since: format_generalized(now),
            rejected: Vec::new(),
            warnings: Vec::new(),
            policies,
            sources,
            changes,
        }
    }

    /// The name of exactly this plan: blake3 over the suffix, sources, policies and changes, hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// One change for each person to create or change, in the order of the records.
    pub fn changes(&self) -> &[PersonChange] {
        &self.changes
    }

    /// Counts of rows, people and writes.
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }

    /// The sources from which the plan was made.
    pub fn sources(&self) -> &[SourceStamp] {
        &self.sources
    }

    /// The digest of the only source, or all digests separated by commas.
    pub fn digest(&self) -> String {
        self.sources.iter().map(|source| source.digest.as_str()).collect::<Vec<_>>().join(",")
    }

    /// What made the plan.
    pub fn origin(&self) -> PlanOrigin {
        match self.sources.first().map(|source| source.name.as_str()) {
            Some(UNDO) => PlanOrigin::Undo,
            Some(LIFECYCLE_SOURCE) => PlanOrigin::Lifecycle,
            _ => PlanOrigin::Import,
        }
    }

    /// The batch that the plan undoes; `None` for the plan of an import.
    pub fn undone_batch(&self) -> Option<&str> {
        self.sources.first().filter(|source| source.name == UNDO).map(|source| source.digest.as_str())
    }

    /// Version of the policies that the plan follows.
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

    /// Whether the plan writes nothing.
    pub fn is_empty(&self) -> bool {
        self.summary.writes == 0
    }

    /// Records left out, by the wanted state or by planning, in the order of the sources and of their lines.
    pub fn rejected(&self) -> &[RecordError] {
        &self.rejected
    }

    /// Problems of fields left out and of headers, in the order of the sources and of their lines. Their records are
    /// used.
    pub fn warnings(&self) -> &[RecordError] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_classes;
#[cfg(test)]
mod tests_of_sources;
