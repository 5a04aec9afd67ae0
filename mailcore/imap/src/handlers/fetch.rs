//! FETCH and UID FETCH (RFC 3501 §6.4.5).

use std::collections::BTreeSet;

use bytes::Bytes;
use provost_net::{Output, SessionError};
use provost_store::{Flag, FlagChange, Flags, Op, StoreError, Uid};

use crate::codec::command::{self, FetchItem, Numbers, Partial, Section, SectionText};
use crate::codec::encode;
use crate::codec::envelope::envelope;
use crate::codec::structure::{Detail, structure};
use crate::codec::{Reply, date};
use crate::header;
use crate::mailbox::{Access, Selected};
use crate::roster::{Facts, Message};
use crate::section::{Octets, partial_range};
use crate::world::World;

use super::store::stored;

/// Read first when only the header is asked for: nearly every header is shorter.
const HEADER_OCTETS_FIRST: u64 = 64 * 1024;
/// Octets handed to the output at once.
const CHUNK_OCTETS: usize = 64 * 1024;

/// How much of each message's octets the items need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Header,
    /// One `BODY[]<origin.octets>` and nothing else.
    Range(Partial),
    Whole,
}

/// What was read of one message.
enum Loaded {
    Nothing,
    Message(Octets),
    /// The octets of the one partial.
    Range(Bytes),
}

/// FETCH.
pub(crate) async fn fetch(
    world: &World<'_>,
    selected: &mut Selected,
    fetch: command::Fetch,
    out: &mut Output<'_>,
) -> Result<Reply, SessionError> {
    let indices = match selected.indices(&fetch.messages) {
        Ok(indices) => indices,
        Err(error) => return Ok(Reply::bad(error.0)),
    };
    let mut items = fetch.items;
    if fetch.messages.numbers == Numbers::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let seen =
        if items.iter().any(marks_seen) { mark_seen(world, selected, &indices, out).await } else { BTreeSet::new() };
    let need = need(&items);
    let needs_facts = items.iter().any(|item| !matches!(item, FetchItem::Flags | FetchItem::Uid));
    if needs_facts && let Err(error) = world.load_facts(selected, &indices).await {
        return Ok(crate::world::unreadable(&error));
    }
    let mut failure = None;
    for index in indices {
        let Some(message) = selected.messages.message(index) else { continue };
        let loaded = match &message.facts {
            Some(facts) => load(world, facts, need).await,
            None if needs_facts => Err(StoreError::Gone),
            None => Ok(Loaded::Nothing),
        };
        match loaded {
            Ok(loaded) => {
                let row = Row { selected, index, message: &message, loaded: &loaded };
                row.write(&items, seen.contains(&message.uid), out).await?;
            }
            Err(error) => failure = Some(error),
        }
        out.relieve().await?;
    }
    Ok(match failure {
        None => Reply::ok("FETCH completed"),
        // RFC 5530 §3: the client's numbers are older than an expunge that it has not been told.
        Some(StoreError::Gone) => Reply::no("EXPUNGEISSUED", "Some messages are no longer there"),
        Some(error) => crate::world::unreadable(&error),
    })
}

/// RFC 3501 §6.4.5: fetching text sets `\Seen`, peeking and headers alone by RFC822.HEADER do not.
fn marks_seen(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Section { peek: false, .. })
}

/// Sets `\Seen` where it is missing, in one batch; returns for which. A store that refuses does not keep the client
/// from reading.
async fn mark_seen(
    world: &World<'_>,
    selected: &mut Selected,
    indices: &[usize],
    out: &mut Output<'_>,
) -> BTreeSet<Uid> {
    let is_unseen = |at: &&usize| !selected.messages.has(**at, Flag::Seen);
    let unseen: Vec<usize> = indices.iter().filter(is_unseen).copied().collect();
    if selected.access == Access::ReadOnly || unseen.is_empty() {
        return BTreeSet::new();
    }
    let mut flags = Flags::none();
    flags.insert(Flag::Seen);
    let uids = selected.uids(&unseen);
    let op = Op::Store { mailbox: selected.id, uids, change: FlagChange::Add(flags), unchanged_since: None };
    let messages = match world.apply(vec![op]).await {
        Ok(applied) => stored(applied.effects),
        Err(error) => {
            tracing::warn!(%error, "\\Seen was not set");
            return BTreeSet::new();
        }
    };
    let known_flags = selected.flags_lines();
    let seen = messages.iter().map(|message| message.uid).collect();
    messages.iter().for_each(|message| selected.note(message));
    let flags = selected.flags_lines();
    if flags != known_flags {
        out.put(flags);
    }
    seen
}

