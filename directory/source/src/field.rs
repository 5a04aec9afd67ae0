//! Converts one CSV record to a [`SourceRecord`] by the rule of each column.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use jiff::civil::Date;
use provost_credential::Secret;
use provost_entry::Address;
use unicode_normalization::UnicodeNormalization;

use crate::csv_record::CsvRecord;
use crate::date::parse_date;
use crate::header::{Column, ColumnMap};
use crate::invisible::{has_invisible, without_needless_joiners};
use crate::number::{is_ignorable, person_id};
use crate::record::{Affiliation, RecordError, SourceRecord};

/// Longest field of any column except the password, octets: it bounds the work of normalising a text.
const FIELD_OCTETS_MAX: usize = 4096;
/// Longest name or programme, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Shortest password that is set here, in characters (NIST SP 800-63B-3 §5.1.1.2: at least 8).
const PASSWORD_CHARS_MIN: usize = 8;
/// Earliest year of a birth, an enrolment or an employment: a lower one is a mistake of the file.
const YEAR_MIN: i16 = 1900;

/// Reads one record. The error holds every problem found, or only a wrong number of fields.
pub(crate) fn read_row(header: &ColumnMap, record: &CsvRecord) -> Result<SourceRecord, Vec<RecordError>> {
    if let Some(problem) = wrong_count(header, record) {
        return Err(vec![problem]);
    }
    let mut fields = RowFields { header, record, problems: Vec::new() };
    if let Some(column) = record.misquoted_field.and_then(|field| header.at(field)) {
        fields.refuse(column, "text after the closing quotation mark (within quotes, \" is written \"\")");
    }
    let person_id = fields.required(Column::PersonId, person_id);
    let given_name = fields.required(Column::GivenName, name);
    let family_name = fields.required(Column::FamilyName, name);
    let birth_date = fields.optional(Column::BirthDate, date);
    let private_email = fields.optional(Column::PrivateEmail, private_email);
    let affiliation = fields.required(Column::Affiliation, affiliation);
    let program = fields.optional(Column::Program, text);
    let start_date = fields.optional(Column::StartDate, date);
    let end_date = fields.optional(Column::EndDate, date);
    if let (Some(start), Some(end)) = (start_date, end_date)
        && end < start
    {
        fields.refuse(Column::EndDate, "the end is before the start");
    }
    let password = fields.password();
    match (person_id, given_name, family_name, affiliation) {
        (Some(person_id), Some(given_name), Some(family_name), Some(affiliation)) if fields.problems.is_empty() => {
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
        _ => Err(fields.problems),
    }
}

/// Whether a record lacks fields or has a wrong last field, as the last record of a truncated file does. Text after a
/// closing quotation mark is no sign of a cut.
pub(crate) fn may_be_cut(
    header: &ColumnMap,
    record: &CsvRecord,
    read: &Result<SourceRecord, Vec<RecordError>>,
) -> bool {
    let last = header.last().map_or("", Column::name);
    let is_last_wrong = matches!(read, Err(problems) if problems.iter().any(|problem| problem.column == last));
    let is_last_misquoted = record.misquoted_field == Some(header.len() - 1);
    record.fields.len() < header.len() || (is_last_wrong && !is_last_misquoted)
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

    /// The value of a field; `None` when the field is blank, or wrong and reported.
    fn optional<T>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let field = self.raw(column).trim();
        if field.is_empty() {
            return None;
        }
        match check_field(field).and_then(read) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.refuse(column, rule);
                None
            }
        }
    }

    /// The value of a field; `None` when the field is blank or wrong, which are both reported.
    fn required<T>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        if self.raw(column).trim().is_empty() {
            self.refuse(column, "must not be empty");
            return None;
        }
        self.optional(column, read)
    }

    /// The password without any change, since it must equal what its owner types; `None` when the field is blank, or
    /// wrong and reported.
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

/// Checks a password, whether from a file or set by the help desk. The error is the broken rule.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err("shorter than 8 characters");
    }
    // Check the form that is hashed: no login could ever match a longer password.
    if Secret::new(password).is_too_long() {
        return Err("longer than 512 octets");
    }
    if password.chars().any(char::is_control) {
        return Err("a control character within the password");
    }
    // RFC 8264 §4.3.3 disallows ignorable characters. Joiners are accepted, since some scripts are typed with them.
    let is_joiner = |c: char| matches!(c, '\u{200C}' | '\u{200D}');
    if password.chars().any(|c| is_ignorable(c) && !is_joiner(c)) {
        return Err("an invisible character within the password");
    }
    Ok(())
}

