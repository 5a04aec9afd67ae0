//! The TLS configuration. The default of the `ldap3` crate is not used: it trusts no certificate at all when one system
//! certificate is unreadable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The certificate bundles of Debian, Fedora, SUSE and Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A configuration that trusts the certificates of `ca_file`, or those of the first system bundle found. `Err` names
/// the file that is unreadable or has no usable certificate, or says that no bundle was found.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let system = || SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let file = ca_file.map(Path::to_path_buf).or_else(system).ok_or("no CA certificates found: set ca_file")?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // One unreadable certificate must not disable the others.
    for certificate in certificates.flatten() {
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, file = %file.display(), "an unusable certificate is ignored");
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
    fn a_file_without_a_certificate_is_refused() {
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
