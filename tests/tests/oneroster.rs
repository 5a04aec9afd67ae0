//! OneRoster archives on a running node. The files have the columns of the 1EdTech CSV binding in its order, and every
//! file of the set; the rows are this project's own.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Write as _};

use provost_tests::command::provost;
use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::{Node, Options, Ran};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Every file that a manifest names, in the order of the binding.
const SET_1_1: [&str; 13] = [
    "academicSessions",
    "categories",
    "classes",
    "classResources",
    "courses",
    "courseResources",
    "demographics",
    "enrollments",
    "lineItems",
    "orgs",
    "resources",
    "results",
    "users",
];
/// The files that 1.2 adds.
const MORE_IN_1_2: [&str; 3] = ["roles", "userProfiles", "userResources"];

const SESSIONS: &str = "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear\r\n\
    as-2026,,,2037-2038,schoolYear,2037-08-01,2038-01-10,,2038\r\nas-fall,,,Fall 2037,semester,2037-09-01,2037-12-31,as-2026,2038\r\n";
const ORGS: &str = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\r\n\
    org-u,,,University of Example,district,U,\r\norg-arts,,,Faculty of Arts,school,A,org-u\r\norg-lib,,,Library,department,L,org-u\r\n";
const COURSES: &str = "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes\r\n\
    co-phy,,,as-2026,Mechanics,PHY101,,org-arts,,\r\n";
const CLASSES: &str = "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods\r\n\
    cl-phy-1,,,Mechanics A,,co-phy,01,scheduled,Room 12,org-arts,as-fall,,,\"1,3\"\r\n";
const DEMOGRAPHICS: &str = "sourcedId,status,dateLastModified,birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,publicSchoolResidenceStatus\r\n\
    u-1,,,2004-02-29,female,,,,,,,,CA,QC,Laval,\r\nu-2,,,2003-05-06,,,,,,,,,,,,\r\n";
const ENROLLMENTS: &str = "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate\r\n\
    en-1,,,cl-phy-1,org-arts,u-1,student,,2026-09-01,2026-12-20\r\nen-3,,,cl-phy-1,org-arts,u-3,teacher,true,,\r\n";
const USERS_1_1: &str = "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password\r\n";
const USERS_1_2: &str = "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,resourceSourcedIds,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns\r\n";
const ROLES: &str = "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId\r\n";

type Files = BTreeMap<&'static str, String>;
/// The lines of each entry, by DN.
type Entries = BTreeMap<String, BTreeSet<String>>;

