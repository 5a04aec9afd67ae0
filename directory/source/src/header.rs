//! The header of a CSV file.

use crate::column::Column;
use crate::csv_record::CsvRecord;
use crate::profile::{REJECT_COLUMNS, SourceProfile, folded};
use crate::record::{FileError, RecordError};
use crate::rule;

/// The columns that a file has, in its order; `None` for one that is ignored.
pub(crate) struct ColumnMap {
    order: Vec<Option<Column>>,
    /// Whether the file holds rows that an import had left out.
    pub(crate) is_of_rejects: bool,
}

impl ColumnMap {
    /// Reads a header. A column that the profile does not know is ignored, with a warning.
    pub(crate) fn parse(
        record: &CsvRecord,
        profile: &SourceProfile,
        warnings: &mut Vec<RecordError>,
    ) -> Result<Self, FileError> {
        let line = record.line;
        let order: Vec<Option<Column>> = record.fields.iter().map(|name| profile.column(name)).collect();
        if order.iter().all(Option::is_none) {
            // The error does not show the text of the line, which may be a row of data.
            let rule = format!("this is not a header; it needs at least {}", names(&Column::REQUIRED));
            return Err(FileError::Header { line, rule });
        }
        let mut known = Vec::with_capacity(order.len());
        for (name, column) in record.fields.iter().zip(&order) {
            match column {
                Some(column) if known.contains(column) => {
                    return Err(FileError::Header { line, rule: format!("column {column} occurs twice") });
                }
                Some(column) => known.push(*column),
                None if profile.is_ignored(name) => {}
                None => {
                    let words = "unknown column: it is ignored (a profile can name it)";
                    warnings.push(RecordError::warning(line, shown(name), rule::UNKNOWN_COLUMN, words));
                }
            }
        }
        let is_missing = |column: &Column| !known.contains(column) && profile.constant(*column).is_none();
        let missing: Vec<Column> = Column::REQUIRED.into_iter().filter(is_missing).collect();
        if !missing.is_empty() {
            return Err(FileError::Header { line, rule: format!("missing column {}", names(&missing)) });
        }
        let is_of_rejects = record.fields.iter().any(|name| REJECT_COLUMNS.contains(&folded(name).as_str()));
        Ok(Self { order, is_of_rejects })
    }

    /// Number of fields of a record.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The columns that are read, in the file's order.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.order.iter().copied().flatten().collect()
    }

    /// The column of the last field; `None` when it is ignored.
    pub(crate) fn last(&self) -> Option<Column> {
        self.order.last().copied().flatten()
    }

    /// The column at a place; `None` beyond the last, and where it is ignored.
    pub(crate) fn at(&self, place: usize) -> Option<Column> {
        self.order.get(place).copied().flatten()
    }

    /// Each field of a record with its column.
    pub(crate) fn fields<'a>(&self, record: &'a CsvRecord) -> impl Iterator<Item = (Column, &'a str)> {
        self.order.iter().zip(record.fields.iter()).filter_map(|(column, field)| Some(((*column)?, field)))
    }
}

pub(crate) fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

/// A column's name as in the file, cut short and on one line.
pub(crate) fn shown(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let name = name.trim();
    if name.is_empty() {
        return "(without a name)".to_owned();
    }
    name.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug().to_string()
}
