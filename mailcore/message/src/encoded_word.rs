//! Encoded words in header fields (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::charset;
use crate::transfer::{base64, q};

/// Longest encoded word accepted, octets after its `=?`. RFC 2047 §2 allows 75; known senders that exceed 75 stay below
/// this bound. The bound keeps the time to read a header full of unfinished words linear.
const ENCODED_WORD_OCTETS_MAX: usize = 1_024;

/// Longest line that holds an encoded word, octets (RFC 2047 §2).
const LINE_OCTETS_MAX: usize = 76;
/// Octets of text in one written word. They make a word of at most 52 octets, which fits on one line with most field
/// names.
const WORD_TEXT_OCTETS_MAX: usize = 30;
/// Length of one written word with its delimiters, octets.
const WORD_OCTETS_MAX: usize = WORD_TEXT_OCTETS_MAX / 3 * 4 + "=?utf-8?B??=".len();

/// One encoded word with its transfer encoding undone.
struct DecodedWord<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

/// Decodes the encoded words of an unfolded value. Malformed words and unknown charsets stay as they are. Octets
/// outside of words are read as UTF-8 when valid, else as Windows-1252.
///
/// Control characters become spaces: an encoded word may hold CR and LF, which must not reach another header.
pub fn decode_words(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    // Octets of adjacent words in one charset, since some senders split a character between words against RFC 2047 §5.
    let mut pending: Option<DecodedWord<'_>> = None;
    let mut rest = value;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, candidate) = rest.split_at(start);
        let Some((word, after)) = read_word(candidate) else {
            flush(&mut pending, &mut text);
            push(before, &mut text);
            text.push_str("=?");
            rest = candidate.get(2..).unwrap_or_default();
            continue;
        };
        // RFC 2047 §6.2: white space between two encoded words is dropped.
        let is_neighbour = pending.is_some() && before.trim_ascii().is_empty();
        match &mut pending {
            Some(last) if is_neighbour && last.charset.eq_ignore_ascii_case(word.charset) => {
                last.octets.extend_from_slice(&word.octets);
            }
            _ => {
                flush(&mut pending, &mut text);
                if !is_neighbour {
                    push(before, &mut text);
                }
                pending = Some(word);
            }
        }
        rest = after;
    }
    flush(&mut pending, &mut text);
    push(rest, &mut text);
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// Encodes unstructured text as encoded words (RFC 2047 §2). A fold precedes each word, but only a space precedes the
/// first one if there is room on the line. `column` is the number of octets already on the line.
pub fn encode_words(text: &str, column: usize) -> String {
    let mut words = String::with_capacity(text.len() * 2);
    let mut is_first = true;
    let mut rest = text;
    while !rest.is_empty() || is_first {
        // RFC 2047 §5: a word never splits a character.
        let end = rest.floor_char_boundary(WORD_TEXT_OCTETS_MAX);
        let (piece, after) = rest.split_at(end);
        let fits = is_first && column + 1 + WORD_OCTETS_MAX <= LINE_OCTETS_MAX;
        words.push_str(if fits { " =?utf-8?B?" } else { "\r\n =?utf-8?B?" });
        STANDARD.encode_string(piece, &mut words);
        words.push_str("?=");
        (is_first, rest) = (false, after);
    }
    words
}

/// Appends octets outside of encoded words.
fn push(octets: &[u8], text: &mut String) {
    match std::str::from_utf8(octets) {
        Ok(octets) => text.push_str(octets),
        Err(_) => text.push_str(&charset::decode(octets, b"")),
    }
}

fn flush(pending: &mut Option<DecodedWord<'_>>, text: &mut String) {
    if let Some(word) = pending.take() {
        text.push_str(&charset::decode(&word.octets, word.charset));
    }
}

/// Reads `=?charset[*language]?B|Q?text?=` at the start of `text`, and returns the word and the rest (RFC 2047 §2, RFC
/// 2231 §5). Spaces inside the text are accepted, because some senders write them.
fn read_word(text: &[u8]) -> Option<(DecodedWord<'_>, &[u8])> {
    let inner = text.strip_prefix(b"=?")?;
    let inner = inner.get(..ENCODED_WORD_OCTETS_MAX).unwrap_or(inner);
    let mut fields = inner.splitn(3, |octet| *octet == b'?');
    let (charset, method, coded) = (fields.next()?, fields.next()?, fields.next()?);
    let before = b"=?".len() + inner.len() - coded.len();
    let charset = charset.split(|octet| *octet == b'*').next().unwrap_or_default();
    if !charset::is_known(charset) {
        return None;
    }
    let coded = coded.get(..memchr::memmem::find(coded, b"?=")?)?;
    let octets = match method {
        b"B" | b"b" => base64(coded),
        b"Q" | b"q" => q(coded),
        _ => return None,
    };
    let after = text.get(before + coded.len() + b"?=".len()..)?;
    Some((DecodedWord { charset, octets }, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of RFC 2047 §8, and forms that senders use.
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
            ("=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"),
            ("=?ISO-8859-1?Q?a?=b =?x?=", "ab =?x?="),
            ("=?iso-8859-1?q?=C3=A9?=", "Ã©"),
            ("=?utf-8?q?a b?=", "a b"),
            ("a\tb", "a b"),
            ("=?", "=?"),
        ] {
            assert_eq!(decode_words(value.as_bytes()), expect, "{value}");
        }
    }

    #[test]
    fn reads_bare_octets() {
        assert_eq!((decode_words(b"caf\xe9"), decode_words("café".as_bytes())), ("café".into(), "café".into()));
    }

    /// The header is large enough that more than linear time would be noticed.
    #[test]
    fn words_without_end_stay_as_they_are() {
        let open = "=?utf-8?q?x ".repeat(100_000);
        assert_eq!(decode_words(open.as_bytes()).len(), open.len());
    }

    proptest! {
        #[test]
        fn any_text_is_read(value in "\\PC{0,60}", word in "[=?_ a-zA-Z0-9]{0,60}") {
            decode_words(value.as_bytes());
            decode_words(word.as_bytes());
            decode_words(format!("=?utf-8?q?{word}?=").as_bytes());
        }
    }
}
