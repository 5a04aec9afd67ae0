//! Octets to text.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Octets in the charset of that label as text. The declared charset decides, also where the octets happen to be valid
/// UTF-8. An unknown or absent one, and US-ASCII with octets that it does not have: UTF-8 when it is valid, else
/// Windows-1252, as mail that says nothing is read everywhere.
pub(crate) fn decode(octets: &[u8], label: &[u8]) -> String {
    let label = label.trim_ascii();
    let is_ascii = [&b"us-ascii"[..], b"ascii"].iter().any(|name| label.eq_ignore_ascii_case(name));
    match Encoding::for_label(label).filter(|_| !is_ascii) {
        // RFC 2781 §4.3: `utf-16` says its order by its first two octets.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => encoding.decode(octets).0.into_owned(),
        Some(encoding) => encoding.decode_with_bom_removal(octets).0.into_owned(),
        None => match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
        },
    }
}

/// Whether there is a charset of that label.
pub(crate) fn is_known(label: &[u8]) -> bool {
    Encoding::for_label(label.trim_ascii()).is_some()
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
        ] {
            assert_eq!(decode(octets, label.as_bytes()), expect, "{label} {octets:?}");
        }
    }
}
