//! A node that has OpenLDAP's slapd 2.5 as its directory. The tests cover import, logins and changes of the directory,
//! and how the node behaves while slapd is down or has lost entries.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use provost_tests::access::RestrictedPerson;
use provost_tests::concurrent::ConcurrentSite;
use provost_tests::conversation::base64;
use provost_tests::http::Race;
use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::node::{Ports, binary, checkout, wait_port};
use provost_tests::{MailSink, Port, Ran, SamplePerson, TextClient, deadline, http, mail, people, run, settings};
use tempfile::TempDir;

/// Longest time until the mail core follows a change of the directory.
const EFFECT_LIMIT: Duration = Duration::from_secs(1);
/// Longest time until a node with a parked refresh follows a restored server. Such a node tries every 30 seconds.
const RESTORED_LIMIT: Duration = Duration::from_secs(60);
/// Longest time for each other wait.
const LIMIT: Duration = Duration::from_secs(30);
/// A token of the REST API, and its BLAKE3 digest in hexadecimal.
const TOKEN: &str = "076a7f514dfead4c02e8c6c5b836c217";
const TOKEN_DIGEST: &str = "e5f37fe130be166cb9d69d87171b5c78e8e5bd6155ba5b7f339dfded4583d272";
/// Exit code: the directory is unavailable.
const UNAVAILABLE: Option<i32> = Some(5);

/// A slapd with the project's schema, set up by the project's own script; stopped when dropped.
struct Slapd {
    folder: PathBuf,
    port: u16,
    pid: Option<String>,
    /// The section of the node's configuration that the script printed.
    section: String,
}

impl Slapd {
    fn start(folder: &Path, port: u16) -> Self {
        let mut slapd = Self { folder: folder.join("slapd"), port, pid: None, section: String::new() };
        slapd.launch();
        slapd
    }

    fn launch(&mut self) {
        let mut command = Command::new(checkout().join("scripts/deploy/slapd"));
        command.arg("--background").arg(&self.folder).arg(self.port.to_string());
        // Into a file, not a pipe: slapd in the background would hold a pipe open.
        let (out, log) = (self.folder.with_extension("section"), self.folder.with_extension("log"));
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        assert!(command.status().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
        self.section = fs::read_to_string(&out).unwrap();
        self.pid = Some(fs::read_to_string(self.folder.join("slapd.pid")).unwrap().trim().to_owned());
    }

    /// Stops slapd, and waits until its process is gone.
    fn stop(&mut self) {
        let Some(pid) = self.pid.take() else { return };
        let _ = Command::new("kill").arg(&pid).status();
        let gone = || Ok((!Path::new("/proc").join(&pid).exists()).then_some(()));
        deadline::until(LIMIT, gone).unwrap();
    }

    /// All entries of slapd with their operational attributes, as LDIF.
    fn dump(&self) -> String {
        let mut command = Command::new("/usr/sbin/slapcat");
        command.args(["-o", "ldif_wrap=no", "-n", "1", "-F"]).arg(self.folder.join("config"));
        run(&mut command).unwrap().good().unwrap()
    }

    /// Starts slapd again with exactly these entries.
    fn restore(&mut self, entries: &str) {
        self.stop();
        let (data, file) = (self.folder.join("data"), self.folder.join("restore.ldif"));
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        fs::write(&file, entries).unwrap();
        let mut command = Command::new("/usr/sbin/slapadd");
        command.args(["-q", "-n", "1", "-F"]).arg(self.folder.join("config")).arg("-l").arg(&file);
        run(&mut command).unwrap().good().unwrap();
        self.launch();
    }

    fn ldap(&self) -> Ldap {
        let password = fs::read_to_string(self.folder.join("secrets/provost")).unwrap();
        Ldap::bound(
            format!("ldap://127.0.0.1:{}", self.port),
            &format!("cn=provost,ou=services,{SUFFIX}"),
            password.trim(),
        )
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some(pid) = &self.pid {
            let _ = Command::new("kill").arg(pid).status();
        }
    }
}

/// `provost serve` with a configuration written by hand.
struct Site {
    folder: TempDir,
    ports: Ports,
    slapd: Slapd,
    child: Option<Child>,
}

impl Site {
    fn start(relay: &MailSink) -> Self {
        let folder = tempfile::Builder::new().prefix("provost-slapd").tempdir().unwrap();
        let ports = Ports::find().unwrap();
        let slapd = Slapd::start(folder.path(), ports.of(Port::Ldap));
        let mut site = Self { folder, ports, slapd, child: None };
        site.configure(relay);
        let made = site.provost(&["directory", "init"]).good().unwrap();
        assert!(made.contains("made provostDomain=example.edu"), "{made}");
        assert!(site.provost(&["directory", "init"]).good().unwrap().contains("0 made"));
        site.serve();
        site
    }

