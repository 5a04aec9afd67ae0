//! Limits the password checks of one account that run at once.
//!
//! A guess is counted when it is refused, so hundreds of guesses sent at once would pass before the first is counted.
//! Therefore few checks of one account from one source run at once, and running checks count towards the limit of the
//! account.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failures::NamedAccount;

/// Maximum number of checks of one account from one source that run at once. Further checks wait; when a client sends
/// one password on many connections, the waiting checks then find its result in the cache.
const OF_PAIR_MAX: usize = 2;

/// The checks that run, and those that wait for others of their account and source. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct AccountChecks(Arc<Mutex<ChecksUnderWay>>);

#[derive(Default)]
struct ChecksUnderWay {
    /// The permits of each account and source that has checks.
    pairs: HashMap<(NamedAccount, IpAddr), Arc<Semaphore>>,
    /// The number of checks of each account that run.
    accounts: HashMap<NamedAccount, usize>,
}

/// One check, running or waiting. Dropping it ends it.
pub(super) struct AccountCheck {
    checks: AccountChecks,
    account: NamedAccount,
    source: IpAddr,
    /// The permits of its account and source; `None` only inside `drop`.
    permits: Option<Arc<Semaphore>>,
    /// `None` while it waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl AccountChecks {
    /// Waits until a check of the account from this source may run. Returns `None` only if the semaphore is closed, and
    /// nothing closes it.
    pub(super) async fn enter(&self, account: NamedAccount, source: IpAddr) -> Option<AccountCheck> {
        let new = || Arc::new(Semaphore::new(OF_PAIR_MAX));
        let permits = Arc::clone(self.under_way().pairs.entry((account, source)).or_insert_with(new));
        // The check exists before the wait, so that a wait that is cancelled leaves nothing behind.
        let mut check =
            AccountCheck { checks: self.clone(), account, source, permits: Some(permits.clone()), permit: None };
        check.permit = Some(permits.acquire_owned().await.ok()?);
        *self.under_way().accounts.entry(account).or_default() += 1;
        Some(check)
    }

    /// Returns how many checks of the account run.
    pub(super) fn running(&self, account: NamedAccount) -> usize {
        self.under_way().accounts.get(&account).copied().unwrap_or(0)
    }

    fn under_way(&self) -> MutexGuard<'_, ChecksUnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccountCheck {
    fn drop(&mut self) {
        let was_running = self.permit.take().is_some();
        let mut under_way = self.checks.under_way();
        if was_running && let Some(running) = under_way.accounts.get_mut(&self.account) {
            *running -= 1;
            if *running == 0 {
                under_way.accounts.remove(&self.account);
            }
        }
        self.permits = None;
        let pair = (self.account, self.source);
        // Only the map's own reference is left, and new ones can only come through the lock that is held here.
        if under_way.pairs.get(&pair).is_some_and(|permits| Arc::strong_count(permits) == 1) {
            under_way.pairs.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ZOE: NamedAccount = NamedAccount::Person([1; 16]);

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn one_source_has_two_checks_of_an_account_at_once_and_ended_checks_are_forgotten() {
        let checks = AccountChecks::default();
        let waits = async |last| {
            let enter = checks.enter(ZOE, source(last));
            tokio::time::timeout(Duration::from_secs(60), enter).await.is_err()
        };
        let first = checks.enter(ZOE, source(1)).await.unwrap();
        let second = checks.enter(ZOE, source(1)).await.unwrap();
        assert!(waits(1).await, "a third check from one source runs");
        assert!(!waits(2).await, "a check from another source waits");
        assert_eq!((checks.running(ZOE), checks.running(NamedAccount::Unknown([1; 16]))), (2, 0));
        drop(first);
        assert!(!waits(1).await);
        drop(second);
        let under_way = checks.under_way();
        assert!(under_way.pairs.is_empty() && under_way.accounts.is_empty());
    }
}
