//! Reads LIST and LSUB (RFC 3501 §6.3.8, §6.3.9; RFC 5258; RFC 5819; RFC 6154).

use super::arguments::status_items;
use super::command::{Command, ListArguments, ListPattern, ListSelect};
use super::cursor::{Cursor, ParseError, Result};
use super::utf7;

/// Maximum number of patterns in one extended LIST.
const PATTERNS_MAX: usize = 32;
/// Maximum number of selection options, and of return options, in one extended LIST.
const OPTIONS_MAX: usize = 16;

fn pattern(cursor: &mut Cursor<'_>) -> Result<ListPattern> {
    Ok(utf7::decode(&cursor.list_mailbox()?))
}

fn reference(cursor: &mut Cursor<'_>) -> Result<ListPattern> {
    Ok(utf7::decode(&cursor.astring()?))
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Result<Command> {
    let reference = reference(cursor)?;
    cursor.space()?;
    Ok(Command::Lsub { reference, pattern: pattern(cursor)? })
}

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mut list = ListArguments {
        select: ListSelect::default(),
        reference: None,
        patterns: Vec::new(),
        status: Vec::new(),
        return_subscribed: false,
        extended: false,
    };
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.select = select_options(cursor)?;
        cursor.space()?;
    }
    list.reference = reference(cursor)?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = cursor.list(PATTERNS_MAX, pattern)?;
        if list.patterns.is_empty() {
            return Err(ParseError("the list of patterns is empty"));
        }
    } else {
        list.patterns.push(pattern(cursor)?);
    }
    if cursor.eat(b' ') {
        return_options(cursor, &mut list)?;
    }
    Ok(Command::List(list))
}

/// Reads selection options. RECURSIVEMATCH needs an option to match children by (RFC 5258 §3.1); SUBSCRIBED is the only
/// one that LIST evaluates for children.
fn select_options(cursor: &mut Cursor<'_>) -> Result<ListSelect> {
    let mut select = ListSelect::default();
    for option in cursor.list(OPTIONS_MAX, Cursor::word)? {
        match option.as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "SPECIAL-USE" => select.special_use = true,
            "RECURSIVEMATCH" => select.recursive = true,
            // There are no remote mailboxes, so the option adds nothing.
            "REMOTE" => {}
            _ => return Err(ParseError("unknown LIST selection option")),
        }
    }
    if select.recursive && !select.subscribed {
        return Err(ParseError("RECURSIVEMATCH needs SUBSCRIBED"));
    }
    Ok(select)
}

/// Reads `RETURN (...)` (RFC 5258 §3.2, RFC 5819 §2). CHILDREN and SPECIAL-USE change nothing: their attributes are
/// always sent.
fn return_options(cursor: &mut Cursor<'_>, list: &mut ListArguments) -> Result<()> {
    if cursor.word()? != "RETURN" {
        return Err(ParseError("RETURN was expected"));
    }
    cursor.space()?;
    list.extended = true;
    let mut status = Vec::new();
    let mut subscribed = false;
    cursor.list(OPTIONS_MAX, |cursor| {
        match cursor.word()?.as_str() {
            "SUBSCRIBED" => subscribed = true,
            "CHILDREN" | "SPECIAL-USE" => {}
            "STATUS" => {
                cursor.space()?;
                status = status_items(cursor)?;
            }
            _ => return Err(ParseError("unknown LIST return option")),
        }
        Ok(())
    })?;
    list.status = status;
    list.return_subscribed = subscribed;
    Ok(())
}
