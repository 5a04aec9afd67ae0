//! One form for what people type as a password: the OpaqueString profile of RFC 8265 §4.2.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// The form in which passwords are hashed and compared: other spaces become U+0020, then NFC (RFC 8265 §4.2.2). A Macintosh
/// keyboard sends letters and marks apart, a French one a no-break space; the password is the same.
///
/// Nothing is refused here: what may not be in a new password is the business of those who set one.
pub fn opaque_string(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect())
}

/// Whether `c` is of the general category Zs.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_password() {
        for (text, expect) in [
            ("plain ASCII  ", "plain ASCII  "),
            ("café café", "café café"),
            ("cafe\u{301} cafe\u{301}", "café café"),
            ("café\u{A0}café", "café café"),
            ("café\u{202F}café\u{3000}", "café café "),
            ("a\u{2003}\u{1680}\u{205F}b", "a   b"),
            // Neither case nor width is mapped (§4.2.2 rules 1 and 3), nor is compatibility.
            ("Ａﬁ Straße", "Ａﬁ Straße"),
            ("\u{1112}\u{1161}\u{11AB}", "한"),
        ] {
            assert_eq!(opaque_string(text), expect, "{text:?}");
            assert_eq!(opaque_string(expect), expect, "{text:?}: once is enough");
        }
    }
}
