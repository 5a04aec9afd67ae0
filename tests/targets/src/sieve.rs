//! Sieve scripts of people, and scripts generated from directory attributes.

use jiff::Timestamp;
use provost_message::{Address, Arrival, Envelope, Path};
use provost_sieve::{Action, Script, ScriptContext, ScriptOutcome, managed_script};
use provost_view::Vacation;
use uuid::Uuid;

use crate::people::zoe;

/// The line between a script and its message.
const SEPARATOR: &[u8] = b"\n=====\n";
const MESSAGE: &[u8] =
    b"From: Ann <ann@one.test>\r\nTo: Zoe <zoe@example.edu>\r\nSubject: =?utf-8?q?R=C3=A9union?=\r\n\
    Date: Wed, 31 Dec 2025 23:30:00 -0500\r\nMessage-ID: <1@one.test>\r\nX-Score: 12\r\n\r\nBonjour\r\n";
/// Maximum number of actions of one run.
const ACTIONS_MAX: usize = 32;
/// Maximum number of redirects of one run.
const REDIRECTS_MAX: usize = 5;

/// A script that does not compile has an error with the number of one of its lines. Any other script has the same
/// outcome in two runs, with a bounded number of actions, none of them twice.
pub(crate) fn script(input: &[u8]) {
    let at = input.windows(SEPARATOR.len()).position(|part| part == SEPARATOR);
    let (script, message) = match at {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, MESSAGE),
    };
    let script = String::from_utf8_lossy(script);
    let script = match Script::compile(&script) {
        Ok(script) => script,
        Err(error) => {
            assert!((1..=script.split('\n').count()).contains(&error.line), "{error}");
            return;
        }
    };
    let outcome = run(&script, message);
    assert_eq!(outcome, run(&script, message));
    if let Some(outcome) = outcome {
        check(&outcome, message);
    }
}

fn run(script: &Script, message: &[u8]) -> Option<ScriptOutcome> {
    let recipient = Address::parse("zoe@example.edu").expect("an address");
    let envelope = Envelope::new(Path::parse("ann@one.test").ok(), []);
    let arrival = Arrival::from_queue(Uuid::nil().into(), envelope, message);
    let addresses = [recipient.clone()];
    // Thursday, 2026-01-01T04:30:00Z.
    let now = Timestamp::from_second(1_767_241_800).expect("a time");
    let forward_path = Path::from(&recipient);
    let context = ScriptContext {
        arrival: &arrival,
        forward_path: &forward_path,
        recipient: &recipient,
        addresses: &addresses,
        now,
    };
    script.run(message, &context).ok()
}

fn check(outcome: &ScriptOutcome, message: &[u8]) {
    let ScriptOutcome { actions, vacation } = outcome;
    let redirects = actions.iter().filter(|action| matches!(action, Action::Redirect(_))).count();
    assert!(actions.len() <= ACTIONS_MAX && redirects <= REDIRECTS_MAX, "{actions:?}");
    assert!((1..actions.len()).all(|at| !actions[..at].contains(&actions[at])), "{actions:?}");
    if let Some(reply) = vacation {
        let fields = [Some(&reply.subject), reply.in_reply_to.as_ref(), reply.references.as_ref()];
        assert!(fields.into_iter().flatten().all(|field| !field.contains(['\r', '\n', '\0'])), "{reply:?}");
        assert_eq!(reply.to.to_string(), "ann@one.test");
        let ids = reply.references.as_ref().map_or(0, String::len);
        assert!(ids <= message.len(), "{ids} octets of References");
    }
}

/// The script generated from any vacation attributes is valid and keeps the message. Unless the script is empty, it
/// also replies.
pub(crate) fn vacation(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let parts: Vec<Option<Box<str>>> = text.split('\x1f').map(|part| Some(part.into())).collect();
    let part = |at: usize| parts.get(at).cloned().flatten();
    let vacation = Vacation {
        start: None,
        end: None,
        subject: part(1),
        subject_fr: part(2),
        subject_en: part(3),
        text: part(0),
        text_fr: part(4),
        text_en: part(5),
        interval_days: input.len() as u16,
    };
    let person = zoe(Some(vacation));
    let script = managed_script(&person);
    let outcome = match Script::compile(&script) {
        Ok(script) => run(&script, MESSAGE).unwrap_or_else(|| panic!("cannot run: {script:?}")),
        Err(error) => panic!("{error}\n{script}"),
    };
    assert_eq!(outcome.actions, [Action::Keep]);
    assert_eq!(outcome.vacation.is_some(), !script.is_empty(), "{script}");
    check(&outcome, MESSAGE);
}
