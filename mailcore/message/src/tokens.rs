//! The lexical elements of structured header fields (RFC 5322 §3.2): quoted strings, comments, words, white space.

use std::borrow::Cow;

/// The position of a parser in an unfolded value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenCursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> TokenCursor<'a> {
    /// Starts at the beginning of an unfolded value.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the next octet without consuming it.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Consumes the next octet.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    /// Consumes the next octet if it is `octet`; returns whether it was.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        self.at += usize::from(is_next);
        is_next
    }

    /// Returns the offset in the value.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the octets between `start` and the current offset.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Consumes the longest run of octets that are not in `stops`.
    pub(crate) fn run_until(&mut self, stops: &[u8]) -> &'a [u8] {
        self.run_until_any(|octet| stops.contains(octet))
    }

    /// Consumes the longest run of octets for which `is_end` is false.
    pub(crate) fn run_until_any(&mut self, is_end: impl Fn(&u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let octets = rest.iter().position(is_end).unwrap_or(rest.len());
        self.at += octets;
        rest.get(..octets).unwrap_or_default()
    }

    /// Consumes a domain literal with its brackets (RFC 5322 §3.4.1). Without a closing bracket, it extends to the end.
    pub(crate) fn domain_literal(&mut self) -> &'a [u8] {
        let start = self.at;
        self.run_until(b"]");
        self.eat(b']');
        self.since(start)
    }

    /// Skips white space.
    pub(crate) fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips white space and comments (RFC 5322 §3.2.2 CFWS).
    pub(crate) fn skip_cfws(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'(') => drop(self.comment()),
                _ => return,
            }
        }
    }

    /// Consumes a quoted string and returns its content. Without a closing quote, it extends to the end.
    pub(crate) fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = self.run_until(b"\"\\").to_vec();
        while let Some(b'\\') = self.next() {
            text.extend(self.next());
            text.extend_from_slice(self.run_until(b"\"\\"));
        }
        text
    }

    /// As [`Self::quoted`], with the quotation marks and quoted pairs unchanged.
    pub(crate) fn quoted_raw(&mut self) -> &'a [u8] {
        let start = self.at;
        self.quoted();
        self.since(start)
    }

    /// Consumes a comment and returns its content, without the outer parentheses. The next octet must be `(`. Without a
    /// closing parenthesis, the comment extends to the end.
    pub(crate) fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0_usize;
        while let Some(octet) = self.next() {
            match octet {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    text.extend(self.next());
                    continue;
                }
                _ => {}
            }
            text.push(octet);
        }
        text
    }
}

/// Replaces each comment of a value by a space, except inside quotes. Only for fields that allow white
/// space between their tokens.
pub(crate) fn without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'(', value).is_none() {
        return value.into();
    }
    let mut tokens = TokenCursor::new(value);
    let mut text = Vec::with_capacity(value.len());
    while let Some(octet) = tokens.peek() {
        match octet {
            b'(' => {
                tokens.comment();
                text.push(b' ');
            }
            b'"' => text.extend_from_slice(tokens.quoted_raw()),
            _ => text.extend_from_slice(tokens.run_until(b"(\"")),
        }
    }
    text.into()
}

/// Removes the comments, and the white space around them, from a value of message ids (Message-ID, In-Reply-To,
/// Content-ID: RFC 5322 §3.6.4, RFC 2045 §7). One space replaces a comment between two texts. Inside angle brackets, a
/// `(` that is not closed before the `>` belongs to the id.
pub(crate) fn ids_without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'(', value).is_none() {
        return value.into();
    }
    let mut tokens = TokenCursor::new(value);
    let mut text = Vec::with_capacity(value.len());
    while let Some(octet) = tokens.peek() {
        match octet {
            b'<' => {
                let start = tokens.at();
                tokens.run_until(b">");
                tokens.eat(b'>');
                push_id(&mut text, tokens.since(start));
            }
            b'(' => {
                tokens.skip_cfws();
                text.truncate(text.trim_ascii_end().len());
                if !text.is_empty() && tokens.peek().is_some() {
                    text.push(b' ');
                }
            }
            b'"' => text.extend_from_slice(tokens.quoted_raw()),
            _ => text.extend_from_slice(tokens.run_until(b"<(\"")),
        }
    }
    text.into()
}

/// Appends an id in its angle brackets, without the comments that the obsolete form allows around its `@` and dots
/// (RFC 5322 §4.5.4).
fn push_id(text: &mut Vec<u8>, id: &[u8]) {
    let mut tokens = TokenCursor::new(id);
    while let Some(octet) = tokens.peek() {
        let start = tokens.at();
        match octet {
            b'(' => {
                tokens.comment();
                let is_closed = tokens.peek().is_some();
                if is_closed {
                    text.truncate(text.trim_ascii_end().len());
                    tokens.skip_white_space();
                } else {
                    text.extend_from_slice(tokens.since(start));
                }
            }
            b'"' => text.extend_from_slice(tokens.quoted_raw()),
            _ => text.extend_from_slice(tokens.run_until(b"(\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5322 §3.2.2, §3.2.4.
    #[test]
    fn replaces_comments_by_spaces() {
        for (value, expect) in [
            ("a (b (c) \\) d) e", "a   e"),
            ("\"(a)\" (b)", "\"(a)\"  "),
            ("a (open", "a  "),
            ("\"open (a)", "\"open (a)"),
            ("\"a\\\"(b)\" c", "\"a\\\"(b)\" c"),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_comments(value.as_bytes())), expect, "{value}");
        }
    }

    /// RFC 5322 §3.6.4, §4.5.4.
    #[test]
    fn removes_comments_around_ids() {
        for (value, expect) in [
            ("<a@b>", "<a@b>"),
            ("<a@b> (added by postmaster@mx.example)", "<a@b>"),
            ("(one) <a@b>", "<a@b>"),
            ("<a@b> (two (three)) <c@d> (four)", "<a@b> <c@d>"),
            ("<a@b>(c)<c@d>", "<a@b> <c@d>"),
            ("<a (one) @ (two) b>", "<a@b>"),
            ("<a(one)@b>", "<a@b>"),
            ("<a(b@c> <d@e>", "<a(b@c> <d@e>"),
            ("<\"a(b)\"@c>", "<\"a(b)\"@c>"),
            ("<a@b", "<a@b"),
            ("<a@b> (open", "<a@b>"),
            ("(only)", ""),
            ("Your mail of \"2 Jan (x)\" <a@b>", "Your mail of \"2 Jan (x)\" <a@b>"),
        ] {
            assert_eq!(String::from_utf8_lossy(&ids_without_comments(value.as_bytes())), expect, "{value}");
        }
    }

    #[test]
    fn a_comment_ends_where_its_first_parenthesis_closes() {
        for depth in [1, 2, 65, 100_000] {
            let value = format!("{}{}after", "(".repeat(depth), ")".repeat(depth));
            let mut tokens = TokenCursor::new(value.as_bytes());
            assert_eq!(tokens.comment().len(), 2 * (depth - 1));
            assert_eq!(tokens.at(), 2 * depth, "the comment of {depth} levels ends before the text");
        }
    }
}
