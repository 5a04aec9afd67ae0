//! String preparation (RFC 4518): strings that a matching rule considers equal become the same octets.
//!
//! The steps are those of §2: map, normalise (NFKC), prohibit, and handle insignificant characters. Bidirectional text
//! needs no step (§2.5). Equality keys have one space between words and none at the ends. The form of §2.6.1, with
//! doubled and outer spaces, serves substrings only; [`substring_value`] makes it from the key.
//! A string with a prohibited character (§2.4) has no key: `None`.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Whether a matching rule ignores case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseHandling {
    /// Case is folded (RFC 3454 table B.2).
    Ignored,
    /// Case is kept.
    Exact,
}

/// The part of a substrings assertion that is prepared (RFC 4518 §2.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubstringPart {
    /// The beginning of the value.
    Initial,
    /// A substring of the value.
    Any,
    /// The end of the value.
    Final,
}

/// Returns the key for caseIgnoreMatch or caseExactMatch.
pub fn directory_string(text: &str, case: CaseHandling) -> Option<String> {
    let mapped = mapped(text, case)?;
    if !mapped.contains(' ') {
        return Some(mapped);
    }
    let mut out = String::with_capacity(mapped.len());
    for word in words(&mapped) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Some(out)
}

/// Returns the key for numericStringMatch, without spaces (RFC 4518 §2.6.2).
pub fn numeric_string(text: &str) -> Option<String> {
    Some(mapped(text, CaseHandling::Exact)?.replace(' ', ""))
}

/// Returns the key for telephoneNumberMatch, without spaces and hyphens (RFC 4518 §2.6.3).
pub fn telephone_number(text: &str) -> Option<String> {
    let hyphen =
        |c: char| matches!(c, ' ' | '-' | '\u{58a}' | '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}');
    Some(mapped(text, CaseHandling::Ignored)?.replace(hyphen, ""))
}

/// Returns the text in which substrings are searched: the key of [`directory_string`] with the spaces of RFC 4518
/// §2.6.1, one at each end and two between words, so that both `foo*` and `*foo` match.
pub fn substring_value(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 8);
    out.push(' ');
    for (i, word) in words(key).enumerate() {
        if i > 0 {
            out.push_str("  ");
        }
        out.push_str(word);
    }
    out.push(' ');
    out
}

/// Returns one prepared part of a substrings assertion (RFC 4518 §2.6.1); `None` when it has a prohibited character or
/// nothing is left of it.
pub fn substring_part(text: &str, case: CaseHandling, part: SubstringPart) -> Option<String> {
    let mapped = mapped(text, case)?;
    if mapped.is_empty() {
        return None;
    }
    let joined = words(&mapped).collect::<Vec<_>>().join("  ");
    if joined.is_empty() {
        return Some(" ".to_owned());
    }
    let starts_with_space = mapped.strip_prefix(' ').is_some_and(|rest| !rest.starts_with(is_combining_mark));
    let leading = part == SubstringPart::Initial || starts_with_space;
    let trailing = part == SubstringPart::Final || mapped.ends_with(' ');
    let space = |wanted: bool| if wanted { " " } else { "" };
    Some(format!("{}{joined}{}", space(leading), space(trailing)))
}

/// Maps, normalises and checks for prohibited characters (RFC 4518 §2.2 to §2.4); `None` when the result has one.
fn mapped(text: &str, case: CaseHandling) -> Option<String> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Some(if case == CaseHandling::Ignored { text.to_ascii_lowercase() } else { text.to_owned() });
    }
    let mut out: String = text.chars().filter_map(map).nfkc().collect();
    if case == CaseHandling::Ignored {
        // Twice, as table B.2 implies: case folding can produce characters that NFKC changes, and vice versa.
        for _ in 0..2 {
            out = out.chars().flat_map(fold).nfkc().collect();
        }
    }
    let prohibited = out.chars().any(is_prohibited);
    (!prohibited).then_some(out)
}

/// Maps a character (RFC 4518 §2.2, extended to later versions of Unicode); `None` when it is mapped to nothing.
fn map(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' => Some(' '),
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' => {
            Some(' ')
        }
        '\u{3000}' => Some(' '),
        // Soft hyphens, the grapheme joiner, variation selectors, the object replacement character.
        '\u{ad}' | '\u{1806}' | '\u{34f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' => None,
        '\u{e0100}'..='\u{e01ef}' | '\u{fffc}' => None,
        // Control characters and characters with a control function.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' => None,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' => None,
        c => Some(c),
    }
}

/// Folds one character (RFC 3454 table B.2): `ß` becomes `ss`, a final sigma a sigma.
fn fold(c: char) -> impl Iterator<Item = char> {
    // The dotless i folds to itself, although its upper case is I.
    let dotless = (c == 'ı').then_some(c);
    let folded = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    dotless.into_iter().chain(folded.filter(move |_| dotless.is_none()))
}

