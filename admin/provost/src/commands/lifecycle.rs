//! `provost lifecycle run|simulate|purge|extend`: the states of accounts, as policies and time ask for them.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_lifecycle::TimelineEvent;
use provost_provision::{
    ImportOptions, NoticesSent, Outcomes, PersonChange, PersonTimeline, PlanSummary, PurgeOutcome, SimulatedChange,
    SimulatedEvent, SimulatedFeed,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::guard::{show_limits, stopped_by_guard};
use super::import::{exit_of, read_input, show_outcomes, show_plan, write};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, counted, printable};

/// Operations on the lifecycle of accounts.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Give every account the state that policies and time ask for. A node does the same on schedule.
    #[command(after_help = "Examples:
  provost lifecycle run --dry-run                     what would change; nothing is written
  provost lifecycle run --dry-run --at 2027-06-30     what a run on that day would change, if nothing else happens
  provost lifecycle run                               apply it
A run that was interrupted is completed by the same command; 'provost undo BATCH' takes a run back.")]
    Run {
        /// Print the plan and change nothing (exit code 2 when there are changes).
        #[arg(long)]
        dry_run: bool,
        /// The day, instead of now, at whose end the states are to hold; only with --dry-run.
        #[arg(long, requires = "dry_run")]
        at: Option<Date>,
    },
    /// Print what will happen to whom and when, if nothing is changed. Writes nothing.
    #[command(after_help = "Examples:
  provost lifecycle simulate --until 2036-09-01
  provost lifecycle simulate --until 2036-09-01 --person zoe.tremblay
  provost lifecycle simulate --until 2028-09-01 --feed 2027-09-01=intake.csv --feed 2028-03-01=graduates.csv
  provost --json lifecycle simulate --until 2027-09-01     one JSON line for each event
Files with --feed are imported at noon of their days, into a copy of the directory in memory.")]
    Simulate {
        /// Last day of the simulation.
        #[arg(long)]
        until: Date,
        /// First day of the simulation; today by default.
        #[arg(long)]
        from: Option<Date>,
        /// Only this person: login, address, registrar's number, or provostPersonId.
        #[arg(long, conflicts_with = "feed")]
        person: Option<String>,
        /// A file that is imported on a day to come: DAY=FILE.
        #[arg(long, value_name = "DAY=FILE", value_parser = parse_feed)]
        feed: Vec<(Date, PathBuf)>,
        /// The source of these files; the registrar by default.
        #[arg(long, requires = "feed")]
        source: Option<String>,
    },
    /// Purge a closed account. The first person asks, a second one confirms by the same command within 30 days.
    ///
    /// The addresses go into quarantine, the entry is deleted, a tombstone stays, and the nodes delete the mail after the
    /// days that the policy states. A purge cannot be undone.
    #[command(after_help = "Example: provost lifecycle purge zoe.tremblay --reason 'request under the privacy law'")]
    Purge {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Why; the audit shows it.
        #[arg(long)]
        reason: String,
    },
    /// Prolong the phase that runs for a person, as far as the policy allows.
    #[command(
        after_help = "Example: provost lifecycle extend zoe.tremblay --until 2027-03-31 --reason 'thesis is late'"
    )]
    Extend {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Last day of the phase.
        #[arg(long)]
        until: Date,
        /// Why; the audit and the person's page show it.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Serialize)]
struct RunReport<'a> {
    plan: &'a PlanSummary,
    hash: &'a str,
    /// Each change; only with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a [PersonChange]>,
    outcomes: Option<&'a Outcomes>,
    /// Notices that are due; only with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    notices_due: Option<usize>,
    /// Notices that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    notices: Option<&'a NoticesSent>,
}

pub(crate) async fn run(config: &Config, command: Command, print: &Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Run { dry_run, at } => run_plan(config, dry_run, at, print).await,
        Command::Simulate { until, from, person, feed, source } if feed.is_empty() => {
            debug_assert!(source.is_none(), "clap requires a feed");
            simulate(config, (from, until), person.as_deref(), print).await
        }
        Command::Simulate { until, from, feed, source, .. } => {
            simulate_feeds(config, (from, until), feed, source, print).await
        }
        Command::Purge { person, reason } => {
            let super::DeskAccess { desk, principal, .. } = super::desk_access(config).await?;
            match desk.purge(&principal, &person, &reason, Timestamp::now()).await? {
                PurgeOutcome::Requested(audit_id) => {
                    let asked = json!({ "purged": false, "audit": audit_id });
                    print.show(&asked, |_| out!("asked; a second person confirms by the same command"))?;
                }
                PurgeOutcome::Purged(outcomes) => {
                    let purged = json!({ "purged": true, "outcomes": outcomes });
                    print.show(&purged, |_| out!("{} purged, batch {}", printable(&person), outcomes.batch))?;
                }
            }
            Ok(Exit::Clean)
        }
        Command::Extend { person, until, reason } => {
            let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
            let until = last_moment(until, &settings.time_zone)?;
            let audit_id = desk.extend(&principal, &person, (until, &reason), Timestamp::now()).await?;
            print.show(&json!({ "audit": audit_id }), |_| out!("{} extended", printable(&person)))?;
            Ok(Exit::Clean)
        }
    }
}

