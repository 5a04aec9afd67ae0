//! `provost queue list`: asks the running node, because only it has access to the queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use provost_provision::Permission;
use serde_json::Value;
use ureq::tls::TlsConfig;

use crate::config::{Config, read_secret};
use crate::exit::Exit;
use crate::output::{Printer, counted, items, printable};

/// Longest time for the node to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Operations on the queue.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List waiting messages and those set aside, oldest first: one line for each message and destination.
    #[command(after_help = "Example: provost queue list --limit 20")]
    List {
        /// Maximum number of lines to print, 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let Command::List { limit } = command;
    super::permit(config, Permission::ViewQueue).await?;
    let rest = config.rest_url().ok_or_else(|| anyhow!("listeners.http is off, so the node cannot answer"))?;
    let file = config.as_token.as_ref().or(config.api.token_file.as_ref());
    let file = file.ok_or_else(|| anyhow!("api.token_file is not set"))?;
    let token = read_secret(file)?;
    let url = format!("{rest}/api/v1/queue?limit={limit}");
    let answer = tokio::task::spawn_blocking(move || get(&url, &token)).await??;
    print.show(&answer, show)?;
    Ok(Exit::Clean)
}

/// Sends one GET to the node and returns its JSON answer.
pub(crate) fn get(url: &str, token: &str) -> anyhow::Result<Value> {
    // The request goes to an address of this machine, which the node's certificate does not name. As with plain HTTP, only
    // a program that listens there in the node's place could read the token.
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).tls_config(tls).build().into();
    let mut answer = agent
        .get(url)
        .header("Authorization", format!("Bearer {token}"))
        .call()
        .with_context(|| format!("{url}: is the node running?"))?;
    Ok(answer.body_mut().read_json()?)
}

fn show(answer: &Value) {
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
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}
