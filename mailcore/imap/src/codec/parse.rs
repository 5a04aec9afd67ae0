//! Parses a framed command into a [`Command`] (RFC 3501 §9).

use bytes::Bytes;
use provost_credential::Secret;
use provost_store::{Flags, MailboxName, SpecialUse};

use super::arguments::{bare_flags, flag_list, mailbox, messages, status_items, text};
use super::command::{
    AppendArguments, Command, CopyOrMove, NamedMailbox, NumberKind, StoreArguments, StoreChange, WantedUse,
};
use super::cursor::{Cursor, ParseError, Result};
use super::parse_fetch::fetch;
use super::parse_list::{list, lsub};
use super::parse_search::search;
use super::sequence::SequenceSet;
use super::{date, utf7};

/// Maximum number of strings in an ID command: RFC 2971 §3.3 allows 30 pairs of a field and its value.
const ID_STRINGS_MAX: usize = 60;
/// Maximum number of arguments of ENABLE and of CREATE.
const ITEMS_MAX: usize = 32;

/// A command and its tag; the tag is known even when the rest is wrong.
#[derive(Debug)]
pub(crate) struct ParsedCommand {
    pub(crate) tag: Option<Box<str>>,
    pub(crate) command: Result<Command>,
}

/// Parses one command; the tag is kept even when the rest is wrong.
pub(crate) fn parse(frame: &Bytes) -> ParsedCommand {
    let mut cursor = Cursor::new(frame);
    let tag = match cursor.tag() {
        Ok(tag) => tag,
        Err(error) => return ParsedCommand { tag: None, command: Err(error) },
    };
    let command = cursor.space().and_then(|()| command(&mut cursor));
    ParsedCommand { tag: Some(tag.into()), command }
}

fn command(cursor: &mut Cursor<'_>) -> Result<Command> {
    let word = cursor.word()?;
    let command = match word.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge { uids: None },
        _ => {
            cursor.space()?;
            with_arguments(&word, cursor)?
        }
    };
    cursor.end()?;
    Ok(command)
}

fn with_arguments(word: &str, cursor: &mut Cursor<'_>) -> Result<Command> {
    match word {
        "LOGIN" => login(cursor),
        "AUTHENTICATE" => authenticate(cursor),
        "ID" => id(cursor),
        "ENABLE" => enable(cursor),
        "SELECT" => Ok(Command::Select { mailbox: select(cursor)?, read_only: false }),
        "EXAMINE" => Ok(Command::Select { mailbox: select(cursor)?, read_only: true }),
        "STATUS" => status(cursor),
        "LIST" => list(cursor),
        "LSUB" => lsub(cursor),
        "CREATE" => create(cursor),
        "DELETE" => Ok(Command::Delete { mailbox: mailbox(cursor)? }),
        "RENAME" => rename(cursor),
        "SUBSCRIBE" => Ok(Command::Subscribe { mailbox: mailbox(cursor)?, on: true }),
        "UNSUBSCRIBE" => Ok(Command::Subscribe { mailbox: mailbox(cursor)?, on: false }),
        "APPEND" => append(cursor),
        "UID" => uid(cursor),
        _ => numbered(word, cursor, NumberKind::Sequence),
    }
}

/// Reads the command after UID (RFC 3501 §6.4.8, RFC 4315 §2.1).
fn uid(cursor: &mut Cursor<'_>) -> Result<Command> {
    let word = cursor.word()?;
    cursor.space()?;
    if word == "EXPUNGE" {
        return Ok(Command::Expunge { uids: Some(SequenceSet::parse(cursor)?) });
    }
    numbered(&word, cursor, NumberKind::Uid)
}

/// The commands that have a UID form.
fn numbered(word: &str, cursor: &mut Cursor<'_>, numbers: NumberKind) -> Result<Command> {
    match word {
        "FETCH" => fetch(cursor, numbers),
        "SEARCH" => search(cursor, numbers),
        "STORE" => store(cursor, numbers),
        "COPY" => copy(cursor, numbers, CopyOrMove::Copy),
        "MOVE" => copy(cursor, numbers, CopyOrMove::Move),
        _ => Err(ParseError("unknown command")),
    }
}

fn login(cursor: &mut Cursor<'_>) -> Result<Command> {
    let name = text(&cursor.astring()?)?;
    cursor.space()?;
    Ok(Command::Login { name, password: Secret::new(text(&cursor.astring()?)?) })
}

/// Reads AUTHENTICATE (RFC 3501 §6.2.2) with an optional initial response (RFC 4959).
fn authenticate(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mechanism = cursor.word()?;
    if !cursor.eat(b' ') {
        return Ok(Command::Authenticate { mechanism, initial: None });
    }
    match cursor.take_while(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet)) {
        // RFC 4959 §3: an empty response is sent as `=`.
        b"" => Err(ParseError("an initial response was expected")),
        response => Ok(Command::Authenticate { mechanism, initial: Some(Bytes::copy_from_slice(response)) }),
    }
}

/// Reads ID (RFC 2971 §3.1). The client's values are discarded.
fn id(cursor: &mut Cursor<'_>) -> Result<Command> {
    if !cursor.eat_word("NIL") {
        let strings = cursor.list(ID_STRINGS_MAX, Cursor::nstring)?;
        if strings.chunks(2).any(|pair| !matches!(pair, [Some(_), _])) {
            return Err(ParseError("ID takes pairs of a field and its value"));
        }
    }
    Ok(Command::Id)
}

