//! Reads JSON lines: one object (RFC 8259 §4) on each line, one object for each person.
//!
//! A key that is absent keeps the held value, and `null` removes it. `affiliations` may hold an array of objects with
//! the keys `affiliation`, `program`, `start_date` and `end_date`.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::column::{Column, ColumnSet};
use crate::csv_file::check_count;
use crate::decode::decode;
use crate::header::shown;
use crate::profile::{REJECT_COLUMNS, SourceProfile};
use crate::record::{Enrolments, FileError, RecordError, Severity};
use crate::row::{Cell, RawRow};
use crate::rule::{self, Rule};
use crate::{CollectedRows, ReadFile, ReadOptions};

/// Longest line, octets: it bounds the memory of one object.
const LINE_OCTETS_MAX: usize = 1024 * 1024;
/// Maximum number of affiliations of one object.
const AFFILIATIONS_MAX: usize = 64;
/// Maximum number of unknown keys that are named.
const UNKNOWN_KEYS_MAX: usize = 100;
/// Key of several affiliations.
const AFFILIATIONS: &str = "affiliations";

/// Reads a whole file.
pub(crate) fn read(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<ReadFile, FileError> {
    let text = decode(bytes, profile.encoding)?;
    let mut reader =
        JsonLinesReader { profile, rows: CollectedRows::default(), seen: ColumnSet::default(), unknown: Vec::new() };
    let mut is_partial = false;
    for (line, text) in (1..).zip(text.split_inclusive('\n')) {
        let (object, is_ended) = (text.trim(), text.ends_with('\n'));
        if object.is_empty() {
            continue;
        }
        reader.rows.count()?;
        is_partial |= reader.object(line, object, is_ended)?;
    }
    check_count(profile, None, options, reader.rows.read)?;
    Ok(ReadFile {
        rows: reader.rows,
        columns: reader.seen.iter().collect(),
        is_partial,
        enrolments: Enrolments::default(),
    })
}

struct JsonLinesReader<'a> {
    profile: &'a SourceProfile,
    rows: CollectedRows,
    seen: ColumnSet,
    /// Unknown keys that were named.
    unknown: Vec<String>,
}

/// The members of an object, in its order, also those that repeat a key.
struct Members(Vec<(String, Value)>);

/// The cells of one row, which the row borrows.
#[derive(Clone, Default)]
struct Cells(Vec<(Column, Option<String>)>);

impl JsonLinesReader<'_> {
    /// Reads one object. Returns whether it comes from a file of rejected rows.
    fn object(&mut self, line: u64, text: &str, is_ended: bool) -> Result<bool, FileError> {
        if text.len() > LINE_OCTETS_MAX {
            let words = format!("longer than {LINE_OCTETS_MAX} octets");
            self.rows.reject(RecordError::error(line, "line", rule::JSON, words), None)?;
            return Ok(false);
        }
        let members = match serde_json::from_str(text) {
            Ok(Members(members)) => members,
            Err(error) if error.is_eof() && !is_ended => return Err(FileError::Truncated(line)),
            Err(error) => {
                // The text of the error may show a value.
                let words = format!("not a JSON object: wrong at character {}", error.column());
                self.rows.reject(RecordError::error(line, "line", rule::JSON, words), None)?;
                return Ok(false);
            }
        };
        let is_of_rejects = members.iter().any(|(key, _)| REJECT_COLUMNS.contains(&key.as_str()));
        let mut problems = Vec::new();
        let (common, parts) = self.cells(line, members, &mut problems);
        common.0.iter().for_each(|(column, _)| self.seen.insert(*column));
        let parts: Vec<Cells> = if parts.is_empty() { vec![Cells::default()] } else { parts };
        let rows: Vec<RawRow<'_>> = parts.iter().map(|part| row(line, &common, part)).collect();
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            let number = common.0.iter().find(|(column, _)| *column == Column::PersonId);
            let number = number.and_then(|(_, number)| number.clone());
            for problem in problems {
                self.rows.reject(problem, number.as_deref())?;
            }
        } else {
            problems.into_iter().for_each(|problem| self.rows.report(problem));
            self.rows.take(self.profile, &rows)?;
        }
        Ok(is_of_rejects)
    }

    /// The cells that all affiliations share, and those of each affiliation.
    fn cells(
        &mut self,
        line: u64,
        members: Vec<(String, Value)>,
        problems: &mut Vec<RecordError>,
    ) -> (Cells, Vec<Cells>) {
        let (mut common, mut parts) = (Cells::default(), Vec::new());
        for (key, value) in members {
            if key.eq_ignore_ascii_case(AFFILIATIONS) && self.profile.column(&key).is_none() {
                match value {
                    Value::Array(items) if items.len() <= AFFILIATIONS_MAX => {
                        for item in items {
                            let Value::Object(members) = item else {
                                problems.push(problem(line, Column::Affiliation, rule::JSON_TYPE));
                                continue;
                            };
                            let mut part = Cells::default();
                            members
                                .into_iter()
                                .for_each(|(key, value)| self.cell(line, &key, value, &mut part, problems));
                            parts.push(part);
                        }
                    }
                    _ => problems.push(problem(line, Column::Affiliation, rule::JSON_TYPE)),
                }
            } else {
                self.cell(line, &key, value, &mut common, problems);
            }
        }
        (common, parts)
    }

    fn cell(&mut self, line: u64, key: &str, value: Value, cells: &mut Cells, problems: &mut Vec<RecordError>) {
        let Some(column) = self.profile.column(key) else { return self.unknown(line, key) };
        if cells.0.iter().any(|(known, _)| *known == column) {
            problems.push(RecordError::of(Severity::Error, line, column, rule::JSON_TWICE));
            return;
        }
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(number) if number.is_u64() => Some(number.to_string()),
            Value::Array(items) if column == Column::ForwardTo && items.iter().all(Value::is_string) => {
                Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
            }
            _ => return problems.push(problem(line, column, rule::JSON_TYPE)),
        };
        cells.0.push((column, text));
    }

    /// Reports an unknown key, once for the file.
    fn unknown(&mut self, line: u64, key: &str) {
        let key = shown(key);
        if !self.profile.is_ignored(&key) && !self.unknown.contains(&key) && self.unknown.len() < UNKNOWN_KEYS_MAX {
            let words = "unknown key: it is ignored (a profile can name it)";
            self.rows.report(RecordError::warning(line, &key, rule::UNKNOWN_COLUMN, words));
            self.unknown.push(key);
        }
    }
}

