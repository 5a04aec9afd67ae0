//! Plain and salted SHA values: `{SHA}`, `{SSHA}` and the SHA-2 forms of OpenLDAP's pw-sha2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::Verdict;

/// Longest salt after a digest, octets. OpenLDAP writes 4 or 8, 389-DS 8, Dovecot 4.
const SALT_OCTETS_MAX: usize = 64;

/// The digest of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sha1,
    Sha256,
    Sha512,
}

/// Returns an `{SSHA}` value: base64 of the digest of password and salt, followed by the salt.
pub(crate) fn salted_sha1(password: &[u8], salt: &[u8]) -> String {
    let mut value = digest(Kind::Sha1, password, salt);
    value.extend_from_slice(salt);
    STANDARD.encode(value)
}

/// Compares with base64 of `digest [salt]`. `salted` says which of the two forms the scheme's name promises.
pub(crate) fn verify(kind: Kind, salted: bool, password: &[u8], encoded: &[u8]) -> Verdict {
    let octets = match kind {
        Kind::Sha1 => 20,
        Kind::Sha256 => 32,
        Kind::Sha512 => 64,
    };
    let Ok(value) = STANDARD.decode(encoded) else { return Verdict::Unsupported };
    let Some((expected, salt)) = value.split_at_checked(octets) else { return Verdict::Unsupported };
    if salt.is_empty() == salted || salt.len() > SALT_OCTETS_MAX {
        return Verdict::Unsupported;
    }
    Verdict::from(digest(kind, password, salt).ct_eq(expected))
}

fn digest(kind: Kind, password: &[u8], salt: &[u8]) -> Vec<u8> {
    fn of<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
        D::new().chain_update(password).chain_update(salt).finalize().to_vec()
    }
    match kind {
        Kind::Sha1 => of::<Sha1>(password, salt),
        Kind::Sha256 => of::<Sha256>(password, salt),
        Kind::Sha512 => of::<Sha512>(password, salt),
    }
}
