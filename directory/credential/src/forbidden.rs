//! Passwords that guessers try first: common ones, and those made of what is known about the person.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::AboutPerson;

/// Common passwords, folded as [`fold`] does, without digits and signs at their ends.
const COMMON: &str = include_str!("common.txt");
/// Fewest letters of a personal word: shorter ones are part of many good passwords.
const WORD_LETTERS_MIN: usize = 3;
/// Letters that a password must have besides personal words; or else digits, as many as the next constant.
const OTHER_LETTERS_MIN: usize = 3;
const OTHER_DIGITS_MIN: usize = 8;
/// Maximum number of personal words that are compared.
const WORDS_MAX: usize = 32;

/// Whether the password is a common one, also with digits or signs before or after it.
pub(crate) fn is_common(password: &str) -> bool {
    let folded = fold(password);
    let core = folded.trim_matches(|c: char| !c.is_alphabetic());
    COMMON.lines().any(|common| common == folded || !core.is_empty() && common == core) || has_few_characters(&folded)
}

/// Whether the password repeats one or two characters, or counts up or down.
fn has_few_characters(folded: &str) -> bool {
    let mut different: Vec<char> = folded.chars().collect();
    let steps: Vec<i64> = different.windows(2).map(step).collect();
    let counts = steps.first().is_some_and(|first| first.abs() == 1 && steps.iter().all(|step| step == first));
    different.sort_unstable();
    different.dedup();
    different.len() <= 2 || counts
}

/// The distance of two neighbours; 9 and 0 are neighbours too.
fn step(pair: &[char]) -> i64 {
    match pair {
        ['9', '0'] => 1,
        ['0', '9'] => -1,
        [a, b] => i64::from(u32::from(*b)) - i64::from(u32::from(*a)),
        _ => 0,
    }
}

/// Whether nothing but personal words, a birth date, a few digits and signs makes up the password.
pub(crate) fn is_personal(password: &str, about: AboutPerson<'_>) -> bool {
    let mut words: Vec<String> = about
        .words
        .iter()
        .flat_map(|text| fold(text).split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= WORD_LETTERS_MIN)
        .take(WORDS_MAX)
        .collect();
    words.extend(about.birth_date.into_iter().flat_map(date_forms));
    // The longest first: a word within another one must not leave the rest of it behind.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut rest: String = fold(password).chars().filter(|c| c.is_alphanumeric()).collect();
    let before = rest.len();
    for word in &words {
        rest = rest.replace(word.as_str(), " ");
    }
    let letters = rest.chars().filter(|c| c.is_alphabetic()).count();
    let digits = rest.chars().filter(|c| c.is_numeric()).count();
    rest.replace(' ', "").len() < before && letters < OTHER_LETTERS_MIN && digits < OTHER_DIGITS_MIN
}

/// A birth date YYYYMMDD as people type it; nothing for any other text.
fn date_forms(date: &str) -> Vec<String> {
    if date.len() != 8 || !date.bytes().all(|octet| octet.is_ascii_digit()) {
        return Vec::new();
    }
    let part = |from, to| date.get(from..to).unwrap_or_default();
    let (year, short, month, day) = (part(0, 4), part(2, 4), part(4, 6), part(6, 8));
    let orders = [[year, month, day], [day, month, year], [month, day, year], [short, month, day], [day, month, short]];
    orders.iter().map(|parts| parts.concat()).collect()
}

/// Lower case without marks: `Lécuyer` and `lecuyer` are the same guess.
fn fold(text: &str) -> String {
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_are_found_with_digits_and_signs_around_them() {
        for common in [
            "password",
            "PASSWORD2026",
            "!motdepasse!",
            "Azertyuiop1",
            "1234567890",
            "aaaaaaaaaa",
            "0987654321",
            "abababababab",
            "Bienvenue2026!",
            "abcdefghijkl",
        ] {
            assert!(is_common(common), "{common}");
        }
        for good in ["correct horse battery", "passwordless by design", "kx4m-29ab-cdef"] {
            assert!(!is_common(good), "{good}");
        }
    }

    #[test]
    fn the_list_is_folded_and_each_entry_occurs_once() {
        let lines: Vec<&str> = COMMON.lines().collect();
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), lines.len());
        assert!(lines.len() >= 100, "{}", lines.len());
        assert!(lines.iter().all(|line| fold(line) == *line && !line.trim().is_empty()));
    }

    #[test]
    fn passwords_made_of_what_is_known_about_the_person_are_found() {
        let words = ["Zoé", "Lécuyer-Roy", "zoe.lecuyer", "example.edu", "Li"];
        let about = AboutPerson { words: &words, birth_date: Some("20040517") };
        for personal in [
            "zoe.lecuyer",
            "Lécuyer2026!",
            "ZOELECUYER",
            "20040517!!",
            "17/05/2004",
            "Zoe17052004",
            "example-2026",
            "lecuyerroy12",
        ] {
            assert!(is_personal(personal, about), "{personal}");
        }
        for good in ["Zoé aime le hockey", "lilypadgreen", "lecuyer-73915582", "correct horse"] {
            assert!(!is_personal(good, about), "{good}");
        }
        assert!(!is_personal("anything", AboutPerson::default()));
        let odd = AboutPerson { words: &[], birth_date: Some("1 May 04") };
        assert!(!is_personal("correct horse", odd));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_checked(password in ".{0,80}", word in ".{0,30}", date in "[0-9é]{0,8}") {
            let _ = is_common(&password);
            let _ = is_personal(&password, AboutPerson { words: &[&word], birth_date: Some(&date) });
        }
    }
}
