//! Message lists of recently selected mailboxes. SELECT reads only the changes after the kept list. Sessions that have
//! selected the same mailbox share the memory of one list until their lists differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use provost_store::{AccountId, MailboxId, MailboxInfo, Modseq, UidValidity};

use crate::message_list::MessageList;

/// Maximum number of messages in all kept lists together. At 8 octets each, they take 16 MiB.
const MESSAGES_MAX: usize = 2 * 1024 * 1024;
/// Maximum number of kept message lists.
const LISTS_MAX: usize = 4_096;

/// Message lists that all sessions of a node share. Clones share them.
#[derive(Clone, Default)]
pub struct MessageLists(Arc<Mutex<SharedLists>>);

#[derive(Default)]
struct SharedLists {
    entries: HashMap<(AccountId, MailboxId), SharedList>,
    messages: usize,
    /// Number of calls of `get` and `share` so far.
    uses: u64,
}

struct SharedList {
    message_list: MessageList,
    /// The message list is complete up to this modseq.
    modseq: Modseq,
    uid_validity: UidValidity,
    /// The value of `SharedLists::uses` at the last use of this list.
    last_use: u64,
}

impl MessageLists {
    fn lists(&self) -> MutexGuard<'_, SharedLists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept message list of a mailbox and the modseq up to which it is complete. `None` when there is none, or when
    /// it has another UIDVALIDITY or is newer than `mailbox`.
    pub(crate) fn get(&self, account: AccountId, mailbox: &MailboxInfo) -> Option<(MessageList, Modseq)> {
        let mut lists = self.lists();
        lists.uses += 1;
        let this_use = lists.uses;
        let entry = lists.entries.get_mut(&(account, mailbox.id))?;
        let is_same = entry.uid_validity == mailbox.uid_validity && entry.modseq <= mailbox.highest_modseq;
        entry.last_use = this_use;
        is_same.then(|| (entry.message_list.clone(), entry.modseq))
    }

    /// Keeps a message list that is complete up to `modseq`, unless the kept list is as new or newer. A list of more
    /// than half of [`MESSAGES_MAX`] is not kept.
    ///
    /// If the kept list has the same modseq and the same keywords, `message_list` becomes a clone of the kept list, so
    /// that both share memory. Lists with different keywords are not shared: a message could then have a keyword
    /// that the client has not seen in FLAGS (RFC 3501 §7.2.6).
    pub(crate) fn share(
        &self,
        account: AccountId,
        mailbox: &MailboxInfo,
        modseq: Modseq,
        message_list: &mut MessageList,
    ) {
        let mut lists = self.lists();
        lists.uses += 1;
        let last_use = lists.uses;
        let key = (account, mailbox.id);
        match lists.entries.get_mut(&key) {
            Some(entry) if entry.uid_validity == mailbox.uid_validity && entry.modseq == modseq => {
                entry.last_use = last_use;
                if entry.message_list.keywords() == message_list.keywords() {
                    message_list.clone_from(&entry.message_list);
                }
                return;
            }
            Some(entry) if entry.uid_validity == mailbox.uid_validity && entry.modseq > modseq => return,
            _ => {}
        }
        if message_list.len() > MESSAGES_MAX / 2 {
            return;
        }
        let entry =
            SharedList { message_list: message_list.clone(), modseq, uid_validity: mailbox.uid_validity, last_use };
        lists.messages += message_list.len();
        if let Some(before) = lists.entries.insert(key, entry) {
            lists.messages -= before.message_list.len();
        }
        lists.evict();
    }
}

impl SharedLists {
    /// While a limit is exceeded, drops the half of the lists that was used least recently.
    fn evict(&mut self) {
        while self.messages > MESSAGES_MAX || self.entries.len() > LISTS_MAX {
            let mut uses: Vec<u64> = self.entries.values().map(|entry| entry.last_use).collect();
            let half = uses.len() / 2;
            let (_, median, _) = uses.select_nth_unstable(half);
            let oldest_kept = *median;
            self.entries.retain(|_, entry| entry.last_use >= oldest_kept);
            self.messages = self.entries.values().map(|entry| entry.message_list.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use provost_store::{BodyId, Flags, MailboxName, MessageMeta, Uid};
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn info(id: u64, uid_validity: u32, modseq: u64) -> MailboxInfo {
        MailboxInfo {
            id: MailboxId::new(id),
            name: MailboxName::inbox(),
            special_use: None,
            subscribed: true,
            uid_validity: UidValidity::of(uid_validity.try_into().unwrap()),
            uid_next: Uid::FIRST,
            highest_modseq: Modseq::new(modseq),
            messages: 0,
            unseen: 0,
            octets: 0,
            recent_from: Uid::FIRST,
        }
    }

    fn message_list(messages: u32) -> MessageList {
        let mut message_list = MessageList::default();
        for number in 1..=messages {
            let (uid, flags) = (Uid::new(number).unwrap(), Flags::none());
            let body = BodyId::NONE;
            message_list.push(&MessageMeta {
                uid,
                modseq: Modseq::new(1),
                flags,
                internal_date: at(0),
                octets: 1,
                body,
            });
        }
        message_list
    }

    const ACCOUNT: AccountId = AccountId::new(Uuid::nil());

    #[test]
    fn keeps_the_newest() {
        let message_lists = MessageLists::default();
        let got = |info: &MailboxInfo| {
            message_lists.get(ACCOUNT, info).map(|(message_list, modseq)| (message_list.len(), modseq.get()))
        };
        message_lists.share(ACCOUNT, &info(1, 1, 5), Modseq::new(5), &mut message_list(3));
        assert_eq!(got(&info(1, 1, 9)), Some((3, 5)));
        message_lists.share(ACCOUNT, &info(1, 1, 4), Modseq::new(4), &mut message_list(2));
        assert_eq!(got(&info(1, 1, 9)), Some((3, 5)));
        message_lists.share(ACCOUNT, &info(1, 1, 6), Modseq::new(6), &mut message_list(4));
        assert_eq!(got(&info(1, 1, 9)), Some((4, 6)));
        // Another UIDVALIDITY, a store that is older than the kept list, and another mailbox.
        assert_eq!((got(&info(1, 2, 9)), got(&info(1, 1, 5)), got(&info(2, 1, 9))), (None, None, None));
    }

    #[test]
    fn is_bounded() {
        let message_lists = MessageLists::default();
        for id in 0..2 * LISTS_MAX as u64 {
            message_lists.share(ACCOUNT, &info(id, 1, 1), Modseq::new(1), &mut message_list(1));
        }
        assert!(message_lists.lists().entries.len() <= LISTS_MAX);
        let newest = info(2 * LISTS_MAX as u64 - 1, 1, 1);
        assert!(message_lists.get(ACCOUNT, &newest).is_some());
        for id in 0..5 {
            message_lists.share(ACCOUNT, &info(id, 2, 1), Modseq::new(1), &mut message_list(600_000));
            assert!(message_lists.lists().messages <= MESSAGES_MAX);
        }
    }
}
