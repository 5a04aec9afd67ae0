//! Options for reading a file, and the types that a row and a file are read into.

use provost_credential::Secret;
use serde::{Deserialize, Serialize};

/// Character encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, with or without BOM. A file with octets that are not valid UTF-8 is refused.
    #[default]
    Utf8,
    /// Windows-1252, as a spreadsheet with a French locale writes it.
    Windows1252,
}

/// Options for reading a file.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    /// Encoding of the file's octets.
    pub encoding: Encoding,
    /// `,`, `;` or a tab. With `None`, a first line such as `sep=;` states the separator; without such a line, the
    /// separator is the one of the three that occurs most often in the header.
    pub separator: Option<u8>,
}

/// eduPerson affiliation of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affiliation {
    /// `student`: enrolled in a programme.
    Student,
    /// `faculty`: teaches or does research.
    Faculty,
    /// `staff`: employed, but not faculty.
    Staff,
    /// `alum`: a former student.
    Alum,
}

impl Affiliation {
    /// All affiliations that a file may name.
    pub const ALL: [Self; 4] = [Self::Student, Self::Faculty, Self::Staff, Self::Alum];

    /// Spelling of eduPerson.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Faculty => "faculty",
            Self::Staff => "staff",
            Self::Alum => "alum",
        }
    }
}

/// The facts that one good row of a source file states of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// Line of the file on which the row begins, from one.
    pub line: u64,
    /// The source's number for the person.
    pub person_id: String,
    /// Given name in NFC, words separated by single spaces.
    pub given_name: String,
    /// Family name in NFC, words separated by single spaces.
    pub family_name: String,
    /// Date of birth, YYYYMMDD.
    pub birth_date: Option<String>,
    /// Address outside the site.
    pub private_email: Option<String>,
    /// Affiliation that the row states.
    pub affiliation: Affiliation,
    /// Programme of study or organisational unit.
    pub program: Option<String>,
    /// First day of the affiliation.
    pub start_date: Option<jiff::civil::Date>,
    /// Last day of the affiliation, inclusive.
    pub end_date: Option<jiff::civil::Date>,
    /// Initial password in the clear.
    pub password: Option<Secret>,
}

/// A problem that excludes one row from the import. A row may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordError {
    /// Line in the file, from one.
    pub line: u64,
    /// Name of the column; `field 11` for a field after the last column.
    pub column: String,
    /// The broken rule, described for people, without any value of the file.
    pub rule: String,
}

/// A problem that refuses the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The file has no data row.
    #[error("the file is empty: it has no row of data")]
    Empty,
    /// The header lacks columns, repeats one, or is not a header.
    #[error("line {line}: {rule}")]
    Header {
        /// Line of the header, from one: a line `sep=;` or blank lines may precede it.
        line: u64,
        /// The rule that the header breaks.
        rule: String,
    },
    /// A quoted field reaches the end of the file: every row after the mark may be part of that field.
    #[error("line {0}: a quotation mark opens here and never closes: it is one too many, or the file is truncated")]
    Unclosed(u64),
    /// The last row is cut: fields are missing or the last one is wrong, and there is no final line end.
    #[error("line {0}: the file looks truncated: its last line is incomplete")]
    Truncated(u64),
    /// The file is not text in the stated encoding.
    #[error("line {line}: {rule}")]
    Encoding {
        /// Line of the first octet that shows this, from one.
        line: u64,
        /// The rule that the file breaks.
        rule: String,
    },
    /// The file is larger than `FILE_MIB_MAX`.
    #[error("the file is larger than {0} MiB")]
    TooLarge(u64),
    /// The file has more than `ROWS_MAX` rows.
    #[error("the file has more than {0} rows")]
    TooManyRows(usize),
}
