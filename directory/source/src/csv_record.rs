//! Splits text into records by the quoting of RFC 4180, each with the line on which it begins.

use std::io::{Chain, Read};
use std::ops::Range;

use csv::StringRecord;

use crate::decode::line_ends;
use crate::record::FileError;

/// Appended to the text as a record of its own. A file that ends within a quoted field swallows this record, which
/// reveals the fault; a good file cannot contain it, since NUL is refused before.
const END_MARK: &[u8] = b"\n\0";

/// One record with its lines and quoting faults.
pub(crate) struct CsvRecord {
    /// Line on which it begins, from one.
    pub(crate) line: u64,
    /// Fields of the record, without quotes.
    pub(crate) fields: StringRecord,
    /// Line on which it ends.
    pub(crate) last_line: u64,
    /// Lines within the record that look like records themselves: a misplaced quotation mark probably swallowed them.
    pub(crate) swallowed: Vec<u64>,
    /// Index, from zero, of the first field with text after its closing quotation mark, as in `"Ann"x`. The field's
    /// value is uncertain.
    pub(crate) misquoted_field: Option<usize>,
    /// Octets of the record within the text, without the line end.
    pub(crate) range: Range<usize>,
}

/// Reads the records one by one.
pub(crate) struct CsvRecords<'a> {
    text: &'a str,
    separator: u8,
    /// Number of separators in the header; a line with as many looks like a record. `None` until the header is read.
    separators: Option<usize>,
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    /// Offset up to which lines are counted (octets), and the number of the line at that offset.
    counted: (usize, u64),
    /// Octets of the line `sep=;` before the records.
    offset: usize,
}

impl<'a> CsvRecords<'a> {
    pub(crate) fn new(text: &'a str, separator: Option<u8>) -> Self {
        let whole = text.len();
        let (text, first_line, announced) = without_separator_line(text);
        let separator = separator.or(announced).unwrap_or_else(|| guess_separator(text));
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(text.as_bytes().chain(END_MARK));
        let offset = whole - text.len();
        Self { text, separator, separators: None, reader, counted: (0, first_line), offset }
    }

    /// The separator in use.
    pub(crate) fn separator(&self) -> u8 {
        self.separator
    }

    /// The next record that is not blank; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<CsvRecord>, FileError> {
        loop {
            let mut fields = StringRecord::new();
            let more = self
                .reader
                .read_record(&mut fields)
                .map_err(|error| FileError::Format(format!("line {}: {error}", self.counted.1)))?;
            if !more || (fields.len() == 1 && fields.get(0) == Some("\0")) {
                return Ok(None);
            }
            let line = self.line_at(fields.position().map_or(0, csv::Position::byte));
            if fields.iter().next_back().is_some_and(|field| field.ends_with('\0')) {
                let before = fields.iter().take(fields.len() - 1).map(|field| line_ends(field.as_bytes()));
                return Err(FileError::Unclosed(line + before.sum::<u64>()));
            }
            // Skip a row of blank cells: spreadsheets write them below a table.
            if fields.iter().any(|field| !field.trim().is_empty()) {
                let whole = self.whole();
                let swallowed = self.swallowed(line, whole, &fields);
                self.separators.get_or_insert(fields.len() - 1);
                let last_line = line + line_ends(whole.trim_end_matches(['\r', '\n']).as_bytes());
                let misquoted_field = misquoted_field(whole, self.separator);
                let range = self.counted.0..self.counted.0 + whole.trim_end_matches(['\r', '\n']).len();
                let range = range.start + self.offset..range.end + self.offset;
                return Ok(Some(CsvRecord { line, last_line, fields, swallowed, misquoted_field, range }));
            }
        }
    }

    /// The text of the record that was read last.
    fn whole(&self) -> &'a str {
        // The reader is positioned after the record; the end mark is not part of the text.
        let end = self.reader.position().byte() as usize;
        self.text.get(self.counted.0..end.min(self.text.len())).unwrap_or_default()
    }

    /// The lines within a record that have as many separators as the header has.
    fn swallowed(&self, line: u64, record: &str, fields: &StringRecord) -> Vec<u64> {
        let Some(separators) = self.separators.filter(|_| fields.iter().any(|field| field.contains(['\n', '\r'])))
        else {
            return Vec::new();
        };
        let record = record.replace("\r\n", "\n").replace('\r', "\n");
        let numbered = (line..).zip(record.split('\n')).skip(1);
        let looks_like_one = |text: &str| text.bytes().filter(|octet| *octet == self.separator).count() == separators;
        numbered.filter(|(_, text)| looks_like_one(text)).map(|(number, _)| number).collect()
    }

    /// Returns the number of the line on which a record begins. `octet` is the offset that the reader states for the
    /// record; the line end of the preceding record may still stand there.
    fn line_at(&mut self, octet: u64) -> u64 {
        let (from, line) = self.counted;
        let rest = self.text.as_bytes().get(octet as usize..).unwrap_or_default();
        let begins = octet as usize + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = self.text.as_bytes().get(from..begins).unwrap_or_default();
        // `passed` never ends between CR and LF: `begins` is after all line ends.
        let line = line + line_ends(passed);
        self.counted = (begins.max(from), line);
        line
    }
}

/// Returns the index, from zero, of the first field with text after its closing quotation mark, which RFC 4180 §2 does
/// not permit.
fn misquoted_field(record: &str, separator: u8) -> Option<usize> {
    let mut rest = record.as_bytes();
    for field in 0.. {
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            rest = after_closing_quote(quoted);
            if !matches!(rest, [] | [b'\r' | b'\n', ..]) && rest.first() != Some(&separator) {
                return Some(field);
            }
        }
        let end = rest.iter().position(|octet| *octet == separator)?;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    None
}

/// Returns the octets after the closing quotation mark of a field; none if the mark is missing. `rest` begins after the
/// opening quotation mark.
fn after_closing_quote(mut rest: &[u8]) -> &[u8] {
    while let Some(quote) = rest.iter().position(|octet| *octet == b'"') {
        rest = rest.get(quote + 1..).unwrap_or_default();
        match rest.strip_prefix(b"\"") {
            // A doubled quotation mark is text.
            Some(after) => rest = after,
            None => return rest,
        }
    }
    &[]
}

/// Skips a first line `sep=;`, by which spreadsheets state the separator. Returns the rest, the number of its first
/// line, and the separator if one was stated.
fn without_separator_line(text: &str) -> (&str, u64, Option<u8>) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    match first.trim_end().split_at_checked(4) {
        Some((name, separator)) if name.eq_ignore_ascii_case("sep=") => match separator.as_bytes() {
            // Trimming has removed a tab.
            [] => (rest, 2, Some(b'\t')),
            [separator @ (b',' | b';' | b'|')] => (rest, 2, Some(*separator)),
            _ => (text, 1, None),
        },
        _ => (text, 1, None),
    }
}

/// The separator that occurs most often in the first line.
fn guess_separator(text: &str) -> u8 {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let count = |separator: &u8| first.bytes().filter(|octet| octet == separator).count();
    // Of equal counts, `max_by_key` takes the last: it prefers the comma to the semicolon, and both to the tab.
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}
