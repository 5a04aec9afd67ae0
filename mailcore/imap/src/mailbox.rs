//! The selected mailbox under its client's sequence numbers (RFC 3501 §2.3.1.2), and the responses that report its
//! changes.

use provost_store::{
    AccountId, Flag, FlagChange, MailboxId, MailboxInfo, MessageMeta, Modseq, Rows, Uid, UidSet, UidValidity,
};

use crate::codec::command::{MessageNumbers, NumberKind};
use crate::codec::cursor::ParseError;
use crate::codec::encode;
use crate::message_list::MessageList;
use crate::recents::Recents;

/// Whether EXPUNGE responses may be sent now (RFC 3501 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expunges {
    /// EXPUNGE responses are sent.
    Reported,
    /// They are held back, as during FETCH, STORE and SEARCH: the client's numbers must not shift during a command.
    Held,
}

/// Whether a session may change its selected mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailboxAccess {
    /// Selected by SELECT.
    ReadWrite,
    /// Selected by EXAMINE (RFC 3501 §6.3.2).
    ReadOnly,
    /// Selected by SELECT, by a person who may only read (provostRestriction).
    Restricted,
}

impl MailboxAccess {
    /// Whether the session must not change the mailbox.
    pub(crate) fn is_read_only(self) -> bool {
        self != Self::ReadWrite
    }

    /// The access after the person's right to change mail has become `may_change`.
    fn after(self, may_change: bool) -> Self {
        match self {
            Self::ReadOnly => Self::ReadOnly,
            Self::ReadWrite | Self::Restricted if may_change => Self::ReadWrite,
            Self::ReadWrite | Self::Restricted => Self::Restricted,
        }
    }

    /// Returns the first UID of a mailbox that is `\Recent` in no session yet. With [`Self::ReadWrite`] the messages from
    /// there on are claimed for this session: no later call returns them. Without write access they stay
    /// unclaimed (RFC 3501 §6.3.2).
    pub(crate) fn claim_recent(self, recents: &Recents, account: AccountId, mailbox: &MailboxInfo) -> Uid {
        match self {
            Self::ReadWrite => recents.claim(account, mailbox),
            Self::ReadOnly | Self::Restricted => recents.first_unclaimed(account, mailbox),
        }
    }
}

/// The selected mailbox of one session.
#[derive(Debug)]
pub(crate) struct SelectedMailbox {
    pub(crate) id: MailboxId,
    pub(crate) access: MailboxAccess,
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_next: Uid,
    /// Changes up to this modseq are in `messages` and `unreported`.
    pub(crate) modseq: Modseq,
    /// UIDs that are `\Recent` in this session, including expunged ones.
    recent: UidSet,
    /// Messages below this UID are recorded in the store as reported to a session, so that they are `\Recent` in no
    /// other one.
    pub(crate) recent_cleared: Uid,
    /// The messages as the client knows them: ascending UID, number = index + 1. Includes the messages of `unreported`.
    pub(crate) messages: MessageList,
    /// Expunged messages that are not reported yet, ascending.
    unreported: Vec<Uid>,
    /// The count of the last RECENT response.
    recent_reported: usize,
}

impl SelectedMailbox {
    /// A newly selected mailbox with all its messages; those from `first_recent` on are `\Recent` in this session.
    pub(crate) fn open(info: &MailboxInfo, messages: MessageList, access: MailboxAccess, first_recent: Uid) -> Self {
        Self {
            id: info.id,
            access,
            uid_validity: info.uid_validity,
            uid_next: info.uid_next,
            modseq: info.highest_modseq,
            recent: assigned_from(first_recent, info.uid_next),
            recent_cleared: info.recent_from,
            messages,
            unreported: Vec::new(),
            recent_reported: 0,
        }
    }

    /// Follows the person's right to change mail. When the access changes, returns the untagged responses that report it
    /// (RFC 3501 §7.1, READ-ONLY and READ-WRITE).
    pub(crate) fn follow_right(&mut self, may_change: bool) -> Option<String> {
        let access = self.access.after(may_change);
        if access == self.access {
            return None;
        }
        self.access = access;
        let words = if access.is_read_only() {
            "* OK [READ-ONLY] The mailbox can now only be read\r\n"
        } else {
            "* OK [READ-WRITE] The mailbox can be changed again\r\n"
        };
        Some(format!("{words}{}", self.mailbox_flags_responses()))
    }

