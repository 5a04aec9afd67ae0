//! The circuit breaker of one server: after three failures, the server gets no operations for a while.

use std::time::{Duration, Instant};

/// Consecutive failures that open the circuit.
const FAILURES_MAX: u32 = 3;
/// How long the circuit stays open. The next operation then tries the server, and one more failure opens it again.
const OPEN: Duration = Duration::from_secs(15);

/// The state of one server's circuit.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    since: Option<Instant>,
}

impl Breaker {
    /// Whether an operation may be sent to the server at `now`.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        self.failures < FAILURES_MAX || self.since.is_none_or(|since| now.duration_since(since) >= OPEN)
    }

    /// Records that the server answered, with whatever result.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records that the server could not be reached, or did not answer in time.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_open_the_circuit_for_fifteen_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        for second in 0..3 {
            assert!(breaker.allows(after(second)), "{second}");
            breaker.failed(after(second));
        }
        assert!(!breaker.allows(after(2)));
        assert!(!breaker.allows(after(16)));
        assert!(breaker.allows(after(17)), "one trial");
        breaker.failed(after(17));
        assert!(!breaker.allows(after(31)));
        breaker.succeeded();
        assert!(breaker.allows(after(31)));
    }
}
