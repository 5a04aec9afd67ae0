//! The data that a session keeps for each message of its mailbox: eight octets.
//!
//! A session may idle for hours with thousands of messages selected. UIDs and flags must be kept as they were reported
//! to the client; constant data (size, date, body) is read from the store when a command needs it. A message list
//! consists of blocks that clones share until they differ. A clone costs next to nothing, a change of flags copies one
//! block, and a removal rebuilds the blocks from the first removed message on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use provost_store::{Flag, Flags, Keyword, MAILBOX_KEYWORDS_MAX, MessageMeta, Rows, Uid};

/// System flags in the order of their bits.
const SYSTEM_FLAGS: [Flag; 5] = [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];
/// Keywords of a mailbox that have a bit of their own: 32 bits less the system flags and [`UNPACKED`]. The store allows
/// more keywords; a message with one of those has its flags in `MessageList::unpacked`.
const KEYWORD_BITS: usize = 26;
/// Set when the message has keywords without a bit: all its flags are in `MessageList::unpacked`.
const UNPACKED: u32 = 1 << 31;
/// Number of keywords above which the list forgets those that no message has. The store keeps at most 64 for a mailbox,
/// but a client can replace them without end in one session.
const KEYWORDS_MAX: usize = 128;
/// Messages in one block: 4 KiB, which a change of one message copies.
const BLOCK_MESSAGES: usize = 512;

/// One message as the client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownMessage {
    uid: Uid,
    /// System flags, then keywords, then [`UNPACKED`].
    flags: u32,
}

/// One message with its flags unpacked.
#[derive(Clone, Debug)]
pub(crate) struct ListedMessage {
    pub(crate) uid: Uid,
    pub(crate) flags: Flags,
}

/// Messages in ascending order of UID. The sequence number of a message is its index + 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageList {
    /// All blocks but the last are full, and the last is not empty.
    blocks: Vec<Arc<Vec<KnownMessage>>>,
    /// Keywords in the order in which they first appeared; the first [`KEYWORD_BITS`] have bits.
    keywords: Arc<Vec<Keyword>>,
    /// All flags of each message that has a keyword without a bit.
    unpacked: Arc<BTreeMap<Uid, Flags>>,
}

