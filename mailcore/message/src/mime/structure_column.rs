//! Encodes and decodes the MIME structure of a message as the column [`crate::Derived::structure`].

use std::ops::Range;

use super::split::PART_DEPTH_MAX;
use super::{ContentAttributes, MediaType, MimePart, PartContent};
use crate::ImapEnvelope;
use crate::column::{ColumnReader, ColumnWriter};
use crate::parameters::Parameterised;

/// Tags of [`PartContent`] in the column.
const LEAF: u64 = 0;
const MULTIPART: u64 = 1;
const MESSAGE: u64 = 2;

impl MimePart {
    /// Decodes the column [`crate::Derived::structure`]; `None` when it is empty or damaged: the caller then parses the
    /// message.
    pub fn decode(column: &[u8]) -> Option<Self> {
        Self::read(&mut ColumnReader::new(column), 0)
    }

    pub(crate) fn write(&self, writer: &mut ColumnWriter) {
        for number in [self.header.start, self.header.end, self.body.start, self.body.end, self.lines] {
            writer.number(number);
        }
        writer.octets(&self.media.kind);
        writer.octets(&self.media.subtype);
        writer.list(&self.media.parameters, write_parameter);
        writer.octets(&self.encoding);
        self.attributes.write(writer);
        match &self.content {
            PartContent::Leaf => writer.number(LEAF),
            PartContent::Multipart(parts) => {
                writer.number(MULTIPART);
                writer.list(parts, |writer, part| part.write(writer));
            }
            PartContent::Message(part, envelope) => {
                writer.number(MESSAGE);
                part.write(writer);
                envelope.write(writer);
            }
        }
    }

    fn read(reader: &mut ColumnReader<'_>, depth: usize) -> Option<Self> {
        if depth > PART_DEPTH_MAX {
            return None;
        }
        let (header, body) = (read_range(reader)?, read_range(reader)?);
        let lines = reader.number()?;
        let (kind, subtype) = (reader.octets()?.to_vec(), reader.octets()?.to_vec());
        let media = MediaType { kind, subtype, parameters: reader.list(read_parameter)? };
        let encoding = reader.octets()?.to_vec();
        let attributes = ContentAttributes::read(reader)?;
        let content = match reader.number()? {
            LEAF => PartContent::Leaf,
            MULTIPART => PartContent::Multipart(reader.list(|reader| Self::read(reader, depth + 1))?),
            MESSAGE => {
                let part = Box::new(Self::read(reader, depth + 1)?);
                PartContent::Message(part, Box::new(ImapEnvelope::read(reader)?))
            }
            _ => return None,
        };
        Some(Self { header, body, lines, media, encoding, attributes, content })
    }
}

impl ContentAttributes {
    /// Writes the fields. A part without any of them, the common case, takes one octet.
    fn write(&self, writer: &mut ColumnWriter) {
        writer.number(u64::from(*self != Self::default()));
        if *self == Self::default() {
            return;
        }
        for text in [&self.id, &self.description, &self.md5, &self.location] {
            writer.optional(text.as_deref());
        }
        writer.list(&self.languages, |writer, tag| writer.octets(tag));
        writer.list(self.disposition.as_slice(), |writer, disposition| {
            writer.octets(&disposition.value);
            writer.list(&disposition.parameters, write_parameter);
        });
    }

    fn read(reader: &mut ColumnReader<'_>) -> Option<Self> {
        if reader.number()? == 0 {
            return Some(Self::default());
        }
        let mut text = || Some(reader.optional()?.map(<[u8]>::to_vec));
        let (id, description, md5, location) = (text()?, text()?, text()?, text()?);
        let languages = reader.list(|reader| reader.octets().map(<[u8]>::to_vec))?;
        let disposition = reader.list(|reader| {
            let value = reader.octets()?.to_vec();
            Some(Parameterised { value, parameters: reader.list(read_parameter)? })
        })?;
        Some(Self { id, description, md5, disposition: disposition.into_iter().next(), languages, location })
    }
}

fn write_parameter(writer: &mut ColumnWriter, (name, value): &(Vec<u8>, Vec<u8>)) {
    writer.octets(name);
    writer.octets(value);
}

fn read_parameter(reader: &mut ColumnReader<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((reader.octets()?.to_vec(), reader.octets()?.to_vec()))
}

fn read_range(reader: &mut ColumnReader<'_>) -> Option<Range<u64>> {
    let range = reader.number()?..reader.number()?;
    (range.start <= range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &str = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain (c); charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable (c)\r\n\
        Content-Disposition: attachment; filename*0=a; filename*1=b\r\nContent-Language: fr, en (x)\r\n\r\none\r\n\
        --b\r\nContent-ID: (a) <i> (b)\r\nContent-MD5: q (c)\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext\r\n--b--\r\n";

    fn encoded(part: &MimePart) -> Vec<u8> {
        let mut writer = ColumnWriter::new();
        part.write(&mut writer);
        writer.finish(100_000)
    }

    #[test]
    fn reads_content_fields() {
        let part = MimePart::of(MESSAGE.as_bytes());
        let PartContent::Multipart(parts) = &part.content else { panic!("{part:?}") };
        assert_eq!(parts[0].encoding, b"Quoted-Printable");
        assert_eq!(parts[0].attributes.languages, [b"fr".to_vec(), b"en".to_vec()]);
        let disposition = parts[0].attributes.disposition.as_ref().unwrap();
        assert_eq!(disposition.parameter("filename").as_deref(), Some(&b"ab"[..]));
        assert_eq!(parts[1].attributes.id.as_deref(), Some(&b"<i>"[..]));
        assert_eq!(parts[1].attributes.md5.as_deref(), Some(&b"q"[..]));
        let PartContent::Message(_, envelope) = &parts[1].content else { panic!("{part:?}") };
        assert_eq!(envelope.subject.as_deref(), Some(&b"in"[..]));
    }

    #[test]
    fn reads_an_encoding_despite_comments_and_punctuation() {
        for value in
            ["base64", "base64 (c)", "(c) base64", "\"base64\"", "'base64'", "base64;", "base64, x", "\r\n base64"]
        {
            let part = MimePart::of(format!("Content-Transfer-Encoding: {value}\r\n\r\n").as_bytes());
            assert_eq!(part.encoding, b"base64", "{value}");
        }
    }

    #[test]
    fn the_first_of_repeated_fields_counts() {
        for name in super::super::CONTENT_FIELDS {
            for first in ["", " a/b"] {
                let alone = MimePart::of(format!("Content-{name}:{first}\r\n\r\n").as_bytes());
                let twice = MimePart::of(format!("Content-{name}:{first}\r\nContent-{name}: c/d\r\n\r\n").as_bytes());
                let read = |part: MimePart| (part.media, part.encoding, part.attributes);
                assert_eq!(read(twice), read(alone), "{name}:{first}");
            }
        }
    }

    #[test]
    fn a_structure_is_the_same_after_encoding_and_decoding() {
        let part = MimePart::of(MESSAGE.as_bytes());
        let column = encoded(&part);
        assert_eq!(MimePart::decode(&column), Some(part));
        assert!((0..column.len()).all(|cut| MimePart::decode(&column[..cut]).is_none()));
    }

    #[test]
    fn a_column_cannot_nest_without_bound() {
        let part = MimePart::of(b"");
        let mut head = encoded(&part);
        head.pop();
        head.push(1);
        head.push(1);
        let column = head.repeat(100_000);
        assert_eq!(MimePart::decode(&column), None);
    }

    proptest! {
        #[test]
        fn any_column_is_read_or_refused(column in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = MimePart::decode(&column);
        }
    }
}
