//! The profile of a sender: how the files of one source are to be read.
//!
//! A profile is a list of lines `KEY WORDS`, which the directory holds as unordered values: no line depends on another
//! one's place. The built-in profile holds for a source without one.

mod check;
mod check_digit;
mod classes;
mod followed;
mod number_shape;
mod parse;

use crate::column::{Column, ColumnSet};
use crate::date::DateFormat;
use crate::record::{Affiliation, AffiliationRow};

pub use classes::{ClassGroups, ClassLists, LOSS_SHARE};
pub use followed::{FollowedOrigin, FollowedServer};
pub(crate) use number_shape::NumberShape;
pub use parse::ProfileError;

/// Name of the source of a registrar's CSV file: in `registrar:12345`, it precedes the registrar's number for a person.
pub const REGISTRAR: &str = "registrar";
/// Longest name of a source, octets. It stands in each source id.
const SOURCE_NAME_MAX: usize = 32;
/// Longest line of a profile, octets: the bound of a value of `provostValue`.
pub const PROFILE_LINE_MAX: usize = 512;
/// Maximum number of lines of a profile.
pub const PROFILE_LINES_MAX: usize = 1000;

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FileFormat {
    /// Comma-separated values (RFC 4180), also with another separator.
    #[default]
    Csv,
    /// A OneRoster 1.1 or 1.2 archive (1EdTech).
    OneRoster,
    /// LDIF (RFC 2849).
    Ldif,
    /// One JSON object (RFC 8259) on each line.
    JsonLines,
    /// No file, but another LDAP directory that is followed (RFC 4533). What is read of it, is written as LDIF, so that
    /// it is read, checked and reported as a file.
    Ldap,
    /// Comma-separated values that state who takes or teaches which class.
    Enrolments,
}

/// Character encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, with or without BOM. A file with octets that are not valid UTF-8 is refused.
    #[default]
    Utf8,
    /// Windows-1252, as a spreadsheet with a French locale writes it.
    Windows1252,
    /// ISO 8859-1.
    Latin1,
    /// UTF-16 with a byte order mark.
    Utf16,
}

/// Whether a file names everybody of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Coverage {
    /// Everybody: somebody whom the file does not name is absent.
    #[default]
    Complete,
    /// Only some people: nothing follows for those whom the file does not name.
    Partial,
}

/// What a blank cell means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    /// The source states nothing: the held value stays.
    Keep,
    /// There is no value: the held value is removed.
    Clear,
    /// The source ought to know the value: the held value stays, and the row has a warning.
    Unknown,
}

/// How the files of one source are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProfile {
    /// Name of the source, such as `registrar`. The name keeps the source's numbers apart from those of other sources.
    pub name: String,
    /// Version, which whoever changes the profile raises; `None` for the built-in profile.
    pub version: Option<u32>,
    /// Format of the files.
    pub format: FileFormat,
    /// Encoding of the files' octets.
    pub encoding: Encoding,
    /// Separator of fields; `None` takes it from the header.
    pub separator: Option<u8>,
    /// Form of dates; `None` stands for the usual form of the format.
    pub date_format: Option<DateFormat>,
    /// The sender's names of columns, in lower case, with the column that each stands for.
    pub columns: Vec<(String, Column)>,
    /// The sender's columns that are ignored without a warning, in lower case.
    pub ignored: Vec<String>,
    /// The sender's words for affiliations, in lower case.
    pub affiliations: Vec<(String, Affiliation)>,
    /// Values for columns that the files do not have.
    pub constants: Vec<(Column, String)>,
    /// Columns whose blank cell removes the held value.
    pub clearing: ColumnSet,
    /// Columns whose blank cell is reported.
    pub unknown: ColumnSet,
    /// First field of the last line, which states the number of rows. A file without this line is refused.
    pub trailer: Option<String>,
    /// Whether whoever imports a file must state its number of rows, or its trailer must.
    pub needs_row_count: bool,
    /// Form of the source's numbers.
    pub number: NumberShape,
    /// Whether a file names everybody of the source.
    pub coverage: Coverage,
    /// Affiliations, or affiliations in a programme, with their rank: the least one is a person's primary one.
    pub precedence: Vec<Precedence>,
    /// What becomes of the classes that enrolments name.
    pub classes: ClassGroups,
    /// The directory that is followed, of the format [`FileFormat::Ldap`].
    pub followed: FollowedOrigin,
}

