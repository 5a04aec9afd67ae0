//! `provost plan FILE`, `provost plan list` and `provost plan show HASH`: plans that are kept.

mod page;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use provost_provision::{ImportError, KeptPlan, PersonChange};
use serde::Serialize;

use super::guard::lines_of;
use super::import::{FileArguments, show_classes, show_plan};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// Arguments of the command.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  provost plan students.csv                       plan the file and keep the plan; nothing is changed
  provost plan list                               plans that are kept, and those that the guard has stopped
  provost plan show 3f9c51d2a0b4                  every change, with its reason
  provost plan show 3f9c51d2a0b4 --page plan.html
  provost --json plan show 3f9c51d2a0b4
  provost apply 3f9c51d2a0b4                      apply exactly this plan
A plan is kept for 30 days, the last 20 of them, without initial passwords."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    file: Option<FileArguments>,
}

/// What to do with kept plans.
#[derive(Subcommand)]
enum Command {
    /// List the plans that are kept, newest first.
    List,
    /// Show a plan: who made it, the limits that it exceeds, and every change.
    Show {
        /// Hash of the plan, or its first eight characters or more.
        hash: String,
        /// Write the plan as a page to this new file.
        #[arg(long, value_name = "FILE")]
        page: Option<PathBuf>,
    },
}

/// A kept plan with its changes.
#[derive(Serialize)]
struct ShownPlan<'a> {
    #[serde(flatten)]
    kept: &'a KeptPlan,
    changes: &'a [PersonChange],
    rejected: &'a [provost_provision::RecordError],
}

pub(crate) async fn run(config: &Config, arguments: Arguments, print: &Printer) -> anyhow::Result<Exit> {
    match (arguments.command, arguments.file) {
        (Some(Command::List), _) => list(config, print).await,
        (Some(Command::Show { hash, page }), _) => show(config, &hash, page, print).await,
        (None, Some(file)) => keep(config, &file, print).await,
        (None, None) => bail!("state a file, or one of the commands list and show"),
    }
}

/// Plans a file and keeps the plan.
async fn keep(config: &Config, file: &FileArguments, print: &Printer) -> anyhow::Result<Exit> {
    let options = file.import_options()?;
    let access = super::desk_access(config).await?;
    let name = file.source.as_deref().unwrap_or(&access.settings.source);
    let profile = access.desk.source_profile(&access.principal, name).await?;
    let octets = file.read(&profile, config, &access.state).await?;
    let planned = match access.desk.plan_import(&access.principal, octets, options).await {
        Err(ImportError::Desk(error)) => return Err(error.into()),
        planned => planned.with_context(|| format!("{}: no plan was made", file.name()))?,
    };
    show_plan(&planned.plan, false, &print.words(&access.settings.time_zone), print);
    let kept = access.desk.keep_plan(&access.principal, &planned).await?;
    print.show(&kept, show_kept)?;
    Ok(match (kept.report.has_tripped(), planned.plan.is_empty()) {
        (true, _) => Exit::GuardTripped,
        (false, false) => Exit::ChangesPending,
        (false, true) => Exit::Clean,
    })
}

async fn list(config: &Config, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access_without_directory(config).await?;
    let plans = access.desk.kept_plans(&access.principal).await?;
    print.show(&plans, |plans| {
        for plan in plans {
            let state = if plan.report.has_tripped() { "stopped by the guard" } else { "kept" };
            out!(
                "{}  {}  {}  {} of {}, {}: {state}",
                plan.hash.get(..16).unwrap_or(&plan.hash),
                plan.at,
                printable(&plan.maker),
                plan.origin,
                printable(&plan.source),
                counted(plan.summary.writes, "write", "writes")
            );
        }
        if plans.is_empty() {
            out!("no plan is kept on this machine");
        }
    })?;
    Ok(Exit::Clean)
}

async fn show(config: &Config, hash: &str, page: Option<PathBuf>, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access_without_directory(config).await?;
    let (kept, plan) = access.desk.kept_plan(&access.principal, hash).await?;
    let words = print.words(&access.settings.time_zone);
    if let Some(path) = page {
        let about = || format!("cannot write {}", path.display());
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).with_context(about)?;
        page::write(file, &kept, &plan, &words).with_context(about)?;
        print.line(&format!("plan {} written to {}", kept.hash, path.display()));
        return Ok(Exit::Clean);
    }
    show_plan(&plan, true, &words, print);
    let shown = ShownPlan { kept: &kept, changes: plan.changes(), rejected: plan.rejected() };
    print.show(&shown, |shown| show_kept(shown.kept))?;
    Ok(Exit::Clean)
}

fn show_kept(kept: &KeptPlan) {
    let plan = &kept.summary;
    out!(
        "{}: {} to create, {} to update ({} with a new primary address), {} with another state, {} absent, {} to purge; {}",
        counted(plan.rows, "row", "rows"),
        plan.create,
        plan.update,
        plan.rename,
        plan.state,
        plan.absent,
        plan.purge,
        counted(plan.writes, "write", "writes")
    );
    show_classes(plan);
    out!("made by {} at {} ({} of {})", printable(&kept.maker), kept.at, kept.origin, printable(&kept.source));
    if kept.report.has_tripped() {
        out!("the guard stops this plan (limits of policy {}):", kept.report.policy);
        lines_of(&kept.report).iter().for_each(|line| out!("{line}"));
        out!("a second person applies it with 'provost apply {} --override --reason TEXT'", kept.hash);
    } else {
        out!("apply it with 'provost apply {}'", kept.hash);
    }
}
