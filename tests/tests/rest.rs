//! The REST API of a running node, by curl as in the README, and the effect of its changes on the mail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use provost_tests::conversation::base64;
use provost_tests::http::{Race, two_puts_with_one_etag};
use provost_tests::people::HEADER;
use provost_tests::{MailSink, Node, Options, Port, Ran, SamplePerson, TextClient, binary, deadline, mail, run};

/// Longest time for a change to reach the mail core, and for a reply to reach the relay.
const LIMIT: Duration = Duration::from_secs(10);
const OUTSIDE: &str = "outside@example.net";
/// The person whom the tests change.
const ONE: SamplePerson = SamplePerson { number: 11 };
const PROBLEM: &str = "application/problem+json";

/// The response that curl received.
struct CurlResponse {
    status: String,
    content_type: String,
    headers: String,
    body: String,
}

impl CurlResponse {
    /// The value of the first text field of this name.
    fn text(&self, name: &str) -> String {
        let value = self.body.split(&format!("\"{name}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no '{name}': {}", self.body)).to_owned()
    }

    fn header(&self, name: &str) -> String {
        let line = self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        line.unwrap_or_else(|| panic!("no '{name}': {}", self.headers))
    }
}

struct Api<'a>(&'a Node);

impl Api<'_> {
    /// `curl -H 'Authorization: Bearer $T' ... $A/path`, as in the README.
    fn curl(&self, arguments: &[&str], path: &str) -> CurlResponse {
        let token = format!("Authorization: Bearer {}", self.0.secret("api-token"));
        self.curl_as(&token, arguments, path)
    }

    fn curl_as(&self, token: &str, arguments: &[&str], path: &str) -> CurlResponse {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--dump-header", "/dev/stderr", "-H", token]).args(arguments);
        command.arg(format!("http://{}/api/v1{path}", self.0.address(Port::Http)));
        let Ran { code, out, err } = run(&mut command).unwrap();
        assert_eq!(code, Some(0), "{path}: {err}");
        let status = err.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut reply = CurlResponse { status, content_type: String::new(), headers: err, body: out };
        reply.content_type = if reply.body.is_empty() { String::new() } else { reply.header("content-type") };
        reply
    }

    /// A request that must get this status.
    fn expect(&self, status: &str, arguments: &[&str], path: &str) -> CurlResponse {
        let reply = self.curl(arguments, path);
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        reply
    }
}

fn json(body: &str) -> [&str; 4] {
    ["-H", "Content-Type: application/json", "-d", body]
}

/// Arguments of curl for a method other than GET and POST.
fn method<'a>(name: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    ["-X", name].iter().chain(arguments).copied().collect()
}

fn write_to(node: &Node, recipient: &str) {
    let text = format!("From: {OUTSIDE}\r\nTo: {recipient}\r\nSubject: Question\r\n\r\nHello?\r\n");
    mail::send(node.address(Port::Mx), None, OUTSIDE, &[recipient], &text).unwrap();
}

/// Runs `provost ARGUMENTS` on the node's machine, which must succeed; returns the output.
fn command(node: &Node, arguments: &[&str]) -> String {
    let ran = run(Command::new(binary()).arg("--config").arg(node.config()).args(arguments)).unwrap();
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
    ran.out
}

/// All checks share one node, because starting a node takes longer than all checks together.
#[test]
fn the_readmes_requests_have_the_effects_that_it_describes() {
    let sink = MailSink::start().unwrap();
    let node = Node::start_with(Options { relay: Some(sink.relay()), ..Options::default() }).unwrap();
    let api = Api(&node);
    finds_and_shows(&api);
    vacation_is_answered(&node, &api, &sink);
    alias_takes_effect(&node, &api);
    password_takes_effect(&node, &api);
    file_is_planned_and_applied(&node, &api);
    refusals_are_problems(&api);
    document_is_openapi(&api);
    tokens_have_a_role_and_an_end(&node, &api);
    let (http, token) = (node.address(Port::Http), node.secret("api-token"));
    two_puts_with_one_etag(http, &token, &Race::Vacation(&ONE.uid()), 200).unwrap();
    two_puts_with_one_etag(http, &token, &Race::Setting("message-size"), 100).unwrap();
}

