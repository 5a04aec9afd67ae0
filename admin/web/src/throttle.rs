//! How often a sign-in may fail: per name and address, and per address over all names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Attempts of one name from one address within the window.
const ATTEMPTS_OF_NAME_MAX: u32 = 5;
/// Attempts from one address within the window: a help desk may sit behind one.
const ATTEMPTS_OF_ADDRESS_MAX: u32 = 50;
/// The window.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Names and addresses that are counted at once.
const COUNTED_MAX: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    /// A digest of name and address: names are of any length.
    Name(blake3::Hash),
    Address(Option<IpAddr>),
}

#[derive(Clone, Copy)]
struct Count {
    since: Timestamp,
    attempts: u32,
}

/// Attempts that have not succeeded. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Throttle {
    // A std lock: held for look-ups only, never over an await.
    counts: Arc<Mutex<HashMap<Counted, Count>>>,
}

impl Throttle {
    /// Counts an attempt before its password is looked at, so that many at once gain nothing.
    /// `Err` tells the seconds to wait; such an attempt must not be looked at.
    pub(crate) fn attempt(&self, name: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), i64> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTED_MAX {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
        }
        // Still full: so many names within a minute are an attack on this table. Nobody new is counted in, or let in.
        if counts.len() >= COUNTED_MAX {
            return Err(WINDOW.as_secs());
        }
        let address = address.map(network);
        for (counted, most) in
            [(Counted::Address(address), ATTEMPTS_OF_ADDRESS_MAX), (name_of(name, address), ATTEMPTS_OF_NAME_MAX)]
        {
            let count = counts.entry(counted).or_insert(Count { since: now, attempts: 0 });
            if now.duration_since(count.since) >= WINDOW {
                *count = Count { since: now, attempts: 0 };
            }
            if count.attempts >= most {
                return Err((WINDOW - now.duration_since(count.since)).as_secs().max(1));
            }
            count.attempts += 1;
        }
        Ok(())
    }

    /// The attempt succeeded: it counts no more.
    pub(crate) fn succeeded(&self, name: &str, address: Option<IpAddr>) {
        let address = address.map(network);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&name_of(name, address));
        if let Some(count) = counts.get_mut(&Counted::Address(address)) {
            count.attempts = count.attempts.saturating_sub(1);
        }
    }
}

fn name_of(name: &str, address: Option<IpAddr>) -> Counted {
    Counted::Name(blake3::hash(format!("{address:?} {}", name.trim().to_lowercase()).as_bytes()))
}

/// The address as it is counted: of IPv6 its first 64 bits, as one subscriber has all that follow.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) & !u128::from(u64::MAX)).into()),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn five_failures_a_minute_and_no_more() {
        let throttle = Throttle::default();
        let here = Some("192.0.2.1".parse().unwrap());
        for second in 0..5 {
            assert_eq!(throttle.attempt("zoe", here, at(second)), Ok(()));
        }
        assert_eq!(throttle.attempt(" ZOE ", here, at(10)), Err(50));
        assert_eq!(throttle.attempt("noa", here, at(10)), Ok(()), "another name");
        assert_eq!(throttle.attempt("zoe", Some("192.0.2.2".parse().unwrap()), at(10)), Ok(()), "another address");
        assert_eq!(throttle.attempt("zoe", here, at(60)), Ok(()), "another minute");
    }

    #[test]
    fn a_success_lifts_it() {
        let throttle = Throttle::default();
        for second in 0..20 {
            assert_eq!(throttle.attempt("zoe", None, at(second)), Ok(()));
            throttle.succeeded("zoe", None);
        }
    }

    #[test]
    fn many_names_from_one_network_are_stopped() {
        let throttle = Throttle::default();
        let stopped = (0..60).position(|n| {
            let address = format!("2001:db8::{n:x}").parse().unwrap();
            throttle.attempt(&format!("name{n}"), Some(address), at(1)).is_err()
        });
        assert_eq!(stopped, Some(50));
    }
}
