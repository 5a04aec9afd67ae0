//! When to try again, by the present settings. Time is an argument.

use std::time::Duration;

use jiff::Timestamp;
use provost_view::SharedSettings;

/// Shortest wait before another attempt: the queue does not spin, whatever the settings are.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// Limits of the queue on this node.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Attempts that run at once. Default 16.
    pub concurrency: usize,
    /// Attempts that run at once for one domain. Default 8, so that one domain that does not answer leaves room for
    /// others.
    pub per_destination: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { concurrency: 16, per_destination: 8 }
    }
}

/// When a message is due again after `attempts` deferrals (at least one).
///
/// RFC 5321 §4.5.4.1: the wait grows, and the message is tried for days. `retry-first` is the first wait, `retry-max`
/// the longest.
pub fn next_attempt(settings: &SharedSettings, attempts: u32, now: Timestamp) -> Timestamp {
    let doublings = attempts.saturating_sub(1).min(u32::BITS - 1);
    let wait = settings.retry_first.max(WAIT_MIN).saturating_mul(1 << doublings);
    now.saturating_add(wait.min(settings.retry_max.max(WAIT_MIN))).unwrap_or(Timestamp::MAX)
}

/// Whether a deferral at `now` is the last one: the message is older than `queue-lifetime`.
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
    fn waits_double_up_to_the_longest() {
        let settings = SharedSettings::default();
        for (attempts, wait) in
            [(0, 60), (1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (100, 3600), (u32::MAX, 3600)]
        {
            assert_eq!(next_attempt(&settings, attempts, at(1_000)), at(1_000 + wait), "{attempts}");
        }
    }

    #[test]
    fn a_message_lives_five_days_and_is_tried_often() {
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
    fn the_smallest_settings_do_not_spin() {
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
    fn a_longest_wait_below_the_first_rules() {
        let mut fallback = provost_view::Fallback::default();
        fallback.add("retry-first", "test", "600").unwrap();
        fallback.add("retry-max", "test", "60").unwrap();
        assert_eq!(next_attempt(&SharedSettings::of_file(&fallback), 1, at(0)), at(60));
    }
}
