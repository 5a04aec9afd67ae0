//! `provost address list|add|remove|roles|role`.

use clap::Subcommand;
use provost_provision::{AddressInfo, RoleAddress};

use super::moment::Moment;
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
    /// Give a person an alias. With --until, it receives nothing after that day and then goes into quarantine; the same
    /// command again moves the end.
    #[command(after_help = "Examples:
  provost address add zoe.tremblay dean@example.edu
  provost address add zoe.tremblay congress@example.edu --until 2027-06-30")]
    Add {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// The new address, in a served domain.
        address: String,
        /// Last day of the alias, or the exact time of its end.
        #[arg(long, value_parser = super::moment::parse)]
        until: Option<Moment>,
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
    /// List the addresses of roles and who gets their mail.
    #[command(after_help = "Example: provost address roles")]
    Roles,
    /// Say who gets the mail of a role. postmaster, abuse and security always exist in each served domain; without a
    /// target, their mail goes to the person whose login is postmaster.
    #[command(after_help = "Examples:
  provost address role postmaster@example.edu --target zoe.tremblay@example.edu
  provost address role abuse@example.edu --target ann.roy@example.edu --target li.wei@example.edu")]
    Role {
        /// The address of the role, in a served domain.
        address: String,
        /// Address of a person; several are allowed, and the first that can take mail gets it.
        #[arg(long = "target", value_name = "ADDRESS", required = true)]
        targets: Vec<String>,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    match command {
        Command::List { person } => {
            print.show(&desk.person(&principal, &person).await?.addresses, |addresses| show(addresses))?;
        }
        Command::Add { person, address, until } => {
            let audit_id = match until {
                Some(until) => {
                    desk.add_alias_until(&principal, &person, &address, until.end(&settings.time_zone)).await?
                }
                None => desk.add_alias(&principal, &person, &address).await?,
            };
            print.show(&audit_id, |_| out!("{address} added"))?;
        }
        Command::Remove { person, address } => {
            let audit_id = desk.remove_alias(&principal, &person, &address).await?;
            print.show(&audit_id, |_| out!("{address} removed"))?;
        }
        Command::Roles => {
            print.show(&desk.role_addresses(&principal).await?, |roles| show_roles(roles))?;
        }
        Command::Role { address, targets } => {
            let audit_id = desk.set_role_targets(&principal, &address, &targets).await?;
            print.show(&audit_id, |_| out!("{address} goes to {}", targets.join(", ")))?;
        }
    }
    Ok(Exit::Clean)
}

fn show_roles(roles: &[RoleAddress]) {
    for role in roles {
        let targets = if role.targets.is_empty() { "postmaster".to_owned() } else { role.targets.join(", ") };
        out!("  {} -> {}", printable(&role.address), printable(&targets));
    }
}

pub(crate) fn show(addresses: &[AddressInfo]) {
    for info in addresses {
        let until = info.until.as_deref().map_or_else(String::new, |until| format!(" until {}", printable(until)));
        let since = printable(info.since.as_deref().unwrap_or("-"));
        out!("  {:<11} {} since {since}{until}", info.kind, printable(&info.address));
    }
}
