//! Records which messages are already `\Recent` in a session.
//!
//! RFC 3501 §2.3.2: a message is `\Recent` in one session, the first that is notified of it. The store records the
//! first recent UID of a mailbox; a session updates that UID when it selects and when it leaves the mailbox. Messages
//! that arrive in between are recorded here, in memory. When this record is lost, by a restart or at its limit, a
//! message can be recent in two sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use provost_store::{AccountId, MailboxId, MailboxInfo, Uid};

/// Maximum number of recorded mailboxes: about 4 MiB. At the limit all records are dropped.
const MAILBOXES_MAX: usize = 65_536;

/// For each mailbox, the first UID that is `\Recent` in no session yet. Clones share the record.
#[derive(Clone, Default)]
pub struct Recents(Arc<Mutex<HashMap<(AccountId, MailboxId), Uid>>>);

impl Recents {
    /// The first UID of a mailbox that is `\Recent` in no session yet; UIDNEXT when there is no such message.
    pub(crate) fn first_unclaimed(&self, account: AccountId, mailbox: &MailboxInfo) -> Uid {
        let first_uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first_uids
            .get(&(account, mailbox.id))
            .copied()
            .map_or(mailbox.recent_from, |first| first.max(mailbox.recent_from))
    }

    /// Claims for the caller the messages that are `\Recent` in no session yet. Returns what [`Self::first_unclaimed`]
    /// was.
    pub(crate) fn claim(&self, account: AccountId, mailbox: &MailboxInfo) -> Uid {
        let mut first_uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, mailbox.id);
        let first = first_uids.get(&key).copied().map_or(mailbox.recent_from, |first| first.max(mailbox.recent_from));
        if first < mailbox.uid_next {
            if first_uids.len() >= MAILBOXES_MAX && !first_uids.contains_key(&key) {
                first_uids.clear();
            }
            first_uids.insert(key, mailbox.uid_next);
        }
        first
    }
}
