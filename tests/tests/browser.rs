//! The help desk in a real browser: a clerk's steps in `browser/helpdesk.mjs`, and their effect on the mail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use provost_tests::command::provost;
use provost_tests::ldap::Ldap;
use provost_tests::{MailSink, Node, Options, Port, deadline, mail, node, run};

const PEOPLE: &str = "\
person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password
B1,Zoé,D'Amours-Lœuillet,2001-02-03,zoe@example.net,student,Biologie,2026-09-01,,secret of zoe
B2,Jiří,Němcová,1971-02-03,,faculty,Musique,2003-09-01,,secret of jiri
B3,Ángel,Weiß,1981-02-03,,staff,Bibliothèque,2013-09-01,,secret of angel
";
const PERSON: &str = "Zoé D'Amours-Lœuillet";
const MAIL: &str = "zoe.damours-loeuillet@example.edu";
const ALIAS: &str = "zoe@example.edu";
const TAKEN: &str = "jiri.nemcova@example.edu";
const STRANGER: &str = "angel.weiss";
const ADMIN: &str = "jiri.nemcova";
const OUTSIDE: &str = "outside@example.net";
const AWAY: &str = "away@example.org";
/// Longest time for a change to reach the mail core, and for a reply to reach the relay.
const LIMIT: Duration = Duration::from_secs(10);

struct Clerk {
    node: Node,
    sink: MailSink,
}

impl Clerk {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.csv");
        std::fs::write(&file, PEOPLE).unwrap();
        let sink = MailSink::start().unwrap();
        let node =
            Node::start_with(Options { import: Some(file), relay: Some(sink.relay()), ..Options::default() }).unwrap();
        // Both have chosen a password: one that a file set would lead to the page that changes it.
        let ldap = Ldap::of(&node);
        for (uid, more) in [(STRANGER, ""), (ADMIN, "-\nadd: provostRole\nprovostRole: admin\n")] {
            let dn = ldap.dn(&format!("(uid={uid})")).unwrap();
            let chosen = format!("dn: {dn}\nchangetype: modify\ndelete: provostCredentialState\n{more}");
            ldap.feed("ldapmodify", &chosen).unwrap().good().unwrap();
        }
        provost(&node, &["settings", "set", "quota-classes", "research 5000000"]).unwrap().good().unwrap();
        Self { node, sink }
    }

    /// Runs one step in the browser; returns the line that the step printed.
    fn does(&self, step: &str) -> String {
        let mut command = Command::new("node");
        command
            .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser"))
            .args(["helpdesk.mjs", step])
            .env("BASE", format!("http://{}", self.node.address(Port::Http)))
            .env("NAME", "helpdesk")
            .env("PASSWORD", self.node.secret("helpdesk-password"))
            .env("STRANGER", STRANGER)
            .env("STRANGER_PASSWORD", "secret of angel")
            .env("ADMIN", ADMIN)
            .env("ADMIN_PASSWORD", "secret of jiri")
            .env("AWAY", AWAY)
            .env("PERSON", PERSON)
            .env("ALIAS", ALIAS)
            .env("TAKEN", TAKEN);
        run(&mut command).unwrap().good().unwrap_or_else(|error| panic!("{step}: {error}"))
    }

    fn write_to(&self, recipient: &str, from: &str) {
        let text = format!("From: {from}\r\nTo: {recipient}\r\nSubject: Question\r\n\r\nHello?\r\n");
        mail::send(self.node.address(Port::Mx), None, from, &[recipient], &text).unwrap();
    }

    fn rcpt_reply(&self, recipient: &str) -> String {
        mail::rcpt_reply(self.node.address(Port::Mx), recipient).unwrap()
    }

    /// Waits until the person may log in by IMAP with the password of the file, or may not.
    fn wait_for_login(&self, may: bool) {
        let imap = self.node.address(Port::Imap);
        let answered = || Ok((mail::logs_in_by_imap(imap, MAIL, "secret of zoe")? == may).then_some(()));
        deadline::until(LIMIT, answered).unwrap();
    }

    /// Waits until RCPT for the alias gets this code.
    fn wait_for_rcpt_code(&self, code: &str) {
        let gets_code = || Ok(self.rcpt_reply(ALIAS).starts_with(code).then_some(()));
        deadline::until(LIMIT, gets_code).unwrap_or_else(|_| panic!("{ALIAS}: no {code} within {LIMIT:?}"));
    }
}

/// A clerk's tasks as one sequence: each step continues from the one before.
#[test]
fn an_afternoon_at_the_help_desk() {
    assert!(
        node::checkout().join("tests/browser/node_modules").exists(),
        "run npm install in tests/browser, as scripts/test does"
    );
    let clerk = Clerk::start();
    clerk.does("refused");

    let output = clerk.does("vacation");
    assert!(output.contains(MAIL), "{output}");
    let before = clerk.sink.accepted().len();
    assert_eq!(before, 0, "mail was sent before anything could cause it");
    clerk.write_to(MAIL, OUTSIDE);
    let reply = clerk.sink.wait_for(OUTSIDE, LIMIT).unwrap();
    assert_eq!(reply.reverse_path, "", "RFC 3834 §3.3: a reply has the null reverse-path");
    let text = decoded(&String::from_utf8_lossy(&reply.text));
    for part in ["Je suis absente jusqu’à la rentrée.", "Écrivez à Noëlle.", "Auto-Submitted: auto-replied"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    clerk.does("keyboard");
    assert!(clerk.rcpt_reply(ALIAS).starts_with("550"));
    clerk.does("alias");
    clerk.wait_for_rcpt_code("250");
    clerk.does("suspend");
    clerk.wait_for_login(false);
    clerk.does("release");
    clerk.wait_for_login(true);

    clerk.does("forward");
    let forwarded = || {
        clerk.write_to(MAIL, OUTSIDE);
        Ok(clerk.sink.wait_for(AWAY, Duration::from_secs(1)).ok())
    };
    deadline::until(LIMIT, forwarded).unwrap();
    clerk.does("quota");
    clerk.does("own");
    clerk.does("stranger");

    clerk.does("accessibility");
    clerk.does("languages");
    clerk.does("unalias");
    clerk.wait_for_rcpt_code("550");
    clerk.does("clear");
    clerk.does("unforward");

    let printed = clerk.does("password");
    let password = printed.trim().trim_start_matches("{\"password\":\"").trim_end_matches("\"}");
    let imap = clerk.node.address(Port::Imap);
    let look = || Ok(mail::logs_in_by_imap(imap, MAIL, password)?.then_some(()));
    deadline::until(LIMIT, look).unwrap();
    assert!(!mail::logs_in_by_imap(imap, MAIL, "secret of zoe").unwrap(), "the old password must be refused");
}

/// A message's header fields and text, decoded (RFC 2047, RFC 2045 §6).
fn decoded(text: &str) -> String {
    let script = "import sys,email,email.policy as p\n\
        m=email.message_from_bytes(sys.stdin.buffer.read(),policy=p.default)\n\
        print('\\n'.join(f'{k}: {v}' for k,v in m.items()));print(m.get_body().get_content())";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec python3 -c \"$0\" < \"$1\"", script]).arg(file.path());
    run(&mut command).unwrap().good().unwrap()
}
