//! Reads LDIF (RFC 2849): content records, and change records of the kinds `add` and `modify`.
//!
//! A content record names a person in full. A file with change records names only some people. Nothing in it deletes
//! or moves anybody: an affiliation ends by its end date.

use provost_entry::Dn;
use provost_entry::ldif::{LdifLine, logical_lines};

use crate::column::{Column, ColumnSet};
use crate::csv_file::check_count;
use crate::decode::decode;
use crate::header::shown;
use crate::profile::{FileFormat, SourceProfile};
use crate::record::{Enrolments, FileError, RecordError, Severity};
use crate::row::{Cell, RawRow};
use crate::{CollectedRows, ReadFile, ReadOptions, rule};

/// Maximum number of values of one record.
const VALUES_MAX: usize = 1000;
/// Maximum number of unknown attributes that are named.
const UNKNOWN_MAX: usize = 100;
/// Marks an entry of a followed directory that is not read. No attribute of a directory comes under this name, because
/// only those that stand for columns are kept.
pub(crate) const UNREADABLE: &str = "x-unreadable";
/// Begins the comment by which a file of rejected records shows what it is.
pub(crate) const REJECT_COMMENT: &str = "# reject: ";

/// The columns for which attributes of people stand, where the profile does not say otherwise; in lower case.
const ATTRIBUTES: [(&str, Column); 12] = [
    ("employeenumber", Column::PersonId),
    ("givenname", Column::GivenName),
    ("sn", Column::FamilyName),
    ("schacdateofbirth", Column::BirthDate),
    ("provostprivatemail", Column::PrivateEmail),
    ("edupersonprimaryaffiliation", Column::Affiliation),
    ("edupersonaffiliation", Column::Affiliation),
    ("provostprogram", Column::Program),
    ("preferredlanguage", Column::Language),
    ("provostchosenname", Column::PreferredGivenName),
    ("provostquotaclass", Column::QuotaClass),
    ("mailforwardingaddress", Column::ForwardTo),
];
/// Attributes that are ignored without a warning, in lower case. A password in a directory is a hash, which is not an
/// initial password.
const IGNORED: [&str; 16] = [
    "dn",
    "objectclass",
    "cn",
    "displayname",
    "uid",
    "mail",
    "maillocaladdress",
    "userpassword",
    "entryuuid",
    "entrycsn",
    "creatorsname",
    "modifiersname",
    "createtimestamp",
    "modifytimestamp",
    "structuralobjectclass",
    "ou",
];
/// Object classes of people, in lower case.
const PERSON_CLASSES: [&str; 5] = ["person", "organizationalperson", "inetorgperson", "eduperson", "provostaccount"];

/// Reads a whole file.
pub(crate) fn read(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<ReadFile, FileError> {
    let text = decode(bytes, profile.encoding)?;
    let lines = logical_lines(&text).map_err(|error| FileError::Format(error.to_string()))?;
    let mut reader = LdifReader {
        profile,
        rows: CollectedRows::default(),
        seen: ColumnSet::default(),
        unknown: Vec::new(),
        is_partial: text.lines().any(|line| line.starts_with(REJECT_COMMENT)),
    };
    for record in lines.split(|line| line.text.is_empty()).filter(|record| !record.is_empty()) {
        reader.record(record)?;
    }
    check_count(profile, None, options, reader.rows.read)?;
    let (columns, is_partial) = (reader.seen.iter().collect(), reader.is_partial);
    Ok(ReadFile { rows: reader.rows, columns, is_partial, enrolments: Enrolments::default() })
}

struct LdifReader<'a> {
    profile: &'a SourceProfile,
    rows: CollectedRows,
    seen: ColumnSet,
    /// Unknown attributes that were named.
    unknown: Vec<String>,
    is_partial: bool,
}

/// The kind of a record.
enum Kind {
    Content,
    Add,
    Modify,
    /// A kind that is not read.
    Other,
}

/// What a record states of one attribute.
struct Stated {
    line: u64,
    /// Name in lower case.
    name: String,
    values: Vec<String>,
}

