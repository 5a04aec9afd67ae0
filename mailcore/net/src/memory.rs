//! Memory that peers can make this process hold: one budget for all connections of all protocols.
//!
//! The budget counts octets of input, output, message bodies and recipients. A connection has [`FREE_OCTETS`] of input
//! and as many of output uncounted, so that idle connections cost nothing here. A [`Reservation`] counts the rest, and
//! gives its octets back when it is dropped. Bodies of one source share a quarter, so that one host cannot take the
//! room of all. A large holder must leave as much to others as it holds. Nothing waits for memory without a deadline: a
//! reservation that cannot be met is refused in the end, so that two of them never wait for each other for ever.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Drain;
use crate::limits::source;

/// Octets of each connection's input, and as many of its output, that no budget counts. An idle session usually holds
/// less.
pub const FREE_OCTETS: usize = 8 * 1024;
/// Smallest budget with which a node serves mail: enough for messages of 16 MiB.
pub const MEMORY_OCTETS_MIN: u64 = 64 * 1024 * 1024;
/// The budget without a setting: enough for messages of 128 MiB, the largest that `message-size` allows.
pub const MEMORY_OCTETS_DEFAULT: u64 = 512 * 1024 * 1024;

/// Divisor of the budget for one body: a body leaves as much as it holds, and other bodies need a part too.
const BODY_PART: u64 = 4;
/// Divisor of the budget for the bodies of one source together: one of the largest size, or thousands of usual size.
const SOURCE_PART: u64 = 4;
/// Divisor of the budget: no input or output buffer may grow while all reservations together hold this part. Peers that
/// only send commands leave the rest to message bodies.
const BUFFERS_PART: u64 = 2;
/// Divisor of the budget for the recipients of all unfinished mail transactions together: recipients are small, and a
/// peer can name many before it sends anything of a message.
const RECIPIENTS_PART: u64 = 16;
/// How often a waiting reservation tries again. Waiting is rare, and a try costs a few atomic operations.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often the metric is updated.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Octets that all connections of a process may hold together. Clones share one budget.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<MemoryCounters>);

#[derive(Debug)]
struct MemoryCounters {
    limit: u64,
    used: AtomicU64,
    /// Octets held by the recipients of unfinished mail transactions.
    recipients: Arc<AtomicU64>,
    /// Octets held by the bodies of each source that holds some.
    sources: Mutex<HashMap<IpAddr, Arc<AtomicU64>>>,
}

impl MemoryCounters {
    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<AtomicU64>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryBudget {
    /// A budget of [`MEMORY_OCTETS_DEFAULT`].
    fn default() -> Self {
        Self::new(MEMORY_OCTETS_DEFAULT)
    }
}

impl MemoryBudget {
    /// A budget of `limit` octets.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(MemoryCounters {
            limit,
            used: AtomicU64::new(0),
            recipients: Arc::default(),
            sources: Mutex::default(),
        }))
    }

    /// Maximum number of octets that may be held.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Octets held now. Can exceed the limit by octets that [`Reservation::record`] has counted.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The largest body, octets, that a node with this budget should accept: a quarter of the limit.
    pub fn body_octets_max(&self) -> u64 {
        self.0.limit / BODY_PART
    }

    /// An empty reservation for a message or a request body, whatever its source.
    pub fn body(&self) -> Reservation {
        Reservation { budget: self.clone(), ceiling: self.0.limit, octets: 0, share: None }
    }

    /// Like [`MemoryBudget::body`], for a body that `address` sends. All bodies of one source (the address, or its IPv6
    /// network of 64 bits) together may take a quarter of the budget.
    pub fn body_of(&self, address: IpAddr) -> Reservation {
        let key = source(address);
        let used = Arc::clone(self.0.sources().entry(key).or_default());
        let mut body = self.body();
        body.share = Some(Share { used, limit: self.0.limit / SOURCE_PART, source: Some(key) });
        body
    }

    /// An empty reservation for the recipients of one mail transaction. All these reservations together may take a
    /// sixteenth of the budget.
    pub fn recipients(&self) -> Reservation {
        let used = Arc::clone(&self.0.recipients);
        let mut recipients = self.body();
        recipients.share = Some(Share { used, limit: self.0.limit / RECIPIENTS_PART, source: None });
        recipients
    }

    /// An empty reservation for a connection's input or output. It may not grow while half of the budget is in use.
    pub(crate) fn buffer(&self) -> Reservation {
        Reservation { budget: self.clone(), ceiling: self.0.limit / BUFFERS_PART, octets: 0, share: None }
    }

    /// Sets the gauge `provost_memory_budget_bytes` (`kind` is `used` or `limit`) until `drain` stops.
    pub async fn report(self, drain: Drain) {
        metrics::gauge!("provost_memory_budget_bytes", "kind" => "limit").set(self.limit() as f64);
        loop {
            metrics::gauge!("provost_memory_budget_bytes", "kind" => "used").set(self.used() as f64);
            tokio::select! {
                () = drain.stopping() => return,
                () = tokio::time::sleep(REPORT_INTERVAL) => {}
            }
        }
    }
}

