use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::{Affiliation, Column, Coverage, EnrolmentRole, Source, read_file};

/// An archive of files with their texts.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn profile() -> SourceProfile {
    SourceProfile::parse("sis", &["format oneroster".to_owned()]).unwrap()
}

fn try_read(files: &[(&str, &str)]) -> Result<Source, FileError> {
    read_file(&profile(), &archive(files), &ReadOptions::default())
}

fn manifest(version: &str, files: &[(&str, &str)]) -> String {
    let files: String = files.iter().map(|(name, kind)| format!("file.{name},{kind}\r\n")).collect();
    format!(
        "propertyName,value\r\nmanifest.version,1.0\r\noneroster.version,{version}\r\n{files}source.systemName,SIS\r\n"
    )
}

const USERS_1_1: &str = "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password\r\n";
const USERS_1_2: &str = "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,resourceSourcedIds,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns\r\n";
const ROLES: &str = "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId\r\n";
const ORGS: &str = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\r\no1,,,Faculty of Arts,department,A,\r\no2,,,Library,department,L,\r\n";

#[test]
fn a_bulk_archive_of_1_1_gives_people_and_enrolments() {
    let users = format!(
        "{USERS_1_1}u1,,,true,o1,student,zt,,Zoé,Tremblay,,A1,zt@school.example,,,,,\r\n\
         u2,,,true,\"o2,o1\",teacher,ar,,Ann,Roy,,A2,ar@school.example,,,,,\r\n\
         u3,,,true,o1,guardian,gg,,Gil,Guard,,A3,,,,,,\r\n"
    );
    let source = try_read(&[
        (
            "manifest.csv",
            &manifest("1.1", &[
                ("users", "bulk"),
                ("orgs", "bulk"),
                ("demographics", "bulk"),
                ("enrollments", "bulk"),
                ("classes", "bulk"),
                ("courses", "bulk"),
                ("academicSessions", "bulk"),
                ("roles", "absent"),
            ]),
        ),
        ("users.csv", &users),
        ("orgs.csv", ORGS),
        ("demographics.csv", "sourcedId,status,dateLastModified,birthDate,sex\r\nu1,,,2004-02-29,\r\n"),
        ("enrollments.csv", "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate\r\ne1,,,c1,o1,u1,student,,2026-09-01,2026-12-20\r\ne2,,,c1,o1,u2,teacher,true,,\r\ne3,,,c9,o1,u1,student,,,\r\n"),
        ("classes.csv", "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods\r\nc1,,,Mechanics A,,k1,01,scheduled,,o1,t1,,,\r\n"),
        ("courses.csv", "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes\r\nk1,,,t1,Mechanics,PHY101,,o1,,\r\n"),
        ("academicSessions.csv", "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear\r\nt1,,,Fall 2026,term,2026-09-01,2026-12-31,,2027\r\n"),
    ])
    .unwrap();
    let [zoe, ann] = source.records.as_slice() else { panic!("{source:?}") };
    assert_eq!(
        (&*zoe.person_id, zoe.affiliation, zoe.program.as_deref()),
        ("u1", Affiliation::Student, Some("Faculty of Arts"))
    );
    assert_eq!(zoe.birth_digits().as_deref(), Some("20040229"));
    assert_eq!(
        (ann.affiliation, ann.program.as_deref(), &ann.private_email),
        (Affiliation::Faculty, Some("Library"), &None)
    );
    assert_eq!((source.coverage, source.rejected.len()), (Coverage::Complete, 0));
    let warned: Vec<_> =
        source.warnings.iter().map(|warning| (warning.column.as_str(), warning.rule.as_str())).collect();
    assert_eq!(warned, [("users.csv", "oneroster.role"), ("enrollments.csv classSourcedId", "oneroster.reference")]);
    let [student, teacher] = source.enrolments.rows.as_slice() else { panic!("{:?}", source.enrolments) };
    assert_eq!(
        (&*student.course, &*student.section, &*student.term, &*student.person_id),
        ("PHY101", "01", "Fall 2026", "u1")
    );
    assert_eq!((student.role, teacher.role, student.is_ended), (EnrolmentRole::Student, EnrolmentRole::Teacher, false));
    assert_eq!(student.term_end.map(|day| day.to_string()).as_deref(), Some("2026-12-31"));
}

#[test]
fn several_roles_of_1_2_become_affiliations() {
    let users = format!("{USERS_1_2}u1,,,true,zt,,Zoé,Tremblay,,A1,,,,,,long enough,,,Zo,,,o1,\r\n");
    let roles = format!("{ROLES}r1,,,u1,primary,student,2026-09-01,2030-04-30,o1,\r\nr2,,,u1,secondary,aide,,,o2,\r\n");
    let source = try_read(&[
        ("manifest.csv", &manifest("1.2", &[("users", "bulk"), ("roles", "bulk"), ("orgs", "bulk")])),
        ("users.csv", &users),
        ("roles.csv", &roles),
        ("orgs.csv", ORGS),
    ])
    .unwrap();
    let [zoe] = source.records.as_slice() else { panic!("{source:?}") };
    let rows: Vec<_> = zoe.affiliations().map(|row| (row.affiliation, row.end_date.map(|day| day.year()))).collect();
    assert_eq!(rows, [(Affiliation::Staff, None), (Affiliation::Student, Some(2030))]);
    assert_eq!(zoe.more.as_ref().unwrap().preferred_given_name.as_deref(), Some("Zo"));
    assert!(zoe.password.is_some());
}

