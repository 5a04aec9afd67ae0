//! Derives logins from names by the site's policy.

use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

use crate::NamingPolicy;

/// Names of roles and systems, which people and mail programs trust: no person may have one as login. They come from
/// RFC 2142 §3 to §6, RFC 5321 §4.5.1, and common usage. For a name with a hyphen, dots and hyphens do not count:
/// `no-reply` covers `no.reply` and `noreply`.
pub(crate) const RESERVED: &[&str] = &[
    // RFC 2142 §3: business.
    "info",
    "marketing",
    "sales",
    "support",
    // §4: network operations.
    "abuse",
    "noc",
    "security",
    // §5: services.
    "postmaster",
    "hostmaster",
    "usenet",
    "news",
    "webmaster",
    "www",
    "uucp",
    "ftp",
    // Other names that mail programs and people associate with an office.
    "list",
    "list-request",
    "csirt",
    "cert",
    "soc",
    "phishing",
    "spam",
    "privacy",
    "dpo",
    "legal",
    // Senders of automatic mail.
    "mailer-daemon",
    "no-reply",
    "do-not-reply",
    "bounce",
    "bounces",
    // Mailing list managers.
    "majordomo",
    "listserv",
    "mailman",
    // Names that mail programs look up in a domain, and recipients of automatic reports.
    "autoconfig",
    "auto-discover",
    "wpad",
    "mta-sts",
    "dmarc",
    "tls-rpt",
    // System accounts.
    "root",
    "toor",
    "admin",
    "admins",
    "administrator",
    "administrateur",
    "sys-admin",
    "superuser",
    "operator",
    "system",
    "daemon",
    "nobody",
    "guest",
    "mail",
    "provost",
    // Addresses to which certification authorities once sent their validation mail. The addresses that today's Baseline
    // Requirements permit (admin, administrator, webmaster, hostmaster, postmaster) are above.
    "ssl-admin",
    "ssl-master",
    // Offices of a university.
    "help",
    "help-desk",
    "service-desk",
    "registrar",
    "it",
    "contact",
];

/// Longest local part of an address, octets, with the number that makes it unique (RFC 5321 §4.5.3.1.1).
pub(crate) const LOCAL_PART_OCTETS_MAX: usize = 64;

/// Letters and hyphens that do not decompose to ASCII, with their built-in spelling. ü is not among them: marks are
/// dropped in every language, so German ü becomes u, not ue.
pub(crate) const LETTERS: [(char, &str); 11] = [
    ('ß', "ss"),
    ('œ', "oe"),
    ('æ', "ae"),
    ('ø', "o"),
    ('ł', "l"),
    ('đ', "d"),
    ('þ', "th"),
    ('ð', "d"),
    ('ı', "i"),
    ('\u{2010}', "-"),
    ('\u{2011}', "-"),
];

/// Folds one name by the built-in rules to what a login may hold: lower case ASCII letters, digits and hyphens. Marks
/// are dropped, letters such as ß are spelled out (ss), and other scripts and signs are transliterated. Everything
/// else is dropped, and so are hyphens at both ends.
pub fn fold_name(name: &str) -> String {
    fold(name, |c| LETTERS.iter().find(|(letter, _)| *letter == c).map(|(_, ascii)| *ascii))
}

impl NamingPolicy {
    /// Folds one name to what a login may hold, as [`fold_name`] does, with this policy's letters.
    pub fn fold(&self, name: &str) -> String {
        fold(name, |c| self.letters.iter().find(|(letter, _)| *letter == c).map(|(_, ascii)| ascii.as_str()))
    }

    /// `given.family` folded and cut to 64 octets; only one of the names when the other folds to nothing; `None` when
    /// both do.
    pub fn login_base(&self, given: &str, family: &str) -> Option<String> {
        join_names(self.fold(given), self.fold(family))
    }

    /// Whether a local part belongs to a role and is therefore given to no person.
    pub fn is_reserved(&self, local: &str) -> bool {
        let letters = |text: &str| text.replace(['.', '-'], "");
        let is = |name: &String| name == local || (name.contains('-') && letters(name) == letters(local));
        self.reserved.iter().any(is)
    }
}

