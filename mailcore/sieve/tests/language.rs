//! RFC 5228 and its extensions, one table row per rule: a script, and its actions on one message.

// Helper functions of tests may panic: clippy exempts only `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

use jiff::Timestamp;
use proptest::prelude::*;
use provost_message::{Address, Arrival, Envelope, Path};
use provost_sieve::{Action, ScriptContext, ScriptOutcome, SieveError, run};

const MESSAGE: &str = "Received: from a by b; Thu, 01 Jan 2026 12:00:00 +0000\r\n\
    From: Zoe Tremblay <zoe@one.test>\r\n\
    To: =?utf-8?q?H=C3=A9l=C3=A8ne?= <helene@example.edu>, Group: a@two.test, b@two.test;\r\n\
    Subject: =?utf-8?q?R=C3=A9union?= de lundi\r\n\
    X-Score: 12\r\n\
    X-Score: 7\r\n\
    X-Empty:\r\n\
    Reply-To: nobody\r\n\
    Date: Wed, 31 Dec 2025 23:30:00 -0500\r\n\
    \r\n\
    Bonjour\r\n";

fn outcome(script: &str, message: &str) -> Result<ScriptOutcome, SieveError> {
    let recipient = Address::parse("helene@example.edu").unwrap();
    let forward_path = Path::parse("Helene@example.edu").unwrap();
    let envelope = Envelope::new(Path::parse("bounce-7@One.test").ok(), []);
    let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), envelope, message.as_bytes());
    let context = ScriptContext {
        arrival: &arrival,
        forward_path: &forward_path,
        recipient: &recipient,
        addresses: &[],
        // Saturday, 2026-02-28T22:30:05Z.
        now: Timestamp::from_second(1_772_317_805).unwrap(),
    };
    run(script, message.as_bytes(), &context)
}

fn actions(script: &str) -> Vec<Action> {
    outcome(script, MESSAGE).unwrap_or_else(|error| panic!("{script}: {error}")).actions
}

fn fileinto(name: &str) -> Action {
    Action::FileInto(name.into())
}

