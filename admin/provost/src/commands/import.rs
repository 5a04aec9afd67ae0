//! `provost import FILE.csv`: reads the file, plans, shows the plan, and applies it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use provost_provision::{
    ApplyError, ApplyProgress, Coverage, Encoding, ImportError, ImportOptions, Outcomes, Permission, PersonChange,
    Plan, PlannedImport, REGISTRAR, ReadOptions, SourceProfile, Words, rejects_file,
};
use provost_store::StateStore;
use serde::Serialize;

use super::DeskAccess;
use super::guard::{show_limits, stopped_by_guard};
use crate::compose::stop_signal;
use crate::config::Config;
use crate::exit::Exit;
use crate::followed;
use crate::output::{Printer, ProgressDisplay, counted, printable};

/// Largest file, in octets: four times the largest upload, because the file occupies memory of this process and not of
/// the node.
const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Maximum number of changes listed without `--dry-run`. The counts cover all changes.
const CHANGES_LISTED_MAX: usize = 50;

/// A file and how it is to be read.
#[derive(Args)]
pub(crate) struct FileArguments {
    /// The file; `-` reads standard input. A source that follows a directory (format ldap) is read without a file.
    #[arg(required_unless_present = "source")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the source, whose profile says how the file is read; `registrar` by default.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Character encoding of the file; the profile of the source decides by default (built in: utf-8).
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    /// Separator of fields: `,`, `;`, `|` or `tab`; taken from the profile or the header by default.
    #[arg(long, value_parser = parse_separator)]
    separator: Option<u8>,
    /// The file names only some people: nothing follows for the others.
    #[arg(long, conflicts_with = "complete")]
    partial: bool,
    /// The file names everybody of its source, although the profile says partial.
    #[arg(long)]
    complete: bool,
    /// Number of rows that the file must have; with another number, it is refused.
    #[arg(long)]
    rows: Option<usize>,
    /// Number (person_id) of somebody who was held as a probable duplicate, and who is another person; may be repeated.
    #[arg(long, value_name = "NUMBER")]
    new_person: Vec<String>,
    /// When the source made the file, as 2026-09-01T04:00:00Z; a file older than the last one is refused.
    #[arg(long, value_name = "TIME")]
    extracted: Option<String>,
    /// Read the file although a newer one of its source was imported.
    #[arg(long)]
    force: bool,
}

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost import students.csv --dry-run      what would change; nothing is written
  provost import students.csv                apply it
  provost import liste.csv --encoding windows-1252 --separator ';'
  provost import oneroster.zip --source sis  read by the profile of the source sis (provost source --help)
  provost import --source hr                 read the directory that the source hr follows, once and whole
  provost import students.csv --rejects wrong.csv
A wrong row is reported with line, column and rule, and only that row is left out. With --rejects, the rows that are left
out are written to a file: correct it, and import that file alone.
The same file again writes nothing.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: FileArguments,
    /// Print the plan and change nothing (exit code 2 when there are changes, 4 when rows are left out).
    #[arg(long)]
    dry_run: bool,
    /// Write the rows that are left out to this new file, in the form of the file that is imported. It may hold passwords.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EncodingName {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "windows-1252")]
    Windows1252,
    #[value(name = "latin-1")]
    Latin1,
    #[value(name = "utf-16")]
    Utf16,
}

impl FileArguments {
    /// What the arguments state of the file.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            encoding: self.encoding.map(|encoding| match encoding {
                EncodingName::Utf8 => Encoding::Utf8,
                EncodingName::Windows1252 => Encoding::Windows1252,
                EncodingName::Latin1 => Encoding::Latin1,
                EncodingName::Utf16 => Encoding::Utf16,
            }),
            separator: self.separator,
            coverage: match (self.partial, self.complete) {
                (true, _) => Some(Coverage::Partial),
                (_, true) => Some(Coverage::Complete),
                (false, false) => None,
            },
            rows: self.rows,
            today: Some(jiff::tz::TimeZone::system().to_datetime(jiff::Timestamp::now()).date()),
            distinct: self.new_person.clone(),
        }
    }

    /// How the file is to be planned.
    pub(crate) fn import_options(&self) -> anyhow::Result<ImportOptions> {
        let extracted = self.extracted.as_deref().map(parse_extracted).transpose()?;
        Ok(ImportOptions { source: self.source.clone(), read: self.options(), extracted, force: self.force })
    }

    /// The octets of the file, or what the followed directory has.
    pub(crate) async fn read(
        &self,
        profile: &SourceProfile,
        config: &Config,
        state: &Arc<dyn StateStore>,
    ) -> anyhow::Result<Vec<u8>> {
        match &self.file {
            Some(file) => read_input(file),
            None => followed::read_whole(profile, config, state, self.rows).await,
        }
    }

    /// The file or directory, for messages.
    pub(crate) fn name(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => format!("source {}", self.source.as_deref().unwrap_or(REGISTRAR)),
        }
    }
}

