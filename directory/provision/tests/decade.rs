//! Ten years of intake and graduation, simulated: states against dates computed apart, addresses, notices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use provost_entry::Dn;
use provost_policy::{PolicyDocument, PolicySet};
use provost_provision::{CsvOptions, Policies, SimulatedChange, Simulation, SimulationSettings, read_source};
use provost_schema::attr;

/// Students who came before 2029 keep their account for life.
const EARLY: &str =
    "kind lifecycle\npopulation student\npromise start\nphase 1 grace days=180\nphase 2 alumni forever\n";
/// Later ones do not.
const LATE: &str = "kind lifecycle\npopulation student\nsince 2029-01-01\npromise start\nphase 1 grace days=90\n\
    phase 2 alumni days=365 receive=forward login=no send=no\nphase 3 closing days=60\nphase 4 closed days=100\n\
    purge automatic\n";
const QUARANTINE_DAYS: u16 = 180;
/// New people a year, unless `PROVOST_DECADE_INTAKE` says otherwise; five sixths of them graduate. `scripts/bench/decade`
/// runs the full 3,000 in a release build.
const INTAKE: usize = 120;
const FIRST_YEAR: i16 = 2026;
const LAST_YEAR: i16 = 2035;

const GIVEN: [&str; 20] = [
    "Zoé", "Ann", "Bo", "Marie", "Jean", "Luc", "Ève", "Noël", "Chloé", "Ida", "Hal", "Pat", "Ana", "Ravi", "Mei",
    "Omar", "Lena", "Ivo", "Sara", "Tom",
];
const FAMILY: [&str; 20] = [
    "Tremblay", "Gagnon", "Roy", "Côté", "Bouchard", "Gauthier", "Morin", "Lavoie", "Fortin", "Gagné", "Nguyen", "Li",
    "Singh", "Haddad", "Silva", "Kim", "Diallo", "Rossi", "Novak", "Smith",
];

/// A student as the test knows them.
struct Student {
    number: usize,
    start: Date,
    end: Option<Date>,
}

impl Student {
    fn row(&self) -> String {
        let (given, family) = (GIVEN[self.number % GIVEN.len()], FAMILY[self.number / GIVEN.len() % FAMILY.len()]);
        let end = self.end.map(|end| end.to_string()).unwrap_or_default();
        format!("{},{given},{family},student,Music,{},{end}\n", self.number, self.start)
    }

    /// The state on a day, counted by hand: the phases after the last day, each a number of days.
    fn expected(&self, day: Date) -> Option<&'static str> {
        let Some(end) = self.end.filter(|end| *end < day) else { return Some("active") };
        let days = (day - end).get_days();
        let phases: &[(i32, &str)] = if self.start < date(2029, 1, 1) {
            &[(180, "grace"), (i32::MAX, "alumni")]
        } else {
            &[(90, "grace"), (365, "alumni"), (60, "closing"), (100, "closed")]
        };
        let mut left = days;
        for (length, state) in phases {
            if left <= *length {
                return Some(state);
            }
            left -= length;
        }
        None
    }
}

fn file<'a>(students: impl Iterator<Item = &'a Student>) -> Vec<u8> {
    let mut text = "person_id,given_name,family_name,affiliation,program,start_date,end_date\n".to_owned();
    students.for_each(|student| text.write_str(&student.row()).unwrap());
    text.into_bytes()
}

fn noon(day: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(day.at(12, 0, 0, 0)).unwrap()
}

fn settings() -> SimulationSettings {
    let document = |name, text| PolicyDocument::parse(name, text, &TimeZone::UTC).unwrap();
    let set = PolicySet::new(vec![document("students-1", EARLY), document("students-2029", LATE)]).unwrap();
    let policies = Policies { time_zone: TimeZone::UTC, ..Policies::built_in("example.edu") }.with_lifecycle(set);
    let suffix = Dn::parse("dc=example,dc=edu").unwrap();
    SimulationSettings { suffix, policies, quarantine_days: QUARANTINE_DAYS }
}

