//! The certificate and key of a node, read again when their files change.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Drain;

/// Largest certificate or key file that is read, octets: bounds the memory when a path names another file.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// Interval between checks of the files. Changed files are read once two consecutive checks find them the same, so that
/// a certificate is not read while its key is still being written. A new pair is in force two to four seconds after the
/// last change.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TlsError {
    file: String,
    reason: String,
}

fn fault(file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError { file: file.display().to_string(), reason: reason.to_string() }
}

/// Identity of a file's content: device, inode, octets, and change time of the inode (s, ns); `None` for no file.
type FileStamp = Option<(u64, u64, u64, i64, i64)>;

/// A PEM chain and its key. A configuration of [`Certificates::server_config`] uses the pair in force at each
/// handshake; open sessions keep the pair that they began with.
#[derive(Debug)]
pub struct Certificates {
    /// Paths of the chain and the key.
    files: Mutex<[PathBuf; 2]>,
    in_force: RwLock<Arc<CertifiedKey>>,
    file_stamps: Mutex<FileStamps>,
}

/// Stamps of both files, to detect a change.
#[derive(Debug)]
struct FileStamps {
    /// Stamps at the last check.
    last: [FileStamp; 2],
    /// Stamps at the last read, successful or not: a bad pair is reported once.
    read: [FileStamp; 2],
}

impl Certificates {
    /// Reads both files; an error when one is unreadable or the key does not belong to the certificate.
    pub fn open(chain: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let stamps = [stamp(chain), stamp(key)];
        let pair = read_pair(chain, key, &default_provider())?;
        Ok(Arc::new(Self {
            files: Mutex::new([chain.to_owned(), key.to_owned()]),
            in_force: RwLock::new(Arc::new(pair)),
            file_stamps: Mutex::new(FileStamps { last: stamps, read: stamps }),
        }))
    }

