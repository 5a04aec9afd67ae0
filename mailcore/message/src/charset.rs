//! Conversion from a declared charset to UTF-8.

use encoding_rs::{EUC_KR, Encoding, GBK, REPLACEMENT, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::transfer::base64;

/// How octets under a charset label are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Charset {
    /// A charset of the WHATWG Encoding Standard.
    Known(&'static Encoding),
    /// A charset whose shift sequences end with the line, so that each line is decoded by itself.
    Lines(fn(&[u8]) -> String),
    /// UTF-32 in this byte order. With `None`, a byte order mark gives the order, and without a mark it is big endian
    /// (Unicode §3.10 D101).
    Utf32(Option<ByteOrder>),
    /// No known charset, or US-ASCII, which leaves 8-bit octets undefined.
    Unstated,
}

/// Which octet of a unit is first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByteOrder {
    /// The most significant.
    Big,
    /// The least significant.
    Little,
}

/// Labels that mail uses and the Encoding Standard lacks, each with the standard's label for the same charset.
const ALIASES: [(&str, &str); 11] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("ms936", "gbk"),
    ("windows-936", "gbk"),
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("cp950", "big5"),
    ("latin-1", "iso-8859-1"),
    ("latin-9", "iso-8859-15"),
    ("utf_8", "utf-8"),
    ("utf-8mb4", "utf-8"),
];
/// Labels of US-ASCII (RFC 1345).
const ASCII: [&str; 7] = ["us-ascii", "ascii", "ansi_x3.4-1968", "iso-ir-6", "iso646-us", "iso_646.irv:1991", "cp367"];

impl Charset {
    /// The charset of a label (RFC 2045 §5.1), white space around it ignored.
    pub(crate) fn of(label: &[u8]) -> Self {
        let label = label.trim_ascii();
        let is = |name: &&str| label.eq_ignore_ascii_case(name.as_bytes());
        match label.to_ascii_lowercase().as_slice() {
            _ if ASCII.iter().any(&is) => Self::Unstated,
            b"utf-7" | b"unicode-1-1-utf-7" | b"csutf7" => Self::Lines(utf7),
            b"hz-gb-2312" | b"hz" => Self::Lines(hz),
            b"iso-2022-kr" | b"csiso2022kr" => Self::Lines(iso_2022_kr),
            b"utf-32" | b"utf32" | b"iso-10646-ucs-4" | b"csutf32" | b"ucs-4" => Self::Utf32(None),
            b"utf-32be" | b"csutf32be" | b"ucs-4be" => Self::Utf32(Some(ByteOrder::Big)),
            b"utf-32le" | b"csutf32le" | b"ucs-4le" => Self::Utf32(Some(ByteOrder::Little)),
            // RFC 2781 §4.3: big-endian unless a byte order mark says otherwise.
            b"utf-16" | b"utf16" | b"csutf16" => Self::Known(UTF_16BE),
            lower => {
                let alias = ALIASES.iter().find(|(name, _)| is(name)).map(|(_, name)| name.as_bytes());
                // `REPLACEMENT` decodes any text to one U+FFFD. As `Unstated`, at least the ASCII of the text is kept.
                let encoding = Encoding::for_label(alias.unwrap_or(lower)).filter(|found| *found != REPLACEMENT);
                encoding.map_or(Self::Unstated, Self::Known)
            }
        }
    }
}

/// Converts octets in the charset of that label to text. The declared charset decides, even where the octets are valid
/// UTF-8. Without a known charset, and for US-ASCII with 8-bit octets: UTF-8 when it is valid, else Windows-1252, as
/// mail programs do.
pub(crate) fn decode(octets: &[u8], label: &[u8]) -> String {
    match Charset::of(label) {
        // `decode` obeys a byte order mark: RFC 2781 §4.3 requires this for `utf-16`.
        Charset::Known(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
            encoding.decode(octets).0.into_owned()
        }
        Charset::Known(encoding) => encoding.decode_with_bom_removal(octets).0.into_owned(),
        Charset::Lines(read) => octets.split_inclusive(|octet| *octet == b'\n').map(read).collect(),
        Charset::Utf32(order) => {
            let (mut reader, mut text) = (Utf32::new(order), String::new());
            reader.feed(octets, true, &mut text);
            text
        }
        Charset::Unstated => match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
        },
    }
}

