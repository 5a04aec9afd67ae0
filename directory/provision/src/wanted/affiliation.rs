//! The affiliations that a record states, among those of other sources.

use jiff::Timestamp;
use jiff::civil::Date;
use provost_entry::time::parse_generalized;
use provost_lifecycle::AffiliationPeriod;

use super::StatedPart;
use crate::source::{AffiliationRow, Column, Coverage, RecordError, Source, SourceRecord};
use crate::{Policies, calendar};

/// The affiliations of a record: values of provostAffiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedAffiliation {
    source: String,
    rows: Vec<WantedRow>,
    /// Affiliations that the record does not name, which stay.
    keeps: Keeps,
}

/// Which of the held affiliations of the source stay although the record does not name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// None: the file names everybody in full.
    None,
    /// Those of other kinds: the file names only what has changed.
    OtherKinds,
    /// All: the record names no affiliation, and what it states concerns the first one.
    All,
}

/// One affiliation of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WantedRow {
    affiliation: &'static str,
    program: StatedPart<String>,
    start: StatedPart<Timestamp>,
    end: StatedPart<Timestamp>,
}

impl WantedAffiliation {
    /// Reads a record. A day that the directory cannot hold refuses the record: treated as blank, it would remove the
    /// held date.
    pub(super) fn of(record: &SourceRecord, source: &Source, policies: &Policies) -> Result<Self, RecordError> {
        let rows: Result<_, _> = record.affiliations().map(|row| WantedRow::of(record, &row, policies)).collect();
        let keeps = match source.coverage {
            _ if record.lacking.contains(Column::Affiliation) => Keeps::All,
            Coverage::Partial => Keeps::OtherKinds,
            Coverage::Complete => Keeps::None,
        };
        Ok(Self { source: affiliation_source(&source.name), rows: rows?, keeps })
    }

    /// Name of the source, as provostAffiliation has it.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The person's affiliations with these in the place of what their source stated before, sorted.
    ///
    /// An affiliation that has begun by `now` goes on when its source moves the first day into the future, as files of
    /// the next term do: the account would otherwise be taken from somebody who has it.
    pub(crate) fn among(&self, held: &[AffiliationPeriod], now: Timestamp) -> Vec<AffiliationPeriod> {
        let (own, others): (Vec<&AffiliationPeriod>, Vec<&AffiliationPeriod>) =
            held.iter().partition(|period| period.source == self.source);
        let mut periods: Vec<AffiliationPeriod> = others.into_iter().cloned().collect();
        let mut replaced = Vec::new();
        for row in &self.rows {
            let former = row.former(&own, self.rows.len());
            // Only somebody without any affiliation gets the one with which the record was completed.
            if former.is_none() && self.keeps == Keeps::All && !held.is_empty() {
                continue;
            }
            replaced.extend(former);
            let former = former.and_then(|place| own.get(place).copied());
            let mut period = row.period(&self.source, former);
            if let Some(former) = former.filter(|former| is_current(former, now))
                && period.start.is_some_and(|start| start > now)
            {
                period.start = former.start;
            }
            periods.push(period);
        }
        let stays = |(place, period): &(usize, &AffiliationPeriod)| match self.keeps {
            Keeps::None => false,
            Keeps::OtherKinds => self.rows.iter().all(|row| row.affiliation != period.affiliation),
            Keeps::All => !replaced.contains(place),
        };
        periods.extend(own.iter().copied().enumerate().filter(stays).map(|(_, period)| period.clone()));
        periods.sort_by_key(ToString::to_string);
        periods.dedup();
        periods
    }
}

/// Name of a source as provostAffiliation and provostAbsence have it: without white space.
pub(crate) fn affiliation_source(name: &str) -> String {
    name.replace(char::is_whitespace, "_")
}

impl WantedRow {
    fn of(record: &SourceRecord, row: &AffiliationRow, policies: &Policies) -> Result<Self, RecordError> {
        // What a record clears concerns its first row; a further row states all of its parts.
        let clears = |column: Column| record.cleared.contains(column) || row.line != record.line;
        let zone = &policies.time_zone;
        let moment = |column: Column, day: Option<Date>, at: &dyn Fn(Date) -> Option<String>| match day {
            None if clears(column) => Ok(StatedPart::None),
            None => Ok(StatedPart::Nothing),
            Some(day) => {
                let moment = at(day).and_then(|text| parse_generalized(&text));
                moment.map(StatedPart::Value).ok_or_else(|| unrepresentable(record, column))
            }
        };
        Ok(Self {
            affiliation: row.affiliation.as_str(),
            program: match &row.program {
                Some(program) => StatedPart::Value(program.to_string()),
                None if clears(Column::Program) => StatedPart::None,
                None => StatedPart::Nothing,
            },
            start: moment(Column::StartDate, row.start_date, &|day| calendar::day_begins(zone, day))?,
            end: moment(Column::EndDate, row.end_date, &|day| calendar::day_ends(zone, day))?,
        })
    }

    /// The place of the held affiliation that this row continues: one of the same kind and programme, else one of the
    /// same kind, else the only one, of which the row then states the new kind.
    fn former(&self, own: &[&AffiliationPeriod], rows: usize) -> Option<usize> {
        let is_kind = |period: &&AffiliationPeriod| period.affiliation == self.affiliation;
        let is_same = |period: &&AffiliationPeriod| match &self.program {
            StatedPart::Value(program) => is_kind(period) && period.program.as_deref() == Some(program),
            StatedPart::None | StatedPart::Nothing => is_kind(period),
        };
        let same = own.iter().position(is_same);
        let of_kind = || own.iter().position(is_kind).filter(|_| rows == 1);
        same.or_else(of_kind).or_else(|| (rows == 1 && !own.is_empty()).then_some(0))
    }

    fn period(&self, source: &str, former: Option<&AffiliationPeriod>) -> AffiliationPeriod {
        AffiliationPeriod {
            source: source.to_owned(),
            affiliation: self.affiliation.to_owned(),
            start: self.start.clone().or_held(former.and_then(|period| period.start)),
            end: self.end.clone().or_held(former.and_then(|period| period.end)),
            program: self.program.clone().or_held(former.and_then(|period| period.program.clone())),
        }
    }
}

fn is_current(period: &AffiliationPeriod, now: Timestamp) -> bool {
    period.start.is_none_or(|start| start <= now) && period.end.is_none_or(|end| end >= now)
}

fn unrepresentable(record: &SourceRecord, column: Column) -> RecordError {
    let words = "beyond the years that the directory can hold; leave the field blank if there is no such day";
    super::refuse(record, column, "date.range", words)
}
