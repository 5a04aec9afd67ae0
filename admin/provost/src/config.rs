//! The node's configuration file. The settings that all nodes share are in the directory.
//!
//! An unknown key is refused with its line.

mod keys;
mod listeners;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_api::FixedToken;
use provost_client::{DirectoryConfig, ServerAddress, ServerRole};
use provost_entry::Dn;
use provost_net::{MEMORY_OCTETS_DEFAULT, MEMORY_OCTETS_MIN, Network, ProxyNetworks};
use provost_provision::{ProvisionSettings, Role};
use provost_settings::{Fallback, SharedSettings};
use provost_view::{PasswordSource, ViewConfig};
use serde::Deserialize;

use crate::log_filter::LogFilter;
pub(crate) use keys::KeyValues;
pub(crate) use listeners::{ConnectionStart, ListenerConfig, Listeners};

/// Largest configuration or secret file that is read, in octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// Maximum number of shards of the store: each has a thread and a database with up to three connections.
const SHARDS_MAX: u8 = 64;
/// Longest time for a directory server to accept a connection: a server in the same data centre takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time for a directory server to answer; after it, a read goes to another server.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for plans, imports and the pages of administrators: a server that many writers keep busy is slow, but no
/// user waits to log in or to get mail.
const PROVISIONING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a verified password is remembered: clients open connections every few minutes.
const CREDENTIAL_TTL: Duration = Duration::from_mins(10);

/// The configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) node: NodeSection,
    pub(crate) directory: DirectorySection,
    #[serde(default)]
    pub(crate) listeners: Listeners,
    pub(crate) tls: Option<TlsSection>,
    #[serde(default)]
    pub(crate) store: StoreSection,
    #[serde(default)]
    pub(crate) queue: QueueSection,
    #[serde(default)]
    pub(crate) api: ApiSection,
    #[serde(default)]
    pub(crate) trace: TraceSection,
    /// Roles of this machine's users for commands; if absent, a user who can read the node's secrets may do everything.
    pub(crate) cli: Option<CliSection>,
    /// `--token-file`: the command runs with the role of the token in this file. Not a key of the configuration file.
    #[serde(skip)]
    pub(crate) token_for_role: Option<PathBuf>,
    /// Path of the configuration file.
    #[serde(skip)]
    pub(crate) file: PathBuf,
    /// The keys that the file states, with their values.
    #[serde(skip)]
    pub(crate) keys: KeyValues,
}

/// `[cli]`: roles of the users of this machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CliSection {
    /// The role of each user of this machine, by user name.
    pub(crate) roles: BTreeMap<String, String>,
}

/// `[trace]`: retention of message events.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceSection {
    /// Days that are kept besides the current one.
    pub(crate) days: u16,
    /// Maximum size of all trace files together, MiB; the oldest are removed first.
    pub(crate) mib: u32,
}

impl Default for TraceSection {
    fn default() -> Self {
        Self { days: 14, mib: 1024 }
    }
}

/// `[node]`: identity and folder of the node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Name in greetings, Received and Message-ID. It must be unique in the site: the records of jobs name their node
    /// by it.
    pub(crate) hostname: String,
    /// Folder of everything that the node stores.
    pub(crate) data: PathBuf,
    /// Octets of memory for data to and from peers, for all protocols together.
    #[serde(default = "default_memory_octets")]
    pub(crate) memory_octets: u64,
    /// Log filter, as directives of `tracing`: `warn,provost=info`. The variable `PROVOST_LOG` takes precedence.
    pub(crate) log: Option<String>,
}

fn default_memory_octets() -> u64 {
    MEMORY_OCTETS_DEFAULT
}

/// `[directory]`: access to the directory servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectorySection {
    pub(crate) servers: Vec<ServerSection>,
    pub(crate) suffix: String,
    pub(crate) bind_dn: String,
    pub(crate) bind_password_file: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) passwords: PasswordCheck,
    /// Moved to the directory: `mail-domain`.
    domain: Option<String>,
    /// Moved to the directory: `password-scheme`.
    password_scheme: Option<String>,
    /// Moved to the directory: `removal-guard`.
    removal_guard_percent: Option<u64>,
    /// The configuration of the embedded server, which runs in this process.
    pub(crate) embedded: Option<EmbeddedSection>,
}

/// One of `directory.servers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerSection {
    url: String,
    #[serde(default)]
    role: DirectoryRole,
    #[serde(default)]
    start_tls: bool,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DirectoryRole {
    #[default]
    Provider,
    Replica,
}

