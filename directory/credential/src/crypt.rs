//! `{CRYPT}` values: SHA-crypt `$5$` and `$6$` (Drepper, "Unix crypt using SHA-256 and SHA-512").

use sha_crypt::{PasswordVerifier, ShaCrypt, password_hash::Error};

use crate::Verification;

/// Maximum number of rounds that a stored value may demand: about a second. SHA-crypt's own limit is 999,999,999.
const ROUNDS_MAX: u32 = 1_000_000;
/// Minimum number of rounds: SHA-crypt's own limit.
const ROUNDS_MIN: u32 = 1_000;
/// Longest value accepted, octets: identifier (3), rounds (15), salt and `$` (17) and digest (86) take at most 121.
const VALUE_OCTETS_MAX: usize = 128;

/// Verifies a password against a crypt(3) value.
///
/// DES crypt and `$1$` are broken; `$2b$` and `$y$` would need crates that nothing else needs. All of them are
/// unsupported: the login binds to the directory server instead, which may know them.
pub(crate) fn verify(password: &[u8], value: &str) -> Verification {
    let Some(rest) = value.strip_prefix("$5$").or_else(|| value.strip_prefix("$6$")) else {
        return Verification::Unsupported;
    };
    if value.len() > VALUE_OCTETS_MAX || !rounds_are_bounded(rest) {
        return Verification::Unsupported;
    }
    match ShaCrypt::SHA512.verify_password(password, value) {
        Ok(()) => Verification::Match,
        Err(Error::PasswordInvalid) => Verification::Mismatch,
        Err(_) => Verification::Unsupported,
    }
}

/// Whether `rounds=` is absent or within the bounds. The sha-crypt crate reads a malformed `rounds=` as the salt.
fn rounds_are_bounded(rest: &str) -> bool {
    match rest.strip_prefix("rounds=") {
        None => true,
        Some(rounds) => rounds
            .split_once('$')
            .and_then(|(number, _)| number.parse::<u32>().ok())
            .is_some_and(|number| (ROUNDS_MIN..=ROUNDS_MAX).contains(&number)),
    }
}
