//! `provost apply HASH`: applies a plan that is kept, or overrides the guard that stopped it.

use std::path::PathBuf;

use clap::Args;
use provost_provision::ImportOptions;
use serde_json::json;

use super::guard::stopped_by_guard;
use super::import::{exit_of, read_input, show_outcomes, write};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Printer;

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost apply 3f9c51d2a0b4                                   apply a plan that 'provost plan FILE' has kept
  provost apply 3f9c51d2a0b4 --file students.csv               the plan sets initial passwords, which are not kept
  provost apply 3f9c51d2a0b4 --override --reason 'closed faculty'
The plan is applied exactly as it was shown. It is refused when people that it changes have changed since. A plan that the
guard has stopped needs --override, by another person than the one who made it. An interrupted apply is completed by the
same command.")]
pub(crate) struct Arguments {
    /// Hash of the plan, or its first eight characters or more.
    hash: String,
    /// The file from which the plan was made, for its initial passwords.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Apply the plan although the guard has stopped it.
    #[arg(long = "override", requires = "reason")]
    overrides: bool,
    /// Why the guard is overridden; the audit and the batch record it.
    #[arg(long, requires = "overrides")]
    reason: Option<String>,
}

pub(crate) async fn run(config: &Config, arguments: &Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access(config).await?;
    let (desk, principal) = (&access.desk, &access.principal);
    let file = match &arguments.file {
        Some(path) => Some((read_input(path)?, ImportOptions::default())),
        None => None,
    };
    let (kept, planned) = desk.prepare_kept_plan(principal, &arguments.hash, file).await?;
    let planned = match &arguments.reason {
        Some(reason) => desk.approve_plan(principal, (&kept, planned), reason).await?.0,
        None => planned,
    };
    let outcomes = match write(&access, &planned, print).await {
        Err(error) => return stopped_by_guard(error, print),
        done => done?,
    };
    let plan = &planned.plan;
    let report = json!({ "hash": kept.hash, "plan": plan.summary(), "outcomes": outcomes });
    print.show(&report, |_| {
        show_outcomes(&outcomes, plan.changes().len());
        out!("batch {0}: to take it back, provost undo {0}", outcomes.batch);
    })?;
    Ok(match exit_of(plan, Some(&outcomes), false) {
        // Rows that were left out when the plan was made are no failure of its apply.
        Exit::RowsRejected if outcomes.failed.is_empty() => Exit::Clean,
        exit => exit,
    })
}
