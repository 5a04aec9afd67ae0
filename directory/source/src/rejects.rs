//! Writes the rows that an import left out, in the form of their file, so that they can be corrected and imported by
//! themselves.
//!
//! The file names only some people: its additional columns show that to the next import, which ignores them otherwise.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::csv_record::CsvRecords;
use crate::decode::{decode, encode};
use crate::ldif::REJECT_COMMENT;
use crate::profile::{FileFormat, REJECT_COLUMNS, SourceProfile, folded};
use crate::record::{FileError, RecordError};
use crate::{ReadOptions, stated};

/// Why no file of rejected rows can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectsError {
    /// The file cannot be read again.
    #[error(transparent)]
    File(#[from] FileError),
    /// The format has no form of single rows.
    #[error("the rows of a OneRoster archive depend on each other: correct them where the archive is made")]
    Archive,
}

/// The problems of a file by their lines.
struct Problems<'a>(BTreeMap<u64, Vec<&'a RecordError>>);

/// The rejected rows of `bytes`, in the file's own form, with the line, rules and words of each. Returns no octets when
/// no row of the file is among the problems.
pub fn rejects_file(
    profile: &SourceProfile,
    bytes: &[u8],
    options: &ReadOptions,
    problems: &[RecordError],
) -> Result<Vec<u8>, RejectsError> {
    let profile = &stated(profile, options);
    let mut by_line: BTreeMap<u64, Vec<&RecordError>> = BTreeMap::new();
    for problem in problems {
        by_line.entry(problem.line).or_default().push(problem);
    }
    let problems = Problems(by_line);
    let text = match profile.format {
        FileFormat::OneRoster => return Err(RejectsError::Archive),
        FileFormat::Csv | FileFormat::JsonLines | FileFormat::Ldif | FileFormat::Ldap | FileFormat::Enrolments => {
            decode(bytes, profile.encoding)?
        }
    };
    let rows = match profile.format {
        FileFormat::JsonLines => json_lines(&text, &problems),
        FileFormat::Ldif | FileFormat::Ldap => ldif(&text, &problems),
        FileFormat::Csv | FileFormat::OneRoster | FileFormat::Enrolments => csv(&text, profile.separator, &problems)?,
    };
    Ok(if rows.is_empty() { Vec::new() } else { encode(&rows, profile.encoding, bytes) })
}

impl Problems<'_> {
    /// The line, the rules and the words of the problems on some lines; `None` when there are none.
    fn on(&self, lines: std::ops::RangeInclusive<u64>) -> Option<[String; 3]> {
        let found: Vec<&RecordError> =
            self.0.range(lines.clone()).flat_map(|(_, found)| found.iter().copied()).collect();
        if found.is_empty() {
            return None;
        }
        let mut rules: Vec<&str> = found.iter().map(|problem| problem.rule.as_str()).collect();
        rules.dedup();
        let words: Vec<String> = found.iter().map(|problem| format!("{}: {}", problem.column, problem.words)).collect();
        Some([lines.start().to_string(), rules.join(" "), words.join("; ")])
    }
}

fn csv(text: &str, separator: Option<u8>, problems: &Problems<'_>) -> Result<String, FileError> {
    let mut records = CsvRecords::new(text, separator);
    let header = records.next()?.ok_or(FileError::Empty)?;
    let separator = char::from(records.separator());
    // A row that was rejected before has these columns already.
    let kept = header.fields.iter().position(|name| REJECT_COLUMNS.contains(&folded(name).as_str()));
    let ends = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = String::new();
    let mut write = |record: &crate::csv_record::CsvRecord, more: &[String]| {
        match kept {
            Some(kept) => {
                let fields: Vec<String> =
                    record.fields.iter().take(kept).map(|field| quoted(field, separator)).collect();
                out.push_str(&fields.join(&separator.to_string()));
            }
            None => out.push_str(text.get(record.range.clone()).unwrap_or_default()),
        }
        for field in more {
            out.push(separator);
            out.push_str(&quoted(field, separator));
        }
        out.push_str(ends);
    };
    write(&header, &REJECT_COLUMNS.map(str::to_owned));
    let mut is_any = false;
    while let Some(record) = records.next()? {
        if let Some(more) = problems.on(record.line..=record.last_line) {
            is_any = true;
            write(&record, &more);
        }
    }
    Ok(if is_any { out } else { String::new() })
}

