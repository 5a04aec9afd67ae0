//! The directory that a source of the format `ldap` follows: where it is and what is read of it.

use provost_entry::{Dn, Filter};

/// Maximum number of servers of one followed directory.
const SERVERS_MAX: usize = 8;
/// Longest name of a password file, octets.
const FILE_NAME_MAX: usize = 64;
/// Longest time between two complete reads, hours: four weeks.
const HOURS_MAX: u16 = 672;
/// Time between two complete reads where the profile states none, hours.
const HOURS: u16 = 24;

/// One server of a followed directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedServer {
    /// `ldap://host[:port]`, `ldaps://host[:port]` or `ldapi://%2Fpath`.
    pub url: String,
    /// Whether StartTLS is sent after connecting (`ldap://` only).
    pub start_tls: bool,
}

/// Where a followed directory is, and what is read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedOrigin {
    /// Servers with the same content, in no order.
    pub servers: Vec<FollowedServer>,
    /// Base of the entries of people; `None` until a line states it.
    pub base: Option<Dn>,
    /// Selects the entries of people; `None` stands for `(objectClass=person)`.
    pub filter: Option<Filter>,
    /// Identity of the reader; `None` reads anonymously.
    pub bind_dn: Option<Dn>,
    /// Name of the file with the password of `bind_dn`, in the folder `sources` of the data folder. The profile never
    /// holds the password, and names no path: whoever may change a profile must not be able to have a server read any
    /// other file of a node.
    pub password_file: Option<String>,
    /// Hours between two complete reads.
    pub complete_hours: u16,
}

impl Default for FollowedOrigin {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            base: None,
            filter: None,
            bind_dn: None,
            password_file: None,
            complete_hours: HOURS,
        }
    }
}

impl FollowedOrigin {
    /// Keys of the lines that state it.
    pub(super) const KEYS: [&str; 6] = ["server", "base", "filter", "bind-dn", "password-file", "complete-read"];

    /// The filter that selects the entries of people.
    pub fn filter(&self) -> Filter {
        self.filter.clone().unwrap_or_else(|| Filter::equal("objectClass", "person"))
    }

    /// Takes one line of the profile.
    pub(super) fn set(&mut self, key: &str, words: &str) -> Result<(), String> {
        match key {
            "server" if self.servers.len() == SERVERS_MAX => return Err(format!("more than {SERVERS_MAX} servers")),
            "server" => self.servers.push(server(words)?),
            "base" => self.base = Some(dn(words)?),
            "bind-dn" => self.bind_dn = Some(dn(words)?),
            "filter" => {
                let filter = Filter::parse(words).map_err(|error| format!("not an RFC 4515 filter: {error}"))?;
                self.filter = Some(filter);
            }
            "password-file" => self.password_file = Some(file_name(words)?),
            _ => {
                const RULE: &str = "a number of hours from 1 to 672";
                self.complete_hours = words.parse().ok().filter(|hours| (1..=HOURS_MAX).contains(hours)).ok_or(RULE)?;
            }
        }
        Ok(())
    }

    /// The lines that state it.
    pub(super) fn lines(&self) -> Vec<String> {
        let server = |server: &FollowedServer| {
            format!("server {}{}", server.url, if server.start_tls { " starttls" } else { "" })
        };
        let mut lines: Vec<String> = self.servers.iter().map(server).collect();
        lines.extend(self.base.iter().map(|dn| format!("base {}", dn.as_str())));
        lines.extend(self.filter.iter().map(|filter| format!("filter {filter}")));
        lines.extend(self.bind_dn.iter().map(|dn| format!("bind-dn {}", dn.as_str())));
        lines.extend(self.password_file.iter().map(|name| format!("password-file {name}")));
        lines.extend((self.complete_hours != HOURS).then(|| format!("complete-read {}", self.complete_hours)));
        lines
    }

    /// The first rule that a profile of the format `ldap` breaks with it: the key, and the rule.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.servers.is_empty() {
            return Err(("format ldap", "needs a line 'server URL', such as: server ldaps://ldap.example.edu"));
        }
        if self.base.is_none() {
            return Err(("format ldap", "needs a line 'base DN', such as: base ou=people,dc=example,dc=edu"));
        }
        match (&self.bind_dn, &self.password_file) {
            (Some(_), None) => return Err(("bind-dn", "needs a line 'password-file NAME'")),
            (None, Some(_)) => return Err(("password-file", "needs a line 'bind-dn DN'")),
            _ => {}
        }
        if self.bind_dn.is_some() && self.servers.iter().any(FollowedServer::is_open) {
            return Err((
                "server",
                "the password would cross the network in the clear: use ldaps:// or add 'starttls'",
            ));
        }
        Ok(())
    }
}

impl FollowedServer {
    /// Whether what is sent crosses a network without encryption.
    fn is_open(&self) -> bool {
        let Some(host) = self.url.strip_prefix("ldap://").filter(|_| !self.start_tls) else { return false };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.split(']').next())
            .unwrap_or_else(|| host.split(':').next().unwrap_or_default());
        let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        !is_loopback && !host.eq_ignore_ascii_case("localhost")
    }
}

fn server(words: &str) -> Result<FollowedServer, String> {
    const FORM: &str = "expected: server URL [starttls], where URL is ldap://HOST[:PORT], ldaps://HOST[:PORT] or \
                        ldapi://%2Fpath%2Fof%2Fthe%2Fsocket";
    let (url, more) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let start_tls = match more.trim() {
        "" => false,
        "starttls" if url.starts_with("ldap://") => true,
        "starttls" => return Err("starttls is for ldap:// only".to_owned()),
        _ => return Err(FORM.to_owned()),
    };
    let host = ["ldap://", "ldaps://", "ldapi://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or(FORM)?;
    // A path, DN or user in the URL would be ignored by the client, which is not what its writer means.
    if host.is_empty() || host.contains(['/', '?', '@', '#']) {
        return Err(FORM.to_owned());
    }
    Ok(FollowedServer { url: url.to_owned(), start_tls })
}

fn dn(words: &str) -> Result<Dn, String> {
    match Dn::parse(words) {
        Ok(dn) if !dn.is_root() => Ok(dn),
        Ok(_) => Err("a distinguished name that is not empty".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn file_name(words: &str) -> Result<String, String> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    if words.is_empty() || words.len() > FILE_NAME_MAX || words.starts_with('.') || !words.bytes().all(is_plain) {
        let rule = "the name of a file in the folder 'sources' of the data folder: letters, digits, '-', '_' and '.'";
        return Err(rule.to_owned());
    }
    Ok(words.to_owned())
}
