//! The mail that announces a change which takes something away.

use handlebars::RenderError;
use jiff::Timestamp;
use provost_entry::{Address, Entry};
use provost_lifecycle::{Decision, DecisionReason, DueNotice};
use provost_schema::attr;
use serde::Serialize;

use crate::ProvisionSettings;
use crate::person_mail::{FRENCH, PersonMail, Template, long_day, shown_name};

static TEMPLATE: Template = Template {
    french: include_str!("../../templates/notice.fr.hbs"),
    english: include_str!("../../templates/notice.en.hbs"),
};

/// What each restriction takes away: French, English.
const LOSSES: [(&str, &str, &str); 5] = [
    (
        "no-login",
        "Vous ne pourrez plus ouvrir de session, ni lire votre courriel ici.",
        "You will no longer be able to sign in or to read your mail here.",
    ),
    (
        "no-send",
        "Vous ne pourrez plus envoyer de courriel d’ici.",
        "You will no longer be able to send mail from here.",
    ),
    (
        "read-only",
        "Vous pourrez seulement lire votre courriel : vous ne pourrez plus le classer ni le supprimer.",
        "You will only be able to read your mail, and no longer to file or delete it.",
    ),
    (
        "forward-only",
        "Les messages que vous recevrez seront seulement transférés à l’adresse que vous avez choisie.",
        "Mail to you will only be forwarded to the address that you have chosen.",
    ),
    ("no-receive", "Les messages qui vous seront envoyés seront refusés.", "Mail to you will be refused."),
];

/// A notice to one of a person's addresses.
pub(crate) struct NoticeMail<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) to: &'a Address,
    pub(crate) notice: &'a DueNotice,
    pub(crate) decision: &'a Decision,
    /// The whole link to object; `None` when the site has no pages.
    pub(crate) link: Option<&'a str>,
    pub(crate) settings: &'a ProvisionSettings,
    pub(crate) now: Timestamp,
}

#[derive(Serialize)]
struct NoticeWords<'a> {
    name: String,
    uid: String,
    mail: String,
    domain: &'a str,
    day: String,
    losses: Vec<&'static str>,
    reason: String,
    link: Option<&'a str>,
    contact: String,
}

impl NoticeMail<'_> {
    /// The whole message.
    pub(crate) fn build(&self) -> Result<String, RenderError> {
        let Self { entry, to, settings, now, .. } = *self;
        let mail = PersonMail { entry, to, settings, now };
        mail.build(&TEMPLATE, |language| self.subject(language), |language| self.words(language))
    }

    fn subject(&self, language: &str) -> String {
        let day = self.day(language);
        if language == FRENCH {
            format!("Votre compte de courriel change le {day}")
        } else {
            format!("Your mail account changes on {day}")
        }
    }

    fn day(&self, language: &str) -> String {
        long_day(self.notice.at, &self.settings.time_zone, language)
    }

    fn words(&self, language: &str) -> NoticeWords<'_> {
        // A line break in a value must not begin another paragraph.
        let text = |name: &str| self.entry.first(name).unwrap_or_default().replace(char::is_control, " ");
        let domain = &self.settings.domain;
        NoticeWords {
            name: shown_name(self.entry),
            uid: text(attr::UID),
            mail: text(attr::MAIL),
            domain,
            day: self.day(language),
            losses: losses(self.decision, language),
            reason: self.reason(language),
            link: self.link,
            contact: format!("postmaster@{domain}"),
        }
    }

    fn reason(&self, language: &str) -> String {
        let end = match &self.decision.reason {
            DecisionReason::NotBegun(period) | DecisionReason::Affiliated(period) => period.end,
            DecisionReason::Departed(_, end, _) | DecisionReason::PhasesEnded(_, end) => Some(*end),
        };
        let day = end.map(|end| long_day(end, &self.settings.time_zone, language));
        match (day, language) {
            (Some(day), FRENCH) => {
                format!("le dernier jour de vos études ou de votre emploi est le {day}")
            }
            (Some(day), _) => format!("{day} is the last day of your studies or employment"),
            (None, FRENCH) => "vos études ou votre emploi prennent fin".to_owned(),
            (None, _) => "your studies or your employment end".to_owned(),
        }
    }
}

/// What the next state takes away.
pub(crate) fn losses(decision: &Decision, language: &str) -> Vec<&'static str> {
    let is_lost = |restriction: &&'static str| !decision.restrictions.contains(restriction);
    let lost = decision.next_restrictions.iter().filter(|restriction| is_lost(restriction));
    let words = |restriction: &&'static str| {
        let (_, french, english) = LOSSES.iter().find(|(name, ..)| name == restriction)?;
        Some(if language == FRENCH { *french } else { *english })
    };
    lost.filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use provost_entry::Dn;
    use provost_lifecycle::{LifecycleFacts, decide, due_notice};
    use provost_policy::{PolicyDocument, PolicySet};
    use provost_settings::{Fallback, SharedSettings};

    use super::*;
    use crate::lifecycle::lifecycle_facts;

    const POLICY: &str = "kind lifecycle\nphase 1 grace days=30\nphase 2 closing days=60\nphase 3 closed days=365\n";

    fn mail(language: &str, link: Option<&str>, day: &str) -> Option<String> {
        let mut fallback = Fallback::default();
        fallback.add("mail-domain", "test", "example.edu").unwrap();
        let settings = ProvisionSettings::of(&SharedSettings::of_file(&fallback));
        let entry = Entry::new(Dn::root())
            .with(attr::DISPLAY_NAME, "Zoé Lécuyer")
            .with(attr::UID, "zoe.lecuyer")
            .with(attr::MAIL, "zoe.lecuyer@example.edu")
            .with(attr::PREFERRED_LANGUAGE, language)
            .with(attr::PROVOST_STATE, "grace")
            .with(attr::PROVOST_AFFILIATION, "hr staff 20200101000000Z 20270131235959Z Library");
        let document = PolicyDocument::parse("staff-1", POLICY, &TimeZone::UTC).unwrap();
        let policies = PolicySet::new(vec![document]).unwrap();
        let now = format!("{day}T12:00:00Z").parse().unwrap();
        let facts: LifecycleFacts = lifecycle_facts(&entry, now);
        let decision = decide(&facts, &policies, now, &TimeZone::UTC).unwrap();
        let notice = due_notice(&decision, &facts, &policies, now, &TimeZone::UTC)?;
        let to = Address::parse("zoe@example.net").unwrap();
        let (entry, decision, notice) = (&entry, &decision, &notice);
        let mail = NoticeMail { entry, to: &to, notice, decision, link, settings: &settings, now };
        Some(mail.build().unwrap().replace("=\r\n", ""))
    }

    #[test]
    fn a_notice_says_what_when_why_and_how_to_object() {
        let english = mail("en", Some("https://accounts.example.edu/notice/abc"), "2027-02-25").unwrap();
        for expect in [
            "Subject: Your mail account changes on March 2, 2027\r\n",
            "no longer be able to send mail",
            "Mail to you will be refused",
            "January 31, 2027 is the last day",
            "https://accounts.example.edu/notice/abc",
        ] {
            assert!(english.contains(expect), "{expect}: {english}");
        }
        assert!(!english.contains("sign in") && !english.contains("postmaster@example.edu until"), "{english}");
        let french = mail("fr", None, "2027-02-25").unwrap();
        assert!(french.contains("Bonjour") && french.contains("postmaster@example.edu"), "{french}");
    }

    #[test]
    fn nothing_is_announced_when_nothing_is_taken_away() {
        assert_eq!(mail("en", None, "2027-01-15"), None);
    }
}
