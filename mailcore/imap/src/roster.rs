//! What a session keeps of each message of its mailbox: eight octets while it is idle, more while it works.
//!
//! A session may listen for hours with thousands of messages selected. What the client was told (UID and flags) must be
//! kept; what never changes (size, date, place of the body) can be had from the store again.

use std::collections::BTreeMap;

use provost_store::{BodyId, Flag, Flags, Keyword, MessageMeta, Uid};

/// In the order of their bits.
const SYSTEM_FLAGS: [Flag; 5] = [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];
/// Keywords of a mailbox that have a bit of their own; the store allows more, which are kept beside.
const KEYWORD_BITS: usize = 26;
/// Keywords without a bit are among this message's flags: they stand in `Roster::beside`.
const BESIDE: u32 = 1 << 31;

/// One message as the client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    uid: Uid,
    /// System flags, then keywords, then [`BESIDE`].
    flags: u32,
}

/// What never changes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    uid: Uid,
    /// INTERNALDATE, seconds since 1970.
    pub(crate) internal_date: i64,
    /// RFC822.SIZE.
    pub(crate) octets: u64,
    /// Its body.
    pub(crate) body: BodyId,
}

impl Facts {
    fn of(message: &MessageMeta) -> Self {
        let MessageMeta { uid, internal_date, octets, body, .. } = *message;
        Self { uid, internal_date, octets, body }
    }
}

/// One message, put together for a command.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) uid: Uid,
    pub(crate) flags: Flags,
    /// `None` when they were not loaded, or when the message was gone by then.
    pub(crate) facts: Option<Facts>,
}

/// Messages in ascending UID; the client's number is the index + 1.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: Vec<Known>,
    /// Keywords that were met, in that order: the first ones have bits.
    keywords: Vec<Keyword>,
    /// Flags that do not fit their bits.
    beside: BTreeMap<Uid, Flags>,
    /// Ascending UID; of some messages, or of all.
    facts: Vec<Facts>,
    /// `facts` has all that the store had when it was asked.
    has_all_facts: bool,
}

