//! What planning makes of enrolments.

use provost_entry::{Dn, Entry};
use provost_schema::attr;

use super::*;
use crate::source::{
    ClassGroups, Enrolment, EnrolmentRole, Enrolments, ReadOptions, SourceProfile, parse_date, read_file,
};
use crate::wanted::wanted;
use crate::write::WriteKind;
use crate::{ChangeKind, Policies};

fn suffix() -> Dn {
    Dn::parse("dc=example,dc=edu").unwrap()
}

fn dn(number: &str) -> String {
    crate::tree::person(&suffix(), person_uuid(&format!("sis:{number}"))).to_string()
}

fn row(number: &str, class: &str, role: EnrolmentRole, is_ended: bool) -> Enrolment {
    Enrolment {
        line: 2,
        person_id: number.into(),
        class: class.into(),
        is_class_described: class != "c9",
        course: "PHY101".into(),
        section: "01".into(),
        title: "Mécanique".into(),
        term: "Fall 2026".into(),
        term_end: parse_date("2026-12-31"),
        role,
        start_date: None,
        end_date: None,
        is_ended,
    }
}

const STUDENT: EnrolmentRole = EnrolmentRole::Student;
const TEACHER: EnrolmentRole = EnrolmentRole::Teacher;

/// The plan of three people and their enrolments.
fn planned(actual: &DirectoryContent, rows: Vec<Enrolment>, are_complete: bool, day: &str) -> Plan {
    planned_of("1,Zoe,Roy,student\n2,Bo,Li,student\n3,Ann,Abe,faculty\n", actual, rows, are_complete, day)
}

fn planned_of(people: &str, actual: &DirectoryContent, rows: Vec<Enrolment>, are_complete: bool, day: &str) -> Plan {
    let text = format!("person_id,given_name,family_name,affiliation\n{people}");
    let profile = SourceProfile::built_in("sis");
    let mut source = read_file(&profile, text.as_bytes(), &ReadOptions::default()).unwrap();
    source.enrolments = Enrolments { rows, are_complete };
    source.classes = ClassGroups::default();
    let sources = [source];
    let policies = Policies::built_in("example.edu");
    let now = format!("{day}T12:00:00Z").parse().unwrap();
    plan(&wanted(&sources, &policies, now).without_absences(), actual).unwrap()
}

fn class_changes(plan: &Plan) -> Vec<&PersonChange> {
    plan.changes().iter().filter(|change| change.kind == ChangeKind::Class).collect()
}

/// The directory after a plan that makes people, addresses and groups.
fn applied(plan: &Plan) -> DirectoryContent {
    let mut actual = DirectoryContent::empty(suffix());
    for write in plan.changes().iter().flat_map(|change| &change.writes) {
        let mut entry = Entry::new(write.dn.clone());
        for change in &write.attributes {
            change.after.iter().for_each(|value| entry.push(change.name.clone(), value.clone().into_bytes()));
        }
        match write.action {
            WriteKind::AddPerson => actual.add_person(&entry),
            WriteKind::AddAddress => actual.add_address(&entry),
            WriteKind::AddGroup => actual.add_class(&entry.with(attr::ENTRY_CSN, "1")),
            _ => panic!("{write}"),
        }
    }
    actual
}

fn values<'a>(change: &'a PersonChange, name: &str) -> Option<(&'a [String], &'a [String])> {
    let of_group = change.writes.iter().filter(|write| write.is_of_group()).flat_map(|write| &write.attributes);
    let found = of_group.into_iter().find(|change| change.name.is(name))?;
    Some((&found.before, &found.after))
}

fn first_file() -> Plan {
    let rows = vec![row("1", "c1", STUDENT, false), row("2", "c1", STUDENT, false), row("3", "c1", TEACHER, false)];
    planned(&DirectoryContent::empty(suffix()), rows, true, "2026-09-01")
}

