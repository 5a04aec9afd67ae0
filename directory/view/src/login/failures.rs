//! Recent refused logins by account and by source. With too many of them, further logins are throttled: their passwords
//! are not checked.
//!
//! Guesses from everywhere at one account must not lock its owner out. A source from which the owner has logged in
//! recently is familiar: a login from there is throttled only for the account's own refusals from that source.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use super::turns::LoginLane;
use crate::cow_map::MapKey;

/// Maximum number of remembered people, and of remembered pairs of a person and a source: every account of a
/// university. Refusals of people are kept apart, so that a guesser cannot evict them with invented names.
const PEOPLE_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Maximum number of unknown names, of pairs of such a name and a source, and of sources remembered; beyond it, those
/// seen least recently are forgotten.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

/// Maximum number of familiar pairs of account and source; beyond it, the pair used least recently is forgotten.
const FAMILIAR_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// How long a source stays familiar after the last accepted login from it.
const FAMILIAR_TTL: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many refusals are tolerated at once, and how many seconds one refusal takes to drain. Refusals drain one after
/// the other.
#[derive(Clone, Copy)]
struct RefusalAllowance {
    refusals: f64,
    seconds_each: f64,
}

/// For one account from one source: covers a person who tries several remembered passwords.
const PAIR: RefusalAllowance = RefusalAllowance { refusals: 10.0, seconds_each: 30.0 };
/// For one account from all sources: bounds distributed guessing.
const ACCOUNT: RefusalAllowance = RefusalAllowance { refusals: 100.0, seconds_each: 10.0 };
/// Number of refusals from a familiar source that count as the owner's mistakes: up to this many, its logins do not
/// wait in the suspect lane.
const FAMILIAR_MISTAKES: f64 = 3.0;
/// While a refusal of a source has not drained by this allowance, the source counts as a guesser: its logins to any
/// account with recent refusals wait in the suspect lane, unless it is familiar to that account. A refusal drains more
/// slowly than by [`SOURCE`], so that a slow guesser stays known.
const RECENT_GUESS: RefusalAllowance = RefusalAllowance { refusals: 1.0, seconds_each: 300.0 };
/// For one source over all accounts: a campus behind one address has many people who mistype.
const SOURCE: RefusalAllowance = RefusalAllowance { refusals: 1000.0, seconds_each: 0.5 };

/// The number of refusals at a moment; it drains with time.
#[derive(Clone, Copy)]
struct RefusalLevel {
    refusals: f64,
    at: Timestamp,
}

impl RefusalLevel {
    fn remaining(self, allowance: RefusalAllowance, now: Timestamp) -> f64 {
        // A clock that was set back neither forgives nor adds refusals.
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        (self.refusals - passed / allowance.seconds_each).max(0.0)
    }
}

/// The account that a login names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NamedAccount {
    /// The entryUUID of a person.
    Person(MapKey),
    /// The digest of a name that nobody has, so that a long name takes no more memory than a short one.
    Unknown(MapKey),
}

impl NamedAccount {
    /// Returns the octets that stand for the account in cache keys and digests.
    pub(super) fn key(self) -> MapKey {
        match self {
            Self::Person(key) | Self::Unknown(key) => key,
        }
    }
}

/// The refusals of one kind of account.
struct AccountLevels {
    pairs: LruCache<(MapKey, IpAddr), RefusalLevel>,
    accounts: LruCache<MapKey, RefusalLevel>,
}

impl AccountLevels {
    fn new(limit: NonZeroUsize) -> Self {
        Self { pairs: LruCache::new(limit), accounts: LruCache::new(limit) }
    }
}

struct RefusalLevels {
    people: AccountLevels,
    unknown: AccountLevels,
    sources: LruCache<IpAddr, RefusalLevel>,
    /// Refusals of each source, drained by [`RECENT_GUESS`]. They can move a login to the suspect lane, but never
    /// throttle it.
    guessers: LruCache<IpAddr, RefusalLevel>,
    /// The time of the last accepted login to each account from each source.
    familiar: LruCache<(MapKey, IpAddr), Timestamp>,
}

impl RefusalLevels {
    fn of(&mut self, account: NamedAccount) -> &mut AccountLevels {
        match account {
            NamedAccount::Person(_) => &mut self.people,
            NamedAccount::Unknown(_) => &mut self.unknown,
        }
    }

    fn is_familiar(&mut self, account: NamedAccount, source: IpAddr, now: Timestamp) -> bool {
        let last_login = self.familiar.get(&(account.key(), source)).copied();
        last_login.is_some_and(|at| now.duration_since(at) < FAMILIAR_TTL)
    }
}

/// The refusals remembered for all names and sources.
pub(super) struct RecentRefusals(Mutex<RefusalLevels>);

