//! The node's configuration file: identity, paths, listeners, TLS, how to reach the directory.
//!
//! Everything that nodes share is in the directory. Unknown keys are refused with their line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use provost_client::{DirectoryConfig, ServerConfig, ServerRole};
use provost_credential::Scheme;
use provost_entry::Dn;
use provost_provision::Settings;
use provost_view::{PasswordSource, ViewConfig};
use serde::Deserialize;

/// Largest configuration or secret file that is read, octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) directory: Directory,
    #[serde(default)]
    pub(crate) listeners: Listeners,
    pub(crate) tls: Option<Tls>,
    #[serde(default)]
    pub(crate) store: Store,
    #[serde(default)]
    pub(crate) queue: Queue,
    #[serde(default)]
    pub(crate) api: Api,
}

/// `[node]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Name in greetings, Received and Message-ID.
    pub(crate) hostname: String,
    /// Folder of everything that this node keeps.
    pub(crate) data: PathBuf,
}

/// `[directory]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(crate) servers: Vec<Server>,
    pub(crate) suffix: String,
    pub(crate) bind_dn: String,
    pub(crate) bind_password_file: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
    /// Domain of new addresses.
    pub(crate) domain: String,
    #[serde(default)]
    pub(crate) passwords: Passwords,
    #[serde(default)]
    pub(crate) password_scheme: PasswordScheme,
    /// A refresh that removes more than this share of all people, percent, is parked.
    #[serde(default = "default_guard")]
    pub(crate) removal_guard_percent: u8,
    /// Run the embedded server in this process.
    pub(crate) embedded: Option<Embedded>,
}

fn default_guard() -> u8 {
    20
}

/// One of `directory.servers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    url: String,
    #[serde(default)]
    role: Role,
    #[serde(default)]
    start_tls: bool,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[default]
    Provider,
    Replica,
}

/// How a login's password is checked.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Passwords {
    #[default]
    View,
    Bind,
}

/// How new passwords are stored.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PasswordScheme {
    #[default]
    Argon2,
    #[serde(rename = "pbkdf2-sha256")]
    Pbkdf2Sha256,
    Ssha,
}

/// `[directory.embedded]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedded {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) root_dn: String,
    /// A userPassword value, hashed.
    pub(crate) root_password_file: PathBuf,
    #[serde(default = "default_server_id")]
    pub(crate) server_id: u16,
}

fn default_server_id() -> u16 {
    1
}

/// `[listeners]`: each is absent (off) or `address:port`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listeners {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) mx: Option<SocketAddr>,
    pub(crate) submission: Option<SocketAddr>,
    pub(crate) submissions: Option<SocketAddr>,
    pub(crate) lmtp: Option<SocketAddr>,
    pub(crate) imap: Option<SocketAddr>,
    pub(crate) imaps: Option<SocketAddr>,
    pub(crate) pop3: Option<SocketAddr>,
    pub(crate) pop3s: Option<SocketAddr>,
    pub(crate) health: Option<SocketAddr>,
}

/// `[tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// `[store]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// Shards made at first start.
    pub(crate) shards: u8,
    /// Octets an account may hold when the directory sets none.
    pub(crate) default_quota_octets: Option<u64>,
    /// Largest message, octets.
    pub(crate) message_octets_max: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { shards: 4, default_quota_octets: None, message_octets_max: 50 * 1024 * 1024 }
    }
}

/// `[queue]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queue {
    /// `host:port` of the next hop for mail to other domains; absent: such mail waits.
    pub(crate) relay: Option<String>,
    /// Seconds.
    pub(crate) retry_first: i64,
    /// Seconds.
    pub(crate) retry_max: i64,
    /// Seconds.
    pub(crate) lifetime: i64,
    /// Attempts at once.
    pub(crate) concurrency: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { relay: None, retry_first: 60, retry_max: 3600, lifetime: 5 * 24 * 3600, concurrency: 16 }
    }
}

