//! What stops an apply, or the writes of one person.

use provost_client::DirectoryError;

use crate::journal::JournalError;

/// Why an apply did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan cannot be applied here, or not with these passwords; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The directory. The same plan can be applied again.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The audit or the journal cannot be written: nothing goes into the directory without them.
    #[error("{0}")]
    Unavailable(String),
}

impl From<JournalError> for ApplyError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::InUse(_) => Self::Refused(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Why a person's writes did not come to their end.
pub(super) enum Failure {
    /// This person only.
    Person(String),
    /// No use in going on.
    Stop(ApplyError),
}
