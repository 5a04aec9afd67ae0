//! A source's number for a person: accepted forms, and spellings that count as equal.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use provost_entry::prep::{CaseHandling, directory_string};
use unicode_normalization::UnicodeNormalization;

use crate::rule::{self, Rule};

/// Longest number, in characters; a UUID has 36.
const CHARS_MAX: usize = 64;

/// English and French abbreviations of months, without accents, as spreadsheets write them when they take a number for
/// a date.
const MONTHS: [&str; 21] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "janv", "fevr", "mars",
    "avr", "mai", "juin", "juil", "aout",
];

/// What exports write in place of a missing number, in lower case.
const PLACEHOLDERS: [&str; 14] = [
    "n/a",
    "na",
    "n.a.",
    "n/d",
    "nd",
    "null",
    "(null)",
    "\\n",
    "nil",
    "none",
    "nan",
    "undefined",
    "infinity",
    "(blank)",
];
/// Truth values as spreadsheets show them in English, French and German, in lower case.
const TRUTH_VALUES: [&str; 6] = ["true", "false", "vrai", "faux", "wahr", "falsch"];

/// Checks a number. A damaged number would create a second account for the same person, so it is refused.
pub(crate) fn person_id(field: &str) -> Result<&str, Rule> {
    if field.chars().count() > CHARS_MAX {
        Err(rule::LONG_NUMBER)
    } else if field.chars().any(char::is_whitespace) {
        Err(rule::NUMBER_BLANK)
    } else if field.contains('\u{FFFD}') {
        Err(rule::NUMBER_REPLACEMENT)
    } else if field.chars().any(is_ignorable) {
        Err(rule::NUMBER_INVISIBLE)
    // Look for damage in full-width forms too: the directory compares them as plain ones (RFC 4518).
    } else if let Some(rule) = damage(field).or_else(|| full_width_damage(field)) {
        Err(rule)
    } else {
        Ok(field)
    }
}

fn full_width_damage(field: &str) -> Option<Rule> {
    if field.is_ascii() { None } else { damage(&field.nfkc().collect::<String>()) }
}

/// The form in which spellings of a number are compared, as in the directory (RFC 4518). People's ids (provostPersonId)
/// are derived from it, so it must never change for a text that was accepted before.
pub fn person_key(number: &str) -> String {
    directory_string(number, CaseHandling::Ignored).unwrap_or_else(|| number.to_lowercase())
}

/// The form in which numbers that differ only in leading zeros are equal: spreadsheets remove these zeros.
pub fn without_zeros(number: &str) -> String {
    let key = person_key(number);
    let (source, digits) = key.split_once(':').map_or(("", key.as_str()), |(source, digits)| (source, digits));
    format!("{source}:{}", digits.trim_start_matches('0'))
}

/// Whether a character is shown as nothing (Unicode Default_Ignorable_Code_Point).
pub(crate) fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// The damage that an export or a spreadsheet did to a number; `None` when there is none.
fn damage(field: &str) -> Option<Rule> {
    let lower = field.to_lowercase();
    if field.starts_with('#') || lower.strip_prefix("err:").is_some_and(are_digits) {
        Some(rule::NUMBER_ERROR)
    } else if field.starts_with(['\'', '=', '"', '`', '\u{b4}', '\u{2018}', '\u{2019}']) {
        Some(rule::NUMBER_GUARD)
    } else if PLACEHOLDERS.contains(&lower.as_str()) || !field.chars().any(char::is_alphanumeric) {
        Some(rule::NUMBER_PLACEHOLDER)
    } else if TRUTH_VALUES.contains(&lower.as_str()) {
        Some(rule::NUMBER_TRUTH)
    } else if field.starts_with(['$', '€', '£']) || field.ends_with(['$', '€', '£', '%']) {
        Some(rule::NUMBER_CURRENCY)
    } else if is_signed(field) {
        Some(rule::NUMBER_SIGN)
    } else if is_exponent(field) {
        Some(rule::NUMBER_EXPONENT)
    } else if is_grouped(field) {
        Some(rule::NUMBER_GROUPED)
    } else if is_fraction(field) {
        Some(rule::NUMBER_FRACTION)
    } else if is_date(field) {
        Some(rule::NUMBER_DATE)
    } else if is_clock(field) {
        Some(rule::NUMBER_TIME)
    } else {
        None
    }
}

