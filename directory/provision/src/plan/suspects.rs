//! Finds a new person who is probably somebody known, under another number.

use std::borrow::Cow;
use std::collections::HashMap;

use provost_schema::attr;

use super::actual::DirectoryContent;
use super::people::DirectoryPerson;
use crate::NamingPolicy;
use crate::source::SourceRecord;

/// Somebody whom a new person may be.
#[derive(Clone, Copy)]
enum Candidate<'a> {
    Held(DirectoryPerson<'a>),
    /// A new person of the same plan.
    New(&'a SourceRecord),
}

/// What tells people apart.
struct IdentifyingFacts<'a> {
    /// Given name and family name, folded.
    names: [String; 2],
    /// YYYYMMDD.
    birth: Option<Cow<'a, str>>,
    mail: Option<&'a str>,
}

/// Everybody by name and by private address: those whom the directory holds, and the new people of the plan so far.
pub(super) struct Suspects<'a> {
    naming: &'a NamingPolicy,
    actual: &'a DirectoryContent,
    /// Built for the first new person: most plans have none.
    known: Option<HashMap<String, Vec<Candidate<'a>>>>,
}

impl<'a> Suspects<'a> {
    pub(super) fn new(naming: &'a NamingPolicy, actual: &'a DirectoryContent) -> Self {
        Self { naming, actual, known: None }
    }

    /// Who the person of a record probably is.
    pub(super) fn find(&mut self, record: &SourceRecord) -> Option<String> {
        let stated = of_record(self.naming, record);
        let (naming, actual) = (self.naming, self.actual);
        let known = self.known.get_or_insert_with(|| index(naming, actual));
        let mut candidates = stated.keys().filter_map(|key| known.get(&key)).flatten();
        candidates.find_map(|candidate| match candidate {
            Candidate::Held(person) => is_same(&stated, &of_person(naming, *person)).then(|| {
                let number = person.sources().next().unwrap_or("no source");
                let mail = person.mail().unwrap_or("a person in the directory");
                format!("{mail}, known as {number}")
            }),
            Candidate::New(other) => {
                is_same(&stated, &of_record(naming, other)).then(|| format!("the person of line {}", other.line))
            }
        })
    }

    /// Remembers a new person.
    pub(super) fn add(&mut self, record: &'a SourceRecord) {
        let (naming, actual) = (self.naming, self.actual);
        let known = self.known.get_or_insert_with(|| index(naming, actual));
        for key in of_record(naming, record).keys() {
            known.entry(key).or_default().push(Candidate::New(record));
        }
    }
}

fn index<'a>(naming: &NamingPolicy, actual: &'a DirectoryContent) -> HashMap<String, Vec<Candidate<'a>>> {
    let mut known: HashMap<String, Vec<Candidate<'a>>> = HashMap::new();
    for person in actual.people.iter() {
        for key in of_person(naming, person).keys() {
            known.entry(key).or_default().push(Candidate::Held(person));
        }
    }
    known
}

fn of_record<'r>(naming: &NamingPolicy, record: &'r SourceRecord) -> IdentifyingFacts<'r> {
    IdentifyingFacts {
        names: [naming.fold(&record.given_name), naming.fold(&record.family_name)],
        birth: record.birth_digits().map(Cow::Owned),
        mail: record.private_email.as_deref(),
    }
}

fn of_person<'p>(naming: &NamingPolicy, person: DirectoryPerson<'p>) -> IdentifyingFacts<'p> {
    let name = |attribute| naming.fold(person.attribute(attribute).unwrap_or_default());
    IdentifyingFacts {
        names: [name(attr::GIVEN_NAME), name(attr::SN)],
        birth: person.attribute(attr::SCHAC_DATE_OF_BIRTH).map(Cow::Borrowed),
        mail: person.attribute(attr::PROVOST_PRIVATE_MAIL),
    }
}

impl IdentifyingFacts<'_> {
    /// What two entries of one person have in common: both names, in any order, or the private address.
    fn keys(&self) -> impl Iterator<Item = String> + use<> {
        let [given, family] = &self.names;
        let (first, second) = if given <= family { (given, family) } else { (family, given) };
        let names = format!("{first} {second}");
        let mail = self.mail.map(|mail| mail.to_ascii_lowercase());
        [Some(names), mail].into_iter().flatten()
    }

    fn has_the_names_of(&self, other: &Self) -> bool {
        let [given, family] = &other.names;
        self.names == other.names || self.names == [family.clone(), given.clone()]
    }
}

/// Whether two people are probably one. With the same names, perhaps interchanged: by the birth date, or by the private
/// address where a birth date is missing. Two people may share names and birth date, but far more often one person has
/// two numbers, and somebody must look. With the given name only, as after a marriage: by the private address, unless the
/// birth dates differ. A family may share an address, so it alone is not enough.
fn is_same(one: &IdentifyingFacts<'_>, other: &IdentifyingFacts<'_>) -> bool {
    let agree = |one: Option<&str>, other: Option<&str>| Some(one?.eq_ignore_ascii_case(other?));
    let birth = agree(one.birth.as_deref(), other.birth.as_deref());
    let mail = agree(one.mail, other.mail);
    if one.has_the_names_of(other) {
        return matches!((birth, mail), (Some(true), _) | (None, Some(true)));
    }
    let [given, _] = &one.names;
    let [other_given, _] = &other.names;
    given == other_given && !given.is_empty() && mail == Some(true) && birth != Some(false)
}
