//! Charset conversion in pieces: gives the same text as [`crate::charset::decode`] of the whole, except for lines above
//! [`LINE_OCTETS_MAX`] in a line-by-line charset.

use encoding_rs::{Decoder, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::charset::{Charset, Utf32};

/// Longest unfinished line that the decoder of a line-by-line charset keeps, octets; a longer one is decoded in parts.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// The state of the decoder between two pieces.
pub(crate) enum CharsetDecoder {
    /// A known charset.
    Known(Decoder),
    /// UTF-8 until an octet shows otherwise.
    Guess(Decoder),
    /// The decoder of a line, and the line that has not ended. Shift sequences end with the line (RFC 1557, RFC 1843,
    /// RFC 2152).
    Lines(fn(&[u8]) -> String, Vec<u8>),
    /// UTF-32.
    Utf32(Utf32),
}

impl std::fmt::Debug for CharsetDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known",
            Self::Guess(_) => "Guess",
            Self::Lines(..) => "Lines",
            Self::Utf32(_) => "Utf32",
        })
    }
}

impl CharsetDecoder {
    /// Starts a decoder for the charset of that label.
    pub(crate) fn new(label: &[u8]) -> Self {
        match Charset::of(label) {
            Charset::Known(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
                Self::Known(encoding.new_decoder())
            }
            Charset::Known(encoding) => Self::Known(encoding.new_decoder_with_bom_removal()),
            Charset::Lines(read) => Self::Lines(read, Vec::new()),
            Charset::Utf32(order) => Self::Utf32(Utf32::new(order)),
            Charset::Unstated => Self::Guess(UTF_8.new_decoder_without_bom_handling()),
        }
    }

    /// Starts a decoder for text that has no usable label and is not valid UTF-8.
    pub(crate) fn fallback() -> Self {
        Self::Known(WINDOWS_1252.new_decoder_without_bom_handling())
    }

    /// Whether the charset is a guess, so that [`Self::feed`] may report it wrong.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self, Self::Guess(_))
    }

    /// Appends the text of the next piece to `text`. Returns false when the guess was wrong.
    pub(crate) fn feed(&mut self, octets: &[u8], is_last: bool, text: &mut String) -> bool {
        match self {
            Self::Known(decoder) => {
                decode(decoder, octets, is_last, text);
                true
            }
            Self::Guess(decoder) => !decode(decoder, octets, is_last, text),
            Self::Lines(read, line) => {
                line.extend_from_slice(octets);
                let end = match memchr::memrchr(b'\n', line) {
                    Some(at) if !is_last => at + 1,
                    None if !is_last && line.len() <= LINE_OCTETS_MAX => 0,
                    _ => line.len(),
                };
                let rest = line.split_off(end);
                let lines = std::mem::replace(line, rest);
                text.extend(lines.split_inclusive(|octet| *octet == b'\n').map(*read));
                true
            }
            Self::Utf32(reader) => {
                reader.feed(octets, is_last, text);
                true
            }
        }
    }
}

/// Appends the text of the octets. Returns whether they were malformed.
fn decode(decoder: &mut Decoder, octets: &[u8], is_last: bool, text: &mut String) -> bool {
    // The reserved room lets one call take all octets.
    text.reserve(decoder.max_utf8_buffer_length(octets.len()).unwrap_or_default());
    let (_, _, has_errors) = decoder.decode_to_string(octets, text, is_last);
    has_errors
}
