//! The naming policy: how a name becomes a login and addresses, and how long an address stays with a person.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::document::{PolicyDocument, PolicyError};
use crate::line::PolicyLine;
use crate::pattern::{AddressPattern, NameElement, NamePattern, checked_domain};

/// Kind of the documents that this module reads.
pub const NAMING: &str = "naming";
/// Name of the rules of a site that has no document for a person.
pub const BUILT_IN_NAMING: &str = "built-in";
/// Longest local part of an address, octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Shortest length that a policy may set: a counter must fit in beside something of the name.
const LENGTH_MIN: usize = 4;
/// Maximum number of further addresses, and of patterns that are tried before the counter.
const NUMBERED_MAX: u32 = 8;
/// Longest time for which an address is kept or is in quarantine, days: a hundred years.
const DAYS_MAX: u32 = 36_525;
/// Maximum number of words in all lines of one key.
const WORDS_MAX: usize = 500;

/// The rules of one naming document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamingRules {
    /// Name of the document, [`BUILT_IN_NAMING`] without one.
    pub name: String,
    /// Domain of addresses whose pattern states none; `None` for the setting `mail-domain`.
    pub domain: Option<String>,
    /// Pattern of the login (uid).
    pub login: NamePattern,
    /// The primary address; `None` for the login in the domain.
    pub primary: Option<AddressPattern>,
    /// Further addresses that a new person gets, in the order of their numbers.
    pub further: Vec<AddressPattern>,
    /// Patterns of the login that are tried in this order before a number is added.
    pub otherwise: Vec<NamePattern>,
    /// Longest login and local part, octets.
    pub octets_max: usize,
    /// What becomes of the spaces within a name.
    pub spaces: NameSpaces,
    /// Whether particles such as `de la` at the beginning of a family name are left out.
    pub drops_particles: bool,
    /// Letters with the spelling that this policy gives them, in lower case.
    pub letters: Vec<(char, String)>,
    /// Words that nobody gets, besides the built-in ones.
    pub reserved: Vec<String>,
    /// Words that may not come about where a pattern joins or cuts names, besides the built-in ones.
    pub vetted: Vec<String>,
    /// Whether names that look like those of an office are refused: `admin-zoe`, `p0stmaster`, `abuse2`.
    pub refuses_lookalikes: bool,
    /// Whether the login changes with the name.
    pub login_follows: bool,
    /// Days for which a former primary address stays with its owner; `None` keeps it for good.
    pub keep_days: Option<u32>,
    /// Days for which nobody else gets an address that was taken away; `None` for the setting `address-quarantine`.
    pub quarantine_days: Option<u32>,
    /// The address in the alumni domain.
    pub alumni: Option<AlumniAddress>,
}

/// What becomes of the spaces within a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSpaces {
    /// `De La Cruz` becomes `delacruz`.
    Join,
    /// `De La Cruz` becomes `de-la-cruz`.
    Hyphen,
}

/// The address that a person gets in the alumni domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlumniAddress {
    /// Its pattern, which states a domain.
    pub pattern: AddressPattern,
    /// Whether the person gets it with the account, and not only when they become alumni.
    pub is_from_start: bool,
    /// Whether it becomes the primary address when the person becomes alumni.
    pub becomes_primary: bool,
}

/// Lines of a document that are numbered, by their numbers.
#[derive(Default)]
struct NumberedLines {
    further: BTreeMap<u32, AddressPattern>,
    otherwise: BTreeMap<u32, NamePattern>,
}

impl NamingRules {
    /// The rules of a site that has no naming document: `given.family` in the site's domain, and a former address stays
    /// for good.
    pub fn built_in() -> Self {
        Self::of_pattern(BUILT_IN_NAMING, NamePattern::given_and_family())
    }

