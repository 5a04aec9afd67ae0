//! SEARCH and UID SEARCH (RFC 3501 §6.4.4; ESEARCH, RFC 4731).

use std::sync::OnceLock;

use provost_net::Output;
use provost_store::StoreError;

use crate::codec::command::{Compare, Numbers, Search, SearchKey, SearchReturn};
use crate::codec::sequence::{self, Ranges};
use crate::codec::{Reply, date};
use crate::header;
use crate::mailbox::Selected;
use crate::roster::{Facts, Message};
use crate::section::Octets;
use crate::text;
use crate::world::{World, unreadable};

use super::fetch::{load_header, load_whole};

/// Messages looked at before other sessions get a turn.
const MESSAGES_PER_TURN: usize = 256;

/// SEARCH.
pub(crate) async fn search(
    world: &World<'_>,
    selected: &mut Selected,
    tag: &str,
    search: &Search,
    out: &mut Output<'_>,
) -> Reply {
    if !search.charset_known {
        return Reply::no("BADCHARSET (US-ASCII UTF-8)", "Unknown charset");
    }
    if needs_facts(&search.key) {
        let all: Vec<usize> = (0..selected.messages.len()).collect();
        if let Err(error) = world.load_facts(selected, &all).await {
            return unreadable(&error);
        }
    }
    let selected = &*selected;
    let key = Resolved::new(&search.key, selected);
    let mut found = Vec::new();
    for index in 0..selected.messages.len() {
        let Some(message) = selected.messages.message(index) else { continue };
        if index % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let subject = Subject { message: &message, number: number(index), is_recent: selected.is_recent(message.uid) };
        match is_match(world, &key, &subject).await {
            Ok(true) => found.push(match search.numbers {
                Numbers::Sequence => subject.number,
                Numbers::Uid => message.uid.0.get(),
            }),
            // Gone meanwhile, or damaged: not found.
            Ok(false) | Err(StoreError::Gone | StoreError::Damaged(_)) => {}
            Err(error) => return unreadable(&error),
        }
    }
    match search.returns {
        None => out.put(plain(&found)),
        Some(returns) => out.put(extended(tag, &found, returns, search.numbers)),
    }
    Reply::ok("SEARCH completed")
}

