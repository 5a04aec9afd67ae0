//! Collects the rows of a file: good ones as records, problems in two lists, and what puts the whole file in doubt.

use std::collections::HashMap;

use jiff::civil::Date;

use crate::column::Column;
use crate::field::{ReadRow, read_row};
use crate::number::person_key;
use crate::profile::SourceProfile;
use crate::record::{FileError, RecordError, Severity, SourceRecord};
use crate::row::RawRow;
use crate::rule;
use crate::{ROWS_MAX, settle};

/// Maximum number of problems of one file, which bounds the memory of the report.
pub(crate) const PROBLEMS_MAX: usize = 500_000;
/// Damaged cells that are shown when they refuse a file.
const SAMPLES_MAX: usize = 5;
/// From this number of rows with damaged text, and more than one in [`DAMAGED_TEXT_SHARE`], the encoding is in doubt.
const DAMAGED_TEXTS_MIN: usize = 5;
const DAMAGED_TEXT_SHARE: usize = 20;
/// From this number of damaged numbers, and more than half of the rows, the column of numbers is refused.
const DAMAGED_NUMBERS_MIN: usize = 20;

/// A person whose row was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOutRow {
    pub(crate) line: u64,
    /// `None` when the row's number cannot be read.
    pub(crate) person_id: Option<Box<str>>,
}

/// The rows of a file while it is read.
#[derive(Debug, Default)]
pub(crate) struct CollectedRows {
    pub(crate) records: Vec<SourceRecord>,
    pub(crate) rejected: Vec<RecordError>,
    pub(crate) warnings: Vec<RecordError>,
    pub(crate) rejected_rows: Vec<LeftOutRow>,
    /// Rows of data, good and wrong.
    pub(crate) read: usize,
    pub(crate) repeated: usize,
    damaged_texts: usize,
    damaged_numbers: usize,
    samples: Vec<String>,
}

impl CollectedRows {
    /// Counts one more row of data.
    pub(crate) fn count(&mut self) -> Result<(), FileError> {
        self.read += 1;
        if self.read > ROWS_MAX { Err(FileError::TooManyRows(ROWS_MAX)) } else { Ok(()) }
    }

    /// Reads the rows of one person that one row of the file makes: one for each affiliation. If any is wrong, all are
    /// left out. Returns the names of the columns that have a problem.
    pub(crate) fn take(&mut self, profile: &SourceProfile, parts: &[RawRow<'_>]) -> Result<Vec<String>, FileError> {
        let Some(first) = parts.first() else { return Ok(Vec::new()) };
        let mut problems: Vec<RecordError> = Vec::new();
        let (mut records, mut number, mut damage) = (Vec::with_capacity(1), None, None);
        for part in parts {
            let ReadRow { record, person_id, problems: found, damaged } = read_row(profile, part);
            records.extend(record);
            number = number.or(person_id);
            damage = damage.or(damaged);
            problems.extend(found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
        }
        self.note_damage(first.line, damage, &problems);
        if records.len() == parts.len() {
            self.records.append(&mut records);
        } else {
            self.rejected_rows.push(LeftOutRow { line: first.line, person_id: number });
        }
        let wrong = problems.iter().map(|problem| problem.column.clone()).collect();
        problems.into_iter().for_each(|problem| self.report(problem));
        self.check_problems().map(|()| wrong)
    }

    fn note_damage(&mut self, line: u64, damaged: Option<String>, problems: &[RecordError]) {
        if let Some(damaged) = damaged {
            self.damaged_texts += 1;
            if self.samples.len() < SAMPLES_MAX {
                self.samples.push(format!("line {line}, {damaged}"));
            }
        }
        let is_number = |problem: &RecordError| {
            problem.column == Column::PersonId.name() && problem.rule.as_str().starts_with("number.")
        };
        self.damaged_numbers += usize::from(problems.iter().any(is_number));
    }

    /// Leaves out birth dates after `today`, with a warning.
    pub(crate) fn leave_out_births_after(&mut self, today: Date) {
        for record in self.records.iter_mut().filter(|record| record.birth_date.is_some_and(|born| born > today)) {
            record.birth_date = None;
            let line = record.line;
            self.warnings.push(RecordError::of(Severity::Warning, line, Column::BirthDate, rule::FUTURE_BIRTH));
        }
    }

    /// Adds a problem to the report.
    pub(crate) fn report(&mut self, problem: RecordError) {
        match problem.severity {
            Severity::Error => self.rejected.push(problem),
            Severity::Warning => self.warnings.push(problem),
        }
    }

    /// Leaves out a row that cannot be taken apart.
    pub(crate) fn reject(&mut self, problem: RecordError, person_id: Option<&str>) -> Result<(), FileError> {
        self.rejected_rows.push(LeftOutRow { line: problem.line, person_id: person_id.map(Into::into) });
        self.rejected.push(problem);
        self.check_problems()
    }

    fn check_problems(&self) -> Result<(), FileError> {
        let problems = self.rejected.len() + self.warnings.len();
        if problems > PROBLEMS_MAX { Err(FileError::TooManyProblems(PROBLEMS_MAX)) } else { Ok(()) }
    }

    /// Ends the reading: refuses a file that is in doubt as a whole, and settles the rows of one person.
    pub(crate) fn finish(&mut self, profile: &SourceProfile) -> Result<(), FileError> {
        if self.damaged_texts >= DAMAGED_TEXTS_MIN && self.damaged_texts * DAMAGED_TEXT_SHARE > self.read {
            return Err(FileError::Damaged {
                rows: self.damaged_texts,
                of: self.read,
                what: "text that was converted with a wrong encoding (export the file anew, and check --encoding)",
                samples: std::mem::take(&mut self.samples),
            });
        }
        if self.damaged_numbers >= DAMAGED_NUMBERS_MIN && self.damaged_numbers * 2 > self.read {
            return Err(FileError::Damaged {
                rows: self.damaged_numbers,
                of: self.read,
                what: "a damaged number in the column person_id (export the file anew, without a spreadsheet)",
                samples: Vec::new(),
            });
        }
        settle::settle(self, profile);
        self.rejected.sort_by_key(|problem| problem.line);
        self.warnings.sort_by_key(|problem| problem.line);
        self.check_problems()
    }

    /// Leaves out good rows of people another row of whom is wrong: of two rows, the wrong one may be the right one.
    pub(crate) fn hold_partners_of_rejected(&mut self) {
        let numbers =
            self.rejected_rows.iter().filter_map(|row| Some((person_key(row.person_id.as_deref()?), row.line)));
        let wrong: HashMap<String, u64> = numbers.collect();
        if wrong.is_empty() {
            return;
        }
        let mut held = Vec::new();
        self.records.retain(|record| match wrong.get(&person_key(&record.person_id)) {
            // Rows of one line are parts of one object, which has its own problem.
            Some(line) if *line != record.line => {
                let words = format!("line {line} of the same person has a problem: correct it first");
                held.push(RecordError::error(record.line, Column::PersonId, rule::OTHER_ROW, words));
                false
            }
            Some(_) => false,
            None => true,
        });
        self.hold(held);
    }

    /// Leaves out rows whose number is known.
    pub(crate) fn hold(&mut self, problems: Vec<RecordError>) {
        self.rejected.extend(problems);
    }
}
