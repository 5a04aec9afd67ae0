//! A registrar's file imported by the command line; then vacation and mail to outside, end to end.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use provost_tests::command::provost;
use provost_tests::ldap::Ldap;
use provost_tests::people::HEADER;
use provost_tests::{MailSink, Node, Options, Port, Ran, SamplePerson, deadline, mail, node, run};

/// Longest time for each wait.
const LIMIT: Duration = Duration::from_secs(30);
/// Exit code: the command failed.
const FAILED: Option<i32> = Some(1);
/// Exit code: a dry run found something to write.
const PENDING: Option<i32> = Some(2);
/// Exit code: wrong arguments.
const USAGE: Option<i32> = Some(2);
/// Exit code: rows were left out or not applied.
const REJECTED: Option<i32> = Some(4);
/// Exit code: the directory is unavailable.
const UNAVAILABLE: Option<i32> = Some(5);

fn start(people: u32) -> Node {
    Node::start_with(Options { people: Some(people), ..Options::default() }).unwrap()
}

fn start_with(sink: &MailSink) -> Node {
    Node::start_with(Options { people: Some(6), relay: Some(sink.relay()), ..Options::default() }).unwrap()
}

fn write(node: &Node, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let file = node.folder().join(name);
    fs::write(&file, bytes).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Imports a file that names only some of the people: nobody is absent because of it.
fn import(node: &Node, name: &str, bytes: impl AsRef<[u8]>, options: &[&str]) -> Ran {
    let file = write(node, name, bytes);
    provost(node, &[&["import", &file, "--partial"], options].concat()).unwrap()
}

/// The directory's contextCSN and counts, which show whether anything was written.
fn state(node: &Node) -> String {
    provost(node, &["directory", "status"]).unwrap().good().unwrap()
}

/// `person_id` to primary address, for every person.
fn addresses(node: &Node) -> BTreeMap<String, String> {
    let found =
        Ldap::of(node).search("(provostSourceId=registrar:*)", &["provostSourceId", "mail"]).unwrap().good().unwrap();
    let field = |entry: &str, name: &str| entry.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let pair = |entry: &str| (field(entry, "provostSourceId: registrar:"), field(entry, "mail: "));
    found.split("\n\n").filter(|entry| !entry.trim().is_empty()).map(pair).collect()
}

fn accepts(node: &Node, address: &str) -> bool {
    let answer = mail::rcpt_reply(node.address(Port::Mx), address).unwrap();
    assert!(answer.starts_with("250") || answer.starts_with("550"), "{answer}");
    answer.starts_with("250")
}

/// Waits until RCPT is accepted. The node may reply 451 before that: an import writes the address entry first, then the
/// entry of its owner.
fn wait_until_accepted(node: &Node, address: &str) {
    let is_accepted = || Ok(mail::rcpt_reply(node.address(Port::Mx), address)?.starts_with("250").then_some(()));
    deadline::until(LIMIT, is_accepted).unwrap();
}

fn logs_in(node: &Node, user: &str, password: &str) -> bool {
    mail::logs_in_by_imap(node.address(Port::Imap), user, password).unwrap()
}

fn inbox(node: &Node, user: &str, password: &str) -> Vec<String> {
    mail::inbox(node.address(Port::Imap), user, password).unwrap()
}

/// A row of a person. The birth date follows from the number: people of one name and one birth date are held as probable
/// duplicates.
fn row(id: &str, given: &str, family: &str) -> String {
    let number = id.bytes().fold(0_usize, |sum, octet| sum * 31 + usize::from(octet)) % (40 * 336);
    let (year, month, day) = (1960 + number / 336, 1 + number / 28 % 12, 1 + number % 28);
    format!("{id},{given},{family},{year}-{month:02}-{day:02},,student,Arts,2026-09-01,,secret of {id}\n")
}

#[test]
fn dry_run_then_import_then_nothing_more() {
    let node = start(1);
    let file = [HEADER, &row("A1", "Zoé", "Tremblay"), &row("A2", "Ann", "Lee"), &row("A3", "Łukasz", "Żak")].concat();
    let before = state(&node);

    let plan = import(&node, "three.csv", &file, &["--dry-run"]);
    assert_eq!(plan.code, PENDING, "{plan:?}");
    for text in ["line 2: create zoe.tremblay@example.edu", "3 rows: 3 to create", "6 writes", "nothing was changed"] {
        assert!(plan.out.contains(text), "no '{text}' in {}", plan.out);
    }
    assert!(!plan.out.contains("secret of"), "a password is shown: {}", plan.out);
    assert_eq!(state(&node), before);
    assert!(!accepts(&node, "zoe.tremblay@example.edu"));

    let outcome = import(&node, "three.csv", &file, &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("applied: 3 of 3 people, 6 writes"), "{}", outcome.out);
    wait_until_accepted(&node, "lukasz.zak@example.edu");
    deadline::until(LIMIT, || Ok(logs_in(&node, "zoe.tremblay@example.edu", "secret of A1").then_some(()))).unwrap();
    assert!(logs_in(&node, "zoe.tremblay", "secret of A1") && !logs_in(&node, "zoe.tremblay", "secret of A2"));

    let after = state(&node);
    for options in [&["--dry-run"][..], &[]] {
        let again = import(&node, "three.csv", &file, options);
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(again.out.contains("3 unchanged, 0 left out; 0 writes"), "{}", again.out);
    }
    assert_eq!(state(&node), after, "the same file again must write nothing");

    // A person who is absent from the file stays unchanged, and a password in the file does not replace an existing
    // one.
    let other =
        [HEADER, &row("A1", "Zoé", "Tremblay").replace("secret of A1", "another one"), &row("A4", "Mei", "Chen")]
            .concat();
    let outcome = import(&node, "other.csv", &other, &[]);
    assert!(outcome.code == Some(0) && outcome.out.contains("1 to create, 0 to update"), "{outcome:?}");
    assert!(accepts(&node, "ann.lee@example.edu"));
    assert!(logs_in(&node, "zoe.tremblay", "secret of A1") && !logs_in(&node, "zoe.tremblay", "another one"));

    // JSON output.
    let json =
        provost(&node, &["--json", "import", "--dry-run", "--force", "--partial", &write(&node, "three.csv", &file)])
            .unwrap()
            .good()
            .unwrap();
    assert!(json.starts_with('{') && json.contains("\"unchanged\": 3"), "{json}");
}

/// RFC 8265 §4.2: normalisation and the mapping of spaces make equal what keyboards send in different forms.
#[test]
fn a_password_is_accepted_in_each_unicode_form() {
    let node = start(1);
    let file = format!("{HEADER}PW3,Pass,Accent,,,student,,,,café café\n");
    import(&node, "forms.csv", file, &[]).good().unwrap();
    wait_until_accepted(&node, "pass.accent@example.edu");
    for (typed, expect) in
        [("café café", true), ("cafe\u{301} cafe\u{301}", true), ("café\u{A0}café", true), ("cafe cafe", false)]
    {
        let logs_in = mail::logs_in_by_pop3(node.address(Port::Pop3), "pass.accent", typed).unwrap();
        assert_eq!(logs_in, expect, "{typed:?}");
    }
}

/// A plan shows each change with its reason, the values before and the values after.
#[test]
fn a_plan_shows_reasons_and_values() {
    let node = start(1);
    import(&node, "why.csv", [HEADER, &row("Y1", "Zoé", "Tremblay")].concat(), &[]).good().unwrap();
    let renamed = write(&node, "why.csv", [HEADER, &row("Y1", "Zoé", "Gagné")].concat());
    let plan = provost(&node, &["import", &renamed, "--dry-run"]).unwrap();
    assert_eq!(plan.code, PENDING, "{plan:?}");
    for text in [
        "because the name Zoé Tremblay became Zoé Gagné [person.renamed]",
        "family name: Tremblay -> Gagné [column.family_name]",
        "primary address: zoe.tremblay@example.edu -> zoe.gagne@example.edu [address.primary]",
    ] {
        assert!(plan.out.contains(text), "no '{text}' in {}", plan.out);
    }
    let json = provost(&node, &["--json", "import", &renamed, "--dry-run"]).unwrap();
    for text in ["\"rule\": \"person.renamed\"", "\"policies\": \"built-in/2\"", "\"Tremblay\""] {
        assert!(json.out.contains(text), "no '{text}' in {}", json.out);
    }
    assert!(!json.out.contains("secret of"), "{}", json.out);
}

#[test]
fn a_changed_name_keeps_the_old_address() {
    let node = start(1);
    import(&node, "names.csv", [HEADER, &row("N1", "Zoé", "Tremblay")].concat(), &[]).good().unwrap();
    let renamed = [HEADER, &row("N1", "Zoé", "Gagné-Roy")].concat();
    let done = import(&node, "names.csv", &renamed, &[]).good().unwrap();
    assert!(done.contains("1 to update (1 with a new primary address)"), "{done}");
    wait_until_accepted(&node, "zoe.gagne-roy@example.edu");
    let both = ["zoe.tremblay@example.edu", "zoe.gagne-roy@example.edu"];
    for address in both {
        mail::send(
            node.address(Port::Lmtp),
            None,
            "a@example.net",
            &[address],
            &format!("Subject: to {address}\r\n\r\nx\r\n"),
        )
        .unwrap();
    }
    for user in both {
        let texts = inbox(&node, user, "secret of N1");
        assert_eq!(texts.len(), 2, "{user}");
        assert!(both.iter().zip(&texts).all(|(address, text)| text.contains(&format!("Delivered-To: {address}"))));
    }
    let listed = provost(&node, &["address", "list", "registrar:N1"]).unwrap().good().unwrap();
    assert!(
        listed.contains("primary     zoe.gagne-roy@example.edu")
            && listed.contains("alias       zoe.tremblay@example.edu"),
        "{listed}"
    );
    let again = import(&node, "names.csv", &renamed, &[]).good().unwrap();
    assert!(again.contains("0 writes"), "{again}");

    // No other person gets the old address; a person who returns to the old name gets it back.
    import(&node, "other.csv", [HEADER, &row("N2", "Zoe", "Tremblay")].concat(), &[]).good().unwrap();
    assert_eq!(addresses(&node)["N2"], "zoe.tremblay2@example.edu");
    import(&node, "names.csv", [HEADER, &row("N1", "Zoé", "Tremblay")].concat(), &["--force"]).good().unwrap();
    assert_eq!(addresses(&node)["N1"], "zoe.tremblay@example.edu");
    deadline::until(LIMIT, || Ok((inbox(&node, both[0], "secret of N1").len() == 2).then_some(()))).unwrap();
}

#[test]
fn an_import_is_taken_back() {
    let node = start(1);
    import(&node, "undo.csv", [HEADER, &row("U1", "Zoé", "Tremblay")].concat(), &[]).good().unwrap();
    let before = Ldap::of(&node).search("(objectClass=*)", &[]).unwrap().good().unwrap();
    let changed = [HEADER, &row("U1", "Zoé", "Gagné"), &row("U2", "Ida", "Roy")].concat();
    let done = import(&node, "undo.csv", &changed, &[]).good().unwrap();
    let batch = done.split("provost undo ").nth(1).unwrap().trim().to_owned();
    wait_until_accepted(&node, "ida.roy@example.edu");

    let listed = provost(&node, &["undo"]).unwrap().good().unwrap();
    assert!(listed.starts_with(&batch) && listed.contains("2 people done, 0 not"), "{listed}");
    let plan = provost(&node, &["undo", &batch, "--dry-run"]).unwrap();
    assert_eq!(plan.code, PENDING, "{plan:?}");
    assert!(plan.out.contains("family name: Gagné -> Tremblay [undo.batch]"), "{}", plan.out);
    let undone = provost(&node, &["undo", &batch]).unwrap().good().unwrap();
    assert!(undone.contains("1 to put back, 1 to delete"), "{undone}");
    assert_eq!(Ldap::of(&node).search("(objectClass=*)", &[]).unwrap().good().unwrap(), before);
    deadline::until(LIMIT, || Ok((!accepts(&node, "ida.roy@example.edu")).then_some(()))).unwrap();
    assert!(accepts(&node, "zoe.tremblay@example.edu") && !accepts(&node, "zoe.gagne@example.edu"));

    let again = provost(&node, &["undo", &batch]).unwrap().good().unwrap();
    assert!(again.contains("nothing to put back"), "{again}");
    assert_eq!(provost(&node, &["undo", "none"]).unwrap().code, FAILED);
}

#[test]
fn wrong_rows_are_named_and_only_they_are_left_out() {
    let node = start(1);
    let wrong = [
        ("D1,,Roy,,,student,,,,", "given_name", "must not be empty"),
        ("D2,Ann, ,,,student,,,,", "family_name", "must not be empty"),
        (",Ann,Roy,,,student,,,,", "person_id", "must not be empty"),
        ("D7,Ann,Roy,,,visitor,,,,", "affiliation", "not one of student, faculty, staff, alum"),
        ("D8,Ann,Roy,,,,,,,", "affiliation", "must not be empty"),
        ("1.1E+07,Ann,Roy,,,student,,,,", "person_id", "exponent"),
        ("D12,ZoÃ©,Roy,,,student,,,,", "given_name", "read as Windows-1252"),
        ("D13,Ann,Roy,,,student", "program", "number of fields: 6 in the row, 10 in the header"),
        ("D14,Ann,Roy,,,student,,,,,,", "field 11", "number of fields: 12 in the row, 10 in the header"),
        ("D15,Ann,..,,,student,,,,\nD15,Ann,Roy,,,staff,,,,", "person_id", "this number is also on line"),
        ("D16,\"A\nnn\",Roy,,,student,,,,", "given_name", "a line break"),
        ("D17,...,...,,,student,,,,", "family_name", "no login"),
    ];
    let mut file = [HEADER, &row("G1", "Good", "First")].concat();
    let mut lines = Vec::new();
    for (text, ..) in &wrong {
        lines.push(file.lines().count() + 1);
        file += text;
        file += "\n";
    }
    file += &row("G2", "Good", "Last");
    let outcome = import(&node, "dirty.csv", &file, &[]);
    assert_eq!(outcome.code, REJECTED, "{outcome:?}");
    for (line, (text, column, rule)) in lines.iter().zip(&wrong) {
        let begin = format!("line {line}, column {column}: ");
        let is_listed =
            outcome.out.lines().any(|line| line.strip_prefix(&begin).is_some_and(|line| line.contains(rule)));
        assert!(is_listed, "no '{begin}{rule}' for {text} in\n{}", outcome.out);
    }
    assert!(outcome.out.contains("2 to create") && !outcome.out.contains("tiny"), "{}", outcome.out);
    let made = addresses(&node);
    assert_eq!(made.keys().filter(|id| !id.starts_with('T')).collect::<Vec<_>>(), ["G1", "G2"]);
    let again = import(&node, "dirty.csv", &file, &[]);
    assert!(again.code == REJECTED && again.out.contains("0 writes"), "{again:?}");
}

#[test]
fn files_that_are_wrong_as_a_whole_change_nothing() {
    let node = start(1);
    let good = row("W1", "Ann", "Roy");
    let whole = [HEADER, &good, &row("W2", "Zoé", "Roy")].concat();
    let before = state(&node);
    for (name, bytes, text) in [
        ("empty.csv", Vec::new(), "empty"),
        ("header only.csv", HEADER.as_bytes().to_vec(), "empty"),
        ("no header.csv", good.clone().into_bytes(), "no header"),
        (
            "missing column.csv",
            "person_id,given_name,affiliation\nW1,Ann,student\n".into(),
            "missing column family_name",
        ),
        ("column twice.csv", whole.replace("program", "birth_date").into(), "occurs twice"),
        ("cut row.csv", whole[..whole.len() - 30].into(), "truncated"),
        ("cut quotation.csv", format!("{HEADER}{good}W2,\"Zoé").into(), "truncated"),
        ("latin.csv", [HEADER.as_bytes(), b"W1,Zo\xe9,Roy,,,student,,,,\n"].concat(), "line 2: not UTF-8"),
        ("utf-16.csv", b"\xff\xfep\0e\0r\0".to_vec(), "UTF-16"),
        ("binary.csv", vec![0; 100], "NUL"),
    ] {
        let refused = import(&node, name, bytes, &[]);
        assert_eq!(refused.code, FAILED, "{name}: {refused:?}");
        assert!(refused.err.contains(text) && refused.err.contains("nothing was changed"), "{name}: {}", refused.err);
    }
    let missing = provost(&node, &["import", "/no/such/file.csv"]).unwrap();
    assert!(missing.code == FAILED && missing.err.contains("/no/such/file.csv"), "{missing:?}");
    assert_eq!(state(&node), before);
    assert_eq!(addresses(&node).keys().collect::<Vec<_>>(), ["T0001"]);
}

#[test]
fn separators_encodings_and_line_ends() {
    let node = start(1);
    let header = "person_id;given_name;family_name;affiliation\n";
    let latin = |id: &str| [header.as_bytes(), id.as_bytes(), b";Zo\xe9 \x9cuvre;L\x92\xc9cuyer;student\n"].concat();
    for (id, bytes, options, address) in [
        ("S1", format!("{header}S1;Ann;Semicolon;staff\n").into_bytes(), &[][..], "ann.semicolon"),
        ("S2", format!("\u{feff}{header}S2;Bé;Mark;alum\n").into(), &[], "be.mark"),
        ("S3", format!("{header}S3;Ann;Crlf;staff\n").replace('\n', "\r\n").into(), &[], "ann.crlf"),
        ("S4", format!("{header}S4;\"Ann; the \"\"Great\"\"\";Quote;staff").into(), &[], "annthegreat.quote"),
        ("S5", latin("S5"), &["--encoding", "windows-1252"], "zoeoeuvre.lecuyer"),
        ("S6", format!("{}S6,Ann,Comma,staff\n", header.replace(';', ",")).into(), &["--separator", ","], "ann.comma"),
        ("S7", "family_name;PERSON_ID; affiliation ;given_name\nOrder;S7;Student;Ann\n".into(), &[], "ann.order"),
    ] {
        let done = import(&node, "form.csv", bytes, options);
        assert_eq!(done.code, Some(0), "{id}: {done:?}");
        assert_eq!(addresses(&node).get(id), Some(&format!("{address}@example.edu")), "{id}");
    }
    let name = Ldap::of(&node).search("(employeeNumber=S5)", &["givenName", "sn"]).unwrap().good().unwrap();
    // ldapsearch prints non-ASCII values in base64: "Zoé œuvre".
    assert!(name.contains("givenName:: Wm/DqSDFk3V2cmU="), "{name}");
    assert_eq!(import(&node, "form.csv", latin("S8"), &[]).code, FAILED);
    assert_eq!(import(&node, "form.csv", latin("S8"), &["--encoding", "klingon"]).code, USAGE);
}

#[test]
fn names_become_addresses() {
    let node = start(1);
    // Names that fold to an address already assigned get a number, in file order. `Test P01` is a sample person's name.
    let names = [
        ("É.", "Ü", "e.u"),
        ("Nguyễn", "Đặng", "nguyen.dang"),
        ("Groß", "Œuvre", "gross.oeuvre"),
        ("Ægir", "Ødegård", "aegir.odegard"),
        ("Łukasz", "Źródło", "lukasz.zrodlo"),
        ("Marie Claude", "D'Amours", "marieclaude.damours"),
        ("Marie-Ève", "L’Heureux", "marie-eve.lheureux"),
        ("Ann", "St. John", "ann.stjohn"),
        ("JEAN", "De La Fontaine", "jean.delafontaine"),
        ("Zoe\u{301}", "Decomposed", "zoe.decomposed"),
        ("John", "Smith", "john.smith"),
        ("Jöhn", "Smith", "john.smith2"),
        ("john", "SMITH", "john.smith3"),
        ("Test", "P01", "test.p012"),
        ("Юрий", "Гагарин", "iurii.gagarin"),
    ];
    let rows =
        names.iter().enumerate().map(|(number, (given, family, _))| row(&format!("F{number:02}"), given, family));
    let file = HEADER.to_owned() + &rows.collect::<String>();
    import(&node, "folding.csv", &file, &[]).good().unwrap();
    let made = addresses(&node);
    for (number, (given, family, login)) in names.iter().enumerate() {
        assert_eq!(made[&format!("F{number:02}")], format!("{login}@example.edu"), "{given} {family}");
    }
    wait_until_accepted(&node, "john.smith3@example.edu");
    deadline::until(LIMIT, || Ok(logs_in(&node, "john.smith2@example.edu", "secret of F11").then_some(()))).unwrap();
    assert!(!logs_in(&node, "john.smith3@example.edu", "secret of F11"));
    let again = import(&node, "folding.csv", &file, &[]).good().unwrap();
    assert!(again.contains("0 writes"), "{again}");
}

/// The person of every valid row of the sample logs in by IMAP, POP3 and submission; the other rows are reported.
#[test]
fn everybody_of_the_sample_logs_in() {
    let sample = node::checkout().join("docs/sample/people.csv");
    let node = Node::start_with(Options { import: Some(sample.clone()), ..Options::default() }).unwrap();
    let problems: Vec<String> = node
        .log()
        .lines()
        // A warning leaves out a value, and not the row.
        .filter(|line| !line.contains(": warning: "))
        .filter_map(|line| line.strip_prefix("line ")?.split_once(", column ").map(|(line, _)| line.to_owned()))
        .collect();
    let mut lines = problems.clone();
    lines.dedup();
    assert!(lines.len() >= 3, "{problems:?}");
    let entries = Ldap::of(&node).write_addresses(node.folder().join("people.ldif")).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/logins.py");
    let mut command = Command::new("python3");
    command.args([&script, &sample, &entries]).env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, port) in [("IMAP", Port::Imap), ("POP3", Port::Pop3), ("SUBMISSION", Port::Submission)] {
        command.env(format!("PORT_{name}"), node.port(port).to_string());
    }
    let output = run(&mut command).unwrap().good().unwrap();
    println!("{output}");
    let rows = fs::read_to_string(&sample).unwrap().lines().count() - 1;
    assert_eq!(output.trim(), format!("{} logged in; lines left out: {}", rows - lines.len(), lines.join(" ")));
}