/// Whether a field is a signed number: `-123`, `+123`, `123-` or `(123)`, also with separators between the digits.
fn is_signed(field: &str) -> bool {
    let bare = field.strip_prefix(['-', '+', '\u{2212}']).or_else(|| field.strip_suffix('-'));
    let bare = bare.or_else(|| field.strip_prefix('(')?.strip_suffix(')'));
    bare.is_some_and(|bare| bare.split(['.', ',', '-', '+']).all(are_digits))
}

/// Whether a field is a time of day: `12:30` or `00:00:00`.
fn is_clock(field: &str) -> bool {
    let fields: Vec<&str> = field.split(':').collect();
    matches!(fields.len(), 2 | 3) && fields.iter().all(|field| are_digits(field) && field.len() <= 2)
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a field has an exponent: `1.1E+07` or `1,1E+07`, as a spreadsheet shows a long number.
fn is_exponent(field: &str) -> bool {
    let Some((mantissa, exponent)) = field.split_once(['E', 'e']) else { return false };
    let signed = exponent.strip_prefix(['+', '-']);
    let mantissa_is_number = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => are_digits(whole) && (fraction.is_empty() || are_digits(fraction)),
        None => are_digits(mantissa),
    };
    // `12E345` may be a genuine number of a site; one with a sign or a fraction is never genuine.
    mantissa_is_number && are_digits(signed.unwrap_or(exponent)) && (signed.is_some() || !are_digits(mantissa))
}

/// Whether a field is a fraction: `12345.0`, `12345.`, or any with a comma, such as `12345,6`. `1234.5678` may be a
/// genuine number of a site.
fn is_fraction(field: &str) -> bool {
    match field.split_once(['.', ',']) {
        Some((whole, fraction)) if field.contains(',') => {
            are_digits(whole) && (fraction.is_empty() || are_digits(fraction))
        }
        Some((whole, fraction)) => are_digits(whole) && fraction.bytes().all(|b| b == b'0'),
        None => false,
    }
}

/// Whether a field has grouped digits: `1,234,567`, `1.234.567`, `1'234'567` or `12,34,567`. The same separator stands
/// between all groups. The first group has at most three digits, the last has three, and those between have three, or
/// two where the separator is a comma. A fraction may follow after a point or comma that does not separate groups.
fn is_grouped(field: &str) -> bool {
    [',', '.', '\'', '’'].into_iter().any(|separator| {
        let Some((first, rest)) = field.split_once(separator) else { return false };
        let (rest, fraction) = match rest.rsplit_once(['.', ',']) {
            Some((groups, fraction)) if !continues_with(rest, groups, separator) => (groups, Some(fraction)),
            _ => (rest, None),
        };
        let groups: Vec<&str> = rest.split(separator).collect();
        let sizes_fit = groups.last().is_some_and(|last| last.len() == 3)
            && groups.iter().all(|group| are_digits(group) && matches!(group.len(), 2 | 3));
        // `12.34.567` may be a genuine number of a site.
        let are_thousands = separator == ',' || groups.iter().all(|group| group.len() == 3);
        are_digits(first) && first.len() <= 3 && sizes_fit && are_thousands && fraction.is_none_or(are_digits)
    })
}

/// Whether `separator` follows `head` in `text`, which begins with `head`.
fn continues_with(text: &str, head: &str, separator: char) -> bool {
    text.get(head.len()..).is_some_and(|tail| tail.starts_with(separator))
}

