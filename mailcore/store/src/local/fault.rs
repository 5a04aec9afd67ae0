//! What a failed call becomes: damaged or unavailable. It uses nothing else of the engine, so everything else may use it.

use crate::StoreError;

/// Anything that may work later: the disk, a thread, another process.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Something stored is not what was written: counted, never served.
pub(super) fn damaged(what: impl Into<String>) -> StoreError {
    let what = what.into();
    metrics::counter!("provost_store_damaged_total").increment(1);
    tracing::error!(what, "store damaged");
    StoreError::Damaged(what)
}

/// A wrong row or page is damage; everything else may work later.
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
