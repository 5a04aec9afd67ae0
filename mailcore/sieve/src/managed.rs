//! The managed script: a person's directory attributes as Sieve.

use jiff::{Timestamp, tz::TimeZone};
use provost_view::{Person, Vacation};

use crate::compile_vacation::{HANDLE_HEX_DIGITS, SUBJECT_OCTETS_MAX};
use crate::lexer::STRING_OCTETS_MAX;

/// Separators between the languages of a subject and of a text.
const SUBJECT_JOIN: &str = " / ";
const TEXT_JOIN: &str = "\r\n\r\n---\r\n\r\n";
/// Subjects of a rule that has a text but no subject.
const SUBJECT_FR: &str = "Absence";
const SUBJECT_EN: &str = "Out of office";

/// Returns the Sieve script for a person's directory attributes; empty when they have no effect.
///
/// A vacation rule without any text has no effect. Start and end are compared as RFC 3339 strings in UTC, which sort in
/// order of time. Texts or subjects that together exceed the bound of the compiler are cut at the end. The compiler
/// also bounds the interval between two replies.
pub fn managed_script(person: &Person) -> String {
    let Some(vacation) = person.vacation.as_deref() else { return String::new() };
    let english_first = person.language.as_deref().is_some_and(|l| l.to_ascii_lowercase().starts_with("en"));
    let text = in_languages([&vacation.text_fr, &vacation.text_en], &vacation.text, english_first).join(TEXT_JOIN);
    if text.is_empty() {
        return String::new();
    }
    let subject = subject(vacation, english_first);
    format!(
        "require [\"vacation\", \"date\", \"relational\"];\r\n\
         # Made from the directory at each delivery: do not edit.\r\n\
         if {} {{\r\n\
         vacation :days {} :subject {} :handle {} :addresses [{}] {};\r\n\
         }}\r\n",
        absence_test(vacation),
        vacation.interval_days,
        quoted(cut(&subject, SUBJECT_OCTETS_MAX)),
        quoted(&handle(&subject, &text)),
        quoted(person.primary.as_str()),
        multi_line(&text),
    )
}

/// Returns the test that is true from start to end, both included.
fn absence_test(vacation: &Vacation) -> String {
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

/// Returns the texts in order: French and English, the person's language first. When one of them is missing, the text
/// without a language (`neutral`) comes last. Equal texts are given once.
fn in_languages<'a>(
    [french, english]: [&'a Option<Box<str>>; 2],
    neutral: &'a Option<Box<str>>,
    english_first: bool,
) -> Vec<&'a str> {
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

fn non_empty(text: &Option<Box<str>>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Returns the subjects, or default ones in the languages of the texts.
fn subject(vacation: &Vacation, english_first: bool) -> String {
    let subjects = in_languages([&vacation.subject_fr, &vacation.subject_en], &vacation.subject, english_first);
    if !subjects.is_empty() {
        return subjects.join(SUBJECT_JOIN);
    }
    let defaults = match (non_empty(&vacation.text_fr), non_empty(&vacation.text_en)) {
        (Some(_), None) => vec![SUBJECT_FR],
        (None, Some(_)) => vec![SUBJECT_EN],
        _ if english_first => vec![SUBJECT_EN, SUBJECT_FR],
        _ => vec![SUBJECT_FR, SUBJECT_EN],
    };
    defaults.join(SUBJECT_JOIN)
}

/// Returns the handle. A new text or subject is a new rule, which answers every correspondent again (RFC 5230 §4.2).
fn handle(subject: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(subject.len() as u64).to_le_bytes()).update(subject.as_bytes()).update(text.as_bytes());
    let hex = hasher.finalize().to_hex();
    format!("managed-{}", hex.get(..HANDLE_HEX_DIGITS).unwrap_or_default())
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

/// Writes a multi-line string: `text:`, the lines (of which those that begin with a dot get another one), and the
/// closing dot (RFC 5228 §2.4.2). A text that exceeds [`STRING_OCTETS_MAX`] is cut.
fn multi_line(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "");
    let mut lines = String::from("text:\r\n");
    // An added dot does not count: it is not part of the string.
    let mut octets_left = STRING_OCTETS_MAX;
    for line in text.split('\n') {
        let Some(room) = octets_left.checked_sub("\r\n".len()) else { break };
        let whole = line;
        let line = cut(whole, room);
        if line.starts_with('.') {
            lines.push('.');
        }
        lines.push_str(line);
        lines.push_str("\r\n");
        if line.len() < whole.len() {
            break;
        }
        octets_left = room - line.len();
    }
    lines.push_str(".\r\n");
    lines
}
