use provost_policy::PolicyDocument;

use super::*;
use crate::Extension;

const STUDENTS: &str =
    "kind lifecycle\npopulation student\npromise start\nphase 1 grace days=30\nphase 2 alumni forever\n";
const LATER: &str = "kind lifecycle\npopulation student\nsince 2026-01-01\npromise start\nphase 1 grace days=30\nphase 2 closed days=100\n\
     purge automatic\n";
const STAFF: &str = "kind lifecycle\npopulation staff\nphase 1 closing days=60\nphase 2 closed days=365\n";

fn policies() -> PolicySet {
    let documents = [("students-1", STUDENTS), ("students-2", LATER), ("staff-1", STAFF)];
    let parse = |(name, text): &(&str, &str)| PolicyDocument::parse(name, text, &TimeZone::UTC).unwrap();
    PolicySet::new(documents.iter().map(parse).collect()).unwrap()
}

fn time(text: &str) -> Timestamp {
    format!("{text}T12:00:00Z").parse().unwrap()
}

fn facts(affiliations: &[&str]) -> LifecycleFacts {
    let affiliations = affiliations.iter().map(|text| AffiliationPeriod::parse(text).unwrap()).collect();
    LifecycleFacts { affiliations, ..LifecycleFacts::default() }
}

/// `STATE POLICY NEXT@DAY RESTRICTIONS` of a person on a day.
fn on(facts: &LifecycleFacts, day: &str) -> String {
    let Some(decision) = decide(facts, &policies(), time(day), &TimeZone::UTC) else { return "nothing".to_owned() };
    let next = decision.next.zip(decision.until).map(|(next, until)| format!("{next}@{}", until.strftime("%F")));
    let policy = decision.policy.as_deref().unwrap_or("-");
    format!("{} {policy} {} {}", decision.state, next.unwrap_or("-".to_owned()), decision.restrictions.join(","))
}

#[test]
fn the_policy_of_the_first_day_is_kept_and_a_later_one_holds_for_those_who_come_later() {
    let early = facts(&["registrar student 20240901000000Z 20280531235959Z Music"]);
    let late = facts(&["registrar student 20260901000000Z 20280531235959Z Music"]);
    for (person, day, expected) in [
        (&early, "2024-08-31", "staged - active@2024-09-01 "),
        (&early, "2026-06-01", "active students-1 grace@2028-05-31 "),
        (&early, "2028-06-01", "grace students-1 alumni@2028-06-30 "),
        (&early, "2036-06-01", "alumni students-1 - "),
        (&late, "2028-06-01", "grace students-2 closed@2028-06-30 "),
        (&late, "2028-07-01", "closed students-2 closed@2028-10-08 no-login,no-send,no-receive"),
    ] {
        assert_eq!(on(person, day), expected, "{day}");
    }
    let purged = decide(&late, &policies(), time("2028-11-01"), &TimeZone::UTC).unwrap();
    assert_eq!(purged.purge.map(|(_, rule)| rule), Some(PurgeRule::Automatic));
}

#[test]
fn the_last_affiliation_to_end_decides() {
    let person = facts(&[
        "registrar student 20240901000000Z 20260531235959Z Music",
        "hr staff 20250101000000Z 20271231235959Z Library",
    ]);
    for (day, expected) in [
        ("2025-06-01", "active staff-1 closing@2027-12-31 "),
        ("2026-06-01", "active staff-1 closing@2027-12-31 "),
        ("2028-01-15", "closing staff-1 closed@2028-02-29 no-send,no-receive"),
    ] {
        assert_eq!(on(&person, day), expected, "{day}");
    }
    let both = decide(&person, &policies(), time("2025-06-01"), &TimeZone::UTC).unwrap();
    assert_eq!(
        (both.affiliations, both.program),
        (vec!["staff".to_owned(), "student".to_owned()], Some("Library".to_owned()))
    );
    let alumna = facts(&["registrar student 20200901000000Z 20240531235959Z Music"]);
    assert_eq!(decide(&alumna, &policies(), time("2025-01-01"), &TimeZone::UTC).unwrap().affiliations, ["alum"]);
}

#[test]
fn the_policy_that_was_recorded_at_departure_is_kept() {
    let left = facts(&["registrar student - 20270531235959Z Music"]);
    assert_eq!(on(&left, "2027-07-15"), "closed students-2 closed@2027-10-08 no-login,no-send,no-receive");
    let recorded = LifecycleFacts { state: "grace".to_owned(), policy: Some("students-1".to_owned()), ..left.clone() };
    assert_eq!(on(&recorded, "2027-07-15"), "alumni students-1 - ");
    let of_former_study = LifecycleFacts { state: "active".to_owned(), policy: Some("students-1".to_owned()), ..left };
    assert_eq!(on(&of_former_study, "2027-06-15"), "grace students-2 closed@2027-06-30 ");
}

#[test]
fn a_person_who_returns_is_active_again_and_a_return_that_is_known_is_awaited() {
    let gap = facts(&[
        "hr staff 20200101000000Z 20251231235959Z",
        "hr staff 20260201000000Z 20261231235959Z",
        "hr staff 20270101000000Z 20271231235959Z",
    ]);
    for (day, expected) in [
        ("2026-01-15", "closing staff-1 active@2026-02-01 no-send,no-receive"),
        ("2026-03-01", "active staff-1 closing@2027-12-31 "),
    ] {
        assert_eq!(on(&gap, day), expected, "{day}");
    }
    let closed = LifecycleFacts { state: "closed".to_owned(), policy: Some("staff-1".to_owned()), ..gap };
    assert_eq!(on(&closed, "2026-03-01"), "active staff-1 closing@2027-12-31 ");
}

#[test]
fn absence_ends_the_affiliations_of_that_source_alone() {
    let mut person = facts(&["registrar student 20240901000000Z 20280531235959Z", "hr staff 20250101000000Z -"]);
    person.absent_from = vec![("registrar".to_owned(), time("2026-02-01"))];
    assert_eq!(on(&person, "2026-03-01"), "active staff-1 - ");
    person.affiliations.pop();
    assert_eq!(on(&person, "2026-02-15"), "grace students-1 alumni@2026-03-03 ");
}

#[test]
fn extensions_prolong_the_phase_in_which_they_were_granted() {
    let mut person = facts(&["hr staff 20200101000000Z 20251231235959Z"]);
    let extension = |since: &str, until: &str| Extension {
        since: time(since),
        until: time(until),
        approver: "web:dean".to_owned(),
        reason: "handover".to_owned(),
    };
    person.extensions = vec![extension("2025-12-01", "2026-03-31")];
    assert_eq!(on(&person, "2026-03-01"), "active staff-1 closing@2026-03-31 ");
    person.extensions = vec![extension("2026-02-01", "2026-06-30")];
    assert_eq!(on(&person, "2026-06-01"), "closing staff-1 closed@2026-06-30 no-send,no-receive");
}

#[test]
fn nothing_is_decided_without_affiliations_or_against_a_hand() {
    assert_eq!(on(&facts(&[]), "2026-01-01"), "nothing");
    let held = LifecycleFacts { is_held: true, ..facts(&["hr staff - 20200101000000Z"]) };
    assert_eq!(on(&held, "2026-01-01"), "nothing");
    let invited = LifecycleFacts { state: "invited".to_owned(), ..facts(&["hr staff - -"]) };
    assert_eq!(on(&invited, "2026-01-01"), "invited staff-1 - ");
    assert_eq!(on(&LifecycleFacts { has_password: true, ..invited }, "2026-01-01"), "active staff-1 - ");
}
