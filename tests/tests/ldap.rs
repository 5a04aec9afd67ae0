//! OpenLDAP's tools against the node's own directory, and the effect of each change on the mail core.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::settings::Site;
use provost_tests::{MailSink, Node, Options, Port, SamplePerson, command, deadline, mail, run};

const PEOPLE: u32 = 30;
/// Longest time until the mail core follows a change of the directory.
const EFFECT_LIMIT: Duration = Duration::from_secs(1);
/// Longest time for each other wait.
const LIMIT: Duration = Duration::from_secs(20);

fn node(relay: Option<&MailSink>) -> Node {
    Node::start_with(Options { people: Some(PEOPLE), relay: relay.map(MailSink::relay), ..Options::default() }).unwrap()
}

fn person_dn(ldap: &Ldap, person: &SamplePerson) -> String {
    ldap.dn(&format!("(uid={})", person.uid())).unwrap()
}

fn logs_in(node: &Node, user: &str, password: &str) -> bool {
    mail::logs_in_by_imap(node.address(Port::Imap), user, password).unwrap()
}

#[test]
fn people_are_found_with_their_attributes() {
    let node = node(None);
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(7));
    for filter in
        ["(uid=test.p07)", "(mail=TEST.P07@example.edu)", "(employeeNumber=T0007)", "(&(sn=p07)(givenName=test))"]
    {
        let output = ldap.search(filter, &["*", "+"]).unwrap().good().unwrap();
        for line in [
            "objectClass: inetOrgPerson",
            "objectClass: eduPerson",
            "objectClass: inetLocalMailRecipient",
            "objectClass: mailRecipient",
            "objectClass: provostAccount",
            "uid: test.p07",
            "mail: test.p07@example.edu",
            "mailLocalAddress: test.p07@example.edu",
            "employeeNumber: T0007",
            "givenName: Test",
            "sn: P07",
            "cn: Test P07",
            "eduPersonAffiliation: student",
            "eduPersonPrimaryAffiliation: student",
            "schacDateOfBirth: 20010203",
            "provostSourceId: registrar:T0007",
            "provostPrivateMail: p7@example.net",
            "provostProgram: Arts",
            "provostState: active",
        ] {
            assert!(output.lines().any(|text| text == line), "{filter}: no '{line}' in\n{output}");
        }
        for name in [
            "entryUUID: ",
            "entryCSN: ",
            "createTimestamp: ",
            "modifyTimestamp: ",
            "userPassword:: ",
            "provostStartDate: 2026",
        ] {
            assert!(output.lines().any(|text| text.starts_with(name)), "{filter}: no {name} in\n{output}");
        }
    }
    let address = ldap.search("(provostAddress=test.p07@example.edu)", &[]).unwrap().good().unwrap();
    assert!(
        address.contains("provostAddressKind: primary") && address.contains(&person_dn(&ldap, &person)),
        "{address}"
    );

    let paged = ldap
        .run("ldapsearch", &["-LLL", "-o", "ldif-wrap=no", "-b", SUFFIX, "-E", "pr=10/noprompt", "(uid=test.*)", "uid"])
        .unwrap()
        .good()
        .unwrap();
    assert_eq!(paged.matches("uid: test.p").count(), PEOPLE as usize, "{paged}");
    assert!(paged.matches("# pagedresults").count() >= 3, "{paged}");
}

#[test]
fn each_user_reads_only_their_entry() {
    let node = node(None);
    let (ldap, zoe, ann) = (Ldap::of(&node), SamplePerson::of(1), SamplePerson::of(2));
    let (zoe_dn, ann_dn) = (person_dn(&ldap, &zoe), person_dn(&ldap, &ann));

    let anonymous = ldap.anonymous().search("(objectClass=*)", &[]).unwrap();
    assert!(anonymous.code != Some(0) && !anonymous.out.contains("dn: "), "{anonymous:?}");
    let dse = ldap.anonymous().run("ldapsearch", &["-LLL", "-b", "", "-s", "base", "namingContexts"]).unwrap();
    assert!(dse.good().unwrap().contains(&format!("namingContexts: {SUFFIX}")));

    let own = ldap.with(&zoe_dn, &zoe.password());
    assert_eq!(own.run("ldapwhoami", &[]).unwrap().good().unwrap().trim(), format!("dn:{zoe_dn}"));
    let found = own.search("(objectClass=*)", &["*"]).unwrap();
    assert_eq!(found.out.matches("dn: ").count(), 1, "{found:?}");
    assert!(found.out.contains("uid: test.p01") && !found.out.contains("userPassword"), "{found:?}");
    let others = own.run("ldapsearch", &["-LLL", "-b", &ann_dn, "-s", "base"]).unwrap();
    assert!(!others.out.contains("uid:"), "{others:?}");

    let change = |dn: &str, attribute: &str, value: &str| {
        format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")
    };
    own.feed("ldapmodify", &change(&zoe_dn, "preferredLanguage", "fr")).unwrap().good().unwrap();
    for (dn, attribute) in
        [(&ann_dn, "preferredLanguage"), (&zoe_dn, "mail"), (&zoe_dn, "mailQuota"), (&zoe_dn, "provostRole")]
    {
        let refused = own.feed("ldapmodify", &change(dn, attribute, "x@example.edu")).unwrap();
        // 50: insufficientAccessRights; 32: noSuchObject, which hides that the other entry exists.
        assert!(matches!(refused.code, Some(50 | 32)), "{dn} {attribute}: {refused:?}");
    }
    // 49: invalidCredentials.
    assert_eq!(ldap.with(&zoe_dn, "wrong").run("ldapwhoami", &[]).unwrap().code, Some(49));
    assert_eq!(ldap.with("uid=nobody,dc=example,dc=edu", "wrong").run("ldapwhoami", &[]).unwrap().code, Some(49));
}

