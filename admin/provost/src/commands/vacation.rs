//! `provost vacation set|show|clear`.

use clap::{Args, Subcommand};
use jiff::civil::Date;
use provost_provision::VacationChange;
use provost_view::VACATION_INTERVAL_DAYS;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// Operations on a vacation rule.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Set the vacation rule of a person: reply to their mail from one day to another.
    #[command(after_help = "Example:
  provost vacation set zoe.tremblay --start 2026-12-20 --end 2027-01-05 \\
    --subject-fr Absence --text-fr 'De retour le 6 janvier.' --text-en 'Back on January 6.'")]
    Set(Box<SetArguments>),
    /// Show the vacation rule of a person.
    #[command(after_help = "Example: provost vacation show zoe.tremblay")]
    Show {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
    /// Remove the vacation rule, so that no more replies are sent.
    #[command(after_help = "Example: provost vacation clear zoe.tremblay")]
    Clear {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
    },
}

/// A new rule, which replaces an existing one.
#[derive(Args)]
pub(crate) struct SetArguments {
    /// Login, address, registrar's number, or provostPersonId.
    person: String,
    /// First day, YYYY-MM-DD; without it, the rule applies at once.
    #[arg(long)]
    start: Option<Date>,
    /// Last day, YYYY-MM-DD, inclusive; no end by default.
    #[arg(long)]
    end: Option<Date>,
    /// Subject in French.
    #[arg(long)]
    subject_fr: Option<String>,
    /// Subject in English.
    #[arg(long)]
    subject_en: Option<String>,
    /// Text in French; this or --text-en is needed.
    #[arg(long, required_unless_present = "text_en")]
    text_fr: Option<String>,
    /// Text in English; this or --text-fr is needed.
    #[arg(long)]
    text_en: Option<String>,
    /// Days between two replies to one sender, 1 to 365; 7 by default.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=365))]
    interval_days: Option<u16>,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
    match command {
        Command::Set(set) => {
            let change = VacationChange {
                start: set.start,
                end: set.end,
                subject_fr: set.subject_fr,
                subject_en: set.subject_en,
                text_fr: set.text_fr,
                text_en: set.text_en,
                interval_days: set.interval_days,
            };
            let audit_id = desk.set_vacation(&principal, &set.person, change).await?;
            print.show(&audit_id, |_| out!("vacation of {} set", set.person))?;
        }
        Command::Show { person } => {
            let vacation = desk.person(&principal, &person).await?.vacation;
            print.show(&vacation, |vacation| match vacation {
                Some(vacation) => show(vacation),
                None => out!("  vacation   none"),
            })?;
        }
        Command::Clear { person } => {
            let audit_id = desk.clear_vacation(&principal, &person).await?;
            print.show(&audit_id, |_| out!("vacation of {person} cleared"))?;
        }
    }
    Ok(Exit::Clean)
}

pub(crate) fn show(vacation: &VacationChange) {
    let from = vacation.start.map(|day| format!("from {day} ")).unwrap_or_default();
    let until = vacation.end.map_or_else(|| "cleared".to_owned(), |day| day.to_string());
    out!("  vacation   {from}until {until}");
    let days = vacation.interval_days.unwrap_or(VACATION_INTERVAL_DAYS);
    out!("    interval   {}", counted(days.into(), "day", "days"));
    let parts = [
        ("subject fr", &vacation.subject_fr),
        ("subject en", &vacation.subject_en),
        ("text fr", &vacation.text_fr),
        ("text en", &vacation.text_en),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            // Indent the further lines of a text below its name.
            let lines: Vec<String> = value.lines().map(printable).collect();
            out!("    {name:<10} {}", lines.join("\n               "));
        }
    }
}
