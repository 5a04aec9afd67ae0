//! The trace fields of final delivery: Return-Path (RFC 5321 §4.4) and Delivered-To (RFC 9228).

use bytes::{BufMut, Bytes, BytesMut};
use provost_message::{Address, HeaderSection, Path, is_own_received};

/// Room for the names and punctuation of the two fields, octets.
const FIELD_OCTETS: usize = 64;
/// A message that this host has delivered to one address this many times is taken to be in a loop. One or two happen
/// when people send a message from a mailbox to its own address again; a loop never ends, and each round costs a copy.
const LOOP_DELIVERIES_MIN: usize = 3;

/// The message as this recipient gets it. This is the one copy of the body that a delivery makes.
pub(crate) fn with_trace(message: &Bytes, reverse_path: Option<&Path>, recipient: &Address) -> Bytes {
    let reverse_path = reverse_path.map(Path::to_string).unwrap_or_default();
    let octets = message.len() + reverse_path.len() + recipient.as_str().len() + FIELD_OCTETS;
    let mut body = BytesMut::with_capacity(octets);
    for part in ["Return-Path: <", &reverse_path, ">\r\nDelivered-To: ", recipient.as_str(), "\r\n"] {
        body.put_slice(part.as_bytes());
    }
    body.put_slice(message);
    body.freeze()
}

/// Whether the message is in a loop: this host has delivered it to this address too often already.
///
/// Only deliveries of this host count: a Delivered-To counts when this host wrote the next Received below it. Another
/// server may have added a Delivered-To to mail that moved here or came through a front server: no sign of a loop.
pub(crate) fn is_looping(message: &[u8], recipient: &Address, hostname: &str) -> bool {
    let (mut above, mut deliveries) = (0, 0);
    for field in HeaderSection::of(message).iter() {
        if field.is("Delivered-To") && field.value().eq_ignore_ascii_case(recipient.as_str()) {
            above += 1;
        } else if field.is("Received") {
            let of_received = std::mem::take(&mut above);
            deliveries += if is_own_received(&field.value(), hostname) { of_received } else { 0 };
        }
    }
    deliveries >= LOOP_DELIVERIES_MIN
}

/// The addresses through which the message has come since this host received it, the last one first: each is that of a
/// person who sends it on within the site, or of a list. They stand above the first Received, which this host writes at
/// each arrival.
pub(crate) fn local_hops(message: &[u8]) -> Vec<Address> {
    let mut hops = Vec::new();
    for field in HeaderSection::of(message).iter() {
        if field.is("Received") {
            break;
        }
        if field.is("Delivered-To") {
            hops.extend(Address::parse(field.value().trim()).ok());
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_return_path_first() {
        let zoe = Address::parse("Zoe@Example.edu").unwrap();
        let body = Bytes::from_static(b"Received: x\r\n\r\nhi\r\n");
        let sender = Path::parse("\"a b\"@example.org").unwrap();
        assert_eq!(
            with_trace(&body, Some(&sender), &zoe),
            &b"Return-Path: <\"a b\"@example.org>\r\nDelivered-To: zoe@example.edu\r\nReceived: x\r\n\r\nhi\r\n"[..]
        );
        assert!(with_trace(&body, None, &zoe).starts_with(b"Return-Path: <>\r\nDelivered-To: zoe@example.edu\r\n"));
    }

    #[test]
    fn hops_within_the_site_stand_above_the_first_received() {
        let message = b"Return-Path: <>\r\nDelivered-To: b@example.edu\r\nReturn-Path: <>\r\n\
            Delivered-To: a@example.edu\r\nReceived: x\r\nDelivered-To: c@example.edu\r\n\r\nDelivered-To: d@e.edu\r\n";
        let hops: Vec<String> = local_hops(message).iter().map(|address| address.as_str().to_owned()).collect();
        assert_eq!(hops, ["b@example.edu", "a@example.edu"]);
    }

    #[test]
    fn finds_a_loop() {
        let zoe = Address::parse("zoe@example.edu").unwrap();
        let trace = |to: &str, by: &str| {
            let received = format!("Received: from x ([192.0.2.1])\r\n\tby {by} with SMTP id 1;\r\n\tdate\r\n");
            format!("Return-Path: <>\r\nDelivered-To: {to}\r\nProvost-Verdict: tag x\r\n{received}")
        };
        let own = trace("ZOE@example.edu", "mx.example.edu (Provost)");
        let other = trace("zoe@example.edu", "old.example.edu (Postfix)");
        for (what, message, expect) in [
            ("sent again by its recipient", own.repeat(2), false),
            ("a loop", own.repeat(3), true),
            ("a loop through another server", format!("{own}{other}{own}{other}{own}"), true),
            (
                "a loop within the site",
                format!("{0}{0}{0}{own}", "Delivered-To: ann@example.edu\r\nDelivered-To: zoe@example.edu\r\n"),
                true,
            ),
            ("an earlier server", other.repeat(9), false),
            ("an earlier server's field, without a trace", "Delivered-To: zoe@example.edu\r\n".repeat(9), false),
            ("deliveries to another address", trace("ann@example.edu", "mx.example.edu (Provost)").repeat(9), false),
            ("fields in the body", format!("\r\n{}", own.repeat(9)), false),
        ] {
            assert_eq!(is_looping(message.as_bytes(), &zoe, "mx.example.edu"), expect, "{what}");
        }
    }
}