/// An archive with a manifest that names every file of the set; those that are not given are absent.
fn archive(version: &str, kind: &str, files: &Files) -> Vec<u8> {
    let more = if version == "1.2" { &MORE_IN_1_2[..] } else { &[] };
    let state = |name: &&str| if files.contains_key(*name) { kind } else { "absent" };
    let lines: String = SET_1_1.iter().chain(more).map(|name| format!("file.{name},{}\r\n", state(name))).collect();
    let manifest = format!(
        "propertyName,value\r\nmanifest.version,1.0\r\noneroster.version,{version}\r\n{lines}\
         source.systemName,Example SIS\r\nsource.systemCode,example-sis\r\n"
    );
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let all = files.iter().map(|(name, text)| (*name, text.as_str())).chain([("manifest", manifest.as_str())]);
    for (name, text) in all {
        zip.start_file(format!("{name}.csv"), SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What both versions have.
fn shared_files() -> Files {
    [
        ("academicSessions", SESSIONS),
        ("orgs", ORGS),
        ("courses", COURSES),
        ("classes", CLASSES),
        ("demographics", DEMOGRAPHICS),
        ("enrollments", ENROLLMENTS),
    ]
    .map(|(name, text)| (name, text.to_owned()))
    .into()
}

fn bulk_1_1() -> Files {
    let users = format!(
        "{USERS_1_1}u-1,,,true,org-arts,student,zt,\"{{LDAP:zt}},{{LTI:1}}\",Zoé,Tremblay,,A1,zt@school.example,,,,,\r\n\
         u-2,,,true,org-arts,student,bl,,Bo,Li,,A2,,,,,,\r\nu-3,,,true,\"org-lib,org-arts\",teacher,ar,,Ann,Roy,M,A3,,,,,,\r\n\
         u-4,,,true,org-arts,parent,pp,,Pia,Parent,,,,,,u-1,,\r\n"
    );
    let mut files = shared_files();
    files.insert("users", users);
    files
}

fn bulk_1_2() -> Files {
    let user = |id: &str, given: &str, family: &str| format!("{id},,,true,,,{given},{family}{}\r\n", ",".repeat(15));
    let users =
        [USERS_1_2.to_owned(), user("u-1", "Zoé", "Tremblay"), user("u-2", "Bo", "Li"), user("u-3", "Ann", "Roy")];
    let roles = "ro-1,,,u-1,primary,student,2026-09-01,2038-04-30,org-arts,\r\nro-2,,,u-2,primary,student,,,org-arts,\r\n\
                 ro-3,,,u-3,primary,teacher,,,org-lib,\r\nro-4,,,u-3,secondary,administrator,,,org-u,\r\n";
    let mut files = shared_files();
    files.extend([("users", users.concat()), ("roles", [ROLES, roles].concat())]);
    files
}

struct Sis {
    node: Node,
    ldap: Ldap,
}

impl Sis {
    fn start() -> Self {
        let node = Node::start_with(Options { people: Some(2), ..Options::default() }).unwrap();
        let ldap = Ldap::of(&node);
        let profile = node.folder().join("sis.source");
        fs::write(&profile, "format oneroster\n").unwrap();
        let set = provost(&node, &["source", "set", "sis", profile.to_str().unwrap()]).unwrap();
        assert_eq!(set.code, Some(0), "{set:?}");
        Self { node, ldap }
    }

    fn import(&self, octets: &[u8]) -> Ran {
        let file = self.node.folder().join("oneroster.zip");
        fs::write(&file, octets).unwrap();
        provost(&self.node, &["import", file.to_str().unwrap(), "--source", "sis"]).unwrap()
    }

    /// The whole directory without operational attributes, except for the records of batches.
    fn directory(&self) -> Entries {
        let found = self.ldap.run("ldapsearch", &["-LLL", "-o", "ldif-wrap=no", "-b", SUFFIX]).unwrap().good().unwrap();
        let entry = |text: &str| {
            let mut lines = text.lines().map(str::to_owned);
            lines.next().map(|dn| (dn, lines.collect()))
        };
        let is_kept = |(dn, _): &(String, _)| !dn.contains("ou=batches");
        found.split("\n\n").filter_map(entry).filter(is_kept).collect()
    }

    fn dn(&self, number: &str) -> String {
        format!("dn: {}", self.ldap.dn(&format!("(provostSourceId=sis:{number})")).unwrap())
    }
}

/// The DNs of entries that differ, are new, or are gone.
fn differing(before: &Entries, after: &Entries) -> Vec<String> {
    let dns: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    dns.into_iter().filter(|dn| before.get(*dn) != after.get(*dn)).cloned().collect()
}

fn attribute_names(lines: &BTreeSet<String>) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line.split(':').next()).collect()
}

fn has(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.out.contains(text), "no '{text}' in\n{}\n{}", ran.out, ran.err);
    }
}

