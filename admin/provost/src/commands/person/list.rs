//! `provost person list`: people by their properties, in bounded memory.

use std::ops::ControlFlow;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use provost_provision::{Desk, LIST_COLUMNS, ListColumn, ListedPerson, PeopleFilter, Principal, csv_line};

use crate::exit::Exit;
use crate::output::{ListOutput, Printer, printable};

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost person list --affiliation student --ends-before 2027-01-01
  provost person list --suspended
  provost person list --no-login-since 2026-01-01 --format csv > quiet.csv
  provost person list --source registrar --format csv > registrar.csv
  provost person list --columns login,mail,state,last_login --format csv
  provost --json person list --program B-MUS | jq .mail
Each condition that is given must hold. People are listed as the directory returns them, unsorted.
CSV has the columns of an import, so that the file can be corrected and imported again; with --source, the numbers are
those of that source. A cell that a spreadsheet would take for a formula begins with an apostrophe.
A list holds personal data, so it is recorded in the audit.")]
pub(crate) struct Arguments {
    /// One of the person's affiliations: student, faculty, staff, alum.
    #[arg(long)]
    affiliation: Option<String>,
    /// State of the account: staged, invited, active, grace, alumni, closing, closed.
    #[arg(long)]
    state: Option<String>,
    /// A lock stands, or the state is `suspended`.
    #[arg(long)]
    suspended: bool,
    /// The person has no password.
    #[arg(long)]
    no_password: bool,
    /// No login is known since this day began (YYYY-MM-DD); people who never logged in are listed too.
    #[arg(long, value_name = "DATE")]
    no_login_since: Option<Date>,
    /// Programme of study or unit, in the registrar's words.
    #[arg(long)]
    program: Option<String>,
    /// Lifecycle policy whose promise holds for the person.
    #[arg(long)]
    policy: Option<String>,
    /// Batch that last wrote the person's entry.
    #[arg(long)]
    batch: Option<String>,
    /// Source that knows the person: registrar, hr, ...
    #[arg(long)]
    source: Option<String>,
    /// The last day is before this day (YYYY-MM-DD).
    #[arg(long, value_name = "DATE")]
    ends_before: Option<Date>,
    /// A complete file of a source no longer names the person.
    #[arg(long)]
    absent: bool,
    /// Form of the list; `--json` is short for jsonl.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
    /// Columns of a CSV list, separated by commas; `all` for every one. By default, those of an import.
    #[arg(long, value_parser = parse_columns)]
    columns: Option<ChosenColumns>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// One line for each person.
    Table,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object on each line.
    Jsonl,
}

#[derive(Clone)]
struct ChosenColumns(Vec<ListColumn>);

fn parse_columns(text: &str) -> Result<ChosenColumns, String> {
    if text == "all" {
        return Ok(ChosenColumns(LIST_COLUMNS.to_vec()));
    }
    let column = |name: &str| {
        let names = || LIST_COLUMNS.map(ListColumn::name).join(", ");
        ListColumn::parse(name).ok_or_else(|| format!("there is no column '{name}'; the columns are {}", names()))
    };
    text.split(',').map(column).collect::<Result<_, _>>().map(ChosenColumns)
}

pub(super) async fn run(
    desk: &Desk,
    principal: &Principal,
    arguments: &Arguments,
    print: &Printer,
) -> anyhow::Result<Exit> {
    let format = if print.is_json() { ListFormat::Jsonl } else { arguments.format };
    let columns = arguments.columns.clone().map_or_else(ListColumn::of_import, |columns| columns.0);
    let (mut output, mut count) = (ListOutput::new(), 0_usize);
    if format == ListFormat::Csv && output.write(&csv_line(columns.iter().map(|column| column.name()))).is_break() {
        return Ok(Exit::Clean);
    }
    let mut closed = false;
    let each = |person: ListedPerson| {
        count += 1;
        let line = match format {
            ListFormat::Table => table_line(&person),
            ListFormat::Csv => csv_line(columns.iter().map(|column| column.cell(&person))),
            // Every field of a listed person has a JSON form.
            ListFormat::Jsonl => serde_json::to_string(&person).unwrap_or_default() + "\n",
        };
        let flow = output.write(&line);
        closed = flow.is_break();
        flow
    };
    desk.list_people(principal, &filter(arguments), each).await?;
    if closed {
        return Ok(Exit::Clean);
    }
    if format == ListFormat::Table {
        let people = crate::output::counted(count, "person", "people");
        let _: ControlFlow<()> = output.write(&format!("{people}\n"));
    }
    let _: ControlFlow<()> = output.flush();
    Ok(Exit::Clean)
}

fn filter(arguments: &Arguments) -> PeopleFilter {
    PeopleFilter {
        affiliation: arguments.affiliation.clone(),
        state: arguments.state.clone(),
        suspended: arguments.suspended,
        no_password: arguments.no_password,
        no_login_since: arguments.no_login_since,
        program: arguments.program.clone(),
        policy: arguments.policy.clone(),
        batch: arguments.batch.clone(),
        source: arguments.source.clone(),
        ends_before: arguments.ends_before,
        absent: arguments.absent,
    }
}

fn table_line(person: &ListedPerson) -> String {
    let (mail, name) = (printable(&person.mail), printable(&person.display_name));
    let state = if person.suspended { "suspended" } else { &person.state };
    let end = person.end_date.map(|day| day.to_string()).unwrap_or_default();
    let (affiliation, state) = (printable(&person.affiliation), printable(state));
    let line = format!("{mail:<40} {name:<30} {affiliation:<8} {state:<10} {end}");
    format!("{}\n", line.trim_end())
}
