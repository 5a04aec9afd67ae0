//! The parser: tokens to a tree of commands and tests (RFC 5228 §8.2). It knows no command by name.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::SieveError;
use crate::lexer::{LexedToken, TokenKind, tokens};

/// Deepest nesting of blocks, and of tests. RFC 5228 §2.10.7 asks for at least 15 of each.
pub(crate) const NESTING_MAX: usize = 32;

/// A command or a test: both have a name, arguments, and nested tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) tests: Vec<Command>,
    /// The block; `None` for a test, and for a command that ends with `;`.
    pub(crate) block: Option<Vec<Command>>,
}

/// One argument (RFC 5228 §2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) line: usize,
    pub(crate) value: ArgumentValue,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArgumentValue {
    Tag(String),
    Number(u64),
    Text(String),
    List(Vec<String>),
}

/// Parses a whole script.
pub(crate) fn parse(script: &str) -> Result<Vec<Command>, SieveError> {
    let last_line = script.lines().count().max(1);
    let mut parser = ScriptParser { tokens: tokens(script)?.into_iter().peekable(), last_line };
    let commands = parser.commands(0)?;
    match parser.tokens.next() {
        None => Ok(commands),
        Some(token) => Err(unexpected(&token)),
    }
}

struct ScriptParser {
    tokens: Peekable<IntoIter<LexedToken>>,
    /// The number of the script's last line, where a missing token is reported.
    last_line: usize,
}

impl ScriptParser {
    /// Parses commands up to the first token that cannot begin one, such as `}`; that token stays.
    fn commands(&mut self, depth: usize) -> Result<Vec<Command>, SieveError> {
        let mut commands = Vec::new();
        while matches!(self.tokens.peek(), Some(LexedToken { kind: TokenKind::Identifier(_), .. })) {
            let mut command = self.name_and_arguments(0)?;
            command.block = self.block(depth, command.line)?;
            commands.push(command);
        }
        Ok(commands)
    }

    /// Parses `;` (`None`) or `{ ... }`.
    fn block(&mut self, depth: usize, line: usize) -> Result<Option<Vec<Command>>, SieveError> {
        let token = self.next("';' or '{'")?;
        match token.kind {
            TokenKind::Punctuation(';') => Ok(None),
            TokenKind::Punctuation('{') if depth >= NESTING_MAX => {
                Err(SieveError::new(line, format!("blocks are nested deeper than {NESTING_MAX}")))
            }
            TokenKind::Punctuation('{') => {
                let commands = self.commands(depth + 1)?;
                self.expect('}')?;
                Ok(Some(commands))
            }
            _ => Err(unexpected(&token)),
        }
    }

    /// Parses `identifier *argument [test / test-list]`.
    fn name_and_arguments(&mut self, depth: usize) -> Result<Command, SieveError> {
        let token = self.next("a name")?;
        let TokenKind::Identifier(name) = token.kind else { return Err(unexpected(&token)) };
        if depth > NESTING_MAX {
            return Err(SieveError::new(token.line, format!("tests are nested deeper than {NESTING_MAX}")));
        }
        let mut arguments = Vec::new();
        while let Some(argument) = self.argument()? {
            arguments.push(argument);
        }
        let tests = match self.tokens.peek().map(|t| &t.kind) {
            Some(TokenKind::Identifier(_)) => vec![self.name_and_arguments(depth + 1)?],
            Some(TokenKind::Punctuation('(')) => self.test_list(depth + 1)?,
            _ => Vec::new(),
        };
        Ok(Command { line: token.line, name, arguments, tests, block: None })
    }

    fn argument(&mut self) -> Result<Option<Argument>, SieveError> {
        let is_argument = |token: &LexedToken| {
            matches!(
                token.kind,
                TokenKind::Tag(_) | TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Punctuation('[')
            )
        };
        let Some(token) = self.tokens.next_if(is_argument) else { return Ok(None) };
        let value = match token.kind {
            TokenKind::Tag(tag) => ArgumentValue::Tag(tag),
            TokenKind::Number(number) => ArgumentValue::Number(number),
            TokenKind::Text(text) => ArgumentValue::Text(text),
            // Of these, `is_argument` admits only `[`.
            TokenKind::Identifier(_) | TokenKind::Punctuation(_) => ArgumentValue::List(self.list()?),
        };
        Ok(Some(Argument { line: token.line, value }))
    }

