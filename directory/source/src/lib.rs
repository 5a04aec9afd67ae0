//! Reads the files of a source into records. Knows neither the directory nor a policy.
//!
//! A file can be refused as a whole ([`FileError`]), a row left out, or a field (both [`RecordError`]). No problem shows
//! a value of a row: with shifted columns, a password may stand in any field. A [`SourceProfile`] states how the files
//! of one sender are to be read.

mod collect;
mod column;
mod csv_file;
mod csv_record;
mod date;
mod decode;
mod enrolment_file;
mod field;
mod followed_file;
mod header;
pub mod invisible;
mod json_lines;
mod ldif;
mod number;
mod oneroster;
mod profile;
mod record;
mod rejects;
mod row;
mod rule;
mod settle;

use serde::{Deserialize, Serialize};

pub(crate) use collect::CollectedRows;
pub use column::{Column, ColumnSet};
pub use date::{DateFormat, parse_date};
pub use field::{check_password, text};
pub use followed_file::FollowedFile;
pub use number::{person_key, without_zeros};
pub use profile::{
    Blank, ClassGroups, ClassLists, Coverage, Encoding, FileFormat, FollowedOrigin, FollowedServer, LOSS_SHARE,
    PROFILE_LINE_MAX, PROFILE_LINES_MAX, Precedence, ProfileError, REGISTRAR, SourceProfile, check_source_name,
};
pub use record::{
    Affiliation, AffiliationRow, Enrolment, EnrolmentRole, Enrolments, FileError, MoreFields, RecordError, Severity,
    SourceRecord,
};
pub use rejects::{RejectsError, rejects_file};
pub use rule::{Rule, RuleId};

/// Largest file in MiB: about 134 octets for each of [`ROWS_MAX`] rows.
pub const FILE_MIB_MAX: u64 = 256;
/// Maximum number of data rows in one file, which bounds the memory of an import.
pub const ROWS_MAX: usize = 2_000_000;

/// A source of facts about people, read whole.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the source, such as `registrar`. The name keeps the source's numbers apart from those of other sources.
    pub name: String,
    /// Version of the profile by which the file was read; `None` for the built-in profile.
    pub profile: Option<u32>,
    /// One record for each person who has a good row, in file order.
    pub records: Vec<SourceRecord>,
    /// Problems of the rows that are left out, one entry for each problem, so a row may appear more than once.
    pub rejected: Vec<RecordError>,
    /// Problems of fields that are left out, and of the header. Their rows are used.
    pub warnings: Vec<RecordError>,
    /// Numbers of people whose rows are left out, where they are readable: these people are not absent.
    pub rejected_ids: Vec<Box<str>>,
    /// Rows that are left out and whose number is not readable: anybody may be meant.
    pub unreadable: usize,
    /// Whether the file names everybody of the source.
    pub coverage: Coverage,
    /// blake3 of the bytes, hex.
    pub digest: String,
    /// Rows of data in the file, good and wrong.
    pub rows_read: usize,
    /// Rows that repeat an earlier row exactly and are dropped.
    pub repeated: usize,
    /// The columns that the file has.
    pub columns: Vec<Column>,
    /// Memberships in classes, of a file that states them.
    pub enrolments: Enrolments,
    /// Name of the source whose numbers the enrolments have.
    pub numbers_of: String,
    /// What becomes of the classes that the enrolments name.
    pub classes: ClassGroups,
    /// Numbers of people of whom somebody confirmed that each is another person than the one whom they resemble.
    pub distinct: Vec<String>,
}

/// Reference to a record: the source and the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// Index of the source among those given to `wanted`, from zero.
    pub source: u16,
    /// Line of the file on which the record begins, from one.
    pub line: u64,
}

/// Options for reading a CSV file by the built-in profile.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    /// Encoding of the file's octets.
    pub encoding: Encoding,
    /// `,`, `;` or a tab. With `None`, a first line such as `sep=;` states the separator; without such a line, the
    /// separator is the one of the three that occurs most often in the header.
    pub separator: Option<u8>,
}

