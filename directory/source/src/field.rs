//! Converts the cells of one row to a [`SourceRecord`] by the rule of each column.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, Script};
use jiff::civil::Date;
use provost_credential::Secret;
use provost_entry::Address;
use unicode_normalization::UnicodeNormalization;

use crate::column::{Column, ColumnSet};
use crate::date::DateFormat;
use crate::invisible::{has_invisible, is_bidi_control, without_needless_joiners};
use crate::number::{is_ignorable, person_id, person_key};
use crate::profile::{Blank, FileFormat, SourceProfile};
use crate::record::{Affiliation, MoreFields, RecordError, Severity, SourceRecord};
use crate::row::{Cell, RawRow};
use crate::rule::{self, Rule};

/// Longest field of any column except the password and vacation texts, octets: it bounds the work of normalising a
/// text.
const FIELD_OCTETS_MAX: usize = 4096;
/// Longest name or programme, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Longest text of a vacation reply, in characters, as where people set it themselves.
const VACATION_CHARS_MAX: usize = 10_000;
/// Shortest password that is set here, in characters (NIST SP 800-63B-3 §5.1.1.2: at least 8).
const PASSWORD_CHARS_MIN: usize = 8;
/// Maximum number of addresses of a forwarding.
const FORWARD_ADDRESSES_MAX: usize = 10;
/// Earliest year of a birth, an enrolment or an employment: a lower one is a mistake of the file.
const YEAR_MIN: i16 = 1900;

/// What reading a row gives.
pub(crate) struct ReadRow {
    /// `None` when a problem leaves the row out.
    pub(crate) record: Option<SourceRecord>,
    /// The number, where it is readable.
    pub(crate) person_id: Option<Box<str>>,
    pub(crate) problems: Vec<RecordError>,
    /// The first cell that an earlier conversion damaged: its column, cut short.
    pub(crate) damaged: Option<String>,
}

/// Reads one row. Every problem is reported, each with its severity.
pub(crate) fn read_row(profile: &SourceProfile, row: &RawRow<'_>) -> ReadRow {
    let dates = profile.dates();
    let mut fields = RowFields {
        profile,
        row,
        problems: Vec::new(),
        damaged: None,
        cleared: ColumnSet::default(),
        lacking: ColumnSet::default(),
    };
    if let Some(column) = row.misquoted {
        fields.report(Severity::Error, column, rule::QUOTE);
    }
    let number = fields.required(Column::PersonId, |field| {
        let number = person_id(field)?;
        Ok(profile.number.check(number)?.into())
    });
    let number: Option<Box<str>> = number.filter(|_| !fields.lacking.contains(Column::PersonId));
    let given_name = fields.required(Column::GivenName, name);
    let family_name = fields.required(Column::FamilyName, name);
    let birth_date = fields.optional(Column::BirthDate, |field| date(dates, field));
    let private_email = fields.optional(Column::PrivateEmail, outside_address);
    let affiliation = fields.required(Column::Affiliation, |field| affiliation(profile, field));
    let program = fields.optional(Column::Program, program);
    let mut start_date = fields.optional(Column::StartDate, |field| date(dates, field));
    let mut end_date = fields.optional(Column::EndDate, |field| date(dates, field));
    if fields.is_reversed(start_date, end_date, Column::EndDate) {
        (start_date, end_date) = (None, None);
    }
    let password = fields.password();
    let more = if row.has_rare_cells() { read_more(&mut fields, dates, number.as_deref()) } else { None };
    let is_wrong = fields.problems.iter().any(|problem| problem.severity == Severity::Error);
    let RowFields { problems, damaged, cleared, lacking, .. } = fields;
    let record = match (number.clone(), given_name, family_name, affiliation) {
        (Some(person_id), Some(given_name), Some(family_name), Some(affiliation)) if !is_wrong => Some(SourceRecord {
            line: row.line,
            person_id,
            given_name,
            family_name,
            private_email,
            program,
            password,
            more,
            birth_date,
            start_date,
            end_date,
            cleared,
            lacking,
            is_completed: false,
            affiliation,
        }),
        _ => None,
    };
    ReadRow { record, person_id: number, problems, damaged }
}