#[test]
fn bulk_archives_of_both_versions_are_read() {
    for (version, files) in [("1.1", bulk_1_1()), ("1.2", bulk_1_2())] {
        let sis = Sis::start();
        let ran = sis.import(&archive(version, "bulk", &files));
        assert_eq!(ran.code, Some(0), "{version}: {ran:?}");
        has(&ran, &["create zoe.tremblay@example.edu", "create bo.li@example.edu", "create ann.roy@example.edu"]);
        assert!(!ran.out.contains("create pia"), "a parent has no account: {ran:?}");
        let shown = provost(&sis.node, &["person", "show", "sis:u-3"]).unwrap();
        has(&shown, &["faculty"]);
        let people = sis.directory();
        let zoe = people.get(&sis.dn("u-1")).unwrap();
        assert!(
            zoe.contains("schacDateOfBirth: 20040229") && zoe.contains("provostProgram: Faculty of Arts"),
            "{zoe:?}"
        );
        // The same set without the files that are optional: nothing has ended.
        let mut fewer = files.clone();
        for name in ["enrollments", "classes", "courses", "academicSessions", "demographics", "roles"] {
            fewer.remove(name);
        }
        let ran = sis.import(&archive(version, "bulk", &fewer));
        has(&ran, &["0 to create, 0 to update", "0 writes"]);
        assert_eq!(differing(&people, &sis.directory()), [""; 0], "{version}");
    }
}

#[test]
fn a_delta_changes_only_what_it_names() {
    let sis = Sis::start();
    assert_eq!(sis.import(&archive("1.2", "bulk", &bulk_1_2())).code, Some(0));
    let before = sis.directory();
    let zoe = sis.dn("u-1");
    // A new family name of one person, with a role of hers; nobody else is named.
    let when = "2026-11-20T10:00:00.000Z";
    let user = |id: &str, status: &str, given: &str, family: &str| {
        format!("{id},{status},{when},true,,,{given},{family}{}\r\n", ",".repeat(15))
    };
    let users = [USERS_1_2, &user("u-1", "active", "Zoé", "Gagné")].concat();
    let ran = sis.import(&archive("1.2", "delta", &[("users", users)].into()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    has(&ran, &["0 to create, 1 to update (1 with a new primary address)"]);
    let after = sis.directory();
    let changed = differing(&before, &after);
    let others: Vec<&String> = changed.iter().filter(|dn| **dn != zoe && !dn.contains("zoe.")).collect();
    assert!(changed.contains(&zoe) && others.is_empty(), "{changed:?}");
    let (was, is) = (before.get(&zoe).unwrap(), after.get(&zoe).unwrap());
    let touched: BTreeSet<String> = was.symmetric_difference(is).cloned().collect();
    let allowed = ["cn", "sn", "displayName", "mail", "mailLocalAddress", "provostLastBatch", "provostOrigin"];
    let more: Vec<&str> = attribute_names(&touched).into_iter().filter(|name| !allowed.contains(name)).collect();
    assert!(more.is_empty(), "{more:?} in {touched:?}");

    // The end of one role ends that affiliation of that person on the day, and nothing else.
    let before = sis.directory();
    let roles = format!("{ROLES}ro-2,tobedeleted,{when},u-2,primary,student,,,org-arts,\r\n");
    let ran = sis.import(&archive("1.2", "delta", &[("roles", roles)].into()));
    let after = sis.directory();
    let changed = differing(&before, &after);
    assert_eq!(changed, [sis.dn("u-2")], "{ran:?}");
    let ended = provost(&sis.node, &["person", "show", "sis:u-3"]).unwrap();
    has(&ended, &["active", "faculty"]);

    // The same role, active again, brings the affiliation back.
    let roles = format!("{ROLES}ro-2,active,2026-11-20T11:00:00.000Z,u-2,primary,student,,,org-arts,\r\n");
    sis.import(&archive("1.2", "delta", &[("roles", roles)].into()));
    has(&provost(&sis.node, &["person", "show", "sis:u-2"]).unwrap(), &["active", "student"]);

    // A delta without any row that is read changes nothing.
    let before = sis.directory();
    let again = [USERS_1_2, &user("u-1", "active", "Zoé", "Gagné")].concat().replace(when, "2026-11-21T10:00:00.000Z");
    has(&sis.import(&archive("1.2", "delta", &[("users", again)].into())), &["0 writes"]);
    assert_eq!(differing(&before, &sis.directory()), [""; 0]);
}

/// The lines of the entry of a group; `None` when there is none.
fn group<'a>(entries: &'a Entries, name: &str) -> Option<&'a BTreeSet<String>> {
    entries.get(&format!("dn: cn={name},ou=groups,{SUFFIX}"))
}

