//! Runs OpenLDAP's tools against one server with one identity.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::node::{Node, Port};
use crate::{Ran, run};

/// The suffix of every test's directory.
pub const SUFFIX: &str = "dc=example,dc=edu";

/// An entry that `ldapsearch` printed.
#[derive(Clone, Debug)]
pub struct FoundEntry {
    /// The DN as the server spells it.
    pub dn: String,
    /// Names and values as they were printed; a value in base64 stays so, and its name ends with a colon.
    values: Vec<(String, String)>,
}

impl FoundEntry {
    fn parse(record: &str) -> Option<Self> {
        let mut lines = record.lines().filter_map(|line| line.split_once(": "));
        let (_, dn) = lines.next().filter(|(name, _)| *name == "dn")?;
        let values = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { dn: dn.to_owned(), values })
    }

    /// The values of an attribute that are printable ASCII.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_named = move |(held, _): &&(String, String)| held.eq_ignore_ascii_case(name);
        self.values.iter().filter(is_named).map(|(_, value)| value.as_str())
    }
}

/// A server, and the identity of a simple bind: a DN with a password, or none for anonymous access.
#[derive(Clone, Debug)]
pub struct Ldap {
    url: String,
    identity: Option<(String, String)>,
}

impl Ldap {
    /// The embedded server of a node, with the node's own service identity.
    pub fn of(node: &Node) -> Self {
        let url = format!("ldap://127.0.0.1:{}", node.port(Port::Ldap));
        Self::bound(url, &format!("cn=provost,{SUFFIX}"), &node.secret("directory-password"))
    }

    /// The server at `url`, with a simple bind as `dn`.
    pub fn bound(url: String, dn: &str, password: &str) -> Self {
        Self { url, identity: Some((dn.to_owned(), password.to_owned())) }
    }

    /// The same server with another identity.
    pub fn with(&self, dn: &str, password: &str) -> Self {
        Self::bound(self.url.clone(), dn, password)
    }

    /// The same server without a bind.
    pub fn anonymous(&self) -> Self {
        Self { url: self.url.clone(), identity: None }
    }

    /// The command for a tool, with server and identity among its arguments.
    pub fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool);
        command.args(["-x", "-H", &self.url]);
        if let Some((dn, password)) = &self.identity {
            command.args(["-D", dn, "-w", password]);
        }
        command.args(arguments);
        command
    }

    /// Runs a tool to its end.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
        run(&mut self.command(tool, arguments))
    }

    /// Runs `ldapmodify` or `ldapadd` with LDIF on standard input.
    pub fn feed(&self, tool: &str, ldif: &str) -> anyhow::Result<Ran> {
        let mut command = self.command(tool, &[]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // The write fails when the tool has already ended; the tool's own error message then says why.
        let _ = child.stdin.take().context("no input")?.write_all(ldif.as_bytes());
        let output = child.wait_with_output()?;
        Ok(Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `ldapsearch` below the suffix; the output is unfolded LDIF.
    pub fn search(&self, filter: &str, attributes: &[&str]) -> anyhow::Result<Ran> {
        let mut arguments = vec!["-LLL", "-o", "ldif-wrap=no", "-b", SUFFIX, filter];
        arguments.extend(attributes);
        self.run("ldapsearch", &arguments)
    }

    /// The entries that a filter finds below the suffix.
    pub fn entries(&self, filter: &str, attributes: &[&str]) -> anyhow::Result<Vec<FoundEntry>> {
        Ok(self.search(filter, attributes)?.good()?.split("\n\n").filter_map(FoundEntry::parse).collect())
    }

    /// The DN of the one entry that a filter finds; an error when it finds none or several.
    pub fn dn(&self, filter: &str) -> anyhow::Result<String> {
        let found = self.search(filter, &["1.1"])?.good()?;
        let mut dns = found.lines().filter_map(|line| line.strip_prefix("dn: "));
        let dn = dns.next().with_context(|| format!("no entry matches {filter}"))?;
        anyhow::ensure!(dns.next().is_none(), "more than one entry matches {filter}:\n{found}");
        Ok(dn.to_owned())
    }

    /// Writes `provostSourceId` and `mail` of every person with a source id into an LDIF file for `clients/logins.py`.
    pub fn write_addresses(&self, file: PathBuf) -> anyhow::Result<PathBuf> {
        let found =
            self.search("(&(objectClass=provostAccount)(provostSourceId=*))", &["provostSourceId", "mail"])?.good()?;
        std::fs::write(&file, found)?;
        Ok(file)
    }
}