/// What the caller states of one file, beside the profile of its source.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Encoding; `None` leaves it to the profile.
    pub encoding: Option<Encoding>,
    /// Separator of fields; `None` leaves it to the profile.
    pub separator: Option<u8>,
    /// Whether the file names everybody; `None` leaves it to the file and the profile.
    pub coverage: Option<Coverage>,
    /// Number of rows that the file must have.
    pub rows: Option<usize>,
    /// The present day: a birth date after it is wrong. `None` does not look at that.
    pub today: Option<jiff::civil::Date>,
    /// Numbers of people whom the caller knows to be others than those whom they resemble.
    pub distinct: Vec<String>,
}

impl From<CsvOptions> for ReadOptions {
    fn from(options: CsvOptions) -> Self {
        Self { encoding: Some(options.encoding), separator: options.separator, ..Self::default() }
    }
}

/// What a reader of one format returns.
pub(crate) struct ReadFile {
    pub(crate) rows: CollectedRows,
    pub(crate) columns: Vec<Column>,
    /// Whether the file itself shows that it names only some people.
    pub(crate) is_partial: bool,
    pub(crate) enrolments: Enrolments,
}

/// Reads a whole CSV file as the source called `name`, by the built-in profile.
pub fn read_source(name: &str, bytes: &[u8], options: &CsvOptions) -> Result<Source, FileError> {
    read_file(&SourceProfile::built_in(name), bytes, &options.clone().into())
}

/// Reads a whole file by the profile of its source.
pub fn read_file(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<Source, FileError> {
    if bytes.len() as u64 > FILE_MIB_MAX * 1024 * 1024 {
        return Err(FileError::TooLarge(FILE_MIB_MAX));
    }
    let profile = &stated(profile, options);
    let read = match profile.format {
        FileFormat::Csv => csv_file::read(profile, bytes, options)?,
        FileFormat::JsonLines => json_lines::read(profile, bytes, options)?,
        FileFormat::Ldif | FileFormat::Ldap => ldif::read(profile, bytes, options)?,
        FileFormat::OneRoster => oneroster::read(profile, bytes, options)?,
        FileFormat::Enrolments => enrolment_file::read(profile, bytes, options)?,
    };
    let ReadFile { mut rows, columns, is_partial, enrolments } = read;
    if rows.read == 0 && enrolments.rows.is_empty() {
        return Err(FileError::Empty);
    }
    if let Some(today) = options.today {
        rows.leave_out_births_after(today);
    }
    rows.finish(profile)?;
    let unreadable = rows.rejected_rows.iter().filter(|row| row.person_id.is_none()).count();
    let of_file = if is_partial { Coverage::Partial } else { profile.coverage };
    Ok(Source {
        name: profile.name.clone(),
        profile: profile.version,
        records: rows.records,
        rejected: rows.rejected,
        warnings: rows.warnings,
        rejected_ids: rows.rejected_rows.into_iter().filter_map(|row| row.person_id).collect(),
        unreadable,
        coverage: options.coverage.unwrap_or(of_file),
        digest: blake3::hash(bytes).to_hex().to_string(),
        rows_read: rows.read,
        repeated: rows.repeated,
        columns,
        enrolments,
        numbers_of: profile.classes.numbers_of.clone().unwrap_or_else(|| profile.name.clone()),
        classes: profile.classes.clone(),
        distinct: options.distinct.clone(),
    })
}

/// The profile with what the caller states of this file.
fn stated(profile: &SourceProfile, options: &ReadOptions) -> SourceProfile {
    SourceProfile {
        encoding: options.encoding.unwrap_or(profile.encoding),
        separator: options.separator.or(profile.separator),
        ..profile.clone()
    }
}

#[cfg(test)]
mod tests;
