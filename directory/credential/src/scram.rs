//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677), in the form of RFC 5803.
//!
//! A verifier lets a server check a login without the password and without a hash that costs memory. It must end with
//! the password that it was made from. Other programs can replace `userPassword` and know nothing of verifiers, so each
//! verifier is bound to the `userPassword` value that was stored with it: its salt is a digest of that value. A verifier
//! whose salt fits none of the present values is of an earlier password and proves nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pbkdf2::hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Secret, opaque_string};

/// Name of the mechanism, which begins each stored value (RFC 5803 §2).
const MECHANISM: &str = "SCRAM-SHA-256";
/// Smallest iteration count (RFC 7677 §4).
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;
/// Largest iteration count, of a stored value and of the policy: about a second. The client computes as many rounds at
/// each login.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;
/// Octets of a salt: the first of a SHA-256 digest.
const SALT_OCTETS: usize = 24;
/// Longest salt of a stored value, octets.
const SALT_OCTETS_MAX: usize = 64;
/// Longest stored value, octets.
const VALUE_OCTETS_MAX: usize = 512;
/// Separates this digest from every other use of SHA-256 on a `userPassword` value.
const BINDING: &[u8] = b"provost scram salt 1\0";

/// Octets of the keys, of a proof and of a signature.
const KEY_OCTETS: usize = 32;

/// What a server stores to check SCRAM-SHA-256 logins (RFC 5802 §3). `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; KEY_OCTETS],
    server_key: [u8; KEY_OCTETS],
}

impl ScramVerifier {
    /// Makes the verifier of a password that is stored as `user_password`, a salted hash. Takes about a millisecond for
    /// 4096 iterations: call it off the async threads.
    ///
    /// The salt reaches everyone who begins a login. It helps no guess: testing one would take the random salt within
    /// `user_password` as well.
    pub fn bound_to(user_password: &[u8], password: &Secret, iterations: u32) -> Self {
        Self::new(password, binding(user_password).to_vec(), iterations)
    }

    /// Parses `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803 §2, RFC 7677 §3). `None` for another
    /// mechanism, a malformed value, and a cost beyond our bounds.
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > VALUE_OCTETS_MAX {
            return None;
        }
        let mut fields = value.split('$');
        let (mechanism, cost, keys) = (fields.next()?.trim(), fields.next()?, fields.next()?);
        if fields.next().is_some() || !mechanism.eq_ignore_ascii_case(MECHANISM) {
            return None;
        }
        let (iterations, salt) = cost.split_once(':')?;
        let iterations =
            iterations.parse().ok().filter(|n| (SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(n))?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| (1..=SALT_OCTETS_MAX).contains(&salt.len()))?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        Some(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// Whether the verifier was made together with this `userPassword` value. A verifier that belongs to no present
    /// value must not be used: the password was changed since by other means.
    pub fn is_bound_to(&self, user_password: &[u8]) -> bool {
        self.salt.ct_eq(&binding(user_password)).into()
    }

    /// The iteration count, for the server-first-message.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt, for the server-first-message.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Checks the proof of a client-final-message; `auth_message` is the AuthMessage of RFC 5802 §3. Returns the
    /// ServerSignature for the answer, `None` when the proof is wrong.
    pub fn verify(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; KEY_OCTETS]> {
        let proof: &[u8; KEY_OCTETS] = proof.try_into().ok()?;
        let signature = hmac(&self.stored_key, auth_message);
        let client_key: [u8; KEY_OCTETS] =
            std::array::from_fn(|i| proof.get(i).unwrap_or(&0) ^ signature.get(i).unwrap_or(&0));
        let stored: [u8; KEY_OCTETS] = Sha256::digest(client_key).into();
        bool::from(stored.ct_eq(&self.stored_key)).then(|| hmac(&self.server_key, auth_message))
    }

    /// RFC 5802 §3. The password is prepared as for every other hash here ([`opaque_string`]), which differs from the
    /// SASLprep of RFC 5802 only in compatibility characters.
    fn new(password: &Secret, salt: Vec<u8>, iterations: u32) -> Self {
        let mut salted = [0; KEY_OCTETS];
        let prepared = opaque_string(password.reveal());
        pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), &salt, iterations, &mut salted);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        Self { iterations, stored_key, server_key: hmac(&salted, b"Server Key"), salt }
    }
}