/// RFC 5228 §2.10, §3, §4; RFC 5429.
#[test]
fn commands() {
    let keep = || vec![Action::Keep];
    let redirect = |path: &str| vec![Action::Redirect(Path::parse(path).unwrap())];
    for (rule, script, expected) in [
        ("§2.10.2 implicit keep", "", keep()),
        ("§2.10.2 implicit keep", "# nothing\r\n/* at\nall */", keep()),
        ("§4.3", "keep; keep;", keep()),
        ("§4.4 discard cancels the implicit keep", "discard;", vec![]),
        ("§4.4 discard does not cancel an explicit keep", "discard; keep;", keep()),
        ("§4.1", "require \"fileinto\"; fileinto \"Travaux\";", vec![fileinto("Travaux")]),
        ("§2.10.3 no action twice", "require \"fileinto\"; fileinto \"A\"; fileinto \"A\";", vec![fileinto("A")]),
        ("§4.1 with keep", "require [\"fileinto\"]; fileinto \"A\"; keep;", vec![fileinto("A"), Action::Keep]),
        ("RFC 5321 §2.4 the case is kept", "redirect \"Zoe@ONE.test\";", redirect("Zoe@ONE.test")),
        ("§2.4.2.3 a display name", "redirect \"Zoe T <zoe@one.test>\";", redirect("zoe@one.test")),
        ("RFC 5321 §4.1.2 a quoted local part", r#"redirect "\"zoe t\"@one.test";"#, redirect("\"zoe t\"@one.test")),
        ("RFC 5429 §2.2", "require \"reject\"; reject \"no\";", vec![Action::Reject("no".into())]),
        ("§3.3 stop", "stop; discard;", keep()),
        ("§3.3 stop within a block", "if true { stop; } discard;", keep()),
        ("§3.1 if", "if false { discard; }", keep()),
        ("§3.1 elsif", "if false { keep; } elsif true { discard; } else { keep; }", vec![]),
        ("§3.1 else", "if false { keep; } elsif false { keep; } else { discard; }", vec![]),
        ("§3.1 first branch only", "if true { keep; } elsif true { redirect \"a@b.c\"; }", keep()),
        ("§2.1 names ignore case", "IF TRUE { DISCARD; }", vec![]),
    ] {
        assert_eq!(actions(script), expected, "{rule}: {script}");
    }
}

/// Each row is a test that is true for [`MESSAGE`], with the required extensions before a bar.
#[test]
fn tests_that_hold() {
    for row in [
        // RFC 5228 §5.2, §5.3, §5.8, §5.10.
        "|not false",
        "|allof(true, not false)",
        "|anyof(false, true)",
        "|not allof(true, false)",
        "|not anyof(false, false)",
        // §5.5
        "|exists \"subject\"",
        "|exists [\"X-Empty\", \"From\"]",
        "|not exists [\"From\", \"Cc\"]",
        // §2.4.2.2: a name that no field can have is no error.
        "|not exists [\"a b\", \"From:\", \"\"]",
        "|not header :contains \"From:\" \"\"",
        "date|not date \"a b\" \"year\" \"2026\"",
        // §5.9
        "|size :over 100",
        "|size :under 1K",
        "|not size :over 1K",
        // §5.7, §2.7.1, §2.7.3
        "|header \"Subject\" \"réunion de lundi\"",
        "|not header \"Subject\" \"réunion\"",
        "|header :contains \"subject\" \"LUNDI\"",
        "|not header :contains :comparator \"i;octet\" \"subject\" \"LUNDI\"",
        "|header :matches [\"X-None\", \"Subject\"] [\"x\", \"r??union*\"]",
        "|header :is \"X-Empty\" \"\"",
        "|header :contains \"X-Empty\" \"\"",
        "|not header :contains \"X-None\" \"\"",
        // §5.1, §2.7.4
        "|address \"from\" \"zoe@one.test\"",
        "|address :all :is \"from\" \"ZOE@ONE.TEST\"",
        "|address :localpart \"from\" \"zoe\"",
        "|address :domain :is [\"to\", \"cc\"] \"two.test\"",
        "|not address :domain \"to\" \"one.test\"",
        "|address :domain :contains \"to\" \"example\"",
        // An address that is not valid matches as a whole only.
        "|address \"reply-to\" \"nobody\"",
        "|not address :localpart \"reply-to\" \"nobody\"",
        "|not address :domain \"reply-to\" \"\"",
        // §5.4
        "envelope|envelope \"from\" \"bounce-7@one.test\"",
        "envelope|envelope :localpart :matches \"from\" \"bounce-*\"",
        "envelope|envelope :domain [\"from\", \"to\"] \"example.edu\"",
        "envelope|envelope :localpart :comparator \"i;octet\" \"to\" \"Helene\"",
        // RFC 5231 §4
        "relational,comparator-i;ascii-numeric|header :value \"gt\" :comparator \"i;ascii-numeric\" \"X-Score\" \"9\"",
        "relational|not header :value \"gt\" \"X-Score\" \"9\"",
        "relational,comparator-i;ascii-numeric|header :count \"eq\" :comparator \"i;ascii-numeric\" \"X-Score\" \"2\"",
        "relational|address :count \"ge\" \"to\" \"3\"",
        "relational|header :count \"eq\" \"X-None\" \"0\"",
        // RFC 5260 §4: the field's own zone, another zone, and the last part of a trace field.
        "date|date :originalzone \"date\" \"date\" \"2025-12-31\"",
        "date|date :zone \"+0000\" \"date\" \"date\" \"2026-01-01\"",
        "date|date \"date\" \"hour\" \"04\"",
        "date|date \"received\" \"iso8601\" \"2026-01-01T12:00:00Z\"",
        "date|not date \"x-score\" \"year\" [\"2025\", \"2026\", \"\"]",
        "date,relational|date :count \"eq\" \"x-none\" \"year\" \"0\"",
        // RFC 5260 §5
        "date|currentdate \"date\" \"2026-02-28\"",
        "date|currentdate :zone \"+0200\" \"date\" \"2026-03-01\"",
        "date|currentdate \"weekday\" \"6\"",
        "date,relational|currentdate :value \"ge\" \"iso8601\" \"2026-02-28T22:30:05Z\"",
        "date,relational|not currentdate :value \"gt\" \"iso8601\" \"2026-02-28T22:30:05Z\"",
        "date,relational|currentdate :value \"lt\" \"julian\" \"61100\"",
    ] {
        let (extensions, test) = row.split_once('|').unwrap();
        let require = match extensions {
            "" => String::new(),
            _ => format!("require [\"{}\"];", extensions.replace(',', "\",\"")),
        };
        let script = format!("{require} if {test} {{ discard; }}");
        assert_eq!(actions(&script), [], "{row}");
        // RFC 5228 §2.10.5: without `require`, a test of an extension is an error.
        if !extensions.is_empty() {
            assert!(outcome(&format!("if {test} {{ discard; }}"), MESSAGE).is_err(), "{row}");
        }
    }
}

/// RFC 5228 §5.4: the null reverse-path is the empty string.
#[test]
fn null_reverse_path() {
    let recipient = Address::parse("helene@example.edu").unwrap();
    let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), Envelope::new(None, []), b"");
    let context = ScriptContext {
        arrival: &arrival,
        forward_path: &Path::from(&recipient),
        recipient: &recipient,
        addresses: &[],
        now: Timestamp::UNIX_EPOCH,
    };
    for part in [":all", ":localpart", ":domain"] {
        let script = format!("require \"envelope\"; if envelope {part} \"from\" \"\" {{ discard; }}");
        assert_eq!(run(&script, b"", &context).unwrap().actions, [], "{part}");
    }
}

