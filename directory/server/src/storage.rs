//! The directory on disk: one SQLite file, `directory.sqlite`, written by one thread. A transaction is synced before
//! its writes are acknowledged.
//!
//! | table | one row for | columns |
//! |---|---|---|
//! | `entry` | each entry | its place (a number, reused after a deletion), its parent's place, its octets as encoded by `record` |
//! | `name` | each text that entries refer to by number | kind (`description`: attribute type and options; `classes`: a list of object classes; `identity`: creators and modifiers), number, text |
//! | `deletion` | each of the last deletions | order, CSN and entryUUID, for RFC 4533 consumers that were away |
//! | `state` | each fact about the whole file | `format` (the version of the file format), `suffix`, `context` (contextCSN by server id), `floor` (the state that the log of deletions starts from), `unseeded` (present until the file has all seed entries: suffix, containers, service identities) |
//!
//! The schema is not stored, because it comes with the program. `migration` upgrades a file of an older format.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use provost_entry::Dn;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::catalogue::Catalogue;
use crate::constraint;
use crate::csn::{ContextCsn, Csn};
use crate::migration;
use crate::record::EncodedEntry;
use crate::storage_error::StorageError;
use crate::tree::{DELETIONS_MAX, NO_PLACE, PLACES_MAX, Tree, TreeChange};

/// Name of the file in the server's folder.
const FILE: &str = "directory.sqlite";
/// SQLite's page cache, KiB; small, because the tree is in memory.
const CACHE_KIB: i64 = 4_096;

