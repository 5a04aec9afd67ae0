//! The affiliation that a record states, among those of other sources.

use jiff::Timestamp;
use jiff::civil::Date;
use provost_entry::time::parse_generalized;
use provost_lifecycle::AffiliationPeriod;

use crate::source::{Column, RecordError, Source, SourceRecord};
use crate::{Policies, calendar};

/// What a record says of one part of an affiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stated<T> {
    /// This value.
    Value(T),
    /// None: the cell is blank, and the policies let it clear the value.
    None,
    /// Nothing: the held value stays.
    Nothing,
}

impl<T> Stated<T> {
    fn or_held(self, held: Option<T>) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::None => None,
            Self::Nothing => held,
        }
    }
}

/// The affiliation of a record: one value of provostAffiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedAffiliation {
    source: String,
    affiliation: &'static str,
    program: Stated<String>,
    start: Stated<Timestamp>,
    end: Stated<Timestamp>,
}

impl WantedAffiliation {
    /// Reads a record. A day that the directory cannot hold refuses the record: treated as blank, it would remove the
    /// held date.
    pub(super) fn of(record: &SourceRecord, source: &Source, policies: &Policies) -> Result<Self, RecordError> {
        let clears = |column: Column| source.columns.contains(&column) && policies.clearing_columns.contains(&column);
        let zone = &policies.time_zone;
        let moment = |column: Column, day: Option<Date>, at: &dyn Fn(Date) -> Option<String>| match day {
            None if clears(column) => Ok(Stated::None),
            None => Ok(Stated::Nothing),
            Some(day) => {
                let moment = at(day).and_then(|text| parse_generalized(&text));
                moment.map(Stated::Value).ok_or_else(|| unrepresentable(record, column))
            }
        };
        Ok(Self {
            source: source.name.replace(char::is_whitespace, "_"),
            affiliation: record.affiliation.as_str(),
            program: match &record.program {
                Some(program) => Stated::Value(program.clone()),
                None if clears(Column::Program) => Stated::None,
                None => Stated::Nothing,
            },
            start: moment(Column::StartDate, record.start_date, &|day| calendar::day_begins(zone, day))?,
            end: moment(Column::EndDate, record.end_date, &|day| calendar::day_ends(zone, day))?,
        })
    }

    /// Name of the source, as provostAffiliation has it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The person's affiliations with this one in the place of what its source stated before, sorted.
    pub(crate) fn among(&self, held: &[AffiliationPeriod]) -> Vec<AffiliationPeriod> {
        let is_own = |period: &&AffiliationPeriod| period.source == self.source;
        let former = held.iter().filter(is_own).find(|period| period.affiliation == self.affiliation);
        let former = former.or_else(|| held.iter().find(is_own));
        let own = AffiliationPeriod {
            source: self.source.clone(),
            affiliation: self.affiliation.to_owned(),
            start: self.start.clone().or_held(former.and_then(|period| period.start)),
            end: self.end.clone().or_held(former.and_then(|period| period.end)),
            program: self.program.clone().or_held(former.and_then(|period| period.program.clone())),
        };
        let others = held.iter().filter(|period| !is_own(period)).cloned();
        let mut periods: Vec<AffiliationPeriod> = others.chain([own]).collect();
        periods.sort_by_key(ToString::to_string);
        periods
    }
}

fn unrepresentable(record: &SourceRecord, column: Column) -> RecordError {
    let rule = "beyond the years that the directory can hold; leave the field blank if there is no such day";
    super::refuse(record, column, rule)
}
