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
