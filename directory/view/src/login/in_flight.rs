//! Logins whose password is being checked. Their number per account is bounded: an attempt counts as a guess only when it
//! is refused, and without this bound hundreds of guesses at once would pass before the first is counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failures::NamedAccount;

/// Checks at once for one account from one source: the second of a client with several connections finds the result of the
/// first.
const OF_PAIR_MAX: usize = 2;
/// Checks at once for one account from all sources that are not familiar.
const OF_ACCOUNT_MAX: usize = 8;
/// Longest wait of a login for others of its account.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The accounts and pairs with checks in flight.
#[derive(Default)]
pub(super) struct AccountChecks {
    pairs: Arc<Slots<(NamedAccount, IpAddr)>>,
    accounts: Arc<Slots<NamedAccount>>,
}

/// The place of one login among those of its account, released on drop.
pub(super) struct InFlightSlot {
    _pair: Slot<(NamedAccount, IpAddr)>,
    /// `None` for a familiar source, which guesses from elsewhere must not delay.
    _account: Option<Slot<NamedAccount>>,
}

impl AccountChecks {
    /// Waits for a place; `None` when too many others of the account came first.
    pub(super) async fn enter(&self, account: NamedAccount, source: IpAddr, is_familiar: bool) -> Option<InFlightSlot> {
        let enter = async {
            let pair = self.pairs.enter((account, source), OF_PAIR_MAX).await?;
            let account = match is_familiar {
                true => None,
                false => Some(self.accounts.enter(account, OF_ACCOUNT_MAX).await?),
            };
            Some(InFlightSlot { _pair: pair, _account: account })
        };
        tokio::time::timeout(WAIT_MAX, enter).await.ok().flatten()
    }
}

/// One semaphore for each key that somebody waits for or holds.
struct Slots<K: Eq + Hash>(Mutex<HashMap<K, Arc<Semaphore>>>);

impl<K: Eq + Hash> Default for Slots<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Slots<K> {
    async fn enter(self: &Arc<Self>, key: K, most: usize) -> Option<Slot<K>> {
        let semaphore = Arc::clone(self.map().entry(key).or_insert_with(|| Arc::new(Semaphore::new(most))));
        // The place exists before the wait, so that a wait that is cancelled removes the key too.
        let mut slot = Slot { slots: Arc::clone(self), key, semaphore, permit: None };
        slot.permit = Some(Arc::clone(&slot.semaphore).acquire_owned().await.ok()?);
        Some(slot)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Slot<K: Copy + Eq + Hash> {
    slots: Arc<Slots<K>>,
    key: K,
    semaphore: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Copy + Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        self.permit.take();
        let mut map = self.slots.map();
        // The map and this place are the last two: new ones can only come through the lock that is held here.
        if Arc::strong_count(&self.semaphore) == 2 {
            map.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZOE: NamedAccount = NamedAccount::Person([1; 16]);

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_has_few_checks_at_once_and_no_key_is_left() {
        let in_flight = AccountChecks::default();
        let mut held = Vec::new();
        for last in 0..4 {
            for _ in 0..2 {
                held.push(in_flight.enter(ZOE, source(last), false).await.unwrap());
            }
        }
        assert!(in_flight.enter(ZOE, source(0), false).await.is_none(), "two of one source");
        assert!(in_flight.enter(ZOE, source(9), false).await.is_none(), "eight of all sources");
        assert!(in_flight.enter(ZOE, source(9), true).await.is_some(), "but a familiar source");
        assert!(in_flight.enter(NamedAccount::Unknown([1; 16]), source(0), false).await.is_some(), "another account");
        held.pop();
        assert!(in_flight.enter(ZOE, source(9), false).await.is_some());
        drop(held);
        assert!(in_flight.pairs.map().is_empty() && in_flight.accounts.map().is_empty());
    }
}
