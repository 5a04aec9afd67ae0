//! `provost settings show|set|unset`: the settings that all nodes share.

use anyhow::Context as _;
use clap::Subcommand;
use provost_provision::Permission;
use provost_settings::{SettingFault, SettingRow};
use serde_json::{Value, json};

use super::node_client;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, items, printable};

/// Width of the column of names: that of the longest, `address-quarantine`.
const NAME_WIDTH: usize = 18;

/// Operations on the settings that all nodes share.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show every setting: value in force, unit and origin; and invalid values with the rule that they break.
    ///
    /// Asks the running node for its values. If it does not answer, shows what the directory states.
    #[command(after_help = "Examples: provost settings show\n          provost --json settings show")]
    Show,
    /// Set a shared setting in the directory. Every node that follows the directory applies it at once; an invalid value is
    /// refused.
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
    /// Remove a setting from the directory, so that the node's file or the default applies again.
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
            let settings = match of_node(config).await {
                Ok(settings) => settings,
                Err(error) => of_directory(config, &format!("{error:#}")).await?,
            };
            print.show(&settings, print_settings)?;
        }
        Command::Set { name, values } => {
            let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
            let audit_id = desk.set_setting(&principal, &name, &values).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("{name} set"))?;
        }
        Command::Unset { name } => {
            let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
            let audit_id = desk.clear_setting(&principal, &name).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("{name} unset"))?;
        }
    }
    Ok(Exit::Clean)
}

/// The settings in force on the running node; the error states why they cannot be read.
async fn of_node(config: &Config) -> anyhow::Result<Value> {
    let mut settings = node_client::get(config, "/settings").await?;
    settings.as_object_mut().context("the node's answer is not an object")?.insert("as_of".to_owned(), "node".into());
    Ok(settings)
}

/// The settings that the directory states, with the values of this node's file and the defaults for the others. `fault`
/// is why the node's own are not shown.
async fn of_directory(config: &Config, fault: &str) -> anyhow::Result<Value> {
    let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
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
    Ok(json!({ "settings": rows, "bad": faults, "as_of": "directory", "fault": fault }))
}

fn print_settings(settings: &Value) {
    if settings["as_of"] == "directory" {
        out!("The node's values are not available ({}).", text(&settings["fault"]));
        out!("This is what the directory states. A node keeps using the last valid value of a setting whose entry has");
        out!("become invalid.");
    }
    for row in items(settings, "settings") {
        let values: Vec<String> = items(row, "values").iter().map(text).collect();
        let value = if values.is_empty() { "-".to_owned() } else { values.join("; ") };
        let source = match (row["origin"].as_str(), &row["source"]) {
            (Some("last-good"), source) => format!("last good value of {}", text(source)),
            (Some("file"), source) => format!("{} in the node's file", text(source)),
            (Some("directory"), source) => text(source),
            _ => "default".to_owned(),
        };
        out!("{:<NAME_WIDTH$} {value} {}", text(&row["name"]), text(&row["unit"]));
        out!("{:<NAME_WIDTH$}   {}; from: {source}", "", text(&row["about"]));
    }
    for fault in items(settings, "bad") {
        let values: Vec<String> = items(fault, "values").iter().map(text).collect();
        out!("BAD {}: '{}' is not in force; rule: {}", text(&fault["name"]), values.join("; "), text(&fault["rule"]));
        out!("    {}", text(&fault["dn"]));
    }
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}
