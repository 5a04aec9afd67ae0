//! Plans under naming documents.

use jiff::tz::TimeZone;
use provost_policy::{PolicyDocument, PolicySet};

use super::*;
use crate::words::{Language, Words};

/// The policies of a site with these naming documents: name and text.
fn policies(documents: &[(&str, &str)]) -> Policies {
    let read = |(name, text): &(&str, &str)| {
        PolicyDocument::parse(name, &format!("kind naming\n{text}"), &TimeZone::UTC).unwrap()
    };
    let set = PolicySet::new(documents.iter().map(read).collect()).unwrap();
    Policies { time_zone: TimeZone::UTC, ..Policies::built_in("example.edu") }.with_lifecycle(set)
}

fn planned(model: &Model, policies: &Policies, rows: &str) -> Plan {
    let now = "2027-03-01T12:00:00Z".parse().unwrap();
    plan(&wanted(&[source(rows)], policies, now), &model.actual()).unwrap()
}

fn import(model: &mut Model, policies: &Policies, rows: &str) -> Plan {
    let written = planned(model, policies, rows);
    let plan = Plan::from_bytes(&written.to_bytes()).unwrap();
    assert_eq!(plan, written);
    assert!(plan.rejected().is_empty(), "{:?}", plan.rejected());
    model.apply(&plan, usize::MAX);
    model.check();
    let again = planned(model, policies, rows);
    assert!(again.is_empty(), "{:?}", again.changes());
    plan
}

fn row(id: u32, given: &str, family: &str, affiliation: &str) -> String {
    format!("{id},{given},{family},2000-01-0{id},,{affiliation},,,\n")
}

const SITE: [(&str, &str); 2] = [
    (
        "students-1",
        "population student\ndomain students.example.edu\nlogin {g}{family:5}{counter:2}\n\
         primary {given}.{family}\naddress 1 {login}@students.example.edu\nrename keep=365",
    ),
    ("staff-1", "population staff\notherwise 1 {first}.{m}.{family}\nlogin {first}.{family}\nrename login=follow"),
];

#[test]
fn each_population_has_its_patterns_and_its_domain() {
    let (mut model, policies) = (Model::default(), policies(&SITE));
    let rows = row(1, "Zoé", "Tremblay", "student")
        + &row(2, "Zoé", "Tremblay", "student")
        + &row(3, "Zoé Anne", "Tremblay", "staff")
        + &row(4, "Zoé Anne", "Tremblay", "staff")
        + &row(5, "Zoé", "Tremblay", "faculty");
    let plan = import(&mut model, &policies, &rows);
    let names = |model: &Model| -> Vec<String> {
        let of = |id: &str| format!("{} {}", model.person(id).first(attr::UID).unwrap(), model.mail(id));
        ["1", "2", "3", "4", "5"].map(of).to_vec()
    };
    let expect = [
        "ztremb01 zoe.tremblay@students.example.edu",
        "ztremb02 zoe.tremblay2@students.example.edu",
        "zoe.tremblay zoe.tremblay@example.edu",
        "zoe.a.tremblay zoe.a.tremblay@example.edu",
        "zoe.tremblay2 zoe.tremblay2@example.edu",
    ];
    assert_eq!(names(&model), expect);
    assert_eq!(model.kind("ztremb01@students.example.edu"), Some("alias"));
    let entry = |address: &str| &model.entries[&crate::tree::address(&suffix(), address)];
    assert_eq!(
        entry("zoe.a.tremblay@example.edu").first(attr::DESCRIPTION),
        Some("policy staff-1, {first}.{family}; zoe.tremblay: given to the person of line 4")
    );
    // Without a document, entries are as they always were.
    assert_eq!(entry("zoe.tremblay2@example.edu").first(attr::DESCRIPTION), None);
    assert!(plan.policies().contains("; naming "), "{}", plan.policies());
    let details = |language, place: usize| {
        Words::new(language, TimeZone::UTC).plan_details(&plan.changes()[place]).pop().unwrap()
    };
    assert_eq!(
        details(Language::English, 4),
        "zoe.tremblay2@example.edu: policy built-in, {given}.{family}; zoe.tremblay: given to the person of line 4"
    );
    assert_eq!(
        details(Language::French, 3),
        "zoe.a.tremblay@example.edu : politique staff-1, {first}.{family}; zoe.tremblay : donné à la personne de la \
         ligne 4"
    );
}

