//! What the lifecycle knows of one person.

use jiff::Timestamp;
use provost_entry::time::{format_generalized, parse_generalized};

use crate::notice::SentNotice;
use crate::period::AffiliationPeriod;

/// The facts by which [`crate::decide`] judges one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleFacts {
    /// provostState as the entry has it, lower case; empty when there is none.
    pub state: String,
    /// Start of that state.
    pub state_since: Option<Timestamp>,
    /// The person's affiliations.
    pub affiliations: Vec<AffiliationPeriod>,
    /// Sources whose complete files have not named the person twice, each with the time of the first of these files.
    /// Affiliations of such a source end at that time.
    pub absent_from: Vec<(String, Timestamp)>,
    /// Name of the policy whose promise was recorded.
    pub policy: Option<String>,
    /// Extensions that were granted.
    pub extensions: Vec<Extension>,
    /// Time of the last login that is known.
    pub last_login: Option<Timestamp>,
    /// Whether the person has a password: an invited person without one has not come yet.
    pub has_password: bool,
    /// Whether the state was set by hand. It then stays.
    pub is_held: bool,
    /// Notices that were sent.
    pub notices: Vec<SentNotice>,
}

/// An extension of a phase: a value of provostExtension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// When it was granted. It prolongs the phase that was running then.
    pub since: Timestamp,
    /// Last second of the phase.
    pub until: Timestamp,
    /// Who granted it, without white space.
    pub approver: String,
    /// Why, for people.
    pub reason: String,
}

impl Extension {
    /// Reads `SINCE UNTIL APPROVER REASON`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim().splitn(4, ' ');
        let (since, until) = (parse_generalized(words.next()?)?, parse_generalized(words.next()?)?);
        let approver = words.next().filter(|approver| !approver.is_empty())?.to_owned();
        Some(Self { since, until, approver, reason: words.next().unwrap_or_default().trim().to_owned() })
    }

    /// The value of provostExtension.
    pub fn value(&self) -> String {
        let (since, until) = (format_generalized(self.since), format_generalized(self.until));
        format!("{since} {until} {} {}", self.approver, self.reason)
    }
}

impl LifecycleFacts {
    /// The affiliations, each ended by the absence of the person from its source's files.
    pub(crate) fn effective_periods(&self) -> Vec<AffiliationPeriod> {
        let effective = self.affiliations.iter().map(|period| {
            let absent = self.absent_from.iter().find(|(source, _)| *source == period.source).map(|(_, since)| *since);
            let end = period.end.into_iter().chain(absent).min();
            AffiliationPeriod { end, ..period.clone() }
        });
        // A source that never named the person again before the affiliation began has withdrawn it.
        effective.filter(|period| period.start.zip(period.end).is_none_or(|(start, end)| start <= end)).collect()
    }

    /// The end of a phase that runs from `from` to `end`, with the extensions that were granted while it ran.
    pub(crate) fn extended(&self, from: Option<Timestamp>, end: Timestamp) -> Timestamp {
        let mut end = end;
        let mut extensions: Vec<&Extension> = self.extensions.iter().collect();
        extensions.sort_by_key(|extension| extension.since);
        for extension in extensions {
            if from.is_none_or(|from| from <= extension.since) && extension.since <= end {
                end = end.max(extension.until);
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_extension_prolongs_the_phase_in_which_it_was_granted() {
        let extension = Extension::parse("20270110000000Z 20270301000000Z cli:dean the thesis is late").unwrap();
        assert_eq!(extension.value(), "20270110000000Z 20270301000000Z cli:dean the thesis is late");
        let facts = LifecycleFacts { extensions: vec![extension], ..LifecycleFacts::default() };
        for (from, end, extended) in [
            ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
            ("2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-04-01T00:00:00Z"),
            ("2027-01-01T00:00:00Z", "2027-01-05T00:00:00Z", "2027-01-05T00:00:00Z"),
            ("2027-01-20T00:00:00Z", "2027-02-01T00:00:00Z", "2027-02-01T00:00:00Z"),
        ] {
            assert_eq!(facts.extended(Some(time(from)), time(end)), time(extended), "{from} {end}");
        }
        for bad in ["", "20270110000000Z", "20270110000000Z 20270301000000Z", "x 20270301000000Z a b"] {
            assert_eq!(Extension::parse(bad), None, "{bad}");
        }
    }
}
