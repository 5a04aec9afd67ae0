//! The data folder of a quickstart. Secrets and certificate are created once and kept; the other files are written at
//! each start.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::{Span, Timestamp};
use provost_api::TOKEN_DAYS_MAX;
use provost_credential::{Scheme, Secret, hash};
use provost_entry::Dn;

use crate::config::{Config, ListenerConfig};

/// The default ports. With a port base, the port of a listener is the base plus its index here. Index 10 is reserved
/// for ManageSieve, which is not served yet.
const DEFAULT_PORTS: [u16; 12] = [3890, 8080, 2525, 5870, 4650, 2424, 1430, 9930, 1100, 9950, 4190, 9090];
/// Days for which the generated certificate is valid: browsers refuse more than 398.
const CERTIFICATE_DAYS: i64 = 397;
/// A registrar's file of invented people.
const SAMPLE: &str = include_str!("../../../../docs/sample/people.csv");
/// Octets of randomness in a generated secret.
const SECRET_OCTETS: usize = 16;

/// The paths of a quickstart.
pub(super) struct Layout {
    pub(super) config_file: PathBuf,
    pub(super) operator_password_file: PathBuf,
    /// The sample file, for a user without a file of their own.
    pub(super) sample_file: PathBuf,
    api_token_file: PathBuf,
    data: PathBuf,
}

impl Layout {
    /// Creates the missing folders, secrets and certificate. Always rewrites the tokens file, the sample and the
    /// configuration, whose ports, relay and domain may change.
    pub(super) fn prepare(
        data: &Path,
        port_base: Option<u16>,
        domain: &str,
        relay: Option<&str>,
    ) -> anyhow::Result<Self> {
        for folder in [data.to_owned(), data.join("secrets"), data.join("tls")] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let data = fs::canonicalize(data)?;
        let secrets = data.join("secrets");
        let layout = Self {
            config_file: data.join("provost.toml"),
            operator_password_file: secrets.join("helpdesk-password"),
            sample_file: data.join("sample.csv"),
            api_token_file: secrets.join("api-token"),
            data,
        };
        layout.make_secrets(&secrets)?;
        layout.make_certificate(domain)?;
        fs::write(&layout.sample_file, SAMPLE)?;
        fs::write(&layout.config_file, layout.config_text(port_base, domain, relay)?)?;
        Ok(layout)
    }

    fn make_secrets(&self, secrets: &Path) -> anyhow::Result<()> {
        make_secret(&self.operator_password_file, random_text())?;
        make_secret(&self.api_token_file, random_text())?;
        let (clear, hashed) = (secrets.join("directory-password"), secrets.join("directory-password-hash"));
        // The hash of a deleted password does not fit the new password.
        if !exists(&clear) && exists(&hashed) {
            fs::remove_file(&hashed)?;
        }
        make_secret(&clear, random_text())?;
        let token = fs::read_to_string(&self.api_token_file)?;
        let digest = blake3::hash(token.trim().as_bytes()).to_hex();
        // Each start of the quickstart prolongs the token.
        let last_day = Timestamp::now().checked_add(Span::new().try_hours(24 * TOKEN_DAYS_MAX)?)?.strftime("%F");
        fs::write(secrets.join("api-tokens"), format!("quickstart:{digest}:admin:{last_day}\n"))?;
        let password = fs::read_to_string(&clear)?;
        make_secret(&hashed, hash(&Secret::new(password.trim()), Scheme::Argon2))
    }

