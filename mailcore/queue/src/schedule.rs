//! When to try again. Pure: no clock here.

use jiff::Timestamp;

/// Times of the queue's life.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// First wait after a deferral, seconds. Default 60; doubles up to `retry_max`.
    pub retry_first: i64,
    /// Longest wait, seconds. Default 3600.
    pub retry_max: i64,
    /// After this many seconds a deferral becomes a bounce. Default 5 days (RFC 5321 §4.5.4.1: at least 4 or 5).
    pub lifetime: i64,
    /// Attempts at once. Default 16.
    pub concurrency: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { retry_first: 60, retry_max: 3600, lifetime: 5 * 24 * 60 * 60, concurrency: 16 }
    }
}

/// When a message is due after `attempts` (at least one) that ended in a deferral.
///
/// RFC 5321 §4.5.4.1: the wait grows, and the message is tried for days before it is given up.
pub fn next_attempt(config: &QueueConfig, attempts: u32, now: Timestamp) -> i64 {
    let doublings = attempts.saturating_sub(1).min(i64::BITS - 2);
    let wait = config.retry_first.max(1).saturating_mul(1_i64 << doublings);
    now.as_second().saturating_add(wait.min(config.retry_max.max(1)))
}

/// Whether a deferral at `now` is the last: the message is older than its lifetime.
pub(crate) fn is_expired(config: &QueueConfig, queued_at: i64, now: Timestamp) -> bool {
    now.as_second().saturating_sub(queued_at) >= config.lifetime
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// RFC 5321 §4.5.4.1.
    #[test]
    fn waits_double_up_to_the_longest() {
        let config = QueueConfig::default();
        for (attempts, wait) in
            [(0, 60), (1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (100, 3600), (u32::MAX, 3600)]
        {
            assert_eq!(next_attempt(&config, attempts, at(1_000)), 1_000 + wait, "{attempts}");
        }
    }

    #[test]
    fn a_message_lives_five_days_and_is_tried_often() {
        let config = QueueConfig::default();
        let (mut now, mut attempts) = (0, 0);
        while !is_expired(&config, 0, at(now)) {
            attempts += 1;
            now = next_attempt(&config, attempts, at(now));
        }
        assert!((120..135).contains(&attempts), "{attempts}");
        assert!((config.lifetime..config.lifetime + 3600).contains(&now), "{now}");
    }

    #[test]
    fn a_config_of_zeros_does_not_spin() {
        let config = QueueConfig { retry_first: 0, retry_max: 0, lifetime: 0, concurrency: 0 };
        assert_eq!(next_attempt(&config, 5, at(10)), 11);
    }
}
