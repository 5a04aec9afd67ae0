//! The pattern of a login or an address: `{given}.{family}`, `{g}{family:7}{counter:2}@example.edu`.

use std::fmt;

use provost_entry::Address;

/// Longest pattern, octets.
const PATTERN_OCTETS_MAX: usize = 200;
/// Maximum number of parts of a pattern, texts and elements.
const PARTS_MAX: usize = 16;
/// Largest number of characters that `{element:N}` may ask for.
const LETTERS_MAX: u8 = 64;
/// Largest number of digits of `{counter:N}`.
const DIGITS_MAX: u8 = 9;

/// What stands for a part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameElement {
    /// The whole given name: `{given}`; its first letter: `{g}`.
    Given,
    /// The first word of the given name: `{first}`.
    First,
    /// The second word of the given name, if there is one: `{middle}`; its first letter: `{m}`.
    Middle,
    /// The first letter of each word of the given name: `{initials}`.
    Initials,
    /// The family name: `{family}`; its first letter: `{f}`.
    Family,
    /// The source's number for the person: `{number}`.
    Number,
    /// The login, which the pattern of an address may repeat: `{login}`.
    Login,
}

/// The words of [`NameElement`] in a pattern, with the number of letters that a short word means.
const ELEMENTS: [(&str, NameElement, Option<u8>); 10] = [
    ("given", NameElement::Given, None),
    ("g", NameElement::Given, Some(1)),
    ("first", NameElement::First, None),
    ("middle", NameElement::Middle, None),
    ("m", NameElement::Middle, Some(1)),
    ("initials", NameElement::Initials, None),
    ("family", NameElement::Family, None),
    ("f", NameElement::Family, Some(1)),
    ("number", NameElement::Number, None),
    ("login", NameElement::Login, None),
];

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternPart {
    /// This text: lower case letters, digits, `.`, `-` and `_`.
    Text(String),
    /// A part of the name, and how many of its first letters; `None` means all.
    Element(NameElement, Option<u8>),
    /// The number that tells people of one name apart. `None`: empty for the first one, then 2, 3, and so on. With a
    /// number of digits: 001, 002, and so on, always.
    Counter(Option<u8>),
}

/// The pattern of a login or of a local part. A pattern without `{counter}` has the counter at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    parts: Vec<PatternPart>,
}

/// The pattern of an address: a local part, and the domain where it is not the site's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPattern {
    /// The local part.
    pub local: NamePattern,
    /// Domain after the `@`, in lower case; `None` for the domain of the policy.
    pub domain: Option<String>,
}

impl NamePattern {
    /// `{given}.{family}`.
    pub(crate) fn given_and_family() -> Self {
        let element = |element| PatternPart::Element(element, None);
        let dot = PatternPart::Text(".".to_owned());
        Self { parts: vec![element(NameElement::Given), dot, element(NameElement::Family)] }
    }

    /// Reads a pattern; the error is the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_OCTETS_MAX {
            return Err(format!("a pattern of more than {PATTERN_OCTETS_MAX} octets"));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (part, after) = match rest.strip_prefix('{') {
                Some(inner) => {
                    let (word, after) = inner.split_once('}').ok_or_else(|| format!("'{text}' lacks a '}}'"))?;
                    (part_of_word(word)?, after)
                }
                None => {
                    let (literal, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                    (PatternPart::Text(checked_text(literal)?), after)
                }
            };
            parts.push(part);
            rest = after;
        }
        Self { parts }.checked(text)
    }

    fn checked(self, text: &str) -> Result<Self, String> {
        let counters = self.parts.iter().filter(|part| matches!(part, PatternPart::Counter(_))).count();
        let has_element = self.parts.iter().any(|part| matches!(part, PatternPart::Element(..)));
        if self.parts.len() > PARTS_MAX {
            return Err(format!("a pattern of more than {PARTS_MAX} parts"));
        }
        if counters > 1 {
            return Err(format!("'{text}' has two counters"));
        }
        if !has_element {
            return Err(format!("'{text}' has no part of a name; write, for example, {{given}}.{{family}}"));
        }
        Ok(self)
    }

    /// The parts in order.
    pub fn parts(&self) -> &[PatternPart] {
        &self.parts
    }

    /// Whether the pattern repeats the login.
    pub fn has(&self, element: NameElement) -> bool {
        self.parts.iter().any(|part| matches!(part, PatternPart::Element(held, _) if *held == element))
    }

    /// Whether the pattern is the login and nothing else.
    pub fn is_login(&self) -> bool {
        self.parts == [PatternPart::Element(NameElement::Login, None)]
    }

    /// Whether the pattern says where the counter is.
    pub fn has_counter(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, PatternPart::Counter(_)))
    }
}