    /// How many messages the client counts, including those whose EXPUNGE responses are held back.
    pub(crate) fn exists(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// How many messages are `\Recent` in this session.
    pub(crate) fn recent(&self) -> usize {
        let ranges = self.recent.ranges().iter();
        ranges.map(|(low, high)| self.messages.count_up_to(*high).saturating_sub(self.messages.count_below(*low))).sum()
    }

    /// Whether a message is `\Recent` in this session.
    pub(crate) fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// The number of the first message without `\Seen`.
    pub(crate) fn first_unseen(&self) -> Option<usize> {
        self.messages.first_without(Flag::Seen).map(|at| at + 1)
    }

    /// The index of a message; `None` when the list does not have the UID.
    pub(crate) fn index_of(&self, uid: Uid) -> Option<usize> {
        self.messages.index_of(uid)
    }

    /// The indices of the messages that a command names, ascending. UIDs that do not exist are ignored (RFC 3501
    /// §6.4.8); message numbers that do not exist are an error (§9).
    pub(crate) fn indices(&self, messages: &MessageNumbers) -> Result<Vec<usize>, ParseError> {
        let exists = self.exists();
        if messages.numbers == NumberKind::Uid {
            let last = self.last_uid();
            let ranges = messages.set.resolve(last);
            return Ok(ranges.iter().flat_map(|(low, high)| self.uid_range(*low, *high)).collect());
        }
        if messages.set.is_beyond(exists) {
            return Err(ParseError("there is no message of that number"));
        }
        let ranges = messages.set.resolve(exists);
        let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).min(self.messages.len());
        Ok(ranges.iter().flat_map(|(low, high)| index(low.saturating_sub(1))..index(*high)).collect())
    }

    fn uid_range(&self, low: u32, high: u32) -> std::ops::Range<usize> {
        let first = self.messages.count_below(low);
        first..self.messages.count_up_to(high).max(first)
    }

    /// The largest UID, 0 for an empty mailbox.
    pub(crate) fn last_uid(&self) -> u32 {
        self.messages.last_uid().map_or(0, |uid| uid.get())
    }

    /// The UIDs at these indices.
    pub(crate) fn uids(&self, indices: &[usize]) -> UidSet {
        UidSet::from_uids(indices.iter().filter_map(|at| self.messages.uid(*at)))
    }

    /// Records a message's new flags, so that the next read of changes does not report them again.
    pub(crate) fn record_flags(&mut self, changed: &MessageMeta) {
        if let Some(at) = self.index_of(changed.uid) {
            self.messages.set_flags(at, &changed.flags);
        }
    }

    /// Records the effect of STORE on the message at `index`: `stored` is its row afterwards, `None` when the message
    /// is gone. Returns whether the new flags are those that the client can derive from the change and the flags it
    /// knows.
    pub(crate) fn store(&mut self, index: usize, change: &FlagChange, stored: Option<&MessageMeta>) -> bool {
        let Some(mut known) = self.messages.message(index) else { return true };
        match change {
            FlagChange::Replace(flags) => known.flags = flags.clone(),
            FlagChange::Add(flags) => known.flags.add(flags),
            FlagChange::Remove(flags) => known.flags.subtract(flags),
        }
        self.messages.set_flags(index, &known.flags);
        stored.is_none_or(|row| !self.messages.set_flags(index, &row.flags))
    }

    /// The FLAGS response, and the OK response with PERMANENTFLAGS (RFC 3501 §7.2.6, §7.1).
    ///
    /// RFC 3501 §7.1: `\*` means that new keywords can be created, so it is left out while the mailbox has as many as the
    /// store keeps.
    pub(crate) fn mailbox_flags_responses(&self) -> String {
        let mut all = "\\Answered \\Flagged \\Deleted \\Seen \\Draft".to_owned();
        for keyword in self.messages.keywords() {
            all.push(' ');
            all.push_str(keyword.as_str());
        }
        match self.access {
            MailboxAccess::ReadOnly | MailboxAccess::Restricted => {
                format!("* FLAGS ({all})\r\n* OK [PERMANENTFLAGS ()] Read-only mailbox\r\n")
            }
            MailboxAccess::ReadWrite => {
                let new = if self.messages.has_room_for_keyword() { " \\*" } else { "" };
                format!("* FLAGS ({all})\r\n* OK [PERMANENTFLAGS ({all}{new})] Flags permitted\r\n")
            }
        }
    }