/// The octets of a file; `-` is the standard input.
pub(super) fn read_input(path: &Path) -> anyhow::Result<Vec<u8>> {
    let about = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes).with_context(about)?;
    } else {
        let file = std::fs::File::open(path).with_context(about)?;
        file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes).with_context(about)?;
    }
    if bytes.len() as u64 > FILE_OCTETS_MAX {
        bail!("{}: larger than {FILE_OCTETS_MAX} octets", path.display());
    }
    Ok(bytes)
}

fn parse_extracted(text: &str) -> anyhow::Result<Timestamp> {
    text.parse().with_context(|| format!("--extracted {text}: write it as 2026-09-01T04:00:00Z"))
}

fn parse_separator(text: &str) -> Result<u8, String> {
    match text {
        "," => Ok(b','),
        ";" => Ok(b';'),
        "|" => Ok(b'|'),
        "\t" | "\\t" | "tab" => Ok(b'\t'),
        _ => Err("the separator is , or ; or | or tab".to_owned()),
    }
}

#[derive(Serialize)]
struct ImportReport<'a> {
    plan: &'a provost_provision::PlanSummary,
    hash: &'a str,
    policies: &'a str,
    rejected: &'a [provost_provision::RecordError],
    warnings: &'a [provost_provision::RecordError],
    /// Each change with its reason and the values before and after; only with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a [PersonChange]>,
    outcomes: Option<&'a Outcomes>,
}

pub(crate) async fn run(config: &Config, arguments: &Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let file = &arguments.file;
    let access = super::desk_access(config).await?;
    let name = file.source.as_deref().unwrap_or(&access.settings.source);
    let profile = access.desk.source_profile(&access.principal, name).await?;
    let bytes: Arc<[u8]> = file.read(&profile, config, &access.state).await?.into();
    let options = file.import_options()?;
    // The role registrar may not create containers; if they are missing, planning reports it.
    if !arguments.dry_run && access.principal.may(Permission::InitDirectory) {
        for made in access.desk.ensure_tree(&access.principal).await? {
            print.line(&format!("made {made}"));
        }
    }
    let planned = match access.desk.plan_import(&access.principal, bytes.clone(), options).await {
        Err(ImportError::Desk(error)) => return Err(error.into()),
        planned => planned.with_context(|| format!("{}: nothing was changed", file.name()))?,
    };
    let plan = &planned.plan;
    show_plan(plan, arguments.dry_run, &print.words(&access.settings.time_zone), print);
    if let Some(path) = arguments.rejects.as_deref().filter(|_| !plan.rejected().is_empty()) {
        write_rejects(&access, file, &bytes, plan, path).await?;
        let rows = counted(plan.summary().rejected, "row", "rows");
        print.line(&format!("{rows} written to {}: correct it and import it alone", path.display()));
    }
    drop(bytes);

    let would_stop = show_limits(&access, &planned, arguments.dry_run, print).await?;
    let outcomes = match arguments.dry_run || plan.is_empty() {
        true => None,
        false => match write(&access, &planned, print).await {
            Err(error) => return stopped_by_guard(error, print),
            done => Some(done?),
        },
    };
    if file.file.is_none() && outcomes.as_ref().is_none_or(|done| !done.interrupted) && !arguments.dry_run {
        followed::record_whole(&profile, &access.state, plan.summary().rows).await?;
    }
    let report = ImportReport {
        plan: plan.summary(),
        hash: plan.hash(),
        policies: plan.policies(),
        rejected: plan.rejected(),
        warnings: plan.warnings(),
        changes: arguments.dry_run.then(|| plan.changes()),
        outcomes: outcomes.as_ref(),
    };
    print.show(&report, |report| show_end(report, arguments.dry_run))?;
    if would_stop {
        return Ok(Exit::GuardTripped);
    }
    Ok(exit_of(plan, outcomes.as_ref(), arguments.dry_run))
}

/// Writes the rows that a plan leaves out to a new file, which only this user can read. Returns the number of problems.
async fn write_rejects(
    access: &DeskAccess,
    file: &FileArguments,
    bytes: &[u8],
    plan: &Plan,
    path: &Path,
) -> anyhow::Result<()> {
    let about = || format!("cannot write {}", path.display());
    let profile = access.desk.source_profile(&access.principal, file.source.as_deref().unwrap_or(REGISTRAR)).await?;
    let rows = rejects_file(&profile, bytes, &file.options(), plan.rejected()).with_context(about)?;
    write_new(path, &rows)
}