impl AddressPattern {
    /// Reads `LOCAL` or `LOCAL@DOMAIN`; the error is the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (local, domain) = match text.split_once('@') {
            Some((local, domain)) => (local, Some(checked_domain(domain)?)),
            None => (text, None),
        };
        Ok(Self { local: NamePattern::parse(local)?, domain })
    }
}

/// A domain in lower case; the error is the rule that it breaks.
pub(crate) fn checked_domain(domain: &str) -> Result<String, String> {
    // Read as the domain of an address, so that both follow the same rules.
    let address = Address::from_parts("x", domain).map_err(|error| format!("'{domain}' is not a domain: {error}"))?;
    Ok(address.domain().to_owned())
}

fn part_of_word(word: &str) -> Result<PatternPart, String> {
    let (name, number) = match word.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (word, None),
    };
    let most = if name == "counter" { DIGITS_MAX } else { LETTERS_MAX };
    let number = match number {
        Some(text) => {
            let count = text.parse().ok().filter(|count| (1..=most).contains(count) && !text.starts_with('+'));
            Some(count.ok_or_else(|| format!("'{{{word}}}': the number after the colon is from 1 to {most}"))?)
        }
        None => None,
    };
    if name == "counter" {
        return Ok(PatternPart::Counter(number));
    }
    let known = ELEMENTS.iter().find(|(known, ..)| *known == name);
    let Some((_, element, letters)) = known else {
        let names: Vec<&str> = ELEMENTS.iter().map(|(name, ..)| *name).chain(["counter"]).collect();
        return Err(format!("'{{{word}}}' is no part of a name; there are {}", names.join(", ")));
    };
    Ok(PatternPart::Element(*element, number.or(*letters)))
}

fn checked_text(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    match text.chars().find(|c| !is_allowed(*c)) {
        None => Ok(text.to_owned()),
        Some(c) => Err(format!("'{c}' in a pattern: only lower case letters, digits, '.', '-' and '_' are allowed")),
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            PatternPart::Text(text) => f.write_str(text),
            PatternPart::Counter(None) => f.write_str("{counter}"),
            PatternPart::Counter(Some(digits)) => write!(f, "{{counter:{digits}}}"),
            PatternPart::Element(element, letters) => {
                let exact = ELEMENTS.iter().find(|(_, known, held)| known == element && held == letters);
                let whole = ELEMENTS.iter().find(|(_, known, _)| known == element);
                match (exact, whole, letters) {
                    (Some((name, ..)), ..) => write!(f, "{{{name}}}"),
                    (None, Some((name, ..)), Some(letters)) => write!(f, "{{{name}:{letters}}}"),
                    _ => Ok(()),
                }
            }
        })
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            Some(domain) => write!(f, "{}@{domain}", self.local),
            None => self.local.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_printed_as_it_was_read() {
        for text in [
            "{given}.{family}",
            "{g}{family:7}",
            "{first}.{m}.{family}",
            "{family}{counter}",
            "{f}{counter:3}",
            "s{number}",
        ] {
            assert_eq!(NamePattern::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(NamePattern::parse("{given:1}").unwrap(), NamePattern::parse("{g}").unwrap());
        let address = AddressPattern::parse("{login}@Students.Example.EDU").unwrap();
        assert_eq!(address.to_string(), "{login}@students.example.edu");
        assert!(address.local.is_login());
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_its_rule() {
        for (text, rule) in [
            ("", "'' has no part of a name; write, for example, {given}.{family}"),
            ("abc", "'abc' has no part of a name; write, for example, {given}.{family}"),
            ("{counter}", "'{counter}' has no part of a name; write, for example, {given}.{family}"),
            ("{given", "'{given' lacks a '}'"),
            ("{given:0}", "'{given:0}': the number after the colon is from 1 to 64"),
            ("{given:+3}", "'{given:+3}': the number after the colon is from 1 to 64"),
            ("{counter:10}", "'{counter:10}': the number after the colon is from 1 to 9"),
            ("{g}{counter}{counter:2}", "'{g}{counter}{counter:2}' has two counters"),
            ("{given}}", "'}' in a pattern: only lower case letters, digits, '.', '-' and '_' are allowed"),
            ("{given} {family}", "' ' in a pattern: only lower case letters, digits, '.', '-' and '_' are allowed"),
        ] {
            assert_eq!(NamePattern::parse(text).unwrap_err(), rule);
        }
        assert!(NamePattern::parse("{colour}").unwrap_err().starts_with("'{colour}' is no part of a name"));
        assert!(NamePattern::parse(&"{g}".repeat(17)).is_err());
        assert!(NamePattern::parse(&"a".repeat(300)).is_err());
        assert!(AddressPattern::parse("{given}@not a domain").is_err());
        assert!(AddressPattern::parse("{given}@").is_err());
    }
}
