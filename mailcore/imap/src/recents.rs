//! Which messages are `\Recent` in some session already.
//!
//! RFC 3501 §2.3.2: a message is `\Recent` in one session, the first that is notified of it. The store keeps from where
//! messages are recent, and learns it when a mailbox is selected and left; what sessions that stay in a mailbox were notified
//! of in between is kept here. When it is lost, with the node or at its bound, a message is recent twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use provost_store::{AccountId, MailboxId, MailboxInfo, Uid};

/// Mailboxes that are kept: 3 MiB. At the bound all are forgotten.
const MAILBOXES_MAX: usize = 65_536;

/// Shared by all sessions of a node. Clones share it.
#[derive(Clone, Default)]
pub struct Recents(Arc<Mutex<HashMap<(AccountId, MailboxId), Uid>>>);

impl Recents {
    /// The first UID of a mailbox that is `\Recent` in no session yet.
    pub(crate) fn first(&self, account: AccountId, mailbox: &MailboxInfo) -> Uid {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(account, mailbox.id)).copied().map_or(mailbox.recent_from, |first| first.max(mailbox.recent_from))
    }

    /// Gives what is `\Recent` in no session yet to the caller's, up to UIDNEXT; returns the first of them.
    pub(crate) fn take(&self, account: AccountId, mailbox: &MailboxInfo) -> Uid {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, mailbox.id);
        let first = kept.get(&key).copied().map_or(mailbox.recent_from, |first| first.max(mailbox.recent_from));
        if first < mailbox.uid_next {
            if kept.len() >= MAILBOXES_MAX && !kept.contains_key(&key) {
                kept.clear();
            }
            kept.insert(key, mailbox.uid_next);
        }
        first
    }
}