#[test]
fn an_alias_takes_effect_within_a_second() {
    let node = node(None);
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(3));
    let (dn, mx) = (person_dn(&ldap, &person), node.address(Port::Mx));
    let alias = "dean.of.arts@example.edu";
    assert!(mail::rcpt_reply(mx, alias).unwrap().starts_with("550"));
    let entry = format!(
        "dn: provostAddress={alias},ou=addresses,{SUFFIX}\nobjectClass: provostAddressEntry\nprovostAddress: {alias}\n\
         provostAddressKind: alias\nprovostOwner: {dn}\n"
    );
    ldap.feed("ldapadd", &entry).unwrap().good().unwrap();
    let is_accepted = || Ok(mail::rcpt_reply(mx, alias)?.starts_with("250").then_some(()));
    let ((), after) = deadline::until(EFFECT_LIMIT, is_accepted).unwrap();
    println!("alias accepted {after:?} after ldapadd ended");
    let projection = format!("dn: {dn}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: {alias}\n");
    ldap.feed("ldapmodify", &projection).unwrap().good().unwrap();
    mail::send(mx, None, "a@example.net", &[alias], "Subject: to the dean\r\n\r\nx\r\n").unwrap();
    let inbox = mail::inbox(node.address(Port::Imap), &person.mail(), &person.password()).unwrap();
    assert!(inbox.iter().any(|text| text.contains("to the dean") && text.contains(&format!("Delivered-To: {alias}"))));

    let remove = format!("dn: {dn}\nchangetype: modify\ndelete: mailLocalAddress\nmailLocalAddress: {alias}\n");
    ldap.feed("ldapmodify", &remove).unwrap().good().unwrap();
    ldap.run("ldapdelete", &[&format!("provostAddress={alias},ou=addresses,{SUFFIX}")]).unwrap().good().unwrap();
    let gone = || Ok(mail::rcpt_reply(mx, alias)?.starts_with("550").then_some(()));
    let ((), after) = deadline::until(EFFECT_LIMIT, gone).unwrap();
    println!("alias gone {after:?} after ldapdelete ended");
    // 68: entryAlreadyExists: an address belongs to one person.
    let second = entry.replace(alias, &SamplePerson::of(4).mail());
    assert_eq!(ldap.feed("ldapadd", &second).unwrap().code, Some(68));
}

#[test]
fn a_vacation_takes_effect_within_a_second() {
    let sink = MailSink::start().unwrap();
    let node = node(Some(&sink));
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(4));
    let dn = person_dn(&ldap, &person);
    let set = format!(
        "dn: {dn}\nchangetype: modify\nreplace: mailAutoReplyMode\nmailAutoReplyMode: reply\n-\n\
         replace: mailAutoReplySubject;lang-fr\nmailAutoReplySubject;lang-fr: Absence\n-\n\
         replace: mailAutoReplyText;lang-fr\nmailAutoReplyText;lang-fr: Je reviens lundi.\n"
    );
    ldap.feed("ldapmodify", &set).unwrap().good().unwrap();
    // Each message has its own sender, as a sender gets only one reply.
    let mut number = 0;
    let probe = || {
        number += 1;
        let (from, subject) = (format!("probe{number}@example.net"), format!("Subject: probe {number}"));
        let text = format!("From: {from}\r\nTo: {}\r\n{subject}\r\n\r\nx\r\n", person.mail());
        mail::send(node.address(Port::Mx), None, &from, &[&person.mail()], &text)?;
        Ok(sink.accepted().into_iter().next())
    };
    let (reply, after) = deadline::until(EFFECT_LIMIT, probe).unwrap();
    println!("vacation answered {after:?} after ldapmodify ended, at message {number} or before");
    assert_eq!(reply.reverse_path, "");
    assert!(String::from_utf8_lossy(&reply.text).contains("Je reviens lundi."), "{reply:?}");

    // 21: invalidAttributeSyntax.
    let wrong = set.replace(
        "mailAutoReplyMode: reply",
        "mailAutoReplyMode: reply\n-\nreplace: vacationStartDate\nvacationStartDate: soon",
    );
    assert_eq!(ldap.feed("ldapmodify", &wrong).unwrap().code, Some(21));
    // 17: undefinedAttributeType.
    let unknown = format!("dn: {dn}\nchangetype: modify\nadd: noSuchAttribute\nnoSuchAttribute: x\n");
    assert_eq!(ldap.feed("ldapmodify", &unknown).unwrap().code, Some(17));
}