/// The day `offset` days from now, as `date` prints it.
fn day(offset: i32) -> String {
    run(Command::new("date").args(["-d", &format!("{offset} days"), "+%F"])).unwrap().good().unwrap().trim().to_owned()
}

fn from_outside(node: &Node, from: &str, to: &SamplePerson, extra: &str) {
    let sender = if from.is_empty() { "daemon@example.net" } else { from };
    let text = format!(
        "From: {sender}\r\nTo: {}\r\nSubject: a question\r\nMessage-ID: <{from}.1@example.net>\r\n{extra}\r\n\
         Are you there?\r\n",
        to.mail()
    );
    mail::send(node.address(Port::Mx), None, from, &[&to.mail()], &text).unwrap();
}

/// Waits until `provost queue list` ends in `count`, with nothing set aside, and contains `text`; returns the output.
fn wait_for_queue(node: &Node, count: &str, text: &str) -> String {
    let listed = || {
        let listed = provost(node, &["queue", "list"])?.good()?;
        let last = format!("{count}, 0 set aside");
        Ok((listed.lines().last() == Some(&last) && listed.contains(text)).then_some(listed))
    };
    deadline::until(LIMIT, listed).unwrap().0
}

/// Waits until the node's queue is empty.
fn wait_for_empty_queue(node: &Node) {
    wait_for_queue(node, "0 waiting", "");
}

