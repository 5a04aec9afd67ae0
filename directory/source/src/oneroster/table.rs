//! One CSV file of an archive.

use std::collections::HashMap;

use csv::StringRecord;

use super::{Status, day};
use crate::ROWS_MAX;
use crate::csv_record::CsvRecords;
use crate::record::{FileError, RecordError, Severity};
use crate::rule;

/// The rows of a file, with its columns by name.
pub(super) struct Table {
    /// Name of the file.
    pub(super) name: String,
    /// Whether the file names only what has changed.
    pub(super) is_delta: bool,
    /// Names of the columns as in the file.
    pub(super) header: Vec<String>,
    places: HashMap<String, usize>,
    rows: Vec<(u64, StringRecord)>,
    /// Lines with a wrong number of fields.
    pub(super) misshaped: Vec<u64>,
}

impl Table {
    /// Reads a file. One without rows is refused, as the standard does.
    pub(super) fn parse(name: &str, text: &str, is_delta: bool) -> Result<Self, FileError> {
        let in_file = |error: FileError| FileError::Format(format!("{name}: {error}"));
        let mut csv = CsvRecords::new(text, Some(b','));
        let header = csv.next().map_err(in_file)?.ok_or(FileError::Empty).map_err(in_file)?;
        let header: Vec<String> = header.fields.iter().map(|column| column.trim().to_owned()).collect();
        let places = header.iter().enumerate().map(|(place, column)| (column.to_lowercase(), place)).collect();
        let mut table =
            Self { name: name.to_owned(), is_delta, header, places, rows: Vec::new(), misshaped: Vec::new() };
        let (mut last, mut is_last_short) = (0, false);
        while let Some(record) = csv.next().map_err(in_file)? {
            (last, is_last_short) = (record.line, record.fields.len() < table.header.len());
            if record.fields.len() == table.header.len() && record.swallowed.is_empty() {
                table.rows.push((record.line, record.fields));
            } else {
                table.misshaped.push(record.line);
            }
            if table.rows.len() + table.misshaped.len() > ROWS_MAX {
                return Err(in_file(FileError::TooManyRows(ROWS_MAX)));
            }
        }
        if is_last_short && !text.ends_with('\n') {
            return Err(in_file(FileError::Truncated(last)));
        }
        if last == 0 { Err(in_file(FileError::Empty)) } else { Ok(table) }
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the file has a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.places.contains_key(&column.to_lowercase())
    }

    /// Refuses a file without a column that it must have.
    pub(super) fn need(&self, columns: &[&str]) -> Result<(), FileError> {
        let missing: Vec<&str> = columns.iter().copied().filter(|column| !self.has(column)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(FileError::Header { line: 1, rule: format!("{}: missing column {}", self.name, missing.join(", ")) })
    }

    /// A cell without blanks around it; empty when there is none.
    pub(super) fn get(&self, row: usize, column: &str) -> &str {
        let place = self.places.get(column).or_else(|| self.places.get(&column.to_lowercase()));
        place.and_then(|place| self.rows.get(row)?.1.get(*place)).unwrap_or_default().trim()
    }

    /// The line of a row.
    pub(super) fn line(&self, row: usize) -> u64 {
        self.rows.get(row).map_or(0, |(line, _)| *line)
    }

    /// All rows by their sourcedId.
    pub(super) fn by_id(&self) -> HashMap<&str, usize> {
        (0..self.len()).map(|row| (self.get(row, "sourcedId"), row)).filter(|(id, _)| !id.is_empty()).collect()
    }

    /// What a row's status says; `None` when it breaks the rules of the standard.
    pub(super) fn status(&self, row: usize) -> Option<Status> {
        let (status, modified) = (self.get(row, "status").to_lowercase(), self.get(row, "dateLastModified"));
        match (status.as_str(), self.is_delta) {
            ("" | "active", false) => Some(Status::Active),
            ("active", true) => day(modified).map(|_| Status::Active),
            ("tobedeleted", true) => day(modified).map(Status::Ended),
            _ => None,
        }
    }

    /// A problem in a cell of this file.
    pub(super) fn problem(&self, severity: Severity, line: u64, column: &str, rule: rule::Rule) -> RecordError {
        RecordError::of(severity, line, format!("{} {column}", self.name), rule)
    }
}
