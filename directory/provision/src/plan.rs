//! Wanted against actual: the plan.

use provost_client::{Directory, DirectoryError};

use crate::{Roster, Settings};

/// What the directory holds now of all that an import may touch, read in one paged search each.
pub struct Actual {
    _private: (),
}

impl Actual {
    /// Reads people and addresses from the writable provider.
    pub async fn read(directory: &Directory, settings: &Settings) -> Result<Self, DirectoryError> {
        let _ = (directory, settings);
        todo!("H3")
    }
}

/// One person's change, in words and in writes.
#[derive(Clone, Debug)]
pub struct Change {
    /// Line of the row.
    pub line: u64,
    /// For people: `create zoe.tremblay@example.edu (Zoé Tremblay, student)`.
    pub what: String,
}

/// Everything that an import would do. Printable; its hash names it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In file order.
    pub changes: Vec<Change>,
    /// Counts.
    pub summary: PlanSummary,
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
    let _ = (roster, actual, settings, now);
    todo!("H3")
}

impl Plan {
    /// blake3 over all writes in order, hex.
    pub fn hash(&self) -> String {
        todo!("H3")
    }

    /// Whether it would write nothing.
    pub fn is_empty(&self) -> bool {
        self.summary.writes == 0
    }

    /// Rows left out: those of the roster and those that planning found.
    pub fn rejected(&self) -> &[crate::RowError] {
        todo!("H3")
    }
}