/// RFC 5233 §4: user and detail, of the envelope and of header fields.
#[test]
fn subaddresses() {
    let from = Path::parse("bounce+7+x@one.test").ok();
    let message = "To: Helene <helene+work@example.edu>\r\n\r\nx\r\n";
    let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), Envelope::new(from, []), message.as_bytes());
    for (to, test, expect) in [
        ("helene+lists@example.edu", "envelope :detail \"to\" \"lists\"", true),
        ("helene+lists@example.edu", "envelope :user \"to\" \"helene\"", true),
        ("helene+lists@example.edu", "envelope :localpart \"to\" \"helene+lists\"", true),
        ("helene@example.edu", "envelope :user \"to\" \"helene\"", true),
        ("helene@example.edu", "envelope :detail \"to\" \"\"", false),
        ("helene@example.edu", "envelope :detail :matches \"to\" \"*\"", false),
        ("helene+@example.edu", "envelope :detail \"to\" \"\"", true),
        ("\"helene+a b\"@example.edu", "envelope :detail \"to\" \"a b\"", true),
        ("helene@example.edu", "envelope :detail \"from\" \"7+x\"", true),
        ("helene@example.edu", "address :detail \"to\" \"work\"", true),
        ("helene@example.edu", "address :user \"to\" \"helene\"", true),
    ] {
        let forward_path = Path::parse(to).unwrap();
        let context = ScriptContext {
            arrival: &arrival,
            forward_path: &forward_path,
            recipient: &forward_path.address().unwrap(),
            addresses: &[],
            now: Timestamp::UNIX_EPOCH,
        };
        let script = format!("require [\"envelope\", \"subaddress\"]; if {test} {{ discard; }}");
        let discarded = run(&script, message.as_bytes(), &context).unwrap().actions.is_empty();
        assert_eq!(discarded, expect, "{to} {test}");
    }
}

