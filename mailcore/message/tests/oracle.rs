//! Compares this parser with mail-parser: over the messages that the mail-parser package ships (RFC examples, legacy
//! charsets, malformed and third-party messages), over the header fields that it ships, and over generated messages.
//!
//! The tests list each difference in which this crate is right, with the reason. A listed difference that disappears,
//! or a new one, fails the test.

#![allow(clippy::expect_used, reason = "helper functions of tests are test code")]

mod conversion;
mod outline;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use outline::{MessageOutline, ours, theirs, with_crlf};
use proptest::prelude::*;

// Reasons why the reading of this crate differs from that of mail-parser.
const BARE: &str = "octets above 127 without a charset are read as Windows-1252, not as U+FFFD";
const NO_PART: &str = "a multipart without parts is one leaf, and its content is binary, not text";
const OUTER: &str = "RFC 2046 §5.1.2: the boundary of an outer multipart ends the inner ones";
const LAST: &str = "a delimiter that is not the closing one begins a part, even at the end";
const FIRST_TYPE: &str = "of two Content-Type fields the first counts";
const WORD: &str = "a single word is a local part, not a name: an address in ENVELOPE must have a local part";

/// File, differing item, and why the reading of this crate is kept.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("legacy/010.eml", "subject", BARE),
    ("legacy/010.eml", "to", BARE),
    ("legacy/017.eml", "to", BARE),
    ("legacy/020.eml", "subject", BARE),
    ("legacy/020.eml", "to", BARE),
    ("legacy/022.eml", "subject", BARE),
    ("legacy/022.eml", "to", BARE),
    ("legacy/026.eml", "leaves", BARE),
    ("legacy/027.eml", "subject", BARE),
    ("legacy/027.eml", "to", BARE),
    ("legacy/052.eml", "leaves", BARE),
    ("legacy/052.eml", "subject", BARE),
    ("legacy/052.eml", "to", BARE),
    ("malformed/000.eml", "leaves", "a part whose header is cut short by a boundary is a part"),
    ("malformed/001.eml", "leaves", NO_PART),
    ("malformed/002.eml", "leaves", NO_PART),
    ("malformed/007.eml", "leaves", NO_PART),
    ("malformed/009.eml", "leaves", OUTER),
    ("malformed/011.eml", "leaves", OUTER),
    ("malformed/012.eml", "leaves", OUTER),
    ("malformed/013.eml", "leaves", LAST),
    ("malformed/014.eml", "leaves", LAST),
    ("malformed/016.eml", "leaves", "the boundary of a multipart that has ended is text"),
    (
        "malformed/017.eml",
        "leaves",
        "a type ends at white space: text without a semicolon before it is not a parameter",
    ),
    ("malformed/019.eml", "date", "the first Date field counts, and it holds no date"),
    ("malformed/020.eml", "leaves", FIRST_TYPE),
    ("malformed/021.eml", "leaves", FIRST_TYPE),
    ("malformed/022.eml", "leaves", "a message without header fields is a message"),
    ("rfc/000.eml", "leaves", "malformed base64 is decoded as far as possible, not returned undecoded"),
    ("rfc/001.eml", "from", WORD),
    ("rfc/001.eml", "to", WORD),
    ("rfc/004.eml", "from", WORD),
    ("rfc/004.eml", "to", WORD),
    ("rfc/008.eml", "leaves", "RFC 2046 §5.2.1 forbids base64 for a message part: the part stays a leaf"),
    ("thirdparty/002.eml", "leaves", "base64 ends at its padding; octets outside of the alphabet are skipped"),
    ("thirdparty/005.eml", "leaves", "a delimiter stands at the beginning of a line"),
    ("thirdparty/015.eml", "leaves", NO_PART),
];

/// Returns the test messages of the mail-parser package, where cargo has unpacked it.
fn corpus() -> PathBuf {
    // Ask only about this platform: cargo has perhaps not downloaded the packages for other platforms.
    let version = Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout;
    let version = String::from_utf8(version).expect("rustc writes UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc knows its host");
    let arguments = ["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform", host];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package =
        packages.iter().find(|package| package["name"] == "mail-parser").expect("mail-parser is a dependency");
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    manifest.with_file_name("resources").join("eml")
}

fn messages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of messages") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            messages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            found.push(path);
        }
    }
}

