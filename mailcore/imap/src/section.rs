//! `BODY[section]`: the octets of a message that a section names (RFC 3501 §6.4.5).

use std::ops::Range;

use provost_message::{MimePart, PartContent, fields};

use crate::codec::command::{BodySection, PartialRange, SectionText};

/// Where the octets of a section are in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocatedSection<'a> {
    /// A range of the message, sent unchanged.
    Octets(Range<u64>),
    /// Selected fields of the header at this range.
    Fields { header: Range<u64>, names: &'a [String], not: bool },
}

/// Locates a section in a message with the structure `root` and a size of `octets`. `None` (NIL) when the message does
/// not have the part, or when HEADER or TEXT is asked of a part that is not an embedded message.
pub(crate) fn locate<'a>(section: &'a BodySection, root: &MimePart, octets: u64) -> Option<LocatedSection<'a>> {
    if section.part.is_empty() {
        let header = root.header.clone();
        return Some(match &section.text {
            SectionText::All => LocatedSection::Octets(0..octets),
            SectionText::Text => LocatedSection::Octets(header.end.min(octets)..octets),
            text => header_section(header, text),
        });
    }
    let part = find(root, &section.part)?;
    match (&section.text, &part.content) {
        (SectionText::All, _) => Some(LocatedSection::Octets(part.body.clone())),
        (SectionText::Mime, _) => Some(LocatedSection::Octets(part.header.clone())),
        (SectionText::Text, PartContent::Message(inner, _)) => Some(LocatedSection::Octets(inner.body.clone())),
        (text, PartContent::Message(inner, _)) => Some(header_section(inner.header.clone(), text)),
        _ => None,
    }
}

fn header_section(header: Range<u64>, text: &SectionText) -> LocatedSection<'_> {
    match text {
        SectionText::HeaderFields { names, not } => LocatedSection::Fields { header, names, not: *not },
        _ => LocatedSection::Octets(header),
    }
}

/// The text of HEADER.FIELDS, or of HEADER.FIELDS.NOT if `not`: the fields unchanged, and the empty line (RFC 3501
/// §6.4.5).
pub(crate) fn select_fields(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let mut selected = Vec::new();
    for field in fields(header) {
        if names.iter().any(|name| field.is(name)) != not {
            selected.extend_from_slice(field.whole());
        }
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

/// The part with these numbers. RFC 3501 §6.4.5: every message has at least part 1; the parts of an embedded message
/// are numbered below its own number.
fn find<'a>(root: &'a MimePart, numbers: &[u32]) -> Option<&'a MimePart> {
    let (first, rest) = numbers.split_first()?;
    let mut part = child(root, *first)?;
    for number in rest {
        part = match &part.content {
            PartContent::Multipart(parts) => nth(parts, *number)?,
            PartContent::Message(inner, _) => child(inner, *number)?,
            PartContent::Leaf => return None,
        };
    }
    Some(part)
}

/// A top-level part of a message by number.
fn child(message: &MimePart, number: u32) -> Option<&MimePart> {
    match &message.content {
        PartContent::Multipart(parts) => nth(parts, number),
        _ => (number == 1).then_some(message),
    }
}