#[test]
fn a_class_is_a_mailing_list_until_its_term_is_over() {
    const CLASS: &str = "phy101-01-fall-2037";
    let sis = Sis::start();
    let ran = sis.import(&archive("1.2", "bulk", &bulk_1_2()));
    has(
        &ran,
        &["1 group of a class to make, change or drop", "class phy101-01-fall-2037 is new (PHY101 01): 2 members"],
    );
    let ran = provost(&sis.node, &["group", "show", CLASS]).unwrap();
    has(&ran, &["phy101-01-fall-2037@example.edu", "zoe.tremblay", "ann.roy", "Mechanics A", "PHY101 01, Fall 2037"]);
    let before = sis.directory();
    let dn = |number: &str| sis.dn(number).replace("dn: ", "");
    let held = group(&before, CLASS).unwrap();
    assert!(held.contains(&format!("owner: {}", dn("u-3"))), "{held:?}");
    // Members of a class are not changed by hand; who may post is.
    let refused = provost(&sis.node, &["group", "add", CLASS, "bo.li"]).unwrap();
    assert!(refused.code != Some(0) && refused.err.contains("come from the enrolments"), "{refused:?}");
    assert_eq!(provost(&sis.node, &["group", "set", CLASS, "--post", "owners"]).unwrap().code, Some(0));

    // A delta adds one person and takes out another; what was set by hand stays.
    let when = "2026-11-20T10:00:00.000Z";
    let header = ENROLLMENTS.split_inclusive("\r\n").next().unwrap();
    let enrolment = |id: &str, status: &str, user: &str, role: &str| {
        format!("{id},{status},{when},cl-phy-1,org-arts,{user},{role},,,\r\n")
    };
    let rows = [enrolment("en-1", "tobedeleted", "u-1", "student"), enrolment("en-9", "active", "u-2", "student")];
    let ran = sis.import(&archive("1.2", "delta", &[("enrollments", format!("{header}{}", rows.concat()))].into()));
    has(&ran, &["+1 -1 members"]);
    let after = sis.directory();
    let changed = differing(&before, &after);
    assert_eq!(changed, [format!("dn: cn={CLASS},ou=groups,{SUFFIX}")], "{ran:?}");
    let held = group(&after, CLASS).unwrap();
    assert!(held.contains(&format!("member: {}", dn("u-2"))) && held.contains("provostPoster: owners"), "{held:?}");
    assert!(!held.contains(&format!("member: {}", dn("u-1"))), "{held:?}");
    let batch = ran.out.lines().find_map(|line| Some(line.strip_prefix("batch ")?.split_once(':')?.0)).unwrap();
    let undone = provost(&sis.node, &["undo", batch]).unwrap();
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(group(&sis.directory(), CLASS).unwrap().contains(&format!("member: {}", dn("u-1"))));

    // The source ends the class: the next run of the lifecycle drops the group, and nobody else gets its address.
    let ended = CLASSES.replace("cl-phy-1,,", &format!("cl-phy-1,tobedeleted,{when}"));
    let rows = format!("{header}{}", enrolment("en-3", "active", "u-3", "teacher"));
    let ran = sis.import(&archive("1.2", "delta", &[("classes", ended), ("enrollments", rows)].into()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = provost(&sis.node, &["lifecycle", "run"]).unwrap();
    has(&ran, &["class phy101-01-fall-2037 ends"]);
    let last = sis.directory();
    assert!(group(&last, CLASS).is_none());
    let address = last.get(&format!("dn: provostAddress={CLASS}@example.edu,ou=addresses,{SUFFIX}")).unwrap();
    assert!(address.contains("provostAddressKind: quarantined"), "{address:?}");
}