#[test]
fn agrees_over_the_corpus() {
    let corpus = corpus();
    let mut files = Vec::new();
    messages(&corpus, &mut files);
    files.sort();
    assert!(files.len() > 90, "{} messages", files.len());
    let listed: BTreeMap<(&str, &str), &str> =
        DIFFERENCES.iter().map(|(file, what, why)| ((*file, *what), *why)).collect();
    let mut differences = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&corpus).expect("below the corpus").to_string_lossy().into_owned();
        let message = with_crlf(&std::fs::read(file).expect("a readable message"));
        for (what, ours, theirs) in ours(&message).differences(&theirs(&message)) {
            if !listed.contains_key(&(name.as_str(), what)) {
                eprintln!("{name}: {what}\n  ours   {ours}\n  theirs {theirs}");
            }
            differences.push((name.clone(), what));
        }
    }
    let differences: Vec<(&str, &str)> = differences.iter().map(|(name, what)| (name.as_str(), *what)).collect();
    let expected: Vec<(&str, &str)> = listed.keys().copied().collect();
    assert_eq!(differences, expected);
}

/// Files of header fields that the package ships beside its messages, and the field in which each file's values are
/// tested.
const FIELDS: [(&str, &str); 3] = [("address", "To"), ("date", "Date"), ("unstructured", "Subject")];

const COMMENT: &str = "a comment is neither part of the name beside it nor an address";
const URL: &str = "a URL in angle brackets is not an address, and none is invented";
const ROUTE: &str = "RFC 5322 §4.4: a route, and white space around dots, are no part of the address";
const MONTH: &str = "a month is given by name";
const ZONE: &str = "an unknown zone is UTC (RFC 5322 §4.3)";
const NO_TIME: &str = "a date without a time is midnight";
const GLUED: &str = "text beside an encoded word keeps its white space and gains none";
const BEHIND: &str = "words after an address are not its name";

/// The field as written, and why the reading of this crate is kept.
const FIELD_DIFFERENCES: &[(&str, &str)] = &[
    ("20 11 (some \n 44 comments(more comments\n )) 79 05:34:27 -0300", MONTH),
    (" 4 8 15 16 23 42, 4 8 15 16 23 42, 4 8 15 16 23 42, ", MONTH),
    // The line break is not folding: the field ends at it, before the time.
    ("Tue, 1 Jul 2003 ((invalid)\ncomment) 10:52:37 +0200", NO_TIME),
    ("Thu, 10 Jul 1997 14:53:31 EST5EDT", ZONE),
    ("[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb3JpZ2luYWwgc3ViamVjdA==?=\n", GLUED),
    ("[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\n 3JpZ2luYWwgc3ViamVjdA==?=\n", GLUED),
    ("[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\r\n 3JpZ2luYWwgc3ViamVjdA==?=\r\n", GLUED),
    ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\n", COMMENT),
    ("(Use this command to get off the list)\n     <mailto:list-manager@host.com?body=unsubscribe%20list>\n", URL),
    ("(Use this command to join the list)\n   <mailto:list-manager@host.com?body=subscribe%20list>\n", URL),
    ("<a@b.com> =?utf-8?q?Doe?=\n", BEHIND),
    ("<ftp://ftp.host.com/list.txt> (FTP),\n   <mailto:list@host.com?subject=help>\n", URL),
    (
        "<http://www.host.com/list.cgi?cmd=sub&lst=list>,\n   <mailto:list-manager@host.com?body=subscribe%20list>\n",
        URL,
    ),
    (
        "<http://www.host.com/list.cgi?cmd=unsub&lst=list>,\n   <mailto:list-request@host.com?subject=unsubscribe>\n",
        URL,
    ),
    ("<http://www.host.com/list/>, <mailto:list-info@host.com>\n", URL),
    ("<http://www.host.com/list/archive/> (Web Archive)\n", URL),
    ("<mailto:archive@host.com?subject=index%20list>\n", URL),
    ("<mailto:listmom@host.com> (Contact Person for Help)\n", URL),
    ("<mailto:moderator@host.com> (Postings are Moderated)\n", URL),
    (
        "A Group(Some people)\n        :Chris Jones <c@(Chris's host.)public.example>,\n            joe@example.org,\n     John <jdoe@one.test> (my dear friend); (the end of the group)\n",
        COMMENT,
    ),
    ("James Derrick, Steven (PGE) SCHNEIDER, Robert Williams\n", COMMENT),
    ("John Doe <jdoe@machine(comment).  example>\n", COMMENT),
    ("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example\n", ROUTE),
    ("Name (comment) =?utf-8?q?Doe?= <a@b.com>\n", COMMENT),
    ("Nathaniel Borenstein <nsb@thumper.bellcore.com>\n    (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)\n", COMMENT),
    ("Pete(A nice \n \\\n ) chap) <pete(his\n account)@silly\n .test(his host)>\n", COMMENT),
    ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\n", COMMENT),
];

