//! Passwords: the `{SCHEME}` values of `userPassword` (RFC 2307 §5.3), SCRAM verifiers (RFC 5802, RFC 7677), the rules
//! for new passwords, and the SASL mechanism PLAIN (RFC 4616).
//!
//! Uses no socket and no directory. The cost that a stored value demands is bounded here, because a person who can
//! write a `userPassword` must not be able to stop a mail node with it.

mod cost;
mod crypt;
mod digest;
mod forbidden;
mod hash;
mod opaque;
mod password_change;
mod password_state;
mod policy;
mod sasl;
mod scram;
mod secret;

pub use hash::{Scheme, Verification, dummy_verify, hash, is_hashed, verify};
pub use opaque::opaque_string;
pub use password_change::{ACTIVATION, FormerPasswords, MUST_CHANGE, PasswordValues};
pub use password_state::{PasswordDue, PasswordState, StatedPassword};
pub use policy::{AboutPerson, PasswordPolicy, PasswordRule};
pub use sasl::{PLAIN_BASE64_OCTETS_MAX, PLAIN_OCTETS_MAX, PlainError, PlainIdentity, parse_plain};
pub use scram::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, ScramVerifier};
pub use secret::{PASSWORD_OCTETS_MAX, Secret, TYPED_OCTETS_MAX};
