//! Checks of the codec, which `tests/targets` runs over arbitrary octets, and a session for the same tests. A check
//! that fails panics, and the fuzzer reports the panic.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_net::{Peer, Transport};
use provost_store::MailboxName;

use crate::codec::command::{Command, ListArguments, SearchKey};
use crate::codec::cursor::{Cursor, is_tag};
use crate::codec::frame::{Frame, FrameBounds, Framer, LITERAL_OCTETS_SMALL};
use crate::codec::sequence::SequenceSet;
use crate::codec::{date, encode, parse, sequence, utf7};
use crate::{ImapConfig, ImapSession};

/// Small bounds, so that short inputs reach them. Only that of APPEND is larger than [`LITERAL_OCTETS_SMALL`]: its
/// literal may be one that the framer passes on in pieces.
const BOUNDS: FrameBounds = FrameBounds { line: 512, literal: 256, command: 1_024, append: Some(80_000) };
/// Deepest nesting of SEARCH keys: the parser's limit, and the conjunction around all keys.
const SEARCH_DEPTH_MAX: usize = 128 + 1;

/// One event of the framing: its kind, and its octets.
pub type Framed = (String, Vec<u8>);

/// Cuts `pieces` into commands, and checks that the framer holds no more than the bounds allow.
pub fn frames(pieces: &[&[u8]]) -> Vec<Framed> {
    let (mut framer, mut input) = (Framer::default(), BytesMut::new());
    let (mut seen, mut large) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(framed) = next_frame(&mut framer, &mut input, &mut large) {
            seen.extend(framed);
        }
        assert!(input.len() <= BOUNDS.line, "{} octets are left in the input", input.len());
        let held = framer.buffered_octets();
        let limit = BOUNDS.command + BOUNDS.line + LITERAL_OCTETS_SMALL as usize;
        assert!(held <= limit, "{held} octets are held");
    }
    seen
}

/// Returns the next event: `None` when more input is needed, `Some(None)` for octets of a large literal.
fn next_frame(framer: &mut Framer, input: &mut BytesMut, large: &mut Vec<u8>) -> Option<Option<Framed>> {
    Some(match framer.advance(input, &BOUNDS) {
        Frame::NeedMore => return None,
        Frame::Continuation => Some(("continuation".to_owned(), Vec::new())),
        Frame::Literal(octets) => {
            assert!(!octets.is_empty(), "an empty piece of a literal");
            large.extend_from_slice(&octets);
            None
        }
        Frame::Command(text) => Some(("command".to_owned(), text.to_vec())),
        Frame::Large { text, at } => {
            assert!(at <= text.len(), "the literal's offset is after the end of its command");
            Some((format!("command with {} at {at}", text.escape_ascii()), std::mem::take(large)))
        }
        Frame::Refused(tag, refusal) => {
            large.clear();
            Some((format!("refused {tag:?} {refusal:?}"), Vec::new()))
        }
    })
}

/// Checks that two parses of a framed command agree, that its parts are within their bounds, and that names, sets and
/// dates survive writing and parsing.
pub fn command(frame: &[u8]) {
    let frame = Bytes::copy_from_slice(frame);
    let (parsed, again) = (parse(&frame), parse(&frame));
    assert_eq!(format!("{parsed:?}"), format!("{again:?}"));
    assert!(parsed.tag.as_deref().is_none_or(is_tag), "{:?} is not a tag", parsed.tag);
    let Ok(command) = parsed.command else { return };
    mailboxes(&command).into_iter().for_each(mailbox_comes_back);
    match command {
        Command::Search(search) => search_key(&search.key, 0),
        Command::Fetch(fetch) => set_comes_back(&fetch.messages.set),
        Command::Store(store) => set_comes_back(&store.messages.set),
        Command::Copy { messages, .. } => set_comes_back(&messages.set),
        Command::Expunge { uids: Some(set) } => set_comes_back(&set),
        Command::List(ListArguments { patterns, .. }) => assert!(!patterns.is_empty(), "LIST without a pattern"),
        Command::Append(append) => {
            if let Some(at) = append.date {
                assert_eq!(date::parse_date_time(&date::format_date_time(at)), Some(at));
            }
        }
        _ => {}
    }
}

