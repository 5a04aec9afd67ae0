//! What planning makes of records that no row of plain facts states: changed numbers, suspected duplicates, records
//! that state only what has changed.

use provost_entry::{Dn, Entry};
use provost_schema::{attr, class};

use super::*;
use crate::source::{ReadOptions, SourceProfile, read_file};
use crate::wanted::wanted;
use crate::{ChangeKind, Policies};

fn suffix() -> Dn {
    Dn::parse("dc=example,dc=edu").unwrap()
}

/// A person as an import made them.
fn person(number: &str, given: &str, family: &str, birth: &str, mail: &str) -> Entry {
    let dn = crate::tree::person(&suffix(), person_uuid(&format!("registrar:{number}")));
    let mut entry = Entry::new(dn)
        .with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)
        .with(attr::PROVOST_SOURCE_ID, format!("registrar:{number}").as_str())
        .with(attr::EMPLOYEE_NUMBER, number)
        .with(attr::GIVEN_NAME, given)
        .with(attr::SN, family)
        .with(attr::CN, format!("{given} {family}").as_str())
        .with(attr::DISPLAY_NAME, format!("{given} {family}").as_str())
        .with(attr::EDU_PERSON_PRIMARY_AFFILIATION, "student")
        .with(attr::MAIL, format!("{given}.{family}@example.edu").to_lowercase().replace('é', "e").as_str())
        .with(attr::PROVOST_AFFILIATION, "registrar student - -")
        .with(attr::EDU_PERSON_AFFILIATION, "student");
    if !birth.is_empty() {
        entry = entry.with(attr::SCHAC_DATE_OF_BIRTH, birth);
    }
    if mail.is_empty() { entry } else { entry.with(attr::PROVOST_PRIVATE_MAIL, mail) }
}

fn directory(people: &[Entry]) -> DirectoryContent {
    let mut actual = DirectoryContent::empty(suffix());
    people.iter().for_each(|person| actual.add_person(person));
    actual
}

fn planned(actual: &DirectoryContent, format: &str, text: &str, distinct: &[&str]) -> Plan {
    let profile = SourceProfile::parse("registrar", &[format!("format {format}")]).unwrap();
    let distinct = distinct.iter().map(|number| (*number).to_owned()).collect();
    let options = ReadOptions { distinct, ..ReadOptions::default() };
    let mut sources = [read_file(&profile, text.as_bytes(), &options).unwrap()];
    complete(&mut sources, actual);
    let policies = Policies::built_in("example.edu");
    let wanted = wanted(&sources, &policies, jiff::Timestamp::UNIX_EPOCH).without_absences();
    plan(&wanted, actual).unwrap()
}

fn rules(plan: &Plan) -> Vec<&str> {
    plan.rejected().iter().map(|problem| problem.rule.as_str()).collect()
}

const HEADER: &str = "person_id,given_name,family_name,affiliation,birth_date,private_email,former_person_id\n";

#[test]
fn a_person_under_another_number_is_held() {
    let actual = directory(&[person("1", "Zoé", "Roy", "20010203", "zoe@x.example")]);
    for (row, distinct, is_held) in [
        ("2,Zoé,Roy,student,2001-02-03,,", &[][..], true),
        ("2,ZOE,ROY,student,2001-02-03,Zoe@x.example,", &[], true),
        ("2,Zoé,Roy,student,,zoe@x.example,", &[], true),
        ("2,Zoé,Roy,student,2001-02-03,other@x.example,", &[], true),
        // Another birth date: two people of one name.
        ("2,Zoé,Roy,student,1971-02-03,zoe@x.example,", &[], false),
        ("2,Zoé,Roy,student,,,", &[], false),
        ("2,Zora,Roy,student,2001-02-03,zoe@x.example,", &[], false),
        // The columns of the names are interchanged.
        ("2,Roy,Zoé,student,2001-02-03,,", &[], true),
        // Another family name, as after a marriage.
        ("2,Zoé,Roy-Lund,student,,ZOE@x.example,", &[], true),
        ("2,Zoé,Lund,student,2001-02-03,zoe@x.example,", &[], true),
        ("2,Zoé,Lund,student,1971-02-03,zoe@x.example,", &[], false),
        ("2,Zoé,Lund,student,2001-02-03,,", &[], false),
        ("2,Zoé,Roy,student,2001-02-03,,", &["2"], false),
        ("2,Zoé,Roy,student,2001-02-03,,", &["3"], true),
    ] {
        let plan = planned(&actual, "csv", &format!("{HEADER}{row}\n"), distinct);
        assert_eq!(rules(&plan), if is_held { &["person.duplicate"][..] } else { &[] }, "{row}");
        assert_eq!(plan.summary().create, usize::from(!is_held), "{row}");
        if is_held {
            let words = &plan.rejected()[0].words;
            assert!(words.contains("zoe.roy@example.edu, known as registrar:1"), "{words}");
        }
    }
    let both = format!("{HEADER}8,Ann,Lee,staff,1980-01-01,,\n9,Ann,Lee,staff,1980-01-01,,\n");
    let plan = planned(&actual, "csv", &both, &[]);
    assert_eq!((plan.summary().create, plan.rejected()[0].line), (1, 3));
    assert!(plan.rejected()[0].words.contains("the person of line 2"));
}

