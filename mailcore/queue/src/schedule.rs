//! When to try again, by the present settings. Time is an argument.

use jiff::Timestamp;
use provost_view::SharedSettings;

/// Limits of the queue on this node.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Attempts that run at once. Default 16.
    pub concurrency: usize,
    /// Attempts that run at once for one domain. Default 8, so that one domain that does not answer leaves room for others.
    pub per_destination: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { concurrency: 16, per_destination: 8 }
    }
}

/// When a message is due again after `attempts` deferrals (at least one).
///
/// RFC 5321 §4.5.4.1: the wait grows, and the message is tried for days. `retry-first` is the first wait, `retry-max` the
/// longest.
pub fn next_attempt(settings: &SharedSettings, attempts: u32, now: Timestamp) -> i64 {
    let doublings = attempts.saturating_sub(1).min(i64::BITS - 2);
    let wait = settings.retry_first.max(1).saturating_mul(1_i64 << doublings);
    now.as_second().saturating_add(wait.min(settings.retry_max.max(1)))
}

/// Whether a deferral at `now` is the last one: the message is older than `queue-lifetime`.
pub(crate) fn is_expired(settings: &SharedSettings, queued_at: i64, now: Timestamp) -> bool {
    now.as_second().saturating_sub(queued_at) >= settings.queue_lifetime
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
            assert_eq!(next_attempt(&settings, attempts, at(1_000)), 1_000 + wait, "{attempts}");
        }
    }

    #[test]
    fn a_message_lives_five_days_and_is_tried_often() {
        let settings = SharedSettings::default();
        let (mut now, mut attempts) = (0, 0);
        while !is_expired(&settings, 0, at(now)) {
            attempts += 1;
            now = next_attempt(&settings, attempts, at(now));
        }
        assert!((120..135).contains(&attempts), "{attempts}");
        assert!((settings.queue_lifetime..settings.queue_lifetime + 3600).contains(&now), "{now}");
    }

    #[test]
    fn the_smallest_settings_do_not_spin() {
        let mut stated = provost_view::Fallback::default();
        for name in ["retry-first", "retry-max", "queue-lifetime"] {
            stated.add(name, "test", "1").unwrap();
        }
        let settings = SharedSettings::of_file(&stated);
        assert_eq!(next_attempt(&settings, 5, at(10)), 11);
        assert!(!is_expired(&settings, 10, at(10)) && is_expired(&settings, 10, at(11)));
    }

    /// Each setting is valid alone, so `retry-first` may be longer than `retry-max`.
    #[test]
    fn a_longest_wait_below_the_first_rules() {
        let mut stated = provost_view::Fallback::default();
        stated.add("retry-first", "test", "600").unwrap();
        stated.add("retry-max", "test", "60").unwrap();
        assert_eq!(next_attempt(&SharedSettings::of_file(&stated), 1, at(0)), 60);
    }
}