/// Whether the character is prohibited (RFC 4518 §2.4): private use, non-characters, the replacement character. Code
/// points that Unicode 3.2 had not assigned are allowed, because today's names use them and OpenLDAP compares them too.
fn is_prohibited(c: char) -> bool {
    let code = u32::from(c);
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'.. | '\u{fdd0}'..='\u{fdef}' | '\u{fffd}')
        || code & 0xfffe == 0xfffe
}

/// Splits text at insignificant spaces. A space before a combining mark is significant (RFC 4518 §2.6.1).
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_separator = |at: usize| {
        let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
        !next.is_some_and(is_combining_mark)
    };
    let mut start = 0;
    let mut spaces = text.match_indices(' ').map(|(at, _)| at).filter(move |at| is_separator(*at)).chain([text.len()]);
    let pieces = std::iter::from_fn(move || {
        let end = spaces.next()?;
        let piece = text.get(start..end);
        start = end + 1;
        piece
    });
    pieces.filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 4518 §2: each row shows one step.
    #[test]
    fn equal_strings_have_one_key() {
        for (a, b) in [
            (" Zoé  TREMBLAY ", "zoé tremblay"),
            ("Zoe\u{301}", "zoé"),
            ("zo\u{ad}é", "zoé"),
            ("zo\u{200b}é", "zoé"),
            ("\u{feff}zoé\u{200e}", "zoé"),
            ("zo\u{e0101}é", "zoé"),
            ("Ｚｏé", "zoé"),
            ("a\u{3000}\u{a0}b\tc", "a b c"),
            ("ﬁn", "fin"),
            ("℡", "tel"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("K", "k"),
            ("İ", "i\u{307}"),
            ("\u{345}", "ι"),
            ("한", "한"),
            ("", " \u{ad} "),
        ] {
            assert_eq!(
                directory_string(a, CaseHandling::Ignored),
                directory_string(b, CaseHandling::Ignored),
                "{a:?} {b:?}"
            );
        }
        for (a, b) in [("é", "e"), ("ı", "i"), ("a b", "ab"), (" \u{301}a", "a"), ("١", "1")] {
            assert_ne!(
                directory_string(a, CaseHandling::Ignored),
                directory_string(b, CaseHandling::Ignored),
                "{a:?} {b:?}"
            );
        }
        assert_ne!(directory_string("A", CaseHandling::Exact), directory_string("a", CaseHandling::Exact));
        assert_eq!(
            directory_string("Ａ\u{ad}e\u{301}", CaseHandling::Exact),
            directory_string("Aé", CaseHandling::Exact)
        );
        assert_eq!(numeric_string("1２ 3").as_deref(), Some("123"));
        assert_eq!(telephone_number("+1 514‐555－12 Ext").as_deref(), Some("+151455512ext"));
    }

    // RFC 4518 §2.4.
    #[test]
    fn prohibited_characters_have_no_key() {
        for text in ["\u{e000}", "a\u{fffd}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}", "\u{100000}"] {
            assert_eq!(directory_string(text, CaseHandling::Ignored), None, "{text:?}");
        }
        assert!(directory_string("🎓", CaseHandling::Ignored).is_some());
    }

    // RFC 4518 §2.6.1; its own example is the first row.
    #[test]
    fn substrings_have_the_spaces_of_the_standard() {
        let value = |text: &str| substring_value(&directory_string(text, CaseHandling::Ignored).unwrap());
        for (text, expect) in [("foo bar  ", " foo  bar "), ("", "  "), ("   ", "  "), ("a", " a ")] {
            assert_eq!(value(text), expect, "{text:?}");
        }
        for (text, part, expect) in [
            ("Foo", SubstringPart::Initial, Some(" foo")),
            ("  foo  ", SubstringPart::Initial, Some(" foo ")),
            ("foo", SubstringPart::Any, Some("foo")),
            ("  foo   bar ", SubstringPart::Any, Some(" foo  bar ")),
            ("foo", SubstringPart::Final, Some("foo ")),
            (" foo", SubstringPart::Final, Some(" foo ")),
            ("  ", SubstringPart::Any, Some(" ")),
            ("", SubstringPart::Any, None),
            ("\u{200b}", SubstringPart::Initial, None),
            ("\u{fffd}", SubstringPart::Any, None),
            (" \u{301}a", SubstringPart::Any, Some(" \u{301}a")),
        ] {
            assert_eq!(substring_part(text, CaseHandling::Ignored, part).as_deref(), expect, "{text:?} {part:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_key_is_its_own_key(text in "[ -~]{0,3}\\PC{0,8}[ \u{301}\u{345}ßıİ]{0,4}") {
            if let Some(key) = directory_string(&text, CaseHandling::Ignored) {
                prop_assert_eq!(directory_string(&key, CaseHandling::Ignored).unwrap(), key.clone());
                let part = substring_part(&text, CaseHandling::Ignored, SubstringPart::Any);
                if let Some(part) = part.filter(|_| !text.starts_with(is_combining_mark)) {
                    prop_assert!(substring_value(&key).contains(part.trim_matches(' ')), "{} {}", key, part);
                }
            }
        }
    }
}
