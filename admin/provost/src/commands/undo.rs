//! `provost undo [BATCH]`: takes an import back, or lists the imports that can be taken back.

use anyhow::Context;
use clap::Args;
use provost_provision::{Outcomes, PersonChange, PlanSummary, RecordError, UndoError};
use serde::Serialize;

use super::import::{exit_of, show_outcomes, show_plan, write};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted};

/// Maximum number of batches that are listed.
const BATCHES_LISTED_MAX: usize = 20;

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost undo                                              the last imports, with their batch ids
  provost undo 019ac3f0-5d1e-7cc3-b1c9-0d5c8e6f7a10 --dry-run     what would be put back, and what stays
  provost undo 019ac3f0-5d1e-7cc3-b1c9-0d5c8e6f7a10               put it back
A value is put back only if it still is what the import set; what somebody has changed since stays and is listed (exit
code 4). A person whom the import created is deleted if nobody has changed the entry since.")]
pub(crate) struct Arguments {
    /// The batch to take back, as `provost import` printed it; without it, the last batches are listed.
    batch: Option<String>,
    /// Print the plan and change nothing (exit code 2 when there is something to put back, 4 when something stays).
    #[arg(long, requires = "batch")]
    dry_run: bool,
}

#[derive(Serialize)]
struct UndoReport<'a> {
    plan: &'a PlanSummary,
    hash: &'a str,
    /// What stays, and why.
    left: &'a [RecordError],
    /// Each change; only with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a [PersonChange]>,
    outcomes: Option<&'a Outcomes>,
}

pub(crate) async fn run(config: &Config, arguments: &Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let Some(batch) = &arguments.batch else { return list(config, print).await };
    let access = super::desk_access(config).await?;
    let planned = match access.desk.plan_undo(&access.principal, batch).await {
        Err(UndoError::Desk(error)) => return Err(error.into()),
        Err(UndoError::Apply(error)) => return Err(error.into()),
        planned => planned.with_context(|| format!("batch {batch}: nothing was changed"))?,
    };
    let plan = &planned.plan;
    show_plan(plan, arguments.dry_run, &print.words(&access.settings.time_zone), print);
    let outcomes =
        if arguments.dry_run || plan.is_empty() { None } else { Some(write(&access, &planned, print).await?) };
    let report = UndoReport {
        plan: plan.summary(),
        hash: plan.hash(),
        left: plan.rejected(),
        changes: arguments.dry_run.then(|| plan.changes()),
        outcomes: outcomes.as_ref(),
    };
    print.show(&report, |report| show_end(report, arguments.dry_run))?;
    Ok(exit_of(plan, outcomes.as_ref(), arguments.dry_run))
}

async fn list(config: &Config, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access_without_directory(config).await?;
    let batches = access.desk.batches(&access.principal, BATCHES_LISTED_MAX).await?;
    print.show(&batches, |batches| {
        for batch in batches {
            let end = match &batch.end {
                Some(end) => format!("{} done, {} not", counted(end.applied, "person", "people"), end.failed),
                None => "not finished".to_owned(),
            };
            out!(
                "{}  {}  {} ({})  {end}, {}",
                batch.batch,
                batch.at,
                batch.actor,
                batch.via,
                counted(batch.writes, "write", "writes")
            );
        }
        if batches.is_empty() {
            out!("no import is recorded on this machine");
        }
    })?;
    Ok(Exit::Clean)
}

fn show_end(report: &UndoReport<'_>, dry_run: bool) {
    let plan = report.plan;
    out!(
        "{} of the batch: {} to put back, {} to delete, {} already as before, {} with values that stay; {}",
        counted(plan.rows, "person", "people"),
        plan.restore,
        plan.remove,
        plan.unchanged,
        plan.rejected,
        counted(plan.writes, "write", "writes")
    );
    match report.outcomes {
        None if dry_run => out!("nothing was changed (--dry-run)"),
        None => out!("nothing to put back"),
        Some(outcomes) => {
            show_outcomes(outcomes, plan.restore + plan.remove);
            out!("batch {}: to have the values of the import again, import the file again", outcomes.batch);
        }
    }
}