/// Errors of the compiler, each with its line.
#[test]
fn refused_scripts() {
    let many = format!("require \"vacation\"; vacation :addresses [{}\"a@b.c\"] \"x\";", "\"a@b.c\",".repeat(100));
    let long = format!("require \"vacation\"; vacation :subject \"{}\" \"x\";", "x".repeat(999));
    for (script, expected) in [
        ("frop;", "line 1: unknown command 'frop'"),
        ("keep;\r\nif frop { keep; }", "line 2: unknown test 'frop'"),
        ("require \"frop\";", "line 1: require: the extension \"frop\" is not supported"),
        ("keep;\nrequire \"fileinto\";", "line 2: require: must precede all other commands"),
        ("fileinto \"a\";", "line 1: 'fileinto' is used but not required"),
        ("\nreject \"a\";", "line 2: 'reject' is used but not required"),
        ("vacation \"a\";", "line 1: 'vacation' is used but not required"),
        ("if address :detail \"from\" \"\" {}", "line 1: 'subaddress' is used but not required"),
        ("if envelope \"from\" \"\" {}", "line 1: 'envelope' is used but not required"),
        ("if currentdate \"year\" \"\" {}", "line 1: 'date' is used but not required"),
        ("if header :value \"gt\" \"a\" \"b\" {}", "line 1: 'relational' is used but not required"),
        (
            "if header :comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
            "line 1: 'comparator-i;ascii-numeric' is used but not required",
        ),
        ("if header :comparator \"i;unicode\" \"a\" \"b\" {}", "line 1: header: unknown comparator \"i;unicode\""),
        (
            "require \"comparator-i;ascii-numeric\"; if header :matches :comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
            "line 1: header: i;ascii-numeric cannot be used with :contains or :matches",
        ),
        ("require \"relational\"; if header :value \"xx\" \"a\" \"b\" {}", "line 1: header: unknown relation \"xx\""),
        ("else { keep; }", "line 1: else: must follow 'if' or 'elsif'"),
        ("if true {} keep; elsif true {}", "line 1: elsif: must follow 'if' or 'elsif'"),
        ("if true {} else {} else {}", "line 1: else: must follow 'if' or 'elsif'"),
        ("if true;", "line 1: if: a block is missing"),
        ("if { keep; }", "line 1: if: takes one test"),
        ("if (true, true) { keep; }", "line 1: if: takes one test"),
        ("if true { } else true { }", "line 1: else: takes no test"),
        ("if \"x\" true { }", "line 1: if: too many arguments"),
        ("keep { stop; }", "line 1: keep: takes no block"),
        ("keep true;", "line 1: keep: takes no test"),
        ("keep \"x\";", "line 1: keep: too many arguments"),
        ("stop 1;", "line 1: stop: too many arguments"),
        ("redirect;", "line 1: redirect: missing argument: an address"),
        ("redirect 1;", "line 1: redirect: expected an address (a string)"),
        ("redirect [\"a@b.c\"];", "line 1: redirect: expected an address (a string)"),
        ("redirect \"nobody\";", "line 1: redirect: \"nobody\" is not one address (local@domain)"),
        ("redirect \"g: a@b.c;\";", "line 1: redirect: \"g: a@b.c;\" is not one address (local@domain)"),
        ("redirect \"<@x.y:a@b.c>\";", "line 1: redirect: \"<@x.y:a@b.c>\" is not one address (local@domain)"),
        ("redirect :copy \"a@b.c\";", "line 1: redirect: ':copy' is unknown, or not allowed here"),
        ("require \"fileinto\"; fileinto \"\";", "line 1: fileinto: \"\" is not a valid mailbox name"),
        ("require \"fileinto\"; fileinto \"a//b\";", "line 1: fileinto: \"a//b\" is not a valid mailbox name"),
        ("require \"fileinto\"; fileinto \"x*\";", "line 1: fileinto: \"x*\" is not a valid mailbox name"),
        ("require \"fileinto\"; fileinto \"a\nb\";", "line 1: fileinto: \"a\\nb\" is not a valid mailbox name"),
        ("if not { }", "line 1: not: a test is missing"),
        ("if not (true, true) { }", "line 1: not: takes one test"),
        ("if true false { }", "line 1: true: takes no test"),
        ("if foo not true { }", "line 1: unknown test 'foo'"),
        ("if size 1 { }", "line 1: size: expected ':over' or ':under'"),
        ("if size :over \"1\" { }", "line 1: size: expected a limit (a number)"),
        ("if exists 1 { }", "line 1: exists: expected field names (a list of strings)"),
        ("if header \"a\" { }", "line 1: header: missing argument: keys"),
        ("if header :is :is \"a\" \"b\" { }", "line 1: header: two tags of the same kind"),
        ("if header :over \"a\" \"b\" { }", "line 1: header: ':over' is unknown, or not allowed here"),
        ("if header :all \"a\" \"b\" { }", "line 1: header: ':all' is unknown, or not allowed here"),
        ("if header \"a\" :is \"b\" { }", "line 1: header: ':is' is unknown, or not allowed here"),
        ("if address \"subject\" \"b\" { }", "line 1: address: the field \"subject\" holds no addresses"),
        ("require \"envelope\"; if envelope \"auth\" \"b\" { }", "line 1: envelope: unknown envelope part \"auth\""),
        ("require \"date\"; if currentdate \"era\" \"b\" { }", "line 1: currentdate: unknown date part \"era\""),
        (
            "require \"date\"; if currentdate :zone \"EST\" \"year\" \"b\" { }",
            "line 1: currentdate: the zone \"EST\" is not +hhmm or -hhmm",
        ),
        (
            "require \"date\"; if currentdate :originalzone \"year\" \"b\" { }",
            "line 1: currentdate: ':originalzone' is unknown, or not allowed here",
        ),
        ("require \"vacation\"; vacation;", "line 1: vacation: missing argument: a reason"),
        (
            "require \"vacation\";\nvacation\n:seconds 5 \"x\";",
            "line 3: vacation: ':seconds' is unknown, or not allowed here",
        ),
        ("require \"vacation\"; vacation :days \"7\" \"x\";", "line 1: vacation: expected days (a number)"),
        ("require \"vacation\"; vacation :days 7 :days 8 \"x\";", "line 1: vacation: two tags of the same kind"),
        (
            "require \"vacation\"; vacation :from \"a@b, c@d\" \"x\";",
            "line 1: vacation: \"a@b, c@d\" is not one address (local@domain)",
        ),
        (
            "require \"vacation\"; vacation :from \"nobody\" \"x\";",
            "line 1: vacation: \"nobody\" is not one address (local@domain)",
        ),
        (&many, "line 1: vacation: more than 100 addresses"),
        (&long, "line 1: vacation: the subject is longer than 998 octets"),
    ] {
        assert_eq!(outcome(script, MESSAGE).unwrap_err().to_string(), expected, "{script:.120}");
    }
}

