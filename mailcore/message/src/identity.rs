//! What makes a message one message: its identifier and its date.

use jiff::Timestamp;
use uuid::Uuid;

/// A Message-ID without its angle brackets (RFC 5322 §3.6.4): unique by `chance`, readable by its time.
pub fn message_id(now: Timestamp, chance: Uuid, hostname: &str) -> String {
    format!("{:x}.{}@{hostname}", now.as_second(), chance.simple())
}

/// A date as header fields carry it (RFC 5322 §3.3), in UTC.
pub fn rfc5322_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_and_ids() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(rfc5322_date(at), "Tue, 14 Nov 2023 22:13:20 +0000");
        assert_eq!(
            message_id(at, Uuid::nil(), "mx.example.edu"),
            format!("6553f100.{}@mx.example.edu", "0".repeat(32))
        );
    }
}
