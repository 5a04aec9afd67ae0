//! `provost settings show|set|unset`: the settings that all nodes share.

use clap::Subcommand;
use provost_provision::Permission;
use provost_settings::{SettingFault, SettingRow};
use serde_json::{Value, json};

use crate::config::{Config, read_secret};
use crate::exit::Exit;
use crate::output::{Printer, items, printable};

/// Operations on the settings that all nodes share.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show every setting: value in force, unit and origin; and invalid values with the rule that they break.
    ///
    /// Asks the running node for its values. If no node answers, shows what the directory states.
    #[command(after_help = "Example: provost settings show\n         provost --json settings show")]
    Show,
    /// State a setting in the directory; it takes effect on every node at once. An invalid value is refused.
    #[command(after_help = "Examples: provost settings set default-quota 5000000000\n          \
        provost settings set quota-classes 'student 5000000000' 'faculty 20000000000'\n          \
        provost settings set time-zone America/Montreal")]
    Set {
        /// Name of the setting, as 'provost settings show' prints it.
        name: String,
        /// Values of the setting; most settings take one.
        #[arg(required = true)]
        values: Vec<String>,
    },
    /// Remove a setting from the directory, so that the default applies again.
    #[command(after_help = "Example: provost settings unset default-quota")]
    Unset {
        /// Name of the setting, as 'provost settings show' prints it.
        name: String,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Show => {
            super::permit(config, Permission::ViewSettings).await?;
            let shown = match of_node(config).await {
                Some(shown) => shown,
                None => of_directory(config).await?,
            };
            print.show(&shown, show)?;
        }
        Command::Set { name, values } => {
            let super::DeskAccess { desk, principal, .. } = super::asking(config).await?;
            let audit = desk.set_setting(&principal, &name, &values).await?;
            print.show(&json!({ "audit": audit }), |_| out!("set"))?;
        }
        Command::Unset { name } => {
            let super::DeskAccess { desk, principal, .. } = super::asking(config).await?;
            let audit = desk.clear_setting(&principal, &name).await?;
            print.show(&json!({ "audit": audit }), |_| out!("unset"))?;
        }
    }
    Ok(Exit::Clean)
}

/// The running node's settings; `None` when it does not answer.
async fn of_node(config: &Config) -> Option<Value> {
    let token = read_secret(config.as_token.as_ref().or(config.api.token_file.as_ref())?).ok()?;
    let url = format!("{}/api/v1/settings", config.rest_url()?);
    let asked = tokio::task::spawn_blocking(move || super::queue::get(&url, &token)).await;
    let mut shown = asked.ok()?.ok()?;
    shown.as_object_mut()?.insert("as_of".to_owned(), "node".into());
    Some(shown)
}

/// The settings that the directory states, with defaults for the others.
async fn of_directory(config: &Config) -> anyhow::Result<Value> {
    let super::DeskAccess { desk, principal, .. } = super::asking(config).await?;
    let settings = desk.shared_settings(&principal, &config.fallback()).await?;
    let row = |row: SettingRow| {
        let (origin, source) = row.origin.parts();
        json!({
            "name": row.name, "values": row.values, "unit": row.unit, "origin": origin, "source": source,
            "about": row.about, "rule": row.rule,
        })
    };
    let bad = |fault: &SettingFault| json!({ "name": fault.name, "dn": fault.dn, "values": fault.values, "rule": fault.rule });
    let rows: Vec<Value> = settings.rows().into_iter().map(row).collect();
    let faults: Vec<Value> = settings.faults().iter().map(bad).collect();
    Ok(json!({ "settings": rows, "bad": faults, "as_of": "directory" }))
}

fn show(shown: &Value) {
    if shown["as_of"] == "directory" {
        out!("No node answered (is it running, and are listeners.http and api.token_file set?): this is what the");
        out!("directory states. A node keeps the last good value of an entry that is bad now.");
    }
    for row in items(shown, "settings") {
        let values: Vec<String> = items(row, "values").iter().map(text).collect();
        let value = if values.is_empty() { "-".to_owned() } else { values.join("; ") };
        let source = match (row["origin"].as_str(), &row["source"]) {
            (Some("last-good"), source) => format!("last good value of {}", text(source)),
            (Some("file"), source) => format!("{} in the node's file", text(source)),
            (Some("directory"), source) => text(source),
            _ => "default".to_owned(),
        };
        out!("{:<16} {value} {}", text(&row["name"]), text(&row["unit"]));
        out!("{:<16}   {}; from: {source}", "", text(&row["about"]));
    }
    for fault in items(shown, "bad") {
        let values: Vec<String> = items(fault, "values").iter().map(text).collect();
        out!("BAD {}: '{}' is not in force; rule: {}", text(&fault["name"]), values.join("; "), text(&fault["rule"]));
        out!("    {}", text(&fault["dn"]));
    }
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}