#[test]
fn a_class_becomes_a_group_with_an_address_and_a_repeated_file_changes_nothing() {
    let plan = first_file();
    let [class] = class_changes(&plan)[..] else { panic!("{:?}", plan.changes()) };
    assert_eq!(class.what, "class phy101-01-fall-2026 is new (PHY101 01)");
    let mut everybody = [dn("1"), dn("2"), dn("3")];
    everybody.sort();
    assert_eq!(values(class, attr::MEMBER).unwrap().1, everybody);
    assert_eq!(values(class, attr::OWNER).unwrap().1, [dn("3")]);
    assert_eq!(values(class, attr::PROVOST_UNTIL).unwrap().1, ["20270101045959Z"]);
    let address = class.writes.first().unwrap();
    assert!(
        address.to_string().starts_with("add address provostAddress=phy101-01-fall-2026@example.edu,"),
        "{address}"
    );
    assert_eq!(Plan::from_bytes(&plan.to_bytes()).as_ref(), Ok(&plan));
    let rows = vec![row("1", "c1", STUDENT, false), row("2", "c1", STUDENT, false), row("3", "c1", TEACHER, false)];
    let again = planned(&applied(&plan), rows, true, "2026-09-02");
    assert!(class_changes(&again).is_empty(), "{:?}", again.changes());
}

#[test]
fn a_complete_file_takes_out_whom_it_does_not_name_and_a_delta_only_whom_it_ends() {
    let actual = applied(&first_file());
    let rest = || vec![row("1", "c1", STUDENT, false), row("3", "c1", TEACHER, false)];
    let complete = planned(&actual, rest(), true, "2026-10-01");
    let [class] = class_changes(&complete)[..] else { panic!("{:?}", complete.changes()) };
    assert_eq!(values(class, attr::MEMBER), Some((&[dn("2")][..], &[][..])));
    assert_eq!(values(class, attr::OWNER), None);
    assert!(class_changes(&planned(&actual, rest(), false, "2026-10-01")).is_empty());
    let ended = planned(&actual, vec![row("2", "c1", STUDENT, true)], false, "2026-10-01");
    assert_eq!(values(class_changes(&ended)[0], attr::MEMBER), Some((&[dn("2")][..], &[][..])));
    // Whoever teaches the class has not left it as a student.
    assert!(class_changes(&planned(&actual, vec![row("3", "c1", STUDENT, true)], false, "2026-10-01")).is_empty());
    let gone = planned(&actual, vec![row("3", "c1", TEACHER, true)], false, "2026-10-01");
    assert_eq!(values(class_changes(&gone)[0], attr::OWNER), Some((&[dn("3")][..], &[][..])));
}

#[test]
fn a_class_that_no_enrolment_names_keeps_its_group_and_one_that_is_over_gets_none() {
    let actual = applied(&first_file());
    let other = planned(&actual, vec![row("1", "c2", STUDENT, false)], true, "2026-10-01");
    let [class] = class_changes(&other)[..] else { panic!("{:?}", other.changes()) };
    // Two classes of one name: the second one is numbered.
    assert_eq!(class.what, "class phy101-01-fall-2026-2 is new (PHY101 01)");
    let empty = DirectoryContent::empty(suffix());
    assert!(class_changes(&planned(&empty, vec![row("1", "c1", STUDENT, false)], true, "2027-02-01")).is_empty());
    assert!(class_changes(&planned(&empty, vec![row("1", "c1", STUDENT, true)], true, "2026-10-01")).is_empty());
}

#[test]
fn ids_that_differ_in_case_are_two_classes_and_a_repeat_changes_nothing() {
    let rows = || vec![row("1", "c1", STUDENT, false), row("2", "C1", STUDENT, false)];
    let plan = planned(&DirectoryContent::empty(suffix()), rows(), true, "2026-09-01");
    assert_eq!(class_changes(&plan).len(), 2);
    assert!(class_changes(&planned(&applied(&plan), rows(), true, "2026-09-02")).is_empty());
}