#[test]
fn a_delta_ends_what_it_names_and_says_nothing_of_others() {
    let users = format!(
        "{USERS_1_2}u1,tobedeleted,2026-11-03T10:00:00.000Z,true,zt,,Zoé,Tremblay,,,,,,,,,,,,,,,\r\n\
         u2,active,2026-11-03T10:00:00.000Z,true,ar,,Ann,Gagné,,,,,,,,,,,,,,,\r\n\
         u3,,,true,bl,,Bo,Li,,,,,,,,,,,,,,,\r\n"
    );
    let source = try_read(&[
        ("manifest.csv", &manifest("1.2", &[("users", "delta"), ("roles", "delta"), ("enrollments", "delta")])),
        ("users.csv", &users),
        ("roles.csv", &format!("{ROLES}r1,active,2026-11-03,u1,primary,student,,,,\r\nr9,active,2026-11-03,u9,primary,student,,,,\r\n")),
        ("enrollments.csv", "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate\r\ne1,tobedeleted,2026-11-03,c1,o1,u1,student,,,\r\n"),
    ])
    .unwrap();
    let [zoe, ann, nine] = source.records.as_slice() else { panic!("{source:?}") };
    assert_eq!((&*nine.person_id, nine.affiliation), ("u9", Affiliation::Student));
    assert!(nine.lacking.contains(Column::GivenName), "a role alone states an affiliation of somebody known");
    assert_eq!(zoe.end_date.map(|day| day.to_string()).as_deref(), Some("2026-11-03"));
    assert!(ann.lacking.contains(Column::Affiliation) && ann.end_date.is_none() && ann.cleared.is_empty());
    assert_eq!(source.coverage, Coverage::Partial);
    assert_eq!(source.rejected.iter().map(|problem| problem.rule.as_str()).collect::<Vec<_>>(), ["oneroster.status"]);
    assert!(source.warnings.is_empty(), "{source:?}");
    assert!(source.enrolments.rows[0].is_ended);
}

#[test]
fn an_archive_that_is_in_doubt_is_refused() {
    let users = format!("{USERS_1_1}u1,,,true,o1,student,zt,,Zoé,Tremblay,,,,,,,,\r\n");
    let good = manifest("1.1", &[("users", "bulk")]);
    for (files, expect) in [
        (vec![("users.csv", users.as_str())], "no manifest.csv"),
        (vec![("manifest.csv", good.as_str())], "announces users.csv"),
        (vec![("manifest.csv", &good), ("users.csv", USERS_1_1)], "users.csv: the file is empty"),
        (vec![("manifest.csv", &good), ("users.csv", &users), ("orgs.csv", ORGS)], "says that it is absent"),
        (vec![("manifest.csv", &manifest("1.0", &[("users", "bulk")])), ("users.csv", &users)], "1.1 and 1.2 are read"),
        (
            vec![("manifest.csv", &manifest("1.1", &[("users", "all")])), ("users.csv", &users)],
            "not one of bulk, delta",
        ),
        (vec![("set/manifest.csv", &good), ("set/users.csv", &users)], "folders"),
        (vec![("manifest.csv", &good), ("users.csv", users.trim_end().trim_end_matches(','))], "truncated"),
        (
            vec![("manifest.csv", &good), ("users.csv", "sourcedId,givenName\r\nu1,Zoé\r\n")],
            "missing column familyName",
        ),
    ] {
        let error = try_read(&files).unwrap_err().to_string();
        assert!(error.contains(expect), "'{expect}' in {error}");
    }
    let whole = archive(&[("manifest.csv", &good), ("users.csv", &users)]);
    let cut = read_file(&profile(), &whole[..whole.len() - 30], &ReadOptions::default()).unwrap_err();
    assert!(cut.to_string().contains("ZIP archive"), "{cut}");
    assert!(read_file(&profile(), users.as_bytes(), &ReadOptions::default()).is_err());
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let good = manifest("1.1", &[("users", "bulk")]);
    let zeros = " ".repeat(64 * 1024 * 1024);
    let error = try_read(&[("manifest.csv", &good), ("users.csv", &zeros)]).unwrap_err();
    assert!(error.to_string().contains("ZIP bomb"), "{error}");
    let names: Vec<String> = (0..300).map(|number| format!("{number}.csv")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a")).collect();
    assert!(try_read(&many).unwrap_err().to_string().contains("more than 200 files"));
}
