//! Reads a CSV file.

use crate::column::Column;
use crate::csv_record::{CsvRecord, CsvRecords};
use crate::decode::decode;
use crate::header::ColumnMap;
use crate::profile::{Encoding, SourceProfile};
use crate::record::{Enrolments, FileError, RecordError};
use crate::row::{Cell, RawRow};
use crate::{CollectedRows, ReadFile, ReadOptions, rule};

/// Rows that are shown as they would be read in another encoding.
const SAMPLES_MAX: usize = 5;

/// Reads a whole CSV file.
pub(crate) fn read(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<ReadFile, FileError> {
    let text = decode(bytes, profile.encoding).map_err(|error| with_samples(error, profile, bytes))?;
    let mut csv = CsvRecords::new(&text, profile.separator);
    let mut rows = CollectedRows::default();
    let header = csv.next()?.ok_or(FileError::Empty)?;
    let header = ColumnMap::parse(&header, profile, &mut rows.warnings)?;
    // Line of the record that was read last, if that record may have been cut short.
    let mut cut = None;
    let mut trailer = Trailer::default();
    while let Some(record) = csv.next()? {
        if trailer.is_at_end(profile, &record)? {
            continue;
        }
        rows.count()?;
        let is_cut = read_record(profile, &header, &record, &mut rows)?;
        cut = is_cut.then_some(record.line);
    }
    if let Some(line) = cut.filter(|_| trailer.line.is_none() && !text.ends_with('\n')) {
        return Err(FileError::Truncated(line));
    }
    if !header.is_of_rejects {
        trailer.check(profile, options, rows.read)?;
    }
    Ok(ReadFile {
        rows,
        columns: header.columns(),
        is_partial: header.is_of_rejects,
        enrolments: Enrolments::default(),
    })
}

/// Reads one record. Returns whether it lacks fields or has a wrong last field, as the last record of a truncated file
/// does. Text after a closing quotation mark is no sign of a cut.
fn read_record(
    profile: &SourceProfile,
    header: &ColumnMap,
    record: &CsvRecord,
    rows: &mut CollectedRows,
) -> Result<bool, FileError> {
    let rejected_before = rows.rejected.len();
    let is_cut = if let Some(problem) = wrong_count(header, record) {
        rows.reject(problem, None)?;
        record.fields.len() < header.len()
    } else {
        let mut row = RawRow::new(record.line);
        row.last_line = record.last_line;
        row.has_swallowed = !record.swallowed.is_empty();
        row.misquoted = record.misquoted_field.map(|field| header.at(field).unwrap_or(Column::PersonId));
        header.fields(record).for_each(|(column, field)| row.set(column, Cell::Text(field)));
        let wrong = rows.take(profile, &[row])?;
        let is_last_misquoted = record.misquoted_field == Some(header.len() - 1);
        header.last().is_some_and(|last| wrong.iter().any(|column| column == last.name())) && !is_last_misquoted
    };
    if rows.rejected.len() > rejected_before {
        for line in &record.swallowed {
            rows.count()?;
            rows.reject(swallowed(record, *line), None)?;
        }
    }
    Ok(is_cut)
}

/// The problem of a line that a misplaced quotation mark made part of `row`. Without this problem, no error would point
/// to the person on that line.
fn swallowed(row: &CsvRecord, line: u64) -> RecordError {
    let first = row.line;
    let words = format!("this line was read as part of line {first}, which has a misplaced quotation mark");
    RecordError::error(line, Column::PersonId, rule::SWALLOWED, words)
}

fn wrong_count(header: &ColumnMap, record: &CsvRecord) -> Option<RecordError> {
    let (have, want) = (record.fields.len(), header.len());
    if have == want {
        return None;
    }
    // With shifted columns, the wrong field is unknown; name the first one that is missing or superfluous.
    let column =
        header.at(have).map_or_else(|| format!("field {}", have.min(want) + 1), |column| column.name().to_owned());
    let mut words = format!("number of fields: {have} in the row, {want} in the header");
    if record.last_line > record.line {
        words = format!(
            "lines {} to {} were read as one row: a quotation mark is misplaced",
            record.line, record.last_line
        );
    }
    Some(RecordError::error(record.line, column, rule::FIELD_COUNT, words))
}

/// The last line of a file, which states the number of rows.
#[derive(Default)]
pub(crate) struct Trailer {
    /// Line of the trailer; `None` until it is read.
    pub(crate) line: Option<u64>,
    rows: Option<usize>,
}

impl Trailer {
    /// Whether a record is the trailer. Refuses a record after it: two files were joined.
    pub(crate) fn is_at_end(&mut self, profile: &SourceProfile, record: &CsvRecord) -> Result<bool, FileError> {
        if let Some(line) = self.line {
            let rule = format!("the trailer on line {line} is not the last line of the file");
            return Err(FileError::RowCount(rule));
        }
        let mut fields = record.fields.iter().map(str::trim);
        if profile.trailer.is_none() || fields.next() != profile.trailer.as_deref() {
            return Ok(false);
        }
        self.line = Some(record.line);
        self.rows = fields.find_map(|field| field.parse().ok());
        Ok(true)
    }

    /// Compares the number of rows that were read with those stated.
    pub(crate) fn check(&self, profile: &SourceProfile, options: &ReadOptions, read: usize) -> Result<(), FileError> {
        if let (Some(word), None) = (&profile.trailer, self.line) {
            return Err(FileError::RowCount(format!("the last line, which begins with '{word}', is missing")));
        }
        check_count(profile, self.rows, options, read)
    }
}

/// Compares the number of rows with what the file and the caller state.
pub(crate) fn check_count(
    profile: &SourceProfile,
    of_file: Option<usize>,
    options: &ReadOptions,
    read: usize,
) -> Result<(), FileError> {
    if let Some(stated) = [of_file, options.rows].into_iter().flatten().find(|stated| *stated != read) {
        return Err(FileError::RowCount(format!("{stated} rows are stated, and the file has {read}")));
    }
    if profile.needs_row_count && of_file.is_none() && options.rows.is_none() {
        let rule = "this source must state its number of rows: give it by --rows, or in the last line of the file";
        return Err(FileError::RowCount(rule.to_owned()));
    }
    Ok(())
}

/// Adds to a refusal how the first rows would read in Windows-1252, so that people can see whether that is right. Only
/// names are shown.
fn with_samples(error: FileError, profile: &SourceProfile, bytes: &[u8]) -> FileError {
    let FileError::Encoding { line, rule, .. } = error else { return error };
    let mut samples = Vec::new();
    if profile.encoding == Encoding::Utf8
        && let Ok(text) = decode(bytes, Encoding::Windows1252)
    {
        samples = names_beyond_ascii(profile, &text).unwrap_or_default();
    }
    FileError::Encoding { line, rule, samples }
}

fn names_beyond_ascii(profile: &SourceProfile, text: &str) -> Result<Vec<String>, FileError> {
    let mut csv = CsvRecords::new(text, profile.separator);
    let header = csv.next()?.ok_or(FileError::Empty)?;
    let header = ColumnMap::parse(&header, profile, &mut Vec::new())?;
    let mut samples = Vec::new();
    while let Some(record) = csv.next()?.filter(|_| samples.len() < SAMPLES_MAX) {
        let is_name = |(column, field): &(Column, &str)| {
            matches!(column, Column::GivenName | Column::FamilyName) && !field.is_ascii()
        };
        if record.fields.len() == header.len()
            && let Some((column, field)) = header.fields(&record).find(is_name)
        {
            samples.push(format!("line {}, {column}, in windows-1252: {}", record.line, crate::header::shown(field)));
        }
    }
    Ok(samples)
}
