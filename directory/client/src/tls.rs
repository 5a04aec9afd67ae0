//! The TLS configuration, always our own: the library's default trusts nobody once one system certificate is unreadable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where distributions keep their bundle of certificates: Debian, Fedora, SUSE, Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Trusts what `ca_file` holds, or the system's bundle. `Err` says what is missing.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let system = || SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let file = ca_file.map(Path::to_path_buf).or_else(system).ok_or("no certificates to trust: name a ca_file")?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // One that cannot be read does not take the others with it.
    for certificate in certificates.flatten() {
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, file = %file.display(), "a certificate is left out");
        }
    }
    if roots.is_empty() {
        return Err(format!("{}: no usable certificate", file.display()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_missing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(client_config(Some(&file)).is_err());
        std::fs::write(&file, "no certificate").unwrap();
        assert!(client_config(Some(&file)).unwrap_err().contains("no usable certificate"));
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&file, key.cert.pem()).unwrap();
        assert!(client_config(Some(&file)).is_ok());
    }
}
