//! Stored values made by other software, test vectors of standards, and values that are refused without hashing.

use proptest::prelude::*;
use provost_credential::{Secret, Verification, verify};

const PASSWORD: &str = "Élan vital 7";

/// A tool or a rule, and a stored value for [`PASSWORD`] that the tool made or the rule allows.
const VALUES_OF_PASSWORD: &[(&str, &str)] = &[
    ("slappasswd 2.5.13 -h {SSHA}", "{SSHA}aEheIjCgnyExQu5bOvZAaQ9EzWixu5YS"),
    ("slappasswd 2.5.13 -h {SHA}", "{SHA}Zie+k5UOtCZYww+cQiiZbNjpnsU="),
    (
        "slappasswd 2.5.13, argon2 module",
        "{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$0Pxqff2owyCJsT2TPFCoxQ$/kFCQTX+jDZ1kmydJjLbAvvIG+Q+16/GNzyKVnGAgsg",
    ),
    (
        "doveadm pw -s ARGON2ID, Dovecot 2.3",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$+ySZ8V/gnbqq5NUZchas/Q$L7WXMRbkW2w3QwStdavWQ4c8OJtZcth4VelEfK548tQ",
    ),
    ("slappasswd 2.5.13, pw-pbkdf2", "{PBKDF2}10000$RzkX5Hnz5uV9iwgZGwWsRQ$aVXrqYqbWFEqDW33wtmEayOHOAo"),
    ("slappasswd 2.5.13, pw-pbkdf2", "{PBKDF2-SHA1}10000$sqEw7o/UWESVwQEjRbXgjg$VoIgQH58bxta8GFEmR0WNgpSwk4"),
    (
        "slappasswd 2.5.13, pw-pbkdf2",
        "{PBKDF2-SHA256}10000$1bG5QNCTx3FKGqIkSy2B.Q$9qXkw/ABaS0EtiYKZZ6K/JO9He3HR1m0kxn2nnqSYMw",
    ),
    (
        "slappasswd 2.5.13, pw-pbkdf2",
        "{PBKDF2-SHA512}10000$d7cMxaX2OZoN/pWG4lCMKw$\
         wS9jg/FXJ3Z6r1CGeMy2Ht8xdoptKZOm/rzrrs2UAJZh7zLz9GkAFs/269TT05G3o6xj9WcEr6oWTyjyi2SjNw",
    ),
    (
        "slappasswd 2.5.13 -h {CRYPT} -c $6$%.16s",
        "{CRYPT}$6$CN4as2uBSnPqIww7$\
         PRc6PiEeMTWQ8U.D2G3TmnPzu99AzkijVf/b1l.4Rppd6DkXTWV7l8CFt2938RvKvhUlWeI3bn8I/BD2RMamE.",
    ),
    (
        "slappasswd 2.5.13 -h {CRYPT} -c $5$rounds=6000$%.16s",
        "{CRYPT}$5$rounds=6000$l4mOphOV1IG5qXS4$erP6ErwWuwulbBiii0KjP/N8gfuBhAQnSWCWJFgXRD1",
    ),
    ("slappasswd 2.5.13, pw-sha2", "{SHA256}C5ZVCG7TvbfP+rQS3AUWq2GdKz3BXaKp3oa7aczITZU="),
    ("slappasswd 2.5.13, pw-sha2", "{SSHA256}Y75hH/Hb0Ml5niVKoHUUOXd/Aj4pMOQvTFY8/DiECoX4pQx5tWfW3Q=="),
    (
        "slappasswd 2.5.13, pw-sha2",
        "{SHA512}qAL7w30UCuLvu2iT+mUTP0/BA05zL3sYa01PJfIIFDHnjrJ/9oFcUyHt1zcVaib5LmCY8KGpUnoG6rbScquGgQ==",
    ),
    (
        "slappasswd 2.5.13, pw-sha2",
        "{SSHA512}fRdjY6ByMOEvp+gRGZR512s8VL8jQ2JYBhoQrZO8DecHPJYYj15ylXDZWWKuRhLiwpmCMNBlzSbGuIpdkOlA5OWeGvMumtX5",
    ),
    ("doveadm pw -s SSHA256, 4 octets of salt", "{SSHA256}374lTRuAVQP1ZIbl36fWxmRDEbp23AKIoLOAfE37oskHw9+H"),
    ("RFC 2307 §5.3: a scheme in any case", "{ssha}aEheIjCgnyExQu5bOvZAaQ9EzWixu5YS"),
    ("no scheme: a clear password, as in slapd", "Élan vital 7"),
    ("slapd's name for clear", "{CLEARTEXT}Élan vital 7"),
];

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[test]
fn only_the_right_password_matches_values_of_other_software() {
    for (source, stored) in VALUES_OF_PASSWORD {
        assert_eq!(verify(&secret(PASSWORD), stored.as_bytes()), Verification::Match, "{source}: {stored}");
        assert_eq!(verify(&secret("Élan vital 8"), stored.as_bytes()), Verification::Mismatch, "{source}: {stored}");
    }
}

