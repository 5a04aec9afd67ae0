//! `provost directory status|init`.

use clap::Subcommand;
use provost_client::{Directory, Scope, Search};
use provost_entry::Filter;
use provost_provision::Operation;
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::Printer;

/// What to do with the directory.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Whether it answers, what it holds.
    #[command(after_help = "Example: provost directory status")]
    Status,
    /// Make the suffix, the containers and the domain where they are missing.
    #[command(after_help = "Example: provost directory init")]
    Init,
}

#[derive(Serialize)]
struct Status {
    suffix: String,
    context_csn: Vec<String>,
    people: usize,
    addresses: usize,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::Asking { desk, principal, .. } = super::asking(config).await?;
    let directory = Directory::new(config.directory_config()?);
    match command {
        Command::Status => {
            desk.permit(&principal, Operation::ViewNode).await?;
            print.show(&status(&directory).await?, show)?;
        }
        Command::Init => {
            let made = desk.ensure_tree(&principal).await?;
            print.show(&made, |made| {
                made.iter().for_each(|dn| out!("made {dn}"));
                out!("{} made", made.len());
            })?;
        }
    }
    Ok(Exit::Clean)
}

async fn status(directory: &Directory) -> anyhow::Result<Status> {
    let suffix = directory.suffix().clone();
    let top = directory.read(&suffix, &["contextCSN"]).await?;
    let context_csn = top.iter().flat_map(|entry| entry.texts("contextCSN")).map(str::to_owned).collect();
    let count = async |class: &'static str| -> anyhow::Result<usize> {
        let search = Search {
            base: suffix.clone(),
            scope: Scope::Subtree,
            filter: Filter::equal("objectClass", class),
            attributes: vec!["1.1".to_owned()],
            limit: None,
        };
        Ok(directory.search(search).await?.len())
    };
    let people = count(provost_schema::class::PROVOST_ACCOUNT).await?;
    let addresses = count(provost_schema::class::PROVOST_ADDRESS_ENTRY).await?;
    Ok(Status { suffix: suffix.to_string(), context_csn, people, addresses })
}

fn show(status: &Status) {
    out!("suffix      {}", status.suffix);
    let csn = if status.context_csn.is_empty() { "none: not ready".to_owned() } else { status.context_csn.join(" ") };
    out!("contextCSN  {csn}");
    out!("people      {}", status.people);
    out!("addresses   {}", status.addresses);
}
