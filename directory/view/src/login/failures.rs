//! Refused logins of the last minutes, by account and by source: who goes on guessing is not asked any more.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lru::LruCache;

use super::turns::Lane;

/// Accounts, sources and pairs that are remembered; the ones longest not seen are forgotten beyond it.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

/// How many refusals are borne at once, and how many seconds later each is forgiven.
#[derive(Clone, Copy)]
struct Allowance {
    refusals: f64,
    seconds_each: f64,
}

/// Of one account from one source: a person who tries the passwords they remember.
const PAIR: Allowance = Allowance { refusals: 10.0, seconds_each: 30.0 };
/// Of one account from anywhere: guessing from many places.
const ACCOUNT: Allowance = Allowance { refusals: 100.0, seconds_each: 10.0 };
/// From one source to any account: a campus behind one address has many who mistype.
const SOURCE: Allowance = Allowance { refusals: 1000.0, seconds_each: 0.5 };

/// Refusals as of a moment; they drain as time goes by.
#[derive(Clone, Copy)]
struct Level {
    refusals: f64,
    at: Timestamp,
}

impl Level {
    fn now(self, allowance: Allowance, now: Timestamp) -> f64 {
        // A clock that was set back forgives nothing and takes nothing.
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        (self.refusals - passed / allowance.seconds_each).max(0.0)
    }
}

/// A login name, as digest: a name that nobody has costs no more memory than a short one.
type Name = [u8; 16];

struct Levels {
    pairs: LruCache<(Name, IpAddr), Level>,
    accounts: LruCache<Name, Level>,
    sources: LruCache<IpAddr, Level>,
}

/// What was refused lately.
pub(super) struct Failures(Mutex<Levels>);

/// Too many refusals: the password is not looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Failures {
    pub(super) fn new() -> Self {
        let levels = Levels {
            pairs: LruCache::new(REMEMBERED_MAX),
            accounts: LruCache::new(REMEMBERED_MAX),
            sources: LruCache::new(REMEMBERED_MAX),
        };
        Self(Mutex::new(levels))
    }

    /// The lane of a login of `name` from `source`, or that there were too many refusals.
    pub(super) fn lane(&self, name: &Name, source: IpAddr, now: Timestamp) -> Result<Lane, TooMany> {
        let mut levels = self.levels();
        let pair = levels.pairs.get(&(*name, source)).map_or(0.0, |level| level.now(PAIR, now));
        let account = levels.accounts.get(name).map_or(0.0, |level| level.now(ACCOUNT, now));
        let of_source = levels.sources.get(&source).map_or(0.0, |level| level.now(SOURCE, now));
        if pair >= PAIR.refusals || account >= ACCOUNT.refusals || of_source >= SOURCE.refusals {
            return Err(TooMany);
        }
        Ok(if pair > 0.0 || account > 0.0 { Lane::Suspect } else { Lane::Fresh })
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, name: &Name, source: IpAddr, now: Timestamp) {
        let mut levels = self.levels();
        add(&mut levels.pairs, (*name, source), PAIR, now);
        add(&mut levels.accounts, *name, ACCOUNT, now);
        add(&mut levels.sources, source, SOURCE, now);
    }

    /// Forgives what the person themselves got wrong before they got it right.
    pub(super) fn accepted(&self, name: &Name, source: IpAddr) {
        let mut levels = self.levels();
        if let Some(pair) = levels.pairs.pop(&(*name, source))
            && let Some(account) = levels.accounts.get_mut(name)
        {
            account.refusals = (account.refusals - pair.refusals).max(0.0);
        }
    }

    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<K: std::hash::Hash + Eq>(levels: &mut LruCache<K, Level>, key: K, allowance: Allowance, now: Timestamp) {
    let before = levels.get(&key).map_or(0.0, |level| level.now(allowance, now));
    levels.put(key, Level { refusals: (before + 1.0).min(2.0 * allowance.refusals), at: now });
}

/// The network that counts as one source: an IPv4 address, or 64 bits of an IPv6 one, which one host has for itself.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    const ZOE: Name = [1; 16];
    const LI: Name = [2; 16];

    #[test]
    fn who_guesses_waits_and_then_is_not_asked_any_more() {
        let failures = Failures::new();
        assert_eq!(failures.lane(&ZOE, source(1), at(0)), Ok(Lane::Fresh));
        for _ in 0..10 {
            assert!(failures.lane(&ZOE, source(1), at(0)).is_ok());
            failures.refused(&ZOE, source(1), at(0));
        }
        assert_eq!(failures.lane(&ZOE, source(1), at(0)), Err(TooMany));
        assert_eq!(failures.lane(&ZOE, source(2), at(0)), Ok(Lane::Suspect), "from elsewhere they still can");
        assert_eq!(failures.lane(&LI, source(1), at(0)), Ok(Lane::Fresh), "and so can others there");
        assert_eq!(failures.lane(&ZOE, source(1), at(30)), Ok(Lane::Suspect), "one is forgiven");
        assert_eq!(failures.lane(&ZOE, source(1), at(1000)), Ok(Lane::Fresh));
        assert_eq!(failures.lane(&ZOE, source(1), at(-86_400)), Err(TooMany), "a clock that was set back");
    }

    #[test]
    fn who_gets_it_right_is_forgiven() {
        let failures = Failures::new();
        (0..9).for_each(|_| failures.refused(&ZOE, source(1), at(0)));
        failures.accepted(&ZOE, source(1));
        assert_eq!(failures.lane(&ZOE, source(1), at(0)), Ok(Lane::Fresh));
    }

    #[test]
    fn guessing_from_many_places_and_at_many_accounts_ends_as_well() {
        let failures = Failures::new();
        for n in 0..100 {
            failures.refused(&ZOE, source(n), at(0));
        }
        assert_eq!(failures.lane(&ZOE, source(200), at(0)), Err(TooMany));
        let failures = Failures::new();
        for n in 0..1000u16 {
            let mut name = [0; 16];
            name[..2].copy_from_slice(&n.to_be_bytes());
            failures.refused(&name, source(1), at(0));
        }
        assert_eq!(failures.lane(&ZOE, source(1), at(0)), Err(TooMany));
        assert_eq!(failures.lane(&ZOE, source(1), at(1)), Ok(Lane::Fresh));
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        for (address, expect) in
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1:2", "2001:db8::")]
        {
            assert_eq!(network(address.parse().unwrap()), expect.parse::<IpAddr>().unwrap());
        }
    }
}
