//! The entries in `ou=batches`: one for each plan that was applied, with what it did.

use jiff::{SignedDuration, Timestamp};
use provost_client::{Directory, DirectoryError, LdapSearch, Scope, WriteConditions};
use provost_entry::time::{format_generalized, parse_generalized};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::{attr, class, ou};

use super::effect::{CohortCount, PlanEffect};
use crate::lifecycle::LIFECYCLE_SOURCE;
use crate::tree;

/// First word of the description of a batch whose plan a second person approved.
const APPROVED: &str = "override";
/// Maximum number of batches that one look reads.
const BATCHES_MAX: usize = 10_000;

/// A batch as its entry states it.
#[derive(Clone, Debug)]
pub(crate) struct BatchEntry {
    /// Id: provostLastBatch of what it wrote.
    pub(crate) id: String,
    /// Name of the source.
    pub(crate) source: String,
    /// Digest of the source's file.
    pub(crate) digest: String,
    pub(crate) plan_hash: String,
    /// When it began.
    pub(crate) since: Timestamp,
    pub(crate) effect: PlanEffect,
    /// Who approved a plan that the guard had stopped, and why.
    pub(crate) approval: Option<String>,
    /// Whether an undo took it back.
    pub(crate) is_undone: bool,
    /// Whether the digest is that of rules and not of a file: a run of the lifecycle.
    pub(crate) is_of_rules: bool,
}

impl BatchEntry {
    fn of(entry: &Entry) -> Option<Self> {
        let text = |name| entry.first(name).unwrap_or_default().to_owned();
        let source = text(attr::PROVOST_SOURCE);
        let description = entry.first(attr::DESCRIPTION).and_then(|text| text.strip_prefix(APPROVED));
        Some(Self {
            id: entry.dn.rdn_value(attr::CN)?,
            digest: text(attr::PROVOST_DIGEST),
            plan_hash: text(attr::PROVOST_PLAN_HASH),
            since: entry.first(attr::PROVOST_SINCE).and_then(parse_generalized)?,
            effect: PlanEffect {
                counts: entry.texts(attr::PROVOST_COUNT).filter_map(CohortCount::parse).collect(),
                coverage: entry.first(attr::PROVOST_COVERAGE).map(str::to_owned),
                extracted: entry.first(attr::PROVOST_EXTRACTED).map(str::to_owned),
            },
            approval: description.map(|text| text.trim().to_owned()),
            is_undone: entry.first(attr::PROVOST_UNDONE_BY).is_some(),
            is_of_rules: source == LIFECYCLE_SOURCE,
            source,
        })
    }

    /// The entry, whose actor is `actor`.
    fn entry(&self, suffix: &Dn, actor: &str) -> Entry {
        let entry = Entry::new(dn(suffix, &self.id))
            .with(attr::OBJECT_CLASS, class::TOP)
            .with(attr::OBJECT_CLASS, class::PROVOST_BATCH)
            .with(attr::CN, self.id.as_str())
            .with(attr::PROVOST_SINCE, format_generalized(self.since))
            .with(attr::PROVOST_ACTOR, actor);
        let counts = self.effect.counts.iter().map(|count| (attr::PROVOST_COUNT, count.to_string()));
        let one = [
            (attr::PROVOST_SOURCE, Some(self.source.clone())),
            (attr::PROVOST_DIGEST, Some(self.digest.clone())),
            (attr::PROVOST_PLAN_HASH, Some(self.plan_hash.clone())),
            (attr::PROVOST_COVERAGE, self.effect.coverage.clone()),
            (attr::PROVOST_EXTRACTED, self.effect.extracted.clone()),
            (attr::DESCRIPTION, self.approval.as_ref().map(|approval| format!("{APPROVED} {approval}"))),
        ];
        let one = one.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
        one.chain(counts).fold(entry, |entry, (name, value)| entry.with(name, value))
    }
}

fn container(suffix: &Dn) -> Dn {
    suffix.child(attr::OU, ou::BATCHES)
}

fn dn(suffix: &Dn, id: &str) -> Dn {
    container(suffix).child(attr::CN, id)
}