fn finds_and_shows(api: &Api<'_>) {
    let found = api.expect("200", &[], "/people?q=test%20p11");
    assert_eq!(found.text("mail"), ONE.mail());
    assert_eq!(found.body.matches("\"uid\"").count(), 1, "{}", found.body);
    assert!(api.expect("200", &[], "/people?q=test&limit=2").body.contains("\"more\":true"));
    for key in [ONE.uid(), ONE.mail(), found.text("id"), "registrar:T0011".to_owned()] {
        let person = api.expect("200", &[], &format!("/people/{key}"));
        assert_eq!(person.text("uid"), ONE.uid(), "{key}");
        assert_eq!(person.header("etag"), format!("\"{}\"", person.text("version")));
        assert_eq!(person.header("x-audit-id"), person.text("audit_id"));
        assert!(!person.body.to_lowercase().contains("userpassword"), "{}", person.body);
    }
}

fn vacation_is_answered(node: &Node, api: &Api<'_>, sink: &MailSink) {
    let path = format!("/people/{}/vacation", ONE.uid());
    let rule = r#"{"start":"2026-01-01","end":"2099-01-05",
        "text_fr":"De retour le 6 janvier.","text_en":"Back on January 6."}"#;
    let set = api.expect("200", &method("PUT", &json(rule)), &path);
    assert_eq!(set.header("x-audit-id"), set.text("audit_id"));
    // `audit list --person` records its own look-up of the person, but leaves that record out of the list.
    let newest = command(node, &["audit", "list", "--person", &ONE.uid(), "--limit", "1"]);
    assert!(newest.contains(&set.text("audit_id")), "{newest}");
    // The change reaches the mail core through the directory: send messages until one gets a reply.
    let answered = || {
        write_to(node, &ONE.mail());
        Ok(sink.wait_for(OUTSIDE, Duration::from_secs(1)).ok())
    };
    let (reply, _) = deadline::until(LIMIT, answered).unwrap();
    let text = String::from_utf8_lossy(&reply.text).into_owned();
    assert!(text.contains("De retour le 6 janvier.") && text.contains("Back on January 6."), "{text}");
    assert!(api.expect("200", &[], &format!("/people/{}", ONE.uid())).body.contains("\"end\":\"2099-01-05\""));
    api.expect("200", &["-X", "DELETE"], &path);
    assert!(api.expect("200", &[], &format!("/people/{}", ONE.uid())).body.contains("\"vacation\":null"));
}

