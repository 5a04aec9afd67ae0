//! Reads the arguments of FETCH (RFC 3501 §6.4.5).

use super::arguments::messages;
use super::command::{BodySection, Command, FetchArguments, FetchItem, NumberKind, PartialRange, SectionText};
use super::cursor::{Cursor, ParseError, Result};

/// Maximum number of data items in one FETCH.
const ITEMS_MAX: usize = 64;
/// Maximum number of field names in one HEADER.FIELDS.
const FIELDS_MAX: usize = 256;
/// Maximum number of part numbers in one section: messages are not split into deeper parts.
const PART_DEPTH_MAX: usize = provost_message::PART_DEPTH_MAX;

pub(super) fn fetch(cursor: &mut Cursor<'_>, numbers: NumberKind) -> Result<Command> {
    let messages = messages(cursor, numbers)?;
    let mut items = Vec::new();
    if cursor.peek() == Some(b'(') {
        items = cursor.list(ITEMS_MAX, item)?;
        if items.is_empty() {
            return Err(ParseError("no FETCH item"));
        }
    } else {
        match macro_or_name(cursor)? {
            MacroOrName::Items(list) => items.extend_from_slice(list),
            MacroOrName::Name(name) => items.push(named(&name, cursor)?),
        }
    }
    Ok(Command::Fetch(Box::new(FetchArguments { messages, items })))
}

enum MacroOrName {
    Items(&'static [FetchItem]),
    Name(String),
}

/// Reads a name outside of a list: only there, ALL, FAST and FULL stand for several items.
fn macro_or_name(cursor: &mut Cursor<'_>) -> Result<MacroOrName> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let name = cursor.item_name()?;
    Ok(match name.as_str() {
        "ALL" => MacroOrName::Items(&[Flags, InternalDate, Rfc822Size, Envelope]),
        "FAST" => MacroOrName::Items(&[Flags, InternalDate, Rfc822Size]),
        "FULL" => MacroOrName::Items(&[Flags, InternalDate, Rfc822Size, Envelope, Body]),
        _ => MacroOrName::Name(name),
    })
}

fn item(cursor: &mut Cursor<'_>) -> Result<FetchItem> {
    let name = cursor.item_name()?;
    named(&name, cursor)
}

fn named(name: &str, cursor: &mut Cursor<'_>) -> Result<FetchItem> {
    Ok(match name {
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "ENVELOPE" => FetchItem::Envelope,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "UID" => FetchItem::Uid,
        "BODY" if cursor.peek() != Some(b'[') => FetchItem::Body,
        "BODY" => section_item(cursor, SeenFlag::Set)?,
        "BODY.PEEK" => section_item(cursor, SeenFlag::Unchanged)?,
        _ => return Err(ParseError("unknown FETCH item")),
    })
}

/// What a fetch of a section does to `\Seen`: `BODY.PEEK` leaves it as it is (RFC 3501 §6.4.5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum SeenFlag {
    Set,
    Unchanged,
}

fn section_item(cursor: &mut Cursor<'_>, seen: SeenFlag) -> Result<FetchItem> {
    cursor.expect(b'[', "'[' was expected")?;
    let section = section(cursor)?;
    cursor.expect(b']', "']' was expected")?;
    let mut partial = None;
    if cursor.eat(b'<') {
        let origin = cursor.number()?;
        cursor.expect(b'.', "a partial is <origin.octets>")?;
        let octets = cursor.number()?;
        cursor.expect(b'>', "'>' was expected")?;
        if octets == 0 {
            return Err(ParseError("a partial of 0 octets"));
        }
        partial = Some(PartialRange { origin, octets });
    }
    Ok(FetchItem::Section { section, partial, peek: seen == SeenFlag::Unchanged })
}

fn section(cursor: &mut Cursor<'_>) -> Result<BodySection> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if part.len() >= PART_DEPTH_MAX {
            return Err(ParseError("a section is too deep"));
        }
        let number = cursor.number()?;
        if number == 0 {
            return Err(ParseError("part numbers begin at 1"));
        }
        part.push(number);
        if !cursor.eat(b'.') {
            return Ok(BodySection { part, text: SectionText::All });
        }
    }
    if part.is_empty() && cursor.peek() == Some(b']') {
        return Ok(BodySection { part, text: SectionText::All });
    }
    let text = match cursor.item_name()?.as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields { names: field_names(cursor)?, not: false },
        "HEADER.FIELDS.NOT" => SectionText::HeaderFields { names: field_names(cursor)?, not: true },
        "TEXT" => SectionText::Text,
        "MIME" if !part.is_empty() => SectionText::Mime,
        _ => return Err(ParseError("unknown section")),
    };
    Ok(BodySection { part, text })
}

fn field_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    cursor.space()?;
    let names = cursor.list(FIELDS_MAX, |cursor| {
        let name = cursor.astring()?;
        // RFC 5322 §3.6.8: a field name consists of `ftext`. Refuse other octets: the response repeats the name, and an
        // astring cannot carry every octet.
        let is_field = name.iter().all(|octet| (0x21..0x7f).contains(octet) && *octet != b':');
        String::from_utf8(name.to_vec())
            .ok()
            .filter(|name| is_field && !name.is_empty())
            .ok_or(ParseError("a header field name is malformed"))
    })?;
    if names.is_empty() { Err(ParseError("no header field name")) } else { Ok(names) }
}