/// The rule that an invisible character breaks.
const INVISIBLE: &str = "an invisible character (text direction, zero width, byte order mark): type the field anew";

/// Checks the rules for every field except the password.
fn check_field(field: &str) -> Result<&str, &'static str> {
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

/// Reads a person's name; what faulty exports leave in names is refused. A hyphen alone is accepted: it stands for a
/// name that the person does not have.
fn name(field: &str) -> Result<String, &'static str> {
    const QUOTES: [(char, char); 6] = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»'), ('„', '“')];
    let is_quoted = |(open, close)| field.len() > 1 && field.starts_with(open) && field.ends_with(close);
    if QUOTES.into_iter().any(is_quoted) {
        Err("quotation marks around the name")
    } else if field.starts_with(['#', '=']) {
        Err("an error value or a formula of a spreadsheet (like #NAME?)")
    } else if field.chars().all(is_combining_mark) {
        Err("only combining marks: the letters of the name were lost")
    } else if has_entity(field) {
        Err("an HTML entity (like &eacute;): the name was damaged before this import")
    } else {
        text(field)
    }
}

/// Whether a character is shown only on another one, as U+0301 is.
fn is_combining_mark(c: char) -> bool {
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

/// Whether a character is private use or unassigned, so that programs may show it differently or not at all.
fn is_unknown(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::PrivateUse | GeneralCategory::Unassigned)
}

/// Normalises a name or a programme: NFC, single spaces between words, no needless joiners. The directory also ignores
/// additional blanks when it compares values (RFC 4518 §2.6.1).
pub fn text(field: &str) -> Result<String, &'static str> {
    let text: String = field.nfc().collect();
    let text = without_needless_joiners(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() > TEXT_CHARS_MAX {
        Err("longer than 200 characters")
    } else if has_invisible(&text) {
        Err(INVISIBLE)
    } else if text.contains('\u{FFFD}') {
        Err("a replacement character (U+FFFD): the text was damaged by an earlier conversion")
    } else if text.chars().any(is_unknown) {
        Err("a character that is unassigned or private in Unicode: type the field anew")
    } else if is_mojibake(&text) {
        Err("UTF-8 that was read as Windows-1252 (like 'Ã©' for 'é') by an earlier conversion")
    } else {
        Ok(text)
    }
}

/// Whether the text looks like UTF-8 octets read as Windows-1252: encoding it back gives UTF-8.
fn is_mojibake(text: &str) -> bool {
    let (octets, _, is_unmappable) = encoding_rs::WINDOWS_1252.encode(text);
    let Some(original) = std::str::from_utf8(&octets).ok().filter(|_| !is_unmappable) else { return false };
    // Encoded in Windows-1252, the `É–` of SANTÉ–TRAVAIL has the octets of U+0256 in UTF-8. Such a pair of a capital
    // and a punctuation mark counts only next to another such pair, as in a Cyrillic name that was damaged.
    let is_doubtful = |c: char| matches!(c, '\u{180}'..'\u{800}') && u32::from(c) & 0x3F < 0x20;
    let mut pairs = original.chars().zip(original.chars().skip(1));
    original.chars().any(|c| !c.is_ascii() && !is_doubtful(c)) || pairs.any(|(a, b)| is_doubtful(a) && is_doubtful(b))
}

fn date(field: &str) -> Result<Date, &'static str> {
    let date = parse_date(field).ok_or("not a date (YYYY-MM-DD)")?;
    if date.year() < YEAR_MIN { Err("a year before 1900") } else { Ok(date) }
}

/// The person's private address, kept as written: only its own host may ignore the case of its local part (RFC 5321
/// §2.4).
fn private_email(field: &str) -> Result<String, &'static str> {
    match Address::parse(field) {
        Ok(address) if address.domain().contains('.') => Ok(field.to_owned()),
        Ok(_) => Err("the domain of the address has no dot"),
        Err(_) => Err("not a mail address (local@domain)"),
    }
}

fn affiliation(field: &str) -> Result<Affiliation, &'static str> {
    let found = Affiliation::ALL.into_iter().find(|affiliation| affiliation.as_str().eq_ignore_ascii_case(field));
    found.ok_or("not one of student, faculty, staff, alum")
}