    /// The login of the built-in rules: `{given}.{family}`.
    pub fn built_in_login() -> &'static NamePattern {
        static LOGIN: LazyLock<NamePattern> = LazyLock::new(NamePattern::given_and_family);
        &LOGIN
    }

    fn of_pattern(name: &str, login: NamePattern) -> Self {
        Self {
            name: name.to_owned(),
            domain: None,
            login,
            primary: None,
            further: Vec::new(),
            otherwise: Vec::new(),
            octets_max: LOCAL_PART_OCTETS_MAX,
            spaces: NameSpaces::Join,
            drops_particles: false,
            letters: Vec::new(),
            reserved: Vec::new(),
            vetted: Vec::new(),
            refuses_lookalikes: false,
            login_follows: false,
            keep_days: None,
            quarantine_days: None,
            alumni: None,
        }
    }

    /// Whether a document states these rules.
    pub fn is_built_in(&self) -> bool {
        self.name == BUILT_IN_NAMING
    }

    /// Reads a document; the error names the first wrong line.
    pub fn of(document: &PolicyDocument) -> Result<Self, PolicyError> {
        let mut rules = Self::of_pattern(&document.name, NamePattern::given_and_family());
        rules.refuses_lookalikes = true;
        let (mut numbered, mut seen) = (NumberedLines::default(), Vec::new());
        for line in &document.lines {
            rules.take(line, &mut numbered, &mut seen).map_err(|rule| document.wrong(line, rule))?;
        }
        rules.further = numbered.further.into_values().collect();
        rules.otherwise = numbered.otherwise.into_values().collect();
        let whole = |rule: String| PolicyError { policy: document.name.clone(), place: None, rule };
        for (key, words) in [("reserve", &rules.reserved), ("vet", &rules.vetted)] {
            if words.len() > WORDS_MAX {
                return Err(whole(format!("more than {WORDS_MAX} words of '{key}'")));
            }
        }
        if rules.name == BUILT_IN_NAMING {
            return Err(whole(format!("'{BUILT_IN_NAMING}' is the name of the rules without a document")));
        }
        Ok(rules)
    }

    /// Takes one line. `seen` holds the keys that may stand once only.
    fn take<'a>(
        &mut self,
        line: &'a PolicyLine,
        numbered: &mut NumberedLines,
        seen: &mut Vec<&'a str>,
    ) -> Result<(), String> {
        let words: Vec<&str> = line.words().collect();
        match line.key() {
            "reserve" => {
                self.reserved.extend(checked_words(&words)?);
                return Ok(());
            }
            "vet" => {
                self.vetted.extend(checked_words(&words)?);
                return Ok(());
            }
            "letter" => {
                self.letters.push(letter(&words)?);
                return Ok(());
            }
            "address" => {
                let [number, pattern] = words[..] else { return Err("write 'address 1 {g}{family}@DOMAIN'".into()) };
                return add_numbered(&mut numbered.further, number, AddressPattern::parse(pattern)?);
            }
            "otherwise" => {
                let [number, pattern] = words[..] else {
                    return Err("write 'otherwise 1 {first}.{m}.{family}'".into());
                };
                return add_numbered(&mut numbered.otherwise, number, login_pattern(pattern)?);
            }
            _ => {}
        }
        if seen.contains(&line.key()) {
            return Err(format!("'{}' stands twice", line.key()));
        }
        seen.push(line.key());
        self.take_single(line.key(), &words)
    }

    /// Takes a line whose key stands once.
    fn take_single(&mut self, key: &str, words: &[&str]) -> Result<(), String> {
        match (key, words) {
            ("domain", [domain]) => self.domain = Some(checked_domain(domain)?),
            ("login", [pattern]) => self.login = login_pattern(pattern)?,
            ("primary", [pattern]) => self.primary = Some(AddressPattern::parse(pattern)?),
            ("length", [number]) => self.octets_max = length(number)?,
            ("spaces", ["join"]) => self.spaces = NameSpaces::Join,
            ("spaces", ["hyphen"]) => self.spaces = NameSpaces::Hyphen,
            ("particles", ["keep"]) => self.drops_particles = false,
            ("particles", ["drop"]) => self.drops_particles = true,
            ("lookalikes", ["allow"]) => self.refuses_lookalikes = false,
            ("lookalikes", ["refuse"]) => self.refuses_lookalikes = true,
            ("rename", options) => options.iter().try_for_each(|option| self.take_rename(option))?,
            ("quarantine", [days]) => self.quarantine_days = Some(days_of(days.strip_prefix("days="))?),
            ("alumni", [pattern, options @ ..]) => self.alumni = Some(alumni(pattern, options)?),
            ("spaces", _) => return Err("write 'spaces join' or 'spaces hyphen'".to_owned()),
            ("particles", _) => return Err("write 'particles keep' or 'particles drop'".to_owned()),
            ("lookalikes", _) => return Err("write 'lookalikes refuse' or 'lookalikes allow'".to_owned()),
            ("domain" | "login" | "primary" | "length" | "quarantine" | "alumni", _) => {
                return Err(format!("'{key}' takes one value"));
            }
            _ => return Err(format!("'{key}' is no rule of a naming policy")),
        }
        Ok(())
    }

    fn take_rename(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("login", "keep")) => self.login_follows = false,
            Some(("login", "follow")) => self.login_follows = true,
            Some(("keep", "forever")) => self.keep_days = None,
            Some(("keep", days)) => self.keep_days = Some(days_of(Some(days))?),
            _ => return Err(format!("'{option}' is not login=keep, login=follow, keep=DAYS or keep=forever")),
        }
        Ok(())
    }

    /// All domains that the rules name.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let patterns = self.primary.iter().chain(&self.further).chain(self.alumni.iter().map(|alumni| &alumni.pattern));
        self.domain.as_deref().into_iter().chain(patterns.filter_map(|pattern| pattern.domain.as_deref()))
    }
}

