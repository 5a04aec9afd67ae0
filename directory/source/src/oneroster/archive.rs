//! A ZIP archive, read within bounds.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::decode::decode;
use crate::profile::Encoding;
use crate::record::FileError;

/// Maximum number of files of an archive: OneRoster 1.2 defines about 25.
const ENTRIES_MAX: usize = 200;
/// Largest file of an archive, unpacked, octets.
const ENTRY_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Largest archive, unpacked, octets.
const TOTAL_OCTETS_MAX: u64 = 512 * 1024 * 1024;
/// From this size, a file that is more than [`RATIO_MAX`] times larger than its packed form is a bomb: text of people
/// is about ten times larger.
const RATIO_OCTETS_MIN: u64 = 4 * 1024 * 1024;
const RATIO_MAX: u64 = 200;
/// Begins each entry of the central directory (APPNOTE §4.3.12).
const CENTRAL_HEADER: &[u8] = b"PK\x01\x02";

/// An archive whose files are unpacked one at a time.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Names of the files with their places.
    files: Vec<(String, usize)>,
    /// Octets that may still be unpacked.
    left: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, FileError> {
        let refuse = |rule: &str| Err(FileError::Format(rule.to_owned()));
        // Counted before the library reads them, because it holds all entries in memory.
        if memchr::memmem::find_iter(bytes, CENTRAL_HEADER).count() > ENTRIES_MAX {
            return refuse("the archive has more than 200 files");
        }
        let mut zip = match ZipArchive::new(Cursor::new(bytes)) {
            Ok(zip) => zip,
            Err(error) => return Err(FileError::Format(format!("not a ZIP archive, or a truncated one: {error}"))),
        };
        let mut files: Vec<(String, usize)> = Vec::new();
        for place in 0..zip.len() {
            let file = zip.by_index_raw(place).map_err(damaged)?;
            let Ok(name) = file.name().map(|name| name.into_owned()) else {
                return refuse("the archive has a file whose name is not text");
            };
            if file.is_dir() || name.starts_with("__MACOSX/") || name == ".DS_Store" {
                continue;
            }
            if name.contains(['/', '\\']) {
                return refuse("the archive has folders: its files must stand at its top");
            }
            if files.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                return refuse("the archive has two files of one name");
            }
            files.push((name, place));
        }
        Ok(Self { zip, files, left: TOTAL_OCTETS_MAX })
    }

    /// Unpacks a file as text; `None` when the archive has no file of this name.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, FileError> {
        let Some(place) = self.files.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, at)| *at)
        else {
            return Ok(None);
        };
        let bytes = self.unpack(name, place)?;
        let text = decode(&bytes, Encoding::Utf8).map_err(|error| FileError::Format(format!("{name}: {error}")))?;
        Ok(Some(text.into_owned()))
    }

    fn unpack(&mut self, name: &str, place: usize) -> Result<Vec<u8>, FileError> {
        let file = self.zip.by_index(place).map_err(damaged)?;
        let packed = file.compressed_size().max(1);
        let most = ENTRY_OCTETS_MAX.min(self.left).min((packed.saturating_mul(RATIO_MAX)).max(RATIO_OCTETS_MIN));
        let mut bytes = Vec::new();
        // The size that the archive states may be wrong, so the octets are counted while they come.
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| FileError::Format(format!("{name}: {error}")))?;
        if bytes.len() as u64 > most {
            return Err(FileError::Format(format!(
                "{name}: far larger than its packed form: this looks like a ZIP bomb"
            )));
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }
}

fn damaged(error: zip::result::ZipError) -> FileError {
    FileError::Format(format!("the archive is damaged: {error}"))
}
