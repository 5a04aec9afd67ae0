//! A source file: CSV into records, each wrong row named with line, column and rule.
//!
//! One decision per file (refused whole: [`FileError`]) and one per row (left out: [`RecordError`]). No rule ever shows a
//! value: with shifted columns a password may stand anywhere.

mod csv_record;
mod decode;
mod field;
mod header;

use std::collections::HashMap;

use provost_credential::Secret;
use serde::{Deserialize, Serialize};

pub(crate) use field::{check_password, text};
pub use header::Column;

/// Largest file in MiB: a million people fit ten times over.
pub const FILE_MIB_MAX: u64 = 256;
/// Name of the source that a registrar's CSV file is: `registrar:12345` is its number for a person.
pub const REGISTRAR: &str = "registrar";
/// Most rows of data in one file.
pub const ROWS_MAX: usize = 2_000_000;

/// How the file's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, with or without BOM. Anything else in it refuses the file and names `--encoding`.
    #[default]
    Utf8,
    /// Windows-1252, as a French-locale spreadsheet writes.
    Windows1252,
}

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    /// Encoding.
    pub encoding: Encoding,
    /// `,` or `;`; `None` looks at the header.
    pub separator: Option<u8>,
}

/// eduPerson affiliation of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affiliation {
    /// student
    Student,
    /// faculty
    Faculty,
    /// staff
    Staff,
    /// alum
    Alum,
}

impl Affiliation {
    /// All that a file may name.
    pub const ALL: [Self; 4] = [Self::Student, Self::Faculty, Self::Staff, Self::Alum];

    /// As eduPerson spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Faculty => "faculty",
            Self::Staff => "staff",
            Self::Alum => "alum",
        }
    }
}

/// What one good row of a source file states of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Line in the file where it begins, from one (the header is 1).
    pub line: u64,
    /// The source's number for the person.
    pub person_id: String,
    /// NFC, single spaces between words.
    pub given_name: String,
    /// NFC, single spaces between words.
    pub family_name: String,
    /// Date of birth, YYYYMMDD.
    pub birth_date: Option<String>,
    /// Address outside.
    pub private_email: Option<String>,
    /// Affiliation.
    pub affiliation: Affiliation,
    /// Programme or unit.
    pub program: Option<String>,
    /// YYYY-MM-DD as civil date.
    pub start_date: Option<jiff::civil::Date>,
    /// YYYY-MM-DD as civil date.
    pub end_date: Option<jiff::civil::Date>,
    /// Initial password.
    pub password: Option<Secret>,
}

/// A row that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordError {
    /// Line in the file, from one.
    pub line: u64,
    /// Column name as in the header.
    pub column: String,
    /// The rule that was broken, for people, without the value of a password.
    pub rule: String,
}

/// A source of facts about people, read whole.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the source, `registrar`: its numbers are told from those of other sources by it.
    pub name: String,
    /// Good rows, in file order.
    pub records: Vec<Record>,
    /// Wrong ones: one for each problem, so a row may stand here more than once.
    pub rejected: Vec<RecordError>,
    /// blake3 of the bytes, hex.
    pub digest: String,
    /// Rows of data in the file, good and wrong.
    pub rows_read: usize,
    /// Rows that repeat an earlier one word for word: they say nothing new.
    pub repeated: usize,
    /// The columns that the header names: a blank cell says something only where there is a column.
    pub columns: Vec<Column>,
}

/// The file is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No data row.
    #[error("the file is empty: it has no row of data")]
    Empty,
    /// The header misses columns, repeats one, or is no header.
    #[error("line 1: {0}")]
    Header(String),
    /// A quoted field reaches to the end of the file: everything behind the mark may be somebody's row.
    #[error("line {0}: a quotation mark opens here and never closes: it is one too many, or the file is truncated")]
    Unclosed(u64),
    /// The last row is cut: fewer fields, or a wrong last one, and no final line end.
    #[error("line {0}: the file looks truncated: its last line is incomplete")]
    Truncated(u64),
    /// Not in the stated encoding.
    #[error("line {line}: {rule}")]
    Encoding {
        /// Line of the file.
        line: u64,
        /// The rule that the file breaks.
        rule: String,
    },
    /// Larger than we read.
    #[error("the file is larger than {0} MiB")]
    TooLarge(u64),
    /// More rows than we read.
    #[error("the file has more than {0} rows")]
    TooManyRows(usize),
}

/// Which record of which source says something, and under which digest that source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// Place of the source among those that were given to `wanted`, from zero.
    pub source: u16,
    /// Line in its file where the record begins, from one.
    pub line: u64,
}

/// Reads a whole CSV file as the source of that name.
pub fn read_source(name: &str, bytes: &[u8], options: &CsvOptions) -> Result<Source, FileError> {
    if bytes.len() as u64 > FILE_MIB_MAX * 1024 * 1024 {
        return Err(FileError::TooLarge(FILE_MIB_MAX));
    }
    let text = decode::decode(bytes, options.encoding)?;
    let mut csv = csv_record::CsvRecords::new(&text, options.separator);
    let header = csv.next()?.ok_or(FileError::Empty)?;
    let header = header::Header::parse(&header)?;
    let (mut records, mut rejected, mut rows_read) = (Vec::new(), Vec::new(), 0);
    // Whether the last record read may have been cut short, and where it stands.
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

/// A line that a quotation mark made a part of another row: without its own report, its person would be in none.
fn swallowed(row: &csv_record::CsvRecord, line: u64) -> RecordError {
    let first = row.line;
    let rule = format!("this line became a part of line {first}: there a quotation mark stands where none belongs");
    RecordError { line, column: Column::PersonId.name().to_owned(), rule }
}

/// The form in which two spellings of a person's number are one: the directory compares without case, too.
pub(crate) fn person_key(person_id: &str) -> String {
    person_id.to_lowercase()
}

/// Rows with one person_id: equal ones become one, different ones are all left out. Returns how many were repeats.
fn settle_repeats(records: &mut Vec<Record>, rejected: &mut Vec<RecordError>) -> usize {
    let mut lines_of: HashMap<String, Vec<usize>> = HashMap::with_capacity(records.len());
    for (i, row) in records.iter().enumerate() {
        lines_of.entry(person_key(&row.person_id)).or_default().push(i);
    }
    let mut repeated = 0;
    let mut keep = vec![true; records.len()];
    for same in lines_of.into_values().filter(|same| same.len() > 1) {
        let group: Vec<(usize, &Record)> = same.iter().filter_map(|i| Some((*i, records.get(*i)?))).collect();
        let Some((_, first)) = group.first() else { continue };
        let agree = group.iter().all(|(_, row)| Record { line: first.line, ..(*row).clone() } == **first);
        let skip = usize::from(agree);
        repeated += skip * (group.len() - 1);
        for (i, row) in group.iter().skip(skip) {
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

fn conflict(row: &Record, group: &[(usize, &Record)]) -> RecordError {
    /// Enough to find the fault; a file that is one fault all over needs no list of it in each line.
    const LINES_NAMED_MAX: usize = 5;
    let others = group.iter().filter(|(_, other)| other.line != row.line).map(|(_, other)| other.line.to_string());
    let others: Vec<String> = others.take(LINES_NAMED_MAX).collect();
    let rule = format!("this number stands on line {} as well, with other values", others.join(", "));
    RecordError { line: row.line, column: Column::PersonId.name().to_owned(), rule }
}

#[cfg(test)]
mod tests;