fn need(items: &[FetchItem]) -> Need {
    let needs: Vec<Need> = items.iter().map(need_of).filter(|need| *need != Need::Nothing).collect();
    match needs.as_slice() {
        [] => Need::Nothing,
        [one] => *one,
        several if several.iter().all(|need| *need == Need::Header) => Need::Header,
        _ => Need::Whole,
    }
}

fn need_of(item: &FetchItem) -> Need {
    match item {
        FetchItem::Flags | FetchItem::InternalDate | FetchItem::Rfc822Size | FetchItem::Uid => Need::Nothing,
        FetchItem::Envelope | FetchItem::Rfc822Header => Need::Header,
        FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Body | FetchItem::BodyStructure => Need::Whole,
        FetchItem::Section { section, partial, .. } => match (&section.text, partial) {
            _ if !section.part.is_empty() => Need::Whole,
            (SectionText::Header | SectionText::HeaderFields { .. }, _) => Need::Header,
            (SectionText::All, Some(partial)) => Need::Range(*partial),
            _ => Need::Whole,
        },
    }
}

async fn load(world: &World<'_>, message: &Facts, need: Need) -> Result<Loaded, StoreError> {
    match need {
        Need::Nothing => Ok(Loaded::Nothing),
        Need::Header => Ok(Loaded::Message(load_header(world, message).await?)),
        Need::Whole => Ok(Loaded::Message(load_whole(world, message).await?)),
        Need::Range(partial) => {
            let start = u64::from(partial.origin).min(message.octets);
            let range = start..(start + u64::from(partial.octets)).min(message.octets);
            if range.is_empty() {
                return Ok(Loaded::Range(Bytes::new()));
            }
            let body = world.config.store.body(world.account.id, message.body, Some(range));
            Ok(Loaded::Range(body.await?))
        }
    }
}

/// A whole message.
pub(crate) async fn load_whole(world: &World<'_>, message: &Facts) -> Result<Octets, StoreError> {
    Ok(Octets::new(world.config.store.body(world.account.id, message.body, None).await?))
}

/// At least a message's header.
pub(crate) async fn load_header(world: &World<'_>, message: &Facts) -> Result<Octets, StoreError> {
    if message.octets > HEADER_OCTETS_FIRST {
        let range = Some(0..HEADER_OCTETS_FIRST);
        let head = world.config.store.body(world.account.id, message.body, range).await?;
        if header::body_start(&head).is_some() {
            return Ok(Octets::new(head));
        }
    }
    load_whole(world, message).await
}

/// One message's response.
struct Row<'a> {
    selected: &'a Selected,
    index: usize,
    message: &'a Message,
    loaded: &'a Loaded,
}

