//! Reads a source's CSV file into records. Knows neither the directory nor a policy.
//!
//! A file can be refused as a whole ([`FileError`]) and a row left out ([`RecordError`]). No error shows a value of a
//! row: with shifted columns, a password may stand in any field.

mod csv_record;
mod date;
mod decode;
mod field;
mod header;
pub mod invisible;
mod number;
mod record;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use date::parse_date;
pub use field::{check_password, text};
pub use header::Column;
pub use number::{person_key, without_zeros};
pub use record::{Affiliation, CsvOptions, Encoding, FileError, RecordError, SourceRecord};

/// Largest file in MiB: about 134 octets for each of [`ROWS_MAX`] rows.
pub const FILE_MIB_MAX: u64 = 256;
/// Name of the source of a registrar's CSV file: in `registrar:12345`, it precedes the registrar's number for a person.
pub const REGISTRAR: &str = "registrar";
/// Maximum number of data rows in one file, which bounds the memory of an import.
pub const ROWS_MAX: usize = 2_000_000;

/// A source of facts about people, read whole.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the source, such as `registrar`. The name keeps the source's numbers apart from those of other sources.
    pub name: String,
    /// Good rows, in file order.
    pub records: Vec<SourceRecord>,
    /// Problems of wrong rows, one entry for each problem, so a row may appear more than once.
    pub rejected: Vec<RecordError>,
    /// blake3 of the bytes, hex.
    pub digest: String,
    /// Rows of data in the file, good and wrong.
    pub rows_read: usize,
    /// Rows that repeat an earlier row exactly and are dropped.
    pub repeated: usize,
    /// The columns that the header names: a blank cell has a meaning only in one of these.
    pub columns: Vec<Column>,
}

/// Reference to a record: the source and the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// Index of the source among those given to `wanted`, from zero.
    pub source: u16,
    /// Line of the file on which the record begins, from one.
    pub line: u64,
}

/// Reads a whole CSV file as the source called `name`.
pub fn read_source(name: &str, bytes: &[u8], options: &CsvOptions) -> Result<Source, FileError> {
    if bytes.len() as u64 > FILE_MIB_MAX * 1024 * 1024 {
        return Err(FileError::TooLarge(FILE_MIB_MAX));
    }
    let text = decode::decode(bytes, options.encoding)?;
    let mut csv = csv_record::CsvRecords::new(&text, options.separator);
    let header = csv.next()?.ok_or(FileError::Empty)?;
    let header = header::ColumnMap::parse(&header)?;
    let (mut records, mut rejected, mut rows_read) = (Vec::new(), Vec::new(), 0);
    // Line of the record that was read last, if that record may have been cut short.
    let mut cut = None;
    while let Some(row) = csv.next()? {
        rows_read += 1;
        if rows_read > ROWS_MAX {
            return Err(FileError::TooManyRows(ROWS_MAX));
        }
        let read = field::read_row(&header, &row);
        cut = field::may_be_cut(&header, &row, &read).then_some(row.line);
        match read {
            Ok(record) => records.push(record),
            Err(problems) => {
                rejected.extend(problems);
                rows_read += row.swallowed.len();
                rejected.extend(row.swallowed.iter().map(|line| swallowed(&row, *line)));
            }
        }
    }
    if let Some(line) = cut.filter(|_| !text.ends_with('\n')) {
        return Err(FileError::Truncated(line));
    }
    if rows_read == 0 {
        return Err(FileError::Empty);
    }
    let repeated = settle_repeats(&mut records, &mut rejected);
    rejected.sort_by_key(|problem: &RecordError| problem.line);
    let digest = blake3::hash(bytes).to_hex().to_string();
    Ok(Source { name: name.to_owned(), records, rejected, digest, rows_read, repeated, columns: header.columns() })
}

/// The problem of a line that a misplaced quotation mark made part of `row`. Without this problem, no error would point
/// to the person on that line.
fn swallowed(row: &csv_record::CsvRecord, line: u64) -> RecordError {
    let first = row.line;
    let rule = format!("this line was read as part of line {first}, which has a misplaced quotation mark");
    RecordError { line, column: Column::PersonId.name().to_owned(), rule }
}

/// Settles rows with the same person_id: equal rows become one, different rows are all left out. Returns the number of
/// repeats that were dropped.
fn settle_repeats(records: &mut Vec<SourceRecord>, rejected: &mut Vec<RecordError>) -> usize {
    let mut lines_of: HashMap<String, Vec<usize>> = HashMap::with_capacity(records.len());
    for (i, row) in records.iter().enumerate() {
        lines_of.entry(person_key(&row.person_id)).or_default().push(i);
    }
    let mut repeated = 0;
    let mut keep = vec![true; records.len()];
    for same in lines_of.into_values().filter(|same| same.len() > 1) {
        let group: Vec<(usize, &SourceRecord)> = same.iter().filter_map(|i| Some((*i, records.get(*i)?))).collect();
        let Some((_, first)) = group.first() else { continue };
        let agree = group.iter().all(|(_, row)| SourceRecord { line: first.line, ..(*row).clone() } == **first);
        // Keep the first of equal rows, and none of different ones.
        let first_kept = usize::from(agree);
        repeated += first_kept * (group.len() - 1);
        for (i, row) in group.iter().skip(first_kept) {
            if let Some(keep) = keep.get_mut(*i) {
                *keep = false;
            }
            if !agree {
                rejected.push(conflict(row, &group));
            }
        }
    }
    let mut kept = keep.into_iter();
    records.retain(|_| kept.next().unwrap_or(true));
    repeated
}

fn conflict(row: &SourceRecord, group: &[(usize, &SourceRecord)]) -> RecordError {
    /// Maximum number of lines that one problem names: enough to find the fault, without repeating a long list in each
    /// line.
    const LINES_NAMED_MAX: usize = 5;
    let others = group.iter().filter(|(_, other)| other.line != row.line).map(|(_, other)| other.line.to_string());
    let others: Vec<String> = others.take(LINES_NAMED_MAX).collect();
    let lines = if others.len() == 1 { "line" } else { "lines" };
    let rule = format!("this number is also on {lines} {}, and the rows differ", others.join(", "));
    RecordError { line: row.line, column: Column::PersonId.name().to_owned(), rule }
}

#[cfg(test)]
mod tests;
