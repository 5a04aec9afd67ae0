//! Plans the undo of a batch: puts back what still holds the batch's values, and lists what stays and why.
//!
//! Pure: the journal of the batch, its plan and the present entries give the plan of the undo. An entry that the batch
//! has made is deleted only if nobody has changed it since. An attribute gets its former values back only if it still
//! holds those of the batch. The addresses of a person go together: when one of them was changed since, all stay.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use provost_client::{Directory, DirectoryError};
use provost_entry::time::format_generalized;
use provost_entry::{AttributeDescription, Dn, Entry};
use provost_schema::attr;

use super::{ChangeKind, PersonChange, Plan, PlanSummary, Reason, SourceStamp, counted};
use crate::attribute_change::{AttributeChange, ChangeMode};
use crate::journal::{KeptBatch, Receipt, WriteOutcome};
use crate::source::RecordError;
use crate::write::{Write, WriteKind};
use crate::{ReasonRule, tree};

/// Name of the source of an undo's plan; its digest is the id of the batch that is undone.
pub(crate) const UNDO: &str = "undo";
/// Entries that are read at once.
const READS_IN_FLIGHT: usize = 64;
/// All attributes of users (RFC 4511 §4.5.1.8), and the version of the entry.
const ATTRIBUTES: [&str; 2] = ["*", attr::ENTRY_CSN];
/// Attributes that do not count when an entry is compared with what the batch wrote: the password is compared by its
/// digest, and the others go with it. An activation link that nobody has used yet does not count either.
const NOT_COMPARED: [&str; 8] = [
    attr::OBJECT_CLASS,
    attr::ENTRY_CSN,
    attr::USER_PASSWORD,
    attr::PROVOST_SCRAM,
    attr::PROVOST_PASSWORD_SINCE,
    attr::PROVOST_PASSWORD_HISTORY,
    attr::PROVOST_CREDENTIAL_STATE,
    attr::PROVOST_ACTIVATION,
];
/// Attributes that an initial password brings. The undo that takes the password back removes them.
pub(super) const OF_PASSWORD: [&str; 4] =
    [attr::USER_PASSWORD, attr::PROVOST_SCRAM, attr::PROVOST_PASSWORD_SINCE, attr::PROVOST_CREDENTIAL_STATE];

/// The entries that a batch wrote, as the directory holds them now.
pub struct WrittenEntries(HashMap<Dn, Entry>);

impl WrittenEntries {
    /// Reads every entry that the plan writes from the writable provider.
    pub async fn read(directory: &Directory, plan: &Plan) -> Result<Self, DirectoryError> {
        // Futures that own their DN: with closures over borrowed ones, the compiler does not see that this future is `Send`.
        let names: Vec<Dn> =
            plan.changes.iter().flat_map(|change| &change.writes).map(|write| write.dn.clone()).collect();
        let read = |dn: Dn| async move {
            let entry = tree::read_provider(directory, &dn, &ATTRIBUTES).await?;
            Ok((dn, entry))
        };
        let reads = futures_util::stream::iter(names).map(read).buffer_unordered(READS_IN_FLIGHT);
        let found: Vec<(Dn, Option<Entry>)> = reads.try_collect().await?;
        Ok(Self(found.into_iter().filter_map(|(dn, entry)| Some((dn, entry?))).collect()))
    }
}

impl WrittenEntries {
    /// The entry with this DN; `None` when it does not exist.
    pub(super) fn get(&self, dn: &Dn) -> Option<&Entry> {
        self.0.get(dn)
    }
}

/// Plans the undo of a batch, from its journal, the plan that it applied and the entries as they are now.
pub fn plan_undo(batch: &KeptBatch, applied: &Plan, held: &WrittenEntries, now: Timestamp) -> Plan {
    let receipts = batch.receipts.iter().map(|receipt| ((receipt.change, receipt.write), receipt)).collect();
    let undo = BatchUndo { batch: &batch.batch, since: &batch.since, held, receipts };
    let (mut changes, mut left, mut rows) = (Vec::new(), Vec::new(), 0);
    for (place, change) in applied.changes.iter().enumerate().rev() {
        let Ok(place) = u32::try_from(place) else { continue };
        let done = undo.done(place, change);
        if done.is_empty() {
            continue;
        }
        rows += 1;
        changes.extend(undo.change(change, &done, &mut left));
    }
    left.sort_by_key(|problem| problem.line);
    let sources = vec![SourceStamp { name: UNDO.to_owned(), digest: batch.batch.clone(), profile: None }];
    let mut lines: Vec<u64> = left.iter().map(|problem| problem.line).collect();
    lines.dedup();
    let unchanged = rows - changes.len().min(rows);
    let summary = PlanSummary { rows, unchanged, rejected: lines.len(), ..counted(&changes) };
    Plan {
        hash: super::hash(&applied.suffix, &sources, &applied.policies, &changes),
        suffix: applied.suffix.clone(),
        since: format_generalized(now),
        policies: applied.policies.clone(),
        rejected: left,
        warnings: Vec::new(),
        summary,
        sources,
        changes,
    }
}

