//! Waiting for something to become true, never for time to pass.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something; what it found, and after how long.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<(T, Duration)> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, begin.elapsed()));
        }
        if begin.elapsed() > limit {
            bail!("not within {limit:?}");
        }
        std::thread::sleep(PAUSE);
    }
}
