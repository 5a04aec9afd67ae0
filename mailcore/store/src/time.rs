//! Arithmetic on time. Rows keep whole seconds, so the engines drop the fraction of a second from each time that they
//! store.

use std::time::Duration;

use jiff::Timestamp;

/// Returns the time `seconds` after 1970 began. A number beyond the range of [`Timestamp`], as in a damaged row,
/// becomes the end of the range.
pub(crate) fn from_seconds(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

/// Drops the fraction of a second.
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