/// Folds a name; `letter` gives the spelling of a letter, where the policy has one.
fn fold<'a>(name: &str, letter: impl Fn(char) -> Option<&'a str>) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name.nfc().flat_map(char::to_lowercase) {
        // Try the whole letter first: a site may write ü as ue, which the decomposed parts would not show.
        if let Some(ascii) = letter(c) {
            folded.push_str(ascii);
        } else if c.is_ascii() {
            folded.push(c);
        } else if !fold_canonical(c, &letter, &mut folded) {
            // Other scripts and typographic signs: transliterate, and keep only what a login may hold.
            folded.push_str(&deunicode::deunicode_char(c).unwrap_or_default().to_ascii_lowercase());
        }
    }
    folded.retain(|c| c.is_ascii_alphanumeric() || c == '-');
    folded.trim_matches('-').to_owned()
}

/// Appends `c` to `folded` in ASCII, without marks, soft hyphens and joiners. Returns `false` and appends nothing when
/// any other part of `c` is neither ASCII nor a letter with a spelling.
fn fold_canonical<'a>(c: char, letter: &impl Fn(char) -> Option<&'a str>, folded: &mut String) -> bool {
    let before = folded.len();
    let mut known = true;
    decompose_canonical(c, |part| match (part, letter(part)) {
        // A soft hyphen is a hint for line breaks, not a part of the name.
        ('\u{AD}', _) => {}
        // Joiners shape the letters around them and are not letters.
        ('\u{200C}' | '\u{200D}', _) => {}
        (_, Some(ascii)) => folded.push_str(ascii),
        _ if part.is_ascii() => folded.push(part),
        _ if is_combining_mark(part) => {}
        _ => known = false,
    });
    if !known {
        folded.truncate(before);
    }
    known
}

fn join_names(given: String, family: String) -> Option<String> {
    let joined = match (given.is_empty(), family.is_empty()) {
        (true, true) => return None,
        (false, true) => given,
        (true, false) => family,
        (false, false) => format!("{given}.{family}"),
    };
    Some(shorten(&joined, LOCAL_PART_OCTETS_MAX).to_owned())
}

/// The local part with the given number: the base itself for 1, then `base2`, `base3`, ..., at most
/// [`LOCAL_PART_OCTETS_MAX`] octets.
pub(crate) fn numbered(base: &str, number: u32) -> String {
    if number <= 1 {
        return base.to_owned();
    }
    let digits = number.to_string();
    let mut local = shorten(base, LOCAL_PART_OCTETS_MAX - digits.len()).to_owned();
    let _ = write!(local, "{digits}");
    local
}

/// Whether [`numbered`] produces `local` from `base` for some number.
pub(crate) fn is_numbered(local: &str, base: &str) -> bool {
    let digits = local.len() - local.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    // Any split of the trailing digits can be the number: the base itself may end in a digit.
    local == base
        || (1..=digits)
            .filter_map(|length| local.get(local.len() - length..)?.parse().ok())
            .any(|number: u32| number > 1 && numbered(base, number) == local)
}

