//! `provost webhook list|set|remove|test|replay`: the endpoints that get events.

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;
use provost_provision::{Desk, Permission, Principal};
use provost_settings::WebhookEndpoint;
use provost_webhook::{Sender, WebhookCursor, WebhookCursors, WebhookSecrets, test_event};
use serde::Serialize;
use serde_json::json;

use super::moment::{self, Moment};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Operations on the endpoints.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the endpoints: where each one stands, and its last error.
    #[command(after_help = "Example: provost webhook list")]
    List,
    /// Set an endpoint. A new one gets the events from now on, and a secret, which is printed once.
    #[command(after_help = "Examples:
  provost webhook set sis --url https://sis.example.edu/hooks/provost
  provost webhook set sis --url https://sis.example.edu/hooks/provost --events 'person.*' import.applied
  provost webhook set sis --url https://sis.example.edu/hooks/provost --paused
The secret is in DATA/webhooks/NAME.secret and never in the directory. Copy the file to every node that may send.
Events: person.created, person.renamed, person.changed, person.suspended, person.released, person.closed,
person.restored, person.removed, state.changed, import.applied, change.outcome; see docs/webhooks.md.")]
    Set {
        /// Name of the endpoint: lower-case letters, digits and hyphens.
        name: String,
        /// Where events are posted: https, or http to this machine.
        #[arg(long)]
        url: String,
        /// Types of events, or patterns such as `person.*`; all by default.
        #[arg(long, num_args = 1..)]
        events: Vec<String>,
        /// Send values, actors and reasons too, and not only ids, states and names of attributes.
        #[arg(long)]
        details: bool,
        /// Send nothing for now: events wait.
        #[arg(long)]
        paused: bool,
    },
    /// Remove an endpoint. Its secret stays on this machine.
    #[command(after_help = "Example: provost webhook remove sis")]
    Remove {
        /// Name of the endpoint.
        name: String,
    },
    /// Send a test event now, and print how the receiver answers.
    #[command(after_help = "Example: provost webhook test sis")]
    Test {
        /// Name of the endpoint.
        name: String,
    },
    /// Send events again from a place of the audit, in order.
    #[command(after_help = "Examples:
  provost webhook replay sis --from 2026-09-01
  provost webhook replay sis --from 4711        the events after this sequence number
  provost webhook replay sis --from now         pass over what is waiting")]
    Replay {
        /// Name of the endpoint.
        name: String,
        /// A day, a time, the sequence number of an event that was accepted, or `now`.
        #[arg(long, value_parser = parse_place, value_name = "PLACE")]
        from: Place,
    },
}

/// A place in the audit.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    After(u64),
    From(Moment),
    Now,
}

fn parse_place(text: &str) -> Result<Place, String> {
    if text == "now" {
        return Ok(Place::Now);
    }
    if let Ok(sequence) = text.parse() {
        return Ok(Place::After(sequence));
    }
    moment::parse(text).map(Place::From).map_err(|rule| format!("{rule}, a sequence number, or 'now'"))
}

/// The folder of the secrets.
pub(crate) fn secrets(data: &Path) -> WebhookSecrets {
    WebhookSecrets::new(data.join("webhooks"))
}

