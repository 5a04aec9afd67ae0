//! The groups of classes that the directory holds, and the names of all groups.

use std::collections::{HashMap, HashSet};

use provost_client::ReceivedEntry;
use provost_schema::attr;

/// provostGroupKind of the group of a class.
pub(crate) const ENROLMENT: &str = "enrolment";

/// What is read of each group. Other groups than those of classes may have many members, which planning does not need.
pub(super) const NAME_ATTRIBUTES: [&str; 1] = [attr::CN];

/// What is read of the group of a class.
pub(super) const CLASS_ATTRIBUTES: [&str; 10] = [
    attr::CN,
    attr::PROVOST_SOURCE_ID,
    attr::MEMBER,
    attr::OWNER,
    attr::DESCRIPTION,
    attr::PROVOST_COURSE,
    attr::PROVOST_TERM,
    attr::PROVOST_UNTIL,
    attr::PROVOST_LAST_BATCH,
    attr::ENTRY_CSN,
];

/// The groups of classes by the source's id, `SOURCE:CLASS`, as it is spelled: of ids that differ only in case, each has a
/// class of its own.
#[derive(Default)]
pub(super) struct ClassTable(HashMap<String, ReceivedEntry>);

impl ClassTable {
    /// The group of a class.
    pub(super) fn of_class(&self, source_id: &str) -> Option<&ReceivedEntry> {
        self.0.get(source_id)
    }
}

impl Extend<ReceivedEntry> for ClassTable {
    fn extend<I: IntoIterator<Item = ReceivedEntry>>(&mut self, entries: I) {
        let keyed = entries.into_iter().filter_map(|entry| {
            let key = entry.first(attr::PROVOST_SOURCE_ID)?.to_owned();
            Some((key, entry))
        });
        self.0.extend(keyed);
    }
}

/// The names of all groups (cn), in lower case.
#[derive(Default)]
pub(super) struct GroupNames(HashSet<String>);

impl GroupNames {
    /// Whether a group has this name, which is in lower case.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl Extend<ReceivedEntry> for GroupNames {
    fn extend<I: IntoIterator<Item = ReceivedEntry>>(&mut self, entries: I) {
        for entry in entries {
            self.0.extend(entry.texts(attr::CN).map(str::to_lowercase));
        }
    }
}
