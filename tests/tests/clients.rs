//! Third-party mail programs against a running node: Python's libraries, mbsync, fetchmail, curl.
#![allow(clippy::unwrap_used)] // A test fails by a panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use provost_tests::{Node, Options, Port, SamplePerson, mail, run};

/// Number of people on the node. No two Python files use the same person. The INBOX of each person is empty at first,
/// except that of person 1, which has the message that the quickstart sends.
const PEOPLE: u32 = 7;
const TEXT: &str =
    "From: a@example.net\r\nSubject: first\r\nMessage-ID: <first@example.net>\r\n\r\n.hello\r\nlast line\r\n";

fn node() -> Node {
    Node::start_with(Options { people: Some(PEOPLE), ..Options::default() }).unwrap()
}

fn python(node: &Node, file: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(file);
    let mut command = Command::new("python3");
    command.arg(&file).env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, port) in [
        ("MX", Port::Mx),
        ("SUBMISSION", Port::Submission),
        ("SUBMISSIONS", Port::Submissions),
        ("LMTP", Port::Lmtp),
        ("IMAP", Port::Imap),
        ("IMAPS", Port::Imaps),
        ("POP3", Port::Pop3),
        ("POP3S", Port::Pop3s),
    ] {
        command.env(format!("PORT_{name}"), node.port(port).to_string());
    }
    for person in (1..=PEOPLE).map(SamplePerson::of) {
        command.env(format!("USER{}", person.number), person.mail());
        command.env(format!("PASSWORD{}", person.number), person.password());
    }
    println!("{}", run(&mut command).unwrap().good().unwrap());
}

fn deliver(node: &Node, to: &SamplePerson, text: &str) {
    mail::send(node.address(Port::Lmtp), None, "a@example.net", &[&to.mail()], text).unwrap();
}

fn inbox(node: &Node, person: &SamplePerson) -> Vec<String> {
    mail::inbox(node.address(Port::Imap), &person.mail(), &person.password()).unwrap()
}

#[test]
fn python_libraries() {
    let node = node();
    for file in ["imap.py", "pop3.py", "smtp.py"] {
        python(&node, file);
    }
}

/// Twenty connections read and change two mailboxes concurrently; no response contradicts another. For a longer run,
/// start `scripts/bench/imapstress` by hand.
#[test]
fn concurrent_sessions_agree() {
    let (node, person) = (node(), SamplePerson::of(3));
    let mut stress = Command::new(provost_tests::node::checkout().join("scripts/bench/imapstress"));
    stress.arg(format!("127.0.0.1:{}", node.port(Port::Imap))).arg(format!("{}:{}", person.mail(), person.password()));
    stress.args(["--seconds", "10", "--checkpoint", "2"]);
    let found = run(&mut stress).unwrap().good().unwrap();
    assert!(found.trim_end().ends_with(" 0 errors"), "{found}");
}

#[test]
fn odd_messages_come_out_as_they_went_in() {
    python(&node(), "roundtrip.py");
}

