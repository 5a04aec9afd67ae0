//! Compares this parser with imap-codec: both must accept the same commands, with the same names.
//!
//! Differences that are right are listed with a reason. The test also fails when a listed difference no longer exists.

use bytes::Bytes;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use proptest::prelude::*;

use crate::codec::{Command, parse};

/// The name of the command as this crate parses it; `None` when this crate refuses the command.
fn ours(line: &str) -> Option<&'static str> {
    let frame = Bytes::copy_from_slice(line.strip_suffix("\r\n").unwrap().as_bytes());
    Some(match parse(&frame).command.ok()? {
        Command::Capability => "CAPABILITY",
        Command::Noop => "NOOP",
        Command::Logout => "LOGOUT",
        Command::StartTls => "STARTTLS",
        Command::Login { .. } => "LOGIN",
        Command::Authenticate { .. } => "AUTHENTICATE",
        Command::Id => "ID",
        Command::Enable => "ENABLE",
        Command::Namespace => "NAMESPACE",
        Command::Idle => "IDLE",
        Command::Check => "CHECK",
        Command::Close => "CLOSE",
        Command::Unselect => "UNSELECT",
        Command::Select { read_only: false, .. } => "SELECT",
        Command::Select { read_only: true, .. } => "EXAMINE",
        Command::Status { .. } => "STATUS",
        Command::List(_) => "LIST",
        Command::Lsub { .. } => "LSUB",
        Command::Create { .. } => "CREATE",
        Command::Delete { .. } => "DELETE",
        Command::Rename { .. } => "RENAME",
        Command::Subscribe { on: true, .. } => "SUBSCRIBE",
        Command::Subscribe { on: false, .. } => "UNSUBSCRIBE",
        Command::Append(_) => "APPEND",
        Command::Expunge { .. } => "EXPUNGE",
        Command::Search(_) => "SEARCH",
        Command::Fetch(_) => "FETCH",
        Command::Store(_) => "STORE",
        Command::Copy { manner: crate::codec::command::CopyOrMove::Copy, .. } => "COPY",
        Command::Copy { manner: crate::codec::command::CopyOrMove::Move, .. } => "MOVE",
    })
}

/// The name of the command as imap-codec parses it; `None` when imap-codec refuses the command.
fn theirs(line: &str) -> Option<&'static str> {
    match CommandCodec::default().decode(line.as_bytes()) {
        Ok((b"", command)) => Some(command.body.name()),
        _ => None,
    }
}