impl fmt::Display for ScramVerifier {
    /// The stored form (RFC 5803 §2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |octets: &[u8]| STANDARD.encode(octets);
        let (salt, stored, server) = (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The salt of a verifier that belongs to a `userPassword` value.
fn binding(user_password: &[u8]) -> [u8; SALT_OCTETS] {
    let digest: [u8; KEY_OCTETS] = Sha256::new().chain_update(BINDING).chain_update(user_password).finalize().into();
    std::array::from_fn(|i| digest.get(i).copied().unwrap_or(0))
}

fn hmac(key: &[u8; KEY_OCTETS], message: &[u8]) -> [u8; KEY_OCTETS] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message).finalize().into_bytes().into(),
        // HMAC takes keys of any length, so this does not occur. Random octets then match nothing.
        Err(_) => rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PasswordPolicy, Scheme};

    /// RFC 7677 §3: user `user`, password `pencil`.
    const AUTH_MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    /// RFC 7677 §3, as stored by other software.
    const STORED: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn the_example_of_rfc_7677_is_verified() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::new(&Secret::new("pencil"), salt, 4096);
        assert_eq!(verifier.to_string(), STORED);
        assert_eq!(ScramVerifier::parse(STORED).as_ref(), Some(&verifier));
        let proof = STANDARD.decode(PROOF).unwrap();
        let signature = verifier.verify(AUTH_MESSAGE.as_bytes(), &proof).unwrap();
        assert_eq!(STANDARD.encode(signature), SIGNATURE);
    }

    #[test]
    fn wrong_proofs_are_refused() {
        let verifier = ScramVerifier::parse(STORED).unwrap();
        let good = STANDARD.decode(PROOF).unwrap();
        for at in 0..good.len() {
            let mut wrong = good.clone();
            wrong[at] ^= 1;
            assert_eq!(verifier.verify(AUTH_MESSAGE.as_bytes(), &wrong), None, "octet {at}");
        }
        for (message, proof) in [("", &good[..]), (AUTH_MESSAGE, &good[..31]), (AUTH_MESSAGE, &[][..])] {
            assert_eq!(verifier.verify(message.as_bytes(), proof), None);
        }
    }

    #[test]
    fn other_mechanisms_malformed_values_and_costs_out_of_bounds_are_refused() {
        let change = |from: &str, to: &str| STORED.replace(from, to);
        for value in [
            String::new(),
            change("SHA-256", "SHA-1"),
            change("4096:", "4095:"),
            change("4096:", "1000001:"),
            change("4096:", "-1:"),
            change("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            change("W22ZaJ0SNY7soEsUEjb6gQ==", "*"),
            change("WG5d", ""),
            change(":wf", "wf"),
            format!("{STORED}$"),
            format!("{STORED}{}", "A".repeat(1000)),
        ] {
            assert_eq!(ScramVerifier::parse(&value), None, "{value}");
        }
        assert!(ScramVerifier::parse(&change("SCRAM", "scram")).is_some());
    }

    #[test]
    fn a_verifier_belongs_to_the_stored_password_that_it_was_made_with() {
        let policy = PasswordPolicy { scheme: Scheme::Ssha, ..PasswordPolicy::default() };
        let (first, second) = (policy.hash(&Secret::new("pencil")), policy.hash(&Secret::new("pencil")));
        let verifier = ScramVerifier::parse(first.scram.as_deref().unwrap()).unwrap();
        assert!(verifier.is_bound_to(first.user_password.as_bytes()));
        assert!(!verifier.is_bound_to(second.user_password.as_bytes()), "another hash, even of the same password");
        assert!(!verifier.is_bound_to(b""));
        assert_ne!(first.scram, second.scram);
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", ScramVerifier::parse(STORED).unwrap());
        assert_eq!(text, "ScramVerifier { iterations: 4096, .. }");
    }

    proptest::proptest! {
        #[test]
        fn random_values_never_panic(value in "(SCRAM-SHA-256)?[$:0-9A-Za-z+/=]{0,80}", proof in proptest::collection::vec(0u8.., 0..40)) {
            if let Some(verifier) = ScramVerifier::parse(&value) {
                let _ = verifier.verify(b"x", &proof);
            }
        }
    }
}
