//! What SEARCH has read of a message, and the decoded text of its header, which several keys may use.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use provost_message::{KeptFields, SentDate, field_text, fields, header_text};
use provost_store::MessageRow;

/// What has been read of a message so far.
pub(super) enum LoadedContent<'a> {
    /// Neither the header nor kept header fields: the row was not read, or has none.
    Nothing,
    /// The kept header fields as a header section, which lacks the other fields.
    Kept(&'a [u8]),
    /// The header, at most [`crate::source::HEADER_OCTETS_MAX`] octets of it.
    Header(DecodedHeader),
    /// The header, and for each searched text whether the body contains it.
    Searched { header: DecodedHeader, body: HashMap<&'a str, bool> },
}

/// A header, and its decoded text once a key has needed it.
pub(super) struct DecodedHeader {
    section: Bytes,
    text: OnceLock<String>,
}

impl<'a> LoadedContent<'a> {
    /// The content that the row provides.
    pub(super) fn of_row(row: &'a MessageRow) -> Self {
        let kept = row.derived.as_ref().and_then(|derived| KeptFields::decode(&derived.fields));
        kept.map_or(Self::Nothing, |kept| Self::Kept(kept.section()))
    }

    pub(super) fn header(section: Bytes) -> Self {
        Self::Header(DecodedHeader { section, text: OnceLock::new() })
    }

    /// A header with the results of the body search, which replace earlier ones. Without a header, nothing changes.
    pub(super) fn with_body(self, body: HashMap<&'a str, bool>) -> Self {
        match self {
            Self::Header(header) | Self::Searched { header, .. } => Self::Searched { header, body },
            Self::Nothing | Self::Kept(_) => self,
        }
    }

    /// A header section with all fields of this name; `None` when more must be read first.
    fn section_with(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Kept(section) => KeptFields::keeps(name).then_some(section),
            Self::Header(header) | Self::Searched { header, .. } => Some(&header.section),
        }
    }

    /// Whether a field of this name contains the text; an empty text matches any such field (RFC 3501 §6.4.4, HEADER).
    /// `None` when more must be read first.
    pub(super) fn field_has(&self, name: &str, wanted: &str) -> Option<bool> {
        let mut named = fields(self.section_with(name)?).filter(|field| field.is(name));
        Some(named.any(|field| wanted.is_empty() || field_text(&field).contains(wanted)))
    }

    /// The date of the Date field; `Some(None)` when there is no such field or its date is malformed. `None` when more
    /// must be read first.
    pub(super) fn sent(&self) -> Option<Option<SentDate>> {
        let field = fields(self.section_with("Date")?).find(|field| field.is("Date"));
        Some(field.and_then(|field| SentDate::parse(&field.unfolded())))
    }

    /// Whether the header contains the text. `None` when more must be read first.
    pub(super) fn header_has(&self, wanted: &str) -> Option<bool> {
        match self {
            Self::Nothing | Self::Kept(_) => None,
            Self::Header(header) | Self::Searched { header, .. } => {
                Some(header.text.get_or_init(|| header_text(&header.section)).contains(wanted))
            }
        }
    }

    /// Whether the body contains the text. `None` when more must be read first.
    pub(super) fn body_has(&self, wanted: &str) -> Option<bool> {
        let Self::Searched { body, .. } = self else { return None };
        body.get(wanted).copied()
    }
}
