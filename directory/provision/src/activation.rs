//! Codes of activation links, the mail that carries one, and the letters that are printed.

mod code;
mod letter;
mod mail;
mod words;

use provost_entry::Entry;
use provost_schema::attr;

pub(crate) use code::ActivationCode;
pub use letter::{LetterPages, LetterSite};
pub(crate) use mail::InvitationMail;

/// The languages of mails and letters.
const FRENCH: &str = "fr";
const ENGLISH: &str = "en";

/// The language of a person's `preferredLanguage`, which has the form of Accept-Language (RFC 2798 §2.7): the first tag
/// counts. `None` for any other language or none; both languages are used then.
pub(crate) fn language(entry: &Entry) -> Option<&'static str> {
    let text = entry.first(attr::PREFERRED_LANGUAGE)?.trim().to_ascii_lowercase();
    let first = text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    [FRENCH, ENGLISH].into_iter().find(|known| *known == first)
}

/// The languages in which to write to a person: theirs, else French and English.
fn languages(of_person: Option<&'static str>) -> Vec<&'static str> {
    of_person.map_or_else(|| vec![FRENCH, ENGLISH], |language| vec![language])
}
