//! Limits of connections, and the counts that are held against them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections on this listener.
    pub connections: usize,
    /// Open connections from one IPv4 address or one IPv6 network of 64 bits, which is what one host is usually given.
    pub connections_per_address: usize,
    /// Open connections of one account after login.
    pub connections_per_account: usize,
    /// Octets that may wait in a session's input buffer.
    pub input_octets: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// Longest time for one flush of output, however large: until the system has taken all of it. Progress does not
    /// extend the time, so a peer that reads an octet now and then is cut off like one that reads nothing, once the
    /// system's buffers are full. A long reply is many flushes, each with its own time: sessions flush whenever
    /// [`crate::OUTPUT_OCTETS_HIGH`] octets or more are queued ([`crate::OutputBuffer::relieve`]).
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 4_096,
            connections_per_account: 64,
            input_octets: 512 * 1024,
            handshake: Duration::from_secs(30),
            write: Duration::from_secs(60),
        }
    }
}

/// Connections of one listener that need no place in the [`ConnectionBudget`]: a flood on one listener cannot close the
/// others.
const LISTENER_CONNECTIONS_MIN: usize = 64;

/// Connections that all listeners of a process may have open together, so that descriptors are left for files and for
/// the directory. Clones count together.
#[derive(Clone, Debug)]
pub struct ConnectionBudget {
    limit: usize,
    open: Arc<AtomicUsize>,
}

/// One connection counted in a [`ConnectionBudget`], until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    /// `None` for one of the first [`LISTENER_CONNECTIONS_MIN`] connections of a listener, which the budget does not
    /// count.
    counted: Option<Arc<AtomicUsize>>,
}

impl Default for ConnectionBudget {
    /// A budget of as many connections as one listener may have open by default.
    fn default() -> Self {
        Self::new(Limits::default().connections)
    }
}

impl ConnectionBudget {
    /// A budget of `limit` connections. Each listener has 64 more for itself.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// A place for one more connection of a listener that has `open_here` open; `None` when the budget is used up.
    pub(crate) fn enter(&self, open_here: usize) -> Option<ConnectionSlot> {
        if open_here < LISTENER_CONNECTIONS_MIN {
            return Some(ConnectionSlot { counted: None });
        }
        let more = |open: usize| (open < self.limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(ConnectionSlot { counted: Some(self.open.clone()) })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(open) = &self.counted {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The network bits of an IPv6 address (RFC 4291 §2.5.1). A host chooses the other 64 freely, even anew for each
/// connection.
const NETWORK_BITS: u128 = !0 << 64;

/// Open connections of one listener by source: an address, or an IPv6 network of 64 bits. Cheap to clone; clones count
/// together.
#[derive(Clone, Debug)]
pub struct ConnectionsBySource(ConnectionCounts<IpAddr>);

/// One connection counted in [`ConnectionsBySource`], until it is dropped.
#[derive(Debug)]
pub struct SourceSlot {
    _place: CountedSlot<IpAddr>,
}

impl ConnectionsBySource {
    /// An empty count.
    pub fn new() -> Self {
        Self(ConnectionCounts::new())
    }

    /// Counts one more connection from `address`; `None` when its source has `limit` already.
    pub fn enter(&self, address: IpAddr, limit: usize) -> Option<SourceSlot> {
        Some(SourceSlot { _place: self.0.enter(source(address), limit)? })
    }
}

impl Default for ConnectionsBySource {
    fn default() -> Self {
        Self::new()
    }
}

/// The key that an address is counted under: itself, or its IPv6 network of 64 bits.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_BITS).into(),
        address => address,
    }
}

/// Open connections per key, never above a limit.
#[derive(Debug)]
pub(crate) struct ConnectionCounts<K: Eq + Hash + Clone> {
    open: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Clone for ConnectionCounts<K> {
    fn clone(&self) -> Self {
        Self { open: self.open.clone() }
    }
}

impl<K: Eq + Hash + Clone> ConnectionCounts<K> {
    pub(crate) fn new() -> Self {
        Self { open: Arc::default() }
    }

    /// Counts one more for `key`; `None` when the count would exceed `limit`.
    pub(crate) fn enter(&self, key: K, limit: usize) -> Option<CountedSlot<K>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&key).copied().unwrap_or_default() >= limit {
            return None;
        }
        *open.entry(key.clone()).or_default() += 1;
        Some(CountedSlot { key, open: self.open.clone() })
    }
}

/// A place taken in [`ConnectionCounts`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct CountedSlot<K: Eq + Hash + Clone> {
    key: K,
    open: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Drop for CountedSlot<K> {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_an_ipv6_host_are_one_source() {
        for (address, expect) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(source(address.parse().unwrap()).to_string(), expect);
        }
    }

    #[test]
    fn each_listener_has_some_connections_for_itself() {
        let budget = ConnectionBudget::new(2);
        let shared: Vec<_> = (0..3).map(|_| budget.enter(LISTENER_CONNECTIONS_MIN)).collect();
        assert_eq!(shared.iter().flatten().count(), 2);
        assert!(budget.enter(LISTENER_CONNECTIONS_MIN - 1).is_some());
        drop(shared);
        assert!(budget.enter(LISTENER_CONNECTIONS_MIN).is_some());
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let counts = ConnectionCounts::new();
        let first = counts.enter("a", 2).unwrap();
        let _second = counts.enter("a", 2).unwrap();
        assert!(counts.enter("a", 2).is_none());
        assert!(counts.enter("b", 2).is_some());
        drop(first);
        assert!(counts.enter("a", 2).is_some());
        // What is refused leaves nothing behind.
        assert!(counts.enter("c", 0).is_none());
        assert!(!counts.open.lock().unwrap().contains_key("c"));
    }
}
