//! Characters that show nothing and change what people read. Two names that look the same must be the same, and a name
//! must not turn around the line in which it is printed.

use icu_properties::CodePointMapData;
use icu_properties::props::{CanonicalCombiningClass, JoiningType};

/// Whether `c` turns the direction of the text around it: embeddings, overrides and isolates. Unicode UAX #9 §2.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether `c` is a format character that nobody sees: directions, joiners, zero-width blanks, byte order marks, tags; or
/// a line end that no terminal takes for one. The soft hyphen is none: word processors leave it in honest names.
pub(crate) fn is_invisible(c: char) -> bool {
    is_bidi_control(c)
        || matches!(
            c,
            '\u{200B}'..='\u{200F}'
                | '\u{2028}' | '\u{2029}'
                | '\u{2060}'..='\u{2065}'
                | '\u{061C}' | '\u{180E}' | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

/// Whether a text has a character that nobody sees and that changes nothing of what is seen. Joiners in a name that is written
/// with them do: without its U+200C a Persian name is another word.
pub(crate) fn has_invisible(text: &str) -> bool {
    text.char_indices().any(|(at, c)| is_invisible(c) && !(is_joiner(c) && joins(text, at, c)))
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// Whether the joiner at an octet of the text stands where it may: RFC 5892 appendix A.1 and A.2.
fn joins(text: &str, at: usize, joiner: char) -> bool {
    let (before, after) = text.split_at(at);
    let class = CodePointMapData::<CanonicalCombiningClass>::new();
    if before.chars().next_back().is_some_and(|c| class.get(c) == CanonicalCombiningClass::Virama) {
        return true;
    }
    let joining = CodePointMapData::<JoiningType>::new();
    // Marks between the letters are looked through.
    let letter = |mut side: Box<dyn Iterator<Item = char> + '_>| {
        side.find_map(|c| Some(joining.get(c)).filter(|found| *found != JoiningType::Transparent))
    };
    let left = letter(Box::new(before.chars().rev()));
    let right = letter(Box::new(after.chars().skip(1)));
    joiner == '\u{200C}'
        && matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joiners_stand_where_letters_join() {
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
            ("دا\u{200C}نش", true),
            ("ع\u{200D}ل", true),
            ("Zoé", false),
            ("Zo\u{200B}é", true),
        ] {
            assert_eq!(has_invisible(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_seen_and_what_is_not() {
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
