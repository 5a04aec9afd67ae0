//! Message-ID and Date of messages that this server creates or completes, and the check of a sender's Message-ID.

use jiff::Timestamp;
use uuid::Uuid;

use crate::tokens::TokenCursor;

/// Longest identifier with its brackets, octets: it must fit one line (RFC 5322 §2.1.1).
const MESSAGE_ID_OCTETS_MAX: usize = 998;

/// Returns a Message-ID without angle brackets (RFC 5322 §3.6.4). `now` dates it, `chance` makes it unique.
pub fn message_id(now: Timestamp, chance: Uuid, hostname: &str) -> String {
    format!("{:x}.{}@{hostname}", now.as_second(), chance.simple())
}

/// Formats a date for header fields, in UTC (RFC 5322 §3.3).
pub fn rfc5322_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Whether the value of a Message-ID field is valid (RFC 5322 §3.6.4): one identifier in angle brackets,
/// `dot-atom@dot-atom` or `dot-atom@[literal]`, with or without comments around the brackets. A quoted string on the
/// left side and white space just inside the brackets are accepted too (§4.5.4).
pub fn is_message_id(value: &[u8]) -> bool {
    let mut tokens = TokenCursor::new(value);
    tokens.skip_cfws();
    if !tokens.eat(b'<') {
        return false;
    }
    let start = tokens.at();
    tokens.skip_white_space();
    let is_left = match tokens.peek() {
        Some(b'"') => is_quoted(tokens.quoted_raw()),
        _ => is_dot_atom(tokens.run_until(b"@> ")),
    };
    let is_whole = is_left && tokens.eat(b'@');
    let is_right = match tokens.peek() {
        Some(b'[') => is_literal(tokens.domain_literal()),
        _ => is_dot_atom(tokens.run_until(b"@> ")),
    };
    tokens.skip_white_space();
    let is_short = tokens.since(start).len() + 2 <= MESSAGE_ID_OCTETS_MAX;
    let is_closed = tokens.eat(b'>');
    tokens.skip_cfws();
    is_whole && is_right && is_short && is_closed && tokens.peek().is_none()
}

/// Whether the text is a dot-atom-text (RFC 5322 §3.2.3).
fn is_dot_atom(text: &[u8]) -> bool {
    let is_atext = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(octet);
    text.split(|octet| *octet == b'.').all(|atom| !atom.is_empty() && atom.iter().all(is_atext))
}

/// Whether the text is a quoted string (RFC 5322 §3.2.4) with both quotes, of printable ASCII and space.
fn is_quoted(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| inner.iter().all(|octet| (32..127).contains(octet)))
}

/// Whether the text is a no-fold-literal (RFC 5322 §3.6.4).
fn is_literal(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    inner.is_some_and(|inner| inner.iter().all(|octet| octet.is_ascii_graphic() && !b"[\\".contains(octet)))
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

    /// RFC 5322 §3.6.4; RFC 6409 §8.3 lets a submission server replace an invalid Message-ID.
    #[test]
    fn recognises_a_message_id() {
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
            (b"<a@b@c>", false),
            (b"<a..b@c>", false),
            (b"<.a@c>", false),
            (b"<a@c.>", false),
            (b"<a@b c>", false),
            (b"<a,b@c>", false),
            (b"<(x)a@c>", false),
            (b"<a@[192.0.2.1>", false),
            (b"<\"a@b\"@c>", true),
            (b"<\"a@c>", false),
            (b"<\"a\"b@c>", false),
            (b"<a/b+c=d$e@HOST_1>", true),
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
