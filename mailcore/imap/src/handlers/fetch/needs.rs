//! Which rows and columns the items of a FETCH need.

use provost_message::KeptFields;
use provost_store::Columns;

use crate::codec::command::{BodySection, FetchItem, SectionText};

/// Rows read at once without derived columns, about a hundred octets each.
const ROWS_AT_ONCE: usize = 1_000;
/// Rows read at once with derived columns: a row has usually one or two KiB, at most 112 KiB.
const ROWS_AT_ONCE_WITH_COLUMNS: usize = 64;

/// The rows and columns that the items need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchNeeds {
    /// Whether an item other than FLAGS and UID is requested.
    pub(super) needs_rows: bool,
    pub(super) columns: Columns,
}

impl FetchNeeds {
    pub(super) fn of(items: &[FetchItem]) -> Self {
        let needs_rows = items.iter().any(|item| !matches!(item, FetchItem::Flags | FetchItem::Uid));
        let columns = items.iter().map(columns).fold(Columns::NONE, |all, one| all | one);
        Self { needs_rows, columns }
    }

    /// The number of rows read at once.
    pub(super) fn rows_at_once(&self) -> usize {
        if self.columns.is_none() { ROWS_AT_ONCE } else { ROWS_AT_ONCE_WITH_COLUMNS }
    }
}

fn columns(item: &FetchItem) -> Columns {
    match item {
        FetchItem::Flags | FetchItem::Uid | FetchItem::InternalDate | FetchItem::Rfc822Size => Columns::NONE,
        FetchItem::Rfc822 => Columns::NONE,
        FetchItem::Envelope => Columns::ENVELOPE,
        FetchItem::Body | FetchItem::BodyStructure | FetchItem::Rfc822Header | FetchItem::Rfc822Text => {
            Columns::STRUCTURE
        }
        FetchItem::Section { section, .. } if kept_names(section).is_some() => Columns::FIELDS,
        FetchItem::Section { section, .. } if section.part.is_empty() && section.text == SectionText::All => {
            Columns::NONE
        }
        FetchItem::Section { .. } => Columns::STRUCTURE,
    }
}

/// Returns the field names when the section is a `HEADER.FIELDS` of the whole message and the store keeps a copy of all
/// named fields ([`KeptFields`]); `None` for any other section.
pub(super) fn kept_names(section: &BodySection) -> Option<&[String]> {
    match &section.text {
        SectionText::HeaderFields { names, not: false } if section.part.is_empty() => {
            names.iter().all(|name| KeptFields::keeps(name)).then_some(names)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_need_rows_and_columns() {
        let section = |part: &[u32], text| FetchItem::Section {
            section: BodySection { part: part.to_vec(), text },
            partial: None,
            peek: true,
        };
        let named = |name: &str, not| SectionText::HeaderFields { names: vec![name.to_owned()], not };
        for (item, needs_rows, columns) in [
            (FetchItem::Flags, false, Columns::NONE),
            (FetchItem::Rfc822Size, true, Columns::NONE),
            (FetchItem::Envelope, true, Columns::ENVELOPE),
            (FetchItem::BodyStructure, true, Columns::STRUCTURE),
            (section(&[], SectionText::All), true, Columns::NONE),
            (section(&[1], SectionText::All), true, Columns::STRUCTURE),
            (section(&[], SectionText::Header), true, Columns::STRUCTURE),
            (section(&[], named("SUBJECT", false)), true, Columns::FIELDS),
            (section(&[], named("SUBJECT", true)), true, Columns::STRUCTURE),
            (section(&[], named("RECEIVED", false)), true, Columns::STRUCTURE),
            (section(&[1], named("SUBJECT", false)), true, Columns::STRUCTURE),
        ] {
            assert_eq!(FetchNeeds::of(std::slice::from_ref(&item)), FetchNeeds { needs_rows, columns }, "{item:?}");
        }
    }
}
