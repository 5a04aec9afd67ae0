//! The files of the trace: `YYYYMMDD-NNNN.jsonl`, one event per line. Only the newest is written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

const SUFFIX: &str = ".jsonl";

/// One file of the trace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TraceFile {
    /// The day of writing, UTC.
    pub(crate) day: Date,
    /// Its position among the files of the day, from 0.
    pub(crate) number: u32,
}

impl TraceFile {
    /// Parses a name as [`TraceFile::name`] writes it; `None` for any other.
    fn parse(name: &str) -> Option<Self> {
        let (day, number) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let parsed = Self { day: Date::strptime("%Y%m%d", day).ok()?, number: number.parse().ok()? };
        (parsed.name() == name).then_some(parsed)
    }

    fn name(&self) -> String {
        format!("{}-{:04}{SUFFIX}", self.day.strftime("%Y%m%d"), self.number)
    }

    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }

    /// Returns all files of a folder, oldest first; none when the folder does not exist.
    pub(crate) fn all(folder: &Path) -> io::Result<Vec<Self>> {
        let listed = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut found = Vec::new();
        for item in listed {
            found.extend(item?.file_name().to_str().and_then(Self::parse));
        }
        found.sort();
        Ok(found)
    }

    /// Begins the next file of a day. No older file is appended to, because a crash may have torn its last line.
    pub(crate) fn begin(folder: &Path, day: Date) -> io::Result<(Self, File)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let last = Self::all(folder)?.into_iter().rfind(|trace_file| trace_file.day == day);
        let trace_file = Self { day, number: last.map_or(0, |last| last.number.saturating_add(1)) };
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(trace_file.path(folder))?;
        Ok((trace_file, file))
    }

    /// Removes files from before `oldest`, then the oldest ones while all together exceed `octets_max`. The newest
    /// stays. Returns the first error, after it has tried all.
    pub(crate) fn remove_old(folder: &Path, oldest: Date, octets_max: u64) -> io::Result<()> {
        let (mut octets, mut outcome) = (0u64, Ok(()));
        for (age, trace_file) in Self::all(folder)?.iter().rev().enumerate() {
            let path = trace_file.path(folder);
            octets = octets.saturating_add(fs::metadata(&path).map_or(0, |metadata| metadata.len()));
            if age > 0 && (trace_file.day < oldest || octets > octets_max) {
                outcome = outcome.and(fs::remove_file(path));
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn files_are_begun_anew_and_removed_by_age_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let folder = &folder.path().join("trace");
        assert!(TraceFile::all(folder).unwrap().is_empty());
        let days: Vec<Date> =
            ["2026-08-30", "2026-09-01", "2026-09-01", "2026-09-02"].map(|d| d.parse().unwrap()).into();
        for day in &days {
            let (_, mut file) = TraceFile::begin(folder, *day).unwrap();
            file.write_all(&[b'x'; 100]).unwrap();
        }
        for foreign in ["notes.txt", "20260829-1.jsonl"] {
            std::fs::write(folder.join(foreign), "not ours").unwrap();
        }
        let names = || TraceFile::all(folder).unwrap().iter().map(|s| s.path(folder)).collect::<Vec<_>>();
        assert_eq!(names()[2], folder.join("20260901-0001.jsonl"));
        TraceFile::remove_old(folder, days[1], 1000).unwrap();
        assert_eq!(names().len(), 3);
        TraceFile::remove_old(folder, days[1], 250).unwrap();
        assert_eq!(names(), [folder.join("20260901-0001.jsonl"), folder.join("20260902-0000.jsonl")]);
        TraceFile::remove_old(folder, "2027-01-01".parse().unwrap(), 0).unwrap();
        assert_eq!(names().len(), 1, "the newest file is removed");
        assert!(folder.join("notes.txt").exists() && folder.join("20260829-1.jsonl").exists());
    }
}