/// `[api]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// Who may call: one `name:blake3-of-token` a line.
    pub(crate) tokens_file: Option<PathBuf>,
    /// The token with which commands on this machine ask the node.
    pub(crate) token_file: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file; every complaint names the file and, where TOML can tell, the line.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read_bounded(file)?;
        let config: Self = toml::from_str(&text).map_err(|e| anyhow!("{}: {e}", file.display()))?;
        let complaints = config.complaints();
        if !complaints.is_empty() {
            bail!("{}:\n  {}", file.display(), complaints.join("\n  "));
        }
        Ok(config)
    }

    /// What is well-formed and still wrong, all of it.
    fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(error) = Dn::parse(&self.directory.suffix) {
            found.push(format!("directory.suffix: {error}"));
        }
        if self.directory.servers.is_empty() {
            found.push("directory.servers: at least one server is needed".to_owned());
        }
        if !self.directory.servers.iter().any(|s| matches!(s.role, Role::Provider)) {
            found
                .push("directory.servers: one of them must have role = \"provider\", or nothing can be written".into());
        }
        if self.directory.domain.is_empty() || self.directory.domain.contains('@') {
            found.push("directory.domain: a domain name is needed, as in example.edu".to_owned());
        }
        if !(1..=64).contains(&self.store.shards) {
            found.push("store.shards: 1 to 64".to_owned());
        }
        let listeners = &self.listeners;
        let implicit = [listeners.submissions, listeners.imaps, listeners.pop3s];
        if self.tls.is_none() && implicit.iter().any(Option::is_some) {
            found.push("tls: submissions, imaps and pop3s need [tls] certificate and key".to_owned());
        }
        if self.queue.retry_first < 1 || self.queue.retry_max < self.queue.retry_first || self.queue.lifetime < 1 {
            found.push("queue: 1 <= retry_first <= retry_max, 1 <= lifetime (seconds)".to_owned());
        }
        found
    }

    /// The suffix; checked when the file was read.
    pub(crate) fn suffix(&self) -> anyhow::Result<Dn> {
        Ok(Dn::parse(&self.directory.suffix)?)
    }

    /// How to reach the directory.
    pub(crate) fn directory_config(&self) -> anyhow::Result<DirectoryConfig> {
        let server = |server: &Server| ServerConfig {
            url: server.url.clone(),
            role: match server.role {
                Role::Provider => ServerRole::Provider,
                Role::Replica => ServerRole::Replica,
            },
            start_tls: server.start_tls,
        };
        Ok(DirectoryConfig {
            servers: self.directory.servers.iter().map(server).collect(),
            bind_dn: self.directory.bind_dn.clone(),
            bind_password: read_secret(&self.directory.bind_password_file)?,
            suffix: self.suffix()?,
            ca_file: self.directory.ca_file.clone(),
            connect_timeout: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(2),
        })
    }

    /// What provisioning needs.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            domain: self.directory.domain.to_ascii_lowercase(),
            source: "registrar".to_owned(),
            scheme: match self.directory.password_scheme {
                PasswordScheme::Argon2 => Scheme::Argon2,
                PasswordScheme::Pbkdf2Sha256 => Scheme::Pbkdf2Sha256,
                PasswordScheme::Ssha => Scheme::Ssha,
            },
        }
    }

    /// What the View needs.
    pub(crate) fn view_config(&self) -> ViewConfig {
        ViewConfig {
            file: self.node.data.join("view.snapshot"),
            passwords: match self.directory.passwords {
                Passwords::View => PasswordSource::View,
                Passwords::Bind => PasswordSource::Bind,
            },
            credential_ttl: Duration::from_secs(600),
            removal_guard_percent: self.directory.removal_guard_percent,
        }
    }
}

/// Reads a small text file.
pub(crate) fn read_bounded(file: &Path) -> anyhow::Result<String> {
    let about = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(about)?.len();
    if size > FILE_OCTETS_MAX {
        bail!("{}: larger than {FILE_OCTETS_MAX} octets", file.display());
    }
    std::fs::read_to_string(file).with_context(about)
}

/// Reads a secret: the first line of its file.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<String> {
    let text = read_bounded(file)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[node]
hostname = "mail.example.edu"
data = "/tmp/x"
[directory]
servers = [{ url = "ldap://127.0.0.1:3890" }]
suffix = "dc=example,dc=edu"
bind_dn = "cn=provost,ou=services,dc=example,dc=edu"
bind_password_file = "/tmp/x/secret"
domain = "example.edu"
"#;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("provost.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file).map_err(|e| e.to_string())
    }

    #[test]
    fn least_file_is_enough() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.store.shards, 4);
        assert_eq!(config.settings().domain, "example.edu");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let error = read(&format!("{GOOD}colour = \"red\"\n")).unwrap_err();
        assert!(error.contains("line 11") && error.contains("colour"), "{error}");
    }

    #[test]
    fn every_complaint_comes_at_once() {
        let text = GOOD.replace("dc=example,dc=edu\"\nbind", "not a name\"\nbind")
            + "[listeners]\nimaps = \"127.0.0.1:1\"\n[store]\nshards = 0\n";
        let error = read(&text).unwrap_err();
        for part in ["directory.suffix", "tls:", "store.shards"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
