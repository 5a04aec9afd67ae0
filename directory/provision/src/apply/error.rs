//! Errors that stop an apply, or the writes of one person.

use std::fmt;

use provost_client::DirectoryError;

use crate::PersonChange;
use crate::guard::GuardReport;
use crate::journal::JournalError;

/// Why an apply did not complete.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan cannot be applied to this directory or with these passwords, or its batch is in use or cannot be
    /// resumed; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The guard stopped the plan; nothing was written, and the plan is kept.
    #[error("{0}")]
    Guard(Box<GuardStop>),
    /// Too many people failed. The same plan can be applied again.
    #[error("stopped because {failed} of {done} people failed; see why before you apply the same plan again")]
    TooManyFailures {
        /// People that failed.
        failed: usize,
        /// People done, failed or not.
        done: usize,
    },
    /// The directory failed. The same plan can be applied again.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The audit or the journal cannot be read or written. The apply begins no further person.
    #[error("{0}")]
    Unavailable(String),
}

impl From<JournalError> for ApplyError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::InUse(_) | JournalError::NotResumable { .. } => Self::Refused(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// A plan that the guard has stopped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct GuardStop {
    /// Hash of the plan, under which it is kept.
    pub hash: String,
    /// The limits that it exceeds.
    pub report: GuardReport,
}

impl fmt::Display for GuardStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guard stopped the plan {}: nothing was changed", self.hash)?;
        self.report.trips.iter().try_for_each(|trip| write!(f, "\n  {trip}"))
    }
}

/// Why a person's writes did not complete.
pub(super) enum PersonFailure {
    /// The failure concerns this person only.
    Person(String),
    /// The failure concerns every person: the apply stops.
    Stop(ApplyError),
}

impl PersonFailure {
    /// Names a change that no line of a file names: one of a class or of the lifecycle.
    pub(super) fn name(&mut self, change: &PersonChange) {
        if let Self::Person(reason) = self
            && change.line == 0
        {
            *reason = format!("{}: {reason}", change.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReasonRule;
    use crate::plan::{ChangeKind, Reason};

    #[test]
    fn a_change_without_a_line_is_named() {
        for (line, expect) in [(0, "class phy101 changes: import again"), (7, "import again")] {
            let reason = Reason { rule: ReasonRule::Enrolment, words: String::new() };
            let (what, kind) = ("class phy101 changes".to_owned(), ChangeKind::Class);
            let change = PersonChange { source: 0, line, what, kind, reason, writes: Vec::new() };
            let mut failure = PersonFailure::Person("import again".to_owned());
            failure.name(&change);
            assert!(matches!(&failure, PersonFailure::Person(reason) if reason == expect), "line {line}");
        }
    }
}
