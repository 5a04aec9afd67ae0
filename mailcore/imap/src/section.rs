//! `BODY[section]`: which octets of a message a section names (RFC 3501 §6.4.5).

use std::borrow::Cow;
use std::ops::Range;

use crate::codec::command::{Partial, Section, SectionText};
use crate::header;
use crate::mime::{self, Content, Part};

/// A message's octets, or its header alone, with its structure once somebody asks.
pub(crate) struct Octets {
    bytes: bytes::Bytes,
    body_start: usize,
    structure: std::sync::OnceLock<Part>,
}

impl Octets {
    /// Over a whole message, or over its first octets when only header items are asked.
    pub(crate) fn new(bytes: bytes::Bytes) -> Self {
        let body_start = header::body_start(&bytes).unwrap_or(bytes.len());
        Self { bytes, body_start, structure: std::sync::OnceLock::new() }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message's header with its empty line.
    pub(crate) fn header(&self) -> &[u8] {
        self.slice(0..self.body_start)
    }

    /// The message's body.
    pub(crate) fn text(&self) -> &[u8] {
        self.slice(self.body_start..self.bytes.len())
    }

    /// The MIME structure.
    pub(crate) fn structure(&self) -> &Part {
        self.structure.get_or_init(|| mime::split(&self.bytes))
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The octets of a section; `None` (NIL) when the message has no such part.
    pub(crate) fn section(&self, section: &Section) -> Option<Cow<'_, [u8]>> {
        if section.part.is_empty() {
            return self.of_message(&section.text);
        }
        let part = find(self.structure(), &section.part)?;
        match &section.text {
            SectionText::All => Some(self.slice(part.body.clone()).into()),
            SectionText::Mime => Some(self.slice(part.header.clone()).into()),
            text => match &part.content {
                Content::Message(inner) => {
                    let header = self.slice(inner.header.clone());
                    Some(match text {
                        SectionText::HeaderFields { names, not } => header::select(header, names, *not).into(),
                        SectionText::Text => self.slice(inner.body.clone()).into(),
                        _ => header.into(),
                    })
                }
                _ => None,
            },
        }
    }

    fn of_message(&self, text: &SectionText) -> Option<Cow<'_, [u8]>> {
        Some(match text {
            SectionText::All => self.bytes().into(),
            SectionText::Header | SectionText::Mime => self.header().into(),
            SectionText::HeaderFields { names, not } => header::select(self.header(), names, *not).into(),
            SectionText::Text => self.text().into(),
        })
    }
}

/// The part with these numbers. RFC 3501 §6.4.5: every message has at least part 1; the parts of an embedded message
/// are numbered below its own number.
fn find<'a>(root: &'a Part, numbers: &[u32]) -> Option<&'a Part> {
    let (first, rest) = numbers.split_first()?;
    let mut part = child(root, *first)?;
    for number in rest {
        part = match &part.content {
            Content::Multipart(parts) => nth(parts, *number)?,
            Content::Message(inner) => child(inner, *number)?,
            Content::Leaf => return None,
        };
    }
    Some(part)
}

/// A part of a message by number.
fn child(message: &Part, number: u32) -> Option<&Part> {
    match &message.content {
        Content::Multipart(parts) => nth(parts, number),
        _ => (number == 1).then_some(message),
    }
}

fn nth(parts: &[Part], number: u32) -> Option<&Part> {
    parts.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// RFC 3501 §6.4.5: what is behind the end is cut off, a start behind the end gives an empty string.
pub(crate) fn partial_range(partial: Option<Partial>, octets: usize) -> Range<usize> {
    let Some(partial) = partial else { return 0..octets };
    let start = usize::try_from(partial.origin).unwrap_or(usize::MAX).min(octets);
    start..start.saturating_add(partial.octets as usize).min(octets)
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
        let octets = Octets::new(MESSAGE.as_bytes().into());
        let section = Section { part: part.to_vec(), text };
        octets.section(&section).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// RFC 3501 §6.4.5, the numbering in its example.
    #[test]
    fn names_octets() {
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
        let octets = Octets::new("A: b\r\n\r\nbody".into());
        let section = |part: &[u32]| octets.section(&Section { part: part.to_vec(), text: SectionText::All });
        assert_eq!(section(&[1]).as_deref(), Some(&b"body"[..]));
        assert_eq!(section(&[2]), None);
    }

    #[test]
    fn partials() {
        for (origin, octets, expect) in
            [(0, 5, 0..5), (3, 100, 3..10), (10, 1, 10..10), (11, 1, 10..10), (u32::MAX, u32::MAX, 10..10)]
        {
            assert_eq!(partial_range(Some(Partial { origin, octets }), 10), expect);
        }
        assert_eq!(partial_range(None, 10), 0..10);
    }
}