/// Whether the charset of that label can be decoded.
pub(crate) fn is_known(label: &[u8]) -> bool {
    let is_ascii = || ASCII.iter().any(|name| label.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
    !matches!(Charset::of(label), Charset::Unstated) || is_ascii()
}

/// A decoder of UTF-32 that takes the text in pieces.
#[derive(Debug)]
pub(crate) struct Utf32 {
    order: Option<ByteOrder>,
    /// Octets of an incomplete unit.
    rest: Vec<u8>,
}

impl Utf32 {
    /// With this byte order, or with that of a byte order mark; without either, big endian.
    pub(crate) fn new(order: Option<ByteOrder>) -> Self {
        Self { order, rest: Vec::new() }
    }

    /// Appends the text of the next piece to `text`. A unit that is no character becomes U+FFFD.
    pub(crate) fn feed(&mut self, octets: &[u8], is_last: bool, text: &mut String) {
        self.rest.extend_from_slice(octets);
        let (units, rest) = self.rest.as_chunks::<4>();
        for unit in units {
            let order = match (self.order, unit) {
                (Some(order), _) => order,
                (None, [0xff, 0xfe, 0, 0]) => ByteOrder::Little,
                (None, _) => ByteOrder::Big,
            };
            let is_first = self.order.replace(order).is_none();
            let number = match order {
                ByteOrder::Big => u32::from_be_bytes(*unit),
                ByteOrder::Little => u32::from_le_bytes(*unit),
            };
            if number != BYTE_ORDER_MARK || !is_first {
                text.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        if is_last && !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.rest = if is_last { Vec::new() } else { rest.to_vec() };
    }
}

const BYTE_ORDER_MARK: u32 = 0xfeff;

/// Decodes HZ (RFC 1843): `~{` begins GB 2312 in 7 bits, `~}` ends it, `~~` is a tilde, `~` at a line end joins two
/// lines.
pub(crate) fn hz(octets: &[u8]) -> String {
    let mut eight_bit = Vec::with_capacity(octets.len());
    let (mut rest, mut is_double) = (octets, false);
    loop {
        rest = match rest {
            [] => break,
            [b'~', b'{', after @ ..] => {
                is_double = true;
                after
            }
            [b'~', b'}', after @ ..] => {
                is_double = false;
                after
            }
            [b'~', b'~', after @ ..] if !is_double => {
                eight_bit.push(b'~');
                after
            }
            [b'~', b'\n', after @ ..] | [b'~', b'\r', b'\n', after @ ..] => after,
            [first @ 0x21..=0x7d, second @ 0x21..=0x7e, after @ ..] if is_double => {
                eight_bit.extend([first | 0x80, second | 0x80]);
                after
            }
            [octet, after @ ..] => {
                eight_bit.push(*octet);
                after
            }
        };
    }
    GBK.decode_without_bom_handling(&eight_bit).0.into_owned()
}

/// Decodes a line of ISO-2022-KR (RFC 1557): SO begins KS C 5601 in 7 bits, SI or the end of the line ends it. The
/// designator `ESC $ ) C` is dropped.
pub(crate) fn iso_2022_kr(octets: &[u8]) -> String {
    const SHIFT_OUT: u8 = 0x0e;
    const SHIFT_IN: u8 = 0x0f;
    let mut eight_bit = Vec::with_capacity(octets.len());
    let (mut rest, mut is_double) = (octets, false);
    loop {
        rest = match rest {
            [] => break,
            [0x1b, b'$', b')', b'C', after @ ..] => after,
            [shift @ (SHIFT_OUT | SHIFT_IN), after @ ..] => {
                is_double = *shift == SHIFT_OUT;
                after
            }
            [first @ 0x21..=0x7e, second @ 0x21..=0x7e, after @ ..] if is_double => {
                eight_bit.extend([first | 0x80, second | 0x80]);
                after
            }
            [octet, after @ ..] => {
                eight_bit.push(*octet);
                after
            }
        };
    }
    EUC_KR.decode_without_bom_handling(&eight_bit).0.into_owned()
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

/// Drops a last octet that is only half of a UTF-16 unit.
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
            (b"\xff\xfen\0", "utf-16", "n"),
            (b"\0n\0e", "UTF-16", "ne"),
            (b"\x1b$BF|K\\\x1b(B", "iso-2022-jp", "日本"),
            (b"\xc3\xa9", "", "é"),
            (b"\xe9", "", "é"),
            (b"\xc3\xa9", "us-ascii", "é"),
            (b"\xe9", "nosuch", "é"),
            (b"\xef\xbb\xbfa", "utf-8", "a"),
            (b"\xc3\xa9", "ANSI_X3.4-1968", "é"),
            (b"\0\0\xfe\xff\0\0\0n\0\x01\xf6\0", "utf-32", "n😀"),
            (b"\xff\xfe\0\0n\0\0\0", "UTF-32", "n"),
            (b"n\0\0\0\xff\xfe\0\0\0\xd8\0\0x", "utf-32le", "n\u{feff}\u{fffd}\u{fffd}"),
            (b"\0\0\0n", "utf-32be", "n"),
            (b"a ~{<:Ky2;~} ~~ ~\nb", "hz-gb-2312", "a 己所不 ~ b"),
            (b"~{<:\nopen", "HZ-GB-2312", "己\nopen"),
            (b"\x1b$)Chi \x0e0!\x0f x", "iso-2022-kr", "hi 가 x"),
            (b"plain \x1b$)A", "iso-2022-cn", "plain \u{1b}$)A"),
            (b"\x93\xfa", "cp932", "日"),
            (b"\xe9", "latin-1", "é"),
            (b"Fr+APY-sche +- +AOk +AOk", "UTF-7", "Fr\u{f6}sche + \u{e9} \u{e9}"),
        ] {
            assert_eq!(decode(octets, label.as_bytes()), expect, "{label} {octets:?}");
        }
    }
}
