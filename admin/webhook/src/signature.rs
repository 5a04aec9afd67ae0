//! Signatures in the form of Standard Webhooks 1.0: `webhook-signature: v1,BASE64`, the HMAC-SHA256 of
//! `ID.TIMESTAMP.BODY`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;

/// Beginning of a secret in its text form.
const PREFIX: &str = "whsec_";
/// Octets of a secret: Standard Webhooks demands 24 to 64.
const OCTETS: std::ops::RangeInclusive<usize> = 24..=64;
/// Octets of a generated secret.
const OCTETS_GENERATED: usize = 32;

/// The secret of one endpoint. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}

impl SigningSecret {
    /// A new secret.
    pub fn generate() -> Self {
        let mut octets = vec![0; OCTETS_GENERATED];
        rand::rng().fill_bytes(&mut octets);
        Self(octets)
    }

    /// Reads `whsec_BASE64`; `None` for any other text, and for a secret that is too short or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let octets = STANDARD.decode(text.trim().strip_prefix(PREFIX)?).ok()?;
        OCTETS.contains(&octets.len()).then_some(Self(octets))
    }

    /// The text form, which a receiver is given.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

/// The value of `webhook-signature` for a request.
pub fn sign(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes a key of any length (RFC 2104 §2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's libraries.
    #[test]
    fn a_known_signature() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_read_back_and_not_printed() {
        let secret = SigningSecret::generate();
        assert_eq!(SigningSecret::parse(&format!("{}\n", secret.reveal())).as_ref(), Some(&secret));
        assert!(!format!("{secret:?}").contains(&secret.reveal()[6..]));
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???"] {
            assert_eq!(SigningSecret::parse(bad), None, "{bad}");
        }
    }
}