/// Whether a field is a date: `2001-01-02`, `01/02/2001`, `2.1.2001`, `Mar-01`, `1-Mar` or `1-Mar-2001`.
fn is_date(field: &str) -> bool {
    ['-', '/', '.'].into_iter().any(|separator| {
        let parts: Vec<&str> = field.split(separator).collect();
        let is_day = |text: &str| are_digits(text) && text.len() <= 2;
        let is_year = |text: &str| are_digits(text) && text.len() == 4;
        match parts.as_slice() {
            [one, two, three] if is_day(two) => {
                // `1.2.3` may be a genuine number of a site.
                let is_short = separator == '/' && is_day(three);
                (is_year(one) && is_day(three)) || (is_day(one) && (is_year(three) || is_short))
            }
            [one, two, three] => is_month(two) && is_day(one) && are_digits(three),
            [one, two] => (is_month(one) && are_digits(two) && two.len() <= 4) || (is_day(one) && is_month(two)),
            _ => false,
        }
    })
}

fn is_month(text: &str) -> bool {
    let plain: String = text.trim_end_matches('.').nfd().filter(char::is_ascii).collect();
    MONTHS.contains(&plain.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genuine_numbers_are_accepted_and_damaged_ones_refused() {
        for good in [
            "1",
            "00001",
            "A-12",
            "12E345",
            "20260001",
            "a/b",
            "x@y.example",
            "S.12.345678",
            "12-3456",
            "1234.5678",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "Tremblay1",
            "mar01",
            "12.34.56.78",
            "12.34.567",
            "1-2",
            "nanette",
            "A-",
            "1_234",
            "123:456",
            "-A1",
            "1.2.3",
            "é1",
        ] {
            assert_eq!(person_id(good), Ok(good));
        }
        for bad in [
            "N/A",
            "null",
            "NaN",
            "None",
            "-",
            "...",
            "*",
            "Err:502",
            "VRAI",
            "faux",
            "‘00123",
            "`00123",
            "1.E+05",
            "1,234.00",
            "1'234.00",
            "1.234.567,00",
            "1,23,456",
            "12345,6",
            "12345,678",
            "12345.000",
            "-123",
            "+123",
            "(123)",
            "12345-",
            "12:30",
            "00:00:00",
            "1 2",
            "1\u{AD}2",
            "1\u{200B}2",
            "1\u{FE0F}",
            "\u{3164}1",
            "#N/A",
            "\u{FF03}N/A",
            "\u{FF11}\u{FF12}\u{FF13}.0",
            "123\u{FF0E}0",
            "\u{FF11}\u{FF0C}\u{FF12}\u{FF13}\u{FF14}\u{FF0C}\u{FF15}\u{FF16}\u{FF17}",
            "#REF!",
            "########",
            "'00123",
            "=\"00123\"",
            "TRUE",
            "false",
            "$1234",
            "12 €",
            "12%",
            "1.1E+07",
            "1,1e7",
            "00001.0",
            "12345,00",
            "12345.",
            "1,234,567",
            "1.234.567",
            "1'234",
            "1,234",
            "2001-01-02",
            "01/02/2001",
            "2.1.2001",
            "1/2/03",
            "Mar-01",
            "1-Mar",
            "01-Mar-2001",
            "2-déc",
            "3-févr.-2001",
        ] {
            assert!(person_id(bad).is_err(), "{bad}");
        }
        assert!(person_id(&"1".repeat(CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn spellings_have_one_key_where_the_directory_compares_them_as_equal() {
        for (one, other, is_one) in [
            ("ABC9", "abc9", true),
            ("123450", "１２３４５０", true),
            ("é1", "e\u{301}1", true),
            ("Straße", "STRASSE", true),
            ("①5", "15", true),
            ("ﬁ", "FI", true),
            ("0077", "77", false),
            ("é1", "e1", false),
        ] {
            assert_eq!(person_key(one) == person_key(other), is_one, "{one} {other}");
        }
        assert_eq!(
            person_key("registrar:20260001A"),
            "registrar:20260001a",
            "the key of an accepted number has changed"
        );
    }

    #[test]
    fn leading_zeros_of_a_number_do_not_count() {
        for (one, other, is_one) in [
            ("registrar:0077", "registrar:77", true),
            ("registrar:0077", "hr:77", false),
            ("registrar:770", "registrar:77", false),
            ("registrar:0", "registrar:000", true),
        ] {
            assert_eq!(without_zeros(one) == without_zeros(other), is_one, "{one} {other}");
        }
    }
}
