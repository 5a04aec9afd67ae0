//! The store's folder: its lock, its format file, and directory entries that survive a power cut.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;

use super::fault::{damaged, unavailable, written_by_newer};
use crate::StoreError;

/// Creates a folder and its missing parents, all durable on return.
pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    let Some(parent) = folder.parent() else { return Ok(()) };
    // The parent of a relative path's first folder is the working folder.
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if !parent.exists() {
        make_folder(parent)?;
    }
    std::fs::create_dir_all(folder)?;
    sync_folder(parent)
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Locks the folder until the returned file is closed: two writers would assign the same UIDs. Unavailable when another
/// process has the lock.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"));
    let file = file.map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unavailable(format!("{} is in use by another process", folder.display()))),
        Err(TryLockError::Error(error)) => Err(unavailable(format!("{}: {error}", folder.join("lock").display()))),
    }
}

/// The format that this version writes.
pub(super) const FORMAT: u8 = 3;

/// The content of `FOLDER/format`.
pub(super) struct Format {
    pub(super) version: u8,
    pub(super) shards: u8,
}

impl Format {
    /// Reads the format file. A new store gets one with `wanted` shards; an existing store keeps its number of shards.
    /// Unavailable when a newer Provost wrote the store, or when the file cannot be read or written; damaged when the
    /// content of the file is invalid, or when the file is missing although shards exist.
    pub(super) fn read_or_make(folder: &Path, wanted: u8) -> Result<Self, StoreError> {
        let path = folder.join("format");
        let unknown = || damaged(format!("{} names a format that this program does not know", path.display()));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let format = Self::parse(&text).ok_or_else(unknown)?;
                if format.version > FORMAT {
                    let what = format!("{}: the store and its tables", folder.display());
                    return Err(written_by_newer(&what, format.version.into(), FORMAT.into()));
                }
                if format.version > 0 && format.shards > 0 { Ok(format) } else { Err(unknown()) }
            }
            // A new format file could state another number of shards, and accounts would be looked up in wrong shards.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.join("shard-00").exists() => {
                Err(damaged(format!("{} is missing, but shards exist: restore it from a backup", path.display())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let format = Self { version: FORMAT, shards: wanted };
                format.write(folder).map_err(unavailable)?;
                Ok(format)
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(unknown()),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, shards) = text.strip_prefix("provost local store ")?.split_once(", shards ")?;
        Some(Self { version: version.parse().ok()?, shards: shards.trim_end().parse().ok()? })
    }

    /// Writes the file under another name first: after a power cut, the file has the new content or is as before.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let draft = folder.join("format.new");
        let mut file = File::create(&draft)?;
        writeln!(file, "provost local store {}, shards {}", self.version, self.shards)?;
        file.sync_all()?;
        std::fs::rename(&draft, folder.join("format"))?;
        sync_folder(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_has_lost_its_format_file_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Format::read_or_make(folder.path(), 3).unwrap().shards, 3);
        make_folder(&folder.path().join("shard-00")).unwrap();
        assert_eq!(Format::read_or_make(folder.path(), 5).unwrap().shards, 3);
        std::fs::remove_file(folder.path().join("format")).unwrap();
        assert!(matches!(Format::read_or_make(folder.path(), 5), Err(StoreError::Damaged(_))));
        assert!(!folder.path().join("format").exists(), "a format file was made");
    }

    #[test]
    fn a_format_file_with_other_content_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b"\xff\xfe"[..], b"", b"provost local store 0, shards 4\n"] {
            std::fs::write(folder.path().join("format"), content).unwrap();
            assert!(matches!(Format::read_or_make(folder.path(), 4), Err(StoreError::Damaged(_))), "{content:?}");
        }
    }

    #[test]
    fn missing_parents_are_created() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        assert!(deep.is_dir());
    }
}
