//! Converts one CSV record to a [`SourceRecord`] by the rule of each column.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use jiff::civil::Date;
use provost_credential::Secret;
use provost_entry::Address;
use unicode_normalization::UnicodeNormalization;

use super::csv_record::CsvRecord;
use super::header::{Column, ColumnMap};
use super::number::{is_ignorable, person_id};
use super::record::{Affiliation, RecordError, SourceRecord};
use crate::calendar::parse_date;
use crate::invisible::{has_invisible, without_needless_joiners};

/// Longest field of any column except the password, octets: it bounds the work of normalising a text.
const FIELD_OCTETS_MAX: usize = 4096;
/// Longest name or programme, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Shortest password that is set here, in characters (NIST SP 800-63B-3 §5.1.1.2: at least 8).
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;
/// Earliest year of a birth, an enrolment or an employment: a lower one is a mistake of the file.
const YEAR_MIN: i16 = 1900;

/// Reads one record. The error holds every problem found, or only a wrong number of fields.
pub(super) fn read_row(header: &ColumnMap, record: &CsvRecord) -> Result<SourceRecord, Vec<RecordError>> {
    if let Some(problem) = wrong_count(header, record) {
        return Err(vec![problem]);
    }
    let mut cells = RowFields { header, record, problems: Vec::new() };
    if record.is_misquoted {
        cells.refuse(
            Column::PersonId,
            "text behind the closing quotation mark of a field (within quotes, \" is written \"\")",
        );
    }
    let person_id = cells.required(Column::PersonId, person_id);
    let given_name = cells.required(Column::GivenName, name);
    let family_name = cells.required(Column::FamilyName, name);
    let birth_date = cells.optional(Column::BirthDate, date);
    let private_email = cells.optional(Column::PrivateEmail, private_email);
    let affiliation = cells.required(Column::Affiliation, affiliation);
    let program = cells.optional(Column::Program, text);
    let start_date = cells.optional(Column::StartDate, date);
    let end_date = cells.optional(Column::EndDate, date);
    if let (Some(start), Some(end)) = (start_date, end_date)
        && end < start
    {
        cells.refuse(Column::EndDate, "the end is before the start");
    }
    let password = cells.password();
    match (person_id, given_name, family_name, affiliation) {
        (Some(person_id), Some(given_name), Some(family_name), Some(affiliation)) if cells.problems.is_empty() => {
            Ok(SourceRecord {
                line: record.line,
                person_id,
                given_name,
                family_name,
                birth_date: birth_date.map(|date| date.strftime("%Y%m%d").to_string()),
                private_email,
                affiliation,
                program,
                start_date,
                end_date,
                password,
            })
        }
        _ => Err(cells.problems),
    }
}

/// Whether a record would look cut short if it were the last one of a file without a final line end: fields are
/// missing, or the last field is wrong.
pub(super) fn may_be_cut(
    header: &ColumnMap,
    record: &CsvRecord,
    read: &Result<SourceRecord, Vec<RecordError>>,
) -> bool {
    let last = header.last().map_or("", Column::name);
    record.fields.len() < header.len()
        || matches!(read, Err(problems) if problems.iter().any(|problem| problem.column == last))
}

fn wrong_count(header: &ColumnMap, record: &CsvRecord) -> Option<RecordError> {
    let (have, want) = (record.fields.len(), header.len());
    if have == want {
        return None;
    }
    // With shifted columns, the wrong field is unknown; name the first one that is missing or superfluous.
    let column = header.at(have).map_or_else(|| format!("field {}", want + 1), |column| column.name().to_owned());
    let mut rule = format!("number of fields: {have} in the row, {want} in the header");
    if record.last_line > record.line {
        rule = format!(
            "lines {} to {} were read as one row: a quotation mark is misplaced",
            record.line, record.last_line
        );
    }
    Some(RecordError { line: record.line, column, rule })
}

/// The fields of one record and the problems found in them.
struct RowFields<'a> {
    header: &'a ColumnMap,
    record: &'a CsvRecord,
    problems: Vec<RecordError>,
}

impl RowFields<'_> {
    fn refuse(&mut self, column: Column, rule: &str) {
        let (line, last_line, column) = (self.record.line, self.record.last_line, column.name().to_owned());
        // Name all lines of the row, so that the report covers every person on them.
        let lines = if last_line > line { format!("lines {line} to {last_line} are one row: ") } else { String::new() };
        self.problems.push(RecordError { line, column, rule: format!("{lines}{rule}") });
    }

    /// The field without any change; empty when the file has no such column.
    fn raw(&self, column: Column) -> &str {
        self.header.place(column).and_then(|place| self.record.fields.get(place)).unwrap_or_default()
    }

    fn optional<T>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let field = self.raw(column).trim();
        if field.is_empty() {
            return None;
        }
        match sound(field).and_then(read) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.refuse(column, rule);
                None
            }
        }
    }

    fn required<T>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        if self.raw(column).trim().is_empty() {
            self.refuse(column, "must not be empty");
            return None;
        }
        self.optional(column, read)
    }

    /// The password without any change, blanks included: it must equal what its owner types.
    fn password(&mut self) -> Option<Secret> {
        let field = self.raw(Column::Password);
        if field.trim().is_empty() {
            return None;
        }
        match check_password(field) {
            Ok(()) => Some(Secret::new(field)),
            Err(rule) => {
                self.refuse(Column::Password, rule);
                None
            }
        }
    }
}

