//! The parts of a name, folded, from which patterns are filled.

use provost_policy::{NameElement, NameSpaces};

use super::NameConflict;
use crate::NamingPolicy;

/// Particles that may begin a family name, folded.
const PARTICLES: [&str; 30] = [
    "da", "dal", "das", "de", "dei", "del", "della", "den", "der", "des", "di", "do", "dos", "du", "e", "el", "la",
    "las", "le", "les", "lo", "los", "op", "st", "ten", "ter", "van", "vom", "von", "zu",
];

/// A name as a record or an entry states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameParts<'a> {
    /// The chosen given name where there is one, else the given name.
    pub(crate) given: &'a str,
    pub(crate) family: &'a str,
    /// The source's number for the person.
    pub(crate) number: &'a str,
}

/// A name beside the policy by which it is folded to what a login may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldedName<'a> {
    parts: NameParts<'a>,
    policy: &'a NamingPolicy,
}

impl<'a> FoldedName<'a> {
    pub(crate) fn new(parts: NameParts<'a>, policy: &'a NamingPolicy) -> Self {
        Self { parts, policy }
    }

    pub(super) fn policy(&self) -> &'a NamingPolicy {
        self.policy
    }

    /// The element of the name, whole; empty when the name has none.
    pub(super) fn element(&self, element: NameElement, login: Option<&str>) -> String {
        let word = |place| self.words().nth(place).unwrap_or_default();
        match element {
            NameElement::Given => whole(self.parts.given, self.policy),
            NameElement::First => word(0),
            NameElement::Middle => word(1),
            NameElement::Initials => self.initials(),
            NameElement::Family => family(self.parts.family, self.policy),
            NameElement::Number => self.number(),
            NameElement::Login => login.unwrap_or_default().to_owned(),
        }
    }

    fn initials(&self) -> String {
        let words: Vec<String> = self.words().collect();
        words.iter().flat_map(|word| word.split('-')).filter_map(|word| word.chars().next()).collect()
    }

    /// The words of the given name.
    fn words(&self) -> impl Iterator<Item = String> + 'a {
        words(self.parts.given, self.policy)
    }

    pub(super) fn number(&self) -> String {
        self.policy.fold(self.parts.number)
    }

    /// Whether a part of the name itself holds the word.
    pub(super) fn contains_word(&self, word: &str) -> bool {
        let folded = [self.parts.given, self.parts.family].map(|part| self.policy.fold(part));
        folded.iter().any(|part| part.contains(word))
    }

    /// Why a local part is given to nobody of this name; `None` when it may be given.
    pub(crate) fn objection(&self, local: &str) -> Option<NameConflict> {
        self.policy.objection(local, self)
    }
}

/// The words of a name, folded, without those of which nothing is left.
fn words<'a>(name: &'a str, policy: &'a NamingPolicy) -> impl Iterator<Item = String> + 'a {
    name.split_whitespace().map(|word| policy.fold(word)).filter(|word| !word.is_empty())
}

fn whole(name: &str, policy: &NamingPolicy) -> String {
    match policy.rules.spaces {
        NameSpaces::Join => policy.fold(name),
        NameSpaces::Hyphen => words(name, policy).collect::<Vec<_>>().join("-"),
    }
}

/// The family name, without the particles at its beginning where the policy drops them. `d’Alembert` is the particle
/// `d` and the name `Alembert`. The last word always stays.
fn family(name: &str, policy: &NamingPolicy) -> String {
    if !policy.rules.drops_particles {
        return whole(name, policy);
    }
    let mut rest = name.trim();
    loop {
        let end = rest.find(|c: char| c.is_whitespace() || is_apostrophe(c));
        let Some((first, after)) = end.map(|end| rest.split_at(end)) else { break };
        let is_elided = after.starts_with(is_apostrophe);
        let word = policy.fold(first);
        let after = after.trim_start_matches(|c: char| c.is_whitespace() || is_apostrophe(c));
        let is_particle = if is_elided { matches!(word.as_str(), "d" | "l") } else { is_particle(&word) };
        if !is_particle || policy.fold(after).is_empty() {
            break;
        }
        rest = after;
    }
    whole(rest, policy)
}

fn is_particle(word: &str) -> bool {
    PARTICLES.contains(&word)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{2018}' | '\u{02BC}' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let mut policy = NamingPolicy::built_in("example.edu");
        for (given, family, spaces, drops, expect) in [
            ("Zoé Anne", "Tremblay", NameSpaces::Join, false, "zoeanne zoe anne za tremblay"),
            ("Zoé Anne", "De La Cruz", NameSpaces::Hyphen, false, "zoe-anne zoe anne za de-la-cruz"),
            ("Jean-Luc", "de la Cruz", NameSpaces::Join, true, "jean-luc jean-luc - jl cruz"),
            ("Jean", "d’Alembert", NameSpaces::Join, true, "jean jean - j alembert"),
            ("Jean", "L'Écuyer", NameSpaces::Join, false, "jean jean - j lecuyer"),
            ("Ludwig", "van der Rohe", NameSpaces::Hyphen, true, "ludwig ludwig - l rohe"),
            ("Li", "De", NameSpaces::Join, true, "li li - l de"),
            ("Li", "De La", NameSpaces::Join, true, "li li - l la"),
            ("Sean", "O'Neil", NameSpaces::Join, true, "sean sean - s oneil"),
            ("Œdipe", "Łoś-Đỗ", NameSpaces::Join, false, "oedipe oedipe - o los-do"),
        ] {
            (policy.rules.spaces, policy.rules.drops_particles) = (spaces, drops);
            let name = FoldedName::new(NameParts { given, family, number: "A-17" }, &policy);
            let elements = [
                NameElement::Given,
                NameElement::First,
                NameElement::Middle,
                NameElement::Initials,
                NameElement::Family,
            ];
            let parts = elements.map(|element| name.element(element, None));
            let parts = parts.map(|text| if text.is_empty() { "-".to_owned() } else { text });
            assert_eq!(parts.join(" "), expect, "{given} {family}");
            assert_eq!(name.number(), "a-17");
        }
    }
}
