//! Normalisation of typed passwords: the OpaqueString profile (RFC 8265 §4.2).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Returns the form in which passwords are hashed and compared: non-ASCII spaces become U+0020, then the text is
/// normalised to NFC (RFC 8265 §4.2.2). Without this, one password typed on two devices can differ: one device sends a
/// letter and its accent as two characters, and a French keyboard layout may send a no-break space.
///
/// Accepts any text, because existing passwords may break the rules for new ones.
pub fn opaque_string(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect())
}

/// Whether `c` is a space separator (general category Zs).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_composition_are_normalised_and_nothing_else() {
        for (text, expect) in [
            ("plain ASCII  ", "plain ASCII  "),
            ("café café", "café café"),
            ("cafe\u{301} cafe\u{301}", "café café"),
            ("café\u{A0}café", "café café"),
            ("café\u{202F}café\u{3000}", "café café "),
            ("a\u{2003}\u{1680}\u{205F}b", "a   b"),
            // Neither case, nor width, nor compatibility characters are mapped (§4.2.2, rules 1, 3 and 4).
            ("Ａﬁ Straße", "Ａﬁ Straße"),
            ("\u{1112}\u{1161}\u{11AB}", "한"),
        ] {
            assert_eq!(opaque_string(text), expect, "{text:?}");
            assert_eq!(opaque_string(expect), expect, "{text:?}: changed when prepared again");
        }
    }
}
