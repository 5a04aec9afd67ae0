use super::*;
use crate::catalogue::Catalogue;
use crate::csn::ContextCsn;
use crate::storage::Storage;
use crate::tree::Tree;
use provost_entry::Dn;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

const SUFFIX: &str = "dc=example,dc=edu";

/// Makes a file in the present format.
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
    Err(StorageError::Content("fails as the test wants".into()))
}

fn row(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn steps_are_taken_in_order_after_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let file = new_file(folder.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    change(&file, "UPDATE state SET value = '1' WHERE key = 'format'; DELETE FROM state WHERE key = 'unseeded'");
    let mut connection = Connection::open(&file).unwrap();
    take_steps(&mut connection, &file, 1, &[add_column, add_row]).unwrap();
    drop(connection);
    let (old, new) = ([row("format", "1"), row("suffix", SUFFIX)], row("new", "row"));
    assert_eq!(state(&file), [row("format", "3"), new.clone(), row("suffix", SUFFIX)]);
    let backup = folder.path().join("directory.sqlite.backup-v1");
    assert_eq!(state(&backup), old);
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

    // From format 2: only the second step, with its own backup.
    change(&file, "UPDATE state SET value = '2' WHERE key = 'format'; DELETE FROM state WHERE key = 'new'");
    let mut connection = Connection::open(&file).unwrap();
    take_steps(&mut connection, &file, 2, &[add_column, add_row]).unwrap();
    assert!(state(&file).contains(&new));
    assert!(folder.path().join("directory.sqlite.backup-v2").exists());
    // No step needed: no backup.
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
fn a_file_that_cannot_be_used_is_refused_and_left_unchanged() {
    let set = |format: &str| format!("UPDATE state SET value = '{format}' WHERE key = 'format'");
    for (sql, expect) in [
        (set("9"), "format 9, and this program knows formats up to 2: a later version wrote it"),
        (set("0"), "there is no format 0"),
        (set("-9223372036854775808"), "there is no format"),
        (set("x"), "no record of their format"),
        ("DELETE FROM state".to_owned(), "no record of their format"),
        ("DROP TABLE state".to_owned(), "no record of their format"),
        ("UPDATE state SET value = 'dc=other' WHERE key = 'suffix'".to_owned(), "suffix dc=other, not dc=example"),
        ("INSERT INTO state VALUES ('context', 'x')".to_owned(), "state 'context' is damaged"),
        ("INSERT INTO state VALUES ('floor', 'csn=x')".to_owned(), "state 'floor' is damaged"),
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

// Parents in a cycle would make every walk to the root endless. A table for row numbers as large as these would take
// 100 GB.
#[test]
fn a_damaged_tree_is_refused() {
    for (sql, expect) in [
        ("UPDATE entry SET parent = place WHERE place = 3", "row 3 is an ancestor of itself"),
        (
            "UPDATE entry SET parent = place + 1 WHERE place IN (3, 4); UPDATE entry SET parent = 3 WHERE place = 5",
            "row",
        ),
        ("UPDATE entry SET place = 4294967294 WHERE place = 3", "row 4294967294 is damaged"),
        ("UPDATE entry SET place = 4294967295 WHERE place = 3", "row 4294967295 is damaged"),
        ("UPDATE entry SET parent = 4294967294 WHERE place = 3", "row 3 is damaged"),
        ("UPDATE entry SET parent = 16777216 WHERE place = 3", "row 3 is damaged"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(open_fixture(folder.path(), "directory-v1.sqlite"));
        change(&folder.path().join("directory.sqlite"), sql);
        let error = open(folder.path()).unwrap_err();
        assert!(error.contains(expect), "{sql}: {error}");
    }
}

/// Opens a copy of the file `name` in `tests/fixtures`.
fn open_fixture(folder: &Path, name: &str) -> (Storage, Tree) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    fs::copy(fixture, folder.join("directory.sqlite")).unwrap();
    let catalogue = Arc::new(Catalogue::load().unwrap());
    Storage::open(folder, catalogue, &Dn::parse(SUFFIX).unwrap()).unwrap()
}

// A record holds the index that its structural class had in the schema when the record was written. The classes of a
// later schema may have another order, so the index of a stored record can be wrong.
#[test]
fn loading_restores_the_structural_class() {
    let folder = tempfile::tempdir().unwrap();
    let structural = |tree: &Tree| -> Vec<Vec<u8>> {
        let entries = (0..tree.place_count()).filter_map(|place| tree.snapshot(place));
        entries.flat_map(|snapshot| tree.synthesise(snapshot, tree.special.structural)).collect()
    };
    let (storage, tree) = open_fixture(folder.path(), "directory-v1.sqlite");
    let before = structural(&tree);
    drop((storage, tree));
    change(
        &folder.path().join("directory.sqlite"),
        "UPDATE entry SET record = CAST(substr(record, 1, 48) || x'0000' || substr(record, 51) AS BLOB)",
    );
    let catalogue = Arc::new(Catalogue::load().unwrap());
    let (_, tree) = Storage::open(folder.path(), catalogue, &Dn::parse(SUFFIX).unwrap()).unwrap();
    assert_eq!(structural(&tree), before);
}

/// Returns the DNs of the entries with this description.
fn described(tree: &Tree, description: &str) -> String {
    let places = (0..tree.place_count()).filter(|place| tree.values(*place, "description") == [description.as_bytes()]);
    places.map(|place| tree.dn(place)).collect::<Vec<_>>().join(" ")
}

// RFC 4518 §2: names that format 1 distinguished are equal since format 2; both entries stay, with all subordinates.
#[test]
fn a_file_of_format_1_keeps_every_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, tree) = open_fixture(folder.path(), "directory-v1.sqlite");
    assert_eq!(tree.entries(), 18);
    let find = |name: &str| tree.find(&Dn::parse(&format!("{name},{SUFFIX}")).unwrap());
    for (description, name) in [
        ("composed", "cn=Zoé,ou=groups"),
        ("decomposed", "cn=Zoe\u{301} (ad724c61-b671-4d00-bf50-782882ee9f06),ou=groups"),
        ("hyphenated", "cn=zo\u{ad}e\u{301} (f1f82cb7-bfef-4089-9ce0-0d7e29852aa1),ou=groups"),
        ("below composed", "cn=a,ou=École"),
        ("below decomposed", "cn=a,ou=E\u{301}cole (ac14a465-96f2-4dbd-89df-d6133fa984b3)"),
    ] {
        let found = described(&tree, description);
        assert!(found.contains(name), "{description}: {found}");
        assert!(find(name).is_some(), "{name}");
    }
    let second = find("cn=Zoé (ad724c61-b671-4d00-bf50-782882ee9f06),ou=groups").unwrap();
    let cn_values = tree.values(second, "cn");
    assert_eq!(cn_values[0], "Zoe\u{301}".as_bytes(), "the previous value is lost");
    assert_eq!(cn_values.len(), 2);
    // RFC 4533 §3.3: a consumer whose cookie is from before the upgrade receives the renamed entry.
    let csn = |name: &str| tree.snapshot(find(name).unwrap()).unwrap().record.head().unwrap().csn;
    let before = ContextCsn::parse_cookie(b"rid=000,csn=20261126225125.741957Z#000000#001#000000").unwrap();
    assert!(!before.covers(csn("cn=a,ou=École (ac14a465-96f2-4dbd-89df-d6133fa984b3)")));
    assert!(before.covers(csn("cn=a,ou=École")) && tree.context.covers_all(&before));
    // RFC 4522: the values of `userCertificate;binary` are now values of `userCertificate`. Attributes whose number in
    // the table of descriptions changed by this keep their values.
    let cert = find("cn=cert,ou=groups").unwrap();
    assert_eq!(tree.values(cert, "userCertificate"), [b"one", b"two"]);
    for (name, value) in [("jpegPhoto", "photo"), ("userSMIMECertificate", "smime"), ("title", "last"), ("sn", "x")] {
        assert_eq!(tree.values(cert, name), [value.as_bytes()], "{name}");
    }
    let dns: Vec<_> = (0..tree.place_count()).map(|place| tree.dn(place)).collect();
    drop((storage, tree));
    // A second opening changes nothing.
    let catalogue = Arc::new(Catalogue::load().unwrap());
    let (_storage, tree) = Storage::open(folder.path(), catalogue, &Dn::parse(SUFFIX).unwrap()).unwrap();
    assert_eq!((0..tree.place_count()).map(|place| tree.dn(place)).collect::<Vec<_>>(), dns);
    assert!(folder.path().join("directory.sqlite.backup-v1").exists());
}
