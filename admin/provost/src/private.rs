//! What Provost keeps is its user's alone: mail, password hashes, the audit.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// What group and others may do with a file.
const OTHERS: u32 = 0o077;
/// Folders within the data folder: more than any layout of ours has.
const DEPTH_MAX: usize = 8;

/// From here on every file and folder that this process makes is its user's alone. To be called before it has threads.
pub(crate) fn make_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Takes group and others out of a data folder that an earlier version or another program made; gives how many files and folders
/// they could reach. One that is not ours to change is an error.
pub(crate) fn tighten(data: &Path) -> io::Result<usize> {
    let mut changed = 0;
    walk(data, DEPTH_MAX, &mut |path, mode| {
        changed += 1;
        fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
    })?;
    Ok(changed)
}

/// The first file or folder in a data folder that group or others may reach.
pub(crate) fn open_to_others(data: &Path) -> io::Result<Option<PathBuf>> {
    let mut first = None;
    walk(data, DEPTH_MAX, &mut |path, _| {
        first.get_or_insert_with(|| path.to_owned());
        Ok(())
    })?;
    Ok(first)
}

/// Calls `found` with each file and folder that is not private, and its mode. What goes away meanwhile is passed over.
fn walk(path: &Path, depth: usize, found: &mut impl FnMut(&Path, u32) -> io::Result<()>) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        found(path, mode)?;
    }
    if !metadata.is_dir() || depth == 0 {
        return Ok(());
    }
    fs::read_dir(path)?.try_for_each(|entry| walk(&entry?.path(), depth - 1, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_reach_is_found_and_taken_back() {
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
}
