//! Header fields of a message by their offsets (RFC 5322 §2.2), and values with parameters (RFC 2045 §5.1).

/// Parameters of one field.
const PARAMETERS_MAX: usize = 64;
/// Nested comments.
const COMMENT_DEPTH_MAX: usize = 64;

/// One field as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Before the colon.
    pub(crate) name: &'a [u8],
    /// After the colon, folded as it is, with its last line end.
    pub(crate) value: &'a [u8],
    /// All of it.
    pub(crate) raw: &'a [u8],
}

/// The length of the line at the start of `bytes` with its LF, if any.
pub(crate) fn line_octets(bytes: &[u8]) -> usize {
    bytes.iter().position(|octet| *octet == b'\n').map_or(bytes.len(), |at| at + 1)
}

/// Whether a line ends a header.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line == b"\r\n" || line == b"\n"
}

/// Where the body begins: behind the first empty line. `None` when there is no empty line.
pub(crate) fn body_start(message: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = message.get(at..).filter(|rest| !rest.is_empty()) {
        let octets = line_octets(rest);
        at += octets;
        if rest.get(..octets).is_some_and(is_blank) {
            return Some(at);
        }
    }
    None
}

/// The fields of a header. Lines that are none are passed over.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let raw = rest.get(..field_octets(rest)).unwrap_or_default();
            rest = rest.get(raw.len()..).unwrap_or_default();
            if is_blank(raw) {
                return None;
            }
            if let Some(colon) = raw.iter().position(|octet| *octet == b':') {
                let name = raw.get(..colon).unwrap_or_default().trim_ascii_end();
                let value = raw.get(colon + 1..).unwrap_or_default();
                if !name.is_empty() && name.iter().all(|octet| (0x21..0x7f).contains(octet)) {
                    return Some(Field { name, value, raw });
                }
            }
        }
        None
    })
}

/// The first line and those that continue it.
fn field_octets(bytes: &[u8]) -> usize {
    let mut octets = line_octets(bytes);
    while let Some(rest @ [b' ' | b'\t', ..]) = bytes.get(octets..) {
        // A line of white space alone cannot be told from a fold (RFC 5322 §4.2) and is taken as one.
        octets += line_octets(rest);
    }
    octets
}

/// The value of the first field called `name`, unfolded.
pub(crate) fn first(header: &[u8], name: &str) -> Option<Vec<u8>> {
    fields(header).find(|field| field.name.eq_ignore_ascii_case(name.as_bytes())).map(|field| unfold(field.value))
}

/// RFC 5322 §2.2.3: without line ends, trimmed.
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let kept = text.trim_ascii_end().len();
    text.truncate(kept);
    let lead = text.len() - text.trim_ascii_start().len();
    text.drain(..lead);
    text
}

/// HEADER.FIELDS and HEADER.FIELDS.NOT: the fields as they are, and the empty line (RFC 3501 §6.4.5).
pub(crate) fn select(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let mut selected = Vec::new();
    for field in fields(header) {
        let is_named = names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()));
        if is_named != not {
            selected.extend_from_slice(field.raw);
        }
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

/// A value and its parameters: Content-Type, Content-Disposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// Before the first semicolon, without comments and white space.
    pub(crate) value: Vec<u8>,
    /// Names as written, values unquoted.
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Parameterised {
    /// Reads an unfolded value.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut tokens = Tokens { text, at: 0 };
        let mut read = Self { value: tokens.words_until(b";"), parameters: Vec::new() };
        while tokens.eat(b';') && read.parameters.len() < PARAMETERS_MAX {
            let name = tokens.words_until(b"=;");
            if tokens.eat(b'=') {
                let value = tokens.words_until(b";");
                if !name.is_empty() {
                    read.parameters.push((name, value));
                }
            }
        }
        read
    }

    /// A parameter by name.
    #[cfg(test)]
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }
}

/// Tokens of a structured field.
pub(crate) struct Tokens<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
}

impl Tokens<'_> {
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        self.at += usize::from(is_next);
        is_next
    }

    /// Everything up to one of `stops` (outside of quotes and comments), quotes taken off, white space and comments
    /// dropped.
    fn words_until(&mut self, stops: &[u8]) -> Vec<u8> {
        let mut words = Vec::new();
        while let Some(octet) = self.peek().filter(|octet| !stops.contains(octet)) {
            match octet {
                b'"' => words.extend(self.quoted()),
                b'(' => drop(self.comment()),
                b' ' | b'\t' => self.at += 1,
                _ => {
                    words.push(octet);
                    self.at += 1;
                }
            }
        }
        words
    }

    /// A quoted string that begins here, without its quotes; up to the end when it has none.
    pub(crate) fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        self.at += 1;
        while let Some(octet) = self.next() {
            match octet {
                b'"' => break,
                b'\\' => text.extend(self.next()),
                _ => text.push(octet),
            }
        }
        text
    }

    /// A comment that begins here, without its parentheses.
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"From: a\r\nSubject: one\r\n two\r\nbroken line\r\nTO : c\r\nX-Empty:\r\n\r\nBody: no\r\n";

    /// RFC 5322 §2.2, §2.2.3.
    #[test]
    fn reads_fields() {
        let names: Vec<_> = fields(HEADER).map(|field| String::from_utf8_lossy(field.name).into_owned()).collect();
        assert_eq!(names, ["From", "Subject", "TO", "X-Empty"]);
        assert_eq!(first(HEADER, "subject"), Some(b"one two".to_vec()));
        assert_eq!(first(HEADER, "x-empty"), Some(Vec::new()));
        assert_eq!(first(HEADER, "body"), None);
        assert_eq!(body_start(HEADER), Some(HEADER.len() - 10));
        assert_eq!(body_start(b"\r\nx"), Some(2));
        assert_eq!(body_start(b"a: b"), None);
    }

    /// RFC 3501 §6.4.5: the empty line is always there.
    #[test]
    fn selects_fields() {
        let names = ["subject".to_owned(), "NONE".to_owned()];
        assert_eq!(select(HEADER, &names, false), b"Subject: one\r\n two\r\n\r\n");
        assert_eq!(select(HEADER, &names, true), b"From: a\r\nTO : c\r\nX-Empty:\r\n\r\n");
        assert_eq!(select(b"", &names, false), b"\r\n");
    }

    /// RFC 2045 §5.1.
    #[test]
    fn reads_parameters() {
        let read = Parameterised::parse(br#"text/plain (a (b)); charset="u\"t;f"; (x) format = flowed ;; bad; n="#);
        assert_eq!(read.value, b"text/plain");
        assert_eq!(read.parameter("CHARSET"), Some(&b"u\"t;f"[..]));
        assert_eq!(read.parameter("format"), Some(&b"flowed"[..]));
        assert_eq!(read.parameter("n"), Some(&b""[..]));
        assert_eq!(read.parameters.len(), 3);
    }
}
