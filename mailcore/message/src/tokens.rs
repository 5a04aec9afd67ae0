//! The lexical elements of structured header fields (RFC 5322 §3.2): quoted strings, comments, words, white space.

use std::borrow::Cow;

/// Deepest nesting of comments; deeper parentheses are read as text.
const COMMENT_DEPTH_MAX: usize = 64;

/// The position of a parser in an unfolded value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
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

    /// Consumes a domain literal with its brackets (RFC 5322 §3.4.1); up to the end without a closing bracket.
    pub(crate) fn domain_literal(&mut self) -> &'a [u8] {
        let start = self.at;
        self.run_until(b"]");
        self.eat(b']');
        self.since(start)
    }

    /// Skips white space.
    pub(crate) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips white space and comments (RFC 5322 §3.2.2 CFWS).
    pub(crate) fn skip_space(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'(') => drop(self.comment()),
                _ => return,
            }
        }
    }

    /// Consumes a quoted string and returns its content; up to the end without a closing quote.
    pub(crate) fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = self.run_until(b"\"\\").to_vec();
        while let Some(b'\\') = self.next() {
            text.extend(self.next());
            text.extend_from_slice(self.run_until(b"\"\\"));
        }
        text
    }

    /// Consumes a comment and returns its content, without the outer parentheses.
    pub(crate) fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0;
        while let Some(octet) = self.next() {
            match octet {
                b'(' if depth < COMMENT_DEPTH_MAX => {
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

/// Removes the comments of a value, except inside quotes. For fields whose tokens are separated by white space (dates,
/// Content-Transfer-Encoding).
pub(crate) fn without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'(', value).is_none() {
        return value.into();
    }
    let mut tokens = Tokens::new(value);
    let mut text = Vec::with_capacity(value.len());
    while let Some(octet) = tokens.peek() {
        match octet {
            b'(' => {
                tokens.comment();
                text.push(b' ');
            }
            b'"' => {
                let start = tokens.at();
                tokens.quoted();
                text.extend_from_slice(tokens.since(start));
            }
            _ => text.extend_from_slice(tokens.run_until(b"(\"")),
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5322 §3.2.2, §3.2.4.
    #[test]
    fn takes_comments_out() {
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

    #[test]
    fn comments_are_bounded() {
        let value = "(".repeat(100_000);
        assert!(Tokens::new(value.as_bytes()).comment().len() < 100_000);
    }
}
