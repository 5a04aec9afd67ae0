//! `provost doctor`: checks this node, and lists what is good, what is wrong, and what to do about each fault.

mod listeners;
mod probe;

use std::path::Path;

use provost_client::{Directory, DirectoryError};
use provost_provision::{DeskError, read_domains, read_shared_settings};
use provost_schema::{class, ou};
use provost_settings::SettingFault;
use serde::Serialize;

use super::DeskAccess;
use super::servers::{NodeView, is_without_provider};
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::output::{Printer, printable};
use crate::private;

#[derive(Serialize)]
struct DoctorFinding {
    what: String,
    good: bool,
    advice: String,
}

pub(crate) async fn run(config: &Config, file: &Path, print: &Printer) -> anyhow::Result<Exit> {
    let mut findings = vec![good(format!("configuration {}", file.display()))];
    findings.extend(moved_keys(config));
    let folder = folder(&config.node.data);
    // A missing folder is one fault, not three.
    let exists = folder.good;
    findings.push(folder);
    if exists {
        findings.extend([free_space(&config.node.data), privacy(&config.node.data)]);
    }
    findings.extend(listeners::findings(config, jiff::Timestamp::now()));
    findings.extend(tokens_file(config));
    let (server_findings, can_write) = servers(config).await;
    findings.extend(server_findings);
    let view = super::servers::node_view(config).await;
    let is_parked = view.as_ref().is_some_and(|view| view.parked.is_some());
    findings.extend(view.map(followed));
    let ReadCheck(failure, account) = directory(config).await;
    let mut is_good = account.good;
    findings.push(account);
    // A directory that fails or refuses the node's account shows no schema and no people: report this fault once.
    if failure.is_none() {
        let schema = schema(config).await;
        is_good &= schema.good;
        findings.push(schema);
    }
    // If the directory, the schema or all providers failed, these checks would only report the same fault again.
    if is_good && can_write {
        findings.extend(settings(config).await);
        // While a refresh is parked, the directory may have lost addresses. They must be restored, so the advice to add
        // a postmaster would be wrong.
        if !is_parked {
            findings.extend(postmasters(config).await);
        }
    }
    let bad = findings.iter().filter(|finding| !finding.good).count();
    print.show(&findings, |findings| {
        for finding in findings {
            out!("{} {}", if finding.good { "good" } else { "BAD " }, printable(&finding.what));
            if !finding.good {
                out!("       {}", printable(&finding.advice));
            }
        }
    })?;
    if bad > 0 {
        err!("provost: {bad} of {} checks failed", findings.len());
    }
    Ok(match failure {
        Some(DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)) => Exit::DirectoryUnavailable,
        _ if bad > 0 => Exit::Failed,
        _ => Exit::Clean,
    })
}

/// Free space in octets below which the check fails: some large messages and the logs of the databases need room.
const FREE_OCTETS_MIN: u64 = 256 * 1024 * 1024;

fn good(what: String) -> DoctorFinding {
    DoctorFinding { what, good: true, advice: String::new() }
}

fn finding(what: String, result: Result<(), String>, advice: &str) -> DoctorFinding {
    match result {
        Ok(()) => good(what),
        Err(why) => DoctorFinding { what: format!("{what}: {why}"), good: false, advice: advice.to_owned() },
    }
}

/// A good finding for each key that states a shared setting: the key is valid, but the setting belongs in the
/// directory, where it holds for all nodes.
fn moved_keys(config: &Config) -> Vec<DoctorFinding> {
    let finding_of = |(key, command): (&str, String)| {
        let what =
            format!("{key} applies only while the directory states no value; move it there for all nodes: {command}");
        good(what)
    };
    config.migration_commands().into_iter().map(finding_of).collect()
}

fn folder(data: &Path) -> DoctorFinding {
    let writable = tempfile::tempfile_in(data).map(drop).map_err(|e| e.to_string());
    finding(format!("data folder {}", data.display()), writable, "create it, and let the node's user write there")
}

/// Checks the free space of the data folder's file system: on a full disk all mail is deferred.
fn free_space(data: &Path) -> DoctorFinding {
    let free = rustix::fs::statvfs(data).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    enough_space(free.map_err(|error| error.to_string()))
}

fn enough_space(free: Result<u64, String>) -> DoctorFinding {
    let result = match free {
        Ok(octets) if octets >= FREE_OCTETS_MIN => Ok(()),
        Ok(octets) => Err(format!("only {} MiB are free", octets / (1024 * 1024))),
        Err(error) => Err(error),
    };
    let advice =
        "free some space or enlarge the file system: on a full disk, mail is deferred (451) and APPEND is refused";
    finding("space in the data folder".to_owned(), result, advice)
}

