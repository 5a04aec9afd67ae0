//! Message-ID and Date of the messages made here.

use jiff::Timestamp;
use uuid::Uuid;

use crate::tokens::Tokens;

/// Longest identifier with its brackets, octets (RFC 5322 §2.1.1).
const MESSAGE_ID_OCTETS_MAX: usize = 998;

/// Returns a Message-ID without angle brackets (RFC 5322 §3.6.4). `now` makes it readable, `chance` makes it unique.
pub fn message_id(now: Timestamp, chance: Uuid, hostname: &str) -> String {
    format!("{:x}.{}@{hostname}", now.as_second(), chance.simple())
}

/// Formats a date for header fields, in UTC (RFC 5322 §3.3).
pub fn rfc5322_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Whether the value of a Message-ID field is valid (RFC 5322 §3.6.4): one identifier in angle brackets with text on
/// both sides of its `@`, with or without comments around it. The content of a quoted string (§4.5.4) is not checked.
pub fn is_message_id(value: &[u8]) -> bool {
    let mut tokens = Tokens::new(value);
    tokens.skip_space();
    if !tokens.eat(b'<') {
        return false;
    }
    let id = tokens.run_until(b">").trim_ascii();
    if !tokens.eat(b'>') || id.len() + 2 > MESSAGE_ID_OCTETS_MAX {
        return false;
    }
    tokens.skip_space();
    let is_quoted = id.starts_with(b"\"");
    let is_text = id.iter().all(|octet| octet.is_ascii_graphic() && *octet != b'<' || is_quoted && *octet == b' ');
    let at = memchr::memrchr(b'@', id);
    tokens.peek().is_none() && is_text && at.is_some_and(|at| at > 0 && at + 1 < id.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_and_ids() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(rfc5322_date(at), "Tue, 14 Nov 2023 22:13:20 +0000");
        assert_eq!(
            message_id(at, Uuid::nil(), "mx.example.edu"),
            format!("6553f100.{}@mx.example.edu", "0".repeat(32))
        );
    }

    /// RFC 5322 §3.6.4; RFC 6409 §8.3 lets a submission server replace an invalid one.
    #[test]
    fn knows_a_message_id() {
        for (value, expect) in [
            (&b"<1@example.org>"[..], true),
            (b" <a.b+c@[192.0.2.1]> ", true),
            (b"<\"a b\"@example.org>", true),
            (b"(by x) <1@example.org> (then y)", true),
            (b"", false),
            (b"<>", false),
            (b"< >", false),
            (b"<@>", false),
            (b"<1@>", false),
            (b"<@example.org>", false),
            (b"<1>", false),
            (b"1@example.org", false),
            (b"<1@example.org", false),
            (b"<1 2@example.org>", false),
            (b"<<1@example.org>>", false),
            (b"<1@example.org> <2@example.org>", false),
            (b"<1@example.org> x", false),
            (b"<\xc3\xa9@example.org>", false),
            (&[&b"<"[..], &[b'x'; 1000], b"@y>"].concat(), false),
        ] {
            assert_eq!(is_message_id(value), expect, "{}", String::from_utf8_lossy(value));
        }
    }
}
