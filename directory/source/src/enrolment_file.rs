//! Reads a CSV file of enrolments: who takes or teaches which class.
//!
//! The numbers of people are those of another source, which the profile names, or of the same one. Which columns the file
//! has does not depend on the people's columns, because it says nothing of people but their numbers.

use std::borrow::Cow;

use jiff::civil::Date;

use crate::csv_file::Trailer;
use crate::csv_record::{CsvRecord, CsvRecords};
use crate::decode::decode;
use crate::profile::{Coverage, REJECT_COLUMNS, SourceProfile, folded};
use crate::record::{Enrolment, EnrolmentRole, Enrolments, FileError, RecordError};
use crate::{CollectedRows, ReadFile, ReadOptions, field, header, number, rule};

/// The columns of a file of enrolments.
const COLUMNS: [&str; 10] =
    ["person_id", "class", "course", "section", "title", "term", "term_end", "role", "start_date", "end_date"];

/// Why a cell leaves its row out: the column, and the id and words of the rule.
type BrokenCell = (&'static str, &'static str, Cow<'static, str>);

/// Reads a whole file.
pub(crate) fn read(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<ReadFile, FileError> {
    let text = decode(bytes, profile.encoding)?;
    let mut csv = CsvRecords::new(&text, profile.separator);
    let mut rows = CollectedRows::default();
    let first = csv.next()?.ok_or(FileError::Empty)?;
    let columns = EnrolmentColumns::parse(&first, profile, &mut rows)?;
    let (mut enrolments, mut trailer, mut short) = (Vec::new(), Trailer::default(), None);
    while let Some(record) = csv.next()? {
        if trailer.is_at_end(profile, &record)? {
            continue;
        }
        rows.count()?;
        short = (record.fields.len() < first.fields.len()).then_some(record.line);
        match columns.enrolment(profile, &record) {
            Ok(enrolment) => enrolments.push(enrolment),
            Err((column, id, words)) => rows.reject(RecordError::error(record.line, column, id, words), None)?,
        }
    }
    if let Some(line) = short.filter(|_| trailer.line.is_none() && !text.ends_with('\n')) {
        return Err(FileError::Truncated(line));
    }
    if !columns.is_of_rejects {
        trailer.check(profile, options, rows.read)?;
    }
    let coverage = options.coverage.unwrap_or(profile.coverage);
    let are_complete = coverage == Coverage::Complete && !columns.is_of_rejects && rows.rejected.is_empty();
    let is_partial = columns.is_of_rejects;
    Ok(ReadFile { rows, columns: Vec::new(), is_partial, enrolments: Enrolments { rows: enrolments, are_complete } })
}

/// The place of each of [`COLUMNS`] in the file.
struct EnrolmentColumns {
    places: [Option<usize>; COLUMNS.len()],
    count: usize,
    /// Whether the file holds rows that an import had left out.
    is_of_rejects: bool,
}

impl EnrolmentColumns {
    fn parse(first: &CsvRecord, profile: &SourceProfile, rows: &mut CollectedRows) -> Result<Self, FileError> {
        let names: Vec<String> = first.fields.iter().map(folded).collect();
        let ours: Vec<Option<usize>> = names.iter().map(|name| profile.classes.column(name, &COLUMNS)).collect();
        let (line, mut places) = (first.line, [None; COLUMNS.len()]);
        for (place, (name, column)) in names.iter().zip(&ours).enumerate() {
            let Some(held) = column.and_then(|column| places.get_mut(column)) else {
                if !profile.is_ignored(name) {
                    let words = "unknown column: it is ignored";
                    rows.report(RecordError::warning(line, header::shown(name), rule::UNKNOWN_COLUMN, words));
                }
                continue;
            };
            if held.replace(place).is_some() {
                return Err(FileError::Header { line, rule: format!("column {} occurs twice", header::shown(name)) });
            }
        }
        let has = |name: &str| COLUMNS.iter().position(|column| *column == name).is_some_and(|at| places[at].is_some());
        if !has("person_id") || !(has("class") || has("course")) {
            let rule = "a file of enrolments needs the columns person_id, and class or course".to_owned();
            return Err(FileError::Header { line, rule });
        }
        let is_of_rejects = names.iter().any(|name| REJECT_COLUMNS.contains(&name.as_str()));
        Ok(Self { places, count: names.len(), is_of_rejects })
    }

    fn get<'a>(&self, record: &'a CsvRecord, column: &str) -> &'a str {
        let place = COLUMNS.iter().position(|known| *known == column).and_then(|at| *self.places.get(at)?);
        place.and_then(|place| record.fields.get(place)).unwrap_or_default().trim()
    }

    fn enrolment(&self, profile: &SourceProfile, record: &CsvRecord) -> Result<Enrolment, BrokenCell> {
        if record.fields.len() != self.count {
            let words = format!("number of fields: {} in the row, {} in the header", record.fields.len(), self.count);
            return Err(("person_id", rule::FIELD_COUNT, words.into()));
        }
        if !record.swallowed.is_empty() {
            return Err(("person_id", rule::SWALLOWED, "a misplaced quotation mark joins this row and others".into()));
        }
        let text = |column: &'static str| {
            let broken = |rule: rule::Rule| (column, rule.id, Cow::from(rule.words));
            field::normalised(self.get(record, column)).map_err(broken)
        };
        let day = |column: &'static str| self.day(profile, record, column);
        let [class, course, section, title, term] =
            [text("class")?, text("course")?, text("section")?, text("title")?, text("term")?];
        // Without an id of its own, a class is its course, section and term.
        let class = if class.is_empty() {
            [&course, &section, &term].map(|part| part.replace('/', "\\/")).join("/")
        } else {
            class
        };
        if class.trim_matches('/').is_empty() {
            return Err(("class", rule::EMPTY.id, rule::EMPTY.words.into()));
        }
        Ok(Enrolment {
            line: record.line,
            person_id: self.number(profile, record)?,
            class: class.into(),
            is_class_described: true,
            course: course.into(),
            section: section.into(),
            title: title.into(),
            term: term.into(),
            term_end: day("term_end")?,
            role: self.role(record)?,
            start_date: day("start_date")?,
            end_date: day("end_date")?,
            is_ended: false,
        })
    }

    fn number(&self, profile: &SourceProfile, record: &CsvRecord) -> Result<Box<str>, BrokenCell> {
        let broken = |rule: rule::Rule| ("person_id", rule.id, Cow::from(rule.words));
        let text = self.get(record, "person_id");
        if text.is_empty() {
            return Err(broken(rule::EMPTY));
        }
        let number = number::person_id(text).map_err(broken)?;
        Ok(profile.number.check(number).map_err(broken)?.into())
    }

    fn day(
        &self,
        profile: &SourceProfile,
        record: &CsvRecord,
        column: &'static str,
    ) -> Result<Option<Date>, BrokenCell> {
        let (text, form) = (self.get(record, column), profile.date_format.unwrap_or_default());
        if text.is_empty() {
            return Ok(None);
        }
        let broken = || (column, rule::NOT_A_DATE, Cow::from(format!("not a date ({})", form.as_str())));
        form.parse(text).map(Some).ok_or_else(broken)
    }

    fn role(&self, record: &CsvRecord) -> Result<EnrolmentRole, BrokenCell> {
        match self.get(record, "role").to_lowercase().as_str() {
            "" | "student" => Ok(EnrolmentRole::Student),
            "teacher" => Ok(EnrolmentRole::Teacher),
            _ => Err(("role", "enrolment.role", "not one of student, teacher".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, read_file};

    fn read(text: &str, lines: &[&str], options: &ReadOptions) -> Result<Source, FileError> {
        let lines: Vec<String> = ["format enrolments"].iter().chain(lines).map(|line| (*line).to_owned()).collect();
        let profile = SourceProfile::parse("timetable", &lines).unwrap();
        let again = SourceProfile::parse("timetable", &profile.lines()).unwrap();
        assert_eq!((profile.lines(), profile.check()), (again.lines(), Ok(())));
        read_file(&profile, text.as_bytes(), options)
    }

    #[test]
    fn rows_become_enrolments_and_wrong_rows_are_named() {
        let text = "Matricule;course;section;term;term_end;role;room\n\
            1;PHY 101;A;A2026;31/12/2026;;12\n\
            2;PHY 101;A;A2026;31/12/2026;Teacher;12\n\
            ;PHY 101;A;A2026;;;\n\
            4;;;;;;\n\
            5;PHY 101;A;A2026;2026-12-31;;\n\
            6;PHY 101;A;A2026;;guest;\n\
            7;PHY 101\n";
        let lines = ["date-format DD/MM/YYYY", "class-column person_id Matricule", "numbers-of registrar"];
        let source = read(text, &lines, &ReadOptions::default()).unwrap();
        let read: Vec<_> = source.enrolments.rows.iter().map(|row| (&*row.person_id, &*row.class, row.role)).collect();
        assert_eq!(
            read,
            [("1", "PHY 101/A/A2026", EnrolmentRole::Student), ("2", "PHY 101/A/A2026", EnrolmentRole::Teacher)]
        );
        let problems: Vec<_> = source.rejected.iter().map(|problem| (problem.line, problem.rule.as_str())).collect();
        let expect =
            [(4, "field.empty"), (5, "field.empty"), (6, "date.format"), (7, "enrolment.role"), (8, "csv.field-count")];
        assert_eq!(problems, expect);
        assert_eq!(source.warnings[0].rule.as_str(), "header.unknown-column");
        assert_eq!((source.numbers_of.as_str(), source.enrolments.are_complete), ("registrar", false));
    }

    #[test]
    fn a_file_is_complete_unless_somebody_says_otherwise_and_a_truncated_one_is_refused() {
        let text = "person_id,class\n1,c1\n";
        let partial = ReadOptions { coverage: Some(Coverage::Partial), ..ReadOptions::default() };
        assert!(read(text, &[], &ReadOptions::default()).unwrap().enrolments.are_complete);
        assert!(!read(text, &[], &partial).unwrap().enrolments.are_complete);
        assert!(!read(text, &["coverage partial"], &ReadOptions::default()).unwrap().enrolments.are_complete);
        for (text, lines) in [
            ("person_id,class\n1,c1\n2", &[][..]),
            ("person_id,class\n1,c1\n", &["trailer END"][..]),
            ("person_id,class\n", &[][..]),
            ("person_id,title\n1,x\n", &[][..]),
            ("person_id,class,class\n1,x,y\n", &[][..]),
        ] {
            assert!(read(text, lines, &ReadOptions::default()).is_err(), "{text}");
        }
    }
}
