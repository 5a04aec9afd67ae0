//! The only place where this crate reads the clock, because the driver passes no time.

use jiff::Timestamp;

/// The current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