#[derive(Serialize)]
struct ListedEndpoint {
    name: String,
    url: String,
    events: Vec<String>,
    details: bool,
    paused: bool,
    has_secret: bool,
    cursor: Option<WebhookCursor>,
    /// Records of the audit after the cursor; some of them make no event.
    waiting: Option<u64>,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access(config).await?;
    let (desk, principal) = (&access.desk, &access.principal);
    let (cursors, secrets) = (WebhookCursors::new(access.state.clone()), secrets(&config.node.data));
    let now = Timestamp::now();
    match command {
        Command::List => {
            let endpoints = desk.webhooks(principal).await?;
            let last = desk.audit_end(principal).await?;
            let mut listed = Vec::with_capacity(endpoints.len());
            for endpoint in endpoints {
                let cursor = cursors.get(&endpoint.name, now).await?;
                listed.push(listed_endpoint(endpoint, cursor, last, &secrets));
            }
            print.show(&listed, |listed| listed.iter().for_each(show))?;
        }
        Command::Set { name, url, events, details, paused } => {
            let events = if events.is_empty() { vec!["*".to_owned()] } else { events };
            let endpoint = WebhookEndpoint { name, url, events, details, paused };
            if let Err(rule) = WebhookEndpoint::parse(&endpoint.name, &endpoint.values()) {
                bail!("webhook: {rule}");
            }
            desk.permit(principal, Permission::ChangeSettings).await?;
            // The place first: a node that sees the new endpoint must not begin elsewhere.
            if cursors.get(&endpoint.name, now).await?.is_none() {
                cursors.put(&endpoint.name, desk.audit_end(principal).await?, now).await?;
            }
            let secret = secrets.ensure(&endpoint.name)?;
            let audit_id = desk.set_webhook(principal, &endpoint).await?;
            let secret = secret.map(|secret| secret.reveal());
            print.show(&json!({ "audit": audit_id, "secret": secret }), |_| {
                out!("webhook {} set", endpoint.name);
                if let Some(secret) = &secret {
                    out!("secret {secret}");
                    out!(
                        "Give the secret to the receiver; it is not printed again. File: {}",
                        secrets.folder().display()
                    );
                }
            })?;
        }
        Command::Remove { name } => {
            let audit_id = desk.remove_webhook(principal, &name).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("webhook {name} removed"))?;
        }
        Command::Test { name } => return test(desk, principal, &secrets, &name, print).await,
        Command::Replay { name, from } => {
            named(desk, principal, &name).await?;
            let zone = &access.settings.time_zone;
            let after = match from {
                Place::After(sequence) => sequence,
                Place::Now => desk.audit_end(principal).await?,
                Place::From(moment) => desk.audit_place(principal, moment.beginning(zone)).await?,
            };
            let detail = json!({ "after": after });
            let subject = format!("webhook:{name}");
            let audit_id = desk.permit_replay(principal, &subject, detail).await?;
            cursors.put(&name, after, now).await?;
            print.show(&json!({ "audit": audit_id, "after": after }), |_| {
                out!("webhook {name}: the events after sequence number {after} are sent again")
            })?;
        }
    }
    Ok(Exit::Clean)
}

async fn named(desk: &Desk, principal: &Principal, name: &str) -> anyhow::Result<WebhookEndpoint> {
    let found = desk.webhooks(principal).await?.into_iter().find(|endpoint| endpoint.name == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no webhook '{name}'; see 'provost webhook list'"))
}

async fn test(
    desk: &Desk,
    principal: &Principal,
    secrets: &WebhookSecrets,
    name: &str,
    print: &Printer,
) -> anyhow::Result<Exit> {
    desk.permit(principal, Permission::ChangeSettings).await?;
    let endpoint = named(desk, principal, name).await?;
    let (secret, sender) = (secrets.read(name)?, Sender::new(secrets.folder()));
    let now = Timestamp::now();
    let event = test_event(now, &format!("test-{}", now.as_millisecond()));
    let posted = tokio::task::spawn_blocking(move || sender.post(&endpoint, &secret, &event, now)).await?;
    match posted {
        Ok(status) => {
            print.show(&json!({ "status": status }), |_| out!("accepted with status {status}"))?;
            Ok(Exit::Clean)
        }
        Err(error) => bail!("webhook {name}: {error}"),
    }
}

fn listed_endpoint(
    endpoint: WebhookEndpoint,
    cursor: Option<WebhookCursor>,
    last: u64,
    secrets: &WebhookSecrets,
) -> ListedEndpoint {
    let WebhookEndpoint { name, url, events, details, paused } = endpoint;
    ListedEndpoint {
        has_secret: secrets.read(&name).is_ok(),
        waiting: cursor.as_ref().map(|cursor| last.saturating_sub(cursor.after)),
        name,
        url,
        events,
        details,
        paused,
        cursor,
    }
}

fn show(endpoint: &ListedEndpoint) {
    let details = if endpoint.details { ", with details" } else { "" };
    let paused = if endpoint.paused { " (paused)" } else { "" };
    out!("{}{paused}  {}", endpoint.name, printable(&endpoint.url));
    out!("  events  {}{details}", endpoint.events.join(" "));
    if !endpoint.has_secret {
        out!("  there is no usable secret on this machine: copy the file from the node on which the endpoint was set");
    }
    let Some(cursor) = &endpoint.cursor else {
        out!("  not served yet: is a node running?");
        return;
    };
    let sent = cursor.last_sent.map_or_else(|| "never".to_owned(), |at| at.to_string());
    out!(
        "  cursor  {}, {} audit records behind; last event accepted: {sent}",
        cursor.after,
        endpoint.waiting.unwrap_or(0)
    );
    if let Some(error) = &cursor.last_error {
        let due = cursor.due.map(|due| due.to_string()).unwrap_or_default();
        out!("  FAILED {} times, next attempt {due}: {}", cursor.failures, printable(error));
    }
}
