//! The languages of the pages, French and English: the choice of one by `Accept-Language`, and the texts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    French,
    English,
}

/// Maximum number of language ranges of `Accept-Language` that are read; further ones are ignored.
const RANGES_MAX: usize = 32;

type PageTexts = BTreeMap<String, String>;

static FRENCH: LazyLock<PageTexts> = LazyLock::new(|| parse_texts(include_str!("../lang/fr.json")));
static ENGLISH: LazyLock<PageTexts> = LazyLock::new(|| parse_texts(include_str!("../lang/en.json")));

/// Parses a table of texts. A test reads both tables, which are part of the program; if one were malformed, the pages
/// would show keys instead of texts.
fn parse_texts(text: &str) -> PageTexts {
    serde_json::from_str(text).unwrap_or_default()
}

impl Language {
    /// `fr` or `en`, as in `lang` attributes, cookies and queries.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// The language that the switch on a page leads to.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::French => Self::English,
            Self::English => Self::French,
        }
    }

    /// The language with this tag; `None` when the pages lack it.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        match tag {
            "fr" => Some(Self::French),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The best match for `Accept-Language` (RFC 9110 §12.5.4), by weight and then by order; `None` when it names
    /// neither language with a weight above zero. A range of a region (`en-GB`) counts as its language.
    pub(crate) fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        for range in header.to_ascii_lowercase().split(',').take(RANGES_MAX) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let Some(language) = Self::parse(tag.split('-').next().unwrap_or_default()) else { continue };
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let weight = weight.unwrap_or(0.0).clamp(0.0, 1.0);
            if weight > 0.0 && best.is_none_or(|(_, before)| weight > before) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }

    /// The text of `key`; `None` when the table has none.
    pub(crate) fn find(self, key: &str) -> Option<&'static str> {
        let table = match self {
            Self::French => &FRENCH,
            Self::English => &ENGLISH,
        };
        table.get(key).map(String::as_str)
    }

    /// The text of `key` with each `{name}` replaced by its value. A key without a text is shown itself, so that the
    /// mistake is visible.
    pub(crate) fn text(self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.find(key).unwrap_or(key), values)
    }

    /// The text of `prefix.name`; `name` unchanged when the table lacks it, as for a value that is new in the
    /// directory.
    pub(crate) fn name(self, prefix: &str, name: &str) -> String {
        self.find(&format!("{prefix}.{name}")).unwrap_or(name).to_owned()
    }
}

/// Replaces each `{name}` that `values` has. A value is inserted as it is: `{name}` within it is not replaced.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value =
            after.split_once('}').and_then(|(name, tail)| Some((values.iter().find(|(n, _)| *n == name)?.1, tail)));
        match value {
            Some((value, tail)) => {
                filled.push_str(value);
                rest = tail;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_have_the_same_keys_and_placeholders() {
        assert!(FRENCH.len() > 100, "the table was not read");
        assert_eq!(FRENCH.keys().collect::<Vec<_>>(), ENGLISH.keys().collect::<Vec<_>>());
        let names = |text: &str| {
            let mut names: Vec<_> =
                text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(n, _)| n.to_owned()).collect();
            names.sort();
            names
        };
        for (key, french) in FRENCH.iter() {
            assert_eq!(names(french), names(&ENGLISH[key]), "{key}");
            assert!(!french.trim().is_empty() && !ENGLISH[key].trim().is_empty(), "{key}");
        }
    }

    #[test]
    fn chooses_by_weight_then_by_order() {
        for (header, expect) in [
            ("fr-CH, en;q=0.8", Some(Language::French)),
            ("en;q=0.3, fr;q=0.7", Some(Language::French)),
            ("de, en-GB", Some(Language::English)),
            ("en, fr", Some(Language::English)),
            ("fr;q=0, en;q=0.1", Some(Language::English)),
            ("en;q=0.25, fr;q=0.251", Some(Language::French)),
            ("en;q=NaN", None),
            ("FR;Q=0.1, EN;Q=0.2", Some(Language::English)),
            ("de, it", None),
            ("", None),
            ("fr;q=x", None),
        ] {
            assert_eq!(Language::accepted(header), expect, "{header}");
        }
    }

    #[test]
    fn values_are_inserted_once_and_unknown_keys_are_shown() {
        assert_eq!(fill("{a} and {b}, {c}", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {c}");
        assert_eq!(fill("open { end", &[("a", "1")]), "open { end");
        assert_eq!(Language::English.text("no.such.key", &[]), "no.such.key");
        assert_eq!(Language::French.name("state", "unheard-of"), "unheard-of");
    }

    proptest::proptest! {
        #[test]
        fn no_header_or_text_causes_a_panic(text in ".{0,80}", value in ".{0,20}") {
            let _ = Language::accepted(&text);
            let _ = fill(&text, &[("a", &value)]);
        }
    }
}
