//! Uploaded files that wait for their apply, in the shared state: any node can apply them. They may hold passwords.
//!
//! A plan is never stored: it is made again from the file on each request, so that it matches the present directory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use provost_provision::{CsvOptions, Encoding};
use provost_store::{
    ChangeCondition, STATE_VALUE_OCTETS_MAX, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest time that a file waits: it may hold initial passwords, so one day must suffice.
const WAITING_TIME_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Maximum number of files that wait at once: with 64 MiB each, they bound the disk space.
const WAITING_FILES_MAX: usize = 50;
/// Maximum number of pieces of one file: 64 MiB in all.
const PIECES_MAX: usize = 64;

static FILES: StateSpace =
    StateSpace { name: "import", records_max: WAITING_FILES_MAX, octets_max: 4096, when_full: WhenFull::Refuse };
static PIECES: StateSpace = StateSpace {
    name: "import-piece",
    records_max: WAITING_FILES_MAX * PIECES_MAX,
    octets_max: STATE_VALUE_OCTETS_MAX,
    when_full: WhenFull::Refuse,
};

/// The facts about a file besides its octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFacts {
    /// Time of the upload.
    pub(crate) uploaded_at: Timestamp,
    /// `utf-8` or `windows-1252`.
    pub(crate) encoding: String,
    /// `,` or `;` if the caller stated one.
    pub(crate) separator: Option<char>,
    /// Hash of the plan at the time of the upload.
    pub(crate) hash: String,
}

impl FileFacts {
    /// Options for reading the file.
    pub(crate) fn options(&self) -> CsvOptions {
        CsvOptions {
            encoding: if self.encoding == "windows-1252" { Encoding::Windows1252 } else { Encoding::Utf8 },
            separator: self.separator.and_then(|c| u8::try_from(c).ok()),
        }
    }
}

/// A record of [`FILES`].
#[derive(Serialize, Deserialize)]
struct FileRecord {
    #[serde(flatten)]
    waiting: FileFacts,
    pieces: usize,
}

/// Why a file cannot be kept or found.
#[derive(Debug)]
pub(crate) enum UploadedFileError {
    /// The file never existed, was applied, or has expired.
    Gone,
    /// Too many files are waiting.
    Full,
    /// The shared state failed.
    State(StateError),
}

impl From<StateError> for UploadedFileError {
    fn from(error: StateError) -> Self {
        if matches!(error, StateError::Full(_)) { Self::Full } else { Self::State(error) }
    }
}

/// The waiting files of the site. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UploadedFiles {
    state: Arc<dyn StateStore>,
}

impl UploadedFiles {
    pub(crate) fn new(state: Arc<dyn StateStore>) -> Self {
        Self { state }
    }

    /// Stores a file; durable when it returns. The caller ensures that the file has at most 64 MiB.
    pub(crate) async fn keep(&self, id: Uuid, octets: &Bytes, waiting: FileFacts) -> Result<(), UploadedFileError> {
        let now = waiting.uploaded_at;
        let end = Some(now.saturating_add(WAITING_TIME_MAX).unwrap_or(Timestamp::MAX));
        let starts = (0..octets.len()).step_by(STATE_VALUE_OCTETS_MAX);
        let piece = |(number, start): (usize, usize)| {
            let piece = octets.slice(start..octets.len().min(start + STATE_VALUE_OCTETS_MAX));
            StateChange::put(&PIECES, key_of(id, number), ChangeCondition::Absent, piece, end)
        };
        let mut changes: Vec<StateChange> = starts.enumerate().map(piece).collect();
        let stored = FileRecord { waiting, pieces: changes.len() };
        let described = serde_json::to_vec(&stored).map_err(|error| StateError::Damaged(error.to_string()))?;
        changes.push(StateChange::put(&FILES, id.to_string(), ChangeCondition::Absent, described, end));
        Ok(self.state.change(changes, now).await.map(drop)?)
    }

