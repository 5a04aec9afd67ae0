//! Errors that stop an apply, or the writes of one person.

use provost_client::DirectoryError;

use crate::journal::JournalError;

/// Why an apply did not complete.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan cannot be applied to this directory or with these passwords, or its batch is in use or cannot be
    /// resumed; nothing was written.
    #[error("{0}")]
    Refused(String),
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

/// Why a person's writes did not complete.
pub(super) enum PersonFailure {
    /// The failure concerns this person only.
    Person(String),
    /// The failure concerns every person: the apply stops.
    Stop(ApplyError),
}
