//! Whether the directory has moved under a plan that was kept: entries that it writes have changed since.

use provost_entry::{Dn, Entry};
use provost_schema::attr;

use super::{Plan, WrittenEntries};
use crate::write::{Write, WriteKind};

/// The entries that a plan writes and that are no longer as it compared them. What `batch` has written, the plan's own
/// interrupted batch, is as it should be.
pub(crate) fn moved<'p>(plan: &'p Plan, held: &WrittenEntries, batch: Option<&str>) -> Vec<&'p Dn> {
    let writes = plan.changes().iter().flat_map(|change| &change.writes);
    writes.filter(|write| has_moved(write, held.get(&write.dn), batch)).map(|write| &write.dn).collect()
}

fn has_moved(write: &Write, held: Option<&Entry>, batch: Option<&str>) -> bool {
    let Some(held) = held else {
        let may_be_deleted = matches!(write.action, WriteKind::Delete { .. }) && batch.is_some();
        return !write.action.adds() && !may_be_deleted;
    };
    if batch.is_some() && held.first(attr::PROVOST_LAST_BATCH) == batch {
        return false;
    }
    match &write.action {
        WriteKind::AddAddress | WriteKind::AddPerson | WriteKind::AddTombstone | WriteKind::AddGroup => true,
        WriteKind::ModifyPerson { csn }
        | WriteKind::ModifyGroup { csn }
        | WriteKind::Restore { csn }
        | WriteKind::Delete { csn } => csn.as_deref().is_some_and(|csn| held.first(attr::ENTRY_CSN) != Some(csn)),
        WriteKind::ModifyAddress => !write.attributes.iter().all(|change| change.is_before_in(held)),
    }
}