#[test]
fn ldappasswd_changes_the_login() {
    let node = node(None);
    let (ldap, person, other) = (Ldap::of(&node), SamplePerson::of(5), SamplePerson::of(6));
    let dn = person_dn(&ldap, &person);
    assert!(logs_in(&node, &person.mail(), &person.password()), "the old password must be accepted before the change");
    ldap.run("ldappasswd", &["-s", "another secret", &dn]).unwrap().good().unwrap();
    let new_one = || Ok(logs_in(&node, &person.mail(), "another secret").then_some(()));
    let ((), after) = deadline::until(EFFECT_LIMIT, new_one).unwrap();
    println!("new password accepted {after:?} after ldappasswd ended");
    assert!(!logs_in(&node, &person.mail(), &person.password()), "the old password must not be cached");

    // The person's own change, with the current password.
    let own = ldap.with(&dn, "another secret");
    own.run("ldappasswd", &["-a", "another secret", "-s", "a third secret"]).unwrap().good().unwrap();
    let third = || Ok(logs_in(&node, &person.mail(), "a third secret").then_some(()));
    deadline::until(EFFECT_LIMIT, third).unwrap();
    let other_dn = person_dn(&ldap, &other);
    let refused = ldap.with(&dn, "a third secret").run("ldappasswd", &["-s", "stolen secret", &other_dn]).unwrap();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(logs_in(&node, &other.mail(), &other.password()) && !logs_in(&node, &other.mail(), "stolen secret"));
}

#[test]
fn compare_rename_and_delete() {
    let node = node(None);
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(8));
    let dn = person_dn(&ldap, &person);
    // 6: compareTrue, 5: compareFalse, 16: noSuchAttribute.
    assert_eq!(ldap.run("ldapcompare", &[&dn, "sn:p08"]).unwrap().code, Some(6));
    assert_eq!(ldap.run("ldapcompare", &[&dn, "sn:p09"]).unwrap().code, Some(5));
    assert_eq!(ldap.run("ldapcompare", &[&dn, "title:x"]).unwrap().code, Some(16));
    assert_eq!(ldap.run("ldapwhoami", &[]).unwrap().good().unwrap().trim(), format!("dn:cn=provost,{SUFFIX}"));

    // Renaming the entry of an alias removes the old address and adds the new one.
    let address_dn = |name: &str| format!("provostAddress={name}@example.edu,ou=addresses,{SUFFIX}");
    let entry = format!(
        "dn: {}\nobjectClass: provostAddressEntry\nprovostAddress: library@example.edu\n\
         provostAddressKind: alias\nprovostOwner: {dn}\n",
        address_dn("library")
    );
    ldap.feed("ldapadd", &entry).unwrap().good().unwrap();
    ldap.run("ldapmodrdn", &["-r", &address_dn("library"), "provostAddress=books@example.edu"])
        .unwrap()
        .good()
        .unwrap();
    let moved = || {
        let answers =
            ["library", "books"].map(|name| mail::rcpt_reply(node.address(Port::Mx), &format!("{name}@example.edu")));
        let [old, new] = answers;
        Ok((old?.starts_with("550") && new?.starts_with("250")).then_some(()))
    };
    deadline::until(EFFECT_LIMIT, moved).unwrap();

    // 66: notAllowedOnNonLeaf, 32: noSuchObject.
    assert_eq!(ldap.run("ldapdelete", &[&format!("ou=people,{SUFFIX}")]).unwrap().code, Some(66));
    ldap.run(
        "ldapdelete",
        &[&address_dn("books"), &format!("provostAddress={},ou=addresses,{SUFFIX}", person.mail()), &dn],
    )
    .unwrap()
    .good()
    .unwrap();
    assert_eq!(ldap.run("ldapdelete", &[&dn]).unwrap().code, Some(32));
    let gone = || {
        let answer = mail::rcpt_reply(node.address(Port::Mx), &person.mail())?;
        let login = logs_in(&node, &person.mail(), &person.password());
        Ok((answer.starts_with("550") && !login).then_some(()))
    };
    deadline::until(EFFECT_LIMIT, gone).unwrap();
}