impl LdifReader<'_> {
    fn record(&mut self, lines: &[LdifLine]) -> Result<(), FileError> {
        let lines: Vec<&LdifLine> = match lines {
            [version, rest @ ..] if version.text.to_ascii_lowercase().starts_with("version:") => rest.iter().collect(),
            lines => lines.iter().collect(),
        };
        let Some(first) = lines.first() else { return Ok(()) };
        let line = first.number as u64;
        let (dn, kind, stated) = match take_apart(&lines) {
            Ok(parts) => parts,
            Err(problem) => {
                self.rows.count()?;
                return self.rows.reject(problem, None);
            }
        };
        if matches!(kind, Kind::Content | Kind::Add) && !self.is_person(&stated) {
            return Ok(());
        }
        self.is_partial |= !matches!(kind, Kind::Content);
        self.rows.count()?;
        let number = dn.rdn().and_then(|rdn| {
            let named = rdn.pairs().find(|(name, _)| self.column(&name.to_lowercase()) == Some(Column::PersonId));
            named.map(|(_, value)| value.to_string())
        });
        if self.profile.format == FileFormat::Ldap && stated.iter().any(|attribute| attribute.name == UNREADABLE) {
            let problem = RecordError::of(Severity::Error, line, "record", rule::LDAP_UNREADABLE);
            return self.rows.reject(problem, number.as_deref());
        }
        if matches!(kind, Kind::Other) {
            let problem = RecordError::of(Severity::Error, line, "changetype", rule::LDIF_CHANGE);
            return self.rows.reject(problem, number.as_deref());
        }
        self.person(line, number, stated)
    }

    /// Whether a record is about a person: other entries, such as containers, are skipped.
    fn is_person(&self, stated: &[Stated]) -> bool {
        match stated.iter().find(|attribute| attribute.name == "objectclass") {
            // The filter of the profile has selected the entries of people.
            _ if self.profile.format == FileFormat::Ldap => true,
            Some(classes) => classes.values.iter().any(|class| PERSON_CLASSES.contains(&class.to_lowercase().as_str())),
            None => stated.iter().any(|attribute| self.column(&attribute.name).is_some()),
        }
    }

    fn person(&mut self, line: u64, number: Option<String>, stated: Vec<Stated>) -> Result<(), FileError> {
        let mut row = RawRow::new(line);
        if let Some(number) = &number {
            row.set(Column::PersonId, Cell::Text(number));
        }
        let (mut affiliations, mut joined, mut problems): (Vec<&str>, String, Vec<RecordError>) = Default::default();
        for attribute in &stated {
            let Some(column) = self.column(&attribute.name) else {
                self.unknown(attribute);
                continue;
            };
            self.seen.insert(column);
            match attribute.values.as_slice() {
                values if column == Column::Affiliation && !values.is_empty() => {
                    affiliations.extend(values.iter().map(String::as_str));
                }
                values if column == Column::ForwardTo && values.len() > 1 => joined = values.join(" "),
                [] => row.set(column, Cell::Null),
                [value] => row.set(column, Cell::Text(value)),
                _ => {
                    let severity = if column.is_required() { Severity::Error } else { Severity::Warning };
                    problems.push(RecordError::of(severity, attribute.line, &attribute.name, rule::LDIF_VALUES));
                }
            }
        }
        if !joined.is_empty() {
            row.set(Column::ForwardTo, Cell::Text(&joined));
        }
        if let Some(problem) = problems.iter().find(|problem| problem.severity == Severity::Error) {
            return self.rows.reject(RecordError { line, ..problem.clone() }, number.as_deref());
        }
        problems.into_iter().for_each(|problem| self.rows.report(problem));
        let parts = affiliation_rows(self.profile, &row, &affiliations);
        self.rows.take(self.profile, &parts).map(drop)
    }

    /// The column for which an attribute stands; `name` is in lower case.
    fn column(&self, name: &str) -> Option<Column> {
        column_of(self.profile, name)
    }

    /// Reports an unknown attribute, once for the file.
    fn unknown(&mut self, attribute: &Stated) {
        let name = shown(&attribute.name);
        let is_known = IGNORED.contains(&name.as_str()) || self.profile.is_ignored(&name);
        if !is_known && !self.unknown.contains(&name) && self.unknown.len() < UNKNOWN_MAX {
            let words = "unknown attribute: it is ignored (a profile can name it)";
            self.rows.report(RecordError::warning(attribute.line, &name, rule::UNKNOWN_COLUMN, words));
            self.unknown.push(name);
        }
    }
}