/// Checks that the data folder gives no rights to group and others: it holds mail, password hashes and the audit.
fn privacy(data: &Path) -> DoctorFinding {
    let result = match private::open_to_others(data) {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(format!("group or others have rights on {}", path.display())),
        Err(error) => Err(error.to_string()),
    };
    let advice = format!("chmod -R go= {}; the node does so when it starts", data.display());
    finding("data folder is private".to_owned(), result, &advice)
}

/// Checks `api.tokens_file`, if it is set: a node that cannot read the file does not start.
fn tokens_file(config: &Config) -> Option<DoctorFinding> {
    let file = config.api.tokens_file.as_ref()?;
    let read = config.fixed_tokens().map(drop).map_err(|error| format!("{error:#}"));
    Some(finding(
        format!("tokens file {}", file.display()),
        read,
        "correct or create it (it may be empty), or remove the key api.tokens_file",
    ))
}

/// Checks each server separately; the second value is whether a provider can be used.
async fn servers(config: &Config) -> (Vec<DoctorFinding>, bool) {
    // A `[directory]` section that cannot be used is reported by the check of the directory as a whole.
    let Ok(directory) = config.directory_config() else { return (Vec::new(), true) };
    let states = super::servers::server_states(&directory).await;
    let can_write = !is_without_provider(&states);
    // A single server is covered by the check of the directory.
    if states.len() < 2 {
        return (Vec::new(), can_write);
    }
    let findings = states.into_iter().map(|state| {
        let advice = match state.role {
            "provider" if !can_write => {
                "start it: until then nothing can be changed; mail, logins and look-ups go on from a replica"
            }
            _ => "start it: until then the others carry its load",
        };
        let csn = state.context_csn.join(" ");
        finding(format!("{} {} {csn}", state.role, state.url), state.fault.map_or(Ok(()), Err), advice)
    });
    (findings.collect(), can_write)
}

/// Checks the View of the running node. The checks of the listeners report a node that does not answer.
fn followed(view: NodeView) -> DoctorFinding {
    let what = match &view.source {
        Some(source) => format!("node follows {source}"),
        None => "node follows a directory server".to_owned(),
    };
    const PARKED: &str = "was a server restored or emptied? if this is intended: provost settings set removal-guard 100, and back afterwards";
    const NOT_CURRENT: &str = "start a directory server; the node then follows it without a restart";
    match (view.parked, view.current) {
        (Some(reason), _) => finding(what, Err(format!("parked: {reason}")), PARKED),
        (None, false) => {
            let state = "not now: it serves known people and defers mail for unknown ones";
            finding(what, Err(state.to_owned()), NOT_CURRENT)
        }
        (None, true) => good(what),
    }
}

/// Result of reading the suffix with the node's account: the error, if the directory failed or refused, and the
/// finding.
struct ReadCheck(Option<DirectoryError>, DoctorFinding);

async fn directory(config: &Config) -> ReadCheck {
    const WHAT: &str = "directory";
    const SETUP: &str = "see docs/openldap.md: server, bind_dn, password, syncprov, access rules";
    let bad = |why: String, advice: &str| finding(WHAT.to_owned(), Err(why), advice);
    let directory = match config.directory_config() {
        Ok(config) => Directory::new(config),
        Err(error) => return ReadCheck(None, bad(format!("{error:#}"), "correct the [directory] section")),
    };
    let suffix = directory.suffix().clone();
    match directory.read(&suffix, &["contextCSN"]).await {
        Ok(Some(entry)) if entry.values("contextCSN").is_empty() => ReadCheck(
            None,
            bad("no contextCSN: syncprov is not loaded or the server is still being filled".to_owned(), SETUP),
        ),
        Ok(Some(_)) => ReadCheck(None, good(WHAT.to_owned())),
        Ok(None) | Err(DirectoryError::NoSuchObject(_)) => {
            let why = format!("there is no {suffix}, or {} may not read it", config.directory.bind_dn);
            ReadCheck(None, bad(why, "is directory.suffix right? then: provost directory init"))
        }
        Err(error) => {
            let found = bad(error.to_string(), exit::directory_advice(&error).unwrap_or(SETUP));
            ReadCheck(Some(error), found)
        }
    }
}

