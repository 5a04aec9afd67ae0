//! The mail that brings an activation link to the private address.

use handlebars::RenderError;
use jiff::Timestamp;
use provost_entry::{Address, Entry};
use provost_schema::attr;
use serde::Serialize;

use super::words::{ServerWords, server_words};
use crate::ProvisionSettings;
use crate::person_mail::{FRENCH, PersonMail, Template, long_day, shown_name};

static TEMPLATE: Template = Template {
    french: include_str!("../../templates/invitation.fr.hbs"),
    english: include_str!("../../templates/invitation.en.hbs"),
};

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
    /// The whole message.
    pub(crate) fn build(&self) -> Result<String, RenderError> {
        let Self { entry, to, settings, now, .. } = *self;
        let mail = PersonMail { entry, to, settings, now };
        mail.build(&TEMPLATE, subject, |language| self.words(language))
    }

    fn words(&self, language: &str) -> Invitation<'_> {
        // A line break in a value must not begin another paragraph.
        let text = |name: &str| self.entry.first(name).unwrap_or_default().replace(char::is_control, " ");
        Invitation {
            name: shown_name(self.entry),
            uid: text(attr::UID),
            mail: text(attr::MAIL),
            domain: &self.settings.domain,
            link: self.link,
            until: long_day(self.until, &self.settings.time_zone, language),
            servers: server_words(&self.settings.client_servers, language),
        }
    }
}

fn subject(language: &str) -> String {
    if language == FRENCH { "Votre compte de courriel" } else { "Your mail account" }.to_owned()
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