/// The batches that match `filter`, from the writable provider, oldest first.
async fn matching(directory: &Directory, filter: Filter) -> Result<Vec<BatchEntry>, DirectoryError> {
    let search = LdapSearch {
        base: container(directory.suffix()),
        scope: Scope::One,
        filter: Filter::And(vec![Filter::equal(attr::OBJECT_CLASS, class::PROVOST_BATCH), filter]),
        attributes: vec!["*".to_owned()],
        limit: Some(BATCHES_MAX),
    };
    let entries = match directory.search_provider(search).await {
        Err(DirectoryError::NoSuchObject(_)) => Vec::new(),
        found => found?,
    };
    let mut batches: Vec<BatchEntry> = entries.iter().filter_map(BatchEntry::of).collect();
    batches.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
    Ok(batches)
}

/// The batches since `days` days before `now`, and those of `source` of any age; oldest first.
pub(crate) async fn read_batches(
    directory: &Directory,
    source: Option<&str>,
    (now, days): (Timestamp, u32),
) -> Result<Vec<BatchEntry>, DirectoryError> {
    let since = now - SignedDuration::from_hours(24 * i64::from(days));
    let since =
        Filter::GreaterOrEqual(AttributeDescription::of(attr::PROVOST_SINCE), format_generalized(since).into_bytes());
    let filter = match source {
        Some(source) => Filter::Or(vec![since, Filter::equal(attr::PROVOST_SOURCE, source)]),
        None => since,
    };
    matching(directory, filter).await
}

/// Writes the entry of a batch that begins. A batch that is resumed has one already.
pub(crate) async fn write_batch(directory: &Directory, batch: &BatchEntry, actor: &str) -> Result<(), DirectoryError> {
    let entry = batch.entry(directory.suffix(), actor);
    let added = match directory.add(entry.clone()).await {
        // The tree is of an earlier version, which had no container of batches.
        Err(DirectoryError::NoSuchObject(_)) => {
            match directory.add(tree::container(directory.suffix(), ou::BATCHES)).await {
                Ok(_) | Err(DirectoryError::AlreadyExists(_)) => {}
                Err(error) => return Err(error),
            }
            directory.add(entry).await
        }
        added => added,
    };
    match added {
        Ok(_) | Err(DirectoryError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the entry of a batch that was undone: the directory is then as it was before.
pub(crate) async fn remove_batch(directory: &Directory, batch: &str) -> Result<(), DirectoryError> {
    match directory.delete(&dn(directory.suffix(), batch), WriteConditions::default()).await {
        Ok(_) | Err(DirectoryError::NoSuchObject(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Notes that `undo` took a batch back in part, so that it counts no more. A batch of an earlier version has no entry.
pub(crate) async fn note_undone(directory: &Directory, batch: &str, undo: &str) -> Result<(), DirectoryError> {
    let name = AttributeDescription::of(attr::PROVOST_UNDONE_BY);
    let change = Modification::replace(name, vec![undo.as_bytes().to_vec()]);
    match directory.modify(&dn(directory.suffix(), batch), vec![change], WriteConditions::default()).await {
        Ok(_) | Err(DirectoryError::NoSuchObject(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use provost_policy::GuardCategory;

    use super::*;

    #[test]
    fn an_entry_states_the_whole_batch() {
        let count = "absence student/Fine Arts 12 340";
        let batch = BatchEntry {
            id: "0198".to_owned(),
            source: "registrar".to_owned(),
            digest: "aa".to_owned(),
            plan_hash: "bb".to_owned(),
            since: "2026-11-28T12:00:00Z".parse().unwrap(),
            effect: PlanEffect {
                counts: vec![CohortCount::parse(count).unwrap()],
                coverage: Some("complete".to_owned()),
                extracted: None,
            },
            approval: Some("cli:dean they have left".to_owned()),
            is_undone: false,
            is_of_rules: false,
        };
        let entry = batch.entry(&Dn::parse("dc=example,dc=edu").unwrap(), "cli:root");
        assert_eq!(entry.first(attr::PROVOST_COUNT), Some(count));
        let read = BatchEntry::of(&entry).unwrap();
        assert_eq!(format!("{read:?}"), format!("{batch:?}"));
        let count = |cohort| read.effect.find(GuardCategory::Absence, cohort).map(|count| count.count);
        assert_eq!((count("student/Fine Arts"), count("staff")), (Some(12), None));
    }
}
