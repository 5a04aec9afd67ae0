//! The only place where this room reads the clock, as the driver passes no time.

use jiff::Timestamp;

/// The current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