    /// Writes the configuration that docs/configuration.md describes, with the section that the script printed.
    fn configure(&self, relay: &MailSink) {
        let listeners: String = [
            ("mx", Port::Mx),
            ("submission", Port::Submission),
            ("lmtp", Port::Lmtp),
            ("imap", Port::Imap),
            ("pop3", Port::Pop3),
            ("http", Port::Http),
            ("health", Port::Health),
        ]
        .map(|(name, port)| format!("{name} = \"{}\"\n", self.ports.address(port)))
        .concat();
        let text = format!(
            "[node]\nhostname = \"mail.example.edu\"\ndata = \"{}\"\n\n{}\n[listeners]\n{listeners}\n\
             [queue]\nrelay = \"{}\"\n\n[api]\ntokens_file = \"{}\"\ntoken_file = \"{}\"\n",
            self.folder.path().join("data").display(),
            self.slapd.section,
            relay.relay(),
            self.folder.path().join("tokens").display(),
            self.folder.path().join("token").display(),
        );
        fs::write(self.folder.path().join("tokens"), format!("test:{TOKEN_DIGEST}\n")).unwrap();
        fs::write(self.folder.path().join("token"), TOKEN).unwrap();
        fs::create_dir_all(self.folder.path().join("data")).unwrap();
        fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("provost.toml")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn serve(&mut self) {
        let out = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.config()).arg("serve").stdin(Stdio::null());
        self.child = Some(command.stderr(out.try_clone().unwrap()).stdout(out).spawn().unwrap());
        for port in [Port::Mx, Port::Imap, Port::Pop3, Port::Submission, Port::Lmtp, Port::Http] {
            wait_port(self.ports.address(port)).unwrap();
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn provost(&self, arguments: &[&str]) -> Ran {
        run(Command::new(binary()).arg("--config").arg(self.config()).args(arguments)).unwrap()
    }

    fn rcpt_reply(&self, address: &str) -> anyhow::Result<String> {
        mail::rcpt_reply(self.ports.address(Port::Mx), address)
    }

    /// Waits until RCPT for an address gets this code; returns the time that passed.
    fn wait_for(&self, address: &str, code: &str, limit: Duration) -> Duration {
        let look = || Ok(self.rcpt_reply(address)?.starts_with(code).then_some(()));
        let waited = deadline::until(limit, look);
        waited.unwrap_or_else(|error| panic!("{address} {code}: {error}, now {:?}", self.rcpt_reply(address))).1
    }

    /// Every person of the sample logs in. Returns the output of `logins.py`, which ends with the numbers of the lines
    /// that the import left out.
    fn everybody_logs_in(&self, entries: &Path) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/logins.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(sample()).arg(entries).env("PYTHONDONTWRITEBYTECODE", "1");
        for (name, port) in [("IMAP", Port::Imap), ("POP3", Port::Pop3), ("SUBMISSION", Port::Submission)] {
            command.env(format!("PORT_{name}"), self.ports.of(port).to_string());
        }
        run(&mut command).unwrap().good().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("output of the node:\n{}", self.log());
        }
        self.kill();
    }
}

fn sample() -> PathBuf {
    checkout().join("docs/sample/people.csv")
}

/// The access rules of `scripts/deploy/slapd`: a person reads their own entry without verifiers, history and links.
fn secrets_of_a_password_are_hidden(site: &Site, ldap: &provost_tests::ldap::Ldap) {
    let file = std::fs::read_to_string(sample()).unwrap();
    let row = file.lines().find(|line| line.contains("Tremblay")).unwrap();
    let password = row.rsplit(',').next().unwrap();
    let dn = ldap.dn("(uid=zoe.tremblay)").unwrap();
    let change = format!(
        "dn: {dn}\nchangetype: modify\nadd: provostActivation\nprovostActivation: digest 20260101000000Z\n-\n\
         add: provostPasswordHistory\nprovostPasswordHistory: 20260101000000Z {{SSHA}}hash\n"
    );
    ldap.feed("ldapmodify", &change).unwrap().good().unwrap();
    let secrets = ["userPassword", "provostScram", "provostPasswordHistory", "provostActivation"];
    let names = ["*", "+"].into_iter().chain(secrets).collect::<Vec<_>>();
    let all = ldap.search("(uid=zoe.tremblay)", &names).unwrap().good().unwrap();
    assert!(secrets.iter().all(|name| all.contains(&format!("{name}:"))), "the service identity reads all: {all}");
    let own = ldap.with(&dn, password);
    let arguments: Vec<&str> = ["-b", &dn, "-s", "base", "(objectClass=*)"].into_iter().chain(names).collect();
    let seen = own.run("ldapsearch", &arguments).unwrap().good().unwrap();
    assert!(seen.contains("uid: zoe.tremblay"), "{seen}");
    assert!(secrets.iter().all(|name| !seen.contains(&format!("{name}:"))), "a person reads a secret: {seen}");
    for name in secrets {
        let found = own.run("ldapsearch", &["-b", &dn, "-s", "base", &format!("({name}=*)"), "uid"]).unwrap();
        assert!(!found.out.contains("uid: zoe"), "a person finds their {name}: {found:?}");
    }
    let clear = format!("dn: {dn}\nchangetype: modify\ndelete: provostActivation\n-\ndelete: provostPasswordHistory\n");
    ldap.feed("ldapmodify", &clear).unwrap().good().unwrap();
    site.wait_for("zoe.tremblay@example.edu", "250", LIMIT);
}

#[test]
fn openldap_takes_the_place_of_the_embedded_server() {
    let sink = MailSink::start().unwrap();
    let mut site = Site::start(&sink);
    let ldap = site.slapd.ldap();

    // Import, logins, and a second import that changes nothing.
    let file = sample();
    let done = site.provost(&["import", file.to_str().unwrap()]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let mut left_out: Vec<&str> = done
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("line ")?.split_once(", column "))
        .filter(|(_, problem)| !problem.contains(": warning: "))
        .map(|(line, _)| line)
        .collect();
    left_out.dedup();
    let again = site.provost(&["import", file.to_str().unwrap()]);
    assert!(again.code == Some(4) && again.out.contains("0 writes"), "{again:?}");
    let entries = ldap.write_addresses(site.folder.path().join("people.ldif")).unwrap();
    site.wait_for("zoe.tremblay@example.edu", "250", LIMIT);
    let output = site.everybody_logs_in(&entries);
    println!("{}", output.trim());
    assert!(output.trim().ends_with(&format!("left out: {}", left_out.join(" "))), "{output}\n{left_out:?}");

    // Changes by OpenLDAP tools.
    the_imported_person_is_found(&ldap);
    secrets_of_a_password_are_hidden(&site, &ldap);
    an_alias_and_a_vacation_take_effect(&site, &ldap, &sink);

    // When two writers use one version, one of them is refused.
    for (race, rounds) in [(Race::Vacation("zoe.tremblay"), 200), (Race::Setting("message-size"), 100)] {
        http::two_puts_with_one_etag(site.ports.address(Port::Http), TOKEN, &race, rounds).unwrap();
    }

    // Shared settings take effect within a second.
    let provost = |arguments: &[&str]| site.provost(arguments);
    let (lmtp, http) = (site.ports.address(Port::Lmtp), site.ports.address(Port::Http));
    let person = "aoife.nidhomhnaill@example.edu".to_owned();
    let settings = settings::Site { ldap: &ldap, provost: &provost, lmtp, http, token: TOKEN.to_owned(), person };
    settings.a_default_quota_is_obeyed().unwrap();
    settings.a_time_zone_is_obeyed().unwrap();
    settings.a_guard_is_obeyed_and_a_bad_one_ignored().unwrap();
    settings.the_command_refuses_what_is_bad().unwrap();

    // Behaviour without the directory.
    let (known, unknown) = ("zoe.tremblay@example.edu", "nobody.of.that.name@example.edu");
    assert!(site.rcpt_reply(unknown).unwrap().starts_with("550"));
    site.slapd.stop();
    println!("unknown is deferred {:?} after slapd ended", site.wait_for(unknown, "451", LIMIT));
    works_without_directory(&site, &entries, known, unknown);
    let refused = site.provost(&["person", "show", "zoe.tremblay"]);
    assert_eq!(refused.code, UNAVAILABLE, "{refused:?}");
    let refused = site.provost(&["import", file.to_str().unwrap()]);
    assert_eq!(refused.code, UNAVAILABLE, "{refused:?}");

    let status = site.provost(&["directory", "status"]);
    let is_reported = status.out.contains("DEAD") && status.out.contains("node        follows no server");
    assert!(status.code == UNAVAILABLE && is_reported, "{status:?}");

    tokens_and_audit_need_no_directory(&site);

    // A restart while the directory is down.
    site.kill();
    site.serve();
    works_without_directory(&site, &entries, known, unknown);

    site.slapd.launch();
    println!("unknown is refused {:?} after slapd came back", site.wait_for(unknown, "550", LIMIT));
    let status = site.provost(&["directory", "status"]).good().unwrap();
    assert!(status.contains("people      243"), "{status}");
    a_removed_alias_is_refused(&site, &ldap);

    // Changes made while the node was down.
    site.kill();
    let dn = ldap.dn("(uid=aoife.nidhomhnaill)").unwrap();
    let address = "provostAddress=aoife.nidhomhnaill@example.edu,ou=addresses";
    ldap.run("ldapdelete", &[&dn, &format!("{address},{SUFFIX}")]).unwrap().good().unwrap();
    ldap.feed("ldapadd", &alias_entry("library@example.edu", &ldap.dn("(uid=zoe.tremblay)").unwrap()))
        .unwrap()
        .good()
        .unwrap();
    site.serve();
    site.wait_for("library@example.edu", "250", LIMIT);
    site.wait_for("aoife.nidhomhnaill@example.edu", "550", LIMIT);
}

/// A node parks a refresh that lacks the domains, the addresses or the policies, and keeps its last accepted View. It
/// follows the directory again when the entries are back.
#[test]
fn a_refresh_without_a_container_is_parked() {
    let sink = MailSink::start().unwrap();
    let mut site = Site::start(&sink);
    let ldap = site.slapd.ldap();
    site.provost(&["import", sample().to_str().unwrap()]);
    site.wait_for("zoe.tremblay@example.edu", "250", LIMIT);
    let zoe = ldap.dn("(uid=zoe.tremblay)").unwrap();
    let role = alias_entry("bursar@example.edu", &zoe).replace("provostAddressKind: alias", "provostAddressKind: role");
    ldap.feed("ldapadd", &role).unwrap().good().unwrap();
    site.provost(&["settings", "set", "default-quota", "5000000000"]).good().unwrap();
    site.wait_for("bursar@example.edu", "250", LIMIT);
    for lost in ["domains", "addresses", "policies"] {
        let whole = site.slapd.dump();
        ldap.run("ldapdelete", &["-r", &format!("ou={lost},{SUFFIX}")]).unwrap().good().unwrap();
        mail_goes_on_while_a_refresh_is_parked(&site, lost);
        if lost == "addresses" {
            site.slapd.restore(&whole);
            site.wait_for("nobody.of.that.name@example.edu", "550", RESTORED_LIMIT);
        }

        site.kill();
        site.slapd.restore(&without(&whole, lost));
        // A later write and a restart: the node's cookie is now older than slapd's log, so slapd compares all entries.
        let later = format!("dn: {zoe}\nchangetype: modify\nreplace: description\ndescription: without {lost}\n");
        ldap.feed("ldapmodify", &later).unwrap().good().unwrap();
        site.slapd.stop();
        site.slapd.launch();
        site.serve();
        mail_goes_on_while_a_refresh_is_parked(&site, lost);
        // A node that starts tries a refresh at once; a node with a parked refresh would wait first.
        site.kill();
        site.slapd.restore(&whole);
        site.serve();
        site.wait_for("nobody.of.that.name@example.edu", "550", LIMIT);
    }
    let settings = site.provost(&["settings", "show"]).good().unwrap();
    assert!(settings.contains("5000000000"), "{settings}");
}

/// Known addresses are served, unknown ones deferred, and the operator is warned.
fn mail_goes_on_while_a_refresh_is_parked(site: &Site, lost: &str) {
    let is_parked = || Ok(site.provost(&["directory", "status"]).out.contains("PARKED").then_some(()));
    deadline::until(LIMIT, is_parked).unwrap_or_else(|error| panic!("without ou={lost}: {error}\n{}", site.log()));
    for (address, code) in [
        ("zoe.tremblay@example.edu", "250"),
        ("bursar@example.edu", "250"),
        ("nobody.of.that.name@example.edu", "451"),
        ("somebody@new.example.org", "451"),
    ] {
        let answer = site.rcpt_reply(address).unwrap();
        assert!(answer.starts_with(code), "without ou={lost}, {address}: {answer}");
    }
    let text = "Subject: parked\r\n\r\nx\r\n";
    mail::send(site.ports.address(Port::Mx), None, "a@example.net", &["zoe.tremblay@example.edu"], text).unwrap();
    let doctor = site.provost(&["doctor"]);
    assert!(doctor.out.contains("parked"), "{doctor:?}");
}

/// Removes a container and the entries below it from LDIF, as if the server had been restored only in part.
fn without(whole: &str, container: &str) -> String {
    let end = format!("ou={container},{SUFFIX}");
    let is_kept = |entry: &&str| !entry.lines().next().is_some_and(|dn| dn.ends_with(&end));
    whole.split("\n\n").filter(is_kept).collect::<Vec<_>>().join("\n\n")
}

/// While slapd is down, tokens can be made, listed and revoked, and the audit can be read.
fn tokens_and_audit_need_no_directory(site: &Site) {
    let token = site.provost(&["token", "create", "desk", "--role", "helpdesk1", "--expires", "1d"]).good().unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let request = http::HttpRequest { method: "GET", path: "/api/v1/status", headers: &[&bearer], body: "" };
    let status = || http::send(site.ports.address(Port::Http), request).unwrap().status;
    assert_eq!(status(), 200);
    assert!(site.provost(&["token", "list"]).good().unwrap().contains("desk"));
    site.provost(&["token", "revoke", "desk"]).good().unwrap();
    assert_eq!(status(), 401);
    assert!(site.provost(&["audit", "list"]).good().unwrap().contains("token:desk"));
}

fn alias_entry(alias: &str, owner: &str) -> String {
    format!(
        "dn: provostAddress={alias},ou=addresses,{SUFFIX}\nobjectClass: provostAddressEntry\nprovostAddress: {alias}\n\
         provostAddressKind: alias\nprovostOwner: {owner}\n"
    )
}

fn the_imported_person_is_found(ldap: &Ldap) {
    for filter in ["(uid=zoe.tremblay)", "(mail=zoe.tremblay@example.edu)", "(employeeNumber=20260001)"] {
        let output = ldap.search(filter, &["*", "+"]).unwrap().good().unwrap();
        for line in [
            "uid: zoe.tremblay",
            "employeeNumber: 20260001",
            "objectClass: provostAccount",
            "eduPersonAffiliation: student",
        ] {
            assert!(output.lines().any(|text| text == line), "{filter}: no '{line}' in\n{output}");
        }
    }
}

fn an_alias_and_a_vacation_take_effect(site: &Site, ldap: &Ldap, sink: &MailSink) {
    let dn = ldap.dn("(uid=zoe.tremblay)").unwrap();
    let alias = "registrar.office@example.edu";
    let modify = format!("dn: {dn}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: {alias}\n");
    ldap.feed("ldapadd", &alias_entry(alias, &dn)).unwrap().good().unwrap();
    println!("alias accepted {:?} after ldapadd ended", site.wait_for(alias, "250", EFFECT_LIMIT));
    ldap.feed("ldapmodify", &modify).unwrap().good().unwrap();

    let vacation = format!(
        "dn: {dn}\nchangetype: modify\nreplace: mailAutoReplyMode\nmailAutoReplyMode: reply\n-\n\
         replace: mailAutoReplyText;lang-fr\nmailAutoReplyText;lang-fr: De retour lundi.\n"
    );
    ldap.feed("ldapmodify", &vacation).unwrap().good().unwrap();
    let mut number = 0;
    let probe = || {
        number += 1;
        let from = format!("probe{number}@example.net");
        let text = format!("From: {from}\r\nTo: {alias}\r\nSubject: probe\r\n\r\nx\r\n");
        mail::send(site.ports.address(Port::Mx), None, &from, &[alias], &text)?;
        Ok(sink.accepted().into_iter().next())
    };
    let (reply, after) = deadline::until(EFFECT_LIMIT, probe).unwrap();
    println!("vacation answered {after:?} after ldapmodify ended");
    assert!(String::from_utf8_lossy(&reply.text).contains("De retour lundi."), "{reply:?}");
}

/// Known addresses are served and unknown ones deferred: none is refused.
fn works_without_directory(site: &Site, entries: &Path, known: &str, unknown: &str) {
    assert!(site.rcpt_reply(known).unwrap().starts_with("250"));
    assert!(site.rcpt_reply("registrar.office@example.edu").unwrap().starts_with("250"));
    let answer = site.rcpt_reply(unknown).unwrap();
    assert!(answer.starts_with("451"), "{answer}");
    let answer = site.rcpt_reply("somebody@new.example.org").unwrap();
    assert!(answer.starts_with("451"), "an unknown domain must be deferred: {answer}");
    mail::send(site.ports.address(Port::Lmtp), None, "a@example.net", &[known], "Subject: without\r\n\r\nx\r\n")
        .unwrap();
    site.everybody_logs_in(entries);
}

fn a_removed_alias_is_refused(site: &Site, ldap: &Ldap) {
    let alias = "registrar.office@example.edu";
    ldap.run("ldapdelete", &[&format!("provostAddress={alias},ou=addresses,{SUFFIX}")]).unwrap().good().unwrap();
    let dn = ldap.dn("(uid=zoe.tremblay)").unwrap();
    let change = format!("dn: {dn}\nchangetype: modify\ndelete: mailLocalAddress\nmailLocalAddress: {alias}\n");
    ldap.feed("ldapmodify", &change).unwrap().good().unwrap();
    println!("alias gone {:?} after ldapdelete ended", site.wait_for(alias, "550", EFFECT_LIMIT));
}

/// The answers to a login: the last line of IMAP, POP3 and submission, and the HTTP status of the web.
fn logins(site: &Site, name: &str, password: &str) -> Vec<(&'static str, String)> {
    let last = |lines: Vec<String>| lines.last().cloned().unwrap_or_default();
    let mut imap = TextClient::open(site.ports.address(Port::Imap)).unwrap();
    imap.until(&["* OK"]).unwrap();
    let imap = last(imap.ask(&format!("a LOGIN {name} \"{password}\""), &["a "]).unwrap());
    let mut pop3 = TextClient::open(site.ports.address(Port::Pop3)).unwrap();
    pop3.until(&["+OK"]).unwrap();
    pop3.ask(&format!("USER {name}"), &["+OK"]).unwrap();
    let pop3 = last(pop3.ask(&format!("PASS {password}"), &["+OK", "-ERR"]).unwrap());
    let mut smtp = TextClient::open(site.ports.address(Port::Submission)).unwrap();
    smtp.until(&["220 "]).unwrap();
    smtp.ask("EHLO client.example", &["250 "]).unwrap();
    smtp.ask("AUTH LOGIN", &["334 "]).unwrap();
    smtp.ask(&base64(name.as_bytes()), &["334 "]).unwrap();
    let smtp = last(smtp.ask(&base64(password.as_bytes()), &["235 ", "4", "5"]).unwrap());
    let address = site.ports.address(Port::Http);
    let headers = ["Content-Type: application/x-www-form-urlencoded", &format!("Origin: http://{address}")];
    let body = format!("name={name}&password={}", password.replace(' ', "+"));
    let request = http::HttpRequest { method: "POST", path: "/sign-in", headers: &headers, body: &body };
    let web = http::send(address, request).unwrap().status.to_string();
    vec![("imap", imap), ("pop3", pop3), ("submission", smtp), ("web", web)]
}

/// Whether every thread of the process is stopped: on a busy machine some run on for a while after the signal.
fn is_stopped(pid: &str) -> anyhow::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        // The state follows the name, which stands in parentheses.
        if !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn assert_logins(site: &Site, password: &str, expect: [&str; 4], when: &str) {
    for ((protocol, answer), expect) in logins(site, "test.p01", password).into_iter().zip(expect) {
        assert!(answer.starts_with(expect), "{when}, {protocol}: {answer}");
    }
}

/// Only a server that has compared a password can find it wrong.
#[test]
fn no_password_is_called_wrong_while_slapd_cannot_compare_it() {
    const LATER: [&str; 4] = ["a NO [UNAVAILABLE]", "-ERR [SYS/TEMP]", "454 4.7.0", "503"];
    const WRONG: [&str; 4] = ["a NO [AUTHENTICATIONFAILED]", "-ERR [AUTH]", "535 5.7.8", "422"];
    let sink = MailSink::start().unwrap();
    let mut site = Site::start(&sink);
    let right = SamplePerson::of(1).password();
    site.provost(&["settings", "set", "password-scheme", "ssha"]).good().unwrap();
    let file = people::write_first(site.folder.path(), 1).unwrap();
    site.provost(&["import", file.to_str().unwrap()]).good().unwrap();
    site.wait_for(&SamplePerson::of(1).mail(), "250", LIMIT);
    site.kill();
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), text.replace("[directory]\n", "[directory]\npasswords = \"bind\"\n")).unwrap();
    site.serve();
    site.wait_for("nobody@example.edu", "550", LIMIT);
    assert_logins(&site, "typed wrong", WRONG, "with slapd");

    let pid = site.slapd.pid.clone().unwrap();
    let signal = |name: &str| assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    signal("STOP");
    deadline::until(LIMIT, || Ok(is_stopped(&pid)?.then_some(()))).unwrap();
    for round in 0..3 {
        assert_logins(&site, &format!("typed in round {round}"), LATER, "slapd is suspended");
    }
    assert_logins(&site, &right, LATER, "slapd is suspended");
    signal("CONT");
    let accepted = || Ok(logins(&site, "test.p01", &right)[0].1.starts_with("a OK").then_some(()));
    deadline::until(LIMIT, accepted).unwrap();
    site.slapd.stop();
    for round in 0..12 {
        assert_logins(&site, &format!("typed in vain {round}"), LATER, "slapd is dead");
    }
    site.slapd.launch();
    site.wait_for("nobody@example.edu", "550", LIMIT);
    let is_compared = || Ok(logins(&site, "test.p01", "typed later")[0].1.starts_with(WRONG[0]).then_some(()));
    deadline::until(LIMIT, is_compared).unwrap();
    assert_logins(&site, "typed at last", WRONG, "attempts without slapd must not count");
}

