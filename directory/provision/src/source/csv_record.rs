//! Text into records: RFC 4180 quoting, each record with the line on which it begins.

use std::io::{Chain, Read};

use csv::StringRecord;

use super::decode::line_ends;
use super::record::FileError;

/// Appended to the text as a record of its own. A file that ends within a quoted field swallows it, and shows itself
/// thereby; no good file holds it, since NUL is refused before.
const END_MARK: &[u8] = b"\n\0";

/// One record.
pub(super) struct CsvRecord {
    /// Line on which it begins, from one.
    pub(super) line: u64,
    /// Its fields, quotes removed.
    pub(super) fields: StringRecord,
    /// Lines within it that look like records themselves: a quotation mark that stands where none belongs swallowed them.
    pub(super) swallowed: Vec<u64>,
}

/// Reads one record after the other.
pub(super) struct CsvRecords<'a> {
    text: &'a str,
    separator: u8,
    /// Separators in the header, which a line that looks like a record has as well; `None` until the header is read.
    separators: Option<usize>,
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    /// Up to where lines are counted (octets), and on which line that is.
    counted: (usize, u64),
}

impl<'a> CsvRecords<'a> {
    pub(super) fn new(text: &'a str, separator: Option<u8>) -> Self {
        let separator = separator.unwrap_or_else(|| guess_separator(text));
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(text.as_bytes().chain(END_MARK));
        Self { text, separator, separators: None, reader, counted: (0, 1) }
    }

    /// The next record that is not blank; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<CsvRecord>, FileError> {
        loop {
            let mut fields = StringRecord::new();
            let more = self
                .reader
                .read_record(&mut fields)
                .map_err(|error| FileError::Encoding { line: self.counted.1, rule: error.to_string() })?;
            if !more || (fields.len() == 1 && fields.get(0) == Some("\0")) {
                return Ok(None);
            }
            let line = self.line_at(fields.position().map_or(0, csv::Position::byte));
            if fields.iter().next_back().is_some_and(|field| field.ends_with('\0')) {
                let before = fields.iter().take(fields.len() - 1).map(|field| line_ends(field.as_bytes()));
                return Err(FileError::Unclosed(line + before.sum::<u64>()));
            }
            if fields.len() > 1 || fields.iter().any(|field| !field.trim().is_empty()) {
                let swallowed = self.swallowed(line, &fields);
                self.separators.get_or_insert(fields.len() - 1);
                return Ok(Some(CsvRecord { line, fields, swallowed }));
            }
        }
    }

    /// The lines within a record that have as many separators as the header.
    fn swallowed(&self, line: u64, fields: &StringRecord) -> Vec<u64> {
        let Some(separators) = self.separators.filter(|_| fields.iter().any(|field| field.contains(['\n', '\r'])))
        else {
            return Vec::new();
        };
        // The reader stands behind the record; the mark of the end is not part of the text.
        let end = self.reader.position().byte() as usize;
        let record = self.text.get(self.counted.0..end.min(self.text.len())).unwrap_or_default();
        let record = record.replace("\r\n", "\n").replace('\r', "\n");
        let numbered = (line..).zip(record.split('\n')).skip(1);
        let looks_like_one = |text: &str| text.bytes().filter(|octet| *octet == self.separator).count() == separators;
        numbered.filter(|(_, text)| looks_like_one(text)).map(|(number, _)| number).collect()
    }

    /// The line of the record that the reader found at `octet`, which may be the line end of the record before it.
    fn line_at(&mut self, octet: u64) -> u64 {
        let (from, line) = self.counted;
        let rest = self.text.as_bytes().get(octet as usize..).unwrap_or_default();
        let begins = octet as usize + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = self.text.as_bytes().get(from..begins).unwrap_or_default();
        // A piece never ends between CR and LF: `begins` is after all line ends.
        let line = line + line_ends(passed);
        self.counted = (begins.max(from), line);
        line
    }
}

/// The separator that the first line holds more of.
fn guess_separator(text: &str) -> u8 {
    let first = text.trim_start().lines().next().unwrap_or_default();
    if first.matches(';').count() > first.matches(',').count() { b';' } else { b',' }
}
