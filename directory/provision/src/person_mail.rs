//! Mails to a person, in their language, and what their texts have in common.

use std::sync::LazyLock;

use handlebars::{Handlebars, RenderError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use provost_entry::{Address, Entry};
use provost_schema::attr;
use serde::Serialize;
use uuid::Uuid;

use crate::ProvisionSettings;

/// The languages of mails and letters.
pub(crate) const FRENCH: &str = "fr";
pub(crate) const ENGLISH: &str = "en";
/// Line between two languages.
const SEPARATOR: &str = "\n----------------------------------------\n\n";

const MONTHS_FR: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Texts are plain, so nothing is escaped.
static ENGINE: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine
});

/// The text of a mail in both languages. A template with a syntax error makes its mails fail; tests build each of them.
pub(crate) struct Template {
    pub(crate) french: &'static str,
    pub(crate) english: &'static str,
}

impl Template {
    fn render(&self, language: &str, words: &impl Serialize) -> Result<String, RenderError> {
        let text = if language == FRENCH { self.french } else { self.english };
        ENGINE.render_template(text, words)
    }
}

/// A mail to one person.
pub(crate) struct PersonMail<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) to: &'a Address,
    pub(crate) settings: &'a ProvisionSettings,
    pub(crate) now: Timestamp,
}

impl PersonMail<'_> {
    /// The whole message: 7-bit, with CRLF line ends. In the person's language, else in French and English.
    pub(crate) fn build<W: Serialize>(
        &self,
        template: &Template,
        subject: impl Fn(&str) -> String,
        words: impl Fn(&str) -> W,
    ) -> Result<String, RenderError> {
        let languages = languages(language(self.entry));
        let parts: Vec<String> =
            languages.iter().map(|language| template.render(language, &words(language))).collect::<Result<_, _>>()?;
        let subjects: Vec<String> = languages.iter().map(|language| subject(language)).collect();
        let domain = &self.settings.domain;
        let text = parts.join(SEPARATOR).replace('\n', "\r\n");
        let mut message = Vec::new();
        MessageBuilder::new()
            .from(Mailbox::new_address(Some(domain.as_str()), format!("postmaster@{domain}")))
            .to(Mailbox::new_address(None::<&str>, self.to.as_str()))
            .subject(subjects.join(" / "))
            .date(Date::new(self.now.as_second()))
            .message_id(format!("{}@{domain}", Uuid::new_v4()))
            .header("Content-Language", Raw::new(languages.join(", ")))
            // RFC 3834 §5: no vacation reply to this.
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .body(MimePart::new("text/plain", BodyPart::Text(text.into())))
            .serialize(&mut message);
        Ok(String::from_utf8_lossy(&message).into_owned())
    }
}

/// The language of a person's `preferredLanguage`, which has the form of Accept-Language (RFC 2798 §2.7): the first tag
/// counts. `None` for any other language or none; both languages are used then.
pub(crate) fn language(entry: &Entry) -> Option<&'static str> {
    let text = entry.first(attr::PREFERRED_LANGUAGE)?.trim().to_ascii_lowercase();
    let first = text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    [FRENCH, ENGLISH].into_iter().find(|known| *known == first)
}

/// The languages in which to write to a person: theirs, else French and English.
pub(crate) fn languages(of_person: Option<&'static str>) -> Vec<&'static str> {
    of_person.map_or_else(|| vec![FRENCH, ENGLISH], |language| vec![language])
}

/// The name by which a mail greets the person, on one line.
pub(crate) fn shown_name(entry: &Entry) -> String {
    let text = |name: &str| entry.first(name).map(|text| text.replace(char::is_control, " ")).unwrap_or_default();
    Some(text(attr::DISPLAY_NAME)).filter(|name| !name.is_empty()).unwrap_or_else(|| text(attr::CN))
}

/// The day of a moment: `4 janvier 2027`, `January 4, 2027`.
pub(crate) fn long_day(at: Timestamp, zone: &TimeZone, language: &str) -> String {
    let date = zone.to_datetime(at).date();
    let (day, year, month) = (date.day(), date.year(), usize::from(date.month().unsigned_abs()).saturating_sub(1));
    let name = |months: &[&'static str; 12]| months.get(month).copied().unwrap_or_default();
    match (language, day) {
        (FRENCH, 1) => format!("1er {} {year}", name(&MONTHS_FR)),
        (FRENCH, _) => format!("{day} {} {year}", name(&MONTHS_FR)),
        _ => format!("{} {day}, {year}", name(&MONTHS_EN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_site() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        for (at, french, english) in [
            ("2027-01-05T02:00:00Z", "4 janvier 2027", "January 4, 2027"),
            ("2026-08-01T12:00:00Z", "1er août 2026", "August 1, 2026"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!((long_day(at, &zone, "fr"), long_day(at, &zone, "en")), (french.into(), english.into()));
        }
    }
}