/// How a login's password is checked.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PasswordCheck {
    /// Against the hash in the View; by an LDAP bind if the View has no usable hash.
    #[default]
    View,
    /// Always by an LDAP bind.
    Bind,
}

/// `[directory.embedded]`: the directory server in this process.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddedSection {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) root_dn: String,
    /// File with the password of `root_dn`, as a hashed userPassword value.
    pub(crate) root_password_file: PathBuf,
    #[serde(default = "default_server_id")]
    pub(crate) server_id: u16,
    /// Networks of balancers whose connections begin with a PROXY header; those of `[listeners]` do not apply here.
    #[serde(default, deserialize_with = "listeners::networks")]
    proxy_networks: Vec<Network>,
}

impl EmbeddedSection {
    /// The error if `proxy_networks` contains a loopback or listening address from which this node may connect to its
    /// own directory server: such connections have no PROXY header and would be closed.
    fn own_address_complaint(&self) -> Option<String> {
        let own = self.listen.iter().flat_map(|listen| match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
            // A socket on `::` also accepts IPv4.
            IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
            // A connection to an address of this machine has that address as its source.
            ip => vec![ip],
        });
        let mut shut_out = own.filter(|ip| self.proxy_networks.iter().any(|network| network.contains(*ip)));
        let ip = shut_out.next()?;
        Some(format!(
            "directory.embedded.proxy_networks contains {ip}, from which this node itself connects without a PROXY header: list \
             only the balancers' addresses"
        ))
    }

    /// The networks whose LDAP connections begin with a PROXY header.
    pub(crate) fn proxies(&self) -> ProxyNetworks {
        ProxyNetworks::new(self.proxy_networks.clone())
    }
}

fn default_server_id() -> u16 {
    1
}

/// `[tls]`: certificate and key of the node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSection {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// `[store]`: the message store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreSection {
    /// Number of shards, fixed at the first start.
    pub(crate) shards: u8,
    /// Moved to the directory: `default-quota`.
    default_quota_octets: Option<u64>,
    /// Moved to the directory: `message-size`.
    message_octets_max: Option<u64>,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { shards: 4, default_quota_octets: None, message_octets_max: None }
    }
}

/// `[queue]`: delivery to other domains.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueueSection {
    /// `host:port` of the next hop for mail to other domains; without it, such mail waits.
    pub(crate) relay: Option<String>,
    /// Moved to the directory: `retry-first`.
    retry_first: Option<u64>,
    /// Moved to the directory: `retry-max`.
    retry_max: Option<u64>,
    /// Moved to the directory: `queue-lifetime`.
    lifetime: Option<u64>,
    /// Maximum number of concurrent attempts.
    pub(crate) concurrency: usize,
}

impl Default for QueueSection {
    fn default() -> Self {
        Self { relay: None, retry_first: None, retry_max: None, lifetime: None, concurrency: 16 }
    }
}

/// `[api]`: access to the REST API.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiSection {
    /// File of fixed tokens, one `name:blake3-of-token:role:last-day` per line; lines that begin with `#` are comments.
    /// A token without a last day never expires; one without a role has the role admin, as in earlier versions.
    pub(crate) tokens_file: Option<PathBuf>,
    /// File with this node's own token, which commands on this machine send to its REST API. Not `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
}

impl Config {
    /// Folder of the message events.
    pub(crate) fn trace_folder(&self) -> PathBuf {
        self.node.data.join("trace")
    }

