//! `provost roles show`: shows the operations that each role allows.

use std::collections::BTreeMap;

use clap::Subcommand;
use provost_provision::{Grant, ROLES, TABLE};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Printer;

/// Views of the roles.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the table of operations and roles.
    #[command(after_help = "Example: provost roles show
yes: for every person and object; own: only for one's own entry; -: never.
Beyond the table, no caller can change the password or the roles of a person who has a higher role.")]
    Show,
}

/// One operation and the grant of each role.
#[derive(Serialize)]
struct OperationGrants {
    operation: &'static str,
    changes_credentials: bool,
    roles: BTreeMap<&'static str, &'static str>,
}

pub(crate) fn run(command: &Command, print: &Printer) -> anyhow::Result<Exit> {
    let Command::Show = command;
    let rows: Vec<OperationGrants> = TABLE.iter().map(|(operation, _)| row(*operation)).collect();
    print.show(&rows, |rows| table(rows))?;
    Ok(Exit::Clean)
}

fn row(operation: provost_provision::Permission) -> OperationGrants {
    let roles = ROLES.iter().map(|role| (role.name(), word(role.grant(operation)))).collect();
    OperationGrants { operation: operation.name(), changes_credentials: operation.changes_credentials(), roles }
}

fn word(grant: Grant) -> &'static str {
    match grant {
        Grant::Any => "yes",
        Grant::Own => "own",
        Grant::No => "-",
    }
}

fn table(rows: &[OperationGrants]) {
    let heads: Vec<String> = ROLES.iter().map(|role| format!("{:<11}", role.name())).collect();
    out!("{:<18}{}", "", heads.concat().trim_end());
    for row in rows {
        let cells = ROLES.iter().map(|role| format!("{:<11}", row.roles.get(role.name()).copied().unwrap_or("-")));
        out!("{:<18}{}", row.operation, cells.collect::<String>().trim_end());
    }
    out!(
        "No one can change the password or the roles of a person with a higher role than their own, or lock them out."
    );
}