/// Valid, malformed and unknown commands of RFC 3501 §6 and of extensions.
const COMMANDS: &[&str] = &[
    "a CAPABILITY",
    "a capability",
    "a NOOP x",
    "a  NOOP",
    "+ NOOP",
    "a LOGIN zoe secret",
    "a LOGIN \"z\\\"o\\\\e\" {6+}\r\nsecret",
    "a LOGIN zoe",
    "a LOGIN zoe \"se\\cret\"",
    "a AUTHENTICATE PLAIN",
    "a AUTHENTICATE PLAIN AHpvZQBzZWNyZXQ=",
    "a AUTHENTICATE PLAIN =",
    "a STARTTLS",
    "a ID NIL",
    "a ID (\"name\" \"x\" \"version\" NIL)",
    "a ENABLE CONDSTORE X-Y",
    "a NAMESPACE",
    "a SELECT INBOX",
    "a SELECT \"a b\"",
    "a SELECT a b",
    "a SELECT a%",
    "a EXAMINE {5+}\r\nINBOX",
    "a CREATE x/y",
    "a DELETE x",
    "a RENAME x \"y z\"",
    "a RENAME x",
    "a SUBSCRIBE x",
    "a UNSUBSCRIBE x",
    "a LIST \"\" *",
    "a LIST \"\" a%]",
    "a LIST \"\"",
    "a LSUB x \"%\"",
    "a STATUS x (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT SIZE)",
    "a STATUS x MESSAGES",
    "a APPEND x {3+}\r\nabc",
    "a APPEND x (\\Seen k) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc",
    "a APPEND x \"17-Jul-1996 02:44:25\" {3+}\r\nabc",
    "a APPEND x abc",
    "a CHECK",
    "a CLOSE",
    "a UNSELECT",
    "a EXPUNGE",
    "a SEARCH ALL",
    "a SEARCH CHARSET UTF-8 OR (SEEN NOT 1:3,5) UID 7:* FROM x SUBJECT {2+}\r\nyz",
    "a SEARCH BEFORE 1-Feb-1994 ON \"2-Feb-1994\" SENTSINCE 3-Feb-1994 LARGER 5 KEYWORD k HEADER a \"\"",
    "a SEARCH",
    "a SEARCH ()",
    "a SEARCH BEFORE yesterday",
    "a SEARCH LARGER x",
    "a SEARCH LARGER 4294967296",
    "a FETCH 1 ALL",
    "a FETCH 1:* FAST",
    "a FETCH 2,4:7,*:9 FULL",
    "a FETCH 1 (FLAGS UID BODY[] BODY.PEEK[TEXT]<0.9> BODY[1.2.MIME] BODY[1.HEADER.FIELDS (A \"b\")])",
    "a FETCH 1 (RFC822 RFC822.HEADER RFC822.SIZE RFC822.TEXT ENVELOPE BODY BODYSTRUCTURE INTERNALDATE)",
    "a FETCH 1 BODY[MIME]",
    "a FETCH 1 BODY[0]",
    "a FETCH 1 BODY[]<0.0>",
    "a FETCH 0 FLAGS",
    "a FETCH 1, FLAGS",
    "a FETCH 1 (ALL)",
    "a FETCH 1 FLAGS UID",
    "a STORE 1 FLAGS (\\Seen \\Deleted k)",
    "a STORE 1:3 +FLAGS.SILENT \\Seen k",
    "a STORE 1 -FLAGS ()",
    "a STORE 1 FLAG (\\Seen)",
    "a COPY 1:3 x",
    "a MOVE 1 x",
    "a UID FETCH 1 FLAGS",
    "a UID SEARCH SEEN",
    "a UID STORE 1 FLAGS ()",
    "a UID COPY 1 x",
    "a UID MOVE 1 x",
    "a UID EXPUNGE 1:3",
    "a UID NOOP",
    "a SETACL x y lr",
    "a IDLE",
    "a NOSUCH",
];

/// Commands that this crate accepts or refuses differently, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("a STATUS x ()", "RFC 3501 §9: at least one item"),
    ("a SEARCH RETURN (MIN) SEEN", "RFC 4731: ESEARCH is ours, not theirs"),
    ("a LIST (SUBSCRIBED) \"\" (a% *) RETURN (STATUS (MESSAGES))", "RFC 5258, RFC 5819: ours, not theirs"),
    ("a CREATE x (USE (\\Sent))", "RFC 6154: CREATE-SPECIAL-USE is ours, not theirs"),
    ("a LOGIN \"zo\u{eb}\" secret", "clients write UTF-8 in quoted strings"),
    ("a STORE 1 FLAGS (\\Nosuch)", "no system flags but those of RFC 3501 §2.3.2 can be kept"),
    ("a STORE 1 FLAGS (\\Recent)", "RFC 3501 §2.3.2: no client can set it"),
];

#[test]
fn agrees_over_a_table() {
    let mut differ = Vec::new();
    for command in COMMANDS.iter().chain(DIFFERENCES.iter().map(|(command, _)| command)) {
        let line = format!("{command}\r\n");
        let (ours, theirs) = (ours(&line), theirs(&line));
        if ours != theirs {
            eprintln!("{command}: ours {ours:?}, theirs {theirs:?}");
            differ.push(*command);
        }
    }
    let listed: Vec<&str> = DIFFERENCES.iter().map(|(command, _)| *command).collect();
    assert_eq!(differ, listed);
}

fn astring() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._/-]{1,12}",
        "[a-z ()%*]{0,12}".prop_map(|text| format!("\"{text}\"")),
        "[a-z \r\n]{0,12}".prop_map(|text| format!("{{{}+}}\r\n{text}", text.len())),
    ]
}

