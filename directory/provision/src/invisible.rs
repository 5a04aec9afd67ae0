//! Characters that show nothing and change what people read. Two names that look the same must be the same, and a name
//! must not turn around the line in which it is printed.

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

#[cfg(test)]
mod tests {
    use super::*;

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
