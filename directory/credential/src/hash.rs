//! Makes `userPassword` values in the schemes of [`Scheme`], and verifies passwords against values in these and other
//! schemes.

use subtle::{Choice, ConstantTimeEq};

use crate::cost::Prf;
use crate::digest::{Salt, ShaDigest};
use crate::{PASSWORD_OCTETS_MAX, Secret, cost, crypt, digest, opaque_string};

/// Salt of a new hash, octets. RFC 9106 §3.1 recommends 16 for password hashing.
const SALT_OCTETS: usize = 16;
/// Salt of a new `{SSHA}` value, octets, as 389-DS writes it. OpenLDAP writes 4 and reads any length.
const SSHA_SALT_OCTETS: usize = 8;
/// Number of characters that tell a known scheme from any other: `PBKDF2-SHA512`, the longest, has 13.
const SCHEME_CHARACTERS_MAX: usize = 16;

/// The scheme in which a new password is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scheme {
    /// `{ARGON2}` and a PHC string, as OpenLDAP's argon2 module writes it.
    #[default]
    Argon2,
    /// `{PBKDF2-SHA256}rounds$salt$hash`, as OpenLDAP's pw-pbkdf2 writes it.
    Pbkdf2Sha256,
    /// `{SSHA}`: salted SHA-1, for servers that support nothing better.
    Ssha,
}

/// The result of comparing a password with one stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The password matches.
    Match,
    /// The password does not match.
    Mismatch,
    /// The scheme is unknown, the value malformed, or its cost beyond our bounds: whether the password matches is
    /// unknown.
    Unsupported,
}

impl From<Choice> for Verification {
    fn from(equal: Choice) -> Self {
        if bool::from(equal) { Self::Match } else { Self::Mismatch }
    }
}

/// Hashes the [`opaque_string`] form of a password for `userPassword`. Takes tens or hundreds of milliseconds by
/// design, except with [`Scheme::Ssha`]: call it off the async threads.
///
/// Check [`Secret::is_usable`] first: an unusable password can be hashed, but no login will ever match it.
pub fn hash(password: &Secret, scheme: Scheme) -> String {
    hash_with_salt(password, scheme, rand::random())
}

/// Verifies a password; digests are compared in constant time. Slow by design: call it off the async threads.
///
/// An unusable password ([`Secret::is_usable`]) matches nothing. Hashes at most [`PASSWORD_OCTETS_MAX`] octets at once.
///
/// RFC 2307 §5.3: a value is `{scheme}value`, with the scheme in any case. A value without a scheme is a clear
/// password, as in slapd.
pub fn verify(password: &Secret, stored: &[u8]) -> Verification {
    compare_forms(password, |octets| verify_octets(octets, stored))
}

/// Compares the form of [`opaque_string`] and, on a mismatch, the password as typed: other software may have hashed the
/// password in that form.
fn compare_forms(password: &Secret, mut compare: impl FnMut(&[u8]) -> Verification) -> Verification {
    if !password.is_usable() {
        return Verification::Mismatch;
    }
    let typed = password.reveal();
    let opaque = opaque_string(typed);
    match compare(opaque.as_bytes()) {
        Verification::Mismatch if opaque != typed && typed.len() <= PASSWORD_OCTETS_MAX => compare(typed.as_bytes()),
        result => result,
    }
}

fn verify_octets(password: &[u8], stored: &[u8]) -> Verification {
    let Ok(text) = std::str::from_utf8(stored) else { return Verification::from(password.ct_eq(stored)) };
    let Some((scheme, value)) = split_scheme(text) else { return Verification::from(password.ct_eq(stored)) };
    match scheme.as_str() {
        "ARGON2" | "ARGON2I" | "ARGON2ID" => cost::argon2_verify(password, value),
        "PBKDF2" | "PBKDF2-SHA1" => cost::pbkdf2_verify(Prf::Sha1, password, value),
        "PBKDF2-SHA256" => cost::pbkdf2_verify(Prf::Sha256, password, value),
        "PBKDF2-SHA512" => cost::pbkdf2_verify(Prf::Sha512, password, value),
        "CRYPT" => crypt::verify(password, value),
        "SHA" => digest::verify(ShaDigest::Sha1, Salt::Absent, password, value.as_bytes()),
        "SSHA" => digest::verify(ShaDigest::Sha1, Salt::Present, password, value.as_bytes()),
        "SHA256" => digest::verify(ShaDigest::Sha256, Salt::Absent, password, value.as_bytes()),
        "SSHA256" => digest::verify(ShaDigest::Sha256, Salt::Present, password, value.as_bytes()),
        "SHA512" => digest::verify(ShaDigest::Sha512, Salt::Absent, password, value.as_bytes()),
        "SSHA512" => digest::verify(ShaDigest::Sha512, Salt::Present, password, value.as_bytes()),
        "CLEARTEXT" => Verification::from(password.ct_eq(value.as_bytes())),
        _ => Verification::Unsupported,
    }
}

/// Whether a `userPassword` value has the form `{scheme}value` and its scheme is not `{CLEARTEXT}`. The scheme may be
/// unknown to [`verify`].
pub fn is_hashed(stored: &[u8]) -> bool {
    std::str::from_utf8(stored)
        .ok()
        .and_then(split_scheme)
        .is_some_and(|(scheme, value)| scheme != "CLEARTEXT" && !value.is_empty())
}

/// Takes as long as a mismatch with a new argon2 value.
///
/// For a login with an unknown name: without it, the response time would reveal which names exist.
pub fn dummy_verify(password: &Secret) {
    compare_forms(password, |octets| {
        std::hint::black_box(cost::argon2_hash(octets, &[0; SALT_OCTETS]));
        Verification::Mismatch
    });
}

