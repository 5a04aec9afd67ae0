//! The lexical elements of RFC 3501 §9 over one framed command.

use bytes::Bytes;

/// Why a command is `BAD`; the text is sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ParseError(pub(crate) &'static str);

/// The position of a parser in its command.
pub(crate) struct Cursor<'a> {
    frame: &'a Bytes,
    at: usize,
}

pub(super) type Result<T> = std::result::Result<T, ParseError>;

/// Whether an octet may stand in an atom (RFC 3501 §9, `ATOM-CHAR`).
pub(crate) fn is_atom_char(octet: u8) -> bool {
    (0x21..0x7f).contains(&octet) && !br#"(){%*"\]"#.contains(&octet)
}

/// Whether an octet may stand in an unquoted `astring` (RFC 3501 §9, `ASTRING-CHAR`).
fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

/// Whether a text can be a tag (RFC 3501 §9, `tag`).
pub(crate) fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| is_astring_char(octet) && octet != b'+')
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `frame`.
    pub(crate) fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    /// The next octet, which stays unread; `None` at the end.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.frame.get(self.at).copied()
    }

    /// Skips `octet` if it is next.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        self.at += usize::from(is_next);
        is_next
    }

    /// Skips `octet`; any other octet is the error `otherwise`.
    pub(crate) fn expect(&mut self, octet: u8, otherwise: &'static str) -> Result<()> {
        if self.eat(octet) { Ok(()) } else { Err(ParseError(otherwise)) }
    }

    /// Reads exactly one SP.
    pub(crate) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "a space was expected")
    }

    /// Requires the end of the command; not even a space may follow (RFC 3501 §9).
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(ParseError("unexpected text after the command")) }
    }

    /// The longest run of octets that `allowed` accepts.
    pub(crate) fn take_while(&mut self, allowed: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let octets = rest.iter().position(|octet| !allowed(*octet)).unwrap_or(rest.len());
        self.at += octets;
        rest.get(..octets).unwrap_or_default()
    }

    fn take_str_while(&mut self, allowed: impl Fn(u8) -> bool, otherwise: &'static str) -> Result<&'a str> {
        match std::str::from_utf8(self.take_while(allowed)) {
            Ok("") | Err(_) => Err(ParseError(otherwise)),
            Ok(text) => Ok(text),
        }
    }

    /// Reads `tag`.
    pub(crate) fn tag(&mut self) -> Result<&'a str> {
        self.take_str_while(|octet| is_astring_char(octet) && octet != b'+', "a tag was expected")
    }

    /// Reads `atom`.
    pub(crate) fn atom(&mut self) -> Result<&'a str> {
        self.take_str_while(is_atom_char, "an atom was expected")
    }

    /// Reads an atom in upper case: command and item names are compared without case (RFC 3501 §9 note 1).
    pub(crate) fn word(&mut self) -> Result<String> {
        self.atom().map(str::to_ascii_uppercase)
    }

    /// Reads letters, digits, dots, hyphens and equals signs, in upper case. Unlike an atom, the name of a FETCH item
    /// ends before `[`.
    pub(crate) fn item_name(&mut self) -> Result<String> {
        let name = self
            .take_str_while(|octet| octet.is_ascii_alphanumeric() || b".-=".contains(&octet), "a name was expected")?;
        Ok(name.to_ascii_uppercase())
    }

    /// Skips `word` if it is next, in any case, and not the start of a longer atom.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let head = rest.get(..word.len()).unwrap_or_default();
        if head.eq_ignore_ascii_case(word.as_bytes()) && !rest.get(word.len()).copied().is_some_and(is_atom_char) {
            self.at += word.len();
            return true;
        }
        false
    }

    /// Reads `flag`: an atom, optionally after a backslash.
    pub(crate) fn flag(&mut self) -> Result<String> {
        let backslash = self.eat(b'\\');
        let atom = self.atom()?;
        Ok(if backslash { format!("\\{atom}") } else { atom.to_owned() })
    }

    /// Reads `astring`: an atom, a quoted string or a literal.
    pub(crate) fn astring(&mut self) -> Result<Bytes> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.atom_bytes(is_astring_char),
        }
    }

    /// Reads `list-mailbox`: an astring that may hold wildcards.
    pub(crate) fn list_mailbox(&mut self) -> Result<Bytes> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.atom_bytes(|octet| is_astring_char(octet) || octet == b'%' || octet == b'*'),
        }
    }

    fn atom_bytes(&mut self, allowed: impl Fn(u8) -> bool) -> Result<Bytes> {
        let start = self.at;
        if self.take_while(allowed).is_empty() {
            return Err(ParseError("a string was expected"));
        }
        Ok(self.frame.slice(start..self.at))
    }

    /// Reads `string`: a quoted string or a literal.
    pub(crate) fn string(&mut self) -> Result<Bytes> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(ParseError("a string was expected")),
        }
    }

    /// Reads `nstring`: NIL or a string.
    pub(crate) fn nstring(&mut self) -> Result<Option<Bytes>> {
        if self.eat_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// Reads `quoted`. Octets above 127 are accepted: clients write UTF-8 there.
    fn quoted(&mut self) -> Result<Bytes> {
        self.expect(b'"', "a quoted string was expected")?;
        let start = self.at;
        self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.peek() == Some(b'"') {
            let text = self.frame.slice(start..self.at);
            self.at += 1;
            return Ok(text);
        }
        let mut text = self.frame.get(start..self.at).unwrap_or_default().to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escaped = self.peek().filter(|octet| matches!(octet, b'"' | b'\\'));
                    text.push(escaped.ok_or(ParseError("only \\\" and \\\\ can be escaped"))?);
                    self.at += 1;
                }
                Some(b'\r' | b'\n' | 0) | None => return Err(ParseError("a quoted string has no end")),
                Some(octet) => {
                    text.push(octet);
                    self.at += 1;
                }
            }
        }
    }

    /// Reads `literal`, synchronizing or not. Refuses NUL, which is not a `CHAR8`.
    pub(crate) fn literal(&mut self) -> Result<Bytes> {
        self.expect(b'{', "a literal was expected")?;
        let octets = usize::try_from(self.number64()?).map_err(|_| ParseError("a literal is too large"))?;
        self.eat(b'+');
        for octet in *b"}\r\n" {
            self.expect(octet, "a literal is malformed")?;
        }
        let end = self.at.checked_add(octets).filter(|end| *end <= self.frame.len());
        let end = end.ok_or(ParseError("a literal is cut short"))?;
        let text = self.frame.slice(self.at..end);
        if text.contains(&0) {
            return Err(ParseError("a literal holds NUL"));
        }
        self.at = end;
        Ok(text)
    }

    /// Reads a number that fits 63 bits.
    pub(crate) fn number64(&mut self) -> Result<u64> {
        let digits = self.take_str_while(|octet| octet.is_ascii_digit(), "a number was expected")?;
        digits.parse().ok().filter(|number| *number <= i64::MAX as u64).ok_or(ParseError("a number is too large"))
    }

    /// Reads `number`, which fits 32 bits.
    pub(crate) fn number(&mut self) -> Result<u32> {
        u32::try_from(self.number64()?).map_err(|_| ParseError("a number is too large"))
    }

    /// Reads `( one SP one ... )`, at most `limit` items; the list may be empty.
    pub(crate) fn list<T>(&mut self, limit: usize, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect(b'(', "a list was expected")?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            if items.len() >= limit {
                return Err(ParseError("a list has too many items"));
            }
            items.push(one(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.expect(b' ', "a list has no end")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §4.3, §9: strings in their three forms, and texts that are not strings.
    #[test]
    fn reads_astrings() {
        for (text, expect) in [
            ("abc", Some("abc")),
            ("a]b x", Some("a]b")),
            (r#""a b""#, Some("a b")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r#""""#, Some("")),
            ("{3}\r\nabc", Some("abc")),
            ("{3+}\r\na b", Some("a b")),
            ("{4}\r\nabc", None),
            ("{3}\r\na\0c", None),
            ("{99999999999999999999}\r\nabc", None),
            (r#""a\bc""#, None),
            (r#""abc"#, None),
            ("(a)", None),
            ("", None),
        ] {
            let frame = Bytes::copy_from_slice(text.as_bytes());
            let got = Cursor::new(&frame).astring().ok();
            assert_eq!(got.as_deref(), expect.map(str::as_bytes), "{text}");
        }
    }
}
