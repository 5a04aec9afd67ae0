//! Conversion from a declared charset to UTF-8.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::transfer::base64;

/// Converts octets in the charset of that label to text. The declared charset decides, even where the octets are valid
/// UTF-8. Without a known charset, and for US-ASCII with 8-bit octets: UTF-8 when it is valid, else Windows-1252, as
/// mail programs do.
pub(crate) fn decode(octets: &[u8], label: &[u8]) -> String {
    let label = label.trim_ascii();
    if is_utf7(label) {
        return utf7(octets);
    }
    match Encoding::for_label(label).filter(|_| !is_ascii_label(label)) {
        // RFC 2781 §4.3: the first two octets of `utf-16` give the byte order.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => encoding.decode(octets).0.into_owned(),
        Some(encoding) => encoding.decode_with_bom_removal(octets).0.into_owned(),
        None => match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
        },
    }
}

/// Whether the label is US-ASCII, which leaves 8-bit octets undefined.
pub(crate) fn is_ascii_label(label: &[u8]) -> bool {
    [&b"us-ascii"[..], b"ascii"].iter().any(|name| label.eq_ignore_ascii_case(name))
}

/// Whether the charset of that label can be decoded.
pub(crate) fn is_known(label: &[u8]) -> bool {
    Encoding::for_label(label.trim_ascii()).is_some() || is_utf7(label)
}

/// Whether the label is UTF-7 (RFC 2152), which encoding_rs leaves out and old mail uses.
pub(crate) fn is_utf7(label: &[u8]) -> bool {
    [&b"utf-7"[..], b"unicode-1-1-utf-7"].iter().any(|name| label.trim_ascii().eq_ignore_ascii_case(name))
}

/// Decodes UTF-7 (RFC 2152): `+` begins base64 of UTF-16, the first octet outside its alphabet ends it, and a hyphen in
/// that place is dropped.
pub(crate) fn utf7(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(plus) = memchr::memchr(b'+', rest) {
        text.push_str(&String::from_utf8_lossy(rest.get(..plus).unwrap_or_default()));
        rest = rest.get(plus + 1..).unwrap_or_default();
        let is_digit = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
        let digits = rest.iter().position(|octet| !is_digit(octet)).unwrap_or(rest.len());
        let (coded, after) = rest.split_at(digits);
        rest = after.strip_prefix(b"-").unwrap_or(after);
        match coded {
            b"" => text.push('+'),
            coded => text.push_str(&UTF_16BE.decode_without_bom_handling(whole_units(&base64(coded))).0),
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

/// Drops the padding bits of the last digit.
fn whole_units(octets: &[u8]) -> &[u8] {
    octets.get(..octets.len() & !1).unwrap_or(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_charset_decides() {
        for (octets, label, expect) in [
            (&b"\xc3\xa9"[..], "utf-8", "é"),
            (b"\xc3\xa9", "iso-8859-1", "Ã©"),
            (b"\xe9", "ISO-8859-1", "é"),
            (b"n\0e\0", "utf-16le", "ne"),
            (b"\xfe\xff\0n", "utf-16", "n"),
            (b"\x1b$BF|K\\\x1b(B", "iso-2022-jp", "日本"),
            (b"\xc3\xa9", "", "é"),
            (b"\xe9", "", "é"),
            (b"\xc3\xa9", "us-ascii", "é"),
            (b"\xe9", "nosuch", "é"),
            (b"\xef\xbb\xbfa", "utf-8", "a"),
            (b"Fr+APY-sche +- +AOk +AOk", "UTF-7", "Fr\u{f6}sche + \u{e9} \u{e9}"),
        ] {
            assert_eq!(decode(octets, label.as_bytes()), expect, "{label} {octets:?}");
        }
    }
}