/// Reads the columns that few files have.
fn read_more(fields: &mut RowFields<'_>, dates: DateFormat, number: Option<&str>) -> Option<Box<MoreFields>> {
    let day = |field: &str| date(dates, field);
    let shape = &fields.profile.number;
    let former = |field: &str| -> Result<Box<str>, Broken> {
        match field.split_once(':') {
            Some((source, former)) if crate::check_source_name(source).is_ok() => {
                person_id(former)?;
                Ok(field.into())
            }
            _ => Ok(shape.check(person_id(field)?)?.into()),
        }
    };
    let former = fields.optional(Column::FormerPersonId, former);
    let is_other = |former: &str| number.is_none_or(|number| person_key(number) != person_key(former));
    let mut more = MoreFields {
        // Some senders repeat the present number where there is no former one.
        former_person_id: former.filter(|former| is_other(former)),
        preferred_given_name: fields.optional(Column::PreferredGivenName, name),
        language: fields.optional(Column::Language, language),
        quota_class: fields.optional(Column::QuotaClass, quota_class),
        quota_until: fields.optional(Column::QuotaUntil, day),
        forward_to: fields.optional(Column::ForwardTo, addresses).unwrap_or_default(),
        forward_from: fields.optional(Column::ForwardFrom, day),
        forward_until: fields.optional(Column::ForwardUntil, day),
        vacation_start: fields.optional(Column::VacationStart, day),
        vacation_end: fields.optional(Column::VacationEnd, day),
        vacation_subject_fr: fields.optional(Column::VacationSubjectFr, boxed_text),
        vacation_subject_en: fields.optional(Column::VacationSubjectEn, boxed_text),
        vacation_text_fr: fields.optional(Column::VacationTextFr, vacation_text),
        vacation_text_en: fields.optional(Column::VacationTextEn, vacation_text),
        further: Vec::new(),
    };
    fields.is_reversed(more.forward_from, more.forward_until, Column::ForwardUntil);
    fields.is_reversed(more.vacation_start, more.vacation_end, Column::VacationEnd);
    fields.leave_out_faulty(&mut more);
    (more != MoreFields::default()).then(|| Box::new(more))
}

impl SourceProfile {
    /// Form of the dates of this source's files.
    fn dates(&self) -> DateFormat {
        let usual = if matches!(self.format, FileFormat::Ldif | FileFormat::Ldap) {
            DateFormat::Basic
        } else {
            DateFormat::Iso
        };
        self.date_format.unwrap_or(usual)
    }
}

/// The cells of one row and what was found in them.
struct RowFields<'a> {
    profile: &'a SourceProfile,
    row: &'a RawRow<'a>,
    problems: Vec<RecordError>,
    damaged: Option<String>,
    cleared: ColumnSet,
    lacking: ColumnSet,
}

/// A broken rule, whose words may depend on the profile.
enum Broken {
    Rule(Rule),
    Date(DateFormat),
}

impl From<Rule> for Broken {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl RowFields<'_> {
    fn report(&mut self, severity: Severity, column: Column, broken: impl Into<Broken>) {
        let mut problem = match broken.into() {
            Broken::Rule(rule) => RecordError::of(severity, self.row.line, column, rule),
            Broken::Date(form) => {
                let words = format!("not a date ({})", form.as_str());
                RecordError { severity, ..RecordError::error(self.row.line, column, rule::NOT_A_DATE, words) }
            }
        };
        // Name all lines of the row, so that the report covers every person on them.
        if self.row.last_line > self.row.line {
            let (line, last_line) = (self.row.line, self.row.last_line);
            problem.words = format!("lines {line} to {last_line} are one row: {}", problem.words);
        }
        self.problems.push(problem);
    }

    /// Reports a cell whose value breaks a rule. A required one leaves the row out. So does a line break in a row of
    /// several lines: other rows may be part of this one.
    fn refuse(&mut self, column: Column, broken: Broken) {
        let is_damaged = matches!(&broken, Broken::Rule(rule) if *rule == rule::MOJIBAKE || *rule == rule::REPLACEMENT);
        if let (Cell::Text(field), true) = (self.row.cell(column), is_damaged) {
            self.damaged.get_or_insert_with(|| format!("{column}: {}", crate::header::shown(field)));
        }
        let is_joined =
            matches!(&broken, Broken::Rule(rule) if *rule == rule::LINE_BREAK) && self.row.last_line > self.row.line;
        let severity = if column.is_required() || is_joined { Severity::Error } else { Severity::Warning };
        self.report(severity, column, broken);
    }

