//! Rosters of mailboxes that were selected lately: a SELECT reads only what has changed since, and sessions with the same
//! mailbox share one roster until they differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use provost_store::{AccountId, MailboxId, MailboxInfo, Modseq, UidValidity};

use crate::roster::Roster;

/// Messages in all rosters that are kept: 16 MiB.
const MESSAGES_MAX: usize = 2 * 1024 * 1024;
/// Rosters that are kept.
const ROSTERS_MAX: usize = 4_096;

/// Shared by all sessions of a node. Clones share it.
#[derive(Clone, Default)]
pub struct Rosters(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    entries: HashMap<(AccountId, MailboxId), Entry>,
    messages: usize,
    /// Grows with every use.
    clock: u64,
}

struct Entry {
    roster: Roster,
    /// Everything up to here is in the roster.
    modseq: Modseq,
    uid_validity: UidValidity,
    used: u64,
}

impl Rosters {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster of a mailbox and the modseq up to which it is current; not one of another life of the mailbox.
    pub(crate) fn get(&self, account: AccountId, mailbox: &MailboxInfo) -> Option<(Roster, Modseq)> {
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        let entry = kept.entries.get_mut(&(account, mailbox.id))?;
        let is_same = entry.uid_validity == mailbox.uid_validity && entry.modseq <= mailbox.highest_modseq;
        entry.used = clock;
        is_same.then(|| (entry.roster.clone(), entry.modseq))
    }

    /// Gives a roster that is complete up to `modseq` to others, or takes theirs when it is of the same moment and has the same
    /// keywords: a client must see a keyword in FLAGS before it sees it at a message (RFC 3501 §7.2.6).
    pub(crate) fn share(&self, account: AccountId, mailbox: &MailboxInfo, modseq: Modseq, roster: &mut Roster) {
        let mut kept = self.kept();
        kept.clock += 1;
        let used = kept.clock;
        let key = (account, mailbox.id);
        match kept.entries.get_mut(&key) {
            Some(entry) if entry.uid_validity == mailbox.uid_validity && entry.modseq == modseq => {
                entry.used = used;
                if entry.roster.keywords() == roster.keywords() {
                    roster.clone_from(&entry.roster);
                }
                return;
            }
            Some(entry) if entry.uid_validity == mailbox.uid_validity && entry.modseq > modseq => return,
            _ => {}
        }
        if roster.len() > MESSAGES_MAX / 2 {
            return;
        }
        let entry = Entry { roster: roster.clone(), modseq, uid_validity: mailbox.uid_validity, used };
        kept.messages += roster.len();
        if let Some(before) = kept.entries.insert(key, entry) {
            kept.messages -= before.roster.len();
        }
        kept.make_room();
    }
}

impl Kept {
    /// Forgets the half that was used longest ago when there is too much.
    fn make_room(&mut self) {
        while self.messages > MESSAGES_MAX || self.entries.len() > ROSTERS_MAX {
            let mut uses: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
            let half = uses.len() / 2;
            let (_, median, _) = uses.select_nth_unstable(half);
            let oldest_kept = *median;
            self.entries.retain(|_, entry| entry.used >= oldest_kept);
            self.messages = self.entries.values().map(|entry| entry.roster.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use provost_store::{BodyId, Flags, MailboxName, MessageMeta, Uid};
    use uuid::Uuid;

    use super::*;

    fn info(id: u64, uid_validity: u32, modseq: u64) -> MailboxInfo {
        MailboxInfo {
            id: MailboxId(id),
            name: MailboxName::inbox(),
            special_use: None,
            subscribed: true,
            uid_validity: UidValidity(uid_validity.try_into().unwrap()),
            uid_next: Uid::FIRST,
            highest_modseq: Modseq(modseq),
            messages: 0,
            unseen: 0,
            octets: 0,
            recent_from: Uid::FIRST,
        }
    }

    fn roster(messages: u32) -> Roster {
        let mut roster = Roster::default();
        for number in 1..=messages {
            let (uid, flags) = (Uid::new(number).unwrap(), Flags::none());
            let body = BodyId::NONE;
            roster.push(&MessageMeta { uid, modseq: Modseq(1), flags, internal_date: 0, octets: 1, body });
        }
        roster
    }

    const ACCOUNT: AccountId = AccountId(Uuid::nil());

    #[test]
    fn keeps_the_newest() {
        let rosters = Rosters::default();
        let got = |info: &MailboxInfo| rosters.get(ACCOUNT, info).map(|(roster, modseq)| (roster.len(), modseq.0));
        rosters.share(ACCOUNT, &info(1, 1, 5), Modseq(5), &mut roster(3));
        assert_eq!(got(&info(1, 1, 9)), Some((3, 5)));
        rosters.share(ACCOUNT, &info(1, 1, 4), Modseq(4), &mut roster(2));
        assert_eq!(got(&info(1, 1, 9)), Some((3, 5)));
        rosters.share(ACCOUNT, &info(1, 1, 6), Modseq(6), &mut roster(4));
        assert_eq!(got(&info(1, 1, 9)), Some((4, 6)));
        // Another life of the mailbox, or a store that is older than what is kept.
        assert_eq!((got(&info(1, 2, 9)), got(&info(1, 1, 5)), got(&info(2, 1, 9))), (None, None, None));
    }

    #[test]
    fn is_bounded() {
        let rosters = Rosters::default();
        for id in 0..2 * ROSTERS_MAX as u64 {
            rosters.share(ACCOUNT, &info(id, 1, 1), Modseq(1), &mut roster(1));
        }
        assert!(rosters.kept().entries.len() <= ROSTERS_MAX);
        let newest = info(2 * ROSTERS_MAX as u64 - 1, 1, 1);
        assert!(rosters.get(ACCOUNT, &newest).is_some());
        for id in 0..5 {
            rosters.share(ACCOUNT, &info(id, 2, 1), Modseq(1), &mut roster(600_000));
            assert!(rosters.kept().messages <= MESSAGES_MAX);
        }
    }
}
