use jiff::tz::TimeZone;
use provost_schema::attr;

use super::*;
use crate::{Affiliation, CsvOptions, ReadOptions, SourceProfile, read_file, read_source};

const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

fn source(name: &str, rows: &str) -> Source {
    read_source(name, format!("{HEADER}{rows}").as_bytes(), &CsvOptions::default()).unwrap()
}

fn policies() -> Policies {
    Policies::built_in("example.edu")
}

fn at_2026() -> Timestamp {
    "2026-09-01T12:00:00Z".parse().unwrap()
}

fn people<'a>(state: &WantedState<'a>) -> Vec<WantedPerson<'a>> {
    state.people().collect()
}

/// The affiliation that a record states to a person of whom the directory holds `held`.
fn affiliation(person: &WantedPerson<'_>, held: &str) -> String {
    let held: Vec<_> = held.split('\n').filter_map(provost_lifecycle::AffiliationPeriod::parse).collect();
    let periods = person.affiliation.among(&held, jiff::Timestamp::UNIX_EPOCH);
    periods.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The wanted value of one attribute of a person, and the id of its rule.
fn value<'a>(person: &'a WantedPerson<'_>, attribute: &str) -> (&'a RecordAttribute<'a>, String) {
    let mut values = person.values();
    let (_, wanted) = values.find(|(name, _)| *name == attribute).unwrap();
    (&wanted.want, wanted.rule.to_string())
}

#[test]
fn every_value_has_its_rule_and_its_origin() {
    let sources =
        [source("registrar", "1,Zoé,Côté,2004-02-29,z@example.net,student,B-INFO,2026-09-01,2030-04-30,long enough\n")];
    let policies = policies();
    let state = wanted(&sources, &policies, at_2026());
    let [person] = &people(&state)[..] else { panic!("not one person") };
    for (attribute, expect, rule) in [
        (attr::GIVEN_NAME, "Zoé", "column.given_name"),
        (attr::SN, "Côté", "column.family_name"),
        (attr::CN, "Zoé Côté", "name.full"),
        (attr::DISPLAY_NAME, "Zoé Côté", "name.full"),
        (attr::EMPLOYEE_NUMBER, "1", "column.person_id"),
        (attr::SCHAC_DATE_OF_BIRTH, "20040229", "column.birth_date"),
        (attr::PROVOST_PRIVATE_MAIL, "z@example.net", "column.private_email"),
    ] {
        assert_eq!(value(person, attribute), (&RecordAttribute::Value(expect.into()), rule.to_owned()), "{attribute}");
    }
    assert_eq!(person.values().count(), 9);
    assert_eq!(affiliation(person, ""), "registrar student 20260901040000Z 20300501035959Z B-INFO");
    assert_eq!((person.source_id(), person.address().base.as_str()), ("registrar:1", "zoe.cote"));
    let origin = state.origin(person).unwrap();
    assert_eq!((origin.source, origin.line, origin.policies), ("registrar", 2, "built-in/2"));
    assert_eq!((origin.digest, state.at()), (sources[0].digest.as_str(), at_2026()));
}

#[test]
fn a_blank_cell_follows_the_profile_of_its_source() {
    let row = "1,Ann,Roy,,,staff,,,,\n";
    let usual = [source("registrar", row)];
    let lines = ["blank private_email clear", "blank program keep", "blank start_date keep", "blank end_date keep"];
    let profile = SourceProfile::parse("registrar", &lines.map(str::to_owned)).unwrap();
    let keeping = [read_file(&profile, format!("{HEADER}{row}").as_bytes(), &ReadOptions::default()).unwrap()];
    let policies = policies();
    let held = "hr staff - -\nregistrar staff 20200101000000Z 20300101000000Z Library";
    for (sources, expect) in [
        (&usual, "hr staff - -\nregistrar staff - -"),
        (&keeping, "hr staff - -\nregistrar staff 20200101000000Z 20300101000000Z Library"),
    ] {
        let state = wanted(sources, &policies, at_2026());
        assert_eq!(affiliation(&people(&state)[0], held), expect);
    }
    for (sources, attribute, expect, rule) in [
        (&usual, attr::PROVOST_PRIVATE_MAIL, RecordAttribute::Any, "column.private_email"),
        (&usual, attr::SCHAC_DATE_OF_BIRTH, RecordAttribute::Any, "column.birth_date"),
        (&keeping, attr::PROVOST_PRIVATE_MAIL, RecordAttribute::None, "blank.private_email"),
    ] {
        let state = wanted(sources, &policies, at_2026());
        assert_eq!(value(&people(&state)[0], attribute), (&expect, rule.to_owned()), "{attribute}");
    }
}