impl MessageList {
    /// Applies a read of the mailbox: new messages, changed flags, expunged messages. Applied to an empty list, a read
    /// of all messages gives the whole mailbox.
    pub(crate) fn apply(&mut self, rows: &Rows) {
        self.forget_unused_keywords();
        for row in &rows.rows {
            match self.index_of(row.meta.uid) {
                Some(at) => drop(self.set_flags(at, &row.meta.flags)),
                None => self.push(&row.meta),
            }
        }
        self.remove(&rows.expunged, |_| {});
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, |block| block.len());
        self.blocks.len().saturating_sub(1) * BLOCK_MESSAGES + last
    }

    fn known(&self, index: usize) -> Option<&KnownMessage> {
        self.blocks.get(index / BLOCK_MESSAGES)?.get(index % BLOCK_MESSAGES)
    }

    fn known_mut(&mut self, index: usize) -> Option<&mut KnownMessage> {
        Arc::make_mut(self.blocks.get_mut(index / BLOCK_MESSAGES)?).get_mut(index % BLOCK_MESSAGES)
    }

    /// The UID of the message at an index.
    pub(crate) fn uid(&self, index: usize) -> Option<Uid> {
        self.known(index).map(|known| known.uid)
    }

    /// The UID of the last message.
    pub(crate) fn last_uid(&self) -> Option<Uid> {
        self.blocks.last().and_then(|block| block.last()).map(|known| known.uid)
    }

    /// The index of a message; `None` when the list does not have the UID.
    pub(crate) fn index_of(&self, uid: Uid) -> Option<usize> {
        let at = self.count_while(|known| known.uid < uid);
        (self.uid(at) == Some(uid)).then_some(at)
    }

    /// How many messages have a UID below `uid`.
    pub(crate) fn count_below(&self, uid: u32) -> usize {
        self.count_while(|known| known.uid.get() < uid)
    }

    /// How many messages have a UID up to `uid`.
    pub(crate) fn count_up_to(&self, uid: u32) -> usize {
        self.count_while(|known| known.uid.get() <= uid)
    }

    /// How many messages satisfy a condition. No message may satisfy it after one that does not, as in
    /// `partition_point`.
    fn count_while(&self, condition: impl Fn(&KnownMessage) -> bool) -> usize {
        let full = self.blocks.partition_point(|block| block.last().is_some_and(&condition));
        let within = self.blocks.get(full).map_or(0, |block| block.partition_point(condition));
        (full * BLOCK_MESSAGES + within).min(self.len())
    }

    /// The index of the first message that does not have this system flag.
    pub(crate) fn first_without(&self, flag: Flag) -> Option<usize> {
        let bit = system_bit(flag);
        self.blocks.iter().flat_map(|block| block.iter()).position(|known| known.flags & bit == 0)
    }

    /// Whether any message has this system flag.
    pub(crate) fn any_has(&self, flag: Flag) -> bool {
        let bit = system_bit(flag);
        self.blocks.iter().flat_map(|block| block.iter()).any(|known| known.flags & bit != 0)
    }

    /// Whether the message at an index has this system flag.
    pub(crate) fn has(&self, index: usize, flag: Flag) -> bool {
        self.known(index).is_some_and(|known| known.flags & system_bit(flag) != 0)
    }

    /// The keywords of all messages, in the order in which the list learned them. May have some that no message has any
    /// more.
    pub(crate) fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether the store admits another keyword. At its maximum the store forgets keywords that no message has.
    pub(crate) fn has_room_for_keyword(&self) -> bool {
        // Counting reads every message, so the usual case is decided first.
        self.keywords.len() < MAILBOX_KEYWORDS_MAX || self.used_keywords() < MAILBOX_KEYWORDS_MAX
    }

    /// The number of keywords that at least one message has.
    fn used_keywords(&self) -> usize {
        let all = self.blocks.iter().flat_map(|block| block.iter()).fold(0, |all, known| all | known.flags);
        let with_bit = (0..KEYWORD_BITS).filter(|at| all & keyword_bit(*at) != 0).count();
        let names = self.unpacked.values().flat_map(|flags| flags.keywords());
        let names: BTreeSet<String> = names.map(|keyword| keyword.as_str().to_ascii_lowercase()).collect();
        let without_bit = self.keywords.iter().skip(KEYWORD_BITS).map(|keyword| keyword.as_str().to_ascii_lowercase());
        with_bit + without_bit.filter(|name| names.contains(name)).count()
    }

    /// A message with its flags.
    pub(crate) fn message(&self, index: usize) -> Option<ListedMessage> {
        let known = self.known(index)?;
        let flags = self.unpacked.get(&known.uid).cloned().unwrap_or_else(|| self.unpack(known.flags));
        Some(ListedMessage { uid: known.uid, flags })
    }

    /// Adds the keywords of `flags`; true when at least one was new.
    pub(crate) fn learn_keywords(&mut self, flags: &Flags) -> bool {
        let known = self.keywords.len();
        for keyword in flags.keywords() {
            if !self.keywords.iter().any(|one| one.as_str().eq_ignore_ascii_case(keyword.as_str())) {
                Arc::make_mut(&mut self.keywords).push(keyword.clone());
            }
        }
        self.keywords.len() > known
    }

    /// Forgets the keywords that no message has, if the list has more than [`KEYWORDS_MAX`] keywords. The client may
    /// know forgotten ones from an earlier FLAGS response, which does no harm (RFC 3501 §7.2.6).
    pub(crate) fn forget_unused_keywords(&mut self) {
        if self.keywords.len() <= KEYWORDS_MAX {
            return;
        }
        let mut kept = Self::default();
        for message in (0..self.len()).filter_map(|index| self.message(index)) {
            kept.push_known(message.uid, &message.flags);
        }
        *self = kept;
    }

    /// Appends a message. Ignores one whose UID is not above the last.
    pub(crate) fn push(&mut self, message: &MessageMeta) {
        self.push_known(message.uid, &message.flags);
    }

    fn push_known(&mut self, uid: Uid, flags: &Flags) {
        if self.last_uid().is_some_and(|last| last >= uid) {
            return;
        }
        self.learn_keywords(flags);
        let known = KnownMessage { uid, flags: self.pack(uid, flags) };
        match self.blocks.last_mut().filter(|block| block.len() < BLOCK_MESSAGES) {
            Some(block) => Arc::make_mut(block).push(known),
            None => self.blocks.push(Arc::new(vec![known])),
        }
    }

    /// Sets a message's flags; true when they differ from those before.
    pub(crate) fn set_flags(&mut self, index: usize, flags: &Flags) -> bool {
        self.learn_keywords(flags);
        let Some(before) = self.known(index).copied() else { return false };
        let unpacked = match self.unpacked.contains_key(&before.uid) {
            true => Arc::make_mut(&mut self.unpacked).remove(&before.uid),
            false => None,
        };
        let packed = self.pack(before.uid, flags);
        if before.flags != packed
            && let Some(known) = self.known_mut(index)
        {
            known.flags = packed;
        }
        before.flags != packed || unpacked.as_ref() != self.unpacked.get(&before.uid)
    }

    /// Removes the messages with these UIDs (ascending). `report` gets the sequence number of each for its EXPUNGE
    /// response, counted without the messages reported before (RFC 3501 §7.4.1).
    pub(crate) fn remove(&mut self, expunged: &[Uid], mut report: impl FnMut(usize)) {
        let Some(first) = expunged.first() else { return };
        let untouched = self.blocks.partition_point(|block| block.last().is_some_and(|known| known.uid < *first));
        let mut number = untouched * BLOCK_MESSAGES;
        let mut left = Vec::new();
        for known in self.blocks.drain(untouched..).flat_map(Arc::unwrap_or_clone) {
            if expunged.binary_search(&known.uid).is_ok() {
                report(number + 1);
            } else {
                number += 1;
                left.push(known);
            }
        }
        self.blocks.extend(left.chunks(BLOCK_MESSAGES).map(|block| Arc::new(block.to_vec())));
        if expunged.iter().any(|uid| self.unpacked.contains_key(uid)) {
            let unpacked = Arc::make_mut(&mut self.unpacked);
            expunged.iter().for_each(|uid| drop(unpacked.remove(uid)));
        }
    }

    fn pack(&mut self, uid: Uid, flags: &Flags) -> u32 {
        let mut packed = flags.system().map(system_bit).fold(0, |all, bit| all | bit);
        for keyword in flags.keywords() {
            let is_same = |one: &Keyword| one.as_str().eq_ignore_ascii_case(keyword.as_str());
            match self.keywords.iter().position(is_same).filter(|at| *at < KEYWORD_BITS) {
                Some(at) => packed |= keyword_bit(at),
                None => packed |= UNPACKED,
            }
        }
        if packed & UNPACKED != 0 {
            Arc::make_mut(&mut self.unpacked).insert(uid, flags.clone());
        }
        packed
    }

    fn unpack(&self, packed: u32) -> Flags {
        let mut flags = Flags::none();
        SYSTEM_FLAGS.into_iter().filter(|flag| packed & system_bit(*flag) != 0).for_each(|flag| flags.insert(flag));
        for (at, keyword) in self.keywords.iter().take(KEYWORD_BITS).enumerate() {
            if packed & keyword_bit(at) != 0 {
                flags.insert_keyword(keyword.clone());
            }
        }
        flags
    }
}

