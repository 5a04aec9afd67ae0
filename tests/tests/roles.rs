//! Permissions on a running node: the help desk can change an administrator's account by no interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::process::Command;
use std::time::Duration;

use provost_tests::http::{HttpRequest, HttpResponse, send};
use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::people::HEADER;
use provost_tests::{Node, Options, Port, Ran, SamplePerson, binary, deadline, mail, node::checkout, run};

/// Longest time until the node follows a change of the directory.
const LIMIT: Duration = Duration::from_secs(10);
/// Exit code: not allowed.
const NOT_ALLOWED: Option<i32> = Some(6);
/// An administrator with a password.
const ADMIN: SamplePerson = SamplePerson { number: 2 };
/// An administrator without a password yet.
const NEW_ADMIN: SamplePerson = SamplePerson { number: 3 };
/// A person without a role.
const NO_ROLE: SamplePerson = SamplePerson { number: 1 };

fn command(node: &Node, arguments: &[&str]) -> Ran {
    run(Command::new(binary()).arg("--config").arg(node.config()).args(arguments)).unwrap()
}

fn new_token(node: &Node, name: &str, role: &str) -> String {
    command(node, &["token", "create", name, "--role", role, "--expires", "1d"]).good().unwrap().trim().to_owned()
}

fn ask(node: &Node, token: &str, method: &str, path: &str, (content_type, body): (&str, &str)) -> HttpResponse {
    let bearer = format!("Authorization: Bearer {token}");
    let content_type = format!("Content-Type: {content_type}");
    let path = format!("/api/v1{path}");
    send(node.address(Port::Http), HttpRequest { method, path: &path, headers: &[&bearer, &content_type], body })
        .unwrap()
}

const JSON: (&str, &str) = ("application/json", "{}");

/// One node for all checks, as a node takes longer to start than all of them.
#[test]
fn a_help_desk_stays_below_an_administrator() {
    let node = Node::start_with(Options { people: Some(4), ..Options::default() }).unwrap();
    let ldap = Ldap::of(&node);
    make_admins(&ldap);
    the_document_has_the_table_that_the_command_prints(&node);
    a_person_without_a_role_sees_only_their_own_page(&node, &ldap);
    refused_by_rest_and_command(&node);
    refused_by_the_pages(&node);
    refused_by_ldap(&node, &ldap);
    refused_by_a_registrars_file(&node);
    the_nodes_token_lends_its_role_to_no_user(&node);
    expired_and_revoked_tokens_are_refused(&node);
    assert!(mail::logs_in_by_imap(node.address(Port::Imap), &ADMIN.mail(), &ADMIN.password()).unwrap());
}

fn make_admins(ldap: &Ldap) {
    for (person, more) in [(ADMIN, ""), (NEW_ADMIN, "-\ndelete: userPassword\n")] {
        let dn = ldap.dn(&format!("(uid={})", person.uid())).unwrap();
        let change = format!("dn: {dn}\nchangetype: modify\nadd: provostRole\nprovostRole: admin\n{more}");
        ldap.feed("ldapmodify", &change).unwrap().good().unwrap();
    }
}

fn the_document_has_the_table_that_the_command_prints(node: &Node) {
    let page = std::fs::read_to_string(checkout().join("docs/roles.md")).unwrap();
    let printed = command(node, &["roles", "show"]).good().unwrap();
    assert_eq!(page.split("```\n").nth(1).unwrap(), printed);
}

