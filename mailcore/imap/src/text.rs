//! What a reader sees of a message, for SEARCH: encoded words, transfer encodings and charsets undone.
//!
//! Matching is by substring without case (RFC 3501 §6.4.4), so everything here ends as lower-case UTF-8.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::Encoding;

use crate::header;
use crate::mime::{Content, Part};
use crate::section::Octets;

/// Decoded text of one message that is looked at; what is behind it is not found.
const SEARCHED_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// Octets within which an encoded word must end. RFC 2047 §2 says 75; senders that ignore it stay below this, and a
/// header made of nothing but beginnings is read in linear time.
const ENCODED_WORD_OCTETS_MAX: usize = 1_024;

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Every field of a header, decoded, in lower case.
pub(crate) fn header_text(header: &[u8]) -> String {
    let mut text = String::new();
    for field in header::fields(header) {
        text.push_str(&String::from_utf8_lossy(field.name));
        text.push_str(": ");
        text.push_str(&decode_words(&header::unfold(field.value)));
        text.push('\n');
    }
    text.to_lowercase()
}

/// The value of a field, decoded, in lower case.
pub(crate) fn field_text(value: &[u8]) -> String {
    decode_words(&header::unfold(value)).to_lowercase()
}

/// The text parts of a message, and the headers of messages within it, decoded, in lower case.
pub(crate) fn body_text(message: &Octets) -> String {
    let mut text = String::new();
    collect(message, message.structure(), &mut text);
    text
}

fn collect(message: &Octets, part: &Part, text: &mut String) {
    if text.len() >= SEARCHED_OCTETS_MAX {
        return;
    }
    match &part.content {
        Content::Multipart(parts) => parts.iter().for_each(|inner| collect(message, inner, text)),
        Content::Message(inner) => {
            text.push_str(&header_text(message.slice(inner.header.clone())));
            collect(message, inner, text);
        }
        Content::Leaf if part.media.is("text") || part.media.is("multipart") => {
            text.push_str(&leaf_text(message, part).to_lowercase());
            text.push('\n');
        }
        Content::Leaf => {}
    }
}

fn leaf_text(message: &Octets, part: &Part) -> String {
    let body = message.slice(part.body.clone());
    let encoding = header::first(message.slice(part.header.clone()), "Content-Transfer-Encoding").unwrap_or_default();
    let decoded = match encoding.to_ascii_lowercase().as_slice() {
        b"base64" => base64(body),
        b"quoted-printable" => quoted_printable(body, Spaces::AsTheyAre),
        _ => return in_charset(body, part.media.parameter("charset").unwrap_or_default()),
    };
    in_charset(&decoded, part.media.parameter("charset").unwrap_or_default())
}

/// Octets of a charset as text. Unknown and absent charsets: UTF-8 when it is valid, else Windows-1252, as mail that
/// says nothing is read everywhere.
fn in_charset(octets: &[u8], label: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(octets) {
        // ISO-2022-JP and its kind are ASCII octets that mean something else.
        let is_stateful = label.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(b"iso-2022"));
        if !is_stateful {
            return text.to_owned();
        }
    }
    let encoding = Encoding::for_label(label).filter(|encoding| *encoding != encoding_rs::UTF_8);
    encoding.unwrap_or(encoding_rs::WINDOWS_1252).decode_without_bom_handling(octets).0.into_owned()
}

fn base64(body: &[u8]) -> Vec<u8> {
    let keep = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    let mut digits: Vec<u8> = body.iter().copied().take_while(|octet| *octet != b'=').filter(keep).collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    FORGIVING.decode(&digits).unwrap_or_default()
}

/// Whether `_` is a space (RFC 2047 §4.2) or itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Underscore,
    AsTheyAre,
}