/// Too many refusals: the password must not be checked. A remembered result of that password may still be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl RecentRefusals {
    pub(super) fn new() -> Self {
        let levels = RefusalLevels {
            people: AccountLevels::new(PEOPLE_MAX),
            unknown: AccountLevels::new(REMEMBERED_MAX),
            sources: LruCache::new(REMEMBERED_MAX),
            guessers: LruCache::new(REMEMBERED_MAX),
            familiar: LruCache::new(FAMILIAR_MAX),
        };
        Self(Mutex::new(levels))
    }

    /// Whether a login to the account from this source was accepted within [`FAMILIAR_TTL`].
    pub(super) fn is_familiar(&self, account: NamedAccount, source: IpAddr, now: Timestamp) -> bool {
        self.levels().is_familiar(account, source, now)
    }

    /// Returns the lane for a login to `account` from `source`, or [`TooMany`]. The `running` other checks of the
    /// account may be guesses, so they count like refusals.
    pub(super) fn lane(
        &self,
        account: NamedAccount,
        source: IpAddr,
        running: usize,
        now: Timestamp,
    ) -> Result<LoginLane, TooMany> {
        let mut levels = self.levels();
        let is_familiar = levels.is_familiar(account, source, now);
        let of_kind = levels.of(account);
        let pair = of_kind.pairs.get(&(account.key(), source)).map_or(0.0, |level| level.remaining(PAIR, now));
        let of_account = of_kind.accounts.get(&account.key()).map_or(0.0, |level| level.remaining(ACCOUNT, now));
        let of_source = levels.sources.get(&source).map_or(0.0, |level| level.remaining(SOURCE, now));
        let of_guesser = levels.guessers.get(&source).map_or(0.0, |level| level.remaining(RECENT_GUESS, now));
        let is_guessed = of_account + running as f64 >= ACCOUNT.refusals || of_source >= SOURCE.refusals;
        if pair >= PAIR.refusals || (is_guessed && !is_familiar) {
            return Err(TooMany);
        }
        let is_attacked = !is_familiar && of_account > 0.0;
        let is_suspect = match is_familiar {
            true => pair > FAMILIAR_MISTAKES,
            false => pair > 0.0 || (is_attacked && of_guesser > 0.0),
        };
        Ok(match (is_suspect, is_attacked) {
            (true, _) => LoginLane::Suspect,
            (false, true) => LoginLane::Attacked,
            (false, false) => LoginLane::Fresh,
        })
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, account: NamedAccount, source: IpAddr, now: Timestamp) {
        let mut levels = self.levels();
        let of_kind = levels.of(account);
        add(&mut of_kind.pairs, (account.key(), source), PAIR, now);
        add(&mut of_kind.accounts, account.key(), ACCOUNT, now);
        add(&mut levels.sources, source, SOURCE, now);
        add(&mut levels.guessers, source, RECENT_GUESS, now);
    }

    /// Makes the source familiar, and forgives the account's refusals from it, which were the person's own mistakes.
    pub(super) fn accepted(&self, account: NamedAccount, source: IpAddr, now: Timestamp) {
        let mut levels = self.levels();
        levels.familiar.put((account.key(), source), now);
        let of_kind = levels.of(account);
        if let Some(pair) = of_kind.pairs.pop(&(account.key(), source))
            && let Some(of_account) = of_kind.accounts.get_mut(&account.key())
        {
            *of_account = RefusalLevel {
                refusals: (of_account.remaining(ACCOUNT, now) - pair.remaining(PAIR, now)).max(0.0),
                at: now,
            };
        }
    }

    fn levels(&self) -> MutexGuard<'_, RefusalLevels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<K: std::hash::Hash + Eq>(
    levels: &mut LruCache<K, RefusalLevel>,
    key: K,
    allowance: RefusalAllowance,
    now: Timestamp,
) {
    // Bounded, so that the level of a long attack drains in a known time.
    let before = levels.get(&key).map_or(0.0, |level| level.remaining(allowance, now));
    levels.put(key, RefusalLevel { refusals: (before + 1.0).min(2.0 * allowance.refusals), at: now });
}

