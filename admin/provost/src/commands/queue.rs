//! `provost queue list`: asks the running node, because only it has access to the queue.

use clap::Subcommand;
use provost_provision::Permission;
use serde_json::Value;

use super::node_client;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, items, printable};

/// Operations on the queue.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List waiting messages and those set aside, oldest first: one entry for each message and destination.
    #[command(after_help = "Example: provost queue list --limit 20")]
    List {
        /// Maximum number of entries to print, 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let Command::List { limit } = command;
    super::permit(config, Permission::ViewQueue).await?;
    let answer = node_client::get(config, &format!("/queue?limit={limit}")).await?;
    print.show(&answer, |answer| show(answer, limit))?;
    Ok(Exit::Clean)
}

fn show(answer: &Value, limit: u16) {
    let messages = items(answer, "messages");
    for message in messages {
        let from = printable(message["reverse_path"].as_str().unwrap_or_default());
        let destination = match word(message, "destination") {
            "" => "this host".to_owned(),
            destination => printable(destination),
        };
        let since = word(message, "queued_at");
        out!("{} to {destination}, from <{from}>, {} octets, since {since}", word(message, "id"), message["octets"]);
        match message["set_aside"].as_str() {
            Some(why) => out!("  SET ASIDE: {}", printable(why)),
            None if message["held_until"].is_string() => {
                out!(
                    "  attempt {} is running; the next one at {} at the latest",
                    message["attempts"],
                    word(message, "held_until")
                );
            }
            None => {
                let attempts = message["attempts"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or_default();
                out!("  tried {}, next at {}", counted(attempts, "time", "times"), word(message, "due_at"));
            }
        }
        for recipient in items(message, "recipients") {
            let why = printable(word(recipient, "last_error"));
            out!("  <{}> {why}", printable(word(recipient, "address")));
        }
    }
    let set_aside = messages.iter().filter(|message| !message["set_aside"].is_null()).count();
    out!("{} waiting, {set_aside} set aside", messages.len() - set_aside);
    if messages.len() >= usize::from(limit) {
        out!("The list ends after {limit} entries; --limit takes up to 1000.");
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}
