//! `provost address list|add|remove`.

use clap::Subcommand;
use provost_provision::AddressInfo;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on a person's addresses.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List all addresses of a person.
    #[command(after_help = "Example: provost address list zoe.tremblay")]
    List {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    /// Give a person an alias.
    #[command(after_help = "Example: provost address add zoe.tremblay dean@example.edu")]
    Add {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// The new address, in a served domain.
        address: String,
    },
    /// Remove an alias; the primary address stays. The alias goes into quarantine: until the days of the setting
    /// address-quarantine are over, only its former owner can get it back.
    #[command(after_help = "Example: provost address remove zoe.tremblay dean@example.edu")]
    Remove {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// The alias to remove.
        address: String,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
    match command {
        Command::List { person } => {
            print.show(&desk.person(&principal, &person).await?.addresses, |addresses| show(addresses))?;
        }
        Command::Add { person, address } => {
            let audit_id = desk.add_alias(&principal, &person, &address).await?;
            print.show(&audit_id, |_| out!("{address} added"))?;
        }
        Command::Remove { person, address } => {
            let audit_id = desk.remove_alias(&principal, &person, &address).await?;
            print.show(&audit_id, |_| out!("{address} removed"))?;
        }
    }
    Ok(Exit::Clean)
}

pub(crate) fn show(addresses: &[AddressInfo]) {
    for info in addresses {
        let until = info.until.as_deref().map_or_else(String::new, |until| format!(" until {}", printable(until)));
        let since = printable(info.since.as_deref().unwrap_or("-"));
        out!("  {:<11} {} since {since}{until}", info.kind, printable(&info.address));
    }
}
