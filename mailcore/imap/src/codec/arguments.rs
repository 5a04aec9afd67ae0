//! Arguments that several commands take (RFC 3501 §9).

use bytes::Bytes;
use provost_store::{Flag, Flags, Keyword, MailboxName};

use super::command::{MessageNumbers, NamedMailbox, NumberKind, StatusItem};
use super::cursor::{Cursor, ParseError, Result};
use super::sequence::SequenceSet;
use super::utf7;

/// Maximum number of flags in one list. The store keeps at most 64 keywords of a mailbox.
const FLAGS_MAX: usize = 128;
/// Maximum number of items in one STATUS.
const ITEMS_MAX: usize = 32;

/// The text of a string; an error when it is not UTF-8.
pub(super) fn text(bytes: &Bytes) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ParseError("a string is not UTF-8"))
}

/// Reads a mailbox name, which is modified UTF-7 (RFC 3501 §5.1.3).
pub(super) fn mailbox(cursor: &mut Cursor<'_>) -> Result<NamedMailbox> {
    Ok(utf7::decode(&cursor.astring()?).and_then(|name| MailboxName::parse(&name)))
}

/// Reads `sequence-set SP`.
pub(super) fn messages(cursor: &mut Cursor<'_>, numbers: NumberKind) -> Result<MessageNumbers> {
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    Ok(MessageNumbers { set, numbers })
}

/// Reads the items of STATUS in parentheses, `(MESSAGES ...)`: at least one.
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>> {
    let items = cursor.list(ITEMS_MAX, |cursor| match cursor.word()?.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        "SIZE" => Ok(StatusItem::Size),
        _ => Err(ParseError("unknown STATUS item")),
    })?;
    if items.is_empty() { Err(ParseError("no STATUS item")) } else { Ok(items) }
}

/// Reads `flag-list`: flags in parentheses, perhaps none.
pub(super) fn flag_list(cursor: &mut Cursor<'_>) -> Result<Flags> {
    let names = cursor.list(FLAGS_MAX, Cursor::flag)?;
    let mut flags = Flags::none();
    for name in names {
        add_flag(&mut flags, &name)?;
    }
    Ok(flags)
}

fn add_flag(flags: &mut Flags, name: &str) -> Result<()> {
    match name.to_ascii_lowercase().as_str() {
        "\\seen" => flags.insert(Flag::Seen),
        "\\answered" => flags.insert(Flag::Answered),
        "\\flagged" => flags.insert(Flag::Flagged),
        "\\deleted" => flags.insert(Flag::Deleted),
        "\\draft" => flags.insert(Flag::Draft),
        // RFC 3501 §2.3.2, §9 `flag`: no client can set or clear `\Recent`.
        "\\recent" => return Err(ParseError("\\Recent cannot be changed by a client")),
        other if other.starts_with('\\') => return Err(ParseError("unknown system flag")),
        _ => flags.insert_keyword(Keyword::parse(name).ok_or(ParseError("a keyword is malformed or too long"))?),
    }
    Ok(())
}

/// Reads `flag *(SP flag)`: flags without parentheses.
pub(super) fn bare_flags(cursor: &mut Cursor<'_>) -> Result<Flags> {
    let mut flags = Flags::none();
    for _ in 0..FLAGS_MAX {
        add_flag(&mut flags, &cursor.flag()?)?;
        if !cursor.eat(b' ') {
            return Ok(flags);
        }
    }
    Err(ParseError("too many flags"))
}
