//! What a plan does, as the guard counts it: kept with the plan and in the entry of its batch.

use std::fmt;

use provost_policy::GuardCategory;
use serde::{Deserialize, Serialize};

/// Maximum number of counts that are kept of one plan: the largest ones. A programme beyond them has few people.
const COUNTS_MAX: usize = 500;

/// What a plan does to the people of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEffect {
    /// People by category and cohort, only where there are any.
    pub counts: Vec<CohortCount>,
    /// `complete` or `partial`, of the file that was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<String>,
    /// When the source made the file, GeneralizedTime, as far as somebody stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<String>,
}

/// The people of one category in one cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortCount {
    /// What happens to them.
    #[serde(with = "category_form")]
    pub category: GuardCategory,
    /// The cohort: `everybody`, `source:registrar`, `student`, `student/Music`.
    pub cohort: String,
    /// Number of people.
    pub count: u64,
    /// People of the cohort before the plan; for rejects, rows of the file.
    pub size: u64,
    /// The first of them, by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
}

impl PlanEffect {
    /// The counts of a plan, the largest ones.
    pub(super) fn of_counts(mut counts: Vec<CohortCount>) -> Self {
        counts.sort_by(|one, other| {
            other.count.cmp(&one.count).then_with(|| (one.category, &one.cohort).cmp(&(other.category, &other.cohort)))
        });
        counts.truncate(COUNTS_MAX);
        counts.sort_by(|one, other| (one.category, &one.cohort).cmp(&(other.category, &other.cohort)));
        Self { counts, ..Self::default() }
    }

    /// The count of a category in a cohort; `None` where the plan does nothing of it.
    pub(super) fn find(&self, category: GuardCategory, cohort: &str) -> Option<&CohortCount> {
        self.counts.iter().find(|count| count.category == category && count.cohort == cohort)
    }
}

impl CohortCount {
    /// Reads a value of provostCount, `CATEGORY COHORT COUNT SIZE`; `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (category, rest) = text.split_once(' ')?;
        let (rest, size) = rest.rsplit_once(' ')?;
        let (cohort, count) = rest.rsplit_once(' ')?;
        let (count, size) = (count.parse().ok()?, size.parse().ok()?);
        Some(Self {
            category: GuardCategory::parse(category)?,
            cohort: cohort.to_owned(),
            count,
            size,
            first: Vec::new(),
        })
    }
}

impl fmt::Display for CohortCount {
    /// The value of provostCount.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.category, self.cohort, self.count, self.size)
    }
}

mod category_form {
    use provost_policy::GuardCategory;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(category: &GuardCategory, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(category.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GuardCategory, D::Error> {
        let name = String::deserialize(deserializer)?;
        GuardCategory::parse(&name).ok_or_else(|| D::Error::custom(format!("unknown category '{name}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_round_trips_through_its_attribute_value() {
        for text in ["absence student/Fine Arts 12 340", "closing everybody 1 35500", "reject source:hr 3 9"] {
            assert_eq!(CohortCount::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "absence", "absence student", "absence student 1", "dogs student 1 2", "absence student x 2"] {
            assert_eq!(CohortCount::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_largest_counts_are_kept() {
        let count = |n: u64| CohortCount {
            category: GuardCategory::Absence,
            cohort: format!("student/{n:05}"),
            count: n,
            size: n,
            first: Vec::new(),
        };
        let effect = PlanEffect::of_counts((0..2000).map(count).collect());
        assert_eq!(effect.counts.len(), COUNTS_MAX);
        assert!(effect.counts.iter().all(|count| count.count >= 1500));
    }
}
