//! `provost person suspend|release|close|restore|forward|quota|follow`: what a person may do, and where their mail goes.

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use provost_provision::{
    DatedValue, Desk, ForwardingChange, LockRequest, PersonDetail, Principal, ProvisionSettings, QuotaChange,
};
use serde_json::json;

use crate::commands::moment::{self, Moment};
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Changes of what a person may do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Suspend a person by a lock: no login by any protocol, sessions end within a second, mail is still received.
    ///
    /// Several locks may stand at once. A lock with an end needs no release.
    #[command(after_help = "Examples:
  provost person suspend zoe.tremblay --lock abuse --reason 'spam from her account, ticket 812'
  provost person suspend zoe.tremblay --lock fees --owner bursar --until 2027-01-31 --reason 'unpaid fees'
  provost person suspend zoe.tremblay --lock exam --until 2027-01-31T12:00:00Z --reason 'until the hearing'")]
    Suspend(SuspendArguments),
    /// Release a lock of a person. Other locks stay.
    #[command(after_help = "Example: provost person release zoe.tremblay --lock abuse
'provost person show zoe.tremblay' lists the locks.")]
    Release {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Name of the lock.
        #[arg(long)]
        lock: String,
    },
    /// Close an account by hand: no login, no mail in or out, until it is restored. The mail is kept.
    #[command(after_help = "Example: provost person close zoe.tremblay --reason 'created by mistake'")]
    Close {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Why; the audit shows it.
        #[arg(long)]
        reason: String,
    },
    /// Give an account that was closed or suspended by hand back to the lifecycle. Locks stay: see 'release'.
    #[command(after_help = "Example: provost person restore zoe.tremblay --reason 'closed by mistake'
The account gets the state that its policy asks for today; the command prints it.")]
    Restore {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// Why; the audit shows it.
        #[arg(long)]
        reason: String,
    },
    /// Forward a person's mail from one day to another. No file changes what was set here.
    #[command(after_help = "Examples:
  provost person forward zoe.tremblay --to zoe@example.net
  provost person forward zoe.tremblay --to zoe@example.net --start 2027-01-01 --end 2027-06-30 --no-copy
  provost person forward zoe.tremblay --clear
  provost person follow zoe.tremblay forwarding     files decide again")]
    Forward(ForwardArguments),
    /// Give a person a quota class or a quota of their own, until a day. No file and no policy changes it before its end.
    #[command(after_help = "Examples:
  provost person quota zoe.tremblay --class research --until 2027-12-31
  provost person quota zoe.tremblay --octets 20000000000
  provost person quota zoe.tremblay --clear
'provost settings show quota-classes' lists the classes.")]
    Quota(QuotaArguments),
    /// Let files and policies decide again about what was set by hand.
    #[command(after_help = "Example: provost person follow zoe.tremblay vacation")]
    Follow {
        /// Login, address, registrar's number, or provostPersonId.
        person: String,
        /// What they decide again.
        value: FollowedValue,
    },
}

#[derive(Args)]
pub(crate) struct SuspendArguments {
    /// Login, address, registrar's number, or provostPersonId.
    person: String,
    /// Name of the lock: lower-case letters, digits and hyphens.
    #[arg(long)]
    lock: String,
    /// Why; the audit and the person's page show it.
    #[arg(long)]
    reason: String,
    /// Who is responsible for the lock, in one word; you by default.
    #[arg(long)]
    owner: Option<String>,
    /// Last day (2027-01-31), or exact time (2027-01-31T12:00:00Z); without it, the lock stands until it is released.
    #[arg(long, value_parser = moment::parse)]
    until: Option<Moment>,
}

#[derive(Args)]
pub(crate) struct ForwardArguments {
    /// Login, address, registrar's number, or provostPersonId.
    person: String,
    /// Address to which mail goes on; up to ten times.
    #[arg(long, required_unless_present = "clear", conflicts_with = "clear")]
    to: Vec<String>,
    /// First day, YYYY-MM-DD; at once by default.
    #[arg(long, conflicts_with = "clear")]
    start: Option<Date>,
    /// Last day, YYYY-MM-DD, inclusive; no end by default.
    #[arg(long, conflicts_with = "clear")]
    end: Option<Date>,
    /// Keep no copy in the mailbox.
    #[arg(long, conflicts_with = "clear")]
    no_copy: bool,
    /// Remove the forwarding.
    #[arg(long)]
    clear: bool,
}