/// Whether a key asks for more than UIDs and flags.
fn needs_facts(key: &SearchKey) -> bool {
    match key {
        SearchKey::Not(key) => needs_facts(key),
        SearchKey::Or(first, second) => needs_facts(first) || needs_facts(second),
        SearchKey::And(keys) => keys.iter().any(needs_facts),
        SearchKey::All | SearchKey::Flag(..) | SearchKey::Keyword(..) | SearchKey::Recent(_) | SearchKey::New => false,
        SearchKey::Sequence(_) | SearchKey::Uid(_) => false,
        _ => true,
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

/// RFC 3501 §7.2.5.
fn plain(found: &[u32]) -> String {
    let mut line = "* SEARCH".to_owned();
    for number in found {
        line.push(' ');
        line.push_str(&number.to_string());
    }
    line.push_str("\r\n");
    line
}

/// RFC 4731 §3.1.
fn extended(tag: &str, found: &[u32], returns: SearchReturn, numbers: Numbers) -> String {
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if numbers == Numbers::Uid {
        line.push_str(" UID");
    }
    if let (true, Some(first)) = (returns.min, found.first()) {
        line.push_str(&format!(" MIN {first}"));
    }
    if let (true, Some(last)) = (returns.max, found.last()) {
        line.push_str(&format!(" MAX {last}"));
    }
    if returns.all && !found.is_empty() {
        line.push_str(&format!(" ALL {}", sequence::format(found.iter().copied())));
    }
    if returns.count {
        line.push_str(&format!(" COUNT {}", found.len()));
    }
    line.push_str("\r\n");
    line
}

/// Reads no more of a message than the answer needs.
async fn is_match(world: &World<'_>, key: &Resolved<'_>, subject: &Subject<'_>) -> Result<bool, StoreError> {
    if let Some(answer) = key.test(subject, None) {
        return Ok(answer);
    }
    // Gone when the facts were read: the client has not been told yet.
    let Some(facts) = &subject.message.facts else { return Ok(false) };
    let head = Content::new(load_header(world, facts).await?, Extent::Header);
    if let Some(answer) = key.test(subject, Some(&head)) {
        return Ok(answer);
    }
    drop(head);
    let whole = Content::new(load_whole(world, facts).await?, Extent::Whole);
    Ok(key.test(subject, Some(&whole)).unwrap_or(false))
}

/// One message without its octets.
struct Subject<'a> {
    message: &'a Message,
    number: u32,
    is_recent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Header,
    Whole,
}

/// A message's octets with what was decoded of them: several keys may ask for the same.
struct Content {
    octets: Octets,
    extent: Extent,
    header: OnceLock<String>,
    body: OnceLock<String>,
}

impl Content {
    fn new(octets: Octets, extent: Extent) -> Self {
        Self { octets, extent, header: OnceLock::new(), body: OnceLock::new() }
    }

    fn header_text(&self) -> &str {
        self.header.get_or_init(|| text::header_text(self.octets.header()))
    }

    /// `None` when only the header was read.
    fn body_text(&self) -> Option<&str> {
        (self.extent == Extent::Whole).then(|| self.body.get_or_init(|| text::body_text(&self.octets)).as_str())
    }
}

/// A key with its sets resolved against the mailbox.
enum Resolved<'a> {
    Leaf(&'a SearchKey),
    Sequence(Ranges),
    Uid(Ranges),
    Not(Box<Resolved<'a>>),
    Or(Box<Resolved<'a>>, Box<Resolved<'a>>),
    And(Vec<Resolved<'a>>),
}

impl<'a> Resolved<'a> {
    fn new(key: &'a SearchKey, selected: &Selected) -> Self {
        let boxed = |key: &'a SearchKey| Box::new(Self::new(key, selected));
        match key {
            SearchKey::Sequence(set) => Self::Sequence(set.resolve(selected.exists())),
            SearchKey::Uid(set) => Self::Uid(set.resolve(selected.last_uid())),
            SearchKey::Not(key) => Self::Not(boxed(key)),
            SearchKey::Or(first, second) => Self::Or(boxed(first), boxed(second)),
            SearchKey::And(keys) => Self::And(keys.iter().map(|key| Self::new(key, selected)).collect()),
            leaf => Self::Leaf(leaf),
        }
    }

    /// `None`: cannot be said from what was read so far.
    fn test(&self, subject: &Subject<'_>, content: Option<&Content>) -> Option<bool> {
        match self {
            Self::Leaf(key) => leaf(key, subject, content),
            Self::Sequence(ranges) => Some(sequence::contains(ranges, subject.number)),
            Self::Uid(ranges) => Some(sequence::contains(ranges, subject.message.uid.0.get())),
            Self::Not(key) => key.test(subject, content).map(|answer| !answer),
            Self::Or(first, second) => match first.test(subject, content) {
                Some(true) => Some(true),
                first => match (first, second.test(subject, content)) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Self::And(keys) => {
                let mut answer = Some(true);
                for key in keys {
                    match key.test(subject, content) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => answer = None,
                    }
                }
                answer
            }
        }
    }
}

fn leaf(key: &SearchKey, subject: &Subject<'_>, content: Option<&Content>) -> Option<bool> {
    let flags = &subject.message.flags;
    let facts = || -> Option<&Facts> { subject.message.facts.as_ref() };
    Some(match key {
        SearchKey::All => true,
        SearchKey::Flag(flag, is_set) => flags.has(*flag) == *is_set,
        SearchKey::Keyword(keyword, is_set) => flags.has_keyword(keyword) == *is_set,
        SearchKey::Recent(is_recent) => subject.is_recent == *is_recent,
        SearchKey::New => subject.is_recent && !flags.has(provost_store::Flag::Seen),
        SearchKey::Internal(compare, day) => compares(*compare, date::utc_date(facts()?.internal_date), *day),
        SearchKey::Larger(octets) => facts()?.octets > u64::from(*octets),
        SearchKey::Smaller(octets) => facts()?.octets < u64::from(*octets),
        SearchKey::Sent(compare, day) => {
            let field = header::first(content?.octets.header(), "Date").unwrap_or_default();
            let sent = date::sent_date(&String::from_utf8_lossy(&field));
            sent.is_some_and(|sent| compares(*compare, sent, *day))
        }
        SearchKey::Header { name, text } => header_has(content?, name, text),
        SearchKey::Body(text) => content?.body_text()?.contains(text),
        SearchKey::Text(text) => {
            let content = content?;
            content.header_text().contains(text) || content.body_text()?.contains(text)
        }
        // Resolved before.
        SearchKey::Sequence(_) | SearchKey::Uid(_) | SearchKey::Not(_) | SearchKey::Or(..) | SearchKey::And(_) => false,
    })
}

/// RFC 3501 §6.4.4: an empty text matches any message that has the field.
fn header_has(content: &Content, name: &str, wanted: &str) -> bool {
    let fields = header::fields(content.octets.header());
    let mut named = fields.filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    named.any(|field| wanted.is_empty() || text::field_text(field.value).contains(wanted))
}

fn compares(compare: Compare, day: jiff::civil::Date, with: jiff::civil::Date) -> bool {
    match compare {
        Compare::Before => day < with,
        Compare::On => day == with,
        Compare::Since => day >= with,
    }
}
