//! The vacation rule: the form that people state and the form that the person's attributes hold.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::attr;
use serde_json::json;

use super::{ChangeTarget, Desk, DeskError, VacationChange};
use crate::calendar::{day_begins, day_ends, day_of};
use crate::manual_origin::set_by_hand;
use crate::source::invisible::{is_bidi_control, is_invisible};
use crate::{Permission, Principal};

/// Longest subject of a reply, in characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// Longest text of a reply, in characters.
const TEXT_CHARS_MAX: usize = 10_000;
/// Days between two replies to one sender. RFC 5230 §4.1 allows a server a maximum of its own, if it exceeds 7 days.
const INTERVAL_DAYS: std::ops::RangeInclusive<u16> = 1..=365;
/// mailAutoReplyMode when the rule is on.
const MODE_REPLY: &str = "reply";

impl Desk {
    /// Sets the vacation rule. Returns the audit id.
    ///
    /// The whole rule is replaced: a field that is absent from `change` is removed.
    pub async fn set_vacation(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        change: VacationChange,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetVacation, &target.into()).await?;
        let zone = self.settings.get().time_zone;
        let change = check(change, &zone)?;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": change });
        let mut changes = modifications(Some(&change), &zone);
        changes.push(by_hand(&person.entry, principal));
        self.change(principal.actor(), "vacation.set", &person, changes, detail).await
    }

    /// Clears the vacation rule. Clearing an absent rule succeeds. Returns the audit id.
    pub async fn clear_vacation(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
    ) -> Result<String, DeskError> {
        let person = self.target(principal, Permission::SetVacation, &target.into()).await?;
        let zone = self.settings.get().time_zone;
        let detail = json!({ "before": of_entry(&person.entry, &zone), "after": null });
        let mut changes = modifications(None, &zone);
        changes.push(by_hand(&person.entry, principal));
        self.change(principal.actor(), "vacation.clear", &person, changes, detail).await
    }
}

/// Records that the rule was set or cleared by hand, so that no file changes it.
fn by_hand(person: &Entry, principal: &Principal) -> Modification {
    set_by_hand(person, attr::MAIL_AUTO_REPLY_MODE, (Timestamp::now(), None), principal.actor())
}

/// Returns a vacation rule in the form that is stored: blanks trimmed, line ends LF, empty fields absent. An error
/// names the first invalid field and its requirement.
fn check(change: VacationChange, zone: &TimeZone) -> Result<VacationChange, DeskError> {
    let invalid = |field, rule: &str| Err(DeskError::Invalid { field, rule: rule.to_owned() });
    let change = VacationChange {
        subject_fr: subject("subject_fr", change.subject_fr)?,
        subject_en: subject("subject_en", change.subject_en)?,
        text_fr: text("text_fr", change.text_fr)?,
        text_en: text("text_en", change.text_en)?,
        ..change
    };
    if change.text_fr.is_none() && change.text_en.is_none() {
        return invalid("text", "a text in French or in English is needed");
    }
    if let (Some(start), Some(end)) = (change.start, change.end)
        && end < start
    {
        return invalid("end", "the end is before the start");
    }
    if change.start.is_some_and(|date| day_begins(zone, date).is_none()) {
        return invalid("start", "not a day that can be stored");
    }
    if change.end.is_some_and(|date| day_ends(zone, date).is_none()) {
        return invalid("end", "not a day that can be stored");
    }
    if change.interval_days.is_some_and(|days| !INTERVAL_DAYS.contains(&days)) {
        return invalid("interval_days", "1 to 365 days");
    }
    Ok(change)
}

/// A subject is one line: a line end in it would let its author add header fields to the reply (RFC 5322 §2.2).
fn subject(field: &'static str, value: Option<String>) -> Result<Option<String>, DeskError> {
    let value = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    match &value {
        Some(value) if value.chars().count() > SUBJECT_CHARS_MAX => {
            Err(DeskError::Invalid { field, rule: format!("at most {SUBJECT_CHARS_MAX} characters") })
        }
        Some(value) if value.chars().any(char::is_control) => {
            Err(DeskError::Invalid { field, rule: "one line without control characters".to_owned() })
        }
        Some(value) if value.chars().any(is_invisible) => {
            Err(DeskError::Invalid { field, rule: "no invisible characters".to_owned() })
        }
        _ => Ok(value),
    }
}

fn text(field: &'static str, value: Option<String>) -> Result<Option<String>, DeskError> {
    // A form of a web page sends CRLF.
    let value = value.map(|value| value.replace("\r\n", "\n").trim().to_owned()).filter(|value| !value.is_empty());
    match &value {
        Some(value) if value.chars().count() > TEXT_CHARS_MAX => {
            Err(DeskError::Invalid { field, rule: format!("at most {TEXT_CHARS_MAX} characters") })
        }
        Some(value) if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => {
            Err(DeskError::Invalid { field, rule: "no control characters but line ends and tabs".to_owned() })
        }
        // Joiners and marks belong to the spelling of some languages; characters that reverse other text belong to
        // none.
        Some(value) if value.chars().any(is_bidi_control) => {
            Err(DeskError::Invalid { field, rule: "no characters that change the direction of the text".to_owned() })
        }
        _ => Ok(value),
    }
}

