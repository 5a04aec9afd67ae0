//! Maps failed calls to damaged or unavailable. Depends on no other part of the engine, so that all parts can use it.

use crate::StoreError;

/// Makes the error for a failure that may pass: of the disk, a thread or another process.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

pub(super) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::damaged(what)
}

/// Makes the error for data of a version above `known`, the highest that this program can read. The data is not
/// damaged: the program that wrote it reads it.
pub(super) fn written_by_newer(what: &str, found: i64, known: i64) -> StoreError {
    StoreError::Unavailable(format!(
        "{what} have version {found}, written by a newer Provost; this one knows versions up to {known}: start the newer \
         Provost, or restore a backup of version {known} or older"
    ))
}

/// Maps an error of SQLite: a damaged page or a wrong type is damage, anything else may pass.
pub(super) fn storage(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match &error {
        rusqlite::Error::SqliteFailure(cause, _) if matches!(cause.code, DatabaseCorrupt | NotADatabase) => {
            damaged(error.to_string())
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => damaged(error.to_string()),
        _ => unavailable(error),
    }
}
