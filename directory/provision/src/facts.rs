//! What a row says of a person, as attributes. A new CSV column that only becomes an attribute is one line here.

use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::attr;

use crate::roster::Column;
use crate::{Roster, Row, calendar};

/// How many attributes a row decides.
pub(crate) const FACTS: usize = 12;

/// The attributes that a row decides, one value each.
pub(crate) const FACT_ATTRIBUTES: [&str; FACTS] = [
    attr::GIVEN_NAME,
    attr::SN,
    attr::CN,
    attr::DISPLAY_NAME,
    attr::EMPLOYEE_NUMBER,
    attr::EDU_PERSON_AFFILIATION,
    attr::EDU_PERSON_PRIMARY_AFFILIATION,
    attr::SCHAC_DATE_OF_BIRTH,
    attr::PROVOST_PRIVATE_MAIL,
    attr::PROVOST_PROGRAM,
    attr::PROVOST_START_DATE,
    attr::PROVOST_END_DATE,
];

/// Values in the order of `FACT_ATTRIBUTES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts([Option<Box<str>>; FACTS]);

/// What a row wants of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// This value.
    Value(String),
    /// No value: the column is there and the cell is blank.
    None,
    /// Whatever is there.
    Any,
}

/// What a row wants of all of them.
pub(crate) struct Wishes([Wish; FACTS]);

impl Wishes {
    /// Reads a row. A blank cell takes away what can end (programme, dates of an enrolment); a birth date or private
    /// address, once known, is only ever replaced. A column that the file does not have says nothing.
    pub(crate) fn of(row: &Row, roster: &Roster) -> Self {
        let full_name = format!("{} {}", row.given_name, row.family_name);
        let affiliation = row.affiliation.as_str().to_owned();
        let known = |value: Option<String>| value.map_or(Wish::Any, Wish::Value);
        let clearable = |column, value: Option<String>| match value {
            Some(value) => Wish::Value(value),
            None if roster.columns.contains(&column) => Wish::None,
            None => Wish::Any,
        };
        Self([
            Wish::Value(row.given_name.clone()),
            Wish::Value(row.family_name.clone()),
            Wish::Value(full_name.clone()),
            Wish::Value(full_name),
            Wish::Value(row.person_id.clone()),
            Wish::Value(affiliation.clone()),
            Wish::Value(affiliation),
            known(row.birth_date.clone()),
            known(row.private_email.clone()),
            clearable(Column::Program, row.program.clone()),
            clearable(Column::StartDate, row.start_date.and_then(calendar::day_begins)),
            clearable(Column::EndDate, row.end_date.and_then(calendar::day_ends)),
        ])
    }

    /// The values of a new person.
    pub(crate) fn into_facts(self) -> Facts {
        Facts(self.0.map(|wish| match wish {
            Wish::Value(value) => Some(value.into_boxed_str()),
            Wish::None | Wish::Any => None,
        }))
    }

    /// What must change for `facts` to be as wished.
    pub(crate) fn changes(&self, facts: &Facts) -> Vec<Modification> {
        let pairs = FACT_ATTRIBUTES.into_iter().zip(self.0.iter().zip(&facts.0));
        let change = |(name, (wish, fact)): (&'static str, (&Wish, &Option<Box<str>>))| {
            let values = match (wish, fact.as_deref()) {
                (Wish::Any, _) | (Wish::None, None) => return None,
                (Wish::Value(wanted), Some(held)) if wanted == held => return None,
                (Wish::Value(wanted), _) => vec![wanted.clone().into_bytes()],
                (Wish::None, Some(_)) => Vec::new(),
            };
            Some(Modification::replace(AttributeDescription::of(name), values))
        };
        pairs.filter_map(change).collect()
    }
}

impl Facts {
    /// What an entry holds. The values of an attribute have no order (RFC 4511 §4.1.7): where somebody added one, the
    /// least is looked at, so that a plan comes out the same each time.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        Self(FACT_ATTRIBUTES.map(|name| entry.texts(name).min().map(Into::into)))
    }

    /// The value of one attribute.
    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        let place = FACT_ATTRIBUTES.iter().position(|name| *name == attribute)?;
        self.0.get(place)?.as_deref()
    }

    /// All that have a value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        FACT_ATTRIBUTES.into_iter().zip(&self.0).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
