//! What the plan of an import does, as the guard counts it.

use jiff::Timestamp;
use provost_entry::Entry;

use super::actual::DirectoryContent;
use super::{ChangeKind, PersonChange, Plan};
use crate::guard::{PlanEffect, Tally};

/// Counts a plan that was made from `actual`. A departure with at least `planned_days` of notice does not count.
pub(crate) fn plan_effect(plan: &Plan, actual: &DirectoryContent, (now, planned_days): (Timestamp, u32)) -> PlanEffect {
    let mut tally = Tally::new(now, planned_days);
    for change in plan.changes() {
        if change.kind == ChangeKind::Create {
            tally.add_change(None, change);
        } else if let Some(before) = actual.entry_before(change) {
            tally.add_change(Some(&before), change);
        }
    }
    if let Some(source) = plan.sources().first() {
        let (rejected, rows) = (plan.summary().rejected as u64, plan.summary().rows as u64);
        tally.add_rejects(&source.name, rejected, rows);
    }
    // The sizes of cohorts matter only where something was counted: a file without changes is planned in seconds.
    if !tally.is_empty() {
        actual.people.iter().for_each(|person| tally.add_person(&person.affiliations(), person.is_closed()));
    }
    tally.finish()
}

impl DirectoryContent {
    /// The entry of the person whom a change concerns; `None` when it writes no entry of a known person.
    fn entry_before(&self, change: &PersonChange) -> Option<Entry> {
        let write = change.writes.iter().find(|write| write.is_of_person())?;
        Some(self.people.named(&self.name_of(&write.dn))?.to_entry())
    }
}
