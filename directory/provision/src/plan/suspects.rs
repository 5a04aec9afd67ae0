//! Finds a new person who is probably somebody known, under another number.

use std::collections::HashMap;

use provost_schema::attr;

use super::actual::DirectoryContent;
use super::people::DirectoryPerson;
use crate::NamingPolicy;
use crate::source::SourceRecord;

/// Somebody who has the name of a new person.
#[derive(Clone, Copy)]
enum Namesake<'a> {
    Held(DirectoryPerson<'a>),
    /// A new person of the same plan.
    New(&'a SourceRecord),
}

/// Everybody by name: those whom the directory holds, and the new people of the plan so far.
pub(super) struct Suspects<'a> {
    naming: &'a NamingPolicy,
    actual: &'a DirectoryContent,
    /// Built for the first new person: most plans have none.
    by_name: Option<HashMap<(String, String), Vec<Namesake<'a>>>>,
}

impl<'a> Suspects<'a> {
    pub(super) fn new(naming: &'a NamingPolicy, actual: &'a DirectoryContent) -> Self {
        Self { naming, actual, by_name: None }
    }

    /// Who the person of a record probably is: somebody of the same name whose birth date or private address is the
    /// same, while the other of the two does not differ. Two people may have the same name and birth date, and a family
    /// may share an address; that is why both are looked at.
    pub(super) fn find(&mut self, record: &SourceRecord) -> Option<String> {
        let (naming, actual) = (self.naming, self.actual);
        let by_name = self.by_name.get_or_insert_with(|| index(naming, actual));
        let key = (naming.fold(&record.given_name), naming.fold(&record.family_name));
        let birth_date = record.birth_digits();
        let mail = record.private_email.as_deref();
        by_name.get(&key)?.iter().find_map(|namesake| match namesake {
            Namesake::Held(person) => {
                let held_birth = person.attribute(attr::SCHAC_DATE_OF_BIRTH);
                let held_mail = person.attribute(attr::PROVOST_PRIVATE_MAIL);
                let is_same = is_same(birth_date.as_deref(), held_birth, mail, held_mail);
                is_same.then(|| {
                    let number = person.sources().next().unwrap_or("no source");
                    let mail = person.mail().unwrap_or("a person in the directory");
                    format!("{mail}, known as {number}")
                })
            }
            Namesake::New(other) => {
                let is_same = is_same(
                    birth_date.as_deref(),
                    other.birth_digits().as_deref(),
                    mail,
                    other.private_email.as_deref(),
                );
                is_same.then(|| format!("the person of line {}", other.line))
            }
        })
    }

    /// Remembers a new person.
    pub(super) fn add(&mut self, record: &'a SourceRecord) {
        let key = (self.naming.fold(&record.given_name), self.naming.fold(&record.family_name));
        let (naming, actual) = (self.naming, self.actual);
        let by_name = self.by_name.get_or_insert_with(|| index(naming, actual));
        by_name.entry(key).or_default().push(Namesake::New(record));
    }
}

fn index<'a>(naming: &NamingPolicy, actual: &'a DirectoryContent) -> HashMap<(String, String), Vec<Namesake<'a>>> {
    let mut by_name: HashMap<(String, String), Vec<Namesake<'a>>> = HashMap::new();
    for person in actual.people.iter() {
        let name = |attribute| naming.fold(person.attribute(attribute).unwrap_or_default());
        by_name.entry((name(attr::GIVEN_NAME), name(attr::SN))).or_default().push(Namesake::Held(person));
    }
    by_name
}

/// Whether two people of one name are probably one.
fn is_same(birth: Option<&str>, other_birth: Option<&str>, mail: Option<&str>, other_mail: Option<&str>) -> bool {
    let agree = |one: Option<&str>, other: Option<&str>| Some(one?.eq_ignore_ascii_case(other?));
    matches!((agree(birth, other_birth), agree(mail, other_mail)), (Some(true), Some(true) | None) | (None, Some(true)))
}
