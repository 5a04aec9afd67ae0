//! The arguments of a command, taken one by one: tags first, then positional arguments (RFC 5228 §2.6.2).

use crate::SieveError;
use crate::syntax::{Argument, ArgumentValue, Command};

/// The arguments of one command or test that are not taken yet.
pub(crate) struct Arguments<'a> {
    name: &'a str,
    line: usize,
    rest: std::slice::Iter<'a, Argument>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn of(command: &'a Command) -> Self {
        Self { name: &command.name, line: command.line, rest: command.arguments.iter() }
    }

    /// Makes an error of this command, at the line of the argument taken last.
    pub(crate) fn error(&self, problem: impl std::fmt::Display) -> SieveError {
        SieveError::new(self.line, format!("{}: {problem}", self.name))
    }

    /// Takes the next argument if it is a tag.
    pub(crate) fn tag(&mut self) -> Option<&'a str> {
        let Some(Argument { value: ArgumentValue::Tag(tag), line }) = self.rest.as_slice().first() else { return None };
        self.line = *line;
        self.rest.next();
        Some(tag)
    }

    /// Takes a number; `what` names it in the error.
    pub(crate) fn number(&mut self, what: &str) -> Result<u64, SieveError> {
        match self.next(what)? {
            ArgumentValue::Number(number) => Ok(*number),
            _ => Err(self.error(format_args!("expected {what} (a number)"))),
        }
    }

    /// Takes one string; `what` names it in the error.
    pub(crate) fn text(&mut self, what: &str) -> Result<&'a str, SieveError> {
        match self.next(what)? {
            ArgumentValue::Text(text) => Ok(text),
            _ => Err(self.error(format_args!("expected {what} (a string)"))),
        }
    }

    /// Takes a list of strings, or a single string as a list of one (RFC 5228 §2.4.2.1).
    pub(crate) fn strings(&mut self, what: &str) -> Result<Vec<String>, SieveError> {
        match self.next(what)? {
            ArgumentValue::Text(text) => Ok(vec![text.clone()]),
            ArgumentValue::List(list) => Ok(list.clone()),
            ArgumentValue::Tag(_) | ArgumentValue::Number(_) => {
                Err(self.error(format_args!("expected {what} (a list of strings)")))
            }
        }
    }

    /// Checks that no argument is left.
    pub(crate) fn finish(mut self) -> Result<(), SieveError> {
        match self.rest.next() {
            None => Ok(()),
            Some(argument) => {
                self.line = argument.line;
                Err(self.error("too many arguments"))
            }
        }
    }

    fn next(&mut self, what: &str) -> Result<&'a ArgumentValue, SieveError> {
        let argument = self.rest.next().ok_or_else(|| self.error(format_args!("missing argument: {what}")))?;
        self.line = argument.line;
        match &argument.value {
            ArgumentValue::Tag(tag) => Err(self.error(format_args!("':{tag}' is unknown, or not allowed here"))),
            value => Ok(value),
        }
    }
}

/// Stores the value of a tag in `slot`, which the tag shares with those that exclude it (RFC 5228 §2.6). An error if
/// the slot has a value already.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, arguments: &Arguments<'_>) -> Result<(), SieveError> {
    if slot.is_some() {
        return Err(arguments.error("two tags of the same kind"));
    }
    *slot = Some(value);
    Ok(())
}