/// A lock, a restriction or a forwarding that is written to slapd shows in less than a second, also on live sessions.
#[test]
fn each_change_of_what_a_person_may_do_shows_within_a_second() {
    let sink = MailSink::start().unwrap();
    let site = Site::start(&sink);
    let (sample, ldap) = (SamplePerson::of(1), site.slapd.ldap());
    site.provost(&["settings", "set", "password-scheme", "ssha"]).good().unwrap();
    let file = people::write_first(site.folder.path(), 1).unwrap();
    site.provost(&["import", file.to_str().unwrap()]).good().unwrap();
    site.wait_for(&sample.mail(), "250", LIMIT);
    let person = RestrictedPerson {
        address: &|port| site.ports.address(port),
        ldap: &ldap,
        sink: &sink,
        login: &sample.uid(),
        password: &sample.password(),
        mail: &sample.mail(),
        make_token: &|| {
            let of =
                ["token", "create", "of-a-person", "--role", "admin", "--expires", "1d", "--person", &sample.uid()];
            Ok(site.provost(&of).good()?.trim().to_owned())
        },
    };
    person.each_change_shows_in_time().unwrap_or_else(|error| panic!("{error:#}\n{}", site.log()));
}

/// Lists over slapd behave as over the embedded directory.
#[test]
fn lists_work_over_slapd() {
    let sink = MailSink::start().unwrap();
    let site = Site::start(&sink);
    let ldap = site.slapd.ldap();
    site.provost(&["settings", "set", "password-scheme", "ssha"]).good().unwrap();
    let file = people::write_first(site.folder.path(), 3).unwrap();
    site.provost(&["import", file.to_str().unwrap()]).good().unwrap();
    site.wait_for(&SamplePerson::of(3).mail(), "250", LIMIT);
    let lists = provost_tests::lists::ListSite {
        address: &|port| site.ports.address(port),
        provost: &|arguments| Ok(site.provost(arguments)),
        ldap: &ldap,
        sink: &sink,
        folder: site.folder.path(),
    };
    lists.lists_work().unwrap_or_else(|error| panic!("{error:#}\n{}", site.log()));
}

/// Many writers over slapd lose nothing, as over the embedded directory.
#[test]
fn imports_changes_and_runs_at_once_lose_nothing_over_slapd() {
    let sink = MailSink::start().unwrap();
    let site = Site::start(&sink);
    let (ldap, run) = (site.slapd.ldap(), |arguments: &[&str]| Ok(site.provost(arguments)));
    let many = ConcurrentSite { provost: &run, ldap: &ldap, folder: site.folder.path() };
    many.partial_files_of_two_sources().unwrap_or_else(|error| panic!("{error:#}"));
    many.complete_files_and_classes().unwrap_or_else(|error| panic!("{error:#}"));
}
