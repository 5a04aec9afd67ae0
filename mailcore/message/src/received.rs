//! The Received trace field that every hop adds (RFC 5321 §4.4).

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::{HeaderSection, TraceId, rfc5322_date};

/// Maximum number of earlier hops; beyond, the message is taken to be looping. RFC 5321 §6.3 asks for at least 100.
const HOPS_MAX: usize = 100;

/// One Received field. `Display` writes the whole field with its line ends.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedField<'a> {
    /// The name that the peer gave in EHLO, HELO or LHLO.
    pub helo: &'a str,
    /// The peer's address.
    pub remote: IpAddr,
    /// The name of this host.
    pub hostname: &'a str,
    /// The protocol for `with`: `ESMTP`, `ESMTPSA`, `LMTP`, ... (RFC 3848).
    pub protocol: &'a str,
    /// The id of the message at this site.
    pub id: TraceId,
    /// The time of arrival.
    pub at: Timestamp,
}

impl fmt::Display for ReceivedField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hostname, protocol, id, .. } = self;
        // Only what a domain or address literal can hold: a HELO must not write comments or further fields here.
        let helo: String = self.helo.chars().filter(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(*c)).collect();
        let helo = if helo.is_empty() { "unknown" } else { &helo };
        write!(f, "Received: from {helo} (")?;
        match self.remote.to_canonical() {
            IpAddr::V4(address) => write!(f, "[{address}]")?,
            IpAddr::V6(address) => write!(f, "[IPv6:{address}]")?,
        }
        write!(f, ")\r\n\tby {hostname} (Provost) with {protocol} id {id};\r\n\t{}\r\n", rfc5322_date(self.at))
    }
}

/// Whether an unfolded Received value is one that `hostname` wrote, in the form of [`ReceivedField`].
pub fn is_own_received(value: &str, hostname: &str) -> bool {
    // The peer's own words stand before the first `)` and cannot contain one.
    let by = value.split_once(')').and_then(|(_, rest)| rest.trim_ascii_start().strip_prefix("by "));
    by.and_then(|by| by.strip_prefix(hostname)).is_some_and(|rest| rest.starts_with(" (Provost) "))
}

/// Whether a message, without the Received of this hop, has passed too many hops (RFC 5321 §6.3).
pub fn is_looping(message: &[u8]) -> bool {
    HeaderSection::of(message).all("Received").nth(HOPS_MAX).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(helo: &str, remote: &str) -> String {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let remote = remote.parse().unwrap();
        ReceivedField { helo, remote, hostname: "mx.example.edu", protocol: "ESMTPS", id: uuid::Uuid::nil().into(), at }
            .to_string()
    }

    #[test]
    fn is_written_as_rfc_5321_says() {
        assert_eq!(
            received("client.example.org", "192.0.2.1"),
            "Received: from client.example.org ([192.0.2.1])\r\n\tby mx.example.edu (Provost) with ESMTPS id \
             00000000000000000000000000000000;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
        );
        assert!(received("[IPv6:2001:db8::1]", "2001:db8::1").contains("from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])"));
        assert!(received("x", "::ffff:192.0.2.1").contains("([192.0.2.1])"));
    }

    #[test]
    fn a_helo_cannot_inject_a_field() {
        let field = received("a (b)\r\nSubject: c", "192.0.2.1");
        assert!(field.starts_with("Received: from abSubject:c ("), "{field}");
        assert!(received("()", "192.0.2.1").starts_with("Received: from unknown ("));
    }

    #[test]
    fn recognises_the_field_of_this_host() {
        let unfolded = received("client.example.org", "192.0.2.1").replace("\r\n\t", " ");
        let value = unfolded.strip_prefix("Received: ").unwrap();
        assert!(is_own_received(value, "mx.example.edu"));
        assert!(!is_own_received(value, "example.edu") && !is_own_received(value, "mx.example.edu.test"));
        assert!(!is_own_received("from x ([192.0.2.1]) by mx.example.edu (Postfix) with SMTP id 1;", "mx.example.edu"));
        let id = crate::TraceId::of_message(received("x", "192.0.2.1").as_bytes(), "mx.example.edu");
        assert_eq!(id, Some(uuid::Uuid::nil().into()));
        let below = format!("Received: from y\r\n{}", received("x", "192.0.2.1"));
        assert_eq!(
            crate::TraceId::of_message(below.as_bytes(), "mx.example.edu"),
            None,
            "another host wrote the topmost"
        );
    }

    #[test]
    fn more_than_a_hundred_hops_are_a_loop() {
        let field = "Received: x\r\n";
        assert!(!is_looping(field.repeat(HOPS_MAX).as_bytes()));
        assert!(is_looping(field.repeat(HOPS_MAX + 1).as_bytes()));
        assert!(!is_looping(format!("\r\n{}", field.repeat(HOPS_MAX + 1)).as_bytes()));
    }
}
