//! Compares what a plan does, and what the plans of the last days did, with the limits.

use std::fmt;

use provost_policy::{GuardCategory, GuardPolicy};
use serde::{Deserialize, Serialize};

use super::batches::BatchEntry;
use super::effect::{CohortCount, PlanEffect};

/// Maximum number of limits that one report lists.
const TRIPS_MAX: usize = 50;

/// The limits that a plan exceeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Name of the policy whose limits were compared; `built-in` for those of a site that states none.
    pub policy: String,
    /// The exceeded limits, those of the largest cohorts first; none when the plan may be applied.
    pub trips: Vec<GuardTrip>,
}

/// One limit that a plan exceeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardTrip {
    /// What the plan does, and to whom.
    #[serde(flatten)]
    pub count: CohortCount,
    /// People whom earlier plans of the window changed in the same way; 0 for a limit of one plan.
    pub earlier: u64,
    /// Days of the window; `None` for the limit of one plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_days: Option<u32>,
    /// The largest number that is allowed.
    pub limit: u64,
}

impl GuardReport {
    /// Whether the plan may not be applied without a second person.
    pub fn has_tripped(&self) -> bool {
        !self.trips.is_empty()
    }
}

impl fmt::Display for GuardTrip {
    /// `absence of 24 of 200 in student/Arts within 7 days, 16 of them in earlier plans; the limit is 20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CohortCount { category, cohort, count, size, first } = &self.count;
        let what = if *category == GuardCategory::Reject { " rows" } else { "" };
        write!(f, "{category}: {} of {size}{what} in {cohort}", count + self.earlier)?;
        if let Some(days) = self.window_days {
            write!(f, " within {days} days, {} of them by earlier plans", self.earlier)?;
        }
        write!(f, "; the limit is {}", self.limit)?;
        if first.is_empty() { Ok(()) } else { write!(f, "; first: {}", first.join(", ")) }
    }
}

/// Judges the plan with the hash `hash`, made from the file `digest` of `source`. `earlier` has the batches of the window.
pub(crate) fn judge(
    (source, digest, hash): (&str, &str, &str),
    effect: &PlanEffect,
    earlier: &[BatchEntry],
    policy: &GuardPolicy,
) -> GuardReport {
    let mut trips = Vec::new();
    let counted = counted_batches(earlier, hash);
    for count in &effect.counts {
        let limit = policy.limit(count.category);
        if let Some(limit) = limit.of_plan(count.size).filter(|limit| count.count > *limit) {
            trips.push(GuardTrip { count: count.clone(), earlier: 0, window_days: None, limit });
            continue;
        }
        let (sum, size) = earlier_sum(&counted, (source, digest), count);
        let size = size.max(count.size);
        if let Some(limit) = limit.of_window(size).filter(|limit| count.count + sum > *limit) {
            let count = CohortCount { size, ..count.clone() };
            trips.push(GuardTrip { count, earlier: sum, window_days: Some(policy.window_days), limit });
        }
    }
    trips.sort_by_key(|trip| std::cmp::Reverse(trip.count.size));
    trips.truncate(TRIPS_MAX);
    GuardReport { policy: policy.name.clone(), trips }
}

/// The batches that add up with a plan: not those that were undone, nor those of this plan itself when it is resumed, nor
/// those that a second person has approved, with the ones of the same source before them.
fn counted_batches<'b>(batches: &'b [BatchEntry], hash: &str) -> Vec<&'b BatchEntry> {
    let is_settled = |batch: &BatchEntry| {
        let mut later = batches.iter().filter(|other| other.source == batch.source && other.since >= batch.since);
        later.any(|other| other.approval.is_some() && (other.since, &other.id) >= (batch.since, &batch.id))
    };
    batches.iter().filter(|batch| !batch.is_undone && batch.plan_hash != hash && !is_settled(batch)).collect()
}

/// What earlier batches did of the same kind to the same cohort, and the largest size that the cohort had.
///
/// An import that was interrupted is planned again from the same file: its first batch has counted everybody, so of the
/// two plans only the excess of the first one is added.
fn earlier_sum(batches: &[&BatchEntry], (source, digest): (&str, &str), of: &CohortCount) -> (u64, u64) {
    let (mut sum, mut same_file, mut size) = (0_u64, 0_u64, 0_u64);
    for batch in batches {
        let Some(found) = batch.effect.find(of.category, &of.cohort) else { continue };
        size = size.max(found.size);
        if !batch.is_of_rules && batch.source == source && batch.digest == digest {
            same_file = same_file.max(found.count);
        } else {
            sum = sum.saturating_add(found.count);
        }
    }
    (sum.saturating_add(same_file.saturating_sub(of.count)), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(count: u64, size: u64) -> PlanEffect {
        let category = GuardCategory::Absence;
        PlanEffect::of_counts(vec![CohortCount { category, cohort: "student".into(), count, size, first: Vec::new() }])
    }

    fn batch(number: i64, count: u64) -> BatchEntry {
        BatchEntry {
            id: format!("batch-{number}"),
            source: "registrar".to_owned(),
            digest: format!("digest-{number}"),
            plan_hash: format!("hash-{number}"),
            since: jiff::Timestamp::from_second(number).unwrap(),
            effect: effect(count, 1000),
            approval: None,
            is_undone: false,
            is_of_rules: false,
        }
    }

    fn trips(count: u64, earlier: &[BatchEntry]) -> Vec<String> {
        let report = judge(("registrar", "new", "hash"), &effect(count, 1000), earlier, &GuardPolicy::default());
        report.trips.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn many_small_plans_do_not_leak_through_the_window() {
        assert_eq!(trips(50, &[]), [] as [&str; 0]);
        assert_eq!(trips(51, &[]), ["absence: 51 of 1000 in student; the limit is 50"]);
        assert_eq!(trips(40, &[batch(1, 40)]), [] as [&str; 0]);
        let expected = "absence: 120 of 1000 in student within 7 days, 80 of them by earlier plans; the limit is 100";
        assert_eq!(trips(40, &[batch(1, 40), batch(2, 40)]), [expected]);
    }

    #[test]
    fn batches_that_were_undone_or_approved_or_are_the_same_do_not_count() {
        let undone = BatchEntry { is_undone: true, ..batch(1, 90) };
        let approved = BatchEntry { approval: Some("dean".to_owned()), ..batch(2, 90) };
        let before_approved = batch(1, 90);
        let same_plan = BatchEntry { plan_hash: "hash".to_owned(), ..batch(3, 90) };
        let same_file = BatchEntry { digest: "new".to_owned(), ..batch(4, 40) };
        for (earlier, expected) in [
            (vec![undone], 0),
            (vec![before_approved.clone(), approved.clone()], 0),
            (vec![approved, batch(3, 70)], 1),
            (vec![same_plan], 0),
            (vec![same_file], 0),
            (vec![before_approved], 1),
        ] {
            assert_eq!(trips(40, &earlier).len(), expected, "{earlier:?}");
        }
    }
}