/// A field of RFC 4180, in quotation marks where it needs them.
fn quoted(field: &str, separator: char) -> String {
    if field.contains([separator, '"', '\n', '\r']) || field.trim() != field {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn json_lines(text: &str, problems: &Problems<'_>) -> String {
    let mut out = String::new();
    for (line, object) in (1..).zip(text.split('\n')) {
        let Some(more) = problems.on(line..=line).filter(|_| !object.trim().is_empty()) else { continue };
        let members: String = REJECT_COLUMNS
            .iter()
            .zip(more)
            .map(|(name, value)| format!(",{}:{}", Value::from(*name), Value::from(value)))
            .collect();
        match object.trim().strip_suffix('}').filter(|open| open.trim() != "{") {
            Some(open) => out.push_str(&format!("{open}{members}}}\n")),
            // Not an object: it is written as it is, to be corrected by hand.
            None => out.push_str(&format!("{}\n", object.trim())),
        }
    }
    out
}

fn ldif(text: &str, problems: &Problems<'_>) -> String {
    let mut out = String::new();
    let mut record: Vec<&str> = Vec::new();
    let mut first = 1;
    let lines = text.lines().chain([""]);
    for (number, line) in (1..).zip(lines) {
        if !line.is_empty() {
            record.push(line);
            continue;
        }
        if let (false, Some([at, rules, words])) = (record.is_empty(), problems.on(first..=number)) {
            out.push_str(&format!("{REJECT_COMMENT}line {at}: {rules}: {words}\n"));
            let kept = record.iter().filter(|line| !line.starts_with(REJECT_COMMENT));
            kept.for_each(|line| out.push_str(&format!("{line}\n")));
            out.push('\n');
        }
        record.clear();
        first = number + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coverage, Encoding, Source, read_file};

    fn read(profile: &SourceProfile, bytes: &[u8]) -> Source {
        read_file(profile, bytes, &ReadOptions::default()).unwrap()
    }

    fn rejects(profile: &SourceProfile, bytes: &[u8]) -> Vec<u8> {
        rejects_file(profile, bytes, &ReadOptions::default(), &read(profile, bytes).rejected).unwrap()
    }

    #[test]
    fn rejected_rows_keep_their_form_and_can_be_rejected_again() {
        let file = "sep=;\r\nperson_id;given_name;family_name;affiliation\r\n1;Zoé;Roy;student\r\n\
                    2;Ann;\"#NAME?\";staff\r\n3;Bo;;staff\r\n3;Bo;Li;visitor\r\n";
        for encoding in ["utf-8", "windows-1252", "latin-1", "utf-16"] {
            let profile =
                SourceProfile::parse("hr", &[format!("encoding {encoding}"), "row-count required".to_owned()]);
            let profile = SourceProfile { needs_row_count: false, ..profile.unwrap() };
            let bytes = encode(file, Encoding::parse(encoding).unwrap(), b"\xFF\xFE");
            let first = rejects(&profile, &bytes);
            let text = decode(&first, profile.encoding).unwrap().into_owned();
            assert_eq!(
                text.lines().collect::<Vec<_>>(),
                [
                    "person_id;given_name;family_name;affiliation;reject_line;reject_rule;reject_words",
                    "2;Ann;\"#NAME?\";staff;4;name.spreadsheet;family_name: an error value or a formula of a spreadsheet (like #NAME?)",
                    "3;Bo;;staff;5;field.empty;family_name: must not be empty",
                    "3;Bo;Li;visitor;6;affiliation.unknown;affiliation: not one of student, faculty, staff, alum",
                ],
                "{encoding}"
            );
            let again = rejects(&profile, &first);
            let again = decode(&again, profile.encoding).unwrap().into_owned();
            assert_eq!(again.lines().count(), 4, "{again}");
            assert!(again.contains("3;Bo;;staff;3;field.empty;"), "{again}");
            let strict = SourceProfile { trailer: Some("END".to_owned()), needs_row_count: true, ..profile };
            let corrected =
                text.replace("\"#NAME?\"", "Roy").replace("3;Bo;;staff", "4;Bo;Ek;staff").replace("visitor", "staff");
            let source = read(&strict, &encode(&corrected, strict.encoding, &bytes));
            assert_eq!((source.records.len(), source.coverage), (3, Coverage::Partial));
            assert!(source.warnings.is_empty() && source.rejected.is_empty(), "{source:?}");
        }
    }

    #[test]
    fn rejected_objects_and_records_can_be_read_again() {
        let jsonl = SourceProfile::parse("hr", &["format jsonl".to_owned()]).unwrap();
        let file = "{\"person_id\":\"1\",\"family_name\":\"\"}\n{\"person_id\":\"2\"}\nnonsense\n";
        let text = String::from_utf8(rejects(&jsonl, file.as_bytes())).unwrap();
        assert!(
            text.starts_with(
                "{\"person_id\":\"1\",\"family_name\":\"\",\"reject_line\":\"1\",\"reject_rule\":\"field.empty\""
            ),
            "{text}"
        );
        assert!(text.ends_with("}\nnonsense\n"), "{text}");
        assert_eq!(read(&jsonl, text.lines().next().unwrap().as_bytes()).coverage, Coverage::Partial);

        let ldif = SourceProfile::parse("hr", &["format ldif".to_owned()]).unwrap();
        let file = "dn: employeeNumber=1,dc=x\nsn: Roy\nemployeeNumber: 1\n\ndn: cn=2,dc=x\nsn: Li\n";
        let text = String::from_utf8(rejects(&ldif, file.as_bytes())).unwrap();
        assert_eq!(text, "# reject: line 5: field.empty: person_id: must not be empty\ndn: cn=2,dc=x\nsn: Li\n\n");
        assert_eq!(read(&ldif, text.as_bytes()).coverage, Coverage::Partial);
    }
}