#[derive(Args)]
pub(crate) struct QuotaArguments {
    /// Login, address, registrar's number, or provostPersonId.
    person: String,
    /// Quota class, as in the setting quota-classes.
    #[arg(long, required_unless_present_any = ["octets", "clear"], conflicts_with_all = ["octets", "clear"])]
    class: Option<String>,
    /// Quota in octets.
    #[arg(long, conflicts_with = "clear")]
    octets: Option<u64>,
    /// Last day, YYYY-MM-DD, inclusive; no end by default.
    #[arg(long, conflicts_with = "clear")]
    until: Option<Date>,
    /// Remove the person's own quota and class.
    #[arg(long)]
    clear: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FollowedValue {
    /// The vacation rule.
    Vacation,
    /// The forwarding.
    Forwarding,
    /// The quota class.
    Quota,
}

impl From<FollowedValue> for DatedValue {
    fn from(value: FollowedValue) -> Self {
        match value {
            FollowedValue::Vacation => Self::Vacation,
            FollowedValue::Forwarding => Self::Forwarding,
            FollowedValue::Quota => Self::Quota,
        }
    }
}

pub(crate) async fn run(
    desk: &Desk,
    principal: &Principal,
    settings: &ProvisionSettings,
    command: Command,
    print: &Printer,
) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let (audit_id, done) = match command {
        Command::Suspend(arguments) => {
            let SuspendArguments { person, lock, reason, owner, until } = arguments;
            // The end of a day is the beginning of the next one; the lock's end is its last second.
            let until = until.map(|until| match until {
                Moment::Time(time) => time,
                Moment::Day(_) => until.end(&settings.time_zone) - 1.second(),
            });
            let done = format!("{} suspended by the lock {lock}", printable(&person));
            let request = LockRequest { name: lock, owner, reason, until };
            (desk.suspend(principal, &person, request, now).await?, done)
        }
        Command::Release { person, lock } => {
            let audit_id = desk.release_lock(principal, &person, &lock, now).await?;
            (audit_id, format!("lock {} of {} released", printable(&lock), printable(&person)))
        }
        Command::Close { person, reason } => {
            (desk.close_account(principal, &person, &reason, now).await?, format!("{} closed", printable(&person)))
        }
        Command::Restore { person, reason } => {
            let (state, audit_id) = desk.restore_account(principal, &person, &reason, now).await?;
            let restored = json!({ "audit": audit_id, "state": state });
            print.show(&restored, |_| out!("{} restored: {state}", printable(&person)))?;
            return Ok(Exit::Clean);
        }
        Command::Forward(arguments) => {
            let name = printable(&arguments.person);
            if arguments.clear {
                let audit_id = desk.clear_forwarding(principal, &arguments.person, now).await?;
                (audit_id, format!("forwarding of {name} cleared"))
            } else {
                let ForwardArguments { person, to, start, end, no_copy, .. } = arguments;
                let change = ForwardingChange { to, start, end, keep_copy: !no_copy };
                (desk.set_forwarding(principal, &person, change, now).await?, format!("forwarding of {name} set"))
            }
        }
        Command::Quota(arguments) => {
            let name = printable(&arguments.person);
            if arguments.clear {
                let audit_id = desk.clear_quota(principal, &arguments.person, now).await?;
                (audit_id, format!("quota of {name} cleared"))
            } else {
                let QuotaArguments { person, class, octets, until, .. } = arguments;
                let change = QuotaChange { class, octets, until };
                (desk.set_quota(principal, &person, change, now).await?, format!("quota of {name} set"))
            }
        }
        Command::Follow { person, value } => {
            let audit_id = desk.follow_sources(principal, &person, value.into(), now).await?;
            (audit_id, format!("files and policies decide again for {}", printable(&person)))
        }
    };
    print.show(&json!({ "audit": audit_id }), |_| out!("{done}"))?;
    Ok(Exit::Clean)
}

/// Prints locks, restrictions, forwarding, quota, and what was set by hand.
pub(crate) fn show(person: &PersonDetail) {
    for lock in &person.locks {
        let until = lock.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let since = lock.since.map(|since| format!(" since {since}")).unwrap_or_default();
        let stands = if lock.stands { "" } else { " (does not stand now)" };
        let (name, owner, reason) = (printable(&lock.name), printable(&lock.owner), printable(&lock.reason));
        out!("  lock       {name}{since}{until} by {owner}: {reason}{stands}");
    }
    if !person.restrictions.is_empty() {
        out!("  forbidden  {}", printable(&person.restrictions.join(", ")));
    }
    if let Some(forwarding) = &person.forwarding {
        let from = forwarding.start.map(|day| format!(" from {day}")).unwrap_or_default();
        let until = forwarding.end.map(|day| format!(" until {day}")).unwrap_or_default();
        let copy = if forwarding.keep_copy { "with" } else { "without" };
        out!("  forward    {}{from}{until}, {copy} a copy", printable(&forwarding.to.join(", ")));
    }
    if let Some(QuotaChange { class, octets, until }) = &person.quota {
        let class = class.as_deref().map(|class| format!("class {}", printable(class)));
        let octets = octets.map(|octets| format!("{octets} octets"));
        let until = until.map(|day| format!(" until {day}")).unwrap_or_default();
        let parts: Vec<String> = class.into_iter().chain(octets).collect();
        out!("  quota      {}{until}", parts.join(", "));
    }
    for origin in &person.set_by_hand {
        let since = origin.since.map(|since| format!(" since {since}")).unwrap_or_default();
        let until = origin.until.map(|until| format!(" until {until}")).unwrap_or_default();
        out!("  by hand    {}{since}{until} by {}", printable(&origin.attribute), printable(&origin.actor));
    }
}