    /// Reads a file that is waiting at `now`; [`UploadedFileError::Gone`] otherwise.
    pub(crate) async fn read(&self, id: Uuid, now: Timestamp) -> Result<(FileFacts, Bytes), UploadedFileError> {
        let FileRecord { waiting, pieces } = self.describe(id, now).await?.ok_or(UploadedFileError::Gone)?;
        let mut octets = BytesMut::new();
        for number in 0..pieces.min(PIECES_MAX) {
            let piece = self.state.record(&PIECES, &key_of(id, number), now).await?;
            octets.extend_from_slice(&piece.ok_or(UploadedFileError::Gone)?.value);
        }
        Ok((waiting, octets.freeze()))
    }

    /// Removes a file; removing an absent file succeeds.
    pub(crate) async fn forget(&self, id: Uuid, now: Timestamp) -> Result<(), UploadedFileError> {
        let Some(FileRecord { pieces, .. }) = self.describe(id, now).await? else { return Ok(()) };
        let piece = |number| StateChange::remove(&PIECES, key_of(id, number), ChangeCondition::Any);
        let mut changes: Vec<StateChange> = (0..pieces.min(PIECES_MAX)).map(piece).collect();
        changes.push(StateChange::remove(&FILES, id.to_string(), ChangeCondition::Any));
        Ok(self.state.change(changes, now).await.map(drop)?)
    }

    async fn describe(&self, id: Uuid, now: Timestamp) -> Result<Option<FileRecord>, StateError> {
        let record = self.state.record(&FILES, &id.to_string(), now).await?;
        record.as_ref().map(read).transpose()
    }
}

fn key_of(id: Uuid, number: usize) -> String {
    format!("{id}/{number:02}")
}

fn read(record: &StateRecord) -> Result<FileRecord, StateError> {
    serde_json::from_slice(&record.value)
        .map_err(|error| StateError::Damaged(format!("import {}: {error}", record.key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_store::MemoryState;

    fn waiting(at: &str) -> FileFacts {
        FileFacts { uploaded_at: at.parse().unwrap(), encoding: "utf-8".into(), separator: Some(';'), hash: "h".into() }
    }

    fn files() -> UploadedFiles {
        UploadedFiles::new(Arc::new(MemoryState::default()))
    }

    #[tokio::test]
    async fn keeps_a_file_of_any_size_for_a_day() {
        let files = files();
        for octets in [0, 1, STATE_VALUE_OCTETS_MAX, 2 * STATE_VALUE_OCTETS_MAX + 7] {
            let id = Uuid::new_v4();
            let file: Bytes = (0..octets).map(|n| (n % 251) as u8).collect();
            files.keep(id, &file, waiting("2026-09-01T08:00:00Z")).await.unwrap();
            let (read, kept) = files.read(id, "2026-09-02T07:59:59Z".parse().unwrap()).await.unwrap();
            assert_eq!((read.options().separator, kept == file), (Some(b';'), true), "{octets}");
            let late = files.read(id, "2026-09-02T08:00:00Z".parse().unwrap()).await;
            assert!(matches!(late, Err(UploadedFileError::Gone)));
        }
    }

    #[tokio::test]
    async fn the_largest_upload_fits_and_is_forgotten_whole() {
        let files = files();
        let (id, now) = (Uuid::new_v4(), "2026-09-01T09:00:00Z".parse().unwrap());
        let file = Bytes::from(vec![b'x'; crate::CSV_OCTETS_MAX]);
        files.keep(id, &file, waiting("2026-09-01T08:00:00Z")).await.unwrap();
        assert_eq!(files.read(id, now).await.unwrap().1.len(), file.len());
        files.forget(id, now).await.unwrap();
        assert!(matches!(files.read(id, now).await, Err(UploadedFileError::Gone)));
        assert!(files.state.records(&PIECES, None, 10, now).await.unwrap().is_empty());
        files.forget(id, now).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_old_makes_room_and_the_bound_holds() {
        let files = files();
        let keep = async |at| files.keep(Uuid::new_v4(), &Bytes::from_static(b"x"), waiting(at)).await;
        keep("2026-09-01T08:00:00Z").await.unwrap();
        for _ in 0..WAITING_FILES_MAX {
            keep("2026-09-03T08:00:00Z").await.unwrap();
        }
        assert!(matches!(keep("2026-09-03T09:00:00Z").await, Err(UploadedFileError::Full)));
    }
}
