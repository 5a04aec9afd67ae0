//! One data item of a response (RFC 3501 §7.4.2).

use std::ops::Range;

use provost_message::{ImapEnvelope, KeptFields};
use provost_net::{OutputBuffer, SessionError};
use provost_store::{MessageRow, StoreError};

use crate::codec::command::{BodySection, FetchItem, PartialRange, SectionText};
use crate::codec::envelope::envelope;
use crate::codec::structure::{ExtensionData, structure};
use crate::codec::{date, encode};
use crate::message_list::ListedMessage;
use crate::section::{LocatedSection, locate, partial_range, select_fields};
use crate::source::MessageSource;

use super::needs::kept_names;
use super::stream;

/// An item that is ready to be sent.
pub(super) enum PreparedItem {
    /// Text in wire form.
    Text(Vec<u8>),
    /// A label, and this range of the message as a literal.
    Stream { label: String, range: Range<u64> },
}

impl PreparedItem {
    /// Octets of memory that the item holds.
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Stream { label, .. } => label.len(),
        }
    }

    /// The range of the message that the item sends; `None` for a text.
    pub(super) fn range(&self) -> Option<Range<u64>> {
        match self {
            Self::Text(_) => None,
            Self::Stream { range, .. } => Some(range.clone()),
        }
    }

    pub(super) async fn send(
        &self,
        source: Option<&mut MessageSource<'_>>,
        out: &mut OutputBuffer<'_>,
    ) -> Result<(), SessionError> {
        match (self, source) {
            (Self::Text(text), _) => stream::text(text, out).await,
            (Self::Stream { label, range }, Some(source)) => stream::literal(label, range.clone(), source, out).await,
            (Self::Stream { label, .. }, None) => Err(SessionError::Bug(format!("no row was read for {label}"))),
        }
    }
}

/// The known data of a message, without its octets.
pub(super) struct MessageData {
    pub(super) message: ListedMessage,
    pub(super) is_recent: bool,
    /// `None` when no item needs it, or when the message is gone.
    pub(super) row: Option<MessageRow>,
}

impl MessageData {
    /// The flags as a list.
    pub(super) fn flags(&self) -> String {
        encode::flags(&self.message.flags, self.is_recent)
    }

    /// Prepares an item, and reads the octets of the message that the item needs. Returns [`StoreError::Gone`] if the
    /// item needs a row or a source that is missing.
    pub(super) async fn prepare(
        &self,
        item: &FetchItem,
        source: Option<&mut MessageSource<'_>>,
    ) -> Result<PreparedItem, StoreError> {
        let text = match (item, &self.row, source) {
            (FetchItem::Flags, ..) => format!("FLAGS {}", self.flags()),
            (FetchItem::Uid, ..) => format!("UID {}", self.message.uid.get()),
            (FetchItem::Rfc822Size, Some(row), _) => format!("RFC822.SIZE {}", row.meta.octets),
            (FetchItem::InternalDate, Some(row), _) => {
                format!("INTERNALDATE \"{}\"", date::format_date_time(row.meta.internal_date))
            }
            (item, Some(row), Some(source)) => return from_message(item, row, source).await,
            (_, None, _) | (_, _, None) => return Err(StoreError::Gone),
        };
        Ok(PreparedItem::Text(text.into_bytes()))
    }
}

/// Prepares an item from the message's columns or octets.
async fn from_message(
    item: &FetchItem,
    row: &MessageRow,
    source: &mut MessageSource<'_>,
) -> Result<PreparedItem, StoreError> {
    let header = BodySection { part: Vec::new(), text: SectionText::Header };
    let text = BodySection { part: Vec::new(), text: SectionText::Text };
    match item {
        FetchItem::Envelope => envelope_item(row, source).await,
        FetchItem::Body => structure_item("BODY ", ExtensionData::Omitted, source).await,
        FetchItem::BodyStructure => structure_item("BODYSTRUCTURE ", ExtensionData::Included, source).await,
        FetchItem::Rfc822 => Ok(PreparedItem::Stream { label: "RFC822".to_owned(), range: 0..row.meta.octets }),
        FetchItem::Rfc822Header => section_item("RFC822.HEADER".to_owned(), &header, None, source).await,
        FetchItem::Rfc822Text => section_item("RFC822.TEXT".to_owned(), &text, None, source).await,
        FetchItem::Section { section, partial, .. } => {
            if let Some(selected) = from_kept_fields(section, row) {
                return Ok(literal(&label(section, *partial), &selected, *partial));
            }
            section_item(label(section, *partial), section, *partial, source).await
        }
        // `MessageData::prepare` has prepared these.
        FetchItem::Flags | FetchItem::Uid | FetchItem::Rfc822Size | FetchItem::InternalDate => Err(StoreError::Gone),
    }
}

