//! The columns of a file. A new column is added here first.

use std::fmt;

use crate::csv_record::CsvRecord;
use crate::record::FileError;

/// A column that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// `person_id`, required: the source's key of the person.
    PersonId,
    /// `given_name`, required: part of login and address.
    GivenName,
    /// `family_name`, required: part of login and address.
    FamilyName,
    /// `birth_date`: the help desk verifies callers by it.
    BirthDate,
    /// `private_email`: an address outside the site.
    PrivateEmail,
    /// `affiliation`, required: eduPerson's word, such as `student`.
    Affiliation,
    /// `program`: programme of study.
    Program,
    /// `start_date`: first day of the affiliation.
    StartDate,
    /// `end_date`: last day of the affiliation.
    EndDate,
    /// `password`: initial password for a person who has none.
    Password,
}

impl Column {
    /// All columns, in the order in which documentation lists them.
    pub const ALL: [Self; 10] = [
        Self::PersonId,
        Self::GivenName,
        Self::FamilyName,
        Self::BirthDate,
        Self::PrivateEmail,
        Self::Affiliation,
        Self::Program,
        Self::StartDate,
        Self::EndDate,
        Self::Password,
    ];

    /// Name of the column in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::PersonId => "person_id",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::BirthDate => "birth_date",
            Self::PrivateEmail => "private_email",
            Self::Affiliation => "affiliation",
            Self::Program => "program",
            Self::StartDate => "start_date",
            Self::EndDate => "end_date",
            Self::Password => "password",
        }
    }

    /// Whether a file must have the column.
    pub fn is_required(self) -> bool {
        matches!(self, Self::PersonId | Self::GivenName | Self::FamilyName | Self::Affiliation)
    }

    /// The column called `name`, or `None`; case and surrounding blanks are ignored.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The columns that a file has, in its order.
pub(crate) struct ColumnMap {
    order: Vec<Column>,
}

impl ColumnMap {
    pub(crate) fn parse(record: &CsvRecord) -> Result<Self, FileError> {
        let line = record.line;
        let found: Vec<Option<Column>> = record.fields.iter().map(Column::of_name).collect();
        if found.iter().all(Option::is_none) {
            // The error does not show the text of the line, which may be a row of data.
            let rule = format!("this is not a header; expected {}", names(&Column::ALL));
            return Err(FileError::Header { line, rule });
        }
        let mut order = Vec::with_capacity(found.len());
        for (name, column) in record.fields.iter().zip(found) {
            let Some(column) = column else {
                return Err(FileError::Header { line, rule: format!("unknown column {}", shown(name)) });
            };
            if order.contains(&column) {
                return Err(FileError::Header { line, rule: format!("column {column} occurs twice") });
            }
            order.push(column);
        }
        let missing: Vec<Column> =
            Column::ALL.into_iter().filter(|column| column.is_required() && !order.contains(column)).collect();
        if missing.is_empty() {
            return Ok(Self { order });
        }
        Err(FileError::Header { line, rule: format!("missing column {}", names(&missing)) })
    }

    /// Number of fields of a record.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The columns, in the file's order.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.order.clone()
    }

    /// The column of the last field.
    pub(crate) fn last(&self) -> Option<Column> {
        self.order.last().copied()
    }

    /// The column at a place; `None` beyond the last.
    pub(crate) fn at(&self, place: usize) -> Option<Column> {
        self.order.get(place).copied()
    }

    /// The place of a column; `None` when the file lacks the column.
    pub(crate) fn place(&self, column: Column) -> Option<usize> {
        self.order.iter().position(|known| *known == column)
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

/// A column's name as in the file, cut short and on one line.
fn shown(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let name = name.trim();
    if name.is_empty() {
        return "without a name".to_owned();
    }
    format!("'{}'", name.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug())
}
