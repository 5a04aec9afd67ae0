//! Exit codes, and how a failure is told.

use std::process::ExitCode;

use provost_client::DirectoryError;
use provost_provision::DeskError;

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Clean = 0,
    /// Asked to stop by INT or TERM before all was done.
    Interrupted = 1,
    /// `--dry-run` found changes to make.
    ChangesPending = 2,
    /// Done, but rows were left out.
    RowsRejected = 4,
}

/// Something failed.
const FAILED: u8 = 1;
/// The directory could not be asked: later may work.
const DIRECTORY_UNAVAILABLE: u8 = 5;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the failure with its causes and says how to exit.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("provost: {error:#}");
    let unavailable = error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)))
            || matches!(cause.downcast_ref(), Some(DeskError::Unavailable(_)))
    });
    ExitCode::from(if unavailable { DIRECTORY_UNAVAILABLE } else { FAILED })
}
