//! Counts what a plan does, person by person.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use provost_entry::Entry;
use provost_lifecycle::AffiliationPeriod;
use provost_policy::GuardCategory;
use provost_schema::attr;

use super::cohort::{cohorts, of_source};
use super::effect::{CohortCount, PlanEffect};
use super::loss::LossRule;
use crate::lifecycle::{is_closed, lifecycle_facts};
use crate::{ChangeKind, PersonChange};

/// People that a count names.
const FIRST_MAX: usize = 5;

/// The counts of one plan while it is made.
pub(crate) struct Tally {
    rule: LossRule,
    counts: BTreeMap<(GuardCategory, String), (u64, Vec<String>)>,
    sizes: HashMap<String, u64>,
    /// Sizes of the cohorts of closed accounts, for purges.
    closed: HashMap<String, u64>,
    /// Rows of the file, for rejects.
    rows: u64,
}

impl Tally {
    /// No counts. A departure with at least `planned_days` of notice does not count.
    pub(crate) fn new(now: Timestamp, planned_days: u32) -> Self {
        let rule = LossRule { now, planned_days };
        Self { rule, counts: BTreeMap::new(), sizes: HashMap::new(), closed: HashMap::new(), rows: 0 }
    }

    /// Whether nothing was counted, so that the sizes of cohorts do not matter.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Adds a person of the directory to the sizes of their cohorts.
    pub(crate) fn add_person(&mut self, periods: &[AffiliationPeriod], is_closed: bool) {
        let sizes = if is_closed { &mut self.closed } else { &mut self.sizes };
        for cohort in cohorts(periods) {
            *sizes.entry(cohort).or_default() += 1;
        }
    }

    /// Adds the person of an entry to the sizes of their cohorts.
    pub(crate) fn add_entry(&mut self, entry: &Entry) {
        self.add_person(&lifecycle_facts(entry, self.rule.now).affiliations, is_closed(entry));
    }

    /// Counts the change of a person whose entry is `before`; `None` for a new person.
    pub(crate) fn add_change(&mut self, before: Option<&Entry>, change: &PersonChange) {
        let Some(before) = before else {
            return self.add_creation(change);
        };
        let periods = lifecycle_facts(before, self.rule.now).affiliations;
        let label = before.first(attr::MAIL).or_else(|| before.first(attr::UID)).unwrap_or_else(|| before.dn.as_str());
        let is_renamed = change.kind == ChangeKind::Rename && before.first(attr::MAIL).is_some();
        let categories = [
            self.rule.category(before, change),
            is_renamed.then_some(GuardCategory::Address),
            is_absence(change).then_some(GuardCategory::Absence),
        ];
        for category in categories.into_iter().flatten() {
            self.count(category, &periods, label);
        }
    }

    fn add_creation(&mut self, change: &PersonChange) {
        if change.kind != ChangeKind::Create {
            return;
        }
        let values = change.writes.iter().filter(|write| write.is_of_person()).flat_map(|write| &write.attributes);
        let values: Vec<_> = values.collect();
        let of = |name: &'static str| {
            values
                .iter()
                .filter(move |value| value.name.is(name))
                .flat_map(|value| value.after.iter().map(String::as_str))
        };
        let periods: Vec<_> = of(attr::PROVOST_AFFILIATION).filter_map(AffiliationPeriod::parse).collect();
        let label = of(attr::MAIL).next().unwrap_or_default().to_owned();
        self.count(GuardCategory::Creation, &periods, &label);
    }

    fn count(&mut self, category: GuardCategory, periods: &[AffiliationPeriod], label: &str) {
        for cohort in cohorts(periods) {
            let (count, first) = self.counts.entry((category, cohort)).or_default();
            *count += 1;
            if first.len() < FIRST_MAX {
                first.push(label.to_owned());
            }
        }
    }

    /// Counts the rows of a source's file that are left out, of `rows` rows.
    pub(crate) fn add_rejects(&mut self, source: &str, rejected: u64, rows: u64) {
        if rejected > 0 {
            self.counts.insert((GuardCategory::Reject, of_source(source)), (rejected, Vec::new()));
            self.rows = rows;
        }
    }

    /// What the plan does.
    pub(crate) fn finish(self) -> PlanEffect {
        let Self { counts, sizes, closed, rows, .. } = self;
        let counts = counts.into_iter().map(|((category, cohort), (count, first))| {
            let size = match category {
                GuardCategory::Reject => rows,
                GuardCategory::Purge => closed.get(&cohort).copied().unwrap_or_default(),
                _ => sizes.get(&cohort).copied().unwrap_or_default(),
            };
            CohortCount { category, cohort, count, size, first }
        });
        PlanEffect::of_counts(counts.collect())
    }
}

/// Whether the change states for the first time that a source lacks the person. The second file, which confirms it, ends
/// an affiliation: that is a departure.
fn is_absence(change: &PersonChange) -> bool {
    let writes = change.writes.iter().filter(|write| write.is_of_person());
    let mut values = writes.flat_map(|write| &write.attributes).filter(|value| value.name.is(attr::PROVOST_ABSENCE));
    let source = |mark: &String| mark.split(' ').next().map(str::to_owned);
    values.any(|value| {
        let is_new = |mark: &String| value.before.iter().all(|held| source(held) != source(mark));
        value.after.iter().any(is_new)
    })
}
