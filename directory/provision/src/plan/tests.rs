mod dated;
mod names;

use std::collections::BTreeMap;

use proptest::prelude::*;
use provost_entry::{Address, AttributeDescription, Dn, Entry, Filter, ModOp, Modification};
use provost_schema::{attr, class};

use super::*;
use crate::write::{LdapWrite, WriteContext};
use crate::{AttributeChange, CsvOptions, Policies, read_source, wanted};

const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,end_date,password\n";

fn source(rows: &str) -> Source {
    read_source("registrar", format!("{HEADER}{rows}").as_bytes(), &CsvOptions::default()).unwrap()
}

/// The plan of a source under the built-in policies.
fn plan_of(source: Source, actual: &DirectoryContent) -> Result<Plan, PlanError> {
    plan(&wanted(&[source], &Policies::built_in("example.edu"), jiff::Timestamp::UNIX_EPOCH), actual)
}

/// A directory in memory, with as much of RFC 4511 as applying plans needs.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<Dn, Entry>,
    writes: usize,
}

fn suffix() -> Dn {
    Dn::parse("dc=example,dc=edu").unwrap()
}

fn hashed() -> provost_credential::PasswordValues {
    provost_credential::PasswordValues { user_password: "{SSHA}hash".into(), scram: Some("verifier".into()) }
}

impl Model {
    fn actual(&self) -> DirectoryContent {
        let mut actual = DirectoryContent::empty(suffix());
        let of = |class: &'static str| self.entries.values().filter(move |entry| entry.has_class(class));
        of(class::PROVOST_ACCOUNT).for_each(|entry| actual.add_person(entry));
        of(class::PROVOST_ADDRESS_ENTRY).for_each(|entry| actual.add_address(entry));
        actual
    }

    fn plan(&self, rows: &str) -> Plan {
        plan_of(source(rows), &self.actual()).unwrap()
    }

    /// Applies the first `limit` writes.
    fn apply(&mut self, plan: &Plan, limit: usize) {
        let context = WriteContext { id: "batch".into(), since: plan.since.clone(), must_change: true };
        for write in plan.changes.iter().flat_map(|change| &change.writes).take(limit) {
            let password = write.password.map(|_| hashed());
            match write.operation(&context, password.as_ref()) {
                LdapWrite::Add(entry) => assert!(self.entries.insert(entry.dn.clone(), entry).is_none(), "{write}"),
                LdapWrite::Modify(dn, changes, control) => self.modify(&dn, &changes, control.assert.as_ref()),
                LdapWrite::Delete(dn, _) => panic!("an import deletes {dn}"),
            }
            self.writes += 1;
        }
    }

    fn modify(&mut self, dn: &Dn, changes: &[Modification], assert: Option<&Filter>) {
        let csn = self.writes.to_string();
        let entry = self.entries.get_mut(dn).expect("modify of an absent entry");
        assert!(assert.is_none_or(|filter| matches(entry, filter)), "{dn}: {assert:?}");
        for change in changes {
            let mut values = entry.values(change.attribute.as_str()).to_vec();
            match change.op {
                ModOp::Replace => values = change.values.clone(),
                ModOp::Delete => values.retain(|value| !change.values.contains(value)),
                ModOp::Add => {
                    assert!(
                        change.values.iter().all(|value| !values.contains(value)),
                        "a value was added twice: {change:?}"
                    );
                    values.extend(change.values.clone());
                }
            }
            entry.set(change.attribute.clone(), values);
        }
        entry.set(of(attr::ENTRY_CSN), vec![csn.into_bytes()]);
    }

    /// Plans, applies the plan after a round trip through its file form, and checks that a second plan is empty.
    fn import(&mut self, rows: &str) -> Plan {
        let written = self.plan(rows);
        let plan = Plan::from_bytes(&written.to_bytes()).unwrap();
        assert_eq!(plan, written);
        self.apply(&plan, usize::MAX);
        self.check();
        assert!(self.plan(rows).is_empty(), "{rows}: {:?}", self.plan(rows).changes);
        plan
    }

    /// The person whose number is `id`.
    fn person(&self, id: &str) -> &Entry {
        let mut people = self.entries.values().filter(|entry| entry.first(attr::EMPLOYEE_NUMBER) == Some(id));
        people.next().expect("no person has this number")
    }