fn alias_takes_effect(node: &Node, api: &Api<'_>) {
    let alias = "eleven@example.edu";
    let wait_for_rcpt_code = |code: &str| {
        let gets_code = || Ok(mail::rcpt_reply(node.address(Port::Mx), alias)?.starts_with(code).then_some(()));
        deadline::until(LIMIT, gets_code).unwrap_or_else(|_| panic!("{alias}: no {code} within {LIMIT:?}"));
    };
    wait_for_rcpt_code("550");
    let added =
        api.expect("201", &json(r#"{"address":"Eleven@example.edu"}"#), &format!("/people/{}/addresses", ONE.uid()));
    wait_for_rcpt_code("250");
    write_to(node, alias);
    let arrived = mail::inbox(node.address(Port::Imap), &ONE.mail(), &ONE.password()).unwrap();
    assert!(arrived.iter().any(|message| message.contains(&format!("To: {alias}"))), "{arrived:?}");
    let listed = api.expect("200", &[], &format!("/people/{}/addresses", ONE.uid()));
    assert!(listed.body.contains(&format!("\"{alias}\"")), "{}", listed.body);
    let location = added.header("location");
    api.expect("200", &["-X", "DELETE"], location.trim_start_matches("/api/v1"));
    wait_for_rcpt_code("550");
    api.expect("404", &["-X", "DELETE"], location.trim_start_matches("/api/v1"));
}

fn password_takes_effect(node: &Node, api: &Api<'_>) {
    let imap = node.address(Port::Imap);
    let path = format!("/people/{}/password", ONE.uid());
    let logs_in = |password: &str| {
        let look = || Ok(mail::logs_in_by_imap(imap, &ONE.mail(), password)?.then_some(()));
        deadline::until(LIMIT, look).unwrap();
    };
    let open = open_sessions(node);
    let reset = api.expect("200", &["-X", "POST"], &path);
    must_end(open);
    logs_in(&reset.text("password"));
    assert!(!mail::logs_in_by_imap(imap, &ONE.mail(), &ONE.password()).unwrap());
    let chosen = api.expect("200", &json(r#"{"password":"chosen by the caller"}"#), &path);
    assert!(!chosen.body.contains("password"), "the reply must not contain the password: {}", chosen.body);
    logs_in("chosen by the caller");
    let audit = command(node, &["audit", "list", "--limit", "1000"]);
    assert!(!audit.contains("chosen by the caller") && !audit.contains(&reset.text("password")));
}

/// Idle sessions of one person in every protocol.
fn open_sessions(node: &Node) -> Vec<(&'static str, TextClient)> {
    let open = |port, greeting: &str| {
        let mut client = TextClient::open(node.address(port)).unwrap();
        client.until(&[greeting]).unwrap();
        client
    };
    let login = format!("LOGIN {} \"{}\"", ONE.mail(), ONE.password());
    let mut imap = open(Port::Imap, "* OK");
    imap.ask(&format!("a {login}"), &["a OK"]).unwrap();
    let mut idle = open(Port::Imap, "* OK");
    idle.ask(&format!("a {login}"), &["a OK"]).unwrap();
    idle.ask("b SELECT INBOX", &["b OK"]).unwrap();
    idle.ask("c IDLE", &["+"]).unwrap();
    let mut pop3 = open(Port::Pop3, "+OK");
    pop3.ask(&format!("USER {}", ONE.mail()), &["+OK"]).unwrap();
    pop3.ask(&format!("PASS {}", ONE.password()), &["+OK"]).unwrap();
    let mut submission = open(Port::Submission, "220");
    submission.ask("EHLO client.example.net", &["250 "]).unwrap();
    let plain = base64(format!("\0{}\0{}", ONE.mail(), ONE.password()).as_bytes());
    submission.ask(&format!("AUTH PLAIN {plain}"), &["235"]).unwrap();
    vec![("imap", imap), ("idle", idle), ("pop3", pop3), ("submission", submission)]
}

/// As the help desk's page promises, a password change ends the sessions opened with the old password.
fn must_end(open: Vec<(&'static str, TextClient)>) {
    let start = Instant::now();
    for (name, mut client) in open {
        let last = client.next().unwrap().unwrap_or_default();
        assert!(["* BYE", "-ERR", "421 "].iter().any(|end| last.starts_with(end)), "{name}: {last}");
        assert_eq!(client.next().unwrap(), None, "{name} must be closed");
    }
    println!("open sessions ended {:?} after the reset", start.elapsed());
    assert!(start.elapsed() < LIMIT);
}

fn file_is_planned_and_applied(node: &Node, api: &Api<'_>) {
    let file = node.folder().join("more.csv");
    let row = "R1,Çelik,Åström,2001-02-03,,student,Arts,2026-09-01,,secret of celik\n";
    let wrong = "R2,No,Affiliation,2001-02-03,,wizard,Arts,2026-09-01,,\n";
    std::fs::write(&file, format!("{HEADER}{row}{wrong}")).unwrap();
    let data = format!("@{}", file.display());
    let upload = ["-H", "Content-Type: text/csv", "--data-binary", &data];
    let plan = api.expect("201", &upload, "/imports?coverage=partial");
    assert!(plan.body.contains("\"create\":1") && plan.body.contains("\"line\":3"), "{}", plan.body);
    let location = plan.header("location").trim_start_matches("/api/v1").to_owned();
    assert_eq!(api.expect("200", &[], &location).text("hash"), plan.text("hash"));
    let found = api.expect("200", &[], "/people?q=celik");
    assert!(found.body.contains("\"people\":[]"), "a plan must change nothing: {}", found.body);
    let other = api.expect("409", &json(r#"{"hash":"of another plan"}"#), &format!("{location}/apply"));
    assert_eq!((other.content_type.as_str(), other.text("hash")), (PROBLEM, plan.text("hash")));
    let hash = format!(r#"{{"hash":"{}"}}"#, plan.text("hash"));
    let job = api.expect("200", &json(&hash), &format!("{location}/apply?wait=30"));
    assert_eq!(job.text("state"), "done", "{}", job.body);
    let look = || {
        Ok(mail::logs_in_by_imap(node.address(Port::Imap), "celik.astrom@example.edu", "secret of celik")?
            .then_some(()))
    };
    deadline::until(LIMIT, look).unwrap();
    api.expect("404", &[], &location);
    let again = api.expect("201", &upload, "/imports?coverage=partial");
    assert!(again.body.contains("\"writes\":0"), "the same file again must need no writes: {}", again.body);
}

fn refusals_are_problems(api: &Api<'_>) {
    let one = format!("/people/{}", ONE.uid());
    let vacation = format!("{one}/vacation");
    let addresses = format!("{one}/addresses");
    let stale = method("PUT", &["-H", "If-Match: \"20200101000000.000000Z#000000#000#000000\""]);
    let stale: Vec<_> = stale.into_iter().chain(json(r#"{"text_fr":"x"}"#)).collect();
    for (status, arguments, path) in [
        ("404", vec![], "/people/nobody-at-all"),
        ("404", vec![], "/no/such/path"),
        ("404", vec![], "/imports/00000000-0000-4000-8000-000000000000"),
        ("405", vec!["-X", "PATCH"], one.as_str()),
        ("409", json(r#"{"address":"test.p12@example.edu"}"#).to_vec(), &addresses),
        ("412", stale, &vacation),
        ("415", vec!["-H", "Content-Type: text/plain", "-d", "x"], &addresses),
        ("422", json(r#"{"address":"no address"}"#).to_vec(), &addresses),
        ("422", json(r#"{"address":"eleven@example.com"}"#).to_vec(), &addresses),
        ("422", method("PUT", &json(r#"{"text_fr":" "}"#)), &vacation),
        ("422", method("PUT", &json(r#"{"text_fr":"x","start":"2026-12-24","end":"2026-12-23"}"#)), &vacation),
        ("422", json(r#"{"password":"short"}"#).to_vec(), &format!("{one}/password")),
        ("422", vec!["-H", "Content-Type: text/csv", "--data-binary", "name;mail\n"], "/imports"),
        ("400", method("PUT", &json("{")), &vacation),
        ("400", vec!["-X", "DELETE", "-H", "If-Match;"], &vacation),
    ] {
        let reply = api.curl(&arguments, path);
        assert_eq!((reply.status.as_str(), reply.content_type.as_str()), (status, PROBLEM), "{path}: {}", reply.body);
        assert!(reply.body.contains(&format!("\"status\":{status}")), "{}", reply.body);
        assert!(reply.text("type").starts_with("/api/v1/problems/"), "{}", reply.body);
    }
    for token in ["Authorization: Bearer wrong", "Authorization: Basic eDp5", "X-Nothing: at all"] {
        let reply = api.curl_as(token, &[], &one);
        assert_eq!((reply.status.as_str(), reply.content_type.as_str()), ("401", PROBLEM), "{token}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{token}");
    }
}

/// Also runs an external validator on the document if it is installed (`pip install openapi-spec-validator`).
fn document_is_openapi(api: &Api<'_>) {
    let document = api.curl_as("X-Nothing: at all", &[], "/openapi.json");
    assert_eq!((document.status.as_str(), document.text("openapi").as_str()), ("200", "3.1.0"));
    let names: Vec<_> =
        document.body.split("\"operationId\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(unique.len(), names.len(), "OpenAPI 3.1 §4.8.10: an operationId is unique: {names:?}");
    let file: PathBuf = api.0.folder().join("openapi.json");
    std::fs::write(&file, &document.body).unwrap();
    let script = "import sys\ntry: import openapi_spec_validator as v, json\nexcept ImportError: sys.exit(0)\n\
        v.validate(json.load(open(sys.argv[1])))";
    run(Command::new("python3").args(["-c", script]).arg(file)).unwrap().good().unwrap();
}

/// A token with the help desk's role cannot reset an administrator's password, by REST or by command. A revoked token
/// is refused within a second.
fn tokens_have_a_role_and_an_end(node: &Node, api: &Api<'_>) {
    let token = command(node, &["token", "create", "desk", "--role", "helpdesk2", "--expires", "1d"]);
    let file = node.folder().join("desk-token");
    std::fs::write(&file, &token).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    // Change the role of the quickstart's help desk operator to `admin`, directly in the directory.
    make_admin(node, "helpdesk");
    let reset = |who: &str| api.curl_as(&bearer, &["-X", "POST"], &format!("/people/{who}/password"));
    let refused = reset("helpdesk");
    assert_eq!((refused.status.as_str(), refused.content_type.as_str()), ("403", PROBLEM), "{}", refused.body);
    assert_eq!(refused.text("type"), "/api/v1/problems/forbidden");
    assert_eq!(reset(&ONE.uid()).status, "200");
    let by_command = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("--config").arg(node.config()).arg("--token-file").arg(&file).args(arguments);
        run(&mut command).unwrap()
    };
    let refused = by_command(&["person", "reset-password", "helpdesk"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(6), ""), "{}", refused.err);
    assert!(refused.err.contains("not allowed: password.reset"), "{}", refused.err);
    assert_eq!(by_command(&["person", "reset-password", &ONE.uid()]).code, Some(0));
    assert_eq!(by_command(&["token", "create", "more", "--role", "admin", "--expires", "1d"]).code, Some(6));
    let csv = node.folder().join("more.csv");
    assert_eq!(by_command(&["import", csv.to_str().unwrap()]).code, Some(6));
    let audit = command(node, &["audit", "list"]);
    assert!(
        audit.contains("token:desk (api) operation.refused") && audit.contains("token:desk (cli) operation.refused")
    );
    assert!(!audit.contains(token.trim()) && command(node, &["token", "list"]).contains("desk"));
    let table = command(node, &["roles", "show"]);
    assert!(table.contains("password.reset") && table.contains("helpdesk1"), "{table}");
    command(node, &["token", "revoke", "desk"]);
    let gone = || Ok((reset(&ONE.uid()).status == "401").then_some(()));
    deadline::until(Duration::from_secs(1), gone).unwrap();
    assert_eq!(by_command(&["person", "show", &ONE.uid()]).code, Some(1));
}

fn make_admin(node: &Node, uid: &str) {
    let output = command(node, &["--json", "person", "show", uid]);
    let dn = output.split("\"dn\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let change = node.folder().join("admin.ldif");
    std::fs::write(&change, format!("dn: {dn}\nchangetype: modify\nreplace: provostRole\nprovostRole: admin\n"))
        .unwrap();
    let url = format!("ldap://{}", node.address(Port::Ldap));
    let password = node.data().join("secrets/directory-password");
    let mut modify = Command::new("ldapmodify");
    modify.args(["-x", "-H", &url, "-D", "cn=provost,dc=example,dc=edu", "-y"]).arg(password).arg("-f").arg(change);
    run(&mut modify).unwrap().good().unwrap();
}