fn login_pattern(text: &str) -> Result<NamePattern, String> {
    let pattern = NamePattern::parse(text)?;
    if pattern.has(NameElement::Login) { Err("a login cannot be made of itself".to_owned()) } else { Ok(pattern) }
}

fn alumni(pattern: &str, options: &[&str]) -> Result<AlumniAddress, String> {
    let pattern = AddressPattern::parse(pattern)?;
    if pattern.domain.is_none() {
        return Err("the alumni address states its domain: 'alumni {login}@alumni.example.edu'".to_owned());
    }
    let mut alumni = AlumniAddress { pattern, is_from_start: false, becomes_primary: false };
    for option in options {
        match *option {
            "from=start" => alumni.is_from_start = true,
            "from=alumni" => alumni.is_from_start = false,
            "primary=yes" => alumni.becomes_primary = true,
            "primary=no" => alumni.becomes_primary = false,
            other => return Err(format!("'{other}' is not from=start, from=alumni, primary=yes or primary=no")),
        }
    }
    Ok(alumni)
}

fn add_numbered<T>(into: &mut BTreeMap<u32, T>, number: &str, value: T) -> Result<(), String> {
    let number: Option<u32> = number.parse().ok().filter(|number| (1..=NUMBERED_MAX).contains(number));
    let number = number.ok_or_else(|| format!("such a line has a number from 1 to {NUMBERED_MAX}"))?;
    match into.insert(number, value) {
        None => Ok(()),
        Some(_) => Err(format!("two lines have the number {number}")),
    }
}

fn length(text: &str) -> Result<usize, String> {
    let length = text.parse().ok().filter(|length| (LENGTH_MIN..=LOCAL_PART_OCTETS_MAX).contains(length));
    length.ok_or_else(|| format!("'{text}' is not a length from {LENGTH_MIN} to {LOCAL_PART_OCTETS_MAX}"))
}

fn days_of(text: Option<&str>) -> Result<u32, String> {
    let days = text.and_then(|text| text.parse().ok()).filter(|days| *days <= DAYS_MAX);
    days.ok_or_else(|| format!("a number of days from 0 to {DAYS_MAX} is missing, as in days=365"))
}

fn letter(words: &[&str]) -> Result<(char, String), String> {
    let rule = || "write a letter and its spelling: 'letter ü ue'".to_owned();
    let [letter, spelling] = words else { return Err(rule()) };
    let mut letters = letter.chars().flat_map(char::to_lowercase);
    let is_allowed = spelling.len() <= 4 && spelling.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    match (letters.next(), letters.next()) {
        (Some(letter), None) if !letter.is_ascii() && is_allowed => Ok((letter, (*spelling).to_owned())),
        _ => Err(rule()),
    }
}