/// Reads ENABLE (RFC 5161 §3.1). The names are discarded, as no extension here has to be enabled.
fn enable(cursor: &mut Cursor<'_>) -> Result<Command> {
    for _ in 0..ITEMS_MAX {
        cursor.atom()?;
        if !cursor.eat(b' ') {
            return Ok(Command::Enable);
        }
    }
    Err(ParseError("too many capabilities"))
}

/// Reads SELECT or EXAMINE; SELECT parameters (RFC 4466 §2.1) are not supported.
fn select(cursor: &mut Cursor<'_>) -> Result<NamedMailbox> {
    let name = mailbox(cursor)?;
    if cursor.eat(b' ') { Err(ParseError("unknown SELECT parameter")) } else { Ok(name) }
}

fn status(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    Ok(Command::Status { mailbox, items: status_items(cursor)? })
}

/// Reads CREATE (RFC 3501 §6.3.3) with an optional `(USE (...))` (RFC 6154 §3).
fn create(cursor: &mut Cursor<'_>) -> Result<Command> {
    let name = utf7::decode(&cursor.astring()?);
    // RFC 3501 §6.3.3: a trailing separator announces child names; it is not part of the name.
    let mailbox = name.and_then(|name| MailboxName::parse(name.strip_suffix(MailboxName::SEPARATOR).unwrap_or(&name)));
    let mut special_use = None;
    if cursor.eat(b' ') {
        cursor.expect(b'(', "CREATE parameters were expected")?;
        if cursor.word()? != "USE" {
            return Err(ParseError("unknown CREATE parameter"));
        }
        cursor.space()?;
        let uses = cursor.list(ITEMS_MAX, Cursor::flag)?;
        cursor.expect(b')', "CREATE parameters have no end")?;
        special_use = match uses.as_slice() {
            [] => None,
            [one] => Some(special_use_named(one).map_or(WantedUse::Unknown, WantedUse::Known)),
            _ => Some(WantedUse::Unknown),
        };
    }
    Ok(Command::Create { mailbox, special_use })
}

fn special_use_named(name: &str) -> Option<SpecialUse> {
    match name.to_ascii_lowercase().as_str() {
        "\\drafts" => Some(SpecialUse::Drafts),
        "\\sent" => Some(SpecialUse::Sent),
        "\\trash" => Some(SpecialUse::Trash),
        "\\junk" => Some(SpecialUse::Junk),
        "\\archive" => Some(SpecialUse::Archive),
        _ => None,
    }
}

fn rename(cursor: &mut Cursor<'_>) -> Result<Command> {
    let from = mailbox(cursor)?;
    cursor.space()?;
    Ok(Command::Rename { from, to: mailbox(cursor)? })
}

/// Reads the arguments of APPEND (RFC 3501 §6.3.11).
fn append(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut flags = Flags::none();
    if cursor.peek() == Some(b'(') {
        flags = flag_list(cursor)?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        let text = text(&cursor.string()?)?;
        date = Some(date::parse_date_time(&text).ok_or(ParseError("the date-time is malformed"))?);
        cursor.space()?;
    }
    Ok(Command::Append(Box::new(AppendArguments { mailbox, flags, date, message: cursor.literal()? })))
}

/// Reads the arguments of STORE (RFC 3501 §6.4.6).
fn store(cursor: &mut Cursor<'_>, numbers: NumberKind) -> Result<Command> {
    let messages = messages(cursor, numbers)?;
    let change = if cursor.eat(b'+') {
        StoreChange::Add
    } else if cursor.eat(b'-') {
        StoreChange::Remove
    } else {
        StoreChange::Replace
    };
    let silent = match cursor.word()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(ParseError("unknown STORE item")),
    };
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') { flag_list(cursor)? } else { bare_flags(cursor)? };
    Ok(Command::Store(Box::new(StoreArguments { messages, change, silent, flags })))
}

fn copy(cursor: &mut Cursor<'_>, numbers: NumberKind, manner: CopyOrMove) -> Result<Command> {
    let messages = messages(cursor, numbers)?;
    Ok(Command::Copy { messages, to: mailbox(cursor)?, manner })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §9: a space is followed by an argument.
    #[test]
    fn refuses_a_space_at_the_end() {
        for command in [
            "NOOP",
            "SELECT INBOX",
            "EXAMINE INBOX",
            "AUTHENTICATE PLAIN",
            "AUTHENTICATE PLAIN =",
            "ID NIL",
            "ENABLE X",
            "CREATE x",
            "CREATE x (USE (\\Sent))",
            "LIST \"\" *",
            "LIST \"\" * RETURN (CHILDREN)",
            "STATUS INBOX (MESSAGES)",
            "SEARCH ALL",
            "FETCH 1 FLAGS",
            "FETCH 1 (FLAGS)",
            "STORE 1 FLAGS \\Seen",
            "COPY 1 x",
            "UID EXPUNGE 1",
        ] {
            let command_of = |line: String| parse(&Bytes::from(line)).command;
            assert!(command_of(format!("a {command}")).is_ok(), "{command}");
            assert!(command_of(format!("a {command} ")).is_err(), "{command} and a space");
        }
    }
}