    /// Parses strings separated by commas up to `]`, after the `[`.
    fn list(&mut self) -> Result<Vec<String>, SieveError> {
        let mut strings = Vec::new();
        loop {
            let token = self.next("a string")?;
            let TokenKind::Text(text) = token.kind else { return Err(unexpected(&token)) };
            strings.push(text);
            if self.comma_or(']')? {
                return Ok(strings);
            }
        }
    }

    fn test_list(&mut self, depth: usize) -> Result<Vec<Command>, SieveError> {
        self.expect('(')?;
        let mut tests = Vec::new();
        loop {
            tests.push(self.name_and_arguments(depth)?);
            if self.comma_or(')')? {
                return Ok(tests);
            }
        }
    }

    /// Consumes a comma or `close`; returns whether the list is closed.
    fn comma_or(&mut self, close: char) -> Result<bool, SieveError> {
        let token = self.next(&format!("',' or '{close}'"))?;
        match token.kind {
            TokenKind::Punctuation(',') => Ok(false),
            TokenKind::Punctuation(character) if character == close => Ok(true),
            _ => Err(unexpected(&token)),
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), SieveError> {
        let token = self.next(&format!("'{wanted}'"))?;
        if token.kind == TokenKind::Punctuation(wanted) { Ok(()) } else { Err(unexpected(&token)) }
    }

    fn next(&mut self, wanted: &str) -> Result<LexedToken, SieveError> {
        let last_line = self.last_line;
        self.tokens
            .next()
            .ok_or_else(|| SieveError::new(last_line, format!("the script ends where {wanted} is expected")))
    }
}

fn unexpected(token: &LexedToken) -> SieveError {
    let what = match &token.kind {
        TokenKind::Identifier(name) => format!("'{name}'"),
        TokenKind::Tag(name) => format!("':{name}'"),
        TokenKind::Number(number) => format!("the number {number}"),
        TokenKind::Text(_) => "a string".into(),
        TokenKind::Punctuation(character) => format!("'{character}'"),
    };
    SieveError::new(token.line, format!("{what} is unexpected here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_tree() {
        let tree = parse("if not anyof(true, size :over 1K) { keep; }\nstop;").unwrap();
        let [first, second] = tree.as_slice() else { panic!("{tree:?}") };
        assert_eq!((first.name.as_str(), first.line), ("if", 1));
        assert_eq!((second.name.as_str(), second.line), ("stop", 2));
        let not = &first.tests[0];
        assert_eq!(not.tests[0].tests[1].arguments[1].value, ArgumentValue::Number(1024));
        assert_eq!(first.block.as_ref().unwrap()[0].name, "keep");
    }

    #[test]
    fn errors_name_the_line() {
        let blocks = |n| format!("{}keep;{}", "if true {".repeat(n), "}".repeat(n));
        let tests = |n| format!("if {} true {{ keep; }}", "not ".repeat(n));
        for (script, expected) in [
            ("keep", "line 1: the script ends where ';' or '{' is expected"),
            ("keep;\n}", "line 2: '}' is unexpected here"),
            ("if true {\nkeep;", "line 2: the script ends where '}' is expected"),
            ("keep ];", "line 1: ']' is unexpected here"),
            ("redirect [];", "line 1: ']' is unexpected here"),
            ("redirect [\"a\" \"b\"];", "line 1: a string is unexpected here"),
            ("redirect [\"a\", 1];", "line 1: the number 1 is unexpected here"),
            ("if anyof() { keep; }", "line 1: ')' is unexpected here"),
            ("\"keep\";", "line 1: a string is unexpected here"),
            (":tag;", "line 1: ':tag' is unexpected here"),
            ("if anyof(true; true) {}", "line 1: ';' is unexpected here"),
            (&blocks(NESTING_MAX + 1), "line 1: blocks are nested deeper than 32"),
            (&tests(NESTING_MAX + 1), "line 1: tests are nested deeper than 32"),
            (&tests(50_000), "line 1: tests are nested deeper than 32"),
        ] {
            assert_eq!(parse(script).unwrap_err().to_string(), expected, "{:.80}", script);
        }
        assert!(parse(&blocks(NESTING_MAX)).is_ok());
        assert!(parse(&tests(NESTING_MAX - 1)).is_ok());
    }

    proptest! {
        #[test]
        fn random_tokens_never_panic(script in "(if|not|keep|stop|:is|\"a\"|[;,(){}\\[\\] ]|1K|text:\n.\n)*") {
            let _ = parse(&script);
        }
    }
}
