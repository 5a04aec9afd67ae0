//! `provost source list|show|set|remove|test`: how the files of each source are read.

mod toml_form;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use provost_provision::{
    FileFormat, REGISTRAR, ReadOptions, RecordError, Source, SourceProfile, SourceRecord, read_file,
};
use serde_json::{Value, json};

use super::import::FileArguments;
use crate::config::Config;
use crate::exit::Exit;
use crate::followed;
use crate::output::{Printer, counted, printable};

/// Rows that `test` shows.
const SAMPLES_MAX: usize = 5;
/// Enrolments that `test` shows.
const ENROLMENTS_SHOWN: usize = 3;

/// Operations on the profiles of sources.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the sources that have a profile: name, version, format, encoding and coverage.
    #[command(after_help = "Example: provost source list")]
    List,
    /// Print the profile of a source in the form that 'set' reads.
    #[command(after_help = "Example: provost source show registrar > registrar.source")]
    Show {
        /// Name of the source.
        name: String,
    },
    /// Write the profile of a source. Without a line 'version', the profile gets the next version.
    #[command(after_help = "Example: provost source set registrar registrar.source
The file has one line for each statement, or is TOML (see docs/sources.md, which explains every line):
  format csv
  encoding windows-1252
  separator ;
  date-format DD/MM/YYYY
  column person_id Matricule
  column given_name Prénom
  affiliation student Étudiant régulier
  blank end_date unknown
  trailer FIN
  number length 7-9
  precedence 1 faculty
  coverage complete")]
    Set {
        /// Name of the source.
        name: String,
        /// The file with the profile's lines, or a file whose name ends in .toml.
        file: PathBuf,
    },
    /// Remove the profile of a source, which is then read by the built-in profile.
    #[command(after_help = "Example: provost source remove registrar")]
    Remove {
        /// Name of the source.
        name: String,
    },
    /// Read a file and show five of its people and every problem. Nothing is written, and the directory is not compared:
    /// 'provost import --dry-run' does that.
    #[command(after_help = "Examples: provost source test students.csv
          provost source test oneroster.zip --source sis
          provost source test liste.csv --profile registrar.source      a profile that is not written yet
          provost source test --source hr --save hr.ldif                what the directory that hr follows has")]
    Test {
        #[command(flatten)]
        file: FileArguments,
        /// Read by the profile in this file instead of the one that the directory holds.
        #[arg(long)]
        profile: Option<PathBuf>,
        /// Write what was read of a followed directory to this new file, by whose lines the problems are named.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, state, .. } = super::desk_access(config).await?;
    match command {
        Command::List => {
            let profiles = desk.source_profiles(&principal).await?;
            let rows: Vec<Value> = profiles.iter().map(profile_json).collect();
            print.show(&rows, |_| {
                profiles.iter().for_each(list);
                if profiles.is_empty() {
                    out!("no source has a profile: each is read by the built-in one ('provost source show registrar')");
                }
            })?;
        }
        Command::Show { name } => {
            let profile = desk.source_profile(&principal, &name).await?;
            let mut report = profile_json(&profile);
            let followed = match profile.format {
                FileFormat::Ldap => followed::progress(&profile, &state).await?,
                _ => Value::Null,
            };
            if let Some(report) = report.as_object_mut().filter(|_| !followed.is_null()) {
                report.insert("followed".to_owned(), followed.clone());
            }
            print.show(&report, |_| {
                for (what, value) in followed.as_object().into_iter().flatten() {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    out!("# followed: {what} {}", printable(&value));
                }
                if profile.version.is_none() {
                    out!("# the built-in profile: the directory holds none for {name}");
                }
                profile.lines().iter().for_each(|line| out!("{}", printable(line)));
            })?;
        }
        Command::Set { name, file } => {
            let lines = read_lines(&file)?;
            let (version, audit_id) = desk.set_source_profile(&principal, &name, &lines).await?;
            print.show(&json!({ "source": name, "version": version, "audit": audit_id }), |_| {
                out!("profile of {name} written, version {version}");
            })?;
        }
        Command::Remove { name } => {
            let audit_id = desk.remove_source_profile(&principal, &name).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("profile of {name} removed"))?;
        }
        Command::Test { file, profile, save } => {
            let name = file.source.as_deref().unwrap_or(REGISTRAR);
            let profile = match profile {
                Some(stated) => SourceProfile::parse(name, &read_lines(&stated)?)
                    .with_context(|| format!("{}: wrong line", stated.display()))?,
                None => desk.source_profile(&principal, name).await?,
            };
            profile.check().context("the profile cannot work")?;
            let bytes = file.read(&profile, config, &state).await?;
            if let Some(path) = save {
                super::import::write_new(&path, &bytes)?;
            }
            return test(&file, &bytes, &profile, print);
        }
    }
    Ok(Exit::Clean)
}