    fn mail(&self, id: &str) -> &str {
        self.person(id).first(attr::MAIL).unwrap()
    }

    fn kind(&self, address: &str) -> Option<&str> {
        self.entries.get(&crate::tree::address(&suffix(), address))?.first(attr::PROVOST_ADDRESS_KIND)
    }

    /// Checks the invariants that hold after every import.
    fn check(&self) {
        let people: Vec<&Entry> = self.entries.values().filter(|entry| entry.has_class("person")).collect();
        let mut logins = std::collections::HashSet::new();
        for person in people {
            assert!(logins.insert(person.first(attr::UID).unwrap()), "two people have one login: {person:?}");
            let mail = person.first(attr::MAIL).unwrap();
            assert_eq!(self.kind(mail), Some("primary"), "{person:?}");
            for address in person.texts(attr::MAIL_LOCAL_ADDRESS) {
                let entry = &self.entries[&crate::tree::address(&suffix(), address)];
                assert_eq!(entry.first(attr::PROVOST_OWNER), Some(person.dn.as_str()));
                assert_eq!(self.kind(address) == Some("primary"), address == mail);
            }
        }
    }
}

fn of(name: &'static str) -> provost_entry::AttributeDescription {
    provost_entry::AttributeDescription::of(name)
}

fn matches(entry: &Entry, filter: &Filter) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| matches(entry, filter)),
        Filter::Not(filter) => !matches(entry, filter),
        Filter::Equal(name, value) => entry.values(name.as_str()).contains(value),
        Filter::Present(name) => !entry.values(name.as_str()).is_empty(),
        other => panic!("plans use no such filter: {other:?}"),
    }
}

const ZOE: &str = "1,Zoé,Tremblay,2004-02-29,zoe@example.net,student,B-INFO,2030-04-30,long enough\n";

#[test]
fn reserved_names_are_given_to_nobody() {
    let mut model = Model::default();
    let row = |id, given, family| format!("{id},{given},{family},,,staff,,,\n");
    let rows = row(1, "'", "Postmaster") + &row(2, "Root", "'") + &row(3, "'", "root") + &row(4, "No", "Reply");
    model.import(&rows);
    let mails: Vec<&str> = ["1", "2", "3", "4"].map(|id| model.mail(id)).to_vec();
    let expect = ["postmaster2@", "root2@", "root3@", "no.reply2@"].map(|local| format!("{local}example.edu"));
    assert_eq!(mails, expect);
    // A person who was given postmaster by hand keeps it as an alias, and a rename does not make it primary.
    let mut model = Model::default();
    model.import(ZOE);
    let dn = model.person("1").dn.clone();
    let postmaster = Address::parse("postmaster@example.edu").unwrap();
    let entry = crate::write::address_entry(&suffix(), &postmaster, &dn, crate::AddressKind::Alias, "20260101000000Z");
    model.entries.insert(entry.dn.clone(), entry);
    let name = Modification::add(of(attr::MAIL_LOCAL_ADDRESS), vec![postmaster.as_str().into()]);
    model.modify(&dn, &[name], None);
    model.import(&ZOE.replace("Zoé,Tremblay", "Postmaster,'"));
    assert_eq!(model.mail("1"), "postmaster2@example.edu");
}

