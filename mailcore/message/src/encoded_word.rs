//! Encoded words in header fields (RFC 2047).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::Encoding;

/// Base64 as mail programs write it: with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One encoded word, read down to its octets.
struct Word {
    encoding: &'static Encoding,
    octets: Vec<u8>,
}

/// Reads the encoded words of an unfolded value. What is no encoded word, or one in an unknown charset, stays as it is.
///
/// Control characters become spaces: an encoded word may hold CR and LF, which must not reach another header.
pub fn decode_words(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    // Octets of neighbouring words in one charset: some programs cut a character in two (against RFC 2047 §5).
    let mut pending: Option<Word> = None;
    let mut rest = value;
    while let Some(start) = rest.find("=?") {
        let (before, candidate) = rest.split_at(start);
        let Some((word, after)) = read_word(candidate) else {
            flush(&mut pending, &mut text);
            text.push_str(before);
            text.push_str("=?");
            rest = candidate.get(2..).unwrap_or_default();
            continue;
        };
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        let is_neighbour = pending.is_some() && before.trim().is_empty();
        match &mut pending {
            Some(last) if is_neighbour && last.encoding == word.encoding => last.octets.extend_from_slice(&word.octets),
            _ => {
                flush(&mut pending, &mut text);
                if !is_neighbour {
                    text.push_str(before);
                }
                pending = Some(word);
            }
        }
        rest = after;
    }
    flush(&mut pending, &mut text);
    text.push_str(rest);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn flush(pending: &mut Option<Word>, text: &mut String) {
    if let Some(word) = pending.take() {
        text.push_str(&word.encoding.decode_without_bom_handling(&word.octets).0);
    }
}

/// `=?charset[*language]?B|Q?text?=` at the start of `text`, and what follows it (RFC 2047 §2, RFC 2231 §5).
fn read_word(text: &str) -> Option<(Word, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (method, rest) = rest.split_once('?')?;
    let (encoded, rest) = rest.split_once("?=")?;
    let charset = charset.split_once('*').map_or(charset, |(charset, _language)| charset);
    let encoding = Encoding::for_label(charset.as_bytes())?;
    let octets = match method {
        "B" | "b" => BASE64.decode(encoded.trim()).ok()?,
        "Q" | "q" => decode_q(encoded),
        _ => return None,
    };
    Some((Word { encoding, octets }, rest))
}

/// RFC 2047 §4.2. A wrong escape stands for itself.
fn decode_q(encoded: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        octets.push(match byte {
            b'_' => b' ',
            b'=' => {
                match after.split_first_chunk().and_then(|(digits, after)| hex(*digits).map(|byte| (byte, after))) {
                    Some((byte, after)) => {
                        rest = after;
                        byte
                    }
                    None => b'=',
                }
            }
            other => other,
        });
    }
    octets
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&digits).ok().filter(|d| !d.starts_with('+'))?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 2047 §8 and what the field sends.
    #[test]
    fn reads_words() {
        for (value, expect) in [
            ("plain", "plain"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            ("=?utf-8?B?w4l0w6k=?=", "Été"),
            ("=?utf-8?B?w4l0w6k?=", "Été"),
            ("=?utf-8*fr?q?=C3=A9?=", "é"),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=   =?utf-8?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
            ("=?windows-1252?q?=80?=", "€"),
            ("=?unknown?q?x?=", "=?unknown?q?x?="),
            ("=?utf-8?x?x?=", "=?utf-8?x?x?="),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("=?utf-8?q?=zz?=", "=zz"),
            ("=?utf-8?q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
            ("=?=?utf-8?q?x?=", "=?x"),
        ] {
            assert_eq!(decode_words(value), expect, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(value in "\\PC{0,60}", word in "[=?_ a-zA-Z0-9]{0,60}") {
            decode_words(&value);
            decode_words(&word);
            decode_words(&format!("=?utf-8?q?{word}?="));
        }
    }
}
