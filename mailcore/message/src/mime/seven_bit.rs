//! Conversion of a message for a server that accepts 7-bit content only (RFC 6152 §3): each 8-bit part is encoded by
//! itself.
//!
//! The converted message decodes to the same leaves, with the same types, charsets and header fields. Signed and
//! encrypted parts are never changed (RFC 1847 §2.1, RFC 2480 §4), and a message that can only be converted by guessing
//! is refused. The conversion takes one pass, within the bounds of [`MimePart::of`]. Bodies grow by at most half, plus
//! a few octets per part. Encoded words can make a field several times longer, so the fields of a header are bounded.

use super::split::PARTS_MAX;
use super::{ContentFields, FIELDS_MAX, MimePart, PartContent};
use crate::headers::{HeaderField, HeaderSection, fields};
use crate::transfer_encode::{base64_octets, put_base64, put_quoted_printable};
use crate::{decode_words, encode_words};

/// Longest field value that is encoded, octets. A longer one makes the message unconvertible.
const VALUE_OCTETS_MAX: usize = 64 * 1024;
/// Characters of a field name shown in a refusal.
const NAME_CHARS_SHOWN: usize = 40;
/// The new label of a composite part that was declared 8bit or binary, and of an ASCII leaf that was declared 8bit.
const SEVEN_BIT: &str = "7bit";

/// Why a message cannot be converted. The text is printable ASCII, for the SMTP reply and the report to the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    /// 8-bit octets in a header line that cannot become encoded words: a field where RFC 2047 §5 allows none, a value
    /// that is too long or not UTF-8, or a line that is not a field.
    #[error("its header field {0} holds 8-bit octets")]
    Header(String),
    /// 8-bit octets in a signed or encrypted part: changing them would break the signature or the encryption.
    #[error("it holds 8-bit octets in a part that is signed or encrypted")]
    Protected,
    /// 8-bit octets in a composite type, which cannot be encoded as a whole (RFC 2045 §6.4).
    #[error("it holds 8-bit octets in a part of type {0}, which must not be encoded")]
    Composite(String),
    /// 8-bit octets in a part whose Content-Transfer-Encoding names an encoding such as base64, or is unknown.
    #[error("it holds 8-bit octets in a part whose Content-Transfer-Encoding does not allow them")]
    Encoded,
    /// The structure exceeds the parser's bounds, or is malformed so that two readers may see two messages.
    #[error("it holds 8-bit octets, and its structure is malformed or too large")]
    Structure,
}

/// Returns the message in 7-bit octets. In a message of ASCII, only parts labelled 8bit or binary are relabelled or
/// encoded.
pub fn seven_bit(message: &[u8]) -> Result<Vec<u8>, Unconvertible> {
    let root = MimePart::of(message);
    // Room for base64 of the whole message, with its line ends. Pages that are never written cost no memory.
    let converted = Vec::with_capacity(message.len() + message.len() / 2);
    let mut converter = Converter { message, converted, at: 0, parts: 0 };
    converter.entity(&root, EntityContext::Message)?;
    converter.gap(message.len())?;
    Ok(converter.converted)
}

/// Where an entity stands in the message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EntityContext {
    /// A whole message, whose header holds MIME-Version (RFC 2045 §4).
    Message,
    /// A part of a multipart.
    Multipart,
}

/// What the Content-Transfer-Encoding of a part declares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DeclaredEncoding {
    SevenBit,
    EightBit,
    Binary,
    /// An encoding such as base64, or an unknown label.
    Other,
}

impl DeclaredEncoding {
    fn of(encoding: &[u8]) -> Self {
        let is = |name: &str| encoding.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if encoding.is_empty() || is(SEVEN_BIT) => Self::SevenBit,
            () if is("8bit") => Self::EightBit,
            () if is("binary") => Self::Binary,
            () => Self::Other,
        }
    }
}

struct Converter<'m> {
    message: &'m [u8],
    converted: Vec<u8>,
    /// Octets of the message converted so far.
    at: usize,
    parts: usize,
}

