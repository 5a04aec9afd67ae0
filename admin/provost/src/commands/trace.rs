//! `provost trace`: finds messages and prints their events.

use anyhow::bail;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use provost_api::{MESSAGES_MAX, MessageSearch, MessageTraces};
use provost_trace::{MessageTrace, TraceRecord, TraceResult};

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// The search for messages.
#[derive(Args)]
#[command(after_help = "Examples:
  provost trace zoe.tremblay@example.edu                  sent to or by this person, under any of their addresses
  provost trace --recipient zoe.tremblay --since 2d       sent to this person, including refused messages
  provost trace --sender ann@example.org --recipient zoe.tremblay@example.edu
  provost trace --message-id '<4711.0815@mail.example.org>'
  provost trace 0190f3b2c41e4d6a9b1c2d3e4f5a6b7c          the number in a reply, a log line or Received
A message must match everything given. The search reads the files of this machine's node, running or not, and is audited.")]
pub(crate) struct Arguments {
    /// An address, a person, a Message-ID, or the number of a message.
    word: Option<String>,
    /// Recipient: an address as the sender wrote it, or a person by any address, login or registrar's number.
    #[arg(long)]
    recipient: Option<String>,
    /// Sender: an address, `<>` for reports and vacation replies, or a person.
    #[arg(long)]
    sender: Option<String>,
    /// Message-ID, with or without angle brackets.
    #[arg(long)]
    message_id: Option<String>,
    /// Start of the period: `30m`, `12h`, `7d` ago, a day (UTC), or RFC 3339.
    #[arg(long, default_value = "7d", value_parser = moment)]
    since: Timestamp,
    /// End of the period, in the same form; now by default. A day means its start.
    #[arg(long, value_parser = moment)]
    until: Option<Timestamp>,
    /// Maximum number of messages to print, up to 500; the newest are taken.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=MESSAGES_MAX as i64))]
    limit: u16,
}

pub(crate) async fn run(config: &Config, arguments: Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let Arguments { word, recipient, sender, message_id, since, until, limit } = arguments;
    let wanted = MessageSearch { recipient, sender, message_id, any: word, since: Some(since), until };
    if wanted == (MessageSearch { since: Some(since), until, ..MessageSearch::default() }) {
        bail!("nothing to search for: give an address, a Message-ID, or one of --recipient, --sender, --message-id");
    }
    let access = super::desk_access_without_directory(config).await?;
    let messages = MessageTraces::new(access.desk, config.trace_folder());
    let (result, _) = messages.find(&access.principal, &wanted, limit.into()).await?;
    print.show(&result, |result| show(result, since))?;
    Ok(Exit::Clean)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    moment_from(text, Timestamp::now())
        .ok_or_else(|| "expected 30m, 12h, 7d, a day as 2026-09-01, or RFC 3339".to_owned())
}

fn moment_from(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    if let Ok(day) = text.parse::<Date>() {
        return day.to_zoned_datetime(TimeZone::UTC).ok().map(|day| day.timestamp());
    }
    let unit = text.chars().next_back()?;
    let number = i64::from(text.strip_suffix(unit)?.parse::<u32>().ok()?);
    let span = match unit {
        'm' => Span::new().try_minutes(number),
        'h' => Span::new().try_hours(number),
        'd' => Span::new().try_hours(number.checked_mul(24)?),
        _ => return None,
    };
    now.checked_sub(span.ok()?).ok()
}

fn show(result: &TraceResult, since: Timestamp) {
    result.messages.iter().for_each(show_message);
    out!("{} since {since:.0}", counted(result.messages.len(), "message", "messages"));
    if result.more {
        out!("There are more: narrow the search or the period, or raise --limit.");
    }
    if result.lost > 0 {
        out!(
            "Events of these days that were not recorded, because the disk was slow, full or failing: {}",
            result.lost
        );
    }
}

fn show_message(message: &MessageTrace) {
    let first = message.events.first();
    let from = first.map_or("", |event| event.from.as_str());
    // The event of a recipient refused at RCPT precedes the message and has no Message-ID.
    let message_id = message.events.iter().find_map(|event| event.message_id.as_deref());
    let message_id = message_id.map_or_else(|| "no Message-ID".to_owned(), |id| format!("<{}>", printable(id)));
    out!("{message_id} from <{}>, number {}", printable(from), message.id);
    if let Some(TraceRecord { service, peer: Some(peer), login, octets, .. }) = first {
        let login = login.as_ref().map(|login| format!(" as {}", printable(login))).unwrap_or_default();
        let octets = if *octets > 0 { format!(", {octets} octets") } else { String::new() };
        out!("  received by {service} from {peer}{login}{octets}");
    }
    for event in &message.events {
        let at = format!("{:.3}", event.at);
        let to = event.to.as_ref().map(|to| format!(" <{}>", printable(to))).unwrap_or_default();
        out!("  {at} {:<9}{to}: {}", event.event.as_str(), printable(&event.text));
    }
    if message.left_out {
        out!("  ... and events for other recipients");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_age_a_day_or_a_time() {
        let now: Timestamp = "2026-09-10T12:00:00Z".parse().unwrap();
        for (text, expect) in [
            ("30m", Some("2026-09-10T11:30:00Z")),
            ("12h", Some("2026-09-10T00:00:00Z")),
            ("7d", Some("2026-09-03T12:00:00Z")),
            ("2026-09-01", Some("2026-09-01T00:00:00Z")),
            ("2026-09-01T10:00:00+02:00", Some("2026-09-01T08:00:00Z")),
            ("7", None),
            ("-1d", None),
            ("d", None),
            ("7é", None),
            ("9999999999999999d", None),
            ("", None),
        ] {
            assert_eq!(moment_from(text, now), expect.map(|at| at.parse().unwrap()), "{text}");
        }
    }
}
