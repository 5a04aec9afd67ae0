//! String preparation (RFC 4518): two strings that a matching rule takes for equal become the same octets.
//!
//! The steps are those of §2: map, normalise (NFKC), prohibit, and handle insignificant characters. Bidirectional text
//! needs no step (§2.5). Equality keys are written with one space between words and none at the ends; the form with
//! doubled and outer spaces of §2.6.1 is only needed for substrings, and [`substring_value`] makes it from the key.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Whether a rule ignores the case of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Letters are folded (RFC 3454 table B.2).
    Ignored,
    /// Letters stay.
    Exact,
}

/// Which part of a substrings assertion is prepared (RFC 4518 §2.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the value begins with.
    Initial,
    /// What it holds.
    Any,
    /// What it ends with.
    Final,
}

/// The key of caseIgnoreMatch and caseExactMatch; `None` when the string has a prohibited character (RFC 4518 §2.4).
pub fn directory_string(text: &str, case: Case) -> Option<String> {
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

/// The key of numericStringMatch: without any space (RFC 4518 §2.6.2).
pub fn numeric_string(text: &str) -> Option<String> {
    Some(mapped(text, Case::Exact)?.replace(' ', ""))
}

/// The key of telephoneNumberMatch: without any space or hyphen (RFC 4518 §2.6.3).
pub fn telephone_number(text: &str) -> Option<String> {
    let hyphen =
        |c: char| matches!(c, ' ' | '-' | '\u{58a}' | '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}');
    Some(mapped(text, Case::Ignored)?.replace(hyphen, ""))
}

/// What substrings are looked for in: the key of [`directory_string`] with the spaces of RFC 4518 §2.6.1, one at each end
/// and two between words, so that `foo*` and `*foo` both find their space.
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

/// One part of a substrings assertion (RFC 4518 §2.6.1); `None` when it is prohibited, or when nothing is left of it.
pub fn substring_part(text: &str, case: Case, part: Part) -> Option<String> {
    let mapped = mapped(text, case)?;
    if mapped.is_empty() {
        return None;
    }
    let joined = words(&mapped).collect::<Vec<_>>().join("  ");
    if joined.is_empty() {
        return Some(" ".to_owned());
    }
    let starts_with_space = mapped.strip_prefix(' ').is_some_and(|rest| !rest.starts_with(is_combining_mark));
    let leading = part == Part::Initial || starts_with_space;
    let trailing = part == Part::Final || mapped.ends_with(' ');
    let space = |wanted: bool| if wanted { " " } else { "" };
    Some(format!("{}{joined}{}", space(leading), space(trailing)))
}

/// Steps two to four of RFC 4518: what they leave, `None` when something in it is prohibited.
fn mapped(text: &str, case: Case) -> Option<String> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Some(if case == Case::Ignored { text.to_ascii_lowercase() } else { text.to_owned() });
    }
    let mut out: String = text.chars().filter_map(map).nfkc().collect();
    if case == Case::Ignored {
        // Twice, as table B.2 has it built in: folding can leave what NFKC changes, and the other way about.
        for _ in 0..2 {
            out = out.chars().flat_map(fold).nfkc().collect();
        }
    }
    let prohibited = out.chars().any(is_prohibited);
    (!prohibited).then_some(out)
}

/// RFC 4518 §2.2, and what later versions of Unicode added to the same classes; `None` for what is mapped to nothing.
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

/// RFC 3454 table B.2 for one character: `ß` is `ss`, a final sigma is a sigma.
fn fold(c: char) -> impl Iterator<Item = char> {
    // Its upper case is I, but the dotless i folds to itself.
    let dotless = (c == 'ı').then_some(c);
    let folded = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    dotless.into_iter().chain(folded.filter(move |_| dotless.is_none()))
}

/// RFC 4518 §2.4: private use, non-characters, the replacement character. Code points that Unicode 3.2 had not assigned
/// are let through: people's names hold them today, and OpenLDAP compares them as well.
fn is_prohibited(c: char) -> bool {
    let code = u32::from(c);
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'.. | '\u{fdd0}'..='\u{fdef}' | '\u{fffd}')
        || code & 0xfffe == 0xfffe
}

/// What stands between insignificant spaces. RFC 4518 §2.6.1: a space that a combining mark follows is no space.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_space = |at: usize| {
        let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
        !next.is_some_and(is_combining_mark)
    };
    let mut start = 0;
    let mut spaces = text.match_indices(' ').map(|(at, _)| at).filter(move |at| is_space(*at)).chain([text.len()]);
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

    // RFC 4518 §2: each line one step.
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
            assert_eq!(directory_string(a, Case::Ignored), directory_string(b, Case::Ignored), "{a:?} {b:?}");
        }
        for (a, b) in [("é", "e"), ("ı", "i"), ("a b", "ab"), (" \u{301}a", "a"), ("١", "1")] {
            assert_ne!(directory_string(a, Case::Ignored), directory_string(b, Case::Ignored), "{a:?} {b:?}");
        }
        assert_ne!(directory_string("A", Case::Exact), directory_string("a", Case::Exact));
        assert_eq!(directory_string("Ａ\u{ad}e\u{301}", Case::Exact), directory_string("Aé", Case::Exact));
        assert_eq!(numeric_string("1２ 3").as_deref(), Some("123"));
        assert_eq!(telephone_number("+1 514‐555－12 Ext").as_deref(), Some("+151455512ext"));
    }

    // RFC 4518 §2.4.
    #[test]
    fn prohibited_characters_have_no_key() {
        for text in ["\u{e000}", "a\u{fffd}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}", "\u{100000}"] {
            assert_eq!(directory_string(text, Case::Ignored), None, "{text:?}");
        }
        assert!(directory_string("🎓", Case::Ignored).is_some());
    }

    // RFC 4518 §2.6.1, its own example first.
    #[test]
    fn spaces_of_substrings() {
        let value = |text: &str| substring_value(&directory_string(text, Case::Ignored).unwrap());
        for (text, expect) in [("foo bar  ", " foo  bar "), ("", "  "), ("   ", "  "), ("a", " a ")] {
            assert_eq!(value(text), expect, "{text:?}");
        }
        for (text, part, expect) in [
            ("Foo", Part::Initial, Some(" foo")),
            ("  foo  ", Part::Initial, Some(" foo ")),
            ("foo", Part::Any, Some("foo")),
            ("  foo   bar ", Part::Any, Some(" foo  bar ")),
            ("foo", Part::Final, Some("foo ")),
            (" foo", Part::Final, Some(" foo ")),
            ("  ", Part::Any, Some(" ")),
            ("", Part::Any, None),
            ("\u{200b}", Part::Initial, None),
            ("\u{fffd}", Part::Any, None),
            (" \u{301}a", Part::Any, Some(" \u{301}a")),
        ] {
            assert_eq!(substring_part(text, Case::Ignored, part).as_deref(), expect, "{text:?} {part:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_key_is_its_own_key(text in "[ -~]{0,3}\\PC{0,8}[ \u{301}\u{345}ßıİ]{0,4}") {
            if let Some(key) = directory_string(&text, Case::Ignored) {
                prop_assert_eq!(directory_string(&key, Case::Ignored).unwrap(), key.clone());
                let part = substring_part(&text, Case::Ignored, Part::Any);
                if let Some(part) = part.filter(|_| !text.starts_with(is_combining_mark)) {
                    prop_assert!(substring_value(&key).contains(part.trim_matches(' ')), "{} {}", key, part);
                }
            }
        }
    }
}