// A person keeps every address, whatever the same file gives to others.
#[test]
fn people_keep_their_addresses_when_names_are_exchanged() {
    let row = |id: u32, given: &str, family: &str| format!("{id},{given},{family},2000-01-0{id},,staff,,,\n");
    for (before, after, expect) in [
        // Two people swap names: each name leads to an address that the other still holds.
        (
            [(1, "Ann", "Abe"), (2, "Bea", "Bell"), (3, "Cy", "Cole")],
            [(1, "Bea", "Bell"), (2, "Ann", "Abe"), (3, "Cy", "Cole")],
            ["bea.bell2", "ann.abe2", "cy.cole"],
        ),
        // One person takes the name that a third one gives up.
        (
            [(1, "Ann", "Abe"), (2, "Bea", "Bell"), (3, "Cy", "Cole")],
            [(1, "Cy", "Cole"), (2, "Bea", "Bell"), (3, "Cy", "Stone")],
            ["cy.cole2", "bea.bell", "cy.stone"],
        ),
    ] {
        let file = |rows: [(u32, &str, &str); 3]| rows.map(|(id, given, family)| row(id, given, family)).concat();
        let mut model = Model::default();
        model.import(&file(before));
        let plan = model.import(&file(after));
        assert!(plan.rejected().is_empty(), "{:?}", plan.rejected());
        let mails = ["1", "2", "3"].map(|id| model.mail(id).to_owned());
        assert_eq!(mails, expect.map(|local| format!("{local}@example.edu")));
        // The reverse change: every person gets the former address back.
        model.import(&file(before));
        let mails = ["1", "2", "3"].map(|id| model.mail(id).to_owned());
        assert_eq!(mails, ["ann.abe", "bea.bell", "cy.cole"].map(|local| format!("{local}@example.edu")));
    }
}

#[test]
fn a_new_person_has_the_values_of_the_record() {
    let mut model = Model::default();
    let plan = model.import(ZOE);
    assert_eq!(plan.changes[0].to_string(), "line 2: create zoe.tremblay@example.edu (Zoé Tremblay, student)");
    let counts = PlanSummary { rows: 1, create: 1, writes: 2, passwords: 1, ..PlanSummary::default() };
    assert_eq!(plan.summary, counts);
    let person = model.person("1");
    for (name, value) in [
        (attr::UID, "zoe.tremblay"),
        (attr::CN, "Zoé Tremblay"),
        (attr::SN, "Tremblay"),
        (attr::GIVEN_NAME, "Zoé"),
        (attr::DISPLAY_NAME, "Zoé Tremblay"),
        (attr::MAIL, "zoe.tremblay@example.edu"),
        (attr::MAIL_LOCAL_ADDRESS, "zoe.tremblay@example.edu"),
        (attr::PROVOST_SOURCE_ID, "registrar:1"),
        (attr::EDU_PERSON_PRIMARY_AFFILIATION, "student"),
        (attr::SCHAC_DATE_OF_BIRTH, "20040229"),
        (attr::PROVOST_PRIVATE_MAIL, "zoe@example.net"),
        (attr::PROVOST_PROGRAM, "B-INFO"),
        (attr::PROVOST_END_DATE, "20300501035959Z"),
        (attr::PROVOST_STATE, "active"),
        (attr::PROVOST_LAST_BATCH, "batch"),
        (attr::USER_PASSWORD, "{SSHA}hash"),
        (attr::PROVOST_SCRAM, "verifier"),
        (attr::PROVOST_CREDENTIAL_STATE, "must-change"),
    ] {
        assert_eq!(person.first(name), Some(value), "{name}");
    }
    assert!(!format!("{plan:?}").contains("long enough"));
}

#[test]
fn people_of_one_name_are_numbered_in_file_order() {
    let mut model = Model::default();
    model.import("1,Ann,Roy,,,staff,,,\n2,Ánn,Roy,,,staff,,,\n3,ANN,ROY,,,alum,,,\n");
    assert_eq!(
        ["1", "2", "3"].map(|id| model.mail(id).split('@').next().unwrap()),
        ["ann.roy", "ann.roy2", "ann.roy3"]
    );
    // A number stays with its person, and no other person moves to a lower one.
    model.import("4,Ann,Roy,,,staff,,,\n3,Ann,Roy,,,alum,,,\n");
    assert_eq!((model.mail("3"), model.mail("4")), ("ann.roy3@example.edu", "ann.roy4@example.edu"));
}