#[test]
fn ten_years_keep_every_promise() {
    let mut simulation = Simulation::new(settings(), [], noon(date(FIRST_YEAR, 8, 1)));
    let intake: usize = std::env::var("PROVOST_DECADE_INTAKE").map_or(INTAKE, |text| text.parse().unwrap());
    let graduates = intake * 5 / 6;
    let mut students: Vec<Student> = Vec::new();
    let mut import = |students: &[&Student], day: Date| {
        let bytes = file(students.iter().copied());
        let source = read_source("registrar", &bytes, &CsvOptions::default()).unwrap();
        let summary = simulation.import(source, noon(day)).unwrap();
        assert_eq!(summary.rejected, 0);
        summary
    };
    for year in FIRST_YEAR..=LAST_YEAR {
        let first = students.len();
        students.extend((first..first + intake).map(|number| Student { number, start: date(year, 9, 1), end: None }));
        let new: Vec<&Student> = students[first..].iter().collect();
        assert_eq!(import(&new, date(year, 9, 1)).create, intake);
        // The longest enrolled graduate in May; the file names them in March, with their last day.
        let enrolled = students.iter_mut().filter(|student| student.end.is_none());
        enrolled.take(graduates).for_each(|student| student.end = Some(date(year + 1, 5, 31)));
        let leaving: Vec<&Student> =
            students.iter().filter(|student| student.end == Some(date(year + 1, 5, 31))).collect();
        assert_eq!(import(&leaving, date(year + 1, 3, 1)).update, graduates);
    }
    let last_day = date(LAST_YEAR + 1, 9, 1);
    simulation.run_until(noon(last_day));

    let mut states: HashMap<String, String> = HashMap::new();
    for person in simulation.people() {
        let number = person.first(attr::EMPLOYEE_NUMBER).unwrap().to_owned();
        states.insert(number, person.first(attr::PROVOST_STATE).unwrap().to_owned());
    }
    let mut count: HashMap<&str, usize> = HashMap::new();
    for student in &students {
        let expected = student.expected(last_day);
        assert_eq!(states.get(&student.number.to_string()).map(String::as_str), expected, "{}", student.row());
        *count.entry(expected.unwrap_or("purged")).or_default() += 1;
    }
    for state in ["active", "alumni", "closing", "purged"] {
        assert!(
            count.get(state).is_some_and(|count| *count >= intake / 4),
            "the years do not reach every state: {count:?}"
        );
    }
    check_notices(&simulation, intake);
    check_addresses(&simulation, intake);
}

/// No person got one notice twice, and those who lose something got one.
fn check_notices(simulation: &Simulation, intake: usize) {
    let mut seen = HashSet::new();
    for event in simulation.events() {
        if let SimulatedChange::Notice(change, days) = &event.what {
            assert!(seen.insert((event.person.clone(), change.clone(), *days)), "twice: {event:?}");
        }
    }
    assert!(seen.len() > intake, "only {} notices were sent", seen.len());
}

/// Nobody got an address that another person had less than the quarantine ago.
fn check_addresses(simulation: &Simulation, intake: usize) {
    let mut owners: HashMap<&str, &Dn> = HashMap::new();
    let mut freed: HashMap<&str, Timestamp> = HashMap::new();
    let mut reused = 0;
    for event in simulation.events() {
        match &event.what {
            SimulatedChange::Created(address) => {
                let former = owners.insert(address, &event.person);
                assert_eq!(former, None, "{address} has two owners");
                if let Some(since) = freed.get(address.as_str()) {
                    let seconds = event.at.as_second() - since.as_second();
                    assert!(seconds >= i64::from(QUARANTINE_DAYS) * 86_400, "{address} was given after {seconds} s");
                    reused += 1;
                }
            }
            SimulatedChange::Purged(addresses) => {
                for address in addresses {
                    assert_eq!(owners.remove(address.as_str()), Some(&event.person));
                    freed.insert(address, event.at);
                }
            }
            SimulatedChange::State(_) | SimulatedChange::Notice(..) => {}
        }
    }
    assert!(reused > intake / 10, "only {reused} addresses were given again");
}
