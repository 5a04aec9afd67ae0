//! Waits for a condition, never for a fixed time.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Pause between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// Repeats `look` until it returns a value. Returns that value and the time that passed; an error after `limit`, or the
/// first error of `look`.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<(T, Duration)> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, begin.elapsed()));
        }
        if begin.elapsed() > limit {
            bail!("condition not met within {limit:?}");
        }
        std::thread::sleep(PAUSE);
    }
}