async fn envelope_item(row: &MessageRow, source: &mut MessageSource<'_>) -> Result<PreparedItem, StoreError> {
    let kept = row.derived.as_ref().and_then(|derived| ImapEnvelope::decode(&derived.envelope));
    let read = match kept {
        Some(kept) => kept,
        None => ImapEnvelope::of(&source.header().await?),
    };
    let mut wire = b"ENVELOPE ".to_vec();
    envelope(&mut wire, &read);
    Ok(PreparedItem::Text(wire))
}

async fn structure_item(
    name: &str,
    extension_data: ExtensionData,
    source: &mut MessageSource<'_>,
) -> Result<PreparedItem, StoreError> {
    let mut wire = name.as_bytes().to_vec();
    structure(&mut wire, source.structure().await?, extension_data);
    Ok(PreparedItem::Text(wire))
}

/// The fields that a `HEADER.FIELDS` section selects from the header fields that the row keeps. `None` for any other
/// section, when the section names a field that is not kept, or when the row was read without the kept fields.
fn from_kept_fields(section: &BodySection, row: &MessageRow) -> Option<Vec<u8>> {
    let names = kept_names(section)?;
    let kept = KeptFields::decode(&row.derived.as_ref()?.fields)?;
    Some(select_fields(kept.section(), names, false))
}

async fn section_item(
    label: String,
    section: &BodySection,
    partial: Option<PartialRange>,
    source: &mut MessageSource<'_>,
) -> Result<PreparedItem, StoreError> {
    let octets = source.octets();
    if section.part.is_empty() && section.text == SectionText::All {
        return Ok(PreparedItem::Stream { label, range: partial_range(partial, 0..octets) });
    }
    match locate(section, source.structure().await?, octets) {
        // The message has no such section. NIL is sent without an origin.
        None => Ok(PreparedItem::Text(format!("{} NIL", self::label(section, None)).into_bytes())),
        Some(LocatedSection::Octets(range)) => Ok(PreparedItem::Stream { label, range: partial_range(partial, range) }),
        Some(LocatedSection::Fields { header, names, not }) => {
            let header = source.header_at(header).await?;
            Ok(literal(&label, &select_fields(&header, names, not), partial))
        }
    }
}

fn literal(label: &str, octets: &[u8], partial: Option<PartialRange>) -> PreparedItem {
    let range = partial_range(partial, 0..octets.len() as u64);
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let octets = octets.get(offset(range.start)..offset(range.end)).unwrap_or_default();
    let mut wire = format!("{label} {{{}}}\r\n", octets.len()).into_bytes();
    wire.extend_from_slice(octets);
    PreparedItem::Text(wire)
}

/// The name of a section in the response, such as `BODY[1.HEADER.FIELDS (From)]<0>`: as requested, but without `.PEEK`
/// and with only the origin of the partial.
pub(super) fn label(section: &BodySection, partial: Option<PartialRange>) -> String {
    let mut words: Vec<String> = section.part.iter().map(u32::to_string).collect();
    match &section.text {
        SectionText::All => {}
        SectionText::Header => words.push("HEADER".to_owned()),
        SectionText::Text => words.push("TEXT".to_owned()),
        SectionText::Mime => words.push("MIME".to_owned()),
        SectionText::HeaderFields { names, not } => {
            let word = if *not { "HEADER.FIELDS.NOT" } else { "HEADER.FIELDS" };
            let names: Vec<String> = names.iter().map(|name| field_name(name)).collect();
            words.push(format!("{word} ({})", names.join(" ")));
        }
    }
    let origin = partial.map(|partial| format!("<{}>", partial.origin)).unwrap_or_default();
    format!("BODY[{}]{origin}", words.join("."))
}

/// A field name as an astring.
fn field_name(name: &str) -> String {
    let mut wire = Vec::new();
    if name.bytes().all(crate::codec::cursor::is_atom_char) {
        return name.to_owned();
    }
    encode::string(&mut wire, name.as_bytes());
    String::from_utf8_lossy(&wire).into_owned()
}
