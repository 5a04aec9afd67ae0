//! First passwords on a running node: a mailed link, a printed letter, and a password that must be changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use provost_tests::command::provost;
use provost_tests::http::{HttpRequest, HttpResponse, send};
use provost_tests::ldap::Ldap;
use provost_tests::people::HEADER;
use provost_tests::{MailSink, Node, Options, Port, SamplePerson, TextClient, deadline, mail};

/// Longest time for each wait.
const LIMIT: Duration = Duration::from_secs(60);
/// Address of the pages, as mails and letters name it.
const WEB: &str = "https://accounts.example.edu";

fn run(node: &Node, arguments: &[&str]) -> String {
    provost(node, arguments).unwrap().good().unwrap()
}

fn get(node: &Node, path: &str) -> HttpResponse {
    let headers = ["Accept-Language: en"];
    send(node.address(Port::Http), HttpRequest { method: "GET", path, headers: &headers, body: "" }).unwrap()
}

fn post(node: &Node, path: &str, body: &str) -> HttpResponse {
    let origin = format!("Origin: http://{}", node.address(Port::Http));
    let headers = ["Accept-Language: en", "Content-Type: application/x-www-form-urlencoded", &origin];
    send(node.address(Port::Http), HttpRequest { method: "POST", path, headers: &headers, body }).unwrap()
}

fn logs_in(node: &Node, user: &str, password: &str) -> bool {
    deadline::until(LIMIT, || Ok(mail::logs_in_by_imap(node.address(Port::Imap), user, password)?.then_some(())))
        .is_ok()
}

fn new_passwords(text: &str) -> String {
    let text = text.replace(' ', "+");
    format!("new={text}&again={text}")
}

/// One node for all checks, as a node takes longer to start than all of them.
#[test]
fn people_get_their_first_password() {
    let sink = MailSink::start().unwrap();
    let options = Options { people: Some(2), relay: Some(sink.relay()), ..Options::default() };
    let node = Node::start_with(options).unwrap();
    let file = node.folder().join("new.csv");
    let rows = "N1,Nina,Roux,,nina@example.net,student,Arts,,,\nN2,Bo,Li,,,staff,,,,\n";
    fs::write(&file, format!("{HEADER}{rows}")).unwrap();
    run(&node, &["import", file.to_str().unwrap()]);
    let refused = provost(&node, &["activation", "send", "nina.roux"]).unwrap();
    assert!(refused.code == Some(1) && refused.err.contains("web-url"), "{refused:?}");
    run(&node, &["settings", "set", "web-url", WEB]);
    run(&node, &["settings", "set", "client-servers", "imap mail.example.edu:993"]);

    a_link_is_mailed_once_and_works_once(&node, &sink);
    a_letter_is_printed(&node);
    an_initial_password_must_be_changed(&node);
}

fn a_link_is_mailed_once_and_works_once(node: &Node, sink: &MailSink) {
    let done = provost(node, &["activation", "send", "--without-password"]).unwrap();
    assert_eq!(done.code, Some(4), "Bo has no private address: {done:?}");
    assert!(done.out.contains("print a letter instead") && done.out.contains("1 link mailed"), "{done:?}");
    let message = sink.wait_for("nina@example.net", LIMIT).unwrap();
    assert_eq!(message.reverse_path, "postmaster@example.edu");
    let text = String::from_utf8(message.text).unwrap().replace("=\r\n", "");
    let (_, link) = text.split_once(&format!("{WEB}/activate/")).unwrap();
    let path = format!("/activate/{}", link.split_whitespace().next().unwrap());
    // A second run finds nobody left: Nina has a link.
    let again = provost(node, &["activation", "send", "--all-invited"]).unwrap().good().unwrap();
    assert!(again.contains("0 links mailed") && again.contains("1 person left out"), "{again}");

    assert!(run(node, &["person", "show", "nina.roux"]).contains("activation link until"));
    let page = get(node, &path);
    assert_eq!(page.status, 200, "{}", page.body);
    for part in ["Nina Roux", "nina.roux@example.edu", "autocomplete=\"new-password\""] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for (body, status, text) in [
        ("new=a+good+long+one&again=another+one".to_owned(), 422, "not the same"),
        (new_passwords("ninaroux26"), 422, "your own names"),
        (new_passwords("short"), 422, "at least 10 characters"),
        (new_passwords("a good long one"), 200, "Your account is active"),
        (new_passwords("another long one"), 404, "This link does not work"),
    ] {
        let reply = post(node, &path, &body);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        assert!(reply.body.contains(text), "{body}: {}", reply.body);
    }
    assert!(logs_in(node, "nina.roux", "a good long one"));
    let shown = run(node, &["person", "show", "nina.roux"]);
    assert!(shown.contains("(student, active)") && !shown.contains("activation link"), "{shown}");

    // Whatever is wrong with a link, the page is the same.
    let used = get(node, &path);
    let unknown = get(node, &format!("{}aaaa", &path[..path.len() - 4]));
    assert_eq!((used.status, unknown.status, get(node, "/activate/x").status), (404, 404, 404));
    let main = |reply: &HttpResponse| reply.between("<main", "</main>").to_owned();
    assert_eq!(main(&used), main(&unknown));
    let throttled = (0..10).any(|_| get(node, &path).status == 429);
    assert!(throttled, "links can be tried without a limit");
    assert_eq!(sink.accepted_for("nina@example.net").len(), 1, "the mail was sent twice");
}