fn set() -> impl Strategy<Value = String> {
    let number = prop_oneof![(1_u32..5_000).prop_map(|number| number.to_string()), Just("*".to_owned())];
    let one = (number.clone(), proptest::option::of(number)).prop_map(|(low, high)| match high {
        Some(high) => format!("{low}:{high}"),
        None => low,
    });
    proptest::collection::vec(one, 1..5).prop_map(|ranges| ranges.join(","))
}

fn key() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&["ALL", "SEEN", "UNSEEN", "NEW", "OLD", "RECENT", "FLAGGED", "UNDELETED", "DRAFT"][..])
            .prop_map(str::to_owned),
        (prop::sample::select(&["FROM", "TO", "CC", "BCC", "SUBJECT", "BODY", "TEXT"][..]), astring())
            .prop_map(|(name, text)| format!("{name} {text}")),
        (prop::sample::select(&["BEFORE", "ON", "SINCE", "SENTON"][..]), 1..29_u8)
            .prop_map(|(name, day)| format!("{name} {day}-Feb-2026")),
        (prop::sample::select(&["LARGER", "SMALLER"][..]), any::<u32>())
            .prop_map(|(name, size)| format!("{name} {size}")),
        set(),
        set().prop_map(|set| format!("UID {set}")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| format!("NOT {key}")),
            (inner.clone(), inner.clone()).prop_map(|(first, second)| format!("OR {first} {second}")),
            proptest::collection::vec(inner, 1..3).prop_map(|keys| format!("({})", keys.join(" "))),
        ]
    })
}

fn item() -> impl Strategy<Value = String> {
    let section =
        prop::sample::select(&["", "HEADER", "TEXT", "1", "2.1.MIME", "1.HEADER", "HEADER.FIELDS (To cc)"][..]);
    let partial = prop_oneof![
        Just(String::new()),
        (any::<u32>(), 1..u32::MAX).prop_map(|(origin, octets)| format!("<{origin}.{octets}>"))
    ];
    prop_oneof![
        prop::sample::select(&["FLAGS", "UID", "ENVELOPE", "BODY", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE"][..])
            .prop_map(str::to_owned),
        (any::<bool>(), section, partial).prop_map(|(peek, section, partial)| {
            format!("BODY{}[{section}]{partial}", if peek { ".PEEK" } else { "" })
        }),
    ]
}

fn command() -> impl Strategy<Value = String> {
    let flags = proptest::collection::vec(prop::sample::select(&["\\Seen", "\\Deleted", "k", "$Label1"][..]), 0..4)
        .prop_map(|flags| format!("({})", flags.join(" ")));
    let action = prop::sample::select(&["FLAGS", "+FLAGS", "-FLAGS", "+FLAGS.SILENT", "FLAGS.SILENT"][..]);
    prop_oneof![
        (astring(), astring()).prop_map(|(name, password)| format!("LOGIN {name} {password}")),
        (prop::sample::select(&["SELECT", "EXAMINE", "DELETE", "SUBSCRIBE"][..]), astring())
            .prop_map(|(name, mailbox)| format!("{name} {mailbox}")),
        (astring(), astring()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        (set(), proptest::collection::vec(item(), 1..5))
            .prop_map(|(set, items)| format!("FETCH {set} ({})", items.join(" "))),
        (set(), action, flags).prop_map(|(set, action, flags)| format!("UID STORE {set} {action} {flags}")),
        (set(), astring()).prop_map(|(set, mailbox)| format!("COPY {set} {mailbox}")),
        proptest::collection::vec(key(), 1..4).prop_map(|keys| format!("SEARCH {}", keys.join(" "))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Both parsers accept every generated command.
    #[test]
    fn agrees_over_generated_commands(command in command()) {
        let line = format!("a1 {command}\r\n");
        let ours = ours(&line);
        prop_assert!(ours.is_some(), "{}", line);
        prop_assert_eq!(ours, theirs(&line));
    }
}
