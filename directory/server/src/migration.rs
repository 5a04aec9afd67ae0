//! Upgrades a file of an older format when it is opened.
//!
//! The format is the row `format` of the table `state`. Each step upgrades a file by one format. All steps that a file
//! needs and the new number are one transaction, so a crash leaves the old file or the new one. Before the transaction,
//! the file is copied to `directory.sqlite.backup-vN`, where N is its format; the copy is complete and synced before
//! the first step. To go back, stop the node, remove `directory.sqlite-wal` and `directory.sqlite-shm`, and move the
//! copy over `directory.sqlite`. The copy can be removed when it is no longer needed. A file of a later format than
//! [`FORMAT`] is refused unchanged.

mod equal_names;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::storage_error::StorageError;

/// A step upgrades a file by one format.
type Migration = fn(&Transaction<'_>) -> Result<(), StorageError>;

/// The first step upgrades format 1 to 2, and so on. A released step never changes.
const STEPS: &[Migration] = &[equal_names::step];
/// The format that this version reads and writes.
pub(crate) const FORMAT: i64 = 1 + STEPS.len() as i64;

/// Returns the format of a file; `None` for a new one. Refused when the file has tables and no valid format.
pub(crate) fn format_of(connection: &Connection) -> Result<Option<i64>, StorageError> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let damaged = || StorageError::Content("directory.sqlite has tables, but no record of their format".into());
    let found = connection.query_row("SELECT value FROM state WHERE key = 'format'", [], |row| row.get(0));
    // Without the table `state`, the file is not one of ours.
    let text: Option<String> = found.optional().map_err(|_| damaged())?;
    text.and_then(|text| text.parse().ok()).map(Some).ok_or_else(damaged)
}

/// Upgrades a file of format `found` to [`FORMAT`].
pub(crate) fn upgrade(connection: &mut Connection, file: &Path, found: i64) -> Result<(), StorageError> {
    take_steps(connection, file, found, STEPS)
}

fn take_steps(connection: &mut Connection, file: &Path, found: i64, steps: &[Migration]) -> Result<(), StorageError> {
    let known = 1 + i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let refused = |text: &str| Err(StorageError::Content(format!("{}: {text}", file.display())));
    if found > known {
        return refused(&format!(
            "this file has format {found}, and this program knows formats up to {known}: a later version wrote it. \
             Run that version, or restore the backup from before the upgrade"
        ));
    }
    let Some(steps_taken) = found.checked_sub(1).and_then(|taken| usize::try_from(taken).ok()) else {
        return refused(&format!("there is no format {found}"));
    };
    let needed = steps.get(steps_taken..).unwrap_or_default();
    if needed.is_empty() {
        return Ok(());
    }
    let backup = back_up(connection, file, found)?;
    let transaction = connection.transaction()?;
    for step in needed {
        step(&transaction)?;
    }
    transaction.execute("UPDATE state SET value = ?1 WHERE key = 'format'", [known.to_string()])?;
    transaction.commit()?;
    tracing::info!(from = found, to = known, backup = %backup.display(), "upgraded the directory's file");
    Ok(())
}

/// Copies the file with its log, and returns the path of the copy. Replaces an existing copy of the same format: after
/// that copy, the upgrade failed or was undone by hand, so the file is newer.
fn back_up(connection: &Connection, file: &Path, found: i64) -> Result<PathBuf, StorageError> {
    let beside = |ending: String| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        file.with_file_name(name)
    };
    let (draft, backup) = (beside(format!(".backup-v{found}.new")), beside(format!(".backup-v{found}")));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // The copy holds password hashes, so it must be private even while it is written.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    connection.execute("VACUUM INTO ?1", [draft.to_string_lossy()])?;
    fs::set_permissions(&draft, fs::metadata(file)?.permissions())?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &backup)?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(backup)
}

#[cfg(test)]
mod tests;