#[test]
fn a_renamed_person_keeps_the_former_address() {
    let mut model = Model::default();
    model.import("1,Ann,Roy,,,staff,,,\n2,Ann,Roy,,,staff,,,\n");
    let plan = model.import("2,Ann,Côté,,,staff,,,\n");
    assert_eq!(
        plan.changes[0].to_string(),
        "line 2: rename ann.roy2@example.edu -> ann.cote@example.edu (sn, cn, displayName)"
    );
    assert_eq!((plan.summary.update, plan.summary.rename, plan.summary.absent, plan.summary.writes), (1, 1, 1, 4));
    let person = model.person("2");
    assert_eq!(person.first(attr::UID), Some("ann.roy2"), "the login must not change");
    assert_eq!((person.first(attr::MAIL), person.first(attr::SN)), (Some("ann.cote@example.edu"), Some("Côté")));
    assert_eq!(person.values(attr::MAIL_LOCAL_ADDRESS).len(), 2);
    assert_eq!(model.kind("ann.roy2@example.edu"), Some("alias"));
    // When she takes her former name again, her former address becomes primary; the new Ann Roy gets the next number.
    model.import("3,Ann,Roy,,,staff,,,\n2,Ann,Roy,,,staff,,,\n");
    assert_eq!((model.mail("2"), model.mail("3")), ("ann.roy2@example.edu", "ann.roy3@example.edu"));
    assert_eq!(model.kind("ann.cote@example.edu"), Some("alias"));
}

#[test]
fn an_update_changes_only_what_the_record_decides() {
    let mut model = Model::default();
    model.import(ZOE);
    for (row, attribute, expect, what) in [
        (ZOE.replace("student", "alum"), attr::EDU_PERSON_AFFILIATION, Some("alum"), "another affiliation"),
        (ZOE.replace("B-INFO", ""), attr::PROVOST_PROGRAM, None, "a blank programme"),
        (ZOE.replace("2004-02-29", ""), attr::SCHAC_DATE_OF_BIRTH, Some("20040229"), "a blank birth date"),
        (
            ZOE.replace("zoe@example.net", ""),
            attr::PROVOST_PRIVATE_MAIL,
            Some("zoe@example.net"),
            "a blank private address",
        ),
        (
            ZOE.replace("long enough", "another one"),
            attr::USER_PASSWORD,
            Some("{SSHA}hash"),
            "another initial password",
        ),
        (
            ZOE.replace("Tremblay", "TREMBLAY"),
            attr::MAIL,
            Some("zoe.tremblay@example.edu"),
            "a family name in capitals",
        ),
    ] {
        let mut model = model.clone();
        let plan = model.import(&row);
        assert_eq!(model.person("1").first(attribute), expect, "{what}");
        assert_eq!((model.kind("zoe.tremblay@example.edu"), plan.summary.rename), (Some("primary"), 0), "{what}");
    }
    let without = "person_id,given_name,family_name,affiliation\n1,Zoé,Tremblay,student\n";
    let without = read_source("registrar", without.as_bytes(), &CsvOptions::default()).unwrap();
    let plan = plan_of(without, &model.actual()).unwrap();
    assert!(plan.is_empty(), "absent columns changed something: {:?}", plan.changes);
}

#[test]
fn a_person_without_a_password_gets_one_later() {
    let mut model = Model::default();
    model.import(&ZOE.replace("long enough", ""));
    let plan = model.import(ZOE);
    assert_eq!((plan.summary.passwords, plan.summary.writes), (1, 1));
    assert_eq!(plan.changes[0].what, "update zoe.tremblay@example.edu (userPassword)");
}

/// A registrar could otherwise choose an administrator's password.
#[test]
fn a_person_with_a_role_gets_no_initial_password() {
    let mut model = Model::default();
    model.import(&ZOE.replace("long enough", ""));
    let late = model.plan(ZOE);
    let dn = model.person("1").dn.clone();
    model.entries.get_mut(&dn).unwrap().push(AttributeDescription::of(attr::PROVOST_ROLE), b"admin".to_vec());
    assert!(model.plan(ZOE).is_empty(), "{:?}", model.plan(ZOE).changes);
    // The plan was made before the role was given, so its write asserts that the person has no role.
    let context = WriteContext { id: "batch".into(), since: late.since.clone(), must_change: true };
    let LdapWrite::Modify(_, _, control) = late.changes[0].writes[0].operation(&context, Some(&hashed())) else {
        panic!("{:?}", late.changes)
    };
    assert!(control.assert.is_some_and(|filter| !matches(&model.entries[&dn], &filter)));
}

