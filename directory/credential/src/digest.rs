//! Plain and salted SHA values: `{SHA}`, `{SSHA}` and the SHA-2 forms of OpenLDAP's pw-sha2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::Verification;

/// Longest salt after a digest, octets. OpenLDAP writes 4 or 8, 389-DS 8, Dovecot 4.
const SALT_OCTETS_MAX: usize = 64;

/// The hash function of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShaDigest {
    Sha1,
    Sha256,
    Sha512,
}

/// Whether a salt follows the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salt {
    Absent,
    Present,
}

/// Returns what follows `{SSHA}` in a value. It is base64 of a digest followed by the salt; the digest is SHA-1 of the
/// password followed by the salt.
pub(crate) fn salted_sha1(password: &[u8], salt: &[u8]) -> String {
    let mut value = digest(ShaDigest::Sha1, password, salt);
    value.extend_from_slice(salt);
    STANDARD.encode(value)
}

/// Verifies a password against base64 of a digest and, if one is expected, a salt. A missing or unexpected salt makes
/// the value unsupported.
pub(crate) fn verify(kind: ShaDigest, expected_salt: Salt, password: &[u8], encoded: &[u8]) -> Verification {
    let octets = match kind {
        ShaDigest::Sha1 => 20,
        ShaDigest::Sha256 => 32,
        ShaDigest::Sha512 => 64,
    };
    let Ok(value) = STANDARD.decode(encoded) else { return Verification::Unsupported };
    let Some((expected, salt)) = value.split_at_checked(octets) else { return Verification::Unsupported };
    let found_salt = if salt.is_empty() { Salt::Absent } else { Salt::Present };
    if found_salt != expected_salt || salt.len() > SALT_OCTETS_MAX {
        return Verification::Unsupported;
    }
    Verification::from(digest(kind, password, salt).ct_eq(expected))
}

fn digest(kind: ShaDigest, password: &[u8], salt: &[u8]) -> Vec<u8> {
    fn of<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
        D::new().chain_update(password).chain_update(salt).finalize().to_vec()
    }
    match kind {
        ShaDigest::Sha1 => of::<Sha1>(password, salt),
        ShaDigest::Sha256 => of::<Sha256>(password, salt),
        ShaDigest::Sha512 => of::<Sha512>(password, salt),
    }
}