/// The rule for a password of any origin.
pub(crate) fn check_password(password: &str) -> Result<(), &'static str> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err("a password has at least 8 characters");
    }
    // Check the form that is hashed: no login could ever match a longer password.
    if Secret::new(password).is_too_long() {
        return Err("a password has at most 512 octets");
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters");
    }
    // RFC 8264 §4.3.3 disallows ignorable characters. Joiners are accepted, since some scripts are typed with them.
    let is_joiner = |c: char| matches!(c, '\u{200C}' | '\u{200D}');
    match password.chars().any(|c| is_ignorable(c) && !is_joiner(c)) {
        true => Err("a password has no invisible characters"),
        false => Ok(()),
    }
}

/// The rule that an invisible character breaks.
const INVISIBLE: &str = "an invisible character (text direction, zero width, byte order mark): type the field anew";

/// Checks what holds for every field except the password.
fn sound(field: &str) -> Result<&str, &'static str> {
    if field.len() > FIELD_OCTETS_MAX {
        Err("longer than 4096 octets")
    } else if field.contains(['\r', '\n']) {
        Err("a line break within the field (is a quotation mark missing?)")
    } else if field.chars().any(char::is_control) {
        Err("a control character within the field")
    } else if has_invisible(field) {
        Err(INVISIBLE)
    } else {
        Ok(field)
    }
}

/// A person's name: a text without the traces that an export leaves. A hyphen alone is accepted: it stands for a name
/// that the person does not have.
fn name(field: &str) -> Result<String, &'static str> {
    const MARKS: [(char, char); 6] = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»'), ('„', '“')];
    let is_quoted = |(open, close)| field.len() > 1 && field.starts_with(open) && field.ends_with(close);
    if MARKS.into_iter().any(is_quoted) {
        Err("quotation marks around the name")
    } else if field.starts_with(['#', '=']) {
        Err("an error value or a formula of a spreadsheet (like #NAME?)")
    } else if field.chars().all(is_mark) {
        Err("the name has no visible character: its letters were lost")
    } else if has_entity(field) {
        Err("an HTML entity (like &eacute;): the name was damaged before this import")
    } else {
        text(field)
    }
}

/// Whether a character is a mark, which is shown only on another character.
fn is_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

/// Whether a field holds an HTML entity: `&eacute;`, `&#233;` or `&#xE9;`.
fn has_entity(field: &str) -> bool {
    field.split('&').skip(1).any(|rest| {
        let name = rest.split_once(';').map_or("", |(name, _)| name);
        let name = name.strip_prefix('#').unwrap_or(name);
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric())
    })
}

/// Whether a character is private use or unassigned, so that two programs need not agree on it.
fn is_unknown(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::PrivateUse | GeneralCategory::Unassigned)
}

/// A name or a programme in NFC, with single spaces between words: padding and blanks of other kinds do not change a
/// name, and the directory compares it in this way (RFC 4518 §2.6.1).
pub(crate) fn text(field: &str) -> Result<String, &'static str> {
    let text: String = field.nfc().collect();
    let text = without_needless_joiners(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() > TEXT_CHARS_MAX {
        Err("longer than 200 characters")
    } else if has_invisible(&text) {
        Err(INVISIBLE)
    } else if text.contains('\u{FFFD}') {
        Err("a replacement character: the name was damaged before this import")
    } else if text.chars().any(is_unknown) {
        Err("a character that is unassigned or private in Unicode: type the field anew")
    } else if is_mojibake(&text) {
        Err("UTF-8 that was read as Windows-1252 (like 'Ã©' for 'é'): the name was damaged before this import")
    } else {
        Ok(text)
    }
}

/// Whether the text looks like UTF-8 octets read as Windows-1252: encoding it back gives UTF-8. Correct names do not.
fn is_mojibake(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let (octets, _, unmappable) = encoding_rs::WINDOWS_1252.encode(text);
    !unmappable && std::str::from_utf8(&octets).is_ok()
}

fn date(field: &str) -> Result<Date, &'static str> {
    let date = parse_date(field).ok_or("not a date (YYYY-MM-DD)")?;
    if date.year() < YEAR_MIN { Err("a year before 1900") } else { Ok(date) }
}

/// An address outside the site, kept as written: the case of a foreign local part has a meaning only to its own server.
fn private_email(field: &str) -> Result<String, &'static str> {
    match Address::parse(field) {
        Ok(address) if address.domain().contains('.') => Ok(field.to_owned()),
        _ => Err("not a mail address (local@domain)"),
    }
}

fn affiliation(field: &str) -> Result<Affiliation, &'static str> {
    let found = Affiliation::ALL.into_iter().find(|affiliation| affiliation.as_str().eq_ignore_ascii_case(field));
    found.ok_or("not one of student, faculty, staff, alum")
}
