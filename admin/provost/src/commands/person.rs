//! `provost person show|search|history|reset-password`.

use clap::Subcommand;
use provost_provision::{HISTORY_MAX, HistoryEntry, PersonDetail, PersonSummary, ValueChange};
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on people.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show one person: by login, address, registrar's number or id.
    #[command(after_help = "Example: provost person show zoe.tremblay@example.edu")]
    Show {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    /// Find people whose name, login or address has each word.
    #[command(after_help = "Example: provost person search tremblay")]
    Search {
        /// Words to find; accents and case do not matter.
        text: String,
        /// Maximum number of people to print.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show the changes of a person, newest first: actor, time, old and new values, the row of the import.
    #[command(after_help = "Examples:
  provost person history zoe.cote
  provost --json person history registrar:20210001 --limit 200
An address that the person had before finds them as well. The view is in the audit; views are not in the history.")]
    History {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Maximum number of changes to print, 1 to 1000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=HISTORY_MAX as i64))]
        limit: u16,
    },
    /// Set a generated password and print it. It is shown only once.
    #[command(after_help = "Example: provost person reset-password zoe.tremblay
A person with a higher role than yours is refused: see 'provost roles show'.")]
    ResetPassword {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
}

#[derive(Serialize)]
struct ResetPassword {
    password: String,
    audit_id: String,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, .. } = super::asking(config).await?;
    match command {
        Command::Show { person } => print.show(&desk.person(&principal, &person).await?, show)?,
        Command::Search { text, limit } => {
            print.show(&desk.search(&principal, &text, limit).await?, |found| list(found, limit))?
        }
        Command::History { person, limit } => {
            let person = desk.person(&principal, &person).await?;
            let entries = desk.history(&principal, &person, limit.into()).await?;
            print.show(&entries, |entries| show_history(&person, entries, limit.into()))?;
        }
        Command::ResetPassword { person } => {
            let (password, audit_id) = desk.reset_password(&principal, &person, None).await?;
            let reset = ResetPassword { password: password.reveal().to_owned(), audit_id };
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
        out!("There may be more: add a word, or raise --limit.");
    }
}

fn show_history(person: &PersonDetail, entries: &[HistoryEntry], limit: usize) {
    out!("{} <{}>, id {}", printable(&person.summary.display_name), person.summary.mail, person.summary.id);
    for entry in entries {
        out!("{}  {} ({})  {}", entry.at, printable(&entry.actor), entry.via, entry.action);
        if let Some(outcome) = &entry.outcome {
            let reason = entry.outcome_reason.as_deref().unwrap_or_default();
            out!("  {}: {}", outcome.to_uppercase().replace('_', " "), printable(reason));
        }
        if let Some(import) = &entry.import {
            out!("  {}", printable(&import.what));
            out!("  because {}", printable(&import.reason));
            out!("  line {} of {}, batch {}", import.row, printable(&import.source), import.batch);
        }
        entry.changes.iter().for_each(show_change);
        if entry.password_set {
            out!("  an initial password was set");
        }
        out!("  audit id {}", entry.id);
    }
    out!("{} changes", entries.len());
    if entries.len() >= limit {
        out!("There may be more: raise --limit.");
    }
}

fn show_change(change: &ValueChange) {
    let shown = |values: &[String]| if values.is_empty() { "none".to_owned() } else { printable(&values.join(", ")) };
    let about = change.address.as_ref().map(|address| format!("{} ", printable(address))).unwrap_or_default();
    out!("  {about}{}: {} -> {}", change.attribute, shown(&change.before), shown(&change.after));
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
