//! Brings a file of an older format forward when it is opened.
//!
//! The format is the row `format` of the table `state`. A step takes a file from one format to the next; all steps that a file
//! needs, and the new number, are one transaction, so a crash leaves the old file or the new one. Before it the file is copied to
//! `directory.sqlite.backup-vN`, N being the format it has; the copy is whole and on the disk before the first step begins.
//! Stop the node and move it over `directory.sqlite` (removing `-wal` and `-shm`) to go back; remove it when it is no
//! longer wanted. A file of a later format than [`FORMAT`] is refused and not touched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::storage_error::StorageError;

/// Takes a file from one format to the next.
type Step = fn(&Transaction<'_>) -> Result<(), StorageError>;

/// The first step takes format 1 to 2, and so on. A step is never changed once it has been released. There is none yet: files
/// have had one format from the first release on.
const STEPS: &[Step] = &[];
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
    connection.execute("VACUUM INTO ?1", [draft.to_string_lossy()])?;
    // There are password hashes in it.
    fs::set_permissions(&draft, fs::metadata(file)?.permissions())?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &backup)?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::storage::Storage;
    use provost_entry::Dn;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    const SUFFIX: &str = "dc=example,dc=edu";

    /// Makes a file as this version does.
    fn new_file(folder: &Path) -> PathBuf {
        open(folder).unwrap();
        folder.join("directory.sqlite")
    }

    fn open(folder: &Path) -> Result<(), String> {
        let catalogue = Arc::new(Catalogue::load().unwrap());
        Storage::open(folder, catalogue, &Dn::parse(SUFFIX).unwrap()).map(|_| ()).map_err(|error| error.to_string())
    }

    fn change(file: &Path, sql: &str) {
        Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    fn state(file: &Path) -> Vec<(String, String)> {
        let connection = Connection::open(file).unwrap();
        let mut found = connection.prepare("SELECT key, value FROM state ORDER BY key").unwrap();
        let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn add_column(transaction: &Transaction<'_>) -> Result<(), StorageError> {
        Ok(transaction.execute_batch("ALTER TABLE entry ADD COLUMN note TEXT")?)
    }

    fn add_row(transaction: &Transaction<'_>) -> Result<(), StorageError> {
        Ok(transaction.execute_batch("INSERT INTO state VALUES ('new', 'row')")?)
    }

    fn fail(_: &Transaction<'_>) -> Result<(), StorageError> {
        Err(StorageError::Content("asked for".into()))
    }

    fn row(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn steps_are_taken_in_order_after_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let file = new_file(folder.path());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut connection = Connection::open(&file).unwrap();
        take_steps(&mut connection, &file, 1, &[add_column, add_row]).unwrap();
        drop(connection);
        let (old, new) = ([row("format", "1"), row("suffix", SUFFIX)], row("new", "row"));
        assert_eq!(state(&file), [row("format", "3"), new.clone(), row("suffix", SUFFIX)]);
        let backup = folder.path().join("directory.sqlite.backup-v1");
        assert_eq!(state(&backup), old);
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

        // From the middle: only what is missing, with a backup of its own.
        change(&file, "UPDATE state SET value = '2' WHERE key = 'format'; DELETE FROM state WHERE key = 'new'");
        let mut connection = Connection::open(&file).unwrap();
        take_steps(&mut connection, &file, 2, &[add_column, add_row]).unwrap();
        assert!(state(&file).contains(&new));
        assert!(folder.path().join("directory.sqlite.backup-v2").exists());
        // Nothing to do: no backup.
        take_steps(&mut connection, &file, 3, &[add_column, add_row]).unwrap();
        assert!(!folder.path().join("directory.sqlite.backup-v3").exists());
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = new_file(folder.path());
        let before = state(&file);
        let mut connection = Connection::open(&file).unwrap();
        for _ in 0..2 {
            take_steps(&mut connection, &file, 1, &[add_row, fail]).unwrap_err();
            assert_eq!(state(&file), before);
        }
        drop(connection);
        open(folder.path()).unwrap();
    }

    #[test]
    fn a_file_that_this_version_does_not_know_is_refused_untouched() {
        let set = |format: &str| format!("UPDATE state SET value = '{format}' WHERE key = 'format'");
        for (sql, expect) in [
            (set("9"), "format 9, and this program knows formats up to 1: a later version wrote it"),
            (set("0"), "there is no format 0"),
            (set("-9223372036854775808"), "there is no format"),
            (set("x"), "does not say which format"),
            ("DELETE FROM state".to_owned(), "does not say which format"),
            ("DROP TABLE state".to_owned(), "does not say which format"),
            ("UPDATE state SET value = 'dc=other' WHERE key = 'suffix'".to_owned(), "suffix dc=other, not dc=example"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = new_file(folder.path());
            change(&file, &sql);
            let before = fs::read(&file).unwrap();
            let error = open(folder.path()).unwrap_err();
            assert!(error.contains(expect), "{sql}: {error}");
            assert_eq!(fs::read(&file).unwrap(), before, "{sql}");
        }
    }
}