fn system_bit(flag: Flag) -> u32 {
    SYSTEM_FLAGS.iter().position(|one| *one == flag).map_or(0, |at| 1 << at)
}

/// The bit of the keyword at an index below [`KEYWORD_BITS`].
fn keyword_bit(at: usize) -> u32 {
    1 << (SYSTEM_FLAGS.len() + at)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use provost_store::{BodyId, Modseq};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn uid(number: u32) -> Uid {
        Uid::of(number.try_into().unwrap())
    }

    fn meta(number: u32, flags: Flags) -> MessageMeta {
        let (modseq, body) = (Modseq::new(1), BodyId::NONE);
        MessageMeta { uid: uid(number), modseq, flags, internal_date: at(7), octets: 9, body }
    }

    fn message_list(messages: impl IntoIterator<Item = MessageMeta>) -> MessageList {
        let mut message_list = MessageList::default();
        messages.into_iter().for_each(|message| message_list.push(&message));
        message_list
    }

    /// Flags of message `number` in a mailbox with 40 keywords, more than [`KEYWORD_BITS`].
    fn flags(number: u32) -> Flags {
        let mut flags = Flags::none();
        SYSTEM_FLAGS.into_iter().filter(|flag| number & system_bit(*flag) != 0).for_each(|flag| flags.insert(flag));
        flags.insert_keyword(Keyword::parse(&format!("K{}", number % 40)).unwrap());
        flags.insert_keyword(Keyword::parse(&format!("k{}", number % 7)).unwrap());
        flags
    }

    #[test]
    fn a_message_is_eight_octets() {
        assert_eq!(std::mem::size_of::<KnownMessage>(), 8);
    }

    #[test]
    fn keeps_and_removes_messages_with_their_flags() {
        let mut message_list = message_list((1..=2_000).map(|number| meta(number, flags(number))));
        message_list.push(&meta(5, Flags::none()));
        assert_eq!(message_list.len(), 2_000);
        let same = |one: &Flags, other: &Flags| {
            one.system().eq(other.system())
                && one.keywords().len() == other.keywords().len()
                && one.keywords().iter().all(|keyword| other.has_keyword(keyword.as_str()))
        };
        for number in 1..=2_000 {
            let message = message_list.message(number as usize - 1).unwrap();
            assert!(same(&message.flags, &flags(number)), "{number}: {:?}", message.flags);
            assert_eq!(message_list.index_of(message.uid), Some(number as usize - 1));
        }
        assert!(message_list.set_flags(38, &Flags::none()) && !message_list.set_flags(38, &Flags::none()));
        assert!(message_list.set_flags(38, &flags(39)) && !message_list.set_flags(38, &flags(39)));
        assert!(message_list.set_flags(0, &flags(2)) && message_list.has(0, Flag::Flagged));
        let mut reported = Vec::new();
        message_list.remove(&[uid(1), uid(3), uid(2_000)], |number| reported.push(number));
        assert_eq!((reported, message_list.len()), (vec![1, 2, 1_998], 1_997));
    }

    #[test]
    fn forgets_keywords_that_no_message_has() {
        let mut message_list = message_list((1..=40).map(|number| meta(number, flags(number))));
        for number in 0..1_000 {
            let name = format!("New{number}");
            let mut flags = Flags::none();
            flags.insert_keyword(Keyword::parse(&name).unwrap());
            message_list.forget_unused_keywords();
            message_list.set_flags(0, &flags);
            assert!(message_list.keywords().len() <= KEYWORDS_MAX + 1, "{name}");
            assert!(message_list.message(0).unwrap().flags.has_keyword(&name), "{name}");
        }
        for number in 2..=40 {
            let message = message_list.message(number as usize - 1).unwrap();
            assert!(
                flags(number).keywords().iter().all(|keyword| message.flags.has_keyword(keyword.as_str())),
                "{number}"
            );
            assert!(flags(number).system().eq(message.flags.system()), "{number}");
        }
    }

    /// Compares with a plain list: numbers, look-ups and removals over several blocks.
    #[test]
    fn counts_like_a_list() {
        let mut message_list = message_list((1..=3_000).map(|number| meta(2 * number, Flags::none())));
        let mut list: Vec<u32> = (1..=3_000).map(|number| 2 * number).collect();
        for gone in [vec![2, 4, 6_000], (1_000..2_400).collect(), vec![3], vec![5_998]] {
            let mut numbers = Vec::new();
            message_list
                .remove(&gone.iter().map(|number| uid(*number)).collect::<Vec<_>>(), |number| numbers.push(number));
            let mut expect = Vec::new();
            for one in gone {
                if let Ok(at) = list.binary_search(&one) {
                    list.remove(at);
                    expect.push(at + 1);
                }
            }
            assert_eq!(numbers, expect);
            assert_eq!(message_list.len(), list.len());
            for number in [1, 2, 5, 1_023, 1_024, 1_025, 3_000, 5_999, 6_001] {
                assert_eq!(message_list.count_below(number), list.partition_point(|one| *one < number));
                assert_eq!(message_list.count_up_to(number), list.partition_point(|one| *one <= number));
                assert_eq!(message_list.index_of(uid(number)), list.binary_search(&number).ok());
            }
        }
    }

    /// Sessions with the same mailbox have clones of one list, which share the blocks that do not differ.
    #[test]
    fn a_change_copies_one_block() {
        let first = message_list((1..=100_000).map(|number| meta(number, Flags::none())));
        let mut second = first.clone();
        assert!(second.set_flags(70_000, &flags(2)));
        let pairs = first.blocks.iter().zip(&second.blocks);
        assert_eq!(pairs.filter(|(one, other)| !Arc::ptr_eq(one, other)).count(), 1);
        assert!(!first.has(70_000, Flag::Flagged) && second.has(70_000, Flag::Flagged));
        assert_eq!((second.first_without(Flag::Seen), second.any_has(Flag::Flagged)), (Some(0), true));
    }
}