async fn run_plan(config: &Config, dry_run: bool, at: Option<Date>, print: &Printer) -> anyhow::Result<Exit> {
    let access = super::desk_access(config).await?;
    let now = match at {
        Some(day) => last_moment(day, &access.settings.time_zone)?,
        None => Timestamp::now(),
    };
    let planned = access.desk.plan_lifecycle(&access.principal, now).await?;
    let plan = &planned.plan;
    show_plan(plan, dry_run, &print.words(&access.settings.time_zone), print);
    let would_stop = show_limits(&access, &planned, dry_run, print).await?;
    let outcomes = match dry_run || plan.is_empty() {
        true => None,
        false => match write(&access, &planned, print).await {
            Err(error) => return stopped_by_guard(error, print),
            done => Some(done?),
        },
    };
    let desk = &access.desk;
    let (due, sent) = if dry_run {
        (Some(desk.due_notices(&access.principal, now).await?.len()), None)
    } else {
        (None, Some(desk.send_notices(&access.principal, now).await?))
    };
    let report = RunReport {
        notices_due: due,
        notices: sent.as_ref(),
        plan: plan.summary(),
        hash: plan.hash(),
        changes: dry_run.then(|| plan.changes()),
        outcomes: outcomes.as_ref(),
    };
    print.show(&report, |report| show_end(report, dry_run))?;
    if would_stop {
        return Ok(Exit::GuardTripped);
    }
    Ok(exit_of(plan, outcomes.as_ref(), dry_run))
}

fn show_end(report: &RunReport<'_>, dry_run: bool) {
    let plan = report.plan;
    out!(
        "{}: {} with another state, {} with other dates or rights, {} to purge, {} unchanged; {} to end; {}",
        counted(plan.rows - plan.address.min(plan.rows), "person", "people"),
        plan.state,
        plan.update,
        plan.purge,
        plan.unchanged,
        counted(plan.address, "address", "addresses"),
        counted(plan.writes, "write", "writes")
    );
    match report.outcomes {
        None if dry_run => out!("nothing was changed (--dry-run)"),
        None => out!("nothing to do"),
        Some(outcomes) => {
            show_outcomes(outcomes, plan.state + plan.update + plan.purge + plan.address);
            out!("batch {0}: to take it back, provost undo {0}", outcomes.batch);
        }
    }
    match (report.notices_due, report.notices) {
        (Some(due), _) => out!("{} due by what is written now", counted(due, "notice is", "notices are")),
        (_, Some(sent)) => show_notices(sent),
        _ => {}
    }
}

fn show_notices(sent: &NoticesSent) {
    for (person, why) in &sent.failed {
        out!("{}: no notice: {}", printable(person), printable(why));
    }
    out!(
        "notices to {}, {}{}",
        counted(sent.people, "person", "people"),
        counted(sent.mails, "mail", "mails"),
        if sent.left == 0 { String::new() } else { format!("; {} more with the next run", sent.left) }
    );
}

async fn simulate(
    config: &Config,
    (from, until): (Option<Date>, Date),
    person: Option<&str>,
    print: &Printer,
) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    let zone = &settings.time_zone;
    let from = first_moment(from, zone)?;
    let until = last_moment(until, zone)?;
    let people = desk.simulate_lifecycle(&principal, person, (from, until)).await?;
    let mut events: Vec<(&PersonTimeline, &TimelineEvent)> =
        people.iter().flat_map(|person| person.events.iter().map(move |event| (person, event))).collect();
    events.sort_by(|one, other| (one.1.at(), &one.0.person).cmp(&(other.1.at(), &other.0.person)));
    for (person, event) in &events {
        let event = event_row(&person.person, event, zone);
        print.show_line(&event, |event| {
            let word = |name: &str| event[name].as_str().map(printable).unwrap_or_default();
            out!("{}  {:<40} {}", word("day"), word("person"), word("event"));
        })?;
    }
    print.line(&format!(
        "{}: {}, until {}",
        counted(people.len(), "person", "people"),
        counted(events.len(), "event", "events"),
        zone.to_datetime(until).date()
    ));
    Ok(Exit::Clean)
}

