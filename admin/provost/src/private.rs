//! Restricts Provost's files to its own user: they hold mail, password hashes and the audit.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// The mode bits of group and others.
const OTHERS: u32 = 0o077;
/// Deepest folder that is visited in the data folder; no layout of Provost is deeper.
const DEPTH_MAX: usize = 8;

/// Makes every file and folder that this process creates private to its user. Call it before threads start: they share
/// the umask.
pub(crate) fn make_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Removes the rights of group and others in a data folder that an earlier version or another program has left open;
/// returns how many files and folders it changed. It is an error if this process may not change one of them.
pub(crate) fn tighten(data: &Path) -> io::Result<usize> {
    let mut changed = 0;
    walk(data, DEPTH_MAX, &mut |path, mode| {
        changed += 1;
        fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
    })?;
    Ok(changed)
}

/// The first file or folder in a data folder that group or others can access.
pub(crate) fn open_to_others(data: &Path) -> io::Result<Option<PathBuf>> {
    let mut first = None;
    walk(data, DEPTH_MAX, &mut |path, _| {
        first.get_or_insert_with(|| path.to_owned());
        Ok(())
    })?;
    Ok(first)
}

/// Calls `found` with each file and folder that is not private, and its mode. Symbolic links, and entries that
/// disappear meanwhile, are skipped.
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
