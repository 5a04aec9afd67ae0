//! `provost person show|search|reset-password`.

use clap::Subcommand;
use provost_provision::{PersonDetail, PersonSummary};
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::Printer;

/// What to look up.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// One person: by login, address, registrar's number or id.
    #[command(after_help = "Example: provost person show zoe.tremblay@example.edu")]
    Show {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    /// People whose name, login or address has each word.
    #[command(after_help = "Example: provost person search tremblay")]
    Search {
        /// Words; accents and case do not matter.
        text: String,
        /// People printed at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Set a generated password and print it, this once.
    #[command(after_help = "Example: provost person reset-password zoe.tremblay
A person with a higher role than yours is refused: see 'provost roles show'.")]
    ResetPassword {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
}

#[derive(Serialize)]
struct Reset {
    password: String,
    audit_id: String,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::Asking { desk, principal, .. } = super::asking(config).await?;
    match command {
        Command::Show { person } => print.show(&desk.person(&principal, &person).await?, show)?,
        Command::Search { text, limit } => {
            print.show(&desk.search(&principal, &text, limit).await?, |found| list(found, limit))?
        }
        Command::ResetPassword { person } => {
            let (password, audit_id) = desk.reset_password(&principal, &person, None).await?;
            let reset = Reset { password: password.reveal().to_owned(), audit_id };
            print.show(&reset, |reset| out!("{}", reset.password))?;
        }
    }
    Ok(Exit::Clean)
}

fn list(found: &[PersonSummary], limit: usize) {
    for person in found {
        out!("{:<40} {:<30} {:<8} {}", person.mail, person.display_name, person.affiliation, person.state);
    }
    out!("{} found", found.len());
    if found.len() >= limit {
        out!("There may be more: name another word, or raise --limit.");
    }
}

fn show(person: &PersonDetail) {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    out!("{} ({}, {})", person.summary.display_name, person.summary.affiliation, person.summary.state);
    out!("  login      {}", person.summary.uid);
    out!("  id         {}", person.summary.id);
    out!("  number     {}", person.sources.join(", "));
    if !person.roles.is_empty() {
        out!("  roles      {}", person.roles.join(", "));
    }
    out!("  programme  {}", or_dash(&person.program));
    out!("  from, to   {}, {}", or_dash(&person.start_date), or_dash(&person.end_date));
    out!("  password   {}", if person.has_password { "set" } else { "none: cannot sign in" });
    if let Some(octets) = person.quota_octets {
        out!("  quota      {} MiB", octets >> 20);
    }
    out!("  created    {}", or_dash(&person.created));
    out!("  changed    {}", or_dash(&person.modified));
    super::address::show(&person.addresses);
    match &person.vacation {
        Some(vacation) => super::vacation::show(vacation),
        None => out!("  vacation   none"),
    }
}
