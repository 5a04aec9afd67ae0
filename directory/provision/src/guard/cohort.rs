//! Cohorts: the groups of people for which the guard counts.

use std::collections::BTreeSet;

use provost_lifecycle::AffiliationPeriod;

/// The cohort of everybody.
const EVERYBODY: &str = "everybody";

/// The cohort of the people whom a source names.
pub(super) fn of_source(source: &str) -> String {
    format!("source:{source}")
}

/// The cohorts of a person: everybody, and for each affiliation its source, its kind, and its kind and programme.
pub(super) fn cohorts(periods: &[AffiliationPeriod]) -> BTreeSet<String> {
    let mut cohorts = BTreeSet::from([EVERYBODY.to_owned()]);
    for period in periods {
        cohorts.insert(of_source(&period.source));
        cohorts.insert(period.affiliation.clone());
        if let Some(program) = &period.program {
            cohorts.insert(format!("{}/{program}", period.affiliation));
        }
    }
    cohorts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_belongs_to_each_of_their_affiliations() {
        let periods: Vec<_> = ["registrar student - - Fine Arts", "hr staff - -"]
            .into_iter()
            .filter_map(AffiliationPeriod::parse)
            .collect();
        let expected = ["everybody", "source:hr", "source:registrar", "staff", "student", "student/Fine Arts"];
        assert_eq!(cohorts(&periods).iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(cohorts(&[]).len(), 1);
    }
}
