//! Translates the rules of `DeskError::Invalid`, which are in English, into the page's language.

use crate::language::Language;

/// The desk's wording of each rule, and the key of its translation. `*` matches any text, which replaces `{value}` in
/// the translation.
const RULES: [(&str, &str); 35] = [
    ("shorter than * characters", "rule.too_short"),
    ("longer than 512 octets", "rule.too_long"),
    ("empty, longer than 512 octets, or with a control character", "rule.too_long"),
    ("a control character within the password", "rule.password_control"),
    ("an invisible character within the password", "rule.password_control"),
    ("one of the passwords that guessers try first", "rule.common"),
    ("made of the person's own names, login or birth date, or of the site's name", "rule.personal"),
    ("the present password or one of the last *", "rule.reused"),
    ("the person has no private address: print a letter instead", "rule.no_private"),
    ("the primary address stays", "rule.primary"),
    ("its domain is not served here", "rule.domain"),
    ("an address has the form local@domain", "rule.address"),
    ("the local part is longer than *", "rule.address_length"),
    ("'*' is not allowed here in an address", "rule.character"),
    ("a text in French or in English is needed", "error.vacation_text"),
    ("the end is before the start", "error.vacation_order"),
    ("not a day that can be stored", "rule.day"),
    ("1 to 365 days", "error.interval"),
    ("at most * characters", "rule.length"),
    ("1 to * characters that say why", "rule.reason"),
    ("a name of lower-case letters, digits and hyphens, such as abuse", "rule.lock_name"),
    ("the person has a lock '*' already; release it first, or choose another name", "rule.lock_exists"),
    ("at most * locks", "rule.lock_count"),
    ("one word of at most 64 characters, such as a login", "rule.lock_owner"),
    ("the end is not in the future", "rule.end_past"),
    ("an address such as zoe@example.net is needed", "rule.address"),
    ("*: the domain has no dot", "rule.domain_dot"),
    ("* is an address of this person", "rule.own_address"),
    ("1 to * addresses", "rule.address_count"),
    ("1 to 64 letters, digits and hyphens, as in the setting quota-classes", "rule.quota_class"),
    ("nobody has set it by hand: files and policies decide already", "rule.not_by_hand"),
    ("one line without control characters", "rule.control"),
    ("no control characters but line ends and tabs", "rule.control"),
    ("no invisible characters", "rule.control"),
    ("no characters that change the direction of the text", "rule.control"),
];

/// The rule in `language`. A rule that is not in [`RULES`] stays in English, after an introduction in `language`.
pub(crate) fn in_words(rule: &str, language: Language) -> String {
    let known = RULES.iter().find_map(|(pattern, key)| Some((key, value_of(pattern, rule)?)));
    match known {
        Some((key, value)) => language.text(key, &[("value", value)]),
        None => language.text("error.invalid", &[("rule", rule)]),
    }
}

/// The text in place of the pattern's `*`, empty for a pattern without `*`; `None` when the rule does not match the
/// pattern.
fn value_of<'a>(pattern: &str, rule: &'a str) -> Option<&'a str> {
    match pattern.split_once('*') {
        None => (pattern == rule).then_some(""),
        Some((before, after)) => rule.strip_prefix(before)?.strip_suffix(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_text_in_both_languages() {
        for (pattern, key) in RULES {
            for language in [Language::French, Language::English] {
                assert!(language.find(key).is_some(), "{pattern}: {key}");
            }
        }
        assert_eq!(
            in_words("'é' is not allowed here in an address", Language::French),
            "« é » n’est pas permis à cet endroit d’une adresse."
        );
        assert_eq!(in_words("at most 200 characters", Language::English), "At most 200 characters.");
        assert_eq!(in_words("a new rule", Language::French), "Valeur refusée : a new rule");
    }
}