impl Converter<'_> {
    fn entity(&mut self, part: &MimePart, place: EntityContext) -> Result<(), Unconvertible> {
        self.parts += 1;
        if self.parts >= PARTS_MAX {
            // The parser takes parts beyond its bounds for an epilogue, whose 8-bit octets `gap` would replace.
            return Err(Unconvertible::Structure);
        }
        self.gap(offset(part.header.start))?;
        let (body, label) = (part.body_in(self.message), DeclaredEncoding::of(&part.encoding));
        let is_composite = !matches!(part.content, PartContent::Leaf);
        match (body.is_ascii(), label) {
            (false, _) if is_protected(part) => Err(Unconvertible::Protected),
            (true, _) if is_protected(part) => self.unchanged(part, place),
            (true, DeclaredEncoding::SevenBit | DeclaredEncoding::Other) => self.unchanged(part, place),
            _ if !is_as_read(part, part.header_in(self.message)) => Err(Unconvertible::Structure),
            (_, DeclaredEncoding::Other) => Err(Unconvertible::Encoded),
            (_, DeclaredEncoding::SevenBit) if is_composite => {
                self.header(part, None, place)?;
                self.inside(part)
            }
            (_, _) if is_composite => {
                self.header(part, Some(SEVEN_BIT), place)?;
                self.inside(part)
            }
            (true, DeclaredEncoding::EightBit) => {
                self.header(part, Some(SEVEN_BIT), place)?;
                self.copy(offset(part.body.end))
            }
            _ => self.leaf(part, place),
        }
    }

    /// Copies the entity with its body unchanged.
    fn unchanged(&mut self, part: &MimePart, place: EntityContext) -> Result<(), Unconvertible> {
        self.header(part, None, place)?;
        self.copy(offset(part.body.end))
    }

    /// Converts the parts of a composite part.
    fn inside(&mut self, part: &MimePart) -> Result<(), Unconvertible> {
        match &part.content {
            PartContent::Leaf => {}
            PartContent::Multipart(parts) => {
                for inner in parts {
                    self.entity(inner, EntityContext::Multipart)?;
                }
            }
            PartContent::Message(inner, _) => self.entity(inner, EntityContext::Message)?,
        }
        self.gap(offset(part.body.end))
    }

    /// Encodes a leaf: text in the shorter encoding, so that mostly-ASCII text stays readable, everything else in
    /// base64.
    fn leaf(&mut self, part: &MimePart, place: EntityContext) -> Result<(), Unconvertible> {
        if part.media.is("multipart") || part.media.is("message") {
            let media = [&part.media.kind[..], b"/", &part.media.subtype].concat();
            return Err(Unconvertible::Composite(shown(&String::from_utf8_lossy(&media))));
        }
        let (body, begin, at) = (part.body_in(self.message), self.converted.len(), self.at);
        if part.media.is("text") {
            self.header(part, Some("quoted-printable"), place)?;
            if put_quoted_printable(body, &mut self.converted, base64_octets(body.len())) {
                self.at = offset(part.body.end);
                return Ok(());
            }
            self.converted.truncate(begin);
            self.at = at;
        }
        self.header(part, Some("base64"), place)?;
        put_base64(body, &mut self.converted);
        self.at = offset(part.body.end);
        Ok(())
    }

    /// Writes a header. Fields with 8-bit octets become encoded words. `encoding`, if given, becomes the
    /// Content-Transfer-Encoding, and a message without MIME-Version then gets that field.
    fn header(&mut self, part: &MimePart, encoding: Option<&str>, place: EntityContext) -> Result<(), Unconvertible> {
        let header = part.header_in(self.message);
        if encoding.is_none() && header.is_ascii() {
            return self.copy(offset(part.header.end));
        }
        if fields(header).nth(FIELDS_MAX).is_some() {
            return Err(Unconvertible::Structure);
        }
        let label = encoding.map(|encoding| format!("Content-Transfer-Encoding: {encoding}\r\n"));
        let mut label = label.as_deref();
        let (start, headers, mut has_version) = (offset(part.header.start), HeaderSection::of(header), false);
        for field in fields(header) {
            let span = headers.span(&field);
            // Copies the lines before this field that are not fields.
            self.ascii(start + span.start)?;
            has_version |= field.is("MIME-Version");
            if encoding.is_some() && field.is("Content-Transfer-Encoding") {
                self.converted.extend_from_slice(label.take().unwrap_or_default().as_bytes());
            } else if field.whole().is_ascii() {
                self.converted.extend_from_slice(field.whole());
            } else {
                self.converted.extend_from_slice(encoded(&field)?.as_bytes());
            }
            self.at = start + span.end;
        }
        if encoding.is_some() && place == EntityContext::Message && !has_version {
            self.converted.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        self.converted.extend_from_slice(label.unwrap_or_default().as_bytes());
        self.ascii(offset(part.header.end))
    }

    /// Copies the octets up to `end`. The caller has checked that they are ASCII.
    fn copy(&mut self, end: usize) -> Result<(), Unconvertible> {
        let octets = self.message.get(self.at..end).ok_or(Unconvertible::Structure)?;
        self.converted.extend_from_slice(octets);
        self.at = end;
        Ok(())
    }

    /// Copies the octets up to `end`; refuses those that are not ASCII.
    fn ascii(&mut self, end: usize) -> Result<(), Unconvertible> {
        match self.message.get(self.at..end) {
            Some(octets) if octets.is_ascii() => self.copy(end),
            Some(_) => Err(Unconvertible::Header("(a line without a name)".into())),
            None => Err(Unconvertible::Structure),
        }
    }

    /// Copies what stands between parts: boundaries, preamble and epilogue. Readers do not show these (RFC 2046 §5.1.1)
    /// and they cannot be encoded, so `?` replaces their 8-bit octets. Refuses 8-bit octets in a line that begins with
    /// `--`, which may be a boundary.
    fn gap(&mut self, end: usize) -> Result<(), Unconvertible> {
        let octets = self.message.get(self.at..end).ok_or(Unconvertible::Structure)?;
        if octets.is_ascii() {
            return self.copy(end);
        }
        let lines = octets.split_inclusive(|octet| *octet == b'\n');
        if lines.clone().any(|line| line.starts_with(b"--") && !line.is_ascii()) {
            return Err(Unconvertible::Structure);
        }
        self.converted.extend(octets.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
        self.at = end;
        Ok(())
    }
}

fn offset(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Whether a part is multipart/signed or multipart/encrypted (RFC 1847 §2.1, §2.2).
fn is_protected(part: &MimePart) -> bool {
    part.media.is_exactly("multipart", "signed") || part.media.is_exactly("multipart", "encrypted")
}

/// Whether every reader finds the same type and encoding in this header. More fields than the parser reads, or a
/// repeated Content-Type or Content-Transfer-Encoding, make the header ambiguous: another reader may take another type
/// or encoding, and decode other content.
fn is_as_read(part: &MimePart, header: &[u8]) -> bool {
    let read = ContentFields::of(header);
    let count = |name: &str| fields(header).filter(|field| field.is(name)).count();
    fields(header).nth(FIELDS_MAX).is_none()
        && count("Content-Type") <= 1
        && count("Content-Transfer-Encoding") <= 1
        && read.encoding == part.encoding
        && read.media.is_none_or(|media| media == part.media)
}

/// Writes a field in encoded words (RFC 2047 §5 rule 1). Refuses a field that is not unstructured text, a value that is
/// too long, and octets that are not UTF-8.
fn encoded(field: &HeaderField<'_>) -> Result<String, Unconvertible> {
    let is_unstructured = ["Subject", "Comments", "Content-Description"].into_iter().any(|name| field.is(name))
        || field.name().get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case("X-"));
    let value = field.unfolded();
    if !is_unstructured || value.len() > VALUE_OCTETS_MAX || std::str::from_utf8(&value).is_err() {
        return Err(Unconvertible::Header(shown(field.name())));
    }
    // Existing encoded words are decoded first: nested inside new ones they would be shown undecoded.
    Ok(format!("{}:{}\r\n", field.name(), encode_words(&decode_words(&value), field.name().len() + 1)))
}

fn shown(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(NAME_CHARS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::HeaderSection;

    fn converted(message: &str) -> Result<String, Unconvertible> {
        seven_bit(message.as_bytes()).map(|octets| String::from_utf8(octets).unwrap())
    }

    const MULTIPART: &str = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";

    #[test]
    fn encodes_leaf_by_leaf() {
        for (message, expect) in [
            // A message without MIME-Version becomes a MIME message.
            (
                "Subject: a\r\n\r\nplain text é\r\n",
                "Subject: a\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9\r\n",
            ),
            (
                "\r\nplain text é",
                "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9",
            ),
            // The new label takes the place of the old one.
            (
                "Content-Transfer-Encoding: 8BIT (c)\r\nMIME-Version: 1.0\r\n\r\nplain text é\r\n",
                "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\nplain text =C3=A9\r\n",
            ),
            // Mostly 8-bit text: base64 is shorter.
            (
                "MIME-Version: 1.0\r\n\r\nщщщщщщщщ",
                "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n0YnRidGJ0YnRidGJ0YnRiQ==",
            ),
            // Only 8-bit parts are encoded; outer labels agree with inner ones (RFC 2045 §6.4).
            (
                &format!(
                    "{MULTIPART}Content-Transfer-Encoding: 8bit\r\n\r\nPréambule\r\n--b\r\n\r\nplain text é\r\n--b\r\n\
                    Content-Transfer-Encoding: 8bit\r\n\r\nplain = \r\n--b\r\nContent-Type: image/png\r\n\r\né\r\n--b--\r\n"
                ),
                &format!(
                    "{MULTIPART}Content-Transfer-Encoding: 7bit\r\n\r\nPr??ambule\r\n--b\r\n\
                    Content-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9\r\n--b\r\n\
                    Content-Transfer-Encoding: 7bit\r\n\r\nplain = \r\n--b\r\nContent-Type: image/png\r\n\
                    Content-Transfer-Encoding: base64\r\n\r\nw6k=\r\n--b--\r\n"
                ),
            ),
            // Binary content is encoded even if it is ASCII: its lines may have any length (RFC 2045 §2.9).
            (
                &format!(
                    "{MULTIPART}\r\n--b\r\n\r\nplain text é\r\n--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: binary\r\n\r\nx\r\n--b--"
                ),
                &format!(
                    "{MULTIPART}\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9\r\n--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--"
                ),
            ),
            // A message/rfc822 part is never encoded itself (RFC 2046 §5.2.1).
            (
                &format!(
                    "{MULTIPART}\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: é\r\n\r\nplain text é\r\n--b--\r\n"
                ),
                &format!(
                    "{MULTIPART}\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: =?utf-8?B?w6k=?=\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9\r\n--b--\r\n"
                ),
            ),
            // A signed part stays unchanged beside an encoded one.
            (
                &format!(
                    "{MULTIPART}\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsigned\r\n--s--\r\n--b\r\n\r\nplain text é\r\n--b--\r\n"
                ),
                &format!(
                    "{MULTIPART}\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsigned\r\n--s--\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nplain text =C3=A9\r\n--b--\r\n"
                ),
            ),
            // The header of a signed message is not covered by the signature.
            (
                "Subject: é\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--",
                "Subject: =?utf-8?B?w6k=?=\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--",
            ),
            ("Subject: a\r\n\r\nplain\r\n", "Subject: a\r\n\r\nplain\r\n"),
            ("x-note: =?utf-8?q?a?=\r\n é\r\n\r\n", "x-note: =?utf-8?B?YSDDqQ==?=\r\n\r\n"),
        ] {
            assert_eq!(converted(message).as_deref(), Ok(expect), "{message}");
        }
    }

    #[test]
    fn refuses_what_must_not_be_changed() {
        let header = |name: &str| Unconvertible::Header(name.into());
        let many = format!("{MULTIPART}\r\n{}é", "--b\r\n\r\n".repeat(PARTS_MAX));
        let wide =
            format!("{MULTIPART}\r\n{}--b\r\n\r\né", "--b\r\nContent-Type: a/b;c=d\r\n\r\n".repeat(PARTS_MAX - 4));
        let late_encoding = format!("{}Content-Transfer-Encoding: base64\r\n\r\né", "A: b\r\n".repeat(FIELDS_MAX));
        for (message, expect) in [
            ("From: \"é\" <a@b.example>\r\n\r\nx", header("From")),
            ("é\r\n\r\nx", header("(a line without a name)")),
            ("Content-Type: text/plain; name=é\r\n\r\nx", header("Content-Type")),
            ("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\né\r\n--s--", Unconvertible::Protected),
            ("Content-Type: Multipart/Encrypted; boundary=s\r\n\r\n--s\r\n\r\né\r\n--s--", Unconvertible::Protected),
            ("Content-Type: message/partial\r\n\r\né", Unconvertible::Composite("message/partial".into())),
            ("Content-Type: multipart/mixed\r\n\r\né", Unconvertible::Composite("multipart/mixed".into())),
            ("Content-Transfer-Encoding: base64\r\n\r\né", Unconvertible::Encoded),
            ("Content-Transfer-Encoding: x-own\r\n\r\né", Unconvertible::Encoded),
            (
                "Content-Type: multipart/mixed; boundary*=utf-8''%C3%A9\r\n\r\n--é\r\n\r\nx\r\n--é--",
                Unconvertible::Structure,
            ),
            (&format!("{MULTIPART}\r\n--b é\r\n\r\nx\r\n--b--"), Unconvertible::Structure),
            ("Content-Type: a/b\r\nContent-Type: text/plain\r\n\r\né", Unconvertible::Structure),
            ("Content-Transfer-Encoding: 8bit\r\ncontent-transfer-encoding: base64\r\n\r\né", Unconvertible::Structure),
            (&many, Unconvertible::Structure),
            (&"X-A:é\r\n".repeat(FIELDS_MAX + 1), Unconvertible::Structure),
            (&late_encoding, Unconvertible::Structure),
        ] {
            assert_eq!(converted(message), Err(expect), "{message:.200}");
        }
        assert_eq!(converted(&wide).map(|message| message.is_ascii()), Ok(true), "up to the parser's bound");
        let latin = b"Subject: \xe9\r\n\r\nx";
        assert_eq!(seven_bit(latin), Err(header("Subject")), "octets that are not UTF-8 have no known charset");
    }

    #[test]
    fn long_subjects_are_folded() {
        let subject = "é ".repeat(200);
        let message = converted(&format!("Subject: {subject}\r\n\r\nx")).unwrap();
        assert!(message.lines().all(|line| line.len() <= 76), "{message}");
        assert_eq!(HeaderSection::of(message.as_bytes()).decoded("Subject").as_deref(), Some(subject.trim_end()));
    }

    proptest! {
        #[test]
        fn any_lines_are_converted_or_refused(lines in proptest::collection::vec(prop_oneof![
            Just("--b"), Just("--b--"), Just("--c"), Just("é"), Just(""), Just("text"), Just("--é"), Just("Subject: é"),
            Just("Content-Type: multipart/mixed; boundary=b"), Just("Content-Type: multipart/digest; boundary=c"),
            Just("Content-Type: multipart/signed; boundary=c"), Just("Content-Type: message/rfc822"),
            Just("Content-Transfer-Encoding: 8bit"), Just("Content-Transfer-Encoding: base64"), Just("a/b"),
        ], 0..40), end in prop_oneof![Just("\r\n"), Just("\n")]) {
            let message = lines.join(end);
            if let Ok(converted) = seven_bit(message.as_bytes()) {
                prop_assert!(converted.is_ascii());
                prop_assert_eq!(seven_bit(&converted), Ok(converted), "a second conversion changes nothing");
            }
        }
    }
}