fn refused_by_rest_and_command(node: &Node) {
    for (name, role) in [("one", "helpdesk1"), ("two", "helpdesk2")] {
        let token = new_token(node, name, role);
        for admin in [ADMIN, NEW_ADMIN] {
            let path = format!("/people/{}/password", admin.uid());
            assert_eq!(ask(node, &token, "POST", &path, JSON).status, 403, "{role}");
            let chosen = ("application/json", r#"{"password":"chosen by the desk"}"#);
            assert_eq!(ask(node, &token, "POST", &path, chosen).status, 403, "{role}");
        }
        assert_eq!(ask(node, &token, "POST", &format!("/people/{}/password", NO_ROLE.uid()), JSON).status, 200);
        let row = format!("{HEADER}T0003,Test,P03,2001-02-03,,student,Arts,,,chosen by the desk\n");
        assert_eq!(ask(node, &token, "POST", "/imports", ("text/csv", &row)).status, 403, "{role}");
        let file = node.folder().join(format!("token-{name}"));
        std::fs::write(&file, &token).unwrap();
        let file = file.to_str().unwrap();
        let (admin, csv) = (ADMIN.uid(), node.folder().join("people.csv"));
        for refused in [
            vec!["person", "reset-password", &admin],
            vec!["import", csv.to_str().unwrap()],
            vec!["token", "create", "more", "--role", "admin", "--expires", "1d"],
            vec!["token", "list"],
            vec!["settings", "set", "password-scheme", "ssha"],
            vec!["settings", "show"],
            vec!["directory", "init"],
            vec!["audit", "list"],
        ] {
            let ran = command(node, &[&["--token-file", file], &refused[..]].concat());
            assert_eq!((ran.code, ran.out.as_str()), (NOT_ALLOWED, ""), "{role} {refused:?}: {}", ran.err);
        }
    }
}

/// Signs in to the pages. Returns the header with the cookie of the session.
fn sign_in(node: &Node, name: &str, password: &str) -> String {
    let http = node.address(Port::Http);
    let headers = ["Content-Type: application/x-www-form-urlencoded", &format!("Origin: http://{http}")];
    let body = format!("name={name}&password={}", password.replace(' ', "+"));
    let request = HttpRequest { method: "POST", path: "/sign-in", headers: &headers, body: &body };
    let signed_in = deadline::until(LIMIT, || {
        let reply = send(http, request)?;
        Ok((reply.header("location") == "/").then_some(reply))
    });
    format!("Cookie: {}", signed_in.unwrap().0.header("set-cookie").split(';').next().unwrap())
}

/// A person without a role who has chosen their password sees their own page and nobody else's.
fn a_person_without_a_role_sees_only_their_own_page(node: &Node, ldap: &Ldap) {
    let dn = ldap.dn(&format!("(uid={})", NO_ROLE.uid())).unwrap();
    let chosen = format!("dn: {dn}\nchangetype: modify\ndelete: provostCredentialState\n");
    ldap.feed("ldapmodify", &chosen).unwrap().good().unwrap();
    let cookie = sign_in(node, &NO_ROLE.uid(), &NO_ROLE.password());
    let headers = [&*cookie, "Accept-Language: en"];
    let get = |path: &str| {
        send(node.address(Port::Http), HttpRequest { method: "GET", path, headers: &headers, body: "" }).unwrap()
    };
    let own = get("/").header("location").to_owned();
    let page = get(&own);
    assert!(page.status == 200 && page.body.contains(&NO_ROLE.mail()), "{own}: {page:?}");
    for path in [format!("/people/{}", ADMIN.uid()), "/people/nobody".to_owned(), "/people?q=test".to_owned()] {
        let refused = get(&path);
        assert!(refused.status == 403 && refused.body.contains("only your own page"), "{path}: {refused:?}");
    }
}

/// The quickstart's operator has the second level of the help desk.
fn refused_by_the_pages(node: &Node) {
    let http = node.address(Port::Http);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let origin = format!("Origin: http://{http}");
    let cookie = sign_in(node, "helpdesk", &node.secret("helpdesk-password"));
    let get = |path: &str| send(http, HttpRequest { method: "GET", path, headers: &[&cookie], body: "" }).unwrap();
    let csrf = get("/").between("name=\"csrf\" value=\"", "\"").to_owned();
    assert!(csrf.len() > 20, "no CSRF token on the page");
    let reset = |person: &SamplePerson| {
        // The first link to a person is the one of the head, to the own page; the last one is the person found.
        let found = get(&format!("/people?q={}", person.uid())).body;
        let id = found.rsplit("href=\"/people/").next().and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert!(found.matches("href=\"/people/").count() == 2 && id.len() > 20, "{} is not found", person.uid());
        let (path, body) = (format!("/people/{id}/password"), format!("csrf={csrf}"));
        let headers = [form, &*origin, &*cookie];
        send(http, HttpRequest { method: "POST", path: &path, headers: &headers, body: &body }).unwrap().status
    };
    assert_eq!((reset(&NO_ROLE), reset(&ADMIN), reset(&NEW_ADMIN)), (303, 403, 403));
}

/// A help desk role applies to web, REST and command: in the directory its holder has an ordinary person's rights.
fn refused_by_ldap(node: &Node, ldap: &Ldap) {
    let dn_of = |uid: &str| ldap.dn(&format!("(uid={uid})")).unwrap();
    let (own, admin) = (dn_of("helpdesk"), dn_of(&ADMIN.uid()));
    let desk = ldap.with(&own, &node.secret("helpdesk-password"));
    for (dn, attribute, value) in [
        (&own, "provostRole", "admin"),
        (&admin, "provostRole", "helpdesk"),
        (&admin, "userPassword", "chosen by the desk"),
        (&admin, "mailAutoReplyMode", "reply"),
    ] {
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n");
        let ran = desk.feed("ldapmodify", &change).unwrap();
        assert_eq!(ran.code, Some(50), "{attribute} of {dn}: {ran:?}");
    }
    let ran = desk.run("ldappasswd", &["-s", "chosen by the desk", &admin]).unwrap();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let group =
        format!("dn: cn=x,ou=groups,{SUFFIX}\nchangetype: add\nobjectClass: groupOfNames\ncn: x\nmember: {own}\n");
    assert_eq!(desk.feed("ldapmodify", &group).unwrap().code, Some(50));
}

/// An import sets first passwords, but not that of an administrator.
fn refused_by_a_registrars_file(node: &Node) {
    let token = new_token(node, "registrar", "registrar");
    let chosen = "chosen by a registrar";
    let rows = |first: &str| {
        format!(
            "{HEADER}T0003,{first},P03,2001-02-03,p3@example.net,student,Arts,2026-09-01,,{chosen}\n\
             T0009,New,Person,2001-02-03,,student,Arts,2026-09-01,,{chosen}\n"
        )
    };
    // The file also changes the administrator's name, which may be written.
    let plan = ask(node, &token, "POST", "/imports", ("text/csv", &rows("Tess")));
    assert!(plan.status == 201 && plan.body.contains("\"passwords\":1"), "{plan:?}");
    let path = format!("{}/apply?wait=30", plan.header("location").trim_start_matches("/api/v1"));
    let hash = format!(r#"{{"hash":"{}"}}"#, plan.between("\"hash\":\"", "\""));
    let done = ask(node, &token, "POST", &path, ("application/json", &hash));
    assert!(done.status == 200 && done.body.contains("\"failed\":0"), "{done:?}");
    let logs_in = |mail: &str| mail::logs_in_by_imap(node.address(Port::Imap), mail, chosen);
    deadline::until(LIMIT, || Ok(logs_in("new.person@example.edu")?.then_some(()))).unwrap();
    for name in [NEW_ADMIN.mail(), NEW_ADMIN.uid(), "tess.p03@example.edu".to_owned()] {
        assert!(!logs_in(&name).unwrap(), "{name}");
    }
    let person = command(node, &["person", "show", &NEW_ADMIN.uid()]).good().unwrap();
    assert!(person.contains("Tess P03") && person.contains("none: cannot log in"), "{person}");
    assert_eq!(ask(node, &token, "POST", &format!("/people/{}/password", ADMIN.uid()), JSON).status, 403);
}

/// The node answers `queue list` and `settings show` for its own token, an administrator's. The permission depends on
/// the role of the user who runs the command.
fn the_nodes_token_lends_its_role_to_no_user(node: &Node) {
    let user = run(Command::new("id").arg("-un")).unwrap().good().unwrap().trim().to_owned();
    for (role, queue, settings) in
        [("registrar", NOT_ALLOWED, NOT_ALLOWED), ("helpdesk1", Some(0), NOT_ALLOWED), ("auditor", Some(0), Some(0))]
    {
        let file = node.folder().join(format!("{role}.toml"));
        let text = std::fs::read_to_string(node.config()).unwrap();
        std::fs::write(&file, format!("{text}\n[cli]\nroles = {{ \"{user}\" = \"{role}\" }}\n")).unwrap();
        let code = |arguments: &[&str]| {
            let mut command = Command::new(binary());
            command.env_remove("SUDO_USER").arg("--config").arg(&file).args(arguments);
            run(&mut command).unwrap().code
        };
        assert_eq!((code(&["queue", "list"]), code(&["settings", "show"])), (queue, settings), "{role}");
    }
}

/// An expired or a revoked token is refused from the next request on.
fn expired_and_revoked_tokens_are_refused(node: &Node) {
    let (late, revoked) = (new_token(node, "late", "auditor"), new_token(node, "revoked", "auditor"));
    let status = |token: &str| ask(node, token, "GET", "/status", JSON).status;
    assert_eq!((status(&late), status(&revoked)), (200, 200));
    let state = node.data().join("store/state.sqlite");
    // The token expires in a day: set its record to the past, as the clock would.
    let sql = "UPDATE record SET expires = unixepoch() - 1 WHERE space = 'token' AND key = 'late'";
    run(Command::new("sqlite3").arg(state).arg(format!("PRAGMA busy_timeout=10000; {sql}"))).unwrap().good().unwrap();
    assert_eq!(status(&late), 401);
    command(node, &["token", "revoke", "revoked"]).good().unwrap();
    assert_eq!(status(&revoked), 401);
    let listed = command(node, &["token", "list"]).good().unwrap();
    assert!(!listed.contains("late") && !listed.contains("revoked"), "{listed}");
}