const TABLES: &str = "
CREATE TABLE entry (place INTEGER PRIMARY KEY, parent INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE deletion (seq INTEGER PRIMARY KEY AUTOINCREMENT, csn TEXT NOT NULL, uuid BLOB NOT NULL);
CREATE TABLE name (kind TEXT NOT NULL, id INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (kind, id))
    WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// The open file, owned by one thread.
#[derive(Debug)]
pub(crate) struct Storage {
    connection: Connection,
    /// Number of shared names already on disk: descriptions, class lists, identities.
    saved: [usize; 3],
}

/// Key in `state` of a file to which not all seed entries were added yet.
const UNSEEDED: &str = "unseeded";
/// Kinds of shared names.
const DESCRIPTION: &str = "description";
const CLASSES: &str = "classes";
const IDENTITY: &str = "identity";

impl Storage {
    /// Opens or creates the file, and reads all of it into a tree.
    pub(crate) fn open(folder: &Path, catalogue: Arc<Catalogue>, suffix: &Dn) -> Result<(Self, Tree), StorageError> {
        make_folder(folder)?;
        let file = folder.join(FILE);
        let mut connection = Connection::open(&file)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        use_wal(&connection)?;
        // FULL syncs the log at every commit, which acknowledged writes depend on.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        match migration::format_of(&connection)? {
            None => make(&mut connection, suffix)?,
            Some(found) => migration::upgrade(&mut connection, &file, found)?,
        }
        settle(&connection, folder)?;
        let mut storage = Self { connection, saved: [0; 3] };
        storage.check_suffix(suffix)?;
        let mut tree = Tree::new(catalogue, suffix.clone())
            .ok_or_else(|| StorageError::Content("the schema lacks operational attributes".into()))?;
        storage.load(&mut tree)?;
        Ok((storage, tree))
    }

    /// Whether seed entries may be missing: the file is new, or the start that adds them was interrupted.
    pub(crate) fn is_unseeded(&self) -> Result<bool, StorageError> {
        Ok(self.state(UNSEEDED)?.is_some())
    }

    /// Records that all seed entries are in the file.
    pub(crate) fn set_seeded(&self) -> Result<(), StorageError> {
        self.connection.execute("DELETE FROM state WHERE key = ?1", [UNSEEDED])?;
        Ok(())
    }

    fn state(&self, key: &str) -> Result<Option<String>, StorageError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM state WHERE key = ?1")?;
        let mut rows = statement.query([key])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    /// Returns the CSNs under a key of `state`: none until [`save_state`] first writes them.
    fn context_state(&self, key: &str) -> Result<ContextCsn, StorageError> {
        let Some(text) = self.state(key)? else { return Ok(ContextCsn::default()) };
        ContextCsn::parse(&text).ok_or_else(|| StorageError::Content(format!("state '{key}' is damaged")))
    }

    fn check_suffix(&self, suffix: &Dn) -> Result<(), StorageError> {
        let found = self.state("suffix")?.unwrap_or_default();
        if found == suffix.normalised() {
            return Ok(());
        }
        Err(StorageError::Content(format!("{FILE} has suffix {found}, not {} as configured", suffix.normalised())))
    }

    fn load(&mut self, tree: &mut Tree) -> Result<(), StorageError> {
        self.load_names(tree)?;
        self.load_entries(tree)?;
        tree.context = self.context_state("context")?;
        tree.floor = self.context_state("floor")?;
        let mut statement = self.connection.prepare("SELECT csn, uuid FROM deletion ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (csn, uuid): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let row = Csn::parse(&csn).zip(Uuid::from_slice(&uuid).ok());
            let (csn, uuid) = row.ok_or_else(|| StorageError::Content(format!("deletion {csn} is damaged")))?;
            tree.note_deletion(csn, uuid);
        }
        Ok(())
    }

    fn load_names(&mut self, tree: &mut Tree) -> Result<(), StorageError> {
        let catalogue = tree.catalogue.clone();
        let mut statement = self.connection.prepare("SELECT kind, id, text FROM name ORDER BY kind, id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, id, text): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let unknown = || StorageError::Content(format!("entries use '{text}', which the schema lacks"));
            let new_id = match kind.as_str() {
                DESCRIPTION => i64::from(tree.names.describe(&catalogue, &text).map_err(|_| unknown())?),
                CLASSES => {
                    let ids: Option<Vec<_>> = text.split(' ').map(|name| catalogue.class_id(name)).collect();
                    let ids = ids.ok_or_else(unknown)?;
                    i64::from(tree.names.class_list(&catalogue, ids).map_err(|_| unknown())?)
                }
                _ => i64::from(tree.names.identity_id(&text)),
            };
            if new_id != id {
                return Err(StorageError::Content(format!("name {kind} {id} is missing or out of order")));
            }
        }
        self.saved = [tree.names.descriptions().len(), tree.names.lists().len(), tree.names.identities().len()];
        Ok(())
    }

    fn load_entries(&mut self, tree: &mut Tree) -> Result<(), StorageError> {
        let mut statement = self.connection.prepare("SELECT place, parent, record FROM entry ORDER BY place")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (place, parent, octets): (u32, u32, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let damaged = || StorageError::Content(format!("the entry in row {place} is damaged"));
            let mut record = EncodedEntry::from_octets(octets).ok_or_else(damaged)?;
            let classes = record.head().and_then(|head| tree.names.classes(head.classes)).ok_or_else(damaged)?;
            let structural = constraint::structural_class(&tree.catalogue, &classes.listed)
                .map_err(|refusal| StorageError::Content(format!("the entry in row {place}: {}", refusal.message)))?;
            record.set_structural(structural);
            if place >= PLACES_MAX || (parent >= PLACES_MAX && parent != NO_PLACE) {
                return Err(damaged());
            }
            tree.grow_to(if parent == NO_PLACE { place } else { place.max(parent) });
            tree.insert(place, parent, record);
        }
        tree.collect_free();
        match tree.find_cycle() {
            Some(place) => Err(StorageError::Content(format!("the entry in row {place} is an ancestor of itself"))),
            None => Ok(()),
        }
    }

    /// Makes changes durable, all or none. `tree` already has the shared names of the changes, but not yet the changes.
    pub(crate) fn commit(&mut self, tree: &Tree, changes: &[&TreeChange]) -> Result<(), StorageError> {
        let mut context = tree.context.clone();
        let saved = {
            let transaction = self.connection.transaction()?;
            for change in changes {
                context.advance(change.csn);
                match &change.after {
                    Some((parent, record)) => {
                        let sql = "INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3)";
                        transaction.prepare_cached(sql)?.execute(params![change.place, parent, record.octets()])?;
                    }
                    None => {
                        transaction.prepare_cached("DELETE FROM entry WHERE place = ?1")?.execute([change.place])?;
                        let sql = "INSERT INTO deletion (csn, uuid) VALUES (?1, ?2)";
                        let row = params![change.csn.to_string(), change.uuid.as_bytes().as_slice()];
                        transaction.prepare_cached(sql)?.execute(row)?;
                    }
                }
            }
            let saved = save_names(&transaction, tree, self.saved)?;
            save_state(&transaction, "context", &context)?;
            trim_deletions(&transaction, tree, changes)?;
            transaction.commit()?;
            saved
        };
        self.saved = saved;
        Ok(())
    }
}

