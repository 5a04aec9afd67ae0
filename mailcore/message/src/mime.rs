//! The MIME structure of a message as offsets into its octets (RFC 2045, RFC 2046).
//!
//! The parser makes one pass over the lines. Nothing is decoded; only the Content- fields and the envelopes of inner
//! messages are copied. A part that is nested too deeply stays undivided; parts beyond the maximum number are skipped.

mod seven_bit;
mod split;
mod structure_column;

use std::borrow::Cow;
use std::ops::Range;

use crate::ImapEnvelope;
use crate::headers::{HeaderField, fields};
use crate::parameters::{Parameterised, parameter};
use crate::tokens::{ids_without_comments, without_comments};

pub use seven_bit::{Unconvertible, seven_bit};
pub use split::PART_DEPTH_MAX;

/// Maximum number of languages kept of one part.
const LANGUAGES_MAX: usize = 32;
/// Maximum number of header fields read from one part: more than the header section of a message can have.
const FIELDS_MAX: usize = 65_536;

/// One MIME part; the root is the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MimePart {
    /// Octet range of its header, with the empty line.
    pub header: Range<u64>,
    /// Octet range of its body as transferred, without the CRLF that belongs to the next boundary (RFC 2046 §5.1.1).
    pub body: Range<u64>,
    /// Line ends in the body; counted for the types `text`, `message` and `multipart` only, else zero.
    pub lines: u64,
    /// The media type: from Content-Type, or the default when the field is absent or malformed.
    pub media: MediaType,
    /// Content-Transfer-Encoding; empty when the field is absent.
    pub encoding: Vec<u8>,
    /// The other Content- fields.
    pub attributes: ContentAttributes,
    /// The structure of the body.
    pub content: PartContent,
}

/// The Content- fields of a part other than type and encoding: octets as sent, unfolded. Only Content-Description and
/// Content-Location keep what looks like a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentAttributes {
    /// The Content-ID field.
    pub id: Option<Vec<u8>>,
    /// The Content-Description field.
    pub description: Option<Vec<u8>>,
    /// The Content-MD5 field.
    pub md5: Option<Vec<u8>>,
    /// The Content-Disposition field (RFC 2183).
    pub disposition: Option<Parameterised>,
    /// The language tags of Content-Language.
    pub languages: Vec<Vec<u8>>,
    /// The Content-Location field.
    pub location: Option<Vec<u8>>,
}

/// The structure of a part's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartContent {
    /// A part without parts.
    Leaf,
    /// A multipart with at least one part.
    Multipart(Vec<MimePart>),
    /// A message/rfc822; its header and body lie within the part's body.
    Message(Box<MimePart>, Box<ImapEnvelope>),
}

/// A media type with its parameters (RFC 2045 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The type, as written.
    pub kind: Vec<u8>,
    /// The subtype, as written.
    pub subtype: Vec<u8>,
    /// Its parameters (see [`Parameterised::parameters`]).
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl MediaType {
    /// Returns `text/plain; charset=us-ascii`, the default without Content-Type (RFC 2045 §5.2).
    pub fn plain_text() -> Self {
        let charset = (b"charset".to_vec(), b"us-ascii".to_vec());
        Self { kind: b"text".to_vec(), subtype: b"plain".to_vec(), parameters: vec![charset] }
    }

    /// Returns `message/rfc822`, the default within multipart/digest (RFC 2046 §5.1.5).
    fn message() -> Self {
        Self { kind: b"message".to_vec(), subtype: b"rfc822".to_vec(), parameters: Vec::new() }
    }

    /// Parses `type/subtype` and its parameters; `None` without a slash, or with nothing on one side of it.
    fn parse(value: &[u8]) -> Option<Self> {
        let Parameterised { value, parameters } = Parameterised::parse(value);
        let slash = memchr::memchr(b'/', &value)?;
        let (kind, subtype) = (value.get(..slash)?, value.get(slash + 1..)?);
        let is_whole = !kind.is_empty() && !subtype.is_empty();
        is_whole.then(|| Self { kind: kind.to_vec(), subtype: subtype.to_vec(), parameters })
    }

    /// Whether the type matches, ignoring case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    /// Whether type and subtype match, ignoring case.
    pub fn is_exactly(&self, kind: &str, subtype: &str) -> bool {
        self.is(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Returns a parameter by name (see [`Parameterised::parameter`]).
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        parameter(&self.parameters, name)
    }
}

/// Maximum number of octets of a UTF-8 character after its first (RFC 3629 §3).
const CONTINUATION_OCTETS_MAX: usize = 3;

impl MimePart {
    /// Returns the part's header; `message` must be the one that was parsed.
    pub fn header_in<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        slice(message, &self.header)
    }

    /// Returns the part's body as transferred; `message` must be the one that was parsed.
    pub fn body_in<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        slice(message, &self.body)
    }

    /// Returns the part's body with its transfer encoding undone.
    pub fn decoded_in<'m>(&self, message: &'m [u8]) -> Cow<'m, [u8]> {
        crate::decode_transfer(self.body_in(message), &self.encoding)
    }

    /// Returns the part's body as text, with transfer encoding and charset undone.
    pub fn text_in(&self, message: &[u8]) -> String {
        self.text_of(self.body_in(message))
    }

    /// Returns the text of the first octets of the body as transferred, at most `octets_max`.
    pub(crate) fn beginning_in(&self, message: &[u8], octets_max: usize) -> String {
        let body = self.body_in(message);
        let is_inside = |end: usize| body.get(end).is_some_and(|octet| octet & 0b1100_0000 == 0b1000_0000);
        // Cutting inside a UTF-8 character would make the decoder take the text for another charset.
        let end = (octets_max.saturating_sub(CONTINUATION_OCTETS_MAX)..=octets_max)
            .rev()
            .find(|end| !is_inside(*end))
            .unwrap_or(octets_max);
        self.text_of(body.get(..end).unwrap_or(body))
    }

    fn text_of(&self, body: &[u8]) -> String {
        let decoded = crate::decode_transfer(body, &self.encoding);
        crate::charset::decode(&decoded, &self.media.parameter("charset").unwrap_or_default())
    }
}