fn mailboxes(command: &Command) -> Vec<&MailboxName> {
    let names = match command {
        Command::Select { mailbox, .. }
        | Command::Status { mailbox, .. }
        | Command::Create { mailbox, .. }
        | Command::Delete { mailbox }
        | Command::Subscribe { mailbox, .. }
        | Command::Copy { to: mailbox, .. } => vec![mailbox],
        Command::Rename { from, to } => vec![from, to],
        Command::Append(append) => vec![&append.mailbox],
        _ => Vec::new(),
    };
    names.into_iter().flatten().collect()
}

/// A mailbox name survives encoding and parsing.
fn mailbox_comes_back(name: &MailboxName) {
    let wire = Bytes::from(encode::mailbox(name));
    let read = Cursor::new(&wire).astring().ok().and_then(|text| utf7::decode(&text));
    assert_eq!(read.and_then(|text| MailboxName::parse(&text)).as_ref(), Some(name));
}

fn search_key(key: &SearchKey, depth: usize) {
    assert!(depth <= SEARCH_DEPTH_MAX, "SEARCH keys are nested {depth} deep");
    match key {
        SearchKey::Not(inner) => search_key(inner, depth + 1),
        SearchKey::Or(first, second) => [first, second].into_iter().for_each(|key| search_key(key, depth + 1)),
        SearchKey::And(keys) => keys.iter().for_each(|key| search_key(key, depth + 1)),
        SearchKey::Sequence(set) | SearchKey::Uid(set) => set_comes_back(set),
        _ => {}
    }
}

/// The ranges of a set ascend and do not touch, and a small set survives writing and parsing.
fn set_comes_back(set: &SequenceSet) {
    for last in [0, 1, 7, u32::MAX] {
        let ranges = set.resolve(last);
        assert!(ranges.iter().all(|(low, high)| 1 <= *low && low <= high), "{ranges:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
        let Some(numbers) = numbers(&ranges) else { continue };
        let wire = Bytes::from(sequence::format(numbers));
        let read = SequenceSet::parse(&mut Cursor::new(&wire)).map(|set| set.resolve(u32::MAX));
        assert!(wire.is_empty() && ranges.is_empty() || read == Ok(ranges), "{wire:?}");
    }
}

/// The numbers of a small set; `None` for a large one.
fn numbers(ranges: &[(u32, u32)]) -> Option<Vec<u32>> {
    let count: u64 = ranges.iter().map(|(low, high)| u64::from(high - low) + 1).sum();
    (count <= 1_000).then(|| ranges.iter().flat_map(|(low, high)| *low..=*high).collect())
}

/// Strings, names and dates survive encoding and parsing, except that `?` replaces NUL in a string; and modified UTF-7
/// has one spelling of each name.
pub fn strings(octets: &[u8]) {
    let mut wire = Vec::new();
    encode::string(&mut wire, octets);
    let wire = Bytes::from(wire);
    let wanted: Vec<u8> = octets.iter().map(|octet| if *octet == 0 { b'?' } else { *octet }).collect();
    assert_eq!(Cursor::new(&wire).string().as_deref(), Ok(wanted.as_slice()));
    if let Some(text) = utf7::decode(octets) {
        assert_eq!(utf7::encode(&text).as_bytes(), octets);
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    assert_eq!(utf7::decode(utf7::encode(text).as_bytes()).as_deref(), Some(text));
    if let Some(at) = date::parse_date_time(text) {
        assert_eq!(date::parse_date_time(&date::format_date_time(at)), Some(at));
    }
}

/// A session without TLS and with a fixed clock, in which a refused login causes no delay.
pub fn session(config: Arc<ImapConfig>, peer: Peer) -> ImapSession {
    let mut session = ImapSession::new(config, peer, Transport::Plain, false);
    session.connection.clock = || Timestamp::UNIX_EPOCH;
    session.connection.login_penalty = Duration::ZERO;
    session
}
