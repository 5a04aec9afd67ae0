//! The types that a row and a file are read into.

use std::fmt;

use jiff::civil::Date;
use provost_credential::Secret;
use serde::{Deserialize, Serialize};

use crate::column::ColumnSet;
use crate::rule::{Rule, RuleId};

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

    /// The affiliation with this spelling, case ignored.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|affiliation| affiliation.as_str().eq_ignore_ascii_case(word))
    }
}

/// One affiliation of a person: what one programme row states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffiliationRow {
    /// Affiliation that the row states.
    pub affiliation: Affiliation,
    /// Programme of study or organisational unit.
    pub program: Option<Box<str>>,
    /// First day of the affiliation.
    pub start_date: Option<Date>,
    /// Last day of the affiliation, inclusive.
    pub end_date: Option<Date>,
    /// Line of the row, from one.
    pub line: u64,
}

/// The facts that the good rows of a source file state of one person.
///
/// A file of a million rows is held as a million of these: frequent facts are small, and rare ones stand in `more`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// Line of the file on which the row begins, from one. Of several programme rows, the first one.
    pub line: u64,
    /// The source's number for the person.
    pub person_id: Box<str>,
    /// Given name in NFC, words separated by single spaces.
    pub given_name: Box<str>,
    /// Family name in NFC, words separated by single spaces.
    pub family_name: Box<str>,
    /// Address outside the site.
    pub private_email: Option<Box<str>>,
    /// Programme of study or organisational unit.
    pub program: Option<Box<str>>,
    /// Initial password in the clear.
    pub password: Option<Secret>,
    /// Facts that few records state.
    pub more: Option<Box<MoreFields>>,
    /// Date of birth.
    pub birth_date: Option<Date>,
    /// First day of the affiliation.
    pub start_date: Option<Date>,
    /// Last day of the affiliation, inclusive.
    pub end_date: Option<Date>,
    /// Columns of which the record states that there is no value: a held value is removed. A column that is neither
    /// here nor stated keeps the held value.
    pub cleared: ColumnSet,
    /// Required columns that a partial record does not state. Their fields hold nothing until they are completed with
    /// the held values.
    pub lacking: ColumnSet,
    /// Whether the lacking fields were completed with the held values.
    pub is_completed: bool,
    /// Affiliation that the row states; of several programme rows, that of the first one by precedence.
    pub affiliation: Affiliation,
}

/// Facts that few records state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoreFields {
    /// The number under which the person was known before; `SOURCE:NUMBER` for the number of another source.
    pub former_person_id: Option<Box<str>>,
    /// The given name by which the person goes.
    pub preferred_given_name: Option<Box<str>>,
    /// `en` or `fr`.
    pub language: Option<Box<str>>,
    /// Quota class of the person.
    pub quota_class: Option<Box<str>>,
    /// Last day of the quota class.
    pub quota_until: Option<Date>,
    /// Addresses to which mail is forwarded, at most ten.
    pub forward_to: Box<[Box<str>]>,
    /// First day of the forwarding.
    pub forward_from: Option<Date>,
    /// Last day of the forwarding.
    pub forward_until: Option<Date>,
    /// First day of the vacation.
    pub vacation_start: Option<Date>,
    /// Last day of the vacation.
    pub vacation_end: Option<Date>,
    /// Subject of the vacation reply, in French.
    pub vacation_subject_fr: Option<Box<str>>,
    /// Subject of the vacation reply, in English.
    pub vacation_subject_en: Option<Box<str>>,
    /// Text of the vacation reply, in French.
    pub vacation_text_fr: Option<Box<str>>,
    /// Text of the vacation reply, in English.
    pub vacation_text_en: Option<Box<str>>,
    /// Affiliations beside that of the record, in the order of their precedence.
    pub further: Vec<AffiliationRow>,
}

impl SourceRecord {
    /// The date of birth as the directory holds it: YYYYMMDD.
    pub fn birth_digits(&self) -> Option<String> {
        self.birth_date.map(|date| date.strftime("%Y%m%d").to_string())
    }

    /// The number under which the person was known before.
    pub fn former_person_id(&self) -> Option<&str> {
        self.more.as_ref()?.former_person_id.as_deref()
    }

    /// All affiliations of the record, in the order of their precedence.
    pub fn affiliations(&self) -> impl Iterator<Item = AffiliationRow> {
        let first = AffiliationRow {
            affiliation: self.affiliation,
            program: self.program.clone(),
            start_date: self.start_date,
            end_date: self.end_date,
            line: self.line,
        };
        std::iter::once(first).chain(self.more.iter().flat_map(|more| more.further.iter().cloned()))
    }
}

/// The memberships in classes that a file states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolments {
    /// The memberships in the order of their lines.
    pub rows: Vec<Enrolment>,
    /// Whether they are everything that the source knows of the classes that they name: the file says so, and every row
    /// of it could be read. Otherwise somebody who is not named stays a member.
    pub are_complete: bool,
}

