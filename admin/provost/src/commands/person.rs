//! `provost person show|search|list|history|reset-password|suspend|release|close|restore|forward|quota|follow`.

use clap::Subcommand;
use provost_provision::{
    CredentialDetail, HISTORY_MAX, HistoryEntry, PersonDetail, PersonSummary, SEARCH_RESULTS_MAX, StoredPassword, Words,
};
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

mod access;
mod list;

/// Operations on people.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show one person.
    #[command(after_help = "Example: provost person show zoe.tremblay@example.edu")]
    Show {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    /// Find people by name, login, number or address; each word must match. Words after the sixth are ignored.
    #[command(after_help = "Example: provost person search tremblay")]
    Search {
        /// Words to find; accents and case do not matter.
        text: String,
        /// Maximum number of people to print, 1 to 500.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=SEARCH_RESULTS_MAX as i64))]
        limit: u16,
    },
    /// List people by affiliation, state, programme and the like, as a table, CSV or JSON lines.
    List(list::Arguments),
    /// Show the changes to a person's entry, newest first: who, when, the values before and after, and the import row
    /// that caused them.
    #[command(after_help = "Examples:
  provost person history zoe.cote
  provost --json person history registrar:20210001 --limit 200
A former address of the person also works. Reading a history is recorded in the audit, but not in the history itself.")]
    History {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Maximum number of changes to print, 1 to 1000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=HISTORY_MAX as i64))]
        limit: u16,
    },
    /// Set a generated password and print it. It is shown only once.
    #[command(after_help = "Example: provost person reset-password zoe.tremblay
The reset is refused if the person has a higher role than you: see 'provost roles show'.")]
    ResetPassword {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    #[command(flatten)]
    Access(access::Command),
}

#[derive(Serialize)]
struct PrintedPassword {
    password: String,
    audit_id: String,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    match command {
        Command::Access(command) => return access::run(&desk, &principal, &settings, command, print).await,
        Command::List(arguments) => return list::run(&desk, &principal, &arguments, print).await,
        Command::Show { person } => print.show(&desk.person(&principal, &person).await?, show)?,
        Command::Search { text, limit } => {
            print.show(&desk.search(&principal, &text, limit.into()).await?, |people| list(people, limit.into()))?
        }
        Command::History { person, limit } => {
            let person = desk.person(&principal, &person).await?;
            let entries = desk.history(&principal, &person, limit.into()).await?;
            let words = print.words(&settings.time_zone);
            print.show(&entries, |entries| show_history(&person, entries, limit.into(), &words))?;
        }
        Command::ResetPassword { person } => {
            let StoredPassword { password, audit_id, .. } = desk.reset_password(&principal, &person, None).await?;
            let reset = PrintedPassword { password: password.reveal().to_owned(), audit_id };
            print.show(&reset, |reset| out!("{}", reset.password))?;
        }
    }
    Ok(Exit::Clean)
}

fn list(people: &[PersonSummary], limit: usize) {
    for person in people {
        let (mail, name) = (printable(&person.mail), printable(&person.display_name));
        out!("{mail:<40} {name:<30} {:<8} {}", person.affiliation, person.state);
    }
    out!("{} found", counted(people.len(), "person", "people"));
    if people.len() >= limit {
        out!("There may be more: add a word, or raise --limit.");
    }
}

fn show_history(person: &PersonDetail, entries: &[HistoryEntry], limit: usize, words: &Words) {
    out!("{} <{}>, id {}", printable(&person.summary.display_name), printable(&person.summary.mail), person.summary.id);
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
        entry.changes.iter().for_each(|change| out!("  {}", printable(&words.value_change(change))));
        if entry.password_set {
            out!("  an initial password was set");
        }
        out!("  audit id {}", entry.id);
    }
    out!("{}", counted(entries.len(), "change", "changes"));
    if entries.len() >= limit {
        out!("There may be more: raise --limit.");
    }
}

/// The state of the password and of a link, in words.
fn credential_words(credential: &CredentialDetail) -> String {
    let since = credential.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    let state = match credential.state {
        "none" => "none: cannot log in".to_owned(),
        "must-change" => format!("set by somebody else{since}: must be changed"),
        "expired" => format!("set{since}: expired, must be changed"),
        _ => format!("set{since}"),
    };
    match &credential.link_until {
        Some(until) => format!("{state}; activation link until {until}"),
        None => state,
    }
}

fn show(person: &PersonDetail) {
    let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), printable);
    let name = printable(&person.summary.display_name);
    out!("{name} ({}, {})", person.summary.affiliation, person.summary.state);
    out!("  login      {}", printable(&person.summary.uid));
    out!("  id         {}", person.summary.id);
    out!("  number     {}", printable(&person.sources.join(", ")));
    if !person.roles.is_empty() {
        out!("  roles      {}", printable(&person.roles.join(", ")));
    }
    out!("  programme  {}", or_dash(&person.program));
    out!("  from, to   {}, {}", or_dash(&person.start_date), or_dash(&person.end_date));
    out!("  password   {}", credential_words(&person.credential));
    access::show(person);
    out!("  created    {}", or_dash(&person.created));
    out!("  changed    {}", or_dash(&person.modified));
    super::address::show(&person.addresses);
    match &person.vacation {
        Some(vacation) => super::vacation::show(vacation),
        None => out!("  vacation   none"),
    }
}
