//! `provost policy list|show|check|set|remove`: the rules about people, as dated documents.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use provost_policy::PolicyDocument;
use serde_json::{Value, json};

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on policies.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the policies: name, kind, population and the day from which each holds.
    #[command(after_help = "Example: provost policy list")]
    List,
    /// Print a policy in the form that 'set' reads.
    #[command(after_help = "Example: provost policy show built-in-students-1 > students-2027.policy")]
    Show {
        /// Name of the policy.
        name: String,
    },
    /// Check the text of a policy; nothing is written.
    #[command(after_help = "Example: provost policy check students-2027 students-2027.policy")]
    Check {
        /// Name that the policy would have.
        name: String,
        /// The file with its text.
        file: PathBuf,
    },
    /// Write a policy. One that is somebody's recorded promise cannot be replaced: give the new rules a new name and a
    /// later 'since'.
    #[command(after_help = "Example: provost policy set students-2027 students-2027.policy
The text has one rule a line; '#' begins a comment:
  kind lifecycle
  population student
  since 2027-09-01
  promise start
  phase 1 grace days=180
  phase 2 alumni forever quota=alum
  notice 60 30 7 1
or, for logins and addresses:
  kind naming
  population student
  login {g}{family:7}
  primary {given}.{family}@students.example.edu
  rename login=keep keep=365
docs/lifecycle.md and docs/names.md explain every rule.")]
    Set {
        /// Name of the policy.
        name: String,
        /// The file with its text.
        file: PathBuf,
    },
    /// Remove a policy that is nobody's recorded promise.
    #[command(after_help = "Example: provost policy remove students-2027")]
    Remove {
        /// Name of the policy.
        name: String,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    let zone = &settings.time_zone;
    match command {
        Command::List => {
            let policies = desk.policies(&principal).await?;
            let rows: Vec<Value> =
                policies.documents().iter().map(|document| row(document, &document.text(zone))).collect();
            print.show(&rows, |_| {
                policies.documents().iter().for_each(|document| list(document, &document.text(zone)))
            })?;
        }
        Command::Show { name } => {
            let policies = desk.policies(&principal).await?;
            let document = policies.named(&name).with_context(|| format!("no policy is named '{name}'"))?;
            let text = document.text(zone);
            print.show(&row(document, &text), |_| text.lines().for_each(|line| out!("{}", printable(line))))?;
        }
        Command::Check { name, file } => {
            let document = desk.check_policy(&principal, &name, &read(&file)?).await?;
            let text = document.text(zone);
            print.show(&row(&document, &text), |_| out!("policy {name}: good"))?;
        }
        Command::Set { name, file } => {
            let audit_id = desk.set_policy(&principal, &name, &read(&file)?).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("policy {name} written"))?;
        }
        Command::Remove { name } => {
            let audit_id = desk.remove_policy(&principal, &name).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("policy {name} removed"))?;
        }
    }
    Ok(Exit::Clean)
}

fn read(file: &Path) -> anyhow::Result<String> {
    /// Largest file that is read, octets; a policy is far shorter.
    const OCTETS_MAX: u64 = 1 << 20;
    let octets = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    anyhow::ensure!(octets <= OCTETS_MAX, "{}: larger than 1 MiB: this is not a policy", file.display());
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn row(document: &PolicyDocument, text: &str) -> Value {
    let populations: Vec<String> = document.populations.iter().map(ToString::to_string).collect();
    json!({
        "name": document.name, "kind": document.kind, "populations": populations,
        "since": document.since.map(|since| since.to_string()), "description": document.description, "text": text,
    })
}

fn list(document: &PolicyDocument, text: &str) {
    let populations: Vec<String> = document.populations.iter().map(ToString::to_string).collect();
    let populations = if populations.is_empty() { "everybody".to_owned() } else { populations.join(", ") };
    let since = text.lines().find_map(|line| line.strip_prefix("since ")).unwrap_or("always");
    out!("{:<28} {:<10} {:<24} {since}", document.name, document.kind, printable(&populations));
}