/// Octets held of a [`MemoryBudget`]. Dropping the reservation gives them back.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    /// The total of all reservations, octets, beyond which this one may not grow.
    ceiling: u64,
    octets: u64,
    share: Option<Share>,
}

/// The part of the budget that several reservations have together.
#[derive(Debug)]
struct Share {
    /// Octets that these reservations hold.
    used: Arc<AtomicU64>,
    /// Maximum of `used`.
    limit: u64,
    /// The source whose bodies these are; `None` for recipients.
    source: Option<IpAddr>,
}

impl Share {
    /// The octets that are held after `octets` more are taken; `None` beyond the limit.
    fn after(&self, used: u64, octets: u64) -> Option<u64> {
        used.checked_add(octets).filter(|then| *then <= self.limit)
    }
}

impl Reservation {
    /// Octets that this reservation holds.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether [`Reservation::grow`] would take `octets` now: if not, a peer can be spared from sending a body that
    /// would be refused.
    pub fn has_room(&self, octets: u64) -> bool {
        let has_share =
            self.share.as_ref().is_none_or(|share| share.after(share.used.load(Ordering::Relaxed), octets).is_some());
        has_share && self.used_after(self.budget.used(), octets).is_some()
    }

    /// Takes `octets` more. `false` when the budget has no room; nothing is taken then.
    pub fn grow(&mut self, octets: u64) -> bool {
        if !self.grow_share(octets) {
            return false;
        }
        let take = |used: u64| self.used_after(used, octets);
        let taken = self.budget.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        match (taken, &self.share) {
            (true, _) => self.octets = self.octets.saturating_add(octets),
            (false, Some(share)) => drop(share.used.fetch_sub(octets, Ordering::Relaxed)),
            (false, None) => {}
        }
        taken
    }

    /// The octets that all reservations hold after this one has taken `octets` more, if `used` are held before; `None`
    /// when this reservation may not take so many.
    ///
    /// Afterwards the budget must have at least as much left as this reservation holds: a few large messages that never
    /// end cannot take the room of all the small ones.
    fn used_after(&self, used: u64, octets: u64) -> Option<u64> {
        let then = used.checked_add(octets)?;
        let left = self.ceiling.checked_sub(then)?;
        (left >= self.octets.saturating_add(octets)).then_some(then)
    }

