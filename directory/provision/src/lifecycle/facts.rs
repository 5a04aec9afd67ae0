//! Reads what the lifecycle knows of a person from their entry.

use jiff::Timestamp;
use provost_entry::Entry;
use provost_entry::time::parse_generalized;
use provost_lifecycle::{AffiliationPeriod, Extension, LifecycleFacts, PERIODS_MAX, SentNotice};
use provost_schema::attr;

use crate::manual_origin::is_held_by_hand;

/// Number of complete files that must lack a person before their affiliation counts as ended.
const ABSENCES_MIN: u32 = 2;
/// Maximum number of extensions, notices and marks of one kind that are read of a person.
const VALUES_READ_MAX: usize = 256;
/// A state that no lifecycle knows: an operator has written it into the directory, and it stays.
const SUSPENDED_BY_HAND: &str = "suspended";

/// The facts in a person's entry at `now`.
pub(crate) fn lifecycle_facts(entry: &Entry, now: Timestamp) -> LifecycleFacts {
    let state = entry.first(attr::PROVOST_STATE).unwrap_or_default().to_ascii_lowercase();
    let time = |name| entry.first(name).and_then(parse_generalized);
    LifecycleFacts {
        is_held: state == SUSPENDED_BY_HAND || is_held_by_hand(entry, attr::PROVOST_STATE, now),
        state,
        state_since: time(attr::PROVOST_STATE_SINCE),
        affiliations: affiliations(entry),
        absent_from: entry.texts(attr::PROVOST_ABSENCE).take(VALUES_READ_MAX).filter_map(confirmed_absence).collect(),
        policy: entry.first(attr::PROVOST_POLICY).map(str::to_owned),
        extensions: entry.texts(attr::PROVOST_EXTENSION).take(VALUES_READ_MAX).filter_map(Extension::parse).collect(),
        last_login: time(attr::PROVOST_LAST_LOGIN),
        has_password: !entry.values(attr::USER_PASSWORD).is_empty(),
        notices: entry.texts(attr::PROVOST_NOTICE).take(VALUES_READ_MAX).filter_map(SentNotice::parse).collect(),
    }
}

/// Whether the account of an entry is closed.
pub(crate) fn is_closed(entry: &Entry) -> bool {
    entry.first(attr::PROVOST_STATE).is_some_and(|state| state.eq_ignore_ascii_case("closed"))
}

/// The person's affiliations. An entry without provostAffiliation was written by an earlier version or by hand: its
/// eduPerson attributes and dates are then one affiliation.
fn affiliations(entry: &Entry) -> Vec<AffiliationPeriod> {
    let stated: Vec<AffiliationPeriod> =
        entry.texts(attr::PROVOST_AFFILIATION).take(PERIODS_MAX).filter_map(AffiliationPeriod::parse).collect();
    if !stated.is_empty() {
        return stated;
    }
    let affiliation = entry
        .first(attr::EDU_PERSON_PRIMARY_AFFILIATION)
        .or_else(|| entry.first(attr::EDU_PERSON_AFFILIATION))
        .map(str::to_ascii_lowercase);
    let source = entry.first(attr::PROVOST_SOURCE_ID).and_then(|id| id.split_once(':')).map(|(source, _)| source);
    let time = |name| entry.first(name).and_then(parse_generalized);
    // Without a source, the entry was made by hand, and no file can say when the affiliation ends.
    let period = affiliation.zip(source).map(|(affiliation, source)| AffiliationPeriod {
        source: source.to_owned(),
        affiliation,
        start: time(attr::PROVOST_START_DATE),
        end: time(attr::PROVOST_END_DATE),
        program: entry.first(attr::PROVOST_PROGRAM).map(str::to_owned),
    });
    period.into_iter().collect()
}

/// The source and the time of a provostAbsence that a second file has confirmed: `SOURCE COUNT SINCE DIGEST`.
fn confirmed_absence(text: &str) -> Option<(String, Timestamp)> {
    let mut words = text.split(' ');
    let (source, count, since) = (words.next()?, words.next()?, words.next()?);
    let is_confirmed = count.parse::<u32>().is_ok_and(|count| count >= ABSENCES_MIN);
    Some((source.to_owned(), parse_generalized(since)?)).filter(|_| is_confirmed)
}

#[cfg(test)]
mod tests {
    use provost_entry::{AttributeDescription, Dn};

    use super::*;

    fn entry(values: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new(Dn::parse("uid=x").unwrap());
        for (name, value) in values {
            entry.push(AttributeDescription::parse(name).unwrap(), value.as_bytes().to_vec());
        }
        entry
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_entry_without_affiliations_of_its_own_has_that_of_its_eduperson_attributes() {
        let old = entry(&[
            ("eduPersonPrimaryAffiliation", "Student"),
            ("provostSourceId", "registrar:12"),
            ("provostEndDate", "20260531235959Z"),
            ("provostProgram", "Computer Science"),
        ]);
        let periods: Vec<String> = lifecycle_facts(&old, now()).affiliations.iter().map(ToString::to_string).collect();
        assert_eq!(periods, ["registrar student - 20260531235959Z Computer Science"]);
        assert!(lifecycle_facts(&entry(&[("eduPersonAffiliation", "staff")]), now()).affiliations.is_empty());
        let stated = entry(&[("provostAffiliation", "hr staff - -"), ("eduPersonAffiliation", "student")]);
        assert_eq!(lifecycle_facts(&stated, now()).affiliations[0].affiliation, "staff");
    }

    #[test]
    fn one_absence_is_only_counted_and_a_hand_holds_the_state_until_its_end() {
        let absent = entry(&[
            ("provostAbsence", "registrar 1 20261101000000Z aa"),
            ("provostAbsence", "hr 2 20261102000000Z bb"),
        ]);
        let facts = lifecycle_facts(&absent, now());
        assert_eq!(facts.absent_from, [("hr".to_owned(), "2026-11-02T00:00:00Z".parse().unwrap())]);
        for (values, is_held) in [
            (&[("provostState", "Suspended")][..], true),
            (&[("provostOrigin", "provostState 20260101000000Z - cli:root")], true),
            (&[("provostOrigin", "provostState 20260101000000Z 20261231000000Z cli:root")], true),
            (&[("provostOrigin", "provostState 20260101000000Z 20261031000000Z cli:root")], false),
            (&[("provostOrigin", "mailQuota 20260101000000Z - cli:root")], false),
        ] {
            assert_eq!(lifecycle_facts(&entry(values), now()).is_held, is_held, "{values:?}");
        }
    }
}