/// RFC 2045 §6.7; what is no escape stays as it is.
fn quoted_printable(body: &[u8], spaces: Spaces) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after) {
            (b'_', _) if spaces == Spaces::Underscore => decoded.push(b' '),
            (b'=', [b'\r', b'\n', ..]) => rest = after.get(2..).unwrap_or_default(),
            (b'=', [b'\n', ..]) => rest = after.get(1..).unwrap_or_default(),
            (b'=', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high * 16 + low);
                    rest = after.get(2..).unwrap_or_default();
                }
                _ => decoded.push(b'='),
            },
            _ => decoded.push(*octet),
        }
    }
    decoded
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 2047: encoded words decoded, white space between two of them dropped.
fn decode_words(value: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some(start) = rest.windows(2).position(|pair| pair == b"=?") {
        let (before, from) = rest.split_at(start);
        let Some((word, octets)) = encoded_word(from) else {
            text.push_str(&in_charset(before, b""));
            text.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            after_word = false;
            continue;
        };
        if !(after_word && before.iter().all(u8::is_ascii_whitespace)) {
            text.push_str(&in_charset(before, b""));
        }
        text.push_str(&word);
        rest = from.get(octets..).unwrap_or_default();
        after_word = true;
    }
    text.push_str(&in_charset(rest, b""));
    text
}

/// An encoded word at the start of `from`, and how long it is.
fn encoded_word(from: &[u8]) -> Option<(String, usize)> {
    let inner = from.strip_prefix(b"=?")?;
    let inner = inner.get(..inner.len().min(ENCODED_WORD_OCTETS_MAX))?;
    let mut fields = inner.splitn(3, |octet| *octet == b'?');
    let (charset, encoding, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let end = rest.windows(2).position(|pair| pair == b"?=")?;
    let coded = rest.get(..end)?;
    // RFC 2047 §2: no white space inside; also keeps `=? ... ?=` over half a header from being one.
    if charset.is_empty() || coded.iter().chain(charset).any(u8::is_ascii_whitespace) {
        return None;
    }
    let octets = match encoding {
        b"B" | b"b" => base64(coded),
        b"Q" | b"q" => quoted_printable(coded, Spaces::Underscore),
        _ => return None,
    };
    // RFC 2231 §5: a language behind the charset.
    let charset = charset.split(|octet| *octet == b'*').next().unwrap_or_default();
    Some((in_charset(&octets, charset), 2 + (inner.len() - rest.len()) + end + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 2047 §8.
    #[test]
    fn encoded_words() {
        for (value, expect) in [
            ("plain", "plain"),
            ("=?ISO-8859-1?Q?a_b=E9?= x", "a bé x"),
            ("=?ISO-8859-1?Q?a?= =?utf-8?B?w6k=?=", "aé"),
            ("=?ISO-8859-1?Q?a?=b =?x?=", "ab =?x?="),
            ("=?utf-8*fr?q?=c3=a9?=", "é"),
            ("=?unknown?X?a?=", "=?unknown?x?a?="),
            ("=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"),
            ("caf\u{e9}", "café"),
            ("=?", "=?"),
            ("=?a?q?b c?=", "=?a?q?b c?="),
        ] {
            assert_eq!(field_text(value.as_bytes()), expect, "{value}");
        }
        assert_eq!(field_text(b"caf\xe9"), "café");
    }

    #[test]
    fn bodies() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            =C9t=E9 soft=\r\nbreak =ZZ\r\n\
            --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+w4k8L2\r\nI+\r\n\
            --b\r\nContent-Type: image/png\r\n\r\nsecret\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\n\r\nDEEP\r\n--b--\r\n";
        let text = body_text(&Octets::new(message.to_owned().into()));
        for part in ["été softbreak =zz", "<b>é</b>", "subject: inner", "deep"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret"));
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in proptest::collection::vec(prop_oneof![
            Just(&b"=?"[..]), Just(&b"?="[..]), Just(&b"utf-8"[..]), Just(&b"?q?"[..]), Just(&b"?b?"[..]), Just(&b"=C3"[..]),
            Just(&b" "[..]), Just(&b"\xff"[..]), Just(&b"w6k="[..]),
        ], 0..30)) {
            let _ = field_text(&value.concat());
            let _ = quoted_printable(&value.concat(), Spaces::AsTheyAre);
            let _ = base64(&value.concat());
        }
    }
}
