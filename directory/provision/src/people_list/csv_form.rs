//! Lists as CSV (RFC 4180), in columns that an import reads again.

use std::borrow::Cow;

use super::ListedPerson;
use crate::Column;

/// A column of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListColumn {
    /// A column that an import reads.
    Import(Column),
    /// The key that stays when name and login change (provostPersonId).
    Id,
    /// Login name (uid).
    Login,
    /// Primary address (mail).
    Mail,
    /// Name as it is shown.
    DisplayName,
    /// All affiliations, in eduPerson's spelling.
    Affiliations,
    /// State of the account.
    State,
    /// Whether a lock stands.
    Suspended,
    /// Whether the person has a password.
    HasPassword,
    /// Day of the last login.
    LastLogin,
    /// Name of the lifecycle policy that holds for the person.
    Policy,
    /// Batch that last wrote the entry.
    Batch,
    /// Ids in all sources, as `registrar:12345`.
    Sources,
}

/// All columns of a list. The first ones are those of an import without the password; a list has them by default.
pub const LIST_COLUMNS: [ListColumn; 21] = [
    ListColumn::Import(Column::PersonId),
    ListColumn::Import(Column::GivenName),
    ListColumn::Import(Column::FamilyName),
    ListColumn::Import(Column::BirthDate),
    ListColumn::Import(Column::PrivateEmail),
    ListColumn::Import(Column::Affiliation),
    ListColumn::Import(Column::Program),
    ListColumn::Import(Column::StartDate),
    ListColumn::Import(Column::EndDate),
    ListColumn::Id,
    ListColumn::Login,
    ListColumn::Mail,
    ListColumn::DisplayName,
    ListColumn::Affiliations,
    ListColumn::State,
    ListColumn::Suspended,
    ListColumn::HasPassword,
    ListColumn::LastLogin,
    ListColumn::Policy,
    ListColumn::Batch,
    ListColumn::Sources,
];

impl ListColumn {
    /// The columns of a list for which none are stated: those of an import.
    pub fn of_import() -> Vec<Self> {
        LIST_COLUMNS.into_iter().filter(|column| matches!(column, Self::Import(_))).collect()
    }

    /// The column with a name; `None` for an unknown name.
    pub fn parse(name: &str) -> Option<Self> {
        LIST_COLUMNS.into_iter().find(|column| column.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Name of the column in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Import(column) => column.name(),
            Self::Id => "id",
            Self::Login => "login",
            Self::Mail => "mail",
            Self::DisplayName => "display_name",
            Self::Affiliations => "affiliations",
            Self::State => "state",
            Self::Suspended => "suspended",
            Self::HasPassword => "has_password",
            Self::LastLogin => "last_login",
            Self::Policy => "policy",
            Self::Batch => "batch",
            Self::Sources => "sources",
        }
    }

    /// The cell of a person.
    pub fn cell(self, person: &ListedPerson) -> Cow<'_, str> {
        let text = |value: &'_ Option<String>| value.clone().map_or(Cow::Borrowed(""), Cow::Owned);
        let day = |value: Option<jiff::civil::Date>| value.map_or(Cow::Borrowed(""), |day| day.to_string().into());
        let yes = |value: bool| Cow::Borrowed(if value { "yes" } else { "no" });
        match self {
            Self::Import(Column::PersonId) => text(&person.number),
            Self::Import(Column::GivenName) => Cow::Borrowed(&person.given_name),
            Self::Import(Column::FamilyName) => Cow::Borrowed(&person.family_name),
            Self::Import(Column::BirthDate) => text(&person.birth_date.as_deref().map(dashed)),
            Self::Import(Column::PrivateEmail) => text(&person.private_email),
            Self::Import(Column::Affiliation) => Cow::Borrowed(&person.affiliation),
            Self::Import(Column::Program) => text(&person.program),
            Self::Import(Column::StartDate) => day(person.start_date),
            Self::Import(Column::EndDate) => day(person.end_date),
            // A list never has passwords, and no cell for a column that it does not know.
            Self::Import(_) => Cow::Borrowed(""),
            Self::Id => Cow::Borrowed(&person.id),
            Self::Login => Cow::Borrowed(&person.uid),
            Self::Mail => Cow::Borrowed(&person.mail),
            Self::DisplayName => Cow::Borrowed(&person.display_name),
            Self::Affiliations => person.affiliations.join(" ").into(),
            Self::State => Cow::Borrowed(&person.state),
            Self::Suspended => yes(person.suspended),
            Self::HasPassword => yes(person.has_password),
            Self::LastLogin => day(person.last_login),
            Self::Policy => text(&person.policy),
            Self::Batch => text(&person.last_batch),
            Self::Sources => person.sources.join(" ").into(),
        }
    }
}

/// `20010203` as `2001-02-03`, the form that an import reads.
fn dashed(date: &str) -> String {
    match (date.get(..4), date.get(4..6), date.get(6..8)) {
        (Some(year), Some(month), Some(day)) if date.len() == 8 => format!("{year}-{month}-{day}"),
        _ => date.to_owned(),
    }
}

/// One line of CSV with its CRLF (RFC 4180 §2).
pub fn csv_line<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let mut line = String::new();
    for (place, cell) in cells.into_iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        line.push_str(&csv_cell(cell.as_ref()));
    }
    line.push_str("\r\n");
    line
}

/// One cell of CSV, quoted where RFC 4180 §2 demands it.
///
/// A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a CR for a formula, even in quotation marks:
/// such a cell begins with an apostrophe instead, which makes it text.
pub fn csv_cell(value: &str) -> Cow<'_, str> {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let is_quoted = value.contains(['"', ',', '\r', '\n']) || value != value.trim();
    match (is_formula, is_quoted) {
        (false, false) => Cow::Borrowed(value),
        (true, false) => Cow::Owned(format!("'{value}")),
        (_, true) => {
            let guard = if is_formula { "'" } else { "" };
            Cow::Owned(format!("\"{guard}{}\"", value.replace('"', "\"\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_text() {
        for (value, expect) in [
            ("Roy", "Roy"),
            ("", ""),
            ("Roy, Ida", "\"Roy, Ida\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\nb", "\"a\nb\""),
            (" a", "\" a\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("\t=1", "\"'\t=1\""),
            ("1-2", "1-2"),
        ] {
            assert_eq!(csv_cell(value), expect, "{value}");
        }
        assert_eq!(csv_line(["a", "b,c"]), "a,\"b,c\"\r\n");
    }

    #[test]
    fn names_of_columns_lead_to_them() {
        for column in LIST_COLUMNS {
            assert_eq!(ListColumn::parse(column.name()), Some(column));
        }
        assert_eq!(ListColumn::parse("password"), None, "a list has no passwords");
        for column in ListColumn::of_import() {
            assert!(Column::ALL.iter().any(|known| known.name() == column.name()), "{}", column.name());
        }
    }

    proptest::proptest! {
        #[test]
        fn a_csv_reader_reads_back_every_cell(cells in proptest::collection::vec("[a-z\",'\r\n =+-]{0,12}", 1..5)) {
            let line = csv_line(&cells);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let record = reader.records().next();
            // A line of one empty cell is an empty line, which is no record.
            if let Some(record) = record {
                let record = record.unwrap();
                proptest::prop_assert_eq!(record.len(), cells.len());
                for (read, cell) in record.iter().zip(&cells) {
                    proptest::prop_assert!(read == cell || read.strip_prefix('\'') == Some(cell.as_str()));
                }
            }
        }
    }
}