    /// The FETCH response with the flags of one message, and with its UID after UID commands (RFC 3501 §7.4.2).
    pub(crate) fn message_flags_response(&self, index: usize, numbers: NumberKind) -> String {
        let Some(message) = self.messages.message(index) else { return String::new() };
        let flags = encode::flags(&message.flags, self.is_recent(message.uid));
        match numbers {
            NumberKind::Sequence => format!("* {} FETCH (FLAGS {flags})\r\n", index + 1),
            NumberKind::Uid => format!("* {} FETCH (UID {} FLAGS {flags})\r\n", index + 1, message.uid.get()),
        }
    }

    /// The EXISTS and RECENT responses.
    pub(crate) fn size_responses(&mut self) -> String {
        self.recent_reported = self.recent();
        format!("* {} EXISTS\r\n* {} RECENT\r\n", self.messages.len(), self.recent_reported)
    }

    /// Whether EXPUNGE responses are held back.
    pub(crate) fn has_unreported(&self) -> bool {
        !self.unreported.is_empty()
    }

    /// Records changes, and returns the responses that report them to the client. New messages from `first_recent` on
    /// are `\Recent`.
    pub(crate) fn sync(&mut self, changes: &Rows, expunges: Expunges, first_recent: Uid) -> String {
        let mut lines = String::new();
        let before = self.messages.len();
        self.messages.forget_unused_keywords();
        self.modseq = self.modseq.max(changes.info.highest_modseq);
        let arrived = assigned_from(self.uid_next.max(first_recent), changes.info.uid_next);
        self.recent.extend(&arrived);
        self.uid_next = changes.info.uid_next;
        let mut is_new_keyword = false;
        for row in &changes.rows {
            is_new_keyword |= self.messages.learn_keywords(&row.meta.flags);
        }
        self.add_unreported(&changes.expunged);
        let mut changed = Vec::new();
        for row in &changes.rows {
            match self.index_of(row.meta.uid) {
                Some(at) => changed.extend(self.messages.set_flags(at, &row.meta.flags).then_some(at)),
                None => self.messages.push(&row.meta),
            }
        }
        if is_new_keyword {
            lines.push_str(&self.mailbox_flags_responses());
        }
        for at in changed {
            lines.push_str(&self.message_flags_response(at, NumberKind::Sequence));
        }
        let added = self.messages.len() > before;
        if expunges == Expunges::Reported {
            self.write_expunges(&mut lines);
        }
        if added {
            lines.push_str(&self.size_responses());
        } else if self.recent() != self.recent_reported {
            // EXPUNGE does not show whether the message was \Recent, so the client cannot know the new count.
            self.recent_reported = self.recent();
            lines.push_str(&format!("* {} RECENT\r\n", self.recent_reported));
        }
        lines
    }

    /// Adds expunged messages to those that are not reported to the client yet.
    fn add_unreported(&mut self, expunged: &[Uid]) {
        let before = self.unreported.len();
        self.unreported.extend(expunged.iter().filter(|uid| self.messages.index_of(**uid).is_some()));
        if self.unreported.len() > before {
            self.unreported.sort_unstable();
            self.unreported.dedup();
        }
    }

    /// Reports expunged messages. RFC 3501 §7.4.1: each EXPUNGE lowers the numbers of the messages after it.
    fn write_expunges(&mut self, lines: &mut String) {
        let unreported = std::mem::take(&mut self.unreported);
        if unreported.is_empty() {
            return;
        }
        self.messages.remove(&unreported, |number| lines.push_str(&format!("* {number} EXPUNGE\r\n")));
    }
}

/// The UIDs from `first` up to the last assigned one; empty when `first` is not assigned yet.
fn assigned_from(first: Uid, uid_next: Uid) -> UidSet {
    let last = Uid::new(uid_next.get() - 1).filter(|last| *last >= first);
    UidSet::from_ranges(last.map(|last| (first, last)))
}