#[test]
fn test_vectors_of_standards_match() {
    let table: &[(&str, &str, &str)] = &[
        // Drepper's SHA-crypt.txt, the first test of each hash function; `openssl passwd` gives the same.
        ("Hello world!", "{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA-crypt specification"),
        (
            "Hello world!",
            "{CRYPT}$6$saltstring$\
             svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "SHA-crypt specification",
        ),
        // RFC 6070: PBKDF2-HMAC-SHA1, "password", "salt", 1 and 4096 rounds.
        ("password", "{PBKDF2}1$c2FsdA$DGDID5YfDnHzqbUkr2ASBi/gN6Y", "RFC 6070"),
        ("password", "{PBKDF2}4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE", "RFC 6070"),
        // FIPS 180-4 example "abc".
        ("abc", "{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "FIPS 180-4"),
        ("abc", "{SHA256}ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "FIPS 180-4"),
    ];
    for (password, stored, source) in table {
        assert_eq!(verify(&secret(password), stored.as_bytes()), Verification::Match, "{source}: {stored}");
    }
}

#[test]
fn unknown_malformed_and_costly_values_are_unsupported() {
    let salt_and_output = "0Pxqff2owyCJsT2TPFCoxQ$/kFCQTX+jDZ1kmydJjLbAvvIG+Q+16/GNzyKVnGAgsg";
    let argon2 = |costs: &str| format!("{{ARGON2}}$argon2id$v=19${costs}${salt_and_output}");
    let table = [
        argon2("m=262145,t=1,p=1"),
        argon2("m=4294967295,t=1,p=1"),
        argon2("m=4096,t=17,p=1"),
        argon2("m=4096,t=1,p=9"),
        argon2("m=4096,t=0,p=1"),
        argon2("m=1,t=1,p=1"),
        argon2("t=1,m=4096,p=1"),
        format!("{{ARGON2}}$argon2x$v=19$m=4096,t=1,p=1${salt_and_output}"),
        format!("{{ARGON2}}$argon2id$v=20$m=4096,t=1,p=1${salt_and_output}"),
        format!("{{ARGON2}}$argon2id$v=19$m=4096,t=1,p=1${salt_and_output}$more"),
        "{ARGON2}$argon2id$v=19$m=4096,t=1,p=1$0Pxqff2owyCJsT2TPFCoxQ".into(),
        "{ARGON2}$argon2id$v=19$m=4096,t=1,p=1$c2FsdA$/kFCQTX+jDZ1kmydJjLbAvvIG+Q+16/GNzyKVnGAgsg".into(),
        "{ARGON2}$argon2id$v=19$m=4096,t=1,p=1$0Pxqff2owyCJsT2TPFCoxQ$AAAA".into(),
        "{ARGON2}".into(),
        "{PBKDF2-SHA256}2000001$1bG5QNCTx3FKGqIkSy2B.Q$9qXkw/ABaS0EtiYKZZ6K/JO9He3HR1m0kxn2nnqSYMw".into(),
        "{PBKDF2-SHA256}0$1bG5QNCTx3FKGqIkSy2B.Q$9qXkw/ABaS0EtiYKZZ6K/JO9He3HR1m0kxn2nnqSYMw".into(),
        "{PBKDF2-SHA256}1000$1bG5QNCTx3FKGqIkSy2B.Q$AAAA".into(),
        "{PBKDF2-SHA256}1000$$9qXkw/ABaS0EtiYKZZ6K/JO9He3HR1m0kxn2nnqSYMw".into(),
        "{PBKDF2-SHA256}1000".into(),
        "{CRYPT}$5$rounds=1000001$l4mOphOV1IG5qXS4$erP6ErwWuwulbBiii0KjP/N8gfuBhAQnSWCWJFgXRD1".into(),
        "{CRYPT}$5$rounds=999$l4mOphOV1IG5qXS4$erP6ErwWuwulbBiii0KjP/N8gfuBhAQnSWCWJFgXRD1".into(),
        "{CRYPT}$5$rounds=many$l4mOphOV1IG5qXS4$erP6ErwWuwulbBiii0KjP/N8gfuBhAQnSWCWJFgXRD1".into(),
        "{CRYPT}$5$".into(),
        format!("{{CRYPT}}$6${}$x", "s".repeat(200)),
        "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7".into(),
        "{CRYPT}$2b$12$LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/LewY5GyYqYXbZ9Qxe".into(),
        "{CRYPT}$1$abcdefgh$G//4keteveJp0qb8z2DxG/".into(),
        "{CRYPT}ab01FAX.bQRSU".into(),
        "{SSHA}not base64".into(),
        "{SSHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=".into(),
        "{SHA}aEheIjCgnyExQu5bOvZAaQ9EzWixu5YS".into(),
        "{SSHA}AAAA".into(),
        "{SASL}user@REALM".into(),
        "{MD5}kAFQmDzST7DWlj99KOF/cg==".into(),
        format!("{{{}}}x", "S".repeat(100_000)),
    ];
    for stored in table {
        let stored = stored.as_str();
        let excerpt: String = stored.chars().take(120).collect();
        assert_eq!(verify(&secret(PASSWORD), stored.as_bytes()), Verification::Unsupported, "{excerpt}");
    }
}

/// RFC 4513 §5.1.2: an empty password proves nothing, even against an empty value. A password of more than
/// 512 octets is refused, even if the stored value is equal.
#[test]
fn empty_and_too_long_passwords_never_match() {
    assert_eq!(verify(&secret(""), b""), Verification::Mismatch);
    assert_eq!(verify(&secret(""), b"{CLEARTEXT}"), Verification::Mismatch);
    let long = "p".repeat(513);
    assert_eq!(verify(&secret(&long), long.as_bytes()), Verification::Mismatch);
}

#[test]
fn a_clear_value_that_is_not_utf8_matches_no_password() {
    assert_eq!(verify(&secret("x"), b"\xff\xfe"), Verification::Mismatch);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_values_never_panic(
        scheme in "(ARGON2|PBKDF2|PBKDF2-SHA256|SSHA|SHA512|CRYPT|[A-Z]{0,4})",
        value in "[$.,/=a-z0-9éA-Z]{0,60}",
    ) {
        let _ = verify(&secret("x"), format!("{{{scheme}}}{value}").as_bytes());
    }

    #[test]
    fn costs_beyond_the_bounds_are_unsupported(memory in any::<u32>(), passes in any::<u32>(), rounds in 2_000_001u32..) {
        let stored = format!("{{ARGON2}}$argon2id$v=19$m={memory},t={},p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", passes | 32);
        prop_assert_eq!(verify(&secret("x"), stored.as_bytes()), Verification::Unsupported);
        let stored = format!("{{PBKDF2}}{rounds}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA");
        prop_assert_eq!(verify(&secret("x"), stored.as_bytes()), Verification::Unsupported);
    }
}
