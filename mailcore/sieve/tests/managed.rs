//! The managed script: from a person's attributes to the reply to a message, over simulated years.

// Helper functions of tests may panic: clippy exempts only `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

use jiff::Timestamp;
use proptest::prelude::*;
use provost_message::{Address, Arrival, Envelope, Path};
use provost_sieve::{Action, Script, ScriptContext, VacationReply, managed_script};
use provost_view::{Affiliation, Person, PersonState, Vacation};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn person(language: Option<&str>, vacation: Option<Vacation>) -> Person {
    Person {
        entry_uuid: Default::default(),
        dn: "provostPersonId=1,ou=people,dc=example,dc=edu".into(),
        uid: "zoe.tremblay".into(),
        display_name: "Zoé Tremblay".into(),
        primary: Address::parse("zoe.tremblay@example.edu").unwrap(),
        state: PersonState::Active,
        affiliation: Affiliation::Faculty,
        language: language.map(Into::into),
        passwords: Vec::new(),
        quota_octets: None,
        vacation: vacation.map(Box::new),
        roles: Vec::new(),
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

fn vacation() -> Vacation {
    Vacation {
        start: None,
        end: None,
        subject: None,
        subject_fr: None,
        subject_en: None,
        text: None,
        text_fr: Some("Je suis absente.".into()),
        text_en: None,
        interval_days: 7,
    }
}

fn reply(person: &Person, now: i64) -> Option<VacationReply> {
    let script = managed_script(person);
    let script = Script::compile(&script).unwrap_or_else(|error| panic!("{error}\n{script}"));
    let envelope = Envelope::new(Path::parse("ana@one.test").ok(), []);
    let arrival = Arrival::from_queue(uuid::Uuid::nil().into(), envelope, b"");
    let context = ScriptContext {
        arrival: &arrival,
        forward_path: &Path::from(&person.primary),
        recipient: &person.primary,
        addresses: std::slice::from_ref(&person.primary),
        now: at(now),
    };
    let outcome = script.run(b"To: zoe.tremblay@example.edu\r\nSubject: s\r\n\r\nx\r\n", &context).unwrap();
    assert_eq!(outcome.actions, [Action::Keep]);
    outcome.vacation
}

#[test]
fn attributes_without_effect_give_no_script() {
    assert_eq!(managed_script(&person(None, None)), "");
    assert_eq!(managed_script(&person(None, Some(Vacation { text_fr: None, ..vacation() }))), "");
    assert_eq!(managed_script(&person(None, Some(Vacation { text_fr: Some("  ".into()), ..vacation() }))), "");
}

/// The script replies exactly while [`Vacation::is_on`] is true. The test compares them once a day over four years, and
/// in the seconds around start and end.
#[test]
fn replies_from_start_to_end() {
    const DAY: i64 = 86_400;
    const YEAR_0: i64 = -62_167_219_200;
    let first_day = 1_767_225_600; // 2026-01-01T00:00:00Z
    let start = 1_798_693_200; // 2026-12-31T05:00:00Z: midnight in Montréal
    let end = start + 400 * DAY;
    for (start, end) in [
        (Some(start), Some(end)),
        (Some(start), None),
        (None, Some(end)),
        (None, None),
        (Some(end), Some(start)),
        (Some(Timestamp::MIN.as_second()), Some(Timestamp::MAX.as_second())),
    ] {
        let vacation = Vacation { start: start.map(at), end: end.map(at), ..vacation() };
        let person = person(None, Some(vacation.clone()));
        let days = (0..1500).map(|day| first_day + day * DAY);
        let edges = [start, end].into_iter().flatten().flat_map(|edge| [edge - 1, edge, edge + 1]);
        // Skip times before the year 0, which the script cannot compare, and those after the year 9999, which
        // `Timestamp` cannot hold.
        let is_time = |second: &i64| *second >= YEAR_0 && Timestamp::from_second(*second).is_ok();
        for now in days.chain(edges).filter(is_time) {
            let expected = vacation.is_on(at(now));
            assert_eq!(reply(&person, now).is_some(), expected, "{start:?} {end:?} {now}");
        }
    }
}

/// The reply has the French and the English text, that in the person's language first. When one of the two is missing,
/// the text without a language follows. A rule without a subject gets a default one in the languages of its texts.
#[test]
fn languages() {
    let text = |t: &str| -> Option<Box<str>> { Some(t.into()) };
    let french = || Vacation { text_fr: text("Absente."), ..vacation() };
    let blank_french = || Vacation { text_fr: text(" "), text_en: text("I am away."), ..vacation() };
    let both = || Vacation { text_en: text("I am away."), ..french() };
    let subjects = Vacation { subject_fr: text("Vacances"), subject_en: text("Holidays"), ..both() };
    let neutral = Vacation { text_fr: None, text: text("Weg."), subject: text("Ferien"), ..vacation() };
    for (language, vacation, subject, text) in [
        (None, french(), "Absence", "Absente.\r\n"),
        (
            None,
            Vacation { text_fr: None, text_en: text("I am away."), ..vacation() },
            "Out of office",
            "I am away.\r\n",
        ),
        (None, blank_french(), "Out of office", "I am away.\r\n"),
        (None, both(), "Absence / Out of office", "Absente.\r\n\r\n---\r\n\r\nI am away.\r\n"),
        (Some("fr"), both(), "Absence / Out of office", "Absente.\r\n\r\n---\r\n\r\nI am away.\r\n"),
        (Some("en"), both(), "Out of office / Absence", "I am away.\r\n\r\n---\r\n\r\nAbsente.\r\n"),
        (Some("en-CA"), subjects.clone(), "Holidays / Vacances", "I am away.\r\n\r\n---\r\n\r\nAbsente.\r\n"),
        (None, subjects, "Vacances / Holidays", "Absente.\r\n\r\n---\r\n\r\nI am away.\r\n"),
        (None, neutral.clone(), "Ferien", "Weg.\r\n"),
        (None, Vacation { text_fr: text("Absente."), ..neutral }, "Ferien", "Absente.\r\n\r\n---\r\n\r\nWeg.\r\n"),
        (
            None,
            Vacation { text: text("Weg."), ..both() },
            "Absence / Out of office",
            "Absente.\r\n\r\n---\r\n\r\nI am away.\r\n",
        ),
    ] {
        let reply = reply(&person(language, Some(vacation)), 0).unwrap();
        assert_eq!((reply.subject.as_str(), reply.text.as_str()), (subject, text), "{language:?}");
    }
}

/// Texts in two languages that together exceed the bounds of the Sieve compiler are cut at the end.
#[test]
fn long_texts_are_cut() {
    let (subject, text) = ("文".repeat(200), "..文\n".repeat(8_000));
    let long = Vacation {
        subject_fr: Some(subject.as_str().into()),
        subject_en: Some(format!("{subject}!").into()),
        text_fr: Some(text.as_str().into()),
        text_en: Some(format!("{text}!").into()),
        ..vacation()
    };
    let reply = reply(&person(None, Some(long)), 0).unwrap();
    let whole_subject = format!("{subject} / {subject}!");
    assert!(whole_subject.starts_with(&reply.subject) && reply.subject.len() > 990, "{}", reply.subject);
    let text = text.trim().replace('\n', "\r\n");
    let whole_text = format!("{text}\r\n\r\n---\r\n\r\n{text}");
    assert!(whole_text.starts_with(reply.text.trim_end()), "not the start of the text");
    assert!(reply.text.len() > 65_000, "{} octets", reply.text.len());
}

/// Nothing follows a line that is cut, though an octet of the next line would fit after it.
#[test]
fn a_text_ends_where_it_is_cut() {
    let first = "x".repeat(64 * 1024 - "\r\n".len() - 3);
    let text = format!("{first}😀\nab");
    let reply = reply(&person(None, Some(Vacation { text_fr: Some(text.into()), ..vacation() })), 0).unwrap();
    assert!(reply.text == first + "\r\n", "ends with {:?}", reply.text.get(65_520..));
}

/// A new text or subject changes the handle, so every correspondent gets a reply again (RFC 5230 §4.2). A new end or
/// interval does not change the handle.
#[test]
fn handles() {
    let handle = |vacation| reply(&person(None, Some(vacation)), 0).unwrap().handle;
    let first = handle(vacation());
    assert_eq!(first, handle(Vacation { end: Some(at(1)), interval_days: 3, ..vacation() }));
    assert_ne!(first, handle(Vacation { text_fr: Some("Autre".into()), ..vacation() }));
    assert_ne!(first, handle(Vacation { subject_fr: Some("Autre".into()), ..vacation() }));
}

#[test]
fn the_interval_is_bounded() {
    for (days, expected) in [(0, 1), (1, 1), (30, 30), (9999, 365)] {
        let vacation = Vacation { interval_days: days, ..vacation() };
        assert_eq!(reply(&person(None, Some(vacation)), 0).unwrap().days, expected);
    }
}

proptest! {
    /// Whatever the attributes hold, the script is valid, and the reply has the trimmed text with CRLF line ends.
    #[test]
    fn any_text_is_sent_as_it_is(
        text in "([ -~éœ\t]|\r\n|\n|\r|\\.|\"|\\\\|;|\\}){1,80}",
        subject in any::<String>(),
        start in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
        end in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ) {
        let vacation = Vacation {
            start: Some(at(start)), end: Some(at(end)),
            text_fr: Some(text.clone().into()), subject_fr: Some(subject.into()), ..vacation()
        };
        Script::compile(&managed_script(&person(None, Some(vacation.clone())))).unwrap();
        let always = Vacation { start: None, end: None, ..vacation };
        let lines = text.trim().replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
        if !lines.is_empty() {
            let reply = reply(&person(None, Some(always)), 0).unwrap();
            prop_assert_eq!(reply.text, lines + "\r\n");
            prop_assert!(!reply.subject.contains(char::is_control));
        }
    }
}