async fn schema(config: &Config) -> DoctorFinding {
    let check = async {
        let directory = Directory::new(config.directory_config().map_err(|e| format!("{e:#}"))?);
        let published = directory.subschema().await.map_err(|e| e.to_string())?;
        let known = |name: &str| published.iter().any(|(_, text)| text.contains(&format!("'{name}'")));
        let needed =
            [class::PROVOST_ACCOUNT, class::PROVOST_ADDRESS_ENTRY, class::PROVOST_SETTING, class::PROVOST_GROUP];
        let missing: Vec<_> = needed.into_iter().filter(|name| !known(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not in the server's schema: {}", missing.join(", "))) }
    };
    finding("schema".to_owned(), check.await, "load the files of schema/ldif into the server")
}

/// Checks the shared settings in the directory; each value that breaks its rule is a separate finding.
async fn settings(config: &Config) -> Vec<DoctorFinding> {
    const WHAT: &str = "shared settings";
    const MEND: &str = "the last valid value is in force, else the default; correct it: provost settings set NAME VALUE, or settings unset NAME";
    let check = async {
        let directory = Directory::new(config.directory_config().map_err(|e| format!("{e:#}"))?);
        read_shared_settings(&directory, &config.fallback()).await.map_err(|e| e.to_string())
    };
    match check.await {
        Err(why) => vec![finding(WHAT.to_owned(), Err(why), "may bind_dn read ou=policies and ou=services?")],
        Ok(read) if read.faults().is_empty() => vec![good(WHAT.to_owned())],
        Ok(read) => {
            let bad = |fault: &SettingFault| {
                let (dn, values) = (printable(&fault.dn), printable(&fault.values.join("; ")));
                finding(dn, Err(format!("'{values}' is not in force; rule: {}", fault.rule)), MEND)
            };
            read.faults().iter().map(bad).collect()
        }
    }
}

/// Checks that each served domain has a postmaster (RFC 5321 §4.5.1).
async fn postmasters(config: &Config) -> Vec<DoctorFinding> {
    let read = async {
        let access = super::desk_access(config).await.map_err(|e| format!("{e:#}"))?;
        let directory = Directory::new(config.directory_config().map_err(|e| format!("{e:#}"))?);
        let domains = read_domains(&directory).await.map_err(|e| e.to_string())?;
        let addresses = directory.suffix().child("ou", ou::ADDRESSES);
        if directory.read(&addresses, &["1.1"]).await.map_err(|e| e.to_string())?.is_none() {
            return Err(format!("{addresses} does not exist, or bind_dn may not read it"));
        }
        Ok((access, domains))
    };
    let (access, mut domains) = match read.await {
        Ok(read) => read,
        Err(why) => {
            let advice = "restore what was deleted from a backup, or let bind_dn read ou=domains and ou=addresses";
            return vec![finding("postmaster".to_owned(), Err(why), advice)];
        }
    };
    if domains.is_empty() {
        domains.push(access.settings.domain.clone());
    }
    let mut findings = Vec::new();
    for domain in domains {
        findings.push(postmaster(&access, &domain).await);
    }
    findings
}

async fn postmaster(access: &DeskAccess, domain: &str) -> DoctorFinding {
    let address = format!("postmaster@{domain}");
    let result = match access.desk.person(&access.principal, &address).await {
        Ok(_) => Ok(()),
        Err(DeskError::NotFound(_)) => has_target(access, &address).await,
        Err(error) => Err(error.to_string()),
    };
    finding(address.clone(), result, &format!("say who gets its mail: provost address role {address} --target ADDRESS"))
}

/// Whether a person gets the mail of a role: a target that it names, or the person whose login is its local part.
async fn has_target(access: &DeskAccess, address: &str) -> Result<(), String> {
    let roles = access.desk.role_addresses(&access.principal).await.map_err(|error| error.to_string())?;
    let role = roles.iter().find(|role| role.address.eq_ignore_ascii_case(address));
    let has_default = async || access.desk.person(&access.principal, "postmaster").await.is_ok();
    match role {
        Some(role) if !role.targets.is_empty() || has_default().await => Ok(()),
        _ => Err("no person has it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_free_space_is_a_fault() {
        assert!(enough_space(Ok(FREE_OCTETS_MIN)).good);
        let full = enough_space(Ok(3 * 1024 * 1024));
        assert!(!full.good && full.what == "space in the data folder: only 3 MiB are free", "{}", full.what);
        assert!(!enough_space(Err("no such folder".to_owned())).good);
    }
}
