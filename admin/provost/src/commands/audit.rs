//! `provost audit list`: shows records of the audit.

use clap::Subcommand;
use provost_provision::AuditRecord;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Ways to read the audit.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List records, newest first.
    #[command(after_help = "Examples:
  provost audit list --limit 20
  provost audit list --person zoe.tremblay
  provost --json audit list --limit 1000")]
    List {
        /// Only records about this person: login, address, registrar's number, or provostPersonId.
        #[arg(long, conflicts_with = "subject")]
        person: Option<String>,
        /// Only records about this subject: a DN, the digest of an imported file, `token:NAME`.
        #[arg(long)]
        subject: Option<String>,
        /// Maximum number of records, up to 1000.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let Command::List { person, subject, limit } = command;
    let access = super::desk_access_without_directory(config).await?;
    let subject = match person {
        Some(person) => Some(access.desk.person(&access.principal, &person).await?.dn),
        None => subject,
    };
    let records = access.desk.audit_records(&access.principal, subject.as_deref(), limit).await?;
    print.show(&records, |records| records.iter().for_each(show))?;
    Ok(Exit::Clean)
}

fn show(record: &AuditRecord) {
    let AuditRecord { id, at, actor, via, action, subject, detail } = record;
    out!("{at} {} ({via}) {action} {}", printable(actor), printable(subject));
    out!("  {id} {}", printable(&detail.to_string()));
}