#[test]
fn a_class_keeps_members_whom_a_doubtful_file_does_not_name() {
    let actual = applied(&first_file());
    let unknown = vec![row("1", "c1", STUDENT, false), row("X2", "c1", STUDENT, false), row("3", "c1", TEACHER, false)];
    assert!(class_changes(&planned(&actual, unknown, true, "2026-10-01")).is_empty());
    // Many members at once.
    let people = |numbers: std::ops::Range<u32>| -> String {
        numbers.map(|number| format!("{number},Zoe{number},Roy,student\n")).collect()
    };
    let classes = |numbers: std::ops::Range<u32>| -> Vec<Enrolment> {
        numbers.map(|number| row(&number.to_string(), "c1", STUDENT, false)).collect()
    };
    let full = planned_of(&people(1..25), &DirectoryContent::empty(suffix()), classes(1..25), true, "2026-09-01");
    let actual = applied(&full);
    let half = planned_of(&people(1..25), &actual, classes(1..12), true, "2026-10-01");
    assert_eq!((class_changes(&half).len(), half.warnings()[0].rule.as_str()), (0, "enrolment.class-loss"));
    let few = planned_of(&people(1..25), &actual, classes(1..20), true, "2026-10-01");
    assert_eq!(values(class_changes(&few)[0], attr::MEMBER).map(|(gone, _)| gone.len()), Some(5));
}

#[test]
fn no_class_takes_the_name_of_an_office_or_of_owners() {
    for (course, name) in [
        ("postmaster", "class-postmaster-list"),
        ("phy101 owner", "class-phy101-owner-list"),
        (&"a".repeat(80), &*"a".repeat(58)),
    ] {
        let row =
            Enrolment { course: course.into(), section: "".into(), term: "".into(), ..row("1", "c1", STUDENT, false) };
        let plan = planned(&DirectoryContent::empty(suffix()), vec![row], true, "2026-09-01");
        assert_eq!(values(class_changes(&plan)[0], attr::CN).unwrap().1, [name], "{course}");
    }
}

#[test]
fn a_class_that_only_a_delta_names_gets_no_group_without_a_name() {
    let rows = vec![row("1", "c9", STUDENT, false), row("2", "c9", STUDENT, false)];
    let plan = planned(&DirectoryContent::empty(suffix()), rows, false, "2026-09-01");
    assert_eq!((class_changes(&plan).len(), plan.warnings()[0].rule.as_str()), (0, "enrolment.class-unknown"));
}

#[test]
fn a_class_that_goes_on_gets_its_address_back_from_a_run_that_began_to_end_it() {
    let name = "phy101-01-fall-2026";
    let quarantined = |owner: &str| {
        let mut actual = applied(&first_file());
        let address = format!("{name}@example.edu");
        actual.add_address(
            &Entry::new(crate::tree::address(&suffix(), &address))
                .with(attr::PROVOST_ADDRESS, address.as_str())
                .with(attr::PROVOST_ADDRESS_KIND, "quarantined")
                .with(attr::PROVOST_UNTIL, "20270601000000Z")
                .with(attr::PROVOST_OWNER, crate::tree::group(&suffix(), owner).as_str()),
        );
        actual
    };
    let rows = || vec![row("1", "c1", STUDENT, false), row("2", "c1", STUDENT, false), row("3", "c1", TEACHER, false)];
    let plan = planned(&quarantined(name), rows(), true, "2026-10-01");
    let [class] = class_changes(&plan)[..] else { panic!("{:?}", plan.changes()) };
    let written: Vec<String> = class.writes.iter().map(ToString::to_string).collect();
    let [regained] = &written[..] else { panic!("{written:?}") };
    assert!(regained.contains("provostAddressKind: quarantined -> list"), "{regained}");
    assert!(regained.contains("provostUntil: 20270601000000Z -> none"), "{regained}");
    for (actual, day) in [(quarantined(name), "2027-02-01"), (quarantined("another"), "2026-10-01")] {
        assert!(class_changes(&planned(&actual, rows(), true, day)).is_empty(), "{day}");
    }
    // A row without the end of the term says nothing of a class that is over.
    let of_delta = vec![Enrolment { term_end: None, ..row("1", "c1", STUDENT, false) }];
    assert!(class_changes(&planned(&quarantined(name), of_delta, false, "2027-02-01")).is_empty());
}

#[test]
fn an_enrolment_of_nobody_is_a_warning_and_takes_nobody_out() {
    let rows = vec![row("9", "c1", STUDENT, false), row("9", "c2", STUDENT, false), row("1", "c1", STUDENT, false)];
    let plan = planned(&DirectoryContent::empty(suffix()), rows, true, "2026-09-01");
    let warned: Vec<_> = plan.warnings().iter().map(|warning| warning.rule.as_str()).collect();
    assert_eq!(warned, ["enrolment.person"]);
    assert_eq!(class_changes(&plan).len(), 1);
}
