//! What a record says of one value, and what a blank cell of it means.

use crate::source::{Column, SourceRecord};

/// What a record says of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatedPart<T> {
    /// The record states this value.
    Value(T),
    /// None: the profile of the source lets the blank cell clear the value.
    None,
    /// Nothing: the held value stays.
    Nothing,
}

impl<T> StatedPart<T> {
    /// What a record says by a column, whose cell gave `value`.
    pub(crate) fn of(record: &SourceRecord, column: Column, value: Option<T>) -> Self {
        match value {
            Some(value) => Self::Value(value),
            None if record.cleared.contains(column) => Self::None,
            None => Self::Nothing,
        }
    }

    /// The stated value, or the held one of which the record says nothing.
    pub(crate) fn or_held(self, held: Option<T>) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::None => None,
            Self::Nothing => held,
        }
    }

    /// Whether the record says nothing of the value.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
