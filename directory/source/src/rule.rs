//! The rules that a file can break, each with a stable id.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A rule: its id and its words. A published id keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The id, such as `name.entity`.
    pub id: &'static str,
    /// What is wrong, for people, without any value of the file.
    pub words: &'static str,
}

impl Rule {
    pub(crate) const fn new(id: &'static str, words: &'static str) -> Self {
        Self { id, words }
    }
}

/// Id of a rule in reports. Scripts may compare it; the words of a problem may change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(Cow<'static, str>);

impl RuleId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for RuleId {
    fn from(id: &'static str) -> Self {
        Self(Cow::Borrowed(id))
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rows and files.
pub(crate) const FIELD_COUNT: &str = "csv.field-count";
pub(crate) const SWALLOWED: &str = "csv.swallowed-line";
pub(crate) const QUOTE: Rule =
    Rule::new("csv.quote", "text after the closing quotation mark (within quotes, \" is written \"\")");
pub(crate) const LINE_BREAK: Rule =
    Rule::new("csv.line-break", "a line break within the field (is a quotation mark missing?)");
pub(crate) const UNKNOWN_COLUMN: &str = "header.unknown-column";
pub(crate) const CONFLICT: &str = "row.conflict";
pub(crate) const OTHER_ROW: &str = "row.other-row-wrong";
pub(crate) const FORMER_IN_USE: &str = "number.former-in-use";
pub(crate) const FORMER_TWICE: &str = "number.former-twice";

/// Rules of every field; the ids begin with `field.`.
pub(crate) const EMPTY: Rule = Rule::new("field.empty", "must not be empty");
pub(crate) const BLANK_UNKNOWN: Rule =
    Rule::new("field.blank", "blank, although this source must state a value: the held value stays");
pub(crate) const LONG_FIELD: Rule = Rule::new("field.too-long", "longer than 4096 octets");
pub(crate) const CONTROL: Rule = Rule::new("field.control", "a control character within the field");
pub(crate) const INVISIBLE: Rule = Rule::new(
    "field.invisible",
    "an invisible character (text direction, zero width, byte order mark): type the field anew",
);

/// Rules of names and programmes; the ids begin with `text.`.
pub(crate) const LONG_TEXT: Rule = Rule::new("text.too-long", "longer than 200 characters");
pub(crate) const REPLACEMENT: Rule =
    Rule::new("text.replacement", "a replacement character (U+FFFD): the text was damaged by an earlier conversion");
pub(crate) const UNASSIGNED: Rule =
    Rule::new("text.unassigned", "a character that is unassigned or private in Unicode: type the field anew");
pub(crate) const MOJIBAKE: Rule =
    Rule::new("text.mojibake", "UTF-8 that was read as Windows-1252 (like 'Ã©' for 'é') by an earlier conversion");
pub(crate) const FORMULA: Rule = Rule::new("text.formula", "a formula of a spreadsheet (like =A1)");
pub(crate) const LONG_VACATION: Rule = Rule::new("text.too-long", "longer than 10000 characters");

/// Rules of names alone; the ids begin with `name.`.
pub(crate) const QUOTED_NAME: Rule = Rule::new("name.quoted", "quotation marks around the name");
pub(crate) const SPREADSHEET_NAME: Rule =
    Rule::new("name.spreadsheet", "an error value or a formula of a spreadsheet (like #NAME?)");
pub(crate) const SYMBOL: Rule =
    Rule::new("name.symbol", "a symbol that is no part of a name (an emoji, or one of < > = { } [ ] | \\ *)");
pub(crate) const MIXED_SCRIPTS: Rule = Rule::new(
    "name.mixed-scripts",
    "letters of two alphabets in one word: one of them only looks like the right one; type the field anew",
);
pub(crate) const MARKS_ONLY: Rule = Rule::new("name.marks", "only combining marks: the letters of the name were lost");
pub(crate) const ENTITY: Rule =
    Rule::new("name.entity", "an HTML entity (like &eacute;): the name was damaged before this import");

/// Dates, words and addresses.
pub(crate) const NOT_A_DATE: &str = "date.format";
pub(crate) const EARLY_DATE: Rule = Rule::new("date.early", "a year before 1900");
pub(crate) const FUTURE_BIRTH: Rule = Rule::new("date.future", "a birth date in the future");
pub(crate) const END_BEFORE_START: Rule = Rule::new("date.order", "the end is before the start");
pub(crate) const AFFILIATION: Rule = Rule::new("affiliation.unknown", "not one of student, faculty, staff, alum");
pub(crate) const NOT_AN_ADDRESS: Rule = Rule::new("mail.format", "not a mail address (local@domain)");
pub(crate) const NO_DOT: Rule = Rule::new("mail.domain", "the domain of the address has no dot");
pub(crate) const MANY_ADDRESSES: Rule = Rule::new("mail.too-many", "more than 10 addresses");
pub(crate) const LANGUAGE: Rule = Rule::new("language.unknown", "not one of en, fr");
pub(crate) const QUOTA_CLASS: Rule =
    Rule::new("quota.class", "not the name of a quota class (letters, digits, '-' and '_', at most 64)");

/// Rules of initial passwords; the ids begin with `password.`.
pub(crate) const SHORT_PASSWORD: Rule = Rule::new("password.short", "shorter than 8 characters");
pub(crate) const LONG_PASSWORD: Rule = Rule::new("password.long", "longer than 512 octets");
pub(crate) const PASSWORD_CONTROL: Rule = Rule::new("password.control", "a control character within the password");
pub(crate) const PASSWORD_INVISIBLE: Rule =
    Rule::new("password.invisible", "an invisible character within the password");

/// Rules of a person's number in the source; the ids begin with `number.`.
pub(crate) const LONG_NUMBER: Rule = Rule::new("number.too-long", "longer than 64 characters");
pub(crate) const NUMBER_BLANK: Rule = Rule::new("number.blank", "a blank within the number");
pub(crate) const NUMBER_REPLACEMENT: Rule =
    Rule::new("number.replacement", "a replacement character: the number was damaged before this import");
pub(crate) const NUMBER_INVISIBLE: Rule =
    Rule::new("number.invisible", "an invisible character within the number: type it anew");
pub(crate) const NUMBER_ERROR: Rule = Rule::new("number.error-value", "an error value of a spreadsheet (like #N/A)");
pub(crate) const NUMBER_GUARD: Rule =
    Rule::new("number.text-mark", "a mark that a spreadsheet puts before a text (like '00123 or =\"00123\")");
pub(crate) const NUMBER_PLACEHOLDER: Rule =
    Rule::new("number.placeholder", "a placeholder instead of a number (like NULL or N/A)");
pub(crate) const NUMBER_TRUTH: Rule = Rule::new("number.truth-value", "a truth value of a spreadsheet");
pub(crate) const NUMBER_CURRENCY: Rule =
    Rule::new("number.currency", "a currency or percent sign (like $1234): a spreadsheet damaged it");
pub(crate) const NUMBER_SIGN: Rule =
    Rule::new("number.sign", "a number with a sign (like -123 or (123)): a spreadsheet damaged it");
pub(crate) const NUMBER_EXPONENT: Rule =
    Rule::new("number.exponent", "a number in exponent form (like 1.1E+07): a spreadsheet damaged it");
pub(crate) const NUMBER_GROUPED: Rule =
    Rule::new("number.grouped", "a number with thousands separators (like 1,234,567): a spreadsheet damaged it");
pub(crate) const NUMBER_FRACTION: Rule =
    Rule::new("number.fraction", "a number with a fraction (like 12345.0): a spreadsheet damaged it");
pub(crate) const NUMBER_DATE: Rule =
    Rule::new("number.date", "a date (like 2001-01-02 or Mar-01): a spreadsheet damaged it");
pub(crate) const NUMBER_TIME: Rule = Rule::new("number.time", "a time of day (like 12:30): a spreadsheet damaged it");
pub(crate) const NUMBER_LENGTH: Rule =
    Rule::new("number.length", "not as long as the numbers of this source (were leading zeros lost?)");
pub(crate) const NUMBER_CHARACTERS: Rule =
    Rule::new("number.characters", "characters that the numbers of this source do not have");
pub(crate) const NUMBER_PATTERN: Rule =
    Rule::new("number.pattern", "not of the form that the numbers of this source have");
pub(crate) const NUMBER_CHECK: Rule =
    Rule::new("number.check-digit", "the check digit is wrong: a digit was mistyped or lost");

/// Formats other than CSV.
pub(crate) const JSON: &str = "json.syntax";
pub(crate) const JSON_TYPE: Rule =
    Rule::new("json.type", "the value is not a text (numbers lose leading zeros: put them in quotation marks)");
pub(crate) const JSON_TWICE: Rule = Rule::new("json.key-twice", "the key occurs twice in the object");
pub(crate) const LDIF: &str = "ldif.syntax";
pub(crate) const LDIF_CHANGE: Rule = Rule::new(
    "ldif.changetype",
    "this kind of change is not read: a file ends an affiliation by its end date, and never deletes or moves a person",
);
pub(crate) const LDIF_VALUES: Rule = Rule::new("ldif.values", "several values where one is expected");
pub(crate) const LDIF_URL: Rule = Rule::new("ldif.url", "a value by URL (attr:< ...) is not read");
pub(crate) const LDAP_UNREADABLE: Rule =
    Rule::new("ldap.unreadable", "the entry cannot be read, or is larger than 64 KiB");
pub(crate) const ONEROSTER_STATUS: Rule = Rule::new(
    "oneroster.status",
    "in a delta, status is active or tobedeleted and dateLastModified is a date; in a bulk file both are blank",
);
pub(crate) const ONEROSTER_ROLE: Rule =
    Rule::new("oneroster.role", "the user has no role that is given an account here");
pub(crate) const ONEROSTER_REFERENCE: Rule =
    Rule::new("oneroster.reference", "this sourcedId is in no file of the archive");
pub(crate) const ONEROSTER_DISABLED: Rule = Rule::new(
    "oneroster.disabled",
    "enabledUser is false: an import disables nobody; end the role, or suspend the account by hand",
);