#[test]
fn agrees_over_header_fields() {
    let resources = corpus().with_file_name("");
    let mut differences = Vec::new();
    for (file, name) in FIELDS {
        let vectors = std::fs::read(resources.join(file).with_extension("json")).expect("a file of fields");
        let vectors: serde_json::Value = serde_json::from_slice(&vectors).expect("JSON");
        for vector in vectors.as_array().expect("a list") {
            let value = vector["header"].as_str().expect("a field");
            let message = with_crlf(format!("{name}: {value}\n\n").as_bytes());
            for (what, ours, theirs) in ours(&message).differences(&theirs(&message)) {
                if !FIELD_DIFFERENCES.iter().any(|(known, _)| *known == value) {
                    eprintln!("{name}: {value:?}: {what}\n  ours   {ours}\n  theirs {theirs}");
                }
                differences.push(value.to_owned());
            }
        }
    }
    differences.sort();
    let mut expected: Vec<&str> = FIELD_DIFFERENCES.iter().map(|(value, _)| *value).collect();
    expected.sort_unstable();
    assert_eq!(differences, expected);
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", "[A-Z][a-z]{1,8}", Just("é".to_owned()), Just("=?utf-8?q?=C3=A9t=C3=A9?=".to_owned())]
}

fn address() -> impl Strategy<Value = String> {
    let spec = "[a-z]{1,8}(\\.[a-z]{1,4})?@[a-z]{1,8}\\.test";
    (spec, proptest::option::of("[A-Z][a-z]{1,8} [A-Z][a-z]{1,8}")).prop_map(|(spec, name)| match name {
        Some(name) => format!("{name} <{spec}>"),
        None => spec,
    })
}

fn leaf() -> impl Strategy<Value = String> {
    let encoded = prop_oneof![
        "([a-zA-Z0-9 ]{1,20}\r\n){0,3}[a-z]{1,9}".prop_map(|text| format!("Content-Type: text/plain\r\n\r\n{text}")),
        Just("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6l0w6k=".to_owned()),
        "[a-z]{0,9}=C3=A9=\r\n[a-z]{1,9}".prop_map(|text| {
            format!(
                "Content-Type: text/html; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}"
            )
        }),
        Just("Content-Type: image/png; name=\"a b.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC".to_owned()),
    ];
    encoded.boxed()
}

fn entity() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 1..4);
        let multipart = (parts, "[a-z]{6,10}").prop_map(|(parts, boundary)| {
            let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
            format!(
                "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\npreamble\r\n{parts}--{boundary}--\r\n"
            )
        });
        let message = inner.prop_map(|inner| format!("Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n{inner}"));
        prop_oneof![multipart, message]
    })
}

/// A message that contains only a message: mail-parser 0.11 fails a debug assertion when such a message is the last
/// part of a multipart.
const MESSAGE_IN_MESSAGE: &str =
    "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: message/rfc822\r\n";

fn message() -> impl Strategy<Value = String> {
    let date = (1..29_u8, 0..24_u8, 0..60_u8, -12..13_i8)
        .prop_map(|(day, hour, minute, zone)| format!("{day} Feb 2024 {hour:02}:{minute:02}:07 {zone:+03}00"));
    let subject = proptest::collection::vec(word(), 1..5).prop_map(|words| words.join(" "));
    let to = proptest::collection::vec(address(), 1..4).prop_map(|list| list.join(", "));
    (date, subject, address(), to, entity()).prop_map(|(date, subject, from, to, entity)| {
        format!("Date: {date}\r\nSubject: {subject}\r\nFrom: {from}\r\nTo: {to}\r\nMIME-Version: 1.0\r\n{entity}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_over_generated_messages(message in message()) {
        prop_assume!(!message.contains(MESSAGE_IN_MESSAGE));
        let (ours, theirs): (MessageOutline, MessageOutline) = (ours(message.as_bytes()), theirs(message.as_bytes()));
        prop_assert_eq!(ours, theirs);
    }
}
