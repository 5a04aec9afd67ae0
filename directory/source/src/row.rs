//! One row of any format, before its cells are read.

use crate::column::Column;

/// What a row states of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// The row has no such cell: the held value stays.
    #[default]
    Absent,
    /// The row states that there is no value.
    Null,
    /// The text of the cell. The profile decides what a blank one means.
    Text(&'a str),
}

/// A row with its cells by column.
#[derive(Clone, Debug)]
pub(crate) struct RawRow<'a> {
    /// Line on which the row begins, from one.
    pub(crate) line: u64,
    /// Line on which the row ends.
    pub(crate) last_line: u64,
    /// Whether the row holds lines that look like rows themselves: a misplaced quotation mark may have joined them.
    pub(crate) has_swallowed: bool,
    /// The column of a cell with text after its closing quotation mark.
    pub(crate) misquoted: Option<Column>,
    cells: [Cell<'a>; Column::COUNT],
}

impl<'a> RawRow<'a> {
    /// A row on one line without cells.
    pub(crate) fn new(line: u64) -> Self {
        let cells = [Cell::Absent; Column::COUNT];
        Self { line, last_line: line, has_swallowed: false, misquoted: None, cells }
    }

    pub(crate) fn set(&mut self, column: Column, cell: Cell<'a>) {
        if let Some(place) = self.cells.get_mut(column as usize) {
            *place = cell;
        }
    }

    pub(crate) fn cell(&self, column: Column) -> Cell<'a> {
        self.cells.get(column as usize).copied().unwrap_or_default()
    }

    /// Whether the row has a cell of a column that few files have.
    pub(crate) fn has_rare_cells(&self) -> bool {
        self.cells.iter().skip(Column::FormerPersonId as usize).any(|cell| *cell != Cell::Absent)
    }
}
