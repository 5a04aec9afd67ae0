//! Brings a file of an older format forward when it is opened.
//!
//! The format is the row `format` of the table `state`. A step takes a file from one format to the next; all steps that a file
//! needs, and the new number, are one transaction, so a crash leaves the old file or the new one. Before it the file is copied to
//! `directory.sqlite.backup-vN`, N being the format it has; the copy is whole and on the disk before the first step begins.
//! Stop the node and move it over `directory.sqlite` (removing `-wal` and `-shm`) to go back; remove it when it is no
//! longer wanted. A file of a later format than [`FORMAT`] is refused and not touched.

mod equal_names;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::storage_error::StorageError;

/// Takes a file from one format to the next.
type Step = fn(&Transaction<'_>) -> Result<(), StorageError>;

/// The first step takes format 1 to 2, and so on. A step is never changed once it has been released.
const STEPS: &[Step] = &[equal_names::step];
/// The format that this program reads and writes.
pub(crate) const FORMAT: i64 = 1 + STEPS.len() as i64;

/// The format of a file; `None` of a new one. Refused when there are tables and no format that makes sense.
pub(crate) fn format_of(connection: &Connection) -> Result<Option<i64>, StorageError> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let damaged = || StorageError::Content("the file has tables, but does not say which format they have".into());
    let found = connection.query_row("SELECT value FROM state WHERE key = 'format'", [], |row| row.get(0));
    // Without the table `state` it is no file of ours.
    let text: Option<String> = found.optional().map_err(|_| damaged())?;
    text.and_then(|text| text.parse().ok()).map(Some).ok_or_else(damaged)
}

/// Brings a file that has format `found` to [`FORMAT`].
pub(crate) fn bring_forward(connection: &mut Connection, file: &Path, found: i64) -> Result<(), StorageError> {
    take_steps(connection, file, found, STEPS)
}

fn take_steps(connection: &mut Connection, file: &Path, found: i64, steps: &[Step]) -> Result<(), StorageError> {
    let known = 1 + i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let refused = |words: &str| Err(StorageError::Content(format!("{}: {words}", file.display())));
    if found > known {
        return refused(&format!(
            "this file has format {found}, and this program knows formats up to {known}: a later version wrote it. \
             Run that version, or put the backup from before it back"
        ));
    }
    let Some(done) = found.checked_sub(1).and_then(|done| usize::try_from(done).ok()) else {
        return refused(&format!("there is no format {found}"));
    };
    let needed = steps.get(done..).unwrap_or_default();
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
    tracing::info!(from = found, to = known, backup = %backup.display(), "the directory's file was brought forward");
    Ok(())
}

/// Copies the file, log included, and returns where to. A copy of the same format that is there is replaced: the steps it was
/// made for were not completed, or were taken back by hand, so the file is the newer one.
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
    // There are password hashes in it: nobody else may read it, not even while it is being written.
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