/// The modifications that store a rule, or clear the stored one for `None`.
fn modifications(change: Option<&VacationChange>, zone: &TimeZone) -> Vec<Modification> {
    let set = |name: AttributeDescription, value: Option<String>| {
        Modification::replace(name, value.into_iter().map(String::into_bytes).collect())
    };
    let of = AttributeDescription::of;
    let (subject, text) = (attr::MAIL_AUTO_REPLY_SUBJECT, attr::MAIL_AUTO_REPLY_TEXT);
    let field = |get: fn(&VacationChange) -> &Option<String>| change.and_then(|change| get(change).clone());
    let interval = change.and_then(|change| change.interval_days).map(|days| days.to_string());
    let begins = change.and_then(|change| change.start).and_then(|date| day_begins(zone, date));
    let ends = change.and_then(|change| change.end).and_then(|date| day_ends(zone, date));
    vec![
        set(of(attr::MAIL_AUTO_REPLY_MODE), change.map(|_| MODE_REPLY.to_owned())),
        set(of(attr::VACATION_START_DATE), begins),
        set(of(attr::VACATION_END_DATE), ends),
        set(of(attr::PROVOST_VACATION_INTERVAL), interval),
        // Remove a text without a language, written by other means: it would be sent in addition to the texts stated
        // here.
        set(of(subject), None),
        set(of(text), None),
        set(AttributeDescription::with_option(subject, "lang-fr"), field(|change| &change.subject_fr)),
        set(AttributeDescription::with_option(subject, "lang-en"), field(|change| &change.subject_en)),
        set(AttributeDescription::with_option(text, "lang-fr"), field(|change| &change.text_fr)),
        set(AttributeDescription::with_option(text, "lang-en"), field(|change| &change.text_en)),
    ]
}

/// The rule that an entry holds; `None` when its mode is not `reply`. A subject or text without a language counts as
/// English if there is no English one.
pub(super) fn of_entry(entry: &Entry, zone: &TimeZone) -> Option<VacationChange> {
    entry.first(attr::MAIL_AUTO_REPLY_MODE).filter(|mode| mode.eq_ignore_ascii_case(MODE_REPLY))?;
    let tagged = |name: &str, language: &str| entry.first(&format!("{name};lang-{language}")).map(str::to_owned);
    let english = |name: &str| tagged(name, "en").or_else(|| entry.first(name).map(str::to_owned));
    Some(VacationChange {
        start: entry.first(attr::VACATION_START_DATE).and_then(|time| day_of(zone, time)),
        end: entry.first(attr::VACATION_END_DATE).and_then(|time| day_of(zone, time)),
        subject_fr: tagged(attr::MAIL_AUTO_REPLY_SUBJECT, "fr"),
        subject_en: english(attr::MAIL_AUTO_REPLY_SUBJECT),
        text_fr: tagged(attr::MAIL_AUTO_REPLY_TEXT, "fr"),
        text_en: english(attr::MAIL_AUTO_REPLY_TEXT),
        interval_days: entry.first(attr::PROVOST_VACATION_INTERVAL).and_then(|days| days.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use provost_entry::Dn;

    fn toronto() -> TimeZone {
        TimeZone::get("America/Toronto").unwrap()
    }

    fn rule() -> VacationChange {
        VacationChange {
            start: Some(date(2026, 12, 21)),
            end: Some(date(2027, 1, 4)),
            subject_fr: Some("Absence".into()),
            text_fr: Some("Je suis absente.\nÀ bientôt".into()),
            interval_days: Some(3),
            ..VacationChange::default()
        }
    }

    #[test]
    fn a_rule_comes_back_as_it_was_set() {
        let mut entry = Entry::new(Dn::root()).with(attr::MAIL_AUTO_REPLY_TEXT, "from elsewhere");
        for change in modifications(Some(&rule()), &toronto()) {
            entry.set(change.attribute, change.values);
        }
        assert_eq!(of_entry(&entry, &toronto()), Some(rule()));
        assert_eq!(
            entry.first(attr::VACATION_END_DATE),
            Some("20270105045959Z"),
            "the rule does not last to the end of its last day"
        );
        for change in modifications(None, &toronto()) {
            entry.set(change.attribute, change.values);
        }
        assert_eq!((of_entry(&entry, &toronto()), entry.attributes().count()), (None, 0));
    }

    #[test]
    fn a_rule_with_a_wrong_field_is_refused() {
        let with = |edit: fn(&mut VacationChange)| {
            let mut change = rule();
            edit(&mut change);
            change
        };
        for (change, field) in [
            (with(|rule| rule.text_fr = Some(" \r\n".into())), "text"),
            (with(|rule| rule.end = Some(date(2026, 12, 20))), "end"),
            (with(|rule| rule.start = Some(date(-9999, 1, 1))), "start"),
            (with(|rule| rule.end = Some(date(9999, 12, 31))), "end"),
            (with(|rule| rule.interval_days = Some(0)), "interval_days"),
            (with(|rule| rule.interval_days = Some(366)), "interval_days"),
            (with(|rule| rule.subject_fr = Some("a\r\nBcc: x@example.net".into())), "subject_fr"),
            (with(|rule| rule.subject_en = Some("a".repeat(201))), "subject_en"),
            (with(|rule| rule.text_en = Some("a".repeat(10_001))), "text_en"),
            (with(|rule| rule.text_en = Some("a\0b".into())), "text_en"),
            (with(|rule| rule.subject_fr = Some("a\u{200B}b".into())), "subject_fr"),
            (with(|rule| rule.text_fr = Some("a\u{202E}b".into())), "text_fr"),
        ] {
            match check(change, &toronto()) {
                Err(DeskError::Invalid { field: refused, .. }) => assert_eq!(refused, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let crlf = check(with(|rule| rule.text_fr = Some("a\r\nb\r\n".into())), &toronto()).unwrap();
        assert_eq!(crlf.text_fr.as_deref(), Some("a\nb"));
    }
}
