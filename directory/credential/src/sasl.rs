//! The SASL mechanism PLAIN (RFC 4616).

use crate::{Secret, TYPED_OCTETS_MAX};

/// Longest decoded PLAIN message, octets: two names and the password as typed, separated by NULs.
pub const PLAIN_OCTETS_MAX: usize = NAME_OCTETS_MAX + 1 + NAME_OCTETS_MAX + 1 + TYPED_OCTETS_MAX;

/// Longest PLAIN message in base64, octets. A valid response of the mechanism LOGIN, one name or one password, is
/// shorter.
pub const PLAIN_BASE64_OCTETS_MAX: usize = PLAIN_OCTETS_MAX.div_ceil(3) * 4;

/// Longest name accepted in a PLAIN message, octets. RFC 4616 §2 asks for at least 255.
const NAME_OCTETS_MAX: usize = 255;

/// The content of a PLAIN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainIdentity {
    /// The identity to act as; empty when it is the authentication identity.
    pub authorization: String,
    /// The identity that the password proves.
    pub authentication: String,
    /// The password as it was sent.
    pub password: Secret,
}

/// The message is not `[authzid] NUL authcid NUL passwd`, is not UTF-8, or has a name that is too long or a password
/// that is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SASL PLAIN message")]
pub struct PlainError;

/// Parses a decoded PLAIN message. `authcid` must not be empty, and `passwd` must be usable ([`Secret::is_usable`]).
pub fn parse_plain(message: &[u8]) -> Result<PlainIdentity, PlainError> {
    if message.len() > PLAIN_OCTETS_MAX {
        return Err(PlainError);
    }
    let text = std::str::from_utf8(message).map_err(|_| PlainError)?;
    let (authorization, rest) = text.split_once('\0').ok_or(PlainError)?;
    let (authentication, password) = rest.split_once('\0').ok_or(PlainError)?;
    let password = Secret::new(password);
    // A third NUL would be part of the password, which `is_usable` refuses.
    if authentication.is_empty() || !password.is_usable() {
        return Err(PlainError);
    }
    if authorization.len() > NAME_OCTETS_MAX || authentication.len() > NAME_OCTETS_MAX {
        return Err(PlainError);
    }
    Ok(PlainIdentity { authorization: authorization.into(), authentication: authentication.into(), password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PASSWORD_OCTETS_MAX;
    use proptest::prelude::*;

    /// The examples of RFC 4616 §4, other valid messages, and each kind of malformed message.
    #[test]
    fn plain_messages() {
        let long = "n".repeat(NAME_OCTETS_MAX + 1);
        // The parts of the longest message accepted: 255 + 1 + 255 + 1 + 1536 octets.
        let (name, spaces) = ("n".repeat(NAME_OCTETS_MAX), "\u{3000}".repeat(PASSWORD_OCTETS_MAX));
        type Parts<'a> = (&'a str, &'a str, &'a str);
        let table: &[(&str, Option<Parts<'_>>)] = &[
            ("\0tim\0tanstaaftanstaaf", Some(("", "tim", "tanstaaftanstaaf"))),
            ("Ursel\0Kurt\0xipj3plmq", Some(("Ursel", "Kurt", "xipj3plmq"))),
            ("\0zoé@example.edu\0Été 2026", Some(("", "zoé@example.edu", "Été 2026"))),
            ("", None),
            ("tim", None),
            ("\0tim", None),
            ("\0\0secret", None),
            ("\0tim\0", None),
            ("\0tim\0sec\0ret", None),
            (&format!("{name}\0{name}\0{spaces}"), Some((&name, &name, &spaces))),
            (&format!("\0tim\0{spaces}x"), None),
            (&format!("{long}\0tim\0secret"), None),
            (&format!("\0{long}\0secret"), None),
            (&format!("\0tim\0{}", "p".repeat(PASSWORD_OCTETS_MAX + 1)), None),
        ];
        for (message, expected) in table {
            let got = parse_plain(message.as_bytes()).ok();
            let got = got.as_ref().map(|i| (&*i.authorization, &*i.authentication, i.password.reveal()));
            assert_eq!(got, *expected, "{message:?}");
        }
    }

    #[test]
    fn a_message_that_is_not_utf8_is_refused() {
        assert_eq!(parse_plain(b"\0tim\0\xff\xfe"), Err(PlainError));
    }

    proptest! {
        #[test]
        fn random_octets_never_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_plain(&message);
        }
    }
}
