//! Uploaded import files that wait to be applied. They are in the shared state, so that any node can apply them, and
//! may contain initial passwords.
//!
//! A plan is never stored: it is made again from the file on each request, so that it matches the present directory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use provost_provision::{Coverage, Encoding, ImportOptions, ReadOptions};
use provost_store::{
    ChangeCondition, STATE_VALUE_OCTETS_MAX, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::CSV_OCTETS_MAX;

/// Longest time that a file waits: short, because the file may hold initial passwords.
const WAITING_TIME_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Maximum number of files that wait at once. At 64 MiB each, all of them take 3.1 GiB.
const WAITING_FILES_MAX: usize = 50;
/// Maximum number of pieces of one file: those of the largest upload.
const PIECES_MAX: usize = CSV_OCTETS_MAX.div_ceil(STATE_VALUE_OCTETS_MAX);
/// Largest record of an upload, in octets: its few short values take about 200.
const RECORD_OCTETS_MAX: usize = 4096;

static FILES: StateSpace = StateSpace {
    name: "import",
    records_max: WAITING_FILES_MAX,
    octets_max: RECORD_OCTETS_MAX,
    when_full: WhenFull::Refuse,
};
static PIECES: StateSpace = StateSpace {
    name: "import-piece",
    records_max: WAITING_FILES_MAX * PIECES_MAX,
    octets_max: STATE_VALUE_OCTETS_MAX,
    when_full: WhenFull::Refuse,
};

/// What is stored about a file besides its octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Time of the upload.
    pub(crate) uploaded_at: Timestamp,
    /// Name of the source; `None` for the site's registrar.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// The encoding of the text if the caller gave one; otherwise the profile of the source decides.
    #[serde(default)]
    pub(crate) encoding: Option<UploadEncoding>,
    /// Comma, semicolon or tab if the caller gave one; otherwise the header decides.
    pub(crate) separator: Option<char>,
    /// Whether the file names only some people, if the caller said so; otherwise the profile decides.
    #[serde(default)]
    pub(crate) is_partial: Option<bool>,
    /// When the source made the file, if the caller said so.
    #[serde(default)]
    pub(crate) extracted: Option<Timestamp>,
    /// Whether the file is read although a newer one of its source was imported.
    #[serde(default)]
    pub(crate) force: bool,
    /// Hash of the plan at the time of the upload.
    pub(crate) hash: String,
}

impl Upload {
    /// Options for reading the file.
    pub(crate) fn options(&self) -> ImportOptions {
        let encoding = self.encoding.map(|encoding| match encoding {
            UploadEncoding::Utf8 => Encoding::Utf8,
            UploadEncoding::Windows1252 => Encoding::Windows1252,
            UploadEncoding::Latin1 => Encoding::Latin1,
            UploadEncoding::Utf16 => Encoding::Utf16,
        });
        let separator = self.separator.and_then(|c| u8::try_from(c).ok());
        let coverage = self.is_partial.map(|is_partial| match is_partial {
            true => Coverage::Partial,
            false => Coverage::Complete,
        });
        ImportOptions {
            source: self.source.clone(),
            read: ReadOptions { encoding, separator, coverage, ..ReadOptions::default() },
            extracted: self.extracted,
            force: self.force,
        }
    }
}

/// An [`Encoding`] as the record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UploadEncoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "windows-1252")]
    Windows1252,
    #[serde(rename = "latin-1")]
    Latin1,
    #[serde(rename = "utf-16")]
    Utf16,
}

/// A record of [`FILES`].
#[derive(Serialize, Deserialize)]
struct FileRecord {
    #[serde(flatten)]
    upload: Upload,
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
    pub(crate) async fn keep(&self, id: Uuid, octets: &Bytes, upload: Upload) -> Result<(), UploadedFileError> {
        let now = upload.uploaded_at;
        let end = Some(now.saturating_add(WAITING_TIME_MAX).unwrap_or(Timestamp::MAX));
        let starts = (0..octets.len()).step_by(STATE_VALUE_OCTETS_MAX);
        let piece = |(number, start): (usize, usize)| {
            let piece = octets.slice(start..octets.len().min(start + STATE_VALUE_OCTETS_MAX));
            StateChange::put(&PIECES, key_of(id, number), ChangeCondition::Absent, piece, end)
        };
        let mut changes: Vec<StateChange> = starts.enumerate().map(piece).collect();
        let record = FileRecord { upload, pieces: changes.len() };
        let record = serde_json::to_vec(&record).map_err(|error| StateError::Damaged(error.to_string()))?;
        changes.push(StateChange::put(&FILES, id.to_string(), ChangeCondition::Absent, record, end));
        self.state.change(changes, now).await?;
        Ok(())
    }