/// Sends mail to `person` from new senders until one gets a vacation reply. The mail core then knows the vacation of
/// `person` and all earlier changes in the directory.
fn wait_for_reply(node: &Node, sink: &MailSink, person: &SamplePerson) {
    let mut number = 0;
    let probe = || {
        number += 1;
        from_outside(node, &format!("probe{number}.{}@example.net", person.number), person, "");
        let end = format!(".{}@example.net", person.number);
        Ok(sink.accepted().iter().any(|taken| taken.recipients.iter().any(|to| to.ends_with(&end))).then_some(()))
    };
    deadline::until(LIMIT, probe).unwrap();
}

#[test]
fn a_vacation_answers_people_once_and_nobody_else() {
    let sink = MailSink::start().unwrap();
    let node = start_with(&sink);
    let (person, before, after, open) =
        (SamplePerson::of(2), SamplePerson::of(3), SamplePerson::of(4), SamplePerson::of(5));
    let set = |person: &SamplePerson, options: &[&str]| {
        provost(&node, &[&["vacation", "set", &person.mail()], options].concat()).unwrap().good().unwrap();
    };
    let french = "Je suis absente jusqu'à Noël.\nÀ bientôt";
    set(&before, &["--start", &day(3), "--end", &day(9), "--text-fr", "pas encore"]);
    set(&after, &["--start", &day(-9), "--end", &day(-3), "--text-fr", "plus"]);
    set(&person, &["--start", &day(-2), "--end", &day(2), "--subject-fr", "Absence été", "--text-fr", french]);
    // Set last: when this rule replies, the mail core knows the earlier ones too.
    set(&open, &["--text-en", "Out."]);
    wait_for_reply(&node, &sink, &open);

    from_outside(&node, "friend@example.net", &person, "References: <0@example.net>\r\n");
    from_outside(&node, "friend@example.net", &person, "");
    from_outside(&node, "Friend@EXAMPLE.net", &person, "");
    for (from, extra) in [
        ("list@example.net", "List-Id: <list.example.net>\r\n"),
        ("bulk@example.net", "Precedence: bulk\r\n"),
        ("junk@example.net", "Precedence: junk\r\n"),
        ("auto@example.net", "Auto-Submitted: auto-generated\r\n"),
        ("reply@example.net", "Auto-Submitted: auto-replied\r\n"),
        ("owner-list@example.net", ""),
        ("list-request@example.net", ""),
        ("mailer-daemon@example.net", ""),
        ("noreply@example.net", "X-Test: 1\r\nPrecedence: list\r\n"),
        ("", ""),
    ] {
        from_outside(&node, from, &person, extra);
    }
    let to_others = "From: x@example.net\r\nTo: everybody@example.net\r\nSubject: bcc\r\n\r\nnot to them by name\r\n";
    mail::send(node.address(Port::Mx), None, "hidden@example.net", &[&person.mail()], to_others).unwrap();
    from_outside(&node, "early@example.net", &before, "");
    from_outside(&node, "late@example.net", &after, "");
    from_outside(&node, "second@example.net", &person, "");

    sink.wait_for("second@example.net", LIMIT).unwrap();
    wait_for_empty_queue(&node);
    let mut answered: Vec<String> = sink.accepted().into_iter().flat_map(|taken| taken.recipients).collect();
    answered.retain(|to| !to.starts_with("probe"));
    answered.sort();
    assert_eq!(answered, ["friend@example.net", "second@example.net"]);
    // All are delivered: 3 from friend@, 10 automatic ones, 1 from hidden@ and 1 from second@.
    assert_eq!(inbox(&node, &person.mail(), &person.password()).len(), 15);

    let [reply] = &sink.accepted_for("friend@example.net")[..] else { panic!("not one reply") };
    assert_eq!(reply.reverse_path, "");
    let file = write(&node, "reply.eml", &reply.text);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/show.py");
    let parsed = run(Command::new("python3").arg(script).arg(&file)).unwrap().good().unwrap();
    for line in [
        "Auto-Submitted: auto-replied",
        "In-Reply-To: <friend@example.net.1@example.net>",
        "To: friend@example.net",
        "Subject: Absence été",
        "Je suis absente jusqu'à Noël.",
        "À bientôt",
    ] {
        assert!(
            parsed.lines().any(|parsed| parsed.replace(['<', '>'], "") == line.replace(['<', '>'], "")),
            "no '{line}' in\n{parsed}"
        );
    }
    assert!(
        parsed.contains("test.p02@example.edu") && parsed.contains("Message-ID: ") && parsed.contains("Date: "),
        "{parsed}"
    );

    let show = provost(&node, &["vacation", "show", &person.uid()]).unwrap().good().unwrap();
    assert!(show.contains("Je suis absente") && show.contains(&day(2)), "{show}");
    provost(&node, &["vacation", "clear", &person.mail()]).unwrap().good().unwrap();
    // Changes take effect in order: once the marker's vacation replies, the mail core knows that this one was cleared.
    let marker = SamplePerson::of(6);
    set(&marker, &["--text-fr", "Absent."]);
    wait_for_reply(&node, &sink, &marker);
    from_outside(&node, "third@example.net", &person, "");
    wait_for_empty_queue(&node);
    assert!(sink.accepted_for("third@example.net").is_empty());
}

