//! Upgrades a store of an older format when it is opened.
//!
//! `FOLDER/format` holds the format, and each shard's `user_version` the version of its tables. The order makes a crash
//! at any point harmless:
//!
//! 1. The backup `FOLDER/backup-vN-TIME`, where N is the old format, is written under another name, synced, and renamed
//!    when complete. If the backup exists, an earlier start made it before changing anything, and it is not made again.
//! 2. Each shard is upgraded from one version to the next in one transaction. An upgraded shard is skipped. Then the
//!    queue moves into the shards.
//! 3. `FOLDER/format` gets the new format only after everything else; until then, the next start repeats all of this.
//!
//! To restore the backup by hand, stop the node, move `format` and `shard-*` away, and move the backup's contents
//! into their place. Where the file system allows it, packs in the backup are hard links: they take no space of their
//! own until the store removes the pack. Remove the backup when it is no longer needed.

mod queue_v1;
mod v2;
mod v3;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rusqlite::Connection;

use super::database;
use super::fault::{storage, unavailable};
use super::folder::sync_folder;
use super::schema;
use crate::StoreError;

pub(super) use queue_v1::move_into as move_queue;

/// Page cache while tables are rewritten, KiB.
const CACHE_KIB: i64 = 64 * 1024;

/// Backs up a store of an older format, and upgrades the tables of its shards. The caller then calls [`move_queue`] and
/// writes the new format file.
pub(super) fn upgrade(store: &Path, shards: &[PathBuf], format: u8) -> Result<(), StoreError> {
    let start = Instant::now();
    tracing::info!(store = %store.display(), format, "upgrading a store of an older format");
    back_up(store, shards, format)?;
    let starts = count_starts(&store.join("queue"))?;
    for shard in shards {
        upgrade_shard(shard, starts)?;
    }
    tracing::info!(seconds = start.elapsed().as_secs_f32(), "upgraded the store");
    Ok(())
}

fn back_up(store: &Path, shards: &[PathBuf], format: u8) -> Result<(), StoreError> {
    let name = format!("backup-v{format}");
    if has_backup(store, &name).map_err(unavailable)? {
        return Ok(());
    }
    let draft = store.join(format!("{name}.new"));
    match std::fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unavailable(error)),
        _ => (),
    }
    std::fs::create_dir(&draft).map_err(unavailable)?;
    let queue = store.join("queue");
    for folder in shards.iter().chain([&queue]).filter(|folder| folder.exists()) {
        // After the checkpoint, one file holds the whole database.
        checkpoint(folder)?;
        let target = draft.join(folder.file_name().unwrap_or_default());
        copy_folder(folder, &target).map_err(unavailable)?;
    }
    let finish = || {
        std::fs::copy(store.join("format"), draft.join("format"))?;
        File::open(draft.join("format"))?.sync_all()?;
        sync_folder(&draft)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        std::fs::rename(&draft, store.join(format!("{name}-{now}")))?;
        sync_folder(store)
    };
    finish().map_err(unavailable)
}

/// Whether the store has a complete backup. A folder without `format` does not count: its contents were moved back into
/// the store.
fn has_backup(store: &Path, name: &str) -> io::Result<bool> {
    for entry in std::fs::read_dir(store)? {
        let entry = entry?;
        let is_named = entry.file_name().to_string_lossy().strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        if is_named && entry.path().join("format").exists() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies the write-ahead log of a folder's database into the database.
fn checkpoint(folder: &Path) -> Result<(), StoreError> {
    let path = database::path(folder);
    if !path.exists() {
        return Ok(());
    }
    let connection = schema::connect(&path, schema::CHECKPOINT_CACHE_KIB)?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(storage)?;
    match busy {
        0 => Ok(()),
        _ => Err(unavailable(format!("{} is in use", path.display()))),
    }
}

/// Copies databases and links packs; all copies are durable on return.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("pack-") && std::fs::hard_link(&source, &target).is_ok() {
            continue;
        }
        // After the checkpoint the log is empty, and SQLite recreates both files.
        if name.ends_with("-shm") || name.ends_with("-wal") {
            continue;
        }
        std::fs::copy(&source, &target)?;
        File::open(&target)?.sync_all()?;
    }
    sync_folder(to)
}

/// A store of format 1 counted its starts in the column `epoch` of the queue's database. Returns this count; zero
/// without that database.
fn count_starts(queue: &Path) -> Result<i64, StoreError> {
    let path = database::path(queue);
    if !path.exists() {
        return Ok(0);
    }
    let connection = schema::connect_to_read(&path)?;
    let counted =
        connection.prepare("SELECT epoch FROM start").and_then(|mut found| found.query_row([], |row| row.get(0)));
    counted.map_err(storage)
}

fn upgrade_shard(folder: &Path, starts: i64) -> Result<(), StoreError> {
    let path = database::path(folder);
    if !path.exists() {
        return Ok(());
    }
    let mut connection = schema::connect(&path, CACHE_KIB)?;
    if schema::version(&connection)? == v2::FROM {
        let start = Instant::now();
        v2::upgrade(&mut connection, &super::pack::numbers(folder).map_err(unavailable)?, starts)?;
        tracing::info!(shard = %folder.display(), seconds = start.elapsed().as_secs_f32(), "upgraded the shard");
    }
    if schema::version(&connection)? == v3::FROM {
        v3::upgrade(&connection)?;
    }
    // Return the pages of the old tables to the disk. Do so for a shard that is upgraded already, too: a crash may have
    // prevented this after the upgrade.
    give_pages_back(&connection)?;
    checkpoint(folder)
}

/// Rewrites the database in the mode `auto_vacuum = INCREMENTAL`, in which free pages can be returned. Does nothing if
/// the database has this mode. A crash leaves the old database or the new one.
fn give_pages_back(connection: &Connection) -> Result<(), StoreError> {
    let mode: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).map_err(storage)?;
    match mode {
        2 => Ok(()),
        _ => connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;").map_err(storage),
    }
}