/// Implements [`hash`] with the random salt as an argument.
fn hash_with_salt(password: &Secret, scheme: Scheme, salt: [u8; SALT_OCTETS]) -> String {
    let opaque = opaque_string(password.reveal());
    let octets = opaque.as_bytes();
    match scheme {
        Scheme::Argon2 => match cost::argon2_hash(octets, &salt) {
            Some(value) => format!("{{ARGON2}}{value}"),
            // `None` means invalid constants, which a test excludes. No clear password is stored even then.
            None => hash_with_salt(password, Scheme::Pbkdf2Sha256, salt),
        },
        Scheme::Pbkdf2Sha256 => format!("{{PBKDF2-SHA256}}{}", cost::pbkdf2_hash(octets, &salt)),
        Scheme::Ssha => {
            let (salt, _) = salt.split_at(SSHA_SALT_OCTETS);
            format!("{{SSHA}}{}", digest::salted_sha1(octets, salt))
        }
    }
}

/// Splits `{scheme}value` and returns the scheme in capitals; `None` without a scheme. A scheme has at least one
/// character, as in slapd, so `{}x` is a clear password.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, value) = text.strip_prefix('{')?.split_once('}')?;
    if scheme.is_empty() {
        return None;
    }
    // A longer scheme is unknown, even when cut; the cut bounds the copy.
    Some((scheme.chars().take(SCHEME_CHARACTERS_MAX).map(|c| c.to_ascii_uppercase()).collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_password_does_not_count_as_hashed() {
        for hashed in ["{SSHA}x", "{argon2}$argon2id$", "{OTHER}x"] {
            assert!(is_hashed(hashed.as_bytes()), "{hashed}");
        }
        for clear in ["", "x", "{x", "{}x", "{SSHA}", "{CLEARTEXT}x", "{cleartext}x"] {
            assert!(!is_hashed(clear.as_bytes()), "{clear}");
        }
        assert!(!is_hashed(b"{SSHA}\xff"));
    }

    #[test]
    fn new_values_have_the_form_that_openldap_reads() {
        let password = Secret::new("Élan vital 7");
        for (scheme, head) in [
            (Scheme::Argon2, "{ARGON2}$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"),
            (Scheme::Pbkdf2Sha256, "{PBKDF2-SHA256}600000$AAAAAAAAAAAAAAAAAAAAAA$"),
            (Scheme::Ssha, "{SSHA}"),
        ] {
            let value = hash_with_salt(&password, scheme, [0; SALT_OCTETS]);
            assert!(value.starts_with(head), "{value}");
            assert_eq!(verify(&password, value.as_bytes()), Verification::Match);
        }
    }

    // RFC 8265 §4.2: a password that was set in one form may be typed in another.
    #[test]
    fn forms_of_one_password_match() {
        let forms = ["café café", "cafe\u{301} cafe\u{301}", "café\u{A0}café", "cafe\u{301}\u{202F}café"];
        for set in forms {
            let stored = hash(&Secret::new(set), Scheme::Ssha);
            for typed in forms {
                assert_eq!(verify(&Secret::new(typed), stored.as_bytes()), Verification::Match, "{set:?} {typed:?}");
            }
            for other in ["cafe cafe", "cafécafé", "CAFÉ CAFÉ"] {
                assert_eq!(verify(&Secret::new(other), stored.as_bytes()), Verification::Mismatch, "{set:?} {other:?}");
            }
        }
        // Hashed as typed, by other software.
        let stored = format!("{{SSHA}}{}", digest::salted_sha1("cafe\u{301} cafe\u{301}".as_bytes(), b"saltsalt"));
        assert_eq!(verify(&Secret::new("cafe\u{301} cafe\u{301}"), stored.as_bytes()), Verification::Match);
    }

    #[test]
    fn the_longest_password_matches_in_either_form() {
        let (composed, apart) = ("é".repeat(256), "e\u{301}".repeat(256));
        for set in [&composed, &apart] {
            let stored = hash(&Secret::new(set.as_str()), Scheme::Ssha);
            for typed in [&composed, &apart] {
                assert_eq!(verify(&Secret::new(typed.as_str()), stored.as_bytes()), Verification::Match);
            }
            assert_eq!(verify(&Secret::new(format!("{apart}x")), stored.as_bytes()), Verification::Mismatch);
        }
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let password = Secret::new("x");
        assert_ne!(hash(&password, Scheme::Ssha), hash(&password, Scheme::Ssha));
    }

    /// Both [`verify`] and [`dummy_verify`] hash this often, so the response time does not depend on the name.
    #[test]
    fn a_mismatch_hashes_each_form_once() {
        for (typed, hashes) in [("", 0), ("café", 1), ("cafe\u{301}", 2), (&"é".repeat(257), 0)] {
            let mut count = 0;
            let result = compare_forms(&Secret::new(typed), |_| {
                count += 1;
                Verification::Mismatch
            });
            assert_eq!((result, count), (Verification::Mismatch, hashes), "{typed:?}");
        }
    }

    #[test]
    fn a_dummy_costs_what_a_real_comparison_costs() {
        let (right, wrong) = (Secret::new("right"), Secret::new("wrong"));
        let stored = hash(&right, Scheme::Argon2);
        let fastest = |work: &dyn Fn()| {
            (0..5)
                .map(|_| {
                    let start = std::time::Instant::now();
                    work();
                    start.elapsed()
                })
                .min()
                .unwrap_or_default()
        };
        let real = fastest(&|| assert_eq!(verify(&wrong, stored.as_bytes()), Verification::Mismatch));
        let dummy = fastest(&|| dummy_verify(&wrong));
        // A wide bound, because the machine is shared: the test excludes a factor of hundreds.
        assert!(dummy * 20 > real && real * 20 > dummy, "real {real:?}, dummy {dummy:?}");
    }
}