/// A maildir: file names with their flags, and the content of the files.
fn maildir(folder: &Path) -> Vec<(String, String)> {
    let files = ["new", "cur"].iter().filter_map(|part| fs::read_dir(folder.join(part)).ok()).flatten();
    let mut found: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn mbsync_synchronises_in_both_directions() {
    let (node, person) = (node(), SamplePerson::of(2));
    deliver(&node, &person, TEXT);
    deliver(&node, &person, &TEXT.replace("first", "second"));
    let (config, mails) = (node.folder().join("mbsyncrc"), node.folder().join("mails"));
    fs::create_dir(&mails).unwrap();
    let text = format!(
        "IMAPAccount node\nHost 127.0.0.1\nPort {}\nUser {}\nPass \"{}\"\nSSLType STARTTLS\nCertificateFile {}\n\n\
         IMAPStore far\nAccount node\n\nMaildirStore near\nPath {mails}/\nInbox {mails}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns * \nCreate Both\nExpunge Both\nSyncState *\n",
        node.port(Port::Imap),
        person.mail(),
        person.password(),
        node.data().join("tls/cert.pem").display(),
        mails = mails.display(),
    );
    fs::write(&config, text).unwrap();
    let sync = || run(Command::new("mbsync").arg("-c").arg(&config).arg("-a")).unwrap().good().unwrap();

    sync();
    let local = mails.join("INBOX");
    let found = maildir(&local);
    assert_eq!(found.len(), 2, "{found:?}");
    // Compare only the body: mbsync appends an X-TUID header field.
    assert!(found.iter().all(|(_, text)| text.ends_with("\n\n.hello\nlast line\n")), "{found:?}");

    let own = "From: me@example.edu\nSubject: third, flagged\n\nmade here\n";
    fs::write(local.join("cur/1700000000.1_1.here:2,FS"), own).unwrap();
    sync();
    let found = inbox(&node, &person);
    assert_eq!(found.len(), 3);
    assert!(
        found[2].contains("Subject: third, flagged\r\n") && found[2].ends_with("\r\n\r\nmade here\r\n"),
        "{}",
        found[2]
    );
    let mut imap = provost_tests::TextClient::open(node.address(Port::Imap)).unwrap();
    imap.until(&["* OK"]).unwrap();
    imap.ask(&format!("a LOGIN \"{}\" \"{}\"", person.mail(), person.password()), &["a OK"]).unwrap();
    imap.ask("b SELECT INBOX", &["b OK"]).unwrap();
    let flags = imap.ask("c FETCH 3 FLAGS", &["c OK"]).unwrap().concat();
    assert!(flags.contains("\\Flagged") && flags.contains("\\Seen"), "{flags}");

    // Deletions, \Seen and a new mailbox on the server reach the maildir.
    imap.ask("d STORE 1 +FLAGS.SILENT (\\Deleted)", &["d OK"]).unwrap();
    imap.ask("e EXPUNGE", &["e OK"]).unwrap();
    imap.ask("f STORE 1 +FLAGS.SILENT (\\Seen)", &["f OK"]).unwrap();
    imap.ask("g CREATE Projets", &["g OK"]).unwrap();
    imap.ask("h COPY 1 Projets", &["h OK"]).unwrap();
    sync();
    let found = maildir(&local);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(!found.iter().any(|(_, text)| text.contains("Subject: first")), "{found:?}");
    assert!(found.iter().any(|(name, text)| name.ends_with(":2,S") && text.contains("Subject: second")), "{found:?}");
    assert_eq!(maildir(&mails.join("Projets")).len(), 1);

    // A deletion in the maildir reaches the server.
    let (name, _) = found.iter().find(|(_, text)| text.contains("Subject: second")).unwrap();
    let file = ["new", "cur"].iter().map(|part| local.join(part).join(name)).find(|file| file.exists()).unwrap();
    fs::remove_file(file).unwrap();
    sync();
    assert_eq!(inbox(&node, &person).len(), 1);
    let before = (maildir(&local), inbox(&node, &person));
    sync();
    assert_eq!(before, (maildir(&local), inbox(&node, &person)), "a second sync must change nothing");
}

#[test]
fn fetchmail_fetches_each_message_once() {
    let node = node();
    for (number, protocol, port, tls) in [
        (2, "imap", Port::Imap, ""),
        (3, "pop3", Port::Pop3, ""),
        (4, "imap", Port::Imaps, "ssl"),
        (5, "pop3", Port::Pop3s, "ssl"),
    ] {
        let person = SamplePerson::of(number);
        deliver(&node, &person, TEXT);
        deliver(&node, &person, &TEXT.replace("first", "second"));
        let home = node.folder().join(format!("fetchmail{number}"));
        let fetched = node.folder().join(format!("fetched{number}"));
        fs::create_dir(&home).unwrap();
        let config = home.join("fetchmailrc");
        let text = format!(
            "poll 127.0.0.1 protocol {protocol} port {} auth password\n  \
             user \"{}\" password \"{}\" {tls} no sslcertck\n  no keep mda \"cat >> {}\"\n",
            node.port(port),
            person.mail(),
            person.password(),
            fetched.display(),
        );
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        // Run as root, fetchmail would use the system-wide pid file and refuse to run beside another fetchmail.
        let pid = home.join("pid");
        let fetch = || {
            let mut command = Command::new("fetchmail");
            command.env("FETCHMAILHOME", &home).env("HOME", &home).arg("--pidfile").arg(&pid).arg("-f").arg(&config);
            run(&mut command).unwrap()
        };
        fetch().good().unwrap();
        let text = fs::read_to_string(&fetched).unwrap();
        for words in ["Subject: first", "Subject: second", "\n.hello\nlast line\n"] {
            assert!(text.contains(words), "{protocol} {tls}: no {words} in\n{text}");
        }
        assert_eq!(text.matches("Subject: ").count(), 2, "{text}");
        assert!(inbox(&node, &person).is_empty(), "{protocol} {tls}");
        // Exit code 1: no mail.
        assert_eq!(fetch().code, Some(1));
    }
}

#[test]
fn curl_reads_and_sends() {
    let (node, person) = (node(), SamplePerson::of(2));
    let login = format!("{}:{}", person.mail(), person.password());
    let curl =
        |arguments: &[&str]| run(Command::new("curl").args(["-sS", "--max-time", "30", "-k"]).args(arguments)).unwrap();
    let url = |scheme: &str, port: Port, path: &str| format!("{scheme}://127.0.0.1:{}{path}", node.port(port));
    let message_file = node.folder().join("message");
    let text = "From: me\r\nSubject: by curl\r\n\r\n.one\r\n..two\r\n";
    fs::write(&message_file, text).unwrap();
    let message_file = message_file.to_str().unwrap();
    let from = person.mail();
    let send = |url: &str, login: &str| {
        curl(&["--ssl-reqd", url, "--user", login, "--mail-from", &from, "--mail-rcpt", &from, "-T", message_file])
    };
    send(&url("smtp", Port::Submission, ""), &login).good().unwrap();
    send(&url("smtps", Port::Submissions, ""), &login).good().unwrap();
    // 67: login denied.
    assert_eq!(send(&url("smtp", Port::Submission, ""), "nobody:wrong").code, Some(67));

    for (scheme, port, path) in [
        ("imap", Port::Imap, "/INBOX;MAILINDEX=1"),
        ("imaps", Port::Imaps, "/INBOX;UID=2"),
        ("pop3", Port::Pop3, "/1"),
        ("pop3s", Port::Pop3s, "/2"),
    ] {
        let found = curl(&["--user", &login, &url(scheme, port, path)]).good().unwrap();
        assert!(
            found.starts_with("Return-Path: <test.p02@example.edu>\r\n") && found.ends_with(text),
            "{scheme}: {found}"
        );
    }
    for (scheme, port) in [("imap", Port::Imap), ("pop3", Port::Pop3)] {
        curl(&["--ssl-reqd", "--user", &login, &url(scheme, port, "/")]).good().unwrap();
        assert_eq!(curl(&["--user", "nobody:wrong", &url(scheme, port, "/")]).code, Some(67), "{scheme}");
    }
    let found = curl(&["--user", &login, &url("imap", Port::Imap, "/INBOX?SUBJECT%20curl")]).good().unwrap();
    assert_eq!(found.trim_end(), "* SEARCH 1 2");
    curl(&["--user", &login, &url("imap", Port::Imap, "/Drafts"), "-T", message_file]).good().unwrap();
    let found = curl(&["--user", &login, &url("imap", Port::Imap, "/Drafts;UID=1")]).good().unwrap();
    assert_eq!(found, text);
}