    /// Reads and checks a file; every error names the file and, where TOML reports it, the line.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read_bounded(file)?;
        let config = Self::parse(file, &text).map_err(|e| anyhow!("{}: {e}", file.display()))?;
        let complaints = config.complaints();
        if !complaints.is_empty() {
            bail!("{}:\n  {}", file.display(), complaints.join("\n  "));
        }
        Ok(config)
    }

    /// Like [`Config::read`], for a reload: the error is a single line for the log, which names the file separately.
    pub(crate) fn read_for_reload(file: &Path) -> Result<Self, String> {
        let text = read_bounded(file).map_err(|error| format!("{error:#}"))?;
        let config = Self::parse(file, &text).map_err(|error| one_line(&text, &error))?;
        match config.complaints() {
            complaints if complaints.is_empty() => Ok(config),
            complaints => Err(complaints.join("; ")),
        }
    }

    fn parse(file: &Path, text: &str) -> Result<Self, toml::de::Error> {
        let mut config: Self = toml::from_str(text)?;
        config.file = file.to_owned();
        config.keys = KeyValues::of(&toml::from_str(text)?);
        Ok(config)
    }

    /// The errors in the values of a file that is valid TOML with known keys.
    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Err(error) = Dn::parse(&self.directory.suffix) {
            complaints.push(format!("directory.suffix: {error}"));
        }
        if self.directory.servers.is_empty() {
            complaints.push("directory.servers: at least one server is needed".to_owned());
        }
        if !self.directory.servers.iter().any(|s| matches!(s.role, DirectoryRole::Provider)) {
            complaints
                .push("directory.servers: one of them must have role = \"provider\", or nothing can be written".into());
        }
        if !(1..=SHARDS_MAX).contains(&self.store.shards) {
            complaints.push(format!("store.shards must be 1 to {SHARDS_MAX}"));
        }
        if self.node.memory_octets < MEMORY_OCTETS_MIN {
            complaints.push(format!("node.memory_octets must be at least {MEMORY_OCTETS_MIN}"));
        }
        if let Some(Err(error)) = self.node.log.as_deref().map(LogFilter::check) {
            complaints.push(format!("node.log: {error}"));
        }
        complaints.extend(self.listeners.tls_complaints(self.tls.is_some()));
        complaints.extend(self.directory.embedded.as_ref().and_then(EmbeddedSection::own_address_complaint));
        for (user, role) in self.cli.iter().flat_map(|cli| &cli.roles) {
            if Role::parse(role).is_none() {
                complaints.push(format!("cli.roles: '{role}' of {user} is not a role; see 'provost roles show'"));
            }
        }
        complaints.extend(self.resolve_fallback().1);
        complaints
    }

    /// The keys of this file that state shared settings, as (key, setting, value). Each applies only where the
    /// directory does not state the setting.
    fn moved_keys(&self) -> Vec<(&'static str, &'static str, String)> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let (directory, store, queue) = (&self.directory, &self.store, &self.queue);
        [
            ("directory.domain", "mail-domain", directory.domain.clone()),
            ("directory.password_scheme", "password-scheme", directory.password_scheme.clone()),
            ("directory.removal_guard_percent", "removal-guard", number(directory.removal_guard_percent)),
            ("store.default_quota_octets", "default-quota", number(store.default_quota_octets)),
            ("store.message_octets_max", "message-size", number(store.message_octets_max)),
            ("queue.retry_first", "retry-first", number(queue.retry_first)),
            ("queue.retry_max", "retry-max", number(queue.retry_max)),
            ("queue.lifetime", "queue-lifetime", number(queue.lifetime)),
        ]
        .into_iter()
        .filter_map(|(key, setting, value)| Some((key, setting, value?)))
        .collect()
    }

    /// The values that apply where the directory does not state a setting, and an error for each value that breaks its
    /// rule.
    fn resolve_fallback(&self) -> (Fallback, Vec<String>) {
        let (mut fallback, mut complaints) = (Fallback::default(), Vec::new());
        if self.directory.domain.is_none() {
            let added = domain_of(&self.directory.suffix)
                .ok_or_else(|| "a domain name is needed, as in example.edu".to_owned())
                .and_then(|domain| fallback.add("mail-domain", "directory.suffix", &domain));
            complaints.extend(added.err().map(|rule| format!("directory.domain: {rule}")));
        }
        for (key, setting, value) in self.moved_keys() {
            complaints.extend(fallback.add(setting, key, &value).err());
        }
        (fallback, complaints)
    }

    /// The values that apply where the directory states no setting: keys of this file, and the domain that the suffix
    /// names.
    pub(crate) fn fallback(&self) -> Fallback {
        self.resolve_fallback().0
    }

    /// Keys that belong in the directory now, each with the command that moves its value there.
    pub(crate) fn migration_commands(&self) -> Vec<(&'static str, String)> {
        let command = |setting: &str, value: &str| format!("provost settings set {setting} {value}");
        self.moved_keys().into_iter().map(|(key, setting, value)| (key, command(setting, &value))).collect()
    }

    /// Folder of the message store and of the shared state (web sessions, tokens, jobs, audit).
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.node.data.join("store")
    }

    /// Reads `api.tokens_file`; no tokens if the key is absent.
    pub(crate) fn fixed_tokens(&self) -> anyhow::Result<Vec<FixedToken>> {
        let Some(file) = &self.api.tokens_file else { return Ok(Vec::new()) };
        let text = read_bounded(file)?;
        let is_token = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let lines = text.lines().enumerate().filter(|(_, line)| is_token(line));
        let token = |(number, line): (usize, &str)| {
            let wrong =
                || format!("{}, line {}: expected name:blake3-in-hex:role:YYYY-MM-DD", file.display(), number + 1);
            fixed_token(line).with_context(wrong)
        };
        lines.map(token).collect()
    }

    /// The suffix, which was checked when the file was read.
    pub(crate) fn suffix(&self) -> anyhow::Result<Dn> {
        Ok(Dn::parse(&self.directory.suffix)?)
    }

    /// The configuration of the directory client.
    pub(crate) fn directory_config(&self) -> anyhow::Result<DirectoryConfig> {
        let server = |server: &ServerSection| ServerAddress {
            url: server.url.clone(),
            role: match server.role {
                DirectoryRole::Provider => ServerRole::Provider,
                DirectoryRole::Replica => ServerRole::Replica,
            },
            start_tls: server.start_tls,
        };
        Ok(DirectoryConfig {
            servers: self.directory.servers.iter().map(server).collect(),
            bind_dn: self.directory.bind_dn.clone(),
            bind_password: read_secret(&self.directory.bind_password_file)?,
            suffix: self.suffix()?,
            ca_file: self.directory.ca_file.clone(),
            connect_timeout: CONNECT_TIMEOUT,
            operation_timeout: OPERATION_TIMEOUT,
        })
    }

    /// The configuration of the client that plans and changes people.
    pub(crate) fn provisioning_config(&self) -> anyhow::Result<DirectoryConfig> {
        Ok(DirectoryConfig { operation_timeout: PROVISIONING_TIMEOUT, ..self.directory_config()? })
    }

    /// The settings that provisioning needs before it has read the directory.
    pub(crate) fn settings(&self) -> ProvisionSettings {
        ProvisionSettings::of(&SharedSettings::of_file(&self.fallback()))
    }

    /// The configuration of the View.
    pub(crate) fn view_config(&self) -> ViewConfig {
        ViewConfig {
            file: self.node.data.join("view.snapshot"),
            passwords: match self.directory.passwords {
                PasswordCheck::View => PasswordSource::View,
                PasswordCheck::Bind => PasswordSource::Bind,
            },
            credential_ttl: CREDENTIAL_TTL,
            fallback: self.fallback(),
        }
    }
}

