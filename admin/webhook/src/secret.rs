//! The secrets of the endpoints: one file each, outside the directory and the shared state.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::signature::SigningSecret;

/// Largest file that is read, octets.
const FILE_OCTETS_MAX: u64 = 1024;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file does not exist: the endpoint was set on another machine.
    #[error("there is no secret in {0} on this node: copy the file from the node on which the endpoint was set")]
    Missing(PathBuf),
    /// The file has no secret in it.
    #[error("{0} holds no secret: it must be 'whsec_' and 24 to 64 octets in base64")]
    Malformed(PathBuf),
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// The folder of the secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebhookSecrets(PathBuf);

impl WebhookSecrets {
    /// Secrets in a folder: `NAME.secret` for each endpoint.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The secret of an endpoint, whose name the caller has checked.
    pub fn read(&self, name: &str) -> Result<SigningSecret, SecretError> {
        let path = self.path(name);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(SecretError::Missing(path)),
            Err(error) => return Err(SecretError::File(path, error)),
        };
        let mut text = String::new();
        match file.take(FILE_OCTETS_MAX).read_to_string(&mut text) {
            Ok(_) => SigningSecret::parse(&text).ok_or(SecretError::Malformed(path)),
            Err(error) => Err(SecretError::File(path, error)),
        }
    }

    /// Makes a secret for an endpoint that has none. Returns it only when it is new.
    pub fn ensure(&self, name: &str) -> Result<Option<SigningSecret>, SecretError> {
        match self.read(name) {
            Ok(_) => return Ok(None),
            Err(SecretError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        let (path, secret) = (self.path(name), SigningSecret::generate());
        let failed = |error| SecretError::File(self.path(name), error);
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = made.map_err(failed)?;
        file.write_all(format!("{}\n", secret.reveal()).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Some(secret))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.secret"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = WebhookSecrets::new(folder.path().join("webhooks"));
        assert!(matches!(secrets.read("sis"), Err(SecretError::Missing(_))));
        let made = secrets.ensure("sis").unwrap().unwrap();
        assert!(secrets.ensure("sis").unwrap().is_none());
        assert_eq!(secrets.read("sis").unwrap(), made);
        let mode = std::fs::metadata(secrets.path("sis")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(secrets.path("sis"), "password").unwrap();
        assert!(matches!(secrets.read("sis"), Err(SecretError::Malformed(_))));
    }
}
