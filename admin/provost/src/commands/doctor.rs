//! `provost doctor`: what is wrong here, and what to do.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use provost_client::Directory;
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::Printer;

/// How long a listener may take to accept.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Finding {
    what: String,
    good: bool,
    advice: String,
}

pub(crate) async fn run(config: &Config, file: &Path, print: &Printer) -> anyhow::Result<Exit> {
    let mut found = vec![finding(format!("configuration {}", file.display()), Ok(()), "")];
    found.push(folder(&config.node.data));
    found.extend(listeners(config));
    found.extend(certificate(config));
    found.push(directory(config).await);
    found.push(schema(config).await);
    found.push(postmaster(config).await);
    let bad = found.iter().filter(|finding| !finding.good).count();
    print.show(&found, |found| {
        for finding in found {
            println!("{} {}", if finding.good { "good" } else { "BAD " }, finding.what);
            if !finding.good {
                println!("       {}", finding.advice);
            }
        }
    })?;
    if bad > 0 {
        anyhow::bail!("{bad} of {} checks failed", found.len());
    }
    Ok(Exit::Clean)
}

fn finding(what: String, result: Result<(), String>, advice: &str) -> Finding {
    match result {
        Ok(()) => Finding { what, good: true, advice: String::new() },
        Err(why) => Finding { what: format!("{what}: {why}"), good: false, advice: advice.to_owned() },
    }
}

fn folder(data: &Path) -> Finding {
    let tried = tempfile::tempfile_in(data).map(drop).map_err(|e| e.to_string());
    finding(format!("data folder {}", data.display()), tried, "make it, and let the node's user write there")
}

fn listeners(config: &Config) -> Vec<Finding> {
    let all = &config.listeners;
    let named = [
        ("http", all.http),
        ("mx", all.mx),
        ("submission", all.submission),
        ("submissions", all.submissions),
        ("lmtp", all.lmtp),
        ("imap", all.imap),
        ("imaps", all.imaps),
        ("pop3", all.pop3),
        ("pop3s", all.pop3s),
        ("health", all.health),
    ];
    let check = |(name, address): (&str, Option<SocketAddr>)| {
        let address = address?;
        let tried = TcpStream::connect_timeout(&address, CONNECT_LIMIT).map(drop).map_err(|e| e.to_string());
        Some(finding(format!("listener {name} {address}"), tried, "start the node: provost --config FILE serve"))
    };
    named.into_iter().filter_map(check).collect()
}

fn certificate(config: &Config) -> Option<Finding> {
    let tls = config.tls.as_ref()?;
    let read = provost_net::server_config(&tls.certificate, &tls.key).map(drop).map_err(|e| e.to_string());
    Some(finding("certificate and key".to_owned(), read, "both must be PEM and belong together"))
}

async fn directory(config: &Config) -> Finding {
    let asked = async {
        let directory = Directory::new(config.directory_config().map_err(|e| format!("{e:#}"))?);
        let suffix = directory.suffix().clone();
        let entry = directory.read(&suffix, &["contextCSN"]).await.map_err(|e| e.to_string())?;
        match entry {
            None => Err(format!("there is no {suffix}; run: provost directory init")),
            Some(entry) if entry.values("contextCSN").is_empty() => {
                Err("no contextCSN: syncprov is not loaded or the server is still being filled".to_owned())
            }
            Some(_) => Ok(()),
        }
    };
    finding(
        "directory".to_owned(),
        asked.await,
        "see docs/openldap.md: server, bind_dn, password, syncprov, access rules",
    )
}

async fn schema(config: &Config) -> Finding {
    let asked = async {
        let directory = Directory::new(config.directory_config().map_err(|e| format!("{e:#}"))?);
        let published = directory.subschema().await.map_err(|e| e.to_string())?;
        let known = |name: &str| published.iter().any(|(_, text)| text.contains(&format!("'{name}'")));
        let needed = [provost_schema::class::PROVOST_ACCOUNT, provost_schema::class::PROVOST_ADDRESS_ENTRY];
        let missing: Vec<_> = needed.into_iter().filter(|name| !known(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not in the server's schema: {}", missing.join(", "))) }
    };
    finding("schema".to_owned(), asked.await, "load the files of schema/ldif into the server")
}

/// RFC 5321 §4.5.1: every served domain has a postmaster.
async fn postmaster(config: &Config) -> Finding {
    let address = format!("postmaster@{}", config.settings().domain);
    let asked = async {
        let desk = super::desk(config).map_err(|e| format!("{e:#}"))?;
        desk.person(&address).await.map(drop).map_err(|e| e.to_string())
    };
    finding(address.clone(), asked.await, &format!("give it to somebody: provost address add PERSON {address}"))
}