/// Writes a new file that only this user can read. A file that exists is not overwritten: somebody may be correcting it.
pub(super) fn write_new(path: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let about = || format!("cannot write {}", path.display());
    let mut to = std::fs::OpenOptions::new().write(true).create_new(true).open(path).with_context(about)?;
    to.write_all(octets).and_then(|()| to.sync_all()).with_context(about)
}

pub(super) async fn write(access: &DeskAccess, planned: &PlannedImport, print: &Printer) -> anyhow::Result<Outcomes> {
    let total = planned.plan.changes().len();
    let mut display = ProgressDisplay::new(print, total);
    let mut progress = |at: ApplyProgress| display.set(at.done, at.total);
    let stop = async {
        if stop_signal().await.is_err() {
            std::future::pending().await
        }
        err!("provost: stopping after the people in progress");
    };
    let result = access.desk.apply_import(stop, &access.principal, planned, &mut progress).await;
    display.end();
    let people = counted(total, "person", "people");
    result?.map_err(|(done, error)| {
        let stopped =
            format!("stopped after {} of {people}; the same command continues where it stopped", done.applied);
        match error {
            // `ApplyError::Directory` is transparent: the chain of causes would skip the `DirectoryError`, which
            // determines the exit code and the advice.
            ApplyError::Directory(error) => anyhow::Error::new(error).context(stopped),
            ApplyError::Guard(stop) => ApplyError::Guard(stop).into(),
            error => anyhow::Error::new(error).context(stopped),
        }
    })
}

pub(super) fn show_plan(plan: &Plan, dry_run: bool, words: &Words, print: &Printer) {
    for problem in plan.warnings().iter().chain(plan.rejected()) {
        if plan.undone_batch().is_some() {
            // What an undo leaves is an attribute and not a column of a file.
            print.line(&format!("line {}, {}: {}", problem.line, words.attribute(&problem.column), problem.rule));
            continue;
        }
        print.line(&printable(&problem.to_string()));
    }
    let listed_max = if dry_run { plan.changes().len() } else { CHANGES_LISTED_MAX };
    for change in plan.changes().iter().take(listed_max) {
        print.line(&words.plan_line(change));
        words.plan_details(change).iter().for_each(|line| print.line(&format!("    {line}")));
    }
    if plan.changes().len() > listed_max {
        print.line(&format!("... and {} more", plan.changes().len() - listed_max));
    }
}

fn show_end(report: &ImportReport<'_>, dry_run: bool) {
    let plan = report.plan;
    out!(
        "{}: {} to create, {} to update ({} with a new primary address), {} unchanged, {} left out; {}",
        counted(plan.rows, "row", "rows"),
        plan.create,
        plan.update,
        plan.rename,
        plan.unchanged,
        plan.rejected,
        counted(plan.writes, "write", "writes")
    );
    if plan.absent > 0 {
        let people = counted(plan.absent, "person", "people");
        out!(
            "{people} of the source are not in the file: counted as absent (--partial for a file that names only some)"
        );
    }
    show_classes(plan);
    out!("plan {}", report.hash);
    match report.outcomes {
        None if dry_run => out!("nothing was changed (--dry-run)"),
        None => out!("nothing to do"),
        Some(outcomes) => {
            show_outcomes(outcomes, plan.create + plan.update + plan.absent + plan.classes);
            out!("batch {0}: to take it back, provost undo {0}", outcomes.batch);
        }
    }
}

/// The line about the groups of classes, where a plan changes some.
pub(super) fn show_classes(plan: &provost_provision::PlanSummary) {
    if plan.classes > 0 {
        out!("{} to make, change or drop", counted(plan.classes, "group of a class", "groups of classes"));
    }
}

pub(super) fn show_outcomes(outcomes: &Outcomes, people: usize) {
    for (line, why) in &outcomes.failed {
        let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
        out!("{place}not applied: {}", printable(why));
    }
    let share = if outcomes.seconds > 0.0 { outcomes.hashing_seconds / outcomes.seconds * 100.0 } else { 0.0 };
    out!(
        "applied: {} of {}, {} in {:.1} s (password hashing {:.1} s, {share:.0} %)",
        outcomes.applied,
        counted(people, "person", "people"),
        counted(outcomes.writes, "write", "writes"),
        outcomes.seconds,
        outcomes.hashing_seconds
    );
    if outcomes.interrupted {
        out!("interrupted; the same command continues where it stopped");
    }
}

pub(super) fn exit_of(plan: &Plan, outcomes: Option<&Outcomes>, dry_run: bool) -> Exit {
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
