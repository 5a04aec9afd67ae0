//! Certificates.

use std::path::Path;
use std::sync::Arc;

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

/// Reads a PEM chain and key into a server configuration (TLS 1.2 and 1.3, no client certificates).
pub fn server_config(chain: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let _ = (chain, key);
    todo!("net")
}
