//! The clock of this crate. No other module reads the time of day; the driver passes no time to a session.

use jiff::Timestamp;

/// The current time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