/// `ldapsearch -E sync=rp`, read line by line while it runs; killed when dropped.
struct SyncWatch {
    child: Child,
    lines: Receiver<String>,
}

impl SyncWatch {
    fn start(ldap: &Ldap, filter: &str) -> Self {
        let arguments =
            ["-o", "ldif-wrap=no", "-E", "sync=rp", "-b", SUFFIX, filter, "mailLocalAddress", "preferredLanguage"];
        let mut child = ldap.command("ldapsearch", &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn wait_for(&self, text: &str) {
        let mut answer = Vec::new();
        while !answer.last().is_some_and(|line: &String| line.contains(text)) {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => answer.push(line),
                Err(error) => panic!("no '{text}' ({error}) after:\n{}", answer.join("\n")),
            }
        }
    }
}

impl Drop for SyncWatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_persistent_sync_search_reports_changes() {
    let node = node(None);
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(9));
    let dn = person_dn(&ldap, &person);
    let watch = SyncWatch::start(&ldap, "(objectClass=provostAccount)");
    watch.wait_for("mailLocalAddress: test.p09@example.edu");
    ldap.feed(
        "ldapmodify",
        &format!("dn: {dn}\nchangetype: modify\nreplace: preferredLanguage\npreferredLanguage: fr-CA\n"),
    )
    .unwrap()
    .good()
    .unwrap();
    watch.wait_for("preferredLanguage: fr-CA");
    ldap.run("ldapdelete", &[&dn]).unwrap().good().unwrap();
    watch.wait_for(&format!("dn: {dn}"));
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let mut node = node(None);
    let ldap = Ldap::of(&node);
    let people: Vec<SamplePerson> = (10..=19).map(SamplePerson::of).collect();
    for person in &people {
        let dn = person_dn(&ldap, person);
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: title\ntitle: Chair {}\n", person.number);
        ldap.feed("ldapmodify", &change).unwrap().good().unwrap();
    }
    ldap.run("ldappasswd", &["-s", "after the kill", &person_dn(&ldap, &people[0])]).unwrap().good().unwrap();
    node.kill().unwrap();
    let back = node.serve_again(&[Port::Ldap, Port::Imap, Port::Mx]).unwrap();
    println!("back after {back:?}");
    for person in &people {
        let found = ldap.search(&format!("(uid={})", person.uid()), &["title"]).unwrap().good().unwrap();
        assert!(found.contains(&format!("title: Chair {}", person.number)), "{found}");
    }
    let login = || Ok(logs_in(&node, &people[0].mail(), "after the kill").then_some(()));
    deadline::until(LIMIT, login).unwrap();
    let people = ldap.search("(uid=test.*)", &["1.1"]).unwrap().good().unwrap();
    assert_eq!(people.matches("dn: ").count(), PEOPLE as usize);
}

/// Whether IMAP, POP3 and submission accept a person's login, and the code of MX's reply to RCPT.
fn logins_and_rcpt_code(node: &Node, person: &SamplePerson) -> anyhow::Result<([bool; 3], String)> {
    let (user, password) = (person.mail(), person.password());
    let logins = [
        mail::logs_in_by_imap(node.address(Port::Imap), &user, &password)?,
        mail::logs_in_by_pop3(node.address(Port::Pop3), &user, &password)?,
        mail::logs_in_by_submission(node.address(Port::Submission), &user, &password)?,
    ];
    let answer = mail::rcpt_reply(node.address(Port::Mx), &user)?;
    Ok((logins, answer.chars().take(3).collect()))
}

