//! Uploaded files that wait for their apply, on disk: `<id>.csv`, which may hold passwords, and `<id>.json`.
//!
//! A plan itself is never stored: it is made again from the file whenever it is asked for, so that it is always of now.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use provost_provision::{CsvOptions, Encoding};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a file waits; it may hold initial passwords, so not longer than a working day's turn.
const WAITING_TIME_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Files that may wait at once: with 64 MiB each they bound the disk.
const WAITING_FILES_MAX: usize = 50;

/// What is known of a file besides its octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// When it came.
    pub(crate) uploaded_at: Timestamp,
    /// `utf-8` or `windows-1252`.
    pub(crate) encoding: String,
    /// `,` or `;` when stated.
    pub(crate) separator: Option<char>,
    /// Hash of the plan as first shown.
    pub(crate) hash: String,
}

impl Waiting {
    /// How to read the file.
    pub(crate) fn options(&self) -> CsvOptions {
        CsvOptions {
            encoding: if self.encoding == "windows-1252" { Encoding::Windows1252 } else { Encoding::Utf8 },
            separator: self.separator.and_then(|c| u8::try_from(c).ok()),
        }
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.uploaded_at) > WAITING_TIME_MAX
    }
}

/// Why a file cannot be kept or found.
#[derive(Debug)]
pub(crate) enum PlansError {
    /// Never there, applied, or expired.
    Gone,
    /// Too many wait already.
    Full,
    /// The disk.
    Io(io::Error),
}

impl From<io::Error> for PlansError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Gone } else { Self::Io(error) }
    }
}

/// The folder. Cheap to clone. All methods block; call them off the async threads.
#[derive(Clone, Debug)]
pub(crate) struct Plans {
    folder: Arc<Path>,
}

impl Plans {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps a file; durable when it returns.
    pub(crate) fn keep(&self, id: Uuid, octets: &[u8], waiting: &Waiting) -> Result<(), PlansError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        if self.sweep(waiting.uploaded_at)? >= WAITING_FILES_MAX {
            return Err(PlansError::Full);
        }
        write_private(&self.csv(id), octets)?;
        // The description comes last: a file without one is not there, and is swept.
        let described = serde_json::to_vec(waiting).map_err(io::Error::other)?;
        write_private(&self.json(id), &described)?;
        std::fs::File::open(&self.folder)?.sync_all()?;
        Ok(())
    }

    /// Reads a file that is still waiting at `now`.
    pub(crate) fn read(&self, id: Uuid, now: Timestamp) -> Result<(Waiting, Vec<u8>), PlansError> {
        let waiting = self.describe(id)?;
        if waiting.is_expired(now) {
            self.forget(id)?;
            return Err(PlansError::Gone);
        }
        Ok((waiting, std::fs::read(self.csv(id))?))
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) fn forget(&self, id: Uuid) -> Result<(), PlansError> {
        for file in [self.csv(id), self.json(id)] {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(PlansError::Io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what is expired or damaged, and says how many are left.
    fn sweep(&self, now: Timestamp) -> Result<usize, PlansError> {
        let mut left = 0;
        for item in std::fs::read_dir(&self.folder)? {
            let path = item?.path();
            let Some(id) = path.file_stem().and_then(|stem| Uuid::try_parse(stem.to_str()?).ok()) else { continue };
            match self.describe(id) {
                Ok(waiting) if !waiting.is_expired(now) => left += usize::from(path == self.csv(id)),
                _ => self.forget(id)?,
            }
        }
        Ok(left)
    }

    fn describe(&self, id: Uuid) -> Result<Waiting, PlansError> {
        let text = std::fs::read(self.json(id))?;
        serde_json::from_slice(&text).map_err(|_| PlansError::Gone)
    }

    fn csv(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.csv"))
    }

    fn json(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// A new file that nobody else may read.
fn write_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn waiting(at: &str) -> Waiting {
        Waiting { uploaded_at: at.parse().unwrap(), encoding: "utf-8".into(), separator: Some(';'), hash: "h".into() }
    }

    #[test]
    fn keeps_privately_and_expires_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::new(folder.path().join("plans"));
        let id = Uuid::new_v4();
        plans.keep(id, b"a;b\n", &waiting("2026-09-01T08:00:00Z")).unwrap();
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(plans.csv(id)), 0o600);
        assert_eq!(mode(folder.path().join("plans")), 0o700);
        let (read, octets) = plans.read(id, "2026-09-02T07:59:59Z".parse().unwrap()).unwrap();
        assert_eq!((read.options().separator, octets.as_slice()), (Some(b';'), b"a;b\n".as_slice()));
        assert!(matches!(plans.read(id, "2026-09-02T08:00:01Z".parse().unwrap()), Err(PlansError::Gone)));
        assert!(!plans.csv(id).exists(), "an expired file is deleted when it is asked for");
    }

    #[test]
    fn an_upload_sweeps_what_is_old_and_stops_at_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::new(folder.path().into());
        let old = Uuid::new_v4();
        plans.keep(old, b"x", &waiting("2026-09-01T08:00:00Z")).unwrap();
        for _ in 0..WAITING_FILES_MAX {
            plans.keep(Uuid::new_v4(), b"x", &waiting("2026-09-03T08:00:00Z")).unwrap();
        }
        assert!(!plans.csv(old).exists());
        assert!(matches!(plans.keep(Uuid::new_v4(), b"x", &waiting("2026-09-03T09:00:00Z")), Err(PlansError::Full)));
    }

    #[test]
    fn a_damaged_description_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let plans = Plans::new(folder.path().into());
        let id = Uuid::new_v4();
        plans.keep(id, b"x", &waiting("2026-09-01T08:00:00Z")).unwrap();
        std::fs::write(plans.json(id), "{").unwrap();
        assert!(matches!(plans.read(id, "2026-09-01T08:00:00Z".parse().unwrap()), Err(PlansError::Gone)));
        assert!(matches!(plans.read(Uuid::new_v4(), Timestamp::UNIX_EPOCH), Err(PlansError::Gone)));
    }
}