/// A vacation of a file is answered as if a person had set it; one that a hand has set or cleared stays, and `explain`
/// names the row and the hand.
#[test]
fn a_vacation_of_a_file_is_answered_until_a_hand_sets_another() {
    let sink = MailSink::start().unwrap();
    let node = start_with(&sink);
    let columns =
        "person_id,given_name,family_name,affiliation,vacation_start,vacation_end,vacation_subject_fr,vacation_text_fr";
    let row = |text: &str| format!("{columns}\nF1,Zoé,Tremblay,staff,{},{},Congé,{text}\n", day(-2), day(2));
    import(&node, "away.csv", row("\"Absente.\nDe retour bientôt\""), &[]).good().unwrap();
    let zoe = &addresses(&node)["F1"];
    let reply = |from: &str| {
        let text = format!("From: {from}\r\nTo: {zoe}\r\nSubject: question\r\nMessage-ID: <{from}>\r\n\r\ntext\r\n");
        mail::send(node.address(Port::Mx), None, from, &[zoe], &text).unwrap();
        sink.wait_for(from, LIMIT).unwrap();
        String::from_utf8(sink.accepted_for(from).remove(0).text).unwrap()
    };
    let explain = || provost(&node, &["explain", "registrar:F1"]).unwrap().good().unwrap();
    let origin_of = |attribute: &str| {
        let explained = explain();
        let after = explained.lines().skip_while(|line| !line.starts_with(attribute)).nth(1).map(str::to_owned);
        after.unwrap_or_else(|| panic!("no '{attribute}' in\n{explained}"))
    };
    wait_until_accepted(&node, zoe);
    let first = reply("friend@example.net");
    assert!(first.contains("Absente."), "{first}");
    let origin = origin_of("text of the vacation reply (French)");
    assert!(origin.contains("line 2 of registrar") && origin.contains("[column.vacation_text_fr]"), "{origin}");

    provost(&node, &["vacation", "set", zoe, "--text-en", "Call my office."]).unwrap().good().unwrap();
    import(&node, "away.csv", row("Encore absente"), &[]).good().unwrap();
    let show = provost(&node, &["vacation", "show", zoe]).unwrap().good().unwrap();
    assert!(show.contains("Call my office.") && !show.contains("absente"), "{show}");
    assert!(origin_of("text of the vacation reply (English)").contains("vacation.set"), "{}", explain());
    let person = provost(&node, &["person", "show", zoe]).unwrap().good().unwrap();
    assert!(person.contains("mailAutoReplyMode"), "{person}");

    provost(&node, &["person", "follow", zoe, "vacation"]).unwrap().good().unwrap();
    import(&node, "away.csv", row("Encore absente"), &[]).good().unwrap();
    let show = provost(&node, &["vacation", "show", zoe]).unwrap().good().unwrap();
    assert!(show.contains("Encore absente") && show.contains("Call my office."), "{show}");
}