#[test]
fn rows_that_planning_refuses() {
    let mut model = Model::default();
    model.import(ZOE);
    let reused = "the directory has another family name and birth date for this number: was it reassigned?";
    for (row, column, rule) in [
        ("1,Zoé,Gagnon,1999-01-01,,student,,,\n", "person_id", reused),
        ("2,…,—?,,,student,,,\n", "family_name", "no login can be made from this name"),
    ] {
        let plan = model.plan(&format!("{row}3,Bo,Li,,,staff,,,\n"));
        assert_eq!(plan.rejected().len(), 1, "{row} {:?}", plan.changes);
        assert_eq!((plan.rejected()[0].column.as_str(), plan.rejected()[0].words.as_str()), (column, rule));
        assert_eq!((plan.summary.rejected, plan.summary.create, plan.summary.rows), (1, 1, 2));
    }
    // A row that corrects only the family name or only the birth date is accepted.
    assert!(model.plan("1,Zoé,Gagnon,2004-02-29,,student,,,\n").rejected().is_empty());
    assert!(model.plan("1,Zoé,Tremblay,2004-02-28,,student,,,\n").rejected().is_empty());
    let mut twin = model.person("1").clone();
    twin.dn = crate::tree::people(&suffix()).child(attr::PROVOST_PERSON_ID, "twin");
    model.entries.insert(twin.dn.clone(), twin);
    assert_eq!(model.plan(ZOE).rejected()[0].words, "two people in the directory have this number");
}

#[test]
fn a_directory_with_many_addresses_and_no_person_is_refused() {
    let mut model = Model::default();
    let rows: String = (0..=ORPHANS_MAX).map(|n| format!("{n},Ann,Roy,,,staff,,,\n")).collect();
    let plan = model.plan(&rows);
    model.apply(&plan, usize::MAX);
    model.entries.retain(|_, entry| !entry.has_class("person"));
    assert!(plan_of(source(&rows), &model.actual()).is_err());
}

#[test]
fn addresses_and_logins_of_others_are_never_given() {
    let mut model = Model::default();
    model.import("1,Ann,Roy,,,staff,,,\n");
    // An alias written by other means, and a login whose address is missing.
    let person = model.person("1").dn.clone();
    let alias = Modification::add(of(attr::MAIL_LOCAL_ADDRESS), vec![b"Bo.Li@example.edu".to_vec()]);
    let uid = Modification::replace(of(attr::UID), vec![b"cy.lee".to_vec()]);
    model.modify(&person, &[alias, uid], None);
    let plan = model.plan("1,Ann,Roy,,,staff,,,\n2,Bo,Li,,,staff,,,\n3,Cy,Lee,,,staff,,,\n");
    let what: Vec<&str> = plan.changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(what, ["create bo.li2@example.edu (Bo Li, staff)", "create cy.lee2@example.edu (Cy Lee, staff)"]);
}

#[test]
fn the_hash_depends_on_changes_and_files() {
    let model = Model::default();
    let plan = model.plan(ZOE);
    assert_eq!(plan.hash(), model.plan(ZOE).hash());
    assert_ne!(plan.hash(), model.plan(&ZOE.replace("long enough", "another one")).hash());
    assert_ne!(plan.hash(), model.plan(&ZOE.replace("B-INFO", "B-MATH")).hash());
}

#[test]
fn the_hash_depends_on_the_policies_and_not_on_the_time() {
    let (sources, policies, actual) =
        ([source(ZOE)], Policies::built_in("example.edu"), DirectoryContent::empty(suffix()));
    let at = |at: &str| plan(&wanted(&sources, &policies, at.parse().unwrap()), &actual).unwrap();
    let (first, second) = (at("2026-09-01T08:00:00Z"), at("2027-09-01T08:00:00Z"));
    assert_eq!((first.since(), second.since()), ("20260901080000Z", "20270901080000Z"));
    assert_eq!(first.hash(), second.hash());
    let changed = Policies { version: "site/2".to_owned(), ..policies.clone() };
    let other = plan(&wanted(&sources, &changed, jiff::Timestamp::UNIX_EPOCH), &actual).unwrap();
    assert_ne!(first.hash(), other.hash(), "the hash is the same for another version of the policies");
}

