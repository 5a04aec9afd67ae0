//! Letters to print: one page for each person, with the code that activates the account.

use std::sync::LazyLock;

use handlebars::{Handlebars, RenderError};
use jiff::tz::TimeZone;
use provost_settings::ClientServer;
use serde::Serialize;
use serde_json::json;

use super::words::{ServerWords, server_words};
use crate::person_mail::{ENGLISH, FRENCH, languages, long_day};
use crate::{ActivationLetter, ProvisionSettings};

/// Name of the head of the document among the templates.
const HEAD: &str = "head";

/// A template with a syntax error is left out and its letters are refused; a test renders all.
static TEMPLATES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    for (name, text) in [
        (HEAD, include_str!("../../templates/letters_head.hbs")),
        (FRENCH, include_str!("../../templates/letter.fr.hbs")),
        (ENGLISH, include_str!("../../templates/letter.en.hbs")),
    ] {
        if let Err(error) = templates.register_template_string(name, text) {
            tracing::error!(%error, name, "a template cannot be read");
        }
    }
    templates
});

/// What all letters of a site have in common.
#[derive(Clone, Debug)]
pub struct LetterSite {
    url: String,
    domain: String,
    servers: Vec<ClientServer>,
    zone: TimeZone,
}

impl LetterSite {
    /// `None` when the site does not state where its pages are.
    pub fn of(settings: &ProvisionSettings) -> Option<Self> {
        Some(Self {
            url: settings.web_url.clone()?,
            domain: settings.domain.clone(),
            servers: settings.client_servers.clone(),
            zone: settings.time_zone.clone(),
        })
    }
}

/// The parts of an HTML document with one printed page for each person.
#[derive(Clone, Debug)]
pub struct LetterPages(LetterSite);

#[derive(Serialize)]
struct LetterWords<'a> {
    name: &'a str,
    uid: &'a str,
    mail: &'a str,
    code: &'a str,
    url: &'a str,
    domain: &'a str,
    until: String,
    servers: Vec<ServerWords>,
}

impl LetterPages {
    /// Letters of a site.
    pub fn new(site: LetterSite) -> Self {
        Self(site)
    }

    /// The beginning of the document, with the style sheet.
    pub fn head(&self) -> Result<String, RenderError> {
        TEMPLATES.render(HEAD, &json!({ "domain": self.0.domain }))
    }

    /// The page of one person, in their language, else in French and English.
    pub fn page(&self, letter: &ActivationLetter) -> Result<String, RenderError> {
        let mut page = String::from("<article>\n");
        for language in languages(letter.language) {
            let words = LetterWords {
                name: &letter.name,
                uid: &letter.uid,
                mail: &letter.mail,
                code: letter.code.reveal(),
                url: &self.0.url,
                domain: &self.0.domain,
                until: long_day(letter.until, &self.0.zone, language),
                servers: server_words(&self.0.servers, language),
            };
            page += &TEMPLATES.render(language, &words)?;
        }
        Ok(page + "</article>\n")
    }

    /// The end of the document.
    pub fn foot(&self) -> &'static str {
        "</body>\n</html>\n"
    }
}

#[cfg(test)]
mod tests {
    use provost_credential::Secret;

    use super::*;

    #[test]
    fn a_letter_has_all_that_a_person_needs_escaped() {
        let site = LetterSite {
            url: "https://accounts.example.edu".into(),
            domain: "example.edu".into(),
            servers: vec![ClientServer {
                protocol: "imap",
                host: "mail.example.edu".into(),
                port: 993,
                implicit_tls: true,
            }],
            zone: TimeZone::UTC,
        };
        let pages = LetterPages::new(site);
        let letter = |language| ActivationLetter {
            name: "Zoé <b>Lécuyer</b>".into(),
            uid: "zoe.lecuyer".into(),
            mail: "zoe.lecuyer@example.edu".into(),
            language,
            code: Secret::new("xk4m-29ab-cdef-7hij-km3p"),
            until: "2027-01-05T02:00:00Z".parse().unwrap(),
            audit_id: String::new(),
        };
        for (language, french, english) in [(Some("fr"), true, false), (Some("en"), false, true), (None, true, true)] {
            let page = pages.page(&letter(language)).unwrap();
            assert_eq!((page.contains("lang=\"fr\""), page.contains("lang=\"en\"")), (french, english), "{page}");
            assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
            for text in ["https://accounts.example.edu/activate", "zoe.lecuyer", "xk4m-29ab-cdef-7hij-km3p", "993"] {
                assert!(page.contains(text), "{text}: {page}");
            }
        }
        let head = pages.head().unwrap();
        assert!(head.contains("break-after: page") && !head.contains("<script"), "{head}");
        assert!(!format!("{:?}", letter(None)).contains("xk4m"), "Debug shows a code");
    }
}
