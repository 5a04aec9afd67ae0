//! How a file is to be read, and what comes of a row and of a file.

use provost_credential::Secret;
use serde::{Deserialize, Serialize};

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