    /// The value of a cell; `None` when it states none, or a wrong one, which is reported.
    /// Leaves out the whole forwarding, vacation or quota class of which one column is wrong: without its date it would
    /// hold at once and for ever. The held one stays.
    fn leave_out_faulty(&mut self, more: &mut MoreFields) {
        const QUOTA: [Column; 2] = [Column::QuotaClass, Column::QuotaUntil];
        const FORWARDING: [Column; 3] = [Column::ForwardTo, Column::ForwardFrom, Column::ForwardUntil];
        const VACATION: [Column; 6] = [
            Column::VacationStart,
            Column::VacationEnd,
            Column::VacationSubjectFr,
            Column::VacationSubjectEn,
            Column::VacationTextFr,
            Column::VacationTextEn,
        ];
        if self.is_faulty(&QUOTA) {
            (more.quota_class, more.quota_until) = (None, None);
        }
        if self.is_faulty(&FORWARDING) {
            (more.forward_from, more.forward_until) = (None, None);
            more.forward_to = Box::default();
        }
        if self.is_faulty(&VACATION) {
            (more.vacation_start, more.vacation_end) = (None, None);
            (more.vacation_subject_fr, more.vacation_subject_en) = (None, None);
            (more.vacation_text_fr, more.vacation_text_en) = (None, None);
        }
    }

    /// Whether one of these columns has a problem. None of them then clears a held value.
    fn is_faulty(&mut self, columns: &[Column]) -> bool {
        let is_of = |problem: &RecordError| columns.iter().any(|column| column.name() == problem.column);
        let is_faulty = self.problems.iter().any(is_of);
        if is_faulty {
            columns.iter().for_each(|column| self.cleared.remove(*column));
        }
        is_faulty
    }

    fn optional<T>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, Broken>) -> Option<T> {
        let field = match self.row.cell(column) {
            Cell::Text(field) if field.trim().is_empty() => {
                match self.profile.blank(column) {
                    Blank::Clear => self.cleared.insert(column),
                    Blank::Unknown => self.report(Severity::Warning, column, rule::BLANK_UNKNOWN),
                    Blank::Keep => {}
                }
                return None;
            }
            Cell::Text(field) => field.trim(),
            Cell::Null if column == Column::FormerPersonId => return None,
            Cell::Null => {
                self.cleared.insert(column);
                return None;
            }
            Cell::Absent => self.profile.constant(column)?,
        };
        match self.check(column, field).map_err(Broken::from).and_then(|()| read(field)) {
            Ok(value) => Some(value),
            Err(broken) => {
                self.refuse(column, broken);
                None
            }
        }
    }

    /// The value of a cell; `None` when the cell is blank or wrong, which are both reported. A missing cell gives the
    /// default and is remembered as lacking.
    fn required<T: Lacking>(&mut self, column: Column, read: impl Fn(&str) -> Result<T, Broken>) -> Option<T> {
        match self.row.cell(column) {
            Cell::Absent if self.profile.constant(column).is_none() => {
                if column == Column::PersonId {
                    self.report(Severity::Error, column, rule::EMPTY);
                }
                self.lacking.insert(column);
                return Some(T::nothing());
            }
            Cell::Text(field) if !field.trim().is_empty() => {}
            Cell::Absent => {}
            Cell::Null | Cell::Text(_) => {
                self.report(Severity::Error, column, rule::EMPTY);
                return None;
            }
        }
        self.optional(column, read)
    }

    /// The password without any change, since it must equal what its owner types; `None` when the cell is blank, or
    /// wrong and reported.
    fn password(&mut self) -> Option<Secret> {
        let Cell::Text(field) = self.row.cell(Column::Password) else { return None };
        if field.trim().is_empty() {
            return None;
        }
        match password_rule(field) {
            None => Some(Secret::new(field)),
            Some(rule) => {
                self.refuse(Column::Password, rule.into());
                None
            }
        }
    }

    /// Whether an end precedes its start, which is reported. Neither of the two is then certain.
    fn is_reversed(&mut self, start: Option<Date>, end: Option<Date>, column: Column) -> bool {
        let is_reversed = matches!((start, end), (Some(start), Some(end)) if end < start);
        if is_reversed {
            self.report(Severity::Warning, column, rule::END_BEFORE_START);
        }
        is_reversed
    }

    /// Checks the rules for every field except the password.
    fn check(&self, column: Column, field: &str) -> Result<(), Rule> {
        if matches!(column, Column::VacationTextFr | Column::VacationTextEn) && !self.row.has_swallowed {
            return Ok(());
        }
        if field.len() > FIELD_OCTETS_MAX {
            Err(rule::LONG_FIELD)
        } else if field.contains(['\r', '\n']) {
            Err(rule::LINE_BREAK)
        } else if field.chars().any(char::is_control) {
            Err(rule::CONTROL)
        } else if has_invisible(field) {
            Err(rule::INVISIBLE)
        } else {
            Ok(())
        }
    }
}