    /// A server configuration (TLS 1.2 and 1.3, no client certificates) that always uses the pair in force.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| fault(&self.files()[0], &e))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Ok(Arc::new(config))
    }

    /// The certificate (DER) that new handshakes present. Never `None`, because a chain without a certificate is
    /// refused.
    pub fn in_force(&self) -> Option<CertificateDer<'static>> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).cert.first().cloned()
    }

    /// Reads both files again, changed or not, and logs the outcome. A pair that cannot be used leaves the one in force
    /// unchanged.
    pub fn reload(&self) -> Result<(), TlsError> {
        let [chain, key] = self.files();
        self.reload_from(&chain, &key)
    }

    /// Like [`Certificates::reload`], from these files, which are followed from now on if they can be used.
    pub fn reload_from(&self, chain: &Path, key: &Path) -> Result<(), TlsError> {
        let (stamps, are_followed) = ([stamp(chain), stamp(key)], self.files() == [chain, key]);
        let read = read_pair(chain, key, &default_provider());
        if read.is_ok() || are_followed {
            *self.file_stamps.lock().unwrap_or_else(PoisonError::into_inner) =
                FileStamps { last: stamps, read: stamps };
        }
        let outcome = if read.is_ok() { "good" } else { "bad" };
        metrics::counter!("provost_tls_reloads_total", "outcome" => outcome).increment(1);
        match read {
            Ok(pair) => {
                *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                *self.files.lock().unwrap_or_else(PoisonError::into_inner) = [chain.to_owned(), key.to_owned()];
                tracing::info!(certificate = %chain.display(), "certificate and key reloaded");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate or key cannot be used; the old one stays in force");
                Err(error)
            }
        }
    }

    /// Reloads whenever the files have changed, until the node begins to stop (`drain`).
    pub async fn follow(self: Arc<Self>, drain: Drain) {
        loop {
            tokio::select! {
                () = drain.stopping() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let own = self.clone();
            // Files may be on a slow disk. `reload` logs its own outcome.
            _ = tokio::task::spawn_blocking(move || own.is_due().then(|| own.reload())).await;
        }
    }

    /// Checks the files: `true` when they differ from those last read and have not changed since the last check.
    fn is_due(&self) -> bool {
        let stamps = self.stamps();
        let mut file_stamps = self.file_stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let at_rest = stamps == std::mem::replace(&mut file_stamps.last, stamps);
        at_rest && stamps != file_stamps.read
    }

    fn stamps(&self) -> [FileStamp; 2] {
        self.files().map(|file| stamp(&file))
    }

    fn files(&self) -> [PathBuf; 2] {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The stamp of a file, through symbolic links: ACME clients put a new certificate in place by a link.
fn stamp(file: &Path) -> FileStamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

fn read_pair(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&read_bounded(chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| fault(chain, &e))?;
    if certificates.is_empty() {
        return Err(fault(chain, &"no certificate in the file"));
    }
    let key_der = PrivateKeyDer::from_pem_slice(&read_bounded(key)?).map_err(|e| fault(key, &e))?;
    CertifiedKey::from_der(certificates, key_der, provider)
        .map_err(|e| fault(chain, &format!("cannot be used with the key {}: {e}", key.display())))
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut octets = Vec::new();
    let opened = std::fs::File::open(file).map_err(|e| fault(file, &e))?;
    opened.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(|e| fault(file, &e))?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        return Err(fault(file, &format!("larger than {FILE_OCTETS_MAX} octets")));
    }
    Ok(octets)
}

/// Reads a PEM chain and key into a fixed server configuration; errors as for [`Certificates::open`].
pub fn server_config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    Certificates::open(chain, key)?.server_config()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_wrong_file() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no PEM here").unwrap();
        let missing = folder.path().join("missing.pem");
        for chain in [&empty, &missing] {
            let error = server_config(chain, &missing).unwrap_err().to_string();
            assert!(error.starts_with(&chain.display().to_string()), "{error}");
        }
    }

    /// Puts another file in place. Its inode differs from that of the old one, whatever the resolution of file times.
    fn replace(file: &Path, text: &str) {
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, file).unwrap();
    }

    /// Writes a new pair; returns its certificate.
    fn write_pair(folder: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        replace(&folder.join("chain.pem"), &made.cert.pem());
        replace(&folder.join("key.pem"), &made.signing_key.serialize_pem());
        made.cert.der().clone()
    }

    fn in_force(certificates: &Certificates) -> CertificateDer<'static> {
        certificates.in_force().unwrap()
    }

    #[test]
    fn a_change_is_due_once_it_is_at_rest() {
        let folder = tempfile::tempdir().unwrap();
        let first = write_pair(folder.path());
        let certificates =
            Certificates::open(&folder.path().join("chain.pem"), &folder.path().join("key.pem")).unwrap();
        assert!(!certificates.is_due(), "due without a change");
        let second = write_pair(folder.path());
        assert!(!certificates.is_due(), "due while the pair may still be incomplete");
        assert!(certificates.is_due());
        assert_eq!(in_force(&certificates), first);
        certificates.reload().unwrap();
        assert_eq!(in_force(&certificates), second);
        assert!(!certificates.is_due());
    }

    #[test]
    fn a_pair_that_cannot_be_used_is_reported_once_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let first = write_pair(folder.path());
        let certificates = Certificates::open(&chain, &key).unwrap();
        let others_key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let much = " ".repeat(FILE_OCTETS_MAX as usize + 1);
        for (file, text) in [(&key, others_key.as_str()), (&chain, "half a certificate"), (&key, much.as_str())] {
            replace(file, text);
            assert!(!certificates.is_due());
            assert!(certificates.is_due());
            let error = certificates.reload().unwrap_err().to_string();
            assert!([&chain, &key].iter().any(|file| error.starts_with(&file.display().to_string())), "{error}");
            assert_eq!(error.contains("cannot be used with the key"), text == others_key, "{error}");
            assert!(!certificates.is_due(), "the same bad pair is reported again");
            assert_eq!(in_force(&certificates), first);
        }
        std::fs::remove_file(&key).unwrap();
        certificates.reload().unwrap_err();
        assert_eq!(in_force(&certificates), first);
    }
}
