//! The changes of a plan: for each person, the reason and the writes, each with its attributes before and after.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ReasonRule, Write};

/// Kind of a change, by which [`crate::PlanSummary`] counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The person is new.
    Create,
    /// The primary address changes, or the person had none. Other attributes may change too.
    Rename,
    /// Any other change.
    Update,
    /// The lifecycle gives the account another state.
    State,
    /// The lifecycle purges the account: its addresses go into quarantine, its entry becomes a tombstone.
    Purge,
    /// The lifecycle ends an address: it goes into quarantine, or becomes free.
    Address,
    /// A complete file of a source does not name the person.
    Absence,
    /// The group of a class is made, changed, or dropped after its term.
    Class,
    /// An undo: values that a batch changed get their former values back.
    Restore,
    /// An undo: a person whom a batch created is deleted.
    Remove,
}

/// Why a change is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The rule that asks for the change.
    pub rule: ReasonRule,
    /// The same reason, worded for people.
    pub words: String,
}

/// The change of one person: a description, the reason, and the writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonChange {
    /// Index of the source that names the person, among the sources of the plan.
    pub source: u16,
    /// Line of the person's record in that source, from one; zero when no record asks for the change.
    pub line: u64,
    /// Description for people: `create zoe.tremblay@example.edu (Zoé Tremblay, student)`.
    pub what: String,
    /// Whether the person is created, renamed or otherwise changed.
    pub kind: ChangeKind,
    /// Why the change is made.
    pub reason: Reason,
    /// The writes, in an order that leaves the directory valid after each of them.
    pub writes: Vec<Write>,
}

impl fmt::Display for PersonChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}