/// A TOML error as one line: line number, key and message. The source line is not quoted, but the message may contain
/// the value.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return error.message().to_owned() };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    format!("line {}, {key}: {}", number + 1, error.message().replace('\n', " "))
}

/// The domain that a suffix of `dc=` parts names; `None` for any other suffix.
fn domain_of(suffix: &str) -> Option<String> {
    let rdns = Dn::parse(suffix).ok()?.rdns();
    let part = |rdn: &provost_entry::Rdn| {
        let (name, value) = rdn.pairs().next()?;
        name.eq_ignore_ascii_case("dc").then(|| value.to_owned())
    };
    let parts: Vec<String> = rdns.iter().map(part).collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join("."))
}

/// Parses `name:digest:role:last-day`, or fewer parts as in earlier versions: without a last day the token never
/// expires, and without a role it has the role admin. The last day is in UTC, since only the directory states the
/// site's zone.
fn fixed_token(line: &str) -> Option<FixedToken> {
    let mut parts = line.trim().splitn(4, ':');
    let (name, digest) = (parts.next()?, parts.next()?);
    let role = parts.next().map_or(Some(Role::Admin), Role::parse)?;
    let expires = match parts.next() {
        Some(day) => Some(end_of_day(day)?),
        None => None,
    };
    Some(FixedToken { name: name.to_owned(), digest: blake3::Hash::from_hex(digest).ok()?, role, expires })
}

fn end_of_day(day: &str) -> Option<Timestamp> {
    let after = day.parse::<Date>().ok()?.tomorrow().ok()?;
    TimeZone::UTC.to_timestamp(after.at(0, 0, 0, 0)).ok()
}

/// Reads a text file of at most [`FILE_OCTETS_MAX`].
pub(crate) fn read_bounded(file: &Path) -> anyhow::Result<String> {
    let about = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(about)?.len();
    if size > FILE_OCTETS_MAX {
        bail!("{}: larger than {FILE_OCTETS_MAX} octets", file.display());
    }
    std::fs::read_to_string(file).with_context(about)
}

