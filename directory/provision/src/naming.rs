//! Derives logins and local parts from names by the site's policy.
//!
//! A policy's pattern and the folded parts of a name give a [`NameForms`]: the local parts that may be given, in the order
//! in which they are tried. What is free is not known here: `plan/names.rs` chooses.

mod form;
mod lists;
mod note;
mod parts;

use provost_policy::AddressPattern;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

pub(crate) use self::form::{NameForm, NameForms, UsableForms};
use self::form::{last_resort, of_number};
use self::lists::IMITATED;
pub(crate) use self::lists::{LETTERS, RESERVED, VETTED};
pub use self::note::{NameConflict, NamingNote};
pub(crate) use self::parts::{FoldedName, NameParts};
use crate::NamingPolicy;

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

    /// The logins that the policy gives for a name; `None` when nothing of the name can be spelled.
    pub(crate) fn login_forms(&self, name: NameParts<'_>) -> Option<NameForms> {
        let patterns = [&self.rules.login].into_iter().chain(&self.rules.otherwise);
        NameForms::of(patterns, &FoldedName::new(name, self), None)
    }

    /// The local parts that a pattern gives for a name, beside a login.
    pub(crate) fn address_forms(
        &self,
        pattern: &AddressPattern,
        name: NameParts<'_>,
        login: &str,
    ) -> Option<NameForms> {
        NameForms::of([&pattern.local].into_iter(), &FoldedName::new(name, self), Some(login))
    }

    /// Whether a local part is one that these forms of a name led to: itself, or what took its place because nobody may
    /// have it.
    pub(crate) fn gave(&self, forms: &NameForms, name: NameParts<'_>, local: &str) -> bool {
        let name = FoldedName::new(name, self);
        let is_in_place = || [last_resort(&name), of_number(&name)].iter().any(|form| form.gives(local));
        forms.gives(local) || (!self.rules.is_built_in() && is_in_place())
    }

    /// The pattern of the primary address; `None` when it is the login in the policy's domain.
    pub(crate) fn primary_pattern(&self) -> Option<&AddressPattern> {
        self.rules.primary.as_ref().filter(|pattern| !pattern.local.is_login())
    }

    /// Domain of primary addresses.
    pub(crate) fn primary_domain(&self) -> &str {
        self.rules.primary.as_ref().and_then(|pattern| pattern.domain.as_deref()).unwrap_or(&self.domain)
    }

    /// The pattern that gives the primary address, for people.
    pub(crate) fn shown_primary(&self) -> String {
        match self.primary_pattern() {
            Some(pattern) => pattern.to_string(),
            None => self.rules.login.to_string(),
        }
    }

    /// Why a local part is given to nobody; `None` when it may be given.
    pub(crate) fn objection(&self, local: &str, name: &FoldedName<'_>) -> Option<NameConflict> {
        if self.is_reserved(local) {
            return Some(NameConflict::Reserved);
        }
        if self.rules.refuses_lookalikes && looks_like_an_office(local) {
            return Some(NameConflict::Lookalike);
        }
        self.is_vetted(local, name).then_some(NameConflict::Vetted)
    }

    /// Whether a vetted word came about in the local part: it stands within one piece between separators, and in no part
    /// of the name itself. People are not refused their own names.
    fn is_vetted(&self, local: &str, name: &FoldedName<'_>) -> bool {
        let mut pieces = local.split(|c: char| !c.is_ascii_alphabetic());
        let has = |piece: &str, word: &str| if word.len() > 3 { piece.contains(word) } else { piece == word };
        pieces.any(|piece| self.vetted.iter().any(|word| has(piece, word) && !name.contains_word(word)))
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

/// Whether a local part has the name of an office as its first part, or is one but for digits and separators.
pub(crate) fn looks_like_an_office(local: &str) -> bool {
    let is_imitated = |word: &str| IMITATED.contains(&word);
    let first = local.split(['.', '-', '_']).next().unwrap_or_default();
    let spelled: String = local.chars().filter_map(as_letter).collect();
    let without_number = local.trim_end_matches(|c: char| c.is_ascii_digit());
    let letters: String = without_number.chars().filter_map(as_letter).collect();
    is_imitated(first) || is_imitated(&spelled) || is_imitated(&letters)
}

/// The letter that a character looks like; `None` for a separator.
fn as_letter(c: char) -> Option<char> {
    match c {
        '0' => Some('o'),
        '1' => Some('i'),
        '3' => Some('e'),
        '4' => Some('a'),
        '5' => Some('s'),
        '7' => Some('t'),
        c => c.is_ascii_alphanumeric().then_some(c),
    }
}

/// Cuts an ASCII text to `octets` and removes separators from its end.
fn shorten(text: &str, octets: usize) -> &str {
    match text.get(..octets) {
        Some(head) => head.trim_end_matches(['.', '-', '_']),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use provost_policy::{LOCAL_PART_OCTETS_MAX, NamingRules, PolicyDocument};

    use super::*;

    fn forms(policy: &NamingPolicy, given: &str, family: &str) -> Option<NameForms> {
        policy.login_forms(NameParts { given, family, number: "12345" })
    }

    fn usable(policy: &NamingPolicy, given: &str, family: &str) -> UsableForms {
        let name = NameParts { given, family, number: "12345" };
        policy.login_forms(name).unwrap().usable(&FoldedName::new(name, policy))
    }

    fn login_base(given: &str, family: &str) -> Option<String> {
        forms(&NamingPolicy::built_in("example.edu"), given, family).map(|forms| forms.base())
    }

    fn numbered(given: &str, family: &str, number: u32) -> String {
        usable(&NamingPolicy::built_in("example.edu"), given, family).first.numbered(number)
    }

    /// The policy of a document.
    fn policy(text: &str) -> NamingPolicy {
        let document = PolicyDocument::parse("n", &format!("kind naming\n{text}"), &jiff::tz::TimeZone::UTC).unwrap();
        NamingPolicy::of_rules(NamingRules::of(&document).unwrap(), &NamingPolicy::built_in("example.edu"))
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
        assert_eq!(numbered("Zoé", "Tremblay", 1), "zoe.tremblay");
        assert_eq!(numbered("Zoé", "Tremblay", 12), "zoe.tremblay12");
        let (given, family) = ("a".repeat(60), "b".repeat(60));
        assert_eq!(login_base(&given, &family).unwrap().len(), 64);
        assert_eq!(numbered(&given, &family, 123), format!("{}123", "a".repeat(60)));
        assert_eq!(login_base(&"a".repeat(63), "b").unwrap(), "a".repeat(63));
    }

    #[test]
    fn only_numbers_that_are_given_are_recognised() {
        for (local, family, expect) in [
            ("a.b", "b", true),
            ("a.b2", "b", true),
            ("a.b17", "b", true),
            ("a.b1", "b", false),
            ("a.b02", "b", false),
            ("a.bc2", "b", false),
            ("a.b22", "b2", true),
            ("a", "b", false),
        ] {
            let built_in = NamingPolicy::built_in("example.edu");
            assert_eq!(forms(&built_in, "a", family).unwrap().gives(local), expect, "{local} of {family}");
        }
    }

    // Each row: the policy, the name, the local parts in the order in which they are tried.
    #[test]
    fn patterns_are_filled_with_the_name() {
        for (text, given, family, expect) in [
            ("login {g}{family:7}\nlength 8", "Zoé", "Tremblay", "ztrembla ztrembl2"),
            ("login {f}{counter:3}", "Zoé", "Tremblay", "t001 t002"),
            ("login {family}{counter}{g}", "Zoé", "Tremblay", "tremblayz tremblay2z"),
            ("login {given:3}{family:5}", "Jo", "Li", "joli joli2"),
            ("login {initials}.{family}", "Jean-Luc Marie", "Roy", "jlm.roy jlm.roy2"),
            ("otherwise 1 {first}.{m}.{family}", "Zoé Anne", "Roy", "zoeanne.roy zoe.a.roy zoeanne.roy2"),
            ("login {first}.{family}\notherwise 1 {first}.{m}.{family}", "Zoé", "Roy", "zoe.roy zoe.roy zoe.roy2"),
            ("login s{number}", "Zoé", "Roy", "s12345 s123452"),
            ("login {family:3}", "Zoé", "De-La", "de de2"),
            ("letter ü ue", "Jürgen", "Groß", "juergen.gross juergen.gross2"),
            ("particles drop", "Ana", "de la Cruz", "ana.cruz ana.cruz2"),
            ("spaces hyphen", "Ana", "de la Cruz", "ana.de-la-cruz ana.de-la-cruz2"),
        ] {
            let (policy, mut tried) = (policy(text), Vec::new());
            let usable = usable(&policy, given, family);
            tried.push(usable.first.numbered(1));
            tried.extend(usable.otherwise.iter().map(|form| form.numbered(1)));
            tried.push(usable.first.numbered(2));
            assert_eq!(tried.join(" "), expect, "{text}");
            let forms = forms(&policy, given, family).unwrap();
            assert!(tried.iter().all(|local| forms.gives(local)), "{text}");
        }
    }

    // Each row: the policy, the name, the first local part that is tried, and why the pattern's own is not.
    #[test]
    fn words_that_nobody_wants_give_way() {
        for (text, given, family, expect, why) in [
            ("login {g}{family}", "Steve", "Hitner", "steve.hitner", Some(NameConflict::Vetted)),
            ("login {g}{family}\notherwise 1 {family}{g}", "Steve", "Hitner", "hitners", Some(NameConflict::Vetted)),
            // People are not refused their own names.
            ("login {g}{family}", "Ann", "Hitchcock", "ahitchcock", None),
            ("login {given}.{family}", "Dick", "Cock", "dick.cock", None),
            ("vet zoeroy\nlogin {given}{family}", "Zoé", "Roy", "zoe.roy", Some(NameConflict::Vetted)),
            ("login {g}{family}", "Rose", "Oot", "rose.oot", Some(NameConflict::Reserved)),
            ("login {f}{given}\notherwise 1 {given}", "Dmin", "A", "dmin", Some(NameConflict::Reserved)),
            ("login {family}.{given}", "Zoé", "Admin", "zoe.admin", Some(NameConflict::Lookalike)),
            ("login {family}{g}", "Zoé", "Abuse", "abusez", None),
            ("login {family}", "Zoé", "Abuse", "zoe.abuse", Some(NameConflict::Reserved)),
            ("login {family}", "", "Abuse", "person-12345", Some(NameConflict::Reserved)),
        ] {
            let usable = usable(&policy(text), given, family);
            let refused = usable.refused.map(|(_, why)| why);
            assert_eq!((usable.first.numbered(1).as_str(), refused), (expect, why), "{text}, {given} {family}");
        }
        for (local, expect) in [
            ("postmaster2", true),
            ("p0stmaster", true),
            ("admin-zoe", true),
            ("r00t", true),
            ("no.reply", true),
            ("zoe.root", false),
            ("rooting", false),
        ] {
            assert_eq!(looks_like_an_office(local), expect, "{local}");
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
        let base = |policy: &NamingPolicy| forms(policy, "Jürgen", "Groß").map(|forms| forms.base());
        assert_eq!(base(&policy).as_deref(), Some("jurgen.gross"));
        policy.letters.push(('ü', "ue".to_owned()));
        policy.reserved.push("rector".to_owned());
        assert_eq!(base(&policy).as_deref(), Some("juergen.gross"));
        assert!(policy.is_reserved("rector") && !NamingPolicy::built_in("example.edu").is_reserved("rector"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_login_is_always_a_local_part(given in "\\PC{0,90}", family in "\\PC{0,90}", number in 1u32..100_000) {
            if let Some(forms) = forms(&NamingPolicy::built_in("example.edu"), &given, &family) {
                let local = forms.first.numbered(number);
                prop_assert!(local.len() <= LOCAL_PART_OCTETS_MAX);
                prop_assert!(provost_entry::Address::from_parts(&local, "example.edu").is_ok(), "{local}");
                prop_assert!(forms.gives(&local));
                prop_assert_eq!(fold_name(&fold_name(&given)), fold_name(&given));
            }
        }

        // Whatever the pattern, the result is a local part, and is recognised as one of this name.
        #[test]
        fn every_pattern_gives_a_local_part(
            pattern in "(\\{(given|g|first|m|initials|family|f|family:3|number)\\}|[.a-z_-]){1,6}\\{family\\}(\\{counter(:3)?\\})?[a-z]?",
            given in "\\PC{0,30}",
            family in "\\PC{0,30}",
            number in 1u32..100_000,
            length in 4usize..65,
        ) {
            let policy = policy(&format!("login {pattern}\nlength {length}"));
            if let Some(forms) = forms(&policy, &given, &family) {
                let local = forms.first.numbered(number);
                let is_address = provost_entry::Address::from_parts(&local, "example.edu").is_ok();
                prop_assert!(local.len() <= length.max(9) && is_address, "{pattern}: {local}");
                prop_assert!(forms.gives(&local), "{pattern}: {local}");
            }
        }
    }
}