    fn make_certificate(&self, domain: &str) -> anyhow::Result<()> {
        let (chain, key) = (self.data.join("tls/cert.pem"), self.data.join("tls/key.pem"));
        if exists(&chain) && exists(&key) {
            return Ok(());
        }
        let names = vec![format!("mail.{domain}"), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = rcgen::CertificateParams::new(names)?;
        let now = std::time::SystemTime::now();
        parameters.not_before = now.into();
        parameters.not_after = (now + std::time::Duration::from_secs(CERTIFICATE_DAYS as u64 * 24 * 3600)).into();
        let pair = rcgen::KeyPair::generate()?;
        let certificate = parameters.self_signed(&pair)?;
        fs::write(&chain, certificate.pem())?;
        // The key of a deleted certificate does not fit the new certificate.
        if exists(&key) {
            fs::remove_file(&key)?;
        }
        make_secret(&key, pair.serialize_pem())
    }

    fn config_text(&self, port_base: Option<u16>, domain: &str, relay: Option<&str>) -> anyhow::Result<String> {
        let port = |offset: usize| match port_base {
            Some(base) => base + offset as u16,
            None => DEFAULT_PORTS[offset],
        };
        let suffix = Dn::parse(&domain.split('.').map(|part| format!("dc={part}")).collect::<Vec<_>>().join(","))?;
        let data = self.data.display();
        let relay = relay.map(|relay| format!("relay = {relay:?}\n")).unwrap_or_default();
        Ok(format!(
            r#"# Made by the quickstart; every start of it writes this file anew.
[node]
hostname = "mail.{domain}"
data = "{data}"

[directory]
servers = [{{ url = "ldap://127.0.0.1:{ldap}", role = "provider" }}]
suffix = "{suffix}"
bind_dn = "cn=provost,{suffix}"
bind_password_file = "{data}/secrets/directory-password"

[directory.embedded]
listen = ["127.0.0.1:{ldap}"]
root_dn = "cn=provost,{suffix}"
root_password_file = "{data}/secrets/directory-password-hash"

[listeners]
http = "127.0.0.1:{http}"
mx = "127.0.0.1:{mx}"
submission = "127.0.0.1:{submission}"
submissions = "127.0.0.1:{submissions}"
lmtp = "127.0.0.1:{lmtp}"
imap = "127.0.0.1:{imap}"
imaps = "127.0.0.1:{imaps}"
pop3 = "127.0.0.1:{pop3}"
pop3s = "127.0.0.1:{pop3s}"
health = "127.0.0.1:{health}"

[tls]
certificate = "{data}/tls/cert.pem"
key = "{data}/tls/key.pem"

[queue]
{relay}
[api]
tokens_file = "{data}/secrets/api-tokens"
token_file = "{data}/secrets/api-token"
"#,
            ldap = port(0),
            http = port(1),
            mx = port(2),
            submission = port(3),
            submissions = port(4),
            lmtp = port(5),
            imap = port(6),
            imaps = port(7),
            pop3 = port(8),
            pop3s = port(9),
            health = port(11),
        ))
    }

    /// Prints the node's addresses and some commands to try next.
    pub(super) fn print_summary(&self, config: &Config, operator: &str, password: &str) {
        let at = &config.listeners;
        let of = |listener: &Option<ListenerConfig>| {
            listener.as_ref().map(|section| section.address.to_string()).unwrap_or_default()
        };
        let data = self.data.display();
        let suffix = &config.directory.suffix;
        out!("\n== This node");
        out!("  Help desk    http://{}/   sign in: {operator} / {password}", of(&at.http));
        out!("  REST         http://{}/api/v1/openapi.json   token: {data}/secrets/api-token", of(&at.http));
        out!("  SMTP (MX)    {}    LMTP {}", of(&at.mx), of(&at.lmtp));
        out!("  Submission   {} (STARTTLS)   {} (TLS)", of(&at.submission), of(&at.submissions));
        out!("  IMAP         {} (STARTTLS)   {} (TLS)", of(&at.imap), of(&at.imaps));
        out!("  POP3         {} (STLS)       {} (TLS)", of(&at.pop3), of(&at.pop3s));
        let ldap = config.directory.embedded.as_ref().and_then(|server| server.listen.first());
        let ldap = ldap.map(|address| address.to_string()).unwrap_or_default();
        out!("  LDAP         {}   {}", ldap, config.directory.bind_dn);
        out!("  Health       http://{}/readyz   /metrics", of(&at.health));
        out!("\n== Next");
        out!("  provost --config {data}/provost.toml person search tremblay");
        out!("  provost --config {data}/provost.toml vacation set PERSON --text-fr 'De retour lundi.'");
        out!(
            "  ldapsearch -x -H ldap://{} -D '{}' -y {data}/secrets/directory-password -b '{suffix}' uid=PERSON",
            ldap,
            config.directory.bind_dn
        );
    }
}

/// Writes a file that only its owner can read, unless it exists. Adds no line end: `ldapsearch -y` takes the whole
/// file as the password.
fn make_secret(file: &Path, text: String) -> anyhow::Result<()> {
    if exists(file) {
        return Ok(());
    }
    let about = || format!("cannot write {}", file.display());
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(about)?;
    made.write_all(text.as_bytes()).with_context(about)
}

fn random_text() -> String {
    let octets: [u8; SECRET_OCTETS] = rand::random();
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Whether the path exists; a dangling symbolic link does.
fn exists(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_certificate_is_replaced_together_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let prepare = || Layout::prepare(folder.path(), None, "example.edu", None).unwrap();
        let layout = prepare();
        let (chain, key) = (layout.data.join("tls/cert.pem"), layout.data.join("tls/key.pem"));
        fs::remove_file(&chain).unwrap();
        prepare();
        provost_net::server_config(&chain, &key).unwrap();
    }
}
