//! Why the directory's file cannot be used.

/// The file cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// An error of SQLite.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder cannot be created, or a backup cannot be written.
    #[error("{0}")]
    Files(#[from] std::io::Error),
    /// The content is damaged, of another site, or of a later version.
    #[error("{0}")]
    Content(String),
}