fn checked_words(words: &[&str]) -> Result<Vec<String>, String> {
    if words.is_empty() {
        return Err("no word".to_owned());
    }
    let checked = |word: &&str| {
        let word = word.to_ascii_lowercase();
        let is_allowed = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let rule = || format!("'{word}': a word has ASCII letters, digits and hyphens, as an address has");
        if is_allowed { Ok(word) } else { Err(rule()) }
    };
    words.iter().map(checked).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn rules(text: &str) -> Result<NamingRules, PolicyError> {
        let document = PolicyDocument::parse("n", &format!("kind naming\n{text}"), &TimeZone::UTC).unwrap();
        NamingRules::of(&document)
    }

    #[test]
    fn every_line_is_read() {
        let read = rules(
            "domain example.edu\nlogin {g}{family:7}\nprimary {given}.{family}\notherwise 2 {g}{m}{family:6}\n\
             otherwise 1 {g}{family:6}{m}\naddress 1 {login}@Students.example.edu\nlength 8\nspaces hyphen\n\
             particles drop\nletter Ü ue\nreserve Rector vice-rector\nreserve senate\nvet darn\nlookalikes allow\n\
             rename login=follow keep=365\nquarantine days=730\n\
             alumni {given}.{family}@alumni.example.edu from=start primary=yes\n",
        )
        .unwrap();
        assert_eq!(read.login.to_string(), "{g}{family:7}");
        let otherwise: Vec<String> = read.otherwise.iter().map(ToString::to_string).collect();
        assert_eq!(otherwise, ["{g}{family:6}{m}", "{g}{m}{family:6}"]);
        assert_eq!((read.octets_max, read.spaces, read.drops_particles), (8, NameSpaces::Hyphen, true));
        assert_eq!(read.letters, [('ü', "ue".to_owned())]);
        assert_eq!(read.reserved, ["rector", "vice-rector", "senate"]);
        assert_eq!((read.vetted.as_slice(), read.refuses_lookalikes), (&["darn".to_owned()][..], false));
        assert_eq!((read.login_follows, read.keep_days, read.quarantine_days), (true, Some(365), Some(730)));
        let alumni = read.alumni.as_ref().unwrap();
        assert!(alumni.is_from_start && alumni.becomes_primary);
        let domains: Vec<&str> = read.domains().collect();
        assert_eq!(domains, ["example.edu", "students.example.edu", "alumni.example.edu"]);
    }

    #[test]
    fn a_document_of_one_line_has_the_built_in_patterns() {
        let read = rules("rename keep=forever").unwrap();
        assert_eq!((read.login, read.keep_days, read.refuses_lookalikes), (NamingRules::built_in().login, None, true));
        assert!(NamingRules::built_in().is_built_in());
        assert_eq!(NamePattern::given_and_family(), NamePattern::parse("{given}.{family}").unwrap());
    }

    #[test]
    fn wrong_rules_are_refused() {
        for (bad, rule) in [
            ("colour red", "'colour' is no rule of a naming policy"),
            ("login {colour}", "'{colour}' is no part of a name"),
            ("login {login}", "a login cannot be made of itself"),
            ("login {g}{family}\nlogin {given}", "'login' stands twice"),
            ("login {g} {family}", "'login' takes one value"),
            ("domain not_a domain", "'domain' takes one value"),
            ("address {g}{family}", "write 'address 1"),
            ("address 9 {g}{family}", "such a line has a number from 1 to 8"),
            ("address 1 {g}{family}\naddress 1 {given}", "two lines have the number 1"),
            ("length 3", "'3' is not a length from 4 to 64"),
            ("letter e x", "write a letter and its spelling"),
            ("letter ü", "write a letter and its spelling"),
            ("reserve", "no word"),
            ("vet x_y", "'x_y': a word has"),
            ("rename keep", "'keep' is not login=keep"),
            ("rename keep=soon", "a number of days"),
            ("quarantine 30", "a number of days"),
            ("alumni {login}", "the alumni address states its domain"),
            ("alumni {login}@a.example.edu now", "'now' is not from=start"),
            ("spaces drop", "write 'spaces join' or 'spaces hyphen'"),
        ] {
            let error = rules(bad).unwrap_err().to_string();
            assert!(error.contains(rule), "{bad}: {error}");
        }
    }
}
