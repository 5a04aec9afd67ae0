//! The SASL mechanism PLAIN (RFC 4616).

use crate::{Secret, TYPED_OCTETS_MAX};

/// Longest decoded PLAIN message, octets: two names of at most 255 octets (RFC 4616 §2), the password as typed, two
/// NULs.
pub const PLAIN_OCTETS_MAX: usize = 255 + 1 + 255 + 1 + TYPED_OCTETS_MAX;

/// Longest PLAIN message in base64, octets: the line that carries it needs this room. No response of LOGIN is longer.
pub const PLAIN_BASE64_OCTETS_MAX: usize = PLAIN_OCTETS_MAX.div_ceil(3) * 4;

/// Longest name in a PLAIN message, octets (RFC 4616 §2).
const NAME_OCTETS_MAX: usize = 255;

/// The content of a PLAIN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainIdentity {
    /// The identity to act as; empty means the authenticated one.
    pub authorization: String,
    /// The identity that the password proves.
    pub authentication: String,
    /// The password as it was sent.
    pub password: Secret,
}

/// The message is not `[authzid] NUL authcid NUL passwd`, not UTF-8, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SASL PLAIN message")]
pub struct PlainError;

/// Parses a decoded PLAIN message. Name and password must not be empty.
pub fn plain(message: &[u8]) -> Result<PlainIdentity, PlainError> {
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

    /// The examples of RFC 4616 §4, then each kind of malformed message.
    #[test]
    fn plain_messages() {
        let long = "n".repeat(NAME_OCTETS_MAX + 1);
        // The longest possible message: 255 + 1 + 255 + 1 + 1536 octets.
        let (name, apart) = ("n".repeat(NAME_OCTETS_MAX), "\u{3000}".repeat(PASSWORD_OCTETS_MAX));
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
            (&format!("{name}\0{name}\0{apart}"), Some((&name, &name, &apart))),
            (&format!("\0tim\0{apart}x"), None),
            (&format!("{long}\0tim\0secret"), None),
            (&format!("\0{long}\0secret"), None),
            (&format!("\0tim\0{}", "p".repeat(PASSWORD_OCTETS_MAX + 1)), None),
        ];
        for (message, expected) in table {
            let got = plain(message.as_bytes()).ok();
            let got = got.as_ref().map(|i| (&*i.authorization, &*i.authentication, i.password.reveal()));
            assert_eq!(got, *expected, "{message:?}");
        }
    }

    #[test]
    fn octets_that_are_no_utf8_are_refused() {
        assert_eq!(plain(b"\0tim\0\xff\xfe"), Err(PlainError));
    }

    proptest! {
        #[test]
        fn random_octets_never_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = plain(&message);
        }
    }
}
