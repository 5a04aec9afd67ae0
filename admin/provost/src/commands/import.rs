//! `provost import FILE.csv`: read, plan, show, apply.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use provost_client::Directory;
use provost_provision::{
    Actual, Encoding, Outcomes, Plan, RosterOptions, Settings, apply_until, ensure_tree, plan, read_roster,
};
use serde::Serialize;

use crate::compose::stop_signal;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, ProgressLine};

/// Largest file, octets.
const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// So many changes are shown in words; the counts tell the rest.
const CHANGES_SHOWN: usize = 50;

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost import students.csv --dry-run      what would change; nothing is written
  provost import students.csv                apply it
  provost import liste.csv --encoding windows-1252 --separator ';'
A wrong row is reported with line, column and rule, and only that row is left out; correct it and import again.
The same file again writes nothing.")]
pub(crate) struct Arguments {
    /// The registrar's file; `-` is standard input.
    file: PathBuf,
    /// Print the plan and change nothing (exit code 2 when there are changes).
    #[arg(long)]
    dry_run: bool,
    /// How the file's bytes are to be read.
    #[arg(long, value_enum, default_value = "utf-8")]
    encoding: EncodingName,
    /// Between fields: `,` or `;`; by default what the header uses.
    #[arg(long, value_parser = parse_separator)]
    separator: Option<u8>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EncodingName {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "windows-1252")]
    Windows1252,
}

fn parse_separator(text: &str) -> Result<u8, String> {
    match text {
        "," | ";" => Ok(text.as_bytes()[0]),
        _ => Err("the separator is , or ;".to_owned()),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    plan: &'a provost_provision::PlanSummary,
    hash: String,
    rejected: &'a [provost_provision::RowError],
    outcomes: Option<&'a Outcomes>,
}

pub(crate) async fn run(config: &Config, arguments: &Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let bytes = read(arguments)?;
    let encoding = match arguments.encoding {
        EncodingName::Utf8 => Encoding::Utf8,
        EncodingName::Windows1252 => Encoding::Windows1252,
    };
    let options = RosterOptions { encoding, separator: arguments.separator };
    let roster =
        read_roster(&bytes, &options).with_context(|| format!("{}: nothing was changed", arguments.file.display()))?;
    drop(bytes);

    let directory = Directory::new(config.directory_config()?);
    let settings = super::settings(config, &directory).await?;
    if !arguments.dry_run {
        for made in ensure_tree(&directory, &settings).await? {
            print.line(&format!("made {made}"));
        }
    }
    let actual = Actual::read(&directory, &settings).await?;
    let plan = plan(&roster, &actual, &settings, jiff::Timestamp::now())?;
    drop((roster, actual));
    show_plan(&plan, arguments.dry_run, print);

    let outcomes = if arguments.dry_run || plan.is_empty() {
        None
    } else {
        Some(write(config, &settings, &plan, &directory).await?)
    };
    let report =
        Report { plan: &plan.summary, hash: plan.hash(), rejected: plan.rejected(), outcomes: outcomes.as_ref() };
    print.show(&report, |report| show_end(report, arguments.dry_run))?;
    Ok(exit_of(&plan, outcomes.as_ref(), arguments.dry_run))
}

fn read(arguments: &Arguments) -> anyhow::Result<Vec<u8>> {
    let about = || format!("cannot read {}", arguments.file.display());
    let mut bytes = Vec::new();
    if arguments.file.as_os_str() == "-" {
        std::io::stdin().take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes).with_context(about)?;
    } else {
        let file = std::fs::File::open(&arguments.file).with_context(about)?;
        file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes).with_context(about)?;
    }
    if bytes.len() as u64 > FILE_OCTETS_MAX {
        bail!("{}: larger than {FILE_OCTETS_MAX} octets", arguments.file.display());
    }
    Ok(bytes)
}

async fn write(config: &Config, settings: &Settings, plan: &Plan, directory: &Directory) -> anyhow::Result<Outcomes> {
    let mut line = ProgressLine::new(plan.changes.len());
    let mut progress = |at: provost_provision::Progress| line.set(at.done, at.total);
    let audit = super::audit(config)?;
    let actor = super::actor();
    let stop = async {
        if stop_signal().await.is_err() {
            std::future::pending().await
        }
        eprintln!("provost: stopping: people under way are brought to their end");
    };
    let result = apply_until(stop, plan, directory, settings, &actor, &audit, &mut progress).await;
    line.end();
    result.map_err(|(done, error)| {
        let told = format!(
            "stopped after {} of {} people; the same command again goes on where it stopped",
            done.applied,
            plan.changes.len()
        );
        anyhow::Error::new(error).context(told)
    })
}

fn show_plan(plan: &Plan, dry_run: bool, print: &Printer) {
    for row in plan.rejected() {
        print.line(&format!("line {}, column {}: {}", row.line, row.column, row.rule));
    }
    if dry_run {
        for change in &plan.changes {
            print.line(&format!("line {}: {}", change.line, change.what));
        }
        return;
    }
    for change in plan.changes.iter().take(CHANGES_SHOWN) {
        print.line(&format!("line {}: {}", change.line, change.what));
    }
    if plan.changes.len() > CHANGES_SHOWN {
        print.line(&format!("... and {} more", plan.changes.len() - CHANGES_SHOWN));
    }
}

fn show_end(report: &Report<'_>, dry_run: bool) {
    let plan = report.plan;
    println!(
        "{} rows: {} to create, {} to update ({} with a new primary address), {} unchanged, {} left out; {} writes",
        plan.rows, plan.create, plan.update, plan.rename, plan.unchanged, plan.rejected, plan.writes
    );
    println!("plan {}", report.hash);
    match report.outcomes {
        None if dry_run => println!("nothing was changed (--dry-run)"),
        None => println!("nothing to do"),
        Some(outcomes) => show_outcomes(outcomes, plan.create + plan.update),
    }
}

fn show_outcomes(outcomes: &Outcomes, people: usize) {
    for (line, why) in &outcomes.failed {
        println!("line {line}: not applied: {why}");
    }
    let share = if outcomes.seconds > 0.0 { outcomes.hashing_seconds / outcomes.seconds * 100.0 } else { 0.0 };
    println!(
        "applied: {} of {people} people, {} writes in {:.1} s (password hashing {:.1} s, {share:.0} %)",
        outcomes.applied, outcomes.writes, outcomes.seconds, outcomes.hashing_seconds
    );
    if outcomes.interrupted {
        println!("interrupted; the same command again goes on where it stopped");
    }
    println!("batch {}: correct the file and import it again to change what it set", outcomes.batch);
}

fn exit_of(plan: &Plan, outcomes: Option<&Outcomes>, dry_run: bool) -> Exit {
    if outcomes.is_some_and(|done| done.interrupted) {
        return Exit::Failed;
    }
    let failed = outcomes.is_some_and(|done| !done.failed.is_empty());
    if !plan.rejected().is_empty() || failed {
        Exit::RowsRejected
    } else if dry_run && !plan.is_empty() {
        Exit::ChangesPending
    } else {
        Exit::Clean
    }
}
