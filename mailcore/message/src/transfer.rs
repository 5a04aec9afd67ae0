//! Decoding of Content-Transfer-Encoding (RFC 2045 §6). Malformed input is decoded as far as possible.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 with or without padding, as mail programs write both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes a body. Encodings other than base64 and quoted-printable leave it unchanged.
pub fn decode_transfer<'a>(body: &'a [u8], encoding: &[u8]) -> Cow<'a, [u8]> {
    if encoding.eq_ignore_ascii_case(b"base64") {
        base64(body).into()
    } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
        quoted_printable(body).into()
    } else {
        body.into()
    }
}

/// Decodes base64 up to its padding; octets outside of the alphabet are skipped (RFC 2045 §6.8).
pub(crate) fn base64(body: &[u8]) -> Vec<u8> {
    let keep = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    let mut digits: Vec<u8> = body.iter().copied().take_while(|octet| *octet != b'=').filter(keep).collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    BASE64.decode(&digits).unwrap_or_default()
}

/// Decodes quoted-printable (RFC 2045 §6.7); malformed escapes stay as they are.
pub(crate) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        // RFC 2045 §6.7 rule 3: white space at the end of a line was added in transport.
        let text = line.trim_ascii_end();
        let (text, is_soft) = match text.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (text, false),
        };
        unescape(text, &mut decoded);
        if !is_soft {
            decoded.extend_from_slice(line_end(line));
        }
    }
    decoded
}

fn line_end(line: &[u8]) -> &'static [u8] {
    match line {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    }
}

/// Decodes `=XX`; malformed escapes stay as they are.
pub(crate) fn unescape(text: &[u8], decoded: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'=', rest) {
        decoded.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        match rest.split_first_chunk().and_then(|(digits, after)| Some((hex(*digits)?, after))) {
            Some((octet, after)) => {
                decoded.push(octet);
                rest = after;
            }
            None => decoded.push(b'='),
        }
    }
    decoded.extend_from_slice(rest);
}

/// Decodes the Q encoding of encoded words (RFC 2047 §4.2).
pub(crate) fn q(coded: &[u8]) -> Vec<u8> {
    let spaces: Vec<u8> = coded.iter().map(|octet| if *octet == b'_' { b' ' } else { *octet }).collect();
    let mut decoded = Vec::with_capacity(spaces.len());
    unescape(&spaces, &mut decoded);
    decoded
}

/// Decodes two hexadecimal digits.
pub(crate) fn hex(digits: [u8; 2]) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 2045 §6.7.
    #[test]
    fn reads_quoted_printable() {
        for (body, expect) in [
            ("=C3=A9t=c3=a9", "été"),
            ("soft=\r\nbreak", "softbreak"),
            ("soft= \t\r\nbreak", "softbreak"),
            ("soft=\nbreak", "softbreak"),
            ("added \t\r\nspace", "added\r\nspace"),
            ("a =ZZ=", "a =ZZ"),
            ("a\r\n\r\nb\n", "a\r\n\r\nb\n"),
            ("=3D_", "=_"),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(body.as_bytes())), expect, "{body:?}");
        }
        assert_eq!(q(b"a_b=5F"), b"a b_");
    }

    /// RFC 2045 §6.8.
    #[test]
    fn reads_base64() {
        for (body, expect) in
            [("YWJj\r\nZGU=\r\n", "abcde"), ("YWJjZGU", "abcde"), ("YW*Jj", "abc"), ("Y", ""), ("YWJj=garbage", "abc")]
        {
            assert_eq!(String::from_utf8_lossy(&base64(body.as_bytes())), expect, "{body:?}");
        }
        assert_eq!(&*decode_transfer(b"YQ==", b"BASE64"), b"a");
        assert_eq!(&*decode_transfer(b"YQ==", b"x-unknown"), b"YQ==");
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in proptest::collection::vec(any::<u8>(), 0..80), text in "[=\r\n \tAa0_]{0,60}") {
            prop_assert!(base64(&body).len() <= body.len());
            prop_assert!(quoted_printable(&body).len() <= body.len());
            prop_assert!(quoted_printable(text.as_bytes()).len() <= text.len());
        }
    }
}
