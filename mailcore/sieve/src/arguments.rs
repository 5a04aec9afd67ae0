//! Taking a command's arguments one by one: tags first, then what stands at fixed places (RFC 5228 §2.6).

use crate::SieveError;
use crate::syntax::{Argument, Command, Value};

/// The arguments of one command or test that are still to be taken.
pub(crate) struct Arguments<'a> {
    name: &'a str,
    line: usize,
    rest: std::slice::Iter<'a, Argument>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn of(command: &'a Command) -> Self {
        Self { name: &command.name, line: command.line, rest: command.arguments.iter() }
    }

    /// An error at this command.
    pub(crate) fn error(&self, rule: impl std::fmt::Display) -> SieveError {
        SieveError::new(self.line, format!("{}: {rule}", self.name))
    }

    /// The next argument if it is a tag.
    pub(crate) fn tag(&mut self) -> Option<&'a str> {
        let Some(Argument { value: Value::Tag(tag), line }) = self.rest.as_slice().first() else { return None };
        self.line = *line;
        self.rest.next();
        Some(tag)
    }

    /// A number, wanted as `what`.
    pub(crate) fn number(&mut self, what: &str) -> Result<u64, SieveError> {
        match self.next(what)? {
            Value::Number(number) => Ok(*number),
            _ => Err(self.error(format_args!("{what} is wanted here, a number"))),
        }
    }

    /// One string.
    pub(crate) fn text(&mut self, what: &str) -> Result<&'a str, SieveError> {
        match self.next(what)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.error(format_args!("{what} is wanted here, a string"))),
        }
    }

    /// RFC 5228 §2.4.2.1: a list, or one string that stands for a list of one.
    pub(crate) fn strings(&mut self, what: &str) -> Result<Vec<String>, SieveError> {
        match self.next(what)? {
            Value::Text(text) => Ok(vec![text.clone()]),
            Value::List(list) => Ok(list.clone()),
            Value::Tag(_) | Value::Number(_) => {
                Err(self.error(format_args!("{what} is wanted here, a list of strings")))
            }
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(mut self) -> Result<(), SieveError> {
        match self.rest.next() {
            None => Ok(()),
            Some(argument) => {
                self.line = argument.line;
                Err(self.error("one argument too many"))
            }
        }
    }

    fn next(&mut self, what: &str) -> Result<&'a Value, SieveError> {
        let argument = self.rest.next().ok_or_else(|| self.error(format_args!("{what} is missing")))?;
        self.line = argument.line;
        match &argument.value {
            Value::Tag(tag) => Err(self.error(format_args!("':{tag}' is not known, or not here"))),
            value => Ok(value),
        }
    }
}

/// Keeps what a tag gave; twice is an error (RFC 5228 §2.7.1 and its kin).
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, arguments: &Arguments<'_>) -> Result<(), SieveError> {
    if slot.is_some() {
        return Err(arguments.error("the same kind of tag is given twice"));
    }
    *slot = Some(value);
    Ok(())
}
