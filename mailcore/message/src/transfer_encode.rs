//! Encodes a body for transfer (RFC 2045 §6) in lines of ASCII that decode to the same octets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest encoded line without its CRLF, octets (RFC 2045 §6.7 rule 5, §6.8).
const LINE_OCTETS_MAX: usize = 76;
/// Octets encoded by one full line of base64.
const BASE64_LINE_OCTETS: usize = LINE_OCTETS_MAX / 4 * 3;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Returns the length of the base64 of `octets` octets, with its line ends.
pub(crate) fn base64_octets(octets: usize) -> usize {
    octets.div_ceil(3) * 4 + octets.div_ceil(BASE64_LINE_OCTETS).saturating_sub(1) * 2
}

/// Appends the body in base64 (RFC 2045 §6.8), without a line end after the last line.
pub(crate) fn put_base64(body: &[u8], encoded: &mut Vec<u8>) {
    let mut line = String::with_capacity(LINE_OCTETS_MAX);
    for (number, octets) in body.chunks(BASE64_LINE_OCTETS).enumerate() {
        if number > 0 {
            encoded.extend_from_slice(b"\r\n");
        }
        line.clear();
        STANDARD.encode_string(octets, &mut line);
        encoded.extend_from_slice(line.as_bytes());
    }
}

/// Appends the body in quoted-printable (RFC 2045 §6.7). CRLF stays a line end; a lone CR or LF is encoded, so that the
/// octets decode unchanged.
///
/// Returns false when the result is longer than `octets_max`; what was appended is then to be discarded.
pub(crate) fn put_quoted_printable(body: &[u8], encoded: &mut Vec<u8>, octets_max: usize) -> bool {
    let end = encoded.len().saturating_add(octets_max);
    let mut column = 0;
    let mut rest = body;
    while let Some((octet, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            encoded.extend_from_slice(b"\r\n");
            (column, rest) = (0, after);
            continue;
        }
        let ends_line = after.is_empty() || after.starts_with(b"\r\n");
        let is_plain = match octet {
            // Rule 3: white space at the end of a line may be lost in transport.
            b' ' | b'\t' => !ends_line,
            // A soft line break must not create a line that looks like a boundary.
            b'-' => column + 1 < LINE_OCTETS_MAX,
            octet => octet.is_ascii_graphic() && *octet != b'=',
        };
        let width = if is_plain { 1 } else { 3 };
        // Rule 5: keep room for the `=` of a soft line break.
        if column + width >= LINE_OCTETS_MAX {
            encoded.extend_from_slice(b"=\r\n");
            column = 0;
        }
        match is_plain {
            true => encoded.push(*octet),
            false => encoded.extend_from_slice(&escape(*octet)),
        }
        (column, rest) = (column + width, after);
        if encoded.len() > end {
            return false;
        }
    }
    encoded.len() <= end
}

fn escape(octet: u8) -> [u8; 3] {
    let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or(b'0');
    [b'=', digit(octet >> 4), digit(octet & 0x0F)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode_transfer;
    use proptest::prelude::*;

    fn quoted_printable(body: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        assert!(put_quoted_printable(body, &mut encoded, usize::MAX));
        encoded
    }

    /// RFC 2045 §6.7.
    #[test]
    fn writes_quoted_printable() {
        let (long, cut) = ("x".repeat(80), format!("{}=\r\n{}", "x".repeat(75), "x".repeat(5)));
        for (body, expect) in [
            ("été = x\r\n", "=C3=A9t=C3=A9 =3D x\r\n"),
            ("end \r\ntab\t", "end=20\r\ntab=09"),
            ("a b\r\n\r\n", "a b\r\n\r\n"),
            ("bare\rCR\nLF", "bare=0DCR=0ALF"),
            (&long, &cut),
            (&format!("{}--b", "x".repeat(75)), &format!("{}=\r\n=2D-b", "x".repeat(75))),
            ("-- \r\n", "--=20\r\n"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(body.as_bytes())), expect, "{body:?}");
        }
        assert!(!put_quoted_printable("é".as_bytes(), &mut Vec::new(), 5));
    }

    proptest! {
        #[test]
        fn any_octets_come_back(body in proptest::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'='), Just(b'a'),
        ], 0..400)) {
            let mut base64 = Vec::new();
            put_base64(&body, &mut base64);
            prop_assert_eq!(base64.len(), base64_octets(body.len()));
            for (encoded, encoding) in [(base64, "base64"), (quoted_printable(&body), "quoted-printable")] {
                prop_assert!(encoded.is_ascii());
                prop_assert!(encoded.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_OCTETS_MAX + 1));
                prop_assert_eq!(&*decode_transfer(&encoded, encoding.as_bytes()), &body[..]);
            }
        }
    }
}