#[test]
fn a_changed_number_keeps_the_person() {
    let zoe = person("1", "Zoé", "Roy", "20010203", "");
    let dn = zoe.dn.clone();
    let actual = directory(&[zoe, person("5", "Bo", "Li", "19900101", "")]);
    let plan = planned(&actual, "csv", &format!("{HEADER}77,Zoé,Roy,student,2001-02-03,,1\n"), &[]);
    let [change] = plan.changes() else { panic!("{plan:?}") };
    assert_eq!((change.kind, change.reason.words.as_str()), (ChangeKind::Update, "the number 1 became 77"));
    assert_eq!(change.reason.rule.to_string(), "person.renumbered");
    let writes: Vec<_> =
        change.writes.iter().filter(|write| write.dn == dn).flat_map(|write| &write.attributes).collect();
    let of = |name: &str| writes.iter().find(|change| change.name.is(name)).map(|change| change.after.clone());
    assert_eq!(of(attr::EMPLOYEE_NUMBER), Some(vec!["77".to_owned()]));
    assert!(of(attr::PROVOST_SOURCE_ID).unwrap().contains(&"registrar:77".to_owned()));
    for (row, rule) in [
        // The directory knows both numbers, of two people.
        ("5,Bo,Li,staff,1990-01-01,,1", "number.two-people"),
        ("78,Max,Gagnon,staff,1955-05-05,,1", "number.reassigned"),
    ] {
        let plan = planned(&actual, "csv", &format!("{HEADER}{row}\n"), &[]);
        assert_eq!((rules(&plan), plan.changes().len()), (vec![rule], 0), "{row}");
    }
    // Nobody is known under the former number: a new person.
    let plan = planned(&actual, "csv", &format!("{HEADER}79,Max,Gagnon,staff,,,70\n"), &[]);
    assert_eq!(plan.summary().create, 1);
}

#[test]
fn a_record_that_states_only_a_change_is_completed() {
    let actual = directory(&[person("1", "Zoé", "Roy", "20010203", "")]);
    let plan = planned(&actual, "jsonl", "{\"person_id\":\"1\",\"private_email\":\"new@x.example\"}\n", &[]);
    let [change] = plan.changes() else { panic!("{plan:?}") };
    let person = change.writes.iter().find(|write| write.dn.as_str().starts_with("provostPersonId")).unwrap();
    let names: Vec<&str> = person.attributes.iter().map(|change| change.name.as_str()).collect();
    assert!(names.contains(&attr::PROVOST_PRIVATE_MAIL) && !names.contains(&attr::SN), "{names:?}");
    assert!(!names.contains(&attr::PROVOST_AFFILIATION), "{names:?}");
    let plan = planned(&actual, "jsonl", "{\"person_id\":\"2\",\"program\":\"Arts\"}\n", &[]);
    assert_eq!((rules(&plan), plan.changes().len()), (vec!["record.incomplete"], 0));
}

/// Interchanged columns would give everybody another address.
#[test]
fn interchanged_names_are_held() {
    let actual = directory(&[person("1", "Zoé", "Roy", "20010203", ""), person("2", "Ann", "Ann", "", "")]);
    for (row, distinct, expect) in [
        ("1,Roy,Zoé,student,2001-02-03,,", &[][..], (vec!["name.swapped"], 0)),
        ("1,Roy,Zoé,student,2001-02-03,,", &["1"], (vec![], 1)),
        ("1,Roy,Zora,student,2001-02-03,,", &[], (vec![], 1)),
        ("2,Ann,Ann,student,,,", &[], (vec![], 0)),
    ] {
        let plan = planned(&actual, "csv", &format!("{HEADER}{row}\n"), distinct);
        assert_eq!((rules(&plan), plan.summary().rename), expect, "{row}");
    }
}

/// The file of the next term moves first days into the future: whoever has an account keeps it.
#[test]
fn a_first_day_in_the_future_takes_no_account_away() {
    const TERM: &str = "person_id,given_name,family_name,affiliation,start_date,end_date\n";
    let actual = directory(&[person("1", "Zoé", "Roy", "", "")]);
    let plan = planned(&actual, "csv", &format!("{TERM}1,Zoé,Roy,student,2030-09-01,2034-05-31\n"), &[]);
    let [change] = plan.changes() else { panic!("{plan:?}") };
    let attributes: Vec<_> = change.writes.iter().flat_map(|write| &write.attributes).collect();
    let after = |name: &str| attributes.iter().find(|change| change.name.is(name)).map(|change| change.after.clone());
    let period = after(attr::PROVOST_AFFILIATION).unwrap();
    assert!(period[0].starts_with("registrar student - 2034"), "{period:?}");
    assert_ne!(after(attr::PROVOST_STATE), Some(vec!["staged".to_owned()]));
    // A new person waits for the first day.
    let plan = planned(&actual, "csv", &format!("{TERM}3,Bo,Li,student,2030-09-01,2034-05-31\n"), &[]);
    let attributes: Vec<_> = plan.changes()[0].writes.iter().flat_map(|write| &write.attributes).collect();
    let staged = attributes.iter().find(|change| change.name.is(attr::PROVOST_STATE)).unwrap();
    assert_eq!(staged.after, ["staged"]);
}

/// The directory compares private addresses without case: a file that writes one in capitals changes nothing.
#[test]
fn the_case_of_a_private_address_is_no_change() {
    let actual = directory(&[person("1", "Zoé", "Roy", "20010203", "zoe@x.example")]);
    let change = |mail: &str| {
        let plan = planned(&actual, "csv", &format!("{HEADER}1,Zoé,Roy,student,2001-02-03,{mail},\n"), &[]);
        let writes: Vec<_> = plan.changes().iter().flat_map(|change| &change.writes).collect();
        writes.iter().flat_map(|write| &write.attributes).any(|change| change.name.is(attr::PROVOST_PRIVATE_MAIL))
    };
    assert!(!change("ZOE@X.EXAMPLE") && change("zoe@y.example"));
}