#[test]
fn an_explanation_gives_the_reason_and_the_values_before_and_after() {
    let mut model = Model::default();
    model.import(ZOE);
    let plan = model.plan(&ZOE.replace("Tremblay", "Côté").replace("B-INFO", ""));
    let words = crate::Words::new(crate::Language::English, jiff::tz::TimeZone::UTC);
    assert_eq!(
        words.plan_line(&plan.changes()[0]),
        "line 2: rename zoe.tremblay@example.edu -> zoe.cote@example.edu (family name, full name, name shown, \
         affiliation of a source, programme)"
    );
    let explained = words.plan_details(&plan.changes()[0]);
    let expect = [
        "because the name Zoé Tremblay became Zoé Côté [person.renamed]",
        "new address: zoe.cote@example.edu (primary) [address.primary]",
        "family name: Tremblay -> Côté [column.family_name]",
        "full name: Zoé Tremblay -> Zoé Côté [name.full]",
        "name shown: Zoé Tremblay -> Zoé Côté [name.full]",
        "affiliation of a source: student (registrar) until 2030-05-01, B-INFO -> student (registrar) until 2030-05-01 \
         [column.affiliation]",
        "programme: B-INFO -> none [blank.program]",
        "primary address: zoe.tremblay@example.edu -> zoe.cote@example.edu [address.primary]",
        "addresses: zoe.cote@example.edu added [address.kept]",
        "zoe.tremblay@example.edu, kind of address: primary -> alias [address.kept]",
        "login: stays as it is, since a rename by policy changes the address and not the login [naming.login]",
    ];
    let french = crate::Words::new(crate::Language::French, jiff::tz::TimeZone::UTC);
    let (line, details) = (french.plan_line(&plan.changes()[0]), french.plan_details(&plan.changes()[0]));
    assert!(line.starts_with("ligne 2 : renommer zoe.tremblay@example.edu -> "), "{line}");
    assert_eq!(details[0], "parce que le nom Zoé Tremblay est devenu Zoé Côté [person.renamed]");
    assert_eq!(details[2], "nom de famille : Tremblay -> Côté [column.family_name]");
    assert_eq!(explained, expect);
    // The change lists every value that it overwrites, including one that another writer added.
    let dn = model.person("1").dn.clone();
    model.modify(&dn, &[Modification::add(of(attr::PROVOST_PROGRAM), vec![b"B-ART".to_vec()])], None);
    let plan = model.plan(&ZOE.replace("B-INFO", "B-MATH"));
    let change = &plan.changes()[0].writes[0].attributes[1];
    assert_eq!(
        (change.before.as_slice(), change.after.as_slice()),
        (&["B-ART".to_owned(), "B-INFO".to_owned()][..], &["B-MATH".to_owned()][..])
    );
    // The plan shows where the password comes from, never the password.
    let late = Model::default();
    let plan = late.plan(ZOE);
    assert_eq!(plan.changes()[0].writes[1].password, Some(crate::RecordRef { source: 0, line: 2 }));
    let explained = words.plan_details(&plan.changes()[0]);
    assert_eq!(explained, ["because no person in the directory has the number registrar:1 [person.unknown]"]);
}

#[test]
fn a_written_plan_is_read_back_or_refused() {
    let plan = Model::default().plan(&format!("{ZOE}2,…,—?,,,student,,,\n"));
    let octets = plan.to_bytes();
    let text = String::from_utf8(octets.clone()).unwrap();
    assert!(!text.contains("long enough"), "the plan holds a password in the clear");
    let read = Plan::from_bytes(&octets).unwrap();
    assert_eq!((read.hash(), read.rejected(), read.summary()), (plan.hash(), plan.rejected(), plan.summary()));
    let mut role = plan.clone();
    role.changes[0].writes[1].attributes.push(AttributeChange::new(
        attr::PROVOST_ROLE,
        vec!["admin".into()],
        crate::ReasonRule::NewAccount,
    ));
    let mut elsewhere = plan.clone();
    elsewhere.changes[0].writes[1].dn = Dn::parse("cn=admin,dc=example,dc=edu").unwrap();
    for forged in [&mut role, &mut elsewhere] {
        forged.hash = hash(&forged.suffix, &forged.sources, &forged.policies, &forged.changes);
    }
    for (octets, expect) in [
        (text.replace("\"version\":2", "\"version\":3").into_bytes(), "the plan is of version 3"),
        (text.replace("Tremblay", "Trembley").into_bytes(), "its content has another hash"),
        (text.replace("column.given_name", "column.colour").into_bytes(), "unknown rule 'column.colour'"),
        (text.replace("\"since\"", "\"sinse\"").into_bytes(), "unknown field `sinse`"),
        (octets[..octets.len() - 2].to_vec(), "this is not a plan: EOF"),
        (b"{}".to_vec(), "missing field `version`"),
        (Vec::new(), "this is not a plan"),
        (role.to_bytes(), "the plan names provostRole"),
        (elsewhere.to_bytes(), "the plan names cn=admin"),
    ] {
        let error = Plan::from_bytes(&octets).unwrap_err().to_string();
        assert!(error.contains(expect), "{error} instead of {expect}");
    }
}

