//! The trace fields of final delivery: Return-Path (RFC 5321 §4.4) and Delivered-To (RFC 9228).

use bytes::{BufMut, Bytes, BytesMut};
use provost_message::{Address, Headers, Path};

/// Room for the two fields around their paths.
const FIELD_OCTETS: usize = 64;

/// The message as this recipient gets it: the one copy of the body that delivery makes.
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

/// Whether the message was delivered to this address already: it is going round in circles.
pub(crate) fn has_come_before(message: &[u8], recipient: &Address) -> bool {
    Headers::of(message).all("Delivered-To").any(|field| field.value().eq_ignore_ascii_case(recipient.as_str()))
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
    fn sees_a_loop() {
        let zoe = Address::parse("zoe@example.edu").unwrap();
        assert!(has_come_before(b"A: b\r\ndelivered-to:  ZOE@example.edu\r\n\r\n", &zoe));
        assert!(!has_come_before(b"Delivered-To: ann@example.edu\r\n\r\nDelivered-To: zoe@example.edu\r\n", &zoe));
    }
}
