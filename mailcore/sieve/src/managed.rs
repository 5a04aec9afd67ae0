//! The managed script: a person's directory attributes as Sieve.

use jiff::{Timestamp, tz::TimeZone};
use provost_view::{Person, Vacation};

use crate::compile_vacation::SUBJECT_OCTETS_MAX;
use crate::lexer::STRING_OCTETS_MAX;

/// Separators between two languages, in a subject and in a text.
const SUBJECT_JOIN: &str = " / ";
const TEXT_JOIN: &str = "\r\n\r\n---\r\n\r\n";
/// Default subjects.
const SUBJECT_FR: &str = "Absence";
const SUBJECT_EN: &str = "Out of office";
/// The range of the interval between two replies, days: what the compiler of `vacation` allows.
const DAYS: std::ops::RangeInclusive<u16> = 1..=365;

/// Returns the Sieve script for a person's directory attributes; empty when they have no effect.
///
/// A vacation rule without any text has no effect. Start and end are compared as RFC 3339 strings in UTC, which sort in
/// order of time. Texts in two languages that together exceed the bound of a string are cut at the end.
pub fn managed_script(person: &Person) -> String {
    let Some(vacation) = person.vacation.as_deref() else { return String::new() };
    let english_first = person.language.as_deref().is_some_and(|l| l.to_ascii_lowercase().starts_with("en"));
    let text = in_languages([&vacation.text_fr, &vacation.text_en], &vacation.text, english_first).join(TEXT_JOIN);
    if text.is_empty() {
        return String::new();
    }
    let subject = subject(vacation, english_first);
    let days = vacation.interval_days.clamp(*DAYS.start(), *DAYS.end());
    format!(
        "require [\"vacation\", \"date\", \"relational\"];\r\n\
         # Made from the directory at each delivery: do not edit.\r\n\
         if {} {{\r\n\
         vacation :days {days} :subject {} :handle {} :addresses [{}] {};\r\n\
         }}\r\n",
        window(vacation),
        quoted(cut(&subject, SUBJECT_OCTETS_MAX)),
        quoted(&handle(&subject, &text)),
        quoted(person.primary.as_str()),
        multi_line(&text),
    )
}

/// Returns the test that is true from start to end, both included.
fn window(vacation: &Vacation) -> String {
    let at = |relation: &str, time: Timestamp| {
        let moment = quoted(&utc(time));
        format!("currentdate :zone \"+0000\" :value \"{relation}\" \"iso8601\" {moment}")
    };
    match (vacation.start, vacation.end) {
        (None, None) => "true".into(),
        (Some(start), None) => at("ge", start),
        (None, Some(end)) => at("le", end),
        (Some(start), Some(end)) => format!("allof({},\r\n  {})", at("ge", start), at("le", end)),
    }
}

/// Formats a time as RFC 3339 in UTC. A time before the year 0 would not sort as a string, so it becomes the start of
/// the year 0. [`Timestamp`] itself ends with the year 9999.
fn utc(time: Timestamp) -> String {
    const YEAR_0: Timestamp = Timestamp::constant(-62_167_219_200, 0);
    time.max(YEAR_0).to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the texts in order: French and English, the person's language first. The text without a language replaces a
/// missing one.
fn in_languages<'a>(
    [french, english]: [&'a Option<Box<str>>; 2],
    neutral: &'a Option<Box<str>>,
    english_first: bool,
) -> Vec<&'a str> {
    fn non_empty(text: &Option<Box<str>>) -> Option<&str> {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty())
    }
    let mut parts = vec![non_empty(french), non_empty(english)];
    if english_first {
        parts.reverse();
    }
    if parts.iter().any(Option::is_none) {
        parts.push(non_empty(neutral));
    }
    let mut parts: Vec<&str> = parts.into_iter().flatten().collect();
    parts.dedup();
    parts
}

fn subject(vacation: &Vacation, english_first: bool) -> String {
    let subjects = in_languages([&vacation.subject_fr, &vacation.subject_en], &vacation.subject, english_first);
    if !subjects.is_empty() {
        return subjects.join(SUBJECT_JOIN);
    }
    let languages = match (&vacation.text_fr, &vacation.text_en) {
        (Some(_), None) => vec![SUBJECT_FR],
        (None, Some(_)) => vec![SUBJECT_EN],
        _ if english_first => vec![SUBJECT_EN, SUBJECT_FR],
        _ => vec![SUBJECT_FR, SUBJECT_EN],
    };
    languages.join(SUBJECT_JOIN)
}

/// Returns the handle. A new text or subject is a new rule, which answers every correspondent again (RFC 5230 §4.2).
fn handle(subject: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(subject.len() as u64).to_le_bytes()).update(subject.as_bytes()).update(text.as_bytes());
    let hex = hasher.finalize().to_hex();
    format!("managed-{}", hex.get(..32).unwrap_or_default())
}

/// The start of `text`: at most `octets_max` octets, whole characters.
fn cut(text: &str, octets_max: usize) -> &str {
    text.get(..text.floor_char_boundary(octets_max)).unwrap_or(text)
}

/// Writes a quoted string (RFC 5228 §2.4.2) on one line, without characters that a header field cannot hold.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes `text:`, the lines with a dot added where they begin with one, and the closing dot (RFC 5228 §2.4.2).
fn multi_line(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "");
    let mut lines = String::from("text:\r\n");
    // A doubled dot does not count: it is not part of the string.
    let mut octets_left = STRING_OCTETS_MAX;
    for line in text.split('\n') {
        let Some(room) = octets_left.checked_sub("\r\n".len()) else { break };
        let line = cut(line, room);
        if line.starts_with('.') {
            lines.push('.');
        }
        lines.push_str(line);
        lines.push_str("\r\n");
        octets_left = room - line.len();
    }
    lines.push_str(".\r\n");
    lines
}
