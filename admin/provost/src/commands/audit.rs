//! `provost audit list|export`: shows and exports records of the audit.

use std::ops::ControlFlow;

use clap::{Args, Subcommand, ValueEnum};
use provost_provision::{AuditRecord, AuditSelection, audit_csv_header, audit_csv_lines};

use super::moment::{self, Moment};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{ListOutput, Printer, printable};

/// Records that are read at once.
const PAGE_RECORDS: usize = 500;

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
    /// Export records, oldest first: each change, who made it, why, and the values before and after.
    Export(Export),
}

/// Arguments of an export.
#[derive(Args)]
#[command(after_help = "Examples:
  provost audit export --since 2026-09-01 --until 2026-09-30 > september.csv
  provost audit export --person zoe.tremblay --format jsonl
CSV has one line for each changed attribute; several values of one are separated by line ends within the cell. JSON lines
have each record as it is. The export itself is recorded in the audit.")]
pub(crate) struct Export {
    /// Only records from this day or time on: 2026-09-01 or 2026-09-01T08:30:00Z.
    #[arg(long, value_parser = moment::parse, value_name = "DATE")]
    since: Option<Moment>,
    /// Only records up to the end of this day, or before this time.
    #[arg(long, value_parser = moment::parse, value_name = "DATE")]
    until: Option<Moment>,
    /// Only records about this person: login, address, registrar's number, or provostPersonId.
    #[arg(long, conflicts_with = "subject")]
    person: Option<String>,
    /// Only records with this subject, in full, as a record shows it.
    #[arg(long)]
    subject: Option<String>,
    /// Form of the export; `--json` is short for jsonl.
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object on each line.
    Jsonl,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    match command {
        Command::List { person, subject, limit } => list(config, person, subject, limit.into(), print).await,
        Command::Export(arguments) => export(config, arguments, print).await,
    }
}

async fn list(
    config: &Config,
    person: Option<String>,
    subject: Option<String>,
    limit: usize,
    print: &Printer,
) -> anyhow::Result<Exit> {
    let access = super::desk_access_without_directory(config).await?;
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

async fn export(config: &Config, arguments: Export, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access_without_directory(config).await?;
    let (desk, principal, zone) = (&access.desk, &access.principal, &access.settings.time_zone);
    let subject = match &arguments.person {
        Some(person) => Some(desk.person(principal, person).await?.dn),
        None => arguments.subject.clone(),
    };
    let selection = AuditSelection {
        since: arguments.since.map(|since| since.beginning(zone)),
        // Without an end, the export would also find the records that are made while it runs.
        until: Some(arguments.until.map_or_else(jiff::Timestamp::now, |until| until.end(zone))),
        subject,
    };
    let is_json = print.is_json() || arguments.format == ExportFormat::Jsonl;
    let mut output = ListOutput::new();
    let mut next = Some(desk.begin_audit_export(principal, &selection).await?);
    let mut flow = if is_json { ControlFlow::Continue(()) } else { output.write(&audit_csv_header()) };
    while let (Some(after), ControlFlow::Continue(())) = (next, flow) {
        let page = desk.audit_page(principal, &selection, after, PAGE_RECORDS).await?;
        flow = page.records.iter().try_for_each(|record| {
            let lines = if is_json { json_line(record) } else { audit_csv_lines(record) };
            output.write(&lines)
        });
        next = page.next;
    }
    if flow.is_continue() {
        let _: ControlFlow<()> = output.flush();
    }
    Ok(Exit::Clean)
}

fn json_line(record: &AuditRecord) -> String {
    // Every record was read from JSON.
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

fn show(record: &AuditRecord) {
    let AuditRecord { id, at, actor, via, action, subject, detail, addresses: _ } = record;
    out!("{at} {} ({via}) {action} {}", printable(actor), printable(subject));
    out!("  {id} {}", printable(&detail.to_string()));
}
