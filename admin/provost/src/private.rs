//! Restricts Provost's files to its own user: they hold mail, password hashes and the audit.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// The mode bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;
/// Folders this many levels below the data folder are not read: no layout of Provost is that deep.
const DEPTH_MAX: usize = 8;

/// Makes every file and folder that this process creates private to its user. Call it before any other thread
/// starts, so that no file is created with the old umask.
pub(crate) fn make_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Removes the rights of group and others from a data folder and from the files and folders in it. An earlier version
/// or another program may have given these rights. Returns the number of files and folders changed; fails when this
/// process may not change the mode of one of them.
pub(crate) fn tighten(data: &Path) -> io::Result<usize> {
    let mut changed = 0;
    walk(data, &mut |path, mode| {
        changed += 1;
        fs::set_permissions(path, Permissions::from_mode(mode & !GROUP_AND_OTHERS))
    })?;
    Ok(changed)
}

/// The first file or folder in a data folder whose mode gives rights to group or others.
pub(crate) fn open_to_others(data: &Path) -> io::Result<Option<PathBuf>> {
    let mut first = None;
    walk(data, &mut |path, _| {
        first.get_or_insert_with(|| path.to_owned());
        Ok(())
    })?;
    Ok(first)
}

/// Calls `found` with the path and mode of the data folder and of each file and folder in it, when the mode gives
/// rights to group or others. The data folder itself may be a symbolic link. Symbolic links in it are skipped, and so
/// are entries that disappear during the walk.
fn walk(data: &Path, found: &mut impl FnMut(&Path, u32) -> io::Result<()>) -> io::Result<()> {
    existing(fs::metadata(data))?.map_or(Ok(()), |metadata| visit(data, &metadata, DEPTH_MAX, found))
}

fn visit(
    path: &Path,
    metadata: &Metadata,
    depth: usize,
    found: &mut impl FnMut(&Path, u32) -> io::Result<()>,
) -> io::Result<()> {
    let mode = metadata.mode() & 0o7777;
    if mode & GROUP_AND_OTHERS != 0 {
        existing(found(path, mode))?;
    }
    if !metadata.is_dir() || depth == 0 {
        return Ok(());
    }
    for entry in existing(fs::read_dir(path))?.into_iter().flatten() {
        let path = entry?.path();
        if let Some(metadata) = existing(fs::symlink_metadata(&path))?.filter(|metadata| !metadata.is_symlink()) {
            visit(&path, &metadata, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Turns the error that an entry does not exist into `None`.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_group_and_others_are_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("store"), folder.path().join("store/pack"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "mail").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        for (path, mode) in [(folder.path(), 0o700), (&inner, 0o750), (&file, 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(open_to_others(folder.path()).unwrap(), Some(inner.clone()));
        assert_eq!(tighten(folder.path()).unwrap(), 2);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        assert_eq!((open_to_others(folder.path()).unwrap(), tighten(folder.path()).unwrap()), (None, 0));
        assert_eq!(tighten(&folder.path().join("missing")).unwrap(), 0);
    }

    #[test]
    fn a_data_folder_behind_a_symbolic_link_is_made_private() {
        let folder = tempfile::tempdir().unwrap();
        let (data, link) = (folder.path().join("disk"), folder.path().join("data"));
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        assert_eq!(open_to_others(&link).unwrap(), Some(link.clone()));
        assert_eq!(tighten(&link).unwrap(), 1);
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_entry_that_disappears_does_not_end_the_walk() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        for name in ["one", "two"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let mut found = 0;
        walk(folder.path(), &mut |path, _| {
            found += 1;
            fs::remove_dir(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o700))
        })
        .unwrap();
        assert_eq!(found, 2);
    }
}