fn a_letter_is_printed(node: &Node) {
    let out = node.folder().join("letters.html");
    let path = out.to_str().unwrap();
    let done = run(node, &["activation", "letters", "--without-password", "--out", path]);
    assert!(done.contains("1 letter written"), "{done}");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let letter = fs::read_to_string(&out).unwrap();
    let code = letter.split("<dt>Code</dt><dd class=\"code\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(letter.contains("bo.li") && letter.contains("mail.example.edu") && letter.contains("@media print"));
    let twice = provost(node, &["activation", "letters", "bo.li", "--out", path]).unwrap();
    assert_eq!(twice.code, Some(1), "an earlier file was overwritten: {twice:?}");

    let wrong = post(node, "/activate", &format!("name=test.p01&code={code}"));
    assert!(wrong.status == 422 && wrong.body.contains("do not belong together"), "{}", wrong.body);
    let right = post(node, "/activate", &format!("name=bo.li&code={}", code.to_uppercase()));
    assert_eq!(right.status, 303, "{}", right.body);
    let page = right.header("location").to_owned();
    assert_eq!(post(node, &page, &new_passwords("a sheet of paper")).status, 200);
    assert!(logs_in(node, "bo.li", "a sheet of paper"));
}

fn an_initial_password_must_be_changed(node: &Node) {
    let person = SamplePerson::of(1);
    let (uid, initial) = (person.uid(), person.password());
    assert!(logs_in(node, &uid, &initial), "mail works with the password of the file");
    let sign_in =
        |password: &str| post(node, "/sign-in", &format!("name={uid}&password={}", password.replace(' ', "+")));
    let led = sign_in(&initial);
    assert!(
        led.status == 303 && led.header("location").starts_with("/password?name=test%2Ep01&due=initial"),
        "{led:?}"
    );
    let page = get(node, led.header("location"));
    assert!(page.body.contains("Somebody else has chosen your password"), "{}", page.body);

    // Without the grace for mail, mail programs are told where to go.
    run(node, &["settings", "set", "must-change-allows-mail", "no"]);
    let refused = deadline::until(LIMIT, || {
        let mut client = TextClient::open(node.address(Port::Imap))?;
        client.next()?;
        client.send_line(&format!("a LOGIN {uid} \"{initial}\""))?;
        let reply = client.next()?.unwrap_or_default();
        Ok(reply.contains("EXPIRED").then_some(reply))
    });
    assert!(refused.unwrap().0.contains(&format!("{WEB}/password")));

    let old = initial.replace(' ', "+");
    for (present, new, status, text) in [
        ("wrong", "of my own choice", 422, "is wrong"),
        (old.as_str(), "secret of p01", 422, "present password"),
        (old.as_str(), "of my own choice", 200, "Your password was changed"),
    ] {
        let reply = post(node, "/password", &format!("name={uid}&password={present}&{}", new_passwords(new)));
        assert_eq!(reply.status, status, "{new}: {}", reply.body);
        assert!(reply.body.contains(text), "{new}: {}", reply.body);
    }
    assert!(logs_in(node, &uid, "of my own choice"));
    let signed = deadline::until(LIMIT, || Ok((sign_in("of my own choice").header("location") == "/").then_some(())));
    assert!(signed.is_ok(), "the person is led to the change again");

    // RFC 3062 follows the site's rules too.
    let ldap = Ldap::of(node);
    let dn = ldap.dn(&format!("(uid={uid})")).unwrap();
    let reused = ldap.with(&dn, "of my own choice").run("ldappasswd", &["-s", &initial]).unwrap();
    assert!(reused.code != Some(0) && format!("{reused:?}").contains("one of the last 5"), "{reused:?}");
}