impl Row<'_> {
    async fn write(&self, items: &[FetchItem], tell_flags: bool, out: &mut Output<'_>) -> Result<(), SessionError> {
        out.put(format!("* {} FETCH (", self.index + 1));
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.put(" ");
            }
            self.item(item, out).await?;
        }
        if tell_flags && !items.contains(&FetchItem::Flags) {
            out.put(format!(" FLAGS {}", self.flags()));
        }
        out.put(")\r\n");
        Ok(())
    }

    fn facts(&self) -> Result<&Facts, SessionError> {
        self.message.facts.as_ref().ok_or_else(|| SessionError::Bug("a message was told without its facts".to_owned()))
    }

    fn flags(&self) -> String {
        encode::flags(&self.message.flags, self.selected.is_recent(self.message.uid))
    }

    async fn item(&self, item: &FetchItem, out: &mut Output<'_>) -> Result<(), SessionError> {
        let small = match item {
            FetchItem::Flags => format!("FLAGS {}", self.flags()),
            FetchItem::Uid => format!("UID {}", self.message.uid.0),
            FetchItem::Rfc822Size => format!("RFC822.SIZE {}", self.facts()?.octets),
            FetchItem::InternalDate => {
                format!("INTERNALDATE \"{}\"", date::format_date_time(self.facts()?.internal_date))
            }
            large => return self.large_item(large, out).await,
        };
        out.put(small);
        Ok(())
    }

    /// Items that are made from the message's octets.
    async fn large_item(&self, item: &FetchItem, out: &mut Output<'_>) -> Result<(), SessionError> {
        let message = match self.loaded {
            Loaded::Message(message) => message,
            Loaded::Range(bytes) => return self.range_item(item, bytes, out).await,
            Loaded::Nothing => return Err(SessionError::Bug(format!("nothing was read for {item:?}"))),
        };
        match item {
            FetchItem::Rfc822 => labelled(out, "RFC822", message.bytes()).await,
            FetchItem::Rfc822Header => labelled(out, "RFC822.HEADER", message.header()).await,
            FetchItem::Rfc822Text => labelled(out, "RFC822.TEXT", message.text()).await,
            FetchItem::Section { section, partial, .. } => match message.section(section) {
                Some(octets) => {
                    let range = partial_range(*partial, octets.len());
                    let octets = octets.get(range).unwrap_or_default();
                    labelled(out, &label(section, *partial), octets).await
                }
                None => {
                    out.put(format!("{} NIL", label(section, None)));
                    Ok(())
                }
            },
            item => {
                out.put(described(item, message));
                Ok(())
            }
        }
    }

    async fn range_item(&self, item: &FetchItem, bytes: &Bytes, out: &mut Output<'_>) -> Result<(), SessionError> {
        let FetchItem::Section { section, partial, .. } = item else {
            return Err(SessionError::Bug(format!("too little was read for {item:?}")));
        };
        labelled(out, &label(section, *partial), bytes).await
    }
}

/// ENVELOPE, BODY and BODYSTRUCTURE.
fn described(item: &FetchItem, message: &Octets) -> Vec<u8> {
    let mut wire = Vec::new();
    match item {
        FetchItem::Envelope => {
            wire.extend_from_slice(b"ENVELOPE ");
            envelope(&mut wire, message.header());
        }
        FetchItem::Body => {
            wire.extend_from_slice(b"BODY ");
            structure(&mut wire, message, Detail::Basic);
        }
        _ => {
            wire.extend_from_slice(b"BODYSTRUCTURE ");
            structure(&mut wire, message, Detail::Extended);
        }
    }
    wire
}

/// A literal under its name, handed over in pieces.
async fn labelled(out: &mut Output<'_>, label: &str, octets: &[u8]) -> Result<(), SessionError> {
    out.put(format!("{label} {{{}}}\r\n", octets.len()));
    for chunk in octets.chunks(CHUNK_OCTETS) {
        out.put(chunk);
        out.relieve().await?;
    }
    Ok(())
}

/// `BODY[1.HEADER.FIELDS (From)]<0>`: the section as asked for, and the origin only (RFC 3501 §7.4.2).
fn label(section: &Section, partial: Option<Partial>) -> String {
    let mut words: Vec<String> = section.part.iter().map(u32::to_string).collect();
    match &section.text {
        SectionText::All => {}
        SectionText::Header => words.push("HEADER".to_owned()),
        SectionText::Text => words.push("TEXT".to_owned()),
        SectionText::Mime => words.push("MIME".to_owned()),
        SectionText::HeaderFields { names, not } => {
            let word = if *not { "HEADER.FIELDS.NOT" } else { "HEADER.FIELDS" };
            let names: Vec<String> = names.iter().map(|name| field_name(name)).collect();
            words.push(format!("{word} ({})", names.join(" ")));
        }
    }
    let origin = partial.map(|partial| format!("<{}>", partial.origin)).unwrap_or_default();
    format!("BODY[{}]{origin}", words.join("."))
}

/// A field name as an astring.
fn field_name(name: &str) -> String {
    let mut wire = Vec::new();
    if name.bytes().all(crate::codec::cursor::is_atom_char) {
        return name.to_owned();
    }
    encode::string(&mut wire, name.as_bytes());
    String::from_utf8_lossy(&wire).into_owned()
}
