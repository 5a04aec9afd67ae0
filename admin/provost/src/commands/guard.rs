//! What commands say when the guard stops a plan.

use provost_provision::{ApplyError, GuardReport, PlannedImport};
use serde_json::json;

use super::DeskAccess;
use crate::exit::Exit;
use crate::output::{Printer, printable};

/// Prints the limits that a plan exceeds, in a dry run. Returns whether the guard would stop it.
pub(super) async fn show_limits(
    access: &DeskAccess,
    planned: &PlannedImport,
    dry_run: bool,
    print: &Printer,
) -> anyhow::Result<bool> {
    if !dry_run {
        return Ok(false);
    }
    let report = access.desk.judge(planned).await?;
    if report.has_tripped() {
        print.line("the guard would stop this plan:");
        lines_of(&report).iter().for_each(|line| print.line(line));
    }
    Ok(report.has_tripped())
}

/// The exceeded limits, one line each.
pub(super) fn lines_of(report: &GuardReport) -> Vec<String> {
    report.trips.iter().map(|trip| format!("  {}", printable(&trip.to_string()))).collect()
}

/// The end of a command whose plan the guard stopped. Any other error is returned.
pub(super) fn stopped_by_guard(error: anyhow::Error, print: &Printer) -> anyhow::Result<Exit> {
    let stop = match error.downcast::<ApplyError>() {
        Ok(ApplyError::Guard(stop)) => stop,
        Ok(other) => return Err(other.into()),
        Err(error) => return Err(error),
    };
    let report = json!({ "guard": { "hash": stop.hash, "policy": stop.report.policy, "limits": stop.report.trips } });
    print.show(&report, |_| {
        out!("the guard stopped this plan, and nothing was changed (limits of policy {}):", stop.report.policy);
        lines_of(&stop.report).iter().for_each(|line| out!("{line}"));
        out!("plan {0}: look at it with 'provost plan show {0}'", stop.hash);
        out!("a second person applies it with 'provost apply {} --override --reason TEXT'", stop.hash);
    })?;
    Ok(Exit::GuardTripped)
}
