//! Why the directory's file cannot be used.

/// The file cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// SQLite's complaint.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder cannot be made, or a backup not be written.
    #[error("{0}")]
    Files(#[from] std::io::Error),
    /// What is in it makes no sense, or is another site's or a later version's.
    #[error("{0}")]
    Content(String),
}
