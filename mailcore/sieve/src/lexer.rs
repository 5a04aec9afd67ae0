//! The lexer (RFC 5228 §8.1). A line may also end with LF alone, which RFC 5228 §2.1 does not allow.

use crate::SieveError;

/// Longest script, octets. No standard sets a bound; this allows long texts in two languages and hundreds of rules.
pub(crate) const SCRIPT_OCTETS_MAX: usize = 256 * 1024;
/// Longest single string, octets: far more than any vacation text. No standard sets a bound.
pub(crate) const STRING_OCTETS_MAX: usize = 64 * 1024;
/// Largest number. RFC 5228 §2.4.1 asks for at least 2^31-1.
const NUMBER_MAX: u64 = u32::MAX as u64;

/// A token and the line where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexedToken {
    pub(crate) line: usize,
    pub(crate) kind: TokenKind,
}

/// A token's kind and value (RFC 5228 §8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An identifier, in lower case because identifiers compare ignoring case.
    Identifier(String),
    /// A tag in lower case, without its colon.
    Tag(String),
    Number(u64),
    /// A string, quoted or multi-line.
    Text(String),
    /// One of `; , ( ) { } [ ]`.
    Punctuation(char),
}

/// Splits a whole script into tokens.
pub(crate) fn tokens(script: &str) -> Result<Vec<LexedToken>, SieveError> {
    if script.len() > SCRIPT_OCTETS_MAX {
        return Err(SieveError::new(1, format!("the script is longer than {SCRIPT_OCTETS_MAX} octets")));
    }
    let mut lexer = Lexer { rest: script, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Option<LexedToken>, SieveError> {
        self.skip_blank()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let kind = match first {
            ';' | ',' | '(' | ')' | '{' | '}' | '[' | ']' => {
                self.take(1);
                TokenKind::Punctuation(first)
            }
            '"' => TokenKind::Text(check_string(self.quoted()?, line)?),
            ':' => {
                self.take(1);
                TokenKind::Tag(self.identifier().ok_or_else(|| self.error("a tag's name is missing after ':'"))?)
            }
            '0'..='9' => TokenKind::Number(self.number()?),
            _ => match self.identifier() {
                Some(name) if name == "text" && self.rest.starts_with(':') => {
                    TokenKind::Text(check_string(self.multi_line()?, line)?)
                }
                Some(name) => TokenKind::Identifier(name),
                None => return Err(self.error(format!("unexpected character {first:?}"))),
            },
        };
        Ok(Some(LexedToken { line, kind }))
    }

    fn error(&self, problem: impl Into<String>) -> SieveError {
        SieveError::new(self.line, problem)
    }

    /// Takes `octets`, counting lines. `octets` must end at a character boundary; otherwise the whole rest is taken.
    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(octets).unwrap_or((self.rest, ""));
        self.line += taken.bytes().filter(|b| *b == b'\n').count();
        self.rest = rest;
        taken
    }

    /// Skips white space and both kinds of comment (RFC 5228 §2.3).
    fn skip_blank(&mut self) -> Result<(), SieveError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.take(blank);
            if self.rest.starts_with('#') {
                let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let body = self.rest.get(2..).unwrap_or_default();
                let end = body.find("*/").ok_or_else(|| self.error("a comment is not closed by '*/'"))?;
                self.take(end + 4);
            } else {
                return Ok(());
            }
        }
    }

    fn identifier(&mut self) -> Option<String> {
        let first = self.rest.bytes().next()?;
        if !first.is_ascii_alphabetic() && first != b'_' {
            return None;
        }
        let octets = self.rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        Some(self.take(octets).to_ascii_lowercase())
    }

    /// Reads `1*DIGIT [K / M / G]` (RFC 5228 §2.4.1).
    fn number(&mut self) -> Result<u64, SieveError> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let too_large = || SieveError::new(self.line, format!("the number is larger than {NUMBER_MAX}"));
        let number: u64 = self.rest.get(..digits).and_then(|d| d.parse().ok()).ok_or_else(too_large)?;
        let letters = self.rest.bytes().skip(digits).take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let factor = match self.rest.get(digits..digits + letters).map(str::to_ascii_uppercase).as_deref() {
            Some("") => 1,
            Some("K") => 1 << 10,
            Some("M") => 1 << 20,
            Some("G") => 1 << 30,
            _ => return Err(self.error("only K, M or G may follow a number")),
        };
        let number = number.checked_mul(factor).filter(|n| *n <= NUMBER_MAX).ok_or_else(too_large)?;
        self.take(digits + letters);
        Ok(number)
    }

    /// Reads `"..."`, in which a backslash escapes the next character (RFC 5228 §2.4.2).
    fn quoted(&mut self) -> Result<String, SieveError> {
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                '"' if !escaped => {
                    self.take(at + 1);
                    return Ok(text);
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    escaped = false;
                    text.push(c);
                }
            }
        }
        Err(self.error("a string is not closed by '\"'"))
    }

    /// Reads the lines after `text:` up to a line that is a single dot; two dots at the start of a line stand for one
    /// (RFC 5228 §2.4.2).
    fn multi_line(&mut self) -> Result<String, SieveError> {
        let opening = self.line;
        self.take(1);
        let head = self.rest.split_inclusive('\n').next().unwrap_or_default();
        let after = head.trim_matches([' ', '\t', '\r', '\n']);
        if !head.ends_with('\n') || !(after.is_empty() || after.starts_with('#')) {
            return Err(self.error("'text:' must be followed by a line end"));
        }
        self.take(head.len());
        let mut text = String::new();
        while !self.rest.is_empty() {
            let line = self.rest.split_inclusive('\n').next().unwrap_or_default();
            self.take(line.len());
            // The last line of the script may lack its line end.
            if line.trim_end_matches(['\r', '\n']) == "." {
                return Ok(text);
            }
            text.push_str(if line.starts_with("..") { line.get(1..).unwrap_or_default() } else { line });
        }
        Err(SieveError::new(opening, "a 'text:' string is not closed by a line with one dot"))
    }
}

