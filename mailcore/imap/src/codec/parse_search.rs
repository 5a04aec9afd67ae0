//! Reads SEARCH (RFC 3501 §6.4.4, RFC 4731 §3.1).

use jiff::civil::Date;
use provost_store::Flag;

use super::command::{Command, DayComparison, NumberKind, SearchArguments, SearchKey, SearchReturn};
use super::cursor::{Cursor, ParseError, Result};
use super::date;
use super::sequence::SequenceSet;

/// Deepest nesting of NOT, OR and parentheses. Clients chain one OR per address of an address book.
const DEPTH_MAX: usize = 128;
/// Maximum number of keys in one SEARCH. Each may be tested against every message.
const KEYS_MAX: usize = 1_000;
/// Maximum number of options in one RETURN.
const OPTIONS_MAX: usize = 8;

pub(super) fn search(cursor: &mut Cursor<'_>, numbers: NumberKind) -> Result<Command> {
    let mut returns = None;
    if cursor.eat_word("RETURN") {
        cursor.space()?;
        returns = Some(return_options(cursor)?);
        cursor.space()?;
    }
    let mut charset_known = true;
    if cursor.eat_word("CHARSET") {
        cursor.space()?;
        let charset = cursor.astring()?;
        charset_known = charset.eq_ignore_ascii_case(b"UTF-8") || charset.eq_ignore_ascii_case(b"US-ASCII");
        cursor.space()?;
    }
    let mut parser = SearchKeyParser { cursor, keys_left: KEYS_MAX };
    let key = parser.all_of(0, None)?;
    Ok(Command::Search(Box::new(SearchArguments { numbers, returns, charset_known, key })))
}

/// Reads the options of RETURN; none means ALL (RFC 4731 §3.1).
fn return_options(cursor: &mut Cursor<'_>) -> Result<SearchReturn> {
    let mut returns = SearchReturn::default();
    for option in cursor.list(OPTIONS_MAX, Cursor::word)? {
        match option.as_str() {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            _ => return Err(ParseError("unknown SEARCH return option")),
        }
    }
    returns.all |= returns == SearchReturn::default();
    Ok(returns)
}

struct SearchKeyParser<'a, 'b> {
    cursor: &'a mut Cursor<'b>,
    keys_left: usize,
}

impl SearchKeyParser<'_, '_> {
    /// Reads `key *(SP key)` up to `close` or the end.
    fn all_of(&mut self, depth: usize, close: Option<u8>) -> Result<SearchKey> {
        let mut keys = Vec::new();
        loop {
            keys.push(self.key(depth)?);
            match close {
                Some(close) if self.cursor.eat(close) => break,
                None if self.cursor.peek().is_none() => break,
                _ => self.cursor.space()?,
            }
        }
        Ok(if keys.len() == 1 { keys.remove(0) } else { SearchKey::And(keys) })
    }

    fn key(&mut self, depth: usize) -> Result<SearchKey> {
        if depth > DEPTH_MAX {
            return Err(ParseError("search keys are nested too deeply"));
        }
        self.keys_left = self.keys_left.checked_sub(1).ok_or(ParseError("too many search keys"))?;
        match self.cursor.peek() {
            Some(b'(') => {
                self.cursor.expect(b'(', "a list was expected")?;
                self.all_of(depth + 1, Some(b')'))
            }
            Some(b'*' | b'0'..=b'9') => Ok(SearchKey::Sequence(SequenceSet::parse(self.cursor)?)),
            _ => {
                let word = self.cursor.word()?;
                match flag_key(&word) {
                    Some(key) => Ok(key),
                    None => self.with_argument(&word, depth),
                }
            }
        }
    }

    fn with_argument(&mut self, word: &str, depth: usize) -> Result<SearchKey> {
        if !ARGUMENT_KEYS.contains(&word) {
            return Err(ParseError("unknown search key"));
        }
        self.cursor.space()?;
        Ok(match word {
            "NOT" => not(self.key(depth + 1)?),
            "OR" => {
                let first = self.key(depth + 1)?;
                self.cursor.space()?;
                SearchKey::Or(Box::new(first), Box::new(self.key(depth + 1)?))
            }
            "BEFORE" => SearchKey::Internal(DayComparison::Before, self.date()?),
            "ON" => SearchKey::Internal(DayComparison::On, self.date()?),
            "SINCE" => SearchKey::Internal(DayComparison::Since, self.date()?),
            "SENTBEFORE" => SearchKey::Sent(DayComparison::Before, self.date()?),
            "SENTON" => SearchKey::Sent(DayComparison::On, self.date()?),
            "SENTSINCE" => SearchKey::Sent(DayComparison::Since, self.date()?),
            "LARGER" => SearchKey::Larger(self.cursor.number()?),
            "SMALLER" => SearchKey::Smaller(self.cursor.number()?),
            "KEYWORD" => SearchKey::Keyword(self.cursor.atom()?.to_owned()),
            "UNKEYWORD" => not(SearchKey::Keyword(self.cursor.atom()?.to_owned())),
            "UID" => SearchKey::Uid(SequenceSet::parse(self.cursor)?),
            "BODY" => SearchKey::Body(self.text()?),
            "TEXT" => SearchKey::Text(self.text()?),
            "HEADER" => {
                let name = String::from_utf8_lossy(&self.cursor.astring()?).into_owned();
                self.cursor.space()?;
                SearchKey::Header { name, text: self.text()? }
            }
            field => SearchKey::Header { name: field.to_owned(), text: self.text()? },
        })
    }

    /// Reads a search string, in the form in which texts are compared.
    fn text(&mut self) -> Result<String> {
        Ok(provost_message::search_form(&String::from_utf8_lossy(&self.cursor.astring()?)))
    }

    fn date(&mut self) -> Result<Date> {
        let text = self.cursor.astring()?;
        let text = std::str::from_utf8(&text).map_err(|_| ParseError("a date is malformed"))?;
        date::parse_date(text).ok_or(ParseError("a date is malformed"))
    }
}

const ARGUMENT_KEYS: &[&str] = &[
    "NOT",
    "OR",
    "BEFORE",
    "ON",
    "SINCE",
    "SENTBEFORE",
    "SENTON",
    "SENTSINCE",
    "LARGER",
    "SMALLER",
    "KEYWORD",
    "UNKEYWORD",
    "UID",
    "BODY",
    "TEXT",
    "HEADER",
    "FROM",
    "TO",
    "CC",
    "BCC",
    "SUBJECT",
];

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

/// A key without arguments.
fn flag_key(word: &str) -> Option<SearchKey> {
    Some(match word {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Flag(Flag::Answered),
        "UNANSWERED" => not(SearchKey::Flag(Flag::Answered)),
        "DELETED" => SearchKey::Flag(Flag::Deleted),
        "UNDELETED" => not(SearchKey::Flag(Flag::Deleted)),
        "DRAFT" => SearchKey::Flag(Flag::Draft),
        "UNDRAFT" => not(SearchKey::Flag(Flag::Draft)),
        "FLAGGED" => SearchKey::Flag(Flag::Flagged),
        "UNFLAGGED" => not(SearchKey::Flag(Flag::Flagged)),
        "SEEN" => SearchKey::Flag(Flag::Seen),
        "UNSEEN" => not(SearchKey::Flag(Flag::Seen)),
        "RECENT" => SearchKey::Recent,
        "OLD" => not(SearchKey::Recent),
        "NEW" => SearchKey::New,
        _ => return None,
    })
}