#[test]
fn a_rename_keeps_the_old_address_as_long_as_the_policy_says() {
    let (mut model, policies) = (Model::default(), policies(&SITE));
    import(&mut model, &policies, &(row(1, "Ann", "Roy", "student") + &row(2, "Bo", "Roy", "staff")));
    import(&mut model, &policies, &(row(1, "Ann", "Abe", "student") + &row(2, "Bo", "Abe", "staff")));
    let entry = |model: &Model, address: &str| model.entries[&crate::tree::address(&suffix(), address)].clone();
    let old = entry(&model, "ann.roy@students.example.edu");
    assert_eq!(
        (old.first(attr::PROVOST_ADDRESS_KIND), old.first(attr::PROVOST_UNTIL)),
        (Some("retained"), Some("20280229235959Z"))
    );
    // The login of a student stays; that of staff follows the name.
    let uid = |id: &str| model.person(id).first(attr::UID).unwrap().to_owned();
    assert_eq!((uid("1"), uid("2")), ("aroy01".to_owned(), "bo.abe".to_owned()));
    assert_eq!(model.kind("bo.roy@example.edu"), Some("alias"));
    // The former name brings the former address back, without an end.
    import(&mut model, &policies, &(row(1, "Ann", "Roy", "student") + &row(2, "Bo", "Abe", "staff")));
    let back = entry(&model, "ann.roy@students.example.edu");
    assert_eq!((back.first(attr::PROVOST_ADDRESS_KIND), back.first(attr::PROVOST_UNTIL)), (Some("primary"), None));
    assert_eq!(model.kind("ann.abe@students.example.edu"), Some("retained"));
}

#[test]
fn an_address_in_quarantine_goes_back_to_its_owner_only() {
    let (mut model, policies) = (Model::default(), policies(&[]));
    import(&mut model, &policies, &row(1, "Ann", "Roy", "staff"));
    import(&mut model, &policies, &row(1, "Ann", "Abe", "staff"));
    // The run of the lifecycle has taken the old address away.
    let dn = crate::tree::address(&suffix(), "ann.roy@example.edu");
    let set = |name, value: &str| Modification::replace(of(name), vec![value.into()]);
    let changes = [set(attr::PROVOST_ADDRESS_KIND, "quarantined"), set(attr::PROVOST_UNTIL, "20290101000000Z")];
    model.modify(&dn, &changes, None);
    let person = model.person("1").dn.clone();
    model.modify(
        &person,
        &[Modification::delete(of(attr::MAIL_LOCAL_ADDRESS), vec!["ann.roy@example.edu".into()])],
        None,
    );
    let plan = import(&mut model, &policies, &(row(1, "Ann", "Abe", "staff") + &row(2, "Ann", "Roy", "staff")));
    assert_eq!(model.mail("2"), "ann.roy2@example.edu");
    let note = plan.changes()[0].writes[0].note.as_ref().unwrap();
    assert_eq!(note.to_string(), "policy built-in, {given}.{family}; ann.roy: in quarantine");
    import(&mut model, &policies, &(row(1, "Ann", "Roy", "staff") + &row(2, "Ann", "Roy", "staff")));
    assert_eq!((model.mail("1"), model.mail("2")), ("ann.roy@example.edu", "ann.roy2@example.edu"));
    assert_eq!(model.entries[&dn].first(attr::PROVOST_UNTIL), None);
}

#[test]
fn a_name_that_nobody_may_have_gives_way() {
    let policies = policies(&[("all-1", "login {g}{family}\nreserve rroy")]);
    let mut model = Model::default();
    let rows = row(1, "Steve", "Hitner", "staff") + &row(2, "Roy", "Roy", "staff") + &row(3, "", "Abuse", "staff");
    let rows = rows.replace("3,,", "3,',");
    import(&mut model, &policies, &rows);
    let mails = ["1", "2", "3"].map(|id| model.mail(id).to_owned());
    assert_eq!(mails, ["steve.hitner", "rroy2", "person-3"].map(|local| format!("{local}@example.edu")));
}