impl Roster {
    /// Of these messages (ascending UID), without their facts: most clients select and listen.
    pub(crate) fn of(messages: &[MessageMeta]) -> Self {
        let mut roster = Self { known: Vec::with_capacity(messages.len()), ..Self::default() };
        messages.iter().for_each(|message| roster.push_known(message));
        roster
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The UID at an index.
    pub(crate) fn uid(&self, index: usize) -> Option<Uid> {
        self.known.get(index).map(|known| known.uid)
    }

    /// The last UID.
    pub(crate) fn last_uid(&self) -> Option<Uid> {
        self.known.last().map(|known| known.uid)
    }

    /// Where a message stands.
    pub(crate) fn index_of(&self, uid: Uid) -> Option<usize> {
        self.known.binary_search_by_key(&uid, |known| known.uid).ok()
    }

    /// How many messages have a UID below `uid`.
    pub(crate) fn count_below(&self, uid: u32) -> usize {
        self.known.partition_point(|known| known.uid.0.get() < uid)
    }

    /// How many messages have a UID up to `uid`.
    pub(crate) fn count_up_to(&self, uid: u32) -> usize {
        self.known.partition_point(|known| known.uid.0.get() <= uid)
    }

    /// Whether a message has a system flag.
    pub(crate) fn has(&self, index: usize, flag: Flag) -> bool {
        self.known.get(index).is_some_and(|known| known.flags & system_bit(flag) != 0)
    }

    /// Keywords that were met.
    pub(crate) fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// A message with its flags, and its facts if they are here.
    pub(crate) fn message(&self, index: usize) -> Option<Message> {
        let known = self.known.get(index)?;
        let flags = self.beside.get(&known.uid).cloned().unwrap_or_else(|| self.unpack(known.flags));
        let facts = self.facts.binary_search_by_key(&known.uid, |facts| facts.uid).ok();
        Some(Message { uid: known.uid, flags, facts: facts.and_then(|at| self.facts.get(at)).cloned() })
    }

    /// Learns the keywords of `flags`; true when there was a new one.
    pub(crate) fn learn_keywords(&mut self, flags: &Flags) -> bool {
        let known = self.keywords.len();
        for keyword in flags.keywords() {
            if !self.keywords.iter().any(|one| one.as_str().eq_ignore_ascii_case(keyword.as_str())) {
                self.keywords.push(keyword.clone());
            }
        }
        self.keywords.len() > known
    }

    /// Adds a message behind all others; one that is not behind them is left out.
    pub(crate) fn push(&mut self, message: &MessageMeta) {
        if self.last_uid().is_some_and(|last| last >= message.uid) {
            return;
        }
        self.push_known(message);
        if self.facts.last().is_none_or(|last| last.uid < message.uid) {
            self.facts.push(Facts::of(message));
        }
    }

    fn push_known(&mut self, message: &MessageMeta) {
        self.learn_keywords(&message.flags);
        let flags = self.pack(message.uid, &message.flags);
        self.known.push(Known { uid: message.uid, flags });
    }

    /// Takes a message's new flags over; true when they are others than before.
    pub(crate) fn set_flags(&mut self, index: usize, flags: &Flags) -> bool {
        self.learn_keywords(flags);
        let Some(uid) = self.uid(index) else { return false };
        let beside = self.beside.remove(&uid);
        let packed = self.pack(uid, flags);
        let Some(known) = self.known.get_mut(index) else { return false };
        let before = std::mem::replace(&mut known.flags, packed);
        before != packed || beside.as_ref() != self.beside.get(&uid)
    }

    /// Leaves out the messages with these UIDs (ascending); `tell` is called with the number of each as the client then
    /// counts.
    pub(crate) fn remove(&mut self, gone: &[Uid], mut tell: impl FnMut(usize)) {
        let mut number = 0;
        self.known.retain(|known| {
            let is_gone = gone.binary_search(&known.uid).is_ok();
            number += usize::from(!is_gone);
            if is_gone {
                tell(number + 1);
            }
            !is_gone
        });
        self.known.shrink_to_fit();
        self.facts.retain(|facts| gone.binary_search(&facts.uid).is_err());
        for uid in gone {
            self.beside.remove(uid);
        }
    }

    /// Whether the store need not be asked for the facts of these messages.
    pub(crate) fn has_facts(&self, indices: impl IntoIterator<Item = usize>) -> bool {
        let is_here = |uid: Uid| self.facts.binary_search_by_key(&uid, |facts| facts.uid).is_ok();
        self.has_all_facts || indices.into_iter().filter_map(|index| self.uid(index)).all(is_here)
    }

    /// Takes the facts of all messages that the store has now (ascending UID).
    pub(crate) fn take_facts(&mut self, messages: &[MessageMeta]) {
        self.facts = messages.iter().map(Facts::of).collect();
        self.has_all_facts = true;
    }

    /// Whether facts are held.
    pub(crate) fn holds_facts(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Forgets what can be had again.
    pub(crate) fn drop_facts(&mut self) {
        self.facts = Vec::new();
        self.has_all_facts = false;
        self.known.shrink_to_fit();
    }

    fn pack(&mut self, uid: Uid, flags: &Flags) -> u32 {
        let mut packed = flags.system().map(system_bit).fold(0, |all, bit| all | bit);
        for keyword in flags.keywords() {
            let is_it = |one: &Keyword| one.as_str().eq_ignore_ascii_case(keyword.as_str());
            match self.keywords.iter().position(is_it).filter(|at| *at < KEYWORD_BITS) {
                Some(at) => packed |= 1 << (SYSTEM_FLAGS.len() + at),
                None => packed |= BESIDE,
            }
        }
        if packed & BESIDE != 0 {
            self.beside.insert(uid, flags.clone());
        }
        packed
    }

    fn unpack(&self, packed: u32) -> Flags {
        let mut flags = Flags::none();
        SYSTEM_FLAGS.into_iter().filter(|flag| packed & system_bit(*flag) != 0).for_each(|flag| flags.insert(flag));
        for (at, keyword) in self.keywords.iter().take(KEYWORD_BITS).enumerate() {
            if packed & (1 << (SYSTEM_FLAGS.len() + at)) != 0 {
                flags.insert_keyword(keyword.clone());
            }
        }
        flags
    }
}

fn system_bit(flag: Flag) -> u32 {
    SYSTEM_FLAGS.iter().position(|one| *one == flag).map_or(0, |at| 1 << at)
}

#[cfg(test)]
mod tests {
    use provost_store::Modseq;

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid(number.try_into().unwrap())
    }

    fn meta(number: u32, flags: Flags) -> MessageMeta {
        let (modseq, body) = (Modseq(1), BodyId::NONE);
        MessageMeta { uid: uid(number), modseq, flags, internal_date: 7, octets: 9, body }
    }

    /// Message `number` of a mailbox with 40 keywords: more than have bits.
    fn flags(number: u32) -> Flags {
        let mut flags = Flags::none();
        SYSTEM_FLAGS.into_iter().filter(|flag| number & system_bit(*flag) != 0).for_each(|flag| flags.insert(flag));
        flags.insert_keyword(Keyword::parse(&format!("K{}", number % 40)).unwrap());
        flags.insert_keyword(Keyword::parse(&format!("k{}", number % 7)).unwrap());
        flags
    }

    #[test]
    fn a_message_is_eight_octets() {
        assert_eq!(std::mem::size_of::<Known>(), 8);
    }

    #[test]
    fn gives_back_what_it_took() {
        let messages: Vec<MessageMeta> = (1..=200).map(|number| meta(number, flags(number))).collect();
        let mut roster = Roster::of(&messages);
        assert!(!roster.holds_facts());
        roster.take_facts(&messages);
        roster.push(&meta(5, Flags::none()));
        assert_eq!(roster.len(), 200);
        let same = |one: &Flags, other: &Flags| {
            one.system().eq(other.system())
                && one.keywords().len() == other.keywords().len()
                && one.keywords().iter().all(|keyword| other.has_keyword(keyword.as_str()))
        };
        for number in 1..=200 {
            let message = roster.message(number as usize - 1).unwrap();
            assert!(same(&message.flags, &flags(number)), "{number}: {:?}", message.flags);
            assert_eq!(message.facts.unwrap().octets, 9);
        }
        assert!(roster.set_flags(38, &Flags::none()) && !roster.set_flags(38, &Flags::none()));
        assert!(roster.set_flags(38, &flags(39)) && !roster.set_flags(38, &flags(39)));
        assert!(roster.set_flags(0, &flags(2)) && roster.has(0, Flag::Flagged));
        let mut told = Vec::new();
        roster.remove(&[uid(1), uid(3), uid(200)], |number| told.push(number));
        assert_eq!((told, roster.len()), (vec![1, 2, 198], 197));
    }

    #[test]
    fn facts_come_and_go() {
        let mut roster = Roster::default();
        (1..=3).for_each(|number| roster.push(&meta(number, Flags::none())));
        assert!(roster.holds_facts());
        roster.drop_facts();
        assert!(!roster.holds_facts() && !roster.has_facts([0]));
        // What comes in while the others are forgotten needs no second look.
        roster.push(&meta(4, Flags::none()));
        assert!(roster.has_facts([3]) && !roster.has_facts([2, 3]));
        // Message 2 is gone, and 5 has come, which the client does not know yet.
        roster.take_facts(&[1, 3, 4, 5].map(|number| meta(number, Flags::none())));
        assert!(roster.has_facts([0, 1]) && roster.message(1).unwrap().facts.is_none());
        roster.push(&meta(5, Flags::none()));
        assert!(roster.message(4).unwrap().facts.is_some());
    }
}