// The form in which an earlier version wrote its plans stays readable.
#[test]
fn plans_of_version_1_are_read() {
    let octets = include_bytes!("../../tests/fixtures/plan-v1.json");
    let plan = Plan::from_bytes(octets).unwrap();
    assert_eq!((plan.summary().create, plan.changes().len()), (1, 1));
    assert_eq!(Plan::from_bytes(&plan.to_bytes()).unwrap(), plan);
}

/// One person whose record changes from year to year, and the resulting entry.
#[test]
fn ten_years_of_one_person() {
    let mut model = Model::default();
    let policies = Policies::built_in("example.edu");
    model.import("2,Ann,Roy,1990-05-05,,staff,,,\n");
    for (year, row, mail, affiliation, program, ends) in [
        (
            2026,
            "1,Ann,Roy,2008-01-01,,student,B-INFO,2030-04-30,",
            "ann.roy2",
            "student",
            Some("B-INFO"),
            Some("20300501035959Z"),
        ),
        (
            2027,
            "1,Ann,Roy,2008-01-01,,student,B-MATH,2031-04-30,",
            "ann.roy2",
            "student",
            Some("B-MATH"),
            Some("20310501035959Z"),
        ),
        (
            2029,
            "1,Ann,Côté,2008-01-01,,student,B-MATH,2031-04-30,",
            "ann.cote",
            "student",
            Some("B-MATH"),
            Some("20310501035959Z"),
        ),
        (2031, "1,Ann,Côté,,,alum,,,", "ann.cote", "alum", None, None),
        (2033, "1,Ann,Roy,,,staff,IT,,", "ann.roy2", "staff", Some("IT"), None),
        (2036, "1,Ann,Côté,,,alum,,,", "ann.cote", "alum", None, None),
    ] {
        let now = format!("{year}-09-01T08:00:00Z").parse().unwrap();
        let sources = [source(&format!("{row}\n"))];
        let planned = plan(&wanted(&sources, &policies, now), &model.actual()).unwrap();
        assert!(planned.rejected().is_empty(), "{year}: {:?}", planned.rejected());
        model.apply(&planned, usize::MAX);
        model.check();
        let again = plan(&wanted(&sources, &policies, now), &model.actual()).unwrap();
        assert!(again.is_empty(), "{year}: {:?}", again.changes());
        let person = model.person("1");
        assert_eq!(model.mail("1"), format!("{mail}@example.edu"), "{year}");
        assert_eq!(person.first(attr::UID), Some("ann.roy2"), "{year}: the login must not change");
        assert_eq!(person.first(attr::SCHAC_DATE_OF_BIRTH), Some("20080101"), "{year}");
        assert_eq!(person.first(attr::EDU_PERSON_AFFILIATION), Some(affiliation), "{year}");
        assert_eq!(
            (person.first(attr::PROVOST_PROGRAM), person.first(attr::PROVOST_END_DATE)),
            (program, ends),
            "{year}"
        );
    }
    let since = |address: &str| model.entries[&crate::tree::address(&suffix(), address)].first(attr::PROVOST_SINCE);
    assert_eq!(since("ann.roy2@example.edu"), Some("20260901080000Z"));
    assert_eq!(since("ann.cote@example.edu"), Some("20290901080000Z"));
}

