//! The header section of a message (RFC 5322 §2.2): read lazily, borrowed from the message, within fixed bounds.

use std::borrow::Cow;
use std::ops::Range;

use crate::address_list::{ListedMailbox, mailboxes};
use crate::decode_words;

/// Octets of a header section that are read; later fields are ignored. No standard sets a bound: Postfix stops at 102,400
/// octets.
const HEADER_OCTETS_MAX: usize = 256 * 1024;
/// Octets of one value that [`HeaderField::value`], [`HeaderField::decoded`] and [`HeaderField::mailboxes`] read.
const VALUE_OCTETS_MAX: usize = 64 * 1024;

/// The header section of a message. It borrows the message, so making one is free.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSection<'a> {
    section: &'a [u8],
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderField<'a> {
    name: &'a str,
    raw: &'a [u8],
    whole: &'a [u8],
}

impl<'a> HeaderSection<'a> {
    /// Takes a whole message, or a header section alone.
    pub fn of(message: &'a [u8]) -> Self {
        Self { section: message.get(..HEADER_OCTETS_MAX).unwrap_or(message) }
    }

    /// Returns the fields in order, within the octets that are read. Lines that are not fields are skipped.
    pub fn iter(&self) -> impl Iterator<Item = HeaderField<'a>> + use<'a> {
        fields(self.section)
    }

    /// Whether the first line is a header field. A message whose first line is not one has no header section.
    ///
    /// This is stricter than the parsing of fields: a URL (`http://host`) and a time of day (`10:30 meeting`) have the
    /// form of a field, but are text.
    pub fn begins_with_field(&self) -> bool {
        let first = self.section.get(..field_end(self.section)).unwrap_or_default();
        HeaderField::parse(first).is_some_and(|field| {
            let is_url = field.raw().starts_with(b"//");
            !is_url && field.name().starts_with(|c: char| c.is_ascii_alphabetic())
        })
    }

    /// Returns all fields of one name in order, ignoring case (RFC 5322 §1.2.2).
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = HeaderField<'a>> + use<'a, 'n> {
        self.iter().filter(move |field| field.is(name))
    }

    /// Returns the first field of that name.
    pub fn field(&self, name: &str) -> Option<HeaderField<'a>> {
        self.iter().find(|field| field.is(name))
    }

    /// Returns the first value of that name, unfolded and trimmed; encoded words stay encoded.
    pub fn get(&self, name: &str) -> Option<String> {
        self.field(name).map(|field| field.value().into_owned())
    }

    /// Returns the first value of that name with its encoded words decoded (RFC 2047) and without control characters.
    pub fn decoded(&self, name: &str) -> Option<String> {
        self.field(name).map(|field| field.decoded())
    }

    /// Returns the octet range of a field in the message, from its name through its last line end.
    pub fn span(&self, field: &HeaderField<'a>) -> Range<usize> {
        // Both borrow from the same message, and the field starts after the section does.
        let start = field.whole.as_ptr().addr().saturating_sub(self.section.as_ptr().addr());
        start..start + field.whole.len()
    }

    /// Returns the offset of the body: after the empty line, or the end of the octets read when there is none.
    pub fn body_offset(&self) -> usize {
        header_end(self.section).unwrap_or(self.section.len())
    }
}

/// Returns the fields of a header section of any length, in order. Lines that are not fields are skipped; the first
/// empty line ends the section.
pub fn fields(section: &[u8]) -> impl Iterator<Item = HeaderField<'_>> {
    let mut rest = section;
    std::iter::from_fn(move || {
        loop {
            let (line, after) = rest.split_at(field_end(rest));
            if line.is_empty() {
                return None;
            }
            rest = after;
            if let Some(field) = HeaderField::parse(line) {
                return Some(field);
            }
        }
    })
}

/// Returns the lines of a header section that are not fields, with their offsets.
pub fn other_lines(section: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = section.get(at..)?;
            let line = rest.get(..field_end(rest)).filter(|line| !line.is_empty())?;
            at += line.len();
            if HeaderField::parse(line).is_none() {
                return Some((at - line.len(), line));
            }
        }
    })
}

/// Returns the offset after the first empty line; `None` when there is no empty line.
pub fn header_end(message: &[u8]) -> Option<usize> {
    let empty_line = |at: usize| match message.get(at..) {
        Some([b'\r', b'\n', ..]) => Some(at + 2),
        Some([b'\n', ..]) => Some(at + 1),
        _ => None,
    };
    empty_line(0).or_else(|| memchr::memchr_iter(b'\n', message).find_map(|end| empty_line(end + 1)))
}

impl<'a> HeaderField<'a> {
    /// Parses a line and its continuation lines; `None` when they are not a field.
    fn parse(whole: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', whole)?;
        let name = whole.get(..colon)?.trim_ascii_end();
        // RFC 5322 §2.2: a name has no white space. Only the obsolete form has some before the colon (§4.5).
        if name.is_empty() || !name.iter().all(|b| (33..127).contains(b)) {
            return None;
        }
        let raw = whole.get(colon + 1..)?;
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        Some(HeaderField { name: std::str::from_utf8(name).ok()?, raw, whole })
    }