/// A value that a partial record may lack.
trait Lacking {
    /// Stands in the record until it is completed.
    fn nothing() -> Self;
}

impl Lacking for Box<str> {
    fn nothing() -> Self {
        Self::default()
    }
}

impl Lacking for Affiliation {
    fn nothing() -> Self {
        Self::Alum
    }
}

/// Checks a password, whether from a file or set by the help desk. The error is the broken rule.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    password_rule(password).map_or(Ok(()), |rule| Err(rule.words))
}

fn password_rule(password: &str) -> Option<Rule> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Some(rule::SHORT_PASSWORD);
    }
    // Check the form that is hashed: no login could ever match a longer password.
    if Secret::new(password).is_too_long() {
        return Some(rule::LONG_PASSWORD);
    }
    if password.chars().any(char::is_control) {
        return Some(rule::PASSWORD_CONTROL);
    }
    // RFC 8264 §4.3.3 disallows ignorable characters. Joiners are accepted, since some scripts are typed with them.
    let is_joiner = |c: char| matches!(c, '\u{200C}' | '\u{200D}');
    let is_bad = password.chars().any(|c| is_ignorable(c) && !is_joiner(c));
    is_bad.then_some(rule::PASSWORD_INVISIBLE)
}

/// Reads a person's name; what faulty exports leave in names is refused. A hyphen alone is accepted: it stands for a
/// name that the person does not have.
fn name(field: &str) -> Result<Box<str>, Broken> {
    const QUOTES: [(char, char); 6] = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»'), ('„', '“')];
    let is_quoted = |(open, close)| field.len() > 1 && field.starts_with(open) && field.ends_with(close);
    if QUOTES.into_iter().any(is_quoted) {
        Err(rule::QUOTED_NAME.into())
    } else if is_formula(field) {
        Err(rule::SPREADSHEET_NAME.into())
    } else if field.chars().all(is_combining_mark) {
        Err(rule::MARKS_ONLY.into())
    } else if has_entity(field) {
        Err(rule::ENTITY.into())
    } else {
        let name = boxed_text(field)?;
        if name.chars().any(is_symbol) {
            Err(rule::SYMBOL.into())
        } else if has_mixed_scripts(&name) {
            Err(rule::MIXED_SCRIPTS.into())
        } else {
            Ok(name)
        }
    }
}

/// Whether a spreadsheet would compute the field, or has left an error value in it.
fn is_formula(field: &str) -> bool {
    let is_signed_number =
        field.strip_prefix(['+', '-']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    is_signed_number || field.starts_with(['#', '=', '@', '+'])
}

/// Whether a character is none of a name: a symbol such as an emoji, or a mark of markup and programs. Some names have
/// `@`, `/`, `(`, `;` and `&`.
fn is_symbol(c: char) -> bool {
    matches!(c, '<' | '>' | '=' | '{' | '}' | '[' | ']' | '|' | '\\' | '*')
        || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::OtherSymbol
}

/// Whether a word has letters of Latin, Greek and Cyrillic: one that looks like another was typed in its place.
fn has_mixed_scripts(field: &str) -> bool {
    if field.is_ascii() {
        return false;
    }
    let scripts = CodePointMapData::<Script>::new();
    field.split(|c: char| !c.is_alphabetic()).any(|word| {
        let mut found = word.chars().map(|c| scripts.get(c));
        let is_alphabet = |script: &Script| matches!(*script, Script::Latin | Script::Greek | Script::Cyrillic);
        let first = found.find(is_alphabet);
        found.filter(is_alphabet).any(|script| Some(script) != first)
    })
}

/// A programme; a formula of a spreadsheet is refused, because the programme is written to other spreadsheets.
fn program(field: &str) -> Result<Box<str>, Broken> {
    if field.starts_with(['=', '@']) { Err(rule::FORMULA.into()) } else { boxed_text(field) }
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

/// Normalises a name or a programme: NFC, single spaces between words, no needless joiners or soft hyphens. The directory also ignores
/// additional blanks when it compares values (RFC 4518 §2.6.1).
pub fn text(field: &str) -> Result<String, &'static str> {
    normalised(field).map_err(|rule| rule.words)
}

fn boxed_text(field: &str) -> Result<Box<str>, Broken> {
    Ok(normalised(field)?.into())
}

/// [`text`] with the broken rule.
pub(crate) fn normalised(field: &str) -> Result<String, Rule> {
    let text: String = field.nfc().collect();
    let text = without_needless_joiners(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(rule::LONG_TEXT);
    }
    if has_invisible(&text) {
        return Err(rule::INVISIBLE);
    }
    // The soft hyphen shows nothing: names with and without it are the same.
    Ok(undamaged(text)?.replace('\u{AD}', ""))
}

/// Refuses a text that an earlier conversion damaged.
fn undamaged(text: String) -> Result<String, Rule> {
    if text.contains('\u{FFFD}') {
        Err(rule::REPLACEMENT)
    } else if text.chars().any(is_unknown) {
        Err(rule::UNASSIGNED)
    } else if is_mojibake(&text) {
        Err(rule::MOJIBAKE)
    } else {
        Ok(text)
    }
}

/// Reads the text of a vacation reply, which may have several lines.
fn vacation_text(field: &str) -> Result<Box<str>, Broken> {
    if field.len() > 4 * VACATION_CHARS_MAX || field.chars().count() > VACATION_CHARS_MAX {
        return Err(rule::LONG_VACATION.into());
    }
    let text: String = field.nfc().collect::<String>().replace("\r\n", "\n").replace('\r', "\n");
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(rule::CONTROL.into());
    }
    // Joiners and marks belong to the spelling of some languages; characters that reverse other text belong to none.
    if text.chars().any(is_bidi_control) {
        return Err(rule::INVISIBLE.into());
    }
    Ok(undamaged(text)?.into())
}