    /// Takes `octets` of the share; `false` when it has too few left.
    fn grow_share(&self, octets: u64) -> bool {
        let Some(share) = &self.share else { return true };
        let take = |used: u64| share.after(used, octets);
        share.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Like [`Reservation::grow`], but waits up to `limit` for others to give octets back; `false` when there is still
    /// no room.
    pub async fn grow_within(&mut self, octets: u64, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.grow(octets) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Sets the octets held to `octets`, more or fewer than now. `false` when there is no room for more; nothing
    /// changes then.
    pub fn resize(&mut self, octets: u64) -> bool {
        if let Some(more) = octets.checked_sub(self.octets) {
            return more == 0 || self.grow(more);
        }
        self.record(octets);
        true
    }

    /// Waits until the reservation holds `octets`. Cancel-safe; the caller must set the deadline.
    pub(crate) async fn resized(&mut self, octets: u64) {
        while !self.resize(octets) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Sets the octets held to `octets`, even beyond the limit: for octets that are in memory already and on their way
    /// out. Other reservations wait or are refused until these octets are given back.
    pub fn record(&mut self, octets: u64) {
        let before = std::mem::replace(&mut self.octets, octets);
        let counts = [Some(&self.budget.0.used), self.share.as_ref().map(|share| &*share.used)];
        for used in counts.into_iter().flatten() {
            match octets.checked_sub(before) {
                Some(more) => used.fetch_add(more, Ordering::Relaxed),
                None => used.fetch_sub(before - octets, Ordering::Relaxed),
            };
        }
    }

    /// Gives all octets back.
    pub fn release(&mut self) {
        self.record(0);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
        let Some(Share { used, source: Some(key), .. }) = self.share.take() else { return };
        let mut sources = self.budget.0.sources();
        drop(used);
        // With a count of 1 only the map refers to the counter, and a new reference needs the lock that is held here.
        if sources.get(&key).is_some_and(|used| Arc::strong_count(used) == 1) {
            sources.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shared_and_given_back() {
        let budget = MemoryBudget::new(100);
        let mut large = budget.body();
        assert!(!large.grow(51) && large.grow(30) && !large.grow(21), "a reservation leaves as much as it holds");
        let mut small = budget.body();
        assert!(small.grow(20) && !small.grow(16) && small.resize(35) && small.resize(10));
        assert_eq!(budget.used(), 40);
        drop(large);
        small.release();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn has_room_exactly_where_growing_succeeds() {
        let address = "192.0.2.1".parse().unwrap();
        for (used, shared, held, octets) in
            [(0, 0, 0, 50), (0, 0, 0, 51), (40, 0, 0, 30), (40, 0, 0, 31), (0, 20, 0, 5), (0, 20, 0, 6), (40, 0, 20, 6)]
                .into_iter()
                .chain([(0, 0, 0, u64::MAX), (90, 0, 0, 0), (101, 0, 0, 0), (0, 25, 0, 0), (30, 5, 5, 15)])
        {
            for is_shared in [false, true] {
                let budget = MemoryBudget::new(100);
                let (mut others, mut same_source) = (budget.body(), budget.body_of(address));
                others.record(used);
                same_source.record(shared);
                let mut body = if is_shared { budget.body_of(address) } else { budget.body() };
                body.record(held);
                let row = (used, shared, held, octets, is_shared);
                assert_eq!(body.has_room(octets), body.grow(octets), "{row:?}");
            }
        }
    }

    #[test]
    fn one_source_has_a_quarter() {
        let budget = MemoryBudget::new(1000);
        let address = |text: &str| text.parse().unwrap();
        let (mut one, mut two) = (budget.body_of(address("2001:db8::1")), budget.body_of(address("2001:db8::2")));
        assert!(one.grow(200) && !two.grow(51) && two.grow(50) && !one.grow(1));
        assert!(budget.body_of(address("192.0.2.1")).grow(250) && budget.body().grow(300), "others have room");
        assert_eq!(budget.used(), 250);
        drop(one);
        assert!(two.grow(200) && !two.grow(1));
        drop(two);
        assert_eq!((budget.used(), budget.0.sources().len()), (0, 0));
    }

    #[test]
    fn all_recipients_have_a_sixteenth() {
        let budget = MemoryBudget::new(160);
        let mut bodies = budget.body();
        bodies.record(100);
        let (mut one, mut two) = (budget.recipients(), budget.recipients());
        assert!(one.grow(6) && !two.grow(5) && two.grow(4) && !two.grow(1));
        drop(one);
        assert!(two.grow(6));
        drop((two, bodies));
        assert_eq!((budget.used(), budget.0.recipients.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn buffers_leave_half_to_bodies() {
        let budget = MemoryBudget::new(100);
        let mut buffers: Vec<Reservation> = (0..100).map(|_| budget.buffer()).collect();
        assert_eq!(buffers.iter_mut().map(|buffer| u32::from(buffer.resize(1))).sum::<u32>(), 49);
        assert!(budget.body().grow(25));
        assert_eq!(budget.body_octets_max(), 25);
    }

    /// Octets that are in memory already count even beyond the limit; other reservations wait for them.
    #[tokio::test]
    async fn recorded_octets_keep_others_out() {
        let budget = MemoryBudget::new(100);
        let (mut output, mut body) = (budget.buffer(), budget.body());
        output.record(150);
        assert!(!body.grow(1) && !body.grow_within(1, Duration::ZERO).await);
        let waits = tokio::spawn(async move { body.grow_within(40, Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        drop(output);
        assert!(waits.await.unwrap());
        assert_eq!(budget.used(), 0);
    }

    /// Two reservations that hold something and want the rest are both refused in time.
    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let budget = MemoryBudget::new(100);
        let hold = |budget: &MemoryBudget| {
            let mut held = budget.body();
            assert!(held.grow(25));
            async move { held.grow_within(50, Duration::from_millis(30)).await }
        };
        let (one, two) = tokio::join!(hold(&budget), hold(&budget));
        assert!(!one && !two);
    }
}