/// Checks a string that begins at `line`.
fn check_string(text: String, line: usize) -> Result<String, SieveError> {
    if text.len() > STRING_OCTETS_MAX {
        return Err(SieveError::new(line, format!("the string is longer than {STRING_OCTETS_MAX} octets")));
    }
    // RFC 5228 §8.1: strings exclude NUL.
    if text.contains('\0') {
        return Err(SieveError::new(line, "the string holds a NUL"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(script: &str) -> Result<Vec<TokenKind>, String> {
        tokens(script).map(|t| t.into_iter().map(|t| t.kind).collect()).map_err(|e| e.to_string())
    }

    /// RFC 5228 §2.3, §2.4, §8.1.
    #[test]
    fn reads_tokens() {
        let text = |t: &str| Ok(vec![TokenKind::Text(t.into())]);
        let table = [
            ("", Ok(vec![])),
            (" \t\r\n# a comment", Ok(vec![])),
            ("/* one\n two */ stop", Ok(vec![TokenKind::Identifier("stop".into())])),
            ("KEEP;", Ok(vec![TokenKind::Identifier("keep".into()), TokenKind::Punctuation(';')])),
            (":Over 2k", Ok(vec![TokenKind::Tag("over".into()), TokenKind::Number(2048)])),
            ("1M 1g 0", Ok(vec![TokenKind::Number(1 << 20), TokenKind::Number(1 << 30), TokenKind::Number(0)])),
            (r#""a\"b\\c\d""#, text(r#"a"b\cd"#)),
            ("\"two\r\nlines\"", text("two\r\nlines")),
            ("\"\"", text("")),
            ("text:\r\nBonjour,\r\n..dot\r\n...\r\n.\r\n", text("Bonjour,\r\n.dot\r\n..\r\n")),
            ("text: # why\nx\n.\n", text("x\n")),
            ("text:\n.", text("")),
            ("text", Ok(vec![TokenKind::Identifier("text".into())])),
            ("\"été\"", text("été")),
        ];
        for (script, expected) in table {
            assert_eq!(kinds(script), expected, "{script:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let long_string = format!("\n\"{}\n\"", "x".repeat(STRING_OCTETS_MAX));
        let long_script = " ".repeat(SCRIPT_OCTETS_MAX + 1);
        for (script, expected) in [
            ("\n\"open", "line 2: a string is not closed by '\"'"),
            ("\n\n/* open", "line 3: a comment is not closed by '*/'"),
            ("text:\nx\n", "line 1: a 'text:' string is not closed by a line with one dot"),
            ("text: x\n.\n", "line 1: 'text:' must be followed by a line end"),
            ("4294967296", "line 1: the number is larger than 4294967295"),
            ("4G", "line 1: the number is larger than 4294967295"),
            ("99999999999999999999999", "line 1: the number is larger than 4294967295"),
            ("10x", "line 1: only K, M or G may follow a number"),
            ("keep;\r\n é", "line 2: unexpected character 'é'"),
            (": over", "line 1: a tag's name is missing after ':'"),
            ("\"a\0b\"", "line 1: the string holds a NUL"),
            (&long_string, "line 2: the string is longer than 65536 octets"),
            (&long_script, "line 1: the script is longer than 262144 octets"),
        ] {
            assert_eq!(kinds(script), Err(expected.into()), "{script:.80?}");
        }
    }

    proptest! {
        #[test]
        fn random_text_never_panics(script in any::<String>()) {
            let _ = tokens(&script);
        }

        #[test]
        fn random_punctuation_never_panics(script in "(text:|[\"\\\\.:;#/*\r\n 09kx])*") {
            let _ = tokens(&script);
        }
    }
}
