//! The mail that brings an activation link to the private address.

use std::sync::LazyLock;

use handlebars::{Handlebars, RenderError};
use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use provost_entry::{Address, Entry};
use provost_schema::attr;
use serde::Serialize;
use uuid::Uuid;

use super::words::{ServerWords, long_day, server_words};
use super::{ENGLISH, FRENCH, language, languages};
use crate::ProvisionSettings;

/// Line between two languages.
const SEPARATOR: &str = "\n----------------------------------------\n\n";

/// Texts are plain, so nothing is escaped. A template with a syntax error is left out and its mails are refused; a test
/// renders both.
static TEMPLATES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_escape_fn(handlebars::no_escape);
    for (name, text) in [
        (FRENCH, include_str!("../../templates/invitation.fr.hbs")),
        (ENGLISH, include_str!("../../templates/invitation.en.hbs")),
    ] {
        if let Err(error) = templates.register_template_string(name, text) {
            tracing::error!(%error, name, "a template cannot be read");
        }
    }
    templates
});

/// An invitation to one person.
pub(crate) struct InvitationMail<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) to: &'a Address,
    /// The whole link.
    pub(crate) link: &'a str,
    pub(crate) until: Timestamp,
    pub(crate) settings: &'a ProvisionSettings,
    pub(crate) now: Timestamp,
}

#[derive(Serialize)]
struct Invitation<'a> {
    name: String,
    uid: String,
    mail: String,
    domain: &'a str,
    link: &'a str,
    until: String,
    servers: Vec<ServerWords>,
}

impl InvitationMail<'_> {
    /// The whole message: 7-bit, with CRLF line ends. In the person's language, else in French and English.
    pub(crate) fn build(&self) -> Result<String, RenderError> {
        let languages = languages(language(self.entry));
        let parts: Vec<String> = languages
            .iter()
            .map(|language| TEMPLATES.render(language, &self.words(language)))
            .collect::<Result<_, _>>()?;
        let subjects: Vec<&str> = languages.iter().map(|language| subject(language)).collect();
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

    fn words(&self, language: &str) -> Invitation<'_> {
        // A line break in a name must not begin another paragraph.
        let text = |name: &str| self.entry.first(name).unwrap_or_default().replace(char::is_control, " ");
        let name = text(attr::DISPLAY_NAME);
        Invitation {
            name: if name.is_empty() { text(attr::CN) } else { name },
            uid: text(attr::UID),
            mail: text(attr::MAIL),
            domain: &self.settings.domain,
            link: self.link,
            until: long_day(self.until, &self.settings.time_zone, language),
            servers: server_words(&self.settings.client_servers, language),
        }
    }
}

fn subject(language: &str) -> &'static str {
    if language == FRENCH { "Votre compte de courriel" } else { "Your mail account" }
}

#[cfg(test)]
mod tests {
    use provost_entry::Dn;
    use provost_settings::{Fallback, SharedSettings};

    use super::*;

    fn settings() -> ProvisionSettings {
        let mut fallback = Fallback::default();
        fallback.add("mail-domain", "test", "example.edu").unwrap();
        fallback.add("time-zone", "test", "America/Toronto").unwrap();
        fallback.add("client-servers", "test", "imap mail.example.edu:993").unwrap();
        ProvisionSettings::of(&SharedSettings::of_file(&fallback))
    }

    fn invitation(language: Option<&str>, name: &str) -> String {
        let entry = Entry::new(Dn::root())
            .with(attr::DISPLAY_NAME, name)
            .with(attr::UID, "zoe.lecuyer")
            .with(attr::MAIL, "zoe.lecuyer@example.edu");
        let entry = language.into_iter().fold(entry, |entry, tag| entry.with(attr::PREFERRED_LANGUAGE, tag));
        let mail = InvitationMail {
            entry: &entry,
            to: &Address::parse("zoe@example.net").unwrap(),
            link: "https://accounts.example.edu/activate/abc-def",
            // 21:00 on the 4th in Toronto.
            until: "2027-01-05T02:00:00Z".parse().unwrap(),
            settings: &settings(),
            now: "2026-12-05T02:00:00Z".parse().unwrap(),
        };
        mail.build().unwrap()
    }

    fn decoded(message: &str) -> String {
        message.replace("=\r\n", "")
    }

    #[test]
    fn the_language_is_the_persons_else_both() {
        for (language, french, english, subject) in [
            (Some("fr-CA, en"), true, false, "Subject: Votre compte de courriel\r\n"),
            (Some("EN"), false, true, "Subject: Your mail account\r\n"),
            (Some("de"), true, true, "Subject: Votre compte de courriel / Your mail account\r\n"),
            (None, true, true, "Subject: Votre compte de courriel / Your mail account\r\n"),
        ] {
            let mail = decoded(&invitation(language, "Zoe"));
            assert_eq!((mail.contains("Bonjour"), mail.contains("Hello")), (french, english), "{language:?}: {mail}");
            assert!(mail.contains(subject) && mail.contains("/activate/abc-def"), "{mail}");
            assert_eq!(mail.contains("January 4, 2027"), english, "{mail}");
            assert_eq!(mail.contains("4 janvier 2027"), french, "{mail}");
            assert!(mail.contains("mail.example.edu, port 993") && mail.contains("Auto-Submitted: auto-generated"));
            assert!(mail.is_ascii(), "{mail}");
        }
    }

    #[test]
    fn a_name_cannot_add_a_header_or_a_paragraph() {
        let mail = invitation(Some("en"), "Zoé\r\nBcc: all@example.edu\r\n\r\nClick here");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Bcc"), "{head}");
        assert!(!decoded(body).contains("\r\nBcc"), "{body}");
    }
}