fn nth(parts: &[MimePart], number: u32) -> Option<&MimePart> {
    parts.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// The octets of `whole` that `partial` selects; all of them without a partial. RFC 3501 §6.4.5: a partial is cut at
/// the end of the text, and an origin beyond the end gives an empty string.
pub(crate) fn partial_range(partial: Option<PartialRange>, whole: Range<u64>) -> Range<u64> {
    let Some(partial) = partial else { return whole };
    let start = whole.start.saturating_add(u64::from(partial.origin)).min(whole.end);
    start..start.saturating_add(u64::from(partial.octets)).min(whole.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\none\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\nX: y\r\n\r\ntwo-one\r\n--c\r\n\r\ntwo-two\r\n--c--\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\nContent-ID: <m>\r\n\r\nSubject: simple\r\n\r\nplain text\r\n\
        --b--\r\n";

    fn section(part: &[u32], text: SectionText) -> Option<String> {
        let section = BodySection { part: part.to_vec(), text };
        let located = locate(&section, &MimePart::of(MESSAGE.as_bytes()), MESSAGE.len() as u64)?;
        let of = |range: Range<u64>| &MESSAGE.as_bytes()[range.start as usize..range.end as usize];
        let octets = match located {
            LocatedSection::Octets(range) => of(range).to_vec(),
            LocatedSection::Fields { header, names, not } => select_fields(of(header), names, not),
        };
        Some(String::from_utf8(octets).unwrap())
    }

    /// Parts are numbered as in the example of RFC 3501 §6.4.5.
    #[test]
    fn locates_sections() {
        use SectionText::{All, Header, HeaderFields, Mime, Text};
        let fields = |not| HeaderFields { names: vec!["SUBJECT".to_owned()], not };
        for (part, text, expect) in [
            (&[][..], All, Some(MESSAGE)),
            (&[], fields(false), Some("Subject: top\r\n\r\n")),
            (&[1], All, Some("one")),
            (&[1], Mime, Some("Content-Type: text/plain\r\n\r\n")),
            (&[1], Header, None),
            (&[1], Text, None),
            (&[1, 1], All, None),
            (&[2, 1], All, Some("two-one")),
            (&[2, 1], Mime, Some("X: y\r\n\r\n")),
            (&[2, 2], All, Some("two-two")),
            (&[2, 3], All, None),
            (&[2], fields(false), Some("Subject: in\r\n\r\n")),
            (&[2], fields(true), Some("Content-Type: multipart/alternative; boundary=c\r\n\r\n")),
            (&[3], All, Some("Subject: simple\r\n\r\nplain text")),
            (&[3], Header, Some("Subject: simple\r\n\r\n")),
            (&[3], Text, Some("plain text")),
            (&[3, 1], All, Some("plain text")),
            (&[3, 2], All, None),
            (&[3], Mime, Some("Content-Type: message/rfc822\r\nContent-ID: <m>\r\n\r\n")),
            (&[4], All, None),
            (&[4_000_000_000], All, None),
        ] {
            assert_eq!(section(part, text.clone()).as_deref(), expect, "{part:?} {text:?}");
        }
    }

    #[test]
    fn a_simple_message_is_part_one() {
        let is_body = |part: &[u32]| {
            let section = BodySection { part: part.to_vec(), text: SectionText::All };
            matches!(locate(&section, &MimePart::of(b"A: b\r\n\r\nbody"), 12), Some(LocatedSection::Octets(range)) if range == (8..12))
        };
        assert!(is_body(&[1]) && !is_body(&[2]));
    }

    /// RFC 3501 §6.4.5: the result always has the empty line.
    #[test]
    fn selects_fields() {
        let header = b"From: a\r\nSubject: one\r\n two\r\nbroken line\r\nTO : c\r\nX-Empty:\r\n\r\nBody: no\r\n";
        let names = ["subject".to_owned(), "NONE".to_owned()];
        assert_eq!(select_fields(header, &names, false), b"Subject: one\r\n two\r\n\r\n");
        assert_eq!(select_fields(header, &names, true), b"From: a\r\nTO : c\r\nX-Empty:\r\n\r\n");
        assert_eq!(select_fields(b"", &names, false), b"\r\n");
    }

    #[test]
    fn cuts_partials() {
        for (origin, octets, expect) in
            [(0, 5, 5..10), (3, 100, 8..15), (10, 1, 15..15), (11, 1, 15..15), (u32::MAX, u32::MAX, 15..15)]
        {
            assert_eq!(partial_range(Some(PartialRange { origin, octets }), 5..15), expect);
        }
        assert_eq!(partial_range(None, 5..15), 5..15);
    }
}
