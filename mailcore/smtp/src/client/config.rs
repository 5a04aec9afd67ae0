//! The relay that a client sends to, and the name it greets with.

use super::tls::CertificatePolicy;

/// The relay of a client.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Address of the relay, `host:port`.
    pub relay: String,
    /// Host name that is sent in EHLO.
    pub hostname: String,
    /// Which certificates of the relay are accepted.
    pub certificates: CertificatePolicy,
}