/// The rank of an affiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precedence {
    /// A lower rank comes first.
    pub rank: u16,
    /// The affiliation.
    pub affiliation: Affiliation,
    /// The programme; `None` for every one.
    pub program: Option<String>,
}

impl SourceProfile {
    /// The profile of a source for which the directory holds none.
    pub fn built_in(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            format: FileFormat::Csv,
            encoding: Encoding::Utf8,
            separator: None,
            date_format: None,
            columns: Vec::new(),
            ignored: Vec::new(),
            affiliations: Vec::new(),
            constants: Vec::new(),
            clearing: [Column::Program, Column::StartDate, Column::EndDate].into_iter().collect(),
            unknown: ColumnSet::default(),
            trailer: None,
            needs_row_count: false,
            number: NumberShape::default(),
            coverage: Coverage::Complete,
            precedence: Vec::new(),
            classes: ClassGroups::default(),
            followed: FollowedOrigin::default(),
        }
    }

    /// What a blank cell of a column means.
    pub fn blank(&self, column: Column) -> Blank {
        if self.unknown.contains(column) {
            Blank::Unknown
        } else if self.clearing.contains(column) {
            Blank::Clear
        } else {
            Blank::Keep
        }
    }

    /// The column for which a name in the sender's header stands.
    pub(crate) fn column(&self, header: &str) -> Option<Column> {
        let lower = folded(header);
        let mapped = self.columns.iter().find(|(theirs, _)| *theirs == lower).map(|(_, column)| *column);
        mapped.or_else(|| Column::of_name(header))
    }

    /// Whether a column of the sender's header is ignored without a warning.
    pub(crate) fn is_ignored(&self, header: &str) -> bool {
        let lower = folded(header);
        self.ignored.contains(&lower) || REJECT_COLUMNS.contains(&lower.as_str())
    }

    /// The affiliation for which a word of the sender stands.
    pub(crate) fn affiliation(&self, word: &str) -> Option<Affiliation> {
        if self.affiliations.is_empty() {
            return Affiliation::parse(word);
        }
        let lower = folded(word);
        let mapped = self.affiliations.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
        mapped.or_else(|| Affiliation::parse(word))
    }

    /// The value of a column that the files do not have.
    pub(crate) fn constant(&self, column: Column) -> Option<&str> {
        self.constants.iter().find(|(of, _)| *of == column).map(|(_, value)| value.as_str())
    }

    /// The place of an affiliation among several of one person: the least one is the primary one. Without a declared
    /// rank, employment precedes studies, and studies precede their end.
    pub(crate) fn rank(&self, row: &AffiliationRow) -> (u16, u8) {
        let fits = |precedence: &&Precedence| {
            precedence.affiliation == row.affiliation
                && precedence.program.as_deref().is_none_or(|program| row.program.as_deref() == Some(program))
        };
        let declared = self.precedence.iter().filter(fits).map(|precedence| precedence.rank).min();
        let usual = match row.affiliation {
            Affiliation::Faculty => 0,
            Affiliation::Staff => 1,
            Affiliation::Student => 2,
            Affiliation::Alum => 3,
        };
        (declared.unwrap_or(u16::MAX), usual)
    }
}

/// Columns of a file of rejected rows, which say why each row was left out. Such a file names only some people.
pub(crate) const REJECT_COLUMNS: [&str; 3] = ["reject_line", "reject_rule", "reject_words"];

/// A name of the sender in the form in which names are compared.
pub(crate) fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Checks the name of a source: lower-case letters, digits, `-` and `_`.
pub fn check_source_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'_');
    if name.is_empty() || name.len() > SOURCE_NAME_MAX || !name.bytes().all(is_allowed) {
        return Err("lower-case letters, digits, '-' and '_', at most 32");
    }
    Ok(())
}
