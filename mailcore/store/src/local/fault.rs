//! Maps failed calls to damaged or unavailable. Depends on no other part of the engine, so that all parts can use it.

use crate::StoreError;

/// Makes the error for a failure that may pass: of the disk, a thread or another process.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Makes the error for stored data that differs from what was written or cannot be read; counts and logs it.
pub(super) fn damaged(what: impl Into<String>) -> StoreError {
    let what = what.into();
    metrics::counter!("provost_store_damaged_total").increment(1);
    tracing::error!(what, "store damaged");
    StoreError::Damaged(what)
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
