//! Where a client sends, and under which name.

use super::tls::CertificatePolicy;

/// Which relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `host:port`.
    pub relay: String,
    /// Our name in EHLO.
    pub hostname: String,
    /// Which certificates of the relay are taken.
    pub certificates: CertificatePolicy,
}