/// Reads a secret: the first line of its file, without blanks at its ends.
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
    fn a_file_with_the_required_keys_is_enough() {
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
    fn the_error_of_a_reload_is_one_line_with_line_number_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("provost.toml");
        for (text, expect) in [
            (format!("{GOOD}colour = \"red\"\n"), "line 11, colour: unknown field `colour`"),
            (format!("{GOOD}[store]\nshards = \"many\"\n"), "line 12, shards: invalid type"),
            (format!("{GOOD}[store]\nshards = 0\n"), "store.shards must be 1 to 64"),
            (format!("{GOOD}[listeners]\nimap = \"143\"\n"), "line 12, imap: '143' is not address:port"),
            (format!("{GOOD}[store\n"), "line 11, [store: "),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::read_for_reload(&file).unwrap_err();
            assert!(error.starts_with(expect) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_node_that_would_shut_itself_out_of_its_directory_is_refused() {
        let with = |listen: &str, networks: &str| {
            let embedded = "root_dn = \"cn=root\"\nroot_password_file = \"/tmp/x/hash\"\n";
            read(&format!(
                "{GOOD}[directory.embedded]\nlisten = [\"{listen}\"]\nproxy_networks = [\"{networks}\"]\n{embedded}"
            ))
        };
        for (listen, networks) in [
            ("127.0.0.1:389", "127.0.0.0/8"),
            ("0.0.0.0:389", "127.0.0.1"),
            ("[::]:389", "::/0"),
            ("[::]:389", "127.0.0.0/8"),
        ] {
            let error = with(listen, networks).unwrap_err();
            assert!(error.contains("from which this node itself connects"), "{listen} {networks}: {error}");
        }
        with("0.0.0.0:389", "127.0.0.2").unwrap();
        with("192.0.2.21:389", "192.0.2.10").unwrap();
    }

    #[test]
    fn keys_of_shared_settings_apply_where_the_directory_states_nothing() {
        let text = GOOD.replace("domain = \"example.edu\"\n", "domain = \"Mail.Example.edu\"\n")
            + "[store]\ndefault_quota_octets = 2000000\n[queue]\nretry_first = 5\n";
        let config = read(&text).unwrap();
        let settings = SharedSettings::of_file(&config.fallback());
        assert_eq!((settings.default_quota, settings.retry_first.as_secs()), (Some(2_000_000), 5));
        assert_eq!(settings.mail_domain, "mail.example.edu");
        assert_eq!(settings.origin("retry-first").to_string(), "queue.retry_first in the node's file");
        let moved = config.migration_commands();
        assert_eq!(moved.len(), 3);
        assert!(moved.contains(&("queue.retry_first", "provost settings set retry-first 5".to_owned())));
    }

    #[test]
    fn the_suffix_names_the_domain_unless_the_file_does() {
        let bare = GOOD.replace("domain = \"example.edu\"\n", "");
        assert_eq!(read(&bare).unwrap().settings().domain, "example.edu");
        let error = read(&bare.replace("suffix = \"dc=example,dc=edu\"", "suffix = \"o=Example\"")).unwrap_err();
        assert!(error.contains("directory.domain: a domain name is needed"), "{error}");
    }

    #[test]
    fn fixed_tokens_have_a_role_and_an_expiry() {
        let digest = blake3::hash(b"x").to_hex();
        let role = |line: String| fixed_token(&line).map(|token| token.role);
        assert_eq!(role(format!("a:{digest}")), Some(Role::Admin));
        assert_eq!(role(format!(" a:{digest}:helpdesk1 ")), Some(Role::HelpDesk1));
        let end = fixed_token(&format!("a:{digest}:auditor:2027-08-31")).and_then(|token| token.expires);
        assert_eq!(end, Some("2027-09-01T00:00:00Z".parse().unwrap()), "not the end of the last day");
        let bad = ["", "2027-13-01", "9999-12-31", "2027-08-31:x"].map(|day| format!("a:{digest}:auditor:{day}"));
        let others = ["a".to_owned(), "a:12".to_owned(), format!("a:{digest}:king"), format!("a:{digest}:")];
        for line in others.into_iter().chain(bad) {
            assert_eq!(role(line.clone()), None, "{line}");
        }
    }

    #[test]
    fn all_errors_of_a_file_are_reported_together() {
        let text = GOOD
            .replace("dc=example,dc=edu\"\nbind", "not a name\"\nbind")
            .replace("[directory]", "log = \"provost=loud\"\n[directory]")
            + "[cli]\nroles = { eve = \"queen\" }\n[listeners]\nimaps = \"127.0.0.1:1\"\n[store]\nshards = 0\nmessage_octets_max = 1\n[queue]\nretry_max = 0\n";
        let error = read(&text).unwrap_err();
        for part in [
            "directory.suffix",
            "tls:",
            "store.shards",
            "store.message_octets_max",
            "queue.retry_max",
            "queen",
            "node.log",
        ] {
            assert!(error.contains(part), "no {part} in {error}");
        }
    }
}