/// Reads a file by a profile and shows what an import would read.
fn test(file: &FileArguments, bytes: &[u8], profile: &SourceProfile, print: &Printer) -> anyhow::Result<Exit> {
    let options: ReadOptions = file.options();
    let source = read_file(profile, bytes, &options).with_context(|| format!("{}: refused whole", file.name()))?;
    let samples: Vec<Value> = source.records.iter().take(SAMPLES_MAX).map(record_json).collect();
    let report = json!({
        "source": source.name, "profile": source.profile, "coverage": source.coverage.as_str(),
        "rows": source.rows_read, "people": source.records.len(), "repeated": source.repeated,
        "columns": source.columns.iter().map(|column| column.name()).collect::<Vec<_>>(),
        "enrolments": source.enrolments.rows.len(), "samples": samples,
        "rejected": source.rejected, "warnings": source.warnings,
    });
    print.show(&report, |_| show_test(&source, &samples))?;
    Ok(if source.rejected.is_empty() { Exit::Clean } else { Exit::RowsRejected })
}

fn show_test(source: &Source, samples: &[Value]) {
    for problem in source.warnings.iter().chain(&source.rejected) {
        out!("{}", printable(&problem.to_string()));
    }
    for sample in samples {
        let fields = sample.as_object().into_iter().flatten().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        out!("sample: {}", printable(&fields.collect::<Vec<_>>().join(", ")));
    }
    for enrolment in source.enrolments.rows.iter().take(ENROLMENTS_SHOWN) {
        let text = format!("{} in {} {} {}", enrolment.person_id, enrolment.course, enrolment.section, enrolment.term);
        out!("enrolment: {}", printable(&text));
    }
    let mut lines: Vec<u64> = source.rejected.iter().map(|problem: &RecordError| problem.line).collect();
    lines.dedup();
    out!(
        "{}: {} read, {} left out, {}, {}; nothing was written",
        counted(source.rows_read, "row", "rows"),
        counted(source.records.len(), "person", "people"),
        lines.len(),
        counted(source.warnings.len(), "warning", "warnings"),
        counted(source.enrolments.rows.len(), "enrolment", "enrolments"),
    );
    let version = source.profile.map_or_else(|| "built-in".to_owned(), |version| format!("version {version}"));
    out!("source {}, profile {version}, coverage {}", source.name, source.coverage.as_str());
}

/// A record as `test` shows it: no password.
fn record_json(record: &SourceRecord) -> Value {
    let affiliations: Vec<String> = record
        .affiliations()
        .map(|row| {
            let date = |day: Option<jiff::civil::Date>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
            let program = row.program.unwrap_or_default();
            let text =
                format!("{} {} {} {program}", row.affiliation.as_str(), date(row.start_date), date(row.end_date));
            text.trim_end().to_owned()
        })
        .collect();
    json!({
        "line": record.line, "person_id": record.person_id, "given_name": record.given_name,
        "family_name": record.family_name, "birth_date": record.birth_date.map(|date| date.to_string()),
        "private_email": record.private_email, "affiliations": affiliations,
        "password": if record.password.is_some() { "stated" } else { "none" },
        "lacking": record.lacking.iter().map(|column| column.name()).collect::<Vec<_>>(),
    })
}

fn profile_json(profile: &SourceProfile) -> Value {
    json!({
        "source": profile.name, "version": profile.version, "coverage": profile.coverage.as_str(),
        "encoding": profile.encoding.as_str(), "lines": profile.lines(),
    })
}

fn list(profile: &SourceProfile) {
    let line = |key: &str| profile.lines().into_iter().find_map(|line| Some(line.strip_prefix(key)?.to_owned()));
    out!(
        "{:<20} version {:<4} {:<10} {:<13} {}",
        profile.name,
        profile.version.unwrap_or(0),
        line("format ").unwrap_or_default(),
        profile.encoding.as_str(),
        profile.coverage.as_str()
    );
}

/// The lines of a profile in a file.
fn read_lines(file: &Path) -> anyhow::Result<Vec<String>> {
    /// Largest file that is read, octets; a profile is far shorter.
    const OCTETS_MAX: u64 = 1 << 20;
    let octets = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    anyhow::ensure!(octets <= OCTETS_MAX, "{}: larger than 1 MiB: this is not a profile", file.display());
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    if file.extension().is_some_and(|extension| extension == "toml") {
        return toml_form::lines(&text).with_context(|| file.display().to_string());
    }
    Ok(text.lines().map(str::to_owned).collect())
}