/// RFC 5429 §2.4, RFC 5230 §4.7, RFC 5228 §2.10.4: errors at run time, with the statement's line.
#[test]
fn refused_runs() {
    let redirects: String = (0..6).map(|n| format!("redirect \"a{n}@b.c\";\n")).collect();
    let files: String = (0..33).map(|n| format!("fileinto \"{n}\";")).collect();
    let bomb = format!("\nif header :matches \"Subject\" \"*{}b\" {{ keep; }}", "a".repeat(20_000));
    let bomb_message = format!("Subject: {}\r\n\r\n", "a".repeat(60_000));
    let require = "require [\"reject\", \"vacation\", \"fileinto\"];";
    let combined = "line 1: reject cannot be combined with an action other than discard";
    for (script, message, expected) in [
        (format!("{require} keep; reject \"x\";"), MESSAGE, combined),
        (format!("{require} reject \"x\"; reject \"y\";"), MESSAGE, combined),
        (format!("{require} vacation \"x\"; reject \"y\";"), MESSAGE, combined),
        (format!("{require} reject \"x\";\nkeep;"), MESSAGE, "line 2: no other action is possible after reject"),
        (
            format!("{require} reject \"x\"; vacation \"y\";"),
            MESSAGE,
            "line 1: vacation must not run twice or after reject",
        ),
        (
            format!("{require} vacation \"x\"; vacation \"x\";"),
            MESSAGE,
            "line 1: vacation must not run twice or after reject",
        ),
        (redirects, MESSAGE, "line 6: more than 32 actions or 5 redirects"),
        (format!("{require} {files}"), MESSAGE, "line 1: more than 32 actions or 5 redirects"),
        (bomb, &bomb_message, "line 2: the script takes too long"),
    ] {
        assert_eq!(outcome(&script, message).unwrap_err().to_string(), expected, "{script:.120}");
    }
}

/// A pattern of thirty `*a`, exponential in a naive matcher.
#[test]
fn a_hostile_pattern_runs_within_the_budget() {
    let script = format!("if header :matches \"Subject\" \"{}b\" {{ discard; }}", "*a".repeat(30));
    let message = format!("Subject: {}\r\n\r\n", "a".repeat(60_000));
    assert_eq!(outcome(&script, &message).unwrap().actions, [Action::Keep]);
}

/// Many costly tests over a large header.
#[test]
fn the_budget_ends_a_costly_run() {
    let message = format!("{}\r\n\r\n", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000));
    let script = "if header :matches \"X-A\" \"*a*a*a*a*b\" { discard; }\r\n".repeat(4000);
    assert_eq!(outcome(&script, &message).unwrap_err().problem, "the script takes too long");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_scripts_never_panic(script in any::<String>(), message in any::<String>()) {
        let _ = outcome(&script, &message);
    }

    #[test]
    fn random_words_never_panic(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "require", "[\"fileinto\",\"vacation\",\"date\",\"relational\",\"envelope\",\"reject\"]", "if", "elsif", "else",
            "{", "}", ";", "(", ")", ",", "[", "]", "keep", "discard", "stop", "fileinto", "redirect", "reject", "vacation",
            "header", "address", "envelope", "date", "currentdate", "exists", "size", "not", "allof", "anyof", "true", "false",
            ":is", ":matches", ":value", ":count", "\"ge\"", ":zone", "\"+0000\"", ":over", "5K", "\"Subject\"", "\"*a?\"",
            "\"year\"", "\"from\"", ":days", ":subject", ":mime", ":from", "\"a@b.c\"", "text:\r\nx\r\n.\r\n",
        ]), 0..24)) {
        let _ = outcome(&words.join(" "), MESSAGE);
    }
}
