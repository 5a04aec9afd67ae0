//! Characters that are not visible themselves but change what people read. Two names that look the same must be the
//! same, and a name must not reverse the line in which it is printed.

use icu_properties::CodePointMapData;
use icu_properties::props::{CanonicalCombiningClass, JoiningType};

/// Whether `c` begins or ends an embedding, an override or an isolate, which set the direction of the text within
/// (Unicode UAX #9 §2).
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether `c` is an invisible format character (directions, joiners, zero-width blanks, byte order marks, tags), or a
/// line end that terminals ignore. The soft hyphen is excluded: word processors leave it in legitimate names.
pub fn is_invisible(c: char) -> bool {
    is_bidi_control(c)
        || matches!(
            c,
            '\u{200B}'..='\u{200F}'
                | '\u{2028}' | '\u{2029}'
                | '\u{2060}'..='\u{2065}'
                | '\u{061C}' | '\u{180E}' | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                // The combining grapheme joiner.
                | '\u{034F}'
                | '\u{E0000}'..='\u{E007F}'
                // Hangul fillers, which show nothing.
                | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}'
        )
}

/// Whether a text has an invisible character that does not belong to its spelling. A joiner that the script requires
/// belongs to the spelling: without U+200C, some Persian names become other words.
///
/// A joiner between letters that would not join anyway, as in محمد‌علی, does not count: [`without_needless_joiners`]
/// removes it.
pub fn has_invisible(text: &str) -> bool {
    let is_spelling = |at, c| is_joiner(c) && (joins(text, at, c) || is_needless(text, at, c));
    text.char_indices()
        .any(|(at, c)| is_invisible(c) && !is_spelling(at, c) || is_variation_selector(c) && !has_variants(text, at))
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Whether the character before octet `at` may have variants that a selector chooses (Unicode §23.4). Letters of the
/// scripts below U+0590, such as Latin, Greek and Cyrillic, have none.
fn has_variants(text: &str, at: usize) -> bool {
    let (before, _) = text.split_at(at);
    before.chars().next_back().is_some_and(|c| c >= '\u{0590}')
}

/// Removes each U+200C between letters of a cursive script that would not join anyway. People type this joiner between
/// the parts of a name. There it shows nothing, so names with and without it look the same and must be the same.
pub fn without_needless_joiners(text: &str) -> String {
    let is_kept = |(at, c): &(usize, char)| !(is_joiner(*c) && !joins(text, *at, *c) && is_needless(text, *at, *c));
    text.char_indices().filter(is_kept).map(|(_, c)| c).collect()
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// Whether the joiner at octet `at` is permitted: RFC 5892 appendix A.1 and A.2, and U+200D before a virama, as Bengali
/// and Kannada write some clusters (Unicode §12.2, §12.8).
fn joins(text: &str, at: usize, joiner: char) -> bool {
    let (before, after) = text.split_at(at);
    let class = CodePointMapData::<CanonicalCombiningClass>::new();
    let is_virama = |c: Option<char>| c.is_some_and(|c| class.get(c) == CanonicalCombiningClass::Virama);
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let (left, right) = (before.chars().next_back(), after.chars().nth(1));
    if is_virama(left) || joiner == '\u{200D}' && is_letter(left) && is_virama(right) {
        return true;
    }
    let (left, right) = neighbours(text, at);
    joiner == '\u{200C}'
        && matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

/// Whether the joiner at octet `at` is a U+200C between two letters of a cursive script. It is needless if [`joins`] is
/// false, because these letters would not join without it either.
fn is_needless(text: &str, at: usize, joiner: char) -> bool {
    let is_cursive = |side: Option<JoiningType>| {
        matches!(side, Some(JoiningType::LeftJoining | JoiningType::RightJoining | JoiningType::DualJoining))
    };
    let (left, right) = neighbours(text, at);
    joiner == '\u{200C}' && is_cursive(left) && is_cursive(right)
}

/// Joining types of the letters before and after the joiner at octet `at`; marks between them are skipped.
fn neighbours(text: &str, at: usize) -> (Option<JoiningType>, Option<JoiningType>) {
    let joining = CodePointMapData::<JoiningType>::new();
    let (before, after) = text.split_at(at);
    let is_letter = |found: &JoiningType| *found != JoiningType::Transparent;
    let left = before.chars().rev().map(|c| joining.get(c)).find(is_letter);
    let right = after.chars().skip(1).map(|c| joining.get(c)).find(is_letter);
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joiners_are_accepted_only_where_a_script_uses_them() {
        for (text, expect) in [
            ("علی\u{200C}رضا", false),
            ("می\u{200C}نویس", false),
            ("क्\u{200D}ष", false),
            ("ශ්\u{200D}රී", false),
            ("क्\u{200C}ष", false),
            ("a\u{200C}b", true),
            ("ab\u{200D}", true),
            ("\u{200C}علی", true),
            ("علی\u{200C}", true),
            ("دا\u{200C}نش", false),
            ("محمد\u{200C}علی", false),
            ("র\u{200D}\u{9CD}য", false),
            ("ರ\u{200D}\u{CCD}ಕ", false),
            ("क\u{200D}ष", true),
            ("محمد\u{200C} علی", true),
            ("محمد\u{200C}\u{200C}علی", true),
            ("ع\u{200D}ل", true),
            ("Zoé", false),
            ("Zo\u{200B}é", true),
        ] {
            assert_eq!(has_invisible(text), expect, "{text}");
        }
    }

    #[test]
    fn a_selector_is_accepted_only_after_a_character_with_variants() {
        for (text, expect) in [
            ("葛\u{E0100}城", false),
            ("\u{1000}\u{FE00}", false),
            ("Zoé\u{FE0F}", true),
            ("Zoe\u{E0100}", true),
            ("\u{FE0F}", true),
            ("Zo\u{034F}é", true),
        ] {
            assert_eq!(has_invisible(text), expect, "{text}");
        }
    }

    #[test]
    fn needless_joiners_are_removed() {
        for (text, expect) in [
            ("محمد\u{200C}علی", "محمدعلی"),
            ("علی\u{200C}رضا", "علی\u{200C}رضا"),
            ("क्\u{200C}ष", "क्\u{200C}ष"),
            ("a\u{200C}b", "a\u{200C}b"),
            ("Zoé", "Zoé"),
        ] {
            assert_eq!(without_needless_joiners(text), expect, "{text}");
        }
    }

    #[test]
    fn bidi_controls_and_invisible_characters_are_recognised() {
        for (c, expect) in [
            ('\u{202E}', (true, true)),
            ('\u{2066}', (true, true)),
            ('\u{200B}', (false, true)),
            ('\u{200D}', (false, true)),
            ('\u{200F}', (false, true)),
            ('\u{061C}', (false, true)),
            ('\u{FEFF}', (false, true)),
            ('\u{2028}', (false, true)),
            ('\u{E0041}', (false, true)),
            ('\u{3164}', (false, true)),
            ('\u{1161}', (false, false)),
            ('\u{AD}', (false, false)),
            ('\u{A0}', (false, false)),
            ('’', (false, false)),
            ('é', (false, false)),
            ('א', (false, false)),
        ] {
            assert_eq!((is_bidi_control(c), is_invisible(c)), expect, "{c:?}");
        }
    }
}
