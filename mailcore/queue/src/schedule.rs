//! When a message is tried again and when its lifetime ends, by the shared settings; and the limits of a node's queue.
//! Nothing here reads a clock: callers pass the time.

use std::time::Duration;

use jiff::Timestamp;
use provost_view::SharedSettings;

/// Shortest wait before another attempt, so that no setting makes the queue spin.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// Limits of the queue on this node.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Maximum number of attempts that run at once; zero counts as one. Default 16.
    pub concurrency: usize,
    /// Maximum number of attempts that run at once for one domain; zero counts as one. Default 8, so that a domain that
    /// does not answer leaves half of the attempts to others.
    pub per_destination: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { concurrency: 16, per_destination: 8 }
    }
}

/// When a message is due again after its attempt number `attempts` ended at `end` with a deferral.
///
/// RFC 5321 §4.5.4.1 requires a wait after each failed attempt and advises to back off. The first wait is
/// `retry-first`; each later wait is twice the one before, up to `retry-max`.
pub fn next_attempt(settings: &SharedSettings, attempts: u32, end: Timestamp) -> Timestamp {
    let doublings = attempts.saturating_sub(1).min(u32::BITS - 1);
    let wait = settings.retry_first.max(WAIT_MIN).saturating_mul(1 << doublings);
    end.saturating_add(wait.min(settings.retry_max.max(WAIT_MIN))).unwrap_or(Timestamp::MAX)
}

/// Whether a message that is deferred at `now` fails instead, because it is `queue-lifetime` old or older.
pub(crate) fn is_expired(settings: &SharedSettings, queued_at: Timestamp, now: Timestamp) -> bool {
    now >= queued_at.saturating_add(settings.queue_lifetime).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// RFC 5321 §4.5.4.1.
    #[test]
    fn waits_double_up_to_retry_max() {
        let settings = SharedSettings::default();
        for (attempts, wait) in
            [(0, 60), (1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (100, 3600), (u32::MAX, 3600)]
        {
            assert_eq!(next_attempt(&settings, attempts, at(1_000)), at(1_000 + wait), "{attempts}");
        }
    }

    #[test]
    fn default_settings_try_a_message_some_125_times_in_five_days() {
        let settings = SharedSettings::default();
        let (mut now, mut attempts) = (at(0), 0);
        while !is_expired(&settings, at(0), now) {
            attempts += 1;
            now = next_attempt(&settings, attempts, now);
        }
        assert!((120..135).contains(&attempts), "{attempts}");
        let end = at(0) + settings.queue_lifetime;
        assert!((end..end + Duration::from_hours(1)).contains(&now), "{now}");
    }

    #[test]
    fn the_smallest_settings_still_wait_a_second() {
        let mut fallback = provost_view::Fallback::default();
        for name in ["retry-first", "retry-max", "queue-lifetime"] {
            fallback.add(name, "test", "1").unwrap();
        }
        let settings = SharedSettings::of_file(&fallback);
        assert_eq!(next_attempt(&settings, 5, at(10)), at(11));
        assert!(!is_expired(&settings, at(10), at(10)) && is_expired(&settings, at(10), at(11)));
    }

    /// Each setting is valid alone, so `retry-first` may be longer than `retry-max`.
    #[test]
    fn retry_max_also_bounds_the_first_wait() {
        let mut fallback = provost_view::Fallback::default();
        fallback.add("retry-first", "test", "600").unwrap();
        fallback.add("retry-max", "test", "60").unwrap();
        assert_eq!(next_attempt(&SharedSettings::of_file(&fallback), 1, at(0)), at(60));
    }
}
