//! `provost explain PERSON|ADDRESS`: where values come from, and where mail goes.

use clap::Args;
use jiff::Timestamp;

use super::moment::{self, Moment};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Examples:
  provost explain zoe.tremblay                       each value: file, row, rule, policies, batch, actor
  provost explain registrar:20210001 --at 2026-09-01 the values at the end of that day
  provost explain zoe.roy@example.edu                where mail to the address goes, and who had it when
  provost --json explain zoe.tremblay
A value that no recorded change led to was set outside Provost, or before the audit began: the explanation says so.
The view is recorded in the audit.")]
pub(crate) struct Arguments {
    /// Login, registrar's number, provostPersonId or name of a person; or an address.
    key: String,
    /// A day, at its end, or a time in the past: 2026-09-01 or 2026-09-01T08:30:00Z.
    #[arg(long, value_parser = moment::parse, value_name = "DATE")]
    at: Option<Moment>,
}

pub(crate) async fn run(config: &Config, arguments: &Arguments, print: &Printer) -> anyhow::Result<Exit> {
    let super::DeskAccess { desk, principal, settings, .. } = super::desk_access(config).await?;
    // The end of today is in the future, and today's values are the present ones.
    let (now, zone) = (Timestamp::now(), &settings.time_zone);
    let at = arguments.at.map(|at| match at {
        Moment::Day(_) if at.beginning(zone) <= now => at.end(zone).min(now),
        at => at.beginning(zone),
    });
    let explanation = desk.explain(&principal, &arguments.key, at).await?;
    let words = print.words(zone);
    print.show(&explanation, |explanation| {
        words.explanation(explanation).iter().for_each(|line| out!("{}", printable(line)));
    })?;
    Ok(Exit::Clean)
}
