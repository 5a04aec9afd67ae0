//! Hashes with a configurable cost: argon2 (RFC 9106) and PBKDF2 (RFC 8018).

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::Verification;

/// Memory of a new argon2id hash, KiB. OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
const ARGON2_MEMORY_KIB: u32 = 19_456;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;
const ARGON2_OUTPUT_OCTETS: usize = 32;

/// Maximum cost of a stored value, because any person may have written it: memory in KiB (256 MiB), passes, lanes.
const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 8;

/// Rounds of a new PBKDF2-SHA256 hash. OWASP Password Storage Cheat Sheet, 2023.
const PBKDF2_ROUNDS: u32 = 600_000;
/// Maximum number of rounds of a stored value: one or two seconds.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;

/// Bounds of the salt and the output in a stored value, octets. The argon2 crate accepts no salt shorter than 8.
const SALT_OCTETS_MAX: usize = 64;
const ARGON2_SALT_OCTETS_MIN: usize = 8;
const ARGON2_OUTPUT_OCTETS_MIN: usize = 16;
const ARGON2_OUTPUT_OCTETS_MAX: usize = 64;

/// Base64 that is written without padding and read with or without it.
const UNPADDED: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// The base64 of PHC strings.
const PHC: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, UNPADDED);

/// The "adapted base64" of passlib and OpenLDAP's pw-pbkdf2, with `.` for `+`.
const ADAPTED: GeneralPurpose = GeneralPurpose::new(
    &match alphabet::Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./") {
        Ok(alphabet) => alphabet,
        Err(_) => alphabet::STANDARD,
    },
    UNPADDED,
);

/// Hashes a password with argon2id; returns the PHC string. `None` only when our constants are invalid or
/// the salt is too short.
pub(crate) fn argon2_hash(password: &[u8], salt: &[u8]) -> Option<String> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None).ok()?;
    let mut output = [0; ARGON2_OUTPUT_OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut output).ok()?;
    let (salt, output) = (PHC.encode(salt), PHC.encode(output));
    Some(format!("$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_LANES}${salt}${output}"))
}

/// Verifies a password against a PHC string of argon2d, argon2i (the default of OpenLDAP's module) or argon2id.
pub(crate) fn argon2_verify(password: &[u8], value: &str) -> Verification {
    let Some(stored) = Argon2Value::parse(value) else { return Verification::Unsupported };
    let mut output = vec![0; stored.output.len()];
    match stored.argon2.hash_password_into(password, &stored.salt, &mut output) {
        Ok(()) => Verification::from(output.ct_eq(&stored.output)),
        Err(_) => Verification::Unsupported,
    }
}

/// A stored argon2 value whose costs are within our bounds.
struct Argon2Value {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Argon2Value {
    /// Parses `$argon2id$v=19$m=65536,t=2,p=1$salt$output`; without `v=` the version is 16.
    fn parse(value: &str) -> Option<Self> {
        let mut fields = value.strip_prefix('$')?.split('$');
        let algorithm = Algorithm::try_from(fields.next()?).ok()?;
        let mut field = fields.next()?;
        let mut version = Version::V0x10;
        if let Some(number) = field.strip_prefix("v=") {
            version = Version::try_from(number.parse::<u32>().ok()?).ok()?;
            field = fields.next()?;
        }
        let (memory, rest) = field.strip_prefix("m=")?.split_once(",t=")?;
        let (passes, lanes) = rest.split_once(",p=")?;
        let memory = bounded(memory, ARGON2_MEMORY_KIB_MAX)?;
        let passes = bounded(passes, ARGON2_PASSES_MAX)?;
        let lanes = bounded(lanes, ARGON2_LANES_MAX)?;
        let salt = decode(&PHC, fields.next()?, ARGON2_SALT_OCTETS_MIN, SALT_OCTETS_MAX)?;
        let output = decode(&PHC, fields.next()?, ARGON2_OUTPUT_OCTETS_MIN, ARGON2_OUTPUT_OCTETS_MAX)?;
        if fields.next().is_some() {
            return None;
        }
        let params = Params::new(memory, passes, lanes, Some(output.len())).ok()?;
        Some(Self { argon2: Argon2::new(algorithm, version, params), salt, output })
    }
}

/// The pseudorandom function of a PBKDF2 value: HMAC with this hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prf {
    Sha1,
    Sha256,
    Sha512,
}

/// Hashes a password with PBKDF2-HMAC-SHA256; returns `rounds$salt$hash`.
pub(crate) fn pbkdf2_hash(password: &[u8], salt: &[u8]) -> String {
    let mut output = [0; 32];
    derive(Prf::Sha256, password, salt, PBKDF2_ROUNDS, &mut output);
    format!("{PBKDF2_ROUNDS}${}${}", ADAPTED.encode(salt), ADAPTED.encode(output))
}

/// Verifies a password against `rounds$salt$hash`. The hash must be as long as the output of `prf`.
pub(crate) fn pbkdf2_verify(prf: Prf, password: &[u8], value: &str) -> Verification {
    let octets = match prf {
        Prf::Sha1 => 20,
        Prf::Sha256 => 32,
        Prf::Sha512 => 64,
    };
    let parsed = || {
        let (rounds, rest) = value.split_once('$')?;
        let (salt, expected) = rest.split_once('$')?;
        let rounds = bounded(rounds, PBKDF2_ROUNDS_MAX)?;
        Some((rounds, decode(&ADAPTED, salt, 1, SALT_OCTETS_MAX)?, decode(&ADAPTED, expected, octets, octets)?))
    };
    let Some((rounds, salt, expected)) = parsed() else { return Verification::Unsupported };
    let mut output = vec![0; octets];
    derive(prf, password, &salt, rounds, &mut output);
    Verification::from(output.ct_eq(&expected))
}

fn derive(prf: Prf, password: &[u8], salt: &[u8], rounds: u32, output: &mut [u8]) {
    match prf {
        Prf::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, output),
        Prf::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, output),
        Prf::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, output),
    }
}

/// Parses a decimal number from one to `most`.
fn bounded(text: &str, most: u32) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=most).contains(number))
}

fn decode(engine: &GeneralPurpose, text: &str, least: usize, most: usize) -> Option<Vec<u8>> {
    engine.decode(text).ok().filter(|value| (least..=most).contains(&value.len()))
}