    /// Returns name, value and line ends as they stand in the message.
    pub fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// Returns the value, unfolded (RFC 5322 §2.2.3) and trimmed, at any length.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        let raw = self.raw.trim_ascii();
        if memchr::memchr2(b'\r', b'\n', raw).is_none() {
            return raw.into();
        }
        raw.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect()
    }

    /// Returns the field name as written.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whether the field has this name, ignoring case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns everything after the colon, folds and leading white space included, without the last line end.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Returns the value, unfolded and trimmed, at most 64 KiB of it. Octets that are not UTF-8 become U+FFFD.
    pub fn value(&self) -> Cow<'a, str> {
        match self.bounded().unfolded() {
            Cow::Borrowed(octets) => String::from_utf8_lossy(octets),
            Cow::Owned(octets) => String::from_utf8_lossy(&octets).into_owned().into(),
        }
    }

    /// Returns at most 64 KiB of the value, with encoded words decoded and without control characters.
    pub fn decoded(&self) -> String {
        decode_words(&self.bounded().unfolded())
    }

    /// Returns the mailboxes that have a local part (RFC 5322 §3.4), from at most 64 KiB of the value.
    pub fn mailboxes(&self) -> impl Iterator<Item = ListedMailbox> + use<> {
        mailboxes(&self.bounded().unfolded())
    }

    fn bounded(&self) -> Self {
        Self { raw: self.raw.get(..VALUE_OCTETS_MAX).unwrap_or(self.raw), ..*self }
    }
}

/// Returns where the first field of `text` ends: after the first line end that no folding white space follows. Returns
/// 0 when `text` begins with an empty line.
fn field_end(text: &[u8]) -> usize {
    // Without this check, an empty line before a line that begins with a space would look like a folded field.
    if matches!(text, [b'\n', ..] | [b'\r', b'\n', ..]) {
        return 0;
    }
    for end in memchr::memchr_iter(b'\n', text) {
        if !matches!(text.get(end + 1), Some(b' ' | b'\t')) {
            return end + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &[u8] =
        b"Received: from a\r\n\tby b; date\r\nSubject:  =?utf-8?q?Caf=C3=A9?=\r\n =?utf-8?q?_noir?= \r\n\
        received: two\r\nEmpty:\r\nX-Raw: a\xffb\r\n\r\nBody: no\r\n";

    /// RFC 5322 §2.2, §2.2.3.
    #[test]
    fn reads_fields_in_order() {
        let headers = HeaderSection::of(MESSAGE);
        let names: Vec<_> = headers.iter().map(|f| f.name()).collect();
        assert_eq!(names, ["Received", "Subject", "received", "Empty", "X-Raw"]);
        assert_eq!(headers.get("received").as_deref(), Some("from a\tby b; date"));
        assert_eq!(headers.all("Received").count(), 2);
        assert_eq!(headers.get("subject").as_deref(), Some("=?utf-8?q?Caf=C3=A9?= =?utf-8?q?_noir?="));
        assert_eq!(headers.decoded("SUBJECT").as_deref(), Some("Café noir"));
        assert_eq!(headers.get("Empty").as_deref(), Some(""));
        assert_eq!(headers.get("X-Raw").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(headers.get("Body"), None);
        assert_eq!(&MESSAGE[headers.body_offset()..], b"Body: no\r\n");
    }

    #[test]
    fn spans_cover_the_fields() {
        let headers = HeaderSection::of(MESSAGE);
        let spans: Vec<&[u8]> = headers.iter().map(|field| &MESSAGE[headers.span(&field)]).collect();
        assert_eq!(spans.concat(), MESSAGE[..MESSAGE.len() - b"\r\nBody: no\r\n".len()]);
        assert_eq!(spans[2], b"received: two\r\n");
    }

    #[test]
    fn ends_where_the_header_ends() {
        for (message, fields, body) in [
            (&b""[..], 0, 0),
            (b"\r\nA: b\r\n", 0, 2),
            (b"\r\n folded: no\r\n", 0, 2),
            (b"A: b", 1, 4),
            (b"A: b\r\n", 1, 6),
            (b"A: b\nB: c\n\nD: e\n", 2, 11),
            (b"A: b\r\nno field\r\nC: d\r\n", 2, 22),
            (b"A: b\r\n \r\n\r\nC: d\r\n", 1, 11),
            (b" A: b\r\n", 0, 7),
            (b"A b: c\r\n", 0, 8),
            (b": c\r\n", 0, 5),
            (b"A : c\r\n", 1, 7),
        ] {
            let headers = HeaderSection::of(message);
            assert_eq!((headers.iter().count(), headers.body_offset()), (fields, body), "{message:?}");
        }
    }

    #[test]
    fn distinguishes_text_from_a_header() {
        for (message, expect) in [
            ("A: b\r\n", true),
            ("X-A_b:b\r\n", true),
            ("A : b\r\n", true),
            ("A:\r\n", true),
            ("text\r\nA: b\r\n", false),
            ("\r\nA: b", false),
            ("", false),
            ("http://host/x\r\nA: b\r\n", false),
            ("10:30 meeting\r\n", false),
            (">From: x\r\n", false),
            (":-) x\r\n", false),
            ("=?utf-8?q?x?=: y\r\n", false),
        ] {
            assert_eq!(HeaderSection::of(message.as_bytes()).begins_with_field(), expect, "{message}");
        }
    }

    #[test]
    fn a_header_section_is_bounded() {
        let many = b"A: b\r\n".repeat(HEADER_OCTETS_MAX);
        assert_eq!(HeaderSection::of(&many).iter().count(), HEADER_OCTETS_MAX.div_ceil(6));
        let long = [b"A: ".to_vec(), vec![b'x'; HEADER_OCTETS_MAX * 2]].concat();
        assert_eq!(HeaderSection::of(&long).get("A").map(|v| v.len()), Some(VALUE_OCTETS_MAX - 1));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let headers = HeaderSection::of(&message);
            prop_assert!(headers.body_offset() <= message.len());
            for field in headers.iter() {
                prop_assert!(!field.decoded().contains(['\r', '\n']));
            }
        }

        #[test]
        fn any_header_like_text_is_read_without_panic(message in "[A:=?\r\n \tq]{0,80}") {
            HeaderSection::of(message.as_bytes()).iter().for_each(|field| drop(field.decoded()));
        }
    }
}