/// Simulates files that are still to come.
async fn simulate_feeds(
    config: &Config,
    (from, until): (Option<Date>, Date),
    feeds: Vec<(Date, PathBuf)>,
    source: Option<String>,
    print: &Printer,
) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    let zone = &settings.time_zone;
    let period = (first_moment(from, zone)?, last_moment(until, zone)?);
    let read = |(day, path): (Date, PathBuf)| {
        let at = zone.to_timestamp(day.at(12, 0, 0, 0)).with_context(|| format!("the day {day}"))?;
        anyhow::ensure!(
            (period.0..=period.1).contains(&at),
            "--feed {day}={}: the day is outside of the simulation",
            path.display()
        );
        Ok(SimulatedFeed { at, file: read_input(&path)? })
    };
    let feeds = feeds.into_iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let options = ImportOptions { source, ..ImportOptions::default() };
    let report = desk.simulate_feeds(&principal, feeds, options, period).await?;
    for (at, plan) in &report.feeds {
        let row = json!({ "feed": zone.to_datetime(*at).date().to_string(), "plan": plan });
        print.show_line(&row, |row| {
            let day = row["feed"].as_str().unwrap_or_default();
            out!(
                "{day}  file: {} created, {} changed, {} unchanged, {} left out",
                plan.create,
                plan.update,
                plan.unchanged,
                plan.rejected
            );
        })?;
    }
    for (person, event) in &report.events {
        print.show_line(&simulated_row(person, event, zone), |row| {
            let word = |name: &str| row[name].as_str().map(printable).unwrap_or_default();
            out!("{}  {:<40} {}", word("day"), word("person"), word("event"));
        })?;
    }
    print.line(&format!(
        "{}, {}, until {until}",
        counted(report.feeds.len(), "file", "files"),
        counted(report.events.len(), "event", "events")
    ));
    Ok(Exit::Clean)
}

fn simulated_row(person: &str, event: &SimulatedEvent, zone: &TimeZone) -> Value {
    let (kind, text) = match &event.what {
        SimulatedChange::Created(_) => ("created", "created".to_owned()),
        SimulatedChange::State(state) => ("state", state.to_string()),
        SimulatedChange::Notice(change, days) => ("notice", format!("notice {days} days before {change}")),
        SimulatedChange::Purged(addresses) => ("purged", format!("purged; in quarantine: {}", addresses.join(", "))),
    };
    let day = zone.to_datetime(event.at).date().to_string();
    json!({ "person": person, "day": day, "at": event.at.to_string(), "kind": kind, "event": text })
}

fn parse_feed(text: &str) -> Result<(Date, PathBuf), String> {
    let (day, path) = text.split_once('=').ok_or("write DAY=FILE, as in 2027-09-01=students.csv")?;
    Ok((day.parse().map_err(|error| format!("{day}: {error}"))?, path.into()))
}

fn first_moment(day: Option<Date>, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    day.map_or_else(|| Ok(Timestamp::now()), |day| zone.to_timestamp(day.at(0, 0, 0, 0)).context("--from"))
}

/// One event as a JSON line has it.
fn event_row(person: &str, event: &TimelineEvent, zone: &TimeZone) -> Value {
    let day = zone.to_datetime(event.at()).date().to_string();
    match event {
        TimelineEvent::State(at, decision) => {
            let policy = decision.policy.as_deref().unwrap_or_default();
            let end = decision.until.map(|until| format!(", until {}", zone.to_datetime(until).date()));
            let text = format!("{} by policy {policy}{}", decision.state, end.unwrap_or_default());
            json!({
                "person": person, "day": day, "at": at.to_string(), "event": text, "state": decision.state.name(),
                "policy": decision.policy, "restrictions": decision.restrictions,
                "until": decision.until.map(|until| until.to_string()),
                "next": decision.next.map(provost_lifecycle::AccountState::name),
            })
        }
        TimelineEvent::Notice(at, notice) => {
            let change = zone.to_datetime(notice.at).date();
            let text = format!("notice {} days before {} on {change}", notice.days, notice.next);
            json!({
                "person": person, "day": day, "at": at.to_string(), "event": text, "notice": notice.event(),
                "days": notice.days,
            })
        }
    }
}

/// The last second of a day.
fn last_moment(day: Date, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    let moment = zone.to_ambiguous_timestamp(day.at(23, 59, 59, 0)).later();
    moment.with_context(|| format!("the day {day} cannot be represented"))
}
