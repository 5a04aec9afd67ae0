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
  provost --json audit list --limit 1000
--person looks the person up in the directory. The audit records this look-up; the list leaves its record out. While the
directory is down, give --subject the DN that a record of the person shows.")]
    List {
        /// Only records about this person: login, address, registrar's number, or provostPersonId.
        #[arg(long, conflicts_with = "subject")]
        person: Option<String>,
        /// Only records with this subject, in full, as a record shows it: a DN or `token:NAME`, for example.
        #[arg(long)]
        subject: Option<String>,
        /// Maximum number of records, 1 to 1000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let Command::List { person, subject, limit } = command;
    let access = super::desk_access_without_directory(config).await?;
    let limit = usize::from(limit);
    // The look-up of the person is itself recorded: read one record more, and leave out the record of the look-up.
    let (subject, own_view) = match person {
        Some(person) => {
            let person = access.desk.person(&access.principal, &person).await?;
            (Some(person.dn), Some(person.audit_id))
        }
        None => (subject, None),
    };
    let mut records = access.desk.audit_records(&access.principal, subject.as_deref(), limit + 1).await?;
    records.retain(|record| Some(&record.id) != own_view.as_ref());
    records.truncate(limit);
    print.show(&records, |records| records.iter().for_each(show))?;
    Ok(Exit::Clean)
}

fn show(record: &AuditRecord) {
    let AuditRecord { id, at, actor, via, action, subject, detail, addresses: _ } = record;
    out!("{at} {} ({via}) {action} {}", printable(actor), printable(subject));
    out!("  {id} {}", printable(&detail.to_string()));
}
