//! `userPassword` values: `{ARGON2}$argon2id$...`, `{SSHA}`, `{CRYPT}$6$...`, `{PBKDF2-SHA256}`.

use crate::Secret;

/// How a new password is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scheme {
    /// `{ARGON2}` + PHC string, as OpenLDAP's argon2 module writes it.
    #[default]
    Argon2,
    /// `{PBKDF2-SHA256}rounds$salt$hash`, as OpenLDAP's pw-pbkdf2 writes it.
    Pbkdf2Sha256,
    /// `{SSHA}`: salted SHA-1, for servers that know nothing better.
    Ssha,
}

/// What a comparison of a password with one stored value said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Match,
    /// It is not.
    Mismatch,
    /// The value's scheme is unknown, malformed, or its cost is beyond our bounds: nothing can be said.
    Unsupported,
}

/// Hashes a password for `userPassword`. Slow by design (tens of milliseconds): call it off the async threads.
pub fn hash(password: &Secret, scheme: Scheme) -> String {
    let _ = (password, scheme);
    todo!("H7")
}

/// Compares in constant time. Slow by design: call it off the async threads.
pub fn verify(password: &Secret, stored: &[u8]) -> Verdict {
    let _ = (password, stored);
    todo!("H7")
}