#[test]
fn a_persons_state_takes_effect_within_a_second() {
    let node = node(None);
    let (ldap, person) = (Ldap::of(&node), SamplePerson::of(11));
    let dn = person_dn(&ldap, &person);
    assert_eq!(logins_and_rcpt_code(&node, &person).unwrap(), ([true; 3], "250".to_owned()));
    // Suspended: mail is accepted, logins are refused. Closed: neither is accepted.
    for (state, logins, code) in [("suspended", false, "250"), ("active", true, "250"), ("closed", false, "550")] {
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: provostState\nprovostState: {state}\n");
        ldap.feed("ldapmodify", &change).unwrap().good().unwrap();
        // A session that the change itself disconnects gives no answer: ask again.
        let obeyed = || {
            let now = logins_and_rcpt_code(&node, &person);
            Ok(now.is_ok_and(|now| now == ([logins; 3], code.to_owned())).then_some(()))
        };
        let waited = deadline::until(EFFECT_LIMIT, obeyed);
        let ((), after) =
            waited.unwrap_or_else(|error| panic!("{state}: {error}: {:?}", logins_and_rcpt_code(&node, &person)));
        println!("{state} obeyed {after:?} after ldapmodify ended");
    }
}

/// Runs a check of the settings against the node.
fn on_site(node: &Node, check: impl FnOnce(&Site<'_>) -> anyhow::Result<()>) {
    let (ldap, provost) = (Ldap::of(node), |arguments: &[&str]| command::provost(node, arguments).unwrap());
    let person = SamplePerson::of(12).mail();
    let (lmtp, http, token) = (node.address(Port::Lmtp), node.address(Port::Http), node.secret("api-token"));
    check(&Site { ldap: &ldap, provost: &provost, lmtp, http, token, person }).unwrap();
}

/// With the embedded directory; `slapd.rs` does the same with OpenLDAP.
#[test]
fn shared_settings_take_effect_within_a_second() {
    let mut node = node(None);
    on_site(&node, |site| site.a_default_quota_is_obeyed());
    on_site(&node, |site| site.a_time_zone_is_obeyed());
    on_site(&node, |site| site.a_guard_is_obeyed_and_a_bad_one_ignored());
    let reported = node.log().matches("a setting in the directory is invalid and not in force").count();
    assert_eq!(reported, 1, "{}", node.log());
    let metrics = format!("http://{}/metrics", node.address(Port::Health));
    let metrics = run(std::process::Command::new("curl").args(["--silent", &metrics])).unwrap().good().unwrap();
    assert!(metrics.lines().any(|line| line == "provost_settings_bad 1"), "{metrics}");
    // The last valid value is in force after a restart, too.
    node.stop().unwrap();
    node.serve_again(&[Port::Ldap, Port::Lmtp, Port::Http]).unwrap();
    on_site(&node, |site| site.the_bad_guard_is_reported());
    on_site(&node, |site| site.the_command_refuses_what_is_bad());
}

#[test]
fn start_tls_uses_the_certificate_of_the_node() {
    let node = node(None);
    let ldap = Ldap::of(&node);
    let mut command = ldap.command("ldapwhoami", &["-ZZ"]);
    command.env("LDAPTLS_CACERT", node.data().join("tls/cert.pem"));
    let output = run(&mut command).unwrap().good().unwrap();
    assert_eq!(output.trim(), format!("dn:cn=provost,{SUFFIX}"));
    // Without that file the client does not trust the certificate and disconnects; the server continues.
    assert_ne!(ldap.run("ldapwhoami", &["-ZZ"]).unwrap().code, Some(0));
    ldap.run("ldapwhoami", &[]).unwrap().good().unwrap();
}

/// Exit code 5 is "unavailable". `person show` ends with 5 for a person whom the replica lacks, because the provider
/// may have their entry; `vacation clear` ends with 5 because a change needs the provider.
#[test]
fn people_are_shown_from_a_replica_while_the_provider_is_down() {
    let (node, person) = (node(None), SamplePerson::of(3));
    let url = format!("ldap://127.0.0.1:{}", node.port(Port::Ldap));
    let provider = format!("servers = [{{ url = \"{url}\", role = \"provider\" }}]");
    let servers = format!(
        "servers = [{{ url = \"ldap://127.0.0.1:1\", role = \"provider\" }}, {{ url = \"{url}\", role = \"replica\" }}]"
    );
    let text = std::fs::read_to_string(node.config()).unwrap();
    assert!(text.contains(&provider), "{text}");
    let file = node.folder().join("replica.toml");
    std::fs::write(&file, text.replace(&provider, &servers)).unwrap();
    let provost = |arguments: &[&str]| {
        run(std::process::Command::new(provost_tests::binary()).arg("--config").arg(&file).args(arguments)).unwrap()
    };
    let mail = person.mail();
    assert!(provost(&["person", "show", &mail]).good().unwrap().contains(&mail));
    assert!(provost(&["address", "list", &mail]).good().unwrap().contains(&mail));
    assert_eq!(provost(&["person", "show", "nobody-of-this-name"]).code, Some(5));
    assert_eq!(provost(&["vacation", "clear", &mail]).code, Some(5));
}
