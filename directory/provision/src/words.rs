//! Attributes, values, rules and changes in words, in English and in French, for people who read plans, histories and
//! explanations.
//!
//! One table ([`table`]) names every attribute and the form of its values; commands and pages use no other. JSON keeps
//! the names of attributes.

mod change;
mod naming;
mod rule;
mod table;
mod value;

use jiff::tz::TimeZone;

use self::table::{ROWS, Row, ValueForm};

/// A language of plans, histories and explanations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

impl Language {
    /// The language of a tag or of a locale (`fr`, `fr-CA`, `fr_CA.UTF-8`); `None` for any other.
    pub fn parse(tag: &str) -> Option<Self> {
        match tag.split(['-', '_', '.', '@']).next()?.to_ascii_lowercase().as_str() {
            "fr" => Some(Self::French),
            "en" | "c" | "posix" => Some(Self::English),
            _ => None,
        }
    }

    /// The one of two texts that is in this language.
    pub(crate) fn of<'t>(self, english: &'t str, french: &'t str) -> &'t str {
        match self {
            Self::English => english,
            Self::French => french,
        }
    }
}

/// Writes in one language, with days and times in one time zone.
#[derive(Clone, Debug)]
pub struct Words {
    /// The language of all words that this value makes.
    pub language: Language,
    /// Time zone of days and times: the site's.
    pub zone: TimeZone,
}

impl Words {
    /// Words in a language; days are those of `zone`.
    pub fn new(language: Language, zone: TimeZone) -> Self {
        Self { language, zone }
    }

    /// The name of an attribute, in lower case; the attribute itself when the table lacks it. Also names the fields of
    /// a vacation rule as people state it. A language option is written out.
    pub fn attribute(&self, name: &str) -> String {
        let (base, option) = name.split_once(';').map_or((name, None), |(base, option)| (base, Some(option)));
        let words = row(base).map_or(base, |row| self.language.of(row.english, row.french));
        match option.and_then(|option| Language::parse(option.strip_prefix("lang-")?)) {
            Some(Language::English) => format!("{words} ({})", self.language.of("English", "anglais")),
            Some(Language::French) => format!("{words} ({})", self.language.of("French", "français")),
            None => words.to_owned(),
        }
    }

    /// The title of the limits by which the guard stops a plan.
    pub fn guard_title(&self) -> &'static str {
        self.language.of("The guard stops this plan", "La garde arrête ce plan")
    }

    /// The tag of the language.
    pub fn language_tag(&self) -> &'static str {
        self.language.of("en", "fr")
    }

    /// The name of an attribute with a capital.
    pub fn label(&self, name: &str) -> String {
        let words = self.attribute(name);
        let mut chars = words.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
    }

    /// The text before a value: a colon, in French after a space.
    pub(crate) fn colon(&self) -> &'static str {
        self.language.of(": ", " : ")
    }

    /// The one of two texts that is in this language.
    pub(crate) fn say<'t>(&self, english: &'t str, french: &'t str) -> &'t str {
        self.language.of(english, french)
    }
}

/// An attribute in the spelling of the schema; `None` when the table lacks it. Options stay as they are.
pub(crate) fn spelling(attribute: &str) -> Option<String> {
    let (base, options) = attribute.split_at(attribute.find(';').unwrap_or(attribute.len()));
    row(base).map(|row| format!("{}{options}", row.attribute))
}

fn row(attribute: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.attribute.eq_ignore_ascii_case(attribute))
}

/// The form of an attribute's values.
fn form(attribute: &str) -> ValueForm {
    let base = attribute.split(';').next().unwrap_or_default();
    row(base).map_or(ValueForm::Text, |row| row.form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_and_tags_choose_a_language() {
        for (tag, expect) in [
            ("fr_CA.UTF-8", Some(Language::French)),
            ("fr", Some(Language::French)),
            ("FR-ca", Some(Language::French)),
            ("en_US", Some(Language::English)),
            ("C.UTF-8", Some(Language::English)),
            ("de_DE", None),
            ("", None),
        ] {
            assert_eq!(Language::parse(tag), expect, "{tag}");
        }
    }

    #[test]
    fn attributes_have_names_in_both_languages() {
        let words = |language| Words::new(language, TimeZone::UTC);
        let (english, french) = (words(Language::English), words(Language::French));
        assert_eq!((english.attribute("sn").as_str(), french.label("SN").as_str()), ("family name", "Nom de famille"));
        assert_eq!(french.attribute("mailAutoReplyText;lang-en"), "texte de la réponse d’absence (anglais)");
        assert_eq!(english.attribute("unheardOf"), "unheardOf");
        for attribute in crate::attributes::PERSON_ATTRIBUTES {
            assert!(row(attribute).is_some(), "the table lacks {attribute}");
        }
        for (at, row) in ROWS.iter().enumerate() {
            assert!(!row.english.is_empty() && !row.french.is_empty());
            assert!(ROWS.iter().skip(at + 1).all(|other| other.attribute != row.attribute), "{}", row.attribute);
        }
    }
}
