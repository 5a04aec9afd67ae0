//! Arithmetic on time. Rows keep whole seconds, so the engines cut what they are given to the second.

use std::time::Duration;

use jiff::Timestamp;

/// Returns the time `seconds` after 1970 began. A damaged row may hold any number, so the ends of the range stand for
/// what lies beyond them.
pub(crate) fn from_seconds(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

/// Cuts a time to the second.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    from_seconds(at.as_second())
}

/// Returns the time `by` after `at`, at most the end of the range.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Returns the time `by` before `at`, at least the start of the range.
pub(crate) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_sub(by).unwrap_or(Timestamp::MIN)
}