/// A membership in a class, as a file of enrolments states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Line in the file of enrolments, from one.
    pub line: u64,
    /// The source's number for the person.
    pub person_id: Box<str>,
    /// The source's id of the class.
    pub class: Box<str>,
    /// Whether the file describes the class, or means to say no more of it than its id. A delta may name a class that
    /// only an earlier file described.
    pub is_class_described: bool,
    /// Code or name of the course; empty when the file does not state it.
    pub course: Box<str>,
    /// Code or name of the class within the course; empty when the file does not state it.
    pub section: Box<str>,
    /// Title of the class; empty when the file does not state it.
    pub title: Box<str>,
    /// Name of the term; empty when the file states none.
    pub term: Box<str>,
    /// Last day of the class: that of its term, or the day on which the source ended it.
    pub term_end: Option<Date>,
    /// Whether the person teaches the class or takes it.
    pub role: EnrolmentRole,
    /// First day of the enrolment.
    pub start_date: Option<Date>,
    /// Last day of the enrolment, inclusive.
    pub end_date: Option<Date>,
    /// Whether the source ends the enrolment with this file.
    pub is_ended: bool,
}

/// What a person does in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnrolmentRole {
    /// Takes the class.
    Student,
    /// Teaches the class, or helps to.
    Teacher,
}

/// What a problem does to the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The row is left out.
    #[default]
    Error,
    /// The field is left out: the row is used, and a held value stays.
    Warning,
}

/// A problem of one row. A row may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordError {
    /// Line in the file, from one.
    pub line: u64,
    /// Name of the column; `field 11` for a field after the last column.
    pub column: String,
    /// Id of the broken rule. Plans of earlier versions have the words here.
    pub rule: RuleId,
    /// Whether the row or only the field is left out.
    #[serde(default)]
    pub severity: Severity,
    /// The broken rule, described for people, without any value of the file.
    #[serde(default)]
    pub words: String,
}

impl RecordError {
    /// A problem that leaves the row out.
    pub fn error(line: u64, column: impl fmt::Display, rule: &'static str, words: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self { line, column: column.to_string(), rule: rule.into(), severity, words: words.into() }
    }

    /// A problem that leaves only the field out.
    pub fn warning(line: u64, column: impl fmt::Display, rule: &'static str, words: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(line, column, rule, words) }
    }

    pub(crate) fn of(severity: Severity, line: u64, column: impl fmt::Display, rule: Rule) -> Self {
        Self { severity, ..Self::error(line, column, rule.id, rule.words) }
    }
}

impl fmt::Display for RecordError {
    /// `line 4, column birth_date: warning: not a date (YYYY-MM-DD) [date.format]`; an error has no word before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        match (self.words.as_str(), self.severity) {
            ("", _) => write!(f, "{}", self.rule),
            (words, Severity::Error) => write!(f, "{words} [{}]", self.rule),
            (words, Severity::Warning) => write!(f, "warning: {words} [{}]", self.rule),
        }
    }
}

/// A problem that refuses the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The file has no data row.
    #[error("the file is empty: it has no row of data [file.empty]")]
    Empty,
    /// The header lacks columns, repeats one, or is not a header.
    #[error("line {line}: {rule} [file.header]")]
    Header {
        /// Line of the header, from one: a line `sep=;` or blank lines may precede it.
        line: u64,
        /// The rule that the header breaks.
        rule: String,
    },
    /// A quoted field reaches the end of the file: every row after the mark may be part of that field.
    #[error(
        "line {0}: a quotation mark opens here and never closes: it is one too many, or the file is truncated [file.quote]"
    )]
    Unclosed(u64),
    /// The last row is cut: fields are missing or the last one is wrong, and there is no final line end.
    #[error("line {0}: the file looks truncated: its last line is incomplete [file.truncated]")]
    Truncated(u64),
    /// The trailer or the stated number of rows does not fit the file.
    #[error("the file looks truncated: {0} [file.row-count]")]
    RowCount(String),
    /// The file is not text in the stated encoding.
    #[error("line {line}: {rule} [file.encoding]{}", shown(samples))]
    Encoding {
        /// Line of the first octet that shows this, from one.
        line: u64,
        /// The rule that the file breaks.
        rule: String,
        /// Up to five rows as they would be read.
        samples: Vec<String>,
    },
    /// So many cells are damaged that the whole file is in doubt.
    #[error("{rows} of {of} rows have {what}: the whole file is refused [file.damaged]{}", shown(samples))]
    Damaged {
        /// Number of damaged rows.
        rows: usize,
        /// Number of rows.
        of: usize,
        /// The damage.
        what: &'static str,
        /// Up to five of the damaged cells.
        samples: Vec<String>,
    },
    /// The file is not of the format that the profile states, or its archive cannot be read.
    #[error("{0} [file.format]")]
    Format(String),
    /// More problems than a report can hold: probably the wrong file or profile.
    #[error("more than {0} problems: is this the right file, and the right source? [file.problems]")]
    TooManyProblems(usize),
    /// The file is larger than `FILE_MIB_MAX`.
    #[error("the file is larger than {0} MiB [file.too-large]")]
    TooLarge(u64),
    /// The file has more than `ROWS_MAX` rows.
    #[error("the file has more than {0} rows [file.too-many-rows]")]
    TooManyRows(usize),
}

fn shown(samples: &[String]) -> String {
    samples.iter().map(|sample| format!("\n  {sample}")).collect()
}
