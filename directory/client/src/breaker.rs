//! The circuit breaker of one server: after three failures in a row, the server gets no operations for a while.

use std::time::{Duration, Instant};

/// Consecutive failures that open the circuit.
const FAILURES_MAX: u32 = 3;
/// How long the circuit stays open after a failure. Operations then try the server again, and one more failure opens
/// the circuit again.
const OPEN_TIME: Duration = Duration::from_secs(15);

/// The state of one server's circuit.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    last_failure: Option<Instant>,
}

impl Breaker {
    /// Whether an operation may be sent to the server at `now`.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        self.failures < FAILURES_MAX || self.last_failure.is_none_or(|at| now.duration_since(at) >= OPEN_TIME)
    }

    /// Records that the server performed an operation or refused it.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Records that the server could not be reached, could not serve, or did not answer in time.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(now);
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
            assert!(breaker.allows(after(second)), "refused at {second} s");
            breaker.failed(after(second));
        }
        assert!(!breaker.allows(after(2)));
        assert!(!breaker.allows(after(16)));
        assert!(breaker.allows(after(17)), "refused after the open time");
        breaker.failed(after(17));
        assert!(!breaker.allows(after(31)));
        breaker.succeeded();
        assert!(breaker.allows(after(31)));
    }
}
