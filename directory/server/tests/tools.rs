//! The server under OpenLDAP's own tools: operations, refusals and access rules.

mod common;

use common::{AUDITOR, MAILCORE, PASSWORD, PROVOST, ROOT, SUFFIX, person_dn, person_ldif, run, start, url};

/// One run of a tool: identity, program, arguments, input, exit code, texts that the output contains.
type ToolRun<'a> = (&'a str, &'static str, &'a [&'a str], &'a str, i32, &'a [&'a str]);

async fn run_steps(url: &str, steps: &[ToolRun<'_>]) {
    for (i, (who, program, arguments, input, code, expected)) in steps.iter().enumerate() {
        let (found, text) = run(program, url, who, arguments, input).await;
        assert_eq!(found, *code, "step {i}: {program} {arguments:?} as '{who}'\n{text}");
        for words in *expected {
            assert!(text.contains(words), "step {i}: {program} {arguments:?}: no '{words}' in\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_with_ldap_utils() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let (zoe, ana) = (person_dn("1"), person_dn("3"));
    let add = person_ldif("3", "ana");
    let modify = format!(
        "dn: {ana}\nchangetype: modify\nadd: mailAutoReplyText;lang-fr\nmailAutoReplyText;lang-fr: Absente\n-\n\
         replace: preferredLanguage\npreferredLanguage: fr\n-\nadd: provostVacationInterval\nprovostVacationInterval: 3\n"
    );
    let increment =
        format!("dn: {ana}\nchangetype: modify\nincrement: provostVacationInterval\nprovostVacationInterval: 4\n");
    let conversation: &[ToolRun] = &[
        (PROVOST, "ldapwhoami", &[], "", 0, &["dn:cn=provost,ou=services"]),
        ("", "ldapwhoami", &[], "", 0, &["anonymous"]),
        (PROVOST, "ldapadd", &[], &add, 0, &["adding new entry"]),
        (
            PROVOST,
            "ldapmodify",
            &["-e", "postread=entryCSN,cn", "-e", "preread=cn"],
            &modify,
            0,
            &["entryCSN: 20", "==> preread"],
        ),
        (PROVOST, "ldapmodify", &[], &increment, 0, &[]),
        (
            PROVOST,
            "ldapsearch",
            &["-LLL", "-b", SUFFIX, "(mail=ANA@example.edu)", "*", "+"],
            "",
            0,
            &[
                "mailAutoReplyText;lang-fr: Absente",
                "provostVacationInterval: 7",
                "entryUUID: ",
                "entryCSN: 20",
                "creatorsName: cn=provost,",
                "structuralObjectClass: inetOrgPerson",
                "hasSubordinates: FALSE",
                "subschemaSubentry: cn=subschema",
                "modifyTimestamp: 20",
            ],
        ),
        (
            PROVOST,
            "ldapsearch",
            &["-LLL", "-b", &ana, "-s", "base", "mailAutoReplyText"],
            "",
            0,
            &["mailAutoReplyText;lang-fr: Absente"],
        ),
        (PROVOST, "ldapsearch", &["-LLL", "-A", "-b", &ana, "-s", "base", "cn"], "", 0, &["cn:"]),
        (PROVOST, "ldapsearch", &["-LLL", "-b", SUFFIX, "-s", "base", "contextCSN"], "", 0, &["contextCSN: 20"]),
        (
            PROVOST,
            "ldapsearch",
            &["-LLL", "-b", SUFFIX, "-E", "pr=2/noprompt", "(objectClass=provostAccount)", "1.1"],
            "",
            0,
            &["=1,", "=2,", "=3,"],
        ),
        (PROVOST, "ldapsearch", &["-b", SUFFIX, "-z", "1", "(objectClass=*)"], "", 4, &["Size limit exceeded"]),
        (PROVOST, "ldapcompare", &[&ana, "preferredLanguage:FR"], "", 6, &["TRUE"]),
        (PROVOST, "ldapcompare", &[&ana, "preferredLanguage:en"], "", 5, &["FALSE"]),
        (PROVOST, "ldapcompare", &[&ana, "title:x"], "", 16, &[]),
        (PROVOST, "ldapcompare", &[&ana, "nosuch:x"], "", 17, &[]),
        (PROVOST, "ldapmodrdn", &["-r", &ana, "provostPersonId=33"], "", 0, &[]),
        (
            PROVOST,
            "ldapsearch",
            &["-LLL", "-b", &person_dn("33"), "-s", "base", "provostPersonId"],
            "",
            0,
            &["provostPersonId: 33"],
        ),
        (
            PROVOST,
            "ldapmodrdn",
            &["-s", "ou=tombstones,dc=example,dc=edu", &person_dn("33"), "provostPersonId=33"],
            "",
            0,
            &[],
        ),
        (PROVOST, "ldapdelete", &["provostPersonId=33,ou=tombstones,dc=example,dc=edu"], "", 0, &[]),
        (
            PROVOST,
            "ldapsearch",
            &["-b", &person_dn("33"), "-s", "base"],
            "",
            32,
            &["matchedDN: ou=people,dc=example,dc=edu"],
        ),
        (PROVOST, "ldappasswd", &["-s", "another pass", &zoe], "", 0, &[]),
        (&zoe, "ldapwhoami", &[], "", 49, &[]),
        (PROVOST, "ldappasswd", &["-s", PASSWORD, &zoe], "", 0, &[]),
        (&zoe, "ldappasswd", &["-a", "wrong", "-s", "x1y2z3"], "", 1, &["(53)"]),
        (&zoe, "ldappasswd", &["-a", PASSWORD, "-s", PASSWORD], "", 1, &["(19)", "the present password"]),
        (&zoe, "ldappasswd", &["-a", PASSWORD, "-s", "too short"], "", 1, &["(19)", "shorter than 10 characters"]),
        (&zoe, "ldappasswd", &["-a", PASSWORD, "-s", "zoe.tremblay1"], "", 1, &["(19)", "own names"]),
        (PROVOST, "ldappasswd", &[&person_dn("2")], "", 0, &["New password: "]),
        (
            "",
            "ldapsearch",
            &["-LLL", "-b", "", "-s", "base", "+"],
            "",
            0,
            &[
                "namingContexts: dc=example,dc=edu",
                "supportedControl: 1.3.6.1.4.1.4203.1.9.1.1",
                "supportedLDAPVersion: 3",
                "supportedExtension: 1.3.6.1.4.1.4203.1.11.1",
                "vendorName: Provost",
            ],
        ),
        (
            "",
            "ldapsearch",
            &["-LLL", "-o", "ldif-wrap=no", "-b", "cn=subschema", "-s", "base", "+"],
            "",
            0,
            &["NAME 'provostAddress'", "NAME 'inetOrgPerson'", "NAME 'caseIgnoreIA5Match'", "DESC 'Directory String'"],
        ),
    ];
    run_steps(&url, conversation).await;
    server.stop().await;
}

// RFC 4511 appendix A: the tools exit with the result code.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_result_codes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let (zoe, luc) = (person_dn("1"), person_dn("2"));
    let modify = |dn: &str, change: &str| format!("dn: {dn}\nchangetype: modify\n{change}\n");
    let extra = |line: &str| format!("{}{line}\n", person_ldif("9", "nia"));
    let without = |line: &str| person_ldif("9", "nia").replace(line, "");
    let add = |input: String, code: i32| (PROVOST, "ldapadd", vec![], input, code);
    let change = |change: &str, code: i32| (PROVOST, "ldapmodify", vec![], modify(&zoe, change), code);
    let rename = |arguments: &[&str], code: i32| {
        (PROVOST, "ldapmodrdn", arguments.iter().map(|a| (*a).to_owned()).collect(), String::new(), code)
    };
    let asserted = |filter: &str, code: i32| {
        let input = modify(&zoe, "replace: title\ntitle: Dr");
        (PROVOST, "ldapmodify", vec!["-e".to_owned(), format!("!assert={filter}")], input, code)
    };
    let cases: Vec<(&str, &'static str, Vec<String>, String, i32)> = vec![
        add(person_ldif("1", "zoe"), 68),
        add(person_ldif("9", "nia").replace("ou=people", "ou=nowhere"), 32),
        add("dn: dc=other\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: other\n".into(), 32),
        add(extra("nosuch: 1"), 17),
        add(extra("title;x-odd: 1"), 17),
        add(extra("title: a\ntitle: A"), 20),
        add(extra("provostState: a\nprovostState: b"), 19),
        add(extra("userPassword: clear"), 19),
        add(extra("userPassword: {clear"), 19),
        add(extra("userPassword: {CLEARTEXT}clear"), 19),
        add(extra("vacationEndDate: tomorrow"), 21),
        add(extra("objectClass: nosuch"), 21),
        add(extra("provostAddress: a@b"), 65),
        add(extra("objectClass: provostAddressEntry\nprovostAddress: a@b\nprovostAddressKind: x"), 65),
        add(without("sn: Tremblay\n"), 65),
        add(without("objectClass: inetOrgPerson\n"), 65),
        add(without("provostPersonId: 9\n").replace("employeeNumber: 9", "provostPersonId: 8"), 64),
        add("dn: entryUUID=1,ou=groups,dc=example,dc=edu\nobjectClass: person\ncn: x\nsn: x\n".into(), 64),
        add("dn: nosuch=1,ou=groups,dc=example,dc=edu\nobjectClass: person\ncn: x\nsn: x\n".into(), 17),
        add("dn: cn=x\\,,dc=example,dc=edu\nobjectClass: person\ncn: x,\nsn: x\n".into(), 0),
        add("dn: cn=x\\2c,dc=example,dc=edu\nobjectClass: person\ncn: x,\nsn: x\n".into(), 68),
        add(extra("entryUUID: 1b4e28ba-2fa1-11d2-883f-0016d3cca427"), 19),
        change("delete: title", 16),
        change("delete: mail\nmail: other@example.edu", 16),
        change("add: mail\nmail: ZOE@example.edu", 20),
        change("delete: sn", 65),
        change("delete: provostPersonId", 67),
        change("replace: objectClass\nobjectClass: applicationProcess\nobjectClass: provostAccount", 69),
        change("replace: title;binary\ntitle;binary: x", 17),
        change("delete: mail\nmail: zoe@example.edu\nmail: ZOE@example.edu", 16),
        change("delete: mail\nmail: zoe@example.edu\nmail: other@example.edu", 16),
        change("replace: createTimestamp\ncreateTimestamp: 20200101000000Z", 19),
        change("increment: sn\nsn: 1", 19),
        change("add: employeeNumber\nemployeeNumber: 77", 19),
        (PROVOST, "ldapmodify", vec![], modify(&person_dn("99"), "replace: sn\nsn: x"), 32),
        (PROVOST, "ldapdelete", vec!["ou=people,dc=example,dc=edu".into()], String::new(), 66),
        (PROVOST, "ldapdelete", vec![person_dn("99")], String::new(), 32),
        (PROVOST, "ldapdelete", vec!["nonsense".into()], String::new(), 34),
        rename(&[&zoe, "provostPersonId=2"], 68),
        rename(&["-s", &zoe, "ou=people,dc=example,dc=edu", "ou=people"], 53),
        rename(&[SUFFIX, "dc=other"], 53),
        rename(&["-s", "ou=nowhere,dc=example,dc=edu", &zoe, "provostPersonId=1"], 32),
        rename(&[&zoe, "nosuch=1"], 17),
        asserted("(sn=Roy)", 122),
        asserted("(sn=Tremblay)", 0),
        // RFC 4528: the assertion is evaluated before other checks.
        (
            PROVOST,
            "ldapmodify",
            vec!["-e".to_owned(), "!assert=(sn=Roy)".to_owned()],
            modify(&zoe, "add: mail\nmail: zoe@example.edu"),
            122,
        ),
        (PROVOST, "ldapcompare", vec![zoe.clone(), "vacationEndDate:tomorrow".into()], String::new(), 16),
        change("replace: vacationEndDate\nvacationEndDate: 20261231235959Z", 0),
        (PROVOST, "ldapcompare", vec![zoe.clone(), "vacationEndDate:tomorrow".into()], String::new(), 21),
        (PROVOST, "ldapsearch", vec!["-b".into(), SUFFIX.into(), "-e".into(), "!1.2.3.4".into()], String::new(), 12),
        (PROVOST, "ldapsearch", vec!["-b".into(), SUFFIX.into(), "(cn:caseExactMatch:=x)".into()], String::new(), 0),
        ("cn=nobody,dc=example,dc=edu", "ldapwhoami", vec![], String::new(), 49),
        (&luc, "ldapwhoami", vec![], String::new(), 49),
    ];
    for (i, (who, program, arguments, input, code)) in cases.iter().enumerate() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (found, text) = run(program, &url, who, &arguments, input).await;
        assert_eq!(found, *code, "case {i}: {program} {arguments:?}\n{input}\n{text}");
    }
    // RFC 4513 §5.1.2: a name without a password is refused with unwillingToPerform (53).
    let unauthenticated = tokio::task::spawn_blocking({
        let url = url.clone();
        move || common::tool("ldapwhoami", &url, &["-x", "-D", PROVOST, "-w", ""], "")
    });
    assert_eq!(unauthenticated.await.unwrap().status.code(), Some(53));
    let (code, text) = run("ldapwhoami", &url, PROVOST, &["-ZZ"], "").await;
    assert_ne!(code, 0, "StartTLS works on a server without TLS: {text}");
    server.stop().await;
}

// The rows of the table in `access`.
#[tokio::test(flavor = "multi_thread")]
async fn access_rules_hold_for_each_identity() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let (zoe, luc) = (person_dn("1"), person_dn("2"));
    let set = |dn: &str, attribute: &str, value: &str| {
        format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")
    };
    let own = set(&zoe, "mailAutoReplyText;lang-fr", "Absente");
    let own_name = set(&zoe, "sn", "Roy");
    let other = set(&luc, "mailAutoReplyMode", "reply");
    let unknown_option = set(&zoe, "mailAutoReplyText;lang-xx", "x");
    let two_options = set(&zoe, "mailAutoReplyText;lang-en;lang-fr", "x");
    let large = set(&zoe, "mailAutoReplyText;lang-en", &"x".repeat(33 * 1024));
    let everyone: &[&str] = &["-LLL", "-b", SUFFIX, "(objectClass=person)", "*"];
    let passwords: &[&str] = &["-LLL", "-b", SUFFIX, "(userPassword=*)", "userPassword"];
    let conversation: &[ToolRun] = &[
        ("", "ldapsearch", everyone, "", 50, &[]),
        ("", "ldapcompare", &[&zoe, "sn:Tremblay"], "", 50, &[]),
        ("", "ldapmodify", &[], &own, 50, &[]),
        ("", "ldappasswd", &["-s", "x", &zoe], "", 1, &["(50)"]),
        (&zoe, "ldapsearch", everyone, "", 0, &["uid: zoe"]),
        (&zoe, "ldapsearch", &["-b", &luc], "", 32, &[]),
        (&zoe, "ldapsearch", &["-b", "ou=services,dc=example,dc=edu"], "", 32, &[]),
        (&zoe, "ldapcompare", &[&luc, "sn:Tremblay"], "", 32, &[]),
        (&zoe, "ldapmodify", &[], &own, 0, &[]),
        (&zoe, "ldapmodify", &[], &own_name, 50, &[]),
        (&zoe, "ldapmodify", &[], &unknown_option, 50, &[]),
        (&zoe, "ldapmodify", &[], &two_options, 50, &[]),
        (&zoe, "ldapmodify", &[], &large, 11, &[]),
        (&zoe, "ldapsearch", &["-b", SUFFIX, "-e", "!assert=(o=Example)"], "", 122, &[]),
        (&zoe, "ldapsearch", &["-b", &zoe, "-e", "!assert=(uid=zoe)"], "", 0, &[]),
        (&zoe, "ldapmodify", &[], &other, 50, &[]),
        (&zoe, "ldapdelete", &[&zoe], "", 50, &[]),
        (&zoe, "ldappasswd", &["-s", "x", &luc], "", 1, &["(50)"]),
        (&zoe, "ldapsearch", &["-b", SUFFIX, "-E", "!sync=ro"], "", 50, &[]),
        (AUDITOR, "ldapsearch", everyone, "", 0, &["uid: zoe", "uid: luc"]),
        (AUDITOR, "ldapmodify", &[], &own, 50, &[]),
        (MAILCORE, "ldapsearch", passwords, "", 0, &["userPassword:: "]),
        (MAILCORE, "ldapmodify", &[], &own, 50, &[]),
        (ROOT, "ldapmodify", &[], &other, 0, &[]),
        (ROOT, "ldapsearch", passwords, "", 0, &["userPassword:: "]),
    ];
    run_steps(&url, conversation).await;
    for who in [zoe.as_str(), AUDITOR] {
        let (_, text) = run("ldapsearch", &url, who, everyone, "").await;
        assert!(!text.contains("userPassword"), "{who} reads a password\n{text}");
        let (_, text) = run("ldapsearch", &url, who, passwords, "").await;
        assert!(!text.contains("dn:"), "{who} finds entries by userPassword\n{text}");
    }
    // Hidden and missing entries get the same response.
    for hidden in [&luc, &person_dn("99")] {
        let (_, text) = run("ldapcompare", &url, &zoe, &[hidden, "sn:Tremblay"], "").await;
        assert!(!text.contains("atched"), "{hidden}: {text}");
    }
    let (_, text) = run("ldapsearch", &url, &zoe, everyone, "").await;
    assert!(!text.contains("luc"), "a person reads another's entry\n{text}");
    server.stop().await;
}
