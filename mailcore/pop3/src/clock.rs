//! The only place where this crate reads the time of day, because the driver passes no time.

use jiff::Timestamp;

/// The current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