/// Cuts an ASCII text to `octets` and removes dots and hyphens from its end.
fn shorten(text: &str, octets: usize) -> &str {
    match text.get(..octets) {
        Some(head) => head.trim_end_matches(['.', '-']),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login_base(given: &str, family: &str) -> Option<String> {
        NamingPolicy::built_in("example.edu").login_base(given, family)
    }

    #[test]
    fn names_fold_to_ascii() {
        for (name, expect) in [
            ("é", "e"),
            ("Ü", "u"),
            ("ễ", "e"),
            ("ß", "ss"),
            ("ẞ", "ss"),
            ("Œ", "oe"),
            ("Æ", "ae"),
            ("Ø", "o"),
            ("Ǿ", "o"),
            ("Ł", "l"),
            ("Đ", "d"),
            ("Þóra", "thora"),
            ("Guðrún", "gudrun"),
            ("Işık", "isik"),
            ("İpek", "ipek"),
            ("Zoé", "zoe"),
            ("Zoe\u{301}", "zoe"),
            ("Nguyễn", "nguyen"),
            ("Dvořák", "dvorak"),
            ("Müller-Lüdenscheidt", "muller-ludenscheidt"),
            ("Jean‑Luc", "jean-luc"),
            ("Jean‐Luc", "jean-luc"),
            ("De La Cruz", "delacruz"),
            ("O'Neil", "oneil"),
            ("L’Écuyer", "lecuyer"),
            ("Fa‘asavalu", "faasavalu"),
            ("Okina ʻŌ", "okinao"),
            ("D`Arcy", "darcy"),
            ("J.-P.", "j-p"),
            ("St. John", "stjohn"),
            ("Mac\u{AD}Donald", "macdonald"),
            ("Zo\u{200C}é", "zoe"),
            ("-Anne-", "anne"),
            ("北京", "beijing"),
            ("Юрий", "iurii"),
            ("...", ""),
            ("", ""),
            ("<script>", "script"),
        ] {
            assert_eq!(fold_name(name), expect, "{name}");
        }
    }

    #[test]
    fn logins_are_joined_cut_and_numbered() {
        assert_eq!(login_base("Zoé", "Tremblay").as_deref(), Some("zoe.tremblay"));
        assert_eq!(login_base("Zoé", "'").as_deref(), Some("zoe"));
        assert_eq!(login_base("'", "Roy").as_deref(), Some("roy"));
        assert_eq!(login_base(".", "'"), None);
        assert_eq!(numbered("zoe.tremblay", 1), "zoe.tremblay");
        assert_eq!(numbered("zoe.tremblay", 12), "zoe.tremblay12");
        let long = login_base(&"a".repeat(60), &"b".repeat(60)).unwrap();
        assert_eq!(long.len(), 64);
        assert_eq!(numbered(&long, 123), format!("{}123", "a".repeat(60)));
        assert_eq!(login_base(&"a".repeat(63), "b").unwrap(), "a".repeat(63));
    }

    #[test]
    fn only_numbers_that_are_given_are_recognised() {
        for (local, base, expect) in [
            ("a.b", "a.b", true),
            ("a.b2", "a.b", true),
            ("a.b17", "a.b", true),
            ("a.b1", "a.b", false),
            ("a.b02", "a.b", false),
            ("a.bc2", "a.b", false),
            ("a.b22", "a.b2", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(is_numbered(local, base), expect, "{local} of {base}");
        }
    }

    #[test]
    fn names_of_roles_are_reserved() {
        let policy = NamingPolicy::built_in("example.edu");
        for (local, expect) in [
            ("postmaster", true),
            ("abuse", true),
            ("root", true),
            ("admin", true),
            ("noreply", true),
            ("no-reply", true),
            ("no.reply", true),
            ("mailer-daemon", true),
            ("mailer.daemon", true),
            ("helpdesk", true),
            ("help.desk", true),
            ("postmaster2", false),
            ("ad.min", false),
            ("rooting", false),
            ("zoe.tremblay", false),
            ("", false),
        ] {
            assert_eq!(policy.is_reserved(local), expect, "{local}");
        }
        assert!(
            RESERVED.iter().all(|name| fold_name(name) == *name),
            "a reserved name that no name folds to has no effect"
        );
    }

    // A site may write German ü as ue.
    #[test]
    fn a_policy_has_its_own_letters_and_roles() {
        let mut policy = NamingPolicy::built_in("example.edu");
        assert_eq!(policy.login_base("Jürgen", "Groß").as_deref(), Some("jurgen.gross"));
        policy.letters.push(('ü', "ue".to_owned()));
        policy.reserved.push("rector".to_owned());
        assert_eq!(policy.login_base("Jürgen", "Groß").as_deref(), Some("juergen.gross"));
        assert!(policy.is_reserved("rector") && !NamingPolicy::built_in("example.edu").is_reserved("rector"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_login_is_always_a_local_part(given in "\\PC{0,90}", family in "\\PC{0,90}", number in 1u32..100_000) {
            if let Some(base) = login_base(&given, &family) {
                let local = numbered(&base, number);
                prop_assert!(local.len() <= LOCAL_PART_OCTETS_MAX);
                prop_assert!(provost_entry::Address::from_parts(&local, "example.edu").is_ok(), "{local}");
                prop_assert!(is_numbered(&local, &base));
                prop_assert_eq!(fold_name(&fold_name(&given)), fold_name(&given));
            }
        }
    }
}