// The chosen name comes before the legal one, whether the file states it or a hand has written it.
#[test]
fn the_chosen_name_makes_the_address() {
    const MORE: &str = "person_id,given_name,family_name,affiliation,preferred_given_name\n";
    let policies = policies(&[]);
    let file = |text: &str| read_source("registrar", text.as_bytes(), &CsvOptions::default()).unwrap();
    let import_file = |model: &mut Model, text: &str| {
        let now = "2027-03-01T12:00:00Z".parse().unwrap();
        let planned = |model: &Model| plan(&wanted(&[file(text)], &policies, now), &model.actual()).unwrap();
        let plan = planned(model);
        assert!(plan.rejected().is_empty(), "{:?}", plan.rejected());
        model.apply(&plan, usize::MAX);
        model.check();
        assert!(planned(model).is_empty(), "{:?}", planned(model).changes());
        plan
    };
    let mut model = Model::default();
    import_file(&mut model, &format!("{MORE}1,Samuel,Roy,staff,Sam\n2,Ann,Li,staff,\n"));
    let shown = |model: &Model, id: &str| {
        let text = |name| model.person(id).first(name).unwrap_or_default().to_owned();
        [text(attr::MAIL), text(attr::DISPLAY_NAME), text(attr::GIVEN_NAME)].join(" ")
    };
    assert_eq!(shown(&model, "1"), "sam.roy@example.edu Sam Roy Samuel");
    // A file without the column leaves it.
    let without = "person_id,given_name,family_name,affiliation\n1,Samuel,Roy,staff\n2,Ann,Li,staff\n";
    assert!(import_file(&mut model, without).is_empty());
    // A hand has written Ann's: the next file brings the address that it makes.
    let ann = model.person("2").dn.clone();
    model.modify(&ann, &[Modification::replace(of(attr::PROVOST_CHOSEN_NAME), vec!["Nan".into()])], None);
    import_file(&mut model, without);
    assert!(shown(&model, "2").ends_with("Nan Li Ann"), "{}", shown(&model, "2"));
    // A name that the file states anew leads to another address; the login stays.
    let plan = import_file(&mut model, &format!("{MORE}1,Samuel,Roy,staff,Sammy\n2,Ann,Li,staff,Nan\n"));
    assert_eq!(shown(&model, "1"), "sammy.roy@example.edu Sammy Roy Samuel");
    assert_eq!(plan.changes()[0].reason.words, "the name Sam Roy became Sammy Roy");
    assert_eq!(model.person("1").first(attr::UID), Some("sam.roy"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    // Two people of one file with one name get the same names whatever run was interrupted, under documents too.
    #[test]
    fn an_interrupted_import_gives_the_same_names(first in rows(), second in rows(), writes in 0usize..40) {
        let policies = policies(&[
            ("students-1", "population student\nlogin {g}{family:3}\nprimary {given}.{family}@s.example.edu\n\
              address 1 {login}@example.edu\nrename keep=30"),
            ("alum-1", "population alum\nlogin {family}{g}\notherwise 1 {g}.{family}\nrename login=follow"),
        ]);
        let mut model = Model::default();
        import(&mut model, &policies, &first);
        let interrupted = planned(&model, &policies, &second);
        let mut whole = model.clone();
        import(&mut whole, &policies, &second);
        model.apply(&interrupted, writes);
        import(&mut model, &policies, &second);
        let names = |model: &Model| -> Vec<(Option<String>, Option<String>)> {
            let text = |entry: &Entry, name: &str| entry.first(name).map(str::to_owned);
            model.entries.values().map(|entry| (text(entry, attr::UID), text(entry, attr::MAIL))).collect()
        };
        prop_assert_eq!(names(&model), names(&whole));
    }
}