fn slice<'m>(message: &'m [u8], range: &Range<u64>) -> &'m [u8] {
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    message.get(offset(range.start)..offset(range.end)).unwrap_or_default()
}

/// The fields that are read, without `Content-`.
const CONTENT_FIELDS: [&str; 8] =
    ["Type", "Transfer-Encoding", "ID", "Description", "MD5", "Disposition", "Language", "Location"];

/// The Content- fields of one header, as they are collected.
#[derive(Default)]
struct ContentFields {
    media: Option<MediaType>,
    encoding: Vec<u8>,
    attributes: ContentAttributes,
}

impl ContentFields {
    /// Reads the fields. Of repeated ones, the first counts, even when it is malformed or empty: with another type or
    /// encoding than other readers find, a part would have other content.
    fn of(header: &[u8]) -> Self {
        let (mut read, mut seen) = (Self::default(), 0_u8);
        for field in fields(header).take(FIELDS_MAX) {
            let Some(rest) = content_name(&field) else { continue };
            let Some(at) = CONTENT_FIELDS.iter().position(|name| name.eq_ignore_ascii_case(rest)) else { continue };
            if seen & (1 << at) == 0 {
                seen |= 1 << at;
                read.read_field(&field);
            }
        }
        read
    }

    fn read_field(&mut self, field: &HeaderField<'_>) {
        if field.is("Content-Type") {
            self.media = MediaType::parse(&field.unfolded());
        } else if field.is("Content-Transfer-Encoding") {
            self.encoding = token(field);
        } else {
            self.attributes.read_field(field);
        }
    }

    /// Counts parameters and languages.
    fn items(&self) -> usize {
        let parameters = self.media.as_ref().map_or(0, |media| media.parameters.len());
        parameters
            + self.attributes.languages.len()
            + self.attributes.disposition.as_ref().map_or(0, |read| read.parameters.len())
    }
}

impl ContentAttributes {
    fn read_field(&mut self, field: &HeaderField<'_>) {
        let unfolded = field.unfolded();
        if field.is("Content-ID") {
            self.id = Some(ids_without_comments(&unfolded).into_owned());
        } else if field.is("Content-MD5") {
            self.md5 = Some(token(field));
        } else if field.is("Content-Description") {
            self.description = Some(unfolded.into_owned());
        } else if field.is("Content-Location") {
            self.location = Some(unfolded.into_owned());
        } else if field.is("Content-Disposition") {
            self.disposition = Some(Parameterised::parse(&unfolded)).filter(|read| !read.value.is_empty());
        } else if field.is("Content-Language") {
            let value = without_comments(&unfolded);
            let tags = value.split(|octet| *octet == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty());
            self.languages = tags.take(LANGUAGES_MAX).map(<[u8]>::to_vec).collect();
        }
    }
}

/// The name of a field after `Content-`; `None` for other fields.
fn content_name<'a>(field: &HeaderField<'a>) -> Option<&'a str> {
    let (head, rest) = field.name().split_at_checked("Content-".len())?;
    head.eq_ignore_ascii_case("Content-").then_some(rest)
}

/// Reads the first word of a structured field, without comments and without quotation marks, which some programs add.
fn token(field: &HeaderField<'_>) -> Vec<u8> {
    let unfolded = field.unfolded();
    let value = without_comments(&unfolded);
    let is_end = |octet: &u8| octet.is_ascii_whitespace() || b";,".contains(octet);
    let word = value.trim_ascii().split(is_end).next().unwrap_or_default();
    match word {
        [open @ (b'"' | b'\''), inner @ .., close] if open == close => inner.to_vec(),
        word => word.to_vec(),
    }
}
