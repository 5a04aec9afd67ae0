//! Why the directory's file cannot be used.

/// The file cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// An error of SQLite.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder or a backup cannot be created or synced.
    #[error("{0}")]
    Files(#[from] std::io::Error),
    /// The content is damaged, has another suffix or format, or does not fit the schema; or the file cannot use a WAL.
    #[error("{0}")]
    Content(String),
}