/// Returns the network that counts as one source: an IPv4 address, or the /64 of an IPv6 address, which one host may
/// own.
pub fn source_network(address: IpAddr) -> IpAddr {
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

    const ZOE: NamedAccount = NamedAccount::Person([1; 16]);
    const LI: NamedAccount = NamedAccount::Person([2; 16]);

    fn invented(n: u16) -> NamedAccount {
        let mut name = [0; 16];
        name[..2].copy_from_slice(&n.to_be_bytes());
        NamedAccount::Unknown(name)
    }

    #[test]
    fn guessing_is_delayed_and_then_throttled() {
        let failures = RecentRefusals::new();
        assert_eq!(failures.lane(ZOE, source(1), 0, at(0)), Ok(LoginLane::Fresh));
        for _ in 0..10 {
            assert!(failures.lane(ZOE, source(1), 0, at(0)).is_ok());
            failures.refused(ZOE, source(1), at(0));
        }
        assert_eq!(failures.lane(ZOE, source(1), 0, at(0)), Err(TooMany));
        assert_eq!(
            failures.lane(ZOE, source(2), 0, at(0)),
            Ok(LoginLane::Attacked),
            "the same account from another source"
        );
        assert_eq!(
            failures.lane(LI, source(1), 0, at(0)),
            Ok(LoginLane::Fresh),
            "another account from the same source"
        );
        assert_eq!(failures.lane(ZOE, source(1), 0, at(30)), Ok(LoginLane::Suspect), "no refusal has expired");
        // Source 9 guesses at LI. Source 1 has guessed at ZOE, so its login to LI is suspect, although `SOURCE` has
        // drained its refusals.
        failures.refused(LI, source(9), at(30));
        assert_eq!(failures.lane(LI, source(1), 0, at(30)), Ok(LoginLane::Suspect));
        assert_eq!(failures.lane(LI, source(2), 0, at(30)), Ok(LoginLane::Attacked));
        assert_eq!(failures.lane(ZOE, source(1), 0, at(1000)), Ok(LoginLane::Fresh));
        assert_eq!(failures.lane(ZOE, source(1), 0, at(-86_400)), Err(TooMany), "a clock that was set back forgives");
    }

    #[test]
    fn an_accepted_login_forgives_the_refusals_from_its_source() {
        let failures = RecentRefusals::new();
        (0..9).for_each(|_| failures.refused(ZOE, source(1), at(0)));
        failures.accepted(ZOE, source(1), at(0));
        assert_eq!(failures.lane(ZOE, source(1), 0, at(0)), Ok(LoginLane::Fresh));
    }

    #[test]
    fn guesses_from_many_sources_and_at_many_accounts_are_throttled() {
        let failures = RecentRefusals::new();
        for n in 0..100 {
            failures.refused(ZOE, source(n), at(0));
        }
        assert_eq!(failures.lane(ZOE, source(200), 0, at(0)), Err(TooMany));
        assert!(
            failures.lane(ZOE, source(200), 9, at(100)).is_ok(),
            "90 refusals and nine running checks are throttled"
        );
        assert_eq!(failures.lane(ZOE, source(200), 10, at(100)), Err(TooMany));
        let failures = RecentRefusals::new();
        for n in 0..1000u16 {
            failures.refused(invented(n), source(1), at(0));
        }
        assert_eq!(failures.lane(ZOE, source(1), 0, at(0)), Err(TooMany));
        assert_eq!(failures.lane(ZOE, source(1), 0, at(1)), Ok(LoginLane::Fresh));
    }

    #[test]
    fn guesses_from_everywhere_do_not_lock_out_a_familiar_source() {
        let failures = RecentRefusals::new();
        failures.accepted(ZOE, source(200), at(0));
        (0..100).for_each(|n| failures.refused(ZOE, source(n), at(1)));
        assert_eq!(failures.lane(ZOE, source(200), 0, at(1)), Ok(LoginLane::Fresh));
        assert_eq!(failures.lane(ZOE, source(201), 0, at(1)), Err(TooMany));
        (0..3).for_each(|_| failures.refused(ZOE, source(200), at(2)));
        assert_eq!(failures.lane(ZOE, source(200), 0, at(2)), Ok(LoginLane::Fresh), "three mistakes count");
        failures.refused(ZOE, source(200), at(2));
        assert_eq!(failures.lane(ZOE, source(200), 0, at(2)), Ok(LoginLane::Suspect));
        (0..6).for_each(|_| failures.refused(ZOE, source(200), at(2)));
        assert_eq!(failures.lane(ZOE, source(200), 0, at(2)), Err(TooMany), "its own refusals do not count");
        let later = 31 * 86_400;
        (0..100).for_each(|n| failures.refused(ZOE, source(n), at(later)));
        assert_eq!(failures.lane(ZOE, source(200), 0, at(later)), Err(TooMany), "still familiar");
    }

    #[test]
    fn invented_names_do_not_flush_the_refusals_of_people() {
        let failures = RecentRefusals::new();
        (0..100).for_each(|n| failures.refused(ZOE, source(n), at(0)));
        (0..30_000).for_each(|n| failures.refused(invented(n), source((n % 250) as u8), at(0)));
        assert_eq!(failures.lane(ZOE, IpAddr::from([198, 51, 100, 1]), 0, at(0)), Err(TooMany));
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        for (address, expect) in
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1:2", "2001:db8::")]
        {
            assert_eq!(source_network(address.parse().unwrap()), expect.parse::<IpAddr>().unwrap());
        }
    }
}