/// Whether the text looks like UTF-8 octets read as Windows-1252: encoding it back gives UTF-8.
fn is_mojibake(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let (octets, _, is_unmappable) = encoding_rs::WINDOWS_1252.encode(text);
    let Some(original) = std::str::from_utf8(&octets).ok().filter(|_| !is_unmappable) else { return false };
    // Encoded in Windows-1252, the `É–` of SANTÉ–TRAVAIL has the octets of U+0256 in UTF-8. Such a pair of a capital
    // and a punctuation mark counts only next to another such pair, as in a Cyrillic name that was damaged.
    let is_doubtful = |c: char| matches!(c, '\u{180}'..'\u{800}') && u32::from(c) & 0x3F < 0x20;
    let mut pairs = original.chars().zip(original.chars().skip(1));
    original.chars().any(|c| !c.is_ascii() && !is_doubtful(c)) || pairs.any(|(a, b)| is_doubtful(a) && is_doubtful(b))
}

fn date(form: DateFormat, field: &str) -> Result<Date, Broken> {
    let date = form.parse(field).ok_or(Broken::Date(form))?;
    if date.year() < YEAR_MIN { Err(rule::EARLY_DATE.into()) } else { Ok(date) }
}

/// An address elsewhere, kept as written: only its own host may ignore the case of its local part (RFC 5321 §2.4).
fn outside_address(field: &str) -> Result<Box<str>, Broken> {
    match Address::parse(field) {
        Ok(address) if address.domain().contains('.') => Ok(field.into()),
        Ok(_) => Err(rule::NO_DOT.into()),
        Err(_) => Err(rule::NOT_AN_ADDRESS.into()),
    }
}

/// Several addresses, separated by blanks, commas or semicolons.
fn addresses(field: &str) -> Result<Box<[Box<str>]>, Broken> {
    let words = || field.split([' ', ',', ';', '\t']).filter(|word| !word.is_empty());
    if words().count() > FORWARD_ADDRESSES_MAX {
        return Err(rule::MANY_ADDRESSES.into());
    }
    words().map(outside_address).collect()
}

fn affiliation(profile: &SourceProfile, field: &str) -> Result<Affiliation, Broken> {
    profile.affiliation(field).ok_or(Broken::Rule(rule::AFFILIATION))
}

/// A language by its code (RFC 5646), or by its name in English or French.
fn language(field: &str) -> Result<Box<str>, Broken> {
    let lower = field.to_lowercase();
    match lower.split(['-', '_']).next().unwrap_or_default() {
        "fr" | "fra" | "fre" | "french" | "français" | "francais" => Ok("fr".into()),
        "en" | "eng" | "english" | "anglais" => Ok("en".into()),
        _ => Err(rule::LANGUAGE.into()),
    }
}

fn quota_class(field: &str) -> Result<Box<str>, Broken> {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if field.len() > 64 || !field.bytes().all(is_allowed) {
        return Err(rule::QUOTA_CLASS.into());
    }
    Ok(field.to_ascii_lowercase().into())
}