/// The column for which an attribute stands, by the profile or else by the usual meaning; `name` is in lower case. Of a
/// column for which the profile names attributes, the usual ones mean nothing: an entry may have both.
fn column_of(profile: &SourceProfile, name: &str) -> Option<Column> {
    let usual = || ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name).map(|(_, column)| *column);
    profile.column(name).or_else(|| usual().filter(|column| !profile.columns.iter().any(|(_, known)| known == column)))
}

/// The attributes that mean a column by a profile, in lower case: those that a search need ask for.
pub(crate) fn attributes_read(profile: &SourceProfile) -> Vec<String> {
    let usual = ATTRIBUTES.iter().filter(|(name, _)| column_of(profile, name).is_some()).map(|(name, _)| *name);
    let stated = profile.columns.iter().map(|(theirs, _)| theirs.as_str());
    let mut names: Vec<String> = stated.chain(usual).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// One row for each affiliation. Directories add words that follow from others, such as `member`: these are skipped
/// beside one that is known.
fn affiliation_rows<'a>(profile: &SourceProfile, row: &RawRow<'a>, words: &[&'a str]) -> Vec<RawRow<'a>> {
    let mut known: Vec<&str> = words.iter().copied().filter(|word| profile.affiliation(word).is_some()).collect();
    known.sort_unstable_by_key(|word| word.to_lowercase());
    known.dedup_by_key(|word| word.to_lowercase());
    let with = |word: &'a str| {
        let mut row = row.clone();
        row.set(Column::Affiliation, Cell::Text(word));
        row
    };
    match (known.is_empty(), words.first()) {
        (false, _) => known.into_iter().map(with).collect(),
        (true, Some(word)) => vec![with(word)],
        (true, None) => vec![row.clone()],
    }
}

/// The DN of a record, its kind, and what it states.
fn take_apart(lines: &[&LdifLine]) -> Result<(Dn, Kind, Vec<Stated>), RecordError> {
    let line = lines.first().map_or(1, |line| line.number as u64);
    let error = |line: u64, words: &str| RecordError::error(line, "record", rule::LDIF, words);
    let ([first, rest @ ..], true) = (lines, lines.len() <= VALUES_MAX) else {
        return Err(error(line, "more than 1000 values in one record"));
    };
    let (name, dn) = split(first)?;
    let dn = Dn::parse(&dn).ok().filter(|_| name == "dn");
    let dn = dn.ok_or_else(|| error(line, "a record begins with 'dn:' and a distinguished name"))?;
    let (mut kind, mut stated, mut section): (Kind, Vec<Stated>, Option<Section>) = (Kind::Content, Vec::new(), None);
    for line in rest {
        if line.text == "-" {
            section = None;
            continue;
        }
        let (name, value) = split(line)?;
        let number = line.number as u64;
        match (name.as_str(), &kind, &mut section) {
            ("changetype", ..) => kind = kind_of(&value),
            ("control", ..) => {}
            (_, Kind::Other, _) => {}
            (operation @ ("add" | "replace" | "delete"), Kind::Modify, None) => {
                let attribute = value.to_lowercase();
                section = Some(Section { attribute: attribute.clone(), is_delete: operation == "delete" });
                stated.retain(|known| known.name != attribute);
                stated.push(Stated { line: number, name: attribute, values: Vec::new() });
            }
            (name, Kind::Modify, Some(section)) if name == section.attribute => {
                // A delete of one value leaves none in an attribute that holds one.
                if !section.is_delete
                    && let Some(last) = stated.last_mut()
                {
                    last.values.push(value);
                }
            }
            (_, Kind::Modify, _) => {
                return Err(error(number, "expected add, replace or delete, and then its attribute"));
            }
            (name, ..) => match stated.iter_mut().find(|known| known.name == name) {
                Some(known) => known.values.push(value),
                None => stated.push(Stated { line: number, name: name.to_owned(), values: vec![value] }),
            },
        }
    }
    Ok((dn, kind, stated))
}

/// An operation of a modify record, whose values follow.
struct Section {
    attribute: String,
    is_delete: bool,
}

fn kind_of(word: &str) -> Kind {
    match word.to_ascii_lowercase().as_str() {
        "add" => Kind::Add,
        "modify" => Kind::Modify,
        _ => Kind::Other,
    }
}

/// The name, in lower case, and the value of a line.
fn split(line: &LdifLine) -> Result<(String, String), RecordError> {
    let number = line.number as u64;
    // The fault never shows the value.
    let wrong = |words: &str| RecordError::error(number, "record", rule::LDIF, words);
    if line.text.split_once(':').is_some_and(|(_, value)| value.starts_with('<')) {
        return Err(RecordError::of(Severity::Error, number, "record", rule::LDIF_URL));
    }
    let (name, value) = line.split().map_err(|error| wrong(&error.fault))?;
    let name = name.to_lowercase();
    match String::from_utf8(value) {
        Ok(value) => Ok((name, value)),
        // A picture or a certificate is no text that this program reads.
        Err(_) if IGNORED.contains(&name.as_str()) || name.contains(';') || name.ends_with("photo") => {
            Ok((name, String::new()))
        }
        Err(_) => Err(wrong("the value is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affiliation, Coverage, Source, read_file};

    fn read(text: &str) -> Source {
        let profile = SourceProfile::parse("registrar", &["format ldif".to_owned()]).unwrap();
        read_file(&profile, text.as_bytes(), &ReadOptions::default()).unwrap()
    }

    const ANN: &str = "dn: uid=ann,ou=people,dc=example,dc=edu
objectClass: inetOrgPerson
employeeNumber: 007
givenName:: QW5u
sn: R
 oy
schacDateOfBirth: 20010203
eduPersonAffiliation: member
eduPersonAffiliation: student
eduPersonAffiliation: staff
";

    #[test]
    fn a_content_record_is_a_person_and_other_entries_are_skipped() {
        let container =
            "version: 1\n\n# people\ndn: ou=people,dc=example,dc=edu\nobjectClass: organizationalUnit\nou: people\n\n";
        let source = read(&format!("{container}{ANN}\n"));
        let [record] = source.records.as_slice() else { panic!("{source:?}") };
        assert_eq!((&*record.person_id, &*record.given_name, &*record.family_name), ("007", "Ann", "Roy"));
        assert_eq!((record.line, record.birth_digits().as_deref()), (8, Some("20010203")));
        let affiliations: Vec<Affiliation> = record.affiliations().map(|row| row.affiliation).collect();
        assert_eq!(affiliations, [Affiliation::Staff, Affiliation::Student]);
        assert!(source.warnings.is_empty() && source.rejected.is_empty(), "{source:?}");
        assert_eq!((source.coverage, source.rows_read), (Coverage::Complete, 1));
    }

    #[test]
    fn change_records_state_only_what_they_name() {
        let source = read(&format!(
            "dn: employeeNumber=8,ou=people,dc=example,dc=edu
changetype: modify
replace: sn
sn: Gagné
-
delete: provostProgram
-

{}",
            ANN.replace("objectClass", "changetype: add\nobjectClass")
        ));
        assert_eq!((source.coverage, source.records.len()), (Coverage::Partial, 2));
        let record = &source.records[0];
        assert_eq!((&*record.person_id, &*record.family_name), ("8", "Gagné"));
        assert!(record.cleared.contains(Column::Program) && record.lacking.contains(Column::GivenName));
    }

    #[test]
    fn each_fault_of_a_record_is_reported() {
        for (record, column, rule, is_left_out) in [
            ("dn: employeeNumber=9,dc=x\nchangetype: delete\n".to_owned(), "changetype", "ldif.changetype", true),
            (
                "dn: employeeNumber=9,dc=x\nchangetype: modrdn\nnewrdn: cn=a\ndeleteoldrdn: 1\n".into(),
                "changetype",
                "ldif.changetype",
                true,
            ),
            ("sn: Roy\n".into(), "record", "ldif.syntax", true),
            (format!("{ANN}jpegPhoto:< file:///etc/passwd\n"), "record", "ldif.url", true),
            (format!("{ANN}sn: Second\n"), "sn", "ldif.values", true),
            (format!("{ANN}provostProgram: A\nprovostProgram: B\n"), "provostprogram", "ldif.values", false),
            (format!("{ANN}roomNumber: 12\n"), "roomnumber", "header.unknown-column", false),
            (ANN.replace("employeeNumber", "uidNumber"), "person_id", "field.empty", true),
        ] {
            let source = read(&format!("{record}\n{}", ANN.replace("007", "1")));
            let list = if is_left_out { &source.rejected } else { &source.warnings };
            let found = list.iter().any(|problem| problem.column == column && problem.rule.as_str() == rule);
            assert!(found, "{record}: {source:?}");
            assert_eq!(source.records.len(), if is_left_out { 1 } else { 2 }, "{record}");
        }
    }
}