    /// Reads a file that has not expired at `now`; [`UploadedFileError::Gone`] otherwise.
    pub(crate) async fn read(&self, id: Uuid, now: Timestamp) -> Result<(Upload, Bytes), UploadedFileError> {
        let FileRecord { upload, pieces } = self.record_of(id, now).await?.ok_or(UploadedFileError::Gone)?;
        let mut octets = BytesMut::new();
        for number in 0..pieces {
            let piece = self.state.record(&PIECES, &key_of(id, number), now).await?;
            octets.extend_from_slice(&piece.ok_or(UploadedFileError::Gone)?.value);
        }
        Ok((upload, octets.freeze()))
    }

    /// Removes a file with all its pieces; removing an absent file succeeds.
    pub(crate) async fn remove(&self, id: Uuid, now: Timestamp) -> Result<(), UploadedFileError> {
        let Some(FileRecord { pieces, .. }) = self.record_of(id, now).await? else { return Ok(()) };
        let piece = |number| StateChange::remove(&PIECES, key_of(id, number), ChangeCondition::Any);
        let mut changes: Vec<StateChange> = (0..pieces).map(piece).collect();
        changes.push(StateChange::remove(&FILES, id.to_string(), ChangeCondition::Any));
        self.state.change(changes, now).await?;
        Ok(())
    }

    async fn record_of(&self, id: Uuid, now: Timestamp) -> Result<Option<FileRecord>, StateError> {
        let record = self.state.record(&FILES, &id.to_string(), now).await?;
        record.as_ref().map(read).transpose()
    }
}

fn key_of(id: Uuid, number: usize) -> String {
    format!("{id}/{number:02}")
}

fn read(record: &StateRecord) -> Result<FileRecord, StateError> {
    let damaged = |why: &str| StateError::Damaged(format!("import {}: {why}", record.key));
    let read: FileRecord = serde_json::from_slice(&record.value).map_err(|error| damaged(&error.to_string()))?;
    if read.pieces > PIECES_MAX { Err(damaged("too many pieces")) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_store::MemoryState;

    fn upload(at: &str) -> Upload {
        Upload {
            uploaded_at: at.parse().unwrap(),
            source: None,
            encoding: None,
            separator: Some(';'),
            is_partial: None,
            extracted: None,
            force: false,
            hash: "h".into(),
        }
    }

    fn files() -> UploadedFiles {
        UploadedFiles::new(Arc::new(MemoryState::default()))
    }

    #[tokio::test]
    async fn a_file_of_any_size_is_kept_for_a_day() {
        let files = files();
        for octets in [0, 1, STATE_VALUE_OCTETS_MAX, 2 * STATE_VALUE_OCTETS_MAX + 7] {
            let id = Uuid::new_v4();
            let file: Bytes = (0..octets).map(|n| (n % 251) as u8).collect();
            files.keep(id, &file, upload("2026-09-01T08:00:00Z")).await.unwrap();
            let (read, octets_read) = files.read(id, "2026-09-02T07:59:59Z".parse().unwrap()).await.unwrap();
            assert_eq!((read.options().read.separator, octets_read == file), (Some(b';'), true), "{octets}");
            let late = files.read(id, "2026-09-02T08:00:00Z".parse().unwrap()).await;
            assert!(matches!(late, Err(UploadedFileError::Gone)));
        }
    }

    #[tokio::test]
    async fn the_largest_upload_fits_and_is_removed_whole() {
        let files = files();
        let (id, now) = (Uuid::new_v4(), "2026-09-01T09:00:00Z".parse().unwrap());
        let file = Bytes::from(vec![b'x'; crate::CSV_OCTETS_MAX]);
        files.keep(id, &file, upload("2026-09-01T08:00:00Z")).await.unwrap();
        assert_eq!(files.read(id, now).await.unwrap().1.len(), file.len());
        files.remove(id, now).await.unwrap();
        assert!(matches!(files.read(id, now).await, Err(UploadedFileError::Gone)));
        assert!(files.state.records(&PIECES, None, 10, now).await.unwrap().is_empty());
        files.remove(id, now).await.unwrap();
    }

    #[tokio::test]
    async fn expired_files_make_room_and_too_many_are_refused() {
        let files = files();
        let keep = async |at| files.keep(Uuid::new_v4(), &Bytes::from_static(b"x"), upload(at)).await;
        keep("2026-09-01T08:00:00Z").await.unwrap();
        for _ in 0..WAITING_FILES_MAX {
            keep("2026-09-03T08:00:00Z").await.unwrap();
        }
        assert!(matches!(keep("2026-09-03T09:00:00Z").await, Err(UploadedFileError::Full)));
    }
}