/// A value of a wrong type: as with every wrong value, a required one leaves the row out.
fn problem(line: u64, column: Column, rule: Rule) -> RecordError {
    let severity = if column.is_required() { Severity::Error } else { Severity::Warning };
    RecordError::of(severity, line, column, rule)
}

fn row<'a>(line: u64, common: &'a Cells, part: &'a Cells) -> RawRow<'a> {
    let mut row = RawRow::new(line);
    for (column, text) in common.0.iter().chain(&part.0) {
        row.set(*column, text.as_deref().map_or(Cell::Null, Cell::Text));
    }
    row
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affiliation, Coverage, Source, read_file};

    fn read(text: &str) -> Result<Source, FileError> {
        let profile = SourceProfile::parse("registrar", &["format jsonl".to_owned()]).unwrap();
        read_file(&profile, text.as_bytes(), &ReadOptions::default())
    }

    const ANN: &str = r#""person_id":"007","given_name":"Ann","family_name":"Roy","affiliation":"student""#;

    #[test]
    fn an_absent_key_keeps_and_null_clears() {
        let source = read(&format!("{{{ANN},\"program\":null,\"birth_date\":\"2001-02-03\"}}\n\n")).unwrap();
        let record = &source.records[0];
        assert_eq!((&*record.person_id, record.affiliation, record.line), ("007", Affiliation::Student, 1));
        assert!(record.cleared.contains(Column::Program) && !record.cleared.contains(Column::EndDate));
        assert!(record.lacking.is_empty() && source.warnings.is_empty() && source.coverage == Coverage::Complete);
        let source = read("{\"person_id\":\"8\",\"program\":\"Arts\"}").unwrap();
        let lacking: Vec<Column> = source.records[0].lacking.iter().collect();
        assert_eq!(lacking, [Column::GivenName, Column::FamilyName, Column::Affiliation]);
    }

    #[test]
    fn several_affiliations_become_one_record() {
        let source = read(
            r#"{"person_id":"1","given_name":"Ann","family_name":"Roy","affiliations":[
               {"affiliation":"student","program":"Arts","end_date":"2027-04-30"},
               {"affiliation":"staff","program":"Library"}]}"#
                .replace('\n', " ")
                .as_str(),
        )
        .unwrap();
        let [record] = source.records.as_slice() else { panic!("{source:?}") };
        let rows: Vec<_> = record.affiliations().map(|row| (row.affiliation, row.program)).collect();
        let row = |affiliation, program: &str| (affiliation, Some(program.into()));
        assert_eq!(rows, [row(Affiliation::Staff, "Library"), row(Affiliation::Student, "Arts")]);
        assert_eq!((source.rows_read, source.repeated), (1, 0));
    }

    #[test]
    fn each_fault_of_a_line_is_reported() {
        for (line, column, rule, is_left_out) in [
            ("{".to_owned(), "line", "json.syntax", true),
            ("[1]".to_owned(), "line", "json.syntax", true),
            (format!("{{{ANN},\"given_name\":\"Bo\"}}"), "given_name", "json.key-twice", true),
            (format!("{{{ANN},\"program\":true}}"), "program", "json.type", false),
            (format!("{{{ANN},\"program\":1.5}}"), "program", "json.type", false),
            (format!("{{{ANN},\"colour\":1}}"), "colour", "header.unknown-column", false),
            (
                r#"{"person_id":1.5,"given_name":"a","family_name":"b","affiliation":"staff"}"#.into(),
                "person_id",
                "json.type",
                true,
            ),
            (r#"{"given_name":"a","family_name":"b","affiliation":"staff"}"#.into(), "person_id", "field.empty", true),
            (format!("{{{ANN},\"birth_date\":\"1.2.2001\"}}"), "birth_date", "date.format", false),
        ] {
            let source = read(&format!("{line}\n{{\"person_id\":\"9\"}}\n")).unwrap();
            let list = if is_left_out { &source.rejected } else { &source.warnings };
            let found: Vec<_> = list.iter().map(|problem| (problem.column.as_str(), problem.rule.as_str())).collect();
            assert_eq!(found, [(column, rule)], "{line}");
            assert_eq!(source.records.len(), if is_left_out { 1 } else { 2 }, "{line}");
        }
        assert_eq!(read("{\"person_id\":\"1\",\"giv").unwrap_err(), FileError::Truncated(1));
        assert_eq!(read("\n").unwrap_err(), FileError::Empty);
    }
}