/// A write of the batch that was done, with its receipt.
type DoneWrite<'a> = (&'a Write, &'a Receipt);

struct BatchUndo<'a> {
    batch: &'a str,
    /// provostSince of the addresses that the batch made.
    since: &'a str,
    held: &'a WrittenEntries,
    /// The last receipt of each write, by place of the change and of the write.
    receipts: HashMap<(u32, u32), &'a Receipt>,
}

/// What an attribute holds of a change that the batch made.
enum HeldValues {
    /// The values of the batch.
    OfBatch,
    /// Already those from before the batch.
    Former,
    /// Others: somebody has changed them since.
    Others,
}

impl<'a> BatchUndo<'a> {
    /// The writes of one person that the batch did itself.
    fn done(&self, place: u32, change: &'a PersonChange) -> Vec<DoneWrite<'a>> {
        let writes = (0u32..).zip(&change.writes);
        let done = writes.filter_map(|(number, write)| Some((write, *self.receipts.get(&(place, number))?)));
        done.filter(|(_, receipt)| matches!(receipt.outcome, WriteOutcome::Done | WriteOutcome::Found)).collect()
    }

    /// The change that undoes one person; `None` when nothing is to be put back. What stays is added to `left`.
    fn change(
        &self,
        change: &PersonChange,
        done: &[DoneWrite<'_>],
        left: &mut Vec<RecordError>,
    ) -> Option<PersonChange> {
        if change.kind == ChangeKind::Purge {
            let words = format!("{}: a purge is not taken back; import the person again", change.what);
            left.push(RecordError::error(change.line, "person", "undo.purge", words));
            return None;
        }
        let deleted = done.iter().find(|(write, _)| is_deletion_of_group(write));
        if let Some(name) = deleted.and_then(|(write, _)| write.dn.rdn_value(attr::CN)) {
            let words =
                format!("{}: a class that has ended is not put back; a file of its source makes it", change.what);
            left.push(RecordError::error(change.line, name, "undo.class", words));
            return None;
        }
        let freed = done.iter().filter(|(write, _)| matches!(write.action, WriteKind::Delete { .. }));
        for address in freed.filter_map(|(write, _)| write.dn.rdn_value(attr::PROVOST_ADDRESS)) {
            let words = format!("{address} was freed, and its entry is not put back; give it to its owner by hand");
            left.push(RecordError::error(change.line, &address, "undo.freed", words));
        }
        let is_creation =
            done.iter().any(|(write, _)| matches!(write.action, WriteKind::AddPerson | WriteKind::AddGroup));
        let mut stays = |name: &str, why: String| {
            left.push(RecordError::error(change.line, name, "undo.stays", format!("{}: {why}", change.what)));
        };
        let obstacles: Vec<(String, String)> = done.iter().filter_map(|done| self.obstacle(*done)).collect();
        let addresses_stay = !obstacles.is_empty();
        obstacles.into_iter().for_each(|(name, why)| stays(&name, why));
        let mut writes = Vec::new();
        for (write, receipt) in done.iter().rev() {
            let Some(entry) = self.held.0.get(&write.dn) else { continue };
            let csn = entry.first(attr::ENTRY_CSN).map(Into::into);
            let undone = match write.action {
                WriteKind::AddAddress | WriteKind::AddPerson | WriteKind::AddGroup if addresses_stay => None,
                WriteKind::AddAddress | WriteKind::AddPerson | WriteKind::AddGroup => {
                    let attributes = write.attributes.iter().map(|change| inverse(change, entry)).collect();
                    Some(Write::new(write.dn.clone(), WriteKind::Delete { csn }, attributes))
                }
                WriteKind::ModifyAddress if addresses_stay => None,
                WriteKind::ModifyPerson { .. } if addresses_stay && is_creation => None,
                WriteKind::ModifyAddress | WriteKind::ModifyPerson { .. } | WriteKind::ModifyGroup { .. } => {
                    let attributes = self.former_values((write, receipt), entry, addresses_stay, &mut stays);
                    (!attributes.is_empty())
                        .then(|| Write::new(write.dn.clone(), WriteKind::Restore { csn }, attributes))
                }
                WriteKind::Restore { .. } | WriteKind::Delete { .. } | WriteKind::AddTombstone => None,
            };
            writes.extend(undone);
        }
        let kind = match change.kind {
            ChangeKind::Class => ChangeKind::Class,
            _ if is_creation => ChangeKind::Remove,
            _ => ChangeKind::Restore,
        };
        let words = format!("batch {} is undone", self.batch);
        let reason = Reason { rule: ReasonRule::BatchUndone, words };
        let what = format!("undo: {}", change.what);
        (!writes.is_empty()).then_some(PersonChange { source: 0, line: change.line, what, kind, reason, writes })
    }

    /// Why the addresses of the person cannot be put back, with the name of the attribute or entry; `None` when this
    /// write is no obstacle.
    fn obstacle(&self, (write, receipt): DoneWrite<'_>) -> Option<(String, String)> {
        let name = write.dn.rdn_value(attr::PROVOST_ADDRESS).unwrap_or_else(|| "person".to_owned());
        let Some(entry) = self.held.0.get(&write.dn) else {
            // An entry that the batch made may be gone: that is what the undo is for.
            let was_there = !matches!(write.action, WriteKind::AddAddress | WriteKind::AddPerson | WriteKind::AddGroup);
            return was_there.then(|| (name, "the entry no longer exists".to_owned()));
        };
        match write.action {
            WriteKind::AddAddress | WriteKind::AddPerson | WriteKind::AddGroup => {
                let is_unchanged = is_version(entry, receipt) || self.is_as_written((write, receipt), entry);
                (!is_unchanged).then(|| (name, self.changed(entry)))
            }
            WriteKind::ModifyAddress | WriteKind::ModifyPerson { .. } | WriteKind::ModifyGroup { .. } => {
                let mut addresses = write.attributes.iter().filter(|change| is_of_addresses(&change.name));
                let other = addresses.find(|change| matches!(held_values(change, entry), HeldValues::Others))?;
                Some((other.name.to_string(), self.other_values(other, entry)))
            }
            WriteKind::Restore { .. } | WriteKind::Delete { .. } | WriteKind::AddTombstone => None,
        }
    }

    /// The changes that put former values back into a modified entry.
    fn former_values(
        &self,
        (write, receipt): DoneWrite<'_>,
        entry: &Entry,
        addresses_stay: bool,
        stays: &mut impl FnMut(&str, String),
    ) -> Vec<AttributeChange> {
        let mut attributes = Vec::new();
        for change in &write.attributes {
            if addresses_stay && is_of_addresses(&change.name) {
                continue;
            }
            match held_values(change, entry) {
                HeldValues::OfBatch => attributes.push(inverse(change, entry)),
                HeldValues::Former => {}
                HeldValues::Others => stays(change.name.as_str(), self.other_values(change, entry)),
            }
        }
        if receipt.password {
            if is_version(entry, receipt) || has_password_of(receipt, entry) {
                attributes.extend(OF_PASSWORD.map(|name| set(name, Vec::new(), Vec::new())));
            } else {
                stays(attr::USER_PASSWORD, "it may have been changed since the import, and stays".to_owned());
            }
        }
        if entry.first(attr::PROVOST_LAST_BATCH) == Some(self.batch) {
            let former = write.last_batch.iter().map(ToString::to_string).collect();
            attributes.push(set(attr::PROVOST_LAST_BATCH, vec![self.batch.to_owned()], former));
        }
        attributes
    }

    /// Whether an entry that the batch made still holds exactly what the batch wrote.
    fn is_as_written(&self, (write, receipt): DoneWrite<'_>, entry: &Entry) -> bool {
        let mut written: BTreeSet<(String, &[u8])> = BTreeSet::new();
        for change in &write.attributes {
            let name = change.name.as_str().to_lowercase();
            written.extend(change.after.iter().map(|value| (name.clone(), value.as_bytes())));
        }
        written.insert((attr::PROVOST_LAST_BATCH.to_lowercase(), self.batch.as_bytes()));
        if write.action == WriteKind::AddAddress {
            written.insert((attr::PROVOST_SINCE.to_lowercase(), self.since.as_bytes()));
        }
        // An activation link that nobody has used has made the account invited, and changed nothing else.
        let invited = provost_lifecycle::AccountState::Invited.name();
        let is_invited = entry.first(attr::PROVOST_STATE).is_some_and(|state| state.eq_ignore_ascii_case(invited));
        if is_invited {
            written.retain(|(name, _)| !name.eq_ignore_ascii_case(attr::PROVOST_STATE));
        }
        let not_compared = |name: &AttributeDescription| {
            let of_state = [attr::PROVOST_STATE, attr::PROVOST_STATE_SINCE];
            NOT_COMPARED.iter().any(|not| name.is(not)) || is_invited && of_state.iter().any(|not| name.is(not))
        };
        let compared = entry.attributes().filter(|(name, _)| !not_compared(name));
        let held: BTreeSet<(String, &[u8])> = compared
            .flat_map(|(name, values)| values.iter().map(|value| (name.as_str().to_lowercase(), value.as_slice())))
            .collect();
        let has_own_password = if receipt.password {
            has_password_of(receipt, entry)
        } else {
            entry.values(attr::USER_PASSWORD).is_empty()
        };
        held == written && has_own_password
    }

    fn other_values(&self, change: &AttributeChange, entry: &Entry) -> String {
        let now = entry.texts(change.name.as_str()).collect::<Vec<_>>().join(", ");
        let now = if now.is_empty() { "removed".to_owned() } else { format!("now {now}") };
        format!("{now}; {}", self.changed(entry))
    }

    /// Who has changed an entry since the batch.
    fn changed(&self, entry: &Entry) -> String {
        match entry.first(attr::PROVOST_LAST_BATCH) {
            Some(later) if later != self.batch => format!("a later import changed it: undo batch {later} first"),
            _ => "it was changed since the import, and stays".to_owned(),
        }
    }
}

/// Whether a write deletes the group of a class.
fn is_deletion_of_group(write: &Write) -> bool {
    matches!(write.action, WriteKind::Delete { .. }) && write.dn.rdn_value(attr::CN).is_some()
}

/// Whether nobody has written to the entry since the receipt.
fn is_version(entry: &Entry, receipt: &Receipt) -> bool {
    receipt.csn.is_some() && receipt.csn.as_deref() == entry.first(attr::ENTRY_CSN)
}

/// Whether the entry has the password that the batch set, and no other.
fn has_password_of(receipt: &Receipt, entry: &Entry) -> bool {
    let [password] = entry.values(attr::USER_PASSWORD) else { return false };
    receipt.password_digest.as_deref() == Some(blake3::hash(password).to_hex().as_str())
}

/// Whether the attribute says which addresses a person has.
fn is_of_addresses(name: &AttributeDescription) -> bool {
    const NAMES: [&str; 4] = [attr::MAIL, attr::MAIL_LOCAL_ADDRESS, attr::PROVOST_ADDRESS_KIND, attr::PROVOST_UNTIL];
    NAMES.iter().any(|of_addresses| name.is(of_addresses))
}

fn held_values(change: &AttributeChange, entry: &Entry) -> HeldValues {
    let held: BTreeSet<&str> = entry.texts(change.name.as_str()).collect();
    let after: BTreeSet<&str> = change.after.iter().map(String::as_str).collect();
    let before: BTreeSet<&str> = change.before.iter().map(String::as_str).collect();
    let added = &after - &before;
    let (of_batch, former) = match change.how {
        ChangeMode::Set => (held == after, held == before),
        ChangeMode::Add => (added.is_subset(&held), added.is_disjoint(&held)),
        ChangeMode::Exchange => {
            (after.is_subset(&held) && before.is_disjoint(&held), before.is_subset(&held) && after.is_disjoint(&held))
        }
    };
    match (of_batch, former) {
        (_, true) => HeldValues::Former,
        (true, false) => HeldValues::OfBatch,
        (false, false) => HeldValues::Others,
    }
}

/// The change that puts the former values back. Values that were added by others stay.
fn inverse(change: &AttributeChange, entry: &Entry) -> AttributeChange {
    let mut how = ChangeMode::Set;
    let (before, after) = match change.how {
        ChangeMode::Exchange => {
            how = ChangeMode::Exchange;
            (change.after.clone(), change.before.clone())
        }
        ChangeMode::Set => (change.after.clone(), change.before.clone()),
        ChangeMode::Add => {
            let held: Vec<String> = entry.texts(change.name.as_str()).map(str::to_owned).collect();
            let is_added = |value: &&String| change.after.contains(value) && !change.before.contains(value);
            let kept = held.iter().filter(|value| !is_added(value)).cloned().collect();
            (held, kept)
        }
    };
    AttributeChange { name: change.name.clone(), how, before, after, rule: ReasonRule::BatchUndone }
}

fn set(name: &'static str, before: Vec<String>, after: Vec<String>) -> AttributeChange {
    AttributeChange::set(name, before, after, ReasonRule::BatchUndone)
}