/// Creates a folder and its missing parents, all durable on return.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let Some(parent) = folder.parent() else { return Ok(()) };
    // The parent of a relative path's first folder is the working folder.
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if !parent.exists() {
        make_folder(parent)?;
    }
    std::fs::create_dir_all(folder)?;
    sync_folder(parent)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Asks for a write-ahead log, and fails when the file keeps another journal mode.
///
/// SQLite returns the new mode in a row, and then commits the change. If a disk fault keeps the old mode, only the end
/// of the statement reports the fault, so all rows are read. In the old mode a commit is durable only when the removal
/// of its journal is durable, and nothing syncs that removal.
fn use_wal(connection: &Connection) -> Result<(), StorageError> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mode: Option<String> = rows.next()?.map(|row| row.get(0)).transpose()?;
    while rows.next()?.is_some() {}
    match mode.as_deref() {
        Some("wal") => Ok(()),
        other => {
            let mode = other.unwrap_or("unknown");
            Err(StorageError::Content(format!("{FILE} cannot use a write-ahead log: its journal mode stays {mode}")))
        }
    }
}

/// Syncs what an earlier process left, before a consumer is sent any of it.
///
/// A process that was killed between a write to the log and its sync leaves a commit that SQLite treats as durable, and
/// SQLite ignores errors when it syncs the folder that holds the log.
fn settle(connection: &Connection, folder: &Path) -> Result<(), StorageError> {
    // A checkpoint syncs the log first, then what it copies.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(sync_folder(folder)?)
}

/// Creates the tables of a new file in one transaction.
fn make(connection: &mut Connection, suffix: &Dn) -> Result<(), StorageError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    let format = migration::FORMAT.to_string();
    for row in [["format", &format], ["suffix", suffix.normalised()], [UNSEEDED, "yes"]] {
        transaction.execute("INSERT INTO state VALUES (?1, ?2)", row)?;
    }
    Ok(transaction.commit()?)
}

fn save_state(connection: &Connection, key: &str, context: &ContextCsn) -> Result<(), StorageError> {
    let text = String::from_utf8_lossy(&context.cookie()).into_owned();
    connection.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)")?.execute([key, &text])?;
    Ok(())
}

/// Writes the shared names that are new since the last commit.
fn save_names(connection: &Connection, tree: &Tree, saved: [usize; 3]) -> Result<[usize; 3], StorageError> {
    let names = &tree.names;
    let class_name = |id: &u16| tree.catalogue.class(*id).map(|class| class.name.as_str()).unwrap_or_default();
    let lists = names.lists().iter().map(|list| list.listed.iter().map(class_name).collect::<Vec<_>>().join(" "));
    let tables: [(&str, Vec<String>); 3] = [
        (DESCRIPTION, names.descriptions().iter().skip(saved[0]).map(|d| d.text.clone()).collect()),
        (CLASSES, lists.skip(saved[1]).collect()),
        (IDENTITY, names.identities().iter().skip(saved[2]).cloned().collect()),
    ];
    let mut now = saved;
    for ((kind, texts), count) in tables.into_iter().zip(&mut now) {
        for text in texts {
            let row = params![kind, i64::try_from(*count).unwrap_or(i64::MAX), text];
            connection.prepare_cached("INSERT INTO name VALUES (?1, ?2, ?3)")?.execute(row)?;
            *count += 1;
        }
    }
    Ok(now)
}

/// Removes the oldest rows of the log of deletions, as [`Tree::note_deletion`] does in memory after the commit, and
/// records how far back the log reaches.
fn trim_deletions(connection: &Connection, tree: &Tree, changes: &[&TreeChange]) -> Result<(), StorageError> {
    let new = changes.iter().filter(|change| change.after.is_none());
    let excess = (tree.deletions.len() + new.clone().count()).saturating_sub(DELETIONS_MAX);
    if excess == 0 {
        return Ok(());
    }
    let mut floor = tree.floor.clone();
    let all = tree.deletions.iter().map(|(csn, _)| *csn).chain(new.map(|change| change.csn));
    all.take(excess).for_each(|csn| floor.advance(csn));
    save_state(connection, "floor", &floor)?;
    let sql = "DELETE FROM deletion WHERE seq IN (SELECT seq FROM deletion ORDER BY seq LIMIT ?1)";
    connection.prepare_cached(sql)?.execute([i64::try_from(excess).unwrap_or(i64::MAX)])?;
    Ok(())
}