/// Several affiliations of one source: a complete file states all of them, a partial one only what has changed, and a
/// record without any affiliation leaves them as they are.
#[test]
fn programme_rows_become_affiliations_and_a_partial_file_ends_none() {
    let policies = policies();
    let held = "registrar staff - - Library\nregistrar student 20240901040000Z - Music";
    let rows = "1,Ann,Roy,,,student,Arts,,2029-04-30,\n1,Ann,Roy,,,alum,,,,\n";
    for (lines, rows, expect) in [
        (&[][..], rows, "registrar alum - -\nregistrar student - 20290501035959Z Arts"),
        (
            &["coverage partial"],
            rows,
            "registrar alum - -\nregistrar staff - - Library\nregistrar student - 20290501035959Z Arts",
        ),
        (&[], "1,Ann,Roy,,,student,Music,,2027-04-30,\n", "registrar student - 20270501035959Z Music"),
    ] {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let profile = SourceProfile::parse("registrar", &lines).unwrap();
        let read = read_file(&profile, format!("{HEADER}{rows}").as_bytes(), &ReadOptions::default());
        let sources = [read.unwrap()];
        let state = wanted(&sources, &policies, at_2026());
        assert_eq!(affiliation(&people(&state)[0], held), expect, "{rows}");
    }
    let profile = SourceProfile::parse("registrar", &["format jsonl".to_owned()]).unwrap();
    let line = "{\"person_id\":\"1\",\"given_name\":\"Ann\",\"family_name\":\"Roy\",\"end_date\":\"2027-04-30\"}";
    let mut sources = [read_file(&profile, line.as_bytes(), &ReadOptions::default()).unwrap()];
    let state = wanted(&sources, &policies, at_2026());
    assert_eq!(state.rejected()[0].rule.as_str(), "record.incomplete");
    let record = &mut sources[0].records[0];
    (record.affiliation, record.is_completed) = (Affiliation::Student, true);
    let state = wanted(&sources, &policies, at_2026());
    let expect = "registrar staff - - Library\nregistrar student 20240901040000Z 20270501035959Z Music";
    assert_eq!(affiliation(&people(&state)[0], held), expect);
}

#[test]
fn policies_decide_who_is_admitted_how_names_fold_and_where_days_end() {
    let sources = [source("registrar", "1,Jürgen,Groß,,,staff,,,2030-04-30,\n2,Ann,Roy,,,alum,,,,\n")];
    let mut policies = policies();
    policies.version = "site/7".to_owned();
    policies.affiliations.admitted = vec![Affiliation::Staff];
    policies.naming.letters.push(('ü', "ue".to_owned()));
    policies.time_zone = TimeZone::UTC;
    let state = wanted(&sources, &policies, at_2026());
    let [person] = &people(&state)[..] else { panic!("not one person: {:?}", people(&state)) };
    assert_eq!((person.address().base.as_str(), state.origin(person).unwrap().policies), ("juergen.gross", "site/7"));
    assert_eq!(affiliation(person, ""), "registrar staff - 20300430235959Z");
    let rejected = state.rejected();
    let rejected: Vec<_> = rejected.iter().map(|problem| (problem.line, problem.column.as_str())).collect();
    assert_eq!(rejected, [(3, "affiliation")]);
}

// A date that cannot be represented must not count as blank: a blank cell removes the date that the directory holds.
#[test]
fn a_date_beyond_the_representable_years_rejects_the_record() {
    for (row, column) in [
        ("1,Ann,Roy,,,staff,,,9999-12-31,\n", "end_date"),
        ("1,Ann,Roy,,,staff,,9999-12-31,9999-12-31,\n", "start_date"),
    ] {
        let sources = [source("registrar", row)];
        let policies = policies();
        let state = wanted(&sources, &policies, at_2026());
        assert!(people(&state).is_empty(), "{row}");
        assert_eq!(state.rejected()[0].column, column, "{row}");
        assert!(state.rejected()[0].words.contains("beyond the years"), "{row}");
    }
}

#[test]
fn the_same_person_id_in_two_sources_is_two_people() {
    let sources = [
        source("registrar", "1,Ann,Roy,,,staff,,,,\n"),
        source("library", "\n1,Bo,Li,,,staff,,,,\n2,,Li,,,staff,,,,\n"),
    ];
    let policies = policies();
    let state = wanted(&sources, &policies, at_2026());
    let people = people(&state);
    let people: Vec<(&str, RecordRef)> = people.iter().map(|person| (person.source_id(), person.origin())).collect();
    let expect = [("registrar:1", RecordRef { source: 0, line: 2 }), ("library:1", RecordRef { source: 1, line: 3 })];
    assert_eq!(people, expect);
    assert_eq!(state.rejected()[0].line, 4);
}

#[test]
fn passwords_belong_to_the_files_of_their_plan() {
    let rows = "1,Ann,Roy,,,staff,,,,long enough\n2,Bo,Li,,,staff,,,,\n";
    let read = source("registrar", rows);
    let digest = read.digest.clone();
    let passwords = InitialPasswords::of(vec![read]);
    let of = |line| passwords.get(RecordRef { source: 0, line });
    assert_eq!((of(2).map(Secret::reveal), of(3).is_none()), (Some("long enough"), true));
    assert!(passwords.are_of([digest.as_str()].into_iter()));
    let other = source("registrar", &rows.replace("long enough", "another one")).digest;
    assert!(!passwords.are_of([other.as_str()].into_iter()) && !passwords.are_of(std::iter::empty()));
    assert!(!format!("{passwords:?}").contains("long enough"));
}
