//! `provost directory status|init`.

use clap::Subcommand;
use provost_client::{Directory, LdapSearch, Scope};
use provost_entry::Filter;
use provost_provision::Permission;
use provost_schema::class;
use serde::Serialize;

use super::servers::{self, NodeView, ServerState};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on the directory as a whole.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the state of each directory server, and the number of people and addresses.
    #[command(after_help = "Example: provost directory status")]
    Status,
    /// Create the suffix, the containers and the domain where they are missing.
    #[command(after_help = "Example: provost directory init")]
    Init,
}

#[derive(Serialize)]
struct StatusReport {
    suffix: String,
    servers: Vec<ServerState>,
    /// The state of the running node's View; `None` when the node does not answer or refuses.
    node: Option<NodeView>,
    /// Number of people, from the first server that answers; `None` when none does.
    people: Option<usize>,
    addresses: Option<usize>,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Status => {
            super::permit(config, Permission::ViewNode).await?;
            let status = status(config).await?;
            print.show(&status, show)?;
            if status.people.is_none() {
                return Ok(Exit::DirectoryUnavailable);
            }
        }
        Command::Init => {
            let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
            let made = desk.ensure_tree(&principal).await?;
            print.show(&made, |made| {
                made.iter().for_each(|dn| out!("made {}", printable(dn)));
                out!("{} made", made.len());
            })?;
        }
    }
    Ok(Exit::Clean)
}

async fn status(config: &Config) -> anyhow::Result<StatusReport> {
    let directory_config = config.directory_config()?;
    let servers = servers::server_states(&directory_config).await;
    let directory = Directory::new(directory_config);
    let (mut people, mut addresses) = (None, None);
    if servers.iter().any(|server| server.fault.is_none()) {
        people = Some(count(&directory, class::PROVOST_ACCOUNT).await?);
        addresses = Some(count(&directory, class::PROVOST_ADDRESS_ENTRY).await?);
    }
    let suffix = directory.suffix().to_string();
    Ok(StatusReport { suffix, servers, node: servers::node_view(config).await, people, addresses })
}

async fn count(directory: &Directory, class: &str) -> anyhow::Result<usize> {
    let search = LdapSearch {
        base: directory.suffix().clone(),
        scope: Scope::Subtree,
        filter: Filter::equal("objectClass", class),
        attributes: vec!["1.1".to_owned()],
        limit: None,
    };
    Ok(directory.search(search).await?.len())
}

fn show(status: &StatusReport) {
    out!("suffix      {}", status.suffix);
    for server in &status.servers {
        let state = match &server.fault {
            Some(fault) => format!("DEAD: {}", printable(fault)),
            None if server.context_csn.is_empty() => "no contextCSN: not ready".to_owned(),
            None => format!("contextCSN {}", printable(&server.context_csn.join(" "))),
        };
        out!("{:<11} {}  {state}", server.role, server.url);
    }
    match &status.node {
        None => out!("node        no answer (does it run, and are listeners.http and api.token_file right?)"),
        Some(NodeView { parked: Some(reason), .. }) => {
            out!("node        PARKED, serves its last accepted state: {}", printable(reason))
        }
        Some(NodeView { source: Some(source), .. }) => out!("node        follows {}", printable(source)),
        Some(_) => out!("node        follows no server: known people are served, mail for unknown ones is deferred"),
    }
    if servers::is_without_provider(&status.servers) {
        out!("            changes (imports, help desk, passwords) need a provider; mail and logins continue");
    }
    let count_text = |count: Option<usize>| count.map_or("-".to_owned(), |count| count.to_string());
    out!("people      {}", count_text(status.people));
    out!("addresses   {}", count_text(status.addresses));
}