#[test]
fn invalid_vacations_are_refused() {
    let node = start(1);
    for (options, text) in [
        (&["--start", "2026-12-20", "--end", "2026-12-19", "--text-fr", "x"][..], "the end is before the start"),
        (&["--text-fr", " "], "a text in French or in English is needed"),
        (&["--subject-fr", "a\nBcc: b@example.net", "--text-fr", "x"], "one line"),
    ] {
        let refused = provost(&node, &[&["vacation", "set", "test.p01"], options].concat()).unwrap();
        assert!(refused.code == FAILED && refused.err.contains(text), "{refused:?}");
    }
    let usage = provost(&node, &["vacation", "set", "test.p01", "--start", "tomorrow", "--text-fr", "x"]).unwrap();
    assert_eq!(usage.code, USAGE, "{usage:?}");
    let nobody = provost(&node, &["vacation", "set", "nobody", "--text-fr", "x"]).unwrap();
    assert!(nobody.code == FAILED && nobody.err.contains("nobody"), "{nobody:?}");
    let none = provost(&node, &["vacation", "show", "test.p01"]).unwrap().good().unwrap();
    assert!(none.contains("none"), "{none}");
}

fn submit(node: &Node, person: &SamplePerson, to: &[&str], subject: &str) {
    let (user, password) = (person.mail(), person.password());
    let text = format!("From: {user}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.edu>\r\n\r\n.été\r\n");
    mail::send(node.address(Port::Submission), Some((&user, &password)), &user, to, &text).unwrap();
}

