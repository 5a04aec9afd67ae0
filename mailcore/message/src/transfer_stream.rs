//! Decoding of Content-Transfer-Encoding in pieces: gives the same octets as [`crate::decode_transfer`] of the whole,
//! with the memory of one line. Only white space of more than [`LINE_OCTETS_MAX`] at the end of a line may differ.

use crate::transfer::{base64, quoted_printable, unescape};

/// Longest quoted-printable line decoded as a whole, octets; a longer one is decoded in parts. RFC 2045 §6.7 rule 5
/// allows 76.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// Octets of an escape after its `=`.
const ESCAPE_DIGITS: usize = 2;

/// The state of the decoder between two pieces.
#[derive(Debug)]
pub(crate) enum TransferDecoder {
    /// No encoding, or an unknown one.
    Identity,
    /// The digits of an incomplete group of four; `None` after the padding.
    Base64(Option<Vec<u8>>),
    /// The line that has not ended.
    QuotedPrintable(Vec<u8>),
}

impl TransferDecoder {
    /// Starts a decoder for the encoding of that name.
    pub(crate) fn new(encoding: &[u8]) -> Self {
        if encoding.eq_ignore_ascii_case(b"base64") {
            Self::Base64(Some(Vec::new()))
        } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable(Vec::new())
        } else {
            Self::Identity
        }
    }

    /// Returns the decoded octets of the next piece, as far as they are certain.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => piece.to_vec(),
            Self::Base64(None) => Vec::new(),
            Self::Base64(digits) => base64_piece(digits, piece),
            Self::QuotedPrintable(line) => quoted_printable_piece(line, piece),
        }
    }

    /// Returns the remaining octets.
    pub(crate) fn end(self) -> Vec<u8> {
        match self {
            Self::Identity | Self::Base64(None) => Vec::new(),
            Self::Base64(Some(digits)) => base64(&digits),
            Self::QuotedPrintable(line) => quoted_printable(&line),
        }
    }
}

/// Decodes base64 (RFC 2045 §6.8): four digits give three octets, and padding ends the data.
fn base64_piece(carry: &mut Option<Vec<u8>>, piece: &[u8]) -> Vec<u8> {
    let padding = memchr::memchr(b'=', piece);
    let mut digits = carry.take().unwrap_or_default();
    let is_digit = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    digits.extend(piece.iter().take(padding.unwrap_or(piece.len())).copied().filter(is_digit));
    if padding.is_some() {
        return base64(&digits);
    }
    let rest = digits.split_off(digits.len() & !3);
    *carry = Some(rest);
    base64(&digits)
}

/// Decodes quoted-printable by lines: white space at the end of a line is dropped (RFC 2045 §6.7), so the line must be
/// complete.
fn quoted_printable_piece(carry: &mut Vec<u8>, piece: &[u8]) -> Vec<u8> {
    carry.extend_from_slice(piece);
    if let Some(end) = memchr::memrchr(b'\n', piece) {
        let rest = carry.split_off(carry.len() - piece.len() + end + 1);
        return quoted_printable(&std::mem::replace(carry, rest));
    }
    if carry.len() <= LINE_OCTETS_MAX {
        return Vec::new();
    }
    // A line beyond the bound is decoded up to a point that later octets cannot change.
    let text = carry.trim_ascii_end();
    let escape = text.iter().rev().take(ESCAPE_DIGITS).position(|octet| *octet == b'=').map_or(0, |at| at + 1);
    let mut end = text.len() - escape;
    // White space above the bound is decoded as text: the line end that would remove it may never come.
    if carry.len() - end > LINE_OCTETS_MAX {
        end = carry.len();
    }
    let rest = carry.split_off(end);
    let mut decoded = Vec::with_capacity(end);
    unescape(&std::mem::replace(carry, rest), &mut decoded);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode_transfer;
    use proptest::prelude::*;

    fn in_pieces(body: &[u8], encoding: &[u8], octets: usize) -> Vec<u8> {
        let mut decoder = TransferDecoder::new(encoding);
        let mut decoded: Vec<u8> = body.chunks(octets).flat_map(|piece| decoder.feed(piece)).collect();
        decoded.extend(decoder.end());
        decoded
    }

    #[test]
    fn long_lines_are_bounded() {
        for line in ["a=41=", " ", "= ", "=4", "=\t\t=", "x"] {
            let body = line.repeat(200_000);
            let mut decoder = TransferDecoder::new(b"quoted-printable");
            for piece in body.as_bytes().chunks(10_000) {
                decoder.feed(piece);
                let TransferDecoder::QuotedPrintable(kept) = &decoder else { panic!() };
                assert!(kept.len() <= 2 * LINE_OCTETS_MAX, "{line}");
            }
        }
        let text = "=41".repeat(100_000);
        assert_eq!(in_pieces(text.as_bytes(), b"quoted-printable", 999), vec![b'A'; 100_000]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            body in prop_oneof!["[=\r\n \tAa0_]{0,60}", "[A-Za-z0-9+/\r\n*]{0,60}=?[a-z]{0,5}"],
            octets in 1_usize..20,
        ) {
            for encoding in [&b"base64"[..], b"quoted-printable", b"8bit"] {
                let whole = decode_transfer(body.as_bytes(), encoding).into_owned();
                prop_assert_eq!(in_pieces(body.as_bytes(), encoding, octets), whole);
            }
        }
    }
}