/// Rows with few names, so that they collide, and some names that need folding.
fn rows() -> impl Strategy<Value = String> {
    let row =
        (1u8..12, "(Ann|Ánn|Bo|Jean-Luc)", "(Roy|Côté|O'Neil)", "(student|alum)", proptest::option::of("B-[A-C]"));
    proptest::collection::btree_map(1u8..12, row, 0..9).prop_map(|rows| {
        let row =
            |(id, (_, given, family, affiliation, program)): (u8, (u8, String, String, String, Option<String>))| {
                format!("{id},{given},{family},,,{affiliation},{},,\n", program.unwrap_or_default())
            };
        let rows: String = rows.into_iter().map(row).collect();
        // A file has at least one row; this one never changes.
        format!("99,Zed,Zed,,,staff,,,\n{rows}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// `import` checks the invariants, and that the same file planned again gives an empty plan.
    #[test]
    fn a_repeated_import_changes_nothing(files in proptest::collection::vec(rows(), 1..5)) {
        let mut model = Model::default();
        for file in files {
            model.import(&file);
        }
    }

    #[test]
    fn an_interrupted_import_ends_as_an_uninterrupted_one(first in rows(), second in rows(), writes in 0usize..30) {
        let mut model = Model::default();
        model.import(&first);
        let interrupted = model.plan(&second);
        let mut whole = model.clone();
        whole.import(&second);
        model.apply(&interrupted, writes);
        model.import(&second);
        let logins_and_mails = |model: &Model| -> Vec<(Option<String>, Option<String>)> {
            let text = |entry: &Entry, name: &str| entry.first(name).map(str::to_owned);
            model.entries.values().map(|entry| (text(entry, attr::UID), text(entry, attr::MAIL))).collect()
        };
        prop_assert_eq!(logins_and_mails(&model), logins_and_mails(&whole));
    }
}

/// A spreadsheet removes leading zeros: the row is refused, whether the directory has the full number or another row
/// has it.
#[test]
fn a_number_that_lost_its_zeros_makes_no_second_account() {
    let row = |number: &str, given: &str, birth: &str| format!("{number},{given},Zero,{birth},,student,,,\n");
    let mut model = Model::default();
    model.import(&row("00001", "Zed", "2001-01-01"));
    for (number, given, birth, is_refused) in [
        ("1", "Zed", "2001-01-01", true),
        ("0001", "ZED", "2001-01-01", true),
        ("1", "Zoé", "2001-01-01", false),
        ("1", "Zed", "2001-01-02", false),
        ("1", "Zed", "", false),
        // Another number altogether: probably the same person all the same.
        ("10", "Zed", "2001-01-01", true),
    ] {
        let plan = model.plan(&row(number, given, birth));
        assert_eq!(plan.rejected.len(), usize::from(is_refused), "{number} {given} {birth}: {:?}", plan.rejected);
        if let Some(problem) = plan.rejected.first() {
            let names_the_person = problem.words.contains("zed.zero@example.edu");
            assert!(problem.column == "person_id" && names_the_person, "{problem:?}");
        }
    }
    let both = row("0077", "Ann", "2002-02-02") + &row("77", "Ann", "2002-02-02");
    let plan = Model::default().plan(&both);
    assert_eq!((plan.summary.create, plan.rejected[0].line), (1, 3));
    assert!(plan.rejected[0].words.contains("line 2"), "{:?}", plan.rejected);
}

#[test]
fn wrong_rows_of_two_files_are_counted_separately() {
    let other = read_source("staff", format!("{HEADER}1,,Li,,,staff,,,\n").as_bytes(), &CsvOptions::default()).unwrap();
    let sources = [source("1,,Roy,,,student,,,\n2,Bo,Li,,,student,,,\n"), other];
    let (policies, actual) = (Policies::built_in("example.edu"), DirectoryContent::empty(suffix()));
    let plan = plan(&wanted(&sources, &policies, jiff::Timestamp::UNIX_EPOCH), &actual).unwrap();
    assert_eq!((plan.summary.rows, plan.summary.rejected, plan.summary.create), (3, 2, 1));
    assert_eq!(plan.rejected().iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 2]);
}
