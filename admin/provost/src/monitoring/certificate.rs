//! Reads validity, names and fingerprint of a certificate.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// What the node needs to know of a server certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// SHA-256 of the DER form, hexadecimal with colons, as `openssl x509 -fingerprint -sha256` prints it.
    pub(crate) fingerprint: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate; `None` when it cannot be parsed (RFC 5280 §4.1) or its dates are invalid.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        Some(Self {
            fingerprint: fingerprint(der),
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
            der: der.to_vec(),
        })
    }

    /// Whether the certificate covers `name` (RFC 9525 §6.3: the names of subjectAltName, with wildcards).
    pub(crate) fn is_for(&self, name: &str) -> bool {
        let der = CertificateDer::from(self.der.as_slice());
        let Ok(name) = ServerName::try_from(name) else { return false };
        let parsed = rustls::server::ParsedCertificate::try_from(&der);
        parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
    }

    /// The DNS names of subjectAltName, for display, without control characters; `no DNS name` if there are none.
    pub(crate) fn names(&self) -> String {
        let parsed = X509Certificate::from_der(&self.der).ok();
        let names = parsed
            .as_ref()
            .and_then(|(_, parsed)| parsed.subject_alternative_name().ok()??.value.general_names.clone().into());
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(crate::output::printable(name).to_string()),
            _ => None,
        };
        let names: Vec<String> = names.iter().flatten().filter_map(dns).collect();
        if names.is_empty() { "no DNS name".to_owned() } else { names.join(", ") }
    }
}

fn fingerprint(der: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(der);
    digest.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
}
