//! Certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

/// Reads a PEM chain and key into a server configuration (TLS 1.2 and 1.3, no client certificates).
pub fn server_config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let fault = |file: &Path, reason: &dyn std::fmt::Display| TlsError {
        file: file.display().to_string(),
        reason: reason.to_string(),
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(|e| fault(chain, &e))?;
    if certificates.is_empty() {
        return Err(fault(chain, &"no certificate in the file"));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| fault(key, &e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fault(chain, &e))?
        .with_no_client_auth()
        .with_single_cert(certificates, key_der)
        .map_err(|e| fault(chain, &e))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no PEM here").unwrap();
        let missing = folder.path().join("missing.pem");
        for chain in [&empty, &missing] {
            let error = server_config(chain, &missing).unwrap_err().to_string();
            assert!(error.starts_with(&chain.display().to_string()), "{error}");
        }
    }
}
