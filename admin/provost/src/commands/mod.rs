//! One file per command. Each reads its arguments, calls an operation of another room, and prints.

pub(crate) mod address;
pub(crate) mod directory;
pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod person;
pub(crate) mod queue;
pub(crate) mod vacation;

use provost_client::Directory;
use provost_provision::{Actor, Audit, Desk, Journals, Settings, read_shared_settings};

use crate::config::Config;

/// The operations of the help desk, for a command on this machine.
pub(crate) async fn desk(config: &Config) -> anyhow::Result<Desk> {
    let directory = Directory::new(config.directory_config()?);
    let settings = settings(config, &directory).await?.into();
    Ok(Desk { directory, settings, audit: audit(config)? })
}

/// The settings of the directory as it is now; what counts without them where nothing is there yet.
pub(crate) async fn settings(config: &Config, directory: &Directory) -> anyhow::Result<Settings> {
    Ok(Settings::of(&read_shared_settings(directory, &config.fallback()).await?))
}

fn audit(config: &Config) -> anyhow::Result<Audit> {
    let file = config.node.data.join("audit.jsonl");
    Audit::open(&file).map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))
}

/// Where imports of this machine are recorded write by write.
pub(crate) fn journals(config: &Config) -> Journals {
    Journals::new(config.node.data.join("journal"))
}

/// Who runs the command.
fn actor() -> Actor {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    Actor { name: format!("cli:{user}"), via: "cli" }
}