#[test]
fn mail_to_outside_is_sent_bounced_or_tried_again() {
    let sink = MailSink::start().unwrap();
    let mut node = start_with(&sink);
    let (person, friend) = (SamplePerson::of(2), SamplePerson::of(3));
    sink.set_rcpt_reply("gone@example.net", Some("550 5.1.1 No such user here"));
    sink.set_rcpt_reply("busy@example.net", Some("451 4.7.1 Greylisted, come later"));

    submit(&node, &person, &["there@example.net", "also@example.net", &friend.mail()], "sent");
    let message = sink.wait_for("there@example.net", LIMIT).unwrap();
    assert_eq!(message.reverse_path, person.mail());
    assert!(
        String::from_utf8_lossy(&message.text).ends_with("Message-ID: <sent@example.edu>\r\n\r\n.été\r\n"),
        "{message:?}"
    );
    let heads = ["Authentication-Results: mail.example.edu;", "\tauth=pass", "Received: from client.example.net"];
    let text = String::from_utf8_lossy(&message.text);
    assert!(heads.iter().zip(text.lines()).all(|(head, line)| line.starts_with(head)), "{text}");
    sink.wait_for("also@example.net", LIMIT).unwrap();
    assert_eq!(inbox(&node, &friend.mail(), &friend.password()).len(), 1);
    wait_for_empty_queue(&node);

    submit(&node, &person, &["gone@example.net", "there@example.net"], "bounced");
    let bounce = || Ok(inbox(&node, &person.mail(), &person.password()).into_iter().next());
    let (bounce, _) = deadline::until(LIMIT, bounce).unwrap();
    for text in [
        "Return-Path: <>",
        "Content-Type: multipart/report",
        "report-type=",
        "Content-Type: message/delivery-status",
        "Final-Recipient: rfc822; gone@example.net",
        "Action: failed",
        "Status: 5.1.1",
        "No such user here",
        "Subject: bounced",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(bounce.to_lowercase().contains(&text.to_lowercase()), "no '{text}' in\n{bounce}");
    }
    assert!(!bounce.contains("there@example.net"), "the bounce must name only the failed recipient: {bounce}");
    assert_eq!(sink.accepted_for("there@example.net").len(), 2);
    wait_for_empty_queue(&node);

    submit(&node, &person, &["busy@example.net", "also@example.net"], "waiting");
    let listed = wait_for_queue(&node, "1 waiting", "Greylisted");
    assert!(listed.contains("tried 1 time, next at ") && listed.contains("451 4.7.1"), "{listed}");
    assert!(listed.contains("busy@example.net") && listed.contains(&person.mail()), "{listed}");
    assert!(!listed.contains("also@example.net"), "the delivered recipient must be gone: {listed}");
    assert_eq!(sink.rcpt_count("busy@example.net"), 1);

    // The queue survives a restart; with shorter waits the test can watch the retries.
    node.stop().unwrap();
    node.configure(|text| text.replace("[queue]\n", "[queue]\nretry_first = 1\nretry_max = 1\n")).unwrap();
    node.serve_again(&[Port::Http, Port::Submission]).unwrap();
    submit(&node, &person, &["busy@example.net"], "again");
    deadline::until(LIMIT, || Ok((sink.rcpt_count("busy@example.net") >= 4).then_some(()))).unwrap();
    assert!(sink.accepted_for("busy@example.net").is_empty());
    sink.set_rcpt_reply("busy@example.net", None);
    let message = sink.wait_for("busy@example.net", LIMIT).unwrap();
    assert!(String::from_utf8_lossy(&message.text).contains("Subject: again"), "{message:?}");
    assert_eq!(inbox(&node, &person.mail(), &person.password()).len(), 1, "a deferral must not cause a bounce");
}

