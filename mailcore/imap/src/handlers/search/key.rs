//! Tests search keys (RFC 3501 §6.4.4) against one message.

use jiff::civil::Date;
use provost_message::KeptFields;
use provost_store::{Columns, Flag, MessageRow};

use crate::codec::command::{DayComparison, SearchKey};
use crate::codec::date;
use crate::codec::sequence::{self, Ranges};
use crate::mailbox::SelectedMailbox;
use crate::message_list::ListedMessage;

use super::content::LoadedContent;

/// What is known of one message without reading its octets.
pub(super) struct SearchCandidate {
    pub(super) message: ListedMessage,
    pub(super) number: u32,
    pub(super) is_recent: bool,
    /// The row; `None` before it is read, or when the message is expunged.
    pub(super) row: Option<MessageRow>,
}

/// The columns that may decide a key, beyond the metadata that every row has.
pub(super) fn columns(key: &SearchKey) -> Columns {
    match key {
        SearchKey::Not(key) => columns(key),
        SearchKey::Or(first, second) => columns(first) | columns(second),
        SearchKey::And(keys) => keys.iter().map(columns).fold(Columns::NONE, |all, one| all | one),
        SearchKey::Sent(..) => Columns::FIELDS,
        SearchKey::Header { name, .. } if KeptFields::keeps(name) => Columns::FIELDS,
        _ => Columns::NONE,
    }
}

/// A key with its sets resolved against the mailbox.
pub(super) enum ResolvedKey<'a> {
    Leaf(&'a SearchKey),
    Sequence(Ranges),
    Uid(Ranges),
    Not(Box<ResolvedKey<'a>>),
    Or(Box<ResolvedKey<'a>>, Box<ResolvedKey<'a>>),
    And(Vec<ResolvedKey<'a>>),
}

impl<'a> ResolvedKey<'a> {
    pub(super) fn new(key: &'a SearchKey, selected: &SelectedMailbox) -> Self {
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

    /// Adds the texts to search in the body of a message with this header; `texts` may get one text twice.
    pub(super) fn body_texts(&self, header: &LoadedContent<'_>, texts: &mut Vec<&'a str>) {
        match self {
            Self::Leaf(SearchKey::Body(text)) => texts.push(text),
            Self::Leaf(SearchKey::Text(text)) if header.header_has(text) != Some(true) => texts.push(text),
            Self::Leaf(_) | Self::Sequence(_) | Self::Uid(_) => {}
            Self::Not(key) => key.body_texts(header, texts),
            Self::Or(first, second) => {
                first.body_texts(header, texts);
                second.body_texts(header, texts);
            }
            Self::And(keys) => keys.iter().for_each(|key| key.body_texts(header, texts)),
        }
    }

    /// Whether the message matches; `None` when more of it must be read first.
    pub(super) fn test(&self, candidate: &SearchCandidate, content: &LoadedContent<'_>) -> Option<bool> {
        match self {
            Self::Leaf(key) => leaf(key, candidate, content),
            Self::Sequence(ranges) => Some(sequence::contains(ranges, candidate.number)),
            Self::Uid(ranges) => Some(sequence::contains(ranges, candidate.message.uid.get())),
            Self::Not(key) => key.test(candidate, content).map(|answer| !answer),
            Self::Or(first, second) => match first.test(candidate, content) {
                Some(true) => Some(true),
                first => match (first, second.test(candidate, content)) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Self::And(keys) => {
                let mut answer = Some(true);
                for key in keys {
                    match key.test(candidate, content) {
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

fn leaf(key: &SearchKey, candidate: &SearchCandidate, content: &LoadedContent<'_>) -> Option<bool> {
    let flags = &candidate.message.flags;
    let meta = || candidate.row.as_ref().map(|row| &row.meta);
    Some(match key {
        SearchKey::All => true,
        SearchKey::Flag(flag) => flags.has(*flag),
        SearchKey::Keyword(keyword) => flags.has_keyword(keyword),
        SearchKey::Recent => candidate.is_recent,
        SearchKey::New => candidate.is_recent && !flags.has(Flag::Seen),
        SearchKey::Internal(compare, day) => compares(*compare, date::utc_date(meta()?.internal_date), *day),
        SearchKey::Larger(octets) => meta()?.octets > u64::from(*octets),
        SearchKey::Smaller(octets) => meta()?.octets < u64::from(*octets),
        SearchKey::Sent(compare, day) => content.sent()?.is_some_and(|sent| compares(*compare, sent.day(), *day)),
        SearchKey::Header { name, text } => content.field_has(name, text)?,
        SearchKey::Body(text) => content.body_has(text)?,
        SearchKey::Text(text) => content.header_has(text)? || content.body_has(text)?,
        // `ResolvedKey::new` makes no leaf of these.
        SearchKey::Sequence(_) | SearchKey::Uid(_) | SearchKey::Not(_) | SearchKey::Or(..) | SearchKey::And(_) => false,
    })
}

fn compares(compare: DayComparison, day: Date, with: Date) -> bool {
    match compare {
        DayComparison::Before => day < with,
        DayComparison::On => day == with,
        DayComparison::Since => day >= with,
    }
}
