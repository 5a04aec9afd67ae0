//! Passwords: hashes as the directory holds them, and the SASL mechanisms that carry a password.
//!
//! RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN), RFC 2307 `{SCHEME}` values. No socket, no directory.

mod hash;
mod sasl;
mod secret;

pub use hash::{hash, verify, Scheme, Verdict};
pub use sasl::{plain, PlainError, PlainIdentity};
pub use secret::Secret;