/// Rows of each half of a file whose import is interrupted.
const MANY: u32 = 120;

#[test]
fn an_interrupted_import_is_completed_by_the_same_command() {
    let mut node = start(1);
    let rows = (1..=MANY).map(|number| row(&format!("K{number:03}"), "Ann", &format!("Person{number}")));
    // Equal names: an import that forgot the addresses it had assigned would assign a person a second one.
    let same = (1..=MANY).map(|number| row(&format!("L{number:03}"), "John", "Smith"));
    let file = write(&node, "many.csv", HEADER.to_owned() + &rows.chain(same).collect::<String>());
    let begin = |node: &Node| {
        let log = fs::File::create(node.folder().join("import.log")).unwrap();
        let mut command = Command::new(node::binary());
        command.arg("--config").arg(node.config()).args(["import", &file]).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    };
    let wait_for_people = |node: &Node, count: usize| {
        let ldap = Ldap::of(node);
        let enough = || {
            let found = ldap.search("(provostSourceId=registrar:*)", &["1.1"])?.good()?;
            Ok((found.matches("dn: ").count() >= count).then_some(()))
        };
        deadline::until(LIMIT, enough).unwrap();
    };

    // Kill the import itself.
    let mut child = begin(&node);
    wait_for_people(&node, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let first = addresses(&node);
    assert!((20..2 * MANY as usize).contains(&first.len()), "{}", first.len());

    // Kill the import's node.
    let mut child = begin(&node);
    wait_for_people(&node, first.len() + 20);
    node.kill().unwrap();
    let ended = child.wait().unwrap();
    let output = fs::read_to_string(node.folder().join("import.log")).unwrap();
    assert_eq!(ended.code(), UNAVAILABLE, "{output}");
    assert!(output.contains("the same command continues where it stopped"), "{output}");
    node.serve_again(&[Port::Ldap, Port::Imap, Port::Mx]).unwrap();

    let done = provost(&node, &["import", &file]).unwrap().good().unwrap();
    assert!(done.contains(" 0 left out"), "{done}");
    let all = addresses(&node);
    assert_eq!(all.len(), 2 * MANY as usize + 1);
    assert!(first.iter().all(|(id, address)| all[id] == *address), "an assigned address must not change");
    let mut given: Vec<&String> = all.values().collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), all.len(), "an address was given twice");
    let again = provost(&node, &["import", &file]).unwrap().good().unwrap();
    assert!(again.contains("0 writes"), "{again}");
    let found = Ldap::of(&node).search("(objectClass=provostAddressEntry)", &["1.1"]).unwrap().good().unwrap();
    let (entries, people) = (found.matches("dn: ").count(), all.len());
    // The others are the help desk operator's address and those of three roles.
    assert_eq!(entries, people + 4, "{entries} address entries for {people} people");
}

