//! The hints that an account has changed, or that messages were queued.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::{AccountId, Modseq};

/// One sender for each watched account, and one for the queue. Senders without watchers are dropped as the map grows.
#[derive(Default)]
pub(crate) struct Notices {
    watched: Mutex<WatchedAccounts>,
    /// Changes whenever messages were queued.
    arrivals: watch::Sender<u64>,
}

#[derive(Default)]
struct WatchedAccounts {
    senders: HashMap<AccountId, watch::Sender<u64>>,
    /// Size of the map at which it is swept.
    sweep_at: usize,
}

/// Number of senders below which the map is not swept.
const SWEEP_MIN: usize = 64;

impl Notices {
    /// Watches an account: the value is the modseq last published, at first zero.
    pub(crate) fn watch(&self, account: AccountId) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.senders.len() >= watched.sweep_at {
            watched.senders.retain(|_, sender| sender.receiver_count() > 0);
            watched.sweep_at = (watched.senders.len() * 2).max(SWEEP_MIN);
        }
        watched.senders.entry(account).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Watches for messages that are queued.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Reports that messages were queued. Called once they are durable, as [`Notices::publish`].
    pub(crate) fn publish_arrival(&self) {
        self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Publishes the modseq of a batch to the account's watchers. Called once the batch is durable, never before,
    /// because a watcher reads at once.
    pub(crate) fn publish(&self, account: AccountId, modseq: Modseq) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = watched.senders.get(&account) else { return };
        match sender.receiver_count() {
            0 => drop(watched.senders.remove(&account)),
            // The value never decreases, although a replayed batch reports its first modseq.
            _ => drop(sender.send_if_modified(|last| {
                let newer = modseq.get() > *last;
                *last = modseq.get().max(*last);
                newer
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn watchers_are_notified_and_dropped_senders_removed() {
        let notices = Notices::default();
        let account = AccountId::new(Uuid::from_u128(1));
        let receiver = notices.watch(account);
        notices.publish(account, Modseq::new(3));
        assert_eq!(*receiver.borrow(), 3);
        drop(receiver);
        notices.publish(account, Modseq::new(4));
        assert!(notices.watched.lock().unwrap().senders.is_empty());
        for number in 0..10_000 {
            drop(notices.watch(AccountId::new(Uuid::from_u128(number))));
        }
        assert!(notices.watched.lock().unwrap().senders.len() <= SWEEP_MIN);
    }
}