#[test]
fn two_imports_at_once_give_no_address_twice() {
    let node = start(1);
    let file = |letter: &str| {
        let rows = (1..=40).map(|number| row(&format!("{letter}{number:03}"), "Mary", "Jones"));
        write(&node, &format!("{letter}.csv"), HEADER.to_owned() + &rows.collect::<String>())
    };
    let files = [file("P"), file("Q")];
    let both: Vec<Ran> = std::thread::scope(|scope| {
        let started: Vec<_> =
            files.iter().map(|file| scope.spawn(|| provost(&node, &["import", file, "--partial"]).unwrap())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // One import may report that the other has changed a person; the same command again completes it.
    assert!(both.iter().all(|ran| matches!(ran.code, Some(0 | 4))), "{both:?}");
    for file in &files {
        provost(&node, &["import", file, "--partial", "--force"]).unwrap().good().unwrap();
    }
    let all = addresses(&node);
    assert_eq!(all.len(), 81);
    let mut given: Vec<&String> = all.values().collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 81, "{all:?}");
}

#[test]
fn a_reply_is_remembered_through_kill_9() {
    let sink = MailSink::start().unwrap();
    let mut node = start_with(&sink);
    let person = SamplePerson::of(2);
    provost(&node, &["vacation", "set", &person.uid(), "--text-fr", "Absente."]).unwrap().good().unwrap();
    wait_for_reply(&node, &sink, &person);
    from_outside(&node, "friend@example.net", &person, "");
    sink.wait_for("friend@example.net", LIMIT).unwrap();
    wait_for_empty_queue(&node);
    node.kill().unwrap();
    node.serve_again(&[Port::Http, Port::Mx, Port::Imap]).unwrap();
    from_outside(&node, "friend@example.net", &person, "");
    from_outside(&node, "other@example.net", &person, "");
    sink.wait_for("other@example.net", LIMIT).unwrap();
    wait_for_empty_queue(&node);
    assert_eq!(sink.accepted_for("friend@example.net").len(), 1);
}

#[test]
fn a_relay_that_is_down_gets_the_mail_later() {
    // A port on which nothing listens: the sink is dropped at once.
    let relay = MailSink::start().unwrap().relay();
    let mut node =
        Node::start_with(Options { people: Some(3), relay: Some(relay.clone()), ..Options::default() }).unwrap();
    node.stop().unwrap();
    node.configure(|text| text.replace("[queue]\n", "[queue]\nretry_first = 1\nretry_max = 1\n")).unwrap();
    node.serve_again(&[Port::Http, Port::Submission]).unwrap();
    let person = SamplePerson::of(2);
    for number in 0..20 {
        submit(&node, &person, &["there@example.net"], &format!("waits{number}"));
    }
    wait_for_queue(&node, "20 waiting", "refused");
    node.kill().unwrap();
    let sink = MailSink::start_at(&relay).unwrap();
    node.serve_again(&[Port::Http, Port::Imap]).unwrap();
    deadline::until(LIMIT, || Ok((sink.accepted().len() >= 20).then_some(()))).unwrap();
    wait_for_empty_queue(&node);
    let texts: Vec<_> =
        sink.accepted().into_iter().map(|taken| String::from_utf8_lossy(&taken.text).into_owned()).collect();
    for number in 0..20 {
        let subject = format!("Subject: waits{number}\r\n");
        assert_eq!(texts.iter().filter(|text| text.contains(&subject)).count(), 1, "{subject}");
    }
    assert!(inbox(&node, &person.mail(), &person.password()).is_empty());
}

#[test]
fn mail_that_is_never_accepted_is_bounced() {
    let sink = MailSink::start().unwrap();
    let mut node = start_with(&sink);
    sink.set_rcpt_reply("busy@example.net", Some("451 4.7.1 Greylisted, come later"));
    node.stop().unwrap();
    let short = "[queue]\nretry_first = 1\nretry_max = 1\nlifetime = 2\n";
    node.configure(|text| text.replace("[queue]\n", short)).unwrap();
    node.serve_again(&[Port::Http, Port::Submission, Port::Imap]).unwrap();
    let person = SamplePerson::of(2);
    submit(&node, &person, &["busy@example.net"], "expired");
    let bounce = || Ok(inbox(&node, &person.mail(), &person.password()).into_iter().next());
    let (bounce, _) = deadline::until(LIMIT, bounce).unwrap();
    for text in ["Return-Path: <>", "Final-Recipient: rfc822; busy@example.net", "Action: failed", "Greylisted"] {
        assert!(bounce.contains(text), "no '{text}' in\n{bounce}");
    }
    assert!(sink.rcpt_count("busy@example.net") >= 2);
    // The bounce causes no second bounce.
    wait_for_empty_queue(&node);
    assert_eq!(inbox(&node, &person.mail(), &person.password()).len(), 1);
}

#[test]
fn two_people_on_vacation_do_not_answer_each_other_for_ever() {
    let sink = MailSink::start().unwrap();
    let node = start_with(&sink);
    let (ann, zoe) = (SamplePerson::of(2), SamplePerson::of(3));
    for person in [&ann, &zoe] {
        provost(&node, &["vacation", "set", &person.uid(), "--text-fr", "Absente."]).unwrap().good().unwrap();
    }
    wait_for_reply(&node, &sink, &zoe);
    let before = inbox(&node, &zoe.mail(), &zoe.password()).len();
    let text = format!("From: {}\r\nTo: {}\r\nSubject: hello\r\n\r\nx\r\n", ann.mail(), zoe.mail());
    let login = (ann.mail(), ann.password());
    let submission = node.address(Port::Submission);
    mail::send(submission, Some((&login.0, &login.1)), &ann.mail(), &[&zoe.mail()], &text).unwrap();
    deadline::until(LIMIT, || Ok((inbox(&node, &ann.mail(), &ann.password()).len() == 1).then_some(()))).unwrap();
    wait_for_empty_queue(&node);
    let replies = inbox(&node, &ann.mail(), &ann.password());
    assert!(replies.len() == 1 && replies[0].contains("Auto-Submitted: auto-replied"), "{replies:?}");
    assert_eq!(inbox(&node, &zoe.mail(), &zoe.password()).len(), before + 1);
}
